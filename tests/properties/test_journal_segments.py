"""Laws of a run's journal: any interleaving reads back in sequence, any changed byte is noticed and named."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from mm_daemon.domain.codec import Decided, Record
from mm_daemon.domain.events import DeadlineReached, ShutdownRequested, VenueTime
from mm_daemon.domain.instrument import Venue
from mm_daemon.journal.format import Family, FaultKind
from mm_daemon.journal.run_writer import RunWriter
from mm_daemon.journal.segments import compress, segments_of
from tests.unit.journal.runs import TRADE, flat, read, turns, write

RECORDS: st.SearchStrategy[Record] = st.sampled_from(
    [
        TRADE,
        Decided(1),
        DeadlineReached(1),
        VenueTime(Venue("sim"), 1, 2),
        ShutdownRequested(3, "why"),
        ShutdownRequested(4, "x" * 300),
    ]
)
UNITS = st.lists(st.lists(RECORDS, min_size=1, max_size=7), min_size=1, max_size=25)


@contextmanager
def a_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp())
    try:
        yield folder / "run"
    finally:
        shutil.rmtree(folder)


@settings(max_examples=60, deadline=None)
@given(
    units=UNITS,
    segment_bytes=st.integers(30, 2000),
    flushed=st.sets(st.integers(0, 24)),
    packed=st.sets(st.integers(0, 40)),
)
def test_any_interleaving_reads_back_in_sequence(
    units: list[list[Record]], segment_bytes: int, flushed: set[int], packed: set[int]
) -> None:
    """However the families mix, wherever segments end, whatever is compressed: the sequence is what was written."""
    with a_folder() as folder:
        writer = RunWriter(folder, segment_bytes=segment_bytes)
        for number, unit in enumerate(units):
            writer.append(unit)
            if number in flushed:
                writer.flush()
        writer.close()
        for number, segment in enumerate(segments_of(folder)):
            if number in packed:
                compress(segment.path)
        records, reader = read(folder)
        assert records == flat(units)
        assert (reader.fault, reader.good_bytes) == (None, reader.size_bytes)


@settings(max_examples=150, deadline=None)
@given(data=st.data(), packed=st.sets(st.integers(0, 20)), bits=st.integers(1, 255))
def test_any_changed_byte_is_noticed_and_named(data: st.DataObject, packed: set[int], bits: int) -> None:
    """In any segment of either family, compressed or not: damage, with the segment's name, and nothing false before."""
    units = turns(40)
    with a_folder() as folder:
        write(folder, units, segment_bytes=600).close()
        for number, segment in enumerate(segments_of(folder)):
            if number in packed:
                compress(segment.path)
        segment = data.draw(st.sampled_from(segments_of(folder)))
        whole = bytearray(segment.path.read_bytes())
        whole[data.draw(st.integers(0, len(whole) - 1))] ^= bits
        segment.path.write_bytes(whole)
        records, reader = read(folder)
        assert records == flat(units)[: len(records)]
        assert reader.fault is not None
        assert (reader.fault.kind, reader.fault.file) == (FaultKind.DAMAGED, segment.path.name)


@settings(max_examples=80, deadline=None)
@given(units=UNITS, data=st.data(), segment_bytes=st.integers(100, 2000))
def test_any_sudden_end_leaves_whole_turns(units: list[list[Record]], data: st.DataObject, segment_bytes: int) -> None:
    """Cut both families' last segments anywhere: what is read are the first turns, whole, and never more."""
    with a_folder() as folder:
        write(folder, units, segment_bytes=segment_bytes).close()
        for family in (Family.MARKET, Family.TRADE):
            last = segments_of(folder, family)[-1].path
            size = last.stat().st_size
            with last.open("r+b") as file:
                file.truncate(data.draw(st.integers(0, size)))
        records, reader = read(folder)
        ends = [len(flat(units[:count])) for count in range(len(units) + 1)]
        assert len(records) in ends
        assert records == flat(units)[: len(records)]
        if len(records) < ends[-1] and reader.fault is not None:
            assert reader.fault.kind is FaultKind.TORN
