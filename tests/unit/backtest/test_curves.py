"""Curves are read from journals: they end where the backtest's own report does, and stay small."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mm_daemon.backtest.curves import RunCurves, read_curves
from mm_daemon.backtest.curves.samples import FIRST_WIDTH_NS, Buckets, Thinned
from mm_daemon.backtest.relived import journals_of, relive_run
from mm_daemon.backtest.report import BacktestReport
from mm_daemon.backtest.runner import run_backtest
from mm_daemon.backtest.sources import RecordedMarket
from mm_daemon.domain.checkpoint import PositionBooked
from mm_daemon.domain.codec import Record
from mm_daemon.domain.errors import JournalError
from mm_daemon.domain.events import MarketEvent, OrderFilled
from mm_daemon.domain.money import ATTO, from_pair, to_pair
from mm_daemon.domain.orders import Side
from mm_daemon.domain.reconciliation import Reconciled
from mm_daemon.journal.log import JournalReader, JournalWriter
from mm_daemon.observability.equity_figures import equity_figures
from mm_daemon.simulation.faults import FaultPlan
from mm_daemon.simulation.policy import VenuePolicy
from mm_daemon.simulation.venue import SimulatedVenue
from mm_daemon.testkit.builders import SYMBOL, VENUE, core_parameters, instrument, market, snapshot, trade
from tests.unit.backtest.doubles import ListFeed, ObedientVenue

STEP = st.tuples(
    st.sampled_from((3, 100, 700, 2500)),
    st.integers(-120, 120),
    st.sampled_from((None, None, Side.BUY, Side.SELL)),
)
Steps = list[tuple[int, int, Side | None]]


def walked(folder: Path, steps: Steps) -> tuple[BacktestReport, Path]:
    """A random walk with prints far through either of our quotes, traded and journaled."""
    events: list[MarketEvent] = [snapshot(1000, 600_000, 600_010)]
    at_ms, bid = 1000, 600_000
    for number, (gap_ms, move, aggressor) in enumerate(steps, 1):
        at_ms, bid = at_ms + gap_ms, bid + move
        events.append(snapshot(at_ms, bid, bid + 10, update_id=1 + number))
        if aggressor is not None:
            events.append(trade(at_ms + 50, aggressor, bid + 5 + aggressor * 900, 50, trade_id=number))
    parameters = core_parameters(market(instrument(maker_fee_ppm=200), max_position_lots=20))
    path = folder / "journal"
    sources = {VENUE: RecordedMarket(ListFeed(sorted(events, key=lambda e: e.ts_local_ns)), ObedientVenue())}
    return run_backtest(parameters, sources, journal=path), path


@settings(deadline=None, max_examples=25)
@given(st.lists(STEP, min_size=1, max_size=40), st.sampled_from((2, 7, 1000)))
def test_curves_agree_with_the_backtest(tmp_path_factory: pytest.TempPathFactory, steps: Steps, points: int) -> None:
    report, path = walked(tmp_path_factory.mktemp("run"), steps)
    run = read_curves(path, points=points)
    assert (run.run.mismatches, run.run.notes, run.rows) == (0, (), report.rows)
    assert (run.run.start_ns, run.run.stop_ns, run.run.turns) == (report.start_ns, report.end_ns, report.turns)
    tally = run.tally.markets[SYMBOL]
    (only,) = report.markets
    assert tally.statistics.fill_figures(report.end_ns) == only.trades
    assert tally.inventory == only.inventory
    assert equity_figures(tally.statistics.equity) == only.equity
    assert (tally.maker_fills, tally.orders_placed, tally.orders_amended) == (
        only.maker_fills,
        only.orders_placed,
        only.orders_amended,
    )
    assert run.tally.reasons == report.reasons
    curves = run.markets[SYMBOL]
    length = len(curves.times_ns)
    assert length <= 2 * points
    assert all(
        len(getattr(curves, name)) == length
        for name in ("mid", "bid_low", "ask_high", "position", "equity", "equity_low", "funding", "both_quoted")
    )
    assert np.all(np.diff(curves.times_ns) > 0)
    seconds = np.diff(np.concatenate(([report.start_ns], curves.times_ns))) / 1e9
    if report.data_seconds:
        for name, share in (("both", only.quote_uptime), ("bid", only.bid_uptime), ("ask", only.ask_uptime)):
            quoted = float(np.sum(getattr(curves, f"{name}_quoted") * seconds)) / report.data_seconds
            assert quoted == pytest.approx(share, abs=2e-6)
    assert curves.fills.seen == only.fills == len(curves.fills.times_ns)


@settings(deadline=None, max_examples=25)
@given(st.lists(STEP, min_size=1, max_size=40))
def test_curves_end_at_the_books(tmp_path_factory: pytest.TempPathFactory, steps: Steps) -> None:
    """The last value of each curve is the report's."""
    report, path = walked(tmp_path_factory.mktemp("run"), steps)
    curves = read_curves(path).markets[SYMBOL]
    (only,) = report.markets
    for name in ("spread", "inventory", "fees", "funding"):
        assert getattr(curves, name)[-1] == pytest.approx(float(getattr(only.pnl, name)), abs=1e-12)
    assert curves.equity[-1] == pytest.approx(float(only.pnl.total), abs=1e-12)
    assert curves.position[-1] == pytest.approx(float(only.position))
    assert np.max(np.abs(np.stack((curves.position_low, curves.position_high)))) == float(only.max_abs_position)
    assert float(np.sum(curves.fills.fee)) == pytest.approx(-float(only.pnl.fees), abs=1e-12)
    assert curves.volume[-1] == pytest.approx(float(only.volume))


@settings(deadline=None, max_examples=15)
@given(st.lists(STEP, min_size=5, max_size=40))
def test_no_spike_is_lost_in_wide_buckets(tmp_path_factory: pytest.TempPathFactory, steps: Steps) -> None:
    _, path = walked(tmp_path_factory.mktemp("run"), steps)
    fine, coarse = read_curves(path, points=5000).markets[SYMBOL], read_curves(path, points=2).markets[SYMBOL]
    assert len(coarse.times_ns) <= 4
    for name, far in (("mid_low", np.nanmin), ("mid_high", np.nanmax), ("equity_low", np.nanmin)):
        assert far(getattr(coarse, name)) == pytest.approx(far(getattr(fine, name)))
    assert np.nansum(coarse.standing.total_s) == fine.standing.total_s
    assert sum(coarse.standing.seconds.values()) == pytest.approx(2 * coarse.standing.total_s)


def test_positions_that_are_booked_otherwise_are_told(tmp_path: Path) -> None:
    """The record is believed, and the difference counted: here a journal whose books say one atto more."""
    _, path = walked(tmp_path, [(700, 0, Side.SELL), (700, 0, Side.BUY), (700, 0, None)])
    assert relive_run(path, Nobody()).mismatches == 0
    other = JournalWriter(tmp_path / "other")
    with JournalReader(path) as reader:
        for frame in reader:
            other.append([one_atto_more(record) for record in frame.records])
    other.close()
    run = read_curves(other.path)
    assert run.run.mismatches > 0
    assert "booked otherwise" in run.run.notes[0]
    position, was = (read_curves(one).tally.markets[SYMBOL].market.position for one in (other.path, path))
    assert position.spread_atto == was.spread_atto + 1


def one_atto_more(record: Record) -> Record:
    if not isinstance(record, PositionBooked):
        return record
    spread = to_pair(from_pair(record.state.spread) + 1)
    return PositionBooked(record.instrument, msgspec.structs.replace(record.state, spread=spread))


class Nobody:
    """Looks on and does nothing."""

    def start(self, core, started): ...
    def reach(self, now_ns): ...
    def before(self, event): ...
    def after(self, event): ...
    def decide(self, now_ns): ...
    def answered(self, answer, now_ns): ...
    def stop(self, now_ns): ...


def test_what_is_no_journal_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="does not exist"):
        journals_of(tmp_path / "nothing")
    with pytest.raises(JournalError, match="holds no journal"):
        journals_of(tmp_path)
    path = tmp_path / "other"
    path.write_bytes(b"not a journal at all, but long enough to be read as one" * 4)
    with pytest.raises(JournalError, match="ends before its first record"):
        read_curves(path)


def test_nothing_is_gathered_that_only_a_decision_would_take(tmp_path: Path) -> None:
    """However long the run: quotes that ended and answers that nobody asks for are let go."""
    steps: Steps = [(2500, 15, Side.SELL), (2500, -15, Side.BUY)] * 30
    report, path = walked(tmp_path, steps)
    assert report.fills > 20
    market = read_curves(path).tally.markets[SYMBOL].market
    assert sum(len(orders) for orders in market.quotes.values()) <= 2


def test_a_cut_journal_is_read_to_its_cut(tmp_path: Path) -> None:
    _, path = walked(tmp_path, [(700, 0, Side.SELL), (700, 0, Side.BUY), (700, 0, None)])
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])
    run = read_curves(path)
    assert any("did not write its end" in note for note in run.run.notes)
    assert len(run.markets[SYMBOL].times_ns) > 0


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=300), st.integers(1, 20))
def test_buckets_keep_their_sum_and_extremes(values: list[float], points: int) -> None:
    buckets = Buckets(0, points)
    total, low, last = buckets.column("sum"), buckets.column("low"), buckets.column("last")
    for value in values:
        for column in (total, low, last):
            column.add(value)
        buckets.closed()
    assert buckets.count < 2 * points or points == 1
    assert buckets.end_ns == (buckets.count + 1) * buckets.width_ns
    assert buckets.width_ns % FIRST_WIDTH_NS == 0
    assert np.sum(total.numpy()) == pytest.approx(sum(values), abs=1e-3)
    assert np.min(low.numpy()) == min(values)
    if len(values) * FIRST_WIDTH_NS % buckets.width_ns == 0:
        assert last.numpy()[-1] == values[-1]


@given(st.integers(0, 500), st.integers(2, 30))
def test_thinned_samples_are_evenly_spread(count: int, limit: int) -> None:
    thinned = Thinned(2, limit)
    for number in range(count):
        kept = thinned.add((number, 0.0))
        assert kept in (None, number)
    for number in range(count):
        thinned.put(number, 1, 10.0 * number)
    numbers, later = thinned.numpy()
    assert thinned.seen == count
    assert len(numbers) <= limit + 1
    assert numbers.tolist() == list(range(0, count, thinned.stride))
    assert later.tolist() == [10.0 * number for number in numbers]


def test_the_books_of_the_journal_are_those_of_the_curves(tmp_path: Path) -> None:
    """To the last atto, at the last fill."""
    _, path = walked(tmp_path, [(700, 20, Side.SELL), (700, 35, Side.BUY), (700, -50, Side.SELL), (900, 5, None)])
    with JournalReader(path) as reader:
        booked = [record for frame in reader for record in frame.records if isinstance(record, PositionBooked)]
    run: RunCurves = read_curves(path)
    position = run.tally.markets[SYMBOL].market.position
    assert position.spread_atto == from_pair(booked[-1].state.spread)
    assert position.fees_atto == from_pair(booked[-1].state.fees)
    assert run.markets[SYMBOL].spread[-1] == position.spread_atto / ATTO


def test_fills_that_only_a_snapshot_told_of_are_counted(tmp_path: Path) -> None:
    """Replies get lost on the way: the books, the volume and the fills are complete all the same."""
    contract = instrument(maker_fee_ppm=200)
    policy = VenuePolicy(faults=FaultPlan(lose_reply=0.4), seed=3)
    events: list[MarketEvent] = []
    for number in range(200):
        at_ms, bid = 1000 + 400 * number, 600_000 + (35, -20, -30, 15)[number % 4]
        events.append(snapshot(at_ms, bid, bid + 10, update_id=1 + number))
        if number % 3 == 1:
            side = Side.BUY if number % 2 else Side.SELL
            events.append(trade(at_ms + 150, side, bid + 5 + side * 900, 50, trade_id=number))
    path = tmp_path / "journal"
    venue = SimulatedVenue(VENUE, [contract], policy)
    sources = {VENUE: RecordedMarket(ListFeed(events), venue)}
    report = run_backtest(core_parameters(market(contract)), sources, journal=path)
    run = read_curves(path)
    assert run.run.mismatches == 0
    with JournalReader(path) as reader:
        records = [record for frame in reader for record in frame.records]
    recovered = {fill.fill_key for one in records if isinstance(one, Reconciled) for fill in one.fills}
    told = {one.fill_key for one in records if isinstance(one, OrderFilled)}
    assert recovered - told
    curves, tally = run.markets[SYMBOL], run.tally.markets[SYMBOL]
    assert curves.fills.seen == len(recovered | told) == tally.maker_fills == report.markets[0].fills
    assert float(np.sum(curves.fills.fee)) == pytest.approx(-float(report.markets[0].pnl.fees), abs=1e-9)
    assert curves.position[-1] == pytest.approx(float(np.sum(curves.fills.side * curves.fills.size)))
    assert curves.equity[-1] == pytest.approx(float(report.markets[0].pnl.total), abs=1e-9)
    assert curves.volume[-1] == pytest.approx(float(np.sum(curves.fills.price * curves.fills.size)))
