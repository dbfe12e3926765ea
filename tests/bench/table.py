"""One run as one table: ours, the peers', the ratios, what is allowed and whether it is held; then the rest."""

from collections.abc import Iterator, Sequence

from tests.bench.figures import Figure, Figures
from tests.bench.gates import ROWS, Row
from tests.bench.results import Result, last_of_another_commit, moved, result_of
from tests.bench.verdicts import Ratio, judge, speed_factor, speeds

_HEAD = ("figure", "ours", "unit", "gate", "goal", "held", "ccxt.pro", "ours/it (gate)", "msgspec", "ours/it (gate)")


def lines(figures: Figures) -> Iterator[str]:
    now = result_of(figures)
    then = last_of_another_commit(now.commit)
    head = _HEAD if then is None else (*_HEAD, f"to {then.commit[:7]}")
    whole = any(row.gate and row.figure in figures.all for row in ROWS)  # then a gate without a figure is told
    shown = [row for row in ROWS if row.figure in figures.all or (whole and row.gate)]
    rows = [_cells(row, figures, now, then) for row in shown]
    if rows:
        yield from _aligned([head, *rows])
        yield ""
    yield f"{now.commit}{' and uncommitted changes' if now.dirty else ''}, {now.python}, {now.cpu}"
    factor = speed_factor(figures)
    if factor is not None:
        each = ", ".join(f"{name.removesuffix('.p50')} {slower:.2f}" for name, slower in speeds(figures).items())
        yield f"this machine takes {factor:.2f} times as long as the reference machine ({each})"
    yield "gate and goal: what they are on this machine (tests/bench/verdicts.py); nothing fails by them"
    if then is not None:
        yield f"to {then.commit[:7]}: as a ratio to the run kept on {then.date[:10]}, at one machine speed"
    yield from figures.remarks
    told = {row.figure for row in ROWS}
    told |= {peer.figure for row in ROWS for peer in (row.ccxt, row.msgspec) if peer is not None}
    rest = [
        (name, _number(figure), figure.unit, *_change(name, now, then))
        for name, figure in sorted(figures)
        if name not in told
    ]
    if rest:
        yield ""
        yield from _aligned([("also measured", "", "", *(() if then is None else ("",))), *rest])


def _cells(row: Row, figures: Figures, now: Result, then: Result | None) -> tuple[str, ...]:
    figure, verdict = figures.all.get(row.figure), judge(row, figures)
    if figure is None or verdict is None:
        return (row.title, "-", *("" for _ in range(len(_HEAD) - 2 + (then is not None))))
    return (
        row.title,
        _number(figure),
        figure.unit,
        _limit(verdict.gate),
        _limit(verdict.goal),
        verdict.held,
        _peer(figures, row.ccxt and row.ccxt.figure),
        _ratio(verdict.ccxt),
        _peer(figures, row.msgspec and row.msgspec.figure),
        _ratio(verdict.msgspec),
        *_change(row.figure, now, then),
    )


def _change(name: str, now: Result, then: Result | None) -> tuple[str, ...]:
    if then is None:
        return ()
    ratio = moved(name, now, then)
    return ("" if ratio is None else f"{ratio:.2f}",)


def _peer(figures: Figures, name: str | None) -> str:
    figure = None if name is None else figures.all.get(name)
    return "" if figure is None else _number(figure)


def _ratio(ratio: Ratio | None) -> str:
    if ratio is None:
        return ""
    return f"{ratio.ours:.2f}" + ("" if ratio.gate is None else f" ({ratio.gate:.2f})")


def _limit(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def _number(figure: Figure) -> str:
    return f"{figure.value:,.0f}" if abs(figure.value) >= 1000 else f"{figure.value:.3g}"


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """The first column to the left, the others to the right; units and words too, so that columns stay narrow."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        first, *others = (
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        yield "  ".join((first, *others)).rstrip()
