"""Ratios of sums over time with honest standard errors, in a few dozen numbers however long the data are.

Method of batch means: what follows closely in time depends on itself (bursts of takers, wild minutes), sums over long
stretches hardly do. Each ratio keeps 20 to 40 batches of equal duration; when there are too many, neighbours are joined
and batches last twice as long. The error is that of a ratio estimator over clusters (Cochran, "Sampling Techniques",
1977, 6.3).
"""

import math

FEWEST_BATCHES = 10
"""Under this many batches nothing is said about dependence."""
_MOST_BATCHES = 40
_FIRST_NS = 1_000_000_000


class BatchedRatio:
    """`sum y / sum x`: orders over seconds, squared returns over seconds, depths over orders."""

    __slots__ = ("_batches", "_end_ns", "_length_ns", "_x", "_y", "x", "y")

    def __init__(self) -> None:
        self.x = self.y = 0.0
        """The sums since the beginning."""
        self._x = self._y = 0.0
        self._batches: list[tuple[float, float]] = []
        self._length_ns = _FIRST_NS
        self._end_ns = 0

    def add(self, ts_ns: int, y: float, x: float) -> None:
        """Add to both sums at an instant, none before the last one."""
        if ts_ns >= self._end_ns:
            self._close(ts_ns)
        self._y += y
        self._x += x
        self.y += y
        self.x += x

    @property
    def value(self) -> float | None:
        """None while there is nothing to divide by."""
        return self.y / self.x if self.x > 0.0 else None

    @property
    def batches(self) -> int:
        """Those in which something was seen."""
        return len(self._batches) + bool(self._x or self._y)

    @property
    def standard_error(self) -> float | None:
        """Of `value`; None where there are too few batches to tell."""
        batches = [*self._batches, (self._y, self._x)] if self._x or self._y else self._batches
        count = len(batches)
        if count < FEWEST_BATCHES or not self.x > 0.0:
            return None
        ratio = self.y / self.x
        squares = math.fsum((y - ratio * x) ** 2 for y, x in batches)
        return math.sqrt(squares * count / (count - 1)) / self.x

    def _close(self, ts_ns: int) -> None:
        """Keep the batch that has ended. One in which nothing was seen is none."""
        if self._x or self._y:
            self._batches.append((self._y, self._x))
            self._x = self._y = 0.0
        if len(self._batches) >= _MOST_BATCHES:
            pairs = zip(self._batches[::2], self._batches[1::2], strict=True)
            self._batches = [(first[0] + second[0], first[1] + second[1]) for first, second in pairs]
            self._length_ns *= 2
        self._end_ns = (ts_ns // self._length_ns + 1) * self._length_ns


def inflation(ratio: BatchedRatio, independent_variance: float, *, observations: float = 1.0) -> float:
    """How many times the variance of a ratio is that of independent observations; at least 1.

    Where that is unknown, because `observations` came in a few batches only, each batch is taken to be worth one.
    """
    error = ratio.standard_error
    if error is None:
        return max(1.0, observations / max(ratio.batches, 1))
    if not independent_variance > 0.0:
        return 1.0
    return max(1.0, error * error / independent_variance)
