"""Shifts of the fair price: both quotes move together (MODELS 7.1). Each signal enters exactly once.

Positive is up. A shift has the unit of the price it is added to: price, ticks or bps.
"""

import math

from mm_daemon.domain.errors import DomainError
from mm_daemon.engine.domain_checks import require_finite, require_not_negative, require_positive


def funding_shift(mid: float, rate: float, t_next: float, period: float, tau_h: float) -> float:
    """What the funding still to be paid on a unit bought now is worth, in the unit of `mid` (MODELS 7.2).

    A unit is still held at time t with weight `e^{-t/tau_h}`. `rate`: the predicted next one a period, positive when
    longs pay, so that the shift is then negative; `t_next`, `period`, `tau_h` in seconds. A horizon of 0 pays nothing.
    Not capped: forecasts of far periods are worthless, so `clamped` it should be.
    """
    require_positive(mid=mid, period=period)
    require_finite(rate=rate)
    require_not_negative(t_next=t_next, tau_h=tau_h)
    if not tau_h:
        return 0.0
    due = -math.expm1(-period / tau_h)
    if not due:
        raise DomainError(f"tau_h = {tau_h} s counts more fundings of {period} s than a number can")
    shift = -mid * rate * math.exp(-t_next / tau_h) / due
    require_finite(shift=shift)
    return shift


def momentum_shift(score: float | None, beta: float, sigma_bps: float, tau_star: float, cap_bps: float) -> float:
    """`clip(beta * score * sigma * sqrt(tau_star), cap)` in bps (MODELS 6.7); 0 while there is no score.

    `beta` is fitted by regressing the future move, 0 until somebody has.
    """
    if score is None:
        return 0.0
    require_finite(score=score, beta=beta)
    require_not_negative(sigma_bps=sigma_bps, tau_star=tau_star)
    return clamped(beta * score * sigma_bps * math.sqrt(tau_star), cap_bps)


def clamped(shift: float, cap: float) -> float:
    """`shift` within +-`cap`. For an alpha that markouts have not yet confirmed the cap is half the touch spread.

    Raises DomainError for what is no number, rather than to quote around it.
    """
    require_not_negative(cap=cap)
    if math.isnan(shift):
        raise DomainError("a shift is not a number")
    return max(-cap, min(cap, shift))
