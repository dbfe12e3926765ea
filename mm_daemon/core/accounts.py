"""What the venues say of our orders, positions and money, and what is done where it is not what we believe.

Order events move the ledger and fills the positions; snapshots are compared by `core/reconciler.py`; orders of unknown
outcome are seen to by `core/resolver.py`. Owned by `TradingCore`.
"""

from collections.abc import Callable
from typing import get_args

from mm_daemon.core.agenda import Agenda
from mm_daemon.core.control import Control
from mm_daemon.core.dispatch import Dispatch
from mm_daemon.core.flattening import left_boxed
from mm_daemon.core.ledger_order import LedgerOrder
from mm_daemon.core.market import MarketState
from mm_daemon.core.order_ledger import OrderLedger
from mm_daemon.core.order_table import CONTRADICTION, LedgerChange
from mm_daemon.core.parameters import CoreParameters
from mm_daemon.core.payments import Payments
from mm_daemon.core.reconciler import Actions, Reconciler
from mm_daemon.core.resolver import FILLS_OWED, Resolver
from mm_daemon.core.safeguards import Safeguards
from mm_daemon.core.venue_clock import VenueClock
from mm_daemon.domain.decisions import OrderQuery, Reason
from mm_daemon.domain.errors import CoreError
from mm_daemon.domain.events import (
    FenceAnswered,
    FundingPaid,
    OrderCanceled,
    OrderEvent,
    OrderEventsLost,
    OrderFilled,
    OrderNotFound,
    OrderRejected,
    OrderResolved,
    PositionAdopted,
    Resolution,
    VenueSnapshotReceived,
)
from mm_daemon.domain.instrument import InstrumentId, Venue, venue_of
from mm_daemon.domain.money import from_pair
from mm_daemon.domain.orders import Purpose
from mm_daemon.domain.reconciliation import Diff, DiffKind, Reconciled
from mm_daemon.risk.gate import RiskGate

_UNRESOLVED = Reason.UNRESOLVED_ORDER.bit
_EVENTS_LOST = "order events lost"


class Accounts:
    def __init__(
        self,
        parameters: CoreParameters,
        agenda: Agenda,
        ledger: OrderLedger,
        gate: RiskGate,
        safeguards: Safeguards,
        dispatch: Dispatch,
        clocks: dict[Venue, VenueClock],
        control: Control,
    ) -> None:
        self._agenda = agenda
        self._ledger = ledger
        self._gate = gate
        self._safeguards = safeguards
        self._dispatch = dispatch
        self._clocks = clocks
        self._control = control
        self.payments = Payments(ledger.history_ns)
        self.resolver = Resolver(parameters.orders, parameters.venues, clocks, ledger, self._fills_complete_to)
        actions = Actions(
            self._on_order,
            self._on_funding,
            self.payments.seen,
            dispatch.submit,
            self._query,
            dispatch.take_up,
            self._adopt_position,
        )
        self.reconcilers = {
            venue: Reconciler(venue, capabilities, agenda.of_venue(venue), ledger, actions, parameters.reconcile)
            for venue, capabilities in parameters.venues.items()
        }

    def handlers(self) -> dict[type, Callable[..., None]]:
        return {
            **dict.fromkeys(get_args(OrderEvent), self._on_order),
            FundingPaid: self._on_funding,
            VenueSnapshotReceived: self._on_venue_snapshot,
            OrderNotFound: self._on_not_found,
            OrderEventsLost: self._on_events_lost,
            OrderResolved: self._on_resolved,
            PositionAdopted: self._on_position_adopted,
        }

    @property
    def agreed(self) -> bool:
        """Every market does with its venue."""
        return all(market.agreed for market in self._agenda.markets.values())

    # Orders, fills, payments

    def _on_order(self, event: OrderEvent, age_ns: int = 0) -> None:
        """`age_ns`: how long ago the venue says it happened, for a fill that a snapshot told of."""
        market = self._agenda.markets[event.instrument]
        change = self._ledger.apply(event)
        self._dispatch.outboxes[venue_of(event.instrument)].apply(event)
        order = change.order
        self.resolver.news = True
        if isinstance(event, FenceAnswered):
            self.resolver.fence_answered(event)
        elif change.ignored and order is not None and isinstance(event, OrderCanceled | OrderRejected):
            self.resolver.over(order, event)
        if change.query and order is not None and order.final:
            self._query(order)  # it is over by all we know, and this says otherwise
        if change.fill_lots:
            self._book_fill(market, event, order, change, age_ns)
        if order is not None and order.purpose is Purpose.QUOTE:
            if change.rejected is not None:
                market.lockouts.after_reject(order.side, event.ts_local_ns, change.rejected)
                self._control.distrust(self._safeguards.rejected(change.rejected, event.ts_local_ns))
            elif change.accepted:
                market.lockouts.after_accept(order.side)
        if change.reconcile:
            market.lockouts.hold(Reason.RECONCILING, ", ".join(change.flags))
            market.facts.reconciling = True
            if CONTRADICTION in change.flags:
                self._control.distrust(self._safeguards.contradicted(event.ts_local_ns))
        self._agenda.reconsider(market)

    def _book_fill(
        self, market: MarketState, event: OrderEvent, order: LedgerOrder | None, change: LedgerChange, age_ns: int
    ) -> None:
        """A fill is a fact: it moves the position whatever else is wrong."""
        if not isinstance(event, OrderFilled):
            raise CoreError(f"the ledger saw a fill in {event!r}")
        book = market.book
        if market.facts.boxed_lots:
            market.facts.boxed_lots = left_boxed(market.position.lots, market.facts.boxed_lots, change.fill_lots)
        market.position.fill(
            change.fill_lots,
            change.fill_ticks,
            mid_half_ticks=book.half_ticks if book.trusted else None,
            fee_atto=None if event.fee is None else from_pair(event.fee),
            maker=event.maker,
            base_fee_atto=0 if event.base_fee is None else from_pair(event.base_fee),
        )
        self._agenda.rebook(market)
        if order is not None and order.purpose is Purpose.QUOTE:
            market.lockouts.after_fill(order.side, event.ts_local_ns, age_ns)
        self._gate.budget.count_fill(market.id, market.facts.limits, event.ts_local_ns)
        self._control.distrust(self._safeguards.overrun(market, change.fill_lots))

    def _on_funding(self, event: FundingPaid) -> None:
        """Each payment once, by the venue's key."""
        market = self._agenda.markets[event.instrument]
        if self.payments.seen(event):
            return
        self.payments.note(event)
        market.position.funding_paid(from_pair(event.amount))
        self._agenda.rebook(market)
        self._agenda.touch(market)

    # Comparisons

    def _on_venue_snapshot(self, event: VenueSnapshotReceived) -> None:
        snapshot = event.snapshot
        self.tell_time(event.venue, snapshot.ts_venue_ns, event.ts_local_ns, snapshot.height)
        came_of_it = self.reconcilers[event.venue].take(snapshot, event.ts_local_ns)
        self.resolver.on_snapshot(snapshot, event.ts_local_ns)
        if came_of_it is not None:
            self._agenda.tell(came_of_it)
        for market in self._agenda.of_venue(event.venue):
            if came_of_it is not None or market.flattening:
                self._agenda.reconsider(market)

    def tell_time(self, venue: Venue, ts_venue_ns: int, ts_local_ns: int, height: int | None) -> None:
        """A venue named its time, and perhaps its height."""
        clock = self._clocks[venue]
        clock.tell(ts_venue_ns, ts_local_ns, height)
        self._ledger.venue_lead_ns[venue] = clock.lead_ns
        self.resolver.news = True

    def compare_first(self, venue: Venue, source: str, now_ns: int) -> None:
        """What we know of this account may be wrong: nothing of the venue is quoted before it was compared."""
        self.reconcilers[venue].hold(source, now_ns)
        for market in self._agenda.of_venue(venue):
            self._agenda.reconsider(market)

    def _compare_market_first(self, instrument: InstrumentId, source: str, now_ns: int) -> None:
        """The position of one market may not be what we believe."""
        market = self._agenda.markets[instrument]
        self.reconcilers[market.instrument.venue].hold(source, now_ns, market)
        self._agenda.reconsider(market)

    def _on_events_lost(self, event: OrderEventsLost) -> None:
        self.compare_first(event.venue, _EVENTS_LOST, event.ts_local_ns)

    def _on_position_adopted(self, event: PositionAdopted) -> None:
        market = self._agenda.markets[event.instrument]
        came_of_it = self.reconcilers[market.instrument.venue].adopt_position(market, event.ts_local_ns)
        if came_of_it is not None:
            self._agenda.tell(came_of_it)
            self._agenda.reconsider(market)

    def _adopt_position(self, market: MarketState, lots: int) -> None:
        market.position.adopt(lots)
        self._agenda.rebook(market)

    # Orders in doubt

    def _on_not_found(self, event: OrderNotFound) -> None:
        """It may have ended without our hearing of it: its slot waits until that is known."""
        gone = self.resolver.not_found(event)
        if gone is not None:
            self._ledger.suspect(gone.client_id, event.ts_local_ns)
            self._agenda.reconsider(self._agenda.markets[gone.instrument])

    def _on_resolved(self, event: OrderResolved) -> None:
        """A person's word is the fifth proof. What it cost is the account's to say, so that is compared."""
        order = self._ledger.uncertain.get(event.client_id)
        if order is None:
            return  # nobody asks about it: it has ended, or it works
        if event.outcome is Resolution.DEAD:
            self._ledger.prove_dead(event.client_id, event.ts_local_ns)
        else:
            self._ledger.declare_filled(event.client_id, event.ts_local_ns)
        self.resolver.news = True
        self._compare_market_first(order.instrument, f"resolved by {event.who}", event.ts_local_ns)

    def resolve(self, now_ns: int) -> None:
        """See to the orders of which it is in doubt what the venues hold (EXECUTION 2), when that is due."""
        resolver = self.resolver
        if not resolver.due(now_ns):
            return
        for kind, proven in zip((DiffKind.ORDER_DEAD, DiffKind.AMEND_DEAD), resolver.proven(), strict=True):
            for client_id in proven:
                bury = self._ledger.prove_dead if kind is DiffKind.ORDER_DEAD else self._ledger.bury_amend
                order = bury(client_id, now_ns).order
                if order is not None:
                    found = Reconciled(venue_of(order.instrument), now_ns, (Diff(kind, client_id),), self.agreed)
                    self._agenda.tell(found)
                    self._agenda.reconsider(self._agenda.markets[order.instrument])
        wishes = resolver.pursue(now_ns)
        for intent in wishes.cancels:
            self._dispatch.submit(intent, self._agenda.markets[intent.instrument], now_ns)
        for everything in wishes.cancel_all:
            self._dispatch.submit(everything, None, now_ns)
        for query in wishes.queries:
            order = self._ledger.get(query.client_id)
            if order is not None:
                self._query(order)
        for instrument in wishes.owed:
            self._compare_market_first(instrument, FILLS_OWED, now_ns)
        for market in self._agenda.markets.values():
            if resolver.holds_out(market.id) is not bool(market.halts & _UNRESOLVED):
                market.halts ^= _UNRESOLVED
                self._agenda.reconsider(market)
        self._agenda.deadline_known = False

    def _query(self, order: LedgerOrder) -> None:
        """Ask the venue about an order, once a turn; not while it wants to be left alone."""
        venue = venue_of(order.instrument)
        if self._dispatch.outboxes[venue].closed_until(self._agenda.now_ns) is None:
            self._agenda.ask(OrderQuery(order.instrument, order.client_id))

    def _fills_complete_to(self, venue: Venue) -> tuple[int, int | None]:
        return self.reconcilers[venue].complete_to
