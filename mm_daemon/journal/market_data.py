"""The market data of a run's journal, to be played to another run: what the core saw of its venues, and nothing else.

Given to connectors that play recordings (`ConnectorContext.journal`).
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from mm_daemon.core.parameters import CoreParameters
from mm_daemon.domain.errors import JournalError
from mm_daemon.domain.events import LinkEvent, MarketEvent, RunStarted
from mm_daemon.domain.instrument import Instrument
from mm_daemon.journal.log import JournalReader
from mm_daemon.journal.run_reader import open_journal

_WANTED = frozenset((*MarketEvent.__args__, *LinkEvent.__args__))


class JournalMarketData:
    """Structurally a `RecordedRun`: one journal, a run's folder or the file of a backtest."""

    def __init__(self, path: Path) -> None:
        """Raises JournalError when there is no journal."""
        self._path = path
        self.fault: str | None = None
        with open_journal(path):
            pass

    def instruments(self) -> Sequence[Instrument]:
        """Raises JournalError when the beginning of the run is not there."""
        with open_journal(self._path) as reader:
            for frame in reader:
                for record in frame.records:
                    if isinstance(record, RunStarted):
                        parameters = CoreParameters.from_json(record.parameters)
                        return [market.instrument for market in parameters.markets]
        raise JournalError(f"journal {self._path} does not say how its run was started; its first segment is missing")

    def events(self) -> Iterator[MarketEvent | LinkEvent]:
        self.fault = None
        with open_journal(self._path) as reader:
            for frame in reader:
                for record in frame.records:
                    if type(record) in _WANTED:
                        yield record  # type: ignore[misc]
            deleted = not isinstance(reader, JournalReader) and reader.kept_from
            if reader.fault is not None:
                self.fault = str(reader.fault)
            elif deleted:
                self.fault = f"market data before record {deleted} were deleted; books begin at the next snapshot"
