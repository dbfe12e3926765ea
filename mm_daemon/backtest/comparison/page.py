"""The tables of the comparison as Markdown, and their places in a page whose words somebody else writes.

A table stands between `<!-- name -->` and `<!-- end name -->`; what is outside stays as it is.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean, stdev

from mm_daemon.backtest.comparison.contenders import CONTENDERS
from mm_daemon.backtest.comparison.cost import Cost
from mm_daemon.backtest.comparison.play import Figures

_MONEY = ("spread", "inventory", "fees", "total")


def mean_error(values: Sequence[float]) -> tuple[float, float]:
    """Mean and its standard error, which is NaN for a single value."""
    error = stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return fmean(values), error


def by_contender(figures: Iterable[Figures]) -> dict[str, list[Figures]]:
    """Each contender's runs by seed, in the order of `CONTENDERS`."""
    ordered = sorted(figures, key=lambda run: run.seed)
    return {one.title: [run for run in ordered if run.contender == one.title] for one in CONTENDERS}


def many_runs(figures: Sequence[Figures]) -> str:
    """Means over seeds with standard errors, and each total less the first contender's at the same seed."""
    head = "fills", *_MONEY, "total less GLFT's", "inventory held", "markout 10 s, bps", "both sides quoted"
    lines = [head_line("model", *head)]
    runs = by_contender(figures)
    first = next(iter(runs.values()))
    for title, own in runs.items():
        cells = [_shown(mean_error([run.fills for run in own]), 0)]
        cells += [_shown(mean_error([getattr(run, part) for run in own]), 2) for part in _MONEY]
        paired = [run.total - other.total for run, other in zip(own, first, strict=True)]
        cells.append("" if own is first else _shown(mean_error(paired), 2))
        cells.append(_shown(mean_error([run.held_orders for run in own]), 2))
        seen = [run.markout_bps for run in own if run.markout_bps is not None]
        cells.append(_shown(mean_error(seen), 2) if seen else "none")
        cells.append(f"{fmean(run.uptime for run in own):.0%}")
        lines.append(_line(title, *cells))
    return "\n".join(lines)


def single_runs(figures: Sequence[Figures]) -> str:
    """One row for each recording and contender."""
    head = "fills", *_MONEY, "inventory held", "markout 10 s, bps", "both sides quoted"
    lines = [head_line("recording", "model", *head)]
    for run in figures:
        lines.append(
            _line(
                f"{run.scene}, {run.seconds:.0f} s",
                run.contender,
                f"{run.fills}",
                *(f"{getattr(run, part):+.2f}" for part in _MONEY),
                f"{run.held_orders:.2f}",
                "none" if run.markout_bps is None else f"{run.markout_bps:+.2f}",
                f"{run.uptime:.0%}",
            )
        )
    return "\n".join(lines)


def costs(measured: Iterable[Cost]) -> str:
    """Microseconds by model."""
    lines = [head_line("model", "a quote, price changed", "a new curve")]
    lines += [_line(one.contender, f"{one.price_us:.1f}", f"{one.curve_us:.1f}") for one in measured]
    return "\n".join(lines)


def filled(page: str, tables: Mapping[str, str]) -> str:
    """The page with these tables in their places. Raises KeyError for a table without a place."""
    for name, table in tables.items():
        place = re.compile(f"(<!-- {name} -->\n).*?(\n?<!-- end {name} -->)", re.DOTALL)
        if not place.search(page):
            raise KeyError(name)
        page = place.sub(lambda found, table=table: f"{found[1]}{table}\n{found[2].lstrip()}", page)  # type: ignore[misc]
    return page


def head_line(*cells: str) -> str:
    """A heading and the rule under it."""
    return _line(*cells) + "\n" + "|---" * len(cells) + "|"


def _line(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


def _shown(value: tuple[float, float], digits: int) -> str:
    mean, error = value
    return f"{mean:.{digits}f} ± {error:.{digits}f}"
