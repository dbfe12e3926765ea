"""Segments on the disk: by hour, bounded, continued after any death, never silently short."""

import os
import subprocess
import sys
import tracemalloc
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from zlib import crc32

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.recorded.reader import BREAK
from connectors.recorded.segments import SegmentLog
from mm_daemon.domain.errors import ConfigError, JournalError
from mm_daemon.domain.instrument import Instrument, Venue
from mm_daemon.ports.recording import CLOSED, INDEX, RecordingIndex, read_index, segments_in
from mm_daemon.runtime.recording.segments import SegmentFolder
from mm_daemon.runtime.recording.writer import RecordingWriter, WhenFull
from tests.shared import ROOT

HOUR = 3_600_000_000_000
START = 1_700_000_000_000_000_000 // HOUR * HOUR
BTC = Instrument(venue=Venue("v"), symbol="BTC", base="BTC", quote="USD", tick=Decimal("0.1"), lot=Decimal("0.001"))


def opened(folder: Path, *, segment_bytes_max: int = 1 << 30, **keys: object) -> SegmentFolder:
    head = RecordingIndex(venue="v", wire="w", instruments=(BTC,))
    return SegmentFolder(folder, msgspec.structs.replace(head, **keys), segment_bytes_max=segment_bytes_max)


def read(folder: Path) -> list[tuple[int, bytes]]:
    return [(at_ns - START, frame) for at_ns, frame in SegmentLog(folder, "stop").frames()]


def write(folder: SegmentFolder, times: Sequence[int], size: int = 10) -> None:
    for at_ns in times:
        folder.append(START + at_ns, b'{"n":%d,"x":"%b"}' % (at_ns, os.urandom(size).hex().encode()))


@given(
    st.lists(
        st.tuples(st.integers(0, 2 * HOUR), st.binary(max_size=40) | st.sampled_from([b"{}\n", b"# 1 closed", b" {}"])),
        max_size=30,
    ),
    st.lists(st.booleans(), min_size=30, max_size=30),
)
def test_every_frame_comes_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, frames: list[tuple[int, bytes]], flushes: list[bool]
) -> None:
    """Any bytes, any chunks, several segments and restarts."""
    path = tmp_path_factory.mktemp("recording") / "v"
    frames.sort(key=lambda each: each[0])
    folder = opened(path)
    for (at_ns, frame), flush in zip(frames, flushes, strict=False):
        folder.append(START + at_ns, frame)
        if flush:
            folder.close()
            folder = opened(path)
    folder.close()
    if frames:
        assert read(path) == [(at_ns, frame) for at_ns, frame in frames]
        assert sum(entry.frames for entry in folder.index.segments) == len(frames)


def test_segments_are_cut_by_the_hour_and_the_index_says_what_they_hold(tmp_path: Path) -> None:
    """For people: names, times in UTC, counts; and a checksum that `crc32` of the file confirms."""
    folder = opened(tmp_path / "v")
    write(folder, (1, 2, HOUR - 1, HOUR, 3 * HOUR))
    folder.remark(START + 3 * HOUR + 1, CLOSED, "the peer closed it")
    folder.close()
    assert [path.name for path in segments_in(tmp_path / "v")] == [
        "20231114T22Z-000.zst",
        "20231114T23Z-000.zst",
        "20231115T01Z-000.zst",
    ]
    index = read_index(tmp_path / "v")
    assert index is not None
    assert [entry.frames for entry in index.segments] == [3, 1, 1]
    assert index.segments[0].first == "2023-11-14T22:00:00.000Z"
    assert index.segments[0].last_ns == START + HOUR - 1
    assert [at_ns for at_ns, _ in read(tmp_path / "v")] == [1, 2, HOUR - 1, HOUR, 3 * HOUR, 3 * HOUR + 1]
    assert read(tmp_path / "v")[-1][1] == BREAK
    for entry in index.segments:
        assert f"{crc32((tmp_path / 'v' / entry.file).read_bytes()):08x}" == entry.crc32


@pytest.mark.parametrize("cut", [1, 7, 40])
def test_torn_tail_is_cut_off_and_said_and_recording_goes_on(tmp_path: Path, cut: int) -> None:
    """Behind the last whole chunk, in the same segment; everything whole is read without complaint."""
    folder = opened(tmp_path / "v")
    write(folder, (1, 2))
    folder.flush()
    write(folder, (3, 4))
    folder.close()
    (segment,) = segments_in(tmp_path / "v")
    os.truncate(segment, segment.stat().st_size - cut)
    folder = opened(tmp_path / "v")
    assert len(folder.repaired) == 1
    assert "were torn and have been cut off" in folder.repaired[0]
    assert folder.index.segments[0].torn_bytes > 0
    write(folder, (5,))
    folder.close()
    assert [at_ns for at_ns, _ in read(tmp_path / "v")] == [1, 2, 5]
    assert folder.index.segments[0].frames == 3


def test_index_that_is_lost_is_made_anew(tmp_path: Path) -> None:
    """From the segments; and a reader does without it."""
    folder = opened(tmp_path / "v")
    write(folder, (1, 2, HOUR))
    folder.close()
    before = read_index(tmp_path / "v")
    (tmp_path / "v" / INDEX).unlink()
    assert [at_ns for at_ns, _ in read(tmp_path / "v")] == [1, 2, HOUR]
    opened(tmp_path / "v").close()
    assert read_index(tmp_path / "v") == before


def test_two_recorders_never_share_a_folder_nor_two_feeds(tmp_path: Path) -> None:
    """The second one is told so."""
    folder = opened(tmp_path / "v")
    with pytest.raises(JournalError, match="being written by another recorder"):
        opened(tmp_path / "v")
    folder.close()
    with pytest.raises(ConfigError, match=r"holds frames of v .* not frames of other"):
        opened(tmp_path / "v", venue="other")


def test_missing_segment_is_named(tmp_path: Path) -> None:
    """A hole in the middle is no pause."""
    folder = opened(tmp_path / "v")
    write(folder, (1, HOUR, 2 * HOUR))
    folder.close()
    segments_in(tmp_path / "v")[1].unlink()
    with pytest.raises(ConfigError, match=r"20231114T23Z-000\.zst: the index names this segment"):
        read(tmp_path / "v")
    log = SegmentLog(tmp_path / "v", "skip")
    assert [at_ns - START for at_ns, _ in log.frames()] == [1, 2 * HOUR]
    assert log.damaged == 1


@pytest.mark.parametrize("when_full", ["delete-oldest", "stop"])
def test_disk_bound_holds_for_all_folders_together(tmp_path: Path, when_full: WhenFull) -> None:
    """The oldest closed segment makes room, or recording stops; what is left is whole."""
    deleted: list[str] = []
    writer = RecordingWriter(max_bytes=60_000, when_full=when_full, on_deleted=deleted.append)
    first, second = (opened(tmp_path / name, segment_bytes_max=7500) for name in ("a", "b"))
    writer.add(first)
    writer.add(second)
    for step in range(120):
        for folder in (first, second):
            writer.put(folder, START + step, os.urandom(500).hex().encode())
        writer._write()
        if writer.full:
            break
    if writer.full:
        writer.put(first, START + 500, b"{}")
    writer.start()
    writer.stop()
    held = sum(path.stat().st_size for name in ("a", "b") for path in segments_in(tmp_path / name))
    if when_full == "stop":
        assert writer.full
        assert not deleted
        log = SegmentLog(tmp_path / "a")
        assert next(log.frames())[0] == START
        assert [*log.frames()]
        assert "the recorder lost 1 frames, the disk bound was reached" in str(log.damage[-1])
        assert held < 70_000
    else:
        assert not writer.full
        assert len(deleted) >= 6
        assert {Path(name).parent.name for name in deleted} == {"a", "b"}
        assert held <= 61_500
        assert first.index.deleted + second.index.deleted == len(deleted)
        assert read(tmp_path / "a")[-1][0] == 119


def test_frames_beyond_the_buffer_are_counted_and_said_where_they_are_missing(tmp_path: Path) -> None:
    """The loop never waits for the disk; the recording says that it has a hole."""
    writer = RecordingWriter(buffer_bytes_max=1000)
    folder = opened(tmp_path / "v")
    writer.add(folder)
    for at_ns in range(20):
        writer.put(folder, START + at_ns, b"x" * 100)
    writer._write()
    writer.put(folder, START + 30, b"{}")
    writer.start()
    writer.stop()
    kept = 20 - writer.lost
    assert 0 < kept < 20
    log = SegmentLog(tmp_path / "v")
    assert [at_ns - START for at_ns, frame in log.frames() if frame] == [*range(kept), 30]
    assert [str(each) for each in log.damage] == [
        f"line {kept + 1}: the recorder lost {writer.lost} frames, the disk was too slow"
    ]
    assert folder.index.segments[0].lost == writer.lost
    with pytest.raises(ConfigError, match="the recorder lost"):
        read(tmp_path / "v")


def test_disk_that_fails_ends_the_recording_in_words(tmp_path: Path) -> None:
    """Exit 74, as for a journal."""
    writer = RecordingWriter()
    folder = opened(tmp_path / "v")
    writer.add(folder)
    (tmp_path / "v" / "20231114T22Z-000.zst").mkdir()
    writer.put(folder, START, b"{}")
    writer.start()
    with pytest.raises(JournalError, match="cannot be written"):
        writer.stop()


def test_memory_stays_flat_however_long_a_recording_is(tmp_path: Path) -> None:
    """Writing and reading, chunk by chunk; how much has been read is known all the time."""
    folder = opened(tmp_path / "v", segment_bytes_max=200_000)
    tracemalloc.start()
    try:
        for n in range(200):
            write(folder, range(n * 200, n * 200 + 200), 100)
            folder.flush()
        folder.close()
        log = SegmentLog(tmp_path / "v")
        shares = [log.bytes_read / log.size for _ in log.frames()]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(shares) == 40_000
    assert shares == sorted(shares)
    assert shares[0] < 0.1
    assert shares[-1] == 1.0
    assert len(segments_in(tmp_path / "v")) > 10
    assert peak < 8 << 20


_KILLED = """
import sys, time
from pathlib import Path
from tests.unit.runtime.recording.test_segments import START, opened, write
folder = opened(Path(sys.argv[1]))
for n in range(int(sys.argv[2]), 1 << 40):
    write(folder, (n,), 200)
    if n % 50 == 49:
        folder.flush()
        print(n, flush=True)
"""


def test_killed_recorder_is_continued_by_the_next_one(tmp_path: Path) -> None:
    """kill -9 in the middle of writing: what was flushed is there, nothing is read twice, no line is half."""
    flushed = 0
    for _ in range(3):
        command = [sys.executable, "-c", _KILLED, str(tmp_path / "v"), str(flushed)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
            assert process.stdout is not None
            for _ in range(5):
                flushed = int(process.stdout.readline()) + 1
            process.kill()
        folder = opened(tmp_path / "v")
        folder.close()
        times = [at_ns for at_ns, _ in read(tmp_path / "v")]
        assert times == list(range(len(times)))
        assert len(times) >= flushed
        flushed = len(times)
