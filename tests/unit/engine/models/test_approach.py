"""The finite horizon as it is solved while trading, against the reference by matrix exponentials."""

import math
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mm_daemon.domain.errors import DomainError
from mm_daemon.engine.models import cartea_jaimungal
from mm_daemon.engine.models.approach import Approach
from mm_daemon.engine.models.depth_table import Depths
from mm_daemon.engine.models.solving import at_once
from mm_daemon.engine.models.tridiagonal import Generator, gap, leading

_USUAL: dict[str, Any] = {"kappa": 0.5, "lam_buy": 1.2, "lam_sell": 1.2, "phi": 0.02, "alpha": 1.0, "Q": 10}
_CASES: dict[str, dict[str, Any]] = {
    "usual": {},
    "no terminal penalty": {"alpha": 0.0},
    "one-sided flow": {"lam_buy": 2.0, "lam_sell": 0.5},
    "no running penalty": {"phi": 0.0, "alpha": 0.1},
    "one order": {"Q": 1},
    "many orders": {"Q": 60, "alpha": 0.05},
    "the book's units": {"kappa": 100.0, "lam_buy": 1.0, "lam_sell": 1.0, "phi": 1e-3, "alpha": 1e-4, "Q": 5},
    "a busy market": {"kappa": 5.0, "lam_buy": 50.0, "lam_sell": 50.0, "phi": 1e-3, "Q": 20, "alpha": 0.01},
}


def found(*, solved: bool = True, **keys: Any) -> Approach:
    approach = at_once(cartea_jaimungal.find_approach(**keys))
    if solved:
        at_once(approach.solve())
    return approach


def furthest(approach: Approach, keys: dict[str, Any], left_s: float) -> float:
    """Largest difference of a depth from the reference, in shares of 1/kappa."""
    wanted, made = cartea_jaimungal.solve(**keys, T=left_s).table, approach.at(left_s)
    bound, kappa = int(keys["Q"]), float(keys["kappa"])
    return max(
        abs(mine - exact) * kappa
        for q in range(-bound, bound + 1)
        for mine, exact in zip(both(made.at(q)), both(wanted.at(q)), strict=True)
        if mine is not None and exact is not None
    )


def both(depths: Depths) -> tuple[float | None, float | None]:
    return depths.delta_bid, depths.delta_ask


@pytest.mark.parametrize("case", sorted(_CASES))
def test_depths_are_those_of_the_reference(case: str) -> None:
    """At every inventory and any time left, to a thousandth of 1/kappa: with 1/kappa of 2 bps and a tick of 0.02 bps
    that is a tenth of a tick, and usually a hundredth.
    """
    keys = {**_USUAL, **_CASES[case]}
    approach = found(**keys, horizon_s=600.0)
    for share in (0.003, 0.02, 0.11, 0.3, 0.7, 1.0):
        assert furthest(approach, keys, share * approach.until_s) < 1e-3
    assert furthest(approach, keys, 1.5 * approach.until_s) < 1e-3
    for q in (0.0, 0.4, 0.0 if keys["Q"] == 1 else -1.7):
        wanted = cartea_jaimungal.solve(**keys, T=0.3 * approach.until_s).table.at(q)
        assert both(approach.at(0.3 * approach.until_s).at(q)) == pytest.approx(both(wanted), abs=1e-3 / keys["kappa"])


@settings(max_examples=40, deadline=None)
@given(
    kappa=st.floats(0.05, 10.0),
    buy=st.floats(0.01, 50.0),
    sell=st.floats(0.01, 50.0),
    phi=st.floats(0.0, 1.0),
    alpha=st.floats(0.0, 2.0),
    Q=st.integers(1, 12),
    share=st.floats(0.01, 1.2),
)
def test_depths_are_those_of_the_reference_for_any_parameters(
    kappa: float, buy: float, sell: float, phi: float, alpha: float, Q: int, share: float
) -> None:
    """But for the last moment, in which a steep end is levelled: what is missing there is ten microseconds' worth."""
    keys: dict[str, Any] = {"kappa": kappa, "lam_buy": buy, "lam_sell": sell, "phi": phi, "alpha": alpha, "Q": Q}
    approach = found(**keys, horizon_s=3600.0)
    left_s = min(share * approach.until_s, 3600.0)
    assert furthest(approach, keys, left_s) < 2e-3 + 2e-5 / left_s


def test_at_the_end_only_the_terminal_penalty_is_left() -> None:
    """h = -alpha q^2."""
    depths = found(**_USUAL, horizon_s=60.0).at(0.0).at(3.0)
    assert both(depths) == pytest.approx((2.0 + 7.0, 2.0 - 5.0))


def test_a_steep_end_is_eased_within_a_moment() -> None:
    """A penalty of a thousand bps: no overflow, and right again a tenth of a second later."""
    keys = {**_USUAL, "alpha": 1000.0, "Q": 50}
    approach = found(**keys, horizon_s=600.0)
    assert math.isfinite(approach.at(0.0).at(40.0).delta_ask or math.nan)
    for left_s in (0.1, 1.0, 10.0):
        assert furthest(approach, keys, left_s) < 1e-3


def test_the_end_is_seen_once_it_has_been_solved_for() -> None:
    """Far from it, and before that, the stationary depths answer."""
    approach = found(**_USUAL, horizon_s=86_400.0, solved=False)
    assert approach.at(80_000.0) is approach.at(1.0) is approach.stationary
    assert approach.knots == 0
    at_once(approach.solve())
    assert 10 < approach.knots < 200
    assert approach.at(1.0) is not approach.stationary
    assert approach.at(approach.until_s * 1.01) is approach.stationary


def test_depths_do_not_jump_between_knots() -> None:
    """A second's way to the end changes a depth by little, also where the stationary ones begin."""
    approach = found(**_USUAL, horizon_s=600.0)
    steps = int(1.1 * approach.until_s / 0.05)
    depths = [approach.at(0.05 * step).at(2.0).delta_bid or math.nan for step in range(20, steps)]
    moves = [abs(later - earlier) for earlier, later in pairwise(depths)]
    assert max(moves) < 0.1
    assert max(moves[-40:]) < 1e-3


def test_a_negative_time_and_a_hopeless_problem_are_domain_errors() -> None:
    approach = found(**_USUAL, horizon_s=60.0)
    with pytest.raises(DomainError):
        approach.at(-1.0)
    with pytest.raises(DomainError):
        found(**{**_USUAL, "phi": 1e308}, horizon_s=60.0).at(1.0)


def test_the_gap_is_that_of_a_free_walk() -> None:
    """Between two walls: 2 c (cos(pi/(n+1)) - cos(2 pi/(n+1))), and never more than that."""
    for bound in (1, 10, 100):
        generator = Generator(0.4, [0.0] * (2 * bound + 1), 0.4)
        size = 2 * bound + 1
        exact = 0.8 * (math.cos(math.pi / (size + 1)) - math.cos(2.0 * math.pi / (size + 1)))
        found = gap(generator, leading(generator).rate)
        assert 0.98 * exact < found <= exact * (1.0 + 1e-9)
