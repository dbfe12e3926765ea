"""Overlays, ladders, hedges and figures on any input: bounds they keep and laws they obey."""

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from mm_daemon.domain.orders import Side
from mm_daemon.engine.hedging import hedge_rule
from mm_daemon.engine.inventory_time import InventoryTime
from mm_daemon.engine.ladder import Ladder
from mm_daemon.engine.overlays.adverse_selection import AdverseSelectionPull
from mm_daemon.engine.overlays.shifts import clamped, funding_shift, momentum_shift
from mm_daemon.engine.overlays.soft_limits import LossLimits, VolatilityLimits
from mm_daemon.engine.overlays.trading_hours import DAY_NS, TradingHours
from mm_daemon.engine.signals.flow import depth_imbalance
from mm_daemon.engine.signals.regime import regime_gamma
from mm_daemon.engine.statistics import inventory_stats

_S = 1_000_000_000
_POSITIVE = st.floats(1e-6, 1e9)
_SIZE = st.floats(0.0, 1e9)


@settings(deadline=None)
@given(_POSITIVE, st.floats(-0.99, 0.99), _SIZE, _POSITIVE, _SIZE, _SIZE)
def test_funding_shift_is_against_the_payer_and_clamped(
    mid: float, rate: float, t_next: float, period: float, tau_h: float, cap: float
) -> None:
    """Never with the sign of the rate, never beyond the cap, less the further away the payment is."""
    shift = funding_shift(mid, rate, t_next, period, tau_h)
    assert shift * rate <= 0.0
    assert abs(clamped(shift, cap)) <= cap
    assert abs(funding_shift(mid, rate, t_next + period, period, tau_h)) <= abs(shift)


@given(st.floats(-1e6, 1e6), st.floats(-10, 10), st.floats(0, 1e3), st.floats(0, 1e6), st.floats(0, 100))
def test_momentum_shift_stays_in_its_clamp(score: float, beta: float, sigma: float, tau: float, cap: float) -> None:
    """Whatever the score."""
    assert abs(momentum_shift(score, beta, sigma, tau, cap)) <= cap


@given(_POSITIVE, _SIZE, _POSITIVE, st.floats(-5, 5), st.floats(0, 1), st.floats(1, 10))
def test_regime_gamma_stays_in_its_bounds(
    gamma0: float, fast: float, slow: float, p: float, lo: float, hi: float
) -> None:
    """Between lo and hi times the configured one."""
    gamma = regime_gamma(gamma0, fast, slow, p, lo, hi).gamma
    assert gamma0 * lo <= gamma <= gamma0 * hi


@given(st.lists(_SIZE, max_size=8), st.lists(_SIZE, max_size=8), st.floats(0, 1))
def test_depth_imbalance_is_a_share_and_mirrors(bids: list[float], asks: list[float], decay: float) -> None:
    """From -1 to 1; sides exchanged, its negative."""
    imbalance = depth_imbalance(bids, asks, decay)
    assert -1.0 <= imbalance <= 1.0
    assert depth_imbalance(asks, bids, decay) == -imbalance


@settings(deadline=None)
@given(
    st.sampled_from(tuple(Side)),
    st.floats(1.0, 1e7),
    st.integers(0, 12),
    st.floats(0.0, 200.0),
    st.floats(0.5, 2.0),
    st.floats(0.2, 3.0),
    st.floats(0.0, 1e6),
    st.floats(-1e3, 1e6),
)
def test_ladder_keeps_its_room_and_its_order(
    side: Side,
    inner: float,
    levels: int,
    step: float,
    growth: float,
    ratio: float,
    total: float,
    room: float,
) -> None:
    """Sizes never exceed the total or the room; prices differ, lead outwards and never better the inner one."""
    ladder = Ladder(levels, step, growth, ratio).levels(side, inner, total, room)
    lots = sum(size for _, size in ladder)
    assert lots <= total + 1e-6
    assert lots <= max(room, 0.0) + 1e-6
    outwards = [-side * ticks for ticks, _ in ladder]
    assert outwards == sorted(set(outwards))
    assert all(size > 0 and ticks > 0 and -side * (ticks - inner) >= -1e-4 for ticks, size in ladder)


@given(
    st.floats(-1e3, 1e3),
    st.floats(-1e3, 1e3),
    st.floats(0, 100),
    st.floats(0, 3),
    st.floats(0, 10),
    st.sampled_from((0.001, 0.01, 1.0)),
    _SIZE,
    _SIZE,
    _SIZE,
    _SIZE,
)
def test_hedge_only_reduces(
    position: float,
    target: float,
    threshold: float,
    ratio: float,
    min_size: float,
    lot: float,
    cost: float,
    skew: float,
    age: float,
    latency: float,
) -> None:
    """Never past the target, never away from it, never when the threshold is kept."""
    hedge = hedge_rule(position, target, threshold, ratio, min_size, lot, cost, skew, age, latency)
    distance = position - target
    assert hedge.size <= abs(distance) + 1e-6
    if hedge.side is not None:
        assert abs(distance) > threshold
        assert hedge.side * distance < 0.0
    assert (hedge.side is None) is (hedge.lots == 0)


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=30))
def test_limits_answer_a_multiplier_or_stop(values: list[float]) -> None:
    """At least 1 and at most the widest, or nothing; what a profit does is nothing."""
    volatility, loss = VolatilityLimits(1.0, 5.0, 3.0), LossLimits(10.0, 50.0, 2.5)
    for value in values:
        for answer, most in ((volatility.judge(value), 3.0), (loss.judge(value), 2.5)):
            assert answer is None or 1.0 <= answer <= most
        if value >= 0.0:
            assert LossLimits(10.0, 50.0, 2.5).judge(value) == 1.0


@given(st.lists(st.tuples(st.sampled_from(tuple(Side)), st.integers(0, 500)), max_size=40))
def test_pulls_never_shorten_and_always_end(trips: list[tuple[Side, int]]) -> None:
    """A trip leaves its side pulled for a cool-down at least, and for the longest at most."""
    pull, now = AdverseSelectionPull(100, 400), 0
    for aggressor, gap_ms in trips:
        now += gap_ms * 1_000_000
        pull.trip(aggressor, now)
        ours = Side.SELL if aggressor is Side.BUY else Side.BUY
        assert pull.pulled(ours, now + 100 * 1_000_000 - 1)
        assert not pull.pulled(ours, now + 400 * 1_000_000)


_MINUTES = st.lists(
    st.tuples(st.integers(0, 23), st.integers(0, 24)).filter(lambda interval: interval[0] != interval[1]), max_size=3
)


@given(_MINUTES, _MINUTES, st.integers(0, 47))
def test_trading_hours_are_what_the_intervals_say(
    sessions: list[tuple[int, int]], blackouts: list[tuple[int, int]], now: int
) -> None:
    """Hour by hour against the definition; the next change is the first hour that differs."""
    hour_ns = DAY_NS // 24

    def within(hour: int, intervals: list[tuple[int, int]]) -> bool:
        return any(a <= hour < b if a < b else hour >= a or hour < b for a, b in intervals)

    def is_open(hour: int) -> bool:
        return (not sessions or within(hour % 24, sessions)) and not within(hour % 24, blackouts)

    hours = TradingHours(*([(a * hour_ns, b * hour_ns) for a, b in part] for part in (sessions, blackouts)))
    assert hours.open_at(now * hour_ns + 5) is is_open(now)
    change = next((hour for hour in range(now + 1, now + 25) if is_open(hour) is not is_open(now)), None)
    assert hours.next_change_ns(now * hour_ns + 5) == (None if change is None else change * hour_ns)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 10**6), st.integers(-9, 9)), min_size=1, max_size=40))
def test_inventory_over_time_is_that_of_the_whole_history(moves: list[tuple[int, int]]) -> None:
    """The exact integrals give the figures of the series."""
    live, now_ns, times, positions = InventoryTime(5), 0, [], []
    for gap_ms, lots in moves:
        now_ns += gap_ms * 1_000_000
        live.on_position(now_ns, lots)
        times.append(now_ns / _S)
        positions.append(float(lots))
    end_ns = now_ns + _S
    got, want = live.figures(end_ns), inventory_stats(times, positions, end_ns / _S, 5.0, float(live.closed_lots))
    assert got is not None
    for name in ("mean_abs", "rms", "time_at_limit"):
        assert math.isclose(getattr(got, name), getattr(want, name), rel_tol=1e-9, abs_tol=1e-9)
    assert (got.mean_holding is None) is (want.mean_holding is None)
    if got.mean_holding is not None and want.mean_holding is not None:
        assert math.isclose(got.mean_holding, want.mean_holding, rel_tol=1e-9)
