"""Working a position off because an operator, or `flatten_on_kill`, wants it gone: an order that takes what there is.

A flatten order is reduce-only and immediate-or-cancel, no larger than the position and the largest order allowed, at a
limit that is at most `flatten_slippage_bps` beyond the market's best price and inside the collar. It goes through the
risk gate like any other. Called by `TradingCore` after each decision of a market that is to be flat; quotes are gone
first, so that position, quotes and this order together can never pass zero.

What is held long and short at once (boxed, in two-way position mode) is closed too, first the leg that is larger: there
the net position passes zero by as much as is boxed, within the position limits, and the next order brings it back.
"""

from collections.abc import Callable, Iterable

from mm_daemon.core.ledger_order import LedgerOrder
from mm_daemon.core.market import MarketState
from mm_daemon.domain.decisions import PlaceOrder, Reason, mask
from mm_daemon.domain.instrument import grid_rounding
from mm_daemon.domain.orders import ClientOrderId, Phase, Purpose, Side, TimeInForce
from mm_daemon.engine.units import BPS

RETRY_NS = 1_000_000_000
"""Between two flatten orders of a market: what it offers now was taken, and more has to come first."""

_IMPOSSIBLE = mask(
    Reason.SHUTDOWN,
    Reason.STARTING,
    Reason.LOOP_STALL,
    Reason.VENUE_DOWN,
    Reason.VENUE_BANNED,
    Reason.MARKET_HALTED,
    Reason.GRID_CHANGED,
)
_INSIDE = 1.0 - 1e-9
"""Keeps a price at the very collar from being outside of it by a rounding error."""


def flatten_order(
    market: MarketState,
    alive: Iterable[LedgerOrder],
    filled_ns: int,
    next_id: Callable[[], ClientOrderId],
    now_ns: int,
) -> PlaceOrder | None:
    """The next order on the way to flat; None: not now, or nothing is left to do, and then `flattening` is over.

    `alive`: orders of this market that may still trade; `filled_ns`: its last fill. Prices in ticks, sizes in lots.
    """
    net, boxed = market.position.lots, market.facts.boxed_lots
    side = Side.SELL if net > 0 or (net == 0 and boxed) else Side.BUY
    held = abs(net) + min(boxed, _beyond_zero(market, side)) if boxed else abs(net)
    ticks = _limit_ticks(market, side) if market.book.trusted else 0
    least = max(market.instrument.min_lots_at(ticks), 1)
    if held < least:  # the venue would not take an order for so little
        outdated = market.facts.boxed_ns is not None and market.facts.boxed_ns <= filled_ns
        if outdated or market.halts & Reason.STARTING.bit:
            return None  # what the venue holds now, boxed or at all, is not known: the next comparison says
        market.flattening = market.flatten_asked = False
        return None
    if now_ns < market.flatten_due_ns or market.halts & _IMPOSSIBLE or not market.facts.book_fresh:
        return None
    if ticks <= 0 or any(order.phase is not Phase.FOREIGN for order in alive):
        return None
    if not (market.facts.in_collar(ticks, market.book.half_ticks) and market.facts.near_mark(ticks)):
        return None  # mid and mark are further apart than any price may be from both
    market.flatten_due_ns = now_ns + RETRY_NS
    lots = _lots(held, least, _most(market, ticks))
    if not lots:
        return None
    return PlaceOrder(
        market.id,
        next_id(),
        side,
        0,
        ticks,
        lots,
        (Reason.FLATTEN,),
        post_only=False,
        reduce_only=True,
        time_in_force=TimeInForce.IOC,
        purpose=Purpose.FLATTEN,
    )


def left_boxed(net_lots: int, boxed_lots: int, closed_lots: int) -> int:
    """What is certain to stay boxed after a fill of signed lots: a reduce-only one is taken from the leg on its other
    side, and any other one may be.
    """
    long, short = max(net_lots, 0) + boxed_lots, max(-net_lots, 0) + boxed_lots
    if closed_lots < 0:
        long += closed_lots
    else:
        short -= closed_lots
    return max(min(long, short), 0)


def _beyond_zero(market: MarketState, side: Side) -> int:
    """How far the limits let an order of this side take the net position past zero."""
    limits = market.facts.limits
    return -limits.min_position_lots if side is Side.SELL else limits.max_position_lots


def _most(market: MarketState, ticks: int) -> int:
    """The largest order that venue and limits take at this price, lots."""
    facts, venue_max = market.facts, market.instrument.max_lots
    most = facts.limits.max_order_lots
    if venue_max is not None:
        most = min(most, venue_max)
    if facts.bounds.max_notional is not None:
        most = min(most, facts.bounds.max_notional // (ticks * facts.bounds.unit))
    return most


def _lots(held: int, least: int, most: int) -> int:
    """As much as one order may have, but never so much that the rest would be too small to sell; 0: no order passes."""
    if held <= most:
        return held
    if most < least:
        return 0
    return most if held - most >= least else max(held - least, least)


def _limit_ticks(market: MarketState, side: Side) -> int:
    """The worst price that the order may trade at: of a trusted book, and within the collar of mid and mark."""
    limits, book, mark = market.facts.limits, market.book, market.facts.mark_half_ticks
    round_down, round_up = grid_rounding(market.instrument.grid)
    collar, slippage = limits.collar_bps * BPS * _INSIDE, limits.flatten_slippage_bps * BPS
    low = high = book.half_ticks * 0.5
    if mark is not None:
        low, high = min(low, mark * 0.5), max(high, mark * 0.5)
    if side is Side.SELL:
        return round_up(max(book.bid_ticks * (1.0 - slippage), high * (1.0 - collar)))
    return round_down(min(book.ask_ticks * (1.0 + slippage), low * (1.0 + collar)))
