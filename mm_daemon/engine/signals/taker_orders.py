"""Prints put together into the taker orders they came from (MODELS 6.4): one venue time and one side are one order.

An order is known to be complete when the next one begins or anything else of the market happens, so the owner flushes
before it takes in a book. A print that belongs to the order at hand costs a few comparisons.
"""

from typing import NamedTuple

_BEYOND = 1e15


class TakerOrder(NamedTuple):
    """`ticks` is the furthest price it reached, `fair_ticks` the fair price just before it."""

    ts_ns: int
    buy: bool
    ticks: int
    lots: int
    fair_ticks: float


class TakerOrders:
    """The order at hand. `dropped` counts prints that are no price or no size."""

    __slots__ = ("_buy", "_fair", "_lots", "_ticks", "_ts_ns", "_ts_venue_ns", "dropped", "pending")

    def __init__(self) -> None:
        self.pending = False
        self._ts_venue_ns = self._ts_ns = self._ticks = self._lots = 0
        self._buy = False
        self._fair = 0.0
        self.dropped = 0

    def on_print(
        self, ts_ns: int, ts_venue_ns: int, buy: bool, ticks: int, lots: int, fair_ticks: float
    ) -> TakerOrder | None:
        """One print, and the order before it if this print began another."""
        if not (0 < ticks < _BEYOND and 0 < lots < _BEYOND):
            self.dropped += 1
            return None
        if self.pending and ts_venue_ns == self._ts_venue_ns and buy is self._buy:
            self._lots += lots
            if (ticks > self._ticks) is buy:
                self._ticks = ticks
            return None
        complete = self.flush()
        self.pending = True
        self._ts_venue_ns, self._ts_ns = ts_venue_ns, ts_ns
        self._buy, self._ticks, self._lots, self._fair = buy, ticks, lots, fair_ticks
        return complete

    def flush(self) -> TakerOrder | None:
        """The order at hand, which is complete now; None if there is none."""
        if not self.pending:
            return None
        self.pending = False
        return TakerOrder(self._ts_ns, self._buy, self._ticks, self._lots, self._fair)
