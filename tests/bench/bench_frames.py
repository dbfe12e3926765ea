"""USD-M frames: ours to events, to the engine and to a decision; ccxt.pro's handling; msgspec's bare typed decoding.

Per frame the best of five passes over the recording, each pass with a translator, a core, an exchange of its own whose
book starts from the recording's snapshot; percentiles over frames. The passes of all take turns, so that a neighbour
who comes and goes does so for everybody. Of each kind alone (`decode`): msgspec and our translator. In the recording's
order: ccxt.pro, which parses and keeps a book; ours with a full decision on every frame (`decision`); and ours while
the core decides by its own rule and only decode and apply are counted (`engine`).
"""

import asyncio
from functools import cache
from typing import Any, NamedTuple

import pytest

from connectors.binance.translate import BinanceUsdmTranslator
from connectors.recorded.reader import WireLog
from mm_daemon.domain.book import OrderBook
from mm_daemon.domain.events import BookDelta, BookSnapshot
from tests.bench import frame_peers
from tests.bench.figures import Figures
from tests.bench.frames import KINDS, kind_of
from tests.bench.recordings import FRAMES, USDM, decoded, of_kind, usdm
from tests.bench.timing import PASSES, Step, best, settled, spread, timed
from tests.bench.ways import EVERY_FRAME_MS, OWN_RULE_MS, Taken, best_taken, binance
from tests.shared import shared_file
from tests.unit.connectors.binance.frames import BTC

pytestmark = pytest.mark.bench


class Pass(NamedTuple):
    """One pass of each, or the best of several; nanoseconds of every frame."""

    bare: dict[str, list[int]]
    decode: dict[str, list[int]]
    ccxt: dict[str, list[int]]
    ccxt_best: frame_peers.Best
    decision: list[Taken]
    engine: list[Taken]
    full_decisions: int


@cache
def measured() -> Pass:
    with settled():
        passes = [one_pass() for _ in range(PASSES)]
    return Pass(
        bare={kind: best([each.bare[kind] for each in passes]) for kind in KINDS},
        decode={kind: best([each.decode[kind] for each in passes]) for kind in KINDS},
        ccxt={kind: best([each.ccxt[kind] for each in passes]) for kind in KINDS},
        ccxt_best=passes[0].ccxt_best,
        decision=best_taken([each.decision for each in passes]),
        engine=best_taken([each.engine for each in passes]),
        full_decisions=passes[0].full_decisions,
    )


def one_pass() -> Pass:
    every_frame = binance(EVERY_FRAME_MS)
    decision = every_frame.take(usdm())
    ccxt, ccxt_best = asyncio.run(frame_peers.binance_pass(usdm()))
    return Pass(
        bare={kind: timed(frame_peers.bare(kind), of_kind(kind)) for kind in KINDS},
        decode={kind: timed(translating(), of_kind(kind, snapshot=True)) for kind in KINDS},
        ccxt=ccxt,
        ccxt_best=ccxt_best,
        decision=decision,
        engine=binance(OWN_RULE_MS).take(usdm()),
        full_decisions=every_frame.core.full_decisions,
    )


def translating() -> Step:
    translate = BinanceUsdmTranslator([BTC]).translate
    return lambda ts_local_ns, frame: translate(frame, ts_local_ns)


def of_the_kind(kind: str, taken: list[Taken]) -> list[Taken]:
    return [each for (_, frame), each in zip(usdm(), taken, strict=True) if kind_of(frame) == kind]


def best_prices_of_depth() -> frame_peers.Best:
    """Best bid and ask after all depth events, without the best-price stream."""
    book = OrderBook()
    for event in decoded():
        if isinstance(event, BookDelta | BookSnapshot):
            book.apply(event)
    tick = float(BTC.tick)
    return book.bid_ticks * tick, book.ask_ticks * tick


@pytest.mark.parametrize("kind", KINDS)
def test_decode(kind: str, figures: Figures) -> None:
    """One kind alone: what the cold caches of the mixture add is in the decisions."""
    took = spread(measured().bare[kind])
    figures.add_spread(f"msgspec.{kind}", took)
    figures.add(f"msgspec.{kind}.mean", took.mean, "us")
    figures.add_spread(f"{kind}.decode", spread(measured().decode[kind]))


def test_ccxt(figures: Figures) -> None:
    """Its book must be ours at the end, or its figures would say nothing."""
    for kind in KINDS:
        figures.add_spread(f"ccxt.{kind}", spread(measured().ccxt[kind]))
    figures.remark(f"peer: {frame_peers.ccxt_words()}, as it installs itself; parsing and its book, no decision")
    assert measured().ccxt_best == pytest.approx(best_prices_of_depth(), rel=1e-12)


def test_depth_frame_to_decision(figures: Figures) -> None:
    """The whole way and its three steps."""
    taken = of_the_kind("depth", measured().decision)
    figures.add_spread("depth.decision", spread(map(sum, taken)))
    for step, times in zip(Taken._fields, zip(*taken, strict=True), strict=True):
        figures.add_spread(f"depth.decision.{step}", spread(times))
    assert len(taken) == len(of_kind("depth"))
    assert measured().full_decisions > 0.99 * len(usdm())


@pytest.mark.parametrize("kind", KINDS)
def test_frame_to_engine(kind: str, figures: Figures) -> None:
    taken = of_the_kind(kind, measured().engine)
    figures.add_spread(f"{kind}.engine", spread(each.decode + each.apply for each in taken))


def test_whole_recording_to_events(benchmark: Any, figures: Figures) -> None:
    """From the gzip file to events, every frame."""
    path = shared_file(USDM)

    def everything() -> int:
        translate = BinanceUsdmTranslator([BTC]).translate
        return sum(len(translate(frame, ts_local_ns)) for ts_local_ns, frame in WireLog(path).frames())

    assert benchmark.pedantic(everything, rounds=3) == len(decoded())
    assert len(usdm()) == FRAMES
    figures.add("recording.decode", benchmark.stats.stats.min, "s")
