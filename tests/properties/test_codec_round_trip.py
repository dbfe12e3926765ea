"""Law: every record that can exist survives its bytes, alone and in any company."""

import types
import typing
from decimal import Decimal
from enum import Enum
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mm_daemon.domain import codec
from mm_daemon.domain.codec import Record
from mm_daemon.domain.errors import JournalError
from mm_daemon.domain.events import VenueTime
from mm_daemon.domain.instrument import Venue

INTS = st.integers(-(1 << 63), (1 << 63) - 1)
SCALARS: dict[Any, st.SearchStrategy[Any]] = {
    int: INTS,
    float: st.floats(allow_nan=False),
    str: st.text(st.characters(codec="utf-8"), max_size=20),
    bool: st.booleans(),
    type(None): st.none(),
    Decimal: st.decimals(allow_nan=False, allow_infinity=False, places=8, min_value=-(10**9), max_value=10**9),
}


def values(kind: Any) -> st.SearchStrategy[Any]:
    """All values that a field of this type may hold."""
    if isinstance(kind, typing.NewType):
        return values(kind.__supertype__)
    if kind in SCALARS:
        return SCALARS[kind]
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return st.one_of([values(part) for part in parts])
    if origin is tuple and parts[-1] is Ellipsis:
        return st.lists(values(parts[0]), max_size=3).map(tuple)
    if origin is tuple:
        return st.tuples(*[values(part) for part in parts])
    if origin is dict:
        return st.dictionaries(values(parts[0]), values(parts[1]), max_size=3)
    if issubclass(kind, Enum):
        return st.sampled_from(list(kind))
    assert issubclass(kind, msgspec.Struct), kind
    hints = typing.get_type_hints(kind)
    return st.builds(kind, **{name: values(hints[name]) for name in kind.__struct_fields__})


RECORD_KINDS = typing.get_args(Record)


@pytest.mark.parametrize("kind", RECORD_KINDS, ids=lambda kind: kind.__name__)
def test_every_kind_of_record_survives_its_bytes(kind: type[msgspec.Struct]) -> None:
    """Whatever a record's fields hold, what is read is what was written, types included."""

    @settings(max_examples=20, deadline=None)
    @given(record=values(kind), seq=st.integers(0, 1 << 62))
    def survives(record: Record, seq: int) -> None:
        got_seq, got = codec.reader_for(codec.SCHEMA_VERSION)(codec.encode(seq, [record]))
        assert (got_seq, got) == (seq, (record,))
        assert type(got[0]) is kind
        assert codec.encode(seq, got) == codec.encode(seq, [record])

    survives()


@settings(max_examples=30, deadline=None)
@given(records=st.lists(st.sampled_from(RECORD_KINDS).flatmap(values), max_size=6))
def test_records_keep_their_order_in_company(records: list[Record]) -> None:
    """A turn of any mixture comes back whole and in order, and can be shown to people."""
    _, got = codec.reader_for(codec.SCHEMA_VERSION)(codec.encode(7, records))
    assert list(got) == records
    for record in got:
        shown = codec.plain(record)
        assert isinstance(shown, dict)
        assert msgspec.json.encode(shown)


def test_a_number_beyond_64_bits_is_refused_by_name() -> None:
    """What msgpack cannot hold is an error of the journal, never a crash of another kind."""
    with pytest.raises(JournalError, match="record 5"):
        codec.encode(5, [VenueTime(Venue("sim"), 0, 1 << 70)])


def test_records_of_an_unknown_schema_are_refused() -> None:
    """A journal from a later version says so instead of being misread."""
    with pytest.raises(JournalError, match="schema 999"):
        codec.reader_for(999)
