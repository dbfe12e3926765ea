"""The heart: takes events from the inbox, keeps them, lets the core answer, and lets the answer out.

One turn, always in this order:

1. take what waits, orders and control first; add `DeadlineReached` when the core's own deadline has come;
2. write each event into the journal's buffer, then `core.apply` it;
3. `core.decide(now)` once; its decisions and commands join the buffer;
4. each minute, and with the run's end, the core's checkpoint joins them;
5. one write(2): from here on the cause of every effect is kept;
6. the released commands and the queries go to the gateway.

`now` is the latest `ts_local_ns` seen, never less than the one before: the core never sees time run backwards, although
two connectors may stamp their messages out of order. Run by the supervisor as an essential child; the only place that
changes trading state.
"""

import asyncio
import math
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Protocol

import msgspec

from mm_daemon.domain.checkpoint import Checkpoint
from mm_daemon.domain.deadlines import NEVER_NS
from mm_daemon.domain.decisions import ApprovedCommand, OrderQuery, Turn
from mm_daemon.domain.errors import JournalError
from mm_daemon.domain.events import CoreFailed, DeadlineReached, Event, RunEnded, RunStarted
from mm_daemon.runtime.clock import Clock
from mm_daemon.runtime.inbox import Inbox

BATCH_LIMIT = 512
"""Events in one turn: a burst must not keep the loop from reading its sockets."""

CHECKPOINT_NS = 60_000_000_000
"""Core time between two checkpoints."""

_TOLD_OF_ERROR = 200
"""Characters of an exception that the journal keeps as the cause of the latch; the log has all of it."""

LEAST_DELAY_S = 0.0005
"""Shortest sleep for a deadline, so that one that stays in the past cannot spin the loop."""


class Core(Protocol):
    """What the loop needs of `core/trading_core.py`."""

    def apply(self, event: Event) -> None: ...

    def decide(self, now_ns: int) -> Turn: ...

    def next_deadline_ns(self) -> int | None: ...

    def checkpoint(self) -> Checkpoint: ...


class TurnLog(Protocol):
    """What the loop needs of the journal. Errors are JournalError."""

    def event(self, event: Event) -> None: ...

    def turn(self, turn: Turn) -> None: ...

    def flush(self) -> None: ...


class TurnTimes:
    """How long the last turn's stages took, for the metrics: nothing decides by it, so it may be the wall's time.

    `decided_ns`: the run's clock when a changed decision had been made; `flush_s`: the journal's write(2); `send_s`:
    from the decision to its commands having been handed over.
    """

    __slots__ = ("decided_ns", "flush_s", "send_s")

    def __init__(self) -> None:
        self.decided_ns = 0
        self.flush_s = self.send_s = 0.0


class CoreLoop:
    def __init__(
        self,
        core: Core,
        *,
        inbox: Inbox,
        journal: TurnLog,
        clock: Clock,
        carry: Callable[[Sequence[ApprovedCommand]], None],
        ask: Callable[[Sequence[OrderQuery]], None],
        observe: Callable[[Turn, Sequence[Event]], None],
        beat: Callable[[int], None] | None = None,
        beat_s: float | None = None,
    ) -> None:
        """`observe` is shown every turn and its order, account and control events, after the commands have left.
        `beat` is called with the clock's time after turns, at least every `beat_s` (None: never): the sign of life that
        no other task can give.
        """
        self._core = core
        self._inbox = inbox
        self._journal = journal
        self._clock = clock
        self._carry = carry
        self._ask = ask
        self._observe = observe
        self._beat = beat
        self._beat_s = math.inf if beat is None or beat_s is None else beat_s
        self._beat_due_s = -math.inf
        self._now_ns = 0
        self._checkpoint_ns = NEVER_NS
        self.turns = 0
        self.events = 0
        self.ended = False
        self.times = TurnTimes()

    @property
    def now_ns(self) -> int:
        """The core's now."""
        return self._now_ns

    def begin(self, started: RunStarted) -> None:
        """The first turn, before anything that may already wait: a journal opens with what its core was built from."""
        self._checkpoint_ns = started.ts_local_ns + CHECKPOINT_NS
        self._live((started,), (started,))

    async def run(self) -> None:
        """Turn until `RunEnded` has gone through. Whatever the core or the journal raises passes to the caller."""
        awake = asyncio.Event()
        self._inbox.wake = awake.set
        if self._inbox:
            awake.set()
        loop = asyncio.get_running_loop()
        while not self.ended:
            timer = self._timer(loop, awake)
            await awake.wait()
            if timer is not None:
                timer.cancel()
            awake.clear()
            backlog = self.turn()
            self._give_sign(loop.time())
            while backlog:
                await asyncio.sleep(0)  # let the sockets be read between turns
                backlog = self.turn()
                self._give_sign(loop.time())

    def turn(self) -> bool:
        """One turn. Says whether there is already something for another."""
        batch, urgent = self._inbox.take(BATCH_LIMIT)
        self._add_deadline(batch)
        if not batch:
            return False
        self._live(batch, batch[:urgent])
        return len(self._inbox) > 0 and not self.ended

    def _live(self, batch: Sequence[Event], urgent: Sequence[Event]) -> None:
        try:
            turn = self._answer(batch)
        except JournalError:
            raise
        except Exception as error:  # what the core holds cannot be trusted: no later life quotes before a person looked
            text = f"{type(error).__name__}: {error}"[:_TOLD_OF_ERROR]
            self._journal.event(CoreFailed(self._now_ns, text))
            self._journal.turn(Turn(self._now_ns))
            self._journal.flush()
            raise
        now_ns = self._now_ns
        ending = any(isinstance(event, RunEnded) for event in urgent)
        if now_ns >= self._checkpoint_ns or ending:
            turn = msgspec.structs.replace(turn, checkpoint=self._core.checkpoint())
            self._checkpoint_ns = now_ns + CHECKPOINT_NS
        times = self.times
        decided_s = perf_counter()
        if turn.decisions:
            times.decided_ns = self._clock.now_ns()
        self._journal.turn(turn)
        flushing_s = perf_counter()
        self._journal.flush()
        times.flush_s = perf_counter() - flushing_s
        if turn.released:
            self._carry(turn.released)
            times.send_s = perf_counter() - decided_s
        if turn.queries:
            self._ask(turn.queries)
        self.turns += 1
        self.events += len(batch)
        self._observe(turn, urgent)
        self.ended = ending

    def _answer(self, batch: Sequence[Event]) -> Turn:
        now_ns = self._now_ns
        keep, apply = self._journal.event, self._core.apply
        for event in batch:
            if event.ts_local_ns > now_ns:
                now_ns = event.ts_local_ns
            keep(event)
            apply(event)
        self._now_ns = now_ns
        return self._core.decide(now_ns)

    def _add_deadline(self, batch: list[Event]) -> None:
        deadline_ns = self._core.next_deadline_ns()
        if deadline_ns is not None and deadline_ns <= (now_ns := max(self._clock.now_ns(), self._now_ns)):
            batch.append(DeadlineReached(now_ns))

    def _give_sign(self, now_s: float) -> None:
        """The loop has just turned; `now_s` is the event loop's time."""
        if self._beat is not None and now_s >= self._beat_due_s:
            self._beat_due_s = now_s + self._beat_s
            self._beat(self._clock.now_ns())

    def _timer(self, loop: asyncio.AbstractEventLoop, awake: asyncio.Event) -> asyncio.TimerHandle | None:
        """Wakes the loop at the core's deadline, and when it owes a sign of life."""
        deadline_ns = self._core.next_deadline_ns()
        delay_s = math.inf if deadline_ns is None else self._clock.delay_s(deadline_ns)
        delay_s = min(delay_s, self._beat_due_s - loop.time()) if self._beat_s < math.inf else delay_s
        return None if delay_s == math.inf else loop.call_later(max(LEAST_DELAY_S, delay_s), awake.set)
