"""The normalisation all models run in: prices in bps of the mid, inventory in order sizes (MODELS 0.2).

Risk aversion has the unit 1/money, so a bare gamma means nothing across symbols; in bps and order units one range fits
all. Also the way back from what a person means (how far the quotes should move) to the gamma that does it.
"""

import math

import msgspec

from mm_daemon.domain.errors import DomainError
from mm_daemon.engine.domain_checks import require_finite, require_not_negative, require_positive
from mm_daemon.engine.models import avellaneda_stoikov, glft

BPS = 1e-4
YEAR_S = 365.0 * 86400.0
_GAMMA_LOW, _GAMMA_HIGH = 1e-8, 1e3


class BpsUnits(msgspec.Struct, frozen=True, gc=False):
    """sigma in bps per square root of a second, k in 1/bps, gamma in 1/(bps order)."""

    sigma_bps: float
    k_bps: float
    gamma: float


class BpsQuotes(msgspec.Struct, frozen=True, gc=False):
    """Inventory `q` in order sizes, shift and spread in bps, `bid` and `ask` as prices."""

    q: float
    reservation_shift_bps: float
    spread_bps: float
    bid: float
    ask: float


def bps_units(mid: float, order_size: float, sigma_price: float, k_price: float, gamma_abs: float) -> BpsUnits:
    """Parameters measured in prices (and gamma in 1/money of a linear contract) as bps and order units."""
    require_positive(mid=mid, order_size=order_size, k_price=k_price)
    require_not_negative(sigma_price=sigma_price, gamma_abs=gamma_abs)
    bp = mid * BPS
    return BpsUnits(sigma_price / bp, k_price * bp, gamma_abs * bp * order_size)


def annual_vol_to_bps(vol_annual: float) -> float:
    """Annual volatility as a fraction (0.5 = 50 %, a year of 365 days) in bps per square root of a second."""
    require_not_negative(vol_annual=vol_annual)
    return vol_annual / BPS / math.sqrt(YEAR_S)


def as_bps(
    mid: float,
    position: float,
    target: float,
    order_size: float,
    sigma_bps: float,
    tau: float,
    gamma: float,
    k_bps: float,
) -> BpsQuotes:
    """Avellaneda-Stoikov in bps and order units, as prices around `mid`. Positions in base units, tau in seconds."""
    require_positive(mid=mid, order_size=order_size)
    require_finite(position=position, target=target)
    q = (position - target) / order_size
    depths = avellaneda_stoikov.finite(0.0, q, gamma, sigma_bps, tau, k_bps)
    bp = mid * BPS
    return BpsQuotes(q, depths.reservation, depths.spread, mid + depths.bid * bp, mid + depths.ask * bp)


def gamma_from_skew(shift_bps: float, n_max: float, sigma_bps: float, tau: float) -> float:
    """The gamma at which A-S moves its reservation price by `shift_bps` when `n_max` orders are held."""
    require_not_negative(shift_bps=shift_bps)
    require_positive(n_max=n_max, sigma_bps=sigma_bps, tau=tau)
    return shift_bps / (n_max * sigma_bps * sigma_bps * tau)


def glft_gamma_from_skew(shift_bps: float, n_max: float, A: float, k_bps: float, sigma_bps: float) -> float:
    """The gamma at which GLFT's skew times `n_max` is `shift_bps`, by bisection on log(gamma).

    The skew grows with gamma throughout. Raises DomainError when no gamma in [1e-8, 1e3] gives that shift.
    """
    require_positive(shift_bps=shift_bps, n_max=n_max, A=A, k=k_bps, sigma_bps=sigma_bps)

    def shift(log_gamma: float) -> float:
        return glft.coefficients(A, k_bps, math.exp(log_gamma), sigma_bps).skew * n_max

    low, high = math.log(_GAMMA_LOW), math.log(_GAMMA_HIGH)
    if not shift(low) <= shift_bps <= shift(high):
        raise DomainError(
            f"a shift of {shift_bps} bps at {n_max} orders needs a gamma outside [{_GAMMA_LOW}, {_GAMMA_HIGH}]; "
            f"reachable are {shift(low):.3g} to {shift(high):.3g} bps"
        )
    while high - low > 1e-14 * max(abs(low), abs(high)):
        middle = 0.5 * (low + high)
        if middle in (low, high):
            break
        if shift(middle) < shift_bps:
            low = middle
        else:
            high = middle
    return math.exp(0.5 * (low + high))
