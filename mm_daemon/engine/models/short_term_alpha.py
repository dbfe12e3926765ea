"""How far a short-lived drift of the mid moves both quotes.

MODELS 3.2; the setting is Cartea, Jaimungal and Penalva's (2015), sec. 10.4.2. The drift `alpha` (price per second)
decays at rate `zeta` (1/second). The shift is added to the fair value. Numbers outside the domain raise DomainError.
"""

import math

from mm_daemon.engine.domain_checks import require_finite, require_not_negative

_SERIES_BELOW = 1e-12
"""Under this the first-order series is exact to double precision, and a subnormal decay cannot spoil it."""


def alpha_shift(alpha: float, zeta: float, tau: float) -> float:
    """The expected move of the mid over `tau` seconds, `alpha (1 - e^{-zeta tau})/zeta`; `alpha tau` for zeta = 0."""
    require_finite(alpha=alpha)
    require_not_negative(zeta=zeta, tau=tau)
    decay = zeta * tau
    shift = alpha * tau * (1.0 - 0.5 * decay) if decay < _SERIES_BELOW else alpha * (-math.expm1(-decay) / zeta)
    require_finite(shift=shift)
    return shift


def alpha_shift_glft(alpha: float, zeta: float, tau_star: float) -> float:
    """The shift inside the inventory model, `alpha tau_star / (1 + zeta tau_star)`: an inventory is held for tau_star
    seconds (GLFT's horizon), the drift for 1/zeta. With zeta = 0 it is GLFT's shift for a constant drift.
    """
    require_finite(alpha=alpha)
    require_not_negative(zeta=zeta, tau_star=tau_star)
    # Where the product overflows the shift is alpha/zeta to every digit, which the other form of the fraction gives.
    decay = zeta * tau_star
    shift = alpha * tau_star / (1.0 + decay) if decay <= 1.0 else alpha / (zeta + 1.0 / tau_star)
    require_finite(shift=shift)
    return shift
