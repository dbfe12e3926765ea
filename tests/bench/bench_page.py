"""How long what is shown of twenty markets keeps the event loop, slice by slice: the page, the status, `/metrics`.

Everything that the page has room for is full. The core has its turn between two slices. They are measured in CPU time
of the thread: how long the machine gave that time to somebody else is not ours. What comes of it in a process that
trades is in `bench_page_load.py`.
"""

import asyncio
import gc
import statistics
import time
from collections.abc import Iterable
from typing import TypeVar

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
from mm_daemon.observability.slices import SLICE_S, Pace
from mm_daemon.observability.status import Surroundings
from mm_daemon.observability.summary import Tally
from mm_daemon.testkit import builders as b
from tests.bench import bench_observe
from tests.bench.bench_observe import lived, metrics_of
from tests.bench.figures import Figures

pytestmark = pytest.mark.bench

MARKETS = 20
LIMIT_MS = 1.0
_ROUNDS = 40
_FILLS = 20
T = TypeVar("T")


class Timed(Pace):
    """Takes the CPU time of each slice, milliseconds, and pauses nowhere."""

    def __init__(self) -> None:
        super().__init__()
        self.ms: list[float] = []

    async def walk(self, steps: Iterable[T]) -> list[T]:
        done, began_s = [], time.thread_time()
        for step in steps:
            done.append(step)
            if (used_s := time.thread_time() - began_s) >= SLICE_S:
                self.ms.append(used_s * 1e3)
                began_s = time.thread_time()
        self.ms.append((time.thread_time() - began_s) * 1e3)
        return done


def busy_board(monkeypatch: pytest.MonkeyPatch, pace: Pace) -> Board:
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
        pace=pace,
        switches=lambda: {b.VENUE: Switch("dead man's switch: venue cancels all", 600 * b.MS, 5.0)},
    )
    board = Board(source, print)
    for name, trail in board.trails.items():
        for _ in range(240):
            trail.look(core.markets[name], 500 * b.MS)
    return board


def test_no_decision_waits_long(figures: Figures, monkeypatch: pytest.MonkeyPatch) -> None:
    """Medians over the rounds of the longest slice of one round, and of all its slices together."""
    pace = Timed()
    board = busy_board(monkeypatch, pace)
    monkeypatch.setattr(boards, "PERIOD_S", 0.0)
    metrics = metrics_of(board.core)
    metrics.pace = pace
    views = (None, *list(board.markets)[:1])
    gc.collect()
    gc.freeze()  # as the daemon does once it is built
    for name, work in (
        ("page.build", lambda: board.fresh(views)),
        ("page.status", board.status),
        ("page.metrics", metrics.text),
    ):
        rounds = []
        for _ in range(_ROUNDS):
            pace.ms = []
            asyncio.run(work())
            rounds.append(pace.ms)
        longest = statistics.median(map(max, rounds))
        figures.add(f"{name}.slice.longest", longest, "ms")
        figures.add(f"{name}.slice.longest.ever", max(map(max, rounds)), "ms")
        figures.add(f"{name}.all", statistics.median(map(sum, rounds)), "ms")
        assert longest < LIMIT_MS, name
    gc.unfreeze()
