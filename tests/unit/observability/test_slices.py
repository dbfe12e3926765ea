"""Long work in slices: others get their turns in between, and two long pieces of work share one pace."""

import asyncio
from collections.abc import Iterator
from time import perf_counter

import pytest

from mm_daemon.observability.slices import PAUSE_S, SLICE_S, Pace
from mm_daemon.testkit.virtual_loop import VirtualLoop, run_virtual


def busy(who: str, loop: VirtualLoop, told: list[tuple[float, str]]) -> Iterator[str]:
    """Steps of more than a slice of real time each."""
    for number in range(5):
        since_s = perf_counter()
        while perf_counter() - since_s < 2 * SLICE_S:
            pass
        told.append((loop.time(), who))
        yield f"{who}{number}"


def test_there_is_one_slice_at_a_time_and_a_pause_before_each() -> None:
    """On virtual time, which stands still while somebody works: no two slices at one moment, in turns, all in order."""
    told: list[tuple[float, str]] = []

    async def main(loop: VirtualLoop) -> list[list[str]]:
        pace = Pace()
        return await asyncio.gather(*(pace.walk(busy(who, loop, told)) for who in "ab"))

    assert run_virtual(main) == [[f"{who}{number}" for number in range(5)] for who in "ab"]
    times = [at_s for at_s, _ in told]
    assert times == pytest.approx([PAUSE_S * (number + 1) for number in range(10)])
    assert "".join(who for _, who in told) == "ab" * 5


def test_short_steps_share_a_slice() -> None:
    """However many there are."""

    async def main(loop: VirtualLoop) -> float:
        assert await Pace().walk(range(20)) == list(range(20))
        return loop.time()

    assert run_virtual(main) <= 3 * PAUSE_S


def test_a_step_that_fails_lets_the_others_go_on() -> None:
    """Its error is its caller's."""

    def failing() -> Iterator[int]:
        yield 1
        raise ValueError("no figure")

    async def main(_: VirtualLoop) -> None:
        pace = Pace()
        failed, done = await asyncio.gather(pace.walk(failing()), pace.walk(range(3)), return_exceptions=True)
        assert isinstance(failed, ValueError) and done == [0, 1, 2]

    run_virtual(main)
