"""Many symbols at BTCUSDT's full rate through the real path: translator, inbox, core loop, core, journal, metrics.

Every symbol plays the USD-M recording under a name of its own, a little later than the one before, each with a
translator of its own (a REST snapshot names no symbol, so one link could not tell fifty equal ones apart). The parts
are the daemon's; only its event loop is replaced by arithmetic. A turn takes the CPU time it really takes, on a clock
that jumps over idle time: whatever has arrived while a turn ran is read before the next one, as in the daemon. So
batches grow with the load, and nothing is sent over a wire. Commands are accepted at once. Receive times are
stretched or pressed together so that the part that is played has the rate asked for.
"""

from collections.abc import Sequence
from pathlib import Path
from time import process_time_ns
from typing import NamedTuple

import msgspec

import mm_daemon
from connectors.binance.translate import BinanceUsdmTranslator
from mm_daemon.core.trading_core import TradingCore
from mm_daemon.domain.decisions import ApprovedCommand, Turn
from mm_daemon.domain.events import Event, RunStarted, VenueConnected, VenueSnapshot, VenueSnapshotReceived
from mm_daemon.domain.instrument import Instrument
from mm_daemon.journal.run_writer import RunWriter
from mm_daemon.observability.live_statistics import LiveStatistics
from mm_daemon.observability.metrics import Metrics
from mm_daemon.runtime.clock import Clock
from mm_daemon.runtime.core_loop import CoreLoop
from mm_daemon.runtime.inbox import Inbox
from mm_daemon.testkit import builders
from tests.bench.frames import Frames
from tests.bench.venue import replies
from tests.unit.connectors.binance.frames import BTC

NS_PER_S = 1_000_000_000
_SPREAD_NS = NS_PER_S
"""Within this time every symbol begins."""


class Load(NamedTuple):
    """What a run took from when all symbols had begun until the first of them ended."""

    symbols: int
    frames: int
    turns: int
    cpu_s: float
    market_s: float
    behind_s: float
    """How late the core was at the end."""
    full_decisions: int
    trusted_books: int

    @property
    def us_per_frame(self) -> float:
        return self.cpu_s / self.frames * 1e6

    @property
    def utilisation(self) -> float:
        """CPU seconds a second of market."""
        return self.cpu_s / self.market_s


class Daemon:
    """The parts of a run that market data go through, on a clock that is set."""

    def __init__(self, instruments: Sequence[Instrument], folder: Path, start_ns: int) -> None:
        self.now_ns = start_ns
        parameters = builders.core_parameters(
            *(builders.market(instrument, order_lots=10, max_position_lots=50) for instrument in instruments)
        )
        self.core = TradingCore(parameters)
        self.inbox = Inbox()
        self.journal = RunWriter(folder / "journal")
        clock = Clock(wall_ns=lambda: self.now_ns, monotonic_ns=lambda: self.now_ns)
        statistics = LiveStatistics(self.core.markets, start_ns)
        metrics = Metrics(
            self.core,
            statistics.markets,
            now_ns=clock.now_ns,
            build=("", ""),
            queues=self.inbox,
            folder=folder,
            bad_messages=dict,
        )

        def observe(turn: Turn, urgent: Sequence[Event]) -> None:
            statistics.observe(turn, urgent)
            metrics.observe(turn, urgent, self.loop.times)

        self.loop = CoreLoop(
            self.core,
            inbox=self.inbox,
            journal=self.journal,
            clock=clock,
            carry=self._carry,
            ask=lambda _queries: None,
            observe=observe,
        )
        self.loop.begin(RunStarted(start_ns, mm_daemon.__version__, parameters.to_json()))
        held = tuple((instrument.id, 0) for instrument in instruments)
        account = VenueSnapshot(BTC.venue, start_ns, start_ns, (), held, (), ())
        self.inbox.put(VenueConnected(BTC.venue, start_ns, start_ns))
        self.inbox.put(VenueSnapshotReceived(BTC.venue, start_ns, start_ns, account))
        self.loop.turn()

    def _carry(self, released: Sequence[ApprovedCommand]) -> None:
        for reply in replies(released, self.now_ns):
            self.inbox.put(reply)


def play(frames: Frames, symbols: int, count: int, rate: float, folder: Path) -> Load:
    """So many symbols for the recording's first `count` frames, `rate` of them a second and symbol."""
    instruments = [
        msgspec.structs.replace(BTC, symbol=f"S{number:04d}USDT", base=f"S{number:04d}") for number in range(symbols)
    ]
    names = [instrument.symbol.encode() for instrument in instruments]
    translates = [BinanceUsdmTranslator([instrument]).translate for instrument in instruments]
    start_ns = frames[0][0]
    pressed = count / rate * NS_PER_S / (frames[count - 1][0] - start_ns)
    apart_ns = _SPREAD_NS // symbols
    arrivals = sorted(
        (start_ns + round((ts_local_ns - start_ns) * pressed) + number * apart_ns, number, index)
        for index, (ts_local_ns, _) in enumerate(frames[:count])
        for number in range(symbols)
    )
    daemon = Daemon(instruments, folder, start_ns)
    put, turn, deadline_ns = daemon.inbox.put, daemon.loop.turn, daemon.core.next_deadline_ns
    from_ns, to_ns = start_ns + 2 * _SPREAD_NS, arrivals[-1][0] - _SPREAD_NS
    used_ns = measured = turns = begin = behind_ns = 0
    waiting = False
    while begin < len(arrivals) or waiting:
        if not waiting:
            due_ns = deadline_ns()
            next_ns = arrivals[begin][0] if due_ns is None else min(arrivals[begin][0], due_ns)
            daemon.now_ns = max(daemon.now_ns, next_ns)
        now_ns = daemon.now_ns
        end = begin
        while end < len(arrivals) and arrivals[end][0] <= now_ns:
            end += 1
        batch = [
            (ts_local_ns, translates[number], _renamed(frames[index][1], names[number]))
            for ts_local_ns, number, index in arrivals[begin:end]
        ]
        began_ns = process_time_ns()
        for ts_local_ns, translate, frame in batch:
            for event in translate(frame, ts_local_ns):
                put(event)
        waiting = turn()
        took_ns = process_time_ns() - began_ns
        daemon.now_ns += took_ns
        if from_ns <= now_ns < to_ns:
            used_ns += took_ns
            measured += len(batch)
            turns += 1
            if batch:
                behind_ns = daemon.now_ns - batch[0][0]
        begin = end
    daemon.journal.close()
    trusted = sum(market.book.trusted for market in daemon.core.markets.values())
    return Load(
        symbols,
        measured,
        turns,
        used_ns / NS_PER_S,
        (to_ns - from_ns) / NS_PER_S,
        behind_ns / NS_PER_S,
        daemon.core.full_decisions,
        trusted,
    )


def _renamed(frame: bytes, name: bytes) -> bytes:
    return frame.replace(b"BTCUSDT", name).replace(b"btcusdt", name.lower())
