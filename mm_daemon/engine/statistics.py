"""Figures of a finished run: markouts, equity and inventory from whole series (MODELS 7.6).

`engine/markouts.py`, `engine/inventory_time.py` and `engine/equity.py` are the online forms.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

import msgspec

from mm_daemon.domain.errors import DomainError
from mm_daemon.domain.orders import Side
from mm_daemon.engine.domain_checks import require_finite, require_not_negative, require_positive

NO_SPREAD = 1e-12
"""A standard deviation below this share of the largest increment is rounding, not risk."""


class Markout(msgspec.Struct, frozen=True, gc=False):
    """Of one fill, in units of price, positive for us: `half_spread = markout + adverse` at each horizon.

    A horizon whose mid is not known is None.
    """

    half_spread: float
    markouts: tuple[float | None, ...]
    adverse: tuple[float | None, ...]


class EquityStats(msgspec.Struct, frozen=True, gc=False):
    """`sharpe` and its standard error are annual, None without risk; `max_drawdown` in currency is at least 0."""

    sharpe: float | None
    sharpe_se: float | None
    max_drawdown: float


class InventoryStats(msgspec.Struct, frozen=True, gc=False):
    """Weighted by time: mean and root mean square of |position|, share of time at the limit, and the mean holding time
    in seconds by Little's law (None when nothing was closed).
    """

    mean_abs: float
    rms: float
    time_at_limit: float
    mean_holding: float | None


def markout(side: Side, price: float, mid_at_fill: float, mids: Sequence[float | None]) -> Markout:
    """A fill of ours on `side` at `price`, the mid then, and the mids at each horizon after it."""
    require_finite(price=price, mid_at_fill=mid_at_fill)
    sign = int(side)
    require_finite(**{f"mid[{i}]": mid for i, mid in enumerate(mids) if mid is not None})
    return Markout(
        sign * (mid_at_fill - price),
        tuple(None if mid is None else sign * (mid - price) for mid in mids),
        tuple(None if mid is None else sign * (mid_at_fill - mid) for mid in mids),
    )


def equity_stats(equity: Sequence[float], periods_per_year: float) -> EquityStats:
    """Sharpe ratio of the increments in currency (deviation with n - 1), and drawdown from the running peak.

    The Sharpe's standard error is `sqrt((1 + SR^2/2)/n)` a period, after Lo (2002), for independent increments. Raises
    DomainError for an empty series.
    """
    require_positive(periods_per_year=periods_per_year)
    if not equity:
        raise DomainError("no equity, no statistics")
    require_finite(**{f"equity[{i}]": value for i, value in enumerate(equity)})
    peak, drawdown = equity[0], 0.0
    for value in equity:
        peak = max(peak, value)
        drawdown = max(drawdown, peak - value)
    moves = [after - before for before, after in pairwise(equity)]
    n = len(moves)
    if n < 2:
        return EquityStats(None, None, drawdown)
    mean = math.fsum(moves) / n
    deviation = math.sqrt(math.fsum((move - mean) ** 2 for move in moves) / (n - 1))
    if not deviation > NO_SPREAD * max(map(abs, moves)):
        return EquityStats(None, None, drawdown)
    ratio, year = mean / deviation, math.sqrt(periods_per_year)
    return EquityStats(ratio * year, math.sqrt((1.0 + 0.5 * ratio * ratio) / n) * year, drawdown)


def inventory_stats(
    times: Sequence[float], positions: Sequence[float], t_end: float, q_max: float, closed_qty: float
) -> InventoryStats:
    """Position i stands from `times[i]` to the next time, the last one to `t_end`. At the limit: |q| >= `q_max`.

    Raises DomainError when times go back or span nothing.
    """
    require_positive(q_max=q_max)
    require_not_negative(closed_qty=closed_qty)
    if not times or len(times) != len(positions):
        raise DomainError(f"{len(times)} times and {len(positions)} positions do not pair")
    require_finite(t_end=t_end, **{f"time[{i}]": time for i, time in enumerate(times)})
    held = squares = at_limit = 0.0
    for time, position, until in zip(times, positions, (*times[1:], t_end), strict=True):
        require_finite(position=position)
        if until < time:
            raise DomainError(f"time goes back from {time} to {until}")
        size = abs(position)
        held += size * (until - time)
        squares += size * size * (until - time)
        if size >= q_max * (1.0 - NO_SPREAD):
            at_limit += until - time
    span = t_end - times[0]
    if not span > 0.0:
        raise DomainError("positions over no time have no mean")
    return InventoryStats(
        held / span, math.sqrt(squares / span), at_limit / span, held / closed_qty if closed_qty else None
    )
