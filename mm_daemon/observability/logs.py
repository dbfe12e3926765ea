"""The log: one aligned line per change of state for people on a terminal, one JSON object per line for machines.

`open_log` makes the run's logger; nothing here is global, so tests and two daemons in a process do not meet. Only the
fields of `FIELDS` are written as they are; any other field's value is replaced, and the texts of secrets are cut out of
every value. The same warning in quick succession is written once and then counted. Times are UTC, of the run's clock.
"""

import logging
from collections.abc import Callable, Iterable, MutableMapping
from datetime import UTC, datetime
from typing import Any, TextIO

import msgspec
import structlog
from structlog.typing import FilteringBoundLogger, Processor, WrappedLogger

Entry = MutableMapping[str, Any]

_NAMES = """
    event level ts text symbol venue side client_id operation reason code kind error repeated logger task pause_s
    price size fee maker position bid ask mid fills uptime decisions pnl pnl_spread pnl_inventory pnl_fees pnl_funding
    half_spread_bps skew_bps version config mode journal speed seconds turns events dropped confirmed exit_code
    run ended unknown_orders late_s clean segments early cause skew_s age_h
"""
FIELDS = frozenset(_NAMES.split())
"""What may appear in a log; a new field is a decision, not an accident."""

_REDACTED = "[redacted]"
_SAME = ("event", "logger", "venue", "symbol", "code", "kind", "operation", "task")
"""Lines that agree in these are like each other."""
_REPEAT_AFTER_NS = 10_000_000_000
_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
_COLOURS = {"warning": "\x1b[33m", "error": "\x1b[31m", "critical": "\x1b[31;1m"}
_NAME_WIDTH = 10


def open_log(
    stream: TextIO,
    *,
    people: bool,
    now_ns: Callable[[], int],
    level: str = "info",
    secrets: Iterable[str] = (),
    colour: bool = False,
    keep: Processor | None = None,
) -> FilteringBoundLogger:
    """A logger that writes to `stream`. `level` is the least severe that is written; `keep` sees each redacted line."""
    processors: list[Processor] = [
        structlog.processors.add_log_level,
        _Stamp(now_ns),
        _Repeats(),
        _Redaction(secrets),
        *([] if keep is None else [keep]),
        _ForPeople(colour) if people else _as_json,
    ]
    logger: FilteringBoundLogger = structlog.wrap_logger(
        _Lines(stream),
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        context_class=dict,
        cache_logger_on_first_use=True,
    )
    return logger


def catch_third_parties(log: FilteringBoundLogger) -> None:
    """What libraries say through `logging`, from warnings on, becomes lines of this log."""
    logging.captureWarnings(True)
    root = logging.getLogger()
    root.handlers[:] = [_ToLog(log)]
    root.setLevel(logging.WARNING)


def utc_text(ts_ns: int) -> str:
    """`2024-08-08T23:54:15.123Z`."""
    return f"{datetime.fromtimestamp(ts_ns // 1_000_000_000, UTC):%Y-%m-%dT%H:%M:%S}.{ts_ns // 1_000_000 % 1000:03d}Z"


class _Lines:
    """Writes lines as long as somebody can read them. Losing the terminal costs the lines that nobody could see."""

    def __init__(self, stream: TextIO) -> None:
        self._stream: TextIO | None = stream

    def msg(self, line: str) -> None:
        if self._stream is None:
            return
        try:
            self._stream.write(f"{line}\n")
            self._stream.flush()
        except (OSError, ValueError):  # the reader has gone, or the stream was closed: trading goes on without it
            self._stream = None

    debug = info = warning = error = critical = msg


class _Stamp:
    """`ts` in UTC; a line about a turn brings its own `ts_ns`."""

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self._now_ns = now_ns

    def __call__(self, _logger: WrappedLogger, _name: str, entry: Entry) -> Entry:
        ts_ns = entry.pop("ts_ns", None)
        entry["ts"] = utc_text(self._now_ns() if ts_ns is None else ts_ns)
        entry["_at_ns"] = ts_ns if ts_ns is not None else self._now_ns()
        return entry


class _Repeats:
    """Lets a warning or error through once, then holds its like back for ten seconds and counts them."""

    def __init__(self) -> None:
        self._last: dict[tuple[Any, ...], tuple[int, int]] = {}

    def __call__(self, _logger: WrappedLogger, _name: str, entry: Entry) -> Entry:
        at_ns = entry.pop("_at_ns")
        if _LEVELS[entry["level"]] < logging.WARNING:
            return entry
        key = tuple(entry.get(name) for name in _SAME)
        since_ns, held_back = self._last.get(key, (None, 0))
        if since_ns is not None and at_ns - since_ns < _REPEAT_AFTER_NS:
            self._last[key] = (since_ns, held_back + 1)
            raise structlog.DropEvent
        self._last[key] = (at_ns, 0)
        if held_back:
            entry["repeated"] = held_back
        return entry


class _Redaction:
    """Unknown fields lose their value; known secrets are cut out of every text."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._secrets = tuple(sorted({secret for secret in secrets if secret}, key=lambda text: (-len(text), text)))

    def __call__(self, _logger: WrappedLogger, _name: str, entry: Entry) -> Entry:
        for name, value in entry.items():
            if name not in FIELDS:
                entry[name] = _REDACTED
            elif self._secrets and not isinstance(value, int | float | bool | None):
                entry[name] = self._clean(value)
        return entry

    def _clean(self, value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [self._clean(item) for item in value]
        text = str(value)
        for secret in self._secrets:
            text = text.replace(secret, _REDACTED)
        return text


class _ForPeople:
    """`12:00:01.234 BTC-USDT   bid quote 60123.4 (new_quote) | ask hold (fill_lockout 640 ms)`."""

    def __init__(self, colour: bool) -> None:
        self._colour = colour

    def __call__(self, _logger: WrappedLogger, _name: str, entry: Entry) -> str:
        level = entry.pop("level")
        clock = entry.pop("ts")[11:23]
        event = str(entry.pop("event"))
        name = str(entry.pop("symbol", None) or entry.pop("venue", None) or "")
        trace = entry.pop("error", None)
        text = entry.pop("text", None)
        repeated = entry.pop("repeated", 0)
        if text is None:
            text = " ".join([event.replace("_", " "), *(f"{key}={value}" for key, value in entry.items())])
        if level not in {"info", "debug"}:
            text = f"{level.upper()}: {text}"
        if repeated:
            text = f"{text} (and {repeated} more like it)"
        line = f"{clock} {name:<{_NAME_WIDTH}} {text}"
        if trace:
            line = f"{line}\n{str(trace).rstrip()}"
        if self._colour and level in _COLOURS:
            line = f"{_COLOURS[level]}{line}\x1b[0m"
        return line


def _as_json(_logger: WrappedLogger, _name: str, entry: Entry) -> str:
    head = {name: entry.pop(name) for name in ("ts", "level", "event")}
    return msgspec.json.encode({**head, **entry}, enc_hook=str).decode()


class _ToLog(logging.Handler):
    def __init__(self, log: FilteringBoundLogger) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        level = "error" if record.levelno >= logging.ERROR else "warning"
        text = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            text = f"{text}: {type(record.exc_info[1]).__name__}: {record.exc_info[1]}"
        getattr(self._log, level)("third_party", logger=record.name, text=text)
