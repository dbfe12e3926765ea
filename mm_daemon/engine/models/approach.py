"""How `w' = K w` comes from a given end to its stationary shape, in plain floats: the finite horizon while trading.

What is followed is L = ln w, for which K of `tridiagonal.py` means

    L'_q = diagonal_q + lower e^(L_(q-1) - L_q) + upper e^(L_(q+1) - L_q) - rate

with the leading rate taken off, so that L settles. Only differences of neighbours are ever exponentiated, whatever the
size of the grid. The equation is stiff; Rodas3 integrates it, a Rosenbrock method of order three with one of order two
inside (Sandu et al., "Benchmarking stiff ODE solvers for atmospheric chemistry problems II", Atmospheric Environment
31, 1997): a step solves four tridiagonal systems, nothing is iterated, and steps grow as L settles. No library is asked
for a product or an eigenvector, so that every machine finds the same digits. The reference is `tridiagonal.evolve`, by
matrix exponentials, at the cube of the grid.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise

from mm_daemon.domain.errors import DomainError
from mm_daemon.engine.domain_checks import require_finite, require_not_negative
from mm_daemon.engine.models.depth_table import Depths, DepthTable, depth_table
from mm_daemon.engine.models.solving import Work
from mm_daemon.engine.models.tridiagonal import Generator, Leading, gap

TOLERANCE = 3e-4
"""Of the difference of two neighbours in one step: depths are as exact as about this share of 1/k."""
_BLUR_S = 1e-5
"""Neighbours that differ by more at the end than flow can level in so short a time are taken to differ by that: a
hundredth of a second from the end it makes a thousandth of 1/k.
"""
_MOST_STEPS = 1000
_STEP_VISITS = 32
"""What a step costs for each inventory, in visits of a simple recursion."""
_SAFETY, _SHRINK, _GROW = 0.9, 0.2, 5.0


class Moment:
    """Depths with so much time left, over inventory: between two knots by Hermite's cubic."""

    __slots__ = ("_ask_premium", "_bid_premium", "_bound", "_knots", "_last", "_weights")

    def __init__(
        self,
        knots: tuple[Sequence[float], Sequence[float], Sequence[float], Sequence[float]],
        weights: tuple[float, float, float, float],
        ask_premium: float,
        bid_premium: float,
    ) -> None:
        """`knots`: depths that fall from one inventory to the next at both knots, and how fast these change."""
        self._knots, self._weights = knots, weights
        self._last = len(knots[0]) - 1
        self._bound = len(knots[0]) // 2
        self._ask_premium, self._bid_premium = ask_premium, bid_premium

    def at(self, q: float) -> Depths:
        """As `DepthTable.at`."""
        require_finite(q=q)
        place = q + self._bound
        return Depths(
            self._bid_premium + self._fall(place) if q <= self._bound - 1 else None,
            self._ask_premium - self._fall(place - 1.0) if q >= 1 - self._bound else None,
        )

    def _fall(self, place: float) -> float:
        if not 0.0 < place < self._last:
            return self._of(0 if place <= 0.0 else self._last)
        index = int(place)
        share = place - index
        here = self._of(index)
        return here if share == 0.0 else (1.0 - share) * here + share * self._of(index + 1)

    def _of(self, index: int) -> float:
        fall, slope, next_fall, next_slope = self._knots
        a, b, c, d = self._weights
        return a * fall[index] + b * slope[index] + c * next_fall[index] + d * next_slope[index]


class Approach:
    """Depths by time to the end, once they have been solved for. Further off than `until_s` they are `stationary`: the
    end is not seen.
    """

    __slots__ = (
        "_ask_premium",
        "_bid_premium",
        "_decay",
        "_falls",
        "_final",
        "_generator",
        "_slopes",
        "_start",
        "_times",
        "solved",
        "stationary",
        "until_s",
    )

    def __init__(
        self,
        generator: Generator,
        final: Leading,
        end: Sequence[float],
        decay: float,
        ask_premium: float,
        bid_premium: float,
        horizon_s: float,
    ) -> None:
        """`final`: the generator's; `end`: ln w when no time is left; `decay` and premiums as in `depth_table`;
        `horizon_s`: how much time may be asked for. Raises DomainError.
        """
        require_not_negative(horizon_s=horizon_s)
        self._generator, self._decay = generator, decay
        self._ask_premium, self._bid_premium = ask_premium, bid_premium
        self._final = final
        self._start = start = _eased(end, max(1.0, -math.log(min(generator.lower, generator.upper) * _BLUR_S)))
        self.stationary = depth_table(final.log_vector, decay, ask_premium, bid_premium)
        # What is left of the end fades as e^(-gap t), and it was no more than the two shapes can differ by.
        differ = _width(start) + 2.0 * _width(final.log_vector) - math.log(TOLERANCE)
        slowest = gap(generator, final.rate)
        self.until_s = min(horizon_s, differ / slowest if slowest > 0.0 else math.inf)
        self.solved = False
        self._times: list[float] = []
        self._falls: list[list[float]] = []
        self._slopes: list[list[float]] = []

    def at(self, left_s: float) -> Moment | DepthTable:
        """With so much time left; `stationary` before it is solved. Raises DomainError."""
        require_not_negative(left_s=left_s)
        times = self._times
        if left_s > self.until_s or not self.solved:
            return self.stationary
        index = min(bisect_right(times, left_s), len(times) - 1)
        before = max(index - 1, 0)
        span = times[index] - times[before]
        x = min((left_s - times[before]) / span, 1.0) if span > 0.0 else 0.0
        y = 1.0 - x
        return Moment(
            (self._falls[before], self._slopes[before], self._falls[index], self._slopes[index]),
            ((1.0 + 2.0 * x) * y * y, x * y * y * span, x * x * (3.0 - 2.0 * x), -x * x * y * span),
            self._ask_premium,
            self._bid_premium,
        )

    @property
    def knots(self) -> int:
        """Times at which depths are kept."""
        return len(self._times)

    def solve(self) -> Work[None]:
        """From the end back to `until_s`, which becomes what it took to settle. Raises DomainError."""
        lower, upper = self._generator.lower, self._generator.upper
        diagonal = [element - self._final.rate for element in self._generator.diagonal]
        settled = [here - beyond for here, beyond in pairwise(self._final.log_vector)]
        values, time_s = self._start, 0.0
        slope, a, b = _slope(values, diagonal, lower, upper)
        self._keep(time_s, values, slope)
        fastest = max(abs(here - beyond) for here, beyond in pairwise(slope))
        step_s = min(TOLERANCE ** (1.0 / 3.0) / fastest if fastest > 0.0 else self.until_s, self.until_s)
        for _ in range(_MOST_STEPS):
            if time_s >= self.until_s:
                self.solved = True
                return
            yield _STEP_VISITS * len(diagonal)
            step_s = min(step_s, self.until_s - time_s)
            try:
                new, error = _step(values, slope, a, b, diagonal, lower, upper, step_s)
                new_slope, new_a, new_b = _slope(new, diagonal, lower, upper)
            except (OverflowError, ZeroDivisionError):
                step_s *= _SHRINK
                continue
            if error <= TOLERANCE:
                # What rounding leaves of the last step is none.
                time_s = self.until_s if self.until_s - time_s <= step_s * (1.0 + 1e-9) else time_s + step_s
                values, slope, a, b = new, new_slope, new_a, new_b
                self._keep(time_s, values, slope)
                if all(
                    abs(here - beyond - fall) <= TOLERANCE
                    for (here, beyond), fall in zip(pairwise(values), settled, strict=True)
                ):
                    self.until_s, self.solved = time_s, True
                    return
            step_s *= min(_GROW, max(_SHRINK, _SAFETY * (TOLERANCE / error) ** (1.0 / 3.0))) if error > 0.0 else _GROW
        raise DomainError("the quotes with an end cannot be solved for these parameters")

    def _keep(self, time_s: float, values: Sequence[float], slope: Sequence[float]) -> None:
        decay = self._decay
        self._times.append(time_s)
        self._falls.append([(here - beyond) / decay for here, beyond in pairwise(values)])
        self._slopes.append([(here - beyond) / decay for here, beyond in pairwise(slope)])


def _eased(end: Sequence[float], most: float) -> list[float]:
    """No neighbours further apart than `most`, outwards from the largest."""
    peak = max(range(len(end)), key=end.__getitem__)
    eased = list(end)
    for places in (range(peak + 1, len(end)), range(peak - 1, -1, -1)):
        before = peak
        for i in places:
            eased[i] = eased[before] + min(max(end[i] - end[before], -most), most)
            before = i
    return eased


def _width(values: Sequence[float]) -> float:
    return max(values) - min(values)


def _slope(
    values: Sequence[float], diagonal: Sequence[float], lower: float, upper: float
) -> tuple[list[float], list[float], list[float]]:
    """L', and what of it comes from the inventory below and above. Raises OverflowError."""
    ratios = [math.exp(here - beyond) for here, beyond in pairwise(values)]
    below = [0.0, *(lower * ratio for ratio in ratios)]
    above = [*(upper / ratio for ratio in ratios), 0.0]
    return [d + a + b for d, a, b in zip(diagonal, below, above, strict=True)], below, above


def _step(
    values: Sequence[float],
    slope: Sequence[float],
    below: Sequence[float],
    above: Sequence[float],
    diagonal: Sequence[float],
    lower: float,
    upper: float,
    step_s: float,
) -> tuple[list[float], float]:
    """L one step on, and the largest error of a difference of neighbours. Raises OverflowError.

    `I/(h/2) - J` with Rodas3's gamma of 1/2: J couples to the neighbours by `below` and `above`, its rows sum to zero.
    """
    shift, inverse = 2.0 / step_s, 1.0 / step_s
    over: list[float] = []
    pivots: list[float] = []
    carried = 0.0
    for a, b in zip(below, above, strict=True):
        pivot = 1.0 / (shift + a + b - a * carried)
        carried = b * pivot
        pivots.append(pivot)
        over.append(carried)

    def solved(right: Sequence[float]) -> list[float]:
        x: list[float] = []
        last = 0.0
        for r, a, pivot in zip(right, below, pivots, strict=True):
            last = (r + a * last) * pivot
            x.append(last)
        for i in range(len(x) - 2, -1, -1):
            last = x[i] + over[i] * last
            x[i] = last
        return x

    k1 = solved(slope)
    k2 = solved([f + 4.0 * inverse * one for f, one in zip(slope, k1, strict=True)])
    third = [value + 2.0 * one for value, one in zip(values, k1, strict=True)]
    f3 = _slope(third, diagonal, lower, upper)[0]
    k3 = solved([f + inverse * (one - two) for f, one, two in zip(f3, k1, k2, strict=True)])
    fourth = [value + three for value, three in zip(third, k3, strict=True)]
    f4 = _slope(fourth, diagonal, lower, upper)[0]
    k4 = solved(
        [f + inverse * (one - two - 8.0 / 3.0 * three) for f, one, two, three in zip(f4, k1, k2, k3, strict=True)]
    )
    new = [value + four for value, four in zip(fourth, k4, strict=True)]
    return new, max(abs(here - beyond) for here, beyond in pairwise(k4))
