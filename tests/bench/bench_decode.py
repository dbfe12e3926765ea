"""What it costs to turn one frame into events, beside msgspec's bare typed decoding of the same frame.

Per frame the best of five passes over the USD-M recording, each pass with a fresh translator whose book starts from the
recording's own snapshot; printed as p50 and p99 over frames, and as the ratio to the bare decoding in the same run.
"""

import gzip
from collections.abc import Callable
from functools import cache
from time import perf_counter_ns
from typing import Any

import msgspec
import pytest

from connectors.binance import wire
from connectors.binance.translate import BinanceUsdmTranslator
from connectors.recorded.reader import WireLog
from tests.shared import shared_file
from tests.unit.connectors.binance.frames import BTC

pytestmark = pytest.mark.bench

PASSES = 5
KINDS = {"depth": b"@depth", "trade": b'@trade"', "bookTicker": b'@bookTicker"'}
SHAPES: dict[str, Any] = {"depth": wire.Depth, "trade": wire.Trade, "bookTicker": wire.FuturesBookTicker}

Frames = list[tuple[int, bytes]]


@cache
def recording() -> Frames:
    return list(WireLog(shared_file("data/binance-usdm-btcusdt-20240808.gz")).frames())


def of_kind(kind: str, *, snapshot: bool = False) -> Frames:
    """The recording's frames of one kind, with its snapshot in its place or without."""
    return [
        (ts_local_ns, frame)
        for ts_local_ns, frame in recording()
        if KINDS[kind] in frame[:40] or (snapshot and frame.startswith(b'{"lastUpdateId"'))
    ]


def translating() -> Callable[[int, bytes], object]:
    translate = BinanceUsdmTranslator([BTC]).translate
    return lambda ts_local_ns, frame: translate(frame, ts_local_ns)


def bare(kind: str) -> Callable[[], Callable[[int, bytes], object]]:
    envelope = msgspec.defstruct("Envelope", [("stream", str), ("data", SHAPES[kind])], gc=False)
    decode = msgspec.json.Decoder(envelope, strict=False).decode
    return lambda: lambda _ts_local_ns, frame: decode(frame)


def best_us(make: Callable[[], Callable[[int, bytes], object]], frames: Frames) -> list[float]:
    """Sorted over the frames: the best of some passes of each, in microseconds."""
    best = [1 << 62] * len(frames)
    for _ in range(PASSES):
        step = make()
        for index, (ts_local_ns, frame) in enumerate(frames):
            began = perf_counter_ns()
            step(ts_local_ns, frame)
            best[index] = min(best[index], perf_counter_ns() - began)
    return sorted(took / 1000 for took in best)


@pytest.mark.parametrize("kind", list(KINDS))
def test_decode_beside_bare_msgspec(kind: str, benchmark: Any) -> None:
    """p50 and p99 of ours and of bare decoding, and what ours costs on top."""
    measured = of_kind(kind)
    with_snapshot = of_kind(kind, snapshot=True)  # one frame more, without which no book stands
    ours, plain = best_us(translating, with_snapshot), best_us(bare(kind), measured)
    half, most = len(plain) // 2, len(plain) * 99 // 100
    print(
        f"\n{kind}: {len(measured)} frames; ours p50 {ours[half]:.2f} us, p99 {ours[most]:.1f}; "
        f"bare msgspec p50 {plain[half]:.2f}, p99 {plain[most]:.1f}; ratio {ours[half] / plain[half]:.2f}"
    )

    def whole_pass(step: Callable[[int, bytes], object]) -> None:
        for ts_local_ns, frame in with_snapshot:
            step(ts_local_ns, frame)

    benchmark.pedantic(whole_pass, setup=lambda: ((translating(),), {}), rounds=3)


def test_whole_recording_to_events(benchmark: Any) -> None:
    """From the gzip file to events, every frame."""
    path = shared_file("data/binance-usdm-btcusdt-20240808.gz")

    def everything() -> int:
        translate = BinanceUsdmTranslator([BTC]).translate
        return sum(len(translate(frame, ts_local_ns)) for ts_local_ns, frame in WireLog(path).frames())

    assert benchmark.pedantic(everything, rounds=3) > 93_000
    with gzip.open(path) as lines:
        count = sum(1 for _ in lines)
    print(f"\nwhole recording: {count} frames in {benchmark.stats.stats.min:.3f} s")
