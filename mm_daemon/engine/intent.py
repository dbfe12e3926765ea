"""From what a person means, a half-spread and a lean at the limit, to the model's numbers k and gamma (MODELS 0.2).

Half-spread and skew are what somebody can watch on a screen; k and gamma are what makes them. The missing numbers are
solved once, at the configured volatility and intensity, by the closed form of GLFT, and told at the start. From then on
they stay, so that quotes still widen and lean more when volatility rises.
"""

import math
from collections.abc import Callable
from itertools import pairwise

from mm_daemon.domain.errors import DomainError
from mm_daemon.engine.models import glft
from mm_daemon.engine.parameters import QuoteParameters
from mm_daemon.engine.units import glft_gamma_from_skew

_K_LOW, _K_HIGH = 1e-3, 1e3
_GRID = 60
_ROUNDS = 60
"""Halvings of an interval of `ln k` a quarter wide: as good as a float is."""


def solved_intent(
    quoting: QuoteParameters, *, max_orders: float, sigma_bps: float, cost_bps: float = 0.0
) -> tuple[float, float]:
    """(gamma, k). `max_orders`: the position limit in order sizes; `sigma_bps`: volatility at which it is meant;
    `cost_bps`: what a fill costs, which thins the fills and so makes a model lean more (MODELS 2.3).

    Raises DomainError when no gamma or k gives what is asked for. The fixed spread takes both as they are.
    """
    half_bps, lean_bps = quoting.half_spread_bps, quoting.skew_bps_at_max
    if quoting.model == "fixed_spread" or (half_bps is None and lean_bps is None):
        return quoting.gamma, quoting.k

    def gamma_at(k: float) -> float:
        if lean_bps is None or not max_orders:
            return quoting.gamma
        thinned = glft.fee_adjusted_A(quoting.intensity, k, cost_bps)
        return glft_gamma_from_skew(lean_bps, max_orders, thinned, k, sigma_bps)

    if half_bps is None:
        return gamma_at(quoting.k), quoting.k

    def half_at(k: float) -> float:
        """Infinite where no gamma gives the lean."""
        try:
            thinned = glft.fee_adjusted_A(quoting.intensity, k, cost_bps)
            return glft.coefficients(thinned, k, gamma_at(k), sigma_bps).half_spread
        except DomainError:
            return math.inf

    # The half-spread falls with k. The grid finds the step on which it passes the wanted one, halving the place.
    ratio = (_K_HIGH / _K_LOW) ** (1.0 / _GRID)
    grid = [_K_LOW * ratio**step for step in range(_GRID + 1)]
    halves = [half_at(k) for k in grid]
    for (k, larger), (wide, narrow) in zip(pairwise(grid), pairwise(halves), strict=True):
        if narrow <= half_bps <= wide:
            found = _halved(half_at, k, larger, half_bps)
            return gamma_at(found), found
    finite = [half for half in halves if half < math.inf]
    reach = f"{min(finite):.3g} to {max(finite):.3g} bps" if finite else "nothing"
    raise DomainError(f"half_spread_bps {half_bps:g} cannot be had with these numbers; within reach is {reach}")


def _halved(half_at: Callable[[float], float], low: float, high: float, half_bps: float) -> float:
    """Between `low`, where the half-spread is at least `half_bps`, and `high`, where it is at most that."""
    for _ in range(_ROUNDS):
        middle = math.sqrt(low * high)
        if half_at(middle) > half_bps:
            low = middle
        else:
            high = middle
    return high
