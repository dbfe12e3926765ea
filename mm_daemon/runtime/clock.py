"""The run's one clock: integer nanoseconds that never step back.

Wall time is read once, when the clock starts; after that only the monotonic clock moves it, so a corrected system clock
cannot make the core's time jump. A recorded feed brings its own time base: the same clock is then moved to the
recording's first instant and runs `speed` times as fast as the wall. Made by `runtime/app.py`; connectors get
`now_ns` and `delay_s`.
"""

import math
import time
from collections.abc import Callable
from pathlib import Path

from mm_daemon.domain.errors import ConfigError

NS_PER_S = 1_000_000_000


_BOOT = Path("/proc/sys/kernel/random/boot_id")


def boot_name() -> str:
    """What the machine calls its present boot: another one than before means that it went down in between. Empty where
    it has no name for it."""
    try:
        return _BOOT.read_text("ascii").strip()
    except OSError:
        return ""


class Clock:
    """Time as `start + (monotonic - monotonic at start) * speed`."""

    __slots__ = ("_anchor_ns", "_monotonic_ns", "_start_ns", "speed", "wall_ns")

    def __init__(
        self,
        *,
        wall_ns: Callable[[], int] = time.time_ns,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.wall_ns = wall_ns
        """The system's own clock, whatever the feed's time is: for file names and client ids."""
        self._monotonic_ns = monotonic_ns
        self.speed = 1.0
        self._start_ns = wall_ns()
        self._anchor_ns = monotonic_ns()

    def now_ns(self) -> int:
        elapsed = self._monotonic_ns() - self._anchor_ns
        return self._start_ns + (elapsed if self.speed == 1.0 else int(elapsed * self.speed))

    def delay_s(self, until_ns: int) -> float:
        """Seconds to sleep until this clock reads `until_ns`; zero when it already has."""
        return max(0, until_ns - self.now_ns()) / (NS_PER_S * self.speed)

    def move_to(self, start_ns: int, speed: float = 1.0) -> None:
        """Start again at `start_ns`, before anything was timed by it. Raises ConfigError on a bad speed."""
        if not (math.isfinite(speed) and speed > 0):
            raise ConfigError(f"speed of a recording must be a positive number, not {speed}")
        self.speed = speed
        self._start_ns = start_ns
        self._anchor_ns = self._monotonic_ns()
