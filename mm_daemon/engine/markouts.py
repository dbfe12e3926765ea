"""Markouts while trading: what fills were worth 1, 10 and 60 seconds later, by side (MODELS 7.6).

The most honest figure of a market maker: half-spread earned less what the mid then went against the fill. Owned by one
market, fed with its fills and mids. A horizon's mid is the last one at or before it.
"""

from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec

from mm_daemon.domain.deadlines import NEVER_NS
from mm_daemon.domain.errors import DomainError
from mm_daemon.domain.orders import Side
from mm_daemon.engine.moments import Moments

_BUY = Side.BUY
_PER_BP = 1e4
_NS = 1_000_000_000
_BEYOND = 1e15
DEFAULT_HORIZONS_NS = (1 * _NS, 10 * _NS, 60 * _NS)
MAX_WAITING = 10_000
"""Fills that may wait at a horizon; more are not observed, and counted."""


class MarkoutFigures(msgspec.Struct, frozen=True, gc=False):
    """Of one side at one horizon: fills observed, mean in bps of the price (positive: it earned), and its standard
    error; None while there are too few.
    """

    horizon_ns: int
    fills: int
    mean_bps: float | None
    error_bps: float | None


class Markouts:
    """`dropped`: fills that were not observed (bad numbers, too many waiting, the book lost at their horizon)."""

    __slots__ = ("_bought", "_horizons_ns", "_mid", "_observed", "_seen_ns", "_sold", "_waiting", "dropped", "next_ns")

    def __init__(
        self,
        horizons_ns: tuple[int, ...] = DEFAULT_HORIZONS_NS,
        observed: Callable[[int, Any, float], None] | None = None,
    ) -> None:
        """`observed` is told of each fill at each horizon: which horizon (by number), the fill's note, its markout in
        bps. Raises DomainError unless every horizon is positive.
        """
        if not horizons_ns or min(horizons_ns) <= 0:
            raise DomainError(f"markout horizons {horizons_ns} must be positive")
        self._horizons_ns = horizons_ns
        self._waiting: tuple[deque[tuple[int, int, float, Any]], ...] = tuple(deque() for _ in horizons_ns)
        self._bought = tuple(Moments() for _ in horizons_ns)
        self._sold = tuple(Moments() for _ in horizons_ns)
        self._observed = observed
        self.next_ns = NEVER_NS
        """When the next fill is due; `NEVER_NS` while none waits."""
        self._mid = 0.0
        self._seen_ns = -1
        self.dropped = 0

    def on_fill(self, ts_ns: int, side: Side, ticks: float, note: Any = None) -> None:
        """A fill of ours at `ticks`; fills come in the order of time. `note` is handed to `observed`."""
        if not (0.0 < ticks < _BEYOND and ts_ns >= self._seen_ns):
            self.dropped += 1
            return
        self._seen_ns = ts_ns
        sign = 1 if side is _BUY else -1
        for horizon_ns, waiting in zip(self._horizons_ns, self._waiting, strict=True):
            if len(waiting) >= MAX_WAITING:
                self.dropped += 1
                continue
            due_ns = ts_ns + horizon_ns
            waiting.append((due_ns, sign, ticks, note))
            if due_ns < self.next_ns:
                self.next_ns = due_ns

    def on_mid(self, ts_ns: int, mid_ticks: float) -> None:
        """The mid of a trusted book. Returns at once while no fill is due."""
        if ts_ns >= self.next_ns:
            self._settle(ts_ns - 1)
            if not 0.0 < mid_ticks < _BEYOND:
                return
            self._mid = mid_ticks
            self._settle(ts_ns)
        elif 0.0 < mid_ticks < _BEYOND:
            self._mid = mid_ticks

    def lose_book(self, ts_ns: int) -> None:
        """The book is not trusted from here on: fills due before the next mid are not observed."""
        self._settle(ts_ns - 1)
        self._mid = 0.0

    def figures(self, side: Side) -> tuple[MarkoutFigures, ...]:
        """By horizon, of our fills on one side."""
        cells = self._bought if side is _BUY else self._sold
        return tuple(
            MarkoutFigures(horizon_ns, cell.count, cell.known_mean, cell.error)
            for horizon_ns, cell in zip(self._horizons_ns, cells, strict=True)
        )

    def _settle(self, until_ns: int) -> None:
        """Observe what was due up to `until_ns` at the mid at hand."""
        if until_ns < self.next_ns:
            return
        mid = self._mid
        for horizon, waiting in enumerate(self._waiting):
            cells = self._bought[horizon], self._sold[horizon]
            while waiting and waiting[0][0] <= until_ns:
                _, sign, ticks, note = waiting.popleft()
                if mid:
                    markout_bps = _PER_BP * sign * (mid - ticks) / ticks
                    cells[sign < 0].add(markout_bps)
                    if self._observed is not None:
                        self._observed(horizon, note, markout_bps)
                else:
                    self.dropped += 1
        self.next_ns = min((waiting[0][0] for waiting in self._waiting if waiting), default=NEVER_NS)
