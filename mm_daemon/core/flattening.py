"""Working a position off because an operator, or `flatten_on_kill`, wants it gone: an order that takes what there is.

A flatten order is reduce-only and immediate-or-cancel, no larger than the position and the largest order allowed, at a
limit that is at most `flatten_slippage_bps` beyond the market's best price and inside the collar. It goes through the
risk gate like any other. Called by `TradingCore` after each decision of a market that is to be flat; quotes are gone
first, so that position, quotes and this order together can never pass zero.
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
    Reason.MARKET_HALTED,
    Reason.GRID_CHANGED,
)
_INSIDE = 1.0 - 1e-9
"""Keeps a price at the very collar from being outside of it by a rounding error."""


def flatten_order(
    market: MarketState, alive: Iterable[LedgerOrder], next_id: Callable[[], ClientOrderId], now_ns: int
) -> PlaceOrder | None:
    """The next order on the way to flat; None: not now, or nothing is left to do, and then `flattening` is over.

    `alive`: orders of this market that may still trade. Prices in ticks, sizes in lots.
    """
    held = abs(market.position.lots)
    if not _tradable(market, held):
        market.flattening = False
        return None
    if now_ns < market.flatten_due_ns or market.halts & _IMPOSSIBLE or not market.facts.book_fresh:
        return None
    if not market.book.trusted or any(order.phase is not Phase.FOREIGN for order in alive):
        return None
    market.flatten_due_ns = now_ns + RETRY_NS
    side = Side.SELL if market.position.lots > 0 else Side.BUY
    return PlaceOrder(
        market.id,
        next_id(),
        side,
        0,
        _limit_ticks(market, side),
        _lots(market, held),
        (Reason.FLATTEN,),
        post_only=False,
        reduce_only=True,
        time_in_force=TimeInForce.IOC,
        purpose=Purpose.FLATTEN,
    )


def _tradable(market: MarketState, held: int) -> bool:
    """Whether the venue would take an order for what is held; less than that cannot be worked off."""
    least = market.instrument.min_lots
    if market.book.trusted:
        least = max(least, market.instrument.min_lots_at(market.book.bid_ticks))
    return held >= least > 0


def _lots(market: MarketState, held: int) -> int:
    """As much as one order may have, but never so much that the rest would be too small to sell."""
    most, least = market.facts.limits.max_order_lots, market.instrument.min_lots
    if held <= most:
        return held
    return most if held - most >= least else max(held - least, least)


def _limit_ticks(market: MarketState, side: Side) -> int:
    """The worst price that the order may trade at."""
    limits, book = market.facts.limits, market.book
    round_down, round_up = grid_rounding(market.instrument.grid)
    collar = limits.collar_bps * BPS * _INSIDE
    slippage, mid = limits.flatten_slippage_bps * BPS, book.half_ticks * 0.5
    if side is Side.SELL:
        return round_up(max(book.bid_ticks * (1.0 - slippage), mid * (1.0 - collar)))
    return round_down(min(book.ask_ticks * (1.0 + slippage), mid * (1.0 + collar)))
