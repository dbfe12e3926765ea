"""The order desk of a simulated venue: carries out our commands in arrival order and words the replies.

The same for recorded and embedded markets; what differs between them is the `Matcher` behind the desk. Rules of
amending follow Binance USD-M: the size is the new total under the same venue id; a total not above the filled part, or
a post-only price that would cross, cancels the order; all but (where the policy says so) a decrease goes to the back of
the queue. An order of ours that would meet our own resting order cancels the resting one.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import msgspec

from mm_daemon.domain.account_history import OrderKnown
from mm_daemon.domain.capabilities import Capabilities
from mm_daemon.domain.decisions import AmendOrder, CancelAll, CancelOrder, Command, PlaceOrder
from mm_daemon.domain.events import (
    FenceAnswered,
    OrderAccepted,
    OrderAmended,
    OrderAmendRejected,
    OrderCanceled,
    OrderCancelRejected,
    OrderEvent,
    OrderNotFound,
    OrderRejected,
    OrderStatus,
)
from mm_daemon.domain.instrument import InstrumentId
from mm_daemon.domain.orders import ClientOrderId, RejectKind, Side, TimeInForce
from mm_daemon.simulation.account import Refused, VenueAccount, VenueOrder
from mm_daemon.simulation.faults import FaultPlan, Faults, Told
from mm_daemon.simulation.models import LatencyModel
from mm_daemon.simulation.refusals import Refusals

_NO_BOOK: Refused = (RejectKind.HALTED, "the venue's book is not known")
_BATCH_MAX = 10


class QueryOrder(msgspec.Struct, frozen=True):
    """The question after one order, travelling behind the commands sent before it: on a link that neither loses nor
    delays, the answer is final.
    """

    client_id: ClientOrderId


Request = Command | QueryOrder


class Waiting(NamedTuple):
    """A request on its way: when it reaches the venue, and how long its reply will take."""

    request: Request
    arrival_ns: int
    response_ns: int


class OrderLink:
    """The way from the daemon to the venue: first in, first out, whatever latencies are drawn, but for what a fault
    plan loses or holds back.
    """

    __slots__ = ("_entry", "_faults", "_last_arrival_ns", "_response", "retimed", "waiting")

    def __init__(self, entry: LatencyModel, response: LatencyModel, faults: Faults | None = None) -> None:
        self._entry = entry
        self._response = response
        self._faults = faults
        self.retimed: Callable[[Request, int, int], int] | None = None
        """When a request arrives after all, by the arrival that the model gives and its response latency."""
        self._last_arrival_ns = 0
        self.waiting: deque[Waiting] = deque()
        """In order of arrival."""

    def send(self, request: Request, now_ns: int) -> None:
        self._last_arrival_ns = arrival_ns = max(self._last_arrival_ns, now_ns + self._entry.draw(now_ns))
        coming = Waiting(request, arrival_ns, self._response.draw(arrival_ns))
        if self.retimed is not None:
            self._last_arrival_ns = arrival_ns = self.retimed(request, arrival_ns, coming.response_ns)
            coming = coming._replace(arrival_ns=arrival_ns)
        if self._faults is not None:
            delay_ns = self._faults.command_delay_ns()
            if delay_ns is None:
                return
            coming = coming._replace(arrival_ns=arrival_ns + delay_ns)
        waiting = self.waiting
        place = len(waiting)
        while place and waiting[place - 1].arrival_ns > coming.arrival_ns:
            place -= 1
        waiting.insert(place, coming)


class Matcher(Protocol):
    """The book behind the desk."""

    def touch(self, instrument: InstrumentId, side: Side) -> int | None:
        """Best price an order on `side` could trade at (`NO_ASK`, `NO_BID` when none); None: the book is not known."""
        ...

    def take(self, order: VenueOrder) -> list[tuple[int, int]]:
        """(ticks, lots) that the order takes at or inside its limit, level by level."""
        ...

    def rest(self, order: VenueOrder, at_ns: int) -> None:
        """What remains stands at the back of the queue from `at_ns` on."""
        ...

    def shrink(self, order: VenueOrder) -> None:
        """The order became smaller and keeps its place."""
        ...

    def lift(self, order: VenueOrder) -> None:
        """The order leaves the book."""
        ...


class OrderDesk:
    """Executes requests against an account and a matcher; every method returns the replies in their order."""

    def __init__(
        self,
        account: VenueAccount,
        matcher: Matcher,
        *,
        decrease_keeps_place: bool,
        refusals: Refusals | None = None,
    ) -> None:
        self._refusals = refusals
        self._account = account
        self._matcher = matcher
        self._decrease_keeps_place = decrease_keeps_place

    def execute(self, request: Request, at_ns: int, ts_venue_ns: int, ts_local_ns: int) -> Sequence[Told]:
        """`at_ns` is the arrival on the venue's clock; the other two are stamped on the replies."""
        if isinstance(request, PlaceOrder):
            return self._place(request, at_ns, ts_venue_ns, ts_local_ns)
        if isinstance(request, AmendOrder):
            return self._amend(request, at_ns, ts_venue_ns, ts_local_ns)
        if isinstance(request, CancelOrder):
            return self._cancel(request, ts_venue_ns, ts_local_ns)
        if isinstance(request, CancelAll):
            return self.cancel_orders(list(self._account.orders.values()), ts_venue_ns, ts_local_ns)
        return self._answer(request, ts_venue_ns, ts_local_ns)

    def refuse(self, request: Request, refused: Refused, ts_venue_ns: int, ts_local_ns: int) -> Sequence[OrderEvent]:
        """The request is not looked at. Of a `CancelAll` nothing is said: it is of no single order."""
        if isinstance(request, PlaceOrder):
            self._account.note_refused(request)
            return [OrderRejected(request.instrument, ts_venue_ns, ts_local_ns, request.client_id, *refused)]
        if isinstance(request, AmendOrder):
            return [OrderAmendRejected(request.instrument, ts_venue_ns, ts_local_ns, request.client_id, *refused)]
        if isinstance(request, CancelOrder):
            return [OrderCancelRejected(request.instrument, ts_venue_ns, ts_local_ns, request.client_id, *refused)]
        return []

    def cancel_orders(self, orders: list[VenueOrder], ts_venue_ns: int, ts_local_ns: int) -> list[OrderEvent]:
        return [self._cancel_one(order, ts_venue_ns, ts_local_ns) for order in orders]

    def _place(self, command: PlaceOrder, at_ns: int, ts_venue_ns: int, ts_local_ns: int) -> list[OrderEvent]:
        refused = self._account.refusal(command, at_ns)
        if refused is None:
            touch = self._matcher.touch(command.instrument, command.side)
            if touch is None:
                refused = _NO_BOOK
            elif command.post_only and command.side * (command.ticks - touch) >= 0:
                refused = (RejectKind.POST_ONLY_CROSS, f"would take at {touch} ticks")
            elif self._refusals is not None:
                refused = self._refusals.of_place(command, touch)
        if refused is not None:
            self._account.note_refused(command)
            return [OrderRejected(command.instrument, ts_venue_ns, ts_local_ns, command.client_id, *refused)]
        order = self._account.open(command)
        events: list[OrderEvent] = [
            OrderAccepted(order.instrument, ts_venue_ns, ts_local_ns, order.client_id, order.venue_order_id)
        ]
        self._take(order, events, ts_venue_ns, ts_local_ns)
        if not order.remaining_lots:
            return events
        if command.time_in_force is TimeInForce.IOC:
            events.append(self._cancel_one(order, ts_venue_ns, ts_local_ns))
        else:
            self._matcher.rest(order, at_ns)
        return events

    def _take(self, order: VenueOrder, events: list[OrderEvent], ts_venue_ns: int, ts_local_ns: int) -> None:
        """Clear our own orders out of the way, then take what the limit allows; replies are appended to `events`."""
        account = self._account
        own = account.opposing(order.instrument, order.side, order.ticks)
        events.extend(self.cancel_orders(own, ts_venue_ns, ts_local_ns))
        if order.post_only:
            return
        for ticks, lots in self._matcher.take(order):
            events.append(
                account.fill(order, ticks, lots, maker=False, ts_venue_ns=ts_venue_ns, ts_local_ns=ts_local_ns)
            )

    def _amend(self, command: AmendOrder, at_ns: int, ts_venue_ns: int, ts_local_ns: int) -> list[OrderEvent]:
        order = self._account.orders.get(command.client_id)
        if order is None:
            kind = self._account.gone_kind(command.client_id)
            return [OrderAmendRejected(command.instrument, ts_venue_ns, ts_local_ns, command.client_id, kind)]
        refused = self._amend_refusal(order, command, at_ns)
        if refused is not None:
            return [OrderAmendRejected(order.instrument, ts_venue_ns, ts_local_ns, order.client_id, *refused)]
        if command.lots <= order.filled_lots or (order.post_only and self._crosses(order, command.ticks)):
            return [self._cancel_one(order, ts_venue_ns, ts_local_ns)]
        amended = OrderAmended(
            order.instrument,
            ts_venue_ns,
            ts_local_ns,
            order.client_id,
            order.venue_order_id,
            command.ticks,
            command.lots,
        )
        if command.ticks == order.ticks and command.lots == order.lots:
            return [amended]
        events: list[OrderEvent] = [amended]
        if command.ticks == order.ticks and command.lots < order.lots and self._decrease_keeps_place:
            self._account.amend(order, command.ticks, command.lots)
            self._matcher.shrink(order)
            return events
        self._matcher.lift(order)
        self._account.amend(order, command.ticks, command.lots)
        self._take(order, events, ts_venue_ns, ts_local_ns)
        if order.remaining_lots:
            self._matcher.rest(order, at_ns)
        return events

    def _amend_refusal(self, order: VenueOrder, command: AmendOrder, at_ns: int) -> Refused | None:
        instrument = self._account.instruments[order.instrument]
        if command.expires_ns is not None and at_ns > command.expires_ns:
            return RejectKind.OTHER, "arrived after its expiry"
        if not instrument.tradable:
            return RejectKind.HALTED, "the market is halted"
        touch = self._matcher.touch(order.instrument, order.side)
        if touch is None:
            return _NO_BOOK
        if command.lots <= order.filled_lots:
            return None
        if self._refusals is not None:
            refused = self._refusals.of_amend(command, touch)
            if refused is not None:
                return refused
        return self._account.size_refusal(instrument, command.ticks, command.lots, reduce_only=False)

    def _crosses(self, order: VenueOrder, ticks: int) -> bool:
        touch = self._matcher.touch(order.instrument, order.side)
        return touch is not None and order.side * (ticks - touch) >= 0

    def _cancel(self, command: CancelOrder, ts_venue_ns: int, ts_local_ns: int) -> list[OrderEvent]:
        if command.fence:
            spent = self._account.fence(command.client_id, command.instrument)
            return [FenceAnswered(command.instrument, ts_venue_ns, ts_local_ns, command.client_id, spent)]
        order = self._account.orders.get(command.client_id)
        if order is not None:
            refused = None if self._refusals is None else self._refusals.of_cancel(order)
            if refused is not None:
                return [OrderCancelRejected(order.instrument, ts_venue_ns, ts_local_ns, order.client_id, *refused)]
            return [self._cancel_one(order, ts_venue_ns, ts_local_ns)]
        kind = self._account.gone_kind(command.client_id)
        return [OrderCancelRejected(command.instrument, ts_venue_ns, ts_local_ns, command.client_id, kind)]

    def _cancel_one(self, order: VenueOrder, ts_venue_ns: int, ts_local_ns: int) -> OrderCanceled:
        self._matcher.lift(order)
        self._account.end(order)
        return _canceled(order, ts_venue_ns, ts_local_ns)

    def _answer(self, query: QueryOrder, ts_venue_ns: int, ts_local_ns: int) -> Sequence[Told]:
        order = self._account.orders.get(query.client_id)
        if order is not None:
            return [
                OrderStatus(
                    order.instrument,
                    ts_venue_ns,
                    ts_local_ns,
                    order.client_id,
                    order.venue_order_id,
                    order.ticks,
                    order.lots,
                    order.filled_lots,
                )
            ]
        ended = self._account.ended(query.client_id)
        if ended is not None:
            return [_canceled(ended, ts_venue_ns, ts_local_ns)]
        instrument = self._account.refused_instrument(query.client_id)
        if instrument is None:
            return [OrderNotFound(self._account.venue, ts_venue_ns, ts_local_ns, query.client_id)]
        text = "was refused"
        return [OrderRejected(instrument, ts_venue_ns, ts_local_ns, query.client_id, RejectKind.OTHER, text)]


def _canceled(order: VenueOrder | OrderKnown, ts_venue_ns: int, ts_local_ns: int) -> OrderCanceled:
    return OrderCanceled(
        order.instrument,
        ts_venue_ns,
        ts_local_ns,
        order.client_id,
        order.venue_order_id,
        filled_lots=order.filled_lots,
    )


def desk_capabilities(*, decrease_keeps_place: bool, ack_timeout_ms: int, faults: FaultPlan | None) -> Capabilities:
    """What every venue with this desk can do. With faults a command may come as late as they say."""
    late_ms = 0.0 if faults is None else faults.late_ms
    return Capabilities(
        simulated=True,
        amend=True,
        decrease_keeps_place=decrease_keeps_place,
        batch_max=_BATCH_MAX,
        ack_timeout_ms=ack_timeout_ms,
        d_max_ms=ack_timeout_ms + round(late_ms),
        lossy=faults is not None,
    )
