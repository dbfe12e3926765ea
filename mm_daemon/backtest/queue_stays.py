"""Our own orders in line once more: what each queue model would have filled of them on the market data of a journal.

The watcher behind `queue_calibration.py`, which says what is assumed.
"""

from collections import deque
from collections.abc import Callable, Sequence

from mm_daemon.core.market import MarketState
from mm_daemon.core.trading_core import TradingCore
from mm_daemon.domain.capabilities import AmendQuantity
from mm_daemon.domain.codec import Answer
from mm_daemon.domain.decisions import AmendOrder, ApprovedCommand, CancelAll, CancelOrder, PlaceOrder
from mm_daemon.domain.events import (
    BookDelta,
    BookInvalidated,
    BookSnapshot,
    Event,
    OrderAccepted,
    OrderAmended,
    OrderAmendRejected,
    OrderCanceled,
    OrderCancelRejected,
    OrderFilled,
    OrderRejected,
    PublicTrade,
    RunStarted,
    StreamStale,
    TopOfBook,
    VenueDisconnected,
)
from mm_daemon.domain.instrument import InstrumentId, venue_of
from mm_daemon.domain.orders import ClientOrderId, Side
from mm_daemon.simulation.models import QueueModel, QueuePosition
from mm_daemon.simulation.replay_matching import match_book, match_print

EXPONENTS = (0.5, 0.7, 0.85, 1.0, 1.2, 1.4, 1.7, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0, 8.0, 10.0, 14.0, 20.0)
"""Of the power model, up to the largest that the configuration takes."""
MODELS = ((QueueModel.RISK_AVERSE, 1.0), *((QueueModel.POWER, n) for n in EXPONENTS))
_PER_BP = 1e4


class Stay:
    """An order at one price. `filled` is what the venue filled, `predicted` what each model does."""

    __slots__ = (
        "ahead",
        "distance_bps",
        "done_ns",
        "filled",
        "left_ns",
        "lots",
        "mismatch",
        "predicted",
        "queues",
        "side",
        "since_ns",
        "spoilt",
        "ticks",
    )

    def __init__(
        self, side: Side, ticks: int, lots: int, ahead: int, distance_bps: float, now_ns: int, *, spoilt: bool
    ) -> None:
        self.side, self.ticks, self.lots, self.ahead = side, ticks, lots, ahead
        self.distance_bps = distance_bps
        self.since_ns = now_ns
        self.filled = 0
        self.predicted = [0] * len(MODELS)
        self.done_ns: list[int | None] = [None] * len(MODELS)
        """When each model has filled all of it."""
        self.queues = [QueuePosition(model, n, ahead, float(ahead)) for model, n in MODELS]
        self.left_ns: int | None = None
        """Since when the market no longer moves it: it has been amended, cancelled or filled."""
        self.spoilt = spoilt
        self.mismatch: list[float] = []

    def close(self, now_ns: int) -> None:
        """It is over, and `filled` is known: how far each model was from that."""
        span_ns = max((self.left_ns or now_ns) - self.since_ns, 1)
        for queue, done_ns in zip(self.queues, self.done_ns, strict=True):
            if done_ns is not None:
                self.mismatch.append(min(max(self.since_ns + span_ns - done_ns, 0) / span_ns, 1.0))
            elif self.filled:
                self.mismatch.append(min(queue.front_lots / max(self.ahead, 1), 1.0))
            else:
                self.mismatch.append(0.0)

    def printed(self, event: PublicTrade) -> None:
        for number, queue in enumerate(self.queues):
            remaining = self.lots - self.predicted[number]
            if remaining > 0:
                self.predicted[number] += match_print(
                    self.side,
                    self.ticks,
                    remaining,
                    queue,
                    aggressor=event.aggressor,
                    print_ticks=event.ticks,
                    free_lots=event.lots,
                    printed_lots=event.lots,
                )
                self._note(number, event.ts_local_ns)

    def shown(self, level_lots: int, opposite: Sequence[tuple[int, int]], now_ns: int) -> None:
        """The level displays so much of others; `opposite`: what is displayed at or through our price."""
        for number, queue in enumerate(self.queues):
            if level_lots != queue.level_lots:
                queue.depth(level_lots)
            remaining = self.lots - self.predicted[number]
            if opposite and remaining > 0:
                taken = match_book(self.side, self.ticks, remaining, queue, opposite)
                self.predicted[number] += sum(lots for _, lots in taken)
                self._note(number, now_ns)

    def _note(self, number: int, now_ns: int) -> None:
        if self.predicted[number] >= self.lots and self.done_ns[number] is None:
            self.done_ns[number] = now_ns


class _Order:
    """What the venue has of one order: the stay at hand, and the one before it while its amend is not confirmed."""

    __slots__ = ("before", "filled", "stay")

    def __init__(self) -> None:
        self.stay: Stay | None = None
        self.before: Stay | None = None
        self.filled = 0


class MarketStays:
    def __init__(self, state: MarketState, *, own_in_book: bool) -> None:
        self.state = state
        self._own_in_book = own_in_book
        self.orders: dict[ClientOrderId, _Order] = {}
        self.done: list[Stay] = []
        self.left_out = 0

    def begin(self, order: _Order, side: Side, ticks: int, lots: int, now_ns: int) -> None:
        book = self.state.book
        mid = 0.5 * book.half_ticks
        distance = side * (mid - ticks) / mid * _PER_BP if book.trusted else 0.0
        order.stay = Stay(side, ticks, lots, self._others(side, ticks), distance, now_ns, spoilt=not book.trusted)

    def end(self, stay: Stay | None, now_ns: int) -> None:
        if stay is None:
            return
        stay.close(now_ns)
        if stay.spoilt or stay.lots <= 0:
            self.left_out += 1
        else:
            self.done.append(stay)

    def printed(self, event: PublicTrade) -> None:
        for order in self.orders.values():
            if order.stay is not None and order.stay.left_ns is None:
                order.stay.printed(event)

    def shown(self) -> None:
        book = self.state.book
        for order in self.orders.values():
            stay = order.stay
            if stay is None or stay.left_ns is not None:
                continue
            if not book.trusted:
                stay.spoilt = True
                continue
            side, ticks = stay.side, stay.ticks
            best = book.ask_ticks if side is Side.BUY else book.bid_ticks
            crossed = side * (ticks - best) >= 0
            opposite = book.levels(Side(-side), 20) if crossed else ()
            stay.shown(self._others(side, ticks), opposite, book.ts_local_ns)

    def lose(self) -> None:
        for order in self.orders.values():
            if order.stay is not None:
                order.stay.spoilt = True

    def _others(self, side: Side, ticks: int) -> int:
        lots = self.state.book.lots_at(side, ticks)
        if self._own_in_book:
            lots -= sum(own.remaining_lots for own in self.state.quotes[side] if own.resting and own.ticks == ticks)
        return max(lots, 0)


class QueueWatcher:
    """Puts every order of ours in line again."""

    def start(self, core: TradingCore, started: RunStarted) -> None:
        self._core = core
        venues = core.parameters.venues
        self.simulated = all(capabilities.simulated for capabilities in venues.values())
        self._total = {
            name: capabilities.amend_quantity is AmendQuantity.TOTAL for name, capabilities in venues.items()
        }
        self.markets = {
            name: MarketStays(market, own_in_book=not venues[market.instrument.venue].simulated)
            for name, market in core.markets.items()
        }
        self._waiting: deque[tuple[int, PlaceOrder | AmendOrder | CancelOrder]] = deque()
        """Commands on their way, and when they arrive."""
        self._way_ns = 0
        """Half the last round trip."""
        self._sent_ns: dict[ClientOrderId, int] = {}
        self._now_ns = started.ts_local_ns

    def reach(self, now_ns: int) -> None:
        self._now_ns = now_ns
        while self._waiting and self._waiting[0][0] < now_ns:
            self._arrive(*self._waiting.popleft())

    def before(self, event: Event) -> None:
        if isinstance(event, PublicTrade) and event.instrument in self.markets:
            self.markets[event.instrument].printed(event)

    def after(self, event: Event) -> None:
        kind = type(event)
        if kind is BookDelta or kind is TopOfBook or kind is BookSnapshot:
            market = self.markets.get(event.instrument)  # type: ignore[union-attr, arg-type]
            if market is not None and market.orders:
                market.shown()
        elif isinstance(event, BookInvalidated | StreamStale) and event.instrument in self.markets:
            self.markets[event.instrument].lose()
        elif isinstance(event, VenueDisconnected):
            for name, market in self.markets.items():
                if venue_of(name) == event.venue:
                    market.lose()
        else:
            handle = _HANDLERS.get(kind)
            if handle is not None:
                handle(self, event)

    def decide(self, now_ns: int) -> None:
        self._now_ns = now_ns

    def answered(self, answer: Answer, now_ns: int) -> None:
        if not isinstance(answer, ApprovedCommand):
            return
        command = answer.command
        if isinstance(command, CancelAll):
            for name, market in self.markets.items():
                if venue_of(name) == command.venue:
                    for order in market.orders.values():
                        _leave(order, now_ns)
            return
        if command.instrument in self.markets:
            if isinstance(command, PlaceOrder) and command.post_only:
                self.markets[command.instrument].orders[command.client_id] = _Order()
            self._sent_ns[command.client_id] = now_ns
            self._waiting.append((now_ns + self._way_ns, command))

    def stop(self, now_ns: int) -> None:
        for market in self.markets.values():
            for order in market.orders.values():
                _leave(order, now_ns)

    # What the venue says.

    def on_accepted(self, event: OrderAccepted) -> None:
        self._heard(event.client_id, event.ts_local_ns)

    def on_amended(self, event: OrderAmended) -> None:
        self._heard(event.client_id, event.ts_local_ns)
        market, order = self._of(event.instrument, event.client_id)
        if market is not None and order is not None:
            market.end(order.before, event.ts_local_ns)
            order.before = None

    def on_amend_rejected(self, event: OrderAmendRejected) -> None:
        """The order is where it was, and its place in the queue was kept: what was made of the amend is void."""
        self._sent_ns.pop(event.client_id, None)
        self._forget(event.instrument, event.client_id)

    def on_cancel_rejected(self, event: OrderCancelRejected) -> None:
        self._forget(event.instrument, event.client_id)

    def on_filled(self, event: OrderFilled) -> None:
        market, order = self._of(event.instrument, event.client_id)
        if market is None or order is None:
            return
        order.filled += event.lots
        stays = [stay for stay in (order.before, order.stay) if stay is not None and stay.ticks == event.ticks]
        if stays:
            stays[0].filled += event.lots
        ledger = self._core.ledger.get(event.client_id)
        if ledger is None or ledger.final:
            self._end(event.instrument, event.client_id)

    def on_ended(self, event: OrderCanceled | OrderRejected) -> None:
        ledger = self._core.ledger.get(event.client_id)
        if ledger is None or ledger.final:
            self._end(event.instrument, event.client_id)

    def _of(self, instrument: InstrumentId, client_id: ClientOrderId) -> tuple[MarketStays | None, _Order | None]:
        market = self.markets.get(instrument)
        return market, None if market is None else market.orders.get(client_id)

    def _end(self, instrument: InstrumentId, client_id: ClientOrderId) -> None:
        market, order = self._of(instrument, client_id)
        self._sent_ns.pop(client_id, None)
        if market is not None and order is not None:
            market.end(order.before, self._now_ns)
            market.end(order.stay, self._now_ns)
            del market.orders[client_id]

    def _forget(self, instrument: InstrumentId, client_id: ClientOrderId) -> None:
        _, order = self._of(instrument, client_id)
        if order is not None:
            for stay in (order.before, order.stay):
                if stay is not None:
                    stay.spoilt = True

    def _heard(self, client_id: ClientOrderId, now_ns: int) -> None:
        sent_ns = self._sent_ns.pop(client_id, None)
        if sent_ns is not None:
            self._way_ns = (now_ns - sent_ns) // 2
            while self._waiting and self._waiting[0][1].client_id == client_id:
                self._arrive(*self._waiting.popleft())  # its answer is here: it has arrived

    def _arrive(self, at_ns: int, command: PlaceOrder | AmendOrder | CancelOrder) -> None:
        at_ns = min(at_ns, self._now_ns)
        market, order = self._of(command.instrument, command.client_id)
        if market is None or order is None:
            return
        if isinstance(command, PlaceOrder):
            market.begin(order, command.side, command.ticks, command.lots, at_ns)
        elif isinstance(command, CancelOrder):
            _leave(order, at_ns)
        elif order.stay is not None:
            market.end(order.before, at_ns)
            order.before, side = order.stay, order.stay.side
            _leave(order, at_ns)
            filled = order.filled if self._total[venue_of(command.instrument)] else 0
            market.begin(order, side, command.ticks, command.lots - filled, at_ns)


def _leave(order: _Order, now_ns: int) -> None:
    if order.stay is not None and order.stay.left_ns is None:
        order.stay.left_ns = now_ns


_HANDLERS: dict[type, Callable[..., None]] = {
    OrderAccepted: QueueWatcher.on_accepted,
    OrderAmended: QueueWatcher.on_amended,
    OrderAmendRejected: QueueWatcher.on_amend_rejected,
    OrderCancelRejected: QueueWatcher.on_cancel_rejected,
    OrderFilled: QueueWatcher.on_filled,
    OrderCanceled: QueueWatcher.on_ended,
    OrderRejected: QueueWatcher.on_ended,
}
