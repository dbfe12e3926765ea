"""Law: markouts, inventory and equity while trading are the batch formulas over the whole history, however its turns
are cut: looked at after every turn, only when something is due, or more often than that.
"""

from dataclasses import dataclass, field
from statistics import fmean, stdev
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mm_daemon.backtest.tally import Tally
from mm_daemon.core.trading_core import TradingCore
from mm_daemon.domain.deadlines import NEVER_NS
from mm_daemon.domain.events import BookInvalidated, Event, InvalidCause, OrderFilled
from mm_daemon.domain.instrument import Instrument
from mm_daemon.domain.orders import ClientOrderId, Side
from mm_daemon.engine.markouts import DEFAULT_HORIZONS_NS
from mm_daemon.engine.statistics import equity_stats, inventory_stats, markout
from mm_daemon.observability.live_statistics import LiveStatistics
from mm_daemon.observability.trade_statistics import TradeStatistics
from mm_daemon.testkit import builders as b

S = 1_000_000_000
MS = 1_000_000
LOT = 0.001

STEP = st.tuples(
    st.sampled_from((1, 300, 1000, 1001, 9000, 30_000)),
    st.one_of(
        st.tuples(st.just("mid"), st.integers(-90, 90)),
        st.tuples(st.just("fill"), st.sampled_from(tuple(Side)), st.integers(-40, 80), st.integers(1, 9)),
        st.just(("lost",)),
        st.just(("idle",)),
    ),
)


@dataclass
class History:
    """What happened, for the definitions."""

    mids: list[tuple[int, float | None]] = field(default_factory=list)
    fills: list[tuple[int, Side, int, float]] = field(default_factory=list)
    positions: list[tuple[int, int]] = field(default_factory=lambda: [(0, 0)])
    closed_lots: int = 0
    equity: list[tuple[int, float]] = field(default_factory=list)

    def mid_at(self, at_ns: int) -> float | None:
        return next(mid for time, mid in reversed(self.mids) if time <= at_ns)


@settings(deadline=None, max_examples=150)
@given(st.lists(STEP, max_size=30), st.lists(st.integers(0, 40), max_size=20), st.booleans())
def test_figures_are_those_of_the_history_however_turns_are_cut(
    steps: list[tuple[int, Any]], cuts: list[int], inverse: bool
) -> None:
    """Three owners of statistics beside one core: a run's, a backtest's, and one that stops at more instants."""
    contract = msgspec.structs.replace(b.instrument(), inverse=inverse)
    core, history = TradingCore(b.core_parameters(b.market(contract))), History()
    market = core.markets[contract.id]
    live, driven, restless = LiveStatistics(core.markets, 0), Tally(core.markets, 0), Tally(core.markets, 0)

    def turn(now_ns: int, event: Event | None) -> None:
        earlier_ns = history.equity[-1][0] if history.equity else 0
        for cut in sorted(cuts):
            if earlier_ns < (at_ns := earlier_ns + (now_ns - earlier_ns) * cut // 40) < now_ns:
                restless.reach(at_ns)
        restless.reach(now_ns)
        if now_ns > driven.due_ns:
            driven.reach(now_ns)
        held_lots = market.position.lots
        if event is not None:
            core.apply(event)
        if isinstance(event, OrderFilled):
            driven.order_event(event, held_lots)
            restless.order_event(event, held_lots)
        live.observe(core.decide(now_ns), () if event is None else (event,))
        history.mids.append((now_ns, 0.5 * market.book.half_ticks if market.book.trusted else None))
        history.equity.append((now_ns, market.position.total_atto / 1e18))

    now_ns = 0
    turn(0, told(0, contract, 0, ("mid", 0)))
    mid = 600_000
    for number, (gap_ms, (what, *numbers)) in enumerate(steps, 1):
        now_ns += gap_ms * MS
        if what == "mid":
            mid += numbers[0]
        if what == "fill":
            side, below, lots = numbers
            price = mid - side * below
            history.fills.append((now_ns, side, price, 0.5 * (market.position.half_ticks or 0)))
            held, after = history.positions[-1][1], history.positions[-1][1] + side * lots
            history.positions.append((now_ns, after))
            if held * side < 0:
                history.closed_lots += min(lots, abs(held))
            turn(now_ns, filled(now_ns, contract, number, side, price, lots))
        else:
            turn(now_ns, told(now_ns, contract, number, (what, mid - 600_000)))
    end_ns = now_ns + 70 * S
    turn(end_ns, None)
    driven.stop(end_ns)
    restless.stop(end_ns)

    ours = driven.markets[contract.id]
    for statistics in (live.markets[contract.id], ours.statistics, restless.markets[contract.id].statistics):
        agree(statistics, history, end_ns)
    samples = [
        next(equity for time, equity in reversed(history.equity) if time <= at_ns) for at_ns in range(0, end_ns + 1, S)
    ]
    want = equity_stats(samples, 1.0)
    for tally in (driven, restless):
        sharpe = tally.equity.sharpe()
        assert tally.equity.samples == len(samples)
        assert tally.equity.drawdown_atto / 1e18 == pytest.approx(want.max_drawdown, abs=1e-12)
        assert (sharpe is None) is (want.sharpe is None)
        if sharpe is not None:
            assert sharpe == (pytest.approx(want.sharpe, rel=1e-6, abs=1e-9), pytest.approx(want.sharpe_se, rel=1e-6))


def agree(statistics: TradeStatistics, history: History, end_ns: int) -> None:
    assert statistics.due_ns == NEVER_NS
    assert statistics.untold == 0
    figures = {(one.side, one.horizon_s): one for one in statistics.fill_figures(end_ns).markouts}
    won: list[bool] = []
    for side in Side:
        for index, horizon_ns in enumerate(DEFAULT_HORIZONS_NS):
            earned, cost = [], []
            for at_ns, filled_side, price, mid in history.fills:
                if filled_side is side:
                    later = [history.mid_at(at_ns + each_ns) for each_ns in DEFAULT_HORIZONS_NS]
                    want = markout(side, float(price), mid, later)
                    gain, lost = want.markouts[index], want.adverse[index]
                    if gain is not None and lost is not None:
                        earned.append(1e4 * gain / price)
                        cost.append(1e4 * lost / price)
            got = figures[side.word, horizon_ns // S]
            assert got.fills == len(earned)
            assert got.markout_bps == (pytest.approx(fmean(earned), abs=1e-9) if earned else None)
            assert got.adverse_bps == (pytest.approx(fmean(cost), abs=1e-9) if cost else None)
            if len(earned) > 1:
                assert got.markout_se_bps == pytest.approx(stdev(earned) / len(earned) ** 0.5, abs=1e-9)
                assert got.adverse_se_bps == pytest.approx(stdev(cost) / len(cost) ** 0.5, abs=1e-9)
            if horizon_ns == 10 * S:
                won += [value > 0 for value in earned]
    assert statistics.fill_figures(end_ns).win_rate == (pytest.approx(fmean(won)) if won else None)
    inventory = statistics.inventory_figures(end_ns)
    times, lots = [time / S for time, _ in history.positions], [float(held) for _, held in history.positions]
    whole = inventory_stats(times, lots, end_ns / S, 50.0, float(history.closed_lots))
    assert inventory is not None
    assert inventory.mean_abs == pytest.approx(LOT * whole.mean_abs)
    assert inventory.rms == pytest.approx(LOT * whole.rms)
    assert inventory.time_at_limit == pytest.approx(whole.time_at_limit)
    assert inventory.mean_holding_s == (None if whole.mean_holding is None else pytest.approx(whole.mean_holding))


def told(now_ns: int, contract: Instrument, number: int, what: tuple[str, int]) -> Event | None:
    if what[0] == "mid":
        mid = 600_000 + what[1]
        return b.snapshot(now_ns // MS, mid - 5, mid + 5, update_id=1 + number, symbol=contract.id)
    return BookInvalidated(contract.id, 0, now_ns, InvalidCause.GAP) if what[0] == "lost" else None


def filled(now_ns: int, contract: Instrument, number: int, side: Side, ticks: int, lots: int) -> OrderFilled:
    return OrderFilled(contract.id, 0, now_ns, ClientOrderId(77), "v77", f"t{number}", side, ticks, lots, True, (0, 0))
