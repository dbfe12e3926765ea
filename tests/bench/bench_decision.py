"""One frame to a decision, or to the engine: bytes in hand to commands ready, through the recordings in order.

`decision`: a full decision is forced on every frame (`decide_interval_ms` 0). `engine`: decode and apply, while the
core decides by its own rule and what it decides is not counted. A venue that accepts everything at once answers, which
is not counted either. Per frame the best of five passes, each with a translator and a core of its own.
"""

import asyncio
from time import perf_counter_ns
from typing import NamedTuple

import pytest

from connectors.binance.translate import BinanceUsdmTranslator
from connectors.hyperliquid.translate import HyperliquidTranslator
from mm_daemon.core.trading_core import TradingCore
from mm_daemon.domain.instrument import Instrument
from mm_daemon.engine.parameters import QuoteParameters
from mm_daemon.ports.connector import WireTranslator
from mm_daemon.testkit import builders
from tests.bench import peers
from tests.bench.figures import Figures
from tests.bench.frames import KINDS, Frames, block_times_later, kind_of
from tests.bench.recordings import hyperliquid_books, of_kind, usdm
from tests.bench.timing import PASSES, best, settled, spread, timed
from tests.bench.venue import replies
from tests.unit.connectors.binance.frames import BTC
from tests.unit.connectors.hyperliquid.frames import BTC as HYPERLIQUID_BTC

pytestmark = pytest.mark.bench

HYPERLIQUID_LOOPS = 60


class Taken(NamedTuple):
    """Nanoseconds of one frame."""

    decode: int
    apply: int
    decide: int


class Way:
    """A translator and a core that has been told that its venue is there and agrees with it."""

    def __init__(self, instrument: Instrument, translator: WireTranslator, decide_interval_ms: int) -> None:
        quoting = QuoteParameters(decide_interval_ms=decide_interval_ms, volatility=0.5, gamma=0.05)
        market = builders.market(instrument, order_lots=10, max_position_lots=100, quoting=quoting)
        self.core = TradingCore(builders.core_parameters(market))
        self.core.apply(builders.connected(0, venue=instrument.venue))
        self.core.apply(builders.account(0, symbol=instrument.id))
        self._translate = translator.translate

    def take(self, frames: Frames) -> list[Taken]:
        core, translate = self.core, self._translate
        taken = []
        for ts_local_ns, frame in frames:
            began = perf_counter_ns()
            events = translate(frame, ts_local_ns)
            decoded = perf_counter_ns()
            for event in events:
                core.apply(event)
            applied = perf_counter_ns()
            turn = core.decide(ts_local_ns)
            decided = perf_counter_ns()
            taken.append(Taken(decoded - began, applied - decoded, decided - applied))
            for reply in replies(turn.released, ts_local_ns):
                core.apply(reply)
        return taken


def binance(decide_interval_ms: int) -> Way:
    return Way(BTC, BinanceUsdmTranslator([BTC]), decide_interval_ms)


def best_of_kind(passes: list[list[Taken]], kind: str) -> list[Taken]:
    """Each frame of the kind as it was in its best pass."""
    return [min(times, key=sum) for (_, frame), *times in zip(usdm(), *passes, strict=True) if kind_of(frame) == kind]


def test_depth_frame_to_decision(figures: Figures) -> None:
    """The whole way and its three steps."""
    with settled():
        ways = [binance(0) for _ in range(PASSES)]
        taken = best_of_kind([way.take(usdm()) for way in ways], "depth")
    figures.add_spread("depth.decision", spread(map(sum, taken)))
    for step, times in zip(Taken._fields, zip(*taken, strict=True), strict=True):
        figures.add_spread(f"depth.decision.{step}", spread(times))
    assert len(taken) == len(of_kind("depth"))
    assert ways[0].core.full_decisions > 0.99 * len(usdm())


def test_frame_to_engine(figures: Figures) -> None:
    """Trades and best prices: nothing is decided on them but what is due anyway."""
    interval_ms = QuoteParameters().decide_interval_ms
    with settled():
        passes = [binance(interval_ms).take(usdm()) for _ in range(PASSES)]
    for kind in KINDS:
        figures.add_spread(f"{kind}.engine", spread(each.decode + each.apply for each in best_of_kind(passes, kind)))


def test_hyperliquid_book_to_decision(figures: Figures) -> None:
    """The 46 frames looped with block times that go on, in one core; per frame the best of the loops but the first."""
    loops = [block_times_later(hyperliquid_books(), loop) for loop in range(HYPERLIQUID_LOOPS)]
    way = Way(HYPERLIQUID_BTC, HyperliquidTranslator([HYPERLIQUID_BTC]), 0)
    with settled():
        passes = [way.take(loop) for loop in loops][1:]
    taken = [min(times, key=sum) for times in zip(*passes, strict=True)]
    figures.add("hyperliquid.book.decision.p50", spread(map(sum, taken)).p50, "us")
    figures.add("hyperliquid.book.decode.p50", spread(each.decode for each in taken).p50, "us")
    figures.add("hyperliquid.book.apply.p50", spread(each.apply for each in taken).p50, "us")
    figures.add("hyperliquid.book.decide.p50", spread(each.decide for each in taken).p50, "us")
    assert way.core.full_decisions >= HYPERLIQUID_LOOPS * len(hyperliquid_books())
    book = way.core.markets[HYPERLIQUID_BTC.id].book

    everything = [frame for loop in loops for frame in loop]
    with settled():
        theirs, prices = asyncio.run(peers.hyperliquid_pass(everything))
        decode = peers.bare_hyperliquid()()
        bare = [timed(decode, loop) for loop in loops]
    count = len(hyperliquid_books())
    figures.add(
        "ccxt.hyperliquid.book.p50",
        spread(best([theirs[begin : begin + count] for begin in range(count, len(theirs), count)])).p50,
        "us",
    )
    figures.add("msgspec.hyperliquid.book.p50", spread(best(bare[1:])).p50, "us")
    tick = float(HYPERLIQUID_BTC.tick)
    assert prices == pytest.approx((book.bid_ticks * tick, book.ask_ticks * tick), rel=1e-12)
