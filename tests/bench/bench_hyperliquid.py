"""Hyperliquid l2Book frames to a decision, ccxt.pro's handling of them and msgspec's bare typed decoding.

The recording has 46 of them: they are looped with block times that go on, through one core, a full decision on each.
Per frame the best of all loops but the first of each turn; ours and the peers take turns. With so few frames there is
a median, and no p99.
"""

import asyncio
from typing import TypeVar

import pytest

from tests.bench import frame_peers
from tests.bench.figures import Figures
from tests.bench.frames import Frames, block_times_later
from tests.bench.recordings import hyperliquid_books
from tests.bench.timing import best, settled, spread, timed
from tests.bench.ways import EVERY_FRAME_MS, Taken, best_taken, hyperliquid
from tests.unit.connectors.hyperliquid.frames import BTC

pytestmark = pytest.mark.bench

TURNS, LOOPS = 5, 20

T = TypeVar("T")


def by_loop(taken: list[T], count: int) -> list[list[T]]:
    """The loops of a turn but its first, in which caches are cold."""
    return [taken[begin : begin + count] for begin in range(count, len(taken), count)]


def test_book_to_decision(figures: Figures) -> None:
    books = hyperliquid_books()
    count = len(books)
    way = hyperliquid(EVERY_FRAME_MS)
    ours: list[list[Taken]] = []
    theirs: list[list[int]] = []
    bare: list[list[int]] = []
    prices: frame_peers.Best | None = None
    with settled():
        for turn in range(TURNS):
            frames: Frames = []
            for loop in range(turn * LOOPS, (turn + 1) * LOOPS):
                frames += block_times_later(books, loop)
            ours += by_loop(way.take(frames), count)
            taken, prices = asyncio.run(frame_peers.hyperliquid_pass(frames))
            theirs += by_loop(taken, count)
            bare += by_loop(timed(frame_peers.bare_hyperliquid(), frames), count)
    chosen = best_taken(ours)
    figures.add("hyperliquid.book.decision.p50", spread(map(sum, chosen)).p50, "us")
    for step, times in zip(Taken._fields, zip(*chosen, strict=True), strict=True):
        figures.add(f"hyperliquid.book.{step}.p50", spread(times).p50, "us")
    figures.add("ccxt.hyperliquid.book.p50", spread(best(theirs)).p50, "us")
    figures.add("msgspec.hyperliquid.book.p50", spread(best(bare)).p50, "us")
    assert way.core.full_decisions >= TURNS * LOOPS * count
    book, tick = way.core.markets[BTC.id].book, float(BTC.tick)
    assert prices == pytest.approx((book.bid_ticks * tick, book.ask_ticks * tick), rel=1e-12)
