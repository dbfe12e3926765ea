"""Ho-Stoll, the fixed spread and short-term alpha: directions, limits, domain."""

import math
from typing import Any

import pytest

from mm_daemon.domain.errors import DomainError
from mm_daemon.engine.models import avellaneda_stoikov, fixed_spread, glft, ho_stoll, short_term_alpha

_DEALER: dict[str, Any] = {
    "mid": 100.0,
    "q": 3.0,
    "size": 1.0,
    "risk_aversion": 0.1,
    "sigma": 2.0,
    "tau": 1.0,
    "cost": 0.0,
    "mode": "competitive",
}
_MONOPOLY = {**_DEALER, "mode": "monopoly", "a": 10.0, "b": 8.0}
_FIXED = {"mid": 50000.0, "spread_bps": 20.0, "position": 5.0, "max_position": 10.0, "skew_bps": 10.0}


def test_reservation_fees_are_those_of_avellaneda_and_stoikov() -> None:
    """For size one and no cost: r_ask = s + (1-2q)/2 gamma sigma^2 tau, their eq. 6-7, mean eq. 8."""
    fees = ho_stoll.quotes(**_DEALER)
    reservation = avellaneda_stoikov.finite(100.0, 3.0, 0.1, 2.0, 1.0, 1.5).reservation
    assert 0.5 * (fees.bid + fees.ask) == pytest.approx(reservation)
    assert fees.ask == pytest.approx(100.0 + 0.5 * (1.0 - 6.0) * 0.4)


def test_linear_demand_lets_half_of_the_shift_through() -> None:
    """A monopolist's centre moves half as far as his reservation price."""
    shift = 0.5 * (ho_stoll.quotes(**_DEALER).bid + ho_stoll.quotes(**_DEALER).ask) - 100.0
    monopolist = ho_stoll.quotes(**_MONOPOLY)
    assert 0.5 * (monopolist.bid + monopolist.ask) - 100.0 == pytest.approx(0.5 * shift)


@pytest.mark.parametrize(
    "wrong",
    [
        {"mid": math.nan},
        {"q": math.inf},
        {"size": 0.0},
        {"risk_aversion": -0.1},
        {"sigma": -1.0},
        {"tau": -1.0},
        {"cost": math.nan},
        {"mode": "duopoly"},
        {"a": 0.0},
        {"b": -1.0},
        {"a": None},
    ],
)
def test_dealer_outside_the_domain_is_an_error(wrong: dict[str, Any]) -> None:
    """It names what was wrong."""
    with pytest.raises(DomainError, match=next(iter(wrong))):
        ho_stoll.quotes(**{**_MONOPOLY, **wrong})


def test_both_prices_fall_when_long_and_rise_when_short() -> None:
    """What the sources had wrong: the ask must come closer when there is something to sell."""
    short, flat, long = (fixed_spread.quotes(**{**_FIXED, "position": p}) for p in (-5.0, 0.0, 5.0))
    assert short.bid > flat.bid > long.bid
    assert short.ask > flat.ask > long.ask
    assert long.ask - long.bid == pytest.approx(flat.ask - flat.bid)


def test_imbalance_shifts_by_parts_of_the_half_spread() -> None:
    """More bids raise both quotes by beta half-spreads; beyond one it counts as one."""
    even = fixed_spread.quotes(**_FIXED)
    for imbalance in (1.0, 7.0):
        bids = fixed_spread.quotes(**_FIXED, imbalance=imbalance, imb_beta=0.5)
        assert bids.center - even.center == pytest.approx(50000.0 * 1e-4 * 10.0 * 0.5)


@pytest.mark.parametrize(
    "wrong",
    [
        {"mid": 0.0},
        {"max_position": 0.0},
        {"position": math.nan},
        {"spread_bps": -1.0},
        {"skew_bps": math.inf},
        {"vol_mult": -0.5},
        {"imbalance": math.nan},
        {"imb_beta": 1.0},
        {"imb_beta": math.nan},
        {"max_spread_bps": -1.0},
        {"max_spread_bps": math.nan},
    ],
)
def test_fixed_spread_outside_the_domain_is_an_error(wrong: dict[str, float]) -> None:
    """It names what was wrong."""
    with pytest.raises(DomainError, match=next(iter(wrong))):
        fixed_spread.quotes(**{**_FIXED, **wrong})


def test_alpha_that_does_not_decay_moves_as_long_as_it_is_held() -> None:
    """zeta -> 0 is smooth down to the smallest float, for both forms; huge rates leave nothing."""
    for zeta in (0.0, 5e-324, 1e-300, 1e-15):
        assert short_term_alpha.alpha_shift(0.3, zeta, 4.0) == pytest.approx(1.2, rel=1e-14)
        assert short_term_alpha.alpha_shift_glft(0.3, zeta, 4.0) == pytest.approx(1.2, rel=1e-13)
    for shift in (short_term_alpha.alpha_shift, short_term_alpha.alpha_shift_glft):
        assert shift(0.3, 1e300, 1e300) == pytest.approx(0.0, abs=1e-299)
        assert shift(0.3, 2.0, 0.0) == 0.0
        assert shift(-0.3, 2.0, 1.0) == -shift(0.3, 2.0, 1.0)


def test_constant_alpha_is_the_drift_of_glft() -> None:
    """zeta = 0: the shift of GLFT's quotes for a drift mu (MODELS 2.3)."""
    market = {"A": 1.2, "k": 0.5, "gamma": 0.1, "sigma": 0.9}
    tau_star = glft.coefficients(**market).tau_star
    assert tau_star is not None
    still, moving = (glft.quotes(100.0, 1.0, **market, mu=mu) for mu in (0.0, 0.02))
    assert moving.bid - still.bid == pytest.approx(short_term_alpha.alpha_shift_glft(0.02, 0.0, tau_star))


@pytest.mark.parametrize("wrong", [(math.nan, 1.0, 1.0), (0.1, -1.0, 1.0), (0.1, 1.0, -1.0), (0.1, 0.0, math.inf)])
def test_alpha_outside_the_domain_is_an_error(wrong: tuple[float, float, float]) -> None:
    """Neither form clamps."""
    for shift in (short_term_alpha.alpha_shift, short_term_alpha.alpha_shift_glft):
        with pytest.raises(DomainError):
            shift(*wrong)
    with pytest.raises(DomainError):
        short_term_alpha.alpha_shift(1e300, 0.0, 1e300)
