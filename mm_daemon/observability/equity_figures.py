"""What the equity curve of a market or a run says, live and in reports alike (MODELS 7.6)."""

from decimal import Decimal
from math import sqrt

import msgspec

from mm_daemon.domain.money import to_decimal
from mm_daemon.engine.equity import EquityCurve

EQUITY_S = 1
"""Between two samples of the equity."""
EQUITY_NS = EQUITY_S * 1_000_000_000
_YEAR_S = 365 * 86_400


class EquityFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Total profit and loss, sampled each `interval_s`: live since the start; in a backtest of market time from the
    first event, without the stop after the data's end.
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


def equity_figures(curve: EquityCurve) -> EquityFigures:
    sharpe = curve.sharpe()
    year = sqrt(_YEAR_S / EQUITY_S)
    return EquityFigures(
        interval_s=float(EQUITY_S),
        samples=curve.samples,
        sharpe=None if sharpe is None else sharpe[0],
        sharpe_se=None if sharpe is None else sharpe[1],
        sharpe_annual=None if sharpe is None else sharpe[0] * year,
        sharpe_annual_se=None if sharpe is None else sharpe[1] * year,
        max_drawdown=Decimal(f"{to_decimal(curve.drawdown_atto):f}"),
    )
