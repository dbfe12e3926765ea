"""How far a backtest has come: bytes of its recordings read, or market time played where there are none.

A run says it by a function it is given (`Told`), a few times a second at most; a process of a pool says it to its
parent; on a terminal `Bar` draws it on stderr, with the time left.
"""

import sys
from collections.abc import Callable, Iterable
from time import monotonic
from typing import TYPE_CHECKING

from mm_daemon.ports.connector import KnowsItsLength

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

Told = Callable[[float], None]
"""Hears which share of the work is done, 0..1."""

_PAUSE_S = 0.1


class Meter:
    """Looks at feeds when it is asked, and tells at most every tenth of a second."""

    def __init__(self, feeds: Iterable[object], told: Told, *, start_ns: int = 0, end_ns: int | None = None) -> None:
        """Between `start_ns` and `end_ns` of market time, where that is where the run ends."""
        self._feeds = [feed for feed in feeds if isinstance(feed, KnowsItsLength)]
        self._told = told
        self._start_ns, self._end_ns = start_ns, end_ns
        self._next_s = 0.0

    def look(self, now_ns: int) -> None:
        now_s = monotonic()
        if now_s < self._next_s:
            return
        self._next_s = now_s + _PAUSE_S
        share = 0.0
        total = sum(feed.bytes_total for feed in self._feeds)
        if total:
            share = sum(feed.bytes_read for feed in self._feeds) / total
        if self._end_ns is not None and self._end_ns > self._start_ns:
            share = max(share, (now_ns - self._start_ns) / (self._end_ns - self._start_ns))
        self._told(min(share, 1.0))


class Bar:
    """A progress bar of several parts on stderr; nothing at all where that is no terminal, or unless `wanted`."""

    def __init__(self, parts: int = 1, *, wanted: bool = True) -> None:
        self._shares = [0.0] * parts
        self._ended = 0
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        if wanted and sys.stderr.isatty():
            from rich import progress as rich
            from rich.console import Console

            columns = (
                rich.TextColumn("{task.description}"),
                rich.BarColumn(),
                rich.TaskProgressColumn(),
                rich.TimeRemainingColumn(),
            )
            # Drawn when something is told and not by a thread: a process with threads must not fork (`feeds/ahead.py`).
            console = Console(stderr=True)
            self._progress = rich.Progress(*columns, console=console, transient=True, auto_refresh=False)

    def __enter__(self) -> "Bar":
        if self._progress is not None:
            self._progress.start()
            self._task = self._progress.add_task(self._said(), total=1.0)
        return self

    def __exit__(self, *_: object) -> None:
        if self._progress is not None:
            self._progress.stop()

    def tell(self, part: int, share: float) -> None:
        """One part has come so far."""
        self._shares[part] = share
        if self._progress is not None and self._task is not None:
            done = sum(self._shares) / len(self._shares)
            self._progress.update(self._task, completed=done, description=self._said(), refresh=True)

    def first(self, share: float) -> None:
        """Of the only part."""
        self.tell(0, share)

    def heard(self, part: int, note: object) -> None:
        """What a process of a pool says of its part."""
        if isinstance(note, float):
            self.tell(part, note)

    def end(self, part: int) -> None:
        """One part is over."""
        self._ended += 1
        self.tell(part, 1.0)

    def more(self, count: int) -> None:
        """So many more parts are over, of those that come in order."""
        for _ in range(count):
            self.end(self._ended)

    def _said(self) -> str:
        return "backtest" if len(self._shares) == 1 else f"{self._ended} of {len(self._shares)}"
