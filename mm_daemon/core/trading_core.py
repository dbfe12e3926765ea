"""The heart: facts in by `apply`, commands out by `decide`. Live, paper, backtest and replay run this very class.

It reads no clock, draws no chance, logs nothing and touches no file. An event changes state; a decision turns state
into quotes with reasons (`core/market_decision.py`), reasons into intents, intents through the risk gate into commands,
and commands through the outbox to whoever drives it (`core/dispatch.py`). The driver (`runtime/core_loop.py`,
`backtest/runner.py`, `backtest/replay.py`) applies a batch of events in order, then calls `decide` once with the last
event's local time, and answers `next_deadline_ns` with `DeadlineReached`.
"""

from collections.abc import Callable, Mapping
from typing import get_args

from mm_daemon.core.checkpoint import market_checkpoint, reconfigure, take_up
from mm_daemon.core.dispatch import Dispatch
from mm_daemon.core.flattening import flatten_order
from mm_daemon.core.ledger_order import LedgerOrder
from mm_daemon.core.market import MarketState
from mm_daemon.core.market_decision import decide_market
from mm_daemon.core.order_ledger import OrderLedger
from mm_daemon.core.order_table import CONTRADICTION, LedgerChange
from mm_daemon.core.outbox import Outbox
from mm_daemon.core.parameters import CoreParameters
from mm_daemon.core.payments import Payments
from mm_daemon.core.reconciler import OVERLAP_NS, Actions, Reconciler
from mm_daemon.core.safeguards import Safeguards
from mm_daemon.domain.capabilities import AmendQuantity
from mm_daemon.domain.checkpoint import Checkpoint, MarketCheckpoint, PositionBooked
from mm_daemon.domain.decisions import ApprovedCommand, DecisionsChanged, Reason, Turn
from mm_daemon.domain.errors import CoreError
from mm_daemon.domain.events import (
    BalanceUpdate,
    BookDelta,
    BookInvalidated,
    BookSnapshot,
    CoreFailed,
    DeadlineReached,
    Event,
    FundingPaid,
    FundingUpdate,
    InstrumentUpdated,
    InvalidCause,
    LoopLagged,
    MarkPriceUpdate,
    OperatorAction,
    OperatorRequest,
    OrderEvent,
    OrderFilled,
    ParametersChanged,
    PositionUpdate,
    PublicTrade,
    RateLimited,
    RateLimitUsed,
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
from mm_daemon.domain.orders import ClientOrderId, Purpose, Side
from mm_daemon.domain.reconciliation import Reconciled
from mm_daemon.engine.models.catalogue import MODELS
from mm_daemon.engine.pricing_model import ModelFactory
from mm_daemon.risk.gate import RiskGate

_STARTING = Reason.STARTING.bit
_PAUSED = Reason.OPERATOR_PAUSED.bit
_DISABLED = Reason.MARKET_DISABLED.bit
_SHUTDOWN = Reason.SHUTDOWN.bit
_KILLED = Reason.KILL_LATCHED.bit
_VENUE_DOWN = Reason.VENUE_DOWN.bit
_MARKET_HALTED = Reason.MARKET_HALTED.bit
_LOOP_STALL = Reason.LOOP_STALL.bit
_PAUSING = (OperatorAction.PAUSE, OperatorAction.FLATTEN, OperatorAction.CANCEL_ALL)
_CLOCK_SKEW = Reason.CLOCK_SKEW.bit
_BANNED = Reason.VENUE_BANNED.bit
_BAN = "ban"
"""Who holds `reconciling` after a ban."""
LOSS_LIMIT = "loss limit"
"""Why the gate latches when money was lost."""
_FACTS = (PositionUpdate, RunEnded)
"""Kept in the journal for reports; nothing here depends on them."""


class TradingCore:
    """All trading state and the one way to change it. Built from parameters and what an earlier life left: both stand
    in `RunStarted`, so that a journal can rebuild it.
    """

    def __init__(
        self,
        parameters: CoreParameters,
        resumed: Checkpoint | None = None,
        models: Mapping[str, ModelFactory] = MODELS,
    ) -> None:
        """`models`: pricing models by name. Raises ReconciliationFailed when `resumed` holds a position that the
        contracts of today cannot express, DomainError for quoting parameters that contradict each other.
        """
        self.parameters = parameters
        self._models = models
        self._changed_parameters: str | None = None
        """What they have become in this life, where they did."""
        self._markets = {market.instrument.id: MarketState(market, models) for market in parameters.markets}
        self.ledger = OrderLedger(parameters.venues)
        for market in self._markets.values():
            market.exposed = self.ledger.exposed(market.id)
            capabilities = parameters.venues[market.instrument.venue]
            market.moves_beside = capabilities.amend and capabilities.amend_quantity is AmendQuantity.FRESH
        self.gate = RiskGate(parameters.account, [market.facts for market in self._markets.values()])
        self.safeguards = Safeguards(parameters)
        self._introduce_twins()
        self.dispatch = Dispatch(parameters, self._markets, self.ledger, self.gate, self._reconsider)
        self.family_of = self.dispatch.family_of
        self._banned_until_ns: dict[Venue, int] = {}
        """Venues that take no message of ours, and until when."""
        self.full_decisions = 0
        self.now_ns = 0
        """The latest instant that was lived; never steps back."""
        self._deadline_ns: int | None = None
        self._deadline_known = False
        """Whether `_deadline_ns` is early enough, so that a decision can only bring it forward; else all are asked."""
        self._equity_atto: int | None = None
        """What the account was worth when it was last counted; None: not counted in this life."""
        self._revalued: dict[InstrumentId, MarketState] = {}
        """Markets whose worth may have changed since."""
        self._touched: list[MarketState] = []
        self._decided: list[DecisionsChanged] = []
        self._booked: dict[InstrumentId, MarketState] = {}
        self._reconciled: list[Reconciled] = []
        self._payments = Payments(self.ledger.history_ns)
        actions = Actions(self._on_order, self._on_funding, self._payments.seen, self.dispatch.submit)
        self._reconcilers = {
            venue: Reconciler(
                venue,
                capabilities,
                [market for market in self._markets.values() if market.instrument.venue == venue],
                self.ledger,
                actions,
            )
            for venue, capabilities in parameters.venues.items()
        }
        self._resumed_ns = 0
        """When the life that we continue was last known to be, on its clock."""
        self._absent: tuple[MarketCheckpoint, ...] = ()
        """Markets of an earlier life that this run does not trade; kept for one that does."""
        if resumed is not None:
            self._resume(resumed)
        for market in self._markets.values():
            market.halts = _STARTING | _VENUE_DOWN | (0 if self.gate.latched is None else _KILLED)
            if not market.instrument.tradable:
                market.halts |= _MARKET_HALTED
            if self.gate.latched is not None:
                market.flattening |= parameters.account.flatten_on_kill
            _heed_operator(market)
        self._handlers: dict[type, Callable[..., None]] = {
            BookDelta: self._on_delta,
            TopOfBook: self._on_top,
            BookSnapshot: self._on_snapshot,
            BookInvalidated: self._on_invalidated,
            PublicTrade: self._on_trade,
            MarkPriceUpdate: self._on_mark,
            InstrumentUpdated: self._on_instrument,
            StreamStale: self._on_stale,
            **dict.fromkeys(get_args(OrderEvent), self._on_order),
            FundingUpdate: self._on_funding_update,
            FundingPaid: self._on_funding,
            VenueSnapshotReceived: self._on_venue_snapshot,
            VenueConnected: self._on_connected,
            VenueDisconnected: self._on_disconnected,
            RateLimited: self._on_rate_limited,
            RateLimitUsed: self._on_rate_used,
            VenueTime: self._on_venue_time,
            BalanceUpdate: self._on_balance,
            CoreFailed: self._on_core_failed,
            DeadlineReached: self._on_deadline,
            LoopLagged: self._on_loop_lagged,
            OperatorRequest: self._on_operator,
            ParametersChanged: self._on_parameters,
            ShutdownRequested: self._on_shutdown,
            RunStarted: self._on_run_started,
            **dict.fromkeys(_FACTS, self._on_fact),
        }

    # What others may ask.

    @property
    def markets(self) -> Mapping[InstrumentId, MarketState]:
        return self._markets

    @property
    def outboxes(self) -> Mapping[Venue, Outbox]:
        """What waits to leave, by venue; for reading."""
        return self.dispatch.outboxes

    @property
    def last_client_id(self) -> ClientOrderId:
        return self.dispatch.last_client_id

    @property
    def stopped(self) -> bool:
        """A stop was asked for and no order of ours may be alive any more."""
        return self.gate.cancels_only and self.ledger.open_orders() == 0

    @property
    def reconciled(self) -> bool:
        """Every market agrees with its venue: none waits for its start, none is held for an unexplained difference."""
        return not any(market.halts & _STARTING or market.facts.reconciling for market in self._markets.values())

    def fills_since_ns(self, venue: Venue) -> int | None:
        """From what venue time on the next snapshot should tell fills; None: this venue has not been met before."""
        return self._reconcilers[venue].fills_since_ns

    def next_deadline_ns(self) -> int | None:
        """When to be told `DeadlineReached`, if nothing happens before; None: never."""
        return self._deadline_ns

    # Another life.

    def checkpoint(self) -> Checkpoint:
        """Everything that must outlive this process."""
        cursors = tuple(cursor for each in self._reconcilers.values() if (cursor := each.kept_cursor()) is not None)
        since_ns = {cursor.venue: cursor.complete_ns - OVERLAP_NS for cursor in cursors}
        return Checkpoint(
            self.now_ns or self._resumed_ns,
            ClientOrderId(self.last_client_id + 1),
            self.ledger.state(self.now_ns, since_ns),
            self._payments.state(since_ns),
            (*(market_checkpoint(market) for market in self._markets.values()), *self._absent),
            cursors,
            self.gate.state(),
            tuple(self._banned_until_ns.items()),
            self._changed_parameters,
        )

    def _resume(self, resumed: Checkpoint) -> None:
        self._resumed_ns = resumed.now_ns
        self.dispatch.skip_ids(ClientOrderId(resumed.next_client_id - 1))
        self.gate.restore(resumed.gate)
        self._payments.restore(resumed.payments)
        for venue, until_ns in resumed.bans:
            if venue in self._reconcilers:
                self._banned_until_ns[venue] = until_ns
        for cursor in resumed.cursors:
            if cursor.venue in self._reconcilers:
                self._reconcilers[cursor.venue].cursor = cursor
        for state in resumed.markets:
            if state.instrument in self._markets:
                take_up(self._markets[state.instrument], state, resumed.now_ns)
        self._absent = tuple(state for state in resumed.markets if state.instrument not in self._markets)
        self.dispatch.take_up(self.ledger.restore(resumed.ledger))

    def _introduce_twins(self) -> None:
        """Markets that are one book under several accounts of ours (G7): one exchange by its connectors, one symbol,
        one tick."""
        books: dict[tuple[str, str, object], list[MarketState]] = {}
        for market in self._markets.values():
            contract = market.instrument
            exchange = self.parameters.venues[contract.venue].exchange
            if exchange:
                books.setdefault((exchange, contract.symbol, contract.tick), []).append(market)
        for twins in books.values():
            for market in twins:
                market.facts.twins = tuple(other.id for other in twins if other is not market)

    def _on_run_started(self, event: RunStarted) -> None:
        """A life that begins before the last one ended, as recordings do when they are played again, has another clock:
        what runs keeps the time it had left.
        """
        self._equity_atto = None
        back_ns = self._resumed_ns - event.ts_local_ns
        if back_ns > 0:
            self.ledger.lose_clock(back_ns)
            for market in self._markets.values():
                market.lockouts.shift(-back_ns)
                market.engine.lose_clock(back_ns)
                if market.guard is not None:
                    market.guard.lose_clock(back_ns)
        bans, self._banned_until_ns = self._banned_until_ns, {}
        for venue, until_ns in bans.items():
            ends_ns = until_ns - max(back_ns, 0)
            if ends_ns > event.ts_local_ns:
                self._ban(venue, ends_ns)

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
        self._lose_book(market, event.cause)

    def _book_moved(self, market: MarketState, ts_local_ns: int) -> None:
        book = market.book
        if book.trusted:
            if book.half_ticks != market.position.half_ticks:
                market.position.mark(book.half_ticks)
                self._revalued[market.id] = market
            if market.engine.observe(book, ts_local_ns):
                self._reconsider(market)
        market.book_moved = True
        if not market.touched:
            market.touched = True
            self._touched.append(market)

    def _lose_book(self, market: MarketState, cause: InvalidCause) -> None:
        market.book.invalidate(cause)
        market.engine.conditions.lose_book()
        self._reconsider(market)

    def _on_trade(self, event: PublicTrade) -> None:
        market = self._markets[event.instrument]
        market.engine.conditions.on_trade(event)
        market.trade_ns = event.ts_local_ns
        self._touch(market)

    def _on_funding_update(self, event: FundingUpdate) -> None:
        market = self._markets[event.instrument]
        market.engine.conditions.on_funding(event)
        self._touch(market)

    def _on_mark(self, event: MarkPriceUpdate) -> None:
        market = self._markets[event.instrument]
        market.facts.mark_half_ticks = event.mark_half_ticks
        self._touch(market)

    def _on_fact(self, event: Event) -> None:
        """Nothing changes by it."""

    def _on_instrument(self, event: InstrumentUpdated) -> None:
        """The contract changed under us: its orders are pulled and it stays out until a run is started with the new
        one.
        """
        market = self._markets[event.instrument]
        market.halts |= Reason.GRID_CHANGED.bit if event.definition.tradable else _MARKET_HALTED
        market.facts.tradable = event.definition.tradable
        self._reconsider(market)

    def _on_stale(self, event: StreamStale) -> None:
        self._lose_book(self._markets[event.instrument], InvalidCause.UNSYNCHRONISED)

    def _on_order(self, event: OrderEvent, age_ns: int = 0) -> None:
        """`age_ns`: how long ago the venue says it happened, for a fill that a snapshot told of."""
        market = self._markets[event.instrument]
        change = self.ledger.apply(event)
        self.dispatch.outboxes[venue_of(event.instrument)].apply(event)
        order = change.order
        if change.fill_lots:
            self._book_fill(market, event, order, change, age_ns)
        if order is not None and order.purpose is Purpose.QUOTE:
            if change.rejected is not None:
                market.lockouts.after_reject(order.side, event.ts_local_ns, change.rejected)
                self._distrust(self.safeguards.rejected(change.rejected, event.ts_local_ns))
            elif change.accepted:
                market.lockouts.after_accept(order.side)
        if change.reconcile:
            market.lockouts.hold(Reason.RECONCILING, ", ".join(change.flags))
            market.facts.reconciling = True
            if CONTRADICTION in change.flags:
                self._distrust(self.safeguards.contradicted(event.ts_local_ns))
        self._reconsider(market)

    def _distrust(self, cause: str | None) -> None:
        """Something went wrong too often, or too far: nothing is quoted until an operator has looked."""
        if cause is not None and self.gate.latched is None:
            self._latch(cause)

    def _book_fill(
        self, market: MarketState, event: OrderEvent, order: LedgerOrder | None, change: LedgerChange, age_ns: int
    ) -> None:
        """A fill is a fact: it moves the position whatever else is wrong."""
        if not isinstance(event, OrderFilled):
            raise CoreError(f"the ledger saw a fill in {event!r}")
        book = market.book
        market.position.fill(
            change.fill_lots,
            change.fill_ticks,
            mid_half_ticks=book.half_ticks if book.trusted else None,
            fee_atto=None if event.fee is None else from_pair(event.fee),
            maker=event.maker,
        )
        market.facts.position_lots = market.position.lots
        self._booked[market.id] = market
        self._revalued[market.id] = market
        if order is not None and order.purpose is Purpose.QUOTE:
            market.lockouts.after_fill(order.side, event.ts_local_ns, age_ns)
        self.gate.budget.count_fill(market.id, market.facts.limits, event.ts_local_ns)
        self._distrust(self.safeguards.overrun(market, change.fill_lots))

    def _on_funding(self, event: FundingPaid) -> None:
        """Each payment once, by the venue's key."""
        market = self._markets[event.instrument]
        if self._payments.seen(event):
            return
        self._payments.note(event)
        market.position.funding_paid(from_pair(event.amount))
        self._booked[market.id] = market
        self._revalued[market.id] = market
        self._touch(market)

    def _on_venue_snapshot(self, event: VenueSnapshotReceived) -> None:
        came_of_it = self._reconcilers[event.venue].take(event.snapshot, event.ts_local_ns)
        if came_of_it is not None:
            self._reconciled.append(came_of_it)
            for market in self._of_venue(event.venue):
                self._reconsider(market)

    def _on_connected(self, event: VenueConnected) -> None:
        for market in self._of_venue(event.venue):
            market.halts &= ~_VENUE_DOWN
            self._reconsider(market)

    def _on_disconnected(self, event: VenueDisconnected) -> None:
        for market in self._of_venue(event.venue):
            market.halts |= _VENUE_DOWN
            self._lose_book(market, InvalidCause.DISCONNECTED)

    def _on_rate_limited(self, event: RateLimited) -> None:
        outbox = self.dispatch.outboxes[event.venue]
        outbox.apply(event)
        if event.banned:
            self._ban(event.venue, outbox.banned_until_ns)
        for market in self._of_venue(event.venue):
            self._reconsider(market)

    def _ban(self, venue: Venue, until_ns: int) -> None:
        self._banned_until_ns[venue] = until_ns
        self.dispatch.outboxes[venue].ban(until_ns)
        for market in self._of_venue(venue):
            market.halts |= _BANNED

    def _end_bans(self, now_ns: int) -> None:
        """What happened at a venue that would not hear us is not known: it reconciles before it quotes."""
        for venue in [venue for venue, until_ns in self._banned_until_ns.items() if until_ns <= now_ns]:
            del self._banned_until_ns[venue]
            for market in self._of_venue(venue):
                market.halts &= ~_BANNED
                market.lockouts.hold(Reason.RECONCILING, _BAN)
                market.facts.reconciling = True
                self._reconsider(market)

    def _on_rate_used(self, event: RateLimitUsed) -> None:
        self.dispatch.outboxes[event.venue].used(event)
        self._pace_anew(event.venue)

    def _on_venue_time(self, event: VenueTime) -> None:
        """The venue's clock and height: one may be too far from ours, the other brings back what a block allows."""
        skewed = self.safeguards.venue_time(event)
        if skewed is not None:
            for market in self._of_venue(event.venue):
                market.halts = market.halts | _CLOCK_SKEW if skewed else market.halts & ~_CLOCK_SKEW
                self._reconsider(market)
        if event.height is not None:
            self.dispatch.outboxes[event.venue].at_height(event.height, event.ts_local_ns)
            self._pace_anew(event.venue)

    def _pace_anew(self, venue: Venue) -> None:
        """A limit of the venue has moved: what it held back may go on. What it holds from now on is seen at the next
        decision."""
        for market in self._of_venue(venue):
            if market.paced:
                self._reconsider(market)

    def _on_balance(self, event: BalanceUpdate) -> None:
        self.gate.exposure.balances[event.venue, event.asset] = from_pair(event.total)
        if self.gate.exposure.limited:
            for market in self._of_venue(event.venue):
                self._reconsider(market)

    def _on_core_failed(self, event: CoreFailed) -> None:
        self._distrust(f"exception in the core: {event.text}")

    def _on_deadline(self, event: DeadlineReached) -> None:
        now_ns = event.ts_local_ns
        if self._banned_until_ns:
            self._end_bans(now_ns)
        for order in self.ledger.expire(now_ns):
            self._reconsider(self._markets[order.instrument])
        for market in self._markets.values():
            if market.deadline_ns is not None and market.deadline_ns <= now_ns:
                self._reconsider(market)
        self._deadline_known = False

    def _on_loop_lagged(self, event: LoopLagged) -> None:
        """We were late, so what we know may be old: everything is pulled until we have kept time for a while (R14)."""
        for market in self._markets.values():
            market.halts = market.halts | _LOOP_STALL if event.late_ms else market.halts & ~_LOOP_STALL
            self._reconsider(market)

    def _on_operator(self, event: OperatorRequest) -> None:
        action = event.action
        markets = self._markets.values() if event.instrument is None else (self._markets[event.instrument],)
        if action is OperatorAction.KILL:
            self._latch(f"operator {event.who}")
        elif action is OperatorAction.CLEAR_KILL:
            self.gate.clear()
            self.safeguards.clear()
        elif action is OperatorAction.CANCEL_ALL:
            self.dispatch.cancel_everything(Reason.OPERATOR_CANCEL, event.ts_local_ns)
        for market in markets:
            if action in _PAUSING:
                market.paused = True
                market.flattening = action is OperatorAction.FLATTEN
            elif action is OperatorAction.RESUME:
                market.paused = market.flattening = False
            elif action is OperatorAction.CLEAR_KILL:
                market.halts &= ~_KILLED
            elif action is OperatorAction.ENABLE:
                market.enabled = True
            elif action is OperatorAction.DISABLE:
                market.enabled = False
            _heed_operator(market)
            self._reconsider(market)

    def _on_parameters(self, event: ParametersChanged) -> None:
        """The configuration was read again. Raises DomainError for parameters that contradict each other, CoreError
        for other markets or contracts than we began with: whoever sent it should have looked.
        """
        parameters = CoreParameters.from_json(event.parameters)
        if [market.instrument for market in parameters.markets] != [each.instrument for each in self._markets.values()]:
            raise CoreError("changed parameters name other markets or contracts than those of the start")
        self.parameters, self._changed_parameters = parameters, event.parameters
        self.gate.limit(parameters.account)
        self.safeguards.limit(parameters)
        self._equity_atto = None
        for wanted in parameters.markets:
            market = self._markets[wanted.instrument.id]
            if wanted == market.configured:
                continue
            if wanted.quoting.enabled is not market.parameters.quoting.enabled:
                market.enabled = None  # the newer word counts
            reconfigure(market, wanted, self._models, event.ts_local_ns)
            _heed_operator(market)
            self._reconsider(market)

    def _on_shutdown(self, event: ShutdownRequested) -> None:
        self.gate.cancels_only = True
        for market in self._markets.values():
            market.halts |= _SHUTDOWN
            self._reconsider(market)
        self.dispatch.cancel_everything(Reason.SHUTDOWN, event.ts_local_ns)

    def _of_venue(self, venue: Venue) -> list[MarketState]:
        if venue not in self._reconcilers:
            raise KeyError(venue)
        return [market for market in self._markets.values() if market.instrument.venue == venue]

    def _touch(self, market: MarketState) -> None:
        """Something changed here: `decide` looks whether that calls for a decision."""
        if not market.touched:
            market.touched = True
            self._touched.append(market)

    def _reconsider(self, market: MarketState) -> None:
        """Something changed here that calls for a full decision."""
        market.full = True
        self._deadline_known = False
        self._touch(market)

    # Commands out.

    def reach(self, now_ns: int) -> int:
        """Time has come this far; the core's now."""
        if now_ns > self.now_ns:
            self.now_ns = now_ns
        return self.now_ns

    def decide(self, now_ns: int) -> Turn:
        """Decide for every instrument that changed, and release what may leave. `now_ns` never steps back."""
        if now_ns < self.now_ns:
            now_ns = self.now_ns
        self.now_ns = now_ns
        touched, self._touched = self._touched, []
        for market in touched:
            market.touched = False
            due = market.decision_due(now_ns)
            market.book_moved = False
            if due:
                self._decide_market(market, now_ns)
                if self._deadline_known:
                    self._deadline_ns = _sooner(self._deadline_ns, market.deadline_ns)
        dispatch = self.dispatch
        released: list[ApprovedCommand] = []
        if dispatch.waiting:
            released = dispatch.release(now_ns)
            self._deadline_known = False  # what left awaits its answer, and what still waits may leave later
        if not self._deadline_known:
            self._deadline_ns = self._earliest_deadline_ns(now_ns)
            self._deadline_known = not self._touched
        if not (self._decided or released or dispatch.refusals or dispatch.dropped or self._booked or self._reconciled):
            return Turn(now_ns)
        turn = Turn(
            now_ns,
            tuple(self._decided),
            *dispatch.take_unsent(),
            tuple(released),
            tuple(PositionBooked(market.id, market.position.state()) for market in self._booked.values()),
            tuple(self._reconciled),
        )
        self._decided, self._reconciled = [], []
        self._booked.clear()
        return turn

    def _decide_market(self, market: MarketState, now_ns: int) -> None:
        """One full decision: price it, decide each side, and pursue what was decided."""
        self.full_decisions += 1
        if self.gate.limits_equity:
            self._check_equity(now_ns)
        exposure = self.gate.exposure
        if exposure.limited:
            market.bid_bar = exposure.bar(market.facts, Side.BUY, market.wanted_lots, self.ledger)
            market.ask_bar = exposure.bar(market.facts, Side.SELL, market.wanted_lots, self.ledger)
        changed = decide_market(market, self.dispatch.pacing(market, now_ns), now_ns)
        if changed is not None:
            self._decided.append(changed)
        if self.dispatch.waiting:
            self.dispatch.drop_superseded(market, now_ns)
        if market.surplus or not market.holding:
            self.dispatch.pursue(market, now_ns)
        if market.flattening and (self.gate.latched is None or self.gate.account.flatten_on_kill):
            self._flatten(market, now_ns)

    def _flatten(self, market: MarketState, now_ns: int) -> None:
        order = flatten_order(market, self.ledger.alive(market.id), self.dispatch.next_client_id, now_ns)
        if order is not None:
            self.dispatch.submit(order, market, now_ns)
            market.refresh_deadline(now_ns)

    def _check_equity(self, now_ns: int) -> None:
        """What the account is worth now, all of it at once: what one market lost another may have won."""
        if self._equity_atto is None:
            self._equity_atto = 0
            for market in self._markets.values():
                market.worth_atto = 0
            self._revalued.update(self._markets)
        for market in self._revalued.values():
            self._equity_atto += market.reassess()
        self._revalued.clear()
        if self.gate.set_equity(self._equity_atto, now_ns):
            self._latch(LOSS_LIMIT)

    def _latch(self, cause: str) -> None:
        """Stop quoting everywhere until an operator clears it."""
        self.gate.latch(cause)
        for market in self._markets.values():
            market.halts |= _KILLED
            market.flattening |= self.gate.account.flatten_on_kill
            self._reconsider(market)
        self.dispatch.cancel_everything(Reason.KILL_LATCHED, self.now_ns)

    def _earliest_deadline_ns(self, now_ns: int) -> int | None:
        if self._touched:
            return now_ns  # something changed while deciding: come back at once
        earliest: int | None = self.ledger.next_deadline_ns()
        for until_ns in self._banned_until_ns.values():
            earliest = _sooner(earliest, until_ns)
        for outbox in self.dispatch.outboxes.values():
            earliest = _sooner(earliest, outbox.next_deadline_ns())
        for market in self._markets.values():
            earliest = _sooner(earliest, market.deadline_ns)
        return earliest


def _sooner(a: int | None, b: int | None) -> int | None:
    if a is None:
        return b
    return a if b is None or a < b else b


def _heed_operator(market: MarketState) -> None:
    """Let the market's halts say what operator and configuration want of it."""
    market.halts &= ~(_PAUSED | _DISABLED)
    if market.paused:
        market.halts |= _PAUSED
    enabled = market.parameters.quoting.enabled if market.enabled is None else market.enabled
    if not enabled:
        market.halts |= _DISABLED
