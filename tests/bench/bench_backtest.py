"""Whole backtests of the USD-M recording: rows a second over decoded events, and a cold process from gzip to JSON.

rows/s is counted as `performance.md` says: level changes and trades over process CPU time, the full engine with queue
model and latency, one level a side. The cold figure is a new process, everything included.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import pytest

from connectors.binance.translate import BinanceUsdmTranslator
from mm_daemon.backtest.runner import RecordedMarket, run_backtest
from mm_daemon.domain.events import MarketEvent, TopOfBook
from mm_daemon.simulation.venue import SimulatedVenue
from mm_daemon.testkit import builders
from tests.bench.bench_decode import recording
from tests.shared import ROOT, SHARED
from tests.unit.connectors.binance.frames import BTC

pytestmark = pytest.mark.bench


# A process starts with the peak of the one that forked it, so the fork is left to a small one.
_PEAK_OF = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
"""


class InMemory:
    """Decoded events, played as a feed."""

    def __init__(self, events: list[MarketEvent]) -> None:
        self._events = events

    def events(self) -> Iterator[MarketEvent]:
        return iter(self._events)


def decoded() -> list[MarketEvent]:
    translate = BinanceUsdmTranslator([BTC]).translate
    return [event for ts_local_ns, frame in recording() for event in translate(frame, ts_local_ns)]


def rows_per_second(events: list[MarketEvent], journal: Path | None) -> tuple[float, int]:
    parameters = builders.core_parameters(builders.market(BTC, order_lots=10, max_position_lots=50))
    source = RecordedMarket(InMemory(events), SimulatedVenue(BTC.venue, [BTC]))
    began = process_time()
    report = run_backtest(parameters, {BTC.venue: source}, journal=journal)
    return report.rows / (process_time() - began), report.orders_amended


@pytest.mark.parametrize("journaled", [False, True], ids=["no journal", "journal"])
@pytest.mark.parametrize("best_prices", [False, True], ids=["depth+trades", "with bookTicker"])
def test_rows_per_second(best_prices: bool, journaled: bool, tmp_path: Path, benchmark: Any) -> None:
    """Gate: 1.7 million rows a second for depth and trades without a journal, on the reference machine."""
    events = [event for event in decoded() if best_prices or not isinstance(event, TopOfBook)]
    runs = [rows_per_second(events, tmp_path / f"{run}.journal" if journaled else None) for run in range(3)]
    rate, moves = max(runs)
    print(f"\n{rate / 1e6:.2f} M rows/s, {moves} moves of our quotes")
    benchmark.pedantic(rows_per_second, args=(events, None), rounds=1)


def test_cold_process_from_recording_to_report(tmp_path: Path, benchmark: Any) -> None:
    """A new process, from the gzip file to the JSON result, every frame; and its peak memory."""
    config = ROOT / "deploy/examples/recorded-binance-usdm.yaml"
    command = [str(Path(sys.executable).parent / "mm-daemon"), "backtest", "--config", str(config), "--json"]

    def cold() -> tuple[float, float]:
        """(seconds, peak MiB) of one process."""
        began = perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", _PEAK_OF, *command],
            cwd=tmp_path,
            env={**os.environ, "MM_SHARED": str(SHARED)},
            capture_output=True,
            check=True,
        )
        took = perf_counter() - began
        assert json.loads(done.stdout)["messages"] == 93_954
        return took, int(done.stderr) / 1024

    runs = [cold() for _ in range(3)]
    took, peak_mib = min(run[0] for run in runs), max(run[1] for run in runs)
    print(f"\ncold, gzip to report: {took:.2f} s, peak memory {peak_mib:.0f} MiB")
    benchmark.pedantic(cold, rounds=1)
