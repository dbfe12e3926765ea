"""All the core knows about one instrument: book, engine, position, lockouts, working orders, standing decision.

Owned and changed by `TradingCore` alone; reports and status views read it.
"""

from collections.abc import Mapping
from math import ceil, inf

from mm_daemon.core.ledger_order import LedgerOrder
from mm_daemon.core.order_ledger import Exposed
from mm_daemon.core.parameters import MarketParameters
from mm_daemon.domain.book import OrderBook
from mm_daemon.domain.deadlines import sooner
from mm_daemon.domain.decisions import Decision, Reason
from mm_daemon.domain.orders import Side
from mm_daemon.engine.inventory import Position
from mm_daemon.engine.ladder import level_lots
from mm_daemon.engine.lockouts import LockoutSet
from mm_daemon.engine.models.catalogue import MODELS
from mm_daemon.engine.pacing import adapted_interval_ns
from mm_daemon.engine.position_guard import PositionGuard, guard_of
from mm_daemon.engine.pricing import Pricing
from mm_daemon.engine.pricing_model import ModelFactory
from mm_daemon.engine.quote_engine import QuoteEngine
from mm_daemon.engine.sizing import Sizes, has_drifted
from mm_daemon.risk.checks import Failure
from mm_daemon.risk.facts import MarketFacts

_STARTING = Reason.STARTING.bit
_MS = 1_000_000
_S = 1_000_000_000


class MarketState:
    """State of one instrument. Times in nanoseconds of the core's clock, prices in ticks."""

    __slots__ = (
        "_models",
        "ages",
        "ask_bar",
        "ask_clamped_at",
        "basis",
        "bid_bar",
        "bid_clamped_at",
        "book",
        "book_moved",
        "configured",
        "deadline_ns",
        "decide_interval_ns",
        "decided_ns",
        "decided_touch",
        "decided_trusted",
        "decisions",
        "enabled",
        "engine",
        "exposed",
        "facts",
        "fair_high",
        "fair_low",
        "flatten_asked",
        "flatten_due_ns",
        "flattening",
        "full",
        "guard",
        "halts",
        "holding",
        "id",
        "instrument",
        "joins",
        "levels",
        "lockouts",
        "lockouts_withdraw",
        "max_age_ns",
        "max_book_age_ns",
        "min_interval_ns",
        "min_life_ns",
        "moves_beside",
        "paced",
        "paced_until_ns",
        "parameters",
        "patience",
        "paused",
        "position",
        "pricing",
        "quotes",
        "resizes",
        "size_tolerance",
        "sized_half_ticks",
        "slots",
        "surplus",
        "touched",
        "trade_ns",
        "wanted_lots",
        "working_off",
        "worth_atto",
    )

    engine: QuoteEngine
    guard: PositionGuard | None
    lockouts: LockoutSet
    parameters: MarketParameters

    def __init__(self, parameters: MarketParameters, models: Mapping[str, ModelFactory] = MODELS) -> None:
        self.instrument = parameters.instrument
        self.id = parameters.instrument.id
        self.book = OrderBook()
        self.position = Position(parameters.instrument)
        self.facts = MarketFacts(parameters.instrument, parameters.limits, self.book)
        self.moves_beside = False
        """An amend makes a fresh order, which counts beside the old one until the venue has answered."""
        self.exposed = Exposed()
        """What all orders that may be alive may still add to their sides; the ledger's, once there is one."""
        self.worth_atto = 0
        """Its part of the account's equity, as last counted."""
        self.quotes: dict[Side, list[LedgerOrder]] = {Side.BUY: [], Side.SELL: []}
        """Our quotes that may be alive, oldest first."""
        self.slots: list[LedgerOrder | None] = []
        """The order working in each slot, bids before asks, the inner level first; empty: to be looked up in
        `quotes`.
        """
        self.surplus: list[LedgerOrder] = []
        """Quotes of ours that have no slot."""
        self.halts = 0
        """Withdraw reasons that stand until an event clears them, as a mask."""
        self.bid_bar: Failure | None = None
        self.ask_bar: Failure | None = None
        """Why the account's limits keep a side out."""
        self.patience = 1
        """What tolerances are multiplied by: more where messages are scarce."""
        self.paced = False
        """Pacing held something back, or asked for patience, when this market was last decided."""
        self.paced_until_ns: int | None = None
        """When pacing lets more through, where it holds something back."""
        self.working_off = False
        """The guard wants the position reduced."""
        self.paused = False
        """An operator wants no quotes here for a while."""
        self.enabled: bool | None = None
        """What an operator last said about trading here at all; None: nothing, and the configuration holds."""
        self.flatten_asked = False
        """An operator wants the position gone."""
        self.flattening = False
        """An operator wants the position gone, and it is not yet."""
        self.flatten_due_ns = 0
        """When the next order to that end may leave."""
        # The standing decision: what it was, when it was made, and how far the fair price may move before the next.
        self.basis: tuple[object, ...] = ()
        """All that the standing decision was made of."""
        self.decisions: tuple[Decision, ...] = ()
        self.holding = True
        """No side wants anything changed."""
        self.pricing: Pricing | None = None
        self.decided_ns = -(1 << 62)
        self.decided_trusted = False
        self.decided_touch = (0, 0)
        self.fair_low, self.fair_high = -inf, inf
        self.bid_clamped_at: int | None = None
        self.ask_clamped_at: int | None = None
        self.deadline_ns: int | None = None
        # What has changed since `decide` last looked: anything, the book, something that calls for a full decision.
        self.touched = False
        self.book_moved = False
        self.full = False
        self.trade_ns = 0
        """When the latest public trade came; 0 before the first. For people: nothing decides by it."""
        self.configure(parameters, models)

    def configure(self, parameters: MarketParameters, models: Mapping[str, ModelFactory]) -> None:
        """Go by these parameters from here on, with estimators and lockouts that know nothing yet; what stands at the
        venue stays. Raises DomainError, with nothing changed, for parameters that contradict each other.
        """
        quoting, limits, sizes = parameters.quoting, parameters.limits, _sizes_of(parameters)
        self.engine = _engine_of(parameters, models)
        self._models = models
        self.guard = guard_of(
            parameters.instrument,
            quoting,
            min_position_lots=sizes.min_position_lots,
            max_position_lots=sizes.max_position_lots,
        )
        self.resizes = parameters.money is not None or self.engine.depth_cap is not None
        """Whether sizes follow price or depth."""
        self.sized_half_ticks: int | None = None
        """The mid at which money was last made lots; None: not yet, or sizes are lots."""
        self.lockouts = LockoutSet(
            quoting.fill_lockout_ms,
            quoting.order_lockout_ms,
            quoting.reject_lockout_ms,
            fill_burst=quoting.fill_burst,
            fill_burst_window_ms=quoting.fill_burst_window_ms,
            fill_burst_pause_ms=quoting.fill_burst_pause_ms,
        )
        self.configured = self.parameters = parameters
        """As given, and with the present sizes where those are money."""
        self.facts.limit(limits)
        self.wanted_lots = _ladder_lots(parameters)
        """What all levels of a side come to."""
        self.decide_interval_ns = quoting.decide_interval_ms * _MS
        least_ms = quoting.decide_interval_min_ms
        self.min_interval_ns = None if least_ms is None else least_ms * _MS
        """What `decide_interval_ns` may be shortened to; None: it stays as configured."""
        self.levels = quoting.levels
        self.joins = not quoting.improve_touch
        """Quotes follow the best prices of their own sides."""
        self.size_tolerance = quoting.size_tolerance
        self.lockouts_withdraw = quoting.lockout_action == "withdraw"
        self.max_book_age_ns = quoting.max_book_age_ms * _MS
        self.min_life_ns = quoting.quote_min_life_ms * _MS
        max_age_s = quoting.quote_max_age_s
        self.max_age_ns = None if max_age_s is None else ceil(max_age_s * _S)
        self.ages = self.min_life_ns > 0 or self.max_age_ns is not None
        """Whether it matters how old a quote is."""
        self.slots, self.basis, self.decisions, self.pricing = [], (), (), None
        # What limits and guards of before had to say is void: those of now speak at the next decision.
        self.patience, self.paced, self.paced_until_ns, self.working_off = 1, False, None, False

    def fresh_engine(self) -> QuoteEngine:
        """One like ours that knows nothing yet: asking an engine changes what it answers next, and only `decide` may
        ask ours, as nothing but its turns is lived again in a replay.
        """
        return _engine_of(self.configured, self._models)

    @property
    def agreed(self) -> bool:
        """The venue's account is what we believe: this market has started, and no difference holds it."""
        return not (self.halts & _STARTING or self.lockouts.held())

    def working(self, side: Side) -> LedgerOrder | None:
        """The quote of ours that works on a side, if any may be alive."""
        orders = self.quotes[side]
        return orders[0] if orders else None

    def reassess(self) -> int:
        """Set `worth_atto` to what this market is worth now; returns by how much that changed it."""
        before, self.worth_atto = self.worth_atto, self.position.total_atto
        return self.worth_atto - before

    def resize(self, book: OrderBook, now_ns: int) -> None:
        """Bring sizes up to the price and depth of a trusted book."""
        if self.parameters.money is not None:
            since = self.sized_half_ticks
            if since is None or has_drifted(book.half_ticks, since):
                self.size_at(book.half_ticks)
        self.engine.look_at_depth(book, now_ns)

    def size_at(self, half_ticks: int) -> None:
        """Make lots of money at this mid: the gate's limits, the quotes and what guards the position go by them."""
        self.parameters = sized = self.parameters.sized(half_ticks)
        self.facts.limits = limits = sized.limits
        self.wanted_lots = _ladder_lots(sized)
        self.engine.resize(sized.order_lots, limits.min_position_lots, limits.max_position_lots)
        if self.sized_half_ticks is None:
            self.engine.begin(max(sized.order_lots, 1))
        if self.guard is not None:
            self.guard.resize(limits.min_position_lots, limits.max_position_lots)
        self.sized_half_ticks = half_ticks
        self.basis = ()

    def adapt_interval(self, least_ns: int) -> None:
        """Let the present decision stand as long as volatility and inventory allow."""
        conditions, quoting = self.engine.conditions, self.parameters.quoting
        self.decide_interval_ns = adapted_interval_ns(
            quoting.decide_interval_ms * _MS,
            least_ns,
            None if conditions.signals is None else conditions.signals.regime.ratio,
            conditions.used(self.position.lots),
            quoting.inventory_widen_at,
        )

    def refresh_deadline(self, now_ns: int) -> None:
        """When this instrument must be decided again even if nothing happens: a lockout ends, a quote is too old, the
        book turns stale.
        """
        conditions = self.engine.conditions
        deadline_ns = self.lockouts.next_expiry_ns(now_ns)
        if self.paced_until_ns is not None:
            deadline_ns = sooner(deadline_ns, self.paced_until_ns)
        if conditions.timed:
            deadline_ns = sooner(deadline_ns, conditions.next_change_ns(now_ns))
        if self.guard is not None and self.guard.timed:
            deadline_ns = sooner(deadline_ns, self.guard.due_ns(now_ns))
        if self.flattening and self.flatten_due_ns > now_ns:
            deadline_ns = sooner(deadline_ns, self.flatten_due_ns)
        if self.ages:
            deadline_ns = sooner(deadline_ns, self._next_age_ns(now_ns))
        if self.pricing is not None:
            stale_ns = self.book.ts_local_ns + self.max_book_age_ns + 1
            if deadline_ns is None or stale_ns < deadline_ns:
                deadline_ns = stale_ns
        self.deadline_ns = deadline_ns

    def _next_age_ns(self, now_ns: int) -> int | None:
        """When a quote is next old enough to be moved, or to be placed anew."""
        spans_ns = (self.min_life_ns, self.max_age_ns)
        changes = (
            order.since_ns + span_ns
            for orders in self.quotes.values()
            for order in orders
            for span_ns in spans_ns
            if span_ns and not order.final
        )
        return min((change_ns for change_ns in changes if change_ns > now_ns), default=None)

    def decision_due(self, now_ns: int) -> bool:
        """The decide rule of EXECUTION 3.1: on events and their timestamps alone, so that every run decides alike."""
        if self.full or now_ns - self.decided_ns >= self.decide_interval_ns:
            return True
        if not self.book_moved:
            return False
        book = self.book
        if book.trusted is not self.decided_trusted:
            return True
        if not self.decided_trusted:
            return False
        if not self.fair_low <= self.engine.fair_ticks(book) <= self.fair_high:
            return True
        if self.joins and (book.bid_ticks, book.ask_ticks) != self.decided_touch:
            return True
        if self.bid_clamped_at is not None and book.ask_ticks != self.bid_clamped_at:
            return True
        return self.ask_clamped_at is not None and book.bid_ticks != self.ask_clamped_at


def _sizes_of(parameters: MarketParameters) -> Sizes:
    """Before a price makes lots of money."""
    limits = parameters.limits
    if parameters.money is not None:
        return parameters.money.nominal()
    return Sizes(parameters.order_lots, limits.max_position_lots, limits.min_position_lots)


def _engine_of(parameters: MarketParameters, models: Mapping[str, ModelFactory]) -> QuoteEngine:
    sizes, limits = _sizes_of(parameters), parameters.limits
    return QuoteEngine(
        parameters.instrument,
        parameters.quoting,
        order_lots=sizes.order_lots,
        min_position_lots=sizes.min_position_lots,
        max_position_lots=sizes.max_position_lots,
        collar_bps=limits.collar_bps,
        max_notional_atto=limits.max_notional_atto,
        models=models,
        warm=parameters.warm,
    )


def _ladder_lots(parameters: MarketParameters) -> int:
    quoting = parameters.quoting
    return sum(level_lots(parameters.order_lots, quoting.level_size_ratio, level) for level in range(quoting.levels))
