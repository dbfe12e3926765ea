"""Whatever the market, the position and the model: the parts of an explained quote are the quote, to the last tick."""

import math
from collections.abc import Mapping
from decimal import Decimal

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mm_daemon.backtest.explain.explaining import explain
from mm_daemon.backtest.explain.explanation import PartName, Quotes, SideExplanation
from mm_daemon.backtest.explain.market import Given, told
from mm_daemon.backtest.explain.scene import Scene
from mm_daemon.domain.orders import Side
from mm_daemon.domain.signal_states import VpinState
from mm_daemon.engine.models.catalogue import MODELS
from mm_daemon.engine.parameters import QuoteParameters
from mm_daemon.engine.pricing import Pricing
from mm_daemon.engine.pricing_model import inventory_offsets, tilt_bps
from mm_daemon.testkit import builders as b

_TICK = Decimal("0.1")
_LAST_BITS = 1e-12
"""Of a price: what adding a dozen floats may lose."""


@st.composite
def quotings(draw: st.DrawFn) -> QuoteParameters:
    """Any model, with every clamp now loose, now tight. Nothing is worked off: that quote goes by the touch."""
    return QuoteParameters(
        inventory_exit_at=None,
        model=draw(st.sampled_from(sorted(MODELS))),
        gamma=draw(st.floats(1e-3, 2.0)),
        k=draw(st.floats(0.1, 3.0)),
        intensity=draw(st.floats(0.1, 5.0)),
        tau=draw(st.sampled_from(["auto", "session", 30.0])),
        session_s=600.0,
        adverse_bps=draw(st.sampled_from([0.0, 0.7])),
        fees_in_model=draw(st.booleans()),
        fair_price=draw(st.sampled_from(["mid", "microprice", "adjusted_microprice"])),
        min_edge_bps=draw(st.sampled_from([0.0, 3.0])),
        max_give_bps=draw(st.sampled_from([0.0, 1.0])),
        min_spread_bps=draw(st.sampled_from([0.0, 12.0])),
        max_spread_bps=draw(st.sampled_from([200.0, 4.0, 14.0])),
        max_skew_bps=draw(st.sampled_from([50.0, 0.5])),
        target_position=draw(st.sampled_from([0.0, 0.017])),
        volatility_widen=draw(st.sampled_from([None, 0.3])),
        volatility_stop=draw(st.sampled_from([None, 3.0])),
        low_confidence_widening=draw(st.sampled_from([1.0, 1.7])),
        impact_times=draw(st.sampled_from([0.0, 1.0])),
        toxic_vpin_widen=draw(st.sampled_from([None, 0.1])),
    )


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    contract = b.instrument(maker_fee_ppm=draw(st.sampled_from([0, 200, -100])), min_notional="100")
    market = b.market(contract, order_lots=10, max_position_lots=50, quoting=draw(quotings()))
    bid = draw(st.integers(50, 2_000_000))
    numbers = Given(
        bid=bid * _TICK,
        ask=(bid + draw(st.integers(1, 40))) * _TICK,
        bid_size=Decimal(draw(st.integers(1, 5000))) / 1000,
        ask_size=Decimal(draw(st.integers(1, 5000))) / 1000,
        position=Decimal(draw(st.integers(-70, 70))) / 1000,
        sigma_bps=draw(st.none() | st.floats(1e-3, 8.0)),
    )
    scene = told(market, numbers, draw(st.integers(0, 10**18)), "numbers that were given")
    _measured(draw, scene)
    return scene


def _measured(draw: st.DrawFn, scene: Scene) -> None:
    """What a market's signals may have come to: VPIN, Kyle's lambda, a table of the microprice."""
    signals = scene.engine.conditions.signals
    if signals is None or draw(st.booleans()):
        return
    vpin = VpinState(0.0, 0.0, (draw(st.floats(0.0, 1.0)),) * 50, 50)
    kyle = msgspec.structs.replace(
        signals.kyle.state(), value=draw(st.floats(0.0, 1e5)), half_ticks=scene.book.half_ticks
    )
    half = [draw(st.floats(-30.0, 30.0)) for _ in range(8)]
    table = (*(-shift for shift in half), 0.0, 0.0, *half)
    microprice = msgspec.structs.replace(signals.microprice.state(), table=table)
    state = signals.state()
    scene.engine.conditions.restore(msgspec.structs.replace(state, vpin=vpin, kyle=kyle, microprice=microprice))


def explained(scene: Scene) -> tuple[Quotes, Pricing]:
    quotes = explain(scene).quotes
    priced = scene.engine.price(scene.book, scene.position_lots, scene.now_ns)
    assume(quotes is not None and isinstance(priced, Pricing))
    assert quotes is not None and isinstance(priced, Pricing)
    return quotes, priced


@settings(max_examples=300, deadline=None)
@given(scene=scenes())
def test_the_parts_of_each_quote_are_the_quote(scene: Scene) -> None:
    """Mid and parts make the engine's unrounded price, that and the rounding its ticks, which are exact."""
    quotes, priced = explained(scene)
    for side, quote, sign in ((quotes.bid, priced.bid, Side.BUY), (quotes.ask, priced.ask, Side.SELL)):
        slack = _LAST_BITS * side.mid_ticks
        assert side.mid_ticks == priced.mid_ticks
        assert abs(math.fsum([side.mid_ticks, *(part.ticks for part in side.parts)]) - side.unrounded_ticks) <= slack
        assert side.unrounded_ticks + side.rounding_ticks + side.post_only_ticks == side.ticks == quote.ticks
        assert side.unrounded_ticks == quote.raw_ticks or quote.clamped
        assert side.post_only_ticks == 0.0 or quote.clamped
        assert Decimal(side.price) == side.ticks * _TICK
        assert side.quoted is (quote.obstacles == 0)
        assert sign * side.rounding_ticks <= slack
        for part in side.parts:
            assert math.isclose(part.ticks, part.bps * 1e-4 * side.mid_ticks, rel_tol=1e-9, abs_tol=slack)


@settings(max_examples=200, deadline=None)
@given(scene=scenes())
def test_the_parts_of_the_half_spread_are_the_half_spread(scene: Scene) -> None:
    """And what is called a limit is there only when the limit is what holds the quote."""
    quotes, priced = explained(scene)
    half, quoting = quotes.half_spread, scene.parameters.quoting
    parts = (
        half.intensity_bps,
        half.risk_bps,
        half.fees_bps,
        half.adverse_bps,
        half.impact_bps,
        half.inventory_bps,
        half.max_skew_bps,
        half.widening_bps,
        half.toxic_bps,
        half.low_confidence_bps,
        half.spread_limits_bps,
    )
    assert math.isclose(math.fsum(parts), priced.half_bps, rel_tol=1e-9, abs_tol=1e-9)
    if half.spread_limits_bps:
        assert half.total_bps in (0.5 * quoting.min_spread_bps, 0.5 * quoting.max_spread_bps)
    for side in (quotes.bid, quotes.ask):
        of = {part.name: part.bps for part in side.parts}
        if of["max_skew"]:
            assert quotes.skew.model_per_order_bps > quotes.skew.per_order_bps or _is_held(scene, priced)
        if of["least_edge"]:
            assert min(abs(_depth(side, of) - edge) for edge in _edges(scene, priced)) < 1e-9


@pytest.mark.parametrize("model", sorted(MODELS))
def test_every_model_says_what_each_part_is_for(model: str) -> None:
    """A fee that the model passes on is named a fee, and volatility widens by what is named risk, where it does."""
    contract = b.instrument(maker_fee_ppm=100)
    numbers = Given(bid=Decimal(60000), ask=Decimal("60000.1"), sigma_bps=2.0)
    calm = explain(told(b.market(contract, quoting=QuoteParameters(model=model)), numbers, 0, "")).quotes
    free = QuoteParameters(model=model, fees_in_model=False)
    unpaid = explain(told(b.market(contract, quoting=free), numbers, 0, "")).quotes
    assert calm is not None and unpaid is not None
    assert calm.half_spread.fees_bps == pytest.approx(0.5 if model == "ho_stoll" else 1.0)
    assert unpaid.half_spread.fees_bps == 0.0
    assert calm.half_spread.intensity_bps == pytest.approx(unpaid.half_spread.intensity_bps)
    assert (calm.half_spread.risk_bps > 0.0) is (model != "fixed_spread")
    assert calm.break_even.half_spread_bps == unpaid.break_even.half_spread_bps == pytest.approx(1.0)


def _depth(side: SideExplanation, of: Mapping[PartName, float]) -> float:
    """What the edge was compared with: the distance from the fair price before any shift."""
    away = side.mid_ticks - side.unrounded_ticks if side.side == "bid" else side.unrounded_ticks - side.mid_ticks
    sign = 1.0 if side.side == "bid" else -1.0
    shift = of["momentum"] + of["flow"] + of["funding"] + of["max_shift"]
    return away * 1e4 / side.mid_ticks + sign * (of["reference"] + shift)


def _edges(scene: Scene, priced: Pricing) -> tuple[float, float]:
    quoting = scene.parameters.quoting
    fee = scene.parameters.instrument.maker_fee_ppm / 100.0 if quoting.fees_in_model else 0.0
    impact = priced.inputs.cost_bps - (fee + quoting.adverse_bps)
    assert 0.0 <= impact + 1e-9 <= quoting.max_impact_bps + 2e-9
    return max(quoting.min_edge_bps, fee + quoting.adverse_bps + impact), -quoting.max_give_bps


def _is_held(scene: Scene, priced: Pricing) -> bool:
    """Inventory moves a side of the model by more than the largest skew allows."""
    curve = scene.engine.curve(priced.inputs)
    most = abs(priced.q) * scene.parameters.quoting.max_skew_bps / 5.0
    tilt = tilt_bps(priced.inputs, curve, math.inf)
    offsets = inventory_offsets(curve.at(priced.q), curve.half_bps, tilt, math.inf)
    return max(map(abs, offsets)) > most
