"""A daemon that writes down, decision by decision, how long what had arrived waited, and what page and metrics took of
that. `python -m tests.bench.page_probe CONFIG ROWS` runs it until it is stopped; `bench_page_load.py` reads the rows.

A wait begins when the inbox gets the first event after a turn and ends when the core has decided. It is taken twice: by
the clock, as a market would, and in CPU time of the thread, where nothing counts that the machine gave to others.

What page and metrics took is the CPU time of every callback of the event loop that is theirs, and of what they look at
in each turn; but for the collector of garbage, which comes to whoever allocates next: it is counted by itself. It is
counted not from the inbox on but from the last look at sockets and timers that did not find the event yet. So it is an
upper bound, of our own doing alone.
"""

import asyncio
import gc
import os
import selectors
import sys
from array import array
from asyncio import events
from collections.abc import Callable
from pathlib import Path
from time import perf_counter_ns, thread_time_ns
from typing import Any, NamedTuple

from mm_daemon import registry
from mm_daemon.config.load import load
from mm_daemon.core.trading_core import TradingCore
from mm_daemon.observability.metrics import Metrics
from mm_daemon.observability.records import Records
from mm_daemon.runtime.app import Daemon
from mm_daemon.runtime.inbox import Inbox

_THEIRS = ("/aiohttp/", "/observability/http.py", "/observability/page/", "/observability/snapshot.py")
"""Files whose coroutines serve page and metrics; the daemon's connector here needs no aiohttp of its own."""


class Row(NamedTuple):
    """One decision on something that had arrived; nanoseconds."""

    at: int
    """Of the monotonic clock, which is the same in every process."""
    waited: int
    waited_cpu: int
    extra_cpu: int
    """Of page and metrics, at most."""
    theirs: int
    """CPU time of page and metrics since the start."""
    collector: int
    """CPU time of the collector of garbage since the start."""


class Probe:
    def __init__(self) -> None:
        self.rows = array("q")
        self.theirs_ns = self.collector_ns = 0
        self._collecting_ns = 0
        self._looked = self._looked_before = 0
        """`theirs_ns` at the last two looks at the sockets."""
        self._arrived: tuple[int, int, int] | None = None

    def looked(self) -> None:
        self._looked_before, self._looked = self._looked, self.theirs_ns

    def arrived(self) -> None:
        self._arrived = (perf_counter_ns(), thread_time_ns(), self._looked_before)

    def decided(self) -> None:
        if self._arrived is not None:
            at_ns, cpu_ns, before_ns = self._arrived
            self._arrived = None
            now_ns, theirs_ns = perf_counter_ns(), self.theirs_ns
            self.rows.extend(
                (now_ns, now_ns - at_ns, thread_time_ns() - cpu_ns, theirs_ns - before_ns, theirs_ns, self.collector_ns)
            )

    def collected(self, phase: str, _: dict[str, int]) -> None:
        if phase == "start":
            self._collecting_ns = thread_time_ns()
        else:
            self.collector_ns += thread_time_ns() - self._collecting_ns

    def counted(self, work: Callable[..., Any]) -> Callable[..., Any]:
        """The same work, whose CPU time is that of page and metrics."""

        def timed(*arguments: Any) -> Any:
            began_ns, collector_ns = thread_time_ns(), self.collector_ns
            try:
                return work(*arguments)
            finally:
                self.theirs_ns += thread_time_ns() - began_ns - (self.collector_ns - collector_ns)

        return timed


def rows_of(path: Path) -> list[Row]:
    values = array("q")
    values.frombytes(path.read_bytes())
    return [Row(*values[start : start + 6]) for start in range(0, len(values), 6)]


def install(probe: Probe) -> Callable[[], asyncio.AbstractEventLoop]:
    """Put it where events arrive, decisions are made, and callbacks run; returns what makes its event loop."""
    put, decide, run = Inbox.put, TradingCore.decide, events.Handle._run

    def noted_put(inbox: Inbox, event: Any) -> None:
        if not inbox._awake:
            probe.arrived()
        put(inbox, event)

    def noted_decide(core: TradingCore, now_ns: int) -> Any:
        turn = decide(core, now_ns)
        probe.decided()
        return turn

    counted = probe.counted(run)

    def noted_run(handle: Any) -> None:
        (counted if is_theirs(handle._callback) else run)(handle)

    class Selector(selectors.DefaultSelector):
        def select(self, timeout: float | None = None) -> Any:
            found = super().select(0)
            probe.looked()
            if not found and timeout != 0:  # nothing is waiting, neither in a socket nor behind a timer
                probe.looked()
                found = super().select(timeout)
            return found

    classes: Any = (Inbox, TradingCore, events.Handle, Metrics, Records)
    for where, name, what in zip(
        classes,
        ("put", "decide", "_run", "observe", "observe"),
        (noted_put, noted_decide, noted_run, probe.counted(Metrics.observe), probe.counted(Records.observe)),
        strict=True,
    ):
        setattr(where, name, what)
    gc.callbacks.append(probe.collected)
    return lambda: asyncio.SelectorEventLoop(Selector())


def is_theirs(callback: Any) -> bool:
    """Whether a callback of the event loop serves page or metrics: a task by what it waits in, else by its owner."""
    owner = getattr(callback, "__self__", None)
    if isinstance(owner, asyncio.Task):
        coroutine: Any = owner.get_coro()
        while code := getattr(coroutine, "cr_code", None):
            if any(part in code.co_filename for part in _THEIRS):
                return True
            coroutine = coroutine.cr_await
        return False
    protocol = getattr(owner, "_protocol", owner)
    return type(protocol).__module__.startswith("aiohttp") or getattr(callback, "__name__", "") == "_accept_connection"


def main() -> int:
    probe = Probe()
    new_loop = install(probe)
    config = load(Path(sys.argv[1]), settings_of=registry.settings_of, environ=os.environ)
    with asyncio.Runner(loop_factory=new_loop) as runner:
        code = runner.run(Daemon(config, paper=True, duration_s=None).run())
    Path(sys.argv[2]).write_bytes(probe.rows.tobytes())
    return code


if __name__ == "__main__":
    sys.exit(main())
