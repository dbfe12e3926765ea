"""The last lines of the log, kept in memory for `status` and `watch`."""

from collections import deque

import msgspec
from structlog.typing import WrappedLogger

from mm_daemon.observability.logs import Entry

_KEPT = 60
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
        self.turn: tuple[int, int] | None = None
        """The records of the turn that lines are being written about."""

    def __call__(self, _logger: WrappedLogger, _name: str, entry: Entry) -> Entry:
        if entry["level"] not in _NOT_KEPT and entry["event"] not in _SHOWN_ELSEWHERE:
            name = entry.get("symbol") or entry.get("venue") or ""
            text = entry.get("text") or str(entry["event"]).replace("_", " ")
            self._lines.append(Line(str(entry["ts"]), str(entry["level"]), str(name), str(text), self.turn))
        return entry

    @property
    def lines(self) -> tuple[Line, ...]:
        """Oldest first."""
        return tuple(self._lines)
