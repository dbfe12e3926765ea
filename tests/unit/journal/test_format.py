"""Frames and headers: torn and damaged are told apart, whatever byte is hit."""

import pytest

from mm_daemon.journal.format import (
    FRAME_BYTES,
    HEADER_BYTES,
    MAX_PAYLOAD_BYTES,
    Fault,
    FaultKind,
    SegmentHeader,
    decode_header,
    encode_frame_head,
    encode_header,
    is_intact,
    payload_length,
)


@pytest.mark.parametrize("length", [0, 1, 255, 256, 65535, 65536, 1 << 20])
def test_length_word_says_the_payloads_length(length: int) -> None:
    """A frame's head announces exactly the payload that follows."""
    payload = bytes(length)
    head = encode_frame_head(payload)
    assert len(head) == FRAME_BYTES
    assert payload_length(head) == length
    assert is_intact(head, payload)


@pytest.mark.parametrize("length", [0, 7, 300, MAX_PAYLOAD_BYTES - 1, MAX_PAYLOAD_BYTES])
def test_no_change_of_one_byte_makes_another_valid_length(length: int) -> None:
    """A length that lies would turn damage into a torn tail; every change within one byte is recognised instead."""
    head = encode_frame_head(bytes(length))
    for position in range(4):
        for value in range(256):
            changed = bytearray(head)
            changed[position] = value
            assert payload_length(bytes(changed)) == (length if changed == head else None)


def test_zeroed_disk_blocks_are_no_frame() -> None:
    """Zeros in place of a frame are damage, not an endless row of empty frames."""
    assert payload_length(bytes(FRAME_BYTES)) is None


def test_crc_covers_payload_and_itself() -> None:
    """Any changed byte behind the length word fails the crc."""
    payload = b"one turn"
    whole = encode_frame_head(payload) + payload
    for position in range(4, len(whole)):
        changed = bytearray(whole)
        changed[position] ^= 0x01
        assert not is_intact(bytes(changed[:FRAME_BYTES]), bytes(changed[FRAME_BYTES:]))


def test_header_comes_back() -> None:
    """What a segment says about itself is read as it was written."""
    header = SegmentHeader(schema=3, first_seq=1 << 40)
    data = encode_header(header)
    assert len(data) == HEADER_BYTES
    assert decode_header(data) == header


def test_any_changed_byte_of_a_header_is_damage_at_its_start() -> None:
    """Nothing behind a header that cannot be trusted is read."""
    data = encode_header(SegmentHeader(schema=1))
    for position in range(len(data)):
        changed = bytearray(data)
        changed[position] ^= 0xFF
        fault = decode_header(bytes(changed))
        assert isinstance(fault, Fault)
        assert (fault.offset, fault.kind) == (0, FaultKind.DAMAGED)


def test_half_a_header_is_torn() -> None:
    """A file that ends inside its header was cut short, not damaged."""
    data = encode_header(SegmentHeader(schema=1))
    for length in range(len(data)):
        fault = decode_header(data[:length])
        assert isinstance(fault, Fault)
        assert fault.kind is FaultKind.TORN
