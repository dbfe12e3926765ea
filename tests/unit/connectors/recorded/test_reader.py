"""Wire recordings: every good line comes out, everything else is named by its place, and nothing crashes."""

import base64
import gzip
import tracemalloc
from pathlib import Path

import pytest
import zstandard

from connectors.recorded.reader import _BLOCK_BYTES, BREAK, DAMAGE_MAX, WireLog
from mm_daemon.domain.errors import ConfigError

START = 1_700_000_000_000_000_000


def line(n: int, body: str = "{}") -> str:
    return f"{START + n} {body}\n"


def log(tmp_path: Path, data: bytes | str, *, packed: bool = False) -> WireLog:
    path = tmp_path / "recording"
    raw = data.encode() if isinstance(data, str) else data
    path.write_bytes(gzip.compress(raw) if packed else raw)
    return WireLog(path)


def read(recording: WireLog) -> list[int]:
    """Times since the start; the frames are checked elsewhere."""
    return [ts_local_ns - START for ts_local_ns, _ in recording.frames()]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("end", ["\n", "", "\r\n", "\n\n"])
def test_plain_and_gzip_files_read_alike(tmp_path: Path, packed: bool, end: str) -> None:
    """With or without a newline at the end."""
    recording = log(tmp_path, f'{START} {{"a":1}}\n{START + 5} {{"b": 2}}{end}', packed=packed)
    assert [(ts, frame.strip()) for ts, frame in recording.frames()] == [(START, b'{"a":1}'), (START + 5, b'{"b": 2}')]
    assert recording.damage == []
    assert recording.first_ns() == START


def test_file_of_several_gzip_members_is_one_recording(tmp_path: Path) -> None:
    """A collector that was restarted appends another member; padding between them is nothing."""
    path = tmp_path / "recording"
    path.write_bytes(gzip.compress(line(1).encode()) + b"\0" * 9 + gzip.compress(line(2).encode()))
    assert read(recording := WireLog(path)) == [1, 2]
    assert recording.damage == []


def test_cut_gzip_gives_everything_before_the_cut(tmp_path: Path) -> None:
    """The half line at the cut is not handed out; the place is named."""
    text = "".join(line(n, f'{{"n":{n * n}}}') for n in range(5000)).encode()
    packed = gzip.compress(text)
    path = tmp_path / "recording"
    path.write_bytes(packed[: len(packed) // 2])
    times = read(recording := WireLog(path))
    assert times == list(range(len(times)))
    assert 1000 < len(times) < 5000
    assert f"at byte {len(packed) // 2} of" in str(recording.damage[0])
    assert all(damage.line == len(times) + 1 for damage in recording.damage)


@pytest.mark.parametrize("place", [0.3, 0.5, 0.7])
def test_flipped_byte_in_gzip_gives_everything_before_it(tmp_path: Path, place: float) -> None:
    """Where decoding breaks is named; if only the checksum shows it, that is, after the lines that became rubbish."""
    text = "".join(line(n, f'{{"n":{n * n}}}') for n in range(5000)).encode()
    packed = bytearray(gzip.compress(text))
    packed[int(len(packed) * place)] ^= 0xFF
    path = tmp_path / "recording"
    path.write_bytes(packed)
    times = read(recording := WireLog(path))
    assert times[:1000] == list(range(1000))
    assert any("gzip is damaged at byte" in str(damage) for damage in recording.damage)


def test_wrong_checksum_and_trailing_rubbish_are_named_after_all_lines_were_used(tmp_path: Path) -> None:
    """The lines are good as far as anyone can tell while reading."""
    packed = bytearray(gzip.compress((line(1) + line(2)).encode()))
    path = tmp_path / "recording"
    path.write_bytes(packed + b"rubbish")
    assert read(recording := WireLog(path)) == [1, 2]
    assert "rest is lost" in str(recording.damage[0])
    packed[-8] ^= 1
    path.write_bytes(packed)
    assert read(recording := WireLog(path)) == [1, 2]
    assert "incorrect data check" in str(recording.damage[0])


def test_lines_that_are_none_are_named_with_line_and_byte(tmp_path: Path) -> None:
    """Rubbish, frames without a time, times without a frame, negative times; the good lines around them are used."""
    good, bad = (
        line(1),
        ['{"stream":"x"}\n', "@@@@@\n", f"{START + 2}\n", "-5 {}\n", "9" * 40 + " {}\n", "\xff\xfe {}\n"],
    )
    recording = log(tmp_path, good + "".join(bad) + line(3))
    assert read(recording) == [1, 3]
    assert [damage.line for damage in recording.damage] == [2, 3, 4, 5, 6, 7]
    assert recording.damage[0].byte == len(good)
    assert recording.damage[1].byte == len(good) + len(bad[0])
    assert str(recording.damage[2]).endswith("line has no frame")


def test_time_that_steps_back_is_held_at_the_time_before(tmp_path: Path) -> None:
    """The frame is kept, since dropping one would break the book; each place is named."""
    recording = log(tmp_path, line(10) + line(7) + line(12))
    assert read(recording) == [10, 10, 12]
    assert [damage.line for damage in recording.damage] == [2]


def test_one_time_far_ahead_does_not_stop_the_clock_for_the_rest(tmp_path: Path) -> None:
    """A leap that the next line takes back is damage; a leap that stays is a pause of the recorder."""
    hour = 3_600_000_000_000
    recording = log(tmp_path, line(1) + line(2 + hour) + line(3) + line(hour) + line(hour + 1))
    assert read(recording) == [1, 1, 3, hour, hour + 1]
    assert [damage.line for damage in recording.damage] == [2]


def test_last_line_that_is_cut_off_is_not_handed_out(tmp_path: Path) -> None:
    """Half a frame would void a book for nothing."""
    recording = log(tmp_path, line(1) + f'{START + 2} {{"stream":"btcusdt@dep')
    assert read(recording) == [1]
    assert str(recording.damage[0]) == f"line 2 (byte {len(line(1))}): the last line is cut off"


def test_endless_line_is_skipped_in_flat_memory(tmp_path: Path) -> None:
    """Twenty megabytes without a newline, then good lines again."""
    recording = log(tmp_path, line(1) + "x" * 20_000_000 + "\n" + line(3), packed=True)
    tracemalloc.start()
    try:
        assert read(recording) == [1, 3]
        assert tracemalloc.get_traced_memory()[1] < 16_000_000
    finally:
        tracemalloc.stop()
    assert recording.damage[0].line == 2
    assert recording.line == 3


def test_damage_is_counted_beyond_what_is_named(tmp_path: Path) -> None:
    """A file full of rubbish does not fill the memory."""
    recording = log(tmp_path, "rubbish\n" * 5000)
    assert read(recording) == []
    assert (len(recording.damage), recording.damaged) == (DAMAGE_MAX, 5000)


@pytest.mark.parametrize("data", [b"", b"\n\n", b"\x1f\x8b", b"\x1f\x8b" + b"x" * 50, b"\x00" * 5000])
def test_file_without_a_frame_gives_none_and_says_so(tmp_path: Path, data: bytes) -> None:
    """No crash; asking for its first time is an error that names the file."""
    recording = log(tmp_path, data)
    assert read(recording) == []
    with pytest.raises(ConfigError, match="recording"):
        recording.first_ns()


def test_missing_file_names_the_path_and_what_to_do(tmp_path: Path) -> None:
    """Nothing is started."""
    with pytest.raises(ConfigError, match=r"nowhere\.gz.*No such file.*give the path"):
        WireLog(tmp_path / "nowhere.gz")


def test_zstd_reads_like_gzip_frame_after_frame(tmp_path: Path) -> None:
    """A file of several frames is one recording; what is cut off or damaged is named and costs only itself."""
    pack = zstandard.ZstdCompressor(write_checksum=True).compress
    chunks = [pack("".join(line(n) for n in range(at, at + 5)).encode()) for at in (0, 5)]
    recording = log(tmp_path, b"".join(chunks))
    assert read(recording) == list(range(10))
    assert recording.damage == []
    recording = log(tmp_path, (chunks[0] + chunks[1])[:-3])
    assert read(recording)[:5] == [0, 1, 2, 3, 4]
    assert "zstd is damaged" in str(recording.damage[0])
    recording = log(tmp_path, b"\x28\xb5\x2f\xfd1234")
    assert read(recording) == []
    assert "zstd is damaged" in str(recording.damage[0])


def test_damage_that_is_to_stop_stops_with_file_line_and_way_out(tmp_path: Path) -> None:
    """Everything before it has been given."""
    path = tmp_path / "recording"
    path.write_text(line(1) + "rubbish\n" + line(3))
    given = []
    with pytest.raises(ConfigError, match=r"recording: line 2 \(byte 23\): line does not begin .*`damaged: skip`"):
        for ts_local_ns, _ in WireLog(path, "stop").frames():
            given.append(ts_local_ns - START)
    assert given == [1]


def test_remarks_of_a_recorder_break_books_and_carry_odd_frames(tmp_path: Path) -> None:
    """A frame with a line's end in it is kept in base64; a gap in time that a remark bears out is a pause."""
    hour = 3_600_000_000_000
    odd = base64.b64encode(b'{\n "a": 1}').decode()
    said = [f"# {START + 2} closed why", f"# {START + 3} opened", f"# {START + 4} raw {odd}", f"# {START} odd"]
    text = line(1) + "".join(f"{each}\n" for each in said) + line(hour) + f"# {START + hour} lost 3 frames\n"
    recording = log(tmp_path, text)
    assert [(at_ns - START, frame) for at_ns, frame in recording.frames()] == [
        (1, b"{}"),
        (2, BREAK),
        (4, b'{\n "a": 1}'),
        (hour, b"{}"),
        (hour, BREAK),
    ]
    assert [str(each) for each in recording.damage] == ["line 7: the recorder lost 3 frames"]


def test_rubbish_before_the_first_good_line_has_no_time(tmp_path: Path) -> None:
    """A clock started at its zero would wait half a century for the first good frame."""
    recording = log(tmp_path, f"rubbish at the start\n0 {{}}\n{line(5)}")
    assert read(recording) == [5]
    assert [damage.line for damage in recording.damage] == [1, 2]
    assert recording.first_ns() == START + 5


@pytest.mark.parametrize("packed", [False, True])
def test_file_that_holds_nothing_says_so(tmp_path: Path, packed: bool) -> None:
    """A backtest of it is not a quiet market."""
    recording = log(tmp_path, "", packed=packed)
    assert read(recording) == []
    assert [str(damage) for damage in recording.damage] == ["line 1: the file holds nothing"]


@pytest.mark.parametrize("tail", [0, 5, 21, 60])
def test_leap_at_the_end_of_a_piece_of_the_file_is_judged_by_the_line_after_it(tmp_path: Path, tail: int) -> None:
    """The file is read in pieces; wherever one ends, a wrong time is not believed."""
    leap = line(1_000_000_000 * _BLOCK_BYTES)
    before = line(0, '{"filling":"' + "x" * (_BLOCK_BYTES - tail - len(leap) - len(line(0)) - 12) + '"}')
    recording = log(tmp_path, before + leap + line(2) + line(3))
    assert read(recording) == [0, 0, 2, 3]
    assert [damage.line for damage in recording.damage] == [2]


def test_silence_in_a_recording_is_no_damage(tmp_path: Path) -> None:
    """The next line confirms it."""
    hour = 3_600_000_000_000
    recording = log(tmp_path, line(0) + line(hour) + line(hour + 1))
    assert read(recording) == [0, hour, hour + 1]
    assert recording.damage == []
