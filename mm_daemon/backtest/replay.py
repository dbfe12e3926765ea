"""Live a journaled run again and compare: the proof that what was written down is what the core does.

A fresh `TradingCore` is built from the journal's own `RunStarted`, fed every event, asked to decide at each marker, and
everything it answers (decisions, refusals, drops, released commands) is held against the record. The first difference
ends the comparison: behind it the two histories are no longer the same one.

A journal is a run's folder or the one file of a backtest. Where the market data of a run's beginning were deleted
nothing can be lived again, for a book cannot be had from its later changes: then the bytes of what is left are checked,
and the report says what was not compared.
"""

from collections import deque
from pathlib import Path

import msgspec

from mm_daemon import registry
from mm_daemon.core.parameters import CoreParameters
from mm_daemon.core.trading_core import TradingCore
from mm_daemon.domain import codec
from mm_daemon.domain.checkpoint import Checkpoint, PositionBooked
from mm_daemon.domain.codec import Answer, Decided, Record, plain
from mm_daemon.domain.decisions import ApprovedCommand, DecisionsChanged, DroppedCommand, OrderQuery, Refusal
from mm_daemon.domain.errors import MmError
from mm_daemon.domain.events import Event, RunEnded, RunStarted
from mm_daemon.domain.reconciliation import Reconciled
from mm_daemon.journal.format import Family, Fault, FaultKind
from mm_daemon.journal.log import Frame, JournalReader
from mm_daemon.journal.run_reader import RunReader, open_journal

_EVENTS_KEPT = 20
_ANSWERS = (DecisionsChanged, Refusal, DroppedCommand, PositionBooked, Reconciled, ApprovedCommand, OrderQuery)


class Difference(msgspec.Struct, frozen=True):
    """Where journal and replay part. `None` on one side: nothing stands there."""

    seq: int
    """Number of the record that differs."""
    offset: int
    """Byte at which its frame starts."""
    what: str
    journaled: object
    replayed: object
    inputs: object
    """The numbers behind the replayed decisions of the instrument concerned, where there are any."""
    events: tuple[object, ...]
    """The events since the decision before, newest last."""
    file: str = ""
    """The segment it stands in, where a journal has several."""


class Compared(msgspec.Struct):
    """How many answers were held against the journal and found equal."""

    decisions: int = 0
    refusals: int = 0
    dropped: int = 0
    commands: int = 0
    booked: int = 0
    """Positions after a fill or funding."""
    reconciled: int = 0
    queries: int = 0
    checkpoints: int = 0


class VerifyReport(msgspec.Struct, kw_only=True):
    """What `replay --verify` found."""

    path: str
    ok: bool = False
    """Every record was good and every answer equal. A torn tail, as a sudden death leaves it, does not spoil it."""
    version: str = ""
    """The program that wrote the journal."""
    records: int = 0
    events: int = 0
    turns: int = 0
    """Calls of `decide`."""
    compared: Compared = msgspec.field(default_factory=Compared)
    not_compared: str | None = None
    """Why answers were not held against the record; its bytes were checked all the same."""
    ended: str | None = None
    """The reason the run gave for its end; None: the journal stops before the run says it is over."""
    size_bytes: int = 0
    good_bytes: int = 0
    fault: Fault | None = None
    difference: Difference | None = None

    def to_json(self) -> bytes:
        return msgspec.json.encode(self)

    def to_text(self) -> str:
        """The report for people."""
        compared = self.compared
        lines = [
            f"{self.path}: {'ok' if self.ok else 'NOT OK'}",
            f"  {self.records} records: {self.events} events, {self.turns} turns",
            f"  equal: {compared.decisions} decisions, {compared.commands} commands, "
            f"{compared.refusals} refusals, {compared.dropped} dropped, {compared.booked} positions, "
            f"{compared.checkpoints} checkpoints",
        ]
        if self.not_compared is not None:
            lines.append(f"  NOT COMPARED: {self.not_compared}")
        if self.fault is not None:
            lines.append(f"  {self.fault} (good: {self.good_bytes} of {self.size_bytes} bytes)")
        if self.ended is None and self.fault is not None and self.fault.kind is FaultKind.DAMAGED:
            lines.append("  what stands behind the damage was not compared")
        elif self.ended is None:
            lines.append("  the run did not write its end: it was killed, or it is still running")
        else:
            lines.append(f"  ended: {self.ended}")
        if self.difference is not None:
            lines += self._difference_lines(self.difference)
        return "\n".join(lines)

    @staticmethod
    def _difference_lines(difference: Difference) -> list[str]:
        file = f" of {difference.file}" if difference.file else ""
        return [
            f"  first difference: record {difference.seq}, frame at byte {difference.offset}{file}: {difference.what}",
            f"    journaled: {_line(difference.journaled)}",
            f"    replayed:  {_line(difference.replayed)}",
            f"    inputs:    {_line(difference.inputs)}",
            *(f"    event:     {_line(event)}" for event in difference.events),
        ]


def verify(path: Path) -> VerifyReport:
    """Replay a journal and compare. Raises JournalError only when it cannot be opened or is of another schema."""
    with open_journal(path) as reader:
        report = VerifyReport(path=str(path), size_bytes=reader.size_bytes, not_compared=_cannot_compare(reader))
        replay = _Check(report) if report.not_compared is not None else _Replay(report)
        for frame in reader:
            if not replay.take(frame):
                break
        report.fault = reader.fault
        report.good_bytes = reader.good_bytes
    replay.finish()
    return report


def _cannot_compare(reader: JournalReader | RunReader) -> str | None:
    """Why a journal cannot be lived again, if it cannot."""
    if isinstance(reader, RunReader):
        if reader.kept_from is None:
            return "the market segments were deleted, so nothing can be lived again"
        if reader.kept_from > 0:
            return (
                f"segments before record {reader.kept_from} were deleted, so the books behind them cannot be had and "
                "nothing can be lived again"
            )
        return None
    header = reader.read_header()
    if header is not None and header.family is not Family.ALL:
        return f"this is one segment of a run's {header.family} family; name the run's folder to live it again"
    return None


class _Check:
    """Counts what is read where nothing can be compared."""

    def __init__(self, report: VerifyReport) -> None:
        self.report = report

    def take(self, frame: Frame) -> bool:
        for record in frame.records:
            self.report.records += 1
            if isinstance(record, Decided):
                self.report.turns += 1
            elif not isinstance(record, (*_ANSWERS, Checkpoint)):
                self.report.events += 1
            if isinstance(record, RunStarted):
                self.report.version = record.version
            elif isinstance(record, RunEnded):
                self.report.ended = record.reason
        return True

    def finish(self) -> None:
        fault = self.report.fault
        self.report.ok = fault is None or fault.kind is FaultKind.TORN


class _Replay:
    """The core that lives the run again, and the answers it gave that the journal has yet to show."""

    def __init__(self, report: VerifyReport) -> None:
        self.report = report
        self._core: TradingCore | None = None
        self._expected: deque[Answer] = deque()
        self._events: deque[Event] = deque(maxlen=_EVENTS_KEPT)
        self._decided = False
        self._seq = 0
        self._offset = 0
        self._file = ""

    def take(self, frame: Frame) -> bool:
        """Live through one frame; False once journal and replay have parted."""
        report = self.report
        self._offset, self._file = frame.offset, frame.file
        for self._seq, record in enumerate(frame.records, frame.seq):
            if isinstance(record, _ANSWERS):
                self._compare(record)
            elif self._expected:
                self._part("the journal lacks an answer", None, self._expected[0])
            elif isinstance(record, Checkpoint):
                self._compare_checkpoint(record)
            else:
                try:
                    self._live(record)
                except MmError as error:
                    self._part(f"the core cannot live this: {error}", record, None)
            if report.difference is not None:
                return False
            report.records += 1
        return True

    def finish(self) -> None:
        """The journal is over: judge it."""
        report = self.report
        if report.fault is None and self._core is None and report.difference is None:
            report.fault = Fault(report.good_bytes, FaultKind.TORN, "the file ends before its first record")
        torn = report.fault is not None and report.fault.kind is FaultKind.TORN
        if report.difference is None and self._expected and report.fault is None:
            self._seq += 1
            self._part("the journal ends before an answer", None, self._expected[0])
        report.ok = report.difference is None and (report.fault is None or torn) and self._core is not None

    def _live(self, record: Event | Decided) -> None:
        report = self.report
        if isinstance(record, RunStarted):
            parameters = CoreParameters.from_json(record.parameters)
            self._core = TradingCore(parameters, record.resumed, registry.PricingModels())
            report.version = record.version
        core = self._core
        if core is None:
            self._part("a journal starts with RunStarted", record, None)
            return
        if isinstance(record, Decided):
            turn = core.decide(record.now_ns)
            self._decided = True
            report.turns += 1
            if turn.now_ns != record.now_ns:
                self._part("the core decided at another time", record, Decided(turn.now_ns))
                return
            self._expected.extend(codec.answers(turn))
            return
        if self._decided:
            self._events.clear()
            self._decided = False
        self._events.append(record)
        core.apply(record)
        report.events += 1
        if isinstance(record, RunEnded):
            report.ended = record.reason

    def _compare_checkpoint(self, journaled: Checkpoint) -> None:
        replayed = None if self._core is None else self._core.checkpoint()
        # A whole number of an estimator comes back from a journal as a float: the same, and not the same bytes.
        if replayed is None or (replayed != journaled and codec.encode(0, [replayed]) != codec.encode(0, [journaled])):
            self._part("Checkpoint differs", journaled, replayed)
        else:
            _count(self.report.compared, journaled)

    def _compare(self, journaled: Answer) -> None:
        replayed = self._expected.popleft() if self._expected else None
        if replayed is None:
            self._part("the replay gives no such answer", journaled, None)
        elif replayed != journaled and codec.encode(0, [replayed]) != codec.encode(0, [journaled]):
            self._part(f"{type(journaled).__name__} differs", journaled, replayed)
        else:
            _count(self.report.compared, journaled)

    def _part(self, what: str, journaled: Record | None, replayed: Record | None) -> None:
        self.report.difference = Difference(
            seq=self._seq,
            offset=self._offset,
            what=what,
            journaled=plain(journaled),
            replayed=plain(replayed),
            inputs=plain(_inputs(replayed, [*self._expected])),
            events=tuple(plain(event) for event in self._events),
            file=self._file,
        )


def _inputs(replayed: Record | None, others: list[Answer]) -> object:
    """The inputs of the decision that differs, or of one made in the same turn."""
    for answer in (replayed, *others):
        if isinstance(answer, DecisionsChanged):
            return answer.inputs
    return None


def _count(compared: Compared, answer: Answer | Checkpoint) -> None:
    match answer:
        case DecisionsChanged():
            compared.decisions += 1
        case ApprovedCommand():
            compared.commands += 1
        case Refusal():
            compared.refusals += 1
        case DroppedCommand():
            compared.dropped += 1
        case PositionBooked():
            compared.booked += 1
        case Reconciled():
            compared.reconciled += 1
        case OrderQuery():
            compared.queries += 1
        case Checkpoint():
            compared.checkpoints += 1


def _line(value: object) -> str:
    return "nothing" if value is None else msgspec.json.encode(value).decode()
