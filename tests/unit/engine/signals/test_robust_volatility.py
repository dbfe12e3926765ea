"""The estimators that resist noise and jumps."""

import math

import pytest

from mm_daemon.domain.errors import DomainError
from mm_daemon.domain.rng import Rng
from mm_daemon.engine.signals.robust_volatility import BipowerVolatility, TwoScaleVolatility


def test_two_scales_see_through_noise() -> None:
    """Noise as large as the volatility trebles the plain variance and leaves the two-scale one near the truth."""
    rng = Rng(11)
    estimator = TwoScaleVolatility(1.0, 10, 4000.0)
    log_price = math.log(100.0)
    for _ in range(20_000):
        log_price += 1e-4 * 2.0 * rng.normal()
        estimator.sample(math.exp(log_price + 1e-4 * 2.0 * rng.normal()))
    assert estimator.v_fast == pytest.approx(12.0, rel=0.1)
    assert estimator.sigma2 == pytest.approx(4.0, rel=0.25)
    assert estimator.noise_var == pytest.approx(4.0, rel=0.1)
    assert estimator.sigma_bps is not None


def test_two_scales_never_fall_below_a_tenth_of_the_slow_one() -> None:
    """Pure bounce would subtract to nothing; a tenth of the slow variance is kept."""
    estimator = TwoScaleVolatility(1.0, 3, 30.0)
    for step in range(40):
        estimator.sample(100.0 + 0.01 * (step % 2))
    slow = estimator.v_slow
    assert slow is not None
    assert estimator.sigma2 == pytest.approx(0.1 * slow)


def test_two_scales_need_two_lags_and_enough_prices() -> None:
    """One lag is one scale; before K steps there is no slow variance."""
    with pytest.raises(DomainError, match="K = 1"):
        TwoScaleVolatility(1.0, 1, 30.0)
    estimator = TwoScaleVolatility(1.0, 5, 30.0)
    for price in (100.0, 100.1, 100.2):
        estimator.sample(price)
    estimator.sample(math.nan)
    assert estimator.sigma2 is None
    assert estimator.noise_var is None
    assert estimator.sigma_bps is None
    assert estimator.dropped == 1


def test_one_jump_hardly_moves_bipower() -> None:
    """A move of fifty standard deviations changes it far less than its square would."""
    rng = Rng(5)
    estimator = BipowerVolatility(1.0, 200.0)
    log_price = 0.0
    for step in range(2000):
        log_price += 1e-4 * rng.normal() + (1e-4 * 50.0 if step == 1950 else 0.0)
        estimator.sample(math.exp(log_price))
    assert estimator.sigma_bps is not None
    assert estimator.sigma_bps < 1.4  # the squared jump alone would read 3
    estimator.sample(-1.0)
    assert estimator.dropped == 1


def test_bipower_waits_for_its_second_return() -> None:
    """Products of neighbouring returns need two of them, and a pricer needs more."""
    estimator = BipowerVolatility(1.0, 30.0)
    for price in (100.0, 100.1):
        estimator.sample(price)
    assert estimator.estimate is None
    estimator.sample(100.2)
    assert estimator.estimate is not None
    assert estimator.sigma_bps is None
