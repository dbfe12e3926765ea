"""What estimators and overlays do to the quotes of a market: each where it belongs, each only when asked for."""

import math
from typing import Any

import msgspec
import pytest

from mm_daemon.domain.book import OrderBook
from mm_daemon.domain.decisions import Doubt, Reason
from mm_daemon.domain.errors import DomainError
from mm_daemon.domain.events import BookSnapshot, FundingUpdate
from mm_daemon.domain.orders import Side
from mm_daemon.domain.rng import Rng
from mm_daemon.domain.signal_states import OverlaysState, VpinState
from mm_daemon.engine.models.catalogue import MODELS
from mm_daemon.engine.parameters import WarmStart
from mm_daemon.engine.pricing import Pricing
from mm_daemon.engine.quote_engine import QuoteEngine
from mm_daemon.engine.units import annual_vol_to_bps
from mm_daemon.testkit.builders import MS, SYMBOL, trade
from tests.unit.engine.quoting import BID, MAX_LOTS, S, book, depths_bps, engine, priced, watch_market

every_model = pytest.mark.parametrize("model", sorted(MODELS))
_CLOSED, _TOXIC = Reason.SESSION_CLOSED.bit, Reason.TOXIC_FLOW.bit


def takers(quotes: QuoteEngine, seconds: int, *, a_second: int = 4, start_ms: int = 0, lots: int = 20) -> int:
    """Taker orders of both sides at distances that thin out exponentially; the last instant in ms."""
    step_ms = 1000 // a_second
    for step in range(seconds * a_second):
        at_ms = start_ms + (step + 1) * step_ms
        quotes.observe(book(BID + step % 2, at_ms=at_ms), at_ms * MS)
        # Quantiles of an exponential with a decay of 0.5 per bp, in an order that repeats every 20.
        depth_bps = -2.0 * math.log(1.0 - (7 * step % 20 + 0.5) / 20)
        away = round(depth_bps * BID * 1e-4)
        side = Side.BUY if step % 2 else Side.SELL
        quotes.conditions.on_trade(trade(at_ms + 1, side, BID + away * side, lots, trade_id=step))
    return start_ms + seconds * 1000


def test_nothing_is_estimated_that_nobody_asks_for() -> None:
    """A plain market has no signals, no state to keep and nothing that changes its quotes by itself."""
    quiet = engine()
    assert quiet.conditions.signals is None
    assert quiet.conditions.state() is None
    assert not quiet.conditions.changing
    assert not quiet.conditions.timed
    for keys in ({"calibration": "market"}, {"regime_power": 0.5}, {"momentum_beta": 1.0}, {"toxic_cool_down_ms": 100}):
        assert engine(**keys).conditions.signals is not None


@every_model
def test_calibration_is_taken_once_it_is_good_and_stays_when_trades_do_not(model: str) -> None:
    """Before the first fit as configured; then as measured. Through an hour without trades the rate falls until too
    few orders are remembered, and stays from then on: never none, and the decay never moves.
    """
    quotes = engine(model=model, calibration="market", calibration_half_life_s=60.0, k=0.9, intensity=3.0)
    assert quotes.conditions.intensity().k == 0.9
    assert quotes.conditions.intensity().A_buy == 3.0
    end_ms = takers(quotes, 300)
    measured = quotes.conditions.intensity()
    assert measured.k == pytest.approx(0.5, rel=0.15)
    assert measured.A_buy + measured.A_sell == pytest.approx(4.0, rel=0.15)
    now_ns = watch_market(quotes, [BID + step % 2 for step in range(1800)], start_ms=end_ms + 1000)
    last = quotes.conditions.intensity()
    assert last.k == pytest.approx(measured.k)
    assert 0.0 < last.A_buy < measured.A_buy
    now_ns = watch_market(quotes, [BID + step % 2 for step in range(1800)], start_ms=now_ns // MS + 1000)
    assert quotes.conditions.intensity() == last
    for lots in (-30, 0, 30):
        assert all(map(math.isfinite, depths_bps(priced(quotes, lots=lots, now_ns=now_ns))))


@every_model
def test_without_any_trade_the_configured_numbers_hold(model: str) -> None:
    """An hour of books alone calibrates nothing."""
    quotes = engine(model=model, calibration="market", k=0.9)
    now_ns = watch_market(quotes, [BID + step % 2 for step in range(3600)])
    assert quotes.conditions.intensity().k == 0.9
    assert priced(quotes, now_ns=now_ns).inputs.k == 0.9


def test_regime_moves_gamma_within_its_bounds() -> None:
    """Volatility far above and below the usual one: gamma stays between its multiples, and reaches them."""
    keys: dict[str, Any] = {"regime_power": 2.0, "regime_min": 0.5, "regime_max": 4.0, "gamma": 0.05}
    quotes = engine(**keys)
    assert quotes.conditions.gamma(0.05) == 0.05
    seen = []
    at_ms = 1000
    for size, steps in ((2, 3000), (60, 400), (2, 3000)):
        for step in range(steps):
            bid = BID + size * (step % 2)
            quotes.observe(book(bid, at_ms=at_ms), at_ms * MS)
            at_ms += 1000
            seen.append(quotes.conditions.gamma(0.05))
            assert 0.05 * 0.5 <= seen[-1] <= 0.05 * 4.0
    assert max(seen) == pytest.approx(0.2)
    assert min(seen) == pytest.approx(0.025)
    assert priced(quotes, now_ns=at_ms * MS).inputs.gamma == seen[-1]


@every_model
def test_quotes_lean_against_who_pays_the_funding(model: str) -> None:
    """Longs pay: both quotes are lower by the same; shorts pay: higher; more so when it is due sooner; off: nothing."""

    def shift(rate_e12: int, due_s: int, *, on: bool = True) -> float:
        quotes = engine(model=model, funding_shift=on, gamma=0.001, max_shift_bps=100.0)
        quotes.conditions.on_funding(FundingUpdate(SYMBOL, 0, 0, rate_e12, due_s * S, 3600 * S))
        wide = book(BID - 3000, BID + 3000)
        plain, paying = priced(engine(model=model, gamma=0.001), wide), priced(quotes, wide)
        moved = depths_bps(paying)[1] - depths_bps(plain)[1]
        assert depths_bps(plain)[0] - depths_bps(paying)[0] == pytest.approx(moved, abs=1e-6)
        assert paying.shift_bps == pytest.approx(moved, abs=1e-6)
        return moved

    assert shift(10**9, 5) < 0 < shift(-(10**9), 5)
    assert shift(10**9, 5) < shift(10**9, 20)
    assert shift(10**9, 5, on=False) == 0.0


def test_momentum_shifts_with_the_move_and_no_further_than_allowed() -> None:
    """A rising market lifts both quotes when beta is positive, lowers them when it is negative."""
    for beta, sign in ((1.0, 1), (-1.0, -1)):
        quotes = engine(momentum_beta=beta, max_shift_bps=0.5)
        now_ns = watch_market(quotes, [BID + 30 * step for step in range(300)])
        pricing = priced(quotes, book(BID + 30 * 299), now_ns=now_ns)
        assert 0 < sign * pricing.shift_bps <= 0.5


def test_shifts_have_the_models_horizon_unless_one_is_given() -> None:
    """Momentum counts with the root of the horizon: four times as long, twice the shift, for a fixed spread too."""

    def shift(**keys: Any) -> float:
        quotes = engine(model="fixed_spread", momentum_beta=0.01, max_shift_bps=100.0, half_spread_bps=3.0, **keys)
        now_ns = watch_market(quotes, [BID + 3 * step for step in range(300)])
        return priced(quotes, book(BID + 3 * 299), now_ns=now_ns).shift_bps

    assert shift() > 0.0
    assert shift(shift_horizon_s=40.0) == pytest.approx(2.0 * shift(shift_horizon_s=10.0))
    quotes = engine(model="fixed_spread", half_spread_bps=500.0, k=10.0)
    assert priced(quotes).tau_s == 86_400.0, "of what is never filled it is a day"


def test_hours_close_and_open_both_sides() -> None:
    """Outside the session, and within a blackout, both sides have the reason; the next change is told."""
    quotes = engine(sessions=("08:00-16:30",), blackouts=("12:00-12:05",))
    for time_s, closed, change_s in (
        (8 * 3600 - 1, True, 8 * 3600),
        (8 * 3600, False, 12 * 3600),
        (12 * 3600 + 60, True, 12 * 3600 + 300),
        (16 * 3600 + 1800, True, 32 * 3600),
    ):
        pricing = priced(quotes, now_ns=time_s * S)
        assert (pricing.bid.obstacles, pricing.ask.obstacles) == ((_CLOSED, _CLOSED) if closed else (0, 0))
        assert quotes.conditions.next_change_ns(time_s * S) == change_s * S


def test_volatility_widens_then_stops_then_resumes() -> None:
    """Wider above one volatility, nothing above another, and quotes again once it has calmed to four fifths."""
    quotes = engine(volatility_widen=0.8, volatility_stop=1.0, volatility_widening=3.0)
    widening = quotes.conditions.widening
    at = [annual_vol_to_bps(share) for share in (0.7, 0.9, 1.01, 0.9, 0.79, 0.9)]
    first, second, third, fourth, fifth, sixth = (widening(sigma) for sigma in at)
    assert first == fifth == 1.0
    assert second == sixth == pytest.approx(2.0)
    assert third is fourth is None


def test_a_wild_market_is_halted_and_a_calm_one_quoted_again() -> None:
    """Through the engine's own estimator: the reason while it lasts, a pricing after."""
    quotes = engine(volatility_stop=1.0, volatility_half_life_s=10.0)
    now_ns = watch_market(quotes, [BID + 600 * (step % 2) for step in range(60)])
    assert quotes.price(book(), 0, now_ns) == Reason.VOLATILITY_HALT.bit
    now_ns = watch_market(quotes, [BID + step % 2 for step in range(300)], start_ms=now_ns // MS + 1000)
    assert isinstance(quotes.price(book(), 0, now_ns), Pricing)


@pytest.mark.parametrize("side", [1, -1])
def test_inventory_widens_then_skips_the_side_that_grows_it(side: int) -> None:
    """Strictly above 70 % of the limit that side is wider by a quarter, above 95 % it is gone; alike when short."""
    quotes = engine(
        inventory_widen_at=0.7, inventory_widening=1.25, inventory_skip_at=0.95, max_lots=100, max_give_bps=100.0
    )
    normal = priced(quotes, lots=side * 70)
    wider = priced(quotes, lots=side * 71)
    skipped = priced(quotes, lots=side * 96)
    assert wider.half_bps == pytest.approx(normal.half_bps, rel=1e-9)
    one_lot = normal.skew_bps / 10.0
    grew, shrank = (wider.bid.depth_bps - normal.bid.depth_bps, wider.ask.depth_bps - normal.ask.depth_bps)[::side]
    assert grew == pytest.approx(0.25 * normal.half_bps + one_lot, rel=1e-9)
    assert shrank == pytest.approx(-one_lot, rel=1e-9)
    assert wider.bid.obstacles == wider.ask.obstacles == 0
    growing, reducing = (skipped.bid, skipped.ask) if side > 0 else (skipped.ask, skipped.bid)
    assert growing.obstacles & Reason.MAX_POSITION.bit
    assert not reducing.obstacles


def test_without_room_on_a_side_every_position_there_is_too_much() -> None:
    """A market that may only be short: a long position is reduced, not grown."""
    conditions = engine(max_lots=0, min_lots=-MAX_LOTS).conditions
    assert conditions.obstacles(conditions.used(5), 0) == (Reason.MAX_POSITION.bit, 0)


@pytest.mark.parametrize("taker", [Side.BUY, Side.SELL])
def test_an_outsized_taker_pulls_the_side_it_would_hit_next(taker: Side) -> None:
    """For the cool-down, and the other side stays; after it both are quoted."""
    quotes = engine(toxic_cool_down_ms=2000)
    end_ms = takers(quotes, 60)
    assert quotes.conditions.obstacles(0, end_ms * MS) == (0, 0)
    quotes.conditions.on_trade(trade(end_ms + 10, taker, BID + 30 * taker, 5000, trade_id=10**6))
    quotes.observe(book(at_ms=end_ms + 20), (end_ms + 20) * MS)
    now_ns = (end_ms + 20) * MS
    pulled = (0, _TOXIC) if taker is Side.BUY else (_TOXIC, 0)
    assert quotes.conditions.obstacles(0, now_ns) == pulled
    until_ns = quotes.conditions.next_change_ns(now_ns)
    assert until_ns == now_ns + 2000 * MS
    assert quotes.conditions.obstacles(0, until_ns - 1) == pulled
    assert quotes.conditions.obstacles(0, until_ns) == (0, 0)


def test_takers_that_pile_up_pull_too() -> None:
    """Many ordinary sales in a second, more than twice what stands at the bid."""
    quotes = engine(toxic_cool_down_ms=1000, toxic_flow_times=2.0)
    quotes.observe(book(lots=100, at_ms=1000), 1000 * MS)
    for step in range(9):
        at_ms = 1010 + 10 * step
        quotes.conditions.on_trade(trade(at_ms, Side.SELL, BID, 30, trade_id=step))
        quotes.observe(book(lots=100, at_ms=at_ms + 1), (at_ms + 1) * MS)
    assert quotes.conditions.obstacles(0, 1100 * MS) == (_TOXIC, 0)


def test_a_clock_set_back_keeps_the_rest_of_a_pull() -> None:
    """What runs keeps the time it had left, and estimates stay."""
    quotes = engine(toxic_cool_down_ms=1000, toxic_flow_times=1.0)
    quotes.observe(book(lots=10, at_ms=10_000), 10_000 * MS)
    quotes.conditions.on_trade(trade(10_001, Side.SELL, BID, 30))
    quotes.observe(book(lots=10, at_ms=10_002), 10_002 * MS)
    assert quotes.conditions.next_change_ns(10_002 * MS) == 11_002 * MS
    quotes.lose_clock(9_000 * MS)
    assert quotes.conditions.next_change_ns(1_002 * MS) == 2_002 * MS


def test_limits_that_contradict_each_other_are_refused() -> None:
    """As a DomainError when the market is built."""
    with pytest.raises(DomainError):
        engine(volatility_widen=2.0, volatility_stop=1.0)


@pytest.mark.parametrize("side", [1, -1])
def test_the_side_that_grows_the_position_gets_smaller_with_it(side: int) -> None:
    """In proportion to the share of the limit, the levels behind alike; the reducing side keeps its size."""
    quotes = engine(size_skew=1.0, levels=2, level_size_ratio=2.0, inventory_skip_at=1.0, order_lots=10, max_lots=1000)
    for lots, inner, outer in ((0, 10, 20), (250, 7, 15), (500, 5, 10), (990, 1, 1)):
        pricing = priced(quotes, lots=side * lots)
        grows, reduces = (pricing.bids, pricing.asks)[::side]
        assert [quote.lots for quote in grows] == [inner, outer]
        assert [quote.lots for quote in reduces] == [10, 20]
        assert not any(quote.obstacles or quote.trimmed for quote in (*grows, *reduces))


def predictive_book(quotes: QuoteEngine, changes: int) -> tuple[int, int]:
    """Books of one tick whose mid goes to the side with less on it; the last bid and instant in ms."""
    rng, bid = Rng(3), BID
    for step in range(changes):
        bid_lots, ask_lots = 1 + int(rng.uniform() * 100), 1 + int(rng.uniform() * 100)
        quotes.observe(sized(bid, bid_lots, ask_lots, step * 20), step * 20 * MS)
        if rng.uniform() < 0.4:
            bid += 1 if rng.uniform() < bid_lots / (bid_lots + ask_lots) else -1
    return bid, changes * 20


def sized(bid: int, bid_lots: int, ask_lots: int, at_ms: int) -> OrderBook:
    made = OrderBook()
    made.apply_snapshot(BookSnapshot(SYMBOL, at_ms * MS, at_ms * MS, ((bid, bid_lots),), ((bid + 1, ask_lots),), 1))
    return made


def test_adjusted_microprice_is_the_microprice_until_its_table_is_solved() -> None:
    """With the doubt that says so and no wider quotes for it; then mid and table, and the doubt is gone."""
    quotes = engine(fair_price="adjusted_microprice", low_confidence_widening=2.0)
    plain, book_at_hand = engine(), sized(BID, 90, 10, 0)
    assert quotes.fair_ticks(book_at_hand) == plain.fair_ticks(book_at_hand) != BID + 0.5
    assert Doubt.MICROPRICE_WARMING in priced(quotes, book_at_hand).doubts
    bid, at_ms = predictive_book(quotes, 8000)
    heavy, light = sized(bid, 90, 10, at_ms), sized(bid, 10, 90, at_ms)
    assert quotes.adjusted is not None
    table = quotes.adjusted.table
    assert table
    assert quotes.fair_ticks(heavy) == bid + 0.5 + table[16] > bid + 0.5
    assert quotes.fair_ticks(light) == bid + 0.5 - table[16] < bid + 0.5
    answer = priced(quotes, heavy, now_ns=at_ms * MS)
    assert answer.fair_ticks == quotes.fair_ticks(heavy)
    assert answer.doubts == ()
    assert answer.confidence_widening == 1.0


@pytest.mark.parametrize("shift", [1e3, -1e3, 1e300, -1e300, math.inf, -math.inf, math.nan])
def test_adjusted_microprice_is_never_outside_the_best_prices(shift: float) -> None:
    """Whatever the table says, and what is no number counts as none."""
    quotes = engine(fair_price="adjusted_microprice")
    assert quotes.adjusted is not None
    quotes.adjusted.adopt((shift,) * 18)
    fair = quotes.fair_ticks(sized(BID, 90, 10, 0))
    assert BID <= fair <= BID + 1
    assert math.isfinite(priced(quotes, sized(BID, 90, 10, 0)).bid.raw_ticks)


def with_vpin(quotes: QuoteEngine, vpin: float) -> None:
    state = quotes.conditions.state()
    assert state is not None
    quotes.conditions.restore(msgspec.structs.replace(state, vpin=VpinState(0.0, 0.0, (vpin,) * 50, 50)))


def test_vpin_widens_from_a_threshold_on() -> None:
    """In a straight line up to toxic_vpin, not at all while it is not known or below, and no further beyond."""
    quotes = engine(toxic_vpin_widen=0.4, toxic_vpin=0.8, toxic_vpin_widening=3.0, toxic_cool_down_ms=1000)
    calm = priced(quotes)
    assert calm.toxic_widening == 1.0
    for vpin, want in ((0.4, 1.0), (0.6, 2.0), (0.8, 3.0), (1.0, 3.0)):
        with_vpin(quotes, vpin)
        answer = priced(quotes, now_ns=int(vpin * S))
        assert answer.toxic_widening == pytest.approx(want)
        assert answer.widening == pytest.approx(want)
        assert answer.half_bps == pytest.approx(want * calm.half_bps)
    alone = engine(toxic_vpin_widen=0.5, toxic_vpin_widening=2.0)
    with_vpin(alone, 0.75)
    assert priced(alone).toxic_widening == pytest.approx(1.5)


@pytest.mark.parametrize("taker", [Side.BUY, Side.SELL])
def test_a_one_sided_bucket_pulls_what_takers_take(taker: Side) -> None:
    """Once a bucket, for the cool-down; with balanced volume nothing; the market's lots are orders of ours."""
    quotes = engine(toxic_vpin=0.6, toxic_cool_down_ms=500, vpin_bucket=1.0, toxic_trade_z=100.0)

    def orders(sides: list[Side], start_ms: int) -> int:
        for step, side in enumerate(sides):
            at_ms = start_ms + 10 * step
            quotes.conditions.on_trade(trade(at_ms, side, BID, 5, trade_id=at_ms))
            quotes.observe(book(at_ms=at_ms + 1), (at_ms + 1) * MS)
        return start_ms + 10 * len(sides)

    quotes.observe(book(), 0)
    now_ms = orders([Side.BUY, Side.SELL] * 60, 10)
    assert quotes.conditions.obstacles(0.0, now_ms * MS) == (0, 0)
    now_ms = orders([taker, taker] * 40, now_ms)
    pulled = (0, _TOXIC) if taker is Side.BUY else (_TOXIC, 0)
    assert quotes.conditions.obstacles(0.0, now_ms * MS) == pulled
    assert quotes.conditions.obstacles(0.0, (now_ms + 500) * MS) == (0, 0)


@every_model
def test_impact_by_kyles_lambda_is_priced_in_like_an_adverse_move(model: str) -> None:
    """As adverse_bps of the same size does, within its bound; nothing while lambda is not known or not asked for."""

    def with_lambda(value: float | None, **keys: Any) -> QuoteEngine:
        quotes = engine(model=model, impact_times=2.0, max_impact_bps=1.5, **keys)
        state = quotes.conditions.state()
        assert state is not None
        kyle = msgspec.structs.replace(state.kyle, value=value, half_ticks=2 * BID)
        quotes.conditions.restore(msgspec.structs.replace(state, kyle=kyle))
        return quotes

    # An order of 10 lots of 0.001 at 60,000 is 600 of quote currency.
    order_millions = 600e-6
    plain = priced(engine(model=model))
    assert depths_bps(priced(with_lambda(None))) == depths_bps(plain)
    for wanted, value in ((0.5, 0.25 / order_millions), (1.5, 100.0 / order_millions)):
        answer = priced(with_lambda(value))
        assert answer.inputs.cost_bps == pytest.approx(wanted)
        same = priced(engine(model=model, adverse_bps=wanted))
        assert depths_bps(answer) == pytest.approx(depths_bps(same), rel=1e-6)


@every_model
def test_quotes_are_wider_while_volatility_is_not_known(model: str) -> None:
    """By the whole factor before the estimate is ready, less while it warms up, not at all once it has: never wider
    again meanwhile, and wider again after a silence. Off: as ever.
    """
    keys: dict[str, Any] = {"model": model, "volatility_half_life_s": 20.0, "max_spread_bps": 10_000.0}
    quotes, plain = engine(**keys, low_confidence_widening=3.0), engine(**keys)
    first = priced(quotes)
    assert first.confidence_widening == first.widening == 3.0
    assert first.doubts == (Doubt.VOLATILITY_WARMING,)
    assert first.half_bps == pytest.approx(3.0 * priced(plain).half_bps)
    assert priced(plain).confidence_widening == 1.0
    seen, at_ms = [], 0
    for step in range(60):
        at_ms = 1000 * (step + 1)
        moved = book(BID + 20 * (step % 2), at_ms=at_ms)
        quotes.observe(moved, at_ms * MS)
        seen.append(priced(quotes, moved, now_ns=at_ms * MS).confidence_widening)
    assert seen[0] == 3.0
    assert seen == sorted(seen, reverse=True)
    assert any(1.0 < factor < 3.0 for factor in seen)
    assert seen[-1] == 1.0
    assert priced(quotes, now_ns=at_ms * MS).doubts == ()
    later = book(BID + 7, at_ms=at_ms + 3_600_000)
    quotes.observe(later, (at_ms + 3_600_000) * MS)
    assert priced(quotes, later, now_ns=(at_ms + 3_600_000) * MS).confidence_widening == 3.0


def test_quotes_are_wider_while_the_fit_is_missing_poor_or_old() -> None:
    """Each with its doubt; the last good A and k hold all the while."""
    quotes = engine(calibration="market", calibration_half_life_s=60.0, low_confidence_widening=2.0)
    missing = priced(quotes)
    assert missing.doubts == (Doubt.VOLATILITY_WARMING, Doubt.INTENSITY_WARMING)
    end_ms = takers(quotes, 300)
    known = priced(quotes, now_ns=end_ms * MS)
    assert known.doubts == ()
    assert known.confidence_widening == 1.0
    state = quotes.conditions.state()
    assert state is not None
    poor = msgspec.structs.replace(state.intensity, confidence=0.3)
    quotes.conditions.restore(msgspec.structs.replace(state, intensity=poor))
    answer = priced(quotes, now_ns=end_ms * MS + 1)
    assert answer.doubts == (Doubt.INTENSITY_POOR,)
    assert answer.confidence_widening == pytest.approx(1.5)
    quotes.conditions.restore(state)
    old = priced(quotes, now_ns=(end_ms + 240_000) * MS)
    assert old.doubts == (Doubt.INTENSITY_OLD,)
    assert 1.5 < old.confidence_widening < 2.0
    assert old.inputs.k == known.inputs.k
    now_ns = watch_market(quotes, [BID + step % 2 for step in range(3600)], start_ms=end_ms + 1000)
    silent = priced(quotes, now_ns=now_ns)
    assert silent.doubts[-1] is Doubt.INTENSITY_OLD
    assert silent.confidence_widening > 1.9
    quotes.lose_clock(0)
    assert priced(quotes, now_ns=S).doubts[-1] is Doubt.INTENSITY_OLD


@pytest.mark.parametrize("calibration", ["fixed", "market"])
def test_a_calibration_stands_in_until_the_market_is_known(calibration: str) -> None:
    """Fresh and sure it leaves little doubt, a day later twice as much; then what is measured holds."""
    day_ns = 86_400 * S
    warm = WarmStart(file="cal.yaml", at_ns=10 * day_ns, volatility=0.8, intensity=3.0, k=0.9, confidence=0.6)
    keys: dict[str, Any] = {"volatility": 0.8, "intensity": 3.0, "k": 0.9, "calibration": calibration}
    keys |= {"low_confidence_widening": 2.0, "calibration_half_life_s": 60.0, "half_spread_bps": 1.0}
    now = engine(warm=warm, **keys)
    fresh = priced(now, now_ns=10 * day_ns)
    assert fresh.confidence_widening == 1.0
    assert fresh.inputs.k == (0.9 if calibration == "market" else now.k)
    assert fresh.sigma_bps == annual_vol_to_bps(0.8)
    later = priced(engine(warm=warm, **keys), now_ns=11 * day_ns)
    assert later.confidence_widening == pytest.approx(1.5)
    assert Doubt.VOLATILITY_WARMING in later.doubts
    end_ms = takers(now, 300, start_ms=10 * day_ns // MS)
    measured = priced(now, now_ns=end_ms * MS)
    assert measured.doubts == ()
    now_ns = watch_market(now, [BID + 20 * (step % 2) for step in range(60)], start_ms=end_ms + 1000)
    assert priced(now, now_ns=now_ns).sigma_bps == now.volatility.sigma_bps
    assert (measured.inputs.k == pytest.approx(0.5, rel=0.15)) is (calibration == "market")


def test_what_stopped_an_earlier_life_holds_for_a_while() -> None:
    """A half-life of the volatility, whatever the estimate says by then; a stop that nobody left does not."""
    left = OverlaysState(None, volatility_stopped=True)
    quotes = engine(volatility_stop=1.0, volatility_half_life_s=10.0)
    quotes.conditions.restore_overlays(left)
    assert quotes.conditions.overlays().volatility_stopped
    for at_s, halted in ((100, True), (109, True), (110, False)):
        answer = quotes.price(book(), 0, at_s * S)
        assert (answer == Reason.VOLATILITY_HALT.bit) is halted
        quotes.observe(book(BID + at_s % 2, at_ms=at_s * 1000), at_s * S)
    never = engine(volatility_stop=1.0)
    never.conditions.restore_overlays(OverlaysState(None))
    assert isinstance(never.price(book(), 0, 0), Pricing)
    engine().conditions.restore_overlays(left)
