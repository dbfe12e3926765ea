"""Long work in slices: others get their turns in between."""

import asyncio
from collections.abc import Iterator
from time import perf_counter

from mm_daemon.observability.slices import SLICE_S, in_slices


def busy(turns: list[int]) -> Iterator[int]:
    """Steps of more than a slice of real time each, as how many turns others have had by then."""
    for _ in range(5):
        since_s = perf_counter()
        while perf_counter() - since_s < 2 * SLICE_S:
            pass
        yield len(turns)


async def _others_meanwhile() -> list[int]:
    turns: list[int] = []
    loop = asyncio.get_running_loop()

    def turn() -> None:
        turns.append(1)
        loop.call_soon(turn)

    loop.call_soon(turn)
    return await in_slices(busy(turns))


def test_others_have_their_turn_after_each_slice() -> None:
    assert asyncio.run(_others_meanwhile()) == [0, 1, 2, 3, 4]
