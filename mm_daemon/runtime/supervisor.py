"""Keeps the daemon's tasks alive, or says that it cannot: the only place that creates tasks.

A child has a name and a kind. `ESSENTIAL`: without it there is no daemon; its failure ends the run with that error.
`RESTARTABLE`: weather may fell it; it comes back after a growing, jittered pause, until its budget is spent and the
failure is handed to `on_given_up`. `FINITE`: does its job once and is gone; failing is as grave as for an essential
one. A child that returns has finished its work (a recorded feed that ended) and is not started again; `on_finished`
hears of it.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from enum import StrEnum
from typing import Any

import msgspec

from mm_daemon.domain.rng import Rng


class Kind(StrEnum):
    ESSENTIAL = "essential"
    RESTARTABLE = "restartable"
    FINITE = "finite"


class RestartPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Pauses double from `first_s` to `longest_s`, each times 0.5..1.5; at most `budget` restarts in `window_s`."""

    first_s: float = 0.25
    longest_s: float = 30.0
    budget: int = 10
    window_s: float = 300.0


class Child(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    kind: Kind
    start: Callable[[], Coroutine[Any, Any, None]]


class Supervisor:
    def __init__(
        self,
        rng: Rng,
        *,
        policy: RestartPolicy | None = None,
        on_restart: Callable[[str, Exception, float], None],
        on_given_up: Callable[[str, Exception], None],
        on_finished: Callable[[str], None],
    ) -> None:
        """`on_restart` is told the child, what felled it and the pause in seconds before it starts again."""
        self._rng = rng
        self._policy = policy or RestartPolicy()
        self._on_restart = on_restart
        self._on_given_up = on_given_up
        self._on_finished = on_finished
        self._children: list[Child] = []
        self._over = asyncio.Event()
        self._failure: Exception | None = None

    def add(self, name: str, kind: Kind, start: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Declare a child. It starts when `run` does."""
        self._children.append(Child(name=name, kind=kind, start=start))

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(child.name for child in self._children)

    def end(self) -> None:
        """Ask `run` to cancel what still lives and return."""
        self._over.set()

    def fail(self, error: Exception) -> None:
        """End the run with this error: starting a child again would not mend it. The first error counts."""
        if self._failure is None:
            self._failure = error
        self._over.set()

    async def run(self) -> None:
        """Run all children until `end`. Raises what felled an essential or finite child, once the others are gone."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._live(child), name=child.name) for child in self._children]
            try:
                await self._over.wait()
            finally:
                for task in tasks:
                    task.cancel()
        if self._failure is not None:
            raise self._failure

    async def _live(self, child: Child) -> None:
        restarts: deque[float] = deque()
        while True:
            try:
                await child.start()
            except Exception as error:  # the edge of a task: the policy decides what happens next
                if child.kind is not Kind.RESTARTABLE:
                    self.fail(error)
                    return
                pause_s = self._next_pause(restarts)
                if pause_s is None:
                    self._on_given_up(child.name, error)
                    return
                self._on_restart(child.name, error, pause_s)
                await asyncio.sleep(pause_s)
            else:
                self._on_finished(child.name)
                return

    def _next_pause(self, restarts: deque[float]) -> float | None:
        """Seconds to wait before the next restart; None when the budget is spent."""
        policy = self._policy
        now_s = asyncio.get_running_loop().time()
        while restarts and restarts[0] <= now_s - policy.window_s:
            restarts.popleft()
        if len(restarts) >= policy.budget:
            return None
        pause_s = min(policy.longest_s, policy.first_s * float(2 ** len(restarts)))
        restarts.append(now_s)
        return pause_s * (0.5 + self._rng.uniform())
