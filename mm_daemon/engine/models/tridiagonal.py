"""`w' = K w` on an inventory grid, K tridiagonal: what the exact models have in common (MODELS 2.1, 3.1).

The row of inventory q couples to q-1 by `lower` (our ask is lifted), to q+1 by `upper` (our bid is hit) and to itself
by `diagonal[q]`; there is no coupling beyond either end. Both models quote logarithms of ratios of neighbouring
components, which far from the centre are smaller than any float, so every result here is a logarithm and is exact
component by component: all sums are of positive terms, nothing is lost by subtraction and nothing underflows.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from mm_daemon.domain.errors import DomainError
from mm_daemon.engine.models.solving import Work, at_once

if TYPE_CHECKING:
    from numpy import float64
    from numpy.typing import NDArray

_SERIES_TERMS = 16
"""Of the exponential of a step in which nothing happens more than half a time: 0.5^17/17! is below 1e-19."""
_TINY = 1e-300
"""Stands for a pivot of exactly zero."""
_LEAST_SQUARE = 1e-280
"""Of a coupling: below it products lose their digits, and it could not be told from `_TINY`."""
_GAP_SHARE = 0.01
_LEAST_STEPS = 32
"""Steps in logarithms at least. Within one step a component below 1e-308 of its neighbours' is lost; over 32 steps
what reaches a far component comes by way of its neighbours, and the loss is no longer seen."""


class Generator(msgspec.Struct, frozen=True):
    """The tridiagonal K, per second. Off-diagonals are one positive number each: flow does not depend on inventory."""

    lower: float
    diagonal: Sequence[float]
    upper: float

    def __post_init__(self) -> None:
        """Raises DomainError unless the diagonal is finite and both couplings are finite and greater than zero."""
        if not (0.0 < self.lower < math.inf and 0.0 < self.upper < math.inf):
            raise DomainError(f"couplings {self.lower} and {self.upper} must be finite and greater than zero")
        if not (self.diagonal and all(math.isfinite(value) for value in self.diagonal)):
            raise DomainError(
                "the penalty on inventory is not finite: gamma, sigma or the inventory bound is too large"
            )

    @property
    def coupling(self) -> float:
        """The off-diagonal of the symmetric matrix K is similar to by `D_q = (lower/upper)^(q/2)`."""
        return math.sqrt(self.lower) * math.sqrt(self.upper)

    @property
    def log_tilt(self) -> float:
        """`ln D_(q+1) - ln D_q`: what the way back from the symmetric matrix adds to a logarithm per unit of q."""
        return 0.5 * (math.log(self.lower) - math.log(self.upper))


class Leading(msgspec.Struct, frozen=True):
    """The leading eigenvalue of K, per second, and the logarithms of its positive eigenvector (the largest is 0)."""

    rate: float
    log_vector: tuple[float, ...]


def leading(generator: Generator) -> Leading:
    """As `find_leading`, at once."""
    return at_once(find_leading(generator))


def find_leading(generator: Generator) -> Work[Leading]:
    """What `exp(K t) w` tends to as t grows, up to a factor: growth at `rate`, in the shape of the eigenvector.

    The eigenvalue is that of the similar symmetric matrix, bisected between the largest diagonal element and
    Gershgorin's bound until they are neighbouring floats; the vector follows from pivots taken from both ends towards
    its peak (a twisted factorisation), all of them positive just above the eigenvalue. Plain floats: the same digits on
    every processor, which a library's eigenvectors do not promise.
    """
    diagonal = generator.diagonal
    coupling = generator.coupling
    squared = coupling * coupling
    low = max(diagonal)
    high = low + 2.0 * coupling
    if not (_LEAST_SQUARE < squared < math.inf and high - min(diagonal) < math.inf):
        raise DomainError(
            f"couplings {generator.lower} and {generator.upper} and rates from {min(diagonal)} to {low} per second are "
            "too small or too large to calculate with"
        )
    while low < (middle := 0.5 * (low + high)) < high:
        yield len(diagonal)
        if _exceeds_spectrum(middle, diagonal, squared):
            high = middle
        else:
            low = middle
    log_coupling = math.log(coupling)
    rising = _pivots(high, diagonal, squared)
    falling = _pivots(high, diagonal[::-1], squared)[::-1]
    # The pivots of each end hold as far as the peak, the row where both ends and the diagonal agree best.
    peak = min(range(len(diagonal)), key=lambda i: abs(rising[i] + falling[i] - (high - diagonal[i])))
    log_vector = [0.0] * len(diagonal)
    for i in range(peak - 1, -1, -1):
        log_vector[i] = log_vector[i + 1] + log_coupling - math.log(rising[i])
    for i in range(peak + 1, len(diagonal)):
        log_vector[i] = log_vector[i - 1] + log_coupling - math.log(falling[i])
    tilted = [value + generator.log_tilt * i for i, value in enumerate(log_vector)]
    top = max(tilted)
    return Leading(high, tuple(value - top for value in tilted))


def gap(generator: Generator, rate: float) -> float:
    """How far the second eigenvalue lies below the leading one, `rate`, per second: how fast all else fades. Not more
    than that, and within a hundredth of it or what floats can tell apart; 0 where they cannot.
    """
    squared = generator.coupling * generator.coupling
    low, high = min(generator.diagonal) - 2.0 * generator.coupling, rate
    while low < (middle := 0.5 * (low + high)) < high and high - low > _GAP_SHARE * (rate - high):
        if _count_above(middle, generator.diagonal, squared) > 1:
            low = middle
        else:
            high = middle
    return rate - high


def _count_above(value: float, diagonal: Sequence[float], squared: float) -> int:
    """How many eigenvalues exceed a value: as many as `value - K` has pivots below zero (Sturm)."""
    count, pivot = 0, math.inf
    for element in diagonal:
        pivot = value - element - squared / (pivot or _TINY)
        count += pivot < 0.0
    return count


def _exceeds_spectrum(value: float, diagonal: Sequence[float], squared: float) -> bool:
    """Whether `value - K` is positive definite: whether all its pivots are positive (Sturm)."""
    pivot = math.inf
    for element in diagonal:
        pivot = value - element - squared / pivot
        if not pivot > 0.0:
            return False
    return True


def _pivots(value: float, diagonal: Sequence[float], squared: float) -> list[float]:
    """The pivots of `value - K` from the first row on. Beyond the eigenvector's peak rounding may make one zero or less
    where `value` is next to the eigenvalue; those are not used.
    """
    pivots: list[float] = []
    pivot = math.inf
    for element in diagonal:
        pivot = value - element - squared / (pivot or _TINY)
        pivots.append(pivot)
    return pivots


def evolve(generator: Generator, log_start: Sequence[float], horizon: float, steps: int = 1) -> "NDArray[float64]":
    """`ln (exp(K t) w) - rate t` for t = 0, horizon/steps, ..., horizon, shape (steps + 1, states).

    w is given by its logarithms; horizon in seconds, not negative. `rate` is the leading one: it is left out because
    over a long horizon the growth common to all components would swallow their ratios. The cost is one matrix
    exponential and at least 32 products, however long the horizon is. A component whose whole row underflows within
    one step is slaved to its neighbours and has the shape of the leading eigenvector.
    """
    import numpy as np

    final = leading(generator)
    stationary = np.array(final.log_vector)
    peak = int(stationary.argmax())
    per_step = max(1, -(-_LEAST_STEPS // steps))
    tilt = generator.log_tilt * np.arange(len(stationary))
    step_matrix = _exponential(
        np.asarray(generator.diagonal) - final.rate,
        generator.coupling,
        horizon / (steps * per_step),
        log_fixed=stationary - tilt,
    )
    with np.errstate(divide="ignore"):
        log_step = np.log(step_matrix) + np.subtract.outer(tilt, tilt)
    current = np.asarray(log_start, dtype=np.float64)
    path = [current]
    for _ in range(steps):
        for _ in range(per_step):
            terms = log_step + current
            top = terms.max(axis=1)
            top[top == -np.inf] = 0.0
            with np.errstate(divide="ignore", under="ignore"):
                current = top + np.log(np.exp(terms - top[:, None]).sum(axis=1))
            current = np.where(current == -np.inf, stationary + (current[peak] - stationary[peak]), current)
        path.append(current)
    return np.array(path)


def _exponential(
    diagonal: "NDArray[float64]", coupling: float, time: float, *, log_fixed: "NDArray[float64]"
) -> "NDArray[float64]":
    """`exp(K time)` for a symmetric K whose leading eigenvalue is 0; its elements lie in [0, 1].

    By squaring a Taylor series, of `K + fastest` so that every term is positive. `log_fixed`, the logarithms of the
    leading eigenvector, is what the exponential must leave as it is: squaring would double the rounding error of its
    eigenvalue each time.
    """
    import numpy as np

    fastest = -float(diagonal.min())
    reach = (fastest + 2.0 * coupling) * time
    if not math.isfinite(reach):
        raise DomainError(f"a horizon of {time} s is too long for rates of {fastest} per second")
    squarings = max(0, math.frexp(reach)[1] + 1)  # as many as bring the reach of a step below one half
    step = math.ldexp(time, -squarings)
    gain = ((diagonal + fastest) * step)[:, None]
    beside = coupling * step
    term = np.eye(len(diagonal))
    total = term.copy()
    for order in range(1, _SERIES_TERMS + 1):
        product = gain * term
        product[1:] += beside * term[:-1]
        product[:-1] += beside * term[1:]
        term = product / order
        total += term
    total *= math.exp(-fastest * step)
    peak = int(log_fixed.argmax())
    fixed = np.exp(log_fixed - log_fixed[peak])
    for _ in range(squarings):
        total = total @ total
        total /= total[peak] @ fixed
    return total
