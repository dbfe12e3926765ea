"""A and k of the fill intensity from a whole sample, with standard errors (MODELS 6.4, methods 1 and 2).

Maximum likelihood over the orders that reached where our quotes begin: the touch as it then was, the usual touch, or
where the fee is earned. An order that stops inside is not seen, so the sample is truncated at that distance c, which
moves with the book. Where orders come at `A e^{-k delta}` (Avellaneda and Stoikov 2008, 2.5), the excess over c is
exponential again, whatever c is, and N orders in the time observed give

    k = 1 / mean(depth - c)        A = N / E(k),    E(k) = integral of e^{-k c(t)} dt

How well they are exponential at all is judged by the regression of how often each distance was reached while it could
be seen. The furthest hundredth of the orders counts as having come that far and no further (a censored sample), so that
one order in a jump of the price does not decide. Errors are the larger of what the exponential law says and what the
sample's own scatter says, times what dependence adds.
"""

import math

import msgspec

from mm_daemon.backtest.calibration.batches import inflation
from mm_daemon.backtest.calibration.depths import BEYOND_BPS, WIDTH_BPS, Bin, Depths, Exposure, Histogram
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
_SEEN_SHARE = 0.1
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
    """`lambda(delta) = A e^{-k delta}`, A per second and side, k in 1/bps, as fitted from `d0_bps` to `reach_bps`.

    `d0_bps` is where our quotes begin, mean over the orders that came there. `n_eff`: independent orders the sample is
    worth for k, so that se(k) = k/sqrt(n_eff). `confidence`, 0 to 1, as the daemon's own estimator has it. `refused`
    says why the fit must not be used; A and k are told where they exist.
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


def fit_intensity(depths: Depths, exposure: Exposure, *, tick_bps: float, sides: int) -> IntensityFit:
    """`tick_bps`: distance between possible prices; `sides`: 2 when the orders of both sides were counted together."""
    orders, seconds = depths.reached, exposure.entries.weight
    if not orders or not seconds > 0.0:
        what = "no taker order as large as ours came"
        if depths.orders:
            entry = f", {exposure.entries.mean:.3g} bps from the mid," if seconds > 0.0 else ""
            what = f"none of {depths.orders:,} taker orders reached the distance{entry} where our quotes begin"
        return IntensityFit(orders=orders, refused=what)
    bins = list(depths.excesses.bins())
    last, last_bin = _last_bin(bins, orders)
    furthest = max((last + 1) * WIDTH_BPS, last_bin.mean + tick_bps)
    inside = [(bin_.weight, bin_.mean) for index, bin_ in bins if index <= last]
    stopped = sum(count for count, _ in inside)
    beyond = orders - stopped
    mean = (sum(count * excess for count, excess in inside) + beyond * furthest) / stopped
    k = decay_of_excess(mean, tick_bps)
    log_seen_s, d0 = _pivot(exposure, k or 0.0)
    reach = min(d0 + max(furthest, 3.0 * tick_bps, 5.0 * WIDTH_BPS), BEYOND_BPS)
    points, k_regression, r2 = _survival(depths, exposure, reach, tick_bps, sides)
    told = IntensityFit(
        orders=orders, d0_bps=d0, reach_bps=reach, k_regression=k_regression, r2=r2, points=points, refused="no fit"
    )
    if k is None:
        return msgspec.structs.replace(told, refused="every order stopped where our quotes begin: k has no bound")
    scatter = sum(count * (excess - mean) ** 2 for count, excess in inside) + beyond * furthest**2
    law = stopped * mean * (mean + tick_bps)
    dependence = inflation(depths.excess, depths.independent_excess_variance, observations=orders)
    k_error = math.sqrt(max(scatter, law) * dependence) / stopped / (mean * (mean + tick_bps))
    rate_error = math.sqrt(inflation(depths.rate, depths.independent_rate_variance) / orders)
    log_A = math.log(orders / sides) - log_seen_s
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


def _pivot(exposure: Exposure, k: float) -> tuple[float, float]:
    """The logarithm of E(k), seconds, and where it is flat: the mean distance at which our quotes begin, weighted with
    the orders that came there.
    """
    bins = [(bin_.weight, bin_.mean) for _, bin_ in exposure.entries.bins()]
    nearest = bins[0][1]
    seen = [(seconds * math.exp(-k * (entry - nearest)), entry) for seconds, entry in bins]
    total = math.fsum(weight for weight, _ in seen)
    return math.log(total) - k * nearest, math.fsum(weight * entry for weight, entry in seen) / total


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


def _last_bin(bins: list[tuple[int, Bin]], orders: int) -> tuple[int, Bin]:
    """The last bin but for the furthest hundredth of the orders."""
    left: float = orders // _REACHED_BY_ONE_IN
    for index, bin_ in reversed(bins):
        if bin_.weight > left:
            return index, bin_
        left -= bin_.weight
    return bins[0]


def _survival(
    depths: Depths, exposure: Exposure, reach: float, tick_bps: float, sides: int
) -> tuple[tuple[RatePoint, ...], float | None, float]:
    """How often distances were reached, and the line through the logarithms: its k and R squared.

    Each is counted while the touch was inside it. The line begins where our quotes do for a tenth of the time.
    """
    nearest = _reached_for(exposure.touches, _SEEN_SHARE)
    first = _reached_for(exposure.entries, _SEEN_SHARE)
    step = max((reach - first) / _EDGES, tick_bps, WIDTH_BPS)
    near = min(int((first - nearest) / step + 0.5), _NEAR_EDGES)
    edges = [(nearest + (first - nearest) * number / near, False) for number in range(near)]
    edges += [(first + step * number, True) for number in range(max(int((reach - first) / step + 0.5), 2))]
    points: list[RatePoint] = []
    seconds: list[float] = []
    for edge, fitted in edges:
        # Between two prices of the grid, so that it does not matter which of them a rounded distance is.
        orders = depths.touches.until(edge) - depths.depths.before(max(edge - 0.5 * tick_bps, 0.0))
        seen_s = exposure.touches.until(edge) * sides
        if orders > 0.5 and seen_s > 0.0:
            points.append(RatePoint(edge, orders / seen_s, round(orders), fitted))
            if fitted:
                seconds.append(seen_s)
    used = [point for point in points if point.fitted]
    distances, counts = [point.distance_bps for point in used], [float(point.orders) for point in used]
    line = log_rate_fit(distances, counts, seconds, 1.0)
    falls = line.k is not None and line.k > 0.0 and line.r2 is not None
    return tuple(points), line.k if falls else None, (line.r2 or 0.0) if falls else 0.0


def _reached_for(times: Histogram, share: float) -> float:
    """The distance that is seen for a share of the time."""
    seen, mean = 0.0, 0.0
    for _, bin_ in times.bins():
        seen, mean = seen + bin_.weight, bin_.mean
        if seen >= share * times.weight:
            break
    return mean
