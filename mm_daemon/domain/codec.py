"""Records of a run as bytes: what the core was told, when it was asked to decide, and what it answered.

A run is a sequence of records, numbered from zero: each event, a `Decided` marker per call of `TradingCore.decide`, and
behind the marker everything that call answered, in the order of `answers`; each minute a `Checkpoint` follows. Records
that belong together are encoded together, as the msgpack array `[number of the first record, [record, ...]]`, so that a
turn costs one call. Used by the journal, by replay and by whoever wants to look at a record.
"""

from collections.abc import Callable, Sequence
from enum import Enum
from typing import NamedTuple

import msgspec

from mm_daemon.domain.checkpoint import Checkpoint, PositionBooked
from mm_daemon.domain.decisions import ApprovedCommand, DecisionsChanged, DroppedCommand, OrderQuery, Refusal, Turn
from mm_daemon.domain.errors import JournalError
from mm_daemon.domain.events import Event
from mm_daemon.domain.reconciliation import Reconciled

SCHEMA_VERSION = 1
"""Version of the records. New fields at the end with a default keep it; anything else raises it and adds a reader."""


class Decided(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="decided"):
    """`TradingCore.decide(now_ns)` was called here. The records behind it, up to the next event, are its answer."""

    now_ns: int


Answer = DecisionsChanged | Refusal | DroppedCommand | PositionBooked | Reconciled | ApprovedCommand | OrderQuery
"""What a call of `decide` may add to the journal. An `ApprovedCommand` in a journal has been released to its venue."""

Record = Event | Decided | Answer | Checkpoint

Run = tuple[int, tuple[Record, ...]]
"""Consecutive records behind the number of the first."""

_encoder = msgspec.msgpack.Encoder()
_readers: dict[int, Callable[[bytes], Run]] = {
    SCHEMA_VERSION: msgspec.msgpack.Decoder[Run](tuple[int, tuple[Record, ...]]).decode,
}


def add_turn(records: list[Record], turn: Turn) -> None:
    """A turn's marker and answers, in the one order that journals keep, behind the events that led to it."""
    records.append(Decided(turn.now_ns))
    records += answers(turn)
    if turn.checkpoint is not None:
        records.append(turn.checkpoint)


def answers(turn: Turn) -> tuple[Answer, ...]:
    return (
        *turn.decisions,
        *turn.refusals,
        *turn.dropped,
        *turn.booked,
        *turn.reconciled,
        *turn.released,
        *turn.queries,
    )


class Numbers(NamedTuple):
    """Numbers of the first record of each kind in a turn's answers; where there are none, of what stands there."""

    decisions: int
    booked: int
    reconciled: int
    released: int


def numbers_of(turn: Turn, end: int) -> Numbers:
    """Where a turn's answers stand in a journal whose next record, behind the turn, is number `end`."""
    released = end - (turn.checkpoint is not None) - len(turn.queries) - len(turn.released)
    reconciled = released - len(turn.reconciled)
    booked = reconciled - len(turn.booked)
    decisions = booked - len(turn.dropped) - len(turn.refusals) - len(turn.decisions)
    return Numbers(decisions, booked, reconciled, released)


def encode(seq: int, records: Sequence[Record]) -> bytes:
    """Consecutive records, the first of them numbered `seq`. Raises JournalError for what msgpack cannot hold."""
    try:
        return _encoder.encode((seq, records))
    except (OverflowError, TypeError, ValueError) as error:
        raise JournalError(f"record {seq} or one behind it cannot be written: {error}") from error


def reader_for(schema: int) -> Callable[[bytes], Run]:
    """The decoder for records of one schema; it raises msgspec.DecodeError for bytes that hold no records."""
    try:
        return _readers[schema]
    except KeyError:
        known = ", ".join(map(str, sorted(_readers)))
        raise JournalError(f"written with record schema {schema}; this version reads {known}") from None


def plain(value: object) -> object:
    """A record, or any part of one, as dicts with field names, lists and scalars: for people and for JSON."""
    if isinstance(value, msgspec.Struct):
        kind = value.__struct_config__.tag
        named = {name: plain(getattr(value, name)) for name in value.__struct_fields__}
        return {"record": kind, **named} if kind is not None else named
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, Enum):
        return value.value
    return value
