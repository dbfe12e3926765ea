"""Numbers that a key never uses twice, growing with time so that another process of the same key goes on behind us."""

from collections.abc import Callable


class Nonces:
    """The one owner of a key's nonces in this process. Pure but for the clock it is given, in whatever unit the venue
    counts."""

    __slots__ = ("_last", "_now")

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self._last = 0

    def next(self) -> int:
        """Greater than every one before, and at least the time."""
        self._last = max(self._last + 1, self._now())
        return self._last
