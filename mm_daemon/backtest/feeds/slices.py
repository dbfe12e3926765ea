"""A part of a recording by time, as if it had been recorded from there on.

What came before is read and not played: books are followed, and the part opens with one snapshot of each, and with the
last mark, funding rate and definition of each market, so that a day needs no snapshot of its own at midnight.
"""

from collections.abc import Iterator

from msgspec.structs import replace

from mm_daemon.backtest.feeds.retold import RetoldFeed
from mm_daemon.domain.book import OrderBook
from mm_daemon.domain.events import (
    BookDelta,
    BookInvalidated,
    BookSnapshot,
    FundingUpdate,
    InstrumentUpdated,
    MarketEvent,
    MarkPriceUpdate,
    TopOfBook,
)
from mm_daemon.domain.instrument import InstrumentId
from mm_daemon.domain.orders import Side
from mm_daemon.ports.connector import RecordedFeed

_ALL = 1 << 30


class SlicedFeed(RetoldFeed):
    """A feed's events with `since_ns` <= local time < `until_ns`; None: no bound on that side."""

    def __init__(self, feed: RecordedFeed, since_ns: int | None, until_ns: int | None) -> None:
        super().__init__(feed)
        self._since_ns = since_ns
        self._until_ns = until_ns
        self._skipped = 0
        """Frames before the part."""

    @property
    def frames(self) -> int | None:
        frames = super().frames
        return None if frames is None else frames - self._skipped

    def events(self) -> Iterator[MarketEvent]:
        """The part, from its beginning at each call, in order of local time."""
        stream = iter(self._feed.events())
        self._skipped = 0
        first: MarketEvent | None
        if self._since_ns is None:
            first, before = next(stream, None), _Before()
        else:
            first, before = self._forwarded(stream, self._since_ns)
        until_ns = self._until_ns
        if first is None or (until_ns is not None and first.ts_local_ns >= until_ns):
            return
        if self._since_ns is not None:
            yield from before.opening(self._since_ns)
        yield first
        if until_ns is None:
            yield from stream
            return
        for event in stream:
            if event.ts_local_ns >= until_ns:
                return
            yield event

    def _forwarded(self, stream: Iterator[MarketEvent], since_ns: int) -> "tuple[MarketEvent | None, _Before]":
        """The first event of the part, and what came before it."""
        before = _Before()
        see = before.see
        for seen, event in enumerate(stream):
            if event.ts_local_ns >= since_ns:
                self._skipped = max(getattr(self._feed, "frames", 0) - 1, 0) if seen else 0
                return event, before
            see(event)
        return None, before


class _Before:
    """Where each market stands when a part begins."""

    def __init__(self) -> None:
        self._books: dict[InstrumentId, OrderBook] = {}
        """Depth alone; `_tops` are what a faster stream has shown since."""
        self._moved: dict[InstrumentId, BookSnapshot | BookDelta] = {}
        """The last event of each book."""
        self._tops: dict[InstrumentId, TopOfBook] = {}
        self._definitions: dict[InstrumentId, InstrumentUpdated] = {}
        self._marks: dict[tuple[type[MarketEvent], InstrumentId], MarketEvent] = {}

    def see(self, event: MarketEvent) -> None:
        instrument = event.instrument
        if isinstance(event, BookDelta | BookSnapshot):
            book = self._books.get(instrument)
            if book is None:
                book = self._books[instrument] = OrderBook()
            book.apply(event)
            self._moved[instrument] = event
        elif isinstance(event, TopOfBook):
            self._tops[instrument] = event
        elif isinstance(event, BookInvalidated):
            self._forget(instrument)
        elif isinstance(event, InstrumentUpdated):
            self._forget(instrument)
            self._definitions[instrument] = event
        elif isinstance(event, MarkPriceUpdate | FundingUpdate):
            self._marks[type(event), instrument] = event

    def _forget(self, instrument: InstrumentId) -> None:
        self._books.pop(instrument, None)
        self._tops.pop(instrument, None)

    def opening(self, at_ns: int) -> Iterator[MarketEvent]:
        """The same, as events of one instant. A venue's clock is taken to have gone on since its last word."""
        for definition in self._definitions.values():
            yield _at(definition, at_ns)
        for instrument, book in self._books.items():
            if book.invalid_cause is None:
                bids, asks = (tuple(book.levels(side, _ALL)) for side in (Side.BUY, Side.SELL))
                ts_venue_ns = _at(self._moved[instrument], at_ns).ts_venue_ns
                yield BookSnapshot(instrument, ts_venue_ns, at_ns, bids, asks, book.update_id)
        for top in self._tops.values():
            yield _at(top, at_ns)
        for mark in self._marks.values():
            yield _at(mark, at_ns)


def _at(event: MarketEvent, at_ns: int) -> MarketEvent:
    ts_venue_ns = event.ts_venue_ns + at_ns - event.ts_local_ns if event.ts_venue_ns > 0 else 0
    return replace(event, ts_venue_ns=ts_venue_ns, ts_local_ns=at_ns)
