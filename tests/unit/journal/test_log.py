"""Journal files: what is written comes back, what is torn or damaged is named, nothing is overwritten."""

import os
import resource
import signal
import stat
from pathlib import Path

import pytest

from mm_daemon.domain.codec import Decided, Record
from mm_daemon.domain.decisions import Turn
from mm_daemon.domain.errors import JournalError
from mm_daemon.domain.events import DeadlineReached, PublicTrade, RunEnded, RunStarted, VenueTime
from mm_daemon.domain.instrument import InstrumentId, Venue
from mm_daemon.domain.orders import Side
from mm_daemon.journal.format import FRAME_BYTES, HEADER_BYTES, FaultKind
from mm_daemon.journal.log import JournalReader, JournalWriter, repair

TURNS: tuple[tuple[Record, ...], ...] = (
    (RunStarted(0, "0", "{}"), Decided(0)),
    (PublicTrade(InstrumentId("sim:X"), 1, 2, Side.SELL, 100, 5, 77), DeadlineReached(2), Decided(2)),
    (RunEnded(3, "over", True), Decided(3)),
)


def write(path: Path) -> bytes:
    writer = JournalWriter(path)
    for records in TURNS:
        writer.append(records)
    writer.close()
    return path.read_bytes()


def read(path: Path) -> tuple[list[Record], JournalReader]:
    with JournalReader(path) as reader:
        return [record for frame in reader for record in frame.records], reader


def test_records_come_back_with_their_numbers_and_places(tmp_path: Path) -> None:
    """A reader sees the records in order, each frame with its number and its offset."""
    data = write(tmp_path / "j")
    with JournalReader(tmp_path / "j") as reader:
        frames = list(reader)
    assert tuple(frame.records for frame in frames) == TURNS
    assert [frame.seq for frame in frames] == [0, 2, 5]
    assert frames[0].offset == HEADER_BYTES
    assert reader.fault is None
    assert reader.good_bytes == reader.size_bytes == len(data)


def test_a_turn_is_its_events_then_the_marker_then_the_answers(tmp_path: Path) -> None:
    """Events kept one by one leave with the turn they led to, in one frame."""
    writer = JournalWriter(tmp_path / "j")
    writer.event(DeadlineReached(1))
    writer.event(DeadlineReached(2))
    writer.turn(Turn(2))
    writer.close()
    with JournalReader(tmp_path / "j") as reader:
        assert [frame.records for frame in reader] == [(DeadlineReached(1), DeadlineReached(2), Decided(2))]


def test_events_of_an_unfinished_turn_are_kept_on_close(tmp_path: Path) -> None:
    """The event that broke the core is the one a person wants to see."""
    writer = JournalWriter(tmp_path / "j")
    writer.event(DeadlineReached(1))
    writer.close()
    assert read(tmp_path / "j")[0] == [DeadlineReached(1)]


def test_journal_is_private_and_never_overwritten(tmp_path: Path) -> None:
    """A second run cannot destroy the record of the first, and others cannot read it."""
    path = tmp_path / "j"
    data = write(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(JournalError, match="exists already"):
        JournalWriter(path)
    assert path.read_bytes() == data


def test_every_cut_leaves_the_good_part_and_a_torn_tail(tmp_path: Path) -> None:
    """Wherever a sudden death cut the file, whole frames are read, the rest is named, and repair leaves just them."""
    data = write(tmp_path / "whole")
    with JournalReader(tmp_path / "whole") as reader:
        starts = [frame.offset for frame in reader] + [len(data)]
    for length in range(HEADER_BYTES, len(data)):
        path = tmp_path / f"cut-{length}"
        path.write_bytes(data[:length])
        kept = max(start for start in starts if start <= length)
        records, reader = read(path)
        assert records == [record for turn in TURNS[: starts.index(kept)] for record in turn]
        assert reader.good_bytes == kept
        fault = repair(path)
        if length == kept:
            assert fault is None
        else:
            assert fault is not None
            assert (fault.offset, fault.kind) == (kept, FaultKind.TORN)
        assert path.read_bytes() == data[:kept]


def test_every_flipped_byte_is_damage_with_its_place(tmp_path: Path) -> None:
    """Any one changed byte is noticed, never taken for a torn tail, and named by the frame it lies in."""
    data = write(tmp_path / "whole")
    with JournalReader(tmp_path / "whole") as reader:
        starts = [0] + [frame.offset for frame in reader]
    path = tmp_path / "flipped"
    for position in range(len(data)):
        for bits in (0x01, 0x80, 0xFF):
            changed = bytearray(data)
            changed[position] ^= bits
            path.write_bytes(changed)
            _, reader = read(path)
            assert reader.fault is not None, position
            assert reader.fault.kind is FaultKind.DAMAGED
            assert reader.fault.offset == max(start for start in starts if start <= position)


def test_damage_is_not_cut(tmp_path: Path) -> None:
    """Bytes behind damage may be good: repair says so and leaves the file alone."""
    path = tmp_path / "j"
    data = bytearray(write(path))
    data[HEADER_BYTES + FRAME_BYTES + 3] ^= 0x10
    path.write_bytes(data)
    with pytest.raises(JournalError, match=f"damaged at byte {HEADER_BYTES}"):
        repair(path)
    assert path.read_bytes() == data


def test_a_missing_frame_is_damage(tmp_path: Path) -> None:
    """Frames that are whole but do not follow each other are not a journal."""
    data = write(tmp_path / "whole")
    with JournalReader(tmp_path / "whole") as reader:
        second, third = [frame.offset for frame in reader][1:]
    (tmp_path / "gap").write_bytes(data[:second] + data[third:])
    records, reader = read(tmp_path / "gap")
    assert records == list(TURNS[0])
    assert reader.fault is not None
    assert (reader.fault.offset, reader.fault.kind) == (second, FaultKind.DAMAGED)


def test_a_full_disk_is_a_journal_error_for_good(tmp_path: Path) -> None:
    """After a failed write the writer accepts nothing more, and what was whole before can still be read."""
    path = tmp_path / "j"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        writer = JournalWriter(path)
        writer.append(TURNS[0])
        writer.flush()
        whole = path.stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (whole + 20, hard))
        writer.append(TURNS[1])
        with pytest.raises(JournalError, match="cannot be written"):
            writer.flush()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    with pytest.raises(JournalError):
        writer.flush()
    with pytest.raises(JournalError):
        writer.sync()
    writer.close()
    records, reader = read(path)
    assert records == list(TURNS[0])
    assert reader.fault is not None
    assert (reader.fault.offset, reader.fault.kind) == (whole, FaultKind.TORN)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """A journal in a directory that does not exist is an error with its path, at once."""
    with pytest.raises(JournalError, match="nowhere"):
        JournalWriter(tmp_path / "nowhere" / "j")
    with pytest.raises(JournalError, match="absent"):
        JournalReader(tmp_path / "absent")


def test_a_turn_larger_than_a_frame_is_split(tmp_path: Path) -> None:
    """A burst is kept in several frames; a single record that fits no frame is refused by its number."""
    writer = JournalWriter(tmp_path / "j")
    big = RunStarted(0, "0", "x" * 9_000_000)
    writer.append([big, big])
    with pytest.raises(JournalError, match="record 2 takes"):
        writer.append([RunStarted(0, "0", "x" * 17_000_000)])
    writer.close()
    with JournalReader(tmp_path / "j") as reader:
        assert [(frame.seq, frame.records) for frame in reader] == [(0, (big,)), (1, (big,))]


def test_child_processes_do_not_inherit_the_file(tmp_path: Path) -> None:
    """The journal's descriptor closes when another program is started."""
    writer = JournalWriter(tmp_path / "j")
    (fd,) = [name for name in os.listdir("/proc/self/fd") if _points_to(name, writer.path)]
    assert not os.get_inheritable(int(fd))
    writer.close()
    writer.close()


def _points_to(fd: str, path: Path) -> bool:
    try:
        return os.readlink(f"/proc/self/fd/{fd}") == str(path)
    except FileNotFoundError:
        return False


def test_first_number_goes_on_from_an_earlier_segment(tmp_path: Path) -> None:
    """One sequence may run through several files."""
    writer = JournalWriter(tmp_path / "j", first_seq=100)
    writer.append([VenueTime(Venue("sim"), 1, 2)])
    writer.close()
    with JournalReader(tmp_path / "j") as reader:
        assert [frame.seq for frame in reader] == [100]
