"""Long histories in bounded memory: buckets of time that grow wider, and samples that are thinned out.

Both are deterministic: the same history leaves the same samples.
"""

import math
from array import array
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
FIRST_WIDTH_NS = 1_000_000


class Buckets:
    """Equal spans of time from `start_ns` on; the end of one belongs to it, its beginning does not. Where they become
    more than twice `points`, each two become one.
    """

    __slots__ = ("_columns", "count", "end_ns", "limit", "start_ns", "width_ns")

    def __init__(self, start_ns: int, points: int) -> None:
        self.start_ns = start_ns
        self.width_ns = FIRST_WIDTH_NS
        self.limit = 2 * max(points, 1)
        self.count = 0
        """Closed buckets."""
        self.end_ns = start_ns + self.width_ns
        """Where the open bucket ends."""
        self._columns: list[Column] = []

    def column(self, fold: "Fold") -> "Column":
        made = Column(fold)
        self._columns.append(made)
        return made

    def closed(self) -> None:
        """Every column has been given the value of the open bucket: the next one opens."""
        self.count += 1
        if self.count == self.limit:
            for column in self._columns:
                column.halve()
            self.count //= 2
            self.width_ns *= 2
        self.end_ns = self.start_ns + (self.count + 1) * self.width_ns


Fold = str
"""What two buckets come to: `last`, `low`, `high` or `sum`. NaN is no value."""


class Column:
    """One value a bucket."""

    __slots__ = ("_fold", "values")

    def __init__(self, fold: Fold) -> None:
        self._fold = fold
        self.values = array("d")

    def add(self, value: float) -> None:
        self.values.append(value)

    def halve(self) -> None:
        pairs = np.frombuffer(self.values, dtype=np.float64).reshape(-1, 2)
        if self._fold == "last":
            folded = pairs[:, 1]
        elif self._fold == "sum":
            folded = pairs.sum(axis=1)
        elif self._fold == "low":
            folded = np.fmin(pairs[:, 0], pairs[:, 1])
        else:
            folded = np.fmax(pairs[:, 0], pairs[:, 1])
        self.values = array("d", folded.tolist())

    def numpy(self) -> Floats:
        return np.array(self.values, dtype=np.float64)


class Thinned:
    """Rows of numbers, all of them up to `limit`, then every second, fourth ... of what came.

    `seen` counts all, `stride` says of how many rows one was kept.
    """

    __slots__ = ("_columns", "_limit", "_offset", "seen", "stride")

    def __init__(self, columns: int, limit: int) -> None:
        self._columns = [array("d") for _ in range(columns)]
        self._limit = max(limit, 2)
        self._offset = 0
        self.seen = 0
        self.stride = 1

    def add(self, row: Iterable[float]) -> int | None:
        """The number of the row, by which `put` completes it; None: it was not kept."""
        number = self.seen
        self.seen += 1
        if number % self.stride:
            return None
        for column, value in zip(self._columns, row, strict=True):
            column.append(value)
        if len(self._columns[0]) > self._limit:
            self._columns = [array("d", column[::2]) for column in self._columns]
            self.stride *= 2
            return number if number % self.stride == 0 else None
        return number

    def put(self, number: int, column: int, value: float) -> None:
        """Complete a row that may have been thinned out since."""
        if number % self.stride == 0:
            self._columns[column][number // self.stride] = value

    def numpy(self) -> list[Floats]:
        return [np.array(column, dtype=np.float64) for column in self._columns]


NAN = math.nan
