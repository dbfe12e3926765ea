"""Keys set from outside a configuration file: by `--set`, a sweep, a notebook.

A key is named by its way from the top: `paper.queue_model`, `venues.binance.path`, `markets.*.gamma` for every market,
`markets[0].gamma` by number, `markets.BTCUSDT.gamma` or `markets.binance:BTCUSDT.gamma` by name. What is set replaces
what the file says, or stands there as if it had been written; it is read and checked like the file itself. A text is
read as YAML, as in the file; other values stand for themselves, None for null.
"""

import re
from collections.abc import Mapping

import msgspec
import yaml

from mm_daemon.config.problems import Place, Problem

OVERRIDE = "override "
"""Begins the name of the place where such a value stands, before its key."""
_MARKET = re.compile(r"markets(?:\[(?P<index>\d+)\]|\.(?P<name>.+))\.(?P<key>[^.]+)")
_encoder = msgspec.json.Encoder(decimal_format="number", enc_hook=str)


def set_keys(root: yaml.Node, overrides: Mapping[str, object], problems: list[Problem]) -> None:
    """Put each value into the tree in the order given; a key that leads nowhere, or a value that is no YAML, is a
    problem.
    """
    for path, value in overrides.items():
        place = Place(OVERRIDE + path, 1, 1)
        try:
            node = _node(value, place.file)
            _set(root, path, node)
        except yaml.YAMLError as error:
            problems.append(Problem(place, path, f"the value cannot be read as YAML: {error}"))
        except LookupError as error:
            problems.append(Problem(place, path, str(error.args[0])))


def _node(value: object, name: str) -> yaml.Node:
    text = value if isinstance(value, str) else _encoder.encode(value).decode()
    loader = yaml.SafeLoader(text)
    loader.name = name
    try:
        node: yaml.Node | None = loader.get_single_node()
    finally:
        loader.dispose()
    if node is None:  # an empty text, as the empty value of a key
        mark = yaml.Mark(name, 0, 0, 0, "", 0)
        return yaml.ScalarNode("tag:yaml.org,2002:null", "", mark, mark)
    return node


def _set(root: yaml.Node, path: str, node: yaml.Node) -> None:
    """Raises LookupError in words."""
    market = _MARKET.fullmatch(path)
    if market is None:
        if not path.replace(".", "") or path.startswith("markets"):
            raise LookupError("names no key; markets are named as markets.*.KEY, markets[0].KEY or markets.SYMBOL.KEY")
        _put(root, path, node)
        return
    for entry in _markets(root, market["index"], market["name"]):
        _put(entry, market["key"], node)


def _markets(root: yaml.Node, index: str | None, name: str | None) -> list[yaml.Node]:
    listed = _value(root, "markets")
    entries = list(listed.value) if isinstance(listed, yaml.SequenceNode) else []
    if index is not None:
        if int(index) >= len(entries):
            raise LookupError(f"there is no market {index}: the file has {len(entries)}, counted from 0")
        return [entries[int(index)]]
    found = [entry for entry in entries if name in {"*", *_names(root, entry)}]
    if not found:
        known = ", ".join(_names(root, entry)[0] for entry in entries) or "none"
        raise LookupError(f"there is no market {name}; the file has {known}")
    return found


def _names(root: yaml.Node, entry: yaml.Node) -> tuple[str, str]:
    symbol = _text(_value(entry, "symbol"))
    defaults = _value(root, "defaults")
    venue = _value(entry, "venue") or (None if defaults is None else _value(defaults, "venue"))
    return symbol, f"{_text(venue)}:{symbol}"


def _text(node: yaml.Node | None) -> str:
    return str(node.value) if isinstance(node, yaml.ScalarNode) else ""


def _put(section: yaml.Node, path: str, node: yaml.Node) -> None:
    """Follow a path, longest existing key first, as names may have dots; what is not there is made."""
    if not isinstance(section, yaml.MappingNode):
        raise LookupError("leads into something that is no section of keys")
    keys = [key for key, _ in section.value if isinstance(key, yaml.ScalarNode)]
    fitting = [key.value for key in keys if path == key.value or path.startswith(f"{key.value}.")]
    key = max(fitting, key=len, default=path.partition(".")[0])
    rest = path[len(key) + 1 :]
    if not key:
        raise LookupError("names no key")
    if rest:
        child = _value(section, key)
        if child is None or isinstance(child, yaml.ScalarNode):
            child = yaml.MappingNode("tag:yaml.org,2002:map", [], node.start_mark, node.end_mark)
        _put(child, rest, node)
        node = child
    for place, (known, _) in enumerate(section.value):
        if isinstance(known, yaml.ScalarNode) and known.value == key:
            section.value[place] = known, node
            return
    name = yaml.ScalarNode("tag:yaml.org,2002:str", key, node.start_mark, node.end_mark)
    section.value.append((name, node))


def _value(section: yaml.Node, key: str) -> yaml.Node | None:
    if isinstance(section, yaml.MappingNode):
        for known, value in section.value:
            if isinstance(known, yaml.ScalarNode) and known.value == key:
                return value  # type: ignore[no-any-return]
    return None


def pairs(texts: tuple[str, ...]) -> dict[str, object]:
    """`KEY=VALUE` texts of a command line. Raises ValueError with the one that is none."""
    found: dict[str, object] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise ValueError(f"{text}: write KEY=VALUE, such as markets.*.gamma=0.1")
        found[key.strip()] = value
    return found
