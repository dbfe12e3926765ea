"""Laws of the pricing models: what risk does to a quote, and that the choice of units does nothing."""

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from mm_daemon.engine.models import avellaneda_stoikov, glft
from mm_daemon.engine.units import as_bps, bps_units

_A = st.floats(1e-3, 1e3)
_K = st.floats(1e-3, 10.0)
_GAMMA = st.floats(1e-6, 10.0)
_SIGMA = st.floats(0.0, 50.0)
_Q = st.floats(-20.0, 20.0)


@settings(max_examples=200, deadline=None)
@given(A=_A, k=_K, gamma=_GAMMA, calm=_SIGMA, more=_SIGMA)
def test_more_volatility_never_narrows(A: float, k: float, gamma: float, calm: float, more: float) -> None:
    """Skew and half-spread of GLFT grow with volatility; the premium of a single fill does not depend on it."""
    quiet, wild = glft.coefficients(A, k, gamma, calm), glft.coefficients(A, k, gamma, calm + more)
    assert wild.skew >= quiet.skew
    assert wild.half_spread >= quiet.half_spread
    assert wild.c1 == quiet.c1


@settings(max_examples=200, deadline=None)
@given(A=_A, k=_K, gamma=_GAMMA, sigma=_SIGMA, q=_Q)
def test_inventory_leans_without_widening(A: float, k: float, gamma: float, sigma: float, q: float) -> None:
    """Inventory moves both quotes the same way and mirrors when its sign does; their distance stays."""
    flat, held, owed = (glft.quotes(0.0, n, A, k, gamma, sigma) for n in (0.0, q, -q))
    width = flat.delta_bid + flat.delta_ask
    assert math.isclose(held.delta_bid + held.delta_ask, width, rel_tol=1e-9, abs_tol=1e-9)
    assert held.delta_bid == owed.delta_ask
    assert (held.delta_bid - flat.delta_bid) * q >= 0.0


@settings(max_examples=200, deadline=None)
@given(
    scale=st.floats(1e-4, 1e4),
    mid=st.floats(1.0, 1e5),
    size=st.floats(1e-3, 1e3),
    sigma=st.floats(1e-6, 1e-3),
    k=st.floats(0.01, 10.0),
    gamma=st.floats(1e-3, 1.0),
    q=_Q,
    tau=st.floats(0.0, 600.0),
)
def test_units_of_price_do_not_change_depths_in_bps(
    scale: float, mid: float, size: float, sigma: float, k: float, gamma: float, q: float, tau: float
) -> None:
    """The same market quoted in cents instead of dollars has the same depths in bps."""
    depths = []
    for unit in (1.0, scale):
        price = mid * unit
        scaled = bps_units(price, size, sigma * price, k / (price * 1e-4), gamma / (price * 1e-4 * size))
        quotes = as_bps(price, q * size, 0.0, size, scaled.sigma_bps, tau, scaled.gamma, scaled.k_bps)
        depths.append(((price - quotes.bid) / price * 1e4, (quotes.ask - price) / price * 1e4, quotes.spread_bps))
    for ours, theirs in zip(*depths, strict=True):
        assert math.isclose(ours, theirs, rel_tol=1e-7, abs_tol=1e-7)


@settings(max_examples=200, deadline=None)
@given(A=_A, k=_K, gamma=_GAMMA, sigma=st.floats(1e-3, 50.0), q=_Q)
def test_own_horizon_unites_the_models(A: float, k: float, gamma: float, sigma: float, q: float) -> None:
    """Avellaneda-Stoikov over tau_star is GLFT, everywhere in the domain."""
    tau = glft.coefficients(A, k, gamma, sigma).tau_star
    assert tau is not None
    ours = glft.quotes(0.0, q, A, k, gamma, sigma)
    theirs = avellaneda_stoikov.finite(0.0, q, gamma, sigma, tau, k)
    assert math.isclose(ours.bid, theirs.bid, rel_tol=1e-8, abs_tol=1e-8)
    assert math.isclose(ours.ask, theirs.ask, rel_tol=1e-8, abs_tol=1e-8)
