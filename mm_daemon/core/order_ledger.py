"""The order ledger: every order of ours by client id, its exposure, and each fill exactly once (EXECUTION 1 and 2).

The core tells it what was approved (`queue`), what left (`released`), what the outbox let go (`dropped`) and every
order event (`apply`). Which row of the order table an event is about says `core/order_reports.py`, what that row does
says `core/order_table.py`; this file finds the order, drops fills it has seen, watches acknowledgement deadlines, lists
what is in doubt (`uncertain`) for `core/resolver.py` to find out, and forgets final orders after `keep_final_s`.
"""

from collections import deque
from collections.abc import Collection, Mapping

from mm_daemon.core.ledger_order import LedgerOrder
from mm_daemon.core.order_reports import UNKNOWN_ROWS, orphan, reports_of
from mm_daemon.core.order_table import CONTRADICTION, FOREIGN_FILL, ORPHAN, LedgerChange, Report, Row, step
from mm_daemon.core.parameters import OrderRules
from mm_daemon.domain.capabilities import AmendQuantity, Capabilities
from mm_daemon.domain.checkpoint import LedgerState, OrderState, SeenKey
from mm_daemon.domain.deadlines import sooner
from mm_daemon.domain.decisions import AmendOrder, CancelAll, CancelOrder, Command, DropCode, PlaceOrder
from mm_daemon.domain.errors import CoreError
from mm_daemon.domain.events import (
    CommandOutcomeUnknown,
    CommandSent,
    FenceAnswered,
    OpenOrder,
    OrderAmended,
    OrderCancelRejected,
    OrderEvent,
    OrderFilled,
)
from mm_daemon.domain.instrument import InstrumentId, Venue, venue_of
from mm_daemon.domain.orders import SHORT_ID_BITS, ClientOrderId, InFlight, Operation, Phase, Side

CHECKPOINT_FINAL_NS = 120_000_000_000
"""Two checkpoints. Orders that ended longer ago are not carried into another life: a fill that comes so late finds no
order, and reconciles. No configuration forgets one sooner."""
_MOST_DOUBLINGS = 6
_NS_PER_S = 1_000_000_000
_NS_PER_MS = 1_000_000
_NO_VENUE = Capabilities()
_DEFAULT_RULES = OrderRules()

# Members of an enumeration are slow to look up, and these are looked at for every command.
_PLACE, _AMEND, _CANCEL = Operation.PLACE, Operation.AMEND, Operation.CANCEL
_QUEUED, _SENT = InFlight.QUEUED, InFlight.SENT
_BUY = Side.BUY


class Exposed:
    """Lots that all buy orders, and all sell orders, of one instrument may still add to their side."""

    __slots__ = ("buy_lots", "sell_lots")

    def __init__(self) -> None:
        self.buy_lots = self.sell_lots = 0


class _Market:
    """The orders of one instrument that may be alive, and their exposure by side."""

    __slots__ = (
        "ack_timeout_ns",
        "alive",
        "capabilities",
        "duplicates",
        "exposed",
        "fill_keys",
        "fills_touched_ns",
        "foreign",
        "venue",
    )

    def __init__(self, venue: Venue, capabilities: Capabilities) -> None:
        self.venue = venue
        self.capabilities = capabilities
        self.ack_timeout_ns = capabilities.ack_timeout_ms * _NS_PER_MS
        self.alive: dict[ClientOrderId, LedgerOrder] = {}
        self.fill_keys: set[str] = set()
        self.fills_touched_ns = 0
        self.duplicates = 0
        self.exposed = Exposed()
        self.foreign: dict[str, tuple[Side, int]] = {}
        """Open orders of others on our account, by the venue's id: they fill our position, so they count."""


class OrderLedger:
    """Owner of every order's state. `duplicates` counts fills seen before, `ignored` events that changed nothing."""

    __slots__ = (
        "_acks",
        "_cancel_retry_ns",
        "_capabilities",
        "_finals",
        "_forgotten_id",
        "_keep_ns",
        "_key_log",
        "_markets",
        "_next_ack_ns",
        "_orders",
        "_retries",
        "duplicates",
        "history_ns",
        "ignored",
        "uncertain",
        "venue_lead_ns",
    )

    def __init__(self, capabilities: Mapping[Venue, Capabilities], rules: OrderRules = _DEFAULT_RULES) -> None:
        self._capabilities = capabilities
        self._keep_ns = rules.keep_final_s * _NS_PER_S
        self._cancel_retry_ns = rules.cancel_retry_ms * _NS_PER_MS
        self._retries: dict[ClientOrderId, int] = {}
        """When an order whose cancel was refused may be cancelled again."""
        self.uncertain: dict[ClientOrderId, LedgerOrder] = {}
        """Orders of which it is in doubt what the venue holds."""
        self.venue_lead_ns: dict[Venue, int] = {}
        """How far a venue's clock is ahead of ours, as far as it is known."""
        self._orders: dict[ClientOrderId, LedgerOrder] = {}
        self._markets: dict[InstrumentId, _Market] = {}
        self._acks: dict[tuple[ClientOrderId, Operation], int] = {}
        self._next_ack_ns: int | None = None
        self._finals: deque[tuple[int, ClientOrderId]] = deque()
        self._key_log: deque[SeenKey] = deque()
        self.history_ns: dict[Venue, int] = {}
        """Fills of a venue up to this time of its own are history: known although their keys are forgotten."""
        self._forgotten_id = -1
        self.duplicates = 0
        self.ignored = 0

    # Reading

    def get(self, client_id: ClientOrderId) -> LedgerOrder | None:
        return self._orders.get(client_id)

    def short_id_taken(self, client_id: ClientOrderId) -> bool:
        """Whether a venue that keeps 32 bits of an id could take this one for an order that lives or ended lately."""
        return ClientOrderId(client_id - (1 << SHORT_ID_BITS)) in self._orders

    def used(self, client_id: ClientOrderId) -> bool:
        """Whether an order ever carried this id, forgotten ones included: ids are a counter, so the highest says it."""
        return client_id in self._orders or client_id <= self._forgotten_id

    def alive(self, instrument: InstrumentId) -> Collection[LedgerOrder]:
        """Orders that may be alive, in insertion order. A view: do not change the ledger while going through it."""
        market = self._markets.get(instrument)
        return market.alive.values() if market is not None else ()

    def exposure(self, instrument: InstrumentId, side: Side) -> int:
        """Lots that all orders of this side may still add to it."""
        market = self._markets.get(instrument)
        if market is None:
            return 0
        return market.exposed.buy_lots if side is _BUY else market.exposed.sell_lots

    def exposed(self, instrument: InstrumentId) -> Exposed:
        """The figures of `exposure`, kept true for whoever looks at them often."""
        return self._market(instrument).exposed

    def awaits_answer(self, venue: Venue) -> bool:
        """Whether a command of this venue is on its way."""
        return any(self._orders[client_id].instrument.startswith(f"{venue}:") for client_id, _ in self._acks)

    def wire_refs(self, venue: Venue) -> dict[ClientOrderId, str]:
        """What names the last placement or amend on the wire, for orders of a venue that may be alive."""
        return {order.client_id: order.wire_ref for order in self._alive_at(venue) if order.wire_ref}

    def duplicates_of(self, instrument: InstrumentId) -> int:
        """Fills of this instrument that had been seen before."""
        market = self._markets.get(instrument)
        return 0 if market is None else market.duplicates

    def open_orders(self, venue: Venue | None = None) -> int:
        """Orders that may be alive, at one venue or at all."""
        alive = 0
        for market in self._markets.values():
            if venue is None or market.venue == venue:
                alive += len(market.alive)
        return alive

    def seen(self, instrument: InstrumentId, fill_key: str) -> bool:
        """Whether this fill's key is remembered: it has been booked, and not long ago."""
        market = self._markets.get(instrument)
        return market is not None and fill_key in market.fill_keys

    def known(self, fill: OrderFilled) -> bool:
        """Whether this fill has been booked, its key forgotten or not. Without the venue's time its key alone tells."""
        history_ns = self.history_ns.get(venue_of(fill.instrument), 0)
        return 0 < fill.ts_venue_ns <= history_ns or self.seen(fill.instrument, fill.fill_key)

    def fills_touched_ns(self, instrument: InstrumentId) -> int:
        """When a fill of this instrument was last taken in; 0: not in this life."""
        market = self._markets.get(instrument)
        return 0 if market is None else market.fills_touched_ns

    # Another life

    def state(self, now_ns: int, keys_since_ns: Mapping[Venue, int]) -> LedgerState:
        """What must outlive the process. `keys_since_ns`: per venue, from what time of its own its fills may be told
        again; a venue that is not in it may tell all."""
        ended_ns = {client_id: final_ns for final_ns, client_id in self._finals}
        orders: list[OrderState] = []
        forgotten_id = self._forgotten_id
        for client_id, order in self._orders.items():
            final_ns = ended_ns.get(client_id)
            if final_ns is not None and final_ns <= now_ns - CHECKPOINT_FINAL_NS:
                forgotten_id = max(forgotten_id, client_id)
            elif order.phase is not Phase.QUEUED:
                orders.append(order.state(final_ns, now_ns))
        fills = tuple(
            key
            for key in self._key_log
            if key.ts_venue_ns >= keys_since_ns.get(venue_of(key.instrument), key.ts_venue_ns)
        )
        return LedgerState(tuple(orders), fills, forgotten_id)

    def restore(self, state: LedgerState) -> list[LedgerOrder]:
        """Take up the orders of an earlier life; those that may be alive are returned."""
        self._forgotten_id = state.forgotten_id
        alive: list[LedgerOrder] = []
        for kept in state.orders:
            order = self._take_up(kept)
            if kept.final_ns is None:
                alive.append(order)
            else:
                self._finals.append((kept.final_ns, order.client_id))
        for key in state.fills:
            self._market(key.instrument).fill_keys.add(key.key)
            self._key_log.append(key)
        return alive

    def lose_clock(self, back_ns: int) -> None:
        """Time begins anew, `back_ns` earlier: quotes are as old as they were."""
        for market in self._markets.values():
            for order in market.alive.values():
                order.since_ns -= back_ns

    def set_foreign(self, instrument: InstrumentId, orders: Mapping[str, tuple[Side, int]]) -> None:
        """Open orders of others, by the venue's id: (side, remaining lots). They count in the exposure."""
        market = self._market(instrument)
        if market.foreign != orders:
            for sign, counted in ((-1, market.foreign), (1, orders)):
                for side, lots in counted.values():
                    self._count(market, side, sign * lots)
            market.foreign = dict(orders)

    def adopt(self, shown: OpenOrder, client_id: ClientOrderId, now_ns: int) -> LedgerOrder:
        """An open order of ours that we have no record of (EXECUTION 1, orphan): it is live, and belongs to no slot."""
        order = self._take_up(orphan(shown, client_id))
        order.touched_ns = now_ns
        return order

    def _take_up(self, state: OrderState) -> LedgerOrder:
        market = self._market(state.instrument)
        capabilities = market.capabilities
        order = LedgerOrder.restored(
            state,
            fresh=capabilities.amend_quantity is AmendQuantity.FRESH,
            new_ids=capabilities.amend_new_venue_id,
        )
        self._orders[order.client_id] = order
        self._count(market, order.side, order.refresh())
        if state.final_ns is None:
            market.alive[order.client_id] = order
            if order.uncertain:
                self.uncertain[order.client_id] = order
        return order

    # What the core did

    def queue(self, command: Command, now_ns: int) -> None:
        """An approved command counts from here on. Raises CoreError for one that the gate cannot have passed."""
        if isinstance(command, PlaceOrder):
            self._enter(command, now_ns)
        elif isinstance(command, CancelAll):
            for target in self._alive_at(command.venue):
                self._queue_cancel(target, command, now_ns)
        else:
            order = self._orders.get(command.client_id)
            if order is None or order.final:
                raise CoreError(f"order {command.client_id} of {command.instrument} is not alive: {command!r}")
            if isinstance(command, AmendOrder):
                order.set_pend(command)
                self._update(order, now_ns)
            else:
                self._queue_cancel(order, command, now_ns)

    def released(self, command: Command, now_ns: int) -> None:
        """The outbox handed a command to the gateway: from here on its outcome is the venue's to tell."""
        if isinstance(command, CancelAll):
            for target in self._alive_at(command.venue):
                if target.cancel_command is command:
                    self._mark_sent(target, _CANCEL, now_ns)
            return
        order = self._orders.get(command.client_id)
        if order is None or order.final:
            return  # it ended while the command waited; the venue will answer that nothing is there
        if isinstance(command, PlaceOrder):
            order.ticks, order.lots = command.ticks, command.lots  # a conflated amend is part of it
            order.since_ns = now_ns
            order.note_validity(command.expires_ns, command.expires_height)
            self._mark_sent(order, _PLACE, now_ns)
            self._update(order, now_ns)
        elif isinstance(command, AmendOrder):
            order.since_ns = now_ns
            order.note_validity(command.expires_ns, command.expires_height)
            self._mark_sent(order, _AMEND, now_ns)
        else:
            self._mark_sent(order, _CANCEL, now_ns)

    def dropped(self, command: Command, code: DropCode, now_ns: int) -> None:
        """The outbox let a command go. Dropping one that a newer command replaced changes nothing."""
        if isinstance(command, CancelAll):
            for target in self._alive_at(command.venue):
                if target.cancel_command is command:
                    target.clear_cancel()
                    target.refresh()
            return
        order = self._orders.get(command.client_id)
        if order is None or order.final:
            return
        if isinstance(command, PlaceOrder):
            if order.phase is Phase.QUEUED:
                order.finish(Phase.ABSENT)
        elif isinstance(command, AmendOrder):
            if command is not order.amend_command:
                return
            if order.phase is Phase.QUEUED and code is DropCode.CONFLATED:
                order.ticks, order.lots = command.ticks, command.lots  # folded into the waiting place
            order.clear_pend()
            order.finish_if_done()
        elif command is order.cancel_command:
            order.clear_cancel()
        self._update(order, now_ns)

    # What the venue said

    def apply(self, event: OrderEvent) -> LedgerChange:
        """Take in an order event. The position is the core's: it adds `fill_lots` of the answer."""
        if isinstance(event, OrderFilled):
            return self._apply_fill(event)
        order = self._orders.get(event.client_id)
        if order is None:
            self.ignored += 1
            sent_or_lost = isinstance(event, CommandSent | CommandOutcomeUnknown)
            return LedgerChange(ignored=True, reconcile=not sent_or_lost)
        change = LedgerChange(order)
        if isinstance(event, CommandSent):
            if order.may_be_alive:
                if event.operation is not Operation.CANCEL and event.wire_ref:
                    order.wire_ref = event.wire_ref
                self._mark_sent(order, event.operation, event.ts_local_ns)
            return change
        if isinstance(event, FenceAnswered):
            order.clear_cancel()
            self._update(order, event.ts_local_ns)
            return change
        if isinstance(event, OrderAmended) and _is_stale(order, event):
            self.ignored += 1
            change.ignored = True
            return change
        *early, report = reports_of(order, event)
        for each in early:
            self._step(order, each, LedgerChange(order), event.ts_local_ns)
        self._step(order, report, change, event.ts_local_ns)
        if isinstance(event, OrderCancelRejected) and report.row is Row.CANCEL_REFUSED and order.may_be_alive:
            self._wait_before_next_cancel(order, event.ts_local_ns)
        return change

    def _wait_before_next_cancel(self, order: LedgerOrder, now_ns: int) -> None:
        """A cancel was refused and we do not know why: each such refusal in a row doubles the pause before the next."""
        pause_ns = self._cancel_retry_ns << min(order.cancel_refusals, _MOST_DOUBLINGS)
        order.cancel_refusals += 1
        order.cancel_after_ns = self._retries[order.client_id] = now_ns + pause_ns

    def prove_dead(self, client_id: ClientOrderId, now_ns: int) -> LedgerChange:
        """All four proofs of EXECUTION 2 are in: the order can never fill again. One that is over stays as it is."""
        return self._bury(client_id, Report(Row.PROVEN_DEAD), now_ns)

    def declare_filled(self, client_id: ClientOrderId, now_ns: int) -> LedgerChange:
        """A person says that the order has filled. Its fills are still the venue's to tell."""
        return self._bury(client_id, Report(Row.DECLARED_FILLED), now_ns)

    def suspect(self, client_id: ClientOrderId, now_ns: int) -> LedgerChange:
        """The venue does not show an order that we took to be alive: it may have ended, and may have fills to come."""
        return self._learn(client_id, Report(Row.CANCEL_GONE), now_ns)

    def bury_amend(self, client_id: ClientOrderId, now_ns: int) -> LedgerChange:
        """An amend of unknown outcome can no longer take effect, and has not."""
        return self._learn(client_id, Report(Row.AMEND_REFUSED), now_ns)

    def bury_tails(self, client_id: ClientOrderId, now_ns: int) -> None:
        """The older versions of an order are gone, and all of their fills are known."""
        order = self._orders.get(client_id)
        if order is not None and order.tails:
            order.drop_tails()
            order.finish_if_done()
            self._update(order, now_ns)

    def _bury(self, client_id: ClientOrderId, report: Report, now_ns: int) -> LedgerChange:
        order = self._orders.get(client_id)
        if order is not None and order.final:
            return LedgerChange(order, ignored=True)
        return self._learn(client_id, report, now_ns)

    def _learn(self, client_id: ClientOrderId, report: Report, now_ns: int) -> LedgerChange:
        order = self._orders.get(client_id)
        change = LedgerChange(order)
        if order is None:
            change.ignored = True
        else:
            self._step(order, report, change, now_ns)
        return change

    # Time

    def next_deadline_ns(self) -> int | None:
        """When the next acknowledgement is overdue, or a refused cancel may be repeated."""
        if not self._retries:
            return self._next_ack_ns
        return sooner(min(self._retries.values()), self._next_ack_ns)

    def expire(self, now_ns: int) -> list[LedgerOrder]:
        """Orders with an acknowledgement overdue at `now_ns`: place UNKNOWN, or the flag of their amend or cancel.

        Orders whose refused cancel may be repeated are returned too. Also forgets what is old enough. Exposure is kept
        in every case.
        """
        self._forget(now_ns)
        overdue = [self._orders[client_id] for client_id, due_ns in self._retries.items() if due_ns <= now_ns]
        for order in overdue:
            del self._retries[order.client_id]
        if self._next_ack_ns is None or now_ns < self._next_ack_ns:
            return overdue
        for client_id, operation in [key for key, due_ns in self._acks.items() if due_ns <= now_ns]:
            order = self._orders[client_id]
            self._step(order, Report(UNKNOWN_ROWS[operation]), LedgerChange(order), now_ns)
            if order not in overdue:
                overdue.append(order)
        return overdue

    # Inside

    def _market(self, instrument: InstrumentId) -> _Market:
        market = self._markets.get(instrument)
        if market is None:
            venue = venue_of(instrument)
            market = self._markets[instrument] = _Market(venue, self._capabilities.get(venue, _NO_VENUE))
        return market

    def _alive_at(self, venue: Venue) -> list[LedgerOrder]:
        return [order for market in self._markets.values() if market.venue == venue for order in market.alive.values()]

    def _enter(self, command: PlaceOrder, now_ns: int) -> None:
        if self.used(command.client_id):
            raise CoreError(f"client id {command.client_id} was used before: {command!r}")
        market = self._market(command.instrument)
        capabilities = market.capabilities
        order = LedgerOrder(
            command,
            fresh=capabilities.amend_quantity is AmendQuantity.FRESH,
            new_ids=capabilities.amend_new_venue_id,
            now_ns=now_ns,
        )
        self._orders[order.client_id] = order
        market.alive[order.client_id] = order
        self._count(market, order.side, order.exposure)

    def _queue_cancel(self, order: LedgerOrder, command: CancelOrder | CancelAll, now_ns: int) -> None:
        order.cancel = InFlight.QUEUED
        order.cancel_command = command
        self._update(order, now_ns)

    def _mark_sent(self, order: LedgerOrder, operation: Operation, now_ns: int) -> None:
        """Queued becomes sent, and the acknowledgement is awaited from now on; a flag that is answered stays so. What
        is sent counts as it did while it was queued."""
        if operation is _PLACE:
            if order.phase is Phase.QUEUED:
                order.phase = Phase.SENT
            awaited = order.phase is Phase.SENT
        elif operation is _AMEND:
            if order.amend is _QUEUED:
                order.amend = _SENT
            awaited = order.amend is _SENT
        else:
            if order.cancel is _QUEUED:
                order.cancel = _SENT
            awaited = order.cancel is _SENT
        market = self._markets[order.instrument]
        if awaited:
            self._acks[order.client_id, operation] = now_ns + market.ack_timeout_ns
            self._next_ack_ns = min(self._acks.values())
        if operation is not _CANCEL:
            order.sent_ns = max(order.sent_ns or 0, now_ns + self.venue_lead_ns.get(market.venue, 0))
        order.touched_ns = now_ns

    def _apply_fill(self, event: OrderFilled) -> LedgerChange:
        market = self._market(event.instrument)
        order = self._orders.get(event.client_id)
        if self.known(event):
            self.duplicates += 1
            market.duplicates += 1
            return LedgerChange(order, duplicate=True)
        market.fill_keys.add(event.fill_key)
        market.fills_touched_ns = event.ts_local_ns
        self._key_log.append(SeenKey(event.instrument, event.fill_key, event.ts_venue_ns, event.ts_local_ns))
        change = LedgerChange(order, fill_lots=event.side * event.lots, fill_ticks=event.ticks)
        if order is None or order.instrument != event.instrument:
            change.order = None
            change.flag(ORPHAN if self.used(event.client_id) else FOREIGN_FILL)
            return change
        if order.side is not event.side:
            change.flag(CONTRADICTION)
        report = Report(Row.FILL, event.venue_order_id, event.ticks, event.lots)
        self._step(order, report, change, event.ts_local_ns)
        return change

    def _step(self, order: LedgerOrder, report: Report, change: LedgerChange, now_ns: int) -> None:
        tails = len(order.tails)
        step(order, report, change)
        if change.ignored:
            self.ignored += 1
        if len(order.tails) > tails:
            order.replaced_ns = now_ns + self.venue_lead_ns.get(venue_of(order.instrument), 0)
        self._update(order, now_ns)

    def _update(self, order: LedgerOrder, now_ns: int) -> None:
        """After any change: totals, deadlines and the alive list follow the order."""
        order.touched_ns = now_ns
        market = self._markets[order.instrument]
        changed = order.refresh()
        if changed:
            self._count(market, order.side, changed)
        if self._acks:
            self._drop_answered(order)
        if order.uncertain:
            self.uncertain[order.client_id] = order
        elif self.uncertain:
            self.uncertain.pop(order.client_id, None)
        if order.final and market.alive.pop(order.client_id, None) is not None:
            self._finals.append((now_ns, order.client_id))
            self._retries.pop(order.client_id, None)

    def _drop_answered(self, order: LedgerOrder) -> None:
        """Only what is sent is awaited."""
        acks, client_id = self._acks, order.client_id
        if order.phase is not Phase.SENT:
            acks.pop((client_id, _PLACE), None)
        if order.amend is not _SENT:
            acks.pop((client_id, _AMEND), None)
        if order.cancel is not _SENT:
            acks.pop((client_id, _CANCEL), None)
        self._next_ack_ns = min(acks.values(), default=None)

    @staticmethod
    def _count(market: _Market, side: Side, lots: int) -> None:
        if side is _BUY:
            market.exposed.buy_lots += lots
        else:
            market.exposed.sell_lots += lots

    def _forget(self, now_ns: int) -> None:
        """Final orders and fill keys are kept for a while, so that late fills find them and duplicates are known."""
        horizon_ns = now_ns - self._keep_ns
        finals, keys = self._finals, self._key_log
        while finals and finals[0][0] <= horizon_ns:
            client_id = finals.popleft()[1]
            del self._orders[client_id]
            self._forgotten_id = max(self._forgotten_id, client_id)
        while keys and keys[0].ts_local_ns <= horizon_ns:
            key = keys.popleft()
            venue = venue_of(key.instrument)
            self._markets[key.instrument].fill_keys.discard(key.key)
            self.history_ns[venue] = max(self.history_ns.get(venue, 0), key.ts_venue_ns)


def _is_stale(order: LedgerOrder, event: OrderAmended) -> bool:
    """Whether the venue said this before what it said last of the order's version: the report comes late, or a second
    time by another way. Where an amend has an id of its own the id tells; else the venue's time has to.
    """
    if order.new_ids or not event.ts_venue_ns:
        return False
    if event.ts_venue_ns < order.version_ns:
        return True
    order.version_ns = event.ts_venue_ns
    return False
