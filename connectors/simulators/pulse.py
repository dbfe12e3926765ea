"""What keeps a simulated venue alive: it does what is due, and comes back when it next has something to do."""

import asyncio
from collections.abc import Callable

_LEAST_S = 0.0005


class Pulse:
    def __init__(self, step: Callable[[], float | None]) -> None:
        """`step` does what is due and says how many seconds ahead the next thing is; None: the venue is down."""
        self._step = step
        self._timer: asyncio.TimerHandle | None = None
        self._failed: asyncio.Future[None] | None = None

    def start(self) -> asyncio.Future[None]:
        """What to wait for: it ends by the error of whatever fails."""
        self._failed = asyncio.get_running_loop().create_future()
        return self._failed

    @property
    def awaited(self) -> bool:
        """Whether somebody still waits for what `start` gave."""
        return self._failed is not None and not self._failed.done()

    def beat(self) -> None:
        """Now, whatever was planned."""
        try:
            ahead_s = self._step()
        except Exception as error:  # the edge of a timer: whoever runs us is told
            self.fail(error)
            return
        if ahead_s is not None:
            self.stop()
            self._timer = asyncio.get_running_loop().call_later(max(_LEAST_S, ahead_s), self.beat)

    def fail(self, error: Exception) -> None:
        """Tell whoever waits; raised where nobody does."""
        if self._failed is None or self._failed.done():
            raise error
        self._failed.set_exception(error)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
