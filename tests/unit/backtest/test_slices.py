"""A part of a recording is played as if it had been recorded from there on."""

from decimal import Decimal

import pytest

from connectors.recorded.connector import InstrumentSettings, RecordedConnector, RecordedSettings
from mm_daemon import registry
from mm_daemon.backtest.feeds.slices import SlicedFeed
from mm_daemon.domain.book import OrderBook
from mm_daemon.domain.events import (
    BookInvalidated,
    BookSnapshot,
    FundingUpdate,
    InvalidCause,
    MarketEvent,
    MarkPriceUpdate,
    TopOfBook,
)
from mm_daemon.domain.instrument import Venue
from mm_daemon.domain.orders import Side
from mm_daemon.ports.connector import ConnectorContext
from mm_daemon.testkit.builders import MS, SYMBOL, delta, snapshot
from tests.shared import shared_file
from tests.unit.backtest.doubles import ListFeed, tape

_FIRST_NS = 1_723_161_255_000_000_000


def usdm() -> RecordedConnector:
    path = shared_file("data/binance-usdm-btcusdt-20240808.gz")
    contract = InstrumentSettings(
        base="BTC", quote="USDT", tick=Decimal("0.1"), lot=Decimal("0.001"), maker_fee_bps=2, taker_fee_bps=5
    )
    settings = RecordedSettings(path=path, translator="binance-usdm", instruments={"BTCUSDT": contract})
    context = ConnectorContext(
        venue=Venue("usdm"),
        symbols=("BTCUSDT",),
        emit=lambda event: None,
        now_ns=lambda: 0,
        delay_s=lambda until: 0.0,
        translator=registry.translator,
    )
    return RecordedConnector(context, settings)


def book_of(events: list[MarketEvent]) -> OrderBook:
    book = OrderBook()
    for event in events:
        book.apply(event)
    return book


def shown(book: OrderBook) -> tuple[object, ...]:
    return book.update_id, book.levels(Side.BUY, 10_000), book.levels(Side.SELL, 10_000)


@pytest.mark.parametrize("seconds", [1, 60, 200])
def test_a_part_opens_with_the_book_as_it_was(seconds: int) -> None:
    """On the USD-M recording, cut anywhere: the opening is the book of then, and at the end both books are the same."""
    since_ns = _FIRST_NS + seconds * 1_000_000_000
    whole = list(usdm().events())
    part = list(SlicedFeed(usdm(), since_ns, None).events())
    opening = [event for event in part if event.ts_local_ns == since_ns]
    assert shown(book_of(opening)) == shown(book_of([event for event in whole if event.ts_local_ns < since_ns]))
    assert shown(book_of(part)) == shown(book_of(whole))
    assert part[len(opening) :] == [event for event in whole if event.ts_local_ns >= since_ns]
    times = [event.ts_local_ns for event in part]
    assert times == sorted(times)


def test_a_part_ends_before_its_end() -> None:
    """Both bounds are local times; the first belongs to the part, the second does not."""
    events = list(tape(10))
    middle = events[len(events) // 2].ts_local_ns
    first = list(SlicedFeed(ListFeed(events), None, middle).events())
    assert first == [event for event in events if event.ts_local_ns < middle]
    rest = [event for event in events if event.ts_local_ns >= middle]
    assert list(SlicedFeed(ListFeed(events), middle, None).events())[-len(rest) :] == rest
    assert list(SlicedFeed(ListFeed(events), events[-1].ts_local_ns + 1, None).events()) == []
    assert list(SlicedFeed(ListFeed(events), 0, 1).events()) == []


def test_marks_and_faster_streams_are_carried_into_the_part() -> None:
    """The last mark, funding rate and touch come again at the beginning; a lost book stays lost."""
    events: list[MarketEvent] = [
        snapshot(1, 100, 102),
        MarkPriceUpdate(SYMBOL, 2 * MS, 2 * MS, 202),
        FundingUpdate(SYMBOL, 2 * MS, 2 * MS, 10, 99 * MS, 8 * MS),
        TopOfBook(SYMBOL, 3 * MS, 3 * MS, 101, 1, 102, 4, 2),
        delta(9, bids=((99, 1),), update_id=3),
    ]
    opening = list(SlicedFeed(ListFeed(events), 5 * MS, None).events())[:-1]
    assert [type(event) for event in opening] == [BookSnapshot, TopOfBook, MarkPriceUpdate, FundingUpdate]
    assert {event.ts_local_ns for event in opening} == {5 * MS}
    assert shown(book_of(opening)) == shown(book_of(events[:4]))
    lost = [*events[:4], BookInvalidated(SYMBOL, 4 * MS, 4 * MS, InvalidCause.GAP), events[4]]
    kinds = [type(event) for event in SlicedFeed(ListFeed(lost), 5 * MS, None).events()]
    assert BookSnapshot not in kinds
    assert TopOfBook not in kinds
