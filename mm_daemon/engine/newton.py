"""Two numbers that make two others zero, by Newton's method with shortened steps: small, and without derivatives."""

import math
from collections.abc import Callable, Sequence

Missed = Callable[[Sequence[float]], list[float]]
"""By how much a point misses, in two numbers; infinite where there is no answer."""

_STEP = 1e-4
_ROUNDS = 30
_SHORTEST = 1.0 / 256.0
_FAR = 2.0
EXACT = 1e-8


def descended(
    missed: Missed, x: list[float], free: tuple[bool, bool], bounds: Sequence[tuple[float, float]]
) -> tuple[list[float], float]:
    """(as near as steps from `x` come, by how much that misses). A coordinate that is not free stays, and the number
    of the same place is then not looked at. Coordinates stay within their bounds; a step goes no further than 2.
    """
    off = missed(x)
    for _ in range(_ROUNDS):
        if max(map(abs, off)) <= EXACT:
            break
        step = _newton_step(missed, x, off, free)
        nearer = _nearer(missed, x, step, max(map(abs, off)), bounds)
        if nearer is None:
            break
        x, off = nearer
    return x, max(map(abs, off))


def _nearer(
    missed: Missed, x: list[float], step: list[float], least: float, bounds: Sequence[tuple[float, float]]
) -> tuple[list[float], list[float]] | None:
    """The first of ever shorter steps that misses by less, and by how much; None when none does."""
    share = 1.0
    while share >= _SHORTEST:
        tried = [min(max(at + share * by, low), high) for at, by, (low, high) in zip(x, step, bounds, strict=True)]
        off = missed(tried)
        if max(map(abs, off)) < least:
            return tried, off
        share *= 0.5
    return None


def _newton_step(missed: Missed, x: list[float], off: list[float], free: tuple[bool, bool]) -> list[float]:
    """Where the straight lines through here would meet zero."""
    slopes = []
    for place in (0, 1):
        beside = list(x)
        beside[place] += _STEP
        there = missed(beside) if free[place] else off
        slopes.append([(a - b) / _STEP if a < math.inf else 0.0 for a, b in zip(there, off, strict=True)])
    (a, c), (b, d) = slopes
    if not free[1]:
        step = [-off[0] / a if a else 0.0, 0.0]
    elif not free[0]:
        step = [0.0, -off[1] / d if d else 0.0]
    else:
        area = a * d - b * c
        step = [(b * off[1] - d * off[0]) / area, (c * off[0] - a * off[1]) / area] if area else [0.0, 0.0]
    longest = max(map(abs, step))
    return [by * _FAR / longest for by in step] if longest > _FAR else step
