"""Law: whatever a market does, each decision has its reasons, every number of a quote is finite, and nothing is raised.

Jumps by half, books without a side, an hour without a trade, absurd sizes and prices, clocks that stand still, lost
links: through the whole core, with every signal asked for.
"""

import math
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mm_daemon.core.trading_core import TradingCore
from mm_daemon.domain.codec import encode
from mm_daemon.domain.decisions import Action, Doubt, Turn
from mm_daemon.domain.events import (
    BookInvalidated,
    BookSnapshot,
    Event,
    FundingUpdate,
    InvalidCause,
    Levels,
    PublicTrade,
)
from mm_daemon.domain.orders import Side
from mm_daemon.engine.models.catalogue import MODELS
from mm_daemon.engine.parameters import QuoteParameters
from mm_daemon.engine.quote_engine import QuoteEngine
from mm_daemon.observability.words import DOUBTS, WORDS
from mm_daemon.testkit import builders
from mm_daemon.testkit.builders import MS, SYMBOL
from tests.unit.engine.quoting import BID, S, book, engine, watch_market

EVERYTHING: dict[str, Any] = {
    "calibration": "market",
    "calibration_half_life_s": 20.0,
    "volatility_half_life_s": 10.0,
    "regime_power": 0.5,
    "momentum_beta": 1.0,
    "flow_beta_bps": 0.5,
    "impact_times": 1.0,
    "toxic_cool_down_ms": 500,
    "toxic_flow_times": 5.0,
    "toxic_vpin": 0.9,
    "toxic_vpin_widen": 0.3,
    "vpin_bucket": 1.0,
    "volatility_widen": 1.0,
    "volatility_stop": 5.0,
    "fair_price": "adjusted_microprice",
    "low_confidence_widening": 3.0,
    "volatility_estimator": "bipower",
    "size_impact_bps": 1.0,
    "tau": "session",
    "session_s": 300.0,
}
_OFTEN = ("walk", "walk", "trade", "run")
_SELDOM = ("huge trade", "hour", "still", "gap", "funding")
_STEP = st.tuples(
    st.sampled_from((*_OFTEN, *_OFTEN, "jump", "crash", "one side", "empty", "crossed", "absurd", *_SELDOM)),
    st.integers(0, 99),
    st.integers(0, 99),
)


class Market:
    """Prices of a script, and a core that sees them; the same script gives the same events."""

    def __init__(self, quoting: QuoteParameters) -> None:
        market = builders.market(quoting=quoting, order_lots=10, max_position_lots=50, collar_bps=10_000.0)
        self.begin(TradingCore(builders.core_parameters(market)))

    def begin(self, core: TradingCore) -> None:
        self.core = core
        self.now_ms, self.bid, self.number = 0, BID, 1
        self.tell(builders.connected(), builders.account(), builders.snapshot(0, BID, BID + 1))

    def tell(self, *events: Event) -> None:
        for event in events:
            self.core.apply(event)
        check(self.core.decide(self.now_ms * MS))
        (market,) = self.core.markets.values()
        assert all(decision.reasons for decision in market.decisions)
        assert math.isfinite(market.engine.fair_ticks(market.book)) if market.book.trusted else True

    def play(self, what: str, a: int, b: int) -> None:
        self.now_ms += 0 if what == "still" else 3_600_000 if what == "hour" else 1 + 20 * a
        for event in self.events(what, a, b):
            self.number += 1
            self.tell(event)

    def events(self, what: str, a: int, b: int) -> Iterator[Event]:
        if what == "trade":
            yield self.trade(Side.BUY if a % 2 else Side.SELL, self.bid + b - 50, 1 + a)
        elif what == "run":
            for step in range(30):
                self.now_ms += 40
                self.bid += 1 if step % 3 else -1
                yield self.book(1 + (a * step) % 90, 1 + (b + step) % 90)
                yield self.trade(Side.BUY if (a + step) % 5 else Side.SELL, self.bid + step % 7, 1 + step)
        elif what == "huge trade":
            yield self.trade(Side.BUY if a % 2 else Side.SELL, 1 + a * (1 << 50), 1 << (b % 62))
        elif what == "funding":
            at_ns = self.now_ms * MS
            yield FundingUpdate(SYMBOL, at_ns, at_ns, (a - 50) * 10 ** (b // 6), at_ns + b * S, b * S * 3600)
        elif what == "gap":
            yield BookInvalidated(SYMBOL, self.now_ms * MS, self.now_ms * MS, InvalidCause.GAP)
        else:
            if what == "walk":
                self.bid += a % 7 - 3
            elif what == "jump":
                self.bid += self.bid // 2
            elif what == "crash":
                self.bid = max(2, self.bid // 2)
            self.bid = min(self.bid, 1 << 45)
            yield self.book(a, b, what)

    def book(self, a: int, b: int, what: str = "") -> BookSnapshot:
        bids: Levels = ((self.bid, 1 + a),)
        asks: Levels = ((self.bid + 1 + (b if b > 90 else 0), 1 + b),)
        if what == "one side":
            bids, asks = (bids, ()) if a % 2 else ((), asks)
        elif what == "empty":
            bids = asks = ()
        elif what == "crossed":
            bids, asks = asks, bids
        elif what == "absurd":
            bids, asks = ((1, 1 << 60),), ((1 << (2 + a % 50), 1),)
        return BookSnapshot(SYMBOL, self.now_ms * MS, self.now_ms * MS, bids, asks, self.number)

    def trade(self, side: Side, ticks: int, lots: int) -> PublicTrade:
        return builders.trade(self.now_ms, side, max(1, ticks), lots, trade_id=self.number)


def check(turn: Turn) -> None:
    """Everything a turn says can be written down, is finite, and has words."""
    encode(0, [*turn.decisions, *turn.released, *turn.refusals])
    for changed in turn.decisions:
        numbers = changed.inputs
        for name in numbers.__struct_fields__:
            value = getattr(numbers, name)
            assert not isinstance(value, float) or math.isfinite(value), name
        assert numbers.confidence_widening >= 1.0
        assert (numbers.confidence_widening > 1.0) <= bool(numbers.doubts)
        assert all(DOUBTS[doubt] for doubt in numbers.doubts)
        for decision in changed.decisions:
            assert decision.reasons
            assert all(WORDS[reason] for reason in decision.reasons)
            if decision.action is Action.QUOTE:
                assert decision.target is not None
                assert math.isfinite(decision.target.raw_ticks)
                assert decision.target.ticks > 0
                assert decision.target.lots > 0


@settings(max_examples=150, deadline=None)
@given(st.lists(_STEP, min_size=3, max_size=60), st.sampled_from(sorted(MODELS)))
def test_every_decision_has_reasons_and_every_quote_is_finite(script: list[tuple[str, int, int]], model: str) -> None:
    """Through any script, and over a restart in the middle of it."""
    market = Market(QuoteParameters(model=model, **EVERYTHING))
    for step in script:
        market.play(*step)
    market.begin(TradingCore(market.core.parameters, market.core.checkpoint()))
    for step in script:
        market.play(*step)


@pytest.mark.parametrize("model", sorted(MODELS))
def test_the_script_quotes_at_all(model: str) -> None:
    """The law above is not about a market that is never quoted."""
    market = Market(QuoteParameters(model=model, **EVERYTHING))
    for a in range(40):
        market.play("run", a, 2 * a)
    (state,) = market.core.markets.values()
    assert state.pricing is not None
    assert state.engine.conditions.signals is not None
    assert state.engine.conditions.signals.vpin.value is not None
    assert state.engine.adjusted is not None
    assert state.engine.adjusted.table


_ANY = st.one_of(st.floats(), st.sampled_from([0.0, -1.0, 1e-300, 1e300, math.inf, -math.inf, math.nan]))


@settings(max_examples=300, deadline=None)
@given(
    vpin=_ANY,
    impact=_ANY,
    confidence=_ANY,
    observed=_ANY,
    shift=_ANY,
    good_s=st.integers(-10, 10**6),
    model=st.sampled_from(sorted(MODELS)),
)
def test_signals_that_are_no_numbers_never_reach_a_quote(
    vpin: float, impact: float, confidence: float, observed: float, shift: float, good_s: int, model: str
) -> None:
    """An engine taken up from nonsense has a reason, or finite quotes no narrower than they would be without."""
    quotes = engine(model=model, **EVERYTHING)
    state = quotes.conditions.state()
    assert state is not None
    intensity = msgspec.structs.replace(
        state.intensity, A=1.0, A_buy=1.0, A_sell=1.0, k=0.5, confidence=confidence, good_ns=good_s * S
    )
    nonsense = msgspec.structs.replace(
        state,
        intensity=intensity,
        vpin=msgspec.structs.replace(state.vpin, ring=(vpin,) * 50, full=50),
        kyle=msgspec.structs.replace(state.kyle, value=impact, half_ticks=2 * BID),
        microprice=msgspec.structs.replace(state.microprice, table=(shift,) * 18),
    )
    quotes.conditions.restore(nonsense)
    quotes.volatility.confidence = observed
    answer = quotes.price(book(), 0, S)
    if isinstance(answer, int):
        assert answer
        return
    numbers = answer.bid.raw_ticks, answer.ask.raw_ticks, answer.half_bps, answer.widening, answer.fair_ticks
    assert all(map(math.isfinite, numbers))
    assert 1.0 <= answer.confidence_widening <= 3.0
    assert 1.0 <= answer.toxic_widening <= 2.0
    assert answer.bid.ticks < answer.ask.ticks


@settings(max_examples=100, deadline=None)
@given(
    factor=st.one_of(st.just(1.0), st.floats(1.01, 100.0)),
    seconds=st.integers(0, 40),
    lots=st.integers(-50, 50),
    model=st.sampled_from(sorted(MODELS)),
)
def test_low_confidence_never_narrows_and_never_leans(factor: float, seconds: int, lots: int, model: str) -> None:
    """Beside quotes that do not care for confidence: both sides as far away or farther, about the same centre."""

    def warmed(widening: float) -> QuoteEngine:
        quotes = engine(
            model=model, low_confidence_widening=widening, volatility_half_life_s=10.0, max_spread_bps=10_000.0
        )
        watch_market(quotes, [BID + 20 * (step % 2) for step in range(seconds)])
        return quotes

    plain, wide = (warmed(each).price(book(BID, BID + 40_000), lots, seconds * S) for each in (1.0, factor))
    assert not isinstance(plain, int)
    assert not isinstance(wide, int)
    assert 1.0 <= wide.confidence_widening <= factor
    assert wide.half_bps >= plain.half_bps
    assert wide.centre_bps == plain.centre_bps
    assert wide.bid.depth_bps >= plain.bid.depth_bps
    assert wide.ask.depth_bps >= plain.ask.depth_bps
    assert (Doubt.VOLATILITY_WARMING in wide.doubts) is (wide.confidence_widening > 1.0) or factor == 1.0
