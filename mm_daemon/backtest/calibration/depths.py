"""How far taker orders reached, and for how long they could be seen to: histograms that stay small.

An order that does not reach the touch does not trade. So a distance is only counted while the touch is inside it, and
what an order has beyond the distance at which it was first seen is told apart from that distance.
"""

import math
from collections.abc import Iterator

from mm_daemon.backtest.calibration.batches import BatchedRatio

WIDTH_BPS = 0.02
_BINS = 5000
BEYOND_BPS = WIDTH_BPS * _BINS
"""100 bps; what reaches further is counted together."""
_SLACK = 1e-9


class Bin:
    """Distances that are nearly the same: how much they weigh, and their weighted sum in bps."""

    __slots__ = ("sum", "weight")

    def __init__(self) -> None:
        self.weight = self.sum = 0.0

    @property
    def mean(self) -> float:
        return self.sum / self.weight


class Histogram:
    """Orders, or seconds, by distance in bps."""

    __slots__ = ("_bins", "sum", "weight")

    def __init__(self) -> None:
        self._bins: dict[int, Bin] = {}
        self.weight = self.sum = 0.0

    @property
    def mean(self) -> float:
        return self.sum / self.weight

    def add(self, distance_bps: float, weight: float) -> None:
        index = bin_of(distance_bps)
        found = self._bins.get(index)
        if found is None:
            found = self._bins[index] = Bin()
        found.weight += weight
        found.sum += weight * distance_bps
        self.weight += weight
        self.sum += weight * distance_bps

    def bins(self) -> Iterator[tuple[int, Bin]]:
        """In order of distance."""
        return ((index, self._bins[index]) for index in sorted(self._bins))

    def until(self, distance_bps: float) -> float:
        """What weighs up to a distance, the bin it is in included."""
        last = bin_of(distance_bps)
        return sum(found.weight for index, found in self._bins.items() if index <= last)

    def before(self, distance_bps: float) -> float:
        """What weighs before the bin that a distance is in."""
        first = bin_of(distance_bps)
        return sum(found.weight for index, found in self._bins.items() if index < first)


class Exposure:
    """Time by how near an order can be seen: `touches` is half the spread, `entries` where our quotes begin."""

    __slots__ = ("entries", "touches")

    def __init__(self) -> None:
        self.touches, self.entries = Histogram(), Histogram()

    def observe(self, seconds: float, touch_bps: float, entry_bps: float) -> None:
        self.touches.add(touch_bps, seconds)
        self.entries.add(entry_bps, seconds)


class Depths:
    """Taker orders of one side of the market, or of both. Distances in bps from the mid just before, times in ns."""

    __slots__ = ("depths", "excess", "excesses", "orders", "rate", "squares", "touches")

    def __init__(self) -> None:
        self.orders = 0
        self.depths, self.touches = Histogram(), Histogram()
        """How far those came that reached the touch they saw, and where that touch was."""
        self.excesses = Histogram()
        """How far beyond the nearest of our quotes those came that reached it."""
        self.rate = BatchedRatio()
        """Orders that reached our quotes over seconds."""
        self.excess = BatchedRatio()
        """Their excesses over these orders."""
        self.squares = 0.0

    @property
    def reached(self) -> int:
        """Orders that came to the nearest of our quotes."""
        return round(self.excesses.weight)

    def observe(self, ts_ns: int, seconds: float) -> None:
        """So much time has passed in which an order would have been seen."""
        self.rate.add(ts_ns, 0.0, seconds)

    def add(self, ts_ns: int, depth_bps: float, touch_bps: float, entry_bps: float) -> None:
        """One order. Where the mid was stale it may end inside the touch: it counts, and reached nothing."""
        self.orders += 1
        if depth_bps >= touch_bps - _SLACK:
            self.depths.add(depth_bps, 1.0)
            self.touches.add(touch_bps, 1.0)
        excess = min(depth_bps - entry_bps, BEYOND_BPS)
        if excess < -_SLACK:
            return
        excess = max(excess, 0.0)
        self.excesses.add(excess, 1.0)
        self.rate.add(ts_ns, 1.0, 0.0)
        self.excess.add(ts_ns, excess, 1.0)
        self.squares += excess * excess

    @property
    def independent_excess_variance(self) -> float:
        """Variance of the mean excess if orders did not depend on each other, bps^2."""
        count = self.excess.x
        if count < 2.0:
            return 0.0
        mean = self.excess.y / count
        return max(self.squares / count - mean * mean, 0.0) / count

    @property
    def independent_rate_variance(self) -> float:
        """Variance of the rate if orders were a Poisson process, 1/s^2."""
        return self.excesses.weight / self.rate.x**2 if self.rate.x else 0.0


def bin_of(distance_bps: float) -> int:
    """Number of the bin that begins at or below a distance."""
    return min(max(math.floor(distance_bps / WIDTH_BPS + _SLACK), 0), _BINS)
