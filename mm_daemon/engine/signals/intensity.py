"""The fill intensity `lambda(delta) = A e^{-k delta}` from a sample (MODELS 6.4): three estimators without state.

Depths are distances from the fair price just before the trade, in bps (or any unit; k is its inverse), A is orders per
second. A negative depth, which a stale fair price makes, counts as 0. Where a sample cannot tell, the answer is None.
`engine/signals/fill_intensity.py` is the online form.
"""

import math
from collections.abc import Sequence

import msgspec

from mm_daemon.domain.errors import DomainError
from mm_daemon.engine.domain_checks import require_finite, require_not_negative, require_positive

_LARGEST = 700.0
"""The exponential of more than this is no float."""


class IntensityRegression(msgspec.Struct, frozen=True, gc=False):
    """A fitted line through log rates. `r2`: share of their weighted variance it explains; None with `A` and `k` where
    fewer than two rates are known.
    """

    A: float | None
    k: float | None
    r2: float | None


class IntensityMle(msgspec.Struct, frozen=True, gc=False):
    """`rate`: orders per second that reach at least `d0`. `n_eff`: decayed sample size, so that se(k) = k/sqrt(n_eff).

    `k` and `A` are None where no order went beyond `d0`.
    """

    A: float | None
    k: float | None
    rate: float
    n_eff: float


def intensity_regression(
    depths: Sequence[float], exposure: float, edges: Sequence[float], min_count: float = 1
) -> IntensityRegression:
    """Least squares of the log of how often each edge was reached, weighted with the counts (Var ln rate = 1/N).

    `exposure` in seconds; edges that fewer than `min_count` orders reached are left out.
    """
    require_positive(exposure=exposure)
    require_finite(**{f"depth[{i}]": depth for i, depth in enumerate(depths)})
    counts = [float(sum(max(depth, 0.0) >= edge for depth in depths)) for edge in edges]
    return log_rate_fit(edges, counts, [exposure] * len(counts), min_count)


def log_rate_fit(
    distances: Sequence[float], counts: Sequence[float], exposures: Sequence[float], min_count: float
) -> IntensityRegression:
    """The line `ln A - k * distance` through `ln(count/exposure)`, weighted with the counts."""
    require_finite(**{f"distance[{i}]": distance for i, distance in enumerate(distances)})
    points = [
        (distance, math.log(count) - math.log(exposure), count)
        for distance, count, exposure in zip(distances, counts, exposures, strict=True)
        if count >= min_count and count > 0.0 and exposure > 0.0
    ]
    weight = sum(w for _, _, w in points)
    if not weight:
        return IntensityRegression(None, None, None)
    x_mean = sum(w * x for x, _, w in points) / weight
    y_mean = sum(w * y for _, y, w in points) / weight
    sxx = sum(w * (x - x_mean) ** 2 for x, _, w in points)
    if not sxx > 0.0:
        return IntensityRegression(None, None, None)
    sxy = sum(w * (x - x_mean) * (y - y_mean) for x, y, w in points)
    syy = sum(w * (y - y_mean) ** 2 for _, y, w in points)
    slope = sxy / sxx
    # Rates that do not fall with distance at all are no fit of an exponential.
    r2 = min(slope * sxy / syy, 1.0) if syy > 0.0 else 0.0
    return IntensityRegression(_exp(y_mean - slope * x_mean), -slope, r2)


def intensity_mle(
    times: Sequence[float], depths: Sequence[float], t_end: float, half_life: float, d0: float, lattice: float = 0.0
) -> IntensityMle:
    """Maximum likelihood over the orders that reached `d0`, decayed with `half_life`; observed from 0 to `t_end` s.

    `lattice`: distance between possible depths, 0 where they are continuous; corrects the bias that ticks cause in k.
    """
    require_positive(half_life=half_life, t_end=t_end)
    require_not_negative(d0=d0, lattice=lattice)
    if len(times) != len(depths):
        raise DomainError(f"{len(times)} times and {len(depths)} depths do not pair")
    weight = squares = excess = 0.0
    for time, depth in zip(times, depths, strict=True):
        require_finite(time=time, depth=depth)
        if time > t_end:
            raise DomainError(f"an order at {time} s is after the end of the sample at {t_end} s")
        beyond = max(depth, 0.0) - d0
        if beyond >= 0.0:
            decayed = math.exp2((time - t_end) / half_life)
            weight += decayed
            squares += decayed * decayed
            excess += decayed * beyond
    exposure = -math.expm1(-t_end / half_life * math.log(2.0)) * half_life / math.log(2.0)
    rate = weight / exposure
    k = decay_of_excess(excess / weight, lattice) if weight else None
    A = None if k is None else _exp(math.log(rate) + k * d0)
    return IntensityMle(A, k, rate, weight * weight / squares if squares else 0.0)


def decay_of_excess(mean_excess: float, lattice: float = 0.0) -> float | None:
    """k of exponential depths that exceed their least one by `mean_excess`, on a lattice of that step if it is not 0.

    None where nothing exceeds it: k would be infinite.
    """
    if not mean_excess > 0.0:
        return None
    k = math.log1p(lattice / mean_excess) / lattice if lattice else 1.0 / mean_excess
    return k if 0.0 < k < math.inf else None


def window_rate(hits: float, windows: float, step: float) -> float | None:
    """Rate per second from the share of windows of `step` seconds in which a depth was reached at least once.

    0 without a hit; None when every window was hit: the rate is then too high for this window to measure.
    """
    require_positive(windows=windows, step=step)
    require_not_negative(hits=hits)
    if hits > windows:
        raise DomainError(f"{hits} hits in {windows} windows")
    return None if hits == windows else -math.log1p(-hits / windows) / step


def _exp(exponent: float) -> float | None:
    """None for an intensity that no number can hold: a line through nearly one distance, drawn far from it."""
    return math.exp(exponent) if exponent < _LARGEST else None
