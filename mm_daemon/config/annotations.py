"""What a key may hold, told from its type: msgspec structs, their `Meta` bounds, and both in words.

The reader (`nodes.py`) tests values against it, complaints and the written template say it.
"""

import re
import types
from collections.abc import Iterator, Sequence
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple, Union, get_args, get_origin

import msgspec

from mm_daemon.config.secrets import Secret

INT_LIMIT = 1 << 63


class _Failed(Enum):
    FAILED = "failed"


FAILED: Final = _Failed.FAILED
"""What reading gives for a value whose problem has been noted."""


class Key(NamedTuple):
    """What a mapping may hold under one key. `default` is FAILED for a required key."""

    annotation: Any
    default: Any = FAILED


class Constraint(NamedTuple):
    """An annotation taken apart: the bare type, its bounds, what it means."""

    bare: Any
    metas: tuple[msgspec.Meta, ...]

    @property
    def description(self) -> str:
        return next((meta.description for meta in self.metas if meta.description), "")


def keys_of(struct: type[msgspec.Struct]) -> dict[str, Key]:
    """The keys a struct is read from, with their annotations and defaults."""
    keys: dict[str, Key] = {}
    for field in msgspec.structs.fields(struct):
        default = FAILED if field.required else field.default
        if field.default_factory is not msgspec.NODEFAULT:
            default = field.default_factory()
        keys[field.encode_name] = Key(field.type, default)
    return keys


def take_apart(annotation: Any) -> Constraint:
    metas: tuple[msgspec.Meta, ...] = ()
    while get_origin(annotation) is Annotated:
        annotation, *extras = get_args(annotation)
        metas += tuple(extra for extra in extras if isinstance(extra, msgspec.Meta))
    while hasattr(annotation, "__supertype__"):  # NewType
        annotation = annotation.__supertype__
    return Constraint(annotation, metas)


def is_union(bare: Any) -> bool:
    return get_origin(bare) in {Union, types.UnionType}


def union_members(bare: Any) -> Iterator[Any]:
    for member in get_args(bare):
        inner = take_apart(member).bare
        if is_union(inner):
            yield from union_members(inner)
        else:
            yield member


def sections_in(annotation: Any) -> Iterator[type[msgspec.Struct]]:
    """The structs a value of this type may be read into: itself, its list's or its mapping's values."""
    bare = take_apart(annotation).bare
    if isinstance(bare, type) and issubclass(bare, msgspec.Struct):
        yield bare
    elif not isinstance(bare, type) or get_args(bare):
        for member in get_args(bare):
            yield from sections_in(member)


def choices(bare: Any) -> dict[str, Any]:
    """The allowed texts of a Literal or an Enum and their values."""
    if get_origin(bare) is Literal:
        return {str(choice): choice for choice in get_args(bare)}
    return {str(member.value): member for member in bare}


def within(value: Any, metas: Sequence[msgspec.Meta]) -> bool:
    """Whether a value keeps all bounds."""
    for meta in metas:
        if meta.gt is not None and not value > meta.gt:
            return False
        if meta.ge is not None and not value >= meta.ge:
            return False
        if meta.lt is not None and not value < meta.lt:
            return False
        if meta.le is not None and not value <= meta.le:
            return False
        if meta.min_length is not None and len(value) < meta.min_length:
            return False
        if meta.max_length is not None and len(value) > meta.max_length:
            return False
        if meta.pattern is not None and re.search(meta.pattern, value) is None:
            return False
    return True


def wanted(annotation: Any) -> str:
    """What is allowed, in words, for a complaint: kind, bounds, then meaning and unit."""
    kind, description = _words(annotation)
    return f"{kind} ({description})" if description else kind


def describe(annotation: Any) -> str:
    """What a key means, in words, for an explanation: meaning and unit, then kind and bounds."""
    kind, description = _words(annotation)
    return f"{description}; {kind}" if description else kind


def meaning(annotation: Any) -> str:
    """What a key means, empty where nobody has said."""
    return _words(annotation)[1]


def _words(annotation: Any) -> tuple[str, str]:
    constraint = take_apart(annotation)
    if not is_union(constraint.bare):
        return _kind(constraint), constraint.description
    members = [member for member in union_members(constraint.bare) if member is not type(None)]
    kinds = [_kind(take_apart(member)) for member in members]
    if len(members) < len(list(union_members(constraint.bare))):
        kinds.append("null")
    description = constraint.description or next((take_apart(member).description for member in members), "")
    return " or ".join(kinds), description


def _kind(constraint: Constraint) -> str:
    bare = constraint.bare
    if is_union(bare):
        return _words(bare)[0]
    if get_origin(bare) is Literal or (isinstance(bare, type) and issubclass(bare, Enum)):
        names = list(choices(bare))
        return names[0] if len(names) == 1 else f"one of {', '.join(names)}"
    if bare is bool:
        return "true or false"
    if bare in {int, float, Decimal}:
        bounds = _bounds(constraint.metas)
        kind = "a whole number" if bare is int else "a number"
        return f"{kind} {bounds}" if bounds else kind
    if bare is str:
        return "text"
    if bare is Path:
        return "a path"
    if bare is Secret:
        return "{env: NAME} or {file: PATH}"
    if get_origin(bare) in {tuple, list, Sequence}:
        return f"a list, each {_kind(take_apart(get_args(bare)[0]))}"
    return "a section of keys"


def _bounds(metas: Sequence[msgspec.Meta]) -> str:
    parts = []
    for meta in metas:
        if meta.ge is not None and meta.le is not None:
            parts.append(f"from {plain(meta.ge)} to {plain(meta.le)}")
            continue
        parts += [
            f"{words} {plain(bound)}"
            for words, bound in (("above", meta.gt), ("at least", meta.ge), ("below", meta.lt), ("at most", meta.le))
            if bound is not None
        ]
    return " and ".join(parts)


def counts(metas: Sequence[msgspec.Meta]) -> str:
    """How many entries a list or table may have."""
    least = max((meta.min_length or 0 for meta in metas), default=0)
    most = min((meta.max_length for meta in metas if meta.max_length is not None), default=None)
    return f"at least {least}" if most is None else f"{least} to {most}"


def plain(value: float) -> str:
    """A number as people write it: no exponent where it can be helped, no `.0`."""
    return str(int(value)) if value == int(value) and abs(value) < INT_LIMIT else f"{value:g}"
