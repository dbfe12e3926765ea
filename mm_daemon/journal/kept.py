"""What is kept for long of all runs of a state directory: the trade family, record by record, oldest run first."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from mm_daemon.core.parameters import CoreParameters
from mm_daemon.domain.checkpoint import Checkpoint
from mm_daemon.domain.codec import Record
from mm_daemon.domain.events import ParametersChanged, RunStarted
from mm_daemon.domain.instrument import Instrument, InstrumentId
from mm_daemon.journal.format import Family, Fault
from mm_daemon.journal.run_reader import FamilyReader
from mm_daemon.journal.segments import runs_in


class Kept(NamedTuple):
    """A record, where it stands, when it was (an answer's time is that of what it answered), and the contracts by which
    its ticks and lots are read."""

    run: str
    seq: int
    time_ns: int
    record: Record
    contracts: Mapping[InstrumentId, Instrument]


class KeptRuns:
    """The records of a folder of runs. Afterwards `faults` has what could not be read, by run."""

    def __init__(self, journals: Path) -> None:
        self._journals = journals
        self.faults: list[tuple[str, Fault]] = []

    def __iter__(self) -> Iterator[Kept]:
        """Raises JournalError when the folder or a run in it cannot be read."""
        for run in runs_in(self._journals):
            if run.is_dir():
                reader = FamilyReader(run, Family.TRADE)
                yield from _of(run.name, reader)
                if reader.fault is not None:
                    self.faults.append((run.name, reader.fault))


def _of(run: str, reader: FamilyReader) -> Iterator[Kept]:
    contracts: Mapping[InstrumentId, Instrument] = {}
    now_ns = 0
    for frame in reader:
        for seq, record in enumerate(frame.records, frame.seq):
            now_ns = max(now_ns, getattr(record, "ts_local_ns", 0) or getattr(record, "now_ns", 0))
            if isinstance(record, RunStarted | ParametersChanged | Checkpoint) and record.parameters is not None:
                markets = CoreParameters.from_json(record.parameters).markets
                contracts = {market.instrument.id: market.instrument for market in markets}
            yield Kept(run, seq, now_ns, record, contracts)
