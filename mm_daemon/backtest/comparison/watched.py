"""A venue of a backtest with somebody looking over its shoulder: fills, the mids that follow, the position held."""

from collections.abc import Mapping, Sequence

from mm_daemon.backtest.sources import RecordedMarket, ReplayVenue, Source
from mm_daemon.domain.book import OrderBook
from mm_daemon.domain.decisions import ApprovedCommand
from mm_daemon.domain.events import Event, MarketEvent, OrderFilled, VenueSnapshot
from mm_daemon.domain.instrument import InstrumentId
from mm_daemon.domain.orders import ClientOrderId, Side
from mm_daemon.engine.inventory_time import InventoryTime
from mm_daemon.engine.markouts import Markouts
from mm_daemon.ports.connector import VirtualVenue

HORIZON_NS = 10_000_000_000


class Observer:
    """Of one market. `book` is the core's, told once there is a core."""

    def __init__(self, limit_lots: int) -> None:
        self.markouts = Markouts((HORIZON_NS,))
        self.held = InventoryTime(limit_lots)
        self.book: OrderBook | None = None
        self._lots = 0

    def look(self) -> None:
        """What the core has been told by now."""
        book = self.book
        if book is not None and book.trusted:
            self.markouts.on_mid(book.ts_local_ns, 0.5 * book.half_ticks)

    def hear(self, events: Sequence[Event], now_ns: int) -> None:
        """What the venue says next."""
        self.held.on_position(now_ns, self._lots)
        for event in events:
            if isinstance(event, OrderFilled):
                self.markouts.on_fill(event.ts_local_ns, event.side, event.ticks)
                self._lots += event.lots if event.side is Side.BUY else -event.lots
                self.held.on_position(event.ts_local_ns, self._lots)


class WatchedVenue:
    """The venue itself, with an observer at its counter."""

    def __init__(self, venue: VirtualVenue, observer: Observer) -> None:
        self._venue, self._observer = venue, observer

    def submit(self, commands: Sequence[ApprovedCommand], now_ns: int) -> None:
        self._venue.submit(commands, now_ns)

    def query(self, client_id: ClientOrderId, now_ns: int) -> None:
        self._venue.query(client_id, now_ns)

    def advance(self, now_ns: int) -> Sequence[Event]:
        self._observer.look()
        events = self._venue.advance(now_ns)
        self._observer.hear(events, now_ns)
        return events

    def next_deadline_ns(self) -> int | None:
        return self._venue.next_deadline_ns()

    def snapshot(self, now_ns: int, since_ns: int = 0) -> VenueSnapshot:
        return self._venue.snapshot(now_ns, since_ns)


class WatchedReplay(WatchedVenue):
    """The same of a venue that is shown a recording."""

    def __init__(self, venue: ReplayVenue, observer: Observer) -> None:
        super().__init__(venue, observer)
        self._replay = venue

    def share(self, books: Mapping[InstrumentId, OrderBook]) -> None:
        self._replay.share(books)

    def before(self, event: MarketEvent) -> None:
        self._observer.look()
        self._replay.before(event)

    def after(self, event: MarketEvent) -> None:
        self._replay.after(event)


def watched(source: Source, observer: Observer) -> Source:
    """The same source, observed."""
    if isinstance(source, RecordedMarket):
        return RecordedMarket(source.feed, WatchedReplay(source.venue, observer))
    return WatchedVenue(source, observer)
