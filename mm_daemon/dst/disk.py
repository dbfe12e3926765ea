"""The disk below the journal: it fills up, errs, loses what was not synced, and is where the process may die.

The bytes themselves go to real files, so that recovery reads what a death has left. It also remembers which commands
have been written down, for the check that nothing leaves before its cause is kept (R5).
"""

import errno
import os
from hashlib import blake2b
from pathlib import Path
from typing import Protocol

from mm_daemon.domain import codec
from mm_daemon.domain.decisions import AmendOrder, ApprovedCommand, CancelAll, CancelOrder, PlaceOrder
from mm_daemon.domain.rng import Rng
from mm_daemon.journal.disk import Disk
from mm_daemon.journal.format import FRAME_BYTES, HEADER_BYTES, MAGIC, REST_BYTES, payload_length

FULL = "disk full"
WRITE_ERROR = "disk error on write"
SYNC_ERROR = "disk error on sync"
IDS_FULL = "disk full for client ids"

Written = tuple[type, int]
"""A command that stands in the journal: its type and its order's client id."""


class Mortal(Protocol):
    """Who may die at a named place."""

    def dies_at(self, point: str) -> bool:
        """Whether the process dies here, for those who have to do something first."""
        ...

    def die(self, point: str) -> None:
        """Raises Death."""
        ...

    def pass_point(self, point: str) -> None:
        """Raises Death where the process dies here."""
        ...

    def disk_fails(self, kind: str) -> bool:
        """Whether this call is the one that fails; it then says so to those who count."""
        ...


class _File:
    __slots__ = ("kind", "path", "synced", "written")

    def __init__(self, path: Path, size: int) -> None:
        self.path = path
        self.kind = "ids" if path.name.startswith("client_ids") else path.name.partition("-")[0]
        self.written = self.synced = size


class FaultyDisk(Disk):
    """One per life. After `power_off` nothing reaches a file any more."""

    def __init__(self, mortal: Mortal, rng: Rng) -> None:
        self._mortal = mortal
        self._rng = rng
        self._files: dict[int, _File] = {}
        self._digest = blake2b(digest_size=16)
        self._unread: list[bytes] = []
        self._journaled: set[Written] = set()
        self._decode = codec.reader_for(codec.SCHEMA_VERSION)
        self.dead = False
        self.failed = False
        """It has failed once: nothing may leave any more (R14)."""

    @property
    def digest(self) -> str:
        """Of all bytes written, and where."""
        return self._digest.hexdigest()

    def journaled(self, command: PlaceOrder | AmendOrder | CancelOrder) -> bool:
        """Whether the command stands in the journal."""
        for chunk in self._unread:
            self._read(chunk)
        self._unread.clear()
        return (type(command), command.client_id) in self._journaled

    def power_off(self, *, cut: bool) -> None:
        """The process is gone; with `cut` the machine too, and of what was not synced only a part is there."""
        self.dead = True
        for fd, file in self._files.items():
            if cut and file.written > file.synced and file.kind != "ids":
                os.ftruncate(fd, file.synced + self._rng.below(file.written - file.synced + 1))
            os.close(fd)
        self._files.clear()

    # Disk

    def create(self, path: Path, flags: int) -> int:
        self._check()
        if path.name.startswith(("market", "trade")):
            self._mortal.pass_point("disk: before a segment is created")
        fd = super().create(path, flags)
        self._files[fd] = _File(path, 0)
        self._digest.update(path.name.encode())
        return fd

    def write(self, fd: int, data: bytes | bytearray) -> int:
        self._check()
        file, mortal = self._files[fd], self._mortal
        if file.kind == "ids":
            if mortal.disk_fails(IDS_FULL):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            mortal.pass_point("disk: before client ids are written")
            self._tear(fd, data, "disk: inside the writing of client ids")
        else:
            self._before_write(fd, file, data)
        done = super().write(fd, data)
        file.written += done
        self._digest.update(data)
        if file.kind == "trade":
            if b"approved" in data:
                self._unread.append(bytes(data))
            mortal.pass_point("disk: after the trade write")
        return done

    def sync(self, fd: int) -> None:
        self._check()
        self._mortal.pass_point("disk: before sync")
        if self._mortal.disk_fails(SYNC_ERROR):
            self.failed = True
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        file = self._files[fd]
        file.synced = file.written
        self._mortal.pass_point("disk: after sync")

    def close(self, fd: int) -> None:
        if self._files.pop(fd, None) is not None:
            super().close(fd)

    def rename(self, old: Path, new: Path) -> Path:
        self._check()
        self._mortal.pass_point("disk: before the run is named")
        renamed = super().rename(old, new)
        self._mortal.pass_point("disk: after the run is named")
        return renamed

    def replace(self, old: Path, new: Path) -> Path:
        self._check()
        self._mortal.pass_point("disk: before client ids are in place")
        replaced = super().replace(old, new)
        self._mortal.pass_point("disk: after client ids are in place")
        return replaced

    # Inside

    def _check(self) -> None:
        if self.dead:
            raise OSError(errno.EIO, "the process is gone")

    def _before_write(self, fd: int, file: _File, data: bytes | bytearray) -> None:
        mortal = self._mortal
        if self.failed or mortal.disk_fails(FULL):
            self.failed = True
            part = bytes(data[: len(data) // 2])
            file.written += super().write(fd, part)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if mortal.disk_fails(WRITE_ERROR):
            self.failed = True
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        if file.kind == "market":
            mortal.pass_point("disk: before the market write")
            self._tear(fd, data, "disk: inside the market write")
        else:
            mortal.pass_point("disk: between market and trade write")
            self._tear(fd, data, "disk: inside the trade write")

    def _tear(self, fd: int, data: bytes | bytearray, point: str) -> None:
        if self._mortal.dies_at(point):
            super().write(fd, bytes(data[: self._rng.below(len(data))]))
            self._mortal.die(point)

    def _read(self, chunk: bytes) -> None:
        """The commands in the frames of one write."""
        at = HEADER_BYTES if chunk.startswith(MAGIC) else 0
        while at < len(chunk):
            length = payload_length(chunk[at : at + 4])
            assert length is not None, "the journal wrote a frame that it cannot read"
            begin = at + FRAME_BYTES
            _, records = self._decode(chunk[begin + REST_BYTES : begin + length])
            for record in records:
                if isinstance(record, ApprovedCommand) and not isinstance(record.command, CancelAll):
                    self._journaled.add((type(record.command), record.command.client_id))
            at = begin + length
