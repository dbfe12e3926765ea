"""Client order ids are promised ahead of use, in blocks, by a small file in the state directory (EXECUTION 0).

The file holds the end of the last promised block and is on the disk before the first id of that block is used; a
restart goes on at that end, whatever it used of the block. So an id is never used twice, and an order found after a
crash is recognised as ours by its range. One process owns the file. Backtests take no ids from here: they start from a
fixed one.
"""

import os
from pathlib import Path
from zlib import crc32

from mm_daemon.domain.errors import JournalError
from mm_daemon.domain.orders import ClientOrderId
from mm_daemon.journal.disk import DISK, Disk

BLOCK = 4096
_END_OF_IDS = 1 << 48
_TITLE = "mm-daemon client ids, reserved up to"


def reserve(path: Path, wall_ms: int, count: int = BLOCK, disk: Disk = DISK) -> tuple[ClientOrderId, ClientOrderId]:
    """(first, end) of a new block of `count` ids, durable when this returns.

    Without a file the ids start at the wall clock's milliseconds, which no earlier run can have reached. Raises
    JournalError when the file cannot be trusted or written.
    """
    first = _read_end(path)
    if first is None:
        first = wall_ms
    end = first + count
    if not 0 < first < end <= _END_OF_IDS:
        raise JournalError(f"client ids {first}..{end} do not fit 48 bits: check the system clock and {path}")
    _replace(path, end, disk)
    return ClientOrderId(first), ClientOrderId(end)


def _read_end(path: Path) -> int | None:
    try:
        text = path.read_text("ascii", errors="replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise JournalError(f"client id file {path} cannot be read: {error.strerror}") from error
    body, _, check = text.rstrip("\n").rpartition(" ")
    title, _, digits = body.rpartition(" ")
    if title != _TITLE or not digits.isdecimal() or check != _check(body):
        raise JournalError(
            f"client id file {path} is damaged. Make sure that no order of ours is open at the venue, then delete it: "
            "ids start again from the clock, above all used ones"
        )
    return int(digits)


def _replace(path: Path, end: int, disk: Disk) -> None:
    """Whole or not at all: a new file takes the old one's place once it is on the disk."""
    body = f"{_TITLE} {end}"
    fresh = path.with_name(path.name + ".new")
    try:
        fd = disk.create(fresh, os.O_WRONLY | os.O_TRUNC)
        try:
            disk.write(fd, f"{body} {_check(body)}\n".encode())
            disk.sync(fd)
        finally:
            disk.close(fd)
        disk.replace(fresh, path)
        fd = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
    except OSError as error:
        raise JournalError(f"client id file {path} cannot be written: {error.strerror}") from error


def _check(body: str) -> str:
    return f"{crc32(body.encode()):08x}"
