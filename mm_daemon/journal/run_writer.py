"""Writing the journal of a run: two families of segments under one sequence (ARCHITECTURE 7).

A turn's records are parted by their family (`families.py`) and keep their numbers. One flush writes the market part
first, then the trade part, one write(2) each, so that whatever stands in the trade family has its inputs in the market
family. A segment that has grown to its size is closed between two turns and the next one goes on; `sync`, in a thread,
waits for the disk, and `keeping.py` compresses and deletes.
"""

import os
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from threading import Lock

from mm_daemon.domain import codec
from mm_daemon.domain.codec import Record
from mm_daemon.domain.decisions import Turn
from mm_daemon.domain.errors import JournalError
from mm_daemon.domain.events import Event
from mm_daemon.journal.disk import DISK, Disk
from mm_daemon.journal.families import MARKET_RECORDS
from mm_daemon.journal.format import (
    MAX_PAYLOAD_BYTES,
    REST_BYTES,
    Family,
    SegmentHeader,
    encode_header,
    encode_part_head,
)
from mm_daemon.journal.segments import Segment, segment_path, sync_directory

SEGMENT_BYTES = 64 << 20


class RunWriter:
    """A new folder, appended to. It overwrites nothing, and after one failed write it accepts nothing more."""

    def __init__(self, folder: Path, *, segment_bytes: int = SEGMENT_BYTES, disk: Disk = DISK) -> None:
        """Makes `folder`, readable by its owner alone. Raises JournalError if it exists or cannot be made."""
        self.path = folder
        self.seq = 0
        """Number of the next record."""
        self._segment_bytes = segment_bytes
        self._on = disk
        self._failed: str | None = None
        self._closed = False
        self._turn: list[Record] = []
        self._retired: deque[int] = deque()
        self._disk = Lock()
        """Held while another thread waits for the disk, so that no descriptor is closed under it."""
        try:
            folder.mkdir(mode=0o700)
            self._market = _Segment(folder, Family.MARKET, 1, 0, disk)
            self._trade = _Segment(folder, Family.TRADE, 1, 0, disk)
            self._new_names = True
        except FileExistsError:
            raise JournalError(
                f"journal {folder} exists already; journals are never overwritten, name another"
            ) from None
        except OSError as error:
            raise JournalError(f"journal {folder} cannot be created: {error.strerror}") from error
        self.flush()

    @property
    def buffered_bytes(self) -> int:
        """Bytes that a `flush` would write."""
        return len(self._market.buffer) + len(self._trade.buffer)

    @property
    def open_segments(self) -> tuple[Segment, Segment]:
        """What is being appended to."""
        return self._named(self._market), self._named(self._trade)

    def rename(self, folder: Path) -> None:
        """Give the run its name. Raises JournalError."""
        try:
            self.path = self._on.rename(self.path, folder)
            sync_directory(folder.parent)
        except OSError as error:
            raise JournalError(f"journal {self.path} cannot be named {folder}: {error.strerror}") from error

    def event(self, event: Event) -> None:
        """Keep an event that is about to be applied; it is encoded with the turn it leads to."""
        self._turn.append(event)

    def turn(self, turn: Turn) -> None:
        """The events kept so far, the decide marker and its answers enter the buffers, whole or not at all."""
        records = self._turn
        codec.add_turn(records, turn)
        self.append(records)
        records.clear()

    def append(self, records: Sequence[Record]) -> None:
        """Consecutive records that belong together. Nothing reaches the disk before `flush`."""
        market, trade = self._market.buffer, self._trade.buffer
        before = len(market), len(trade)
        count = len(records)
        seq = self.seq
        start = end = 0
        is_market = records[0].__class__ in MARKET_RECORDS if records else False
        try:
            for record in records:
                if (record.__class__ in MARKET_RECORDS) is not is_market:
                    _put(market if is_market else trade, seq + start, records[start:end], count - end)
                    start, is_market = end, not is_market
                end += 1
            if start < count:
                _put(market if is_market else trade, seq + start, records[start:] if start else records, 0)
        except JournalError:
            del market[before[0] :], trade[before[1] :]
            raise
        self.seq += count

    def flush(self) -> None:
        """Hand both buffers to the kernel. Raises JournalError, and then always: a lost part cannot be mended."""
        if self._failed is not None:
            raise JournalError(self._failed)
        if self._closed:
            raise JournalError(f"journal {self.path} is closed")
        market, trade = self._market, self._trade
        try:
            if market.buffer:
                market.write()
            if trade.buffer:
                trade.write()
            if market.size_bytes >= self._segment_bytes:
                self._market = self._next(market)
            if trade.size_bytes >= self._segment_bytes:
                self._trade = self._next(trade)
        except OSError as error:
            self._failed = f"journal {self.path} cannot be written: {error.strerror}"
            raise JournalError(self._failed) from error

    def sync(self) -> None:
        """Wait until what was flushed is on the disk. The one method that another thread may call."""
        with self._disk:
            if self._closed or self._failed is not None:
                raise JournalError(self._failed or f"journal {self.path} is closed")
            try:
                self._sync()
            except OSError as error:
                self._failed = f"journal {self.path} cannot be flushed to the disk: {error.strerror}"
                raise JournalError(self._failed) from error

    def close(self) -> None:
        """Write what is left, events of an unfinished turn included, wait for the disk and close. Twice is harmless."""
        if self._closed:
            return
        try:
            if self._failed is None:
                if self._turn:
                    self.append(self._turn)
                    self._turn.clear()
                self.flush()
                self.sync()
        finally:
            with self._disk:
                self._closed = True
                for fd in (self._market.fd, self._trade.fd, *self._retired):
                    self._on.close(fd)
                self._retired.clear()

    def _named(self, segment: "_Segment") -> Segment:
        return Segment(segment_path(self.path, segment.family, segment.number), segment.family, segment.number)

    def _next(self, full: "_Segment") -> "_Segment":
        """The segment behind a full one, with its header written; the full one waits for `sync`.

        Not so in the trade family, which a restart reads: there a power cut must not take the end of a segment and
        leave the one behind it. It is rare, and little of it is not on the disk yet, so the wait is short.
        """
        if full.family is Family.TRADE:
            self._on.sync(full.fd)
        fresh = _Segment(self.path, full.family, full.number + 1, self.seq, self._on)
        fresh.write()
        self._retired.append(full.fd)
        self._new_names = True
        return fresh

    def _sync(self) -> None:
        market_fd, trade_fd = self._market.fd, self._trade.fd  # one that is retired meanwhile is closed only here
        if self._new_names:
            self._new_names = False
            sync_directory(self.path)
        self._on.sync(market_fd)
        self._on.sync(trade_fd)
        for _ in range(len(self._retired)):
            fd = self._retired.popleft()
            try:
                self._on.sync(fd)
            finally:
                self._on.close(fd)


class _Segment:
    """One open file and what waits to be written to it."""

    __slots__ = ("_on", "buffer", "family", "fd", "number", "size_bytes")

    def __init__(self, folder: Path, family: Family, number: int, first_seq: int, disk: Disk) -> None:
        self._on = disk
        self.family = family
        self.number = number
        self.size_bytes = 0
        header = SegmentHeader(schema=codec.SCHEMA_VERSION, first_seq=first_seq, family=family)
        self.buffer = bytearray(encode_header(header))
        self.fd = disk.create(segment_path(folder, family, number), os.O_WRONLY | os.O_EXCL | os.O_APPEND)

    def write(self) -> None:
        buffer = self.buffer
        size = len(buffer)
        written = self._on.write(self.fd, buffer)
        while written < size:  # a nearly full disk takes a part, then says why not the rest
            written += self._on.write(self.fd, buffer[written:])
        buffer.clear()
        self.size_bytes += size


def _put(buffer: bytearray, seq: int, records: Sequence[Record], rest: int) -> None:
    """One frame, or several where one cannot hold the records."""
    payload = codec.encode(seq, records)
    if len(payload) <= MAX_PAYLOAD_BYTES - REST_BYTES:
        buffer += encode_part_head(payload, rest)
        buffer += payload
        return
    if len(records) == 1:
        raise JournalError(f"record {seq} takes {len(payload)} bytes, more than the {MAX_PAYLOAD_BYTES} of a frame")
    half = len(records) // 2
    _put(buffer, seq, records[:half], rest + len(records) - half)
    _put(buffer, seq + half, records[half:], rest)
