"""Whole backtests of the USD-M recording: rows a second over decoded events, and a cold process from gzip to JSON.

rows/s is counted as `performance.md` says: level changes and trades over process CPU time, the full engine with queue
model and latency, one level a side; the best of eight. The cold figure is a new process, everything included.
"""

import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from mm_daemon.backtest.runner import run_backtest
from mm_daemon.backtest.sources import RecordedMarket
from mm_daemon.domain.events import MarketEvent, TopOfBook
from mm_daemon.simulation.venue import SimulatedVenue
from mm_daemon.testkit import builders
from tests.bench.cpu_time import cpu_of
from tests.bench.feeds import InMemory
from tests.bench.figures import Figures
from tests.bench.processes import MM_DAEMON, finished
from tests.bench.recordings import FRAMES, ROWS, decoded
from tests.shared import ROOT, SHARED
from tests.unit.connectors.binance.frames import BTC

pytestmark = pytest.mark.bench

RUNS = 8
COLD_RUNS = 8


def cpu_seconds(events: Sequence[MarketEvent], journal: Path | None) -> float:
    """CPU time of one backtest, which must have seen every row and quoted."""
    parameters = builders.core_parameters(builders.market(BTC, order_lots=10, max_position_lots=50))
    source = RecordedMarket(InMemory(events), SimulatedVenue(BTC.venue, [BTC]))
    took, report = cpu_of(lambda: run_backtest(parameters, {BTC.venue: source}, journal=journal))
    assert report.rows == ROWS
    assert report.orders_amended > 0
    return took


def test_rows_per_second(tmp_path: Path, figures: Figures) -> None:
    """With and without best prices, journal off and on; and what the journal costs an event."""
    feeds = {
        "": [event for event in decoded() if not isinstance(event, TopOfBook)],
        ".with_bookTicker": decoded(),
    }
    took: dict[tuple[str, bool], list[float]] = defaultdict(list)
    for run in range(RUNS):  # in turns, so that a neighbour comes to all of them
        for suffix, events in feeds.items():
            took[suffix, False].append(cpu_seconds(events, None))
            took[suffix, True].append(cpu_seconds(events, tmp_path / f"{run}{suffix}.journal"))
    for suffix, events in feeds.items():
        off, on = min(took[suffix, False]), min(took[suffix, True])
        figures.add(f"backtest.rows{suffix}", ROWS / off / 1e6, "M rows/s")
        figures.add(f"backtest.rows{suffix}.journal", ROWS / on / 1e6, "M rows/s")
        figures.add(f"backtest.event{suffix}", off / len(events) * 1e6, "us")
        figures.add(f"journal.event{suffix}", (on - off) / len(events) * 1e6, "us")
    figures.remark("peers of backtests: `make peers`; on the reference machine NautilusTrader has 0.56 M rows/s")


def test_cold_process_from_recording_to_report(tmp_path: Path, figures: Figures) -> None:
    """A new process, from the gzip file to the JSON result, every frame, and its peak memory: without a journal, as the
    peers keep none, and with it, as the verb does unless it is told not to.
    """
    config = ROOT / "deploy/examples/recorded-binance-usdm.yaml"
    command = [*MM_DAEMON, "backtest", "--config", str(config), "--json"]
    environment = {**os.environ, "MM_SHARED": str(SHARED)}
    for name, options in (("cold", ["--no-journal"]), ("cold.journal", [])):
        runs = [finished([*command, *options], cwd=tmp_path, environment=environment) for _ in range(COLD_RUNS)]
        for run in runs:
            assert msgspec.json.decode(run.output)["messages"] == FRAMES
        figures.add(f"{name}.wall", min(run.wall_s for run in runs), "s")
        figures.add(f"{name}.cpu", min(run.cpu_s for run in runs), "s")
        figures.add(f"{name}.peak", max(run.peak_mib for run in runs), "MiB")
