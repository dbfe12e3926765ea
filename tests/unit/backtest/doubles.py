"""Two ports as pure objects: a feed that is a list, and a venue that does what it is told after a millisecond."""

from collections.abc import Iterator, Mapping, Sequence
from heapq import heappop, heappush

from mm_daemon.domain.book import OrderBook
from mm_daemon.domain.decisions import AmendOrder, ApprovedCommand, CancelAll, CancelOrder, PlaceOrder
from mm_daemon.domain.events import (
    Event,
    MarketEvent,
    OrderAccepted,
    OrderAmended,
    OrderCanceled,
    OrderFilled,
    PublicTrade,
    VenueSnapshot,
)
from mm_daemon.domain.instrument import Instrument, InstrumentId
from mm_daemon.domain.orders import ClientOrderId, Side
from mm_daemon.testkit.builders import MS, VENUE, delta, instrument, snapshot, trade


class ListFeed:
    """A recording that is already in memory, one frame an event."""

    def __init__(self, events: Sequence[MarketEvent]) -> None:
        self._events = events
        self.frames = 0

    def instruments(self) -> Sequence[Instrument]:
        return (instrument(),)

    def events(self) -> Iterator[MarketEvent]:
        for event in self._events:
            self.frames += 1
            yield event


class ObedientVenue:
    """Accepts, amends and cancels whatever arrives, and fills a resting order that a print reaches."""

    def __init__(self, *, deaf: bool = False) -> None:
        self._orders: dict[int, PlaceOrder] = {}
        self._news: list[tuple[int, int, Event]] = []
        self._count = 0
        self._deaf = deaf
        """Never answers a cancel."""

    def submit(self, commands: Sequence[ApprovedCommand], now_ns: int) -> None:
        at_ns = now_ns + MS
        for approved in commands:
            command = approved.command
            if isinstance(command, PlaceOrder):
                self._orders[command.client_id] = command
                self._say(OrderAccepted(command.instrument, at_ns, at_ns, command.client_id, str(command.client_id)))
            elif isinstance(command, AmendOrder):
                self._amend(command, at_ns)
            elif isinstance(command, CancelOrder):
                self._cancel(self._orders.get(command.client_id), at_ns)
            elif isinstance(command, CancelAll):
                for order in list(self._orders.values()):
                    self._cancel(order, at_ns)

    def share(self, books: Mapping[InstrumentId, OrderBook]) -> None:
        """It looks at prints alone."""

    def before(self, event: MarketEvent) -> None:
        """Commands are carried out at once, so none can be waiting."""

    def after(self, event: MarketEvent) -> None:
        if not isinstance(event, PublicTrade):
            return
        at_ns = event.ts_local_ns
        for order in list(self._orders.values()):
            if order.side is not event.aggressor and order.side * (order.ticks - event.ticks) >= 0:
                del self._orders[order.client_id]
                key = f"fill-{order.client_id}"
                self._say(
                    OrderFilled(
                        order.instrument,
                        at_ns,
                        at_ns,
                        order.client_id,
                        str(order.client_id),
                        key,
                        order.side,
                        order.ticks,
                        order.lots,
                        True,
                    )
                )

    def query(self, client_id: ClientOrderId, now_ns: int) -> None:
        """It says nothing that it has not said."""

    def advance(self, now_ns: int) -> Sequence[Event]:
        due = []
        while self._news and self._news[0][0] <= now_ns:
            due.append(heappop(self._news)[2])
        return due

    def next_deadline_ns(self) -> int | None:
        return self._news[0][0] if self._news else None

    def snapshot(self, now_ns: int, since_ns: int = 0) -> VenueSnapshot:
        return VenueSnapshot(VENUE, now_ns, now_ns, (), ())

    def _amend(self, command: AmendOrder, at_ns: int) -> None:
        order = self._orders.get(command.client_id)
        if order is None:
            return
        fields = {name: getattr(order, name) for name in order.__struct_fields__}
        self._orders[command.client_id] = PlaceOrder(**fields | {"ticks": command.ticks, "lots": command.lots})
        self._say(
            OrderAmended(
                command.instrument,
                at_ns,
                at_ns,
                command.client_id,
                str(command.client_id),
                command.ticks,
                command.lots,
            )
        )

    def _cancel(self, order: PlaceOrder | None, at_ns: int) -> None:
        if order is None or self._deaf:
            return
        del self._orders[order.client_id]
        self._say(OrderCanceled(order.instrument, at_ns, at_ns, order.client_id, str(order.client_id), True, 0))

    def _say(self, event: Event) -> None:
        self._count += 1
        heappush(self._news, (event.ts_local_ns, self._count, event))


class EmbeddedMarket(ObedientVenue):
    """A market of its own: the same synthetic tape, told event by event, for ever."""

    def __init__(self) -> None:
        super().__init__()
        self._tape = tape(1 << 20)
        self._next = next(self._tape)

    def query(self, client_id: ClientOrderId, now_ns: int) -> None:
        """It says nothing that it has not said."""

    def advance(self, now_ns: int) -> Sequence[Event]:
        told: list[Event] = []
        while self._next.ts_local_ns <= now_ns:
            self.after(self._next)
            told.append(self._next)
            self._next = next(self._tape)
        return sorted([*told, *super().advance(now_ns)], key=lambda event: event.ts_local_ns)

    def next_deadline_ns(self) -> int | None:
        waiting = super().next_deadline_ns()
        return self._next.ts_local_ns if waiting is None else min(waiting, self._next.ts_local_ns)


def tape(seconds: int, *, start_ms: int = 1000) -> Iterator[MarketEvent]:
    """A market that drifts up and down, half a minute each, with a far print against either side every 4 s."""
    bid = 600_000
    yield snapshot(start_ms, bid, bid + 1, depth=30)
    for step in range(1, seconds * 10):
        at_ms = start_ms + 100 * step
        drift = 2 if (step // 300) % 2 == 0 else -2
        old, bid = bid, bid + drift
        gone = tuple((old + 1 + i, 0) for i in range(max(drift, 0))) if drift > 0 else ()
        lost = tuple((old - i, 0) for i in range(-drift)) if drift < 0 else ()
        yield delta(
            at_ms,
            bids=(*lost, *((bid - i, 900 + i) for i in range(5))),
            asks=(*gone, *((bid + 1 + i, 800 + i) for i in range(5))),
            update_id=1 + step,
        )
        if step % 40 == 0:
            side = Side.SELL if step % 80 == 0 else Side.BUY
            yield trade(at_ms + 1, side, bid - 300 if side is Side.SELL else bid + 301, 50, trade_id=step)
