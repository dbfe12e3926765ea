"""How a backtest is judged: named figures of its report, and what many backtests of one point say together."""

from collections.abc import Callable, Sequence
from enum import StrEnum
from math import sqrt
from statistics import fmean, stdev
from typing import NamedTuple

import msgspec

from mm_daemon.backtest.report import BacktestReport, MarketReport


class Objective(StrEnum):
    PNL = "pnl"
    SHARPE = "sharpe"
    DRAWDOWN = "drawdown"
    INVENTORY = "inventory"
    FILL_RATE = "fill_rate"
    VOLUME = "volume"
    SPREAD_CAPTURED = "spread_captured"
    UPTIME = "uptime"


class Figure(NamedTuple):
    """`more`: whether more is better."""

    more: bool
    words: str
    of: Callable[[BacktestReport], float | None]


class Estimate(msgspec.Struct, frozen=True):
    """A figure over several pieces of market. `error`: the mean's standard error, None of less than two."""

    mean: float
    error: float | None
    count: int


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def _of_markets(of: Callable[[MarketReport], float | None]) -> Callable[[BacktestReport], float | None]:
    return lambda report: _mean([of(market) for market in report.markets])


def _inventory(report: BacktestReport) -> float | None:
    """Positions valued at the last mid, so that markets can be added."""
    parts = [
        market.inventory.rms * float(market.final_mid)
        for market in report.markets
        if market.inventory is not None and market.final_mid is not None
    ]
    return sum(parts) if parts else None


FIGURES = {
    Objective.PNL: Figure(
        True, "total P&L, fees and funding included", lambda r: None if r.pnl is None else float(r.pnl.total)
    ),
    Objective.SHARPE: Figure(
        True, "mean over deviation of one-second changes of equity", lambda r: r.equity.sharpe if r.equity else None
    ),
    Objective.DRAWDOWN: Figure(
        False, "largest fall of equity from its peak", lambda r: float(r.equity.max_drawdown) if r.equity else None
    ),
    Objective.INVENTORY: Figure(False, "root mean square of the position's value", _inventory),
    Objective.FILL_RATE: Figure(
        True, "size filled over size offered", _of_markets(lambda market: market.rates.filled_size_share)
    ),
    Objective.VOLUME: Figure(True, "notional traded", lambda r: None if r.volume is None else float(r.volume)),
    Objective.SPREAD_CAPTURED: Figure(
        True, "half-spread a fill, bps of the price", _of_markets(lambda market: market.trades.spread_captured_bps)
    ),
    Objective.UPTIME: Figure(True, "share of time with quotes on both sides", lambda r: r.quote_uptime),
}
"""P&L, drawdown and the like of markets in several currencies have no sum: None."""


def figures_of(report: BacktestReport) -> dict[str, float | None]:
    """Every figure by the name of its objective."""
    return {objective.value: figure.of(report) for objective, figure in FIGURES.items()}


def together(figures: Sequence[float | None]) -> Estimate | None:
    """The mean of one figure over the pieces of market that have it. None: no piece has."""
    known = [value for value in figures if value is not None]
    if not known:
        return None
    error = stdev(known) / sqrt(len(known)) if len(known) > 1 else None
    return Estimate(fmean(known), error, len(known))


def worst(objective: Objective) -> float:
    """What stands for a figure that does not exist, such as the Sharpe ratio of a point that never traded: behind all
    that exist."""
    return float("-inf") if FIGURES[objective].more else float("inf")
