"""Avellaneda and Stoikov's quotes: limits, symmetry, bounds and domain."""

import math

import pytest

from mm_daemon.domain.errors import DomainError
from mm_daemon.engine.models import avellaneda_stoikov as model


def test_no_risk_aversion_quotes_symmetrically_at_one_over_k() -> None:
    """gamma = 0 is a limit, not a division by zero."""
    quotes = model.finite(100.0, 5.0, 0.0, 2.0, 1.0, 1.5)
    assert quotes.reservation == 100.0
    assert quotes.spread == pytest.approx(2.0 / 1.5)


def test_long_inventory_lowers_both_quotes() -> None:
    """A long position wants to be sold: the ask comes closer and the bid steps back."""
    flat, long = (model.finite(100.0, q, 0.1, 2.0, 1.0, 1.5) for q in (0.0, 2.0))
    assert long.bid < flat.bid
    assert long.ask < flat.ask


@pytest.mark.parametrize(
    "wrong", [{"k": 0.0}, {"gamma": -0.1}, {"sigma": -2.0}, {"tau": -1.0}, {"q": math.nan}, {"s": math.inf}]
)
def test_numbers_outside_the_domain_are_errors(wrong: dict[str, float]) -> None:
    """A negative time left, a failed calibration or a NaN give no quote."""
    case = {"s": 100.0, "q": 1.0, "gamma": 0.1, "sigma": 2.0, "tau": 1.0, "k": 1.5, **wrong}
    with pytest.raises(DomainError):
        model.finite(**case)


def test_stationary_quotes_end_at_the_inventory_bound() -> None:
    """At and beyond +qmax there is no bid, at and beyond -qmax no ask."""
    for q in (10.0, 10.5):
        quotes = model.infinite(100.0, q, 0.1, 2.0, 1.5, 10.0)
        assert quotes.bid is None
        assert quotes.reservation_bid is None
        assert quotes.ask is not None
    assert model.infinite(100.0, -10.0, 0.1, 2.0, 1.5, 10.0).ask is None


def test_stationary_quotes_are_mirror_images() -> None:
    """r_ask(q) - s = s - r_bid(-q): what the paper's misprint breaks."""
    for q in (0.0, 2.5, 7.0):
        ask = model.infinite(100.0, q, 0.1, 2.0, 1.5, 10.0).reservation_ask
        bid = model.infinite(100.0, -q, 0.1, 2.0, 1.5, 10.0).reservation_bid
        assert ask is not None
        assert bid is not None
        assert ask - 100.0 == pytest.approx(100.0 - bid)


def test_stationary_quotes_need_room() -> None:
    """Inventory beyond the discount rate's reach, or no risk at all with the natural rate, is outside the domain."""
    with pytest.raises(DomainError, match="outside the model"):
        model.infinite(100.0, 11.0, 0.1, 2.0, 1.5, 10.0)
    with pytest.raises(DomainError, match="omega"):
        model.infinite(100.0, 0.0, 0.0, 2.0, 1.5, 10.0)
    with pytest.raises(DomainError, match="outside the model"):
        model.infinite(100.0, 2.0, 0.5, 1.0, 1.5, 5.0, omega=0.1)


def test_given_omega_without_risk_leaves_the_reference_price() -> None:
    """gamma = 0 with an explicit discount rate: no reservation shift on either side."""
    quotes = model.infinite(100.0, 3.0, 0.0, 2.0, 1.5, 10.0, omega=1.0)
    assert quotes.reservation_bid == quotes.reservation_ask == 100.0


def test_symmetric_spread_is_the_average_of_the_finite_one() -> None:
    """The benchmark's constant spread is the mean over the left grid of the inventory strategy's."""
    steps = 200
    spreads = [model.finite(100.0, 0.0, 0.1, 2.0, 1.0 - i / steps, 1.5).spread for i in range(steps)]
    benchmark = model.symmetric(100.0, 0.1, 2.0, 1.0, 1.0 / steps, 1.5)
    assert benchmark.spread == pytest.approx(sum(spreads) / steps, rel=1e-12)
