"""The risk gate: the one place that turns an intent into a command a venue may see (EXECUTION 5).

`RiskGate.review` refuses or passes, and never alters. The core reviews a batch one intent at a time and tells the
ledger of each approval at once, so that the next review counts it. Only the intent's own side is tested against the
position limits: a position past its limit can always shrink. Sizes are lots, prices ticks, money atto: integers only.
"""

from collections import deque
from collections.abc import Collection
from decimal import ROUND_CEILING, Decimal
from typing import Protocol

from mm_daemon.domain.book import OrderBook
from mm_daemon.domain.decisions import (
    AmendOrder,
    ApprovedCommand,
    CancelAll,
    CancelOrder,
    Intent,
    PlaceOrder,
    Refusal,
    RefusalCode,
)
from mm_daemon.domain.instrument import FixedTick, Instrument, InstrumentId, grid_floor
from mm_daemon.domain.money import ATTO
from mm_daemon.domain.orders import ClientOrderId, InFlight, Phase, Purpose, Side
from mm_daemon.risk.limits import AccountLimits, MarketLimits

_MINUTE_NS = 60_000_000_000
_DAY_NS = 86_400_000_000_000
_COLLAR_UNITS_PER_BPS = 1_000_000
_COLLAR_WHOLE = 10_000 * _COLLAR_UNITS_PER_BPS


class OrderView(Protocol):
    """What the gate reads of an order; `exposure_with` tells its exposure if an amend to that size were in flight."""

    @property
    def client_id(self) -> ClientOrderId: ...
    @property
    def instrument(self) -> InstrumentId: ...
    @property
    def side(self) -> Side: ...
    @property
    def level(self) -> int | None: ...
    @property
    def purpose(self) -> Purpose: ...
    @property
    def phase(self) -> Phase: ...
    @property
    def amend(self) -> InFlight: ...
    @property
    def reduce_only(self) -> bool: ...
    @property
    def fresh(self) -> bool: ...
    @property
    def filled_lots(self) -> int: ...
    @property
    def exposure(self) -> int: ...
    @property
    def may_be_alive(self) -> bool: ...
    def exposure_with(self, pend_lots: int) -> int: ...
    def alive_ticks(self) -> tuple[int, ...]: ...
    def tail_at(self, ticks: int) -> bool: ...


class OrdersView(Protocol):
    """What the gate reads of the order ledger."""

    def get(self, client_id: ClientOrderId) -> OrderView | None: ...
    def used(self, client_id: ClientOrderId) -> bool: ...
    def alive(self, instrument: InstrumentId) -> Collection[OrderView]: ...
    def exposure(self, instrument: InstrumentId, side: Side) -> int: ...


class MarketFacts:
    """What the gate has to know of one instrument. The core owns it and keeps it true."""

    __slots__ = (
        "_bounds",
        "_instrument",
        "_limits",
        "book",
        "book_fresh",
        "mark_half_ticks",
        "position_lots",
        "reconciling",
        "tradable",
    )

    def __init__(
        self,
        instrument: Instrument,
        limits: MarketLimits,
        book: OrderBook,
        book_fresh: bool = False,
        position_lots: int = 0,
        mark_half_ticks: int | None = None,
        tradable: bool = True,
        reconciling: bool = False,
    ) -> None:
        self._instrument = instrument
        self._limits = limits
        self._bounds = _Bounds(instrument, limits)
        self.book = book
        self.book_fresh = book_fresh
        self.position_lots = position_lots
        self.mark_half_ticks = mark_half_ticks
        """The venue's mark, twice in ticks; None where there is none."""
        self.tradable = tradable
        self.reconciling = reconciling

    @property
    def instrument(self) -> Instrument:
        return self._instrument

    @instrument.setter
    def instrument(self, instrument: Instrument) -> None:
        self._instrument = instrument
        self._bounds = _Bounds(instrument, self._limits)

    @property
    def limits(self) -> MarketLimits:
        return self._limits

    @limits.setter
    def limits(self, limits: MarketLimits) -> None:
        self._limits = limits
        self._bounds = _Bounds(self._instrument, limits)

    @property
    def bounds(self) -> "_Bounds":
        """The limits as integers, derived once per instrument definition."""
        return self._bounds


class _Bounds:
    """Instrument and limits worked out into plain integers, so that a review compares and never converts.

    The notional of an order is `ticks * lots * unit`; minimum and maximum are in the same scaled unit.
    """

    __slots__ = ("collar", "fixed_grid", "max_lots", "max_notional", "min_lots", "min_notional", "unit")

    def __init__(self, instrument: Instrument, limits: MarketLimits) -> None:
        numerator, scale = (instrument.tick * instrument.lot * instrument.multiplier * Decimal(ATTO)).as_integer_ratio()
        least = instrument.min_notional * Decimal(ATTO) * scale
        self.unit = numerator
        self.min_notional = int(least.to_integral_value(ROUND_CEILING))
        self.max_notional = None if limits.max_notional_atto is None else limits.max_notional_atto * scale
        self.min_lots = max(instrument.min_lots, 1)
        self.max_lots = (
            limits.max_order_lots if instrument.max_lots is None else min(limits.max_order_lots, instrument.max_lots)
        )
        self.collar = round(limits.collar_bps * _COLLAR_UNITS_PER_BPS)
        self.fixed_grid = isinstance(instrument.grid, FixedTick)


def worst_case(
    position_lots: int, buy_exposure: int, sell_exposure: int, new_buy_lots: int = 0, new_sell_lots: int = 0
) -> tuple[int, int]:
    """(worst long, worst short): the signed positions if every open and new buy, or every sell, were filled at once."""
    return position_lots + buy_exposure + new_buy_lots, position_lots - sell_exposure - new_sell_lots


def within_position_limits(
    side: Side, longest_lots: int, shortest_lots: int, max_position_lots: int, min_position_lots: int
) -> bool:
    """Whether an intent on `side` passes: only its own worst case counts, so a position past its limit can shrink."""
    return longest_lots <= max_position_lots if side > 0 else shortest_lots >= min_position_lots


class _Trial:
    """One order as it would be if the intent passed: what the checks from G3 on look at."""

    __slots__ = (
        "added_lots",
        "intent",
        "level",
        "lots",
        "order",
        "post_only",
        "purpose",
        "reduce_only",
        "side",
        "ticks",
    )

    def __init__(self, intent: PlaceOrder | AmendOrder, order: OrderView | None) -> None:
        self.intent = intent
        self.ticks = intent.ticks
        self.lots = intent.lots
        self.order = order
        if isinstance(intent, PlaceOrder):
            self.side = intent.side
            self.purpose = intent.purpose
            self.post_only = intent.post_only
            self.reduce_only = intent.reduce_only
            self.level: int | None = intent.level
            self.added_lots = intent.lots - (0 if order is None else order.exposure)
        elif order is not None:
            self.side = order.side
            self.purpose = order.purpose
            self.post_only = True
            self.reduce_only = order.reduce_only
            self.level = order.level
            self.added_lots = order.exposure_with(intent.lots) - order.exposure


_Failure = tuple[RefusalCode, float | int | str | None, float | int | str | None]
"""A refusal's code, the figure that was wrong and the limit it met."""


class RiskGate:
    """Passes or refuses intents. `cancels_only` is set by a shutdown; `latched` holds the reason of the kill latch."""

    __slots__ = (
        "_actions",
        "_day",
        "_day_start_atto",
        "_equity_atto",
        "_peak_atto",
        "account",
        "cancels_only",
        "latched",
    )

    def __init__(self, account: AccountLimits) -> None:
        self.account = account
        self.cancels_only = False
        self.latched: str | None = None
        self._actions: dict[InstrumentId, deque[int]] = {}
        self._equity_atto: int | None = None
        self._peak_atto = 0
        self._day_start_atto = 0
        self._day: int | None = None

    # Account

    @property
    def limits_equity(self) -> bool:
        """Whether `set_equity` can ever matter."""
        return self.account.max_drawdown_atto is not None or self.account.max_loss_atto is not None

    def set_equity(self, atto: int, now_ns: int | None = None) -> bool:
        """Tell the gate what the account is worth; True when that sets the latch just now.

        Drawdown counts from the highest equity seen, loss from the first one (of the UTC day, where `now_ns` is given).
        """
        day = None if now_ns is None else now_ns // _DAY_NS
        if self._equity_atto is None:
            self._peak_atto = self._day_start_atto = atto
        elif day != self._day:
            self._day_start_atto = self._equity_atto
        self._day = day
        self._equity_atto = atto
        self._peak_atto = max(self._peak_atto, atto)
        if self.latched is not None or self._loss() is None:
            return False
        self.latch(RefusalCode.LOSS_LIMIT)
        return True

    def latch(self, reason: str) -> None:
        """Nothing but cancels from here on. The first reason stays."""
        if self.latched is None:
            self.latched = reason

    def clear(self) -> None:
        """An operator takes the loss as it is: the latch opens and losses count from the present equity."""
        self.latched = None
        if self._equity_atto is not None:
            self._peak_atto = self._day_start_atto = self._equity_atto

    def _loss(self) -> _Failure | None:
        """The account limit that is broken, if one is (G11)."""
        equity, account = self._equity_atto, self.account
        if equity is None:
            return None
        if account.max_drawdown_atto is not None and equity < self._peak_atto - account.max_drawdown_atto:
            return RefusalCode.LOSS_LIMIT, equity, self._peak_atto - account.max_drawdown_atto
        if account.max_loss_atto is not None and equity < self._day_start_atto - account.max_loss_atto:
            return RefusalCode.LOSS_LIMIT, equity, self._day_start_atto - account.max_loss_atto
        return None

    # Review

    def review(
        self, intent: Intent, facts: MarketFacts | None, orders: OrdersView, now_ns: int
    ) -> ApprovedCommand | Refusal:
        """The checks of EXECUTION 5 in their order; the first that fails is the refusal."""
        if isinstance(intent, CancelAll):
            return ApprovedCommand(intent, now_ns)
        if isinstance(intent, CancelOrder):
            order = orders.get(intent.client_id)
            if order is None or not order.may_be_alive:
                return Refusal(intent, RefusalCode.UNKNOWN_TARGET, intent.client_id)
            return ApprovedCommand(intent, now_ns)
        target = orders.get(intent.client_id) if isinstance(intent, AmendOrder) else None
        failure = self._mode(intent, target, facts) or _target(intent, target, facts)
        if failure is None and facts is not None:
            failure = self._limits(_Trial(intent, target), facts, orders, now_ns)
        if failure is not None:
            return Refusal(intent, *failure)
        return ApprovedCommand(intent, now_ns)

    def merge(
        self, place: PlaceOrder, amend: AmendOrder, facts: MarketFacts | None, orders: OrdersView, now_ns: int
    ) -> ApprovedCommand | Refusal:
        """Review a place that waits in the outbox with the price and size of its amend (EXECUTION 6, conflation).

        The place itself and the amend already count in the ledger, so they are taken out before the test; the action
        was charged when the place passed and the amend passed.
        """
        merged = PlaceOrder(
            place.instrument,
            place.client_id,
            place.side,
            place.level,
            amend.ticks,
            amend.lots,
            amend.reasons,
            post_only=place.post_only,
            reduce_only=place.reduce_only,
            time_in_force=place.time_in_force,
            purpose=place.purpose,
            expires_ns=amend.expires_ns if amend.expires_ns is not None else place.expires_ns,
            expires_height=amend.expires_height if amend.expires_height is not None else place.expires_height,
        )
        order = orders.get(place.client_id)
        failure = self._mode(merged, order, facts) or _market(facts)
        if failure is None and facts is not None:
            failure = self._limits(_Trial(merged, order), facts, orders, now_ns, charged=True)
        if failure is not None:
            return Refusal(amend, *failure)
        return ApprovedCommand(merged, now_ns)

    def _mode(
        self, intent: PlaceOrder | AmendOrder, target: OrderView | None, facts: MarketFacts | None
    ) -> _Failure | None:
        """G1."""
        if self.cancels_only:
            return RefusalCode.CANCELS_ONLY, None, None
        if self.latched is not None:
            return RefusalCode.KILL_LATCHED, self.latched, None
        if facts is not None and facts.reconciling:
            source = intent if isinstance(intent, PlaceOrder) else target
            if source is None or source.purpose is Purpose.QUOTE or not source.reduce_only:
                return RefusalCode.RECONCILING, None, None
        return None

    def _limits(
        self,
        trial: _Trial,
        facts: MarketFacts,
        orders: OrdersView,
        now_ns: int,
        *,
        charged: bool = False,
    ) -> _Failure | None:
        """G3 to G12."""
        failure = (
            _size_and_grid(trial, facts)
            or _price(trial, facts)
            or _reducing(trial, facts, orders)
            or _crossing(trial, facts, orders)
            or _slot(trial, facts, orders)
            or _position(trial, facts, orders)
            or self._loss()
        )
        if failure is not None:
            if failure[0] is RefusalCode.LOSS_LIMIT:
                self.latch(RefusalCode.LOSS_LIMIT)
            return failure
        if charged or trial.reduce_only:
            return None
        return self._charge(facts, now_ns)

    def _charge(self, facts: MarketFacts, now_ns: int) -> _Failure | None:
        """G12: places and amends of one instrument in any sixty seconds. The last check, so that a pass is a charge."""
        budget = facts.limits.actions_per_minute
        if budget is None:
            return None
        actions = self._actions.setdefault(facts.instrument.id, deque())
        while actions and actions[0] <= now_ns - _MINUTE_NS:
            actions.popleft()
        if len(actions) >= budget:
            return RefusalCode.ACTION_BUDGET, len(actions), budget
        actions.append(now_ns)
        return None


def _market(facts: MarketFacts | None) -> _Failure | None:
    if facts is None:
        return RefusalCode.UNKNOWN_INSTRUMENT, None, None
    if not facts.tradable:
        return RefusalCode.MARKET_HALTED, None, None
    return None


def _target(intent: PlaceOrder | AmendOrder, target: OrderView | None, facts: MarketFacts | None) -> _Failure | None:
    """G2. An order that is unanswered, unknown or closing is not amended: what the amend would meet is not known."""
    failure = _market(facts)
    if failure is not None or isinstance(intent, PlaceOrder):
        return failure
    if target is None or not target.may_be_alive or target.instrument != intent.instrument:
        return RefusalCode.UNKNOWN_TARGET, intent.client_id, None
    if target.phase is Phase.FOREIGN:
        return RefusalCode.UNKNOWN_TARGET, intent.client_id, None
    if target.phase not in (Phase.LIVE, Phase.QUEUED):
        return RefusalCode.TARGET_BUSY, target.phase, None
    if target.amend in (InFlight.SENT, InFlight.UNKNOWN):
        return RefusalCode.TARGET_BUSY, target.amend, None
    return None


def _size_and_grid(trial: _Trial, facts: MarketFacts) -> _Failure | None:
    """G3."""
    ticks, lots, bounds = trial.ticks, trial.lots, facts.bounds
    if type(ticks) is not int or type(lots) is not int or ticks <= 0 or lots < 0:
        return RefusalCode.BAD_NUMBER, f"{ticks} ticks, {lots} lots", None
    if not bounds.fixed_grid and grid_floor(ticks, facts.instrument.grid) != ticks:
        return RefusalCode.OFF_GRID_PRICE, ticks, None
    order = trial.order
    # A total counts what is filled already: an amend to no more than that leaves nothing to rest.
    filled = 0 if order is None or order.fresh else order.filled_lots
    if lots < bounds.min_lots or lots <= filled:
        return RefusalCode.SIZE_MIN, lots, max(bounds.min_lots, filled + 1)
    if lots > bounds.max_lots:
        return RefusalCode.SIZE_MAX, lots, bounds.max_lots
    notional = ticks * lots * bounds.unit
    if notional < bounds.min_notional:
        return RefusalCode.NOTIONAL_MIN, lots, facts.instrument.min_lots_at(ticks)
    if bounds.max_notional is not None and notional > bounds.max_notional:
        return RefusalCode.NOTIONAL_MAX, lots, bounds.max_notional // (ticks * bounds.unit)
    return None


def _price(trial: _Trial, facts: MarketFacts) -> _Failure | None:
    """G4, G5 and the touch of G6."""
    book, mark = facts.book, facts.mark_half_ticks
    trusted = book.trusted and facts.book_fresh
    if not trusted and (trial.purpose is Purpose.QUOTE or mark is None):
        return RefusalCode.BOOK_NOT_TRUSTED, book.invalid_cause, None
    doubled, collar = 2 * trial.ticks, facts.bounds.collar
    if trusted:
        mid = book.bid_ticks + book.ask_ticks
        if abs(doubled - mid) * _COLLAR_WHOLE > collar * mid:
            return RefusalCode.PRICE_COLLAR, trial.ticks, mid / 2
    if mark is not None and abs(doubled - mark) * _COLLAR_WHOLE > collar * mark:
        return RefusalCode.PRICE_COLLAR, trial.ticks, mark / 2
    if trial.purpose is Purpose.QUOTE:
        if trial.side > 0:
            if trial.ticks >= book.ask_ticks or not trial.post_only:
                return RefusalCode.WOULD_CROSS, trial.ticks, book.ask_ticks
        elif trial.ticks <= book.bid_ticks or not trial.post_only:
            return RefusalCode.WOULD_CROSS, trial.ticks, book.bid_ticks
    return None


def _reducing(trial: _Trial, facts: MarketFacts, orders: OrdersView) -> _Failure | None:
    """G6: a reduce order fits into the position, together with everything else that may reduce it."""
    if not trial.reduce_only:
        return None
    exposure = orders.exposure(facts.instrument.id, trial.side) + trial.added_lots
    held = -trial.side * facts.position_lots
    return (RefusalCode.NOT_REDUCING, exposure, max(held, 0)) if exposure > held else None


def _crossing(trial: _Trial, facts: MarketFacts, orders: OrdersView) -> _Failure | None:
    """G7, over all versions of our orders that may be alive."""
    side, ticks = trial.side, trial.ticks
    for other in orders.alive(facts.instrument.id):
        if other.side is not side:
            for resting in other.alive_ticks():
                if (ticks - resting) * side >= 0:
                    return RefusalCode.SELF_CROSS, ticks, resting
    return None


def _slot(trial: _Trial, facts: MarketFacts, orders: OrdersView) -> _Failure | None:
    """G8: a new id, one order per slot, one per price, and no more than allowed on the side."""
    side, ticks, own = trial.side, trial.ticks, trial.intent.client_id
    if trial.order is None and orders.used(own):
        return RefusalCode.DUPLICATE_ID, own, None
    quoting = trial.purpose is Purpose.QUOTE
    price_taken = trial.order is not None and trial.order.tail_at(ticks)
    count = 0
    for other in orders.alive(facts.instrument.id):
        if other.side is not side or other.client_id == own:
            continue
        count += 1
        if quoting and trial.order is None and other.level == trial.level:
            return RefusalCode.SLOT_BUSY, trial.level, other.client_id
        if ticks in other.alive_ticks():
            price_taken = True
    if price_taken:
        return RefusalCode.PRICE_BUSY, ticks, None
    limit = facts.limits.max_orders_per_side
    if trial.order is None and count >= limit:
        return RefusalCode.MAX_ORDERS, count, limit
    return None


def _position(trial: _Trial, facts: MarketFacts, orders: OrdersView) -> _Failure | None:
    """G9: the worst case of the intent's own side."""
    exposure = orders.exposure(facts.instrument.id, trial.side) + trial.added_lots
    limits = facts.limits
    longest, shortest = worst_case(facts.position_lots, exposure, exposure)
    if within_position_limits(trial.side, longest, shortest, limits.max_position_lots, limits.min_position_lots):
        return None
    if trial.side > 0:
        return RefusalCode.WORST_POSITION, longest, limits.max_position_lots
    return RefusalCode.WORST_POSITION, shortest, limits.min_position_lots
