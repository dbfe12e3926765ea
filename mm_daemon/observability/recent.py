"""The last lines of the log, kept in memory for `status`, `watch` and the status page."""

from collections import deque

import msgspec
from structlog.typing import WrappedLogger

from mm_daemon.observability.logs import Entry

_KEPT = 60
_KEPT_OF_ONE = 25
_EVERYDAY = frozenset({"decision", "fill"})
"""What a market that trades says all the time."""
_NOT_KEPT = frozenset({"debug"})
_SHOWN_ELSEWHERE = frozenset({"summary", "pricing", "starting"})


class Line(msgspec.Struct, frozen=True):
    """`name`: the symbol or venue it is about, empty for the daemon."""

    ts: str
    level: str
    name: str
    text: str
    records: tuple[int, int] | None = None
    """Numbers of the first and the last record of the turn in the journal that it is about; None: of no turn."""


class Recent:
    """A step of the log's pipeline, behind redaction, that lets everything through."""

    def __init__(self) -> None:
        self._lines: deque[Line] = deque(maxlen=_KEPT)
        self._notable: deque[Line] = deque(maxlen=_KEPT)
        self._of_each: dict[str, deque[Line]] = {}
        self.turn: tuple[int, int] | None = None
        """The records of the turn that lines are being written about."""

    def __call__(self, _logger: WrappedLogger, _name: str, entry: Entry) -> Entry:
        if entry["level"] not in _NOT_KEPT and entry["event"] not in _SHOWN_ELSEWHERE:
            name = entry.get("symbol") or entry.get("venue") or ""
            text = entry.get("text") or str(entry["event"]).replace("_", " ")
            line = Line(str(entry["ts"]), str(entry["level"]), str(name), str(text), self.turn)
            self._lines.append(line)
            self._of_each.setdefault(line.name, deque(maxlen=_KEPT_OF_ONE)).append(line)
            if line.level != "info" or entry["event"] not in _EVERYDAY:
                self._notable.append(line)
        return entry

    @property
    def lines(self) -> tuple[Line, ...]:
        """Oldest first."""
        return tuple(self._lines)

    @property
    def notable(self) -> tuple[Line, ...]:
        """Without everyday decisions and fills, oldest first."""
        return tuple(self._notable)

    def about(self, *names: str) -> list[Line]:
        """Those about any of these, oldest first."""
        return sorted((line for name in names for line in self._of_each.get(name, ())), key=lambda line: line.ts)
