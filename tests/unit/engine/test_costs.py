"""The break-even half-spread."""

import pytest

from mm_daemon.domain.errors import DomainError
from mm_daemon.engine.costs import break_even


def test_maker_fee_alone_is_earned_back_exactly() -> None:
    """A round trip at mid +- h earns 2h and pays the fee on both legs: zero at the break-even."""
    half = break_even(50_000.0, 0.0002, 0.0, 0.0).half_spread
    bid, ask = 50_000.0 - half, 50_000.0 + half
    assert ask - bid - 0.0002 * (ask + bid) == pytest.approx(0.0, abs=1e-9)


def test_slippage_is_charged_on_hedges_alone() -> None:
    """A maker fill slips nowhere."""
    assert break_even(100.0, 0.0, 0.001, 0.0).half_spread == 0.0
    assert break_even(100.0, 0.0, 0.001, 0.0, hedge_prob=0.5).spread_bps == pytest.approx(10.0)


def test_chance_of_a_hedge_is_a_probability() -> None:
    """Anything outside 0..1 is an error."""
    with pytest.raises(DomainError, match="hedge_prob"):
        break_even(100.0, 0.0, 0.0, 0.0, hedge_prob=1.5)
