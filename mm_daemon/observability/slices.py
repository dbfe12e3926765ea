"""Long work on the event loop in small slices, so that no decision waits for the whole of it.

Page, metrics and snapshot share one pace: one slice at a time, whoever has work, and a pause before each. An event that
comes has to be read from its socket before the core is woken: were there a slice in every turn of the event loop, it
would wait for several. So they never take more than a fifth of a core either.
"""

import asyncio
from collections.abc import Iterable
from time import perf_counter
from typing import TypeVar

T = TypeVar("T")

SLICE_S = 0.0001
"""After so much work others have their turn; one step more is what may come on top."""
PAUSE_S = 0.001


class Pace:
    """Shared by all who have long work."""

    def __init__(self) -> None:
        self._one = asyncio.Lock()

    async def turn(self) -> None:
        """Wait for a turn, for work that is no longer than a slice."""
        async with self._one:
            await asyncio.sleep(PAUSE_S)

    async def walk(self, steps: Iterable[T]) -> list[T]:
        """All steps, in order, a slice at a time."""
        left, done, ended = iter(steps), list[T](), False
        while not ended:
            async with self._one:
                await asyncio.sleep(PAUSE_S)
                until_s, ended = perf_counter() + SLICE_S, True
                for step in left:
                    done.append(step)
                    if perf_counter() >= until_s:
                        ended = False
                        break
        return done
