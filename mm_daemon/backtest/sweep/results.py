"""What a sweep came to: a table and a JSON object, all points as CSV, the best as configurations that `run` and
`backtest` take.
"""

import csv
from io import StringIO
from pathlib import Path
from statistics import fmean

import msgspec
import yaml

from mm_daemon.backtest.report import table
from mm_daemon.backtest.sweep.objectives import FIGURES, Estimate, Objective, together
from mm_daemon.backtest.sweep.plan import Point, Value, ranked_by
from mm_daemon.backtest.sweep.search import Fold, Found
from mm_daemon.backtest.sweep.study import Tried
from mm_daemon.config.load import composed
from mm_daemon.domain.errors import UsageError


class FoldResult(msgspec.Struct, frozen=True, kw_only=True):
    """A window of walk-forward. `seen`: the first objective of its best point on the pieces that the search saw;
    `unseen`: of the same point on the piece after them."""

    name: str
    point: Point | None
    seen: Estimate | None
    unseen: Estimate | None


class SweepResult(msgspec.Struct, frozen=True, kw_only=True):
    """A whole sweep. Figures of points are means over the pieces of market, with standard errors."""

    objectives: tuple[str, ...]
    tried: int
    failed: int
    pieces: int
    best: tuple["Ranked", ...]
    importance: dict[str, float]
    """How much of the first objective's variance each key explains among the better points."""
    folds: tuple[FoldResult, ...]
    failures: dict[str, int]
    """What went wrong, and how often."""

    def to_json(self) -> bytes:
        return msgspec.json.encode(self)

    def to_text(self) -> str:
        lines = [
            f"{self.tried:,} points on {self.pieces} {'piece' if self.pieces == 1 else 'pieces'} of market"
            + (f", {self.failed:,} of them failed" if self.failed else ""),
            "",
        ]
        names = [*self.objectives, *(each for each in _BESIDE if each not in self.objectives)]
        keys = list(self.best[0].point) if self.best else []
        rows = [["#", *names, *(_short(key) for key in keys)]]
        for ranked in self.best:
            figures = [_with_error(ranked.figures.get(name)) for name in names]
            rows.append([str(ranked.number), *figures, *(_value(ranked.point[key]) for key in keys)])
        lines += table(rows) if self.best else ["no point has a figure to rank by"]
        if self.importance:
            shares = (f"{_short(key)} {share:.0%}" for key, share in self.importance.items())
            lines += ["", f"what {self.objectives[0]} depends on: {', '.join(shares)}"]
        if self.folds:
            lines += ["", *self._folds_text()]
        else:
            lines += [
                "",
                "The best of many points owes something to luck: try it on data that this search has not seen.",
            ]
        lines += [f"failed {count:,} times: {why}" for why, count in self.failures.items()]
        return "\n".join(lines)

    def _folds_text(self) -> list[str]:
        first = self.objectives[0]
        rows = [["walk-forward", f"{first}, seen", f"{first}, unseen", "chosen"]]
        for fold in self.folds:
            point = "-" if fold.point is None else ", ".join(f"{_short(k)} {_value(v)}" for k, v in fold.point.items())
            rows.append([fold.name, _with_error(fold.seen), _with_error(fold.unseen), point])
        both = [(fold.seen.mean, fold.unseen.mean) for fold in self.folds if fold.seen and fold.unseen]
        if both:
            rows.append(["mean", f"{fmean(s for s, _ in both):.4g}", f"{fmean(u for _, u in both):.4g}", ""])
        return [
            *table(rows),
            "Only what was unseen says what to expect; the points above come from the newest pieces.",
        ]


class Ranked(msgspec.Struct, frozen=True, kw_only=True):
    """One of the best points."""

    number: int
    point: Point
    figures: dict[str, Estimate]


_BESIDE = ("pnl", "drawdown", "inventory", "fill_rate")
"""Shown beside whatever was searched for."""


def result_of(found: Found) -> SweepResult:
    tried = found.study.tried()
    failures: dict[str, int] = {}
    for each in tried:
        if each.why is not None:
            why = each.why.partition("\n")[0]
            failures[why] = failures.get(why, 0) + 1
    return SweepResult(
        objectives=tuple(each.value for each in found.settings.objectives),
        tried=len(tried),
        failed=sum(failures.values()),
        pieces=found.pieces,
        best=tuple(
            Ranked(number=each.number, point=each.point, figures=_figures(each))
            for each in found.study.best(found.settings.best)
        ),
        importance=found.study.importance(),
        folds=tuple(_fold(fold, found.settings.objectives[0]) for fold in found.folds),
        failures=dict(sorted(failures.items(), key=lambda item: -item[1])[:5]),
    )


def _figures(tried: Tried) -> dict[str, Estimate]:
    found = {name.value: tried.figure(name.value) for name in FIGURES}
    return {name: figure for name, figure in found.items() if figure is not None}


def _fold(fold: Fold, objective: Objective) -> FoldResult:
    return FoldResult(
        name=fold.name,
        point=None if fold.best is None else fold.best.point,
        seen=None if fold.best is None else fold.best.figure(objective.value),
        unseen=together([sample.get(objective.value) for sample in fold.test]),
    )


def table_of(found: Found) -> str:
    """Every point as CSV: number, each key, mean and standard error of each figure, what went wrong."""
    keys = list(found.settings.keys)
    text = StringIO()
    out = csv.writer(text, lineterminator="\n")
    heads = [head for name in FIGURES for head in (name.value, f"{name.value}_error")]
    out.writerow(["number", *keys, *heads, "failed"])
    for tried in found.study.tried():
        cells: list[Value] = []
        for name in FIGURES:
            figure = tried.figure(name.value)
            cells += [None, None] if figure is None else [figure.mean, figure.error]
        out.writerow([tried.number, *(tried.point[key] for key in keys), *cells, tried.why])
    return text.getvalue()


def write_best(found: Found, text: str, file: str, folder: Path) -> list[Path]:
    """The best points as whole configurations, `best-1.yaml` first, without the remarks of the file that was searched
    around. Raises UsageError when they cannot be written.
    """
    first, more = ranked_by(found.settings)
    written = []
    for place, tried in enumerate(found.study.best(found.settings.best), 1):
        root = composed(text, file, tried.point)
        said = [f"# {file} with the keys of point {tried.number}, {_ordinal(place)} of a sweep."]
        said += [f"# {name}: {_with_error(figure)}" for name, figure in _figures(tried).items()]
        said.append(
            f"# Chosen for the {'highest' if more else 'lowest'} {first} with hindsight: it owes something to luck."
        )
        path = folder / f"best-{place}.yaml"
        written.append(path)
        _write(path, "\n".join([*said, "", yaml.serialize(root, allow_unicode=True, width=120)]))
    return written


def write_table(found: Found, folder: Path) -> Path:
    path = folder / "points.csv"
    _write(path, table_of(found))
    return path


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, "utf-8")
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}") from error


def _ordinal(place: int) -> str:
    return {1: "first", 2: "second", 3: "third"}.get(place, f"number {place}")


def _short(key: str) -> str:
    return key.removeprefix("markets.*.").removeprefix("defaults.")


def _value(value: Value) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str("null" if value is None else value)


def _with_error(figure: Estimate | None) -> str:
    if figure is None:
        return "-"
    return f"{figure.mean:.4g}" if figure.error is None else f"{figure.mean:.4g} ±{figure.error:.2g}"
