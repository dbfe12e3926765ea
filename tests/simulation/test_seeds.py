"""The whole daemon among seeded faults: no invariant breaks, and the same seed is the same history."""

import pytest

from mm_daemon.dst.run import live_seed, simulate


@pytest.mark.parametrize("seed", [1, 2, 4, 6, 20])
def test_a_seed_holds_and_is_the_same_twice(seed: int) -> None:
    outcome = live_seed(seed, 600, twice=True)
    assert outcome.breach is None, "\n".join([outcome.breach or "", *outcome.trace])
    assert outcome.steps >= 600


def test_a_fill_whose_key_is_forgotten_is_still_a_fill_that_was_booked() -> None:
    """The clock was set forward by an hour between two lives, and then the power was cut."""
    outcome = live_seed(1693, 2000)
    assert outcome.breach is None, "\n".join([outcome.breach or "", *outcome.trace])


@pytest.mark.slow
def test_many_seeds_hold() -> None:
    report = simulate(range(1000, 1200), 2000, workers=2)
    assert not report.violations, "\n\n".join(violation.to_text() for violation in report.violations[:3])
