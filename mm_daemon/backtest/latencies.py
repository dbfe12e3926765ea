"""The latencies that a run met, from its journal: how long its commands and their answers took, by time.

    entry     release of the command to its arrival at the venue
    response  the venue's answer to our learning of it
    feed      market event at the venue to our learning of it, the last one before the release

The sum of the first two is measured; where it divides is known as well as the venue's clock. That clock is taken to be
ahead by so much that the fastest market event took `floor_ns`, as simulated venues take it; a division that would make
either part negative, or an answer without a venue time, is put at the nearest possible place, or in the middle.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, get_args

from mm_daemon.domain.codec import Decided
from mm_daemon.domain.decisions import AmendOrder, ApprovedCommand, CancelOrder, PlaceOrder
from mm_daemon.domain.events import (
    MarketEvent,
    OrderAccepted,
    OrderAmended,
    OrderAmendRejected,
    OrderCanceled,
    OrderCancelRejected,
    OrderRejected,
)
from mm_daemon.domain.instrument import Venue, venue_of
from mm_daemon.domain.orders import ClientOrderId
from mm_daemon.journal.run_reader import open_journal
from mm_daemon.simulation.models import NS_PER_MS, MeasuredRow

HEADER = "time_ns,entry_ms,response_ms,feed_ms"
_MARKET = get_args(MarketEvent)
_ANSWERING = (
    OrderAccepted,
    OrderRejected,
    OrderAmended,
    OrderAmendRejected,
    OrderCanceled,
    OrderCancelRejected,
)
_ANSWERS: dict[type, type] = {
    OrderAccepted: PlaceOrder,
    OrderRejected: PlaceOrder,
    OrderAmended: AmendOrder,
    OrderAmendRejected: AmendOrder,
    OrderCanceled: CancelOrder,
    OrderCancelRejected: CancelOrder,
}


class _Answered(NamedTuple):
    venue: Venue
    released_ns: int
    ts_venue_ns: int
    ts_local_ns: int
    feed: tuple[int, int] | None
    """Venue and local time of the market event seen last before the release."""


def latencies(path: Path, *, floor_ns: int = 2 * NS_PER_MS, venue: str | None = None) -> list[MeasuredRow]:
    """A row for each answered command of one venue, or of all, in order of release. Raises JournalError."""
    answered: list[_Answered] = []
    least: dict[Venue, int] = {}
    """Least local minus venue time of a venue's market events."""
    for one in _answered(path, least):
        if venue is None or one.venue == venue:
            answered.append(one)
    answered.sort(key=lambda one: one.released_ns)
    return [_row(one, least.get(one.venue), floor_ns) for one in answered]


def written(rows: list[MeasuredRow], *, feed: bool = False) -> Iterator[str]:
    """The lines of a CSV as `paper.latency_file` reads it; with `feed`, backtests take that from it too."""
    yield HEADER if feed else HEADER.removesuffix(",feed_ms")
    for row in rows:
        line = f"{row.time_ns},{_ms(row.entry_ns)},{_ms(row.response_ns)}"
        yield f"{line},{'' if row.feed_ns is None else _ms(row.feed_ns)}" if feed else line


def _answered(path: Path, least: dict[Venue, int]) -> Iterator[_Answered]:
    released: dict[tuple[type, ClientOrderId], tuple[int, tuple[int, int] | None]] = {}
    seen: dict[Venue, tuple[int, int]] = {}
    now_ns = 0
    with open_journal(path) as reader:
        for frame in reader:
            for record in frame.records:
                if isinstance(record, Decided):
                    now_ns = record.now_ns
                elif isinstance(record, _MARKET):
                    if record.ts_venue_ns > 0:
                        venue = venue_of(record.instrument)
                        offset = record.ts_local_ns - record.ts_venue_ns
                        least[venue] = min(least.get(venue, offset), offset)
                        seen[venue] = record.ts_venue_ns, record.ts_local_ns
                elif isinstance(record, ApprovedCommand):
                    command = record.command
                    if isinstance(command, PlaceOrder | AmendOrder | CancelOrder):
                        key = type(command), command.client_id
                        released[key] = now_ns, seen.get(venue_of(command.instrument))
                elif isinstance(record, _ANSWERING):
                    answer = released.pop((_ANSWERS[type(record)], record.client_id), None)
                    if answer is not None:
                        at_ns, feed = answer
                        yield _Answered(
                            venue_of(record.instrument), at_ns, record.ts_venue_ns, record.ts_local_ns, feed
                        )


def _row(one: _Answered, least_ns: int | None, floor_ns: int) -> MeasuredRow:
    whole_ns = max(one.ts_local_ns - one.released_ns, 0)
    entry_ns = whole_ns // 2
    feed_ns = None
    if least_ns is not None:
        ahead_ns = least_ns - floor_ns
        if one.ts_venue_ns > 0:
            entry_ns = min(max(one.ts_venue_ns + ahead_ns - one.released_ns, 0), whole_ns)
        if one.feed is not None:
            feed_ns = max(one.feed[1] - one.feed[0] - ahead_ns, 0)
    return MeasuredRow(one.released_ns, entry_ns, whole_ns - entry_ns, feed_ns)


def _ms(ns: int) -> str:
    return f"{ns / NS_PER_MS:.6f}".rstrip("0").rstrip(".")
