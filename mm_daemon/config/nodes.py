"""YAML nodes into typed values, leaf by leaf, so that every mistake is found in one reading and named at its place.

The wanted type decides how a text is read, not YAML's own guesses: `1e-4` is a number and `NO` is a symbol when that is
what the key asks for. What a key may hold is `annotations.py`'s to say.
"""

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from enum import Enum
from math import isfinite
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args, get_origin

import msgspec
import yaml

from mm_daemon.config.annotations import (
    FAILED,
    INT_LIMIT,
    Constraint,
    Key,
    choices,
    counts,
    is_union,
    keys_of,
    take_apart,
    union_members,
    wanted,
    within,
)
from mm_daemon.config.overrides import OVERRIDE
from mm_daemon.config.problems import Place, Problem
from mm_daemon.config.secrets import REDACTED, Secret, looks_secret
from mm_daemon.domain.spelling import did_you_mean

_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9_]*)")
_NUMBER = re.compile(r"[-+]?(?:[0-9][0-9_]*(?:\.[0-9_]*)?|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]{1,3})?")
_VARIABLE = re.compile(r"\$(?:\$|\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^{}]*))?\})")
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_DECIMAL_LIMIT = Decimal(10) ** 15
_DECIMAL_PLACES = 18
_SECRET_BYTES_MAX = 1 << 16
_SHOWN = 40


class Entry(NamedTuple):
    """A value that was read (or FAILED) and where its key stands."""

    value: Any
    place: Place


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
        mark = node.start_mark
        return Place(mark.name if mark.name.startswith(OVERRIDE) else self.file, mark.line + 1, mark.column + 1)

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
        if bare is Secret:
            return self._one_secret(node, constraint, path)
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
        if len(members) == 1 and (
            not isinstance(node, yaml.ScalarNode) or take_apart(members[0]).bare in {str, Path, Secret}
        ):
            return self.value(node, members[0], path)
        sections = [member for member in members if _is_section(member)]
        if isinstance(node, yaml.MappingNode) and len(sections) == 1:
            return self.value(node, sections[0], path)  # whose own complaints say more
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
            self.report(node, path, f"has {len(items)} entries, must be {wanted(bare)}, {counts(constraint.metas)}")
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
            self.report(node, path, f"has {len(table)} entries, must have {counts(constraint.metas)}")
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

    def _one_secret(self, node: yaml.Node, constraint: Constraint, path: str) -> Any:
        text = self.secret(node, path)
        if text is None:
            return FAILED
        if not within(text, constraint.metas):
            self.report(
                node, path, f"the secret named here has {len(text)} characters, must have {counts(constraint.metas)}"
            )
            return FAILED
        return Secret(text)

    def secret(self, node: yaml.Node, path: str) -> str | None:
        """The text that `{env: NAME}` or `{file: PATH}` names, or None."""
        if not isinstance(node, yaml.MappingNode):
            self.report(
                node, path, "a secret may not stand in this file; write {env: NAME} or {file: PATH} and keep it there"
            )
            return None
        found = self.mapping(node, path) or {}
        if list(found) not in (["env"], ["file"]):
            self.report(node, path, "must have exactly one key, env or file")
            return None
        ((kind, (_, value_node)),) = found.items()
        source = self.value(value_node, str if kind == "env" else Path, join(path, kind))
        if source is FAILED:
            return None
        return (
            self._from_environment(value_node, path, source) if kind == "env" else self._from_file(node, path, source)
        )

    def _from_environment(self, node: yaml.Node, path: str, name: str) -> str | None:
        value = self.environ.get(name)
        if not value:
            # the name is not repeated: somebody may have put the secret itself here
            self.report(node, path, "the environment variable named here is not set or empty")
            return None
        return value

    def _from_file(self, node: yaml.Node, path: str, source: Path) -> str | None:
        try:
            with source.open("rb") as file:
                raw = file.read(_SECRET_BYTES_MAX + 1)
            value = raw.decode("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            said = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
            self.report(node, path, f"the file named here cannot be read: {said}")
            return None
        if len(raw) > _SECRET_BYTES_MAX:
            self.report(node, path, f"the file named here is larger than {_SECRET_BYTES_MAX} bytes, which no secret is")
            return None
        if not value:
            self.report(node, path, "the file named here is empty")
            return None
        return value

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
        if "${" in _VARIABLE.sub(" ", node.value):
            self.report(
                node, path, "has a ${ that names no variable; write ${NAME} or ${NAME:-a default}, or $${ for ${"
            )
            return None
        for name in missing:
            self.report(
                node, path, f"the environment variable {name} is not set; set it, or write ${{{name}:-a default}}"
            )
        return None if missing else text


def _is_section(annotation: Any) -> bool:
    bare = take_apart(annotation).bare
    return get_origin(bare) in {dict, Mapping} or (isinstance(bare, type) and issubclass(bare, msgspec.Struct))


def join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.style is None and node.value in _NULLS


def number(text: str, kind: type) -> Any:
    """A number as people write one, or FAILED. Whole numbers may not start with zero: YAML reads those as octal."""
    if kind is int:
        if _INTEGER.fullmatch(text) is None or len(text) > _SHOWN:
            return FAILED
        whole = int(text)
        return whole if -INT_LIMIT <= whole < INT_LIMIT else FAILED
    if _NUMBER.fullmatch(text) is None:
        return FAILED
    if kind is float:
        value = float(text.replace("_", ""))
        return value if isfinite(value) else FAILED
    exact = Decimal(text.replace("_", ""))
    exponent = exact.as_tuple().exponent
    fits = abs(exact) < _DECIMAL_LIMIT and isinstance(exponent, int) and exponent >= -_DECIMAL_PLACES
    return exact if fits else FAILED


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
