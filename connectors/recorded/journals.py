"""The journal of a run as a recording: its market data again, for one of its venues."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from connectors.recorded.feed import here, renamed_ids, voided
from connectors.recorded.reader import Damage, Damaged
from mm_daemon.domain.errors import ConfigError, JournalError
from mm_daemon.domain.events import MarketEvent, VenueDisconnected
from mm_daemon.domain.instrument import Instrument, Venue
from mm_daemon.ports.connector import RecordedRun

_MARKET = frozenset(MarketEvent.__args__)


def is_journal(path: Path) -> bool:
    """Whether a path is the journal of a run or a backtest, by what lies there."""
    if path.is_dir():
        return any(".mmj" in each.suffixes for each in path.iterdir())
    return path.suffix == ".journal" or ".mmj" in path.suffixes


class JournalFeed:
    """Market data of the run, under the name that its venue has here."""

    def __init__(self, path: Path, run: RecordedRun, instruments: Sequence[Instrument], damaged: Damaged) -> None:
        self._path = path
        self._run = run
        self._instruments = instruments
        self._stops = damaged == "stop"
        self._venue = venue_in(path, run, instruments[0].venue)
        self._known = renamed_ids(instruments, self._venue)
        self.frames = 0
        self.damage: Sequence[Damage] = ()

    def first_ns(self) -> int:
        for event in self.events():
            return event.ts_local_ns
        names = ", ".join(each.symbol for each in self._instruments)
        raise ConfigError(f"recording {self._path}: the journal holds no market data of {names}")

    @property
    def notes(self) -> Sequence[str]:
        return [f"{self._path}: {self._run.fault}"] if self._run.fault is not None else []

    @property
    def length(self) -> tuple[int, int]:
        return 0, 0

    @property
    def problems(self) -> Mapping[str, int]:
        return {"recording_damage": 1} if self._run.fault is not None else {}

    def events(self) -> Iterator[MarketEvent]:
        self.frames = last_ns = 0
        known, venue = self._known, self._venue
        try:
            for event in self._run.events():
                self.frames += 1
                last_ns = max(last_ns, event.ts_local_ns)
                if type(event) in _MARKET:
                    ours = known.get(event.instrument)  # type: ignore[union-attr]
                    if ours is not None:
                        yield here(event, ours, last_ns)  # type: ignore[arg-type]
                elif isinstance(event, VenueDisconnected) and event.venue == venue:
                    yield from voided(self._instruments, last_ns)
        except JournalError as error:
            raise ConfigError(f"recording {self._path}: {error}") from error
        if self._run.fault is not None and self._stops:
            raise ConfigError(
                f"recording {self._path}: {self._run.fault}; write `damaged: skip` beside its path to go on with what "
                "is good"
            )


def venue_in(path: Path, run: RecordedRun, venue: Venue) -> str:
    """What the venue is called in the journal: the same, or as the only one there. Raises ConfigError."""
    names = dict.fromkeys(each.venue for each in _instruments(path, run))
    if venue in names or len(names) != 1:
        if venue not in names:
            raise ConfigError(f"recording {path}: the run had {', '.join(names)}, and no venue named {venue}")
        return venue
    return next(iter(names))


def contracts(path: Path, run: RecordedRun, venue: Venue) -> Sequence[Instrument]:
    """The contracts of the venue as the run had them. Raises ConfigError."""
    name = venue_in(path, run, venue)
    return [each for each in _instruments(path, run) if each.venue == name]


def _instruments(path: Path, run: RecordedRun) -> Sequence[Instrument]:
    try:
        return run.instruments()
    except JournalError as error:
        raise ConfigError(f"recording {path}: {error}") from error
