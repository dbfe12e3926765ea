"""EWMA volatility: its clock, its readiness, and what it refuses."""

import math

import pytest

from mm_daemon.domain.errors import DomainError
from mm_daemon.domain.rng import Rng
from mm_daemon.engine.signals.volatility import EwmaVolatility

_S = 1_000_000_000


def test_estimate_is_the_decayed_ratio_of_squares_to_time() -> None:
    """Two moves on the clock give the same figure as the formula written out."""
    volatility = EwmaVolatility(2.0, 1000)
    for second, price in enumerate((100.0, 100.1, 100.05)):
        volatility.update(second * _S + 1, price)  # just after the boundary: carried over the next one
    volatility.update(3 * _S, 100.05)
    first, second_move = 1e4 * math.log(100.1 / 100.0), 1e4 * math.log(100.05 / 100.1)
    decay = 2.0**-0.5
    # The first price was taken 1 ns after a boundary and stands for the rest of that step.
    squares = (0.0 * decay + first**2) * decay + second_move**2
    time = (1.0 * decay + 1.0) * decay + 1.0
    assert volatility.estimate == pytest.approx(math.sqrt(squares / time), rel=1e-6)


def test_value_before_the_boundary_is_what_is_sampled() -> None:
    """What happens within a step does not count, only the last value before its end; the rest waits for the next."""
    quiet, noisy = EwmaVolatility(60.0, 1000), EwmaVolatility(60.0, 1000)
    for volatility in (quiet, noisy):
        volatility.update(0, 100.0)
    for tenth in range(1, 9):
        noisy.update(tenth * _S // 10, 100.0 + tenth % 2)
    for volatility in (quiet, noisy):
        volatility.update(9 * _S // 10, 100.0)
        volatility.update(_S, 100.5)  # belongs to the second step
    assert quiet.estimate == noisy.estimate == 0.0
    noisy.update(2 * _S, 100.5)
    assert noisy.estimate is not None
    assert noisy.estimate > 0.0


def test_many_silent_steps_equal_as_many_samples_without_a_move() -> None:
    """Catching up on the clock in one go changes nothing."""
    stepped, leapt = EwmaVolatility(10.0, 500), EwmaVolatility(10.0, 500)
    for volatility in (stepped, leapt):
        volatility.update(0, 100.0)
        volatility.update(400_000_000, 100.2)
    for half_second in range(1, 41):
        stepped.update(half_second * _S // 2, 100.2)
    leapt.update(20 * _S, 100.2)
    assert leapt.estimate == pytest.approx(stepped.estimate, rel=1e-12)
    assert leapt.sigma_bps == pytest.approx(stepped.sigma_bps, rel=1e-12)


def test_random_walk_is_measured_at_its_volatility() -> None:
    """The estimate of a long walk lies within its sampling error of the truth."""
    rng = Rng(7)
    volatility = EwmaVolatility(2000.0, 1000)
    log_price = math.log(60_000.0)
    for second in range(6000):
        volatility.update(second * _S, math.exp(log_price))
        log_price += 1e-4 * 1.5 * rng.normal()
    assert volatility.sigma_bps == pytest.approx(1.5, rel=0.06)


def test_nothing_is_handed_out_before_enough_was_seen() -> None:
    """Both a count of samples and a decayed time of observation are asked for."""
    volatility = EwmaVolatility(60.0, 1000)
    ready_at = None
    for second in range(60):
        volatility.update(second * _S, 100.0 + second % 2)
        if volatility.sigma_bps is not None and ready_at is None:
            ready_at = second
    assert ready_at is not None
    assert ready_at > 30


def test_long_silence_takes_readiness_away() -> None:
    """After more than ten half-lives without a price the estimate is too old, until new samples have come in."""
    volatility = EwmaVolatility(5.0, 1000)
    for second in range(60):
        volatility.update(second * _S, 100.0 + second % 2)
    assert volatility.sigma_bps is not None
    volatility.update(120 * _S, 100.0)
    assert volatility.sigma_bps is None
    for second in range(121, 140):
        volatility.update(second * _S, 100.0 + second % 2)
    assert volatility.sigma_bps is not None


def test_market_that_stands_still_is_never_a_volatility_of_zero() -> None:
    """Zero would make a pricer fearless: not ready without a floor, the floor with one."""
    bare, floored = EwmaVolatility(5.0, 1000), EwmaVolatility(5.0, 1000, floor_bps=0.2)
    for second in range(60):
        bare.update(second * _S, 100.0)
        floored.update(second * _S, 100.0)
    assert bare.sigma_bps is None
    assert bare.estimate == 0.0
    assert floored.sigma_bps == 0.2


def test_time_going_back_and_bad_prices_are_dropped_and_counted() -> None:
    """They change nothing but the count."""
    volatility = EwmaVolatility(5.0, 0)
    volatility.update(2 * _S, 100.0)
    volatility.update(3 * _S, 101.0)
    before = volatility.estimate
    volatility.update(1 * _S, 500.0)
    for bad in (0.0, -1.0, math.nan, math.inf):
        volatility.update(4 * _S, bad)
    assert not volatility.observe(-1.0, 100.0)
    assert volatility.dropped == 6
    assert volatility.estimate == before


def test_moves_at_the_same_instant_are_real_variance() -> None:
    """Without a clock, dt = 0 adds to the squares and not to the time."""
    volatility = EwmaVolatility(20.0, 0)
    for ts, price in ((0, 3000.0), (_S, 3001.0)):
        volatility.update(ts, price)
    calm = volatility.estimate
    volatility.update(_S, 2999.5)
    assert calm is not None
    assert volatility.estimate is not None
    assert volatility.estimate > calm


def test_a_figure_that_is_told_stands_for_the_estimate_until_it_is_taken_back() -> None:
    """Whatever the market does; ours goes on beneath it, and the state that outlives a process is ours alone."""
    told, alone = (EwmaVolatility(60.0, 0) for _ in range(2))
    told.tell(3.0)
    assert (told.sigma_bps, told.confidence) == (3.0, 1.0)
    for second in range(200):
        for each in (told, alone):
            each.update(second * 1_000_000_000, 100.0 + second % 3)
    assert (told.sigma_bps, told.confidence) == (3.0, 1.0)
    told.update(10_000 * 1_000_000_000, 100.0)
    assert told.sigma_bps == 3.0, "a silence takes readiness from ours, not from theirs"
    alone.update(10_000 * 1_000_000_000, 100.0)
    assert told.state() == alone.state()
    told.tell(0.0)
    assert (told.sigma_bps, told.confidence) == (alone.sigma_bps, alone.confidence)
    with pytest.raises(DomainError):
        told.tell(-1.0)
