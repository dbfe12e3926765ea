"""Names of what lies in a journal folder, and compressed segments.

`journal/<run>/trade-000001.mmj`, `market-000001.mmj`, ...; a closed segment becomes `.mmj.zst`: one zstandard frame,
as any tool can read it, and behind it a skippable frame with the crc32 of all bytes before it, so that a change of any
byte is noticed even where it would unpack to the same. While both forms lie there, the plain one counts.
"""

import io
import os
import re
from collections.abc import Callable
from pathlib import Path
from struct import Struct
from typing import BinaryIO, NamedTuple, cast
from zlib import crc32

from mm_daemon.domain.errors import JournalError
from mm_daemon.journal.format import Family

OPENING = ".opening"
"""End of the name of a run whose first record is not written yet."""
SINGLE_FILE = ".journal"
_SUFFIX = ".mmj"
_COMPRESSED = ".mmj.zst"
_UNFINISHED = ".part"
_NAME = re.compile(r"(trade|market)-([0-9]{6,})\.mmj(\.zst)?")

_TRAILER = Struct("<III")
"""Magic of a skippable zstandard frame, its length, the crc32 of what lies before it."""
_SKIPPABLE = 0x184D2A5C
_CHUNK_BYTES = 1 << 20
_LEVEL = 3


class Segment(NamedTuple):
    path: Path
    family: Family
    number: int
    """From 1, without holes but for what retention deleted."""

    @property
    def compressed(self) -> bool:
        return is_compressed(self.path)


def segment_path(folder: Path, family: Family, number: int) -> Path:
    return folder / f"{family}-{number:06d}{_SUFFIX}"


def segment_at(path: Path) -> Segment | None:
    """What a file is by its name; None when it is no segment."""
    match = _NAME.fullmatch(path.name)
    return None if match is None else Segment(path, Family(match[1]), int(match[2]))


def segments_of(folder: Path, family: Family | None = None) -> list[Segment]:
    """The segments of a run in the order of their numbers, market before trade; one of each, the plain before the
    compressed. Raises JournalError when the folder cannot be read.
    """
    try:
        found = [segment for path in folder.iterdir() if (segment := segment_at(path)) is not None]
    except OSError as error:
        raise JournalError(f"journal {folder} cannot be read: {error.strerror}") from error
    chosen: dict[tuple[Family, int], Segment] = {}
    for segment in sorted(found, key=lambda segment: (segment.family, segment.number, segment.compressed)):
        if family is None or segment.family is family:
            chosen.setdefault((segment.family, segment.number), segment)
    return list(chosen.values())


def runs_in(folder: Path) -> list[Path]:
    """The runs in a journal folder, oldest first: a folder each, or one file."""
    try:
        found = [path for path in folder.iterdir() if path.is_dir() or path.suffix == SINGLE_FILE]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise JournalError(f"journals in {folder} cannot be read: {error.strerror}") from error
    return sorted((path for path in found if not path.name.endswith(OPENING)), key=lambda path: path.name)


def name_of_next(folder: Path, text: str) -> str:
    """`text` as the name of a new run or, where that would not stand behind all others, one that does.

    What is continued is the last run by name, and a clock that was set back must not change which one that is. Runs
    that died before they had begun count too. Raises JournalError.
    """
    try:
        names = [path.name.removesuffix(SINGLE_FILE).removesuffix(OPENING) for path in folder.iterdir()]
    except OSError as error:
        raise JournalError(f"journals in {folder} cannot be read: {error.strerror}") from error
    last = max(names, default="")
    if text > last:
        return text
    stem, found, count = last.rpartition("+")
    return f"{stem}+{int(count) + 1:06d}" if found and count.isdecimal() else f"{last}+000001"


def is_compressed(path: Path) -> bool:
    return path.name.endswith(_COMPRESSED)


def compress(path: Path, *, stop: Callable[[], bool] = lambda: False) -> Path | None:
    """Put a compressed segment in a plain one's place, whole or not at all; None when `stop` said so underway.

    Keeps the file's time, by which its age is told. Raises OSError.
    """
    import zstandard

    done = path.with_name(path.name + ".zst")
    fresh = done.with_name(done.name + _UNFINISHED)
    with path.open("rb") as source:
        told = os.fstat(source.fileno())
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as target:
            packer = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True).compressobj(size=told.st_size)
            crc = 0
            while chunk := source.read(_CHUNK_BYTES):
                if stop():
                    return None
                packed = packer.compress(chunk)
                crc = crc32(packed, crc)
                target.write(packed)
            packed = packer.flush()
            crc = crc32(packed, crc)
            target.write(packed)
            target.write(_TRAILER.pack(_SKIPPABLE, 4, crc))
            target.flush()
            os.fsync(target.fileno())
    os.utime(fresh, ns=(told.st_atime_ns, told.st_mtime_ns))
    fresh.replace(done)
    sync_directory(path.parent)
    path.unlink()
    return done


def damage_of(path: Path) -> str | None:
    """What is wrong with the bytes of a compressed segment, if anything is."""
    left = path.stat().st_size - _TRAILER.size
    crc = 0
    with path.open("rb") as file:
        while left > 0 and (chunk := file.read(min(left, _CHUNK_BYTES))):
            crc = crc32(chunk, crc)
            left -= len(chunk)
        intact = left == 0 and file.read() == _TRAILER.pack(_SKIPPABLE, 4, crc)
    return None if intact else "the compressed segment does not match its crc"


def open_segment(path: Path, buffer_bytes: int) -> BinaryIO:
    """The bytes of a segment, unpacked. Reading may raise `unpacking_error()`."""
    if not is_compressed(path):
        return path.open("rb", buffering=buffer_bytes)
    import zstandard

    unpacked = zstandard.ZstdDecompressor().stream_reader(path.open("rb"), closefd=True)
    return io.BufferedReader(cast(io.RawIOBase, unpacked), buffer_bytes)


def unpacking_error() -> type[Exception]:
    import zstandard

    return zstandard.ZstdError


def sync_directory(path: Path) -> None:
    """Make new names in a folder survive a power cut."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def shown(path: Path | str) -> str:
    """A path as text that can be written anywhere: names of files need not be UTF-8."""
    return os.fsencode(path).decode("utf-8", "replace")
