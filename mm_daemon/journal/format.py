"""Bytes of a journal segment: one header, then frames.

A frame is a length word, the crc32 of word and payload, and the payload. The word holds 24 bits of length under an
8-bit check, because a length that lies would make a damaged file look like one that merely ends too early: any change
inside one byte of the word fails the check, and any change elsewhere fails the crc. So two faults can be told apart.
*Torn*: the file ends inside a frame that is otherwise in order, as after a sudden death. *Damaged*: bytes are not what
was written.
"""

import struct
from enum import StrEnum
from zlib import crc32

import msgspec

MAGIC = b"MMJRNL\r\n"
FORMAT_VERSION = 1

_HEADER = struct.Struct("<8sHHB3xQ")
_CRC = struct.Struct("<I")
_WORD = struct.Struct("<I")
_FRAME = struct.Struct("<II")
_PART = struct.Struct("<III")

HEADER_BYTES = _HEADER.size + _CRC.size
FRAME_BYTES = _FRAME.size
"""Bytes of a frame before its payload."""
MAX_PAYLOAD_BYTES = (1 << 24) - 1
REST_BYTES = _WORD.size
"""First bytes of a payload in a segment of one family: how many records of the turn follow those of this frame."""

_CHECK_OF_ZERO = 0xA5
"""Makes four zero bytes, the likely content of lost disk blocks, an invalid word."""


class FaultKind(StrEnum):
    TORN = "torn"
    DAMAGED = "damaged"


class Fault(msgspec.Struct, frozen=True):
    """Where the good part of a journal ends before the file does, as a byte offset, and why."""

    offset: int
    kind: FaultKind
    what: str
    file: str = ""
    """The segment, where a journal has several. In a compressed one the offset counts unpacked bytes."""

    def __str__(self) -> str:
        place = f"{self.file}: " if self.file else ""
        return f"{place}{self.kind} at byte {self.offset}: {self.what}"


class Family(StrEnum):
    """Which records a segment holds; one sequence of numbers runs through all families of a run."""

    ALL = "all"
    TRADE = "trade"
    """Orders, account, control, decisions, commands, checkpoints: kept for long, enough to recover from."""
    MARKET = "market"
    """Market data and the markers of `decide`: large, kept for hours, needed to live the run again."""


_FAMILY_CODES = {Family.ALL: 0, Family.TRADE: 1, Family.MARKET: 2}
_FAMILIES = {code: family for family, code in _FAMILY_CODES.items()}


class SegmentHeader(msgspec.Struct, frozen=True):
    """First bytes of a segment. `first_seq` is the number of the first record that may follow."""

    schema: int
    first_seq: int = 0
    family: Family = Family.ALL
    version: int = FORMAT_VERSION


def encode_header(header: SegmentHeader) -> bytes:
    body = _HEADER.pack(MAGIC, header.version, header.schema, _FAMILY_CODES[header.family], header.first_seq)
    return body + _CRC.pack(crc32(body))


def decode_header(data: bytes) -> SegmentHeader | Fault:
    """The header in the first `HEADER_BYTES` of a file, or what is wrong with them."""
    if not data.startswith(MAGIC[: len(data)]):
        return Fault(0, FaultKind.DAMAGED, "not a journal, or its first bytes were changed")
    if len(data) < HEADER_BYTES:
        return Fault(0, FaultKind.TORN, "the file ends inside its header")
    body = data[: _HEADER.size]
    if crc32(body) != _CRC.unpack_from(data, _HEADER.size)[0]:
        return Fault(0, FaultKind.DAMAGED, "the header does not match its crc")
    _, version, schema, code, first_seq = _HEADER.unpack(body)
    family = _FAMILIES.get(code)
    if version != FORMAT_VERSION or family is None:
        return Fault(
            0, FaultKind.DAMAGED, f"journal format {version}, family {code}; this version reads {FORMAT_VERSION}"
        )
    return SegmentHeader(schema=schema, first_seq=first_seq, family=family, version=version)


def encode_frame_head(payload: bytes) -> bytes:
    """Word and crc for a payload of at most `MAX_PAYLOAD_BYTES`."""
    length = len(payload)
    word = length | (_CHECK_OF_ZERO ^ (length ^ length >> 8 ^ length >> 16) & 0xFF) << 24
    return _FRAME.pack(word, crc32(payload, crc32(_WORD.pack(word))))


def encode_part_head(payload: bytes, rest: int) -> bytes:
    """Word, crc and `rest`, in front of a payload of at most `MAX_PAYLOAD_BYTES - REST_BYTES`."""
    length = len(payload) + REST_BYTES
    word = length | (_CHECK_OF_ZERO ^ (length ^ length >> 8 ^ length >> 16) & 0xFF) << 24
    return _PART.pack(word, crc32(payload, crc32(_FRAME.pack(word, rest))), rest)


def rest_of(payload: bytes) -> int:
    """What `encode_part_head` was given."""
    rest: int = _WORD.unpack_from(payload)[0]
    return rest


def payload_length(head: bytes) -> int | None:
    """Payload bytes that a frame's first four bytes announce; None when they fail their check."""
    low, middle, high, check = head[:4]
    if low ^ middle ^ high ^ check != _CHECK_OF_ZERO:
        return None
    return low | middle << 8 | high << 16


def is_intact(head: bytes, payload: bytes) -> bool:
    """Whether word and payload are the ones the frame's crc was taken of."""
    return head[4:FRAME_BYTES] == _CRC.pack(crc32(payload, crc32(head[:4])))
