"""Long work on the event loop in small slices, so that no decision waits for the whole of it."""

import asyncio
from collections.abc import Iterable
from time import perf_counter
from typing import TypeVar

T = TypeVar("T")

SLICE_S = 0.0002
"""After so much work others have their turn; one step more is what may come on top."""


async def in_slices(steps: Iterable[T]) -> list[T]:
    """All steps, in order, giving way after each slice."""
    done = []
    since_s = perf_counter()
    for step in steps:
        done.append(step)
        if perf_counter() - since_s >= SLICE_S:
            await asyncio.sleep(0)
            since_s = perf_counter()
    return done
