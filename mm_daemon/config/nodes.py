"""YAML nodes into typed values, leaf by leaf, so that every mistake is found in one reading and named at its place.

The wanted type decides how a text is read, not YAML's own guesses: `1e-4` is a number and `NO` is a symbol when that is
what the key asks for. Types are those of msgspec structs with their `Meta` bounds; what messages say is allowed comes
from the same bounds.
"""

import re
import types
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from enum import Enum
from math import isfinite
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple, Union, get_args, get_origin

import msgspec
import yaml

from mm_daemon.config.problems import Place, Problem
from mm_daemon.config.secrets import REDACTED, looks_secret
from mm_daemon.domain.spelling import did_you_mean

_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9_]*)")
_NUMBER = re.compile(r"[-+]?(?:[0-9][0-9_]*(?:\.[0-9_]*)?|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]{1,3})?")
_VARIABLE = re.compile(r"\$(?:\$|\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^{}]*))?\})")
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT_LIMIT = 1 << 63
_DECIMAL_LIMIT = Decimal(10) ** 15
_DECIMAL_PLACES = 18
_SHOWN = 40


class _Failed(Enum):
    FAILED = "failed"


FAILED: Final = _Failed.FAILED
"""What reading gives for a value whose problem has been noted."""


class Key(NamedTuple):
    """What a mapping may hold under one key. `default` is FAILED for a required key."""

    annotation: Any
    default: Any = FAILED


class Entry(NamedTuple):
    """A value that was read (or FAILED) and where its key stands."""

    value: Any
    place: Place


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


def compose(text: str, file: str, problems: list[Problem]) -> yaml.Node | None:
    """The document's node tree; a file that is no YAML is one problem at the place where it stops being YAML."""
    try:
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(file, mark.line + 1, mark.column + 1) if mark else Place(file, 1, 1)
        said = " ".join(part for part in (error.context, error.problem) if part)
        problems.append(Problem(place, "", f"not readable as YAML: {said}"))
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        place = Place(file, before.count("\n") + 1, len(before) - before.rfind("\n"))
        problems.append(Problem(place, "", f"not readable as YAML: {error.reason}"))
    except RecursionError:
        problems.append(Problem(Place(file, 1, 1), "", "not readable: nested too deeply"))
    return None


class Reader:
    """Reads nodes of one file; every mistake goes into `problems`, and reading continues."""

    def __init__(self, file: str, environ: Mapping[str, str], problems: list[Problem]) -> None:
        self.file = file
        self.environ = environ
        self.problems = problems

    def place(self, node: yaml.Node) -> Place:
        return Place(self.file, node.start_mark.line + 1, node.start_mark.column + 1)

    def report(self, where: yaml.Node | Place, path: str, text: str) -> None:
        place = where if isinstance(where, Place) else self.place(where)
        problem = Problem(place, path, text)
        if problem not in self.problems:  # an alias may lead to the same node twice
            self.problems.append(problem)

    def mapping(self, node: yaml.Node, path: str) -> dict[str, tuple[yaml.Node, yaml.Node]] | None:
        """Key and value nodes by key text; a duplicate or unreadable key is a problem and the first one counts."""
        if is_null(node):
            return {}
        if not isinstance(node, yaml.MappingNode):
            self.report(node, path, f"is {shown(node, path)}, must be a section of keys")
            return None
        found: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self.report(key_node, path, "a key must be plain text")
                continue
            key = key_node.value
            if key in found:
                first = found[key][0].start_mark.line + 1
                self.report(key_node, join(path, key), f"stands here for the second time, the first is in line {first}")
            else:
                found[key] = (key_node, value_node)
        return found

    def entries(self, node: yaml.Node, keys: Mapping[str, Key], path: str) -> dict[str, Entry]:
        """The values that stand in a section. Missing keys are left to the caller; unknown ones are problems."""
        entries: dict[str, Entry] = {}
        for key, (key_node, value_node) in (self.mapping(node, path) or {}).items():
            if key in keys:
                value = self.value(value_node, keys[key].annotation, join(path, key))
                entries[key] = Entry(value, self.place(key_node))
            else:
                self.unknown(key_node, join(path, key), keys)
        return entries

    def unknown(self, key_node: yaml.Node, path: str, known: Mapping[str, object]) -> None:
        word = key_node.value
        hint = did_you_mean(word, known)
        if not hint:
            hint = f"; allowed are {listed(known)}" if known else "; no keys are allowed here"
        self.report(key_node, path, f"unknown key{hint}")

    def struct(self, node: yaml.Node, struct: type[msgspec.Struct], path: str) -> Any:
        """A section as an instance of `struct`, or FAILED."""
        if not is_null(node) and not isinstance(node, yaml.MappingNode):
            self.report(node, path, f"is {shown(node, path)}, must be a section of keys")
            return FAILED
        keys = keys_of(struct)
        return self.build(struct, keys, self.entries(node, keys, path), node, path)

    def build(
        self,
        struct: type[msgspec.Struct],
        keys: Mapping[str, Key],
        entries: Mapping[str, Entry],
        where: yaml.Node | Place,
        path: str,
    ) -> Any:
        """Fill defaults, name what is missing, construct. FAILED when anything was wrong."""
        values: dict[str, Any] = {}
        complete = True
        for key, (annotation, default) in keys.items():
            if key in entries:
                values[key] = entries[key].value
            elif default is FAILED:
                self.report(where, join(path, key), f"is missing: {wanted(annotation)}")
                complete = False
            else:
                values[key] = default
        if not complete or any(value is FAILED for value in values.values()):
            return FAILED
        names = {field.encode_name: field.name for field in msgspec.structs.fields(struct)}
        try:
            return struct(**{names[key]: value for key, value in values.items()})
        except (ValueError, TypeError) as error:  # a rule of the struct's own, in __post_init__
            self.report(where, path, str(error))
            return FAILED

    def value(self, node: yaml.Node, annotation: Any, path: str) -> Any:
        """A node as a value of the annotated type, or FAILED."""
        constraint = take_apart(annotation)
        bare = constraint.bare
        if is_union(bare):
            return self._union(node, annotation, path)
        if isinstance(bare, type) and issubclass(bare, msgspec.Struct):
            return self.struct(node, bare, path)
        origin = get_origin(bare)
        if origin in {tuple, list, Sequence}:
            return self._sequence(node, constraint, path)
        if origin in {dict, Mapping}:
            return self._table(node, constraint, path)
        if bare in {str, Path}:
            return self._text(node, constraint, annotation, path)
        value = self._leaf(node, constraint, path)
        if value is FAILED:
            self.report(node, path, f"is {shown(node, path)}, must be {wanted(annotation)}")
        return value

    def _union(self, node: yaml.Node, annotation: Any, path: str) -> Any:
        members = list(union_members(take_apart(annotation).bare))
        if any(member is type(None) for member in members) and is_null(node):
            return None
        members = [member for member in members if member is not type(None)]
        if len(members) == 1 and (not isinstance(node, yaml.ScalarNode) or take_apart(members[0]).bare in {str, Path}):
            return self.value(node, members[0], path)
        for member in members:
            trial = Reader(self.file, self.environ, [])
            value = trial.value(node, member, path)
            if value is not FAILED:
                return value
        self.report(node, path, f"is {shown(node, path)}, must be {wanted(annotation)}")
        return FAILED

    def _sequence(self, node: yaml.Node, constraint: Constraint, path: str) -> Any:
        bare = constraint.bare
        arguments = [argument for argument in get_args(bare) if argument is not Ellipsis]
        fixed = get_origin(bare) is tuple and Ellipsis not in get_args(bare)
        if not isinstance(node, yaml.SequenceNode):
            self.report(node, path, f"is {shown(node, path)}, must be {wanted(bare)}")
            return FAILED
        if fixed and len(arguments) != len(node.value):
            self.report(node, path, f"has {len(node.value)} entries, must have {len(arguments)}")
            return FAILED
        types_ = arguments if fixed else [arguments[0]] * len(node.value)
        items = [
            self.value(item, type_, f"{path}[{index}]")
            for index, (item, type_) in enumerate(zip(node.value, types_, strict=True))
        ]
        if any(item is FAILED for item in items):
            return FAILED
        if not within(items, constraint.metas):
            self.report(node, path, f"has {len(items)} entries, must be {wanted(bare)}, {_counts(constraint.metas)}")
            return FAILED
        return items if get_origin(bare) is list else tuple(items)

    def _table(self, node: yaml.Node, constraint: Constraint, path: str) -> Any:
        found = self.mapping(node, path)
        if found is None:
            return FAILED
        _, annotation = get_args(constraint.bare)
        table = {key: self.value(value_node, annotation, join(path, key)) for key, (_, value_node) in found.items()}
        if any(value is FAILED for value in table.values()):
            return FAILED
        if not within(table, constraint.metas):
            self.report(node, path, f"has {len(table)} entries, must have {_counts(constraint.metas)}")
            return FAILED
        return table

    def _leaf(self, node: yaml.Node, constraint: Constraint, path: str) -> Any:
        if not isinstance(node, yaml.ScalarNode):
            return FAILED
        bare, text, plain = constraint.bare, node.value, node.style is None
        if get_origin(bare) is Literal or (isinstance(bare, type) and issubclass(bare, Enum)):
            return choices(bare).get(text, FAILED)
        if bare is bool:
            return _BOOLS.get(text, FAILED) if plain else FAILED
        if bare in {int, float, Decimal}:
            value = number(text, bare) if plain else FAILED
            return value if value is not FAILED and within(value, constraint.metas) else FAILED
        raise TypeError(f"{path}: settings of type {bare!r} cannot be read from a configuration file")

    def _text(self, node: yaml.Node, constraint: Constraint, annotation: Any, path: str) -> Any:
        if not isinstance(node, yaml.ScalarNode) or is_null(node):
            self.report(node, path, f"is {shown(node, path)}, must be {wanted(annotation)}")
            return FAILED
        text = self.expanded(node, path)
        if text is None:
            return FAILED
        if not within(text, constraint.metas):
            self.report(node, path, f"is {shown(node, path)}, must be {wanted(annotation)}")
            return FAILED
        return Path(text) if constraint.bare is Path else text

    def expanded(self, node: yaml.ScalarNode, path: str) -> str | None:
        """Text with `${NAME}` and `${NAME:-default}` replaced; `$$` is a dollar. None when a variable is not set."""
        missing: list[str] = []

        def replace(match: re.Match[str]) -> str:
            name, default = match.group(1), match.group(2)
            if name is None:
                return "$"
            value = self.environ.get(name) or default
            if value is None:
                missing.append(name)
                return ""
            return value

        text = _VARIABLE.sub(replace, node.value)
        for name in missing:
            self.report(
                node, path, f"the environment variable {name} is not set; set it, or write ${{{name}:-a default}}"
            )
        return None if missing else text


def join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.style is None and node.value in _NULLS


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


def choices(bare: Any) -> dict[str, Any]:
    """The allowed texts of a Literal or an Enum and their values."""
    if get_origin(bare) is Literal:
        return {str(choice): choice for choice in get_args(bare)}
    return {str(member.value): member for member in bare}


def number(text: str, kind: type) -> Any:
    """A number as people write one, or FAILED. Whole numbers may not start with zero: YAML reads those as octal."""
    if kind is int:
        if _INTEGER.fullmatch(text) is None or len(text) > _SHOWN:
            return FAILED
        whole = int(text)
        return whole if -_INT_LIMIT <= whole < _INT_LIMIT else FAILED
    if _NUMBER.fullmatch(text) is None:
        return FAILED
    if kind is float:
        value = float(text.replace("_", ""))
        return value if isfinite(value) else FAILED
    exact = Decimal(text.replace("_", ""))
    exponent = exact.as_tuple().exponent
    fits = abs(exact) < _DECIMAL_LIMIT and isinstance(exponent, int) and exponent >= -_DECIMAL_PLACES
    return exact if fits else FAILED


def within(value: Any, metas: Sequence[msgspec.Meta]) -> bool:
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


def _counts(metas: Sequence[msgspec.Meta]) -> str:
    least = max((meta.min_length or 0 for meta in metas), default=0)
    most = min((meta.max_length for meta in metas if meta.max_length is not None), default=None)
    return f"at least {least}" if most is None else f"{least} to {most}"


def plain(value: float) -> str:
    """A number as people write it: no exponent where it can be helped, no `.0`."""
    return str(int(value)) if value == int(value) and abs(value) < _INT_LIMIT else f"{value:g}"


def shown(node: yaml.Node, path: str) -> str:
    """A node's content for a message: short, before expansion, and never a secret."""
    if isinstance(node, yaml.MappingNode):
        return "a section of keys"
    if isinstance(node, yaml.SequenceNode):
        return "a list"
    if is_null(node):
        return "empty"
    if looks_secret(path.rpartition(".")[2]):
        return REDACTED
    text = node.value if len(node.value) <= _SHOWN else f"{node.value[:_SHOWN]}…"
    quoted = isinstance(node, yaml.ScalarNode) and node.style is not None
    return repr(text) if quoted or not text.isprintable() or " " in text else text


def listed(known: Mapping[str, object]) -> str:
    names = list(known)
    return ", ".join(names) if len(names) <= 12 else f"{', '.join(names[:12])} and {len(names) - 12} more"
