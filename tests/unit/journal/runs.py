"""Small runs for the tests of segments."""

from pathlib import Path

from mm_daemon.domain.codec import Decided, Record
from mm_daemon.domain.events import DeadlineReached, PublicTrade, RunEnded, RunStarted, ShutdownRequested, VenueTime
from mm_daemon.domain.instrument import InstrumentId, Venue
from mm_daemon.domain.orders import Side
from mm_daemon.journal.run_reader import RunReader
from mm_daemon.journal.run_writer import RunWriter

Unit = list[Record]

TRADE = PublicTrade(InstrumentId("sim:X"), 1, 2, Side.SELL, 100, 5, 77)


def turns(count: int) -> list[Unit]:
    """Turns of all mixtures: trade before market, answers behind the marker, market alone."""
    units: list[Unit] = [[RunStarted(0, "0", "{}"), Decided(0)]]
    for number in range(1, count - 1):
        now_ns = number * 1_000_000
        unit: Unit = [TRADE, Decided(now_ns)]
        if number % 3 == 0:
            unit = [VenueTime(Venue("sim"), now_ns, now_ns), *unit]
        if number % 2 == 0:
            unit = [DeadlineReached(now_ns), *unit, ShutdownRequested(now_ns, "an answer's place")]
        units.append(unit)
    units.append([RunEnded(count * 1_000_000, "over", True), Decided(count * 1_000_000)])
    return units


def write(folder: Path, units: list[Unit], *, segment_bytes: int = 1 << 20) -> RunWriter:
    """A run with every unit flushed, not closed."""
    writer = RunWriter(folder, segment_bytes=segment_bytes)
    for unit in units:
        writer.append(unit)
        writer.flush()
    return writer


def read(folder: Path) -> tuple[list[Record], RunReader]:
    reader = RunReader(folder)
    return [record for frame in reader for record in frame.records], reader


def flat(units: list[Unit]) -> list[Record]:
    return [record for unit in units for record in unit]
