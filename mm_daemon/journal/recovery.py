"""What the last run left: its last checkpoint, and what it wrote behind that, lived again into a checkpoint of now.

Read from the trade family alone, which is kept longest: events of orders, accounts, links and operators, released
commands, positions. A command that was released without an answer comes out as unknown; one that never left is gone.
Called by `runtime/app.py` before the new run's journal is opened, while this process alone holds the state directory.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import msgspec

from mm_daemon.core.parameters import CoreParameters
from mm_daemon.core.reliving import relive
from mm_daemon.core.trading_core import TradingCore
from mm_daemon.domain.checkpoint import Checkpoint
from mm_daemon.domain.codec import Record
from mm_daemon.domain.errors import JournalError
from mm_daemon.domain.events import RunEnded, RunStarted
from mm_daemon.engine.models.catalogue import MODELS
from mm_daemon.engine.pricing_model import ModelFactory
from mm_daemon.journal.format import Family, Fault, FaultKind
from mm_daemon.journal.log import Frame, JournalReader, repair
from mm_daemon.journal.run_reader import FamilyReader, repair_run
from mm_daemon.journal.segments import runs_in


class Recovered(msgspec.Struct, frozen=True):
    """What a new run continues."""

    run: Path
    checkpoint: Checkpoint
    relived: int
    """Records behind the checkpoint that were lived again."""
    ended: bool
    """The run wrote its end; otherwise it died."""
    cut: tuple[Fault, ...] = ()
    """Torn tails that were cut."""
    boot: str = ""
    """The machine's boot in which it ran; empty where that is not known."""

    def may_have_forgotten(self, boot: str) -> bool:
        """Whether the machine may have gone down under it, in `boot` now: what was written within its last second or
        so, orders that were sent among it, may never have come to the disk.
        """
        return not self.ended and (not boot or boot != self.boot)


def recover(journals: Path, models: Mapping[str, ModelFactory] = MODELS) -> Recovered | None:
    """Mend the last run's torn tail and continue it; None when there is no run to continue.

    Raises JournalError for a damaged journal: a person should see what is behind the damage.
    """
    for run in reversed(runs_in(journals)):
        faults = repair_run(run) if run.is_dir() else [fault for fault in [repair(run)] if fault is not None]
        left, fault, boot = _read(run, models)
        if fault is not None and fault.kind is FaultKind.DAMAGED:
            raise JournalError(
                f"journal {run} is {fault}; what was traded behind that place is not known. Look at it with "
                "`mm-daemon journal show`, then move it away: the venue's own account is compared at the start"
            )
        if left is not None:
            checkpoint, relived, ended = left
            return Recovered(run, checkpoint, relived, ended, tuple(faults), boot)
    return None


Left = tuple[Checkpoint, int, bool]
"""State at the end, records relived behind the last checkpoint, whether the run wrote its end."""


def _read(run: Path, models: Mapping[str, ModelFactory]) -> tuple[Left | None, Fault | None, str]:
    """What it left, what stopped its reading, and in which boot of the machine it began."""
    boot = ""

    def all_of(frames: Iterable[Frame]) -> Iterator[Record]:
        nonlocal boot
        for frame in frames:
            for record in frame.records:
                if isinstance(record, RunStarted):
                    boot = record.boot
                yield record

    if run.is_dir():
        family = FamilyReader(run, Family.TRADE)
        left = left_by(all_of(family), models)
        return left, family.fault, boot
    with JournalReader(run) as reader:
        left = left_by(all_of(reader), models)
        return left, reader.fault, boot


def left_by(records: Iterable[Record], models: Mapping[str, ModelFactory] = MODELS) -> Left | None:
    """What one run's records, in order, come to; None when they do not even begin.

    Market data and decide markers may be among them or not: nothing rests on them.
    """
    parameters: str | None = None
    base: Checkpoint | None = None
    tail: list[Record] = []
    ended = False
    for record in records:
        ended = ended or isinstance(record, RunEnded)
        if isinstance(record, RunStarted):
            parameters, base, tail = record.parameters, record.resumed, [record]
        elif isinstance(record, Checkpoint):
            parameters, base, tail = record.parameters or parameters, record, []
        else:
            tail.append(record)
    if parameters is None:
        return None
    core = TradingCore(CoreParameters.from_json(parameters), base, models)
    for record in tail:
        relive(core, record)
    return core.checkpoint(), len(tail), ended
