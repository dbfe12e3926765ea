"""Feeds for backtests: events in memory, and a recording looped for as long as wanted.

Imports nothing of pytest, so that the process whose memory is counted stays small.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from connectors.binance.translate import BinanceUsdmTranslator
from connectors.recorded.reader import WireLog
from mm_daemon.domain.events import MarketEvent
from tests.bench.frames import PAUSE_NS
from tests.unit.connectors.binance.frames import BTC

_NUMBERS = re.compile(rb'"(E|T|U|u|pu|t|lastUpdateId)":(\d+)')
_TIMES = (b"E", b"T")
_NS_PER_MS = 1_000_000
_IDS_APART = 1_000_000_000
"""More than the ids of the recording span."""


class InMemory:
    """Decoded events, played as a feed."""

    def __init__(self, events: Sequence[MarketEvent]) -> None:
        self._events = events

    def events(self) -> Iterator[MarketEvent]:
        return iter(self._events)


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
            now_ns = ts_local_ns + later_ms * _NS_PER_MS
            if now_ns >= end_ns:
                return
            yield from translate(_NUMBERS.sub(later, frame) if later_ms else frame, now_ns)
        later_ms += (last_ns - first_ns + PAUSE_NS) // _NS_PER_MS
        later_ids += _IDS_APART
