"""One frame to a decision: bytes in hand to commands ready, a full decision forced on every depth frame.

Through the recording in order, trades and best prices included, with a venue that accepts everything at once. Per depth
frame the best of five passes; printed as p50 and p99, per step, and beside msgspec's bare decoding of the same frames.
"""

from time import perf_counter_ns
from typing import Any

import pytest

from connectors.binance.translate import BinanceUsdmTranslator
from mm_daemon.core.trading_core import TradingCore
from mm_daemon.domain.decisions import AmendOrder, CancelOrder, PlaceOrder, Turn
from mm_daemon.domain.events import Event, OrderAccepted, OrderAmended, OrderCanceled
from mm_daemon.domain.instrument import InstrumentId
from mm_daemon.engine.parameters import QuoteParameters
from mm_daemon.testkit import builders
from tests.bench.bench_decode import KINDS, PASSES, bare, best_us, of_kind, recording
from tests.unit.connectors.binance.frames import BTC

pytestmark = pytest.mark.bench

Taken = list[tuple[int, int, int]]
"""Nanoseconds of decode, apply, decide, a depth frame each."""


def one_pass() -> Taken:
    quoting = QuoteParameters(decide_interval_ms=0, volatility=0.5, gamma=0.05)
    market = builders.market(BTC, order_lots=10, max_position_lots=100, quoting=quoting)
    core = TradingCore(builders.core_parameters(market))
    translate = BinanceUsdmTranslator([BTC]).translate
    core.apply(builders.connected(0, venue=BTC.venue))
    core.apply(builders.account(0, symbol=BTC.id))
    taken: Taken = []
    for ts_local_ns, frame in recording():
        began = perf_counter_ns()
        events = translate(frame, ts_local_ns)
        decoded = perf_counter_ns()
        for event in events:
            core.apply(event)
        applied = perf_counter_ns()
        turn = core.decide(ts_local_ns)
        decided = perf_counter_ns()
        if KINDS["depth"] in frame[:40]:
            taken.append((decoded - began, applied - decoded, decided - applied))
        for reply in replies(turn, ts_local_ns):
            core.apply(reply)
    return taken


def replies(turn: Turn, at_ns: int) -> list[Event]:
    """What a venue that accepts everything at once would say."""
    said: list[Event] = []
    for approved in turn.released:
        command = approved.command
        if isinstance(command, PlaceOrder):
            said.append(OrderAccepted(command.instrument, at_ns, at_ns, command.client_id, "v"))
        elif isinstance(command, AmendOrder):
            said.append(
                OrderAmended(command.instrument, at_ns, at_ns, command.client_id, "v", command.ticks, command.lots)
            )
        elif isinstance(command, CancelOrder):
            said.append(OrderCanceled(command.instrument, at_ns, at_ns, command.client_id, "v", True, 0))
    return said


def test_depth_frame_to_decision(benchmark: Any) -> None:
    """p50 and p99 of the whole way and of its three steps; gate 17 and 250 us on the reference machine."""
    passes = [one_pass() for _ in range(PASSES)]
    best = [min(frame, key=sum) for frame in zip(*passes, strict=True)]
    whole = sorted(sum(steps) / 1000 for steps in best)
    half, most = len(whole) // 2, len(whole) * 99 // 100
    plain = best_us(bare("depth"), of_kind("depth"))
    print(f"\ndepth frame to decision: p50 {whole[half]:.2f} us, p99 {whole[most]:.1f}; {len(whole)} frames")
    for index, step in enumerate(("decode", "apply", "decide")):
        times = sorted(steps[index] / 1000 for steps in best)
        print(f"  {step:7} p50 {times[half]:.2f} us, p99 {times[most]:.1f}")
    print(f"  ratio to bare msgspec decoding ({plain[half]:.2f} us): {whole[half] / plain[half]:.2f}")
    benchmark.pedantic(one_pass, rounds=1)


def test_the_instrument_under_test_is_the_recordings(benchmark: Any) -> None:
    """A pass decides on every depth frame: without it the figures above would measure nothing."""
    taken = benchmark.pedantic(one_pass, rounds=1)
    assert len(taken) == len(of_kind("depth"))
    assert InstrumentId("binance-usdm:BTCUSDT") == BTC.id
