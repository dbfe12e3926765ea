"""The shared recordings that everything here is measured on, as frames and as events; read once a process."""

from functools import cache

from connectors.binance.translate import BinanceUsdmTranslator
from connectors.recorded.reader import WireLog
from mm_daemon.domain.events import MarketEvent
from tests.bench.frames import Frames, kind_of
from tests.shared import shared_file
from tests.unit.connectors.binance.frames import BTC

USDM = "data/binance-usdm-btcusdt-20240808.gz"
HYPERLIQUID = "data/hyperliquid-btc-20250126.gz"
FRAMES = 93_954
"""Lines of the USD-M recording, its snapshot included."""
ROWS = 466_575
"""Its level changes and trades, as our translator hands them on. `performance.md` counts 466,501: 0.02 % fewer."""


@cache
def usdm() -> Frames:
    """Every frame of the USD-M recording."""
    return list(WireLog(shared_file(USDM)).frames())


@cache
def of_kind(kind: str, *, snapshot: bool = False) -> Frames:
    """The USD-M recording's frames of one kind, with its snapshot in its place or without."""
    wanted = {kind, "snapshot"} if snapshot else {kind}
    return [(ts_local_ns, frame) for ts_local_ns, frame in usdm() if kind_of(frame) in wanted]


@cache
def decoded() -> tuple[MarketEvent, ...]:
    """Every event of the USD-M recording."""
    translate = BinanceUsdmTranslator([BTC]).translate
    return tuple(event for ts_local_ns, frame in usdm() for event in translate(frame, ts_local_ns))


@cache
def hyperliquid_books() -> Frames:
    """The 46 l2Book frames of the Hyperliquid recording."""
    frames = WireLog(shared_file(HYPERLIQUID)).frames()
    return [(ts_local_ns, frame) for ts_local_ns, frame in frames if frame.startswith(b'{"channel":"l2Book"')]
