"""Reads wire recordings: `<local receive time, ns> <one frame as received>` per line, gzip or plain.

Streams with flat memory, and gets everything good out of a damaged file: whatever cannot be used is named in `damage`
with its line and, where it is a matter of the text, its byte in the uncompressed text. Used by `connector.py`.
"""

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from mm_daemon.domain.errors import ConfigError

DAMAGE_MAX = 100
"""Places named one by one; beyond that they are only counted, but for the end of a damaged gzip file."""

_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_READ_BYTES = 1 << 16
_BLOCK_BYTES = 1 << 16
_LINE_BYTES_MAX = (4 << 20) + 64
_JUMP_NS = 60_000_000_000
_LAST_NS = (1 << 63) - 1


class Damage(msgspec.Struct, frozen=True):
    """One place of a recording that could not be used as it stands."""

    line: int
    byte: int | None
    what: str

    def __str__(self) -> str:
        place = f"line {self.line}" if self.byte is None else f"line {self.line} (byte {self.byte})"
        return f"{place}: {self.what}"


class WireLog:
    """One recording. `damage` and `damaged` describe what `frames` has read so far."""

    def __init__(self, path: Path) -> None:
        """Raises ConfigError when there is nothing to read."""
        self.path = path
        try:
            with path.open("rb") as file:
                self._magic = file.read(4)
            self.size = path.stat().st_size
        except OSError as error:
            raise ConfigError(
                f"recording {path}: {error.strerror or error}; give the path of a file of `<ns> <frame>` lines, "
                f"from {Path.cwd()} or absolute"
            ) from error
        if self._magic == _ZSTD:
            raise ConfigError(f"recording {path}: zstd is not read; unpack it first (zstd -d) or store it as gzip")
        self.damage: list[Damage] = []
        self.damaged = 0
        self.line = 0
        self.bytes_read = 0
        """Of the file as it is stored."""
        self._cut = False

    def first_ns(self) -> int:
        """Local time of the first frame. Raises ConfigError when the file has none."""
        for ts_local_ns, _ in WireLog(self.path).frames():
            return ts_local_ns
        raise ConfigError(f"recording {self.path}: no line is `<ns> <frame>`; is it a wire recording?")

    def frames(self) -> Iterator[tuple[int, bytes]]:
        """(local time, frame) of every usable line; times never step back."""
        self.damage, self.damaged, self.line, self.bytes_read, self._cut = [], 0, 0, 0, False
        last_ns = base = 0
        rest = b""
        skipping = False
        for block in self._blocks():
            lines = (rest + block).split(b"\n")
            rest = lines.pop()
            if skipping and lines:
                base += len(lines.pop(0)) + 1
                self.line += 1
                skipping = False
            first = self.line
            for line in lines:
                self.line += 1
                stamp, _, frame = line.partition(b" ")
                try:
                    ts_local_ns = int(stamp)
                except ValueError:
                    ts_local_ns = 0
                if not ts_local_ns or not last_ns <= ts_local_ns <= last_ns + _JUMP_NS or not frame:
                    index = self.line - 1 - first
                    known_ns, what = _settle(lines, index, ts_local_ns, last_ns, rest)
                    if what:
                        self._name(base + sum(map(len, lines[:index])) + index, what)
                    if known_ns is None:
                        continue
                    ts_local_ns = known_ns
                last_ns = ts_local_ns
                yield ts_local_ns, frame
            base += sum(map(len, lines)) + len(lines)
            if skipping or len(rest) > _LINE_BYTES_MAX:
                if not skipping:
                    self._name(base, "line is longer than 4 MiB", self.line + 1)
                skipping = True
                base += len(rest)
                rest = b""
        if rest and not skipping:
            yield from self._last_line(rest, base, last_ns)
        if not self.line:
            self._name(None, "the file holds nothing", 1)

    def _last_line(self, line: bytes, base: int, last_ns: int) -> Iterator[tuple[int, bytes]]:
        """The line at the end of the file, without its newline: whole, or cut off."""
        self.line += 1
        stamp, _, frame = line.partition(b" ")
        if self._cut or not frame.rstrip().endswith((b"}", b"]")):
            self._name(base, "the last line is cut off")
            return
        ts_local_ns, what = _settle([line], 0, _time(stamp), last_ns, b"")
        if what:
            self._name(base, what)
        if ts_local_ns is not None:
            yield ts_local_ns, frame

    def name_frame(self, what: str) -> None:
        """Note that the frame just read could not be used by its reader."""
        self._name(None, what)

    def _name(self, byte: int | None, what: str, line: int | None = None) -> None:
        self.damaged += 1
        if len(self.damage) < DAMAGE_MAX:
            self.damage.append(Damage(line or self.line, byte, what))

    def _blocks(self) -> Iterator[bytes]:
        with self.path.open("rb") as file:
            if self._magic.startswith(_GZIP):
                yield from self._unpacked(file)
            else:
                while block := file.read(_BLOCK_BYTES):
                    self.bytes_read += len(block)
                    yield block

    def _unpacked(self, file: BinaryIO) -> Iterator[bytes]:
        """The text of a gzip file, member after member, up to the byte where it is damaged."""
        decoder = None
        while data := file.read(_READ_BYTES):
            self.bytes_read += len(data)
            while data:
                if decoder is None:
                    data = data.lstrip(b"\0")  # padding between members
                    if not data:
                        break
                    decoder = zlib.decompressobj(wbits=31)
                before = decoder.copy()
                try:
                    text = decoder.decompress(data, _BLOCK_BYTES)
                except zlib.error as error:
                    yield from self._rescued(before, data, file.tell() - len(data), str(error))
                    return
                if text:
                    yield text
                data = decoder.unconsumed_tail
                if decoder.eof:
                    data, decoder = decoder.unused_data, None
        if decoder is not None:
            yield decoder.flush()
            if not decoder.eof:
                self._end_of_good(self.size, "the file ends early")

    def _rescued(self, decoder: "zlib._Decompress", data: bytes, position: int, error: str) -> Iterator[bytes]:
        """What a damaged piece still holds, byte by byte up to the damage."""
        for index in range(len(data)):
            try:
                text = decoder.decompress(data[index : index + 1])
            except zlib.error:
                self._end_of_good(position + index, error)
                return
            yield text

    def _end_of_good(self, position: int, error: str) -> None:
        self._cut = True
        self.damaged += 1  # named always, however much else is: it says why
        what = f"gzip is damaged at byte {position} of {self.size} ({error}); the rest is lost"
        self.damage.append(Damage(self.line + 1, None, what))


def _settle(lines: list[bytes], index: int, ts_local_ns: int, last_ns: int, rest: bytes) -> tuple[int | None, str]:
    """(time to use, what is wrong) of a line whose time is missing, steps back or leaps ahead; None: not usable.

    `rest` is as much as is known of the line after the last of `lines`.
    """
    line = lines[index].strip()
    if not line:
        return None, ""
    if not 0 < ts_local_ns <= _LAST_NS:
        return None, "line does not begin with a time in ns"
    if b" " not in line:
        return None, "line has no frame"
    if ts_local_ns < last_ns:
        return last_ns, "time steps back; the time before it is used"
    if ts_local_ns > last_ns + _JUMP_NS:
        stamp, space, _ = (lines[index + 1] if index + 1 < len(lines) else rest).partition(b" ")
        following_ns = _time(stamp) if space else 0
        # A wrong leap would hold the clock for all that follows, so only the next line can make it a right one.
        if following_ns < ts_local_ns - _JUMP_NS and (last_ns or following_ns > 0):
            return last_ns or following_ns, "time leaps ahead of the lines around it; theirs is used"
    return ts_local_ns, ""


def _time(stamp: bytes) -> int:
    try:
        return int(stamp)
    except ValueError:
        return 0
