"""An asyncio loop on virtual time: sleeps cost nothing and every run of the same coroutines is the same run.

When nothing is ready the loop jumps to its next timer. With neither a ready callback nor a timer nothing can ever
happen again, and it says so instead of hanging. Threads and sockets have no place on it: executor jobs run at once.
"""

import asyncio
import math
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _Jump(selectors.DefaultSelector):
    """Selects nothing; waiting for time to pass becomes moving the clock."""

    loop: "VirtualLoop"

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("virtual time stands still: every task waits and no timer is set")
        if timeout > 0.0:
            self.loop.elapsed_ns += math.ceil(timeout * 1e9)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """Its own time starts at zero, so that a float keeps the nanoseconds; `now_ns` counts from `start_ns`."""

    def __init__(self, start_ns: int = 0) -> None:
        self.start_ns = start_ns
        self.elapsed_ns = 0
        jump = _Jump()
        jump.loop = self
        super().__init__(jump)

    def time(self) -> float:
        return self.elapsed_ns / 1e9

    def now_ns(self) -> int:
        return self.start_ns + self.elapsed_ns

    def delay_s(self, until_ns: int) -> float:
        return max(0, until_ns - self.now_ns()) / 1e9

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> "asyncio.Future[T]":  # type: ignore[override]
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # handed to whoever awaits the job, as a thread pool would
            future.set_exception(error)
        return future


def run_virtual(main: Callable[[VirtualLoop], Coroutine[Any, Any, T]], start_ns: int = 1_700_000_000 * 10**9) -> T:
    """Run `main(loop)` to its end on a fresh virtual loop."""
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(start_ns)) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, VirtualLoop)
        return runner.run(main(loop))
