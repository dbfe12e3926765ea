"""Lighter's market data: continuity by nonces, funding in percent, null lists, other people's mistakes."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.lighter.translate import LighterTranslator, head
from mm_daemon.domain.book import OrderBook
from mm_daemon.domain.events import (
    BookDelta,
    BookInvalidated,
    BookSnapshot,
    FundingUpdate,
    InvalidCause,
    MarketEvent,
    MarkPriceUpdate,
    PublicTrade,
)
from mm_daemon.domain.instrument import Instrument, Venue
from mm_daemon.domain.orders import Side
from tests.shared import shared_file

ETH = Instrument(
    venue=Venue("lighter"), symbol="ETH", base="ETH", quote="USDC", tick=Decimal("0.01"), lot=Decimal("0.0001")
)


def _told(translator: LighterTranslator, message: dict[str, Any], at_ns: int = 1) -> list[MarketEvent]:
    frame = json.dumps(message).encode()
    return list(translator.translate(head(frame).type, frame, at_ns))


def book(
    nonce: int, begin: int = 0, *, bids: Any = (("2000.00", "1.0"),), asks: Any = (("2001.00", "1.0"),)
) -> dict[str, Any]:
    sides = {
        name: None if rows is None else [{"price": price, "size": size} for price, size in rows]
        for name, rows in (("bids", bids), ("asks", asks))
    }
    verb = "update" if begin else "subscribed"
    body = {"nonce": nonce, "begin_nonce": begin, "offset": 7, **sides}
    return {"type": f"{verb}/order_book", "channel": "order_book:0", "timestamp": 5, "order_book": body}


def _capture(name: str) -> Any:
    return json.loads(shared_file(f"venues/lighter/messages/{name}.json").read_bytes())["message"]


@pytest.mark.parametrize("name", ["ws_sequence_book_continuous", "ws_sequence_book_update_before_snapshot"])
def test_captured_sequences_end_in_the_book_that_is_expected(name: str) -> None:
    """Offsets jump and updates come before their snapshot; nonces chain."""
    translator, seen = LighterTranslator({0: ETH}), OrderBook()
    for message in _capture(name):
        for event in _told(translator, message):
            seen.apply(event)
    assert (seen.bid_ticks, seen.bid_lots, seen.ask_ticks, seen.ask_lots) == (206_435, 10_000, 206_455, 5000)
    assert not translator.wants_book and not translator.problems


def test_gap_voids_the_book_until_another_snapshot() -> None:
    """Updates behind it are nothing; the market is wished for anew, once."""
    translator = LighterTranslator({0: ETH})
    assert isinstance(_told(translator, book(100))[0], BookSnapshot)
    assert isinstance(_told(translator, book(110, 100))[0], BookDelta)
    (gap,) = _told(translator, book(130, 120))
    assert isinstance(gap, BookInvalidated) and gap.cause is InvalidCause.GAP
    assert list(translator.wants_book) == [0]
    assert _told(translator, book(140, 130)) == []
    assert isinstance(_told(translator, book(150))[0], BookSnapshot)
    assert not translator.wants_book


def test_update_told_twice_is_told_once() -> None:
    """Its nonce is not newer."""
    translator = LighterTranslator({0: ETH})
    _told(translator, book(100))
    assert len(_told(translator, book(110, 100))) == 1
    assert _told(translator, book(110, 100)) == []
    assert translator.problems == {"old_update": 1}
    assert len(_told(translator, book(120, 110))) == 1


def test_crossed_book_is_a_lost_book() -> None:
    """Never told as one to quote on."""
    translator = LighterTranslator({0: ETH})
    _told(translator, book(100))
    (lost,) = _told(translator, book(110, 100, bids=(("2001.50", "1.0"),), asks=()))
    assert isinstance(lost, BookInvalidated) and lost.cause is InvalidCause.CROSSED
    assert list(translator.wants_book) == [0]


def test_null_and_missing_lists_are_empty() -> None:
    """As the venue writes them now and then."""
    translator = LighterTranslator({0: ETH})
    message = book(100, bids=None)
    del message["order_book"]["asks"]
    (event,) = _told(translator, message)
    assert isinstance(event, BookSnapshot) and event.bids == event.asks == ()


def test_numeric_zero_removes_a_level_however_it_is_written() -> None:
    """Trailing zeros are not stable."""
    translator = LighterTranslator({0: ETH})
    _told(translator, book(100))
    (event,) = _told(translator, book(110, 100, bids=(("2000.000", "0.00000"), ("1999.9", "2")), asks=()))
    assert isinstance(event, BookDelta) and event.bids == ((200_000, 0), (199_990, 20_000))


@pytest.mark.parametrize("price", ["2000.005", "NaN", "-1", "x"])
def test_number_that_is_none_loses_its_book_and_nothing_else(price: str) -> None:
    """A frame that cannot be read is missing from the book."""
    translator = LighterTranslator({0: ETH})
    _told(translator, book(100))
    (lost,) = _told(translator, book(110, 100, bids=((price, "1.0"),)))
    assert isinstance(lost, BookInvalidated) and lost.cause is InvalidCause.MALFORMED
    assert sum(translator.problems.values()) == 1


def test_trades_carry_the_takers_side_and_old_ones_are_left_aside() -> None:
    """The first frame replays; liquidations are prints too; a repeated one is none."""
    translator, message = LighterTranslator({0: ETH}), _capture("ws_trade_update")
    first = {**message, "type": "subscribed/trade"}
    assert _told(translator, first) == []
    assert _told(translator, message) == []
    assert translator.problems == {"old_trade": 1}
    row = {**message["trades"][0], "trade_id": message["trades"][0]["trade_id"] + 1, "is_maker_ask": True}
    (told,) = _told(translator, {**message, "trades": None, "liquidation_trades": [row]})
    assert isinstance(told, PublicTrade)
    assert (told.aggressor, told.ticks, told.lots) == (Side.BUY, 218_183, 1336)
    assert told.ts_venue_ns == 1_773_854_156_686_065_000


def test_funding_is_percent_of_the_hour() -> None:
    """-0.0028 is -0.000028 of the notional: as a fraction it would be a hundred times that."""
    btc = Instrument(
        venue=Venue("lighter"), symbol="BTC", base="BTC", quote="USDC", tick=Decimal("0.1"), lot=Decimal("0.00001")
    )
    translator = LighterTranslator({1: btc})
    mark, funding = _told(translator, _capture("ws_market_stats_snapshot_one_market"))
    assert isinstance(mark, MarkPriceUpdate) and mark.mark_half_ticks == 1_287_126
    assert isinstance(funding, FundingUpdate)
    assert funding.rate_e12 == -28_000_000
    assert funding.period_ns == 3_600_000_000_000
    assert funding.next_ns == 1_780_549_200_000_000_000


def test_statistics_of_all_markets_are_read_for_ours() -> None:
    """An object by market number."""
    translator = LighterTranslator({0: ETH})
    told = _told(translator, _capture("ws_market_stats_update_all"))
    assert [type(event) for event in told] == [MarkPriceUpdate, FundingUpdate]


def test_other_peoples_markets_are_nothing() -> None:
    """Neither books nor trades nor statistics."""
    translator = LighterTranslator({7: ETH})
    for message in (book(100), book(110, 100), _capture("ws_trade_update"), _capture("ws_market_stats_update_all")):
        assert _told(translator, message) == []


@given(st.binary(max_size=200))
def test_no_bytes_whatever_raise(frame: bytes) -> None:
    """Counted, dropped, and the book stands."""
    translator = LighterTranslator({0: ETH})
    _told(translator, book(100))
    for kind in translator.handlers:
        assert translator.translate(kind, frame, 1) == ()
    assert len(_told(translator, book(110, 100))) == 1


@given(st.lists(st.tuples(st.integers(1, 30), st.booleans(), st.booleans()), max_size=40))
def test_book_is_whole_or_void_whatever_is_lost_or_repeated(steps: list[tuple[int, bool, bool]]) -> None:
    """Told deltas always chain; after a loss nothing is told before a snapshot."""
    translator, nonce, chained = LighterTranslator({0: ETH}), 100, True
    _told(translator, book(nonce))
    for step, lost, twice in steps:
        before, nonce = nonce, nonce + step
        if lost:
            chained = False
            continue
        for _ in range(2 if twice else 1):
            told = _told(translator, book(nonce, before))
            assert all(isinstance(event, BookDelta) for event in told) is chained or told == []
        if not chained:
            assert list(translator.wants_book) == [0]
