"""Shifts of the fair price: limits of the formula and of what it may do."""

import math

import pytest

from mm_daemon.domain.errors import DomainError
from mm_daemon.engine.overlays.shifts import clamped, funding_shift, momentum_shift


def test_who_is_flat_before_it_is_paid_does_not_care() -> None:
    """A short horizon far from the payment, and one of zero."""
    assert funding_shift(60_000.0, 0.01, 14_400.0, 28_800.0, 60.0) == pytest.approx(0.0, abs=1e-90)
    assert funding_shift(60_000.0, 0.01, 0.0, 28_800.0, 0.0) == 0.0


def test_long_horizon_pays_as_time_passes() -> None:
    """The limit of continuous accrual: the rate a second, times the horizon."""
    assert funding_shift(100.0, 0.001, 0.0, 100.0, 1e9) == pytest.approx(-100.0 * 0.001 * 1e9 / 100.0, rel=1e-6)


def test_payers_bid_less() -> None:
    """A positive rate is paid by longs: down. Negative: up, by the same."""
    paid = funding_shift(100.0, 0.001, 10.0, 100.0, 50.0)
    assert paid < 0.0
    assert funding_shift(100.0, -0.001, 10.0, 100.0, 50.0) == -paid


@pytest.mark.parametrize(
    "case",
    [
        (0.0, 0.001, 1.0, 1.0, 1.0),
        (1.0, math.nan, 1.0, 1.0, 1.0),
        (1.0, 0.001, -1.0, 1.0, 1.0),
        (1.0, 0.001, 1.0, 0.0, 1.0),
        (1.0, 0.001, 1.0, 1.0, -1.0),
        (1.0, 0.001, 1.0, 1e-300, 1e300),
        (1e200, 1e200, 1.0, 1.0, 1.0),
    ],
)
def test_numbers_outside_the_domain_are_refused(case: tuple[float, ...]) -> None:
    """Nothing that is no number, negative time, or beyond any number."""
    with pytest.raises(DomainError):
        funding_shift(*case)


def test_momentum_moves_fair_by_its_score_within_the_cap() -> None:
    """Beta times score times the deviation over the horizon; nothing without a score."""
    assert momentum_shift(2.0, 0.1, 1.5, 4.0, 10.0) == pytest.approx(0.6)
    assert momentum_shift(-2.0, 0.1, 1.5, 4.0, 0.5) == -0.5
    assert momentum_shift(None, 0.1, 1.5, 4.0, 0.5) == 0.0
    with pytest.raises(DomainError):
        momentum_shift(math.nan, 0.1, 1.5, 4.0, 0.5)


def test_clamp_refuses_what_is_no_number() -> None:
    """Infinity is only large; NaN is a mistake, and so is a negative cap."""
    assert clamped(math.inf, 2.0) == 2.0
    assert clamped(-3.0, 2.0) == -2.0
    for shift, cap in ((math.nan, 1.0), (1.0, -1.0), (1.0, math.nan)):
        with pytest.raises(DomainError):
            clamped(shift, cap)
