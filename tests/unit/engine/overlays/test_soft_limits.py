"""Limits that widen before they stop."""

import math

import pytest

from mm_daemon.domain.errors import DomainError
from mm_daemon.engine.overlays.soft_limits import (
    LossLimits,
    PositionTimeout,
    StopLoss,
    VolatilityLimits,
)

_S = 1_000_000_000


def test_volatility_widens_then_stops_until_it_has_calmed_down() -> None:
    """In a straight line up to the stop; back only at the share of it."""
    limits = VolatilityLimits(2.0, 4.0, 3.0, resume_share=0.75)
    assert [limits.judge(sigma) for sigma in (1.0, 2.0, 3.0, 4.0)] == [1.0, 1.0, 2.0, 3.0]
    assert limits.judge(4.1) is None
    assert limits.stopped
    assert limits.judge(3.5) is None
    assert limits.judge(3.0) == 2.0
    assert limits.judge(math.nan) is None
    assert VolatilityLimits(2.0, 4.0, 3.0).judge(math.inf) is None


def test_loss_widens_then_stops_until_the_next_period() -> None:
    """Winning it back does not go on by itself."""
    limits = LossLimits(100.0, 200.0, 2.0)
    assert limits.judge(-150.0) == 1.5
    assert limits.judge(-200.0) == 2.0
    assert limits.judge(-200.1) is None
    assert limits.judge(50.0) is None
    assert limits.stopped
    limits.reset()
    assert limits.judge(-50.0) == 1.0


def test_profit_never_stops() -> None:
    """Of whatever size; but what is no number does."""
    limits = LossLimits(100.0, 200.0, 2.0)
    assert limits.judge(1e12) == 1.0
    assert limits.judge(math.inf) == 1.0
    assert limits.judge(math.nan) is None


def test_position_expires_from_when_it_was_opened_or_turned() -> None:
    """Growing and shrinking do not make it younger; flat has no age."""
    timeout = PositionTimeout(10.0)
    timeout.on_position(0, 5)
    timeout.on_position(8 * _S, 2)
    assert timeout.due_ns() == 10 * _S
    assert not timeout.expired(10 * _S - 1)
    assert timeout.expired(10 * _S)
    timeout.on_position(9 * _S, -2)
    assert not timeout.expired(18 * _S)
    timeout.shift(5 * _S)
    assert timeout.due_ns() == 24 * _S
    timeout.on_position(20 * _S, 0)
    timeout.shift(5 * _S)
    assert timeout.due_ns() is None
    assert not timeout.expired(1 << 60)


def test_stop_loss_holds_until_flat() -> None:
    """Beyond the distance from the average price, on the losing side only; recovering does not take it back."""
    stop = StopLoss(100.0)
    assert not stop.judge(5, 1000.0, 990.0)
    assert not stop.judge(5, 1000.0, 1100.0)
    assert stop.judge(5, 1000.0, 989.9)
    assert stop.judge(5, 1000.0, 1000.0)
    assert stop.judge(5, None, math.nan)
    assert not stop.judge(0, None, 1000.0)
    assert stop.judge(-5, 1000.0, 1010.1)


def test_limits_the_wrong_way_round_are_refused() -> None:
    """Stops before they widen, multipliers that narrow, no time, no distance."""
    for make in (
        lambda: VolatilityLimits(4.0, 4.0, 2.0),
        lambda: VolatilityLimits(2.0, 4.0, 0.9),
        lambda: VolatilityLimits(2.0, 4.0, 2.0, resume_share=1.1),
        lambda: LossLimits(200.0, 100.0, 2.0),
        lambda: PositionTimeout(0.0),
        lambda: StopLoss(0.0),
    ):
        with pytest.raises(DomainError):
            make()
