"""When to trade: sessions and blackouts as times of the day in UTC, in whole nanoseconds.

A day has 86400 s and begins at multiples of that since 1970, as the core's clock counts. An interval whose end lies
before its start runs over midnight; starts belong to it, ends do not.
"""

from bisect import bisect_right
from collections.abc import Iterable

from mm_daemon.domain.errors import DomainError

DAY_NS = 86_400 * 1_000_000_000

Interval = tuple[int, int]
"""(start, end) in nanoseconds of the day; the end may be the whole day."""


class TradingHours:
    """Open during any session (always, when there is none) but for the blackouts."""

    __slots__ = ("_edges", "_open")

    def __init__(self, sessions: Iterable[Interval] = (), blackouts: Iterable[Interval] = ()) -> None:
        """Raises DomainError for times outside a day and intervals of no length."""
        opened = [part for interval in sessions for part in _parts(interval)] or [(0, DAY_NS)]
        closed = [part for interval in blackouts for part in _parts(interval)]
        cuts = sorted({0, *(edge % DAY_NS for part in (*opened, *closed) for edge in part)})
        self._edges: list[int] = []
        """Where it opens or closes, within a day."""
        self._open: list[bool] = []
        """Whether it is open from that edge on."""
        for cut in cuts:
            is_open = _within(cut, opened) and not _within(cut, closed)
            if not self._open or is_open is not self._open[-1]:
                self._edges.append(cut)
                self._open.append(is_open)

    def open_at(self, now_ns: int) -> bool:
        """Whether to trade at this instant."""
        return self._open[bisect_right(self._edges, now_ns % DAY_NS) - 1]

    def next_change_ns(self, now_ns: int) -> int | None:
        """When that changes next, after `now_ns`; None when it never does."""
        if len(self._edges) == 1:
            return None
        time = now_ns % DAY_NS
        index = bisect_right(self._edges, time)
        if index < len(self._edges):
            return now_ns - time + self._edges[index]
        # Midnight is an edge of the list, but a change only where the day ends otherwise than it began.
        first = 0 if self._open[0] is not self._open[-1] else 1
        return now_ns - time + DAY_NS + self._edges[first]


def _parts(interval: Interval) -> tuple[Interval, ...]:
    start, end = interval
    if not (0 <= start < DAY_NS and 0 <= end <= DAY_NS) or start == end:
        raise DomainError(f"{start} to {end} ns is no interval of a day")
    return ((start, end),) if start < end else ((start, DAY_NS), (0, end))


def _within(time: int, intervals: list[Interval]) -> bool:
    return any(start <= time < end for start, end in intervals)
