"""What an exponential fill intensity `lambda(delta) = A e^{-k delta}` means for every model built on it.

Shared by Avellaneda-Stoikov and GLFT, in whichever price unit the caller uses for k (1/bps, 1/price).
"""

import math

_SERIES_BELOW = 1e-12
"""Under this the first-order series is exact to double precision, and subnormal risk aversions cannot spoil it."""


def premium(risk: float, k: float) -> float:
    """`ln(1 + risk/k) / risk`: the half-spread a monopolist with that risk aversion asks for one fill; `1/k` at risk 0.

    `risk` >= 0 in 1/price for one trade (gamma or xi times the trade size), k > 0 in 1/price. A-S 2008, eq. 30.
    """
    x = risk / k
    if x < _SERIES_BELOW:
        return (1.0 - 0.5 * x) / k
    return math.log1p(x) / risk


def log_risk_factor(x: float) -> float:
    """`ln (1+x)^{1 + 1/x}`, which tends to 1 as x -> 0; x = xi Delta / k. Gueant 2017, eq. 4.6-4.7."""
    if x < _SERIES_BELOW:
        return 1.0 + 0.5 * x
    return (1.0 + x) * (math.log1p(x) / x)
