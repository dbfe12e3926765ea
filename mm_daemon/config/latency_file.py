"""Measured latencies by time, from a CSV with a header.

Either `time_ns, entry_ms, response_ms` and perhaps `feed_ms`, as `mm-daemon journal latencies` writes them, or the
three instants of an order in nanoseconds, `req_ts, exch_ts, resp_ts`, as other backtesters keep them.
"""

import csv
from collections.abc import Iterator
from math import isfinite
from pathlib import Path

from mm_daemon.config.nodes import Reader
from mm_daemon.config.problems import Place
from mm_daemon.simulation.models import NS_PER_MS, MeasuredRow

ROWS_MAX = 2_000_000
_OURS = ("time_ns", "entry_ms", "response_ms")
_INSTANTS = ("req_ts", "exch_ts", "resp_ts")
_LONGEST_MS = 60_000
_ADVICE = "`mm-daemon journal latencies JOURNAL` makes one of a live or paper run"


def read_latencies(path: Path, key: str, place: Place, reader: Reader) -> tuple[MeasuredRow, ...]:
    """The rows of the file that stands at `key`, `place`; empty when it cannot be used, and `reader` was told why."""
    rows: list[MeasuredRow] = []
    known = len(reader.problems)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = csv.DictReader(file)
            names = [name.strip() for name in lines.fieldnames or ()]
            lines.fieldnames = names
            if not set(_OURS) <= set(names) and not set(_INSTANTS) <= set(names):
                said = f"has no columns {', '.join(_OURS)}, nor {', '.join(_INSTANTS)}; {_ADVICE}"
                reader.report(Place(str(path), 1, 1), key, said)
                return ()
            for row in _rows(lines, str(path), key, reader):
                if rows and row.time_ns < rows[-1].time_ns:
                    reader.report(Place(str(path), lines.line_num, 1), key, "the time steps back: sort the rows by it")
                    return ()
                rows.append(row)
                if len(rows) > ROWS_MAX:
                    reader.report(Place(str(path), lines.line_num, 1), key, f"has more than {ROWS_MAX} rows")
                    return ()
    except OSError as error:
        reader.report(place, key, f"{path} cannot be read: {error.strerror}; {_ADVICE}")
        return ()
    except (UnicodeDecodeError, csv.Error) as error:
        reader.report(place, key, f"{path} is no CSV text: {error}; {_ADVICE}")
        return ()
    if not rows and len(reader.problems) == known:
        reader.report(place, key, f"{path} has no rows; {_ADVICE}")
    return tuple(rows)


def _rows(lines: "csv.DictReader[str]", file: str, key: str, reader: Reader) -> Iterator[MeasuredRow]:
    instants = set(_INSTANTS) <= set(lines.fieldnames or ())
    for line in lines:
        try:
            yield _of_instants(line) if instants else _of_latencies(line)
        except (ValueError, TypeError) as error:
            reader.report(Place(file, lines.line_num, 1), key, f"is no row of latencies: {error}")
            return


def _of_latencies(line: dict[str, str]) -> MeasuredRow:
    feed = line.get("feed_ms") or ""
    return MeasuredRow(
        _time(line["time_ns"]),
        _ns(line["entry_ms"], "entry_ms"),
        _ns(line["response_ms"], "response_ms"),
        _ns(feed, "feed_ms") if feed.strip() else None,
    )


def _of_instants(line: dict[str, str]) -> MeasuredRow:
    asked, arrived, told = (_time(line[name]) for name in _INSTANTS)
    if not asked <= arrived <= told:
        raise ValueError(f"{asked}, {arrived}, {told} are not in the order of request, venue, response")
    return MeasuredRow(asked, arrived - asked, told - arrived)


def _time(text: str) -> int:
    value = int(text)
    if not 0 <= value < 1 << 63:
        raise ValueError(f"{text} is no time in nanoseconds")
    return value


def _ns(text: str, name: str) -> int:
    value = float(text)
    if not isfinite(value) or not 0 <= value <= _LONGEST_MS:
        raise ValueError(f"{name} is {text}, must be a number from 0 to {_LONGEST_MS}")
    return round(value * NS_PER_MS)
