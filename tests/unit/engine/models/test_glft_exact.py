"""Exact GLFT: bounds, fractions, limits, domain, and its nearness to the closed form."""

import math
import subprocess
import sys

import pytest

from mm_daemon.domain.errors import DomainError
from mm_daemon.engine.models import glft, glft_exact

_BPS = {"A": 1.2, "k": 0.5, "gamma": 0.1, "sigma": 0.9}
_PAPER = {"A": 0.9, "k": 0.3, "gamma": 0.01, "sigma": 0.3}


def test_at_and_beyond_the_bound_only_the_reducing_side_quotes() -> None:
    """At +Q and above there is no bid, and the ask stays what it is at the bound; short the same mirrored."""
    table = glft_exact.solve(**_BPS, Q=10).table
    for q in (10.0, 10.5, 500.0):
        long, short = table.at(q), table.at(-q)
        assert long.delta_bid is short.delta_ask is None
        assert long.delta_ask == table.asks[-1]
        assert short.delta_bid == table.bids[0]


def test_fractions_of_a_unit_lie_between_whole_ones() -> None:
    """Linear interpolation; within a unit of the bound one more fill would pass it, so that side is gone."""
    table = glft_exact.solve(**_BPS, Q=10).table
    two, three, between = table.at(2), table.at(3), table.at(2.25)
    assert two.delta_bid is not None
    assert three.delta_bid is not None
    assert between.delta_bid == pytest.approx(0.75 * two.delta_bid + 0.25 * three.delta_bid, rel=1e-15)
    assert table.at(9.0).delta_bid == table.bids[-1]
    assert table.at(9.001).delta_bid is None
    assert table.at(-9.001).delta_ask is None


def test_closed_form_is_near_where_the_paper_says() -> None:
    """MODELS 2.2: within 0.001 flat and 0.003 with three units, for A-S's own parameters."""
    market = {"A": 140.0, "k": 1.5, "gamma": 0.1, "sigma": 2.0}
    table = glft_exact.solve(**market, Q=30).table
    for q, near in ((0, 0.001), (3, 0.003), (-3, 0.003)):
        exact, closed = table.at(q), glft.quotes(0.0, q, **market)
        assert exact.delta_bid == pytest.approx(closed.delta_bid, abs=near)
        assert exact.delta_ask == pytest.approx(closed.delta_ask, abs=near)


def test_quotes_hardly_depend_on_a_long_horizon() -> None:
    """The paper's figures: at T = 600 the quotes at the start are the stationary ones, and worth grows at ce_rate."""
    stationary, finite = (glft_exact.solve(**_PAPER, Q=30, T=T) for T in (None, 600.0))
    assert finite.table.bids == pytest.approx(stationary.table.bids, abs=1e-6)
    assert finite.table.asks == pytest.approx(stationary.table.asks, abs=1e-6)
    assert stationary.certainty_equivalents is None
    longer = glft_exact.solve(**_PAPER, Q=30, T=700.0)
    assert finite.certainty_equivalents is not None
    assert longer.certainty_equivalents is not None
    earned = longer.certainty_equivalents[30] - finite.certainty_equivalents[30]
    assert earned == pytest.approx(100.0 * stationary.ce_rate, rel=1e-9)


def test_at_the_end_there_is_nothing_to_lean_against() -> None:
    """T = 0: the premium of one fill on both sides at any inventory, worth nothing more."""
    over = glft_exact.quotes(4, **_BPS, Q=10, T=0.0)
    assert over.delta_bid == over.delta_ask == glft.coefficients(**_BPS).c1
    assert over.certainty_equivalent == 0.0


def test_no_risk_aversion_leaves_the_walls_alone() -> None:
    """gamma = 0 or sigma = 0 in a wide grid: flat, the monopolist's quotes; near a wall it still leans."""
    for free in ({"gamma": 0.0}, {"sigma": 0.0, "xi": 0.0}):
        table = glft_exact.solve(**{**_BPS, **free}, Q=100).table
        assert table.at(0).delta_bid == pytest.approx(2.0, abs=1e-3)
        assert (table.at(99).delta_bid or 0.0) > 2.5


def test_vanishing_execution_risk_tends_to_its_limit() -> None:
    """xi -> 0 is smooth down to the smallest float."""
    limit = glft_exact.quotes(3, **_BPS, Q=10, xi=0.0)
    for xi in (1e-9, 1e-13, 5e-324):
        near = glft_exact.quotes(3, **_BPS, Q=10, xi=xi)
        assert near.delta_bid == pytest.approx(limit.delta_bid, rel=1e-9)
        assert near.ce_rate == pytest.approx(limit.ce_rate, rel=1e-8)


def test_far_from_flat_the_depths_are_those_of_the_recursion() -> None:
    """Where the eigenvector is far below any float, `v_q / v_(q+1) -> a_(q+1)/eta` still gives the bid."""
    steep = {"A": 1e-3, "k": 0.5, "gamma": 5.0, "sigma": 50.0, "xi": 0.0}
    solution = glft_exact.solve(**steep, Q=100)
    eta = 1e-3 / math.e
    a = 0.5 * 0.5 * 5.0 * 2500.0 * 100.0**2
    assert solution.table.bids[-1] == pytest.approx(math.log(a / eta) / 0.5 + 2.0, rel=1e-9)


@pytest.mark.parametrize(
    "wrong",
    [
        {"A": 0.0},
        {"A": math.nan},
        {"k": -1.0},
        {"k": math.inf},
        {"gamma": -0.1},
        {"sigma": math.nan},
        {"xi": -1.0},
        {"mu": math.inf},
        {"T": -1.0},
        {"T": math.inf},
        {"T": math.nan},
        {"Q": 0},
        {"Q": 2.5},
        {"Q": math.nan},
        {"Q": 10**6},
        {"q": math.nan},
        {"q": math.inf},
    ],
)
def test_numbers_outside_the_domain_are_named_errors(wrong: dict[str, float]) -> None:
    """No clamp: the error says which number it was."""
    case = {"q": 0.0, **_BPS, "Q": 10, **wrong}
    with pytest.raises(DomainError, match=next(iter(wrong))):
        glft_exact.quotes(**case)  # type: ignore[arg-type]


@pytest.mark.parametrize("absurd", [{"gamma": 1e300, "sigma": 1e300}, {"k": 5e-324}, {"A": 5e-324}, {"mu": 1e308}])
def test_absurd_numbers_end_in_an_error_not_in_an_infinite_quote(absurd: dict[str, float]) -> None:
    """Formally valid, but nothing a float can hold."""
    with pytest.raises(DomainError):
        glft_exact.solve(**{**_BPS, "Q": 10, **absurd})  # type: ignore[arg-type]


def test_stationary_quotes_do_without_numpy() -> None:
    """A daemon that quotes them starts quickly, and repeats its decisions on any processor."""
    code = "import sys; from mm_daemon.engine.models import cartea_jaimungal, glft_exact as m;"
    code += "m.solve(1.2, 0.5, 0.1, 0.9, 10); sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
