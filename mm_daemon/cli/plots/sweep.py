"""The picture of a sweep: for every two keys how the first objective depends on them, mean over all else that was
tried; and for each key alone.
"""

from collections.abc import Sequence
from itertools import combinations
from math import ceil, isqrt, log10, sqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mm_daemon.backtest.sweep.plan import Range, Value, ranked_by
from mm_daemon.backtest.sweep.search import Found
from mm_daemon.cli.plots.drawing import BLUE, GREY, ORANGE, drawing, nothing_to_draw

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BINS_MIN, _BINS_MAX = 3, 8
_PANELS_MAX = 24
_COLUMNS = 3


class Axis:
    """One key's values in cells: each value its own, or bins where there are too many."""

    def __init__(self, name: str, values: Sequence[Value], searched: object) -> None:
        self.name = name.removeprefix("markets.*.").removeprefix("defaults.")
        known = list(dict.fromkeys(values))
        if isinstance(searched, Range):
            known.sort(key=float)  # type: ignore[arg-type]
        self._edges: list[float] | None = None
        bins = min(_BINS_MAX, max(_BINS_MIN, isqrt(len(values))))
        if isinstance(searched, Range) and len(known) > _BINS_MAX:
            self._edges = [float(searched.at(step / bins)) for step in range(bins + 1)]
            self._edges = list(dict.fromkeys(self._edges))
            self.labels = [f"{(low + high) / 2:.3g}" for low, high in zip(self._edges, self._edges[1:], strict=False)]
        else:
            self._places = {value: place for place, value in enumerate(known)}
            self.labels = [f"{value:.4g}" if isinstance(value, float) else str(value) for value in known]

    def cell(self, value: Value) -> int:
        if self._edges is None:
            return self._places[value]
        number = float(value)  # type: ignore[arg-type]
        return min(sum(number >= edge for edge in self._edges[1:]), len(self.labels) - 1)


def draw_sweep(found: Found, path: Path) -> None:
    """Write the picture to a file that `check_plot` has approved."""
    name, more = ranked_by(found.settings)
    tried = [(each.point, figure.mean) for each in found.study.tried() if (figure := each.figure(name)) is not None]
    searched = found.settings.keys
    axes = {key: Axis(key, [point[key] for point, _ in tried], values) for key, values in searched.items()}
    important = sorted(searched, key=lambda key: -found.study.importance().get(key, 0.0))
    panels: list[tuple[str, ...]] = [(key,) for key in important] + list(combinations(important, 2))
    panels = panels[:_PANELS_MAX]
    columns = min(_COLUMNS, len(panels))
    rows = ceil(len(panels) / columns)
    with drawing(path, rows, columns, width_in=4.2 * columns, row_height_in=3.3) as grid:
        places = [place for row in grid for place in row]
        for place, keys in zip(places, panels, strict=False):
            if not tried:
                nothing_to_draw(place, f"no point has a {name}")
            elif len(keys) == 1:
                _one(place, keys[0], axes[keys[0]], tried, name)
            else:
                _two(place, axes[keys[0]], axes[keys[1]], keys, tried, name, more)
        for place in places[len(panels) :]:
            place.set_visible(False)


def _one(axes: "Axes", key: str, axis: Axis, tried: list[Any], name: str) -> None:
    """Every point, and the mean of each cell with its standard error."""
    cells: list[list[float]] = [[] for _ in axis.labels]
    for point, value in tried:
        cells[axis.cell(point[key])].append(value)
    axes.scatter(
        [axis.cell(point[key]) for point, _ in tried], [value for _, value in tried], s=9, color=GREY, alpha=0.5
    )
    filled = [(place, cell) for place, cell in enumerate(cells) if cell]
    means = [sum(cell) / len(cell) for _, cell in filled]
    errors = [
        sqrt(sum((value - mean) ** 2 for value in cell) / max(len(cell) - 1, 1) / len(cell))
        for mean, (_, cell) in zip(means, filled, strict=True)
    ]
    axes.errorbar([place for place, _ in filled], means, yerr=errors, color=BLUE, marker="o", markersize=4, capsize=2)
    _label(axes, axis, "x")
    axes.set_ylabel(name)
    axes.set_title(axis.name)


def _two(axes: "Axes", across: Axis, up: Axis, keys: tuple[str, ...], tried: list[Any], name: str, more: bool) -> None:
    sums = [[0.0] * len(across.labels) for _ in up.labels]
    counts = [[0] * len(across.labels) for _ in up.labels]
    for point, value in tried:
        row, column = up.cell(point[keys[1]]), across.cell(point[keys[0]])
        sums[row][column] += value
        counts[row][column] += 1
    means = [
        [total / count if count else float("nan") for total, count in zip(line, numbers, strict=True)]
        for line, numbers in zip(sums, counts, strict=True)
    ]
    image = axes.imshow(means, origin="lower", aspect="auto", cmap="viridis" if more else "viridis_r")
    best = max if more else min
    known = [
        (value, row, column) for row, line in enumerate(means) for column, value in enumerate(line) if value == value
    ]
    _, row, column = best(known)
    axes.plot(column, row, marker="o", markersize=9, fillstyle="none", color=ORANGE, markeredgewidth=2)
    if len(across.labels) * len(up.labels) <= 40:
        largest = max(abs(value) for value, *_ in known)
        digits = max(0, 2 - ceil(log10(largest or 1.0)))
        low, high = min(known)[0], max(known)[0]
        for value, at_row, at_column in known:
            dark = (value - low > (high - low) / 2) == more
            axes.text(
                at_column,
                at_row,
                f"{value:.{digits}f}",
                ha="center",
                va="center",
                size=7,
                color="black" if dark else "white",
            )
    axes.grid(False)
    axes.figure.colorbar(image, ax=axes, fraction=0.046)
    _label(axes, across, "x")
    _label(axes, up, "y")
    axes.set_xlabel(across.name)
    axes.set_ylabel(up.name)
    axes.set_title(f"{name}: {across.name} and {up.name}")


def _label(axes: "Axes", axis: Axis, side: str) -> None:
    places = range(len(axis.labels))
    if side == "x":
        axes.set_xticks(list(places), axis.labels, rotation=45 if max(map(len, axis.labels)) > 4 else 0, ha="right")
    else:
        axes.set_yticks(list(places), axis.labels)
