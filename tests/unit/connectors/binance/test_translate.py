"""Binance frames become events; bad ones are counted, void the book they belong to, and never raise."""

import json
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from connectors.binance.translate import FRAME_BYTES_MAX, BinanceSpotTranslator, BinanceUsdmTranslator
from mm_daemon.domain.events import (
    BookDelta,
    BookInvalidated,
    BookSnapshot,
    InvalidCause,
    MarketEvent,
    PublicTrade,
    TopOfBook,
)
from mm_daemon.domain.orders import Side
from tests.shared import shared_file
from tests.unit.connectors.binance.frames import BTC, ETH, depth, futures, running, snapshot, spot, top, trade, wrapped

NOW = 5_000

Translator = BinanceUsdmTranslator | BinanceSpotTranslator


def cause_of(events: Sequence[MarketEvent]) -> InvalidCause:
    (event,) = events
    assert isinstance(event, BookInvalidated)
    assert event.detail
    return event.cause


# What good frames become


def test_depth_after_a_snapshot_is_a_delta_in_ticks_and_lots() -> None:
    """Absolute sizes, the venue's order, the matching engine's time; zero removes a level."""
    translator = running()
    frame = depth(30, 40, 20, bids=[["99.90", "0.000"], ["100.1", "0.5"]], asks=[])
    assert translator.translate(frame, NOW) == (
        BookDelta(BTC.id, 1_700_000_000_099_000_000, NOW, ((999, 0), (1001, 500)), (), 40),
    )
    assert translator.problems == {}


def test_book_starts_with_the_snapshot_and_the_deltas_held_since() -> None:
    """All stamped with the moment they became a book, so that local time never steps back."""
    translator = futures()
    assert translator.translate(depth(1, 10, 0), 1) == ()
    assert translator.translate(depth(11, 20, 10), 2) == ()
    started = translator.translate(snapshot(15), 3)
    assert [(type(event), event.ts_local_ns) for event in started] == [(BookSnapshot, 3), (BookDelta, 3)]
    assert isinstance(started[0], BookSnapshot)
    assert started[0].bids == ((999, 5000), (998, 6000))
    assert started[0].ts_venue_ns == 1_700_000_000_049_000_000


def test_trade_carries_the_side_that_took() -> None:
    """`m` true: the buyer was resting, so a seller took."""
    translator = futures()
    (bought,) = translator.translate(trade(7), NOW)
    (sold,) = translator.translate(trade(8, sold=True), NOW)
    assert bought == PublicTrade(BTC.id, 1_700_000_000_200_000_000, NOW, Side.BUY, 1001, 500, 7)
    assert isinstance(sold, PublicTrade)
    assert sold.aggressor is Side.SELL


@pytest.mark.parametrize("type_", ["INSURANCE_FUND", "ADL", "NA"])
def test_trades_nobody_chose_to_make_give_no_signal(type_: str) -> None:
    """They are counted; so are trades without size."""
    translator = futures()
    assert translator.translate(trade(7, type_=type_), NOW) == ()
    assert translator.translate(trade(8, size="0.000"), NOW) == ()
    assert translator.problems == {"trade_type": 1, "zero_size_trade": 1}


def test_one_of_two_trade_streams_is_used() -> None:
    """`trade` and `aggTrade` tell of the same fills: the first one heard counts."""
    translator = futures()
    aggregate = wrapped(
        "btcusdt@aggTrade",
        {"e": "aggTrade", "E": 3, "T": 2, "s": "BTCUSDT", "a": 1, "p": "100.1", "q": "1", "f": 1, "l": 2, "m": True},
    )
    assert len(translator.translate(aggregate, NOW)) == 1
    assert translator.translate(trade(7), NOW) == ()
    assert translator.ignored == {"second_trade_stream": 1}


def test_book_ticker_is_the_best_price_overlay() -> None:
    """With the update id that compares with the depth's."""
    (event,) = futures().translate(top(44), NOW)
    assert event == TopOfBook(BTC.id, 1_700_000_000_300_000_000, NOW, 1000, 1000, 1002, 2000, 44)


def test_spot_book_ticker_takes_the_newest_venue_time_heard() -> None:
    """It has no time of its own; before any was heard, the local time stands in."""
    ticker = b'{"stream":"btcusdt@bookTicker","data":{"u":%d,"s":"BTCUSDT","b":"100.00","B":"1","a":"100.01","A":"2"}}'
    translator = spot()
    assert translator.translate(ticker % 1, NOW)[0].ts_venue_ns == NOW
    translator.translate(trade(7), NOW)
    assert translator.translate(ticker % 2, NOW)[0].ts_venue_ns == 1_700_000_000_200_000_000


@pytest.mark.parametrize("make", [futures, spot])
def test_bare_frames_and_unusual_spelling_mean_the_same(
    make: Callable[[], Translator],
) -> None:
    """Without envelope, with spaces, with data before stream: the same event."""
    body = json.loads(trade(7))
    expected = make().translate(trade(7), NOW)
    spellings = [body["data"], {"data": body["data"], "stream": body["stream"]}, dict(reversed(body["data"].items()))]
    for spelling in spellings:
        assert make().translate(json.dumps(spelling).encode(), NOW) == expected
        assert make().translate(json.dumps(spelling, indent=2).encode(), NOW) == expected


def test_size_off_the_grid_is_floored_and_counted() -> None:
    """An old order's odd remainder does not cost the book."""
    translator = running()
    (event,) = translator.translate(depth(30, 40, 20, bids=[["99.90", "1.23456"]], asks=[]), NOW)
    assert isinstance(event, BookDelta)
    assert event.bids == ((999, 1234),)
    assert translator.problems == {"off_grid_size": 1}


def test_other_depth_streams_are_not_taken_for_changes_of_the_book() -> None:
    """The top of the book (`depth20`) and the book with retail orders have the same shape."""
    translator = running()
    for stream in ("depth20@100ms", "depth5", "rpiDepth@500ms"):
        assert translator.translate(depth(30, 40, 20, stream=stream), NOW) == ()
    assert translator.ignored == {"other_depth": 3}
    assert len(translator.translate(depth(30, 40, 20), NOW)) == 1


def test_other_symbols_are_left_alone() -> None:
    """A recording may hold more than is quoted."""
    translator = running()
    assert translator.translate(depth(30, 40, 20, symbol="ETHUSDT"), NOW) == ()
    assert translator.ignored == {"other_symbol": 1}
    assert translator.problems == {}


def test_replies_are_ignored_and_refusals_counted() -> None:
    """Answers to SUBSCRIBE and the like."""
    translator = futures()
    for reply in (b'{"result":null,"id":1}', b'{"result":["btcusdt@depth"],"id":3}'):
        assert translator.translate(reply, NOW) == ()
    assert translator.translate(b'{"error":{"code":2,"msg":"Invalid request"},"id":5}', NOW) == ()
    assert translator.ignored == {"reply": 2}
    assert translator.problems == {"refused_request": 1}


def test_snapshots_find_their_books_among_several() -> None:
    """A REST snapshot names no symbol: it goes to the one book that it continues and whose prices it shares."""
    translator = futures(ETH)
    translator.translate(depth(11, 20, 10), 1)
    translator.translate(depth(12, 21, 10, symbol="ETHUSDT", bids=[["30.00", "1"]], asks=[["30.01", "1"]]), 2)
    eth = translator.translate(snapshot(15, bids=[["30.05", "1"], ["29.99", "1"]], asks=[["30.06", "1"]]), 3)
    btc = translator.translate(snapshot(16, bids=[["100.00", "1"], ["99.99", "1"]], asks=[["100.20", "1"]]), 4)
    assert {event.instrument for event in eth} == {ETH.id}
    assert btc == ()  # 99.99 is no price of this market
    btc = translator.translate(snapshot(16, bids=[["100.00", "1"]], asks=[["100.20", "1"]]), 5)
    assert {event.instrument for event in btc} == {BTC.id}
    assert translator.problems == {"snapshot_without_symbol": 1}


# The venue's own samples


def _server_frames(path: Path) -> list[dict[str, object]]:
    return [entry["server"] for entry in json.loads(path.read_text()) if "server" in entry]


def test_every_sample_frame_of_the_venue_parses_or_is_left_alone_on_purpose() -> None:
    """Market frames give events, everything else is ignored by name; nothing is a surprise."""
    translated: dict[str, object] = {}
    ignored: dict[str, object] = {}
    index = shared_file("venues/binance/messages/INDEX.json")
    for path in sorted(index.parent.glob("ws_*.json")):
        for frame in _server_frames(path):
            data = frame.get("data", frame)
            assert isinstance(data, dict)
            raw = json.dumps(frame).encode()
            tick = Decimal("0.0001") if data.get("E") == 123456789 else BTC.tick  # samples with invented prices
            translator = BinanceUsdmTranslator([msgspec.structs.replace(BTC, tick=tick)])
            events = translator.translate(raw, NOW)
            (translated if events or data.get("e") == "depthUpdate" else ignored)[path.name] = data.get("e", "reply")
            assert set(translator.problems) <= {"refused_request"}, path.name
    assert set(translated) == {
        "ws_agg_trades.json",
        "ws_book.json",
        "ws_real_trade_three_frames.json",
        "ws_synthetic_agg_trade_2026.json",
        "ws_synthetic_book_ticker_2026.json",
        "ws_synthetic_depth_2026.json",
    }
    assert "ws_synthetic_mark_price_2026.json" in ignored


@pytest.mark.parametrize("name", ["rest_real_depth_snapshot.json", "rest_get_order_book.json"])
def test_rest_depth_replies_start_a_book(name: str) -> None:
    """As soon as a delta continues them."""
    reply = json.loads(shared_file(f"venues/binance/messages/{name}").read_text())["response"]
    fine = msgspec.structs.replace(BTC, tick=Decimal("0.0000001"))
    translator = BinanceUsdmTranslator([fine])
    update_id = reply["lastUpdateId"]
    translator.translate(depth(update_id - 1, update_id + 1), 1)
    started = translator.translate(json.dumps(reply).encode(), 2)
    assert isinstance(started[0], BookSnapshot)
    assert started[0].update_id == update_id
    assert len(started[0].bids) == len(reply["bids"])


# Bad input


def test_gap_voids_the_book_until_the_next_snapshot() -> None:
    """Deltas are held meanwhile; without a further snapshot nothing comes out."""
    translator = running()
    assert cause_of(translator.translate(depth(40, 50, 39), NOW)) is InvalidCause.GAP
    assert translator.translate(depth(51, 60, 50), NOW) == ()
    started = translator.translate(snapshot(55), NOW)
    assert [type(event) for event in started] == [BookSnapshot, BookDelta]
    assert translator.problems == {"gap": 1}
    assert len(translator.translate(depth(61, 70, 60), NOW)) == 1


def test_delta_that_overlaps_the_book_is_out_of_order() -> None:
    """It follows an id before the last one, yet brings something new: the chain is broken."""
    translator = running()
    assert cause_of(translator.translate(depth(18, 30, 17), NOW)) is InvalidCause.OUT_OF_ORDER


def test_duplicated_and_late_depth_frames_change_nothing() -> None:
    """They are counted; the book stays whole."""
    translator = running()
    assert translator.translate(depth(11, 20, 10), NOW) == ()
    assert translator.translate(depth(5, 9, 4), NOW) == ()
    assert len(translator.translate(depth(30, 40, 20), NOW)) == 1
    assert translator.problems == {"duplicate": 1, "out_of_order": 1}


@pytest.mark.parametrize(
    ("number", "problem"),
    [
        ("NaN", "bad_number"),
        ("Infinity", "bad_number"),
        ("-1.0", "bad_number"),
        ("9" * 70, "bad_number"),
        ("1e999999", "malformed"),
        ("0x10", "malformed"),
        ("", "malformed"),
    ],
)
@pytest.mark.parametrize("where", ["price", "size"])
def test_bad_number_in_depth_voids_the_book(number: str, problem: str, where: str) -> None:
    """Its levels are lost, so the whole book is."""
    translator = running()
    level = [number, "1.000"] if where == "price" else ["99.9", number]
    assert cause_of(translator.translate(depth(30, 40, 20, bids=[level]), NOW)) is InvalidCause.MALFORMED
    assert translator.problems == {problem: 1}


def test_price_between_two_ticks_voids_the_book() -> None:
    """The grid we know is not the venue's: nothing here can be trusted."""
    translator = running()
    assert cause_of(translator.translate(depth(30, 40, 20, asks=[["100.25", "1"]]), NOW)) is InvalidCause.MALFORMED


@pytest.mark.parametrize(
    "spoil",
    [
        lambda frame: frame[:-1],
        lambda frame: frame[: len(frame) // 2],
        lambda frame: frame.replace(b'"U":30', b'"U":"x"'),
        lambda frame: frame.replace(b'"U":30', b'"U":-30'),
        lambda frame: frame.replace(b'"U":30', b'"U":300'),
        lambda frame: frame.replace(b'"u":40,', b""),
        lambda frame: frame.replace(b'["100.00","1.000"]', b'["100.00"]'),
        lambda frame: frame.replace(b'"100.00"', b"null"),
        lambda frame: frame.replace(b'"1.000"', b'"\xff"'),
        lambda frame: frame + b" " * FRAME_BYTES_MAX,
    ],
)
def test_unreadable_depth_frame_voids_its_book(spoil: Callable[[bytes], bytes]) -> None:
    """Cut off, of the wrong shape, with impossible ids or oversized; said once, then held until a snapshot."""
    good = depth(30, 40, 20)
    for frame in (spoil(good), spoil(good[good.index(b'"data":') + 7 : -1])):
        translator = running()
        assert cause_of(translator.translate(frame, NOW)) is InvalidCause.MALFORMED
        assert translator.translate(frame, NOW) == ()
        assert sum(translator.problems.values()) == 2
        assert translator.translate(depth(41, 50, 40), NOW) == ()
        assert len(translator.translate(snapshot(45), NOW)) == 2


def test_bad_trades_and_best_prices_leave_the_book_alone() -> None:
    """Each says all it has to say by itself; the next depth frame still follows."""
    translator = running()
    bad = [
        trade(1, price="NaN"),
        trade(2, size="-1"),
        trade(3, price="100.15"),
        trade(4)[:-9],
        top(50, bid="0.00"),
        top(51, bid_size="NaN"),
        top(52, bid="100.3"),
        top(53, bid="100.2"),
        top(54)[:60],
    ]
    for frame in bad:
        assert translator.translate(frame, NOW) == ()
    assert translator.problems == {"bad_number": 5, "malformed": 2, "crossed": 2}
    assert len(translator.translate(depth(30, 40, 20), NOW)) == 1


def test_duplicated_trades_and_best_prices_are_told_once() -> None:
    """A print counted twice would be twice the flow."""
    translator = futures()
    assert [len(translator.translate(frame, NOW)) for frame in (trade(7), trade(7), trade(6), trade(8))] == [1, 0, 0, 1]
    assert [len(translator.translate(frame, NOW)) for frame in (top(7), top(7), top(6), top(8))] == [1, 0, 0, 1]
    assert translator.problems == {"duplicate": 2, "out_of_order": 2}


def test_id_far_too_high_does_not_silence_a_stream_for_ever() -> None:
    """After 64 ids that look old the sequence is taken to have begun anew; the book that shows the old best is void."""
    translator = futures()
    translator.translate(trade(10**15), NOW)
    translator.translate(top(10**15), NOW)
    for n in range(1, 64):
        assert translator.translate(trade(n), NOW) == ()
        assert translator.translate(top(n), NOW) == ()
    for n in range(64, 70):
        assert len(translator.translate(trade(n), NOW)) == 1
        kinds = [type(event) for event in translator.translate(top(n), NOW)]
        assert kinds == ([BookInvalidated, TopOfBook] if n == 64 else [TopOfBook])


def test_crossed_snapshot_is_refused() -> None:
    """The cause is said, and the next good one starts the book."""
    translator = futures()
    translator.translate(depth(11, 20, 10), 1)
    crossed = snapshot(15, bids=[["100.40", "1"]], asks=[["100.30", "1"]])
    assert cause_of(translator.translate(crossed, NOW)) is InvalidCause.CROSSED
    assert len(translator.translate(snapshot(15), NOW)) == 2


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\x00" * 99,
        b"null",
        b"[]",
        b"{}",
        b"42",
        b'"text"',
        b'{"stream":1,"data":2}',
        b'{"stream":"btcusdt@depth","data":null}',
        b'{"e":["depthUpdate"]}',
        b'{"e":{}}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"\xff\xfe\xfd",
        b'{"stream":"' + b"x" * 1000,
        b'{"lastUpdateId":"x","bids":[],"asks":[]}',
        b'{"lastUpdateId":15,"bids":[["NaN","1"]],"asks":[]}',
        b'{"code":-1003,"msg":"Too many requests"}',
        b'{"stream":"!ticker@arr","data":[{"e":"24hrTicker"}]}',
        b'{"e":"aNewKind","s":"BTCUSDT"}',
        b"9" * 10_000,
    ],
)
@pytest.mark.parametrize("make", [futures, spot])
def test_rubbish_is_counted(frame: bytes, make: Callable[[], Translator]) -> None:
    """One problem for each, no event, no exception."""
    translator = make()
    assert translator.translate(frame, NOW) == ()
    assert sum(translator.problems.values()) == 1


def test_unidentifiable_rubbish_shows_as_a_gap_only_if_it_was_depth() -> None:
    """What cannot be named voids no book; the chain of the next frame tells."""
    translator = running()
    assert translator.translate(b"\x00rubbish", NOW) == ()
    assert len(translator.translate(depth(30, 40, 20), NOW)) == 1
    assert translator.translate(b"\x00rubbish", NOW) == ()
    assert cause_of(translator.translate(depth(51, 60, 50), NOW)) is InvalidCause.GAP
