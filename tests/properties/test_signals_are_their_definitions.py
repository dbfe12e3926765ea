"""Every estimator that runs in constant time equals its definition over the whole history (MODELS 6)."""

import math
import random
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mm_daemon.engine.signals.adjusted_microprice import AdjustedMicroprice, solved_table
from mm_daemon.engine.signals.fill_intensity import FillIntensity
from mm_daemon.engine.signals.flow import OrderFlowImbalance, flow_event
from mm_daemon.engine.signals.intensity import intensity_mle
from mm_daemon.engine.signals.kyle import DecayedRegression
from mm_daemon.engine.signals.microprice_table import microprice_stoikov
from mm_daemon.engine.signals.momentum import Momentum
from mm_daemon.engine.signals.toxicity import Vpin
from mm_daemon.engine.signals.trade_size import SignedVolume, SizeOutlier

_S = 1_000_000_000
_LOTS = st.integers(1, 500)
_GAPS = st.integers(0, 3 * _S)


def close(got: float | None, want: float | None) -> bool:
    if got is None or want is None:
        return got is want
    return math.isclose(got, want, rel_tol=1e-8, abs_tol=1e-8)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(_GAPS, st.integers(0, 3000), st.booleans(), _LOTS), min_size=1, max_size=80))
def test_fill_intensity_is_the_decayed_likelihood(orders: list[tuple[int, int, bool, int]]) -> None:
    """The growing sums of the live estimator give A and k of MODELS 6.4-2, half the rate a side."""
    fair, half_life_s, d0 = 1_000_000.0, 4.0, 2.0
    live = FillIntensity(
        half_life_s,
        d0_bps=d0,
        refit_s=1.0,
        silence_s=1e6,
        k_min=1e-12,
        k_max=1e12,
        max_change=1e12,
        min_r2=0.0,
        min_n=0.0,
    )
    live.on_clock(0)
    now_ns, times, depths = 0, [], []
    for gap_ns, ticks, buy, lots in orders:
        now_ns += gap_ns
        live.on_order(now_ns, buy, fair + ticks if buy else fair - ticks, lots, fair)
        times.append(now_ns / _S)
        depths.append(ticks / fair * 1e4)
    end_ns = now_ns + 40 * _S
    for step in range(0, end_ns - now_ns, 5 * _S):
        live.on_clock(now_ns + step)
    live.on_clock(end_ns)
    want = intensity_mle(times, depths, end_ns / _S, half_life_s, d0, lattice=1e4 / fair)
    assume(want.k is not None and want.A is not None and want.A < 1e100)
    assert close(live.k, want.k)
    assert close(live.A, None if want.A is None else 0.5 * want.A)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(_GAPS, st.integers(990, 1010), st.integers(0, 50), st.integers(1, 5), st.integers(0, 50)),
        min_size=1,
        max_size=60,
    )
)
def test_order_flow_is_the_decayed_sum_of_events(books: list[tuple[int, int, int, int, int]]) -> None:
    """Each event decayed from its own time, over the decayed mean of the touch's size."""
    live = OrderFlowImbalance(4.0)
    now_ns, touches, times = 0, [], []
    for gap_ns, bid, bid_lots, spread, ask_lots in books:
        now_ns += gap_ns
        live.on_book(now_ns, bid, bid_lots, bid + spread, ask_lots)
        touches.append((bid, bid_lots, bid + spread, ask_lots))
        times.append(now_ns)
    weights = [math.exp2((time - now_ns) / (4.0 * _S)) for time in times[1:]]
    events = [flow_event(before, after) for before, after in pairwise(touches)]
    assert close(live.flow, sum(w * event for w, event in zip(weights, events, strict=True)))
    depth = sum(w * 0.5 * (touch[1] + touch[3]) for w, touch in zip(weights, touches[1:], strict=True))
    if live.value is not None:
        assert close(live.value, live.flow * sum(weights) / depth)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.floats(-50, 50), st.floats(-5, 5), st.integers(0, 3)), min_size=3, max_size=40),
    st.floats(0.5, 1.0),
)
def test_regression_is_weighted_least_squares(points: list[tuple[float, float, int]], d: float) -> None:
    """Kyle's five sums, with runs of empty bins taken in one go."""
    live = DecayedRegression(d)
    observed: list[tuple[float, float]] = []
    for x, y, silent in points:
        live.add(x, y)
        live.add_zeros(silent)
        observed += [(x, y)] + [(0.0, 0.0)] * silent
    n = len(observed)
    weights = [d ** (n - 1 - i) for i in range(n)]
    whole = sum(weights)
    x_mean = sum(w * x for w, (x, _) in zip(weights, observed, strict=True)) / whole
    y_mean = sum(w * y for w, (_, y) in zip(weights, observed, strict=True)) / whole
    sxx = sum(w * (x - x_mean) ** 2 for w, (x, _) in zip(weights, observed, strict=True))
    sxy = sum(w * (x - x_mean) * (y - y_mean) for w, (x, y) in zip(weights, observed, strict=True))
    assume(sxx > 1e-3 * sum(w * x * x for w, (x, _) in zip(weights, observed, strict=True)) > 1e-9)
    assert live.slope == pytest.approx(sxy / sxx, rel=1e-6, abs=1e-6)
    assert live.intercept == pytest.approx(y_mean - sxy / sxx * x_mean, rel=1e-6, abs=1e-6)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(_GAPS, st.sampled_from((100.0, 100.5, 101.0, 99.0))), min_size=1, max_size=60))
def test_momentum_averages_a_step_process(prices: list[tuple[int, float]]) -> None:
    """Each average is the integral of the path, weighted with its age, from the first price on."""
    live = Momentum(2.0, 10.0)
    now_ns, path = 0, []
    for gap_ns, price in prices:
        now_ns += gap_ns
        live.on_price(now_ns, price)
        path.append((now_ns, price))
    live.on_price(now_ns, 777.0)  # ends the last interval
    for half_life_s, got in ((2.0, live.ema_fast), (10.0, live.ema_slow)):

        def weight(time_ns: int, half_life_s: float = half_life_s) -> float:
            return math.exp2((time_ns - now_ns) / (half_life_s * _S))

        want = path[0][1] * weight(path[0][0])
        for (begin, price), (end, _) in pairwise([*path, (now_ns, 0.0)]):
            want += price * (weight(end) - weight(begin))
        assert close(got, want)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.integers(-60, 60).filter(bool), min_size=1, max_size=50), st.integers(1, 25), st.integers(1, 6))
def test_vpin_fills_buckets_lot_by_lot(trades: list[int], bucket: int, buckets: int) -> None:
    """As if each lot had been traded by itself."""
    live = Vpin(bucket, buckets)
    for trade in trades:
        live.on_order(trade)
    signs = [1 if trade > 0 else -1 for trade in trades for _ in range(abs(trade))]
    full = [signs[start : start + bucket] for start in range(0, len(signs) - bucket + 1, bucket)]
    shares = [abs(sum(one)) / bucket for one in full][-buckets:]
    assert live.full == len(full)
    assert close(live.mean, sum(shares) / len(shares) if shares else None)
    assert (live.value is None) is (len(full) < buckets)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(_GAPS, _LOTS), min_size=2, max_size=50))
def test_size_outlier_is_z_against_weighted_moments(orders: list[tuple[int, int]]) -> None:
    """Mean and variance of all earlier log-sizes, each weighted with its age."""
    live = SizeOutlier(5.0, 3.0, 1)
    now_ns, seen = 0, []
    for gap_ns, lots in orders:
        now_ns += gap_ns
        live.on_order(now_ns, lots)
        seen.append((now_ns, math.log(lots)))
    at = seen[-2][0]
    weights = [math.exp2((time - at) / (5.0 * _S)) for time, _ in seen[:-1]]
    whole = sum(weights)
    mean = sum(w * x for w, (_, x) in zip(weights, seen, strict=False)) / whole
    variance = sum(w * (x - mean) ** 2 for w, (_, x) in zip(weights, seen, strict=False)) / whole
    assume(variance > 1e-6)
    assert live.z == pytest.approx((seen[-1][1] - mean) / math.sqrt(variance), rel=1e-6, abs=1e-6)
    assert live.flagged is (live.z > 3.0)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(_GAPS, st.booleans(), _LOTS), min_size=1, max_size=50), _GAPS)
def test_signed_volume_is_the_decayed_sum(orders: list[tuple[int, bool, int]], later_ns: int) -> None:
    """Each order decayed from its own time, also to a later reading."""
    live = SignedVolume(2.0)
    now_ns, signed = 0, []
    for gap_ns, buy, lots in orders:
        now_ns += gap_ns
        live.on_order(now_ns, buy, lots)
        signed.append((now_ns, lots if buy else -lots))
    want = sum(lots * math.exp2((time - now_ns - later_ns) / (2.0 * _S)) for time, lots in signed)
    assert close(live.at(now_ns + later_ns), want)


@st.composite
def transitions(draw: Any) -> tuple[list[list[float]], list[list[float]], list[list[float]]]:
    """(Q, R, T) of three states with moves of -1 and 1, symmetrised as an estimate from counts is."""
    weight = st.floats(0.05, 1.0)
    n = 3
    stay = [[draw(weight) for _ in range(n)] for _ in range(n)]
    to = [[draw(weight) for _ in range(n)] for _ in range(n)]
    up = [draw(st.floats(0.0, 1.0)) for _ in range(n)]
    counts = []
    for i in range(n):
        m = n - 1 - i
        stays = [stay[i][j] + stay[m][n - 1 - j] for j in range(n)]
        moved = [to[i][j] + to[m][n - 1 - j] for j in range(n)]
        ups = sum(to[i]) * up[i] + sum(to[m]) * (1.0 - up[m])
        counts.append((stays, moved, ups, sum(stays) + sum(moved)))
    return (
        [[x / total for x in stays] for stays, _, _, total in counts],
        [[(sum(moved) - ups) / total, ups / total] for _, moved, ups, total in counts],
        [[x / total for x in moved] for _, moved, _, total in counts],
    )


@settings(max_examples=100, deadline=None)
@given(transitions())
def test_microprice_is_the_sum_over_all_moves(matrices: tuple[list[list[float]], ...]) -> None:
    """G1 solves its own equation, g its fixed point g = G1 + B g term by term; mirrored states have opposite shifts."""
    stay, moves, to = matrices
    first, total = microprice_stoikov(stay, moves, [-1.0, 1.0], to)
    for i in range(3):
        one_step = moves[i][1] - moves[i][0] + sum(stay[i][j] * first[j] for j in range(3))
        assert close(first[i], one_step)
        # (I - Q)(g - G1) = T g
        left = total[i] - first[i] - sum(stay[i][j] * (total[j] - first[j]) for j in range(3))
        assert math.isclose(left, sum(to[i][j] * total[j] for j in range(3)), abs_tol=1e-7, rel_tol=1e-7)
        assert math.isclose(total[i], -total[2 - i], abs_tol=1e-7, rel_tol=1e-7)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 1 << 60), st.sampled_from([1, 2, 3, 4, 5, 9]), st.sampled_from([1, 2]), st.integers(1, 8))
def test_adjusted_microprice_is_that_of_the_whole_matrices(
    seed: int, buckets: int, spreads: int, max_jump: int
) -> None:
    """The half of the states that is solved for, without a sum, gives what Stoikov's sum over all of them does."""
    live, bid, rng = AdjustedMicroprice(buckets, spreads, max_jump), 1000, random.Random(seed)
    for _ in range(1500):
        live.on_book(bid, rng.randrange(1, 40), bid + rng.randrange(1, 4), rng.randrange(1, 40))
        bid += rng.choice((-3, -1, 0, 0, 0, 1, 2))
    live.lose_book()
    counts, n = live.state(), buckets * spreads
    mirror = [(buckets - 1 - i // spreads) * spreads + i % spreads for i in range(n)]
    stay, to, jumps = [], [], []
    for i, m in enumerate(mirror):
        stays = [counts.stay[i * n + j] + counts.stay[m * n + mirror[j]] for j in range(n)]
        moves = [counts.to[i * n + j] + counts.to[m * n + mirror[j]] for j in range(n)]
        seen = sum(stays) + sum(moves)
        stay.append([count / seen for count in stays])
        to.append([count / seen for count in moves])
        jumps.append([0.5 * (counts.jumps[i] - counts.jumps[m]) / seen])
    table = solved_table(counts, min_moves=0)
    assert table is not None
    _, want = microprice_stoikov(stay, jumps, [1.0], to)
    assert table == pytest.approx(want, rel=1e-7, abs=1e-7)
