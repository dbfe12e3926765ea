"""Frames as they stand in the recordings: their kinds, and the same ones later.

Imports nothing of pytest, so that the processes whose memory or instructions are counted stay small.
"""

import re

KINDS = ("depth", "trade", "bookTicker")
"""Kinds of frames of the USD-M recording; besides them it holds one REST snapshot."""

Frames = list[tuple[int, bytes]]
"""Local receive time in ns, and the frame as received."""

_MARKS = {"depth": b"@depth", "trade": b'@trade"', "bookTicker": b'@bookTicker"'}
_MARK_WITHIN = 40
_BLOCK_TIME = re.compile(rb'(?<="time":)\d+')
_MS = 1_000_000
PAUSE_NS = 500 * _MS
"""Between one loop of a recording and the next."""


def kind_of(frame: bytes) -> str:
    """One of `KINDS`, or "snapshot"."""
    head = frame[:_MARK_WITHIN]
    return next((kind for kind, mark in _MARKS.items() if mark in head), "snapshot")


def block_times_later(frames: Frames, loop: int) -> Frames:
    """Hyperliquid frames the `loop`-th time over: block and receive times go on from the loop before."""
    later_ms = loop * ((frames[-1][0] - frames[0][0] + PAUSE_NS) // _MS)

    def later(found: re.Match[bytes]) -> bytes:
        return b"%d" % (int(found[0]) + later_ms)

    return [(ts_local_ns + later_ms * _MS, _BLOCK_TIME.sub(later, frame)) for ts_local_ns, frame in frames]
