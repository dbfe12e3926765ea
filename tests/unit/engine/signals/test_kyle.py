"""Kyle's lambda: its unit, its bins and its caution."""

import math

import pytest

from mm_daemon.domain.errors import DomainError
from mm_daemon.domain.rng import Rng
from mm_daemon.engine.signals.kyle import DecayedRegression, KyleLambda

_S = 1_000_000_000


def walked(impact_bps_per_million: float, seconds: int = 600, noise_bps: float = 0.1) -> KyleLambda:
    """A mid that goes with each second's signed volume, a million quote a lot at tick 1000000."""
    rng = Rng(17)
    kyle = KyleLambda(1000, 300.0, 1.0)
    half = 2_000_000.0
    for second in range(seconds):
        kyle.on_mid(second * _S, round(half))
        buy = rng.uniform() < 0.5
        lots = 1 + int(rng.uniform() * 5.0)
        kyle.on_order(second * _S + 1, buy, 1_000_000, lots)
        signed = lots if buy else -lots
        half *= math.exp(1e-4 * (impact_bps_per_million * signed + noise_bps * rng.normal()))
        kyle.on_mid(second * _S + 2, round(half))
    return kyle


def test_impact_is_found_in_bps_a_million() -> None:
    """The slope that moved the mid comes back, and an order's impact from it."""
    kyle = walked(0.3)
    assert kyle.value == pytest.approx(0.3, rel=0.1)
    assert kyle.impact_bps(2e6) == pytest.approx(0.6, rel=0.1)


def test_insignificant_slope_is_no_value_and_a_negative_one_is_zero() -> None:
    """Noise is not sold as impact; a mid that goes against the volume has none."""
    assert walked(0.0, noise_bps=5.0).value is None
    assert walked(0.0, noise_bps=5.0).impact_bps(1.0) is None
    assert walked(-0.3).value == 0.0


def test_bins_without_events_count_as_zeros() -> None:
    """Catching up on the clock in one go equals as many bins without volume or move."""
    stepped, leapt = KyleLambda(1000, 300.0, 1.0), KyleLambda(1000, 300.0, 1.0)
    for kyle in (stepped, leapt):
        for second in range(30):
            kyle.on_mid(second * _S, 2_000_000 + 7 * (second % 3))
            kyle.on_order(second * _S + 1, second % 3 == 1, 1_000_000, 1 + second % 2)
    for second in range(30, 60):
        stepped.on_mid(second * _S, 2_000_000 + 7 * (29 % 3))
    leapt.on_mid(59 * _S, 2_000_000 + 7 * (29 % 3))
    for one, other in zip(stepped.state().sums.__struct_fields__, leapt.state().sums.__struct_fields__, strict=True):
        assert getattr(stepped.state().sums, one) == pytest.approx(getattr(leapt.state().sums, other), rel=1e-12)


def test_long_silence_and_bad_input() -> None:
    """Ten half-lives of silence forget all; bad or old input is dropped and counted."""
    kyle = walked(0.3)
    kyle.on_mid(600 * _S + 3001 * _S, 2_000_000)
    assert kyle.value is None
    kyle.on_mid(1, 2_000_000)
    kyle.on_mid(9999 * _S, 0)
    kyle.on_order(9999 * _S, True, math.nan, 1)
    kyle.on_order(9999 * _S, True, 1, math.inf)
    assert kyle.dropped == 4


def test_regression_knows_when_it_knows_nothing() -> None:
    """Volume that never varies has no slope; a perfect line is beyond doubt; d is a factor."""
    flat = DecayedRegression(0.9)
    assert flat.slope is None
    assert flat.intercept is None
    assert flat.t_statistic is None
    for y in (0.1, 0.2, 0.3):
        flat.add(2.0, y)
    assert flat.slope is None
    line = DecayedRegression(1.0)
    for x in (1.0, 2.0, 3.0, 4.0):
        line.add(x, 2.0 * x + 1.0)
    line.add_zeros(0)
    assert line.slope == pytest.approx(2.0)
    assert line.intercept == pytest.approx(1.0)
    assert line.t_statistic == math.inf
    for d in (0.0, 1.1, math.nan):
        with pytest.raises(DomainError):
            DecayedRegression(d)
