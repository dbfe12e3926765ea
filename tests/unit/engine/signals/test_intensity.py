"""The fill intensity from samples: what biases are corrected, and what a sample cannot tell."""

import math

import pytest

from mm_daemon.domain.errors import DomainError
from mm_daemon.domain.rng import Rng
from mm_daemon.engine.signals.intensity import (
    intensity_mle,
    intensity_regression,
    window_rate,
)


def exponential_orders(k: float, count: int, seed: int = 3) -> list[float]:
    rng = Rng(seed)
    return [-math.log(1.0 - rng.uniform()) / k for _ in range(count)]


def test_all_estimators_find_the_truth_of_one_sample() -> None:
    """Two orders a second with k = 0.4: both methods come within their sampling error."""
    depths = exponential_orders(0.4, 8000)
    times = [index / 2.0 for index in range(len(depths))]
    mle = intensity_mle(times, depths, 4000.0, 1e9, 0.0)
    assert mle.k == pytest.approx(0.4, rel=0.04)
    assert pytest.approx(2.0, rel=0.01) == mle.A
    assert mle.n_eff == pytest.approx(8000, rel=1e-4)
    line = intensity_regression(depths, 4000.0, [0.0, 1.0, 2.0, 3.0, 4.0])
    assert line.k == pytest.approx(0.4, rel=0.05)
    assert pytest.approx(2.0, rel=0.05) == line.A
    assert line.r2 is not None
    assert line.r2 > 0.99


def test_ticks_bias_k_and_the_lattice_corrects_it() -> None:
    """Depths floored to ticks of one unit look shallower than they are."""
    depths = [float(math.floor(depth)) for depth in exponential_orders(0.8, 8000)]
    times = [float(index) for index in range(len(depths))]
    plain = intensity_mle(times, depths, 8000.0, 1e9, 0.0).k
    corrected = intensity_mle(times, depths, 8000.0, 1e9, 0.0, lattice=1.0).k
    assert plain is not None
    assert plain > 0.8 * 1.2
    assert corrected == pytest.approx(0.8, rel=0.05)


def test_negative_depths_count_as_zero() -> None:
    """A stale fair price makes them; the order was there all the same."""
    stale, at_fair = ([depth, 1.0, 2.0] for depth in (-0.7, 0.0))
    assert intensity_regression(stale, 10.0, [0.0, 1.0]) == intensity_regression(at_fair, 10.0, [0.0, 1.0])
    times = [1.0, 2.0, 3.0]
    assert intensity_mle(times, stale, 4.0, 10.0, 0.0) == intensity_mle(times, at_fair, 4.0, 10.0, 0.0)


def test_a_sample_that_cannot_tell_answers_none() -> None:
    """No orders, none beyond the least depth, one edge: no k, and no exception."""
    assert intensity_regression([], 10.0, [0.0, 1.0]).k is None
    assert intensity_regression([5.0, 6.0], 10.0, [1.0]).k is None
    assert intensity_regression([0.5, 0.6, 2.0], 10.0, [0.0, 1.0], min_count=2).k is None
    nothing = intensity_mle([], [], 10.0, 5.0, 0.0)
    assert (nothing.k, nothing.A, nothing.rate) == (None, None, 0.0)
    at_touch = intensity_mle([1.0], [0.5], 10.0, 5.0, 0.5)
    assert at_touch.k is None
    assert at_touch.rate > 0.0
    assert intensity_mle([1.0], [0.5 + 1e-12], 10.0, 5.0, 0.5).A is None


def test_windows_that_were_all_hit_measure_nothing() -> None:
    """Zero hits are a rate of zero, all hits are none."""
    assert window_rate(0, 10, 1.0) == 0.0
    assert window_rate(10, 10, 1.0) is None
    assert window_rate(5, 10, 0.5) == pytest.approx(2.0 * math.log(2.0))


@pytest.mark.parametrize(("hits", "windows", "step"), [(11, 10, 1.0), (-1, 10, 1.0), (0, 0, 1.0), (1, 10, 0.0)])
def test_impossible_windows_are_refused(hits: float, windows: float, step: float) -> None:
    """More hits than windows, none of them, or no length."""
    with pytest.raises(DomainError):
        window_rate(hits, windows, step)


def test_samples_that_do_not_pair_or_lie_in_the_future_are_refused() -> None:
    """A caller's mistake is not estimated away."""
    with pytest.raises(DomainError, match="pair"):
        intensity_mle([1.0], [], 10.0, 5.0, 0.0)
    with pytest.raises(DomainError, match="after the end"):
        intensity_mle([11.0], [1.0], 10.0, 5.0, 0.0)
    with pytest.raises(DomainError, match="depth"):
        intensity_regression([math.nan], 10.0, [0.0, 1.0])
