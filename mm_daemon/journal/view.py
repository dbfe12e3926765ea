"""Journals for people and other programs: what is there, and records chosen by number, time, kind and symbol.

Called by the `journal` verbs. Nothing here judges a journal: that is `backtest/replay.py`.
"""

import csv
from collections import deque
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, TextIO, get_args

import msgspec

from mm_daemon.domain import codec
from mm_daemon.domain.codec import Record, plain
from mm_daemon.domain.decisions import (
    AmendOrder,
    ApprovedCommand,
    CancelAll,
    CancelOrder,
    Command,
    DecisionsChanged,
    DroppedCommand,
    PlaceOrder,
    Refusal,
)
from mm_daemon.domain.errors import JournalError, UsageError
from mm_daemon.domain.events import RunEnded
from mm_daemon.domain.instrument import symbol_of
from mm_daemon.domain.spelling import did_you_mean
from mm_daemon.journal.format import REST_BYTES, Family, Fault, FaultKind
from mm_daemon.journal.log import JournalReader
from mm_daemon.journal.run_reader import open_journal
from mm_daemon.journal.segments import runs_in, segments_of

_NS_PER_S = 1_000_000_000
_COLUMNS = ("seq", "time_ns", "record", "instrument", "venue", "client_id", "side", "ticks", "lots", "json")


class Run(msgspec.Struct, frozen=True):
    """One journal of a folder, as far as a look at its ends tells."""

    name: str
    records: int
    """Number behind the last whole record."""
    size_bytes: int
    market_segments: int = 0
    trade_segments: int = 0
    compressed: int = 0
    whole: bool = True
    """Nothing was deleted from its beginning."""
    ended: str | None = None
    """The reason the run gave for its end; None: it was killed or is still running."""
    problem: str | None = None


def runs(folder: Path) -> list[Run]:
    """The journals in a folder, oldest first. Raises JournalError when it cannot be read."""
    return [_run(path) for path in runs_in(folder)]


def _run(path: Path) -> Run:
    try:
        if not path.is_dir():
            count, last, fault = _last_of(path)
            return Run(path.name, count, path.stat().st_size, ended=_ended(last), problem=_problem(fault))
        market, trade = segments_of(path, Family.MARKET), segments_of(path, Family.TRADE)
        # A segment that has just been begun is still empty: the end stands in the one before.
        tails = [_last_of(segment.path) for family in (trade, market) for segment in family[-2:]]
        return Run(
            path.name,
            max((count for count, _, _ in tails), default=0),
            sum(segment.path.stat().st_size for segment in (*market, *trade)),
            len(market),
            len(trade),
            sum(segment.compressed for segment in (*market, *trade)),
            bool(market) and bool(trade) and len(market) == market[-1].number and len(trade) == trade[-1].number,
            next((reason for _, last, _ in tails if (reason := _ended(last)) is not None), None),
            next((problem for _, _, fault in tails if (problem := _problem(fault)) is not None), None),
        )
    except (OSError, JournalError) as error:
        return Run(path.name, 0, 0, problem=str(error))


def _last_of(path: Path) -> tuple[int, tuple[Record, ...], Fault | None]:
    """Number behind the last whole frame of a file, the records of its last turn, and what is wrong with its bytes.

    A turn has two frames in a family where records of the other stand between them: `RunEnded` and, behind the decide
    marker, the checkpoint.
    """
    with JournalReader(path) as reader:
        payloads = deque((intact for _, intact in reader.intact_payloads()), maxlen=2)
        header = reader.header
    if header is None or not payloads:
        return 0 if header is None else header.first_seq, (), reader.fault
    read = codec.reader_for(header.schema)
    skipped = 0 if header.family is Family.ALL else REST_BYTES
    frames = [read(payload[skipped:]) for payload in payloads]
    seq, records = frames[-1]
    return seq + len(records), tuple(record for _, kept in frames for record in kept), reader.fault


def _ended(records: tuple[Record, ...]) -> str | None:
    return next((record.reason for record in records if isinstance(record, RunEnded)), None)


def _problem(fault: Fault | None) -> str | None:
    return None if fault is None or fault.kind is FaultKind.TORN else str(fault)


class Entry(NamedTuple):
    """A record, its number, and when it was: an answer's time is that of the decide marker before it."""

    seq: int
    time_ns: int
    record: Record

    @property
    def kind(self) -> str:
        return str(self.record.__struct_config__.tag)

    def to_dict(self) -> dict[str, object]:
        shown = plain(self.record)
        assert isinstance(shown, dict)
        return {"seq": self.seq, "time_ns": self.time_ns, **shown}


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """Which records to see. Bounds are numbers or times, the first included, the last not."""

    from_seq: int | None = None
    from_ns: int | None = None
    to_seq: int | None = None
    to_ns: int | None = None
    kinds: frozenset[str] = frozenset()
    symbol: str | None = None
    """A symbol, or an instrument as `venue:symbol`."""

    def takes(self, entry: Entry) -> bool:
        return (
            (self.from_seq is None or entry.seq >= self.from_seq)
            and (self.from_ns is None or entry.time_ns >= self.from_ns)
            and (self.to_ns is None or entry.time_ns < self.to_ns)
            and (not self.kinds or entry.kind in self.kinds)
            and (self.symbol is None or self.symbol in _names(entry.record))
        )


def choice(
    *, first: str | None = None, last: str | None = None, kind: str | None = None, symbol: str | None = None
) -> Choice:
    """What the options of a command line ask for. Raises UsageError."""
    from_seq, from_ns = _bound("--from", first)
    to_seq, to_ns = _bound("--to", last)
    known = sorted(str(record.__struct_config__.tag) for record in get_args(Record))
    kinds = frozenset(part.strip() for part in kind.split(",")) if kind is not None else frozenset()
    for name in sorted(kinds - {*known}):
        raise UsageError(
            f"--kind {name}: there is no such record{did_you_mean(name, known) or ': ' + ', '.join(known)}"
        )
    return Choice(from_seq=from_seq, from_ns=from_ns, to_seq=to_seq, to_ns=to_ns, kinds=kinds, symbol=symbol)


class Selection:
    """The chosen records of a journal, as a stream. Afterwards `fault` says where its good part ended early."""

    def __init__(self, path: Path, chosen: Choice) -> None:
        self._path = path
        self._chosen = chosen
        self.fault: Fault | None = None

    def __iter__(self) -> Iterator[Entry]:
        chosen = self._chosen
        now_ns = 0
        with open_journal(self._path) as reader:
            for frame in reader:
                for seq, record in enumerate(frame.records, frame.seq):
                    if chosen.to_seq is not None and seq >= chosen.to_seq:
                        return
                    now_ns = _time_ns(record, now_ns)
                    entry = Entry(seq, now_ns, record)
                    if chosen.takes(entry):
                        yield entry
            self.fault = reader.fault


def line(entry: Entry) -> str:
    """A record for people."""
    return f"{entry.seq:>9}  {_utc(entry.time_ns)}  {entry.kind:<16} {_words(entry.record)}"


def write_jsonl(entries: Iterable[Entry], out: TextIO) -> int:
    count = 0
    for entry in entries:
        out.write(msgspec.json.encode(entry.to_dict()).decode())
        out.write("\n")
        count += 1
    return count


def write_csv(entries: Iterable[Entry], out: TextIO) -> int:
    """The columns that most records share, and the whole record as JSON in the last one."""
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_COLUMNS)
    count = 0
    for entry in entries:
        count += 1
        subject = _subject(entry.record)
        fields = (getattr(subject, name, None) for name in _COLUMNS[3:-1])
        shown = msgspec.json.encode(plain(entry.record)).decode()
        writer.writerow([entry.seq, entry.time_ns, entry.kind, *("" if f is None else f for f in fields), shown])
    return count


def _bound(option: str, text: str | None) -> tuple[int | None, int | None]:
    """(number, time in nanoseconds): one of them at most."""
    if text is None:
        return None, None
    if text.isdecimal():
        return int(text), None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{option} {text}: neither a record's number nor a time like 2024-08-08T23:54:15.5Z") from None
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    since = moment - datetime.fromtimestamp(0, UTC)
    return None, (since.days * 86400 + since.seconds) * _NS_PER_S + since.microseconds * 1000


def _time_ns(record: Record, before_ns: int) -> int:
    at_ns = getattr(record, "ts_local_ns", None) or getattr(record, "now_ns", None) or 0
    return max(before_ns, at_ns)


def _subject(record: Record) -> object:
    """The part of a record that names an instrument and an order."""
    if isinstance(record, ApprovedCommand | DroppedCommand):
        return record.command
    return record.intent if isinstance(record, Refusal) else record


def _names(record: Record) -> tuple[str, ...]:
    instrument = getattr(_subject(record), "instrument", None)
    return () if instrument is None else (instrument, symbol_of(instrument))


def _words(record: Record) -> str:
    if isinstance(record, DecisionsChanged):
        return f"{record.instrument} {record.compact()}"
    if isinstance(record, ApprovedCommand):
        return _command(record.command)
    if isinstance(record, DroppedCommand):
        return f"{_command(record.command)}: {record.code}"
    if isinstance(record, Refusal):
        bounds = "" if record.value is None else f" ({record.value}, limit {record.limit})"
        return f"{_command(record.intent)}: {record.code}{bounds}"
    fields = ((name, getattr(record, name)) for name in record.__struct_fields__ if not name.startswith("ts_"))
    return " ".join(f"{name}={_value(value)}" for name, value in fields)


def _command(command: Command) -> str:
    reasons = ", ".join(command.reasons)
    match command:
        case PlaceOrder():
            return (
                f"place {command.instrument} {command.side.word} {command.lots} at {command.ticks} "
                f"as {command.client_id} ({reasons})"
            )
        case AmendOrder():
            return f"amend {command.instrument} {command.client_id} to {command.lots} at {command.ticks} ({reasons})"
        case CancelOrder():
            return f"cancel {command.instrument} {command.client_id} ({reasons})"
        case CancelAll():
            return f"cancel all of {command.venue} ({reasons})"


def _value(value: object) -> str:
    if isinstance(value, str):
        return value if value and value.isprintable() and " " not in value else repr(value)
    return msgspec.json.encode(plain(value)).decode()


def _utc(time_ns: int) -> str:
    return f"{datetime.fromtimestamp(time_ns // _NS_PER_S, UTC):%Y-%m-%dT%H:%M:%S}.{time_ns // 1000 % 1_000_000:06d}Z"
