"""Momentum: a step process, its readiness and its refusals."""

import math

import pytest

from mm_daemon.domain.errors import DomainError
from mm_daemon.engine.signals.momentum import Momentum

_S = 1_000_000_000


def rising(seconds: int = 200) -> Momentum:
    momentum = Momentum(5.0, 30.0)
    for second in range(seconds):
        momentum.on_price(second * _S, 100.0 + 0.01 * second)
    return momentum


def test_rising_price_is_a_positive_trend() -> None:
    """The fast average leads the slow one, by the difference of their lags."""
    momentum = rising()
    lag_s = (30.0 - 5.0) / math.log(2.0)
    assert momentum.trend_bps == pytest.approx(1e4 * 0.01 * lag_s / 101.7, rel=0.05)
    score = momentum.score(2.0)
    assert score == pytest.approx((momentum.trend_bps or 0.0) / (2.0 * math.sqrt(30.0 / math.log(2.0))))


def test_old_value_holds_over_the_interval() -> None:
    """A jump does not count before time has passed at the new price."""
    momentum = Momentum(1.0, 10.0)
    momentum.on_price(0, 100.0)
    momentum.on_price(5 * _S, 200.0)
    assert momentum.ema_fast == 100.0
    momentum.on_price(6 * _S, 100.0)
    assert momentum.ema_fast == pytest.approx(150.0)


def test_readiness_needs_time_and_changes_and_ends_with_silence() -> None:
    """Not before ten changes and half a slow half-life; not after ten half-lives of silence."""
    momentum = rising(8)
    assert momentum.trend_bps is None
    momentum = rising()
    assert momentum.trend_bps is not None
    momentum.on_price(199 * _S + 301 * _S, 90.0)
    assert momentum.trend_bps is None
    assert momentum.ema_fast == 90.0
    momentum.lose_clock()
    assert momentum.score(1.0) is None
    momentum.on_price(0, 50.0)
    assert momentum.score(1.0) == 0.0


def test_bad_input_is_dropped_and_bad_settings_refused() -> None:
    """Neither changes an average."""
    momentum = rising()
    before = momentum.state()
    for price in (0.0, -1.0, math.nan, math.inf):
        momentum.on_price(500 * _S, price)
    momentum.on_price(1, 100.0)
    momentum.observe(-1.0, 100.0)
    assert momentum.dropped == 6
    assert momentum.state() == before
    with pytest.raises(DomainError):
        momentum.score(0.0)
    with pytest.raises(DomainError):
        Momentum(10.0, 10.0)
