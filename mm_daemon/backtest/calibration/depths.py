"""How far taker orders reached: a histogram that stays small, from which the range of a fit is chosen afterwards."""

import math
from collections.abc import Iterator

from mm_daemon.backtest.calibration.batches import BatchedRatio

WIDTH_BPS = 0.02
_BINS = 5000
"""Up to 100 bps; what reaches further is counted together."""
BEYOND_BPS = WIDTH_BPS * _BINS
_SLACK = 1e-9


class Bin:
    """Depths that are nearly the same: how many, their sum and the least of them, bps."""

    __slots__ = ("count", "least", "sum")

    def __init__(self, least: float) -> None:
        self.count = 0
        self.sum = 0.0
        self.least = least


class Depths:
    """Taker orders of one side of the market, or of both. Depths in bps from the mid just before, times in ns."""

    __slots__ = ("_bins", "depth", "orders", "rate", "squares")

    def __init__(self) -> None:
        self._bins: dict[int, Bin] = {}
        self.orders = 0
        self.rate = BatchedRatio()
        """Orders over seconds."""
        self.depth = BatchedRatio()
        """Depths over orders."""
        self.squares = 0.0

    def observe(self, ts_ns: int, seconds: float) -> None:
        """So much time has passed in which an order would have been seen."""
        self.rate.add(ts_ns, 0.0, seconds)

    def add(self, ts_ns: int, depth_bps: float) -> None:
        """One order. A negative depth, which a stale mid makes, counts as 0 (MODELS 6.4)."""
        depth = min(max(depth_bps, 0.0), BEYOND_BPS)
        self.orders += 1
        self.rate.add(ts_ns, 1.0, 0.0)
        self.depth.add(ts_ns, depth, 1.0)
        self.squares += depth * depth
        index = bin_of(depth)
        found = self._bins.get(index)
        if found is None:
            found = self._bins[index] = Bin(depth)
        found.count += 1
        found.sum += depth
        if depth < found.least:
            found.least = depth

    def since(self, first: int) -> Iterator[tuple[int, Bin]]:
        """All bins from one on, in order."""
        return ((index, self._bins[index]) for index in sorted(self._bins) if index >= first)

    @property
    def independent_depth_variance(self) -> float:
        """Variance of the mean depth if orders did not depend on each other, bps^2."""
        count = self.orders
        if count < 2:
            return 0.0
        mean = self.depth.y / count
        return max(self.squares / count - mean * mean, 0.0) / count

    @property
    def independent_rate_variance(self) -> float:
        """Variance of the rate if orders were a Poisson process, 1/s^2."""
        return self.orders / self.rate.x**2 if self.rate.x else 0.0


def bin_of(depth_bps: float) -> int:
    """Number of the bin that begins at or below a depth."""
    return min(max(math.floor(depth_bps / WIDTH_BPS + _SLACK), 0), _BINS)
