"""From a book and a position to two quotes: clamps, floors, obstacles and what the engine remembers."""

import itertools
import math
from typing import Any

import msgspec
import numpy as np
import pytest

from mm_daemon.domain.decisions import Reason
from mm_daemon.engine.models.catalogue import MODELS
from mm_daemon.engine.models.depth_table import Depths
from mm_daemon.engine.parameters import QuoteParameters, TauMode
from mm_daemon.engine.pricing_model import LinearCurve, ModelInputs, ModelSettings
from mm_daemon.engine.quote_engine import QuoteEngine
from mm_daemon.testkit.builders import MS, instrument
from tests.unit.engine.quoting import BID, MAX_LOTS, S, book, depths_bps, engine, priced, watch_market

every_model = pytest.mark.parametrize("model", sorted(MODELS))


@every_model
def test_a_flat_market_maker_quotes_on_both_sides_of_fair(model: str) -> None:
    """Symmetric, on the outside of the unrounded target, and full-sized."""
    pricing = priced(engine(model=model))
    below, above = depths_bps(pricing)
    assert below == pytest.approx(above)
    assert below == pytest.approx(pricing.half_bps)
    assert pricing.bid.ticks <= pricing.bid.raw_ticks
    assert pricing.ask.ticks >= pricing.ask.raw_ticks
    assert (pricing.bid.lots, pricing.ask.lots) == (10, 10)
    assert pricing.bid.obstacles == pricing.ask.obstacles == 0


@pytest.mark.parametrize(
    ("model", "tau"),
    [
        ("glft_exact", "auto"),
        ("cartea_jaimungal", "auto"),
        ("cartea_jaimungal", 2.0),
        ("cartea_jaimungal", "session"),
        ("avellaneda_stoikov_infinite", "auto"),
    ],
)
def test_quotes_of_a_solved_model_are_its_own_depths(model: str, tau: float | TauMode) -> None:
    """At every inventory the two depths that the model gives, not its flat spread moved around."""
    solved: dict[str, Any] = {"model": model, "tau": tau, "session_s": 10.0, "gamma": 0.5, "k": 0.3}
    quotes = engine(**solved, max_skew_bps=1000.0, max_give_bps=100.0, inventory_widening=1.0)
    wide = book(BID - 30_000, BID + 30_000)
    for orders in range(-4, 5):
        pricing = priced(quotes, wide, lots=10 * orders)
        wanted = quotes.curve(pricing.inputs).at(float(orders))
        for depth, model_depth in zip(depths_bps(pricing), (wanted.delta_bid, wanted.delta_ask), strict=True):
            assert model_depth is not None
            assert depth == pytest.approx(model_depth, rel=1e-9)


@pytest.mark.parametrize("model", ["glft_exact", "cartea_jaimungal"])
def test_at_its_bound_a_solved_model_only_reduces(model: str) -> None:
    """One more would be too many; the way back stays quoted."""
    full = priced(engine(model=model, inventory_skip_at=1.0), lots=MAX_LOTS)
    assert full.bid.obstacles & Reason.MAX_POSITION.bit
    assert full.ask.obstacles == 0
    short = priced(engine(model=model, inventory_skip_at=1.0), lots=-MAX_LOTS)
    assert short.ask.obstacles & Reason.MAX_POSITION.bit
    assert short.bid.obstacles == 0


def test_unequal_flow_moves_the_centre_while_nothing_is_held() -> None:
    """Cartea-Jaimungal with more buyers than sellers stands higher when flat; models without a word on it do not."""
    for model, moves in (("cartea_jaimungal", True), ("glft", False)):
        quotes = engine(model=model, calibration="market", max_give_bps=100.0)
        state = quotes.conditions.state()
        assert state is not None
        fit = msgspec.structs.replace(state.intensity, A=1.0, A_buy=1.5, A_sell=0.5, k=0.5, good_ns=1)
        quotes.conditions.restore(msgspec.structs.replace(state, intensity=fit))
        wide = book(BID - 3000, BID + 3000)
        below, above = depths_bps(priced(quotes, wide))
        wanted = quotes.curve(quotes.inputs(quotes.sigma_bps(BID), 0)).at(0.0)
        assert (below, above) == pytest.approx((wanted.delta_bid, wanted.delta_ask))
        assert (above > below + 0.01) is moves


@every_model
def test_the_spread_clamp_keeps_the_skew(model: str) -> None:
    """A widest spread narrows both sides around the model's centre."""
    wide = book(BID - 30_000, BID + 30_000)
    common: dict[str, Any] = {"model": model, "k": 0.05, "max_give_bps": 1000.0}
    free = priced(engine(max_spread_bps=10_000.0, **common), wide, lots=20)
    tight = priced(engine(max_spread_bps=4.0, **common), wide, lots=20)
    below, above = depths_bps(tight)
    free_below, free_above = depths_bps(free)
    assert below + above == pytest.approx(4.0)
    assert below - above == pytest.approx(free_below - free_above)
    assert below > above or model == "avellaneda_stoikov_symmetric"


@every_model
def test_the_skew_clamp_keeps_the_order_of_inventories(model: str) -> None:
    """With all the risk aversion there is, quotes shift by no more than what was allowed at the limit."""
    clamped: dict[str, Any] = {"gamma": 500.0, "max_skew_bps": 8.0, "max_give_bps": 1000.0, "inventory_widening": 1.0}
    quotes = engine(model=model, **clamped)
    for lots in (-40, -20, 10, 30):
        below, above = depths_bps(priced(quotes, lots=lots))
        assert abs(below - above) / 2 <= 8.0 * abs(lots) / MAX_LOTS + 1e-9


def test_the_skew_clamp_leaves_a_half_spread_that_volatility_has_not_made() -> None:
    """A fixed spread is what was asked for, however much of its skew is clamped."""
    quotes = engine(model="fixed_spread", half_spread_bps=2.0, skew_bps_at_max=40.0, max_skew_bps=10.0)
    assert priced(quotes).half_bps == pytest.approx(2.0)


@every_model
def test_the_growing_side_earns_fee_and_adverse_move(model: str) -> None:
    """At least what a fill costs, whatever the model says; the reducing side may go to the fair price, not beyond."""
    contract = instrument(maker_fee_ppm=200)
    quotes = engine(contract, model=model, adverse_bps=1.0, k=100.0, gamma=1000.0, max_skew_bps=500.0)
    for lots in (-30, 0, 30):
        below, above = depths_bps(priced(quotes, lots=lots))
        if lots >= 0:
            assert below >= 3.0 - 1e-6
        if lots <= 0:
            assert above >= 3.0 - 1e-6
        assert min(below, above) >= -1e-6


def test_a_negative_edge_never_lets_a_growing_quote_give_more_than_a_reducing_one() -> None:
    """With a rebate and a negative edge both sides may stand beyond fair, the reducing one at least as far."""
    contract = instrument(maker_fee_ppm=-300)
    quotes = engine(contract, min_edge_bps=-2.0, k=100.0, gamma=0.001)
    wide = book(BID - 3000, BID + 3000)
    flat, long = priced(quotes, wide), priced(quotes, wide, lots=10)
    assert long.bid.ticks <= flat.bid.ticks
    assert long.ask.ticks <= flat.ask.ticks


class _Odd:
    """A model of somebody's that answers whatever it was made for."""

    half_bps, skew_bps, risk_bps, tau_s = 1.0, 0.1, 0.05, None

    def __init__(self, depths: Depths) -> None:
        self._depths = depths

    def curve(self, inputs: ModelInputs) -> "_Odd":
        return self

    def at(self, q: float) -> Depths:
        return self._depths


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_model_that_answers_no_number_does_not_quote(bad: float) -> None:
    """Whichever side it is, and whatever clamp could hide it."""
    for depths in (Depths(bad, 1.0), Depths(1.0, bad), Depths(bad, None), Depths(None, bad)):
        quotes = QuoteEngine(
            instrument(),
            QuoteParameters(model="odd"),
            order_lots=10,
            min_position_lots=-MAX_LOTS,
            max_position_lots=MAX_LOTS,
            collar_bps=500.0,
            models={"odd": lambda settings, depths=depths: _Odd(depths)},  # type: ignore[misc]
        )
        for lots in (-20, 0, 20):
            assert quotes.price(book(), lots, 0) == Reason.BAD_NUMBER.bit


@pytest.mark.parametrize("long", [True, False])
def test_widening_near_a_limit_never_lets_a_longer_position_raise_a_quote(long: bool) -> None:
    """Where the half-spread of a solved model shrinks with inventory, and 70 % of the limit is held."""
    keys: dict[str, Any] = {"gamma": 1.0, "k": math.e, "intensity": 1.0, "volatility": math.e, "inventory_skip_at": 1.0}
    limits: dict[str, Any] = {"min_spread_bps": 0.0, "max_spread_bps": 3.0, "max_skew_bps": 20.0, "max_give_bps": 0.0}
    quotes = engine(instrument(maker_fee_ppm=516), model="glft_exact", **keys, **limits)
    held = [priced(quotes, book(BID, BID + 2), lots if long else -lots) for lots in range(30, 48)]
    grows = [-pricing.bid.raw_ticks if long else pricing.ask.raw_ticks for pricing in held]
    assert grows == sorted(grows)


class _InNumpy:
    """GLFT of somebody who computes in numpy."""

    def __init__(self, settings: ModelSettings) -> None:
        self._glft = MODELS["glft"](settings)

    def curve(self, inputs: ModelInputs) -> LinearCurve:
        curve = self._glft.curve(inputs)
        assert curve.tau_s is not None
        figures = np.array([curve.half_bps, curve.skew_bps, curve.risk_bps, curve.tau_s])
        return LinearCurve(*figures)


@pytest.mark.parametrize("lots", [0, 20, -30, 50])
def test_a_model_that_computes_in_numpy_is_journaled_like_any_other(lots: int) -> None:
    """No journal holds a float of numpy; the same numbers are the same bytes."""
    limits: dict[str, Any] = {
        "order_lots": 10,
        "min_position_lots": -MAX_LOTS,
        "max_position_lots": MAX_LOTS,
        "collar_bps": 500.0,
    }
    models = {**MODELS, "numpy": _InNumpy}
    written = [
        msgspec.msgpack.encode(
            priced(QuoteEngine(instrument(), QuoteParameters(model=name), models=models, **limits), lots=lots)
        )
        for name in ("glft", "numpy")
    ]
    assert written[0] == written[1]


def test_no_room_no_size_and_far_prices_are_obstacles_of_their_side() -> None:
    """The other side is quoted."""
    full = priced(engine(inventory_skip_at=1.0), lots=MAX_LOTS)
    assert (full.bid.lots, full.bid.obstacles) == (0, Reason.MAX_POSITION.bit)
    assert (full.ask.lots, full.ask.obstacles) == (10, 0)
    nearly = priced(engine(inventory_skip_at=1.0), lots=MAX_LOTS - 4)
    assert nearly.bid.lots == 4
    poor = priced(engine(instrument(min_notional="500"), inventory_skip_at=1.0), lots=MAX_LOTS - 4)
    assert poor.bid.obstacles == Reason.SIZE_BELOW_MIN.bit


def test_the_same_book_is_priced_once_and_another_anew() -> None:
    """What was priced of the same numbers is the same object."""
    quotes = engine()
    first = quotes.price(book(), 0, 0)
    assert quotes.price(book(), 0, 5 * S) is first
    assert quotes.price(book(BID + 3), 0, 6 * S) is not first
    assert quotes.price(book(), 10, 6 * S) is not first


@pytest.mark.parametrize(
    ("model", "tau", "orders"),
    [("glft_exact", "auto", 1000), ("cartea_jaimungal", "auto", 1000), ("cartea_jaimungal", 9.0, 100)],
)
def test_what_is_solved_in_slices_is_gone_on_with_while_nothing_moves(model: str, tau: float | TauMode, orders: int):
    """Volatility is sampled once a second: a jump of it is in the quotes some decisions later, not some seconds, and
    then they are those of an engine that has known no other.
    """
    keys: dict[str, Any] = {"model": model, "tau": tau, "max_lots": 10 * orders, "gamma": 0.05, "k": 0.5}
    keys["max_skew_bps"] = 10_000.0
    quotes, fresh = engine(**keys), engine(**keys)
    quotes.volatility.sigma_bps, quotes.volatility.confidence = 0.9, 1.0
    calm = priced(quotes)
    quotes.volatility.sigma_bps = fresh.volatility.sigma_bps = 1.1
    fresh.volatility.confidence = 1.0
    pricings = [priced(quotes, now_ns=ms * MS) for ms in range(1, 60)]
    assert depths_bps(pricings[0]) == depths_bps(calm)
    assert depths_bps(pricings[-1]) == depths_bps(priced(fresh)) != depths_bps(calm)
    assert pricings[-1] is pricings[-2], "nothing is left to be done"


@every_model
def test_a_cost_beyond_all_takers_says_so(model: str) -> None:
    """A thousand bps to earn where each bp is reached by 1/e as many: no bad number but a high cost. Models in which
    takers do not appear add the cost and stand where nobody comes.
    """
    answer = engine(model=model, k=1.0, adverse_bps=1000.0, tau=10.0).price(book(), 0, 0)
    if model in ("fixed_spread", "ho_stoll", "avellaneda_stoikov_symmetric"):
        assert not isinstance(answer, int)
        assert min(answer.bid.depth_bps, answer.ask.depth_bps) >= 999.0
    else:
        assert answer == Reason.COST_TOO_HIGH.bit


@every_model
def test_a_price_jump_of_half_is_followed(model: str) -> None:
    """Both quotes stand around the new price at once, finite, and wider or as wide for the volatility it makes."""
    quotes = engine(model=model, max_spread_bps=10_000.0, calibration="market", regime_power=0.5, momentum_beta=1.0)
    now_ns = watch_market(quotes, [BID + (step % 3) for step in range(60)])
    calm = priced(quotes, book(), now_ns=now_ns)
    fallen = BID // 2
    now_ns = watch_market(quotes, [fallen] * 3, start_ms=now_ns // MS + 1000)
    wild = quotes.price(book(fallen), 0, now_ns)
    if isinstance(wild, int):
        assert wild == Reason.BAD_NUMBER.bit
        return
    assert all(map(math.isfinite, depths_bps(wild)))
    assert wild.bid.ticks < fallen + 1 <= wild.ask.ticks
    assert wild.half_bps >= calm.half_bps - 1e-9


def test_a_session_of_cartea_jaimungal_ends_with_its_penalty() -> None:
    """Held until the end, the same position makes the quotes lean more and more; then the next session begins."""
    quotes = engine(model="cartea_jaimungal", tau="session", session_s=100.0, terminal_penalty=3.0, max_skew_bps=100.0)
    skews = [priced(quotes, lots=10, now_ns=second * S).skew_bps for second in range(100)]
    restart = min(range(1, 100), key=lambda second: skews[second] - skews[second - 1])
    rising = skews[restart:] + skews[:restart]
    assert all(later >= earlier - 1e-3 for earlier, later in itertools.pairwise(rising))
    assert rising[0] < 1.0
    assert rising[-1] > 2.0


def test_sessions_of_avellaneda_stoikov_narrow_towards_their_end() -> None:
    """With `tau: session` the same book is wider at the beginning, and the clock alone changes the quotes."""
    quotes = engine(model="avellaneda_stoikov", tau="session", session_s=1000.0, gamma=0.01)
    halves = [priced(quotes, now_ns=second * S).half_bps for second in range(0, 1000, 50)]
    restarts = [step for step in range(1, len(halves)) if halves[step] > halves[step - 1]]
    assert len(restarts) == 1
    assert max(halves) > 2 * min(halves)
