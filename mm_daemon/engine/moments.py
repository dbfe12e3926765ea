"""Mean and standard error of values that come one by one (Welford 1962)."""

import math


class Moments:
    """`scatter`: sum of squared deviations from the mean."""

    __slots__ = ("count", "mean", "scatter")

    def __init__(self) -> None:
        self.count = 0
        self.mean = self.scatter = 0.0

    def add(self, value: float) -> None:
        self.count += 1
        off = value - self.mean
        self.mean += off / self.count
        self.scatter += off * (value - self.mean)

    @property
    def known_mean(self) -> float | None:
        """None before the first value."""
        return self.mean if self.count else None

    @property
    def error(self) -> float | None:
        """Standard error of the mean, for independent values; None below two."""
        return math.sqrt(self.scatter / (self.count - 1) / self.count) if self.count > 1 else None
