"""Inventory weighted by the time it was held, while trading (MODELS 7.6): exact integrals of lots over nanoseconds."""

import math

from mm_daemon.domain.errors import DomainError
from mm_daemon.engine.statistics import InventoryStats

_NS = 1_000_000_000


class InventoryTime:
    """Owned by one market, told of every change of its position. `closed_lots`: lots by which it has come closer to
    zero. Time that went back is no time.
    """

    __slots__ = ("_elapsed_ns", "_limit_lots", "_limit_ns", "_lot_ns", "_lots", "_since_ns", "_square", "closed_lots")

    def __init__(self, limit_lots: int) -> None:
        """`limit_lots`: the position limit. Raises DomainError unless it is positive."""
        if limit_lots <= 0:
            raise DomainError(f"a position limit of {limit_lots} lots is never reached")
        self._limit_lots = limit_lots
        self._lots = 0
        self._since_ns = -1
        self._elapsed_ns = self._lot_ns = self._square = self._limit_ns = 0
        self.closed_lots = 0

    def set_limit(self, ts_ns: int, limit_lots: int) -> None:
        """The position limit is `limit_lots`, at least one, from `ts_ns` on."""
        self._pass(ts_ns)
        self._limit_lots = limit_lots

    def on_position(self, ts_ns: int, lots: int) -> None:
        """The position is `lots` from `ts_ns` on."""
        before = self._lots
        self._pass(ts_ns)
        self._lots = lots
        if before and abs(lots - before) > 0 and (lots - before > 0) is (before < 0):
            self.closed_lots += min(abs(lots - before), abs(before))

    def figures(self, now_ns: int) -> InventoryStats | None:
        """Since the first position was told; None while no time has passed. Positions in lots, times in seconds."""
        self._pass(now_ns)
        if not self._elapsed_ns:
            return None
        holding = self._lot_ns / self.closed_lots / _NS if self.closed_lots else None
        return InventoryStats(
            self._lot_ns / self._elapsed_ns,
            math.sqrt(self._square / self._elapsed_ns),
            self._limit_ns / self._elapsed_ns,
            holding,
        )

    def _pass(self, ts_ns: int) -> None:
        passed_ns = ts_ns - self._since_ns
        if self._since_ns >= 0 and passed_ns > 0:
            size = abs(self._lots)
            self._elapsed_ns += passed_ns
            self._lot_ns += size * passed_ns
            self._square += size * size * passed_ns
            if size >= self._limit_lots:
                self._limit_ns += passed_ns
        if ts_ns > self._since_ns:
            self._since_ns = ts_ns
