"""Frames of the recordings by kind, and a recording looped for as long as wanted.

Imports nothing of pytest, so that the processes whose memory or instructions are counted stay small.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from connectors.binance.translate import BinanceUsdmTranslator
from connectors.recorded.reader import WireLog
from mm_daemon.domain.events import MarketEvent
from tests.unit.connectors.binance.frames import BTC

KINDS = ("depth", "trade", "bookTicker")
"""Kinds of frames of the USD-M recording; besides them it holds one REST snapshot."""

Frames = list[tuple[int, bytes]]
"""Local receive time in ns, and the frame as received."""

_MARKS = {"depth": b"@depth", "trade": b'@trade"', "bookTicker": b'@bookTicker"'}
_MARK_WITHIN = 40
_BLOCK_TIME = re.compile(rb'(?<="time":)\d+')
_MS = 1_000_000
_PAUSE_NS = 500 * _MS
_NUMBERS = re.compile(rb'"(E|T|U|u|pu|t|lastUpdateId)":(\d+)')
_TIMES = (b"E", b"T")
_IDS_APART = 1_000_000_000
"""More than the ids of the recording span."""


def kind_of(frame: bytes) -> str:
    """One of `KINDS`, or "snapshot"."""
    head = frame[:_MARK_WITHIN]
    return next((kind for kind, mark in _MARKS.items() if mark in head), "snapshot")


def block_times_later(frames: Frames, loop: int) -> Frames:
    """Hyperliquid frames the `loop`-th time over: block and receive times go on from the loop before."""
    later_ms = loop * ((frames[-1][0] - frames[0][0] + _PAUSE_NS) // _MS)

    def later(found: re.Match[bytes]) -> bytes:
        return b"%d" % (int(found[0]) + later_ms)

    return [(ts_local_ns + later_ms * _MS, _BLOCK_TIME.sub(later, frame)) for ts_local_ns, frame in frames]


def looped(path: Path, hours: float) -> Iterator[MarketEvent]:
    """Some hours of market made of a USD-M recording, again and again, as one translator of a long life sees them.

    Times and ids of the frames go on from the loop before. Where one loop ends and the next begins the deltas do not
    chain: the book is lost, and found again with the loop's snapshot. Read from the file each time, so that nothing
    but the event in hand is kept.
    """
    translate = BinanceUsdmTranslator([BTC]).translate
    first_ns = end_ns = last_ns = later_ms = later_ids = 0

    def later(found: re.Match[bytes]) -> bytes:
        name, number = found[1], int(found[2])
        return b'"%b":%d' % (name, number + (later_ms if name in _TIMES else later_ids))

    while True:
        for ts_local_ns, frame in WireLog(path).frames():
            if not first_ns:
                first_ns, end_ns = ts_local_ns, ts_local_ns + round(hours * 3.6e12)
            last_ns = ts_local_ns
            now_ns = ts_local_ns + later_ms * _MS
            if now_ns >= end_ns:
                return
            yield from translate(_NUMBERS.sub(later, frame) if later_ms else frame, now_ns)
        later_ms += (last_ns - first_ns + _PAUSE_NS) // _MS
        later_ids += _IDS_APART
