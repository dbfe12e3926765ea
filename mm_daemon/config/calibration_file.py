"""What `mm-daemon calibrate --save` wrote, as what a market begins with: volatility, intensity and k, and their age.

The file is sections of a configuration under a line for each market that says when it was measured. It is read with the
reader of the configuration, so that a mistake in it is told at its line and key, among all others.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import yaml

from mm_daemon.config.annotations import FAILED, Key, wanted
from mm_daemon.config.nodes import Reader, compose, join
from mm_daemon.config.problems import Place
from mm_daemon.domain.instrument import InstrumentId
from mm_daemon.engine.parameters import WarmStart

_MAX_BYTES = 1 << 20
_NS = 1_000_000_000
_LINE = re.compile(r"# Measured (?P<market>\S+) until (?P<until>\S+), confidence (?P<confidence>[0-9.]+)")
_VALUES = ("volatility", "intensity", "k")


def measured_line(market: InstrumentId | str, until_ns: int, confidence: float) -> str:
    """The line that tells when a market was measured, and how sure its A and k are, 0 to 1."""
    until = datetime.fromtimestamp(until_ns // _NS, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"# Measured {market} until {until}, confidence {confidence:.2f}\n"


def read_calibration(
    path: Path, market: InstrumentId, key: str, place: Place, keys: Mapping[str, Key], reader: Reader
) -> WarmStart | None:
    """What the file says of `market`, whose configuration names it at `key`, `place`; `keys` are those of quoting.

    None when it cannot be used, and `reader` has been told why. A file that does not say when it was measured is as old
    as its own time of writing, and so is one that claims to be younger than that, as of an embedded market played ahead
    of time: it would outrank all that is learned later.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_BYTES + 1)
        text, written_ns = raw.decode("utf-8-sig"), path.stat().st_mtime_ns
    except OSError as error:
        reader.report(place, key, f"{path} cannot be read: {error.strerror}; {_ADVICE}")
        return None
    except UnicodeDecodeError as error:
        reader.report(place, key, f"{path} is not UTF-8 text (byte {error.start}); {_ADVICE}")
        return None
    if len(raw) > _MAX_BYTES:
        reader.report(place, key, f"{path} is larger than {_MAX_BYTES} bytes, which no calibration is")
        return None
    known = len(reader.problems)
    of_file = Reader(str(path), {}, reader.problems)
    root = compose(text, str(path), reader.problems)
    found = list(_markets(root, of_file)) if root is not None else []
    if len(reader.problems) > known:
        return None
    for name, at, node in found:
        if name == market:
            return _warm_start(at, node, text, str(path), market, written_ns, keys, of_file)
    names = ", ".join(name for name, _, _ in found) or "no market"
    reader.report(place, key, f"{path} is a calibration of {names}, not of {market}; {_ADVICE}")
    return None


_ADVICE = "`mm-daemon calibrate --save FILE` makes one of this market"


def _markets(root: yaml.Node, reader: Reader) -> Iterator[tuple[str, str, yaml.Node]]:
    """Id, path and node of each market in the file."""
    sections = reader.mapping(root, "") or {}
    if "markets" not in sections:
        reader.report(root, "markets", f"is missing, so this is no calibration; {_ADVICE}")
        return
    node = sections["markets"][1]
    if not isinstance(node, yaml.SequenceNode):
        reader.report(node, "markets", "must be a list with one entry for each market")
        return
    for index, item in enumerate(node.value):
        path = f"markets[{index}]"
        keys = reader.mapping(item, path)
        if keys is None:
            continue
        names = []
        for name in ("venue", "symbol"):
            if name in keys:
                names.append(reader.value(keys[name][1], str, join(path, name)))
            else:
                reader.report(item, join(path, name), "is missing: whose calibration is this?")
        if len(names) == 2 and FAILED not in names:
            yield ":".join(names), path, item


def _warm_start(
    path: str,
    node: yaml.Node,
    text: str,
    file: str,
    market: InstrumentId,
    written_ns: int,
    keys: Mapping[str, Key],
    reader: Reader,
) -> WarmStart | None:
    found = reader.mapping(node, path) or {}
    values: dict[str, float] = {}
    for name in _VALUES:
        annotation = keys[name].annotation
        if name not in found:
            reader.report(node, join(path, name), f"is missing: {wanted(annotation)}")
            continue
        value = reader.value(found[name][1], annotation, join(path, name))
        if value is not FAILED:
            values[name] = value
    at_ns, confidence, complete = written_ns, 0.0, len(values) == len(_VALUES)
    for number, line in enumerate(text.splitlines(), start=1):
        said = line.split()
        if said[:2] != ["#", "Measured"] or said[2:3] != [market]:
            continue
        measured = _measured(line)
        if measured is None:
            example = measured_line(market, 0, 0.5).strip()
            reader.report(Place(file, number, 1), "", f"does not say when it was measured; such a line is {example!r}")
            return None
        at_ns, confidence = min(measured[0], written_ns), measured[1]
    if not complete:
        return None
    return WarmStart(file=file, at_ns=at_ns, confidence=confidence, **values)


def _measured(line: str) -> tuple[int, float] | None:
    """Instant in nanoseconds and confidence; None for a line that does not say."""
    found = _LINE.fullmatch(line.strip())
    if found is None:
        return None
    try:
        until, confidence = datetime.fromisoformat(found["until"]), float(found["confidence"])
    except ValueError:
        return None
    if until.tzinfo is None or not confidence <= 1.0:
        return None
    return int(until.timestamp()) * _NS, confidence
