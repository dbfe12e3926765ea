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


def round_quotes(
    bid: float,
    ask: float,
    best_bid: int,
    best_ask: int,
    floor: Rounding = floor_ticks,
    ceil: Rounding = ceil_ticks,
    post_only: bool = True,
) -> tuple[int, int]:
    """(bid_ticks, ask_ticks): the bid down, the ask up, and when post-only each a tick or more off the opposite best.

    When they would meet, the ask moves to the next price above the bid. Raises DomainError for prices that are not
    finite.
    """
    try:
        bid_ticks, ask_ticks = floor(bid), ceil(ask)
    except (ValueError, OverflowError):
        raise DomainError(f"bid = {bid} or ask = {ask} is not a finite number") from None
    if post_only:
        if bid_ticks >= best_ask:
            bid_ticks = floor(best_ask - 1)
        if ask_ticks <= best_bid:
            ask_ticks = ceil(best_bid + 1)
    if ask_ticks <= bid_ticks:
        ask_ticks = ceil(bid_ticks + 1)
    return bid_ticks, ask_ticks
