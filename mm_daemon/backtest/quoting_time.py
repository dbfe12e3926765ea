"""For how long each decision stood: the share of time in which a side was quoted, held back or pulled, and why.

A decision is recorded when an action, a reason or a target differs from before (`DecisionsChanged`), so the time from
one record to the next is the time it stood. The inner level of each side is counted: levels behind it are quoted where
it is.
"""

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from mm_daemon.backtest.samples import Buckets, Column, Floats
from mm_daemon.domain.decisions import LOCKOUT_MASK, Action, Decision, Reason
from mm_daemon.domain.orders import Side

_NS = 1_000_000_000
MOST_INTERVALS = 20_000


class Interval(msgspec.Struct, frozen=True):
    """A side was locked out or pulled, and why."""

    side: str
    start_ns: int
    end_ns: int
    action: str
    reason: str


class Standing(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Time by decision. Shares are of the time from the run's start to its stop."""

    seconds: dict[tuple[str, str, str], float]
    """By side (`bid`, `ask`), action (`QUOTE`, `HOLD`, `WITHDRAW`, `none` before the first decision), decisive
    reason.
    """
    total_s: float
    by_reason: dict[str, Floats]
    """Share of each bucket in which a lockout or withdrawal stood, mean of both sides, by decisive reason."""
    intervals: tuple[Interval, ...]
    """Lockouts and withdrawals, oldest first; of very many those longer than `least_interval_ns`."""
    least_interval_ns: int


class QuotingTime:
    """Told of every decision, and of the end of each bucket of time."""

    def __init__(self, start_ns: int, buckets: Buckets) -> None:
        self._buckets = buckets
        self._start_ns = start_ns
        self._standing: dict[Side, tuple[str, str]] = dict.fromkeys(Side, ("none", "before the first decision"))
        self._since_ns = dict.fromkeys(Side, start_ns)
        self._told_ns = dict.fromkeys(Side, start_ns)
        self._total_ns: dict[tuple[Side, str, str], int] = {}
        self._bucket_ns: dict[str, int] = {}
        self._columns: dict[str, Column] = {}
        self._intervals: list[Interval] = []
        self._least_ns = 0
        self._stopped = False

    def decided(self, decisions: Sequence[Decision], now_ns: int) -> None:
        for decision in decisions:
            if decision.level == 0:
                now = str(decision.action), str(decision.reasons[0])
                if now != self._standing[decision.side]:
                    self._pass(decision.side, now_ns)
                    self._interval(decision.side, now_ns)
                    self._standing[decision.side] = now
                    self._since_ns[decision.side] = now_ns

    def close(self, end_ns: int) -> None:
        if not self._stopped:
            for side in Side:
                self._pass(side, end_ns)
        for reason in self._bucket_ns:
            if reason not in self._columns:
                column = self._columns[reason] = self._buckets.column("sum")
                for _ in range(self._buckets.count):
                    column.add(0.0)
        for reason, column in self._columns.items():
            column.add(self._bucket_ns.get(reason, 0) / len(Side) / _NS)
        self._bucket_ns.clear()

    def stop(self, now_ns: int) -> None:
        for side in Side:
            self._pass(side, now_ns)
            self._interval(side, now_ns)
        self._total_until_ns = now_ns
        self._stopped = True

    def standing(self, times_ns: NDArray[np.int64]) -> Standing:
        starts = np.concatenate(([self._start_ns], times_ns[:-1]))
        seconds = np.maximum(times_ns - starts, 1) / _NS
        return Standing(
            seconds={(side.word, *rest): total / _NS for (side, *rest), total in sorted(self._total_ns.items())},  # type: ignore[misc]
            total_s=(self._total_until_ns - self._start_ns) / _NS,
            by_reason={
                reason: np.minimum(column.numpy() / seconds, 1.0) for reason, column in sorted(self._columns.items())
            },
            intervals=tuple(self._intervals),
            least_interval_ns=self._least_ns,
        )

    def _pass(self, side: Side, now_ns: int) -> None:
        passed_ns = now_ns - self._told_ns[side]
        if passed_ns <= 0:
            return
        self._told_ns[side] = now_ns
        action, reason = self._standing[side]
        key = side, action, reason
        self._total_ns[key] = self._total_ns.get(key, 0) + passed_ns
        if out_of_market(action, reason):
            self._bucket_ns[reason] = self._bucket_ns.get(reason, 0) + passed_ns

    def _interval(self, side: Side, now_ns: int) -> None:
        """What stood ends."""
        action, reason = self._standing[side]
        start_ns = self._since_ns[side]
        if not out_of_market(action, reason) or now_ns - start_ns <= self._least_ns:
            return
        self._intervals.append(Interval(side.word, start_ns, now_ns, action, reason))
        if len(self._intervals) > MOST_INTERVALS:
            lengths = sorted(one.end_ns - one.start_ns for one in self._intervals)
            self._least_ns = lengths[len(lengths) // 2]
            self._intervals = [one for one in self._intervals if one.end_ns - one.start_ns > self._least_ns]


def out_of_market(action: str, reason: str) -> bool:
    """A lockout holds this side's hands, or it was pulled."""
    if action == Action.WITHDRAW:
        return True
    if action != Action.HOLD:
        return False
    return bool(Reason(reason).bit & LOCKOUT_MASK)
