"""Dead man's switches: armed by the turning of the core loop, and by nothing else; on virtual time."""

import asyncio
from typing import Any

import pytest

from mm_daemon.domain.capabilities import Capabilities
from mm_daemon.domain.events import DeadlineReached, RunEnded
from mm_daemon.domain.instrument import Venue
from mm_daemon.runtime.clock import Clock
from mm_daemon.runtime.core_loop import CoreLoop
from mm_daemon.runtime.dead_man import DeadManSwitches, in_words, silence_of
from mm_daemon.runtime.inbox import Inbox
from mm_daemon.testkit.virtual_loop import VirtualLoop, run_virtual
from tests.unit.runtime.parts import DiaryConnector, ScriptedCore

VENUE = Venue("far")
S = 1_000_000_000


class NoJournal:
    """Keeps nothing."""

    def event(self, event: object) -> None: ...

    def turn(self, turn: object) -> None: ...

    def flush(self) -> None: ...


class SwitchedVenue(DiaryConnector):
    """A venue with a switch, which can be slow to answer or not answer at all."""

    def __init__(self, **capabilities: Any) -> None:
        super().__init__()
        self.capabilities = Capabilities(dead_man_floor_ms=1000, dead_man_ms=3000, **capabilities)

    async def arm_dead_man(self, deadline_ns: int | None) -> None:
        if self.fails_with is not None:
            raise self.fails_with
        await super().arm_dead_man(deadline_ns)

    @property
    def armed(self) -> list[int | None]:
        return [entry[1] for entry in self.diary if isinstance(entry, tuple) and entry[0] == "dead man"]


def switches(loop: VirtualLoop, venue: SwitchedVenue, said: list[str]) -> DeadManSwitches:
    return DeadManSwitches({VENUE: venue}, report=lambda _venue, text: said.append(text), now_ns=loop.now_ns)


def core_loop(loop: VirtualLoop, inbox: Inbox, dead_man: DeadManSwitches) -> CoreLoop:
    clock = Clock(wall_ns=loop.now_ns, monotonic_ns=loop.now_ns)
    return CoreLoop(
        ScriptedCore(),
        inbox=inbox,
        journal=NoJournal(),
        clock=clock,
        carry=lambda released: None,
        ask=lambda queries: None,
        observe=lambda turn, urgent: None,
        beat=dead_man.beat,
        beat_s=dead_man.every_s,
    )


def test_idle_core_keeps_its_switches_armed() -> None:
    """Nothing happens for ten seconds, and a deadline of three is never closer than two."""
    venue = SwitchedVenue()

    async def main(loop: VirtualLoop) -> None:
        inbox = Inbox()
        dead_man = switches(loop, venue, [])
        turning = core_loop(loop, inbox, dead_man)
        tasks = [asyncio.create_task(turning.run()), asyncio.create_task(dead_man.serve(VENUE))]
        margins = []
        inbox.put(DeadlineReached(0))
        for _ in range(100):
            await asyncio.sleep(0.1)
            margins.append(dead_man.deadlines_ns[VENUE] - loop.now_ns())
        assert min(margins) >= 1.9 * S
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    run_virtual(main)
    assert 9 <= len(venue.armed) <= 12


def test_core_that_turns_no_more_arms_nothing() -> None:
    """The loop has ended while every other task lives on: not one more arming, and the deadline passes."""
    venue = SwitchedVenue()

    async def main(loop: VirtualLoop) -> None:
        inbox = Inbox()
        dead_man = switches(loop, venue, [])
        turning = core_loop(loop, inbox, dead_man)
        serving = asyncio.create_task(dead_man.serve(VENUE))
        inbox.put(RunEnded(loop.now_ns(), "test", True))
        await turning.run()
        await asyncio.sleep(0)
        armed = len(venue.armed)
        await asyncio.sleep(60)
        assert len(venue.armed) == armed == 1
        assert dead_man.deadlines_ns[VENUE] < loop.now_ns()
        serving.cancel()

    run_virtual(main)


def test_deadline_counts_from_the_beat() -> None:
    """However late the request leaves, the venue is never given longer than the core was alive."""
    venue = SwitchedVenue()

    async def main(loop: VirtualLoop) -> None:
        dead_man = switches(loop, venue, [])
        beat_ns = loop.now_ns()
        dead_man.beat(beat_ns)
        await asyncio.sleep(1)
        await dead_man.arm(VENUE)
        assert venue.armed == [beat_ns + 3 * S]

    run_virtual(main)


def test_failure_is_told_once_and_its_end_too() -> None:
    """A switch that cannot be armed stays as it was; a clean stop disarms."""
    venue, said = SwitchedVenue(), list[str]()

    async def main(loop: VirtualLoop) -> None:
        dead_man = switches(loop, venue, said)
        venue.fails_with = OSError("no route")
        for _ in range(3):
            await dead_man.arm(VENUE)
        assert dead_man.deadlines_ns == {}
        venue.fails_with = None
        await dead_man.arm(VENUE)
        await dead_man.disarm()
        dead_man.beat(loop.now_ns() + 100 * S)
        assert not dead_man._due[VENUE].is_set()

    run_virtual(main)
    assert said == [
        "the dead man's switch cannot be armed: OSError: no route",
        "the dead man's switch is armed again",
    ]
    assert venue.armed[-1] is None


@pytest.mark.parametrize(
    ("capabilities", "silence_ms", "words"),
    [
        (Capabilities(), None, "none: if this process dies"),
        (Capabilities(simulated=True), None, "none: the venue is in this process"),
        (Capabilities(dead_man_floor_ms=5000), 10_000, "after 10 s of silence"),
        (Capabilities(dead_man_floor_ms=300_000), 300_000, "after 300 s of silence"),
        (Capabilities(dead_man_floor_ms=1000, dead_man_ms=500), 1000, "after 1 s of silence"),
    ],
)
def test_silence_is_never_below_the_venues_floor(
    capabilities: Capabilities, silence_ms: int | None, words: str
) -> None:
    """And what protects the orders is said in words."""
    assert silence_of(capabilities) == silence_ms
    assert words in in_words(capabilities)
