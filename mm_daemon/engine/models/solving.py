"""Solving a model while it is traded: in slices, so that no decision waits for longer than one.

A long calculation is a generator: it yields how much it has done, counted in inventories visited by a simple recursion,
and returns what it found. Each decision does a slice of it and quotes by the solution before, until the new one is
there. Nothing depends on a clock, so that a replay solves the same slices in the same decisions.
"""

from collections.abc import Callable, Generator
from typing import Generic, TypeVar

from mm_daemon.domain.errors import DomainError
from mm_daemon.engine.pricing_model import ModelInputs

T = TypeVar("T")
Work = Generator[int, None, T]

SLICE = 16_000
"""Inventories visited in one decision, about half a millisecond: a stationary model up to a hundred orders is solved by
the decision that first needs it.
"""
_SAME = 0.02
"""Inputs that differ by less than this share are the same to a model that has to be solved (MODELS 2.1)."""


def at_once(work: Work[T]) -> T:
    """What it finds, for whoever can wait. Raises what it raises."""
    while True:
        try:
            next(work)
        except StopIteration as done:
            found: T = done.value
            return found


class Kept(Generic[T]):
    """The solution for inputs as they were lately: solved again when one has moved by two percent. Only the first is
    waited for, before which there is nothing to quote by.
    """

    def __init__(self, begin: Callable[[ModelInputs], Work[T]]) -> None:
        self._begin = begin
        self._inputs: ModelInputs | None = None
        """What was last solved for, or tried."""
        self._work: Work[T] | None = None
        self._found: T | None = None
        self._failure: DomainError | None = None
        """These inputs have no solution, which need not be found out again."""
        self._behind = False
        """What was last solved for has moved meanwhile."""

    @property
    def unfinished(self) -> bool:
        """Whether the next decision has something to do, even if its inputs are those of the last one."""
        return self._work is not None or self._behind

    def solution(self, inputs: ModelInputs) -> T:
        """The latest. Raises DomainError while the latest inputs tried have none."""
        if self._work is None and (self._inputs is None or not _same(inputs, self._inputs)):
            self.renew(inputs)
        if self._work is not None:
            self._go_on(self._work)
            self._behind = self._work is None and self._inputs is not None and not _same(inputs, self._inputs)
        if self._found is None:
            raise self._failure or DomainError("the model has no solution")
        return self._found

    def renew(self, inputs: ModelInputs) -> None:
        """Begin anew, unless something is being solved already: what is begun is brought to an end."""
        if self._work is None:
            self._inputs, self._work = inputs, self._begin(inputs)

    def _go_on(self, work: Work[T]) -> None:
        done = 0
        try:
            while self._found is None or done < SLICE:
                done += next(work)
        except StopIteration as finished:
            self._found, self._work, self._failure = finished.value, None, None
        except DomainError as failure:
            self._found, self._work, self._failure = None, None, failure


def _same(inputs: ModelInputs, known: ModelInputs) -> bool:
    return (
        inputs.cost_bps == known.cost_bps
        and abs(inputs.sigma_bps - known.sigma_bps) <= _SAME * known.sigma_bps
        and abs(inputs.k - known.k) <= _SAME * known.k
        and abs(inputs.gamma - known.gamma) <= _SAME * known.gamma
        and abs(inputs.A_buy - known.A_buy) <= _SAME * known.A_buy
        and abs(inputs.A_sell - known.A_sell) <= _SAME * known.A_sell
    )
