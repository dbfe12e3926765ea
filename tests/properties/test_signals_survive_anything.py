"""Estimators under hostile input, and taken up from a checkpoint in the middle of anything."""

import math
from collections.abc import Iterator
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from mm_daemon.domain.orders import Side
from mm_daemon.domain.signal_states import SignalsState
from mm_daemon.engine.markouts import Markouts
from mm_daemon.engine.signals.adjusted_microprice import solved_table
from mm_daemon.engine.signals.market_signals import MarketSignals, SignalParameters

_S = 1_000_000_000
_QUICK = SignalParameters(
    volatility_fast_s=2.0,
    volatility_slow_s=8.0,
    volatility_step_ms=100,
    momentum_fast_s=0.5,
    momentum_slow_s=2.0,
    order_flow_s=1.0,
    kyle_bin_ms=100,
    kyle_s=5.0,
    intensity_s=5.0,
    intensity_reach_bps=50.0,
    outlier_min_n=3,
    vpin_bucket=5.0,
    vpin_buckets=3,
)

Event = tuple[str, tuple[Any, ...]]


def fresh() -> MarketSignals:
    return MarketSignals(_QUICK, order_lots=1, quote_per_tick_lot=0.01)


def take(signals: MarketSignals, event: Event) -> None:
    name, values = event
    getattr(signals, name)(*values)


@st.composite
def markets(draw: Any) -> list[Event]:
    """A few hundred events of a market that moves and trades, with a lost book here and there."""
    rng = draw(st.randoms(use_true_random=False))
    now_ns, bid = 1_700_000_000 * _S, 10_000
    events: list[Event] = []
    for _ in range(draw(st.integers(20, 250))):
        now_ns += rng.randrange(0, _S // 5)
        kind = rng.random()
        if kind < 0.01:
            events.append(("lose_book", ()))
        elif kind < 0.5:
            bid += rng.choice((-1, 0, 0, 1))
            touch = (now_ns, bid, rng.randrange(1, 50), bid + rng.randrange(1, 3), rng.randrange(1, 50))
            events.append(("on_book", touch))
        else:
            price = bid + rng.randrange(-20, 20)
            events.append(("on_trade", (now_ns, now_ns // _S, rng.random() < 0.5, price, rng.randrange(1, 20))))
    return events


_ANY = st.one_of(
    st.sampled_from((0, -1, 1, math.nan, math.inf, -math.inf, 1e300, -1e300, 5e-324, 1 << 62, -(1 << 62))),
    st.integers(-(1 << 63), 1 << 63),
    st.floats(),
)
_TIME = st.integers(-5, 1 << 63)
_HOSTILE = st.one_of(
    st.tuples(st.just("on_book"), st.tuples(_TIME, _ANY, _ANY, _ANY, _ANY)),
    st.tuples(st.just("on_book"), st.tuples(_TIME, st.integers(1, 9), _ANY, st.integers(5, 15), _ANY)),
    st.tuples(st.just("on_trade"), st.tuples(_TIME, _TIME, st.booleans(), _ANY, _ANY)),
    st.tuples(st.just("on_trade"), st.tuples(_TIME, _TIME, st.booleans(), st.integers(1, 15), _ANY)),
    st.tuples(st.just("lose_book"), st.just(())),
    st.tuples(st.just("lose_clock"), st.just(())),
)


def numbers(value: object) -> Iterator[float]:
    """Every number anywhere in a state."""
    if isinstance(value, float | int):
        yield value
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from numbers(getattr(value, name))
    elif isinstance(value, tuple):
        for one in value:
            yield from numbers(one)


def values(signals: MarketSignals) -> list[float | None]:
    """What a pricer reads."""
    intensity = signals.intensity
    return [
        signals.regime.ratio,
        signals.regime.gamma(0.1, 0.5, 0.5, 4.0),
        signals.momentum.trend_bps,
        signals.momentum.score(1.0),
        signals.order_flow.value,
        signals.microprice.shift_ticks,
        intensity.A,
        intensity.A_buy,
        intensity.A_sell,
        intensity.k,
        intensity.r2,
        intensity.n_eff,
        intensity.confidence,
        signals.kyle.value,
        signals.kyle.impact_bps(1e6),
        signals.size_outlier.z,
        signals.signed_volume.value,
        signals.vpin.value,
    ]


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.just([]), markets()), st.lists(_HOSTILE, max_size=40), st.one_of(st.just([]), markets()))
def test_nothing_is_ever_not_finite(before: list[Event], hostile: list[Event], after: list[Event]) -> None:
    """No exception and no NaN or infinity in any value or state, whatever comes before, between and after."""
    signals = fresh()
    for event in (*before, *hostile, *after):
        take(signals, event)
    assert all(value is None or math.isfinite(value) for value in values(signals))
    assert all(math.isfinite(number) for number in numbers(signals.state()))
    table = solved_table(signals.microprice.state(), min_moves=5)
    assert table is None or all(math.isfinite(shift) for shift in table)


@settings(max_examples=150, deadline=None)
@given(markets(), st.floats(0.0, 1.0))
def test_state_is_taken_up_exactly(events: list[Event], share: float) -> None:
    """Cut anywhere, written and read again: the rest gives the same values and the same state, to the last bit."""
    cut = int(share * len(events))
    signals = fresh()
    for event in events[:cut]:
        take(signals, event)
    signals.lose_book()  # a next life knows no book
    written = msgspec.msgpack.encode(signals.state())
    other = fresh()
    other.restore(msgspec.msgpack.decode(written, type=SignalsState))
    assert other.state() == signals.state()
    for event in events[cut:]:
        take(signals, event)
        take(other, event)
        assert other.state() == signals.state()
    assert values(other) == values(signals)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 3 * _S),
            st.one_of(st.just("lose"), st.sampled_from(tuple(Side)), st.none()),
            st.floats(900.0, 1100.0),
        ),
        max_size=80,
    )
)
def test_markouts_are_those_of_the_whole_history(events: list[tuple[int, Any, float]]) -> None:
    """Each fill at each horizon against the last mid at or before it, if the book had one then."""
    live, horizons = Markouts((_S, 4 * _S)), (_S, 4 * _S)
    mids: list[tuple[int, float | None]] = [(-1, None)]
    fills, now_ns = [], 0
    for gap_ns, what, price in events:
        now_ns += gap_ns
        if what is None:
            live.on_mid(now_ns, price)
            mids.append((now_ns, price))
        elif what == "lose":
            live.lose_book(now_ns)
            mids.append((now_ns, None))
        else:
            live.on_fill(now_ns, what, price)
            fills.append((now_ns, what, price))
    live.on_mid(now_ns + 10 * _S, 1000.0)
    for side in Side:
        for horizon_ns, figures in zip(horizons, live.figures(side), strict=True):
            want = []
            for at_ns, filled, price in fills:
                mid = next(mid for time, mid in reversed(mids) if time <= at_ns + horizon_ns)
                if filled is side and mid is not None:
                    want.append(1e4 * side * (mid - price) / price)
            assert figures.fills == len(want)
            if want:
                assert figures.mean_bps is not None
                assert math.isclose(figures.mean_bps, sum(want) / len(want), rel_tol=1e-9, abs_tol=1e-9)
