"""The journal of a run: two families, one sequence, rotation, torn tails, damage with its name."""

import itertools
import stat
from pathlib import Path

import pytest

from mm_daemon.domain.codec import Decided
from mm_daemon.domain.errors import JournalError
from mm_daemon.domain.events import DeadlineReached, RunStarted, ShutdownRequested
from mm_daemon.journal.disk import Disk
from mm_daemon.journal.format import Family, FaultKind
from mm_daemon.journal.log import JournalReader
from mm_daemon.journal.run_reader import FamilyReader, RunReader, repair_run
from mm_daemon.journal.run_writer import RunWriter
from mm_daemon.journal.segments import segments_of
from tests.unit.journal.runs import TRADE, flat, read, turns, write


def test_both_families_read_back_as_one_sequence(tmp_path: Path) -> None:
    """Records come back in their order and with their numbers, whichever file they lie in."""
    units = turns(40)
    write(tmp_path / "run", units).close()
    with RunReader(tmp_path / "run") as reader:
        frames = list(reader)
    assert [record for frame in frames for record in frame.records] == flat(units)
    seqs = [seq for frame in frames for seq in range(frame.seq, frame.seq + len(frame.records))]
    assert seqs == list(range(len(flat(units))))
    assert reader.fault is None
    assert reader.good_bytes == reader.size_bytes
    assert reader.kept_from == 0


def test_trade_family_alone_holds_what_a_restart_needs(tmp_path: Path) -> None:
    """Without market data nothing is missing of orders and control."""
    write(tmp_path / "run", turns(40)).close()
    for segment in segments_of(tmp_path / "run", Family.MARKET):
        segment.path.unlink()
    trade = FamilyReader(tmp_path / "run", Family.TRADE)
    records = [record for frame in trade for record in frame.records]
    assert isinstance(records[0], RunStarted)
    assert trade.fault is None
    _, reader = read(tmp_path / "run")
    assert (reader.kept_from, reader.fault) == (None, None)


def test_segments_are_closed_at_their_size_and_numbered(tmp_path: Path) -> None:
    """A full segment is followed by the next of its family; together they are the run."""
    units = turns(60)
    writer = write(tmp_path / "run", units, segment_bytes=500)
    writer.sync()
    market, trade = writer.open_segments
    assert (market.number > 3, trade.number > 1) == (True, True)
    assert read(tmp_path / "run")[0] == flat(units)
    writer.close()
    assert [s.number for s in segments_of(tmp_path / "run", Family.MARKET)] == list(range(1, market.number + 1))
    for segment in segments_of(tmp_path / "run")[:-2]:
        assert segment.path.stat().st_size < 800


def test_journal_is_private_and_never_overwritten(tmp_path: Path) -> None:
    """Others cannot read it and a second run cannot write into it."""
    write(tmp_path / "run", turns(5)).close()
    assert stat.S_IMODE((tmp_path / "run").stat().st_mode) == 0o700
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in (tmp_path / "run").iterdir())
    with pytest.raises(JournalError, match="exists already"):
        RunWriter(tmp_path / "run")


def test_death_between_the_two_writes_is_a_torn_tail(tmp_path: Path) -> None:
    """The market half of a turn without its trade half is not given to anyone; all before it is, and it is named."""
    units = turns(30)
    for last in range(2, len(units)):
        folder = tmp_path / f"run-{last}"
        writer = write(folder, units[:last])
        trade = segments_of(folder, Family.TRADE)[0].path
        before = trade.stat().st_size
        writer.append(units[last])
        writer.flush()
        halved = trade.stat().st_size > before
        with trade.open("r+b") as file:
            file.truncate(before)
        records, reader = read(folder)
        if halved:
            assert records == flat(units[:last])
            assert reader.fault is not None
            assert (reader.fault.kind, reader.fault.file) == (FaultKind.TORN, trade.name)
        else:
            assert (records, reader.fault) == (flat(units[: last + 1]), None)


def test_trade_records_beyond_lost_market_data_are_a_torn_tail(tmp_path: Path) -> None:
    """A power cut may keep the later write and lose the earlier one: whole turns are read, the rest is named."""
    units = turns(30)
    write(tmp_path / "run", units).close()
    market = segments_of(tmp_path / "run", Family.MARKET)[0].path
    whole = market.read_bytes()
    for size in range(24, len(whole), 7):
        market.write_bytes(whole[:size])
        records, reader = read(tmp_path / "run")
        ends = [len(flat(units[:count])) for count in range(len(units) + 1)]
        assert len(records) in ends
        assert records == flat(units)[: len(records)]
        assert reader.fault is not None
        assert (reader.fault.kind, reader.fault.file) == (FaultKind.TORN, market.name)


def test_repair_cuts_half_written_frames_of_both_families(tmp_path: Path) -> None:
    """After a death in the middle of a write the files end with whole frames again, and what was cut is told."""
    write(tmp_path / "run", turns(30)).close()
    for segment in segments_of(tmp_path / "run"):
        with segment.path.open("r+b") as file:
            file.truncate(segment.path.stat().st_size - 3)
    assert {fault.file for fault in repair_run(tmp_path / "run")} == {"market-000001.mmj", "trade-000001.mmj"}
    assert repair_run(tmp_path / "run") == []
    assert FamilyReader(tmp_path / "run", Family.TRADE).fault is None


def test_damaged_market_data_do_not_keep_a_run_from_being_mended(tmp_path: Path) -> None:
    """A restart needs the trade family alone: damage there stops it, in market data it is told and left as it is."""
    write(tmp_path / "run", turns(30)).close()
    market, trade = (segments_of(tmp_path / "run", family)[0].path for family in (Family.MARKET, Family.TRADE))
    changed = bytearray(market.read_bytes())
    changed[200] ^= 1
    market.write_bytes(changed)
    (fault,) = repair_run(tmp_path / "run")
    assert (fault.kind, fault.file) == (FaultKind.DAMAGED, market.name)
    assert market.read_bytes() == changed
    changed = bytearray(trade.read_bytes())
    changed[200] ^= 1
    trade.write_bytes(changed)
    with pytest.raises(JournalError, match="damaged"):
        repair_run(tmp_path / "run")


def test_a_lost_segment_in_the_middle_is_damage(tmp_path: Path) -> None:
    """Only retention deletes, and only from the front: any other hole is named by the segment behind it."""
    writer = write(tmp_path / "run", turns(60), segment_bytes=500)
    writer.close()
    (tmp_path / "run" / "market-000003.mmj").unlink()
    _, reader = read(tmp_path / "run")
    assert reader.fault is not None
    assert (reader.fault.kind, reader.fault.file) == (FaultKind.DAMAGED, "market-000004.mmj")


def test_a_segment_cut_short_although_another_follows_is_damage(tmp_path: Path) -> None:
    """At any byte, even between two frames: a death cannot have done that."""
    write(tmp_path / "run", turns(60), segment_bytes=500).close()
    path = tmp_path / "run" / "market-000002.mmj"
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        _, reader = read(tmp_path / "run")
        assert reader.fault is not None
        assert reader.fault.kind is FaultKind.DAMAGED, size


def test_a_family_that_lost_its_end_long_ago_is_damage(tmp_path: Path) -> None:
    """Minutes of one family without the other are not a torn tail."""
    writer = write(tmp_path / "run", turns(4))
    for second in range(100):
        writer.append([TRADE, Decided(second * 1_000_000_000), ShutdownRequested(0, "an answer's place")])
        writer.flush()
    writer.close()
    trade = segments_of(tmp_path / "run", Family.TRADE)[0].path
    whole = trade.read_bytes()
    kinds = {}
    for size in (len(whole) // 5, len(whole) - 60):
        trade.write_bytes(whole[:size])
        _, reader = read(tmp_path / "run")
        assert reader.fault is not None
        kinds[size < len(whole) // 2] = reader.fault.kind
    assert kinds == {True: FaultKind.DAMAGED, False: FaultKind.TORN}


def test_deleted_beginnings_are_told_from_damage(tmp_path: Path) -> None:
    """Where market segments were deleted in front, the reader says from where on nothing is missing."""
    units = turns(60)
    write(tmp_path / "run", units, segment_bytes=500).close()
    for number in (1, 2, 3):
        (tmp_path / "run" / f"market-{number:06d}.mmj").unlink()
    records, reader = read(tmp_path / "run")
    assert reader.fault is None
    assert reader.kept_from is not None
    assert 0 < reader.kept_from < len(flat(units))
    kept = len(flat(units)) - reader.kept_from
    assert records[-kept:] == flat(units)[-kept:]
    assert isinstance(records[0], RunStarted)


def test_a_failed_write_is_final(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After an error nothing more is accepted, and what was whole can still be read."""
    units = turns(20)
    writer = write(tmp_path / "run", units[:10])

    def no_space(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.write", no_space)
        writer.append(units[10])
        with pytest.raises(JournalError, match="No space left"):
            writer.flush()
    with pytest.raises(JournalError):
        writer.flush()
    writer.close()
    assert read(tmp_path / "run")[0] == flat(units[:10])


def test_records_that_cannot_be_written_leave_no_trace(tmp_path: Path) -> None:
    """A turn with a record too large for a frame enters no buffer, and the numbers stay."""
    writer = write(tmp_path / "run", turns(3))
    before = writer.seq, writer.buffered_bytes
    with pytest.raises(JournalError, match="more than"):
        writer.append([DeadlineReached(5), RunStarted(5, "0", "x" * 17_000_000)])
    assert (writer.seq, writer.buffered_bytes) == before
    writer.append([RunStarted(5, "0", "x" * 9_000_000), RunStarted(5, "0", "x" * 9_000_000)])
    writer.close()
    with JournalReader(tmp_path / "run" / "trade-000001.mmj") as reader:
        assert [frame.rest for frame in reader][-2:] == [1, 0]
    assert read(tmp_path / "run")[1].fault is None


def test_a_folder_without_segments_is_no_journal(tmp_path: Path) -> None:
    """Said plainly."""
    with pytest.raises(JournalError, match="no segments"):
        RunReader(tmp_path)
    with pytest.raises(JournalError, match="cannot be read"):
        RunReader(tmp_path / "absent")


class Noting(Disk):
    """The disk itself, and the order in which segments were begun and waited for."""

    def __init__(self) -> None:
        self.names: dict[int, str] = {}
        self.calls: list[tuple[str, str]] = []

    def create(self, path: Path, flags: int) -> int:
        fd = super().create(path, flags)
        self.names[fd] = path.name
        self.calls.append(("begun", path.name))
        return fd

    def sync(self, fd: int) -> None:
        super().sync(fd)
        self.calls.append(("on the disk", self.names[fd]))


def test_a_trade_segment_is_on_the_disk_before_the_next_begins(tmp_path: Path) -> None:
    """A power cut must not take the end of one and leave the one behind it: a restart could not go on from there."""
    disk = Noting()
    writer = RunWriter(tmp_path / "run", segment_bytes=500, disk=disk)
    for records in turns(40):
        writer.append(records)
        writer.flush()
    trade = [name for what, name in disk.calls if what == "begun" and name.startswith("trade")]
    assert len(trade) > 3
    for before, name in itertools.pairwise(trade):
        assert disk.calls.index(("on the disk", before)) < disk.calls.index(("begun", name))
    writer.close()
