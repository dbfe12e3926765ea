"""The backtest driver: order within an instant, a clean stop, equal runs, honest refusals."""

from pathlib import Path

import msgspec
import pytest

from mm_daemon.backtest.replay import verify
from mm_daemon.backtest.runner import BacktestRunner, run_backtest
from mm_daemon.backtest.sources import RecordedMarket, Source
from mm_daemon.core.parameters import CoreParameters
from mm_daemon.domain.codec import Decided, Record
from mm_daemon.domain.errors import ConfigError, CoreError, UsageError
from mm_daemon.domain.events import (
    BookDelta,
    BookInvalidated,
    BookSnapshot,
    DeadlineReached,
    InvalidCause,
    MarketEvent,
    OrderAccepted,
    PublicTrade,
    RunEnded,
    RunStarted,
    ShutdownRequested,
    VenueConnected,
)
from mm_daemon.domain.instrument import InstrumentId, Venue
from mm_daemon.domain.orders import Phase
from mm_daemon.journal.log import JournalReader
from mm_daemon.testkit.builders import MS, VENUE, core_parameters, delta, instrument, market, snapshot
from tests.unit.backtest.doubles import EmbeddedMarket, ListFeed, ObedientVenue, tape


def recorded(seconds: int = 20, **venue: bool) -> dict[Venue, Source]:
    return {VENUE: RecordedMarket(ListFeed(list(tape(seconds))), ObedientVenue(**venue))}


def parameters() -> CoreParameters:
    return core_parameters()


def records(path: Path) -> list[Record]:
    with JournalReader(path) as reader:
        return [record for frame in reader for record in frame.records]


def test_a_recording_is_quoted_to_its_end_and_left_clean() -> None:
    """The core quotes both sides, is filled, and no order survives the stop."""
    runner = BacktestRunner(parameters(), recorded(60))
    report = runner.run()
    assert report.messages == 600 + 14
    assert report.orders_placed > 2
    assert report.fills > 0
    assert report.clean
    assert report.open_orders == 0
    assert 0.1 < report.quote_uptime <= 1
    assert all(order.phase is not Phase.LIVE for order in runner.core.ledger.alive(instrument().id))


def test_rows_are_level_changes_and_trades() -> None:
    """A row is one level change or one trade, as the performance figures count them."""
    events = list(tape(5))
    levels = sum(len(e.bids) + len(e.asks) for e in events if isinstance(e, BookDelta | BookSnapshot))
    trades = sum(1 for e in events if isinstance(e, PublicTrade))
    assert run_backtest(parameters(), recorded(5)).rows == levels + trades


def test_events_of_one_instant_are_one_turn_market_first(tmp_path: Path) -> None:
    """At one instant: market data, then the venue's answers, then the deadline, then one decision."""
    run_backtest(parameters(), recorded(3), journal=tmp_path / "j")
    kept = records(tmp_path / "j")
    turns: list[list[Record]] = [[]]
    for record in kept:
        if isinstance(record, Decided):
            turns.append([])
        elif hasattr(record, "ts_local_ns"):
            turns[-1].append(record)
    ranks = [[_rank(event) for event in turn] for turn in turns]
    assert all(rank == sorted(rank) for rank in ranks)
    assert any(len(set(rank)) > 1 for rank in ranks)
    decided = [record.now_ns for record in kept if isinstance(record, Decided)]
    assert decided == sorted(decided)


def _rank(event: Record) -> int:
    if isinstance(event, DeadlineReached):
        return 2
    return 1 if isinstance(event, OrderAccepted) else 0


def test_a_run_starts_with_its_parameters_and_ends_with_its_end(tmp_path: Path) -> None:
    """A journal tells how the core was built, that its venues were up, and how it was stopped."""
    run_backtest(parameters(), recorded(2), journal=tmp_path / "j")
    kept = records(tmp_path / "j")
    assert isinstance(kept[0], RunStarted)
    assert CoreParameters.from_json(kept[0].parameters) == parameters()
    assert isinstance(kept[1], VenueConnected)
    ends = [record for record in kept if isinstance(record, ShutdownRequested | RunEnded)]
    assert [type(record) for record in ends] == [ShutdownRequested, RunEnded]
    assert ends[-1] == RunEnded(ends[-1].ts_local_ns, "the data ends here", True)


def test_equal_runs_write_equal_bytes(tmp_path: Path) -> None:
    """One input, one history: two journals do not differ in a byte, and a journal changes nothing."""
    reports = []
    for name in ("a", "b"):
        reports.append(run_backtest(parameters(), recorded(), journal=tmp_path / name))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    reports.append(run_backtest(parameters(), recorded()))
    assert len({(r.fills, r.orders_placed, r.turns, r.position, str(r.pnl)) for r in reports}) == 1


def test_an_embedded_market_runs_for_its_duration(tmp_path: Path) -> None:
    """An endless venue is played for the time asked for, and its journal replays like any other."""
    report = run_backtest(parameters(), {VENUE: EmbeddedMarket()}, duration_s=20, journal=tmp_path / "j")
    assert report.data_seconds == pytest.approx(20, abs=0.2)
    assert report.orders_placed > 0
    assert report.messages > 190
    assert report.clean
    assert verify(tmp_path / "j").ok


def test_duration_cuts_a_recording_short() -> None:
    """The same switch works on recordings."""
    assert run_backtest(parameters(), recorded(60), duration_s=5).data_seconds == pytest.approx(5, abs=0.2)


def test_sources_that_do_not_fit_are_refused() -> None:
    """A missing venue, an endless run and no time to play are refused by name."""
    with pytest.raises(ConfigError, match="no market data for test"):
        run_backtest(parameters(), {})
    with pytest.raises(UsageError, match="never ends"):
        run_backtest(parameters(), {VENUE: EmbeddedMarket()})
    with pytest.raises(UsageError, match="duration"):
        run_backtest(parameters(), recorded(), duration_s=0)


def test_a_venue_that_confirms_no_cancel_is_reported() -> None:
    """When the stop cannot be confirmed in its time, the report says so and how many orders may be open."""
    report = run_backtest(parameters(), recorded(3, deaf=True))
    assert not report.clean
    assert report.open_orders > 0
    assert "NOT CLEAN" in report.to_text()


def test_no_data_is_a_report_of_nothing() -> None:
    """An empty recording is no crash."""
    report = run_backtest(parameters(), {VENUE: RecordedMarket(ListFeed([]), ObedientVenue())})
    assert (report.messages, report.rows, report.fills, report.clean) == (0, 0, 0, True)
    assert report.to_text()


def test_a_bad_book_is_not_quoted() -> None:
    """Behind a gap nothing is quoted until the next snapshot."""
    btc = InstrumentId("test:BTC-USDT")
    events: list[MarketEvent] = [
        snapshot(1000, 600_000, 600_001),
        BookInvalidated(btc, 1001 * MS, 1001 * MS, InvalidCause.GAP),
        delta(1200, bids=((600_000, 5),), update_id=3),
        delta(5000, bids=((600_000, 5),), update_id=4),
    ]
    report = run_backtest(parameters(), {VENUE: RecordedMarket(ListFeed(events), ObedientVenue())})
    assert report.quote_uptime < 0.01
    assert any(reason.startswith("WITHDRAW book_invalid") for reason in report.reasons)


def test_crossed_books_are_counted() -> None:
    """A depth update that crosses the book is bad input, though only the book could tell."""
    bad = delta(10_500, bids=((600_500, 5),))
    feed = ListFeed(sorted([*tape(20), bad], key=lambda event: event.ts_local_ns))
    report = run_backtest(parameters(), {VENUE: RecordedMarket(feed, ObedientVenue())})
    assert report.problems["crossed_book"] > 0
    assert report.reasons["WITHDRAW book_invalid"] > 0
    clean = run_backtest(parameters(), recorded())
    assert "crossed_book" not in clean.problems


def test_two_feeds_are_merged_by_local_time(tmp_path: Path) -> None:
    """Several recordings are one stream in the order their messages were received."""
    other = instrument(venue="other")
    both = core_parameters(market(), market(other))
    sources: dict[Venue, Source] = dict(recorded(5))
    moved = [_renamed(event) for event in tape(5, start_ms=1050)]
    sources[Venue("other")] = RecordedMarket(ListFeed(moved), ObedientVenue())
    report = run_backtest(both, sources, journal=tmp_path / "j")
    assert report.messages == 2 * (50 + 1)
    assert [m.market for m in report.markets] == ["test:BTC-USDT", "other:BTC-USDT"]
    assert all(m.orders_placed for m in report.markets)
    assert verify(tmp_path / "j").ok


def _renamed(event: MarketEvent) -> MarketEvent:
    return msgspec.structs.replace(event, instrument=InstrumentId("other:BTC-USDT"))


def test_time_that_stands_still_is_a_bug_by_name() -> None:
    """A venue that is always due at once cannot hang a backtest."""

    class Restless(ObedientVenue):
        def next_deadline_ns(self) -> int | None:
            return 0

    with pytest.raises(CoreError, match="time stands still"):
        run_backtest(parameters(), {VENUE: RecordedMarket(ListFeed(list(tape(2))), Restless())})
