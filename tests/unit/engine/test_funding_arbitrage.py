"""Carry: directions, costs, and what has no answer."""

import pytest

from mm_daemon.domain.errors import DomainError
from mm_daemon.engine.funding_arbitrage import cross_venue_apr, funding_arb


def test_negative_funding_turns_the_legs_around() -> None:
    """Long the perpetual, so a perpetual above spot costs its premium."""
    carry = funding_arb(100.0, 101.0, -0.001, 8.0, 80.0, [0.001])
    assert not carry.short_perp
    assert carry.net_return == pytest.approx(10 * 0.001 - 0.01 - 0.001)
    assert carry.gross_apr < 0.0
    assert carry.breakeven_periods == pytest.approx(1.0)


def test_no_funding_never_breaks_even() -> None:
    """Only the basis is earned; borrowing costs by the hour."""
    carry = funding_arb(100.0, 102.0, 0.0, 8.0, 8760.0, [0.005, 0.005], exit_basis=0.0, borrow_apr=0.03)
    assert carry.breakeven_periods is None
    assert carry.apy == 0.0
    assert carry.short_perp
    assert carry.net_apr == carry.net_return == pytest.approx(0.02 - 0.01 - 0.03)


@pytest.mark.parametrize("changed", [{"spot": 0.0}, {"perp": -1.0}, {"rate": -1.0}, {"period_h": 0.0}, {"hold_h": 0.0}])
def test_numbers_outside_the_domain_are_refused(changed: dict[str, float]) -> None:
    """Prices, hours and a rate that takes everything; and one that compounds beyond any number."""
    case = {"spot": 100.0, "perp": 100.0, "rate": 0.001, "period_h": 8.0, "hold_h": 8.0}
    with pytest.raises(DomainError):
        funding_arb(**{**case, **changed}, fee_legs=[])
    with pytest.raises(DomainError):
        funding_arb(**{**case, "rate": 1e3, "period_h": 1.0}, fee_legs=[])


def test_equal_rates_of_unequal_periods_differ() -> None:
    """One basis point an hour is eight a funding of eight hours."""
    assert cross_venue_apr(0.0008, 8.0, 0.0001, 1.0) == pytest.approx(0.0, abs=1e-12)
    with pytest.raises(DomainError):
        cross_venue_apr(0.0, 0.0, 0.0, 1.0)
