"""From what a person means, a half-spread and a lean at the limit, to the model's numbers k and gamma (MODELS 0.2).

Half-spread and skew are what somebody can watch on a screen; k and gamma are what makes them. The missing numbers are
solved once, at the configured volatility, intensity and fees, for the model that is configured, and told at the start.
From then on they stay, so that quotes still widen and lean more when volatility rises.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import pairwise

import msgspec

from mm_daemon.domain.errors import DomainError
from mm_daemon.engine.models import glft
from mm_daemon.engine.models.catalogue import MODELS
from mm_daemon.engine.newton import EXACT, descended
from mm_daemon.engine.parameters import QuoteParameters
from mm_daemon.engine.pricing_model import Curve, ModelInputs, ModelSettings
from mm_daemon.engine.profiles import meant_bps
from mm_daemon.engine.units import glft_gamma_from_skew

_K_LOW, _K_HIGH = 1e-3, 1e3
_GAMMA_LOW, _GAMMA_HIGH = 1e-9, 1e4
_BOUNDS = ((math.log(_GAMMA_LOW), math.log(_GAMMA_HIGH)), (math.log(_K_LOW), math.log(_K_HIGH)))
_GRID = 60
_ROUNDS = 60
"""Halvings of an interval of `ln k` a quarter wide: as good as a float is."""


def solved_intent(
    quoting: QuoteParameters, *, max_orders: float, sigma_bps: float, cost_bps: float = 0.0
) -> tuple[float, float]:
    """(gamma, k). `max_orders`: the position limit in order sizes; `sigma_bps`: volatility at which it is meant;
    `cost_bps`: what a fill costs, which comes on top of the half-spread. The lean at the limit is that of one order
    held, times the orders. A model of another package is solved as if it were GLFT.

    Raises DomainError when no gamma or k gives what is asked for. The fixed spread takes both as they are.
    """
    half_bps, lean_bps = meant_bps(quoting, sigma_bps)
    if quoting.model == "avellaneda_stoikov_symmetric":
        if quoting.skew_bps_at_max is not None:
            raise DomainError(f"{quoting.model} does not lean whatever it holds: skew_bps_at_max must be null")
        lean_bps = None
    if not max_orders:
        lean_bps = None
    if quoting.model == "fixed_spread" or (half_bps is None and lean_bps is None):
        return quoting.gamma, quoting.k
    wish = _Wish(quoting, half_bps, lean_bps, max_orders, sigma_bps, cost_bps)
    alike = quoting.model == "avellaneda_stoikov" and quoting.tau == "auto"
    if quoting.model == "glft" or alike or quoting.model not in MODELS:
        return _by_closed_form(wish)
    return _on_the_models_curves(wish)


class _Wish(msgspec.Struct, frozen=True):
    """What is meant, None where nothing is, and at which numbers. Figures in bps."""

    quoting: QuoteParameters
    half_bps: float | None
    lean_bps: float | None
    max_orders: float
    sigma_bps: float
    cost_bps: float


def _by_closed_form(wish: _Wish) -> tuple[float, float]:
    """As GLFT has it."""
    quoting, half_bps, lean_bps = wish.quoting, wish.half_bps, wish.lean_bps

    def thinned(k: float) -> float:
        """A cost thins the fills, and so makes quotes lean more (MODELS 2.3)."""
        return glft.fee_adjusted_A(quoting.intensity, k, wish.cost_bps)

    def gamma_at(k: float) -> float:
        if lean_bps is None:
            return quoting.gamma
        return glft_gamma_from_skew(lean_bps, wish.max_orders, thinned(k), k, wish.sigma_bps)

    if half_bps is None:
        return gamma_at(quoting.k), quoting.k

    def half_at(k: float) -> float:
        """Infinite where no gamma gives the lean."""
        try:
            return glft.coefficients(thinned(k), k, gamma_at(k), wish.sigma_bps).half_spread
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


def _on_the_models_curves(wish: _Wish) -> tuple[float, float]:
    """Whatever the model, from several places."""
    quoting = wish.quoting
    session_s = quoting.session_s if quoting.tau == "session" else None

    def curve(x: Sequence[float]) -> Curve:
        """Without the memory of another answer, which solved models keep. `x`: gamma and k as logarithms."""
        model = MODELS[quoting.model](ModelSettings(quoting, max(1, math.ceil(wish.max_orders))))
        A, gamma, k = quoting.intensity, math.exp(x[0]), math.exp(x[1])
        return model.curve(ModelInputs(wish.sigma_bps, A, A, k, gamma, wish.cost_bps, session_s))

    def missed(x: Sequence[float]) -> list[float]:
        """Lean and half-spread."""
        try:
            half, lean = _figures(curve(x), wish)
        except DomainError:
            return [math.inf, math.inf]
        return [
            0.0 if wish.lean_bps is None else _off(lean / wish.lean_bps),
            0.0 if wish.half_bps is None else _off(half / wish.half_bps),
        ]

    free = wish.lean_bps is not None, wish.half_bps is not None
    nearest, least = [0.0, 0.0], math.inf
    for start in _starts(wish):
        x, off = descended(missed, [math.log(number) for number in start], free, _BOUNDS)
        if off <= EXACT:
            return math.exp(x[0]), math.exp(x[1])
        if off < least:
            nearest, least = x, off
    reach = "nothing"
    if least < math.inf:
        half, lean = _figures(curve(nearest), wish)
        reach = f"a half-spread of {half:.3g} bps with a skew of {lean:.3g} bps at the limit"
    asked = [
        f"{key} {value:g}"
        for key, value in (("half_spread_bps", wish.half_bps), ("skew_bps_at_max", wish.lean_bps))
        if value is not None
    ]
    raise DomainError(f"{' with '.join(asked)} cannot be had of {quoting.model}; the nearest found is {reach}")


def _figures(curve: Curve, wish: _Wish) -> tuple[float, float]:
    """Half-spread beyond costs, and lean at the limit."""
    return curve.half_bps - wish.cost_bps, curve.skew_bps * wish.max_orders


def _starts(wish: _Wish) -> Iterator[tuple[float, float]]:
    """Where to begin: at GLFT's numbers, which are near, else at those configured, else anywhere. What is not asked
    for stays as configured.
    """
    quoting = wish.quoting
    with suppress(DomainError):
        yield _by_closed_form(wish)
    yield quoting.gamma, quoting.k
    for gamma in (1e-4, 1e-2, 1.0) if wish.lean_bps is not None else (quoting.gamma,):
        for k in (0.05, 0.5, 5.0) if wish.half_bps is not None else (quoting.k,):
            yield gamma, k


def _off(ratio: float) -> float:
    """Zero at one; a logarithm above, so that far away is no cliff, and defined below zero."""
    return math.log(ratio) if ratio > 1.0 else ratio - 1.0
