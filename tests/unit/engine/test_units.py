"""The bps and order-size normalisation and the way back from skew to gamma."""

import math

import pytest

from mm_daemon.domain.errors import DomainError
from mm_daemon.engine import units
from mm_daemon.engine.models import glft


def test_half_annual_volatility_is_known() -> None:
    """50 % a year is 0.890 bps per square root of a second."""
    assert units.annual_vol_to_bps(0.5) == pytest.approx(0.890, abs=5e-4)
    assert units.annual_vol_to_bps(0.0) == 0.0


def test_gamma_from_skew_moves_the_reservation_price_as_asked() -> None:
    """Holding n_max orders shifts the quotes by exactly the asked number of bps."""
    gamma = units.gamma_from_skew(8.0, 20.0, 1.1, 300.0)
    quotes = units.as_bps(50_000.0, 20.0, 0.0, 1.0, 1.1, 300.0, gamma, 0.5)
    assert quotes.reservation_shift_bps == pytest.approx(-8.0)


def test_glft_gamma_from_skew_is_the_inverse_of_the_skew() -> None:
    """The bisection finds the gamma whose skew times n_max is the asked shift."""
    for shift in (0.01, 1.0, 10.0):
        gamma = units.glft_gamma_from_skew(shift, 5.0, 1.2, 0.5, 0.9)
        assert glft.coefficients(1.2, 0.5, gamma, 0.9).skew * 5.0 == pytest.approx(shift, rel=1e-9)


def test_unreachable_skew_says_what_can_be_reached() -> None:
    """No gamma between the bounds gives it: an error with the reachable range, not the nearest bound."""
    with pytest.raises(DomainError, match="reachable"):
        units.glft_gamma_from_skew(1e9, 5.0, 1.2, 0.5, 0.9)


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_prices_and_sizes_must_be_positive(bad: float) -> None:
    """A mid or an order size that is no positive number is outside the domain."""
    with pytest.raises(DomainError, match="mid"):
        units.bps_units(bad, 1.0, 1.0, 1.0, 0.1)
    with pytest.raises(DomainError, match="order_size"):
        units.as_bps(100.0, 0.0, 0.0, bad, 1.0, 1.0, 0.1, 0.5)
    with pytest.raises(DomainError, match="tau"):
        units.gamma_from_skew(1.0, 1.0, 1.0, bad)
