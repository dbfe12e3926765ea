"""Figures of a run: what has no risk, no fill, or no time."""

import math

import pytest

from mm_daemon.domain.errors import DomainError
from mm_daemon.domain.orders import Side
from mm_daemon.engine.statistics import equity_stats, inventory_stats, markout


def test_sold_fills_earn_when_the_mid_falls() -> None:
    """The sale's signs are the purchase's turned around; half-spread is markout plus adverse move."""
    sale = markout(Side.SELL, 100.05, 100.0, [99.9, None, 100.2])
    assert sale.half_spread == pytest.approx(0.05)
    assert sale.markouts[0] == pytest.approx(0.15)
    assert sale.markouts[1] is None
    assert sale.adverse[2] == pytest.approx(0.2)
    for earned, lost in zip(sale.markouts, sale.adverse, strict=True):
        assert earned is None or earned + (lost or 0.0) == pytest.approx(sale.half_spread)
    with pytest.raises(DomainError):
        markout(Side.BUY, math.nan, 1.0, [])


def test_equity_without_risk_has_no_sharpe() -> None:
    """Constant increments, even those that floats make uneven; too few of them; none."""
    assert equity_stats([5.0, 5.0, 5.0], 365.0).sharpe is None
    assert equity_stats([0.1 * i for i in range(20)], 365.0).sharpe is None
    assert equity_stats([1.0, 2.0], 365.0).sharpe is None
    assert equity_stats([1.0], 365.0).max_drawdown == 0.0
    with pytest.raises(DomainError):
        equity_stats([], 365.0)
    with pytest.raises(DomainError):
        equity_stats([1.0, math.inf], 365.0)


def test_drawdown_is_from_the_running_peak() -> None:
    """Also from the very start, and not from the later, higher peak."""
    assert equity_stats([10.0, 4.0, 20.0, 15.0], 1.0).max_drawdown == 6.0


def test_standard_error_is_that_of_the_annual_ratio() -> None:
    """By Lo's formula, scaled like the ratio itself."""
    stats = equity_stats([0.0, 1.0, 0.5, 2.0, 1.2, 3.0, 2.9], 365.0)
    assert stats.sharpe is not None
    a_period = stats.sharpe / math.sqrt(365.0)
    assert stats.sharpe_se == pytest.approx(math.sqrt((1 + a_period**2 / 2) / 6 * 365.0))


def test_inventory_at_its_limit_counts_both_ways() -> None:
    """Short as long; the time before the first position is not known and not counted."""
    stats = inventory_stats([10.0, 12.0, 16.0], [2.0, -2.0, 0.0], 20.0, 2.0, 4.0)
    assert stats.time_at_limit == pytest.approx(0.6)
    assert stats.mean_abs == pytest.approx(1.2)
    assert stats.mean_holding == pytest.approx(3.0)
    assert inventory_stats([0.0], [1.0], 1.0, 2.0, 0.0).mean_holding is None


@pytest.mark.parametrize(
    ("times", "positions", "t_end", "q_max"),
    [
        ([], [], 1.0, 1.0),
        ([0.0], [], 1.0, 1.0),
        ([2.0, 1.0], [0.0, 0.0], 3.0, 1.0),
        ([1.0], [0.0], 0.5, 1.0),
        ([1.0], [0.0], 1.0, 1.0),
        ([1.0], [0.0], 2.0, 0.0),
        ([1.0], [math.nan], 2.0, 1.0),
    ],
)
def test_time_that_makes_no_sense_is_refused(
    times: list[float], positions: list[float], t_end: float, q_max: float
) -> None:
    """None, going back, or of no length; a limit of zero; positions that are none."""
    with pytest.raises(DomainError):
        inventory_stats(times, positions, t_end, q_max, 0.0)
