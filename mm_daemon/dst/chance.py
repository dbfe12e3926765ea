"""Drawing lots."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

from mm_daemon.domain.rng import Rng

T = TypeVar("T")


def pick(rng: Rng, choices: Sequence[T]) -> T:
    return choices[rng.below(len(choices))]


def chance(rng: Rng, percent: int) -> bool:
    return rng.below(100) < percent


def weighted(rng: Rng, weights: Mapping[str, int], total: int) -> str:
    """One of the names, by weight; `total` is their sum."""
    drawn = rng.below(total)
    for name, weight in weights.items():
        drawn -= weight
        if drawn < 0:
            return name
    raise AssertionError("weights do not add up to their total")
