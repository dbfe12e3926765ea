"""Reads wire recordings: `<local receive time, ns> <one frame as received>` per line, gzip, zstandard or plain.

Streams with flat memory, and gets everything good out of a damaged file: whatever cannot be used is named in `damage`
with its line and, where it is a matter of the text, its byte in the uncompressed text; or, where damage is to stop the
reading, raised as the ConfigError that says so. `TextLog` is any file of lines, `WireLog` one recording.
"""

import base64
import binascii
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Literal

import msgspec

from mm_daemon.domain.errors import ConfigError
from mm_daemon.ports.recording import BREAKS, LOST, RAW, REMARK

DAMAGE_MAX = 100
"""Places named one by one; beyond that they are only counted, but for the end of a damaged gzip file."""

_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_READ_BYTES = 1 << 16
_BLOCK_BYTES = 1 << 16
_LINE_BYTES_MAX = (4 << 20) + 64
_JUMP_NS = 60_000_000_000
_ZSTD_READ_BYTES = 1 << 14
_LAST_NS = (1 << 63) - 1


BREAK = b""
"""Stands in the place of a frame where books begin anew: the link was gone, or frames were lost."""

Damaged = Literal["stop", "skip"]
"""What damage does to the reading: stop ends it with a message, skip goes on with what is good."""


class Damage(msgspec.Struct, frozen=True):
    """One place of a recording that could not be used as it stands."""

    line: int
    byte: int | None
    what: str

    def __str__(self) -> str:
        place = f"line {self.line}" if self.byte is None else f"line {self.line} (byte {self.byte})"
        return f"{place}: {self.what}"


class TextLog:
    """One file of lines. `damage` and `damaged` describe what has been read so far."""

    def __init__(self, path: Path, damaged: Damaged = "skip", what: str = "lines") -> None:
        """Raises ConfigError when there is nothing to read; `what` says what would be."""
        self.path = path
        try:
            with path.open("rb") as file:
                self._magic = file.read(4)
            self.size = path.stat().st_size
        except OSError as error:
            raise ConfigError(
                f"recording {path}: {error.strerror or error}; give the path of a file of {what}, "
                f"from {Path.cwd()} or absolute"
            ) from error
        self._stops = damaged == "stop"
        self.damage: list[Damage] = []
        self.damaged = 0
        self.line = 0
        self.bytes_read = 0
        """Of the file as it is stored."""
        self._cut = False

    @property
    def notes(self) -> list[str]:
        """`damage` for people."""
        notes = [f"{self.path}: {damage}" for damage in self.damage]
        unnamed = self.damaged - len(self.damage)
        return [*notes, f"{self.path}: {unnamed} more damaged places"] if unnamed else notes

    def lines(self) -> Iterator[bytes]:
        """Every line without its end; `line` is its number. What is cut off at the end is named and not given."""
        self._forget()
        rest = b""
        for block in self._blocks():
            lines = (rest + block).split(b"\n")
            rest = lines.pop()
            for line in lines:
                self.line += 1
                yield line.removesuffix(b"\r")
            if len(rest) > _LINE_BYTES_MAX:
                self.name("line is longer than 4 MiB", line=self.line + 1)
                return
        if rest:
            self.line += 1
            if self._cut:
                self.name("the last line is cut off")
            else:
                yield rest.removesuffix(b"\r")

    def name(self, what: str, byte: int | None = None, line: int | None = None) -> None:
        """Note that a place, the present line where none is given, cannot be used. Raises ConfigError where damage is
        to stop the reading."""
        self.damaged += 1
        self._keep(Damage(line or self.line, byte, what), always=False)

    def _keep(self, damage: Damage, *, always: bool) -> None:
        if always or len(self.damage) < DAMAGE_MAX:
            self.damage.append(damage)
        if self._stops:
            raise ConfigError(
                f"recording {self.path}: {damage}. Nothing behind it was used; write `damaged: skip` beside its path "
                "to go on with what is good"
            )

    def _forget(self) -> None:
        self.damage, self.damaged, self.line, self.bytes_read, self._cut = [], 0, 0, 0, False

    def _blocks(self) -> Iterator[bytes]:
        with self.path.open("rb") as file:
            if self._magic.startswith(_GZIP):
                yield from self._unpacked(file)
            elif self._magic == _ZSTD:
                yield from self._unpacked_zstd(file)
            else:
                while block := file.read(_BLOCK_BYTES):
                    self.bytes_read += len(block)
                    yield block

    def _unpacked_zstd(self, file: BinaryIO) -> Iterator[bytes]:
        """The text of one zstandard frame after the other, up to the byte where the file is damaged."""
        import zstandard

        unpacker = zstandard.ZstdDecompressor()
        decoder = None
        while data := file.read(_ZSTD_READ_BYTES):
            self.bytes_read += len(data)
            while data:
                decoder = decoder or unpacker.decompressobj()
                try:
                    text = decoder.decompress(data)
                except zstandard.ZstdError as error:
                    self._end_of_good(file.tell() - len(data), str(error), "zstd")
                    return
                if text:
                    yield text
                data = b""
                if decoder.eof:
                    data, decoder = decoder.unused_data, None
        if decoder is not None:
            self._end_of_good(self.size, "the file ends early", "zstd")

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

    def _end_of_good(self, position: int, error: str, packing: str = "gzip") -> None:
        self._cut = True
        self.damaged += 1  # named always, however much else is: it says why
        what = f"{packing} is damaged at byte {position} of {self.size} ({error}); the rest is lost"
        self._keep(Damage(self.line + 1, None, what), always=True)


class WireLog(TextLog):
    """One recording."""

    def __init__(self, path: Path, damaged: Damaged = "skip", *, jump_ns: int = _JUMP_NS) -> None:
        """`jump_ns`: a time further ahead than that must be borne out by the next line. Raises ConfigError when there
        is nothing to read."""
        super().__init__(path, damaged, "`<ns> <frame>` lines")
        self._jump_ns = jump_ns

    def first_ns(self) -> int:
        """Local time of the first frame. Raises ConfigError when the file has none."""
        for ts_local_ns, _ in WireLog(self.path).frames():
            return ts_local_ns
        raise ConfigError(f"recording {self.path}: no line is `<ns> <frame>`; is it a wire recording?")

    def frames(self, after_ns: int = 0) -> Iterator[tuple[int, bytes]]:
        """(local time, frame) of every usable line; times never step back, nor before `after_ns`. `BREAK` in the place
        of a frame says that books begin anew."""
        self._forget()
        last_ns, base, jump_ns = after_ns, 0, self._jump_ns
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
                if not ts_local_ns or not last_ns <= ts_local_ns <= last_ns + jump_ns or not frame:
                    if line.startswith(REMARK):
                        marked = self._remark(line)
                        if marked is not None:
                            last_ns = max(last_ns, marked[0])
                            yield last_ns, marked[1]
                        continue
                    index = self.line - 1 - first
                    known_ns, what = _settle(lines, index, ts_local_ns, last_ns, rest, jump_ns)
                    if what:
                        self.name(what, base + sum(map(len, lines[:index])) + index)
                    if known_ns is None:
                        continue
                    ts_local_ns = known_ns
                last_ns = ts_local_ns
                yield ts_local_ns, frame
            base += sum(map(len, lines)) + len(lines)
            if skipping or len(rest) > _LINE_BYTES_MAX:
                if not skipping:
                    self.name("line is longer than 4 MiB", base, self.line + 1)
                skipping = True
                base += len(rest)
                rest = b""
        if rest and not skipping:
            yield from self._last_line(rest, base, last_ns)
        if not self.line:
            self.name("the file holds nothing", line=1)

    def _last_line(self, line: bytes, base: int, last_ns: int) -> Iterator[tuple[int, bytes]]:
        """The line at the end of the file, without its newline: whole, or cut off."""
        self.line += 1
        stamp, _, frame = line.partition(b" ")
        if self._cut or not frame.rstrip().endswith((b"}", b"]")):
            self.name("the last line is cut off", base)
            return
        ts_local_ns, what = _settle([line], 0, _time(stamp), last_ns, b"", self._jump_ns)
        if what:
            self.name(what, base)
        if ts_local_ns is not None:
            yield ts_local_ns, frame

    def _remark(self, line: bytes) -> tuple[int, bytes] | None:
        """(time, frame) of a frame that did not fit into a line, (time, BREAK) where books begin anew."""
        parts = line.split(b" ", 3)
        at_ns = _time(parts[1]) if len(parts) > 2 else 0
        word = parts[2].strip() if at_ns > 0 else b""
        if word == RAW and len(parts) == 4:
            try:
                return at_ns, base64.b64decode(parts[3].strip(), validate=True)
            except binascii.Error:
                self.name("a frame in base64 cannot be read")
                return None
        if word == LOST:
            said = parts[3].decode("utf-8", "replace") if len(parts) == 4 else "frames"
            self.name(f"the recorder lost {said}")
        return (at_ns, BREAK) if word in BREAKS else None


def _settle(
    lines: list[bytes], index: int, ts_local_ns: int, last_ns: int, rest: bytes, jump_ns: int
) -> tuple[int | None, str]:
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
    if ts_local_ns > last_ns + jump_ns:
        following = (lines[index + 1] if index + 1 < len(lines) else rest).removeprefix(b"# ")
        stamp, space, _ = following.partition(b" ")
        following_ns = _time(stamp) if space else 0
        # A wrong leap would hold the clock for all that follows, so only the next line can make it a right one.
        if following_ns < ts_local_ns - jump_ns and (last_ns or following_ns > 0):
            return last_ns or following_ns, "time leaps ahead of the lines around it; theirs is used"
    return ts_local_ns, ""


def _time(stamp: bytes) -> int:
    try:
        return int(stamp)
    except ValueError:
        return 0
