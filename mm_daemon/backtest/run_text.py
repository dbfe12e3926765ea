"""The report of recorded runs for a terminal: figures down, runs across, and what each has more than the first."""

from collections.abc import Sequence

from mm_daemon.backtest.figure_list import FIGURES
from mm_daemon.backtest.report import counts, table
from mm_daemon.backtest.run_report import RunMarket, RunReport

_MOST_COMPARED = 4
"""Runs whose differences still fit into a terminal."""


def to_text(reports: Sequence[RunReport]) -> str:
    """All runs; markets that several runs have stand side by side."""
    lines = []
    for report in reports:
        ended = "no end was written" if report.ended is None else f"ended: {report.ended}"
        lines.append(
            f"{report.name}: {report.data_seconds:.1f} s, {report.records:,} records, {report.turns:,} turns, {ended}"
        )
        lines += [f"  note: {note}" for note in report.notes]
    names = dict.fromkeys(market.market for report in reports for market in report.markets)
    for name in names:
        columns = [(report.name, market) for report in reports for market in report.markets if market.market == name]
        lines += ["", *_market(name, columns)]
    for report in reports:
        lines += ["", f"{report.name} decided {counts(report.reasons)}"]
        for word, found in (("refused", report.refusals), ("dropped", report.dropped)):
            if found:
                lines.append(f"{report.name} {word} {counts(found)}")
    return "\n".join(lines)


def _market(name: str, columns: Sequence[tuple[str, RunMarket]]) -> list[str]:
    first = columns[0][1]
    others = columns[1:] if len(columns) <= _MOST_COMPARED else ()
    rows = [
        (
            name,
            *(run for run, _ in columns),
            *(f"{run} - first" for run, _ in others),
        )
    ]
    for figure in FIGURES:
        unit = first.currency if figure.unit == "money" else figure.unit
        rows.append(
            (
                f"{figure.label}, {unit}" if unit else figure.label,
                *(figure.text(market) for _, market in columns),
                *(figure.difference_text(first, market) for _, market in others),
            )
        )
    return table(rows)
