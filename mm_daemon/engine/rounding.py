"""From unrounded prices to the ticks of two post-only quotes (MODELS 0.3, steps 5 and 6).

A bid rounds down, an ask up, each stays off the opposite best price and the two never meet. Prices come in float ticks
of the instrument's finest grid; coarser grids pass their own rounding from `domain.instrument.grid_rounding`. An empty
side of the book is `NO_BID` or `NO_ASK` of `domain.book`. A result below one tick is no price: the caller drops it.
"""

from collections.abc import Callable

from mm_daemon.domain.errors import DomainError
from mm_daemon.domain.instrument import ceil_ticks, floor_ticks
from mm_daemon.engine.domain_checks import require_positive

Rounding = Callable[[float], int]


def price_in_ticks(price: float, tick: float) -> float:
    """A price as unrounded ticks. Raises DomainError unless the tick is positive."""
    require_positive(tick=tick)
    return price / tick


def round_bid(bid: float, best_ask: int, *, post_only: bool = True, floor: Rounding = floor_ticks) -> int:
    """The bid's ticks: down, and when post-only at most one tick below `best_ask`."""
    try:
        ticks = floor(bid)
    except (ValueError, OverflowError):
        raise DomainError(f"bid = {bid} is not a finite number") from None
    return floor(best_ask - 1) if ticks >= best_ask and post_only else ticks


def round_ask(ask: float, best_bid: int, *, post_only: bool = True, ceil: Rounding = ceil_ticks) -> int:
    """The ask's ticks: up, and when post-only at least one tick above `best_bid`."""
    try:
        ticks = ceil(ask)
    except (ValueError, OverflowError):
        raise DomainError(f"ask = {ask} is not a finite number") from None
    return ceil(best_bid + 1) if ticks <= best_bid and post_only else ticks


def round_quotes(
    bid: float,
    ask: float,
    best_bid: int,
    best_ask: int,
    *,
    post_only: bool = True,
    floor: Rounding = floor_ticks,
    ceil: Rounding = ceil_ticks,
) -> tuple[int, int]:
    """(bid_ticks, ask_ticks) of two quotes; when they would meet, the ask moves to the next price above the bid.

    Raises DomainError for prices that are not finite.
    """
    bid_ticks = round_bid(bid, best_ask, post_only=post_only, floor=floor)
    ask_ticks = round_ask(ask, best_bid, post_only=post_only, ceil=ceil)
    if ask_ticks <= bid_ticks:
        ask_ticks = ceil(bid_ticks + 1)
    return bid_ticks, ask_ticks
