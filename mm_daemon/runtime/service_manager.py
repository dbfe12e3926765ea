"""What a service manager is told: systemd's notify protocol, one datagram a message, spoken without a library.

`NOTIFY_SOCKET` names the socket; without it everything here does nothing. READY follows the first agreement with every
venue, and until then the time to start is extended. WATCHDOG comes from the turning core loop and from nothing else
(`beat`): a loop that hangs beats no more, and systemd kills and restarts the process. Nothing here waits: a message
that cannot be sent now is said to be lost in the log, once, and READY is tried again. Wired by `runtime/app.py`.
"""

import asyncio
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

LOOK_S = 0.5
"""How often it is looked whether there is something new to tell."""
_EXTEND_S = 15.0
_BEGINNING_S = 120.0
"""Granted to what comes before the core: contracts and leftovers of slow venues."""
_BEATS = 2
"""Signs of life within the watchdog's time, as sd_watchdog_enabled(3) advises."""


class ServiceManager:
    def __init__(self, environ: Mapping[str, str] = os.environ, *, report: Callable[[str], None]) -> None:
        """`report` hears, in words for the log, of the first message that is lost."""
        self._report = report
        self._lost = False
        self._ready = self._stopping = False
        self._told = ""
        path = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + path[1:] if path.startswith("@") else path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) if path else None
        meant = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        usec = environ.get("WATCHDOG_USEC", "")
        watched = self._socket is not None and meant and usec.isdecimal() and int(usec) > 0
        self.beat_s = int(usec) / 1e6 / _BEATS if watched else None
        """How often the core loop has to beat at least; None: nobody watches."""

    @property
    def there(self) -> bool:
        """Whether somebody listens, and `run` has a purpose."""
        return self._socket is not None

    def beginning(self) -> None:
        self._send("STATUS=starting", f"EXTEND_TIMEOUT_USEC={int(_BEGINNING_S * 1e6)}")

    def waiting(self, what_for: str) -> None:
        """The start takes longer than starts do; to be said again while it does."""
        self._send(f"STATUS=waiting {_line(what_for)}", f"EXTEND_TIMEOUT_USEC={int(_EXTEND_S * 1e6)}")

    def beat(self) -> None:
        """The core loop has just turned."""
        if self.beat_s is not None:
            self._send("WATCHDOG=1")

    @contextmanager
    def reloading(self) -> Iterator[None]:
        """Around the reading of the configuration. Before READY and while stopping it is nobody's business."""
        tell = self._ready and not self._stopping
        if tell:
            self._send("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")
        try:
            yield
        finally:
            if tell and not self._stopping:
                self._send("READY=1")

    def stopping(self, why: str, within_s: float) -> None:
        """From now on the process only ends; it wants this long for it."""
        self._stopping = True
        self._send("STOPPING=1", f"STATUS=stopping: {_line(why)}", f"EXTEND_TIMEOUT_USEC={int(within_s * 1e6)}")

    async def run(self, reconciled: Callable[[], bool], status: Callable[[], str]) -> None:
        """Tell READY when the core first agrees with its venues, and STATUS when it has changed; until cancelled."""
        while True:
            if not self._stopping:
                self._look(reconciled(), f"STATUS={_line(status())}")
            await asyncio.sleep(LOOK_S)

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _look(self, reconciled: bool, status: str) -> None:
        if not self._ready and reconciled:
            self._ready = self._send("READY=1", status)
            self._told = status if self._ready else ""
        elif not self._ready:
            self._send(status, f"EXTEND_TIMEOUT_USEC={int(_EXTEND_S * 1e6)}")
        elif status != self._told and self._send(status):
            self._told = status

    def _send(self, *assignments: str) -> bool:
        """Whether it left."""
        if self._socket is None:
            return False
        try:
            self._socket.sendto("\n".join(assignments).encode(), socket.MSG_DONTWAIT, self._address)
        except OSError as error:
            if not self._lost:
                self._lost = True
                self._report(f"the service manager was not told {assignments[0]}: {error.strerror or error}")
            return False
        return True


def _line(text: str) -> str:
    return text.replace("\n", " ")
