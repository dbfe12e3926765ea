"""Seeded chance: the published sequence, the right distributions, independent streams."""

import statistics

from mm_daemon.domain.rng import Rng


def test_first_values_are_those_of_splitmix64():
    """Reference outputs of the published algorithm for seed 1234567."""
    rng = Rng(1234567)
    assert [rng.bits() for _ in range(3)] == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_streams_depend_on_seed_and_name_alone():
    """Splitting gives the same stream whatever was drawn before, and another for another name."""
    used, fresh = Rng(7), Rng(7)
    used.uniform()
    assert used.split("a").bits() == fresh.split("a").bits() != fresh.split("b").bits()


def test_moments_are_those_of_the_distributions():
    """Means and deviations of 20,000 draws lie within five standard errors."""
    rng = Rng(1)
    uniform = [rng.uniform() for _ in range(20000)]
    normal = [rng.normal() for _ in range(20000)]
    waiting = [rng.exponential(4.0) for _ in range(20000)]
    assert abs(statistics.fmean(uniform) - 0.5) < 5 * 0.2887 / 141
    assert abs(statistics.fmean(normal)) < 5 / 141
    assert abs(statistics.pstdev(normal) - 1) < 5 / 200
    assert abs(statistics.fmean(waiting) - 0.25) < 5 * 0.25 / 141
    assert {rng.below(3) for _ in range(100)} == {0, 1, 2}
