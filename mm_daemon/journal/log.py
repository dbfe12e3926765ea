"""Writing and reading the journal of a run.

`JournalWriter` owns the file of a run that is being written: it gathers a turn, encodes it into one frame and hands
the buffer to the kernel with one write(2) a flush; durability (`sync`) is asked for separately, so that a thread may
wait for the disk. `JournalReader` streams a file back: the good part record by record, then the name and place of what
is not good. `repair` cuts the torn tail that a sudden death leaves behind, and nothing else.

A backtest's journal is one such file; the segments of a run (`run_writer.py`, `run_reader.py`) are read by the same
reader.
"""

import os
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from mm_daemon.domain import codec
from mm_daemon.domain.codec import Record
from mm_daemon.domain.decisions import Turn
from mm_daemon.domain.errors import JournalError
from mm_daemon.domain.events import Event
from mm_daemon.journal.format import (
    FRAME_BYTES,
    HEADER_BYTES,
    MAX_PAYLOAD_BYTES,
    REST_BYTES,
    Family,
    Fault,
    FaultKind,
    SegmentHeader,
    decode_header,
    encode_frame_head,
    encode_header,
    is_intact,
    payload_length,
    rest_of,
)
from mm_daemon.journal.segments import damage_of, is_compressed, open_segment, sync_directory, unpacking_error

_READ_BUFFER_BYTES = 1 << 20


class JournalWriter:
    """One new file, appended to. It never overwrites a file, and after one failed write it accepts nothing more."""

    def __init__(self, path: Path, *, first_seq: int = 0) -> None:
        """Creates `path`, readable by its owner alone. Raises JournalError if it exists or cannot be made."""
        self.path = path
        self.seq = first_seq
        """Number of the next record."""
        self._failed: str | None = None
        self._turn: list[Record] = []
        self._buffer = bytearray(encode_header(SegmentHeader(schema=codec.SCHEMA_VERSION, first_seq=first_seq)))
        try:
            self._fd: int | None = os.open(
                path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600
            )
            sync_directory(path.parent)
        except FileExistsError:
            raise JournalError(f"journal {path} exists already; journals are never overwritten, name another") from None
        except OSError as error:
            raise JournalError(f"journal {path} cannot be created: {error.strerror}") from error
        self.flush()

    @property
    def buffered_bytes(self) -> int:
        """Bytes that a `flush` would write."""
        return len(self._buffer)

    def event(self, event: Event) -> None:
        """Keep an event that is about to be applied; it is encoded with the turn it leads to."""
        self._turn.append(event)

    def turn(self, turn: Turn) -> None:
        """The events kept so far, the decide marker and its answers become one frame in the buffer."""
        records = self._turn
        codec.add_turn(records, turn)
        self.append(records)
        records.clear()

    def append(self, records: Sequence[Record]) -> None:
        """Consecutive records as one frame into the buffer. Nothing reaches the disk before `flush`."""
        payload = codec.encode(self.seq, records)
        if len(payload) > MAX_PAYLOAD_BYTES:
            self._split(records, len(payload))
            return
        self._buffer += encode_frame_head(payload)
        self._buffer += payload
        self.seq += len(records)

    def flush(self) -> None:
        """Hand the buffer to the kernel. Raises JournalError, and from then on always: a lost part cannot be mended."""
        if self._failed is not None:
            raise JournalError(self._failed)
        try:
            self._write()
        except OSError as error:
            self._failed = f"journal {self.path} cannot be written: {error.strerror}"
            raise JournalError(self._failed) from error

    def sync(self) -> None:
        """Wait until what was flushed is on the disk. The one method that another thread may call."""
        fd = self._fd
        if fd is None or self._failed is not None:
            raise JournalError(self._failed or f"journal {self.path} is closed")
        try:
            os.fdatasync(fd)
        except OSError as error:
            self._failed = f"journal {self.path} cannot be flushed to the disk: {error.strerror}"
            raise JournalError(self._failed) from error

    def close(self) -> None:
        """Write what is left, events of an unfinished turn included, wait for the disk and close. Twice is harmless."""
        if self._fd is None:
            return
        try:
            if self._failed is None:
                if self._turn:
                    self.append(self._turn)
                    self._turn.clear()
                self.flush()
                self.sync()
        finally:
            os.close(self._fd)
            self._fd = None

    def _write(self) -> None:
        if self._fd is None:
            raise JournalError(f"journal {self.path} is closed")
        written = os.write(self._fd, self._buffer)
        while written < len(self._buffer):  # a nearly full disk takes a part, then says why not the rest
            written += os.write(self._fd, self._buffer[written:])
        self._buffer.clear()

    def _split(self, records: Sequence[Record], size: int) -> None:
        if len(records) == 1:
            raise JournalError(f"record {self.seq} takes {size} bytes, more than the {MAX_PAYLOAD_BYTES} of a frame")
        half = len(records) // 2
        self.append(records[:half])
        self.append(records[half:])


class Frame(NamedTuple):
    """Records that were written together. `offset` is where their frame starts in the file."""

    offset: int
    seq: int
    records: tuple[Record, ...]
    rest: int = 0
    """Records of the same turn that stand in frames behind this one, in either family."""
    file: str = ""
    """Name of the segment, in a journal that has several."""


class JournalReader:
    """Streams a journal of one file, or one segment of a run, compressed or not. In a segment of one family numbers may
    be left out: the other family has them. After the last frame, `fault` says what stopped it before the file's end, if
    anything did.
    """

    def __init__(self, path: Path) -> None:
        """Raises JournalError when the file cannot be opened."""
        self.path = path
        self.header: SegmentHeader | None = None
        self.fault: Fault | None = None
        self.good_bytes = 0
        """Bytes up to the end of the last good frame."""
        try:
            self._damage = damage_of(path) if is_compressed(path) else None
            self._file = open_segment(path, _READ_BUFFER_BYTES)
            self.size_bytes = path.stat().st_size
        except OSError as error:
            raise JournalError(f"journal {path} cannot be read: {error.strerror}") from error

    def __iter__(self) -> Iterator[Frame]:
        header = self.read_header()
        if header is None:
            return
        decode = codec.reader_for(header.schema)
        expected = header.first_seq
        parted = header.family is not Family.ALL
        rest = 0
        for offset, payload in self._payloads():
            try:
                if parted:
                    rest = rest_of(payload)
                seq, records = decode(payload[REST_BYTES:] if parted else payload)
            except (msgspec.DecodeError, struct.error) as error:
                self._stop(offset, FaultKind.DAMAGED, f"the frame holds no records of schema {header.schema}: {error}")
                return
            if seq != expected and not (parted and seq > expected):
                self._stop(offset, FaultKind.DAMAGED, f"record {expected} should follow, the frame starts with {seq}")
                return
            self.good_bytes = offset + FRAME_BYTES + len(payload)
            expected = seq + len(records)
            yield Frame(offset, seq, records, rest)

    def intact_payloads(self) -> Iterator[tuple[int, bytes]]:
        """(offset, payload) of each intact frame, without looking inside. Once."""
        if self.read_header() is None:
            return
        for offset, payload in self._payloads():
            self.good_bytes = offset + FRAME_BYTES + len(payload)
            yield offset, payload

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> "JournalReader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read_header(self) -> SegmentHeader | None:
        """What the file says about itself; None, and `fault`, when that cannot be trusted. Goes to the beginning."""
        if self._file.tell():
            self._file.close()
            self._file = open_segment(self.path, _READ_BUFFER_BYTES)
        header = self._decoded_header()
        if isinstance(header, Fault):
            self.fault = header
            return None
        self.header, self.fault, self.good_bytes = header, None, HEADER_BYTES
        return header

    def _decoded_header(self) -> SegmentHeader | Fault:
        if not is_compressed(self.path):
            return decode_header(self._file.read(HEADER_BYTES))
        try:
            header = decode_header(self._file.read(HEADER_BYTES))
        except unpacking_error() as error:
            return Fault(0, FaultKind.DAMAGED, f"cannot be unpacked: {error}")
        if isinstance(header, Fault):
            return Fault(0, FaultKind.DAMAGED, self._damage or header.what)
        return header

    def _payloads(self) -> Iterator[tuple[int, bytes]]:
        if not is_compressed(self.path):
            yield from self._plain_payloads()
            return
        try:
            yield from self._plain_payloads()
        except unpacking_error() as error:
            self._stop(self.good_bytes, FaultKind.DAMAGED, f"cannot be unpacked: {error}")
        if self._damage is not None and (self.fault is None or self.fault.kind is FaultKind.TORN):
            self._stop(self.good_bytes, FaultKind.DAMAGED, self._damage)

    def _plain_payloads(self) -> Iterator[tuple[int, bytes]]:
        read = self._file.read
        offset = HEADER_BYTES
        while head := read(FRAME_BYTES):
            length = payload_length(head) if len(head) >= 4 else 0
            if length is None:
                self._stop(offset, FaultKind.DAMAGED, "the frame's length word fails its check")
                return
            if len(head) < FRAME_BYTES:
                self._stop(offset, FaultKind.TORN, "the file ends inside a frame's head")
                return
            payload = read(length)
            if len(payload) < length:
                missing = length - len(payload)
                self._stop(offset, FaultKind.TORN, f"the file ends {missing} bytes before the frame of {length} does")
                return
            if not is_intact(head, payload):
                self._stop(offset, FaultKind.DAMAGED, f"the frame of {length} bytes does not match its crc")
                return
            yield offset, payload
            offset += FRAME_BYTES + length

    def _stop(self, offset: int, kind: FaultKind, what: str) -> None:
        self.fault = Fault(offset, kind, what)


def repair(path: Path) -> Fault | None:
    """Cut a torn tail at the last good record and say what was cut; None when nothing was wrong.

    Damage is not cut: bytes behind it may be good, and a person should see them. Raises JournalError for it.
    """
    with JournalReader(path) as reader:
        for _ in reader.intact_payloads():
            pass
        fault = reader.fault
    if fault is None:
        return None
    if fault.kind is FaultKind.DAMAGED:
        raise JournalError(f"journal {path} is {fault}; move it away, or read its good part with replay")
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.ftruncate(fd, fault.offset)
            os.fsync(fd)
        finally:
            os.close(fd)
    except OSError as error:
        raise JournalError(f"the torn tail of journal {path} cannot be cut: {error.strerror}") from error
    return fault
