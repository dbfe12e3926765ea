"""Supervision of the daemon's tasks, on virtual time."""

import asyncio

import pytest

from mm_daemon.domain.errors import JournalError
from mm_daemon.domain.rng import Rng
from mm_daemon.runtime.supervisor import Kind, RestartPolicy, Supervisor
from mm_daemon.testkit.virtual_loop import VirtualLoop, run_virtual


class Story:
    """A supervisor and everything it said."""

    def __init__(self, policy: RestartPolicy | None = None, seed: int = 1) -> None:
        self.restarts: list[tuple[str, float]] = []
        self.given_up: list[str] = []
        self.finished: list[str] = []
        self.supervisor = Supervisor(
            Rng(seed),
            policy=policy,
            on_restart=lambda name, _error, pause_s: self.restarts.append((name, pause_s)),
            on_given_up=self._give_up,
            on_finished=self.finished.append,
        )

    def _give_up(self, name: str, _error: Exception) -> None:
        self.given_up.append(name)
        self.supervisor.end()


async def forever() -> None:
    await asyncio.Event().wait()


async def broken() -> None:
    raise ConnectionError("link lost")


def test_essential_failure_ends_the_run_with_its_error() -> None:
    """What felled an essential child is raised as it was, and the others are cancelled."""
    cancelled: list[str] = []

    async def witness() -> None:
        try:
            await forever()
        finally:
            cancelled.append("witness")

    async def failing() -> None:
        await asyncio.sleep(3)
        raise JournalError("disk gone")

    async def main(_loop: VirtualLoop) -> None:
        story = Story()
        story.supervisor.add("witness", Kind.RESTARTABLE, witness)
        story.supervisor.add("journal", Kind.ESSENTIAL, failing)
        await story.supervisor.run()

    with pytest.raises(JournalError, match="disk gone"):
        run_virtual(main)
    assert cancelled == ["witness"]


def test_restartable_child_comes_back_after_growing_pauses() -> None:
    """Pauses double and carry jitter of half to one and a half times."""

    async def main(_loop: VirtualLoop) -> Story:
        story = Story(RestartPolicy(first_s=1.0, longest_s=4.0, budget=4))
        story.supervisor.add("venue", Kind.RESTARTABLE, broken)
        await story.supervisor.run()
        return story

    story = run_virtual(main)
    assert [name for name, _ in story.restarts] == ["venue"] * 4
    for (_, pause_s), nominal_s in zip(story.restarts, (1.0, 2.0, 4.0, 4.0), strict=True):
        assert 0.5 * nominal_s <= pause_s < 1.5 * nominal_s
    assert story.given_up == ["venue"]


def test_restarts_are_forgotten_after_the_window() -> None:
    """A child that fails now and then never spends its budget."""

    async def rare(story: Story) -> None:
        await asyncio.sleep(100)
        if len(story.restarts) == 9:
            story.supervisor.end()
            return
        raise ConnectionError("again")

    async def main(_loop: VirtualLoop) -> Story:
        story = Story(RestartPolicy(budget=2, window_s=150.0))
        story.supervisor.add("venue", Kind.RESTARTABLE, lambda: rare(story))
        await story.supervisor.run()
        return story

    story = run_virtual(main)
    assert len(story.restarts) == 9
    assert story.given_up == []


def test_jitter_depends_on_the_seed_alone() -> None:
    """The same seed gives the same pauses."""

    async def main(_loop: VirtualLoop) -> list[tuple[str, float]]:
        story = Story(RestartPolicy(budget=3), seed=7)
        story.supervisor.add("venue", Kind.RESTARTABLE, broken)
        await story.supervisor.run()
        return story.restarts

    assert run_virtual(main) == run_virtual(main)


def test_finished_child_is_reported_and_not_restarted() -> None:
    """A recorded feed that ended has done its work."""

    async def main(_loop: VirtualLoop) -> Story:
        story = Story()

        async def feed() -> None:
            await asyncio.sleep(5)

        async def closing() -> None:
            await asyncio.sleep(50)
            story.supervisor.end()

        story.supervisor.add("feed", Kind.RESTARTABLE, feed)
        story.supervisor.add("closing", Kind.FINITE, closing)
        await story.supervisor.run()
        return story

    story = run_virtual(main)
    assert story.finished == ["feed", "closing"]
    assert story.restarts == []
