"""From measurements to parameters: the gamma of a target skew, what GLFT then quotes, and safe values where it may not.

Gamma is chosen by what a person can picture (MODELS 0.2): at the position limit both quotes are shifted by half of the
half-spread, so that the side that reduces still earns half of what it earns when flat.
"""

import math

import msgspec

from mm_daemon.core.parameters import MarketParameters
from mm_daemon.domain.errors import DomainError
from mm_daemon.engine.models import glft

SKEW_SHARE = 0.5
"""Shift at the position limit, in half-spreads."""
_GAMMA_LOW, _GAMMA_HIGH = 1e-8, 1000.0
_FIGURES = 3
_SAFE_TOUCHES, _SAFE_BREAK_EVENS, _SAFE_MOVE_S, _SAFE_LEAST_BPS = 3.0, 2.0, 60.0, 5.0
_SAFE_INTENSITY = 0.01
_LARGEST_HALF_BPS = 4000.0


class GlftAdvice(msgspec.Struct, frozen=True, kw_only=True):
    """What GLFT quotes with `gamma`: bps of the mid; skew per order held; `shift_at_limit_bps` at the position limit,
    which is `limit_orders` orders; `horizon_s` is tau*.
    """

    gamma: float
    half_spread_bps: float
    skew_bps: float
    limit_orders: float
    shift_at_limit_bps: float
    horizon_s: float | None


class Suggestion(msgspec.Struct, frozen=True, kw_only=True):
    """Keys of a market, in the configuration's units. None: leave it as it is. `wide`: a fit failed, these are safe."""

    gamma: float
    k: float
    intensity: float
    volatility: float
    min_spread_bps: float | None
    max_spread_bps: float | None
    wide: bool


def limit_orders(market: MarketParameters) -> float:
    """The position limit in order sizes, at least one."""
    widest = max(abs(market.limits.max_position_lots), abs(market.limits.min_position_lots))
    return max(widest / market.order_lots, 1.0)


def quotes(market: MarketParameters, fee_bps: float, gamma: float, A: float, k: float, sigma_bps: float) -> GlftAdvice:
    """GLFT's half-spread and skew, the fee inside the optimiser (MODELS 2.3). Raises DomainError."""
    found = glft.coefficients(glft.fee_adjusted_A(A, k, fee_bps), k, gamma, sigma_bps)
    orders = limit_orders(market)
    return GlftAdvice(
        gamma=gamma,
        half_spread_bps=fee_bps + found.half_spread,
        skew_bps=found.skew,
        limit_orders=orders,
        shift_at_limit_bps=found.skew * orders,
        horizon_s=found.tau_star,
    )


def gamma_for_skew(
    market: MarketParameters, fee_bps: float, A: float, k: float, sigma_bps: float, least_half_bps: float
) -> float:
    """The gamma at which the shift at the limit is `SKEW_SHARE` of the half-spread, which is taken to be
    `least_half_bps` where rebates make it less. Bisection on log(gamma); the end of the range where none fits.
    """

    def excess(log_gamma: float) -> float:
        try:
            quote = quotes(market, fee_bps, math.exp(log_gamma), A, k, sigma_bps)
        except DomainError:
            return math.inf
        return quote.shift_at_limit_bps - SKEW_SHARE * max(quote.half_spread_bps, least_half_bps)

    low, high = math.log(_GAMMA_LOW), math.log(_GAMMA_HIGH)
    if excess(low) >= 0.0:
        return _GAMMA_LOW
    if excess(high) <= 0.0:
        return _GAMMA_HIGH
    for _ in range(100):
        middle = 0.5 * (low + high)
        if excess(middle) < 0.0:
            low = middle
        else:
            high = middle
    return math.exp(0.5 * (low + high))


def safe_half_spread_bps(half_touch_bps: float, break_even_bps: float, sigma_bps: float) -> float:
    """Wide enough not to be regretted: beyond the touch, the fees and a usual move within a minute."""
    wide = max(
        _SAFE_TOUCHES * half_touch_bps,
        _SAFE_BREAK_EVENS * break_even_bps,
        sigma_bps * math.sqrt(_SAFE_MOVE_S),
        _SAFE_LEAST_BPS,
    )
    return min(wide, _LARGEST_HALF_BPS)


def safe_intensity(half_spread_bps: float, fee_bps: float, rate: float | None) -> tuple[float, float]:
    """(A, k) with which GLFT quotes about `half_spread_bps`, as its premium is about 1/k: k from the distance left
    after the fee, A the rate of orders that was seen, per side.
    """
    k = 1.0 / max(half_spread_bps - fee_bps, 0.1 * half_spread_bps)
    return rate if rate else _SAFE_INTENSITY, k


def rounded(value: float, *, up: bool = False) -> float:
    """Three significant figures: more would claim a precision that no sample has."""
    if not value:
        return 0.0
    digits = _FIGURES - 1 - math.floor(math.log10(abs(value)))
    result = round(value, digits)
    return round(result + 10.0**-digits, digits) if up and result < value else result
