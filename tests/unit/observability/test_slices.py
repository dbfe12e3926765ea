"""Long work in slices: others get turns by the event loop's clock, and on virtual time nothing depends on ours."""

import asyncio
from collections.abc import Iterator
from time import perf_counter

from mm_daemon.observability.slices import SLICE_S, in_slices
from mm_daemon.testkit.virtual_loop import VirtualLoop, run_virtual


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


def test_on_virtual_time_no_slice_is_over() -> None:
    """How fast this machine is must not order anything: the same seed is the same history (R21)."""

    async def main(_loop: VirtualLoop) -> list[int]:
        return await _others_meanwhile()

    assert run_virtual(main) == [0] * 5
