"""Several quotes on one side: how far apart, how large, and within what room (MODELS 5.2).

Level i (0 innermost) lies `step_bps * i` beyond the inner price, or `step_bps * (growth^i - 1) / (growth - 1)` where
steps grow; sizes are in proportion to `size_ratio^i`. Prices in ticks, sizes in lots, distances in bps of the inner
price. The quote engine takes `behind`, sized by its inner order; `levels` shares out a total.
"""

import math
from collections.abc import Callable

from mm_daemon.domain.errors import DomainError
from mm_daemon.domain.instrument import ceil_ticks, floor_ticks
from mm_daemon.domain.orders import Side
from mm_daemon.engine.domain_checks import require_finite, require_not_negative, require_positive
from mm_daemon.engine.units import BPS

_BUY = Side.BUY
_LOT_SLACK = 1e-9
"""Lots that float noise may take away before the floor."""

Levels = list[tuple[int, int]]
"""(ticks, lots), innermost first."""


def level_lots(inner_lots: int, size_ratio: float, level: int) -> int:
    """Size of a level where the inner one has `inner_lots`, at least one lot."""
    return max(1, int(inner_lots * size_ratio**level + _LOT_SLACK))


class Ladder:
    """The shape of one side's levels: made once, applied to each price.

    By level: `beyond`, the distance from the inner price as a fraction of it, and `shares` of the total size.
    """

    __slots__ = ("beyond", "shares")

    def __init__(self, levels: int, step_bps: float, growth: float = 1.0, size_ratio: float = 1.0) -> None:
        """Raises DomainError for negative numbers, growth or size ratio of zero, and shapes that are not finite."""
        require_not_negative(n=levels, step_bps=step_bps)
        require_positive(growth=growth, size_ratio=size_ratio)
        try:
            self.beyond = [_offset_bps(i, step_bps, growth) * BPS for i in range(levels)]
            weights = [size_ratio**i for i in range(levels)]
            whole = sum(weights)
            self.shares = [weight / whole for weight in weights]
        except OverflowError:
            raise DomainError(f"{levels} levels with growth {growth} and size ratio {size_ratio} overflow") from None
        require_finite(**{f"offset[{i}]": value for i, value in enumerate((*self.beyond, *self.shares))})

    def behind(self, inner_lots: int) -> tuple[tuple[float, int], ...]:
        """Of each level but the inner one: how far beyond that it lies, bps, and its size, in lots and at least one,
        where the inner one has `inner_lots`.
        """
        inner_share = self.shares[0]
        return tuple(
            (beyond / BPS, max(1, math.floor(inner_lots * share / inner_share + _LOT_SLACK)))
            for beyond, share in zip(self.beyond[1:], self.shares[1:], strict=True)
        )

    def levels(
        self,
        side: Side,
        inner_ticks: float,
        total_lots: float,
        room_lots: float,
        *,
        rounding: Callable[[float], int] | None = None,
    ) -> Levels:
        """The levels from an unrounded inner price outwards, those that have any size.

        `room_lots`: what the position may still grow by on this side (negative: nothing); inner levels take it first.
        Levels on one tick are merged before lots are floored, and what is below one tick is no price. `rounding`: bids
        down, asks up, onto grids coarser than the tick. Raises DomainError unless the price is positive and all finite.
        """
        require_positive(inner_ticks=inner_ticks)
        require_not_negative(total_lots=total_lots)
        if math.isnan(room_lots):
            raise DomainError("room is not a number")
        buys = side is _BUY
        if rounding is None:
            rounding = floor_ticks if buys else ceil_ticks
        sizes: dict[int, float] = {}
        room = room_lots
        for beyond, share in zip(self.beyond, self.shares, strict=True):
            size = min(share * total_lots, room)
            if size <= 0.0:
                break
            room -= size
            price = inner_ticks * (1.0 - beyond if buys else 1.0 + beyond)
            ticks = rounding(price) if 0.0 < price < math.inf else 0
            if ticks > 0:
                sizes[ticks] = sizes.get(ticks, 0.0) + size
        floored = ((ticks, math.floor(size + _LOT_SLACK)) for ticks, size in sizes.items())
        return [(ticks, lots) for ticks, lots in floored if lots > 0]


def _offset_bps(level: int, step_bps: float, growth: float) -> float:
    if growth == 1.0:
        return step_bps * level
    # expm1 over expm1 rather than differences of powers: exact as growth approaches 1.
    log_growth = math.log(growth)
    return step_bps * math.expm1(level * log_growth) / math.expm1(log_growth)
