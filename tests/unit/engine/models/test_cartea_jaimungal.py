"""Cartea-Jaimungal: limits, its identity with GLFT, asymmetric flow, and its domain."""

import math
from typing import Any

import pytest

from mm_daemon.domain.errors import DomainError
from mm_daemon.engine.models import cartea_jaimungal, glft_exact

_BOOK: dict[str, Any] = {"kappa": 100.0, "lam_buy": 1.0, "lam_sell": 1.0, "phi": 1e-3, "alpha": 1e-4, "Q": 5}


def test_it_is_glft_without_execution_risk() -> None:
    """phi = gamma sigma^2 / 2, alpha = 0, xi = 0: depths, rate and worth agree, stationary and finite (MODELS 3.1)."""
    A, k, gamma, sigma, Q = 1.2, 0.5, 0.1, 0.9, 12
    for T in (None, 7.0):
        theirs = glft_exact.solve(A, k, gamma, sigma, Q, T, xi=0.0)
        ours = cartea_jaimungal.solve(k, A, A, 0.5 * gamma * sigma * sigma, 0.0, Q, T)
        assert ours.table.bids == pytest.approx(theirs.table.bids, abs=1e-9)
        assert ours.table.asks == pytest.approx(theirs.table.asks, abs=1e-9)
        assert ours.h_rate == pytest.approx(theirs.ce_rate, rel=1e-9)
        if T is not None:
            assert ours.h == pytest.approx(theirs.certainty_equivalents, rel=1e-9)


def test_at_the_end_only_the_terminal_penalty_is_left() -> None:
    """T = 0: h = -alpha q^2, and the ask gains what selling one unit saves."""
    over = cartea_jaimungal.quotes(3, **{**_BOOK, "alpha": 2.0}, T=0.0)
    assert over.h == pytest.approx(-18.0)
    assert over.delta_ask == pytest.approx(0.01 + 2.0 * (4.0 - 9.0))
    assert over.delta_bid == pytest.approx(0.01 + 2.0 * (16.0 - 9.0))


def test_terminal_penalty_is_forgotten_far_from_the_end() -> None:
    """Depths for any alpha tend to the stationary ones."""
    stationary = cartea_jaimungal.solve(**_BOOK).table
    for alpha in (0.0, 1e-4, 50.0):
        assert cartea_jaimungal.solve(**{**_BOOK, "alpha": alpha}, T=2000.0).table.bids == pytest.approx(
            stationary.bids, abs=1e-12
        )


def test_wide_grid_without_penalty_is_the_monopolist() -> None:
    """phi = alpha = 0 far from the bounds: 1/kappa on both sides; near a bound it still leans."""
    table = cartea_jaimungal.solve(**{**_BOOK, "phi": 0.0, "Q": 100}).table
    assert table.at(0).delta_bid == pytest.approx(0.01, rel=1e-3)
    assert (table.at(99).delta_bid or 0.0) > 0.015


def test_more_buyers_raise_both_quotes() -> None:
    """When buyers come more often, selling is easy and buying is not: a flat market maker quotes higher."""
    even = cartea_jaimungal.solve(**_BOOK).table.at(0)
    buyers = cartea_jaimungal.solve(**{**_BOOK, "lam_buy": 2.0}).table.at(0)
    assert even.delta_bid == pytest.approx(even.delta_ask)
    assert (buyers.delta_ask or 0.0) > (even.delta_ask or 0.0)
    assert (buyers.delta_bid or 0.0) < (even.delta_bid or 0.0)


def test_adverse_selection_is_charged_for() -> None:
    """Every order moves the mid by eps: symmetric flow widens both sides by eps, plus what thinner fills cost."""
    plain = cartea_jaimungal.solve(**_BOOK).table.at(0)
    chosen = cartea_jaimungal.solve(**_BOOK, eps_buy=0.002, eps_sell=0.002).table.at(0)
    assert (chosen.delta_bid or 0.0) > (plain.delta_bid or 0.0) + 0.002


def test_schedule_ends_in_the_full_horizon() -> None:
    """Its last entry is the solution for T, its first that for nothing left."""
    schedule = cartea_jaimungal.schedule(**_BOOK, T=30.0, steps=150)
    assert len(schedule) == 151
    assert schedule[0].h == pytest.approx([-1e-4 * q * q for q in range(-5, 6)])
    assert schedule[-1].h == pytest.approx(cartea_jaimungal.solve(**_BOOK, T=30.0).h, rel=1e-12)
    assert schedule[75].table.bids == pytest.approx(cartea_jaimungal.solve(**_BOOK, T=15.0).table.bids, rel=1e-12)


def test_very_one_sided_flow_has_quotes() -> None:
    """A thousand sellers to a buyer on a wide grid: symmetrising alone would need 10^300."""
    skewed = {**_BOOK, "kappa": 1.0, "lam_buy": 1e-3, "Q": 100}
    for T in (None, 10.0):
        table = cartea_jaimungal.solve(**skewed, T=T).table
        assert all(math.isfinite(depth) for depth in (*table.bids, *table.asks))


@pytest.mark.parametrize(
    "wrong",
    [
        {"kappa": 0.0},
        {"lam_buy": 0.0},
        {"lam_sell": -1.0},
        {"phi": -1e-3},
        {"alpha": math.nan},
        {"eps_buy": -0.1},
        {"eps_sell": math.inf},
        {"Q": 0},
        {"Q": 1.5},
        {"T": -1.0},
        {"T": math.nan},
        {"q": math.nan},
    ],
)
def test_numbers_outside_the_domain_are_named_errors(wrong: dict[str, Any]) -> None:
    """No clamp: the error says which number it was."""
    with pytest.raises(DomainError, match=next(iter(wrong))):
        cartea_jaimungal.quotes(**{"q": 1.0, **_BOOK, **wrong})


def test_schedule_needs_a_step() -> None:
    """No steps, no schedule."""
    with pytest.raises(DomainError, match="steps"):
        cartea_jaimungal.schedule(**_BOOK, T=1.0, steps=0)
