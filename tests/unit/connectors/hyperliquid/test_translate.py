"""Hyperliquid frames to events: whole books, best prices over them, prints; and what is left alone on purpose."""

import gzip
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from connectors.hyperliquid.translate import IGNORED_CHANNELS, HyperliquidTranslator
from mm_daemon.domain.book import NO_ASK, NO_BID, OrderBook
from mm_daemon.domain.events import (
    BookInvalidated,
    BookSnapshot,
    InvalidCause,
    MarketEvent,
    PublicTrade,
    TopOfBook,
)
from mm_daemon.domain.instrument import grid_ceil, grid_floor
from mm_daemon.domain.orders import Side
from tests.shared import shared_file
from tests.unit.connectors.hyperliquid.frames import (
    BTC,
    ETH,
    bbo,
    book,
    framed,
    print_of,
    running,
    trades,
    translator,
)

NOW = 5_000_000_000
MS = 1_000_000


def only(events: Sequence[MarketEvent]) -> MarketEvent:
    (event,) = events
    return event


def test_each_book_frame_is_a_whole_book_numbered_by_its_time() -> None:
    """Ticks and lots on the finest grid, best first; the time of the block is the sequence."""
    assert only(translator().translate(book(1234), NOW)) == BookSnapshot(
        BTC.id, 1234 * MS, NOW, ((1_000_000, 150_000), (999_990, 200_000)), ((1_000_010, 50_000),), 1234
    )


def test_a_book_sent_again_is_a_book_again_and_an_older_one_is_not() -> None:
    """The venue resends what did not change; what is older than what we have is counted."""
    made = running()
    assert isinstance(only(made.translate(book(1000), NOW)), BookSnapshot)
    assert made.translate(book(999), NOW) == ()
    assert made.problems == {"out_of_order": 1}


def test_an_empty_book_is_no_reference_and_no_mistake() -> None:
    """A delisted market's books are empty; nobody may quote on them."""
    event = only(translator().translate(book(1, bids=[], asks=[]), NOW))
    shown = OrderBook()
    shown.apply(event)
    assert (shown.trusted, shown.invalid_cause) == (False, None)


def test_best_prices_win_over_an_older_book_only() -> None:
    """One clock orders both streams: a book of the same block, or a newer one, takes the overlay away."""
    made, shown = running(), OrderBook()
    frames = [
        (book(1000), 1_000_000),
        (bbo(1070, "100000.0", "100002.0"), 1_000_000),
        (bbo(1140, "99998.0"), 999_980),
        (book(1100), 999_980),
        (book(1140, bids=[("99998.0", "1")]), 999_980),
        (book(1200), 1_000_000),
        (bbo(1190, "99990.0"), 1_000_000),
    ]
    for frame, best in frames:
        for event in made.translate(frame, NOW):
            shown.apply(event)
        assert shown.bid_ticks == best, frame


@pytest.mark.parametrize(("bid", "ask"), [(None, "100001.0"), ("100000.0", None), (None, None)])
def test_a_side_on_which_nothing_rests_takes_the_reference_away(bid: str | None, ask: str | None) -> None:
    """The venue says null; the book has no such side until it does again."""
    made, shown = running(), OrderBook()
    shown.apply(only(made.translate(book(1001), NOW)))
    event = only(made.translate(bbo(1002, bid, ask), NOW))
    assert isinstance(event, TopOfBook)
    assert (event.bid_ticks, event.ask_ticks) == (
        NO_BID if bid is None else 1_000_000,
        NO_ASK if ask is None else 1_000_010,
    )
    shown.apply(event)
    assert not shown.trusted
    shown.apply(only(made.translate(book(1003), NOW)))
    assert shown.trusted


def test_prints_name_the_side_that_took() -> None:
    """B bought, A sold; several prints of a frame stay in its order."""
    events = running().translate(trades(print_of(1001, 7), print_of(1001, 3, "A", "100000.0", "0.00001")), NOW)
    assert events == [
        PublicTrade(BTC.id, 1001 * MS, NOW, Side.BUY, 1_000_010, 10_000, 7),
        PublicTrade(BTC.id, 1001 * MS, NOW, Side.SELL, 1_000_000, 1, 3),
    ]


def test_what_traded_before_our_first_book_is_history() -> None:
    """The first frame of a subscription tells of a time before us; the rest of it is news."""
    made = translator()
    assert list(made.translate(trades(print_of(900, 1)), NOW)) == []
    made.translate(book(1000), NOW)
    assert [event.ts_venue_ns for event in made.translate(trades(print_of(1000, 2), print_of(1001, 3)), NOW)] == [
        1001 * MS
    ]
    assert made.ignored == {"trade_history": 2}


def test_a_print_told_twice_counts_once() -> None:
    """By time and id: ids are hashes, and a smaller one is not older."""
    made = running()
    assert len(made.translate(trades(print_of(1001, 9), print_of(1002, 9), print_of(1002, 4)), NOW)) == 3
    assert list(made.translate(trades(print_of(1002, 4), print_of(1001, 9)), NOW)) == []
    assert made.problems == {"duplicate": 2}


@pytest.mark.parametrize(
    ("bad", "problem"),
    [
        (print_of(1001, 1, "X"), "malformed_trade"),
        (print_of(1001, 1, size="0.0"), "zero_size_trade"),
        (print_of(1001, 1, price="100000.05"), "bad_number"),
        (print_of(1001, 1, price="-1"), "bad_number"),
    ],
)
def test_one_bad_print_does_not_cost_the_others(bad: dict[str, object], problem: str) -> None:
    """It is counted, and its neighbours are handed on."""
    made = running()
    assert len(made.translate(trades(bad, print_of(1001, 2)), NOW)) == 1
    assert made.problems == {problem: 1}


def test_a_book_that_cannot_be_used_voids_the_one_before_until_the_next() -> None:
    """Said once; each book is whole, so the next good one is enough."""
    made = running()
    crossed = book(1001, asks=[("99999.0", "1")])
    first = only(made.translate(crossed, NOW))
    assert isinstance(first, BookInvalidated)
    assert first.cause is InvalidCause.CROSSED
    assert made.translate(crossed, NOW) == ()
    malformed = only(made.translate(book(1002)[:-9], NOW))
    assert isinstance(malformed, BookInvalidated)
    assert malformed.cause is InvalidCause.MALFORMED
    assert isinstance(only(made.translate(book(1003), NOW)), BookSnapshot)
    assert isinstance(only(made.translate(book(1004, bids=[("100000.05", "1")]), NOW)), BookInvalidated)
    assert made.problems == {"crossed": 2, "malformed": 1, "bad_number": 1}


@pytest.mark.parametrize("frame", [bbo(1001, "100001.0"), bbo(1001, "1e99"), bbo(1001, "100000.05")])
def test_best_prices_that_cannot_be_used_are_left_out(frame: bytes) -> None:
    """The next block has the next ones."""
    made = running()
    assert made.translate(frame, NOW) == ()
    assert sum(made.problems.values()) == 1


def test_block_time_that_leapt_ahead_once_does_not_silence_the_market() -> None:
    """After 64 frames that look old the book starts anew, and no best price of the false time outlives it."""
    made, shown = running(), OrderBook()
    for event in (*made.translate(book(1001), NOW), *made.translate(bbo(10**12, "99990.0"), NOW)):
        shown.apply(event)
    events = [event for n in range(70) for event in made.translate(bbo(2000 + n), NOW)]
    assert [type(event) for event in events[:2]] == [BookInvalidated, TopOfBook]
    for event in (*events, *made.translate(book(3000), NOW)):
        shown.apply(event)
    assert (shown.trusted, shown.bid_ticks) == (True, 1_000_000)
    made.translate(book(10**12), NOW)
    events = [event for n in range(70) for event in made.translate(book(4000 + n), NOW)]
    assert [type(event) for event in events] == [BookInvalidated, *[BookSnapshot] * 7]


def test_coins_are_told_apart_and_strangers_left_alone() -> None:
    """By the venue's own name, letter by letter."""
    made = translator(ETH)
    event = only(made.translate(book(1, coin="ETH", bids=[("3000.1", "1")], asks=[("3000.2", "1")]), NOW))
    assert event.instrument == ETH.id
    for frame in (book(1, coin="btc"), bbo(1, coin="SOL"), trades(print_of(1, 1, coin="SOL"))):
        assert list(made.translate(frame, NOW)) == []
    assert made.ignored == {"other_symbol": 3}


def test_aggregated_books_are_not_the_market() -> None:
    """Levels rounded to few figures have no true best price."""
    frame = json.loads(book(2000))
    frame["data"]["spread"] = "10.0"
    made = running()
    assert made.translate(json.dumps(frame).encode(), NOW) == ()
    assert made.ignored == {"aggregated_book": 1}


def socket_messages() -> list[Path]:
    return sorted(shared_file("venues/hyperliquid/messages/INDEX.json").parent.glob("ws_*.json"))


def test_every_known_message_is_used_or_left_alone_on_purpose() -> None:
    """All socket messages we have: market data become events, errors are problems, the rest is ignored by name."""
    used = set()
    for path in socket_messages():
        made = translator()
        made.translate(book(1), NOW)
        frame = json.dumps(json.loads(path.read_bytes())).encode()
        events = made.translate(frame, NOW)
        if events:
            used.add(path.name)
            assert not any(isinstance(event, BookInvalidated) for event in events), path.name
            assert not made.problems, path.name
        elif path.name.startswith("ws_error"):
            assert made.problems == {"refused_request": 1}, path.name
        else:
            assert not made.problems, path.name
            assert set(made.ignored) <= IGNORED_CHANNELS | {"request", "other_symbol"}, path.name
            assert made.ignored, path.name
    assert used == {
        "ws_activeAssetCtx_btc_frame.json",
        "ws_bbo_btc_frame.json",
        "ws_l2Book_btc_frame.json",
        "ws_recorded_2025_l2Book_frame.json",
        "ws_recorded_2025_trades_frame.json",
        "ws_trades_btc_frame.json",
    }


@pytest.mark.parametrize(
    ("frame", "kind"),
    [
        (b"Websocket connection established.", "greeting"),
        (b'{"channel":"pong"}', "pong"),
        (framed("subscriptionResponse", {"method": "subscribe"}), "subscriptionResponse"),
        (b'{"method":"ping"}', "request"),
        (framed("trades", []), "no_trades"),
    ],
)
def test_frames_without_meaning_are_ignored_by_name(frame: bytes, kind: str) -> None:
    """None of them is a problem."""
    made = translator()
    assert made.translate(frame, NOW) == ()
    assert (made.ignored, made.problems) == ({kind: 1}, {})


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"channel":7}',
        b'{"channel":["l2Book"]}',
        b'{"channel":"aNewKind","data":{}}',
        b'{"channel":"l2Book"}',
        b'{"channel":"l2Book","data":{"coin":"SOL","time":1,"levels":[[]]}}',
        b'{"channel":"trades","data":{"coin":"BTC"}}',
        book(1).replace(b'"time":1', b'"time":-1').replace(b"BTC", b"SOL"),
        b"[" * 100_000,
        b" " * ((4 << 20) + 1),
    ],
)
def test_what_nobody_can_read_is_counted(frame: bytes) -> None:
    """Exactly one problem each, no event, no exception."""
    made = running()
    assert made.translate(frame, NOW) == ()
    assert sum(made.problems.values()) == 1


def test_the_recording_is_used_to_its_last_frame() -> None:
    """55 frames: every book a snapshot, prints after the first book and none of before, nothing a problem."""
    made: HyperliquidTranslator = translator()
    shown, counts, frames = OrderBook(), dict[str, int](), 0
    best: list[tuple[int, int]] = []
    with gzip.open(shared_file("data/hyperliquid-btc-20250126.gz")) as lines:
        for line in lines:
            stamp, _, frame = line.partition(b" ")
            frames += 1
            for event in made.translate(frame, int(stamp)):
                counts[type(event).__name__] = counts.get(type(event).__name__, 0) + 1
                shown.apply(event)
                if isinstance(event, BookSnapshot):
                    assert shown.trusted
                    best.append((shown.bid_ticks, shown.ask_ticks))
                    assert (len(event.bids), len(event.asks)) == (20, 20)
                    for ticks, _lots in event.bids + event.asks:
                        assert grid_floor(ticks, BTC.grid) == grid_ceil(ticks, BTC.grid) == ticks
    assert frames == 55
    assert counts == {"BookSnapshot": 46, "PublicTrade": 34}
    assert made.problems == {}
    assert made.ignored == {"trade_history": 30}
    assert (best[0], best[-1]) == ((1_050_550, 1_050_560), (1_050_500, 1_050_510))
