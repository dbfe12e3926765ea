"""The order of things in a turn, and when turns happen."""

import asyncio
from collections.abc import Callable, Sequence

import pytest

from mm_daemon.domain.decisions import ApprovedCommand, OrderQuery, Turn
from mm_daemon.domain.errors import JournalError
from mm_daemon.domain.events import CoreFailed, DeadlineReached, Event, PublicTrade, RunEnded, RunStarted
from mm_daemon.domain.orders import Side
from mm_daemon.runtime.clock import Clock
from mm_daemon.runtime.core_loop import BATCH_LIMIT, CoreLoop
from mm_daemon.runtime.inbox import Inbox
from mm_daemon.testkit.virtual_loop import VirtualLoop, run_virtual
from tests.unit.runtime.parts import BTC, ScriptedCore, place, released


class Diary:
    """A journal that only remembers what was asked of it, in order, together with what left."""

    def __init__(self) -> None:
        self.entries: list[object] = []
        self.disk_full = False

    def event(self, event: Event) -> None:
        self.entries.append(event)

    def turn(self, turn: Turn) -> None:
        self.entries.append(turn)

    def flush(self) -> None:
        if self.disk_full:
            raise JournalError("no space left")
        self.entries.append("flush")

    def carry(self, commands: Sequence[ApprovedCommand]) -> None:
        self.entries.append(("carry", tuple(commands)))

    def ask(self, queries: Sequence[OrderQuery]) -> None:
        self.entries.append(("ask", tuple(queries)))


class Shell:
    def __init__(self, loop: VirtualLoop, answer: Callable[[int], Turn] = Turn) -> None:
        self.core = ScriptedCore(answer)
        self.inbox = Inbox()
        self.diary = Diary()
        self.clock = Clock(wall_ns=loop.now_ns, monotonic_ns=loop.now_ns)
        self.observed: list[tuple[Turn, list[Event]]] = []
        self.loop = CoreLoop(
            self.core,
            inbox=self.inbox,
            journal=self.diary,
            clock=self.clock,
            carry=self.diary.carry,
            ask=self.diary.ask,
            observe=lambda turn, urgent: self.observed.append((turn, list(urgent))),
        )


def trade(ts_ns: int) -> PublicTrade:
    return PublicTrade(BTC, ts_ns, ts_ns, Side.BUY, 100, 1, ts_ns)


def test_no_effect_leaves_before_its_cause_is_written() -> None:
    """Events, then the turn, then one flush, and only then the commands."""

    async def main(loop: VirtualLoop) -> None:
        commands = released(place(1))
        shell = Shell(loop, lambda now_ns: Turn(now_ns, released=commands))
        shell.inbox.put(trade(10))
        shell.inbox.put(trade(20))
        shell.loop.turn()
        turn = Turn(20, released=commands)
        assert shell.diary.entries == [trade(10), trade(20), turn, "flush", ("carry", commands)]

    run_virtual(main)


def test_nothing_is_sent_when_the_journal_fails() -> None:
    """A disk that refuses the write keeps the commands inside."""

    async def main(loop: VirtualLoop) -> None:
        shell = Shell(loop, lambda now_ns: Turn(now_ns, released=released(place(1))))
        shell.diary.disk_full = True
        shell.inbox.put(trade(10))
        with pytest.raises(JournalError):
            await shell.loop.run()
        assert not any(isinstance(entry, tuple) for entry in shell.diary.entries)

    run_virtual(main)


def test_an_exception_in_the_core_is_the_last_thing_it_writes_down() -> None:
    """On the disk before anybody hears of it, and nothing leaves; a full disk is told instead."""

    def broken(now_ns: int) -> Turn:
        raise ZeroDivisionError("no such price")

    async def main(loop: VirtualLoop) -> None:
        shell = Shell(loop, broken)
        shell.inbox.put(trade(10))
        with pytest.raises(ZeroDivisionError):
            await shell.loop.run()
        failed = CoreFailed(10, "ZeroDivisionError: no such price")
        assert shell.diary.entries == [trade(10), failed, Turn(10), "flush"]
        shell = Shell(loop, broken)
        shell.diary.disk_full = True
        shell.inbox.put(trade(10))
        with pytest.raises(JournalError):
            await shell.loop.run()

    run_virtual(main)


def test_core_time_never_runs_backwards() -> None:
    """A late stamped event does not turn the core's clock back."""

    async def main(loop: VirtualLoop) -> None:
        shell = Shell(loop)
        for ts_ns in (100, 40, 70, 120):
            shell.inbox.put(trade(ts_ns))
            shell.loop.turn()
        assert shell.core.decided == [100, 100, 100, 120]

    run_virtual(main)


def test_core_is_called_at_its_deadline() -> None:
    """With no event at all, the core hears `DeadlineReached` when its deadline has passed, and not before."""

    async def main(loop: VirtualLoop) -> None:
        shell = Shell(loop)
        start_ns = shell.clock.now_ns()
        shell.core.deadlines = [start_ns + 250_000_000, start_ns + 900_000_000]
        task = asyncio.ensure_future(shell.loop.run())
        await asyncio.sleep(0.2)
        assert shell.core.applied == []
        await asyncio.sleep(1.0)
        reached = [event.ts_local_ns - start_ns for event in shell.core.applied if isinstance(event, DeadlineReached)]
        assert len(reached) == 2
        assert reached == pytest.approx([250_000_000, 900_000_000], abs=1_000_000)
        shell.inbox.put(RunEnded(shell.clock.now_ns(), "done", True))
        await task

    run_virtual(main)


def test_deadline_that_stays_in_the_past_does_not_spin() -> None:
    """A core that keeps asking for the past is answered at most two thousand times a second."""

    async def main(loop: VirtualLoop) -> None:
        shell = Shell(loop)
        shell.core.deadlines = [1]
        shell.core.decide = Turn  # type: ignore[method-assign]
        task = asyncio.ensure_future(shell.loop.run())
        await asyncio.sleep(0.1)
        assert len(shell.core.applied) <= 201
        task.cancel()

    run_virtual(main)


def test_backlog_is_taken_in_bounded_turns() -> None:
    """A burst is worked off in several turns, each followed by a decision."""

    async def main(loop: VirtualLoop) -> None:
        shell = Shell(loop)
        for number in range(BATCH_LIMIT * 2 + 1):
            shell.inbox.put(trade(number))
        assert [shell.loop.turn() for _ in range(4)] == [True, True, False, False]
        assert shell.core.decided == [BATCH_LIMIT - 1, 2 * BATCH_LIMIT - 1, 2 * BATCH_LIMIT]

    run_virtual(main)


def test_run_ends_after_run_ended() -> None:
    """`RunEnded` is the last event that is kept and applied."""

    async def main(loop: VirtualLoop) -> None:
        shell = Shell(loop)
        shell.inbox.put(trade(5))
        shell.inbox.put(RunEnded(6, "done", True))
        await shell.loop.run()
        assert shell.core.applied == [RunEnded(6, "done", True), trade(5)]
        assert shell.loop.ended

    run_virtual(main)


def test_journal_opens_with_run_started() -> None:
    """What came in while starting waits until the core's own beginning is written."""

    async def main(loop: VirtualLoop) -> None:
        shell = Shell(loop)
        shell.inbox.put(trade(5))
        started = RunStarted(4, "1", "{}")
        shell.loop.begin(started)
        assert shell.diary.entries == [started, Turn(4), "flush"]
        shell.loop.turn()
        assert shell.core.applied == [started, trade(5)]

    run_virtual(main)


def test_observer_sees_order_and_control_events_only() -> None:
    """What is shown for logging costs nothing for market data."""

    async def main(loop: VirtualLoop) -> None:
        shell = Shell(loop)
        shell.inbox.put(trade(5))
        shell.inbox.put(RunEnded(6, "done", True))
        shell.loop.turn()
        ((turn, events),) = shell.observed
        assert (turn.now_ns, events) == (6, [RunEnded(6, "done", True)])

    run_virtual(main)
