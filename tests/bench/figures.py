"""What one run has measured: figures by name, each with its unit."""

from collections.abc import Iterator

import msgspec

from tests.bench.timing import Spread

TIMES = frozenset({"us", "ms", "s"})
RATES = frozenset({"M rows/s", "M records/s", "symbols"})
"""Units whose figures depend on how fast the machine is; the others (MiB, instructions, counts) do not."""


class Figure(msgspec.Struct, frozen=True):
    value: float
    unit: str


class Figures:
    """Figures in the order in which they came, and remarks for those who read them."""

    def __init__(self) -> None:
        self.all: dict[str, Figure] = {}
        self.remarks: list[str] = []

    def add(self, name: str, value: float, unit: str) -> None:
        """Raises ValueError for a name that has a figure already: each is measured once a run."""
        if name in self.all:
            raise ValueError(f"{name} is measured twice")
        self.all[name] = Figure(round(value, 4), unit)

    def add_spread(self, name: str, spread: Spread) -> None:
        """Its p50 and p99 under `name`."""
        self.add(f"{name}.p50", spread.p50, "us")
        self.add(f"{name}.p99", spread.p99, "us")

    def value(self, name: str) -> float | None:
        figure = self.all.get(name)
        return None if figure is None else figure.value

    def remark(self, text: str) -> None:
        self.remarks.append(text)

    def __iter__(self) -> Iterator[tuple[str, Figure]]:
        return iter(self.all.items())
