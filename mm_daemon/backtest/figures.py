"""The statistics of a finished run: fill rates and the equity curve, with the trade statistics beside them, and the
rows that the report's table has of them.

A figure that does not exist (no fill, no order, no risk) is None, and `-` in the table.
"""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from mm_daemon.observability.equity_figures import EQUITY_S, EquityFigures
from mm_daemon.observability.trade_statistics import FillFigures, InventoryFigures


class RateFigures(msgspec.Struct, frozen=True, kw_only=True):
    """How much of what was offered was taken."""

    fills_per_order: float | None
    """Fills over places and amends sent; an order filled in parts has several."""
    filled_size_share: float | None
    """Size filled over size offered: that of all places, and what amends added to theirs."""


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
            f"sharpe of {EQUITY_S:g} s",
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
