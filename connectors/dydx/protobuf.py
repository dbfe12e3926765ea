"""Protobuf's wire format, as far as dYdX's transactions need it: written by hand, with no schema and no library.

A field is its tag (number and wire type) and a value. Proto3 leaves out what has its default value, so `uint`,
`fixed32` and `text` write nothing for 0 and ""; members of a oneof are written whenever they are set, by `set_uint` and
`set_fixed32`.

Source: protobuf.dev, "Encoding".
"""

from collections.abc import Iterable

_VARINT, _BYTES, _FIXED32 = 0, 2, 5
_SMALL = tuple(bytes((value,)) for value in range(128))


def varint(value: int) -> bytes:
    """A number >= 0 in groups of seven bits, the lowest first."""
    if value < 128:
        return _SMALL[value]
    groups = bytearray()
    while value > 127:
        groups.append(value & 127 | 128)
        value >>= 7
    groups.append(value)
    return bytes(groups)


def tag(number: int, wire_type: int) -> bytes:
    return varint(number << 3 | wire_type)


def block(number: int, value: bytes) -> bytes:
    """A message, bytes or text with its length; written also when it is empty."""
    return tag(number, _BYTES) + varint(len(value)) + value


def text(number: int, value: str) -> bytes:
    return block(number, value.encode()) if value else b""


def uint(number: int, value: int) -> bytes:
    return set_uint(number, value) if value else b""


def set_uint(number: int, value: int) -> bytes:
    return tag(number, _VARINT) + varint(value)


def fixed32(number: int, value: int) -> bytes:
    return set_fixed32(number, value) if value else b""


def set_fixed32(number: int, value: int) -> bytes:
    return tag(number, _FIXED32) + value.to_bytes(4, "little")


def packed(number: int, values: Iterable[int]) -> bytes:
    """A repeated number in proto3's packed form."""
    data = b"".join(map(varint, values))
    return block(number, data) if data else b""
