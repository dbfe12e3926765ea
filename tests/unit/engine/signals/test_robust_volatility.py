"""The estimators that resist noise and jumps."""

import math

import pytest

from mm_daemon.domain.errors import DomainError
from mm_daemon.domain.rng import Rng
from mm_daemon.engine.signals.robust_volatility import (
    BipowerVolatility,
    RobustEstimator,
    RobustVolatility,
    TwoScaleVolatility,
)
from mm_daemon.engine.signals.volatility import EwmaVolatility


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


KINDS = pytest.mark.parametrize("kind", ["two_scale", "bipower"])
_S = 1_000_000_000


def walk(estimator: EwmaVolatility, seconds: int, *, start_s: int = 0, noise: float = 0.0, jump_at: int = -1) -> None:
    """A mid of 1 bp a square root of a second, told four times a second, with `noise` bps of flicker."""
    rng = Rng(3).split(str(start_s))
    log_price = math.log(60_000.0)
    for quarter in range(start_s * 4, (start_s + seconds) * 4):
        log_price += 1e-4 * 0.5 * rng.normal() + (0.005 if quarter == 4 * jump_at else 0.0)
        estimator.update(quarter * _S // 4, math.exp(log_price + 1e-4 * noise * rng.normal()))


def test_flicker_and_a_jump_are_left_out_where_that_is_asked_for() -> None:
    """A flicker of a bp makes the plain estimate half as large again, a jump of 50 bps several times."""
    plain, two_scale = EwmaVolatility(600.0, 1000), RobustVolatility(600.0, 1000, "two_scale")
    for one in (plain, two_scale):
        walk(one, 1800, noise=1.0)
    assert (plain.sigma_bps or 0.0) > 1.5
    assert two_scale.sigma_bps == pytest.approx(1.0, rel=0.3)
    plain, bipower = EwmaVolatility(600.0, 1000), RobustVolatility(600.0, 1000, "bipower")
    for one in (plain, bipower):
        walk(one, 1800, jump_at=1700)
    assert (plain.sigma_bps or 0.0) > 1.7
    assert bipower.sigma_bps == pytest.approx(1.0, rel=0.25)
    assert plain.confidence == bipower.confidence == 1.0


@KINDS
def test_it_is_its_estimator_on_the_clock(kind: RobustEstimator) -> None:
    """The mid that stood at each second, one after the other, whether updates come or not."""
    clocked = RobustVolatility(60.0, 1000, kind)
    alone = TwoScaleVolatility(1.0, 5, 60.0) if kind == "two_scale" else BipowerVolatility(1.0, 60.0)
    rng, price = Rng(4), 60_000.0
    clocked.update(0, price)
    alone.sample(price)
    for second in range(400):
        if second % 50 < 20:  # then it stands still for half a minute
            price *= math.exp(1e-4 * rng.normal())
            clocked.update(second * _S + _S // 3, price)
        alone.sample(price)
    clocked.update(400 * _S, price)
    assert clocked.sigma_bps == pytest.approx(alone.sigma_bps, rel=1e-9)


@KINDS
def test_the_plain_estimate_stands_in_until_enough_is_known(kind: RobustEstimator) -> None:
    """At the start and after a silence; never is nothing said where the plain one says something."""
    plain, robust = EwmaVolatility(20.0, 1000), RobustVolatility(20.0, 1000, kind)
    for second in (*range(30), *range(900, 930)):
        for one in (plain, robust):
            one.update(second * _S, 60_000.0 + second % 7)
        assert (plain.sigma_bps is None) == (robust.sigma_bps is None)
        assert plain.confidence == robust.confidence
    for one in (plain, robust):
        one.lose_clock()
        one.update(5, 60_000.0)
    assert robust.sigma_bps is not None


@KINDS
def test_what_it_knew_is_gone_on_with(kind: RobustEstimator) -> None:
    """By the same estimator; another one begins with the plain sums."""
    lived, again, other = (RobustVolatility(60.0, 1000, name) for name in (kind, kind, _OTHER[kind]))
    walk(lived, 300)
    again.restore(lived.state())
    assert again.state() == lived.state()
    for one in (lived, again):
        walk(one, 30, start_s=300)
    assert again.sigma_bps == lived.sigma_bps
    other.restore(lived.state())
    plain = EwmaVolatility(60.0, 1000)
    plain.restore(lived.state())
    assert other.sigma_bps == plain.sigma_bps
    back = RobustVolatility(60.0, 1000, kind)
    back.restore(plain.state())
    assert back.sigma_bps == plain.sigma_bps


_OTHER: dict[RobustEstimator, RobustEstimator] = {"two_scale": "bipower", "bipower": "two_scale"}
