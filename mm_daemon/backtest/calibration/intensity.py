"""A and k of the fill intensity from a whole sample, with standard errors (MODELS 6.4, methods 1 and 2).

Maximum likelihood over the orders that reached `d0`, where our quotes begin: the touch, or where the fee is earned. How
well they are exponential at all is judged by the regression of how often each distance was reached. The furthest
hundredth of the orders counts as having come that far and no further (a censored sample), so that one order in a jump
of the price does not decide. Errors are the larger of what the exponential law says and what the sample's own scatter
says, times what dependence adds.
"""

import math

import msgspec

from mm_daemon.backtest.calibration.batches import inflation
from mm_daemon.backtest.calibration.depths import BEYOND_BPS, WIDTH_BPS, Bin, Depths, bin_of
from mm_daemon.engine.signals.intensity import decay_of_excess, log_rate_fit

K_MIN, K_MAX = 1e-3, 100.0
"""1/bps: beyond them lies no market, only a bad sample (MODELS 6.4; the bounds of the daemon's own estimator)."""
A_MAX = 1e6
"""1/s: the configuration takes no more, and no market has more."""
MIN_R2 = 0.5
MIN_ORDERS = 20
_REACHED_BY_ONE_IN = 100
_EDGES = 12
_NEAR_EDGES = 6
_CERTAIN = 1.96
"""Standard errors of k that must fit into k before there is any confidence in it (95 %)."""
_LARGEST = 700.0


class RatePoint(msgspec.Struct, frozen=True):
    """How often a distance was reached: `rate` per second and side, by `orders` orders. What is nearer than our quotes
    is not `fitted`.
    """

    distance_bps: float
    rate: float
    orders: int
    fitted: bool


class IntensityFit(msgspec.Struct, frozen=True, kw_only=True):
    """`lambda(delta) = A e^{-k delta}`, A per second and side, k in 1/bps, as fitted over `d0_bps` to `reach_bps`.

    `n_eff`: independent orders the sample is worth for k, so that se(k) = k/sqrt(n_eff). `confidence`, 0 to 1, as the
    daemon's own estimator has it. `refused` says why the fit must not be used; A and k are told where they exist.
    """

    orders: int
    d0_bps: float | None = None
    reach_bps: float | None = None
    A: float | None = None
    A_error: float | None = None
    """Standard error of A."""
    log_A_error: float | None = None
    """Standard error of ln A, which is nearer to normal."""
    k: float | None = None
    k_error: float | None = None
    k_regression: float | None = None
    """k of the regression, beside the one of the likelihood: they differ where the law is not exponential."""
    d0_rate_error: float | None = None
    """Relative standard error of the rate at `d0_bps`."""
    r2: float = 0.0
    n_eff: float = 0.0
    confidence: float = 0.0
    refused: str | None = None
    points: tuple[RatePoint, ...] = ()


def fit_intensity(depths: Depths, *, from_bps: float, tick_bps: float, sides: int) -> IntensityFit:
    """`from_bps`: where our quotes begin; `tick_bps`: distance between possible prices; `sides`: 2 when the orders of
    both sides were counted together.
    """
    everything = list(depths.since(0))
    first = bin_of(from_bps - 0.25 * tick_bps)
    bins = [(index, bin_) for index, bin_ in everything if index >= first]
    orders = sum(bin_.count for _, bin_ in bins)
    seconds = depths.rate.x
    if not orders or not seconds > 0.0:
        what = "no taker order as large as ours came"
        if depths.orders:
            what = f"none of {depths.orders:,} taker orders reached {from_bps:.3g} bps, where our quotes begin"
        return IntensityFit(orders=orders, refused=what)
    # The first price of the grid that our quotes can have; not further, where it just so happens that nobody stopped.
    d0 = min(bins[0][1].least, from_bps + tick_bps + WIDTH_BPS)
    last = _last_bin([(index, bin_.count) for index, bin_ in bins], orders)
    reach = min(max((last + 1) * WIDTH_BPS, d0 + 3.0 * tick_bps, d0 + 5.0 * WIDTH_BPS), BEYOND_BPS)
    inside = [(bin_.count, bin_.sum / bin_.count - d0) for index, bin_ in bins if (index + 1) * WIDTH_BPS <= reach]
    stopped = sum(count for count, _ in inside)
    beyond, furthest = orders - stopped, reach - d0
    points, k_regression, r2 = _survival(everything, d0, reach, tick_bps, seconds * sides)
    told = IntensityFit(
        orders=orders, d0_bps=d0, reach_bps=reach, k_regression=k_regression, r2=r2, points=points, refused="no fit"
    )
    mean = (sum(count * excess for count, excess in inside) + beyond * furthest) / stopped if stopped else math.inf
    k = decay_of_excess(mean, tick_bps) if mean < math.inf else None
    if k is None:
        why = (
            "every order stopped where our quotes begin: k has no bound" if stopped else "no order stopped within reach"
        )
        return msgspec.structs.replace(told, refused=why)
    scatter = sum(count * (excess - mean) ** 2 for count, excess in inside) + beyond * furthest**2
    law = stopped * mean * (mean + tick_bps)
    excess_error = math.sqrt(max(scatter, law) * inflation(depths.depth, depths.independent_depth_variance)) / stopped
    k_error = excess_error / (mean * (mean + tick_bps))
    rate_error = math.sqrt(inflation(depths.rate, depths.independent_rate_variance) / orders)
    log_A = math.log(orders / (seconds * sides)) + k * d0
    log_A_error = math.hypot(rate_error, d0 * k_error)
    A = math.exp(log_A) if log_A < _LARGEST else None
    n_eff = (k / k_error) ** 2
    fit = msgspec.structs.replace(
        told,
        A=A,
        A_error=None if A is None else A * log_A_error,
        log_A_error=log_A_error,
        k=k,
        k_error=k_error,
        d0_rate_error=rate_error,
        n_eff=n_eff,
        confidence=max(0.0, 1.0 - _CERTAIN / math.sqrt(n_eff)) * r2,
    )
    return msgspec.structs.replace(fit, refused=_refusal(fit))


def _refusal(fit: IntensityFit) -> str | None:
    """The guards of MODELS 6.4, in words."""
    if fit.k is not None and not K_MIN <= fit.k <= K_MAX:
        where = "; nearly every order stopped where our quotes begin" if fit.k > K_MAX else ""
        return f"k = {fit.k:.3g} /bps is out of range ({K_MIN:g} to {K_MAX:g}){where}"
    if fit.k is None or fit.A is None or fit.A > A_MAX:
        return f"A is out of range (up to {A_MAX:g} orders a second)"
    if fit.orders < MIN_ORDERS:
        return f"too few orders: {fit.orders} reached {fit.d0_bps:.3g} bps, {MIN_ORDERS} are needed"
    if fit.n_eff < 1.0:
        return f"the standard error of k, {fit.k_error:.3g}, is larger than k: the orders came in a few bursts"
    if fit.r2 < MIN_R2:
        return f"not exponential: R2 = {fit.r2:.2f}, {MIN_R2:g} is needed"
    return None


def _last_bin(counts: list[tuple[int, int]], orders: int) -> int:
    """The last bin but for the furthest hundredth of the orders."""
    left = orders // _REACHED_BY_ONE_IN
    for index, count in reversed(counts):
        if count > left:
            return index
        left -= count
    return counts[0][0]


def _survival(
    bins: list[tuple[int, Bin]], d0: float, reach: float, tick_bps: float, exposure_s: float
) -> tuple[tuple[RatePoint, ...], float | None, float]:
    """How often distances from `d0` on were reached, and the line through the logarithms: its k and R squared."""
    step = max((reach - d0) / _EDGES, tick_bps, WIDTH_BPS)
    near = min(int(d0 / step), _NEAR_EDGES)
    edges = [(d0 * number / near, False) for number in range(near)]
    edges += [(d0 + step * number, True) for number in range(max(int((reach - d0) / step + 0.5), 2))]
    points = []
    for edge, fitted in edges:
        # Between two prices of the grid, so that it does not matter which of them a rounded distance is.
        first = bin_of(d0 if edge == d0 else edge - 0.5 * tick_bps)
        count = sum(bin_.count for index, bin_ in bins if index >= first)
        if count:
            points.append(RatePoint(edge, count / exposure_s, count, fitted))
    used = [point for point in points if point.fitted]
    distances, counts = [point.distance_bps for point in used], [float(point.orders) for point in used]
    line = log_rate_fit(distances, counts, [exposure_s] * len(used), 1.0)
    falls = line.k is not None and line.k > 0.0 and line.r2 is not None
    return tuple(points), line.k if falls else None, (line.r2 or 0.0) if falls else 0.0
