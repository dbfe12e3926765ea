"""Laws of the quotes of every pricing model, as `QuoteEngine` gives them: with clamps, floors, fees and rounding."""

import math
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mm_daemon.domain.decisions import Reason
from mm_daemon.domain.errors import DomainError
from mm_daemon.domain.events import FundingUpdate
from mm_daemon.domain.instrument import Instrument
from mm_daemon.engine.models.catalogue import MODELS
from mm_daemon.engine.pricing import Pricing
from mm_daemon.engine.pricing_model import ModelInputs, ModelSettings
from mm_daemon.engine.quote_engine import QuoteEngine
from mm_daemon.testkit.builders import SYMBOL, instrument
from tests.unit.engine.quoting import BID, MAX_LOTS, ORDER_LOTS, S, book, depths_bps, engine

every_model = pytest.mark.parametrize("model", sorted(MODELS))
_EXAMPLES = settings(max_examples=60, deadline=None)
_LOTS = st.integers(-MAX_LOTS, MAX_LOTS)
_SPREAD = st.integers(1, 400)


def _log(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(math.log(low), math.log(high)).map(math.exp)


_KEYS = st.fixed_dictionaries(
    {
        "gamma": _log(1e-4, 50.0),
        "k": _log(0.02, 20.0),
        "intensity": _log(1e-2, 100.0),
        "volatility": _log(0.05, 5.0),
        "adverse_bps": st.floats(0.0, 3.0),
        "min_edge_bps": st.floats(0.0, 5.0),
        "max_give_bps": st.floats(0.0, 5.0),
        "min_spread_bps": st.floats(0.0, 3.0),
        "max_spread_bps": st.floats(3.0, 500.0),
        "max_skew_bps": _log(0.1, 500.0),
        "tau": st.sampled_from(["auto", 10.0, 300.0]),
        "fair_price": st.sampled_from(["mid", "microprice", "adjusted_microprice"]),
        "low_confidence_widening": st.sampled_from([1.0, 3.0]),
    }
)
_FEES = st.integers(-100, 1000).map(lambda ppm: instrument(maker_fee_ppm=ppm))
_LIMITS_OFF: dict[str, Any] = {"inventory_widening": 1.0, "inventory_skip_at": 1.0}


def _quotes(quotes: QuoteEngine, lots: int, spread: int = 1) -> Pricing:
    """A pricing; numbers that a model has no quotes for make no example."""
    answer = quotes.price(book(BID, BID + spread), lots, 0)
    assume(isinstance(answer, Pricing))
    assert isinstance(answer, Pricing)
    return answer


@every_model
@_EXAMPLES
@given(keys=_KEYS, contract=_FEES, lots=_LOTS, more=st.integers(1, 2 * MAX_LOTS), spread=_SPREAD)
def test_a_longer_position_never_raises_a_quote(
    model: str, keys: dict[str, Any], contract: Instrument, lots: int, more: int, spread: int
) -> None:
    """Neither quote is higher at the longer of two positions at which both sides may be quoted."""
    quotes = engine(contract, model=model, **keys, inventory_skip_at=1.0)
    shorter, longer = _quotes(quotes, lots, spread), _quotes(quotes, lots + more, spread)
    assume(not any(side.obstacles for pricing in (shorter, longer) for side in (pricing.bid, pricing.ask)))
    assert longer.bid.ticks <= shorter.bid.ticks
    assert longer.ask.ticks <= shorter.ask.ticks


@every_model
@_EXAMPLES
@given(keys=_KEYS, contract=_FEES, lots=_LOTS, spread=_SPREAD)
def test_bid_below_ask_and_neither_takes(
    model: str, keys: dict[str, Any], contract: Instrument, lots: int, spread: int
) -> None:
    """Whatever the numbers: post-only, never crossed, never locked, finite."""
    pricing = _quotes(engine(contract, model=model, **keys), lots, spread)
    assert pricing.bid.ticks < pricing.ask.ticks
    assert pricing.bid.ticks < BID + spread
    assert pricing.ask.ticks > BID
    assert all(map(math.isfinite, (*depths_bps(pricing), pricing.half_bps, pricing.skew_bps)))


@every_model
@_EXAMPLES
@given(keys=_KEYS, contract=_FEES, factor=st.floats(1.05, 50.0))
def test_more_volatility_never_narrows_the_part_that_risk_makes(
    model: str, keys: dict[str, Any], contract: Instrument, factor: float
) -> None:
    """Nor lets quotes lean less."""
    calm, wild = (
        engine(contract, model=model, **{**keys, "volatility": keys["volatility"] * f}) for f in (1.0, factor)
    )
    try:
        before, after = (each.curve(each.inputs(each.sigma_bps(BID), 0)) for each in (calm, wild))
    except DomainError:
        assume(False)
        raise
    slack = 1e-7 * (1.0 + before.half_bps)
    assert after.risk_bps >= before.risk_bps - slack
    assert after.skew_bps >= before.skew_bps - slack
    assert before.risk_bps >= -slack


@every_model
@_EXAMPLES
@given(keys=_KEYS, contract=_FEES, lots=_LOTS)
def test_the_growing_side_always_has_its_edge(
    model: str, keys: dict[str, Any], contract: Instrument, lots: int
) -> None:
    """At least fee, adverse move and `min_edge_bps`; the reducing side gives away no more than `max_give_bps`."""
    pricing = _quotes(engine(contract, model=model, **keys), lots, spread=40_000)
    below, above = depths_bps(pricing)
    edge = max(contract.maker_fee_ppm / 100 + keys["adverse_bps"], keys["min_edge_bps"])
    if lots >= 0:
        assert below >= edge - 1e-6
    if lots <= 0:
        assert above >= edge - 1e-6
    assert min(below, above) >= min(edge, -keys["max_give_bps"]) - 1e-6


@every_model
@_EXAMPLES
@given(keys=_KEYS, lots=_LOTS)
def test_a_clamped_spread_leans_as_much(model: str, keys: dict[str, Any], lots: int) -> None:
    """Where no floor is reached, a narrower or wider spread moves both quotes about the same centre."""
    common = {**keys, **_LIMITS_OFF, "model": model, "min_edge_bps": 0.0, "adverse_bps": 0.0, "max_give_bps": 1000.0}
    free = _quotes(engine(**{**common, "min_spread_bps": 0.0, "max_spread_bps": 10_000.0}), lots, 200_000)
    bound = _quotes(engine(**common), lots, 200_000)
    below, above = depths_bps(bound)
    free_below, free_above = depths_bps(free)
    grows = [depth for depth, grown in ((below, lots >= 0), (above, lots <= 0)) if grown]
    assume(min(grows) > 1e-6 and free_below + free_above > 0.1)  # nearer to each other they are set apart
    assert below - above == pytest.approx(free_below - free_above, rel=1e-6, abs=1e-6)
    assert keys["min_spread_bps"] - 1e-6 <= below + above <= keys["max_spread_bps"] + 1e-6


@every_model
@_EXAMPLES
@given(
    keys=_KEYS,
    rate_e12=st.integers(-(10**11), 10**11).filter(bool),
    due_s=st.integers(1, 28_800),
    cap=st.floats(0.01, 5.0),
    momentum=st.floats(-10.0, 10.0),
)
def test_shifts_stay_in_their_clamp(
    model: str, keys: dict[str, Any], rate_e12: int, due_s: int, cap: float, momentum: float
) -> None:
    """Funding and momentum together; both quotes move alike, and funding alone moves them against who pays."""
    plain = engine(model=model, **keys)
    paying = engine(model=model, **keys, max_shift_bps=cap)
    paying.conditions.on_funding(FundingUpdate(SYMBOL, 0, 0, rate_e12, due_s * S, 28_800 * S))
    before, after = _quotes(plain, 0, 200_000), _quotes(paying, 0, 200_000)
    assert abs(after.shift_bps) <= cap
    assert after.shift_bps * rate_e12 <= 0
    for side in ("bid", "ask"):
        moved = (getattr(after, side).raw_ticks - getattr(before, side).raw_ticks) / (before.mid_ticks * 1e-4)
        assert moved == pytest.approx(after.shift_bps, abs=1e-6)
    both = engine(model=model, **keys, max_shift_bps=cap, momentum_beta=momentum, calibration="market")
    both.conditions.on_funding(FundingUpdate(SYMBOL, 0, 0, rate_e12, due_s * S, 28_800 * S))
    for step in range(400):
        market = book(BID + 7 * step, BID + 7 * step + 200_000, at_ms=step * 1000)
        both.observe(market, step * S)
    pricing = both.price(market, 0, 400 * S)
    assume(isinstance(pricing, Pricing))
    assert isinstance(pricing, Pricing)
    assert abs(pricing.shift_bps) <= cap


@every_model
@_EXAMPLES
@given(keys=_KEYS, lots=_LOTS, fee=st.integers(-100, 1000), tens=st.integers(-3, 3), size=st.sampled_from([10, 100]))
def test_units_do_not_matter(model: str, keys: dict[str, Any], lots: int, fee: int, tens: int, size: int) -> None:
    """Prices in other units, and everything ten times as large: the same depths in bps."""
    plain = _quotes(engine(instrument(maker_fee_ppm=fee), model=model, **keys), lots, 400)
    tick = f"{0.1 * 10.0**tens:.10f}"
    scaled = engine(
        instrument(tick=tick, maker_fee_ppm=fee),
        order_lots=ORDER_LOTS * size,
        max_lots=MAX_LOTS * size,
        model=model,
        **keys,
    )
    assert depths_bps(_quotes(scaled, lots * size, 400)) == pytest.approx(depths_bps(plain), rel=1e-9, abs=1e-9)
    dearer = scaled.price(book(10 * BID, 10 * (BID + 400)), lots * size, 0)
    assert isinstance(dearer, Pricing)
    if not (plain.bid.clamped or plain.ask.clamped):
        assert depths_bps(dearer) == pytest.approx(depths_bps(plain), rel=1e-6, abs=1e-6)


_ANY = st.one_of(
    st.floats(), st.sampled_from([0.0, -1.0, 1e-320, 1e-300, 1e300, 1.7e308, math.inf, -math.inf, math.nan])
)


@every_model
@settings(max_examples=150, deadline=None)
@given(numbers=st.tuples(_ANY, _ANY, _ANY, _ANY, _ANY, _ANY), q=st.floats(-100.0, 100.0))
def test_any_numbers_have_finite_depths_or_a_domain_error(model: str, numbers: tuple[float, ...], q: float) -> None:
    """No other error, and no depth that is no number."""
    made = MODELS[model](ModelSettings(engine(model=model)._parameters, 5))
    try:
        curve = made.curve(ModelInputs(*numbers))
        depths = curve.at(q)
    except DomainError:
        return
    for depth in depths.delta_bid, depths.delta_ask:
        assert depth is None or math.isfinite(depth)


@every_model
@settings(max_examples=150, deadline=None)
@given(
    fit=st.tuples(_ANY, _ANY, _ANY),
    squares=_ANY,
    bid=st.integers(1, 1 << 51),
    width=st.integers(1, 1 << 51),
    lots=st.integers(-(1 << 62), 1 << 62),
)
def test_absurd_estimates_and_books_are_a_reason(
    model: str, fit: tuple[float, float, float], squares: float, bid: int, width: int, lots: int
) -> None:
    """An engine that was restored from nonsense says why it does not quote, or quotes finite prices; nothing is
    raised.
    """
    quotes = engine(model=model, calibration="market", regime_power=0.5, momentum_beta=1.0, volatility_stop=5.0)
    state = quotes.conditions.state()
    assert state is not None
    A_buy, A_sell, k = fit
    intensity = msgspec.structs.replace(state.intensity, A=A_buy, A_buy=A_buy, A_sell=A_sell, k=k, fair=BID, good_ns=1)
    sure = msgspec.structs.replace(quotes.volatility.state(), time_s=100.0, observed_s=100.0, events=100)
    try:
        quotes.volatility.restore(msgspec.structs.replace(sure, squares=squares))
    except ValueError:
        assume(False)  # no square root: such a state cannot be
    quotes.conditions.restore(msgspec.structs.replace(state, intensity=intensity))
    answer = quotes.price(book(bid, bid + width), lots, S)
    if isinstance(answer, int):
        assert answer in (Reason.BAD_NUMBER.bit, Reason.VOLATILITY_HALT.bit)
    else:
        assert all(map(math.isfinite, (answer.bid.raw_ticks, answer.ask.raw_ticks, answer.half_bps)))
        assert answer.bid.ticks < answer.ask.ticks
