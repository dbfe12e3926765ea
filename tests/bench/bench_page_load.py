"""What people at the page and a Prometheus cost a daemon of twenty markets under load, and how much later it decides.

A real process that trades the embedded market (`page_probe.py` says what it writes down), in windows that alternate:
nobody there; then three browsers at the page and a scrape every two seconds. Only what page and metrics themselves take
is held against the limit. The waits by the clock are beside it, with and without: they have whatever else the machine
did.
"""

import json
import os
import statistics
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.bench.figures import Figures
from tests.bench.page_probe import Row, rows_of
from tests.e2e.test_monitoring import fetched, free_port, until
from tests.shared import ROOT

pytestmark = pytest.mark.bench

MARKETS = 20
LIMIT_MS = 1.0
LIMIT_SHARE = 0.05
_BUSY = {"order_life_s": 1.5, "trades_per_second": 20}
"""Some five times the activity that the embedded market has by itself."""
_ASK_S = 2.0
_WARM_S = 10.0
_SETTLE_S = 1.0
_WINDOW_S = 10.0
_WINDOWS = 3
"""Of each kind."""
_AT = (("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0))


class Window:
    """From when to when, and the CPU time of the process, seconds."""

    def __init__(self, pid: int) -> None:
        began_s, used_s = time.perf_counter(), cpu_s(pid)
        threading.Event().wait(_WINDOW_S)
        self.from_s, self.to_s = began_s, time.perf_counter()
        self.cpu_s = cpu_s(pid) - used_s

    def of(self, rows: Sequence[Row]) -> list[Row]:
        return [row for row in rows if self.from_s * 1e9 <= row.at < self.to_s * 1e9]


@contextmanager
def trading(folder: Path, rows: Path) -> Iterator[tuple[int, str]]:
    """The process and its address; at the end it writes the rows."""
    port, symbols = free_port(), [f"A{number:02d}-USDT" for number in range(MARKETS)]
    quoting = {"order_notional": 600, "max_position_notional": 3000, "k": 3, "fill_lockout_ms": 200}
    config = {
        "version": 1,
        "state_dir": str(folder / "state"),
        "log": {"format": "json", "level": "error"},
        "http": {"port": port},
        "venues": {"sim": {"connector": "sim", "publish_interval_ms": 1, "symbols": dict.fromkeys(symbols, _BUSY)}},
        "markets": [{"venue": "sim", "symbol": symbol, **quoting} for symbol in symbols],
    }
    path = folder / "config.yaml"
    path.write_text(json.dumps(config), "utf-8")
    command = [sys.executable, "-m", "tests.bench.page_probe", str(path), str(rows)]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        until(lambda: fetched(f"{url}/healthz"))
        until(lambda: '"ready": true' in fetched(f"{url}/readyz"))
        yield process.pid, url
    finally:
        process.terminate()
        process.wait(30)


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def watched(url: str) -> Iterator[None]:
    """Two browsers, a third without JavaScript that asks for the page again and again, and a Prometheus."""
    ended = threading.Event()

    def watch(view: str) -> None:
        fetched(f"{url}/market/{view}" if view else url)
        with urllib.request.urlopen(f"{url}/events?view={view}", timeout=5) as stream:
            while not ended.is_set():
                stream.readline()

    def ask(path: str) -> None:
        while not ended.is_set():
            fetched(url + path)
            ended.wait(_ASK_S)

    threads = [
        threading.Thread(target=watch, args=("",)),
        threading.Thread(target=watch, args=("sim:A00-USDT",)),
        threading.Thread(target=ask, args=("/market/sim:A01-USDT",)),
        threading.Thread(target=ask, args=("/metrics",)),
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def test_decisions_do_not_wait_for_page_and_metrics(figures: Figures, tmp_path: Path) -> None:
    """No decision was later by a millisecond for them, and they take less than a twentieth of a core."""
    windows: dict[str, list[Window]] = {"unwatched": [], "watched": []}
    file = tmp_path / "rows"
    with trading(tmp_path, file) as (pid, url):
        threading.Event().wait(_WARM_S)
        for _ in range(_WINDOWS):
            windows["unwatched"].append(Window(pid))
            with watched(url):
                threading.Event().wait(_SETTLE_S)
                windows["watched"].append(Window(pid))
            threading.Event().wait(_SETTLE_S)
    rows = rows_of(file)
    shares, own = {}, {}
    for name, each in windows.items():
        lived = [window.of(rows) for window in each]
        assert all(len(found) > 1000 for found in lived)
        spent_s = sum(window.to_s - window.from_s for window in each)
        shares[name] = sum(window.cpu_s for window in each) / spent_s
        own[name] = sum(found[-1].theirs - found[0].theirs for found in lived) / 1e9 / spent_s
        figures.add(f"page.load.{name}.process", shares[name], "of a core")
        figures.add(f"page.load.{name}.page_and_metrics", own[name], "of a core")
        collector = sum(found[-1].collector - found[0].collector for found in lived) / 1e9 / spent_s
        figures.add(f"page.load.{name}.collector", collector, "of a core")
        figures.add(f"page.load.{name}.decisions", sum(map(len, lived)) / spent_s, "per s")
        for column in ("waited", "waited_cpu", "extra_cpu"):
            ordered = sorted(getattr(row, column) / 1e6 for found in lived for row in found)
            for place, share in _AT:
                at = min(int(len(ordered) * share), len(ordered) - 1)
                figures.add(f"page.load.{name}.{column}.{place}", ordered[at], "ms")
            figures.add(f"page.load.{name}.{column}.mean", statistics.mean(ordered), "ms")
    most = figures.all["page.load.watched.extra_cpu.max"].value
    figures.remark(
        f"page and metrics of {MARKETS} markets, {figures.all['page.load.watched.decisions'].value:,.0f} decisions a "
        f"second: {own['watched']:.2%} of a core (goal: below {LIMIT_SHARE:.0%}), "
        f"at most {most:.2f} ms of a decision's wait (goal: below {LIMIT_MS:g})"
    )
    assert own["watched"] < LIMIT_SHARE
    assert most < LIMIT_MS
