"""A journal lived again without deciding: the core takes in what was recorded, and somebody watches.

Every event goes through the core that trades, and what the core once answered is taken from the record
(`core/reliving.py`), so that books, orders, positions and money are what they were, whichever version wrote the
journal. Reports, curves and the calibration of the queue read journals this way; that a core of now would answer the
same is `replay.py`'s to prove.

Where a run was recorded with positions that the core here books otherwise, the record is believed and the difference
is counted (`Relived.mismatches`).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol, cast

import msgspec

from mm_daemon import registry
from mm_daemon.core.parameters import CoreParameters
from mm_daemon.core.reliving import relive
from mm_daemon.core.trading_core import TradingCore
from mm_daemon.domain import codec
from mm_daemon.domain.checkpoint import Checkpoint, PositionBooked
from mm_daemon.domain.codec import Answer, Decided
from mm_daemon.domain.decisions import ApprovedCommand, DecisionsChanged, DroppedCommand, OrderQuery, Refusal
from mm_daemon.domain.errors import JournalError, MmError
from mm_daemon.domain.events import Event, RunEnded, RunStarted, ShutdownRequested
from mm_daemon.domain.reconciliation import Reconciled
from mm_daemon.journal.format import Fault, FaultKind
from mm_daemon.journal.run_reader import RunReader, open_journal
from mm_daemon.journal.segments import runs_in, segments_of

_ANSWERS = frozenset(
    (DecisionsChanged, Refusal, DroppedCommand, PositionBooked, Reconciled, ApprovedCommand, OrderQuery)
)


class Watcher(Protocol):
    """Who looks on. Times are nanoseconds of the run's clock, which never steps back."""

    def start(self, core: TradingCore, started: RunStarted) -> None:
        """The core has been built; nothing has been applied."""
        ...

    def reach(self, now_ns: int) -> None:
        """Nothing has changed since the last turn, and `now_ns`, which is later, comes next."""
        ...

    def before(self, event: Event) -> None: ...

    def after(self, event: Event) -> None:
        """The core has been told this."""
        ...

    def decide(self, now_ns: int) -> None:
        """The events of a turn have been applied, its answers come next."""
        ...

    def answered(self, answer: Answer, now_ns: int) -> None:
        """The core has taken in what it once answered."""
        ...

    def stop(self, now_ns: int) -> None:
        """The run was asked to stop, or its journal is over: what follows is no quoting time."""
        ...


class Relived(msgspec.Struct, kw_only=True):
    """What is known of a run after it was lived again."""

    path: Path
    version: str = ""
    """The program that wrote the journal."""
    parameters: CoreParameters | None = None
    """As the run began; None: the journal does not even begin."""
    records: int = 0
    turns: int = 0
    start_ns: int = 0
    stop_ns: int = 0
    """When the run was asked to stop, or the end of the journal."""
    end_ns: int = 0
    ended: str | None = None
    """The reason the run gave for its end; None: it was killed, or is still running."""
    clean: bool | None = None
    mismatches: int = 0
    """Positions that the journal has otherwise than the core here books them."""
    kept_from: int | None = 0
    """Number of the first record from which on nothing was deleted; None: all market data were."""
    fault: Fault | None = None
    """What ended the good part early."""

    @property
    def damaged(self) -> bool:
        """The journal is, so that what stands behind the place is missing; a torn tail is no damage."""
        return self.fault is not None and self.fault.kind is FaultKind.DAMAGED

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know before believing any figure."""
        notes = []
        if self.kept_from is None:
            notes.append("all market data were deleted by retention: prices, quotes and markouts cannot be recomputed")
        elif self.kept_from:
            notes.append(f"records before {self.kept_from} were deleted by retention: figures count what is left")
        if self.damaged:
            notes.append(f"damaged: {self.fault}; what stands behind is not counted")
        if self.ended is None:
            notes.append("the run did not write its end: it was killed, or it is still running")
        if self.mismatches:
            notes.append(
                f"{self.mismatches} positions are booked otherwise by this version; the journal's were taken: "
                "see `mm-daemon replay --verify`"
            )
        return tuple(notes)


def journals_of(path: Path) -> list[Path]:
    """The journals a person may mean by a path, oldest first: one file, one run's folder, or all runs of a state
    directory or of a folder of runs. Raises JournalError when there is none.
    """
    if not path.exists():
        raise JournalError(f"journal {path} does not exist")
    if not path.is_dir() or segments_of(path):
        return [path]
    folder = path / "journal" if (path / "journal").is_dir() else path
    found = [run for run in runs_in(folder) if not run.is_dir() or segments_of(run)]
    if not found:
        raise JournalError(f"{path} holds no journal: name a backtest's file, a run's folder or a state_dir")
    return found


def one_journal(path: Path) -> Path:
    """The journal of the one run that a path means. Raises JournalError when it means none, or several."""
    found = journals_of(path)
    if len(found) > 1:
        raise JournalError(f"{path} holds {len(found)} runs: name one of them, the last is {found[-1]}")
    return found[0]


def relive_run(path: Path, watcher: Watcher) -> Relived:
    """Live one run again. Raises JournalError when the journal cannot be opened, does not begin with its parameters, or
    tells of something that the core cannot live.
    """
    with open_journal(path) as reader:
        life = _Life(path, watcher)
        life.run.kept_from = reader.kept_from if isinstance(reader, RunReader) else 0
        for frame in reader:
            for record in frame.records:
                try:
                    life.take(record)
                except MmError as error:
                    where = f"record {life.run.records}" + (f" in {frame.file}" if frame.file else "")
                    raise JournalError(f"journal {path}, {where}: {error}") from error
        life.run.fault = reader.fault
    life.finish()
    return life.run


class _Life:
    def __init__(self, path: Path, watcher: Watcher) -> None:
        self.run = Relived(path=path)
        self._watcher = watcher
        self._core: TradingCore | None = None
        self._now_ns = 0
        self._answering = self._stopped = False

    def take(self, record: codec.Record) -> None:
        run, watcher = self.run, self._watcher
        run.records += 1
        if isinstance(record, RunStarted) and self._core is None:
            self._begin(record)
        core = self._core
        if core is None:
            raise JournalError("a journal starts with RunStarted: this one has lost its beginning, or is one segment")
        if isinstance(record, Decided):
            run.turns += 1
            self._reach(record.now_ns)
            core.reach(record.now_ns)
            watcher.decide(record.now_ns)
            self._answering = True
        elif type(record) in _ANSWERS:
            if isinstance(record, PositionBooked):
                self._hold_against(core, record)
            relive(core, record)
            watcher.answered(cast("Answer", record), self._now_ns)
        elif not isinstance(record, Checkpoint):
            self._live(core, cast("Event", record))

    def finish(self) -> None:
        run = self.run
        if run.parameters is None:
            raise JournalError(f"journal {run.path} ends before its first record")
        if not self._stopped:
            self._stop()
        run.end_ns = self._now_ns

    def _begin(self, started: RunStarted) -> None:
        run = self.run
        run.version = started.version
        run.parameters = CoreParameters.from_json(started.parameters)
        run.start_ns = self._now_ns = started.ts_local_ns
        self._core = TradingCore(run.parameters, started.resumed, registry.PricingModels())
        self._watcher.start(self._core, started)

    def _live(self, core: TradingCore, event: Event) -> None:
        if self._answering:
            core.leave_unanswered()
            self._answering = False
        self._reach(event.ts_local_ns)
        if isinstance(event, ShutdownRequested) and not self._stopped:
            self._stop()
        self._watcher.before(event)
        core.apply(event)
        self._watcher.after(event)
        if isinstance(event, RunEnded):
            self.run.ended, self.run.clean = event.reason, event.clean

    def _reach(self, now_ns: int) -> None:
        if now_ns > self._now_ns:
            self._now_ns = now_ns
            self._watcher.reach(now_ns)

    def _stop(self) -> None:
        self._stopped = True
        self.run.stop_ns = self._now_ns
        self._watcher.stop(self._now_ns)

    def _hold_against(self, core: TradingCore, booked: PositionBooked) -> None:
        market = core.markets.get(booked.instrument)
        self.run.mismatches += market is not None and market.position.state() != booked.state


def runs_of(paths: list[Path]) -> Iterator[Path]:
    """All journals that are meant, each once."""
    seen: set[Path] = set()
    for path in paths:
        for journal in journals_of(path):
            if journal not in seen:
                seen.add(journal)
                yield journal
