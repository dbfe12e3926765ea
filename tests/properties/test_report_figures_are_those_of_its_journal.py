"""Law: the statistics of a backtest's report are the batch formulas over what its journal says happened."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mm_daemon.backtest.report import MarketReport
from mm_daemon.backtest.runner import run_backtest
from mm_daemon.backtest.sources import RecordedMarket
from mm_daemon.domain.book import OrderBook
from mm_daemon.domain.decisions import AmendOrder, ApprovedCommand, PlaceOrder
from mm_daemon.domain.events import BookSnapshot, MarketEvent, OrderFilled
from mm_daemon.domain.orders import Side
from mm_daemon.engine.pnl_identity import pnl
from mm_daemon.engine.statistics import equity_stats, inventory_stats, markout
from mm_daemon.journal.log import JournalReader
from mm_daemon.testkit.builders import VENUE, core_parameters, market, snapshot, trade
from tests.unit.backtest.doubles import ListFeed, ObedientVenue

S = 1_000_000_000
TICK, LOT = 0.1, 0.001
LIMIT = 0.02
YEAR_S = 365 * 86_400

STEP = st.tuples(
    st.sampled_from((100, 700, 1000, 2500)),
    st.integers(-120, 120),
    st.sampled_from((None, None, Side.BUY, Side.SELL)),
)


class Written:
    """What the journal of one run says, in units of price and base."""

    def __init__(self, path: Path) -> None:
        book = OrderBook()
        self.mids: list[tuple[int, float]] = []
        self.fills: list[tuple[OrderFilled, float]] = []
        self.ledger: list[tuple[int, tuple[object, ...]]] = []
        """Marks and fills as `pnl` takes them."""
        self.sent: list[PlaceOrder | AmendOrder] = []
        with JournalReader(path) as reader:
            records = [record for frame in reader for record in frame.records]
        for record in records:
            if isinstance(record, BookSnapshot):
                book.apply_snapshot(record)
                mid = 0.5 * book.half_ticks * TICK
                self.mids.append((record.ts_local_ns, mid))
                self.ledger.append((record.ts_local_ns, ("mark", mid)))
            elif isinstance(record, OrderFilled):
                mid, price = self.mids[-1][1], record.ticks * TICK
                self.fills.append((record, mid))
                self.ledger.append((record.ts_local_ns, ("fill", record.side * record.lots * LOT, price, mid, 0.0)))
            elif isinstance(record, ApprovedCommand) and isinstance(record.command, PlaceOrder | AmendOrder):
                self.sent.append(record.command)
        self.start_ns = self.mids[0][0]

    def mid_at(self, at_ns: int, end_ns: int) -> float | None:
        return None if at_ns > end_ns else next(mid for time, mid in reversed(self.mids) if time <= at_ns)

    def equity_at(self, at_ns: int) -> float:
        return pnl(0.0, self.mids[0][1], [entry for time, entry in self.ledger if time <= at_ns]).total


@settings(deadline=None, max_examples=25)
@given(st.lists(STEP, min_size=1, max_size=40))
def test_report_equals_its_journal(steps: list[tuple[int, int, Side | None]]) -> None:
    """Random walks with prints far through either of our quotes."""
    events: list[MarketEvent] = [snapshot(1000, 600_000, 600_010)]
    at_ms, bid = 1000, 600_000
    for number, (gap_ms, move, aggressor) in enumerate(steps, 1):
        at_ms, bid = at_ms + gap_ms, bid + move
        events.append(snapshot(at_ms, bid, bid + 10, update_id=1 + number))
        if aggressor is not None:
            events.append(trade(at_ms + 50, aggressor, bid + 5 + aggressor * 900, 50, trade_id=number))
    parameters = core_parameters(market(max_position_lots=round(LIMIT / LOT)))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "journal"
        report = run_backtest(parameters, {VENUE: RecordedMarket(ListFeed(events), ObedientVenue())}, journal=path)
        written = Written(path)
    (only,) = report.markets
    assert only.fills == len(written.fills)
    trades_agree(only, written, report.end_ns)
    inventory_agrees(only, written, report.end_ns)
    equity_agrees(only, written, report.end_ns)
    orders = len(written.sent)
    assert only.rates.fills_per_order == (pytest.approx(only.fills / orders) if orders else None)


def trades_agree(only: MarketReport, written: Written, end_ns: int) -> None:
    figures = {(one.side, one.horizon_s): one for one in only.trades.markouts}
    won: list[bool] = []
    captured: list[float] = []
    horizons_s = (1, 10, 60)
    of_side: dict[tuple[Side, int], tuple[list[float], list[float]]] = {
        (side, horizon_s): ([], []) for side in Side for horizon_s in horizons_s
    }
    for fill, mid in written.fills:
        price = fill.ticks * TICK
        later = [written.mid_at(fill.ts_local_ns + horizon_s * S, end_ns) for horizon_s in horizons_s]
        figure = markout(fill.side, price, mid, later)
        captured.append(1e4 * figure.half_spread / price)
        for horizon_s, gain, cost in zip(horizons_s, figure.markouts, figure.adverse, strict=True):
            if gain is not None and cost is not None:
                gains, costs = of_side[fill.side, horizon_s]
                gains.append(1e4 * gain / price)
                costs.append(1e4 * cost / price)
                if horizon_s == 10:
                    won.append(gain > 0.1 * TICK)  # a mid is a multiple of half a tick
    for (side, horizon_s), (gains, costs) in of_side.items():
        got = figures[side.word, horizon_s]
        assert got.fills == len(gains)
        assert got.markout_bps == mean(gains)
        assert got.adverse_bps == mean(costs)
    assert only.trades.spread_captured_bps == mean(captured)
    assert only.trades.win_rate == mean(won)


def inventory_agrees(only: MarketReport, written: Written, end_ns: int) -> None:
    times, positions, closed = [written.start_ns / S], [0.0], 0.0
    for fill, _ in written.fills:
        if fill.ts_local_ns <= end_ns:
            held, lots = positions[-1], fill.side * fill.lots * LOT
            closed += min(abs(lots), abs(held)) if held * lots < 0 else 0.0
            times.append(fill.ts_local_ns / S)
            positions.append(round(held + lots, 9))
    want = inventory_stats(times, positions, end_ns / S, LIMIT, closed)
    got = only.inventory
    assert got is not None
    assert (got.mean_abs, got.rms) == (pytest.approx(want.mean_abs), pytest.approx(want.rms))
    assert got.time_at_limit == pytest.approx(want.time_at_limit)
    assert got.mean_holding_s == (None if want.mean_holding is None else pytest.approx(want.mean_holding))


def equity_agrees(only: MarketReport, written: Written, end_ns: int) -> None:
    equity = [written.equity_at(at_ns) for at_ns in range(written.start_ns, end_ns + 1, S)]
    want, got = equity_stats(equity, YEAR_S), only.equity
    assert got.samples == len(equity)
    assert float(got.max_drawdown) == pytest.approx(want.max_drawdown, abs=1e-9)
    if got.sharpe is None:
        assert want.sharpe is None or max(map(abs, equity)) < 1e-9
    else:
        assert got.sharpe_annual == pytest.approx(want.sharpe, rel=1e-6, abs=1e-6)
        assert got.sharpe_annual_se == pytest.approx(want.sharpe_se, rel=1e-6)


def mean(values: list[float] | list[bool]) -> object:
    return pytest.approx(sum(values) / len(values), abs=1e-9) if values else None
