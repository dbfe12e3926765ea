"""The checks of the risk gate, one function a group of EXECUTION 5, in the order they are asked.

Pure: each looks at one order as it would be (`Trial`) and answers None or why not. Integers only.
"""

from mm_daemon.domain.decisions import AmendOrder, PlaceOrder, RefusalCode
from mm_daemon.domain.instrument import InstrumentId, grid_floor
from mm_daemon.domain.orders import InFlight, Phase, Purpose, Side
from mm_daemon.risk.facts import MarketFacts, OrdersView, OrderView

# Members of an enumeration are slow to look up, and these are looked at in every review.
_BUY, _QUOTE = Side.BUY, Purpose.QUOTE
_AMENDABLE = (Phase.LIVE, Phase.QUEUED)
_UNANSWERED = (InFlight.SENT, InFlight.UNKNOWN)

Failure = tuple[RefusalCode, float | int | str | None, float | int | str | None]
"""A refusal's code, the figure that was wrong and the limit it met."""


def worst_case(
    position_lots: int, buy_exposure: int, sell_exposure: int, new_buy_lots: int = 0, new_sell_lots: int = 0
) -> tuple[int, int]:
    """(worst long, worst short): the signed positions if every open and new buy, or every sell, were filled at once."""
    return position_lots + buy_exposure + new_buy_lots, position_lots - sell_exposure - new_sell_lots


def within_position_limits(
    side: Side, longest_lots: int, shortest_lots: int, max_position_lots: int, min_position_lots: int
) -> bool:
    """Whether an intent on `side` passes: only its own worst case counts, so a position past its limit can shrink."""
    return longest_lots <= max_position_lots if side is _BUY else shortest_lots >= min_position_lots


class Trial:
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


def check_market(facts: MarketFacts | None) -> Failure | None:
    if facts is None:
        return RefusalCode.UNKNOWN_INSTRUMENT, None, None
    if not facts.tradable:
        return RefusalCode.MARKET_HALTED, None, None
    return None


def check_target(
    intent: PlaceOrder | AmendOrder, target: OrderView | None, facts: MarketFacts | None
) -> Failure | None:
    """G2. An order that is unanswered, unknown or closing is not amended: what the amend would meet is not known."""
    failure = check_market(facts)
    if failure is not None or isinstance(intent, PlaceOrder):
        return failure
    if target is None or not target.may_be_alive or target.instrument != intent.instrument:
        return RefusalCode.UNKNOWN_TARGET, intent.client_id, None
    if target.phase not in _AMENDABLE:
        if target.phase is Phase.FOREIGN:
            return RefusalCode.UNKNOWN_TARGET, intent.client_id, None
        return RefusalCode.TARGET_BUSY, target.phase, None
    if target.amend in _UNANSWERED:
        return RefusalCode.TARGET_BUSY, target.amend, None
    return None


def check_size_and_grid(trial: Trial, facts: MarketFacts) -> Failure | None:
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
    # The venue limits the order, our own limit what may still trade: a quote that fills and is refilled stays one
    # quote.
    venue_max = facts.instrument.max_lots
    if venue_max is not None and lots > venue_max:
        return RefusalCode.SIZE_MAX, lots, venue_max
    if lots - filled > facts.limits.max_order_lots:
        return RefusalCode.SIZE_MAX, lots - filled, facts.limits.max_order_lots
    if ticks * lots * bounds.unit < bounds.min_notional:
        return RefusalCode.NOTIONAL_MIN, lots, facts.instrument.min_lots_at(ticks)
    if bounds.max_notional is not None and ticks * (lots - filled) * bounds.unit > bounds.max_notional:
        return RefusalCode.NOTIONAL_MAX, lots - filled, bounds.max_notional // (ticks * bounds.unit)
    return None


def check_price(trial: Trial, facts: MarketFacts) -> Failure | None:
    """G4, G5 and the touch of G6."""
    book, mark = facts.book, facts.mark_half_ticks
    trusted = book.trusted and facts.book_fresh
    if not trusted and (trial.purpose is _QUOTE or mark is None):
        return RefusalCode.BOOK_NOT_TRUSTED, book.invalid_cause, None
    if trusted:
        mid = book.bid_ticks + book.ask_ticks
        if not facts.in_collar(trial.ticks, mid):
            return RefusalCode.PRICE_COLLAR, trial.ticks, mid / 2
    if mark is not None and not facts.near_mark(trial.ticks):
        return RefusalCode.PRICE_COLLAR, trial.ticks, mark / 2
    if trial.purpose is _QUOTE:
        if trial.side is _BUY:
            if trial.ticks >= book.ask_ticks or not trial.post_only:
                return RefusalCode.WOULD_CROSS, trial.ticks, book.ask_ticks
        elif trial.ticks <= book.bid_ticks or not trial.post_only:
            return RefusalCode.WOULD_CROSS, trial.ticks, book.bid_ticks
    return None


def check_reducing(trial: Trial, facts: MarketFacts, orders: OrdersView) -> Failure | None:
    """G6: a reduce order fits into the position, together with everything else that may reduce it. Of a position that
    is held long and short at once, into the leg that it takes from.
    """
    if not trial.reduce_only:
        return None
    exposure = orders.exposure(trial.intent.instrument, trial.side) + trial.added_lots
    held = -trial.side * facts.position_lots
    if facts.boxed_lots:
        held = max(held, 0) + facts.boxed_lots
    return (RefusalCode.NOT_REDUCING, exposure, max(held, 0)) if exposure > held else None


def check_crossing(trial: Trial, facts: MarketFacts, orders: OrdersView) -> Failure | None:
    """G7, over all versions of our orders that may be alive, those of other accounts in the same book included."""
    failure = _meets(trial, trial.intent.instrument, orders)
    for twin in facts.twins:
        if failure is not None:
            break
        failure = _meets(trial, twin, orders)
    return failure


def _meets(trial: Trial, instrument: InstrumentId, orders: OrdersView) -> Failure | None:
    side, ticks = trial.side, trial.ticks
    buying = side is _BUY
    for other in orders.alive(instrument):
        if other.side is not side:
            for resting in other.alive_ticks():
                if ticks >= resting if buying else ticks <= resting:
                    return RefusalCode.SELF_CROSS, ticks, resting
    return None


def check_slot(trial: Trial, facts: MarketFacts, orders: OrdersView) -> Failure | None:
    """G8: a new id, one order per slot, one per price, and no more than allowed on the side."""
    side, ticks, own = trial.side, trial.ticks, trial.intent.client_id
    if trial.order is None and orders.used(own):
        return RefusalCode.DUPLICATE_ID, own, None
    quoting = trial.purpose is _QUOTE
    price_taken = trial.order is not None and trial.order.tail_at(ticks)
    count = 0
    for other in orders.alive(trial.intent.instrument):
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


def check_position(trial: Trial, facts: MarketFacts, orders: OrdersView) -> Failure | None:
    """G9: the worst case of the intent's own side."""
    exposure = orders.exposure(trial.intent.instrument, trial.side) + trial.added_lots
    limits = facts.limits
    longest, shortest = worst_case(facts.position_lots, exposure, exposure)
    if within_position_limits(trial.side, longest, shortest, limits.max_position_lots, limits.min_position_lots):
        return None
    if trial.side is _BUY:
        return RefusalCode.WORST_POSITION, longest, limits.max_position_lots
    return RefusalCode.WORST_POSITION, shortest, limits.min_position_lots
