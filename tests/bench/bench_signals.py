"""What all estimators together cost a book update and a print, through the USD-M recording in order.

Each step the best of several passes; printed as mean and p50 by kind of frame. Gates of 3 us a depth frame and 1.2 us a
trade are for the reference machine.
"""

from time import perf_counter_ns
from typing import Any

import pytest

from connectors.binance.translate import BinanceUsdmTranslator
from mm_daemon.domain.book import OrderBook
from mm_daemon.domain.events import BookDelta, PublicTrade, TopOfBook
from mm_daemon.engine.signals.market_signals import MarketSignals, SignalParameters
from tests.bench.bench_decode import PASSES, recording
from tests.unit.connectors.binance.frames import BTC

pytestmark = pytest.mark.bench

Step = tuple[str, tuple[Any, ...]]


def steps() -> list[Step]:
    """What the estimators are told, by the kind of event that told it."""
    translate = BinanceUsdmTranslator([BTC]).translate
    book = OrderBook()
    told: list[Step] = []
    for ts_ns, frame in recording():
        for event in translate(frame, ts_ns):
            if isinstance(event, PublicTrade):
                told.append(("trade", (ts_ns, event.ts_venue_ns, event.aggressor > 0, event.ticks, event.lots)))
                continue
            book.apply(event)
            if book.trusted and isinstance(event, BookDelta | TopOfBook):
                touch = (ts_ns, book.bid_ticks, book.bid_lots, book.ask_ticks, book.ask_lots)
                told.append(("depth" if isinstance(event, BookDelta) else "top", touch))
    return told


def fresh() -> MarketSignals:
    unit = float(BTC.tick * BTC.lot * BTC.multiplier)
    return MarketSignals(SignalParameters(intensity_s=60.0, kyle_s=120.0), order_lots=1, quote_per_tick_lot=unit)


def live(told: list[Step]) -> MarketSignals:
    signals = fresh()
    for kind, values in told:
        (signals.on_trade if kind == "trade" else signals.on_book)(*values)
    return signals


def test_signals_per_frame(benchmark: Any) -> None:
    """Mean and p50 by kind of frame, the clock's own cost taken off."""
    told = steps()
    empty = min(-perf_counter_ns() + perf_counter_ns() for _ in range(10_000))
    best = [1 << 62] * len(told)
    for _ in range(PASSES):
        signals = fresh()
        for index, (kind, values) in enumerate(told):
            step = signals.on_trade if kind == "trade" else signals.on_book
            began = perf_counter_ns()
            step(*values)
            best[index] = min(best[index], perf_counter_ns() - began)
    for kind in ("depth", "top", "trade"):
        times = sorted(
            (took - empty) / 1000 for took, (told_kind, _) in zip(best, told, strict=True) if told_kind == kind
        )
        mean, half, most = sum(times) / len(times), times[len(times) // 2], times[len(times) * 99 // 100]
        print(f"\n{kind}: {len(times)} frames; mean {mean:.2f} us, p50 {half:.2f}, p99 {most:.2f}")
    benchmark.pedantic(live, args=(told,), rounds=3)
    print(f"all {len(told)} steps: {benchmark.stats.stats.min / len(told) * 1e6:.2f} us each")


def test_every_signal_was_at_work(benchmark: Any) -> None:
    """Over the recording each estimator comes to a value: without it the figures above would measure nothing."""
    signals = benchmark.pedantic(live, args=(steps(),), rounds=1)
    assert signals.regime.fast.sigma_bps is not None
    assert signals.order_flow.value is not None
    assert signals.momentum.trend_bps is not None
    assert signals.microprice.moves > 100
    assert signals.intensity.n_eff > 100
    assert signals.size_outlier.seen > 1000
    assert signals.vpin.full > 0
