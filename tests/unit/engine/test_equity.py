"""Equity sampled and not kept: the figures of the whole series, and none where there is no risk."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mm_daemon.domain.money import ATTO
from mm_daemon.engine.equity import EquityCurve
from mm_daemon.engine.statistics import equity_stats


def curve(*equity: int) -> EquityCurve:
    sampled = EquityCurve()
    for value in equity:
        sampled.add(value * ATTO)
    return sampled


def test_known_sharpe_and_drawdown() -> None:
    """Increments 2, -1, 2, 1 have mean 1 and deviation sqrt(2); from 2 the equity falls to 1."""
    sampled = curve(0, 2, 1, 3, 4)
    sharpe = sampled.sharpe()
    assert sharpe is not None
    assert sharpe[0] == pytest.approx(1 / math.sqrt(2))
    assert sharpe[1] == pytest.approx(math.sqrt((1 + 0.25) / 4))
    assert (sampled.samples, sampled.drawdown_atto) == (5, ATTO)


@pytest.mark.parametrize("equity", [(), (5,), (5, 6), (5, 5, 5, 5), (1, 2, 3, 4, 5)])
def test_no_risk_no_sharpe(equity: tuple[int, ...]) -> None:
    """Too few increments, a constant and a straight line have none; nothing is divided by zero."""
    assert curve(*equity).sharpe() is None
    assert curve(*equity).samples == len(equity)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(-(10**6), 10**6), st.integers(1, 5)), min_size=1, max_size=40))
def test_figures_are_those_of_the_whole_series(runs: list[tuple[int, int]]) -> None:
    """Also when equal samples are told at once."""
    sampled = EquityCurve()
    for value, times in runs:
        sampled.add(value * ATTO // 1000, times)
    series = [value / 1000 for value, times in runs for _ in range(times)]
    want, got = equity_stats(series, 1.0), sampled.sharpe()
    assert sampled.samples == len(series)
    assert sampled.drawdown_atto / ATTO == pytest.approx(want.max_drawdown)
    assert (got is None) is (want.sharpe is None)
    if got is not None:
        assert got == (pytest.approx(want.sharpe, abs=1e-9), pytest.approx(want.sharpe_se))
