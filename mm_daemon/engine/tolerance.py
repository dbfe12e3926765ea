"""Whether a working quote is close enough to its target, and how far the fair price may go before it is not.

EXECUTION 3.1 and 3.3. Prices in ticks, sizes in lots. A quote too aggressive by one tick moves at once; a quote that is
too passive may stay as long as it is within the tolerance.
"""

from collections.abc import Iterable
from math import floor, inf, nextafter

from mm_daemon.domain.decisions import Reason
from mm_daemon.domain.orders import Side

AUTO_SHARE = 0.25
"""Share of the half-spread that a quote may lag behind unless a fraction of the price is configured."""

# Members of an enumeration are slow to look up; these are compared several times in every decision.
_BUY = Side.BUY
_TOO_AGGRESSIVE, _TOO_PASSIVE, _WITHIN = Reason.TOO_AGGRESSIVE, Reason.TOO_PASSIVE, Reason.WITHIN_TOLERANCE


def tolerance_ticks(half_spread_ticks: float, target_ticks: int, tolerance_frac: float | None = None) -> int:
    """Ticks a quote may be too passive by, at least one; `tolerance_frac` is a fraction of the price."""
    width = AUTO_SHARE * half_spread_ticks if tolerance_frac is None else tolerance_frac * target_ticks
    return floor(width) if width > 1.0 else 1


def excess_ticks(side: Side, working_ticks: int, target_ticks: int) -> int:
    """How much more aggressive than its target a working quote is; negative when it is more passive."""
    return working_ticks - target_ticks if side is _BUY else target_ticks - working_ticks


def price_verdict(side: Side, working_ticks: int, target_ticks: int, tolerance: int) -> Reason:
    """TOO_AGGRESSIVE, TOO_PASSIVE or WITHIN_TOLERANCE."""
    excess = excess_ticks(side, working_ticks, target_ticks)
    if excess > 0:
        return _TOO_AGGRESSIVE
    return _WITHIN if excess >= -tolerance else _TOO_PASSIVE


def size_within(remaining_lots: int, target_lots: int, size_tolerance: float, limit_lots: int | None = None) -> bool:
    """Whether the remaining size may stay: near enough to its target, and not above a limit, which always wins."""
    if limit_lots is not None and remaining_lots > limit_lots:
        return False
    return (1.0 - size_tolerance) * target_lots <= remaining_lots <= (1.0 + size_tolerance) * target_lots


def validity(fair: float, levels: Iterable[tuple[Side, float, int, int]]) -> tuple[float, float]:
    """(lowest, highest) fair price, both included, at which no quoted level would leave its tolerance.

    Levels are (side, unrounded target, working tick, tolerance), all in ticks. A bound that would itself be outside is
    answered with the next float inside; without levels there is no bound.
    """
    low, high = -inf, inf
    for side, raw, working, tolerance in levels:
        if side is _BUY:
            bottom = fair + (working - raw)
            top = nextafter(fair + (working + tolerance + 1 - raw), -inf)
        else:
            bottom = nextafter(fair + (working - tolerance - 1 - raw), inf)
            top = fair + (working - raw)
        if bottom > low:
            low = bottom
        if top < high:
            high = top
    return low, high
