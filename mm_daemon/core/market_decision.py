"""One full decision for one market: what may be quoted, what each side does about it, and how long that stands.

Called by `TradingCore` when the decide rule of `MarketState.decision_due` says so. Reads the market and its working
orders; writes down the standing decision; asks nobody for anything: the planner turns decisions into intents. A quote
is given no more than the position limits leave beside all that may still be filled, so that the gate has nothing to
refuse.
"""

import msgspec

from mm_daemon.core.ledger_order import LedgerOrder
from mm_daemon.core.market import MarketState
from mm_daemon.core.planner import pair_levels
from mm_daemon.domain.decisions import (
    Action,
    Decision,
    DecisionInputs,
    DecisionsChanged,
    QuoteTarget,
    Reason,
)
from mm_daemon.domain.orders import Side
from mm_daemon.engine.decision_table import decide_row
from mm_daemon.engine.position_guard import UNGUARDED
from mm_daemon.engine.pricing import Pricing, SideQuote
from mm_daemon.engine.tolerance import price_verdict, size_within, validity
from mm_daemon.risk.exposure import bar_bits

_BOOK_INVALID = Reason.BOOK_INVALID.bit
_BOOK_STALE = Reason.BOOK_STALE.bit
_NO_REFERENCE = Reason.NO_REFERENCE.bit
_SIZE_CHANGED = Reason.SIZE_CHANGED.bit
_MAX_POSITION = Reason.MAX_POSITION.bit
_PRICE_COLLAR = Reason.PRICE_COLLAR.bit
_NO_ROOM = (Reason.MAX_POSITION,)
_TOO_YOUNG = Reason.MIN_LIFE.bit
_TOO_OLD = Reason.EXPIRY_NEAR.bit
_NO_BOUND = 1 << 40
"""A tolerance that nothing exceeds, ticks."""

# Members of an enumeration are slow to look up, and these are looked at in every decision.
_BUY, _SELL = _SIDES = (Side.BUY, Side.SELL)
_QUOTE, _HOLD, _WITHDRAW = Action.QUOTE, Action.HOLD, Action.WITHDRAW
_WITHIN, _YOUNG = Reason.WITHIN_TOLERANCE, Reason.MIN_LIFE

Rests = tuple[int, int]
"""Price and remaining size of an order that works in a slot, in ticks and lots."""

Standing = tuple[int, Rests | None]
"""Of one slot: what holds for it as a mask, and what rests in it."""

Level = tuple[Side, float, int, int]
"""A quote that stands: side, unrounded target, working tick, tolerance, all in ticks."""


def decide_market(market: MarketState, pacing: int, now_ns: int) -> DecisionsChanged | None:
    """Decide both sides and let the decision stand in `market`; returned when it differs from the one before.

    `pacing`: the venue's hold reasons as a mask. While nothing that a decision rests on has changed, there is nothing
    to decide anew.
    """
    pricing, conditions = _price(market, now_ns)
    conditions |= pacing
    if market.full or market.surplus or not market.slots or market.levels > 1:
        market.slots, market.surplus = working_slots(market, pricing)
    slots = _standings(market, conditions, now_ns)
    market.full = False
    market.decided_ns = now_ns
    market.decided_trusted = market.book.trusted
    if market.joins:
        market.decided_touch = market.book.bid_ticks, market.book.ask_ticks
    market.pricing = pricing
    if market.min_interval_ns is not None:
        market.adapt_interval(market.min_interval_ns)
    market.refresh_deadline(now_ns)
    buys, sells = market.exposed.buy_lots, market.exposed.sell_lots
    basis = pricing, slots, buys, sells, market.patience, market.facts.mark_half_ticks
    if basis == market.basis:
        # On a coarse grid another best price can come to the same target.
        if market.bid_clamped_at is not None:
            market.bid_clamped_at = market.book.ask_ticks
        if market.ask_clamped_at is not None:
            market.ask_clamped_at = market.book.bid_ticks
        return None
    market.basis = basis
    market.bid_clamped_at = market.ask_clamped_at = None
    levels: list[Level] = []
    quotes = None if pricing is None else pricing.bids + pricing.asks
    limits, held, wanted = market.facts.limits, market.position.lots, market.engine.placement.ladder_lots
    bid_room, ask_room = limits.max_position_lots - held - buys, held - limits.min_position_lots - sells
    rooms = None if bid_room >= wanted and ask_room >= wanted else [bid_room, ask_room]
    decided: list[Decision] = []
    holding = True
    for index, (slot_conditions, rests) in enumerate(slots):
        quote = None if quotes is None else quotes[index]
        decision = _decide_slot(market, index, slot_conditions, rests, quote, levels, rooms)
        if decision.action is not _HOLD:
            holding = False
        decided.append(decision)
    market.holding = holding
    market.fair_low, market.fair_high = validity(0.0 if pricing is None else pricing.fair_ticks, levels)
    decisions = tuple(decided)
    if decisions == market.decisions:
        return None
    market.decisions = decisions
    return DecisionsChanged(market.id, now_ns, decisions, _inputs(market, pricing))


def _price(market: MarketState, now_ns: int) -> tuple[Pricing | None, int]:
    """What the engine would quote, and the withdraw reasons that hold for the whole instrument, as a mask."""
    book = market.book
    conditions = market.halts
    market.facts.book_fresh = fresh = now_ns - book.ts_local_ns <= market.max_book_age_ns
    if not book.trusted:
        empty_side = book.invalid_cause is None and not book.crossed
        return None, conditions | (_NO_REFERENCE if empty_side else _BOOK_INVALID)
    if not fresh:
        return None, conditions | _BOOK_STALE
    if market.resizes:
        market.resize(book, now_ns)
    position = market.position
    guarded = UNGUARDED
    if market.guard is not None:
        guarded = market.guard.judge(position, book.half_ticks * 0.5, now_ns)
        market.working_off = guarded.reasons != 0
    pricing = market.engine.price(book, position.lots, now_ns, guarded)
    if isinstance(pricing, int):
        return None, conditions | pricing
    return pricing, conditions


def _standings(market: MarketState, conditions: int, now_ns: int) -> list[Standing]:
    """What holds for each slot beside its quote, and what rests in it."""
    slots: list[Standing] = []
    bids, asks = market.lockouts.masks(now_ns)
    holds, others = conditions | bids, conditions | asks
    if market.bid_bar is not None or market.ask_bar is not None:
        holds, others = holds | bar_bits(market.bid_bar), others | bar_bits(market.ask_bar)
    bids_left = market.levels
    for order in market.slots:
        if not bids_left:
            holds = others
        bids_left -= 1
        if order is None:
            slots.append((holds, None))
        else:
            bits = holds | order.pending_bits
            if market.ages:
                bits |= _age_bits(market, order, now_ns)
            slots.append((bits, (order.ticks, order.remaining_lots)))
    return slots


def working_slots(market: MarketState, pricing: Pricing | None) -> tuple[list[LedgerOrder | None], list[LedgerOrder]]:
    """The order working in each slot, bids before asks and the inner level first, and orders of ours that have none."""
    slots: list[LedgerOrder | None] = []
    surplus: list[LedgerOrder] = []
    for side in _SIDES:
        orders = market.quotes[side]
        if len(orders) > 1 or (orders and orders[0].final):
            orders = market.quotes[side] = [order for order in orders if not order.final]
        if market.levels == 1 and len(orders) < 2:
            slots.append(orders[0] if orders else None)
        else:
            slots += _paired(market, side, orders, pricing, surplus)
    return slots, surplus


def _paired(
    market: MarketState, side: Side, orders: list[LedgerOrder], pricing: Pricing | None, surplus: list[LedgerOrder]
) -> list[LedgerOrder | None]:
    """Orders by the level they serve (EXECUTION 4.1), each labelled with it; the others are added to `surplus`."""
    if pricing is not None:
        quotes = pricing.bids if side is _BUY else pricing.asks
        targets = [(level, quote.ticks) for level, quote in enumerate(quotes)]
    else:  # nothing to aim at: any order of levels will do that keeps the inner ones first
        touch = market.book.bid_ticks if side is _BUY else market.book.ask_ticks
        targets = [(level, touch - side * level) for level in range(market.levels)]
    pairs, left_over, _ = pair_levels(side, [(order.client_id, order.ticks) for order in orders], targets)
    by_id = {order.client_id: order for order in orders}
    slots: list[LedgerOrder | None] = [None] * market.levels
    for client_id, level, _ in pairs:
        slots[level] = by_id[client_id]
        by_id[client_id].level = level
    surplus += [by_id[client_id] for client_id in left_over]
    return slots


def _decide_slot(
    market: MarketState,
    index: int,
    conditions: int,
    rests: Rests | None,
    quote: SideQuote | None,
    levels: list[Level],
    rooms: list[int] | None,
) -> Decision:
    """One slot's row of the table. A quote that stands by it is added to `levels`, which bound how long it stands.

    `quote` is None while there is no price to aim at. `rooms`: by what bids and asks may still grow, lots; what this
    slot takes of it is taken off. None: by more than they want.
    """
    side, level = (_BUY, index) if index < market.levels else (_SELL, index - market.levels)
    verdict: Reason | None = None
    tolerance = 0
    if quote is not None:
        if rooms is not None:
            quote = _fitted(market, quote, rests, rooms[side is _SELL])
        conditions |= quote.obstacles
        tolerance = quote.tolerance_ticks * market.patience
        mark = market.facts.mark_half_ticks
        if mark is not None and not market.facts.in_collar(quote.ticks, mark):
            conditions |= _PRICE_COLLAR
        if rests is not None:
            ticks, lots = rests
            verdict = price_verdict(side, ticks, quote.ticks, tolerance)
            if lots != quote.lots:
                # A target that a limit has trimmed forces a larger order down, whatever the tolerance.
                limit = quote.lots if quote.trimmed else None
                if not size_within(lots, quote.lots, market.size_tolerance, limit):
                    conditions |= _SIZE_CHANGED
            if market.ages and (market.working_off or (quote.trimmed and lots > quote.lots)):
                conditions &= ~_TOO_YOUNG  # what safety asks for does not wait
    action, reasons = decide_row(conditions, rests is not None, verdict, market.lockouts_withdraw)
    if quote is not None:
        if action is _QUOTE:
            if rooms is None or _takes_room(market, rooms, side, quote, rests):
                _stand(market, side, quote, quote.ticks, levels, tolerance)
                return Decision(side, level, action, QuoteTarget(quote.ticks, quote.lots, quote.raw_ticks), reasons)
            # What works here cannot be moved beside the rest: it is cancelled, and placed anew when it is gone.
            action, reasons = _WITHDRAW, _NO_ROOM
        elif rests is not None:
            if reasons[0] is _WITHIN:
                _stand(market, side, quote, rests[0], levels, tolerance)
            elif reasons[0] is _YOUNG:
                _stand(market, side, quote, rests[0], levels, _NO_BOUND)
    if market.decisions:
        standing = market.decisions[index]
        if standing.reasons is reasons and standing.target is None:
            return standing
    return Decision(side, level, action, None, reasons)


def _takes_room(market: MarketState, rooms: list[int], side: Side, quote: SideQuote, rests: Rests | None) -> bool:
    """Take off what placing or moving a quote may add to its side; whether that is there."""
    takes = quote.lots if rests is None or market.moves_beside else max(quote.lots - rests[1], 0)
    selling = side is _SELL
    if takes > rooms[selling]:
        return False
    rooms[selling] -= takes
    return True


def _fitted(market: MarketState, quote: SideQuote, rests: Rests | None, room: int) -> SideQuote:
    """The quote with as much size as `room` allows it, where it wants more: what works keeps its size but in a side
    that is beyond its limit, and a level for which there is no room is not placed.
    """
    if quote.lots <= room:
        return quote
    working = 0 if rests is None else rests[1]
    lots = working + (min(room, 0) if working and market.moves_beside else room)
    if lots >= quote.lots:
        return quote
    if lots < max(market.instrument.min_lots_at(quote.ticks), 1):
        if rests is None or room < 0:
            return msgspec.structs.replace(quote, trimmed=True, obstacles=quote.obstacles | _MAX_POSITION)
        lots = min(working, quote.lots)
    return msgspec.structs.replace(quote, lots=lots, trimmed=True)


def _age_bits(market: MarketState, order: LedgerOrder, now_ns: int) -> int:
    """Whether a quote is too young to be moved without need, or old enough to be placed anew, as a mask."""
    age_ns = now_ns - order.since_ns
    if age_ns < market.min_life_ns:
        return _TOO_YOUNG
    return _TOO_OLD if market.max_age_ns is not None and age_ns >= market.max_age_ns else 0


def _stand(
    market: MarketState, side: Side, quote: SideQuote, working_ticks: int, levels: list[Level], tolerance: int
) -> None:
    """A quote at `working_ticks` bounds how far the fair price may move before the next decision (EXECUTION 3.1).

    A side that is withdrawn, or held until its deadline or answer comes, bounds nothing.
    """
    levels.append((side, quote.raw_ticks, working_ticks, tolerance))
    if quote.clamped:
        if side is _BUY:
            market.bid_clamped_at = market.book.ask_ticks
        else:
            market.ask_clamped_at = market.book.bid_ticks


def _inputs(market: MarketState, pricing: Pricing | None) -> DecisionInputs:
    if pricing is None:
        book = market.book
        mid = book.half_ticks * 0.5 if book.trusted else None
        pulled = market.engine.conditions.pulled()
        return DecisionInputs(mid, None, None, market.position.lots, 0.0, None, None, None, None, None, pulled=pulled)
    inputs, sized = pricing.inputs, market.parameters
    said = DecisionInputs(
        pricing.mid_ticks,
        pricing.fair_ticks,
        pricing.sigma_bps,
        market.position.lots,
        pricing.q,
        pricing.reservation_ticks,
        pricing.half_bps,
        pricing.skew_bps,
        pricing.tau_s,
        pricing.bid.tolerance_ticks * market.patience,
        pricing.shift_bps,
        inputs.gamma,
        inputs.A,
        inputs.k,
        pricing.widening,
        pricing.confidence_widening,
        pricing.doubts,
        market.engine.conditions.impact_bps,
        market.engine.conditions.pulled(),
    )
    if sized.money is None:
        return said
    return msgspec.structs.replace(
        said,
        order_lots=sized.order_lots,
        max_position_lots=sized.limits.max_position_lots,
        min_position_lots=sized.limits.min_position_lots,
    )
