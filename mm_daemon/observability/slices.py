"""Long work on the event loop in small slices, so that no decision waits for the whole of it."""

import asyncio
from collections.abc import Iterable
from typing import TypeVar

T = TypeVar("T")

SLICE_S = 0.0002
"""After so much work others have their turn; one step more is what may come on top."""


async def in_slices(steps: Iterable[T]) -> list[T]:
    """All steps, in order, giving way after each slice, by the event loop's clock: on virtual time work takes none."""
    clock_s = asyncio.get_running_loop().time
    done = []
    since_s = clock_s()
    for step in steps:
        done.append(step)
        if clock_s() - since_s >= SLICE_S:
            await asyncio.sleep(0)
            since_s = clock_s()
    return done
