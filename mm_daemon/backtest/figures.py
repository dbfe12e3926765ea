"""The statistics of a finished run: fill rates and the equity curve, with the trade statistics beside them, and the
rows that the report's table has of them.

A figure that does not exist (no fill, no order, no risk) is None, and `-` in the table.
"""

from collections.abc import Sequence
from decimal import Decimal
from math import sqrt
from typing import Protocol

import msgspec

from mm_daemon.domain.money import to_decimal
from mm_daemon.engine.equity import EquityCurve
from mm_daemon.observability.trade_statistics import FillFigures, InventoryFigures

EQUITY_NS = 1_000_000_000
"""Market time between two samples of the equity, counted from the first event."""
_NS_PER_S = 1_000_000_000
_YEAR_NS = 365 * 86_400 * _NS_PER_S


class RateFigures(msgspec.Struct, frozen=True, kw_only=True):
    """How much of what was offered was taken."""

    fills_per_order: float | None
    """Fills over places and amends sent; an order filled in parts has several."""
    filled_size_share: float | None
    """Size filled over size offered: that of all places, and what amends added to theirs."""


class EquityFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Total profit and loss, sampled each `interval_s` of market time from the first event; the stop after the data's
    end is not in it.
    """

    interval_s: float
    samples: int
    sharpe: float | None
    """Mean over standard deviation (n - 1) of the increments in currency, of one interval: not annual. None without
    risk.
    """
    sharpe_se: float | None
    """`sqrt((1 + sharpe^2/2)/n)`, for independent increments."""
    sharpe_annual: float | None
    """`sharpe` times the root of the intervals in 365 days."""
    sharpe_annual_se: float | None
    max_drawdown: Decimal
    """Largest fall from the running peak, settlement currency."""


class HasFigures(Protocol):
    """What the table reads of a market's report."""

    @property
    def currency(self) -> str: ...
    @property
    def rates(self) -> RateFigures: ...
    @property
    def trades(self) -> FillFigures: ...
    @property
    def inventory(self) -> InventoryFigures | None: ...
    @property
    def equity(self) -> EquityFigures: ...


def rate_figures(*, fills: int, orders: int, filled_lots: int, offered_lots: int) -> RateFigures:
    """`orders`: places and amends sent."""
    return RateFigures(
        fills_per_order=fills / orders if orders else None,
        filled_size_share=filled_lots / offered_lots if offered_lots else None,
    )


def equity_figures(curve: EquityCurve) -> EquityFigures:
    sharpe = curve.sharpe()
    year = sqrt(_YEAR_NS / EQUITY_NS)
    return EquityFigures(
        interval_s=EQUITY_NS / _NS_PER_S,
        samples=curve.samples,
        sharpe=None if sharpe is None else sharpe[0],
        sharpe_se=None if sharpe is None else sharpe[1],
        sharpe_annual=None if sharpe is None else sharpe[0] * year,
        sharpe_annual_se=None if sharpe is None else sharpe[1] * year,
        max_drawdown=Decimal(f"{to_decimal(curve.drawdown_atto):f}"),
    )


def figure_rows(markets: Sequence[HasFigures]) -> list[tuple[str, list[str]]]:
    """What, and one cell a market. Markouts and adverse selection in bps: bid, then ask."""
    rates, trades = [m.rates for m in markets], [m.trades for m in markets]
    rows = [
        ("fills an order", [f"{_number(rate.fills_per_order, '.4f')}" for rate in rates]),
        ("size filled", [_share(rate.filled_size_share) for rate in rates]),
        ("trades an hour", [_number(trade.trades_per_hour, ",.1f") for trade in trades]),
        (
            "spread captured, bps a fill",
            [_with_error(trade.spread_captured_bps, trade.spread_captured_se_bps) for trade in trades],
        ),
    ]
    horizons_s = dict.fromkeys(figure.horizon_s for trade in trades for figure in trade.markouts)
    for horizon_s in horizons_s:
        at = [[figure for figure in trade.markouts if figure.horizon_s == horizon_s] for trade in trades]
        rows.append(
            (
                f"markout {horizon_s} s bid / ask",
                [" / ".join(_with_error(one.markout_bps, one.markout_se_bps) for one in sides) for sides in at],
            )
        )
        rows.append(
            (
                f"adverse {horizon_s} s bid / ask",
                [" / ".join(_with_error(one.adverse_bps, one.adverse_se_bps) for one in sides) for sides in at],
            )
        )
    rows += [
        ("fills that won after 10 s", [_share(trade.win_rate) for trade in trades]),
        ("position mean |q|, rms", [_inventory(m.inventory) for m in markets]),
        ("time at the limit", ["-" if m.inventory is None else f"{m.inventory.time_at_limit:.1%}" for m in markets]),
        (
            "mean holding time",
            [_number(None if m.inventory is None else m.inventory.mean_holding_s, ",.1f", " s") for m in markets],
        ),
        (
            f"sharpe of {EQUITY_NS / _NS_PER_S:g} s",
            [_with_error(m.equity.sharpe, m.equity.sharpe_se, digits=3) for m in markets],
        ),
        ("largest drawdown", [f"{m.equity.max_drawdown:,.4f} {m.currency}" for m in markets]),
    ]
    return rows


def _inventory(figures: InventoryFigures | None) -> str:
    return "-" if figures is None else f"{figures.mean_abs:.4g}, {figures.rms:.4g}"


def _share(value: float | None) -> str:
    return _number(value, ".1%")


def _number(value: float | None, form: str, unit: str = "") -> str:
    return "-" if value is None else f"{value:{form}}{unit}"


def _with_error(value: float | None, error: float | None, *, digits: int = 2) -> str:
    if value is None:
        return "-"
    return f"{value:+.{digits}f}" if error is None else f"{value:+.{digits}f} ±{error:.{digits}f}"
