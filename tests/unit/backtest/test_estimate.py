"""What a day may bring: pieces scaled to a day, their interval, what is taken for granted."""

from math import sqrt
from statistics import fmean, stdev

import pytest
from msgspec.structs import replace

from mm_daemon.backtest.estimate import Estimate, estimate
from mm_daemon.backtest.several.executors import InProcess
from mm_daemon.backtest.several.tasks import BacktestTask, run_task
from mm_daemon.domain.errors import ConfigError, UsageError

CONFIG = """
version: 1
venues:
  sim: {connector: sim}
markets:
  - {venue: sim, symbol: BTC-USDT, order_size: 0.01, max_position: 0.1}
"""
BASE = BacktestTask(name="", config=CONFIG, file="config.yaml", duration_s=10.0)
PIECES = [replace(BASE, name=f"seed {seed}", seed=seed) for seed in (1, 2, 3)]


def of(pieces: list[BacktestTask], **more: float) -> Estimate:
    ended: list[int] = []
    found = estimate(pieces, InProcess(), **{"infrastructure_a_month": 0.0, **more}, ended=ended.append)
    assert ended == list(range(len(pieces)))
    return found


def test_a_day_is_the_mean_of_pieces_scaled_to_it_with_students_interval() -> None:
    """Recomputed here from the reports."""
    found = of(PIECES)
    totals = [
        float(report.pnl.total) * 86_400 / report.data_seconds
        for report in map(run_task, PIECES)
        if report.pnl is not None
    ]
    pnl = found.daily["P&L"]
    half = 4.303 * stdev(totals) / sqrt(3)
    assert pnl.mean == pytest.approx(fmean(totals))
    assert (pnl.low, pnl.high) == pytest.approx((fmean(totals) - half, fmean(totals) + half))
    assert found.net_positive == sum(total > 0 for total in totals)
    assert found.pieces == 3


def test_the_parts_add_up_to_the_net() -> None:
    """Infrastructure is a cost of every day, the same in all pieces."""
    found = of(PIECES, infrastructure_a_month=3000.0)
    daily = found.daily
    parts = ("spread", "inventory", "fees", "funding", "infrastructure")
    assert sum(daily[part].mean for part in parts) == pytest.approx(daily["net"].mean)
    assert daily["infrastructure"].mean == pytest.approx(-3000.0 * 12 / 365.25)
    assert "infrastructure costs 3,000.00 a month" in found.to_text()


def test_one_piece_has_no_interval_and_says_so() -> None:
    """What is taken for granted is part of the answer."""
    found = of(PIECES[:1])
    assert found.daily["net"].low is None
    text = found.to_text()
    assert "1 pieces are few" in text
    assert "5 ms to the venue" in text
    assert "infrastructure costs nothing" in text


def test_what_cannot_be_estimated_is_refused() -> None:
    """Money of two currencies has no sum; a piece that cannot be played is named."""
    with pytest.raises(ConfigError, match=r"seed 9: .*gamma"):
        of([replace(BASE, name="seed 9", overrides={"markets.*.gamma": "-1"})])
    two = CONFIG.replace("sim: {connector: sim}", "sim: {connector: sim}\n  two: {connector: sim}")
    two += "  - {venue: two, symbol: BTC-USDC, order_size: 0.01, max_position: 0.1}\n"
    with pytest.raises(UsageError, match="several currencies"):
        of([replace(BASE, config=two)])
