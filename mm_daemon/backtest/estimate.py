"""What a day of a configuration may bring: its backtests over several pieces of market, scaled to a day, with what that
takes for granted.

Pieces are independent and start flat, so that the spread between them says how sure the mean is: intervals are
Student's at 95 %. They say nothing about days that are not like the data.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from math import sqrt
from statistics import fmean, stdev

import msgspec

from mm_daemon.backtest.report import BacktestReport
from mm_daemon.backtest.several.executors import Done, Executor, gather
from mm_daemon.backtest.several.tasks import BacktestTask, config_of, run_task
from mm_daemon.config.schema import Config
from mm_daemon.domain.errors import ConfigError, UsageError

_DAY_S = 86_400
_NUMBERS = re.compile(r"[0-9]+")
_DAYS_A_MONTH = 365.25 / 12
_T95 = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip
"""Student's t, 97.5 %, one to thirty degrees of freedom; beyond, 2.04 is on the safe side."""


class Daily(msgspec.Struct, frozen=True):
    """A sum a day. `low` and `high`: 95 % interval of the mean, None of fewer than two pieces."""

    mean: float
    low: float | None
    high: float | None


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """Money in `currency`; `fees`, `funding` and `infrastructure` are what they add: paid is negative."""

    currency: str
    pieces: int
    played_s: float
    daily: Mapping[str, Daily]
    net_positive: int
    """Pieces whose net was above zero."""
    capital_used: float
    """Largest value of all positions together in any piece, at its final prices."""
    assumptions: tuple[str, ...]

    def to_json(self) -> bytes:
        return msgspec.json.encode(self)

    def to_text(self) -> str:
        lines = [
            f"a day, from {self.pieces} {'piece' if self.pieces == 1 else 'pieces'} of market, "
            f"{_span(self.played_s)} together; {self.currency}",
            "",
        ]
        names = max(map(len, self.daily))
        for name, each in self.daily.items():
            interval = "" if each.low is None else f"   {each.low:>14,.2f} to {each.high:,.2f}"
            lines.append(f"{name:<{names}}  {each.mean:>14,.2f}{interval}")
        lines += ["", f"net above zero in {self.net_positive} of {self.pieces} pieces", "", "taken for granted:"]
        return "\n".join([*lines, *(f"- {assumption}" for assumption in self.assumptions)])


def estimate(
    pieces: Sequence[BacktestTask],
    where: Executor,
    *,
    infrastructure_a_month: float,
    ended: Callable[[int], None],
) -> Estimate:
    """Play every piece and scale to a day; `ended` hears which pieces are done.

    Raises UsageError where markets in several currencies have no sum, ConfigError when a piece cannot be played.
    """
    reports: list[BacktestReport] = []
    for piece, outcome in zip(pieces, gather(where, run_task, pieces, lambda index, _: ended(index)), strict=True):
        if not isinstance(outcome, Done):
            raise ConfigError(f"{piece.name}: {outcome.text}")
        reports.append(outcome.value)
    return _estimated(reports, config_of(pieces[0]), infrastructure_a_month)


def _estimated(reports: Sequence[BacktestReport], config: Config, infrastructure_a_month: float) -> Estimate:
    currency = reports[0].currency
    if currency is None:
        raise UsageError("the markets settle in several currencies, whose money has no sum; estimate them one by one")
    played = [report for report in reports if report.data_seconds > 0]
    if not played:
        raise UsageError("the data span no time")
    infrastructure = -infrastructure_a_month / _DAYS_A_MONTH
    scale = [_DAY_S / report.data_seconds for report in played]

    def daily(of: Callable[[BacktestReport], Decimal | float | int], more: float = 0.0) -> Daily:
        return _daily([float(of(report)) * by + more for report, by in zip(played, scale, strict=True)])

    parts = {
        name: daily(lambda report, name=name: getattr(report.pnl, name))  # type: ignore[misc]
        for name in ("spread", "inventory", "fees", "funding")
    }
    net = [
        float(report.pnl.total) * by + infrastructure for report, by in zip(played, scale, strict=True) if report.pnl
    ]
    return Estimate(
        currency=currency,
        pieces=len(played),
        played_s=sum(report.data_seconds for report in played),
        daily={
            "fills": daily(lambda report: report.fills),
            "volume": daily(lambda report: report.volume or 0),
            **parts,
            "P&L": daily(lambda report: report.pnl.total if report.pnl else 0),
            "infrastructure": Daily(infrastructure, None, None),
            "net": _daily(net),
        },
        net_positive=sum(value > 0 for value in net),
        capital_used=max(_capital(report) for report in played),
        assumptions=_assumptions(reports, config, infrastructure_a_month),
    )


def _daily(values: Sequence[float]) -> Daily:
    mean = fmean(values)
    if len(values) < 2:
        return Daily(mean, None, None)
    half = _T95[min(len(values) - 1, len(_T95)) - 1] * stdev(values) / sqrt(len(values))
    return Daily(mean, mean - half, mean + half)


def _capital(report: BacktestReport) -> float:
    return sum(float(market.max_abs_position * market.final_mid) for market in report.markets if market.final_mid)


def _assumptions(reports: Sequence[BacktestReport], config: Config, infrastructure_a_month: float) -> tuple[str, ...]:
    paper = config.paper
    longest_s = max(report.data_seconds for report in reports)
    said = [
        "days are like this data: the same volatility, spreads and flow, around the clock, and pieces are independent",
        f"fees are those of the venues' contracts in {config.file} for the first trade as for the last",
        f"orders take {paper.entry_latency_ms:g} ms to the venue and answers {paper.response_latency_ms:g} ms back; "
        f"the queue is {paper.queue_model.value} (embedded markets have latencies of their own)",
        "nobody reacts to our quotes, and what we take comes back when the level is next reported",
        f"funding is what fell due within pieces of at most {_span(longest_s)}",
        f"infrastructure costs {infrastructure_a_month:,.2f} a month"
        if infrastructure_a_month
        else "infrastructure costs nothing; say --infrastructure to count it",
    ]
    if len(reports) < 10:
        said.append(f"{len(reports)} pieces are few: the intervals are wide for a reason")
    notes: dict[str, list[str]] = {}
    for report in reports:
        for note in report.notes:
            notes.setdefault(_NUMBERS.sub("n", note), []).append(note)
    for alike in notes.values():
        said.append(alike[0] if len(alike) == 1 else f"in {len(alike)} pieces the like of: {alike[0]}")
    return tuple(said)


def _span(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
