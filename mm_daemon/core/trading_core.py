"""The heart: facts in by `apply`, commands out by `decide`. Live, paper, backtest and replay run this very class.

It reads no clock, draws no chance, logs nothing and touches no file. An event changes state; a decision turns state
into quotes with reasons, reasons into intents, intents through the risk gate into commands, and commands through the
outbox to whoever drives it. The driver (`runtime/core_loop.py`, `backtest/runner.py`, `backtest/replay.py`) applies a
batch of events in order, then calls `decide` once with the last event's local time, and answers `next_deadline_ns`
with `DeadlineReached`.
"""

from collections.abc import Callable, Mapping
from itertools import count

from mm_daemon.core.ledger_order import LedgerOrder
from mm_daemon.core.market import MarketState
from mm_daemon.core.market_decision import decide_market, working_slots
from mm_daemon.core.order_ledger import OrderLedger
from mm_daemon.core.outbox import Outbox
from mm_daemon.core.parameters import CoreParameters
from mm_daemon.core.planner import Slot, plan
from mm_daemon.domain.decisions import (
    Action,
    AmendOrder,
    ApprovedCommand,
    CancelAll,
    DecisionsChanged,
    DroppedCommand,
    Intent,
    PlaceOrder,
    Reason,
    Refusal,
    RefusalCode,
    Turn,
)
from mm_daemon.domain.errors import CoreError
from mm_daemon.domain.events import (
    BalanceUpdate,
    BookDelta,
    BookInvalidated,
    BookSnapshot,
    CommandOutcomeUnknown,
    CommandSent,
    DeadlineReached,
    Event,
    FundingPaid,
    FundingUpdate,
    InstrumentUpdated,
    InvalidCause,
    MarkPriceUpdate,
    OperatorAction,
    OperatorRequest,
    OrderAccepted,
    OrderAmended,
    OrderAmendRejected,
    OrderCanceled,
    OrderCancelRejected,
    OrderEvent,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    PositionUpdate,
    PublicTrade,
    RateLimited,
    RunEnded,
    RunStarted,
    ShutdownRequested,
    StreamStale,
    TopOfBook,
    VenueConnected,
    VenueDisconnected,
    VenueSnapshotReceived,
    VenueTime,
)
from mm_daemon.domain.instrument import InstrumentId, Venue, venue_of
from mm_daemon.domain.money import from_pair
from mm_daemon.domain.orders import ClientOrderId, Purpose
from mm_daemon.risk.gate import RiskGate

_STARTING = Reason.STARTING.bit
_PAUSED = Reason.OPERATOR_PAUSED.bit
_SHUTDOWN = Reason.SHUTDOWN.bit
_KILLED = Reason.KILL_LATCHED.bit
_VENUE_DOWN = Reason.VENUE_DOWN.bit
_MARKET_HALTED = Reason.MARKET_HALTED.bit
_VENUE_BACKOFF = Reason.VENUE_BACKOFF.bit
_BUDGET_HOLD = Reason.BUDGET_HOLD.bit
_MS = 1_000_000


class TradingCore:
    """All trading state and the one way to change it. Built from parameters alone, so that a journal can rebuild it."""

    def __init__(self, parameters: CoreParameters) -> None:
        self.parameters = parameters
        self._markets = {market.instrument.id: MarketState(market) for market in parameters.markets}
        self.ledger = OrderLedger(parameters.venues)
        self.gate = RiskGate(parameters.account)
        ttl_ns = parameters.queue_ttl_ms * _MS
        self._outboxes = {
            venue: Outbox(capabilities, ttl_ns, self._merge) for venue, capabilities in parameters.venues.items()
        }
        self._client_ids = count(parameters.first_client_id)
        self.last_client_id = ClientOrderId(parameters.first_client_id - 1)
        self.full_decisions = 0
        self._now_ns = 0
        self._deadline_ns: int | None = None
        self._touched: list[MarketState] = []
        self._decided: list[DecisionsChanged] = []
        self._refusals: list[Refusal] = []
        self._dropped: list[DroppedCommand] = []
        for market in self._markets.values():
            market.halts = _STARTING | (0 if market.parameters.quoting.enabled else _PAUSED)
            if not market.instrument.tradable:
                market.halts |= _MARKET_HALTED
        self._handlers: dict[type, Callable[..., None]] = {
            BookDelta: self._on_delta,
            TopOfBook: self._on_top,
            BookSnapshot: self._on_snapshot,
            BookInvalidated: self._on_invalidated,
            PublicTrade: self._on_trade,
            MarkPriceUpdate: self._on_mark,
            FundingUpdate: self._on_fact,
            InstrumentUpdated: self._on_instrument,
            StreamStale: self._on_stale,
            OrderAccepted: self._on_order,
            OrderRejected: self._on_order,
            OrderAmended: self._on_order,
            OrderAmendRejected: self._on_order,
            OrderFilled: self._on_order,
            OrderCanceled: self._on_order,
            OrderCancelRejected: self._on_order,
            OrderExpired: self._on_order,
            CommandSent: self._on_order,
            CommandOutcomeUnknown: self._on_order,
            FundingPaid: self._on_funding,
            BalanceUpdate: self._on_fact,
            PositionUpdate: self._on_fact,
            VenueSnapshotReceived: self._on_fact,
            VenueTime: self._on_fact,
            VenueConnected: self._on_connected,
            VenueDisconnected: self._on_disconnected,
            RateLimited: self._on_rate_limited,
            DeadlineReached: self._on_deadline,
            OperatorRequest: self._on_operator,
            ShutdownRequested: self._on_shutdown,
            RunStarted: self._on_fact,
            RunEnded: self._on_fact,
        }

    # What others may ask.

    @property
    def markets(self) -> Mapping[InstrumentId, MarketState]:
        return self._markets

    @property
    def stopped(self) -> bool:
        """A stop was asked for and no order of ours may be alive any more."""
        return self.gate.cancels_only and self.ledger.open_orders() == 0

    def next_deadline_ns(self) -> int | None:
        """When to be told `DeadlineReached`, if nothing happens before; None: never."""
        return self._deadline_ns

    # Facts in.

    def apply(self, event: Event) -> None:
        """Let one event change the state. Raises CoreError for an event about an instrument or venue it was not built
        with: that is a bug of whoever sent it."""
        try:
            self._handlers[type(event)](event)
        except KeyError as error:
            raise CoreError(
                f"{type(event).__name__} names {error}, which this core does not know: {event!r}"
            ) from error

    def _on_delta(self, event: BookDelta) -> None:
        market = self._markets[event.instrument]
        market.book.apply_delta(event)
        self._book_moved(market, event.ts_local_ns)

    def _on_top(self, event: TopOfBook) -> None:
        market = self._markets[event.instrument]
        market.book.apply_top(event)
        self._book_moved(market, event.ts_local_ns)

    def _on_snapshot(self, event: BookSnapshot) -> None:
        market = self._markets[event.instrument]
        market.book.apply_snapshot(event)
        self._book_moved(market, event.ts_local_ns)

    def _on_invalidated(self, event: BookInvalidated) -> None:
        market = self._markets[event.instrument]
        market.book.invalidate(event.cause)
        self._touch(market, full=True)

    def _book_moved(self, market: MarketState, ts_local_ns: int) -> None:
        book = market.book
        if book.trusted:
            market.position.mark(book.half_ticks)
            market.engine.observe(book, ts_local_ns)
        if not market.touched:
            market.touched = True
            self._touched.append(market)

    def _on_trade(self, event: PublicTrade) -> None:
        self._touch(self._markets[event.instrument])

    def _on_mark(self, event: MarkPriceUpdate) -> None:
        market = self._markets[event.instrument]
        market.facts.mark_half_ticks = event.mark_half_ticks
        self._touch(market)

    def _on_fact(self, event: Event) -> None:
        """Kept in the journal for reports and reconciliation; nothing here depends on it."""

    def _on_instrument(self, event: InstrumentUpdated) -> None:
        """The contract changed under us: its orders are pulled and it stays out until a run is started with the new
        one.
        """
        market = self._markets[event.instrument]
        market.halts |= Reason.GRID_CHANGED.bit if event.definition.tradable else _MARKET_HALTED
        market.facts.tradable = event.definition.tradable
        self._touch(market, full=True)

    def _on_stale(self, event: StreamStale) -> None:
        market = self._markets[event.instrument]
        market.book.invalidate(InvalidCause.UNSYNCHRONISED)
        self._touch(market, full=True)

    def _on_order(self, event: OrderEvent) -> None:
        market = self._markets[event.instrument]
        change = self.ledger.apply(event)
        self._outboxes[venue_of(event.instrument)].apply(event)
        order = change.order
        if change.fill_lots:
            self._book_fill(market, event, order, change.fill_lots, change.fill_ticks)
        if order is not None and order.purpose is Purpose.QUOTE:
            if change.rejected is not None:
                market.lockouts.after_reject(order.side, event.ts_local_ns, change.rejected)
            elif change.accepted:
                market.lockouts.after_accept(order.side)
        if change.reconcile:
            market.lockouts.hold(Reason.RECONCILING, ", ".join(change.flags))
            market.facts.reconciling = True
        self._touch(market, full=True)

    def _book_fill(
        self, market: MarketState, event: OrderEvent, order: LedgerOrder | None, lots: int, ticks: int
    ) -> None:
        """A fill is a fact: it moves the position whatever else is wrong."""
        if not isinstance(event, OrderFilled):
            raise CoreError(f"the ledger saw a fill in {event!r}")
        book = market.book
        market.position.fill(
            lots,
            ticks,
            mid_half_ticks=book.half_ticks if book.trusted else None,
            fee_atto=None if event.fee is None else from_pair(event.fee),
            maker=event.maker,
        )
        market.facts.position_lots = market.position.lots
        if order is not None and order.purpose is Purpose.QUOTE:
            market.lockouts.after_fill(order.side, event.ts_local_ns)

    def _on_funding(self, event: FundingPaid) -> None:
        self._markets[event.instrument].position.funding_paid(from_pair(event.amount))

    def _on_connected(self, event: VenueConnected) -> None:
        for market in self._of_venue(event.venue):
            market.halts &= ~(_STARTING | _VENUE_DOWN)
            self._touch(market, full=True)

    def _on_disconnected(self, event: VenueDisconnected) -> None:
        for market in self._of_venue(event.venue):
            market.halts |= _VENUE_DOWN
            market.book.invalidate(InvalidCause.DISCONNECTED)
            self._touch(market, full=True)

    def _on_rate_limited(self, event: RateLimited) -> None:
        self._outboxes[event.venue].apply(event)
        for market in self._of_venue(event.venue):
            self._touch(market, full=True)

    def _on_deadline(self, event: DeadlineReached) -> None:
        now_ns = event.ts_local_ns
        for order in self.ledger.expire(now_ns):
            self._touch(self._markets[order.instrument], full=True)
        for market in self._markets.values():
            if market.deadline_ns is not None and market.deadline_ns <= now_ns:
                self._touch(market, full=True)
        self._deadline_ns = None

    def _on_operator(self, event: OperatorRequest) -> None:
        markets = self._markets.values() if event.instrument is None else (self._markets[event.instrument],)
        if event.action is OperatorAction.KILL:
            self._latch(f"operator {event.who}")
        elif event.action is OperatorAction.CLEAR_KILL:
            self.gate.clear()
        for market in markets:
            if event.action is OperatorAction.PAUSE:
                market.halts |= _PAUSED
            elif event.action is OperatorAction.RESUME:
                market.halts &= ~_PAUSED
            elif event.action is OperatorAction.CLEAR_KILL:
                market.halts &= ~_KILLED
            self._touch(market, full=True)

    def _on_shutdown(self, event: ShutdownRequested) -> None:
        self.gate.cancels_only = True
        for market in self._markets.values():
            market.halts |= _SHUTDOWN
            self._touch(market, full=True)
        self._cancel_everything(Reason.SHUTDOWN, event.ts_local_ns)

    def _of_venue(self, venue: Venue) -> list[MarketState]:
        if venue not in self._outboxes:
            raise KeyError(venue)
        return [market for market in self._markets.values() if market.instrument.venue == venue]

    def _touch(self, market: MarketState, *, full: bool = False) -> None:
        if full:
            market.full = True
        if not market.touched:
            market.touched = True
            self._touched.append(market)

    # Commands out.

    def decide(self, now_ns: int) -> Turn:
        """Decide for every instrument that changed, and release what may leave. `now_ns` never steps back."""
        if now_ns > self._now_ns:
            self._now_ns = now_ns
        now_ns = self._now_ns
        touched, self._touched = self._touched, []
        acted = self._deadline_ns is None
        for market in touched:
            market.touched = False
            if market.decision_due(now_ns):
                self._decide_market(market, now_ns)
                acted = True
        released = self._release(now_ns)
        if acted or released:
            self._deadline_ns = self._earliest_deadline_ns(now_ns)
        if not (released or self._decided or self._refusals or self._dropped):
            return Turn(now_ns)
        turn = Turn(now_ns, tuple(self._decided), tuple(self._refusals), tuple(self._dropped), tuple(released))
        self._decided, self._refusals, self._dropped = [], [], []
        return turn

    def _decide_market(self, market: MarketState, now_ns: int) -> None:
        """One full decision: price it, decide each side, and pursue what was decided."""
        self.full_decisions += 1
        if self.gate.limits_equity:
            self._check_equity(now_ns)
        pacing = _VENUE_BACKOFF if self._outboxes[market.instrument.venue].closed_until(now_ns) is not None else 0
        if self.gate.budget_low(market.id, market.facts.limits.actions_per_minute, now_ns):
            pacing |= _BUDGET_HOLD
        slots, surplus = working_slots(market)
        changed = decide_market(market, slots, pacing, now_ns)
        if changed is not None:
            self._decided.append(changed)
        if surplus or any(decision.action is not Action.HOLD for decision in market.decisions):
            self._pursue(market, list(zip(market.decisions, slots, strict=True)), surplus, now_ns)

    def _pursue(self, market: MarketState, slots: list[Slot], surplus: list[LedgerOrder], now_ns: int) -> None:
        """Plan, ask the gate, and put what it approves into the outbox."""
        capabilities = self.parameters.venues[market.instrument.venue]
        for intent in plan(market.id, slots, surplus, capabilities, self._next_client_id):
            self._submit(intent, market, now_ns)

    def _submit(self, intent: Intent, market: MarketState | None, now_ns: int) -> None:
        facts = None if market is None else market.facts
        outbox = self._outboxes[intent.venue if isinstance(intent, CancelAll) else venue_of(intent.instrument)]
        if outbox.full and isinstance(intent, PlaceOrder):
            self._refusals.append(Refusal(intent, RefusalCode.OUTBOX_FULL, outbox.waiting))
            return
        reviewed = self.gate.review(intent, facts, self.ledger, now_ns)
        if isinstance(reviewed, Refusal):
            self._refusals.append(reviewed)
            return
        self.ledger.queue(intent, now_ns)
        if market is not None and isinstance(intent, PlaceOrder):
            order = self.ledger.get(intent.client_id)
            if order is not None:
                market.quotes[intent.side].append(order)
        self._drop(outbox.offer(reviewed, now_ns), now_ns)

    def _release(self, now_ns: int) -> list[ApprovedCommand]:
        released: list[ApprovedCommand] = []
        for venue, outbox in self._outboxes.items():
            if not outbox.waiting:
                continue
            leaving, dropped = outbox.release(now_ns, self.ledger.open_orders(venue))
            self._drop(dropped, now_ns)
            for approved in leaving:
                command = approved.command
                self.ledger.released(command, now_ns)
                if isinstance(command, PlaceOrder | AmendOrder):
                    self._start_order_lockout(command, now_ns)
            released += leaving
        return released

    def _start_order_lockout(self, command: PlaceOrder | AmendOrder, now_ns: int) -> None:
        order = self.ledger.get(command.client_id)
        if order is not None and order.purpose is Purpose.QUOTE:
            market = self._markets[command.instrument]
            market.lockouts.after_order(order.side, now_ns)
            market.refresh_deadline(now_ns)

    def _drop(self, dropped: list[DroppedCommand], now_ns: int) -> None:
        for drop in dropped:
            self.ledger.dropped(drop.command, drop.code, now_ns)
            if not isinstance(drop.command, CancelAll):
                self._touch(self._markets[drop.command.instrument], full=True)
        self._dropped += dropped

    def _merge(self, place: PlaceOrder, amend: AmendOrder, now_ns: int) -> ApprovedCommand | Refusal:
        """A queued place takes over its amend's price and size: one command, reviewed like any other."""
        return self.gate.merge(place, amend, self._markets[place.instrument].facts, self.ledger, now_ns)

    def _next_client_id(self) -> ClientOrderId:
        self.last_client_id = ClientOrderId(next(self._client_ids))
        return self.last_client_id

    def _check_equity(self, now_ns: int) -> None:
        equity = sum(market.position.total_atto for market in self._markets.values())
        if self.gate.set_equity(equity, now_ns):
            self._latch("loss limit")

    def _latch(self, cause: str) -> None:
        """Stop quoting everywhere until an operator clears it."""
        self.gate.latch(cause)
        for market in self._markets.values():
            market.halts |= _KILLED
            self._touch(market, full=True)
        self._cancel_everything(Reason.KILL_LATCHED, self._now_ns)

    def _cancel_everything(self, reason: Reason, now_ns: int) -> None:
        for venue in self._outboxes:
            self._submit(CancelAll(venue, (reason,)), None, now_ns)

    def _earliest_deadline_ns(self, now_ns: int) -> int | None:
        if self._touched:
            return now_ns  # something changed while deciding: come back at once
        earliest: int | None = self.ledger.next_deadline_ns()
        for outbox in self._outboxes.values():
            earliest = _sooner(earliest, outbox.next_deadline_ns())
        for market in self._markets.values():
            earliest = _sooner(earliest, market.deadline_ns)
        return earliest


def _sooner(a: int | None, b: int | None) -> int | None:
    if a is None:
        return b
    return a if b is None or a < b else b
