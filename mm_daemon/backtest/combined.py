"""Several backtests as one report: a row for each, and totals that are the exact sums of the rows.

Each part started flat and ended as it was, so money adds up and positions do not. Nothing here depends on how the parts
were run: equal parts are equal bytes.
"""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from math import sqrt

import msgspec

from mm_daemon.backtest.executors import Done, Failed, Outcome
from mm_daemon.backtest.report import (
    BacktestReport,
    MarketReport,
    Pnl,
    QueueFigures,
    exact_sum,
    queue_lines,
    sum_pnl,
    table,
)
from mm_daemon.backtest.tasks import BacktestTask
from mm_daemon.domain.errors import MmError

_COUNTS = (
    "decisions",
    "orders_placed",
    "orders_canceled",
    "orders_amended",
    "orders_rejected",
    "fills",
    "maker_fills",
    "taker_fills",
)

_COLUMNS = ("market", "fills", "volume", "spread", "inventory", "fees", "funding", "pnl", "largest", "quoted")


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One backtest of several: its report, or why there is none."""

    name: str
    report: BacktestReport | None = None
    failure: str | None = None
    exit_code: int = 0
    """What the process would have answered with had it been this part alone (OPERATIONS 4)."""


class AllFailed(MmError):
    """Not one part gave a report. Say why of each, and exit as the first would have alone."""

    def __init__(self, parts: Sequence[Part]) -> None:
        texts = dict.fromkeys(f"{part.name}: {part.failure}" if part.name else str(part.failure) for part in parts)
        super().__init__("\n".join(texts))
        self.exit_code = parts[0].exit_code


class Total(msgspec.Struct, frozen=True, kw_only=True):
    """One market over all parts, or all markets of one currency."""

    market: str | None
    """None: all markets that settle in `currency`."""
    currency: str
    parts: int
    """Parts that it was in: what the averages are over."""
    decisions: int
    orders_placed: int
    orders_canceled: int
    orders_amended: int
    orders_rejected: int
    fills: int
    maker_fills: int
    taker_fills: int
    volume: Decimal
    pnl: Pnl
    data_seconds: float
    """Market time, each market's counted."""
    quote_uptime: float
    """Share of it with live quotes of ours on both sides."""
    won: int
    """Parts with a profit."""
    best: Decimal
    """Profit and loss of the best part."""
    worst: Decimal
    mean: float
    """Average profit and loss of a part."""
    deviation: float | None
    """Standard deviation (n - 1) of the parts' profit and loss; None for fewer than two."""
    sharpe: float | None
    """`mean / deviation`, of one part: not annual."""
    sharpe_se: float | None
    """`sqrt((1 + sharpe^2/2)/n)`, for independent parts."""
    max_drawdown: Decimal
    """Largest fall from the running peak within a part, or of the sum over parts from one end to the next."""


class CombinedReport(msgspec.Struct, frozen=True, kw_only=True):
    """All parts, each market's total, and a total for each currency."""

    parts: tuple[Part, ...]
    markets: tuple[Total, ...]
    totals: tuple[Total, ...]
    notes: tuple[str, ...] = ()
    queue_sensitivity: tuple[QueueFigures, ...] = ()
    """All parts under other queue models, where it was asked for; the first is their own."""

    @property
    def exit_code(self) -> int:
        """That of the first part that failed; 0 when none did."""
        return next((part.exit_code for part in self.parts if part.report is None), 0)

    def to_json(self) -> bytes:
        return _encoder.encode(self)

    def to_text(self) -> str:
        """The report for people."""
        lines: list[tuple[str, ...]] = [("", *_COLUMNS)]
        for part in self.parts:
            lines += [_row(part.name, market) for market in (part.report.markets if part.report else ())]
        lines += [_total_row(total) for total in (*self.markets, *self.totals)]
        said = table(lines)
        said.append("")
        for total in self.totals:
            said.append(
                f"{total.won} of {total.parts} with a profit, best {total.best:+,.4f}, worst {total.worst:+,.4f}, "
                f"mean {total.mean:+,.4f}{_error(total)}, largest drawdown {total.max_drawdown:,.4f} {total.currency}"
            )
        said += [f"FAILED    {part.name}: {part.failure}" for part in self.parts if part.report is None]
        noted = dict.fromkeys([*self.notes, *(n for p in self.parts if p.report is not None for n in p.report.notes)])
        said += [f"note      {note}" for note in noted]
        said += [
            f"NOT CLEAN: {part.name}: {part.report.open_orders} orders may still be open at the venue"
            for part in self.parts
            if part.report is not None and not part.report.clean
        ]
        journals = [part.report.journal for part in self.parts if part.report is not None and part.report.journal]
        if journals:
            said.append(f"journals  {journals[0]}" + (f" and {len(journals) - 1} more" if len(journals) > 1 else ""))
        said += queue_lines(self.queue_sensitivity, self.totals[0].currency if len(self.totals) == 1 else None)
        return "\n".join(said)


_encoder = msgspec.json.Encoder(decimal_format="number")


def combined(tasks: Sequence[BacktestTask], outcomes: Sequence[Outcome[BacktestReport]]) -> CombinedReport:
    """The outcomes of the tasks, in their order. Raises AllFailed."""
    parts = tuple(_part(task, outcome) for task, outcome in zip(tasks, outcomes, strict=True))
    reports = [part.report for part in parts if part.report is not None]
    if not reports:
        raise AllFailed(parts)
    names = dict.fromkeys(market.market for report in reports for market in report.markets)
    currencies = dict.fromkeys(market.currency for report in reports for market in report.markets)
    return CombinedReport(
        parts=parts,
        markets=tuple(_market_total(name, reports) for name in names),
        totals=tuple(_currency_total(currency, reports) for currency in currencies),
    )


def _part(task: BacktestTask, outcome: Outcome[BacktestReport]) -> Part:
    if isinstance(outcome, Failed):
        return Part(name=task.name, failure=outcome.text, exit_code=outcome.exit_code)
    assert isinstance(outcome, Done)
    return Part(name=task.name, report=outcome.value)


def _market_total(name: str, reports: Sequence[BacktestReport]) -> Total:
    groups = [[market for market in report.markets if market.market == name] for report in reports]
    seconds = [report.data_seconds for report in reports]
    return _total(name, *_present(groups, seconds))


def _currency_total(currency: str, reports: Sequence[BacktestReport]) -> Total:
    groups = [[market for market in report.markets if market.currency == currency] for report in reports]
    seconds = [report.data_seconds for report in reports]
    return _total(None, *_present(groups, seconds))


def _present(
    groups: Sequence[list[MarketReport]], seconds: Sequence[float]
) -> tuple[list[list[MarketReport]], list[float]]:
    there = [(group, second) for group, second in zip(groups, seconds, strict=True) if group]
    return [group for group, _ in there], [second for _, second in there]


def _total(market: str | None, groups: Sequence[list[MarketReport]], seconds: Sequence[float]) -> Total:
    """`groups`: the markets that are counted, part by part."""
    markets = [one for group in groups for one in group]
    results = [exact_sum(one.pnl.total for one in group) for group in groups]
    span = sum(second * len(group) for group, second in zip(groups, seconds, strict=True))
    quoted = sum(one.quote_uptime * second for group, second in zip(groups, seconds, strict=True) for one in group)
    mean, deviation = _moments(results)
    sharpe = mean / deviation if deviation else None
    return Total(
        market=market,
        currency=markets[0].currency,
        parts=len(groups),
        **{count: sum(getattr(one, count) for one in markets) for count in _COUNTS},
        volume=exact_sum(one.volume for one in markets),
        pnl=sum_pnl([one.pnl for one in markets]),
        data_seconds=span,
        quote_uptime=round(quoted / span, 6) if span else 0.0,
        won=sum(result > 0 for result in results),
        best=max(results),
        worst=min(results),
        mean=mean,
        deviation=deviation,
        sharpe=sharpe,
        sharpe_se=None if sharpe is None else sqrt((1 + sharpe * sharpe / 2) / len(results)),
        max_drawdown=max(_fall(results), *(one.equity.max_drawdown for one in markets)),
    )


def _moments(results: Sequence[Decimal]) -> tuple[float, float | None]:
    values = [float(result) for result in results]
    mean = sum(values) / len(values)
    if len(values) < 2:
        return mean, None
    return mean, sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1))


def _fall(results: Iterable[Decimal]) -> Decimal:
    """Largest fall of the running sum from its peak."""
    worth = peak = fall = Decimal(0)
    for result in results:
        worth = exact_sum((worth, result))
        peak = max(peak, worth)
        fall = max(fall, exact_sum((peak, -worth)))
    return fall


def _row(name: str, market: MarketReport) -> tuple[str, ...]:
    largest = f"{market.max_abs_position:f}"
    return (name, *_cells(market.market, market.fills, market.volume, market.pnl, largest, market.quote_uptime))


def _total_row(total: Total) -> tuple[str, ...]:
    name = total.market or f"all in {total.currency}"
    return ("total", *_cells(name, total.fills, total.volume, total.pnl, "", total.quote_uptime))


def _cells(market: str, fills: int, volume: Decimal, pnl: Pnl, largest: str, quoted: float) -> tuple[str, ...]:
    money = (pnl.spread, pnl.inventory, pnl.fees, pnl.funding, pnl.total)
    return market, f"{fills:,}", f"{volume:,.2f}", *(f"{part:+,.4f}" for part in money), largest, f"{quoted:.1%}"


def _error(total: Total) -> str:
    return "" if total.deviation is None else f" ±{total.deviation / sqrt(total.parts):,.4f}"
