"""One answer to `/metrics` in the making: the lines of each family, in the text format that Prometheus reads.

Lines are written as samples are added: what stays is text, which costs a garbage collection nothing, where a sample
object each would make every answer of many markets a long one.
"""

from collections.abc import Iterator, Sequence
from math import isfinite
from typing import Protocol

from mm_daemon.observability.histogram import Histogram
from mm_daemon.observability.metric_names import DEFINITIONS, Definition

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


class Sink(Protocol):
    """Where samples go. A name that is not in `DEFINITIONS` is a bug; labels are in the order of its definition."""

    def add(self, name: str, value: float, *labels: str) -> None: ...

    def add_histogram(self, name: str, histogram: Histogram, *labels: str) -> None: ...


class _Family:
    """The lines of one metric. Labels are written in the order of their names."""

    def __init__(self, definition: Definition) -> None:
        self.definition = definition
        self.lines: list[str] = []
        names = definition.labels
        self._order = sorted(range(len(names)), key=lambda index: names[index])
        self._names = [f'{names[index]}="' for index in self._order]

    def labels(self, values: Sequence[str]) -> str:
        """`symbol="BTC-USDT",venue="sim"`."""
        if len(values) != len(self._names):
            raise ValueError(f"{self.definition.name} takes {len(self._names)} labels, not {len(values)}")
        shown = [f'{name}{_escaped(values[index])}"' for name, index in zip(self._names, self._order, strict=True)]
        return ",".join(shown)


class Page:
    """Samples by name. A name that is not in `DEFINITIONS` is a KeyError: a bug."""

    def __init__(self) -> None:
        self._families = {definition.name: _Family(definition) for definition in DEFINITIONS}

    def add(self, name: str, value: float, *labels: str) -> None:
        family = self._families[name]
        assert family.definition.kind != "histogram"
        shown = f"{{{family.labels(labels)}}}" if labels else ""
        family.lines.append(f"{name}{shown} {_number(value)}\n")

    def add_histogram(self, name: str, histogram: Histogram, *labels: str) -> None:
        family = self._families[name]
        assert family.definition.kind == "histogram"
        shown = family.labels(labels)
        beside = f",{shown}" if shown else ""
        own = f"{{{shown}}}" if shown else ""
        count = 0.0
        for bound, count in histogram.cumulative():
            family.lines.append(f'{name}_bucket{{le="{bound}"{beside}}} {_number(count)}\n')
        family.lines.append(f"{name}_count{own} {_number(count)}\n")
        family.lines.append(f"{name}_sum{own} {_number(histogram.total)}\n")

    def text(self) -> Iterator[bytes]:
        """Family by family, in the order of `DEFINITIONS`; those without a sample are left out."""
        for family in self._families.values():
            if family.lines:
                definition = family.definition
                head = f"# HELP {definition.name} {definition.help}\n# TYPE {definition.name} {definition.kind}\n"
                yield (head + "".join(family.lines)).encode()


def _number(value: float) -> str:
    return repr(float(value)) if isfinite(value) else "NaN" if value != value else "+Inf" if value > 0 else "-Inf"


def _escaped(text: str) -> str:
    return text if text.isalnum() else text.translate(_ESCAPES)
