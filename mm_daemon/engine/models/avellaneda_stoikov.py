"""Avellaneda and Stoikov, "High-frequency trading in a limit order book" (Quantitative Finance 8(3), 2008).

Reservation price and spread for a finite horizon, the stationary variant, and the paper's symmetric benchmark. Units
are the caller's; `gamma` is 1/(price unit), `sigma` price per square root of a second, `k` 1/price. Numbers outside the
domain raise DomainError.
"""

import math

import msgspec

from mm_daemon.domain.errors import DomainError
from mm_daemon.engine.domain_checks import require_finite, require_not_negative, require_positive
from mm_daemon.engine.models.exponential_fills import premium

_INF = math.inf
_NO_ROOM = 1e-12
"""Relative distance to the inventory bound under which a side has no quote: float noise around an argument of zero."""


class Quotes(msgspec.Struct, frozen=True, gc=False):
    """Prices around the reservation price; a quote may lie beyond the mid."""

    reservation: float
    spread: float
    bid: float
    ask: float


class StationaryQuotes(msgspec.Struct, frozen=True, gc=False):
    """None means that side has no quote: the inventory is at its bound."""

    reservation_ask: float | None
    reservation_bid: float | None
    ask: float | None
    bid: float | None


def skew(gamma: float, sigma: float, tau: float) -> float:
    """How far one unit of inventory shifts both quotes with `tau` seconds left (eq. 29): `gamma sigma^2 tau`."""
    return gamma * sigma * sigma * tau


def finite(s: float, q: float, gamma: float, sigma: float, tau: float, k: float) -> Quotes:
    """Quotes with `tau` seconds left (eq. 8, 29, 30): reservation `s - q gamma sigma^2 tau`."""
    if not (0.0 <= gamma < _INF and 0.0 <= sigma < _INF and 0.0 <= tau < _INF and 0.0 < k < _INF):
        require_not_negative(gamma=gamma, sigma=sigma, tau=tau)
        require_positive(k=k)
    risk = skew(gamma, sigma, tau)
    reservation = s - q * risk
    spread = risk + 2.0 * premium(gamma, k)
    if not (-_INF < reservation < _INF and spread < _INF):
        require_finite(s=s, q=q, reservation=reservation, spread=spread)
    half = 0.5 * spread
    return Quotes(reservation, spread, reservation - half, reservation + half)


def infinite(
    s: float, q: float, gamma: float, sigma: float, k: float, qmax: float, omega: float | None = None
) -> StationaryQuotes:
    """Stationary quotes under discounted utility (the paper's sec. 2.3, its misprint in r_ask corrected: MODELS 1.2).

    `omega` defaults to `gamma^2 sigma^2 (qmax+1)^2 / 2`, with which sigma cancels out: for reference, not for trading.
    """
    require_finite(s=s, q=q)
    require_not_negative(gamma=gamma, sigma=sigma, qmax=qmax)
    require_positive(k=k)
    variance = gamma * gamma * sigma * sigma
    if omega is not None:
        require_positive(omega=omega)
        if variance == 0.0:  # no risk: both reservation prices are the reference price
            half = premium(gamma, k)
            return StationaryQuotes(s, s, s + half, s - half)
        bound = 2.0 * omega / variance
    elif variance == 0.0:
        raise DomainError("the natural omega is zero for gamma = 0 or sigma = 0; give omega or use the finite horizon")
    else:
        bound = (qmax + 1.0) * (qmax + 1.0)
    room = bound - q * q
    if not room > 0.0:
        raise DomainError(f"q = {q} lies outside the model: 2 omega must exceed gamma^2 q^2 sigma^2")
    shift_bid = _log_shift(-1.0 - 2.0 * q, room, bound)
    shift_ask = _log_shift(2.0 * q - 1.0, room, bound)
    half = premium(gamma, k)
    r_bid = None if shift_bid is None else s + shift_bid / gamma
    r_ask = None if shift_ask is None else s - shift_ask / gamma
    return StationaryQuotes(
        reservation_ask=r_ask,
        reservation_bid=r_bid,
        ask=None if r_ask is None else r_ask + half,
        bid=None if r_bid is None else r_bid - half,
    )


def _log_shift(numerator: float, room: float, bound: float) -> float | None:
    """`ln(1 + numerator/room)`, or None where the argument is zero or less: no price is good enough for that side."""
    if room + numerator <= _NO_ROOM * bound:
        return None
    return math.log1p(numerator / room)


def symmetric(s: float, gamma: float, sigma: float, horizon: float, dt: float, k: float) -> Quotes:
    """The paper's benchmark: the time-average spread of the inventory strategy on the left grid of step `dt`, around
    `s`.
    """
    require_finite(s=s)
    require_not_negative(gamma=gamma, sigma=sigma, T=horizon, dt=dt)
    require_positive(k=k)
    spread = 2.0 * premium(gamma, k) + gamma * sigma * sigma * 0.5 * (horizon + dt)
    require_finite(spread=spread)
    return Quotes(s, spread, s - 0.5 * spread, s + 0.5 * spread)
