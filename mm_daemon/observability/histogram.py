"""A histogram that costs a fraction of a microsecond to observe: what the core loop's turns are measured with."""

from bisect import bisect_left
from collections.abc import Sequence

FAST_S = (2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1)
"""20 us to 100 ms in 1-2-5 steps (OPERATIONS 2)."""
SLOW_S = (1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""1 ms to 10 s."""


class Histogram:
    """Counts per bucket, seconds; an observation on a bound belongs to the bucket below it."""

    __slots__ = ("_bounds", "_counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = list(bounds)
        self._counts = [0] * (len(bounds) + 1)
        self.total = 0.0
        """Sum of what was observed."""

    def observe(self, seconds: float) -> None:
        self._counts[bisect_left(self._bounds, seconds)] += 1
        self.total += seconds

    def cumulative(self) -> list[tuple[str, float]]:
        """(upper bound as Prometheus writes it, observations up to it), `+Inf` last."""
        buckets: list[tuple[str, float]] = []
        seen = 0
        for bound, count in zip([*map(str, self._bounds), "+Inf"], self._counts, strict=True):
            seen += count
            buckets.append((bound, seen))
        return buckets
