"""The closed form of Gueant, Lehalle and Fernandez-Tapia: quotes of a stationary market maker with inventory risk.

Sources: GLFT, "Dealing with the inventory risk" (Math. Finan. Econ. 7, 2013); Gueant, "Optimal market making" (arXiv
1605.01862), eq. 4.6-4.7; drift, impact and fee as MODELS 2.3. Units are the caller's: the quote engine works in bps and
order units, tests in prices. Numbers outside the domain raise DomainError.
"""

import math

import msgspec

from mm_daemon.domain.errors import DomainError
from mm_daemon.engine.domain_checks import require_finite, require_not_negative, require_positive
from mm_daemon.engine.models.exponential_fills import log_risk_factor, premium

_INF = math.inf


class GlftCoefficients(msgspec.Struct, frozen=True, gc=False):
    """`half_spread` and `skew` are what an operator reads; all but `tau_star` are in units of price.

    `skew` is the shift of both quotes per unit of inventory. `tau_star` is the holding horizon in seconds, at which
    Avellaneda-Stoikov has the same skew; None where it is infinite (gamma or sigma is zero).
    """

    c1: float
    c2: float
    half_spread: float
    skew: float
    tau_star: float | None


class GlftQuotes(msgspec.Struct, frozen=True, gc=False):
    """Depths below and above the reference price (may be negative), and the prices they lead to."""

    delta_bid: float
    delta_ask: float
    bid: float
    ask: float


def coefficients(
    A: float, k: float, gamma: float, sigma: float, delta: float = 1.0, xi: float | None = None
) -> GlftCoefficients:
    """Half-spread and skew (MODELS 2.2).

    A: fills per second and side at distance zero; k: decay, 1/price; gamma: risk aversion, 1/(price unit); sigma: price
    per square root of a second; delta: trade size in units; xi: aversion to execution risk alone, gamma unless given.
    """
    if xi is None:
        xi = gamma
    if not (
        0.0 < A < _INF and 0.0 < k < _INF and 0.0 <= gamma < _INF and 0.0 <= sigma < _INF and 0.0 < delta < _INF
    ) or not (0.0 <= xi < _INF):
        require_positive(A=A, k=k, Delta=delta)
        require_not_negative(gamma=gamma, sigma=sigma, xi=xi)
    risk = xi * delta
    try:
        c1 = premium(risk, k)
        c2 = math.sqrt(gamma / (2.0 * A * delta * k) * math.exp(log_risk_factor(risk / k)))
    except (ZeroDivisionError, OverflowError, ValueError):
        raise DomainError(f"GLFT has no finite quote for A={A} k={k} gamma={gamma} sigma={sigma} xi={xi}") from None
    skew = sigma * c2
    half_spread = c1 + 0.5 * delta * skew
    if not half_spread < _INF:
        raise DomainError(f"GLFT has no finite quote for A={A} k={k} gamma={gamma} sigma={sigma} xi={xi}")
    rate = gamma * sigma
    tau_star = c2 / rate if rate > 0.0 else _INF
    return GlftCoefficients(c1, c2, half_spread, skew, tau_star if tau_star < _INF else None)


def fee_adjusted_A(A: float, k: float, fee: float) -> float:
    """The intensity seen after a fee per unit (negative: a rebate): `A e^{-k fee}` (MODELS 2.3)."""
    if not (0.0 < A < _INF and 0.0 < k < _INF and -_INF < fee < _INF):
        require_positive(A=A, k=k)
        require_finite(fee=fee)
    try:
        return A * math.exp(-k * fee)
    except OverflowError:
        raise DomainError(f"fee = {fee} is too large a rebate for k = {k}") from None


def quotes(
    s: float,
    q: float,
    A: float,
    k: float,
    gamma: float,
    sigma: float,
    delta: float = 1.0,
    xi: float | None = None,
    mu: float = 0.0,
    impact: float = 0.0,
    fee: float = 0.0,
) -> GlftQuotes:
    """Quotes around `s` at inventory `q` (MODELS 2.2-2.3).

    mu: drift, price per second; impact: move of the mid against us when we are filled; fee: per unit, negative is a
    rebate. Both act like a cost of `fee + impact/2` a fill: added to each depth, and thinning the intensity (hence more
    skew).
    """
    require_finite(s=s, q=q, mu=mu, impact=impact, fee=fee)
    cost = fee + 0.5 * impact
    adjusted = coefficients(fee_adjusted_A(A, k, cost), k, gamma, sigma, delta, xi)
    centre = q * adjusted.skew
    if mu:
        if adjusted.tau_star is None:
            raise DomainError(f"a drift mu = {mu} needs gamma > 0 and sigma > 0: without them the horizon is infinite")
        centre -= mu * adjusted.tau_star
    delta_bid = cost + adjusted.half_spread + centre
    delta_ask = cost + adjusted.half_spread - centre
    require_finite(delta_bid=delta_bid, delta_ask=delta_ask)
    return GlftQuotes(delta_bid, delta_ask, s - delta_bid, s + delta_ask)
