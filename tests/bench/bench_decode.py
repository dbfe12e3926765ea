"""Frames to events: ours, ccxt.pro's handling and msgspec's bare typed decoding of the same frames.

Per frame the best of five passes over the USD-M recording, each pass with a translator, or an exchange, of its own
whose book starts from the recording's snapshot; percentiles over frames. ccxt.pro parses and keeps the book: what it
has at the end is compared with ours, or its figures would say nothing.
"""

import asyncio
from typing import Any

import pytest

from connectors.binance.translate import BinanceUsdmTranslator
from connectors.recorded.reader import WireLog
from mm_daemon.domain.book import OrderBook
from mm_daemon.domain.events import BookDelta, BookSnapshot, MarketEvent
from tests.bench import peers
from tests.bench.figures import Figures
from tests.bench.frames import KINDS
from tests.bench.recordings import FRAMES, USDM, decoded, of_kind, usdm
from tests.bench.timing import PASSES, Step, best, best_pass, settled, spread
from tests.shared import shared_file
from tests.unit.connectors.binance.frames import BTC

pytestmark = pytest.mark.bench


def translating() -> Step:
    translate = BinanceUsdmTranslator([BTC]).translate
    return lambda ts_local_ns, frame: translate(frame, ts_local_ns)


def best_prices(events: tuple[MarketEvent, ...]) -> peers.Best:
    """Best bid and ask after all depth events, without the best-price stream."""
    book = OrderBook()
    for event in events:
        if isinstance(event, BookDelta | BookSnapshot):
            book.apply(event)
    tick = float(BTC.tick)
    return book.bid_ticks * tick, book.ask_ticks * tick


@pytest.mark.parametrize("kind", KINDS)
def test_bare_msgspec(kind: str, figures: Figures) -> None:
    took = spread(best_pass(peers.bare(kind), of_kind(kind)))
    figures.add_spread(f"msgspec.{kind}", took)
    figures.add(f"msgspec.{kind}.mean", took.mean, "us")


@pytest.mark.parametrize("kind", KINDS)
def test_ours(kind: str, figures: Figures) -> None:
    """One kind alone: what the cold caches of the mixture add is in the decisions."""
    figures.add_spread(f"{kind}.decode", spread(best_pass(translating, of_kind(kind, snapshot=True))))


def test_ccxt(figures: Figures) -> None:
    """The whole recording in order; its book must be ours at the end."""
    frames = usdm()
    with settled():
        passes = [asyncio.run(peers.binance_pass(frames)) for _ in range(PASSES)]
    for kind in KINDS:
        figures.add_spread(f"ccxt.{kind}", spread(best([taken[kind] for taken, _ in passes])))
    figures.remark(f"peer: {peers.ccxt_words()}, as it installs itself; parsing and its book, no decision")
    assert passes[-1][1] == pytest.approx(best_prices(decoded()), rel=1e-12)


def test_whole_recording_to_events(benchmark: Any, figures: Figures) -> None:
    """From the gzip file to events, every frame."""
    path = shared_file(USDM)

    def everything() -> int:
        translate = BinanceUsdmTranslator([BTC]).translate
        return sum(len(translate(frame, ts_local_ns)) for ts_local_ns, frame in WireLog(path).frames())

    assert benchmark.pedantic(everything, rounds=3) == len(decoded())
    assert len(usdm()) == FRAMES
    figures.add("recording.decode", benchmark.stats.stats.min, "s")
