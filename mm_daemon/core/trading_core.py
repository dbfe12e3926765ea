"""The heart: facts in by `apply`, commands out by `decide`. Live, paper, backtest and replay run this very class.

It reads no clock, draws no chance, logs nothing and touches no file. An event changes state: market data here, what
venues say of our orders and money in `core/accounts.py`, what they say of themselves in `core/venue_links.py`, what an
operator or a limit says in `core/control.py`. A decision turns state into quotes with reasons
(`core/market_decision.py`), reasons into intents, intents through the risk gate into commands, and commands through the
outbox to whoever drives it (`core/dispatch.py`). The driver (`runtime/core_loop.py`, `backtest/runner.py`,
`backtest/replay.py`) applies a batch of events in order, then calls `decide` once with the last event's local time, and
answers `next_deadline_ns` with `DeadlineReached`.
"""

from collections.abc import Callable, Mapping

from mm_daemon.core.accounts import Accounts
from mm_daemon.core.agenda import Agenda
from mm_daemon.core.checkpoint import market_checkpoint, take_up
from mm_daemon.core.control import Control
from mm_daemon.core.dispatch import Dispatch
from mm_daemon.core.flattening import flatten_order
from mm_daemon.core.market import MarketState
from mm_daemon.core.market_decision import decide_market
from mm_daemon.core.order_ledger import OrderLedger
from mm_daemon.core.outbox import Outbox
from mm_daemon.core.parameters import CoreParameters
from mm_daemon.core.reconciler import OVERLAP_NS
from mm_daemon.core.resolver import Resolver
from mm_daemon.core.safeguards import Safeguards
from mm_daemon.core.venue_clock import VenueClock
from mm_daemon.core.venue_links import VenueLinks
from mm_daemon.domain.capabilities import AmendQuantity
from mm_daemon.domain.checkpoint import Checkpoint, MarketCheckpoint
from mm_daemon.domain.deadlines import sooner
from mm_daemon.domain.decisions import ApprovedCommand, DecisionsChanged, Reason, Turn
from mm_daemon.domain.errors import CoreError
from mm_daemon.domain.events import (
    BookDelta,
    BookInvalidated,
    BookSnapshot,
    DeadlineReached,
    Event,
    FundingUpdate,
    InstrumentUpdated,
    InvalidCause,
    MarkPriceUpdate,
    PositionUpdate,
    PublicTrade,
    RunEnded,
    RunStarted,
    StreamStale,
    TopOfBook,
    VenueSnapshotReceived,
    VolatilityUpdate,
)
from mm_daemon.domain.instrument import InstrumentId, Venue
from mm_daemon.domain.orders import ClientOrderId, Purpose, Side
from mm_daemon.domain.reconciliation import Reconciled
from mm_daemon.engine.models.catalogue import MODELS
from mm_daemon.engine.pricing_model import ModelFactory
from mm_daemon.engine.units import annual_vol_to_bps
from mm_daemon.risk.gate import RiskGate

_STARTING = Reason.STARTING.bit
_VENUE_DOWN = Reason.VENUE_DOWN.bit
_MARKET_HALTED = Reason.MARKET_HALTED.bit
_PLACE_PENDING = Reason.PLACE_PENDING.bit
_PER_ONE = 1e6
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
        venues = parameters.venues
        self._markets = {market.instrument.id: MarketState(market, models) for market in parameters.markets}
        self._agenda = agenda = Agenda(self._markets, venues)
        self.ledger = OrderLedger(venues, parameters.orders)
        self.gate = RiskGate(parameters.account, [market.facts for market in self._markets.values()])
        self.safeguards = Safeguards(parameters)
        clocks = {venue: VenueClock() for venue in venues}
        self.dispatch = Dispatch(parameters, self._markets, self.ledger, self.gate, clocks, agenda.reconsider)
        self._control = Control(parameters, models, agenda, self.gate, self.safeguards, self.dispatch)
        self._accounts = Accounts(
            parameters, agenda, self.ledger, self.gate, self.safeguards, self.dispatch, clocks, self._control
        )
        self._links = VenueLinks(agenda, self.gate, self.safeguards, self.dispatch, self._accounts, self._lose_book)
        for market in self._markets.values():
            market.exposed = self.ledger.exposed(market.id)
            capabilities = venues[market.instrument.venue]
            market.moves_beside = capabilities.amend and capabilities.amend_quantity is AmendQuantity.FRESH
        self._introduce_twins()
        self.full_decisions = 0
        self.quiet = True
        """Whether the last turn said nothing."""
        self._deadline_ns: int | None = None
        self._decided: list[DecisionsChanged] = []
        self._resumed_ns = 0
        """When the life that we continue was last known to be, on its clock."""
        self._absent: tuple[MarketCheckpoint, ...] = ()
        """Markets of an earlier life that this run does not trade; kept for one that does."""
        if resumed is not None:
            self._resume(resumed)
        for market in self._markets.values():
            market.halts = _STARTING | _VENUE_DOWN | (0 if market.instrument.tradable else _MARKET_HALTED)
        self._control.open()
        self._handlers: dict[type, Callable[..., None]] = {
            BookDelta: self._on_delta,
            TopOfBook: self._on_top,
            BookSnapshot: self._on_snapshot,
            BookInvalidated: self._on_invalidated,
            PublicTrade: self._on_trade,
            MarkPriceUpdate: self._on_mark,
            FundingUpdate: self._on_funding_update,
            VolatilityUpdate: self._on_volatility,
            InstrumentUpdated: self._on_instrument,
            StreamStale: self._on_stale,
            DeadlineReached: self._on_deadline,
            RunStarted: self._on_run_started,
            **dict.fromkeys(_FACTS, self._on_fact),
            **self._accounts.handlers(),
            **self._links.handlers(),
            **self._control.handlers(),
        }

    # What others may ask.

    @property
    def parameters(self) -> CoreParameters:
        """What it goes by now."""
        return self._control.parameters

    @property
    def now_ns(self) -> int:
        """The latest instant that was lived; never steps back."""
        return self._agenda.now_ns

    @property
    def markets(self) -> Mapping[InstrumentId, MarketState]:
        return self._markets

    @property
    def outboxes(self) -> Mapping[Venue, Outbox]:
        """What waits to leave, by venue; for reading."""
        return self.dispatch.outboxes

    @property
    def resolver(self) -> Resolver:
        """Orders in doubt; for reading."""
        return self._accounts.resolver

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
        return self._accounts.agreed

    @property
    def settled(self) -> bool:
        """Nothing is open between us and the venues: they agree with us and no order is in doubt."""
        return not self.ledger.uncertain and self.reconciled

    def family_of(self, instrument: InstrumentId) -> str:
        """Contracts that may share a message to their venue."""
        return self.dispatch.family_of(instrument)

    def fills_since_ns(self, venue: Venue) -> int | None:
        """From what venue time on the next snapshot should tell fills; None: this venue has not been met before."""
        return self._accounts.reconcilers[venue].fills_since_ns

    def agreed_ns(self, venue: Venue) -> int | None:
        """When this venue's account was last found equal to what we believe; None: not in this life."""
        return self._accounts.reconcilers[venue].agreed_ns

    def next_deadline_ns(self) -> int | None:
        """When to be told `DeadlineReached`, if nothing happens before; None: never."""
        return self._deadline_ns

    # Another life.

    def leave_unanswered(self) -> None:
        """Forget what a decision would have told, and quotes that have ended: for those who live a journal again, whose
        answers stand in it.
        """
        self._agenda.take_news()
        self.dispatch.take_unsent()
        for market in self._markets.values():
            for side, orders in market.quotes.items():
                if any(order.final for order in orders):
                    market.quotes[side] = [order for order in orders if not order.final]

    def relive_round(self, of: VenueSnapshotReceived | Reconciled) -> None:
        """A comparison of an earlier life: the snapshot it looked at, or what came of it."""
        reconciler = self._accounts.reconcilers[of.venue]
        if isinstance(of, Reconciled):
            held = [(market, market.position.state()) for market in self._agenda.of_venue(of.venue)]
            reconciler.relive(of)
            for market, state in held:  # as the turn has it, whose positions are written down in front of this
                market.position.restore(state)
                market.facts.position_lots = market.position.lots
            return
        reconciler.relives = True
        self.apply(of)
        reconciler.relives = False

    def checkpoint(self) -> Checkpoint:
        """Everything that must outlive this process."""
        reconcilers = self._accounts.reconcilers.values()
        cursors = tuple(cursor for each in reconcilers if (cursor := each.kept_cursor()) is not None)
        since_ns = {cursor.venue: cursor.complete_ns - OVERLAP_NS for cursor in cursors}
        return Checkpoint(
            self.now_ns or self._resumed_ns,
            ClientOrderId(self.last_client_id + 1),
            self.ledger.state(self.now_ns, since_ns),
            self._accounts.payments.state(since_ns),
            (*(market_checkpoint(market) for market in self._markets.values()), *self._absent),
            cursors,
            self.gate.state(),
            tuple(self._links.banned_until_ns.items()),
            self._control.changed_parameters,
        )

    def _resume(self, resumed: Checkpoint) -> None:
        reconcilers = self._accounts.reconcilers
        self._resumed_ns = resumed.now_ns
        self.dispatch.skip_ids(ClientOrderId(resumed.next_client_id - 1))
        self.gate.restore(resumed.gate)
        self._accounts.payments.restore(resumed.payments)
        self._links.banned_until_ns = {venue: until_ns for venue, until_ns in resumed.bans if venue in reconcilers}
        for cursor in resumed.cursors:
            if cursor.venue in reconcilers:
                reconcilers[cursor.venue].cursor = cursor
                self.ledger.history_ns[cursor.venue] = cursor.history_ns
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
        self._control.recount()
        for reconciler in self._accounts.reconcilers.values():
            reconciler.whole = event.whole
        back_ns = max(self._resumed_ns - event.ts_local_ns, 0)
        if back_ns:
            self.ledger.lose_clock(back_ns)
            for market in self._markets.values():
                market.lockouts.shift(-back_ns)
                market.engine.lose_clock(back_ns)
                if market.guard is not None:
                    market.guard.lose_clock(back_ns)
        self._links.take_up(back_ns, event.ts_local_ns)

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
                self._agenda.revalued[market.id] = market
            if market.engine.observe(book, ts_local_ns):
                self._agenda.reconsider(market)
        market.book_moved = True
        if not market.touched:  # `Agenda.touch`, without a call for each book event
            market.touched = True
            self._agenda.touched.append(market)

    def _lose_book(self, market: MarketState, cause: InvalidCause) -> None:
        market.book.invalidate(cause)
        market.engine.conditions.lose_book()
        self._agenda.reconsider(market)

    def _on_trade(self, event: PublicTrade) -> None:
        market = self._markets[event.instrument]
        market.engine.on_trade(event)
        market.trade_ns = event.ts_local_ns
        self._agenda.touch(market)

    def _on_funding_update(self, event: FundingUpdate) -> None:
        market = self._markets[event.instrument]
        market.engine.conditions.on_funding(event)
        self._agenda.touch(market)

    def _on_volatility(self, event: VolatilityUpdate) -> None:
        market = self._markets[event.instrument]
        market.engine.volatility.tell(annual_vol_to_bps(event.annual_e6 / _PER_ONE))
        self._agenda.touch(market)

    def _on_mark(self, event: MarkPriceUpdate) -> None:
        market = self._markets[event.instrument]
        market.facts.mark_half_ticks = event.mark_half_ticks
        self._agenda.touch(market)

    def _on_fact(self, event: Event) -> None:
        """Nothing changes by it."""

    def _on_instrument(self, event: InstrumentUpdated) -> None:
        """The contract changed under us: its orders are pulled and it stays out until a run is started with the new
        one.
        """
        market = self._markets[event.instrument]
        market.halts |= Reason.GRID_CHANGED.bit if event.definition.tradable else _MARKET_HALTED
        market.facts.tradable = event.definition.tradable
        self._agenda.reconsider(market)

    def _on_stale(self, event: StreamStale) -> None:
        self._lose_book(self._markets[event.instrument], InvalidCause.UNSYNCHRONISED)

    def _on_deadline(self, event: DeadlineReached) -> None:
        now_ns = event.ts_local_ns
        self._links.end_bans(now_ns)
        for order in self.ledger.expire(now_ns):
            self._agenda.reconsider(self._markets[order.instrument])
            self.resolver.news = True
        for market in self._markets.values():
            if market.deadline_ns is not None and market.deadline_ns <= now_ns:
                self._agenda.reconsider(market)
        self._agenda.deadline_known = False

    # Commands out.

    def reach(self, now_ns: int) -> int:
        """Time has come this far; the core's now."""
        agenda = self._agenda
        if now_ns > agenda.now_ns:
            agenda.now_ns = now_ns
        return agenda.now_ns

    def decide(self, now_ns: int) -> Turn:
        """Decide for every instrument that changed, and release what may leave. `now_ns` never steps back."""
        agenda, dispatch, accounts = self._agenda, self.dispatch, self._accounts
        if now_ns > agenda.now_ns:  # `reach`, without a call for each turn
            agenda.now_ns = now_ns
        else:
            now_ns = agenda.now_ns
        if self.ledger.uncertain or accounts.resolver.open:
            accounts.resolve(now_ns)
        touched, agenda.touched = agenda.touched, []
        for market in touched:
            market.touched = False
            due = market.decision_due(now_ns)
            market.book_moved = False
            if due:
                self._decide_market(market, now_ns)
                if agenda.deadline_known:
                    self._deadline_ns = sooner(self._deadline_ns, market.deadline_ns)
        if dispatch.refusals:
            self._control.heed_gate()
        released: list[ApprovedCommand] = []
        if dispatch.waiting:
            released = dispatch.release(now_ns)
            agenda.deadline_known = False  # what left awaits its answer, and what still waits may leave later
        if not agenda.deadline_known:
            self._deadline_ns = self._earliest_deadline_ns(now_ns)
            agenda.deadline_known = not agenda.touched
        self.quiet = not (self._decided or released or dispatch.refusals or dispatch.dropped or agenda.news)
        if self.quiet:
            return Turn(now_ns)
        decided = tuple(self._decided)
        refused, dropped = dispatch.take_unsent()
        booked, reconciled, queries = agenda.take_news()
        self._decided = []
        return Turn(now_ns, decided, refused, dropped, tuple(released), booked, reconciled, queries=queries)

    def _decide_market(self, market: MarketState, now_ns: int) -> None:
        """One full decision: price it, decide each side, and pursue what was decided."""
        self.full_decisions += 1
        if self.gate.limits_equity:
            self._control.check_equity(now_ns)
        exposure = self.gate.exposure
        if exposure.limited:
            if market.resizes and market.book.trusted:
                market.resize(market.book, now_ns)  # a bar is for the size that will be asked for
            market.bid_bar = exposure.bar(market.facts, Side.BUY, market.wanted_lots, self.ledger)
            market.ask_bar = exposure.bar(market.facts, Side.SELL, market.wanted_lots, self.ledger)
        holds = self.dispatch.pacing(market, now_ns)
        if market.flatten_due_ns and self._works_off(market):
            holds |= _PLACE_PENDING
        changed = decide_market(market, holds, now_ns)
        if changed is not None:
            self._decided.append(changed)
        if self.dispatch.waiting:
            self.dispatch.drop_superseded(market, now_ns)
        if market.surplus or not market.holding:
            self.dispatch.pursue(market, now_ns)
        if market.flattening and self._control.may_flatten():
            self._flatten(market, now_ns)

    def _flatten(self, market: MarketState, now_ns: int) -> None:
        alive, filled_ns = self.ledger.alive(market.id), self.ledger.fills_touched_ns(market.id)
        order = flatten_order(market, alive, filled_ns, self.dispatch.next_client_id, now_ns)
        if order is not None:
            self.dispatch.submit(self.dispatch.bounded(order, now_ns), market, now_ns)
            market.refresh_deadline(now_ns)

    def _works_off(self, market: MarketState) -> bool:
        """Whether an order to that end may still trade: no quote is placed beside it."""
        return any(order.purpose is Purpose.FLATTEN for order in self.ledger.alive(market.id))

    def _earliest_deadline_ns(self, now_ns: int) -> int | None:
        if self._agenda.touched:
            return now_ns  # something changed while deciding: come back at once
        earliest = sooner(self.ledger.next_deadline_ns(), self.resolver.next_deadline_ns())
        earliest = sooner(earliest, self._links.next_deadline_ns())
        for outbox in self.dispatch.outboxes.values():
            earliest = sooner(earliest, outbox.next_deadline_ns())
        for market in self._markets.values():
            earliest = sooner(earliest, market.deadline_ns)
        return earliest
