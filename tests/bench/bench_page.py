"""What the status page and `/metrics` cost a daemon of twenty markets, and for how long they keep a decision waiting.

Both are made on the event loop, in slices between which the core has its turn: what a decision can wait for them is the
longest slice. Slices are measured in CPU time of the thread: how long the machine gave that time to somebody else is
not ours. The share of a core is that of a real process which trades the embedded market: with two browsers at the page
and a scrape every five seconds, less that of the same process in the windows between, when nobody looks.
"""

import gc
import json
import os
import statistics
import subprocess
import threading
import time
import urllib.request
from collections.abc import Coroutine, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from mm_daemon.domain.codec import answers
from mm_daemon.domain.events import OrderFilled
from mm_daemon.domain.orders import Side
from mm_daemon.observability.live_statistics import LiveStatistics
from mm_daemon.observability.page import board as boards
from mm_daemon.observability.page.board import Board, Source
from mm_daemon.observability.page.daemon import Switch
from mm_daemon.observability.recent import Recent
from mm_daemon.observability.records import Records
from mm_daemon.observability.status import Surroundings
from mm_daemon.observability.summary import Tally
from mm_daemon.testkit import builders as b
from tests.bench import bench_observe
from tests.bench.bench_observe import lived, metrics_of
from tests.bench.figures import Figures
from tests.e2e.test_monitoring import free_port, until
from tests.e2e.test_recovery import DAEMON
from tests.shared import ROOT

pytestmark = pytest.mark.bench

MARKETS = 20
LIMIT_MS = 1.0
LIMIT_SHARE = 0.05
_ROUNDS = 40
_SCRAPE_S = 5.0
_WINDOW_S = 7.0
_WINDOWS = 3
_FILLS = 20


class Slices:
    """The CPU time of each slice of a coroutine that is driven to its end, milliseconds."""

    def __init__(self, work: Coroutine[Any, Any, Any]) -> None:
        self.ms: list[float] = []
        with closing(work):
            while True:
                began_s = time.thread_time()
                try:
                    work.send(None)
                except StopIteration as ended:
                    self.ms.append((time.thread_time() - began_s) * 1e3)
                    self.result = ended.value
                    return
                self.ms.append((time.thread_time() - began_s) * 1e3)


def busy_board(monkeypatch: pytest.MonkeyPatch) -> tuple[Board, Records]:
    """Everything that the page shows is full: fills, events, four minutes of prices."""
    monkeypatch.setattr(bench_observe, "MARKETS", MARKETS)
    core, turns = lived()
    records, recent, end = Records(core), Recent(), 0
    for turn in turns:
        end += 2 + len(answers(turn))
        records.observe(turn, (), end)
    for number, name in enumerate([*core.markets] * _FILLS):
        at_ns = 400 * b.MS
        order = core.markets[name].quotes[Side.BUY][0].client_id
        fill = OrderFilled(name, at_ns, at_ns, order, "v", f"f{number}", Side.BUY, 600_000, 1, True)
        end += 2
        records.observe(turns[-1], (fill,), end)
        text = "bid quote 60000.0 (new_quote) | ask hold (fill_lockout 640 ms)"
        line = {"level": "warning", "event": "x", "ts": "2024-01-01T00:00:00.000Z", "symbol": name.partition(":")[2]}
        recent(None, "", {**line, "text": text})
    source = Source(
        core=core,
        records=records,
        recent=recent,
        tallies={instrument: Tally() for instrument in core.markets},
        statistics=LiveStatistics(core.markets, 0).markets,
        now_ns=lambda: 500 * b.MS,
        surroundings=lambda: Surroundings(
            version="", mode="", pid=1, config="", journal="/j", started_ns=0, recent=recent.lines
        ),
        links=dict,
        switches=lambda: {b.VENUE: Switch("dead man's switch: venue cancels all", 600 * b.MS, 5.0)},
    )
    board = Board(source, print)
    for name, trail in board.trails.items():
        for _ in range(240):
            trail.look(core.markets[name], 500 * b.MS)
    return board, records


def test_no_decision_waits_long(figures: Figures, monkeypatch: pytest.MonkeyPatch) -> None:
    """Medians over the rounds of the longest slice of one round, and of all its slices together."""
    board, _ = busy_board(monkeypatch)
    monkeypatch.setattr(boards, "PERIOD_S", 0.0)
    metrics = metrics_of(board.core)
    views = (None, *list(board.markets)[:1])
    gc.collect()
    gc.freeze()  # as the daemon does once it is built
    for name, work in (
        ("page.build", lambda: board.fresh(views)),
        ("page.status", board.status),
        ("page.metrics", metrics.text),
    ):
        rounds = [Slices(work()) for _ in range(_ROUNDS)]
        longest = statistics.median(max(each.ms) for each in rounds)
        figures.add(f"{name}.slice.longest", longest, "ms")
        figures.add(f"{name}.slice.longest.ever", max(max(each.ms) for each in rounds), "ms")
        figures.add(f"{name}.all", statistics.median(sum(each.ms) for each in rounds), "ms")
        assert longest < LIMIT_MS, name
    gc.unfreeze()


@contextmanager
def trading(folder: Path) -> Iterator[tuple[int, str]]:
    """A daemon on the embedded market, and its address."""
    port = free_port()
    quoting = {"order_notional": 600, "max_position_notional": 3000, "k": 3, "fill_lockout_ms": 200}
    config = {
        "version": 1,
        "state_dir": str(folder / "state"),
        "log": {"format": "json", "level": "error"},
        "http": {"port": port},
        "venues": {"sim": {"connector": "sim"}},
        "markets": [{"venue": "sim", "symbol": f"A{number:02d}-USDT", **quoting} for number in range(MARKETS)],
    }
    path = folder / "config.yaml"
    path.write_text(json.dumps(config), "utf-8")
    process = subprocess.Popen([*DAEMON, "run", "--config", str(path)], cwd=ROOT, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        until(lambda: urllib.request.urlopen(f"{url}/readyz", timeout=5).status == 200)
        yield process.pid, url
    finally:
        process.terminate()
        process.wait(30)


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def watched(url: str) -> Iterator[None]:
    """Two browsers and a Prometheus."""
    ended = threading.Event()

    def watch(view: str) -> None:
        with urllib.request.urlopen(f"{url}/events?view={view}", timeout=5) as stream:
            while not ended.is_set():
                stream.readline()

    def scrape() -> None:
        while not ended.is_set():
            with urllib.request.urlopen(f"{url}/metrics", timeout=5) as reply:
                reply.read()
            ended.wait(_SCRAPE_S)

    threads = [
        threading.Thread(target=watch, args=("",)),
        threading.Thread(target=watch, args=("sim:A00-USDT",)),
        threading.Thread(target=scrape),
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def test_share_of_a_core(figures: Figures, tmp_path: Path) -> None:
    """Means over windows that alternate."""
    shares: dict[bool, list[float]] = {False: [], True: []}
    pause = threading.Event()
    with trading(tmp_path) as (pid, url):
        pause.wait(_WINDOW_S)
        for window in range(2 * _WINDOWS):
            looked_at = window % 2 == 1
            with watched(url) if looked_at else _nobody():
                pause.wait(1.0)
                began_s, used_s = time.monotonic(), cpu_s(pid)
                pause.wait(_WINDOW_S)
                shares[looked_at].append((cpu_s(pid) - used_s) / (time.monotonic() - began_s))
    quiet, seen = statistics.mean(shares[False]), statistics.mean(shares[True])
    figures.add("page.share.unwatched", quiet, "of a core")
    figures.add("page.share.watched", seen, "of a core")
    figures.add("page.share", seen - quiet, "of a core")
    figures.remark(
        f"page and metrics of {MARKETS} markets: {seen - quiet:.2%} of a core (goal: below {LIMIT_SHARE:.0%})"
    )
    assert seen - quiet < LIMIT_SHARE


@contextmanager
def _nobody() -> Iterator[None]:
    yield
