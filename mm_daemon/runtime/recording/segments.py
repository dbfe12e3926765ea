"""One venue's folder of segments, written by one thread: lines into chunks, chunks into hours, and the index.

A folder that a killed recorder left behind is taken over: the torn tail of its last segment is cut off behind the last
whole chunk, and writing goes on there. Used by `writer.py`; the form is `ports/recording.py`'s.
"""

import base64
import fcntl
import os
from datetime import UTC, datetime
from pathlib import Path
from zlib import crc32

import msgspec
import zstandard

from mm_daemon.domain.errors import ConfigError, JournalError
from mm_daemon.observability.logs import utc_text
from mm_daemon.ports.recording import BEGUN, INDEX, RAW, RecordingIndex, SegmentEntry, read_index, segments_in

CHUNK_BYTES = 1 << 20
"""Text after which a chunk is packed, however young it is."""
_LOCK = ".lock"
_READ_BYTES = 1 << 16
_LEVEL = 3
_NS_PER_S = 1_000_000_000
_LONGEST_LINE = 4 << 20


class SegmentFolder:
    """`append` takes lines in the order of their times, `flush` puts them on the disk."""

    def __init__(self, folder: Path, head: RecordingIndex, *, segment_bytes_max: int) -> None:
        """Open or begin a folder. Raises JournalError when it cannot be used, ConfigError when it is another feed's."""
        self.folder = folder
        self._segment_bytes_max = segment_bytes_max
        self._packer = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True)
        self._text: list[bytes] = []
        self._text_bytes = 0
        self._frames = self._lost = 0
        self._first_ns: int | None = None
        self._last_ns = 0
        self._fd = -1
        self._crc = 0
        self.repaired: list[str] = []
        """What was cut off, for people."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock_fd = self._locked()
            self.index = self._taken_over(head)
            self._resume()
            self.write_index()
        except OSError as error:
            raise self._failed(error) from error

    @property
    def last_ns(self) -> int:
        """Time of the last line taken; 0: none yet."""
        return self._last_ns

    @property
    def size_bytes(self) -> int:
        """Of all its segments."""
        return sum(entry.bytes for entry in self.index.segments)

    @property
    def oldest(self) -> SegmentEntry | None:
        """The oldest segment that is not written to any more."""
        first = self.index.segments[0] if self.index.segments else None
        return None if first is None or first.open else first

    def append(self, ts_local_ns: int, frame: bytes) -> None:
        """One frame. Raises JournalError when a chunk had to be written and could not be."""
        if b"\n" in frame or not frame or frame.startswith(b"#") or len(frame) > _LONGEST_LINE:
            self._add(ts_local_ns, b"# %d %b %b\n" % (ts_local_ns, RAW, base64.b64encode(frame)))
        else:
            self._add(ts_local_ns, b"%d %b\n" % (ts_local_ns, frame))
        self._frames += 1

    def remark(self, ts_local_ns: int, word: bytes, rest: str = "", *, lost: int = 0) -> None:
        """A line about the recording itself. Raises as `append` does."""
        said = " ".join(rest.split()).encode()
        self._add(ts_local_ns, b"# %d %b%b\n" % (ts_local_ns, word, b" " + said if said else b""))
        self._lost += lost

    def flush(self) -> None:
        """Pack what was appended into one chunk and write it. Raises JournalError."""
        if not self._text:
            return
        text, frames, lost, first_ns = b"".join(self._text), self._frames, self._lost, self._first_ns
        self._text, self._text_bytes, self._frames, self._lost, self._first_ns = [], 0, 0, 0, None
        assert first_ns is not None
        try:
            entry = self._open_at(first_ns)
            data = self._packer.compress(text)
            _write_all(self._fd, data)
        except OSError as error:
            raise self._failed(error) from error
        self._crc = crc32(data, self._crc)
        entry.crc32 = f"{self._crc:08x}"
        entry.bytes += len(data)
        entry.frames += frames
        entry.lost += lost
        if entry.first_ns is None:
            entry.first_ns, entry.first = first_ns, utc_text(first_ns)
        entry.last_ns, entry.last = self._last_ns, utc_text(self._last_ns)

    def delete_oldest(self) -> SegmentEntry:
        """Remove the oldest closed segment. Raises JournalError."""
        entry = self.index.segments.pop(0)
        self.index.deleted += 1
        try:
            (self.folder / entry.file).unlink(missing_ok=True)
            self.write_index()
        except OSError as error:
            raise self._failed(error) from error
        return entry

    def close(self) -> None:
        """Write what is left; the segment stays the one that a later recorder goes on with. Raises JournalError."""
        try:
            self.flush()
            self._close_segment()
            self.write_index()
        except OSError as error:
            raise self._failed(error) from error
        finally:
            os.close(self._lock_fd)

    def write_index(self) -> None:
        """Raises OSError."""
        data = msgspec.json.format(msgspec.json.encode(self.index), indent=1)
        fresh = self.folder / (INDEX + ".new")
        fresh.write_bytes(data + b"\n")
        fresh.replace(self.folder / INDEX)

    def _add(self, ts_local_ns: int, line: bytes) -> None:
        if self._text and (self._text_bytes > CHUNK_BYTES or _hour(ts_local_ns) != _hour(self._last_ns)):
            self.flush()
        if self._first_ns is None:
            self._first_ns = ts_local_ns
        self._last_ns = ts_local_ns
        self._text.append(line)
        self._text_bytes += len(line)

    def _open_at(self, ts_local_ns: int) -> SegmentEntry:
        """The segment that a chunk which begins at this time goes to, open for writing."""
        entries = self.index.segments
        last = entries[-1] if entries else None
        hour = _hour_name(ts_local_ns)
        if last is not None and hour <= last.file[:11] and last.bytes < self._segment_bytes_max:
            if self._fd < 0:
                self._fd = os.open(self.folder / last.file, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
                self._crc = int(last.crc32, 16)
                last.open = True
            return last
        self._close_segment()
        number = 0 if last is None or hour > last.file[:11] else int(last.file[13:-4]) + 1
        hour = hour if last is None else max(hour, last.file[:11])
        entry = SegmentEntry(file=f"{hour}Z-{number:03d}.zst", symbols=self._symbols(), open=True)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._fd = os.open(self.folder / entry.file, flags, 0o644)
        self._crc = 0
        entries.append(entry)
        self.write_index()
        return entry

    def _close_segment(self) -> None:
        if self._fd < 0:
            return
        os.fsync(self._fd)
        os.close(self._fd)
        self._fd = -1
        self.index.segments[-1].open = False

    def _symbols(self) -> tuple[str, ...]:
        return tuple(instrument.symbol for instrument in self.index.instruments)

    def _locked(self) -> int:
        fd = os.open(self.folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            raise JournalError(f"{self.folder} is being written by another recorder; stop it or use --out") from None
        return fd

    def _taken_over(self, head: RecordingIndex) -> RecordingIndex:
        """The index of the folder, with what is known now. Raises ConfigError."""
        try:
            found = read_index(self.folder)
        except ValueError as error:
            self.repaired.append(f"{self.folder / INDEX}: cannot be read ({error}); it is made anew")
            found = None
        if found is None:
            return head
        if (found.venue, found.holds, found.wire) != (head.venue, head.holds, head.wire):
            raise ConfigError(
                f"{self.folder} holds {found.holds} of {found.venue} (wire {found.wire}), not {head.holds} of "
                f"{head.venue} (wire {head.wire}); use another --out"
            )
        known = {each.symbol: each for each in (*found.instruments, *head.instruments)}
        found.instruments = tuple(known.values())
        return found

    def _resume(self) -> None:
        """Let the index say what lies there, and cut the torn tail of what was being written."""
        known = {entry.file: entry for entry in self.index.segments}
        entries = []
        paths = segments_in(self.folder)
        for path in paths:
            entry = known.get(path.name)
            size = path.stat().st_size
            if entry is None or entry.open or entry.bytes != size:
                entry = self._examined(path, entry, last=path is paths[-1])
            entries.append(entry)
            self._last_ns = max(self._last_ns, entry.last_ns or 0)
        self.index.segments = entries

    def _examined(self, path: Path, known: SegmentEntry | None, *, last: bool) -> SegmentEntry:
        """A segment whose figures are not known, read from its beginning to its last whole chunk."""
        entry = SegmentEntry(file=path.name, symbols=self._symbols() if known is None else known.symbols)
        size = path.stat().st_size
        good = _read_chunks(path, entry)
        if good < size and last:
            with path.open("r+b") as file:
                file.truncate(good)
                os.fsync(file.fileno())
            entry.torn_bytes = size - good
            self.repaired.append(f"{path}: the last {size - good} of {size} bytes were torn and have been cut off")
        elif good < size:
            self.repaired.append(f"{path}: damaged at byte {good} of {size}; it is left as it is")
        entry.bytes = path.stat().st_size
        return entry

    def _failed(self, error: OSError) -> JournalError:
        return JournalError(f"recording {self.folder} cannot be written: {error.strerror or error}")


def begin(folder: SegmentFolder, ts_local_ns: int, version: str) -> None:
    """Note that a recorder starts here."""
    folder.remark(max(ts_local_ns, folder.last_ns), BEGUN, f"mm-daemon {version}")


def _read_chunks(path: Path, entry: SegmentEntry) -> int:
    """Fill in what the whole chunks of a segment hold; the byte behind the last of them."""
    good = position = 0
    crc = 0
    pending = b""
    text: list[bytes] = []
    unpacker = zstandard.ZstdDecompressor()
    decoder = None
    with path.open("rb") as file:
        while data := file.read(_READ_BYTES):
            while data:
                decoder = decoder or unpacker.decompressobj()
                try:
                    text.append(decoder.decompress(data))
                except zstandard.ZstdError:
                    return good
                used = len(data) - len(decoder.unused_data) if decoder.eof else len(data)
                pending += data[:used]
                position += used
                data = data[used:]
                if decoder.eof:
                    _count(b"".join(text), entry)
                    crc = crc32(pending, crc)
                    entry.crc32 = f"{crc:08x}"
                    good, pending, decoder = position, b"", None
                    text.clear()
    return good


def _count(chunk: bytes, entry: SegmentEntry) -> None:
    for line in chunk.split(b"\n")[:-1]:
        remark, raw = line.startswith(b"# "), False
        parts = line.split(b" ", 3)
        if remark:
            raw = len(parts) > 2 and parts[2] == RAW
            if len(parts) > 3 and parts[2] == b"lost":
                entry.lost += int(parts[3].split(b" ")[0])
        at_ns = int(parts[1] if remark else parts[0])
        if entry.first_ns is None:
            entry.first_ns, entry.first = at_ns, utc_text(at_ns)
        entry.last_ns = at_ns
        entry.frames += not remark or raw
    if entry.last_ns is not None:
        entry.last = utc_text(entry.last_ns)


def _hour(ts_ns: int) -> int:
    return ts_ns // (3600 * _NS_PER_S)


def _hour_name(ts_ns: int) -> str:
    return f"{datetime.fromtimestamp(ts_ns // _NS_PER_S, UTC):%Y%m%dT%H}"


def _write_all(fd: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]
