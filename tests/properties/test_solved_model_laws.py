"""Laws of every pricing model, the ones with a table over inventory among them: position, volatility, units, mirror."""

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from mm_daemon.engine.models import avellaneda_stoikov, cartea_jaimungal, fixed_spread, glft, glft_exact, ho_stoll
from mm_daemon.engine.models.depth_table import Depths, DepthTable

_K = st.floats(0.01, 10.0)
_RATE = st.floats(1e-2, 1e2)
_GAMMA = st.floats(1e-4, 1.0)
_SIGMA = st.floats(1e-2, 5.0)
_PENALTY = st.floats(0.0, 1.0)
_BOUND = st.integers(2, 30)
_HORIZON = st.one_of(st.none(), st.floats(0.0, 100.0))
_Q = st.floats(-40.0, 40.0)
_NOISE = 1e-9
_laws = settings(max_examples=60, deadline=None)


def _not_better(offer: float | None, than: float | None, scale: float) -> bool:
    """Whether a depth is no deeper than another; no quote at all is the deepest."""
    return than is None or (offer is not None and offer <= than + _NOISE * (scale + abs(than)))


def _never_raises(fewer: Depths, more: Depths, scale: float) -> bool:
    """Whether the longer position bids no higher and asks no higher."""
    return _not_better(fewer.delta_bid, more.delta_bid, scale) and _not_better(more.delta_ask, fewer.delta_ask, scale)


def _pair(quotes: Depths | ho_stoll.HoStollQuotes) -> tuple[float | None, float | None]:
    return quotes.delta_bid, quotes.delta_ask


def _uncrossed(table: DepthTable, q: float) -> bool:
    at = table.at(q)
    return at.delta_bid is None or at.delta_ask is None or at.delta_bid + at.delta_ask > 0.0


@_laws
@given(A=_RATE, k=_K, gamma=_GAMMA, sigma=_SIGMA, Q=_BOUND, T=_HORIZON, q=_Q, more=st.floats(0.0, 20.0))
def test_longer_position_never_raises_an_exact_glft_quote(
    A: float, k: float, gamma: float, sigma: float, Q: int, T: float | None, q: float, more: float
) -> None:
    """Also between whole units, at the bounds and beyond; and bid stays below ask."""
    table = glft_exact.solve(A, k, gamma, sigma, Q, T).table
    assert _never_raises(table.at(q), table.at(q + more), 1.0 / k)
    assert _uncrossed(table, q)


@_laws
@given(
    kappa=_K,
    buy=_RATE,
    sell=_RATE,
    phi=_PENALTY,
    alpha=_PENALTY,
    Q=_BOUND,
    T=_HORIZON,
    q=_Q,
    more=st.floats(0.0, 20.0),
    eps=st.floats(0.0, 1.0),
)
def test_longer_position_never_raises_a_cartea_jaimungal_quote(
    kappa: float,
    buy: float,
    sell: float,
    phi: float,
    alpha: float,
    Q: int,
    T: float | None,
    q: float,
    more: float,
    eps: float,
) -> None:
    """With flow as uneven as it likes and orders that move the mid."""
    table = cartea_jaimungal.solve(kappa, buy, sell, phi, alpha, Q, T, eps, eps).table
    assert _never_raises(table.at(q), table.at(q + more), 1.0 / kappa)
    assert _uncrossed(table, q)


@_laws
@given(A=_RATE, k=_K, gamma=_GAMMA, sigma=_SIGMA, q=_Q, more=st.floats(0.0, 20.0), tau=st.floats(0.0, 100.0))
def test_longer_position_never_raises_a_formula_s_quote(
    A: float, k: float, gamma: float, sigma: float, q: float, more: float, tau: float
) -> None:
    """A-S, closed GLFT, Ho-Stoll in both modes and the fixed spread; and bid stays below ask."""

    def prices(held: float) -> list[tuple[float, float]]:
        dealer = (0.0, held, 1.0, gamma, sigma, tau, 0.1)
        return [
            (quotes.bid, quotes.ask)
            for quotes in (
                avellaneda_stoikov.finite(0.0, held, gamma, sigma, tau, k),
                glft.quotes(0.0, held, A, k, gamma, sigma),
                ho_stoll.quotes(*dealer, "competitive"),
                ho_stoll.quotes(*dealer, "monopoly", A, k),
                fixed_spread.quotes(1.0, 10.0, held, 15.0, 8.0, vol_mult=sigma),
            )
        ]

    for (bid, ask), (lower_bid, lower_ask) in zip(prices(q), prices(q + more), strict=True):
        noise = 1e-12 * (abs(bid) + abs(ask))
        assert lower_bid <= bid + noise
        assert lower_ask <= ask + noise
        assert bid < ask
        assert lower_bid < lower_ask


@_laws
@given(A=_RATE, k=_K, gamma=_GAMMA, sigma=_SIGMA, wilder=st.floats(1.0, 10.0), Q=_BOUND, T=_HORIZON, xi=_GAMMA)
def test_more_volatility_never_narrows_the_risk_part(
    A: float, k: float, gamma: float, sigma: float, wilder: float, Q: int, T: float | None, xi: float
) -> None:
    """Exact GLFT (and with it CJ): a flat market maker's depths, a long one's discount and the cost of risk grow."""
    calm, wild = (glft_exact.solve(A, k, gamma, sigma * factor, Q, T, xi=xi) for factor in (1.0, wilder))
    flat_calm, flat_wild = calm.table.at(0), wild.table.at(0)
    assert _not_better(flat_calm.delta_bid, flat_wild.delta_bid, 1.0 / k)
    assert _not_better(flat_calm.delta_ask, flat_wild.delta_ask, 1.0 / k)
    assert _never_raises(calm.table.at(1), Depths(wild.table.at(1).delta_bid, wild.table.at(1).delta_ask), 1.0 / k)
    assert wild.ce_rate <= calm.ce_rate * (1.0 + _NOISE)


@_laws
@given(
    gamma=_GAMMA,
    sigma=_SIGMA,
    wilder=st.floats(1.0, 10.0),
    tau=st.floats(0.0, 100.0),
    size=st.floats(0.1, 10.0),
    q=_Q,
)
def test_more_volatility_never_narrows_a_dealer_or_a_fixed_spread(
    gamma: float, sigma: float, wilder: float, tau: float, size: float, q: float
) -> None:
    """At any inventory."""
    for mode in ("competitive", "monopoly"):
        calm, wild = (
            ho_stoll.quotes(100.0, q, size, gamma, s, tau, 0.0, mode, 10.0, 8.0) for s in (sigma, sigma * wilder)
        )
        assert wild.spread >= calm.spread - 1e-12 * abs(q) * abs(wild.delta_bid)
    steady, widened = (
        fixed_spread.quotes(100.0, 10.0, q, 15.0, 8.0, factor, max_spread_bps=30.0)
        for factor in (sigma, sigma * wilder)
    )
    assert widened.spread_bps >= steady.spread_bps


@_laws
@given(scale=st.floats(1e-4, 1e4), A=_RATE, k=_K, gamma=_GAMMA, sigma=_SIGMA, Q=_BOUND, T=_HORIZON, q=_Q)
def test_units_of_price_scale_the_depths_and_nothing_else(
    scale: float, A: float, k: float, gamma: float, sigma: float, Q: int, T: float | None, q: float
) -> None:
    """Counted in cents, every depth is a hundred times what it is in dollars, so that in bps it is the same."""
    dollars: list[Depths | ho_stoll.HoStollQuotes] = [
        glft_exact.solve(A, k, gamma, sigma, Q, T).table.at(q),
        cartea_jaimungal.solve(k, A, 2.0 * A, gamma, gamma, Q, T, 0.1, 0.2).table.at(q),
        ho_stoll.quotes(100.0, q, 1.0, gamma, sigma, 10.0, 0.1, "monopoly", A, k),
    ]
    small, back = sigma * scale, 1.0 / scale
    cents: list[Depths | ho_stoll.HoStollQuotes] = [
        glft_exact.solve(A, k * back, gamma * back, small, Q, T).table.at(q),
        cartea_jaimungal.solve(
            k * back, A, 2.0 * A, gamma * scale, gamma * scale, Q, T, 0.1 * scale, 0.2 * scale
        ).table.at(q),
        ho_stoll.quotes(100.0 * scale, q, 1.0, gamma * back, small, 10.0, 0.1 * scale, "monopoly", A, k * back),
    ]
    for ours, theirs in zip(map(_pair, dollars), map(_pair, cents), strict=True):
        for one, other in zip(ours, theirs, strict=True):
            assert (one is None) == (other is None)
            if one is not None and other is not None:
                assert math.isclose(one * scale, other, rel_tol=1e-9, abs_tol=1e-9 * scale / k)


@_laws
@given(kappa=_K, buy=_RATE, sell=_RATE, phi=_PENALTY, alpha=_PENALTY, Q=_BOUND, T=_HORIZON, eps=st.floats(0.0, 1.0))
def test_cartea_jaimungal_has_no_preferred_side(
    kappa: float, buy: float, sell: float, phi: float, alpha: float, Q: int, T: float | None, eps: float
) -> None:
    """Buyers and sellers exchanged, long and short exchanged: bid and ask exchanged."""
    market = cartea_jaimungal.solve(kappa, buy, sell, phi, alpha, Q, T, eps, 0.5 * eps)
    mirror = cartea_jaimungal.solve(kappa, sell, buy, phi, alpha, Q, T, 0.5 * eps, eps)
    for bid, ask in zip(market.table.bids, mirror.table.asks[::-1], strict=True):
        assert math.isclose(bid, ask, rel_tol=1e-9, abs_tol=_NOISE / kappa)
    assert math.isclose(market.h_rate, mirror.h_rate, rel_tol=1e-9, abs_tol=1e-12)
    if market.h is not None and mirror.h is not None:
        for ours, theirs in zip(market.h, mirror.h[::-1], strict=True):
            assert math.isclose(ours, theirs, rel_tol=1e-9, abs_tol=_NOISE / kappa)


@_laws
@given(A=_RATE, k=_K, gamma=_GAMMA, sigma=_SIGMA, Q=_BOUND, T=_HORIZON, xi=_GAMMA, mu=st.floats(-1.0, 1.0))
def test_exact_glft_has_no_preferred_side(
    A: float, k: float, gamma: float, sigma: float, Q: int, T: float | None, xi: float, mu: float
) -> None:
    """The drift and the position reversed: bid and ask exchanged."""
    up, down = (glft_exact.solve(A, k, gamma, sigma, Q, T, drift, xi) for drift in (mu, -mu))
    for bid, ask in zip(up.table.bids, down.table.asks[::-1], strict=True):
        assert math.isclose(bid, ask, rel_tol=1e-9, abs_tol=_NOISE / k)


@_laws
@given(market=st.sampled_from([(0.3, 0.9), (0.4, 0.9), (1.0, 0.2)]), q=st.integers(-30, 30))
def test_exact_glft_is_almost_independent_of_time_on_the_papers_parameters(market: tuple[float, float], q: int) -> None:
    """T = 600 and no horizon differ by less than 1e-6 on the parameters of the paper's figures (MODELS 8.2)."""
    sigma, A = market
    finite, stationary = (glft_exact.solve(A, 0.3, 0.01, sigma, 30, T).table.at(q) for T in (600.0, None))
    for one, other in ((finite.delta_bid, stationary.delta_bid), (finite.delta_ask, stationary.delta_ask)):
        assert (one is None) == (other is None)
        if one is not None and other is not None:
            assert abs(one - other) < 1e-6
