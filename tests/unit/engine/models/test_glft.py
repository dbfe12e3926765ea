"""The closed form of GLFT: its limits, its relation to Avellaneda-Stoikov, and its domain."""

import math

import pytest

from mm_daemon.domain.errors import DomainError
from mm_daemon.engine.models import avellaneda_stoikov, glft


def test_published_example_is_reproduced_to_all_digits() -> None:
    """The half-spread and skew that hftbacktest's example prints for its calibration."""
    printed = glft.coefficients(A=2.986162360812285, k=0.04235741115084049, gamma=0.05, sigma=10.69)
    assert printed.half_spread == pytest.approx(20.47208533844371, rel=1e-14)
    assert printed.skew == pytest.approx(9.76326865029227, rel=1e-14)


def test_vanishing_execution_risk_tends_to_its_limit() -> None:
    """From any small xi down to the smallest float, c1 and c2 run smoothly into their values at xi = 0."""
    limit = glft.coefficients(1.2, 0.5, 0.1, 0.9, xi=0.0)
    assert limit.c1 == 2.0
    for xi in (1e-9, 1e-11, 1e-13, 1e-100, 5e-324):
        near = glft.coefficients(1.2, 0.5, 0.1, 0.9, xi=xi)
        assert near.c1 == pytest.approx(limit.c1, rel=2.0 * xi + 1e-15)
        assert near.c2 == pytest.approx(limit.c2, rel=2.0 * xi + 1e-15)


@pytest.mark.parametrize(("gamma", "sigma"), [(0.0, 0.9), (0.1, 0.0), (0.0, 0.0)])
def test_without_risk_there_is_no_skew_and_no_horizon(gamma: float, sigma: float) -> None:
    """Nothing to fear, nothing to lean against: only the premium of a single fill is left."""
    free = glft.coefficients(1.2, 0.5, gamma, sigma)
    assert free.skew == 0.0
    assert free.tau_star is None
    assert free.half_spread == free.c1


def test_automatic_horizon_makes_avellaneda_stoikov_the_same_model() -> None:
    """At tau = tau_star both models quote the same prices at any inventory (MODELS 2.2)."""
    A, k, gamma, sigma = 1.2, 0.5, 0.1, 0.9
    tau = glft.coefficients(A, k, gamma, sigma).tau_star
    assert tau is not None
    for q in (-3.0, 0.0, 0.5, 4.0):
        ours = glft.quotes(100.0, q, A, k, gamma, sigma)
        theirs = avellaneda_stoikov.finite(100.0, q, gamma, sigma, tau, k)
        assert ours.bid == pytest.approx(theirs.bid, rel=1e-14)
        assert ours.ask == pytest.approx(theirs.ask, rel=1e-14)


def test_fee_is_passed_on_in_full_and_raises_the_skew() -> None:
    """Each depth grows by the fee and by the wider spread that thinner flow asks for."""
    free = glft.quotes(0.0, 1.0, 1.2, 0.5, 0.1, 0.9)
    charged = glft.quotes(0.0, 1.0, 1.2, 0.5, 0.1, 0.9, fee=1.5)
    assert charged.delta_bid + charged.delta_ask > free.delta_bid + free.delta_ask + 2 * 1.5
    assert charged.delta_bid - charged.delta_ask > free.delta_bid - free.delta_ask


@pytest.mark.parametrize(
    "wrong",
    [
        {"A": 0.0},
        {"A": math.nan},
        {"k": 0.0},
        {"k": -1.0},
        {"k": math.inf},
        {"gamma": -0.1},
        {"sigma": -1.0},
        {"sigma": math.nan},
        {"delta": 0.0},
        {"xi": -0.1},
        {"xi": math.inf},
    ],
)
def test_numbers_outside_the_domain_are_named_errors(wrong: dict[str, float]) -> None:
    """No clamp: the error is a ValueError and says which number it was."""
    name = next(iter(wrong))
    with pytest.raises(DomainError, match="Delta" if name == "delta" else name):
        glft.coefficients(**{"A": 1.2, "k": 0.5, "gamma": 0.1, "sigma": 0.9, **wrong})


def test_overflow_is_an_error_not_an_infinite_quote() -> None:
    """Absurd but formally valid numbers end in a DomainError."""
    with pytest.raises(DomainError):
        glft.coefficients(5e-324, 1e-300, 1e300, 1e300)
    with pytest.raises(DomainError):
        glft.fee_adjusted_A(1.0, 1.0, -1e6)


def test_drift_without_a_horizon_is_an_error() -> None:
    """A trend and no risk would shift the quotes without bound."""
    with pytest.raises(DomainError, match="horizon"):
        glft.quotes(100.0, 0.0, 1.2, 0.5, 0.0, 0.9, mu=0.1)
