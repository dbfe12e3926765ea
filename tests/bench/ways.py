"""The way of one frame, bytes in hand to commands ready, and how long its three steps take."""

from collections.abc import Sequence
from time import perf_counter_ns
from typing import NamedTuple

from connectors.binance.translate import BinanceUsdmTranslator
from connectors.hyperliquid.translate import HyperliquidTranslator
from mm_daemon.core.trading_core import TradingCore
from mm_daemon.domain.instrument import Instrument
from mm_daemon.engine.parameters import QuoteParameters
from mm_daemon.ports.connector import WireTranslator
from mm_daemon.testkit import builders
from tests.bench.frames import Frames
from tests.bench.venue import replies
from tests.unit.connectors.binance.frames import BTC
from tests.unit.connectors.hyperliquid.frames import BTC as HYPERLIQUID_BTC

EVERY_FRAME_MS = 0
"""Decision interval at which a full decision is made on every frame."""
OWN_RULE_MS = QuoteParameters().decide_interval_ms


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
        self.translate = translator.translate

    def take(self, frames: Frames) -> list[Taken]:
        """Each frame in turn; a venue accepts what comes of it, which is not counted."""
        core, translate = self.core, self.translate
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


def hyperliquid(decide_interval_ms: int) -> Way:
    return Way(HYPERLIQUID_BTC, HyperliquidTranslator([HYPERLIQUID_BTC]), decide_interval_ms)


def best_taken(passes: Sequence[Sequence[Taken]]) -> list[Taken]:
    """Each frame as it was in its best pass."""
    return [min(times, key=sum) for times in zip(*passes, strict=True)]
