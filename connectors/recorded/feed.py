"""What every kind of recording gives to `RecordedConnector`, and the feeds of wire frames and of events."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Literal, Protocol

import msgspec

from connectors.recorded.reader import BREAK, Damage
from mm_daemon.domain.errors import ConfigError
from mm_daemon.domain.events import (
    BookDelta,
    BookInvalidated,
    BookSnapshot,
    InvalidCause,
    MarketEvent,
    PublicTrade,
    TopOfBook,
)
from mm_daemon.domain.instrument import Instrument, InstrumentId, instrument_id, symbol_of
from mm_daemon.ports.connector import WireTranslator

Stream = Literal["depth", "trade", "bookTicker"]
STREAMS: tuple[Stream, ...] = ("depth", "trade", "bookTicker")

_EVENTS: dict[Stream, frozenset[type[MarketEvent]]] = {
    "depth": frozenset({BookSnapshot, BookDelta, BookInvalidated}),
    "trade": frozenset({PublicTrade}),
    "bookTicker": frozenset({TopOfBook}),
}
_UNREADABLE = ("malformed", "oversized")
_NONE: Mapping[str, int] = {}


class Log(Protocol):
    """Lines of frames, from one file or many."""

    @property
    def damage(self) -> Sequence[Damage]: ...

    @property
    def damaged(self) -> int: ...

    @property
    def notes(self) -> Sequence[str]: ...

    @property
    def bytes_read(self) -> int: ...

    @property
    def size(self) -> int: ...

    def first_ns(self) -> int: ...

    def frames(self) -> Iterator[tuple[int, bytes]]: ...

    def name(self, what: str) -> None: ...


class Feed(Protocol):
    """One recording as events. All but `first_ns` is of the last reading, as far as it has come."""

    frames: int
    """Frames, rows or records read."""

    def first_ns(self) -> int:
        """Local time of the first entry. Raises ConfigError when there is none."""
        ...

    def events(self) -> Iterator[MarketEvent]:
        """From the beginning at each call, in order of local time. Raises ConfigError for damage that is to stop it."""
        ...

    @property
    def damage(self) -> Sequence[Damage]:
        """Places that could not be used."""
        ...

    @property
    def notes(self) -> Sequence[str]:
        """Damage, and what the form of the recording cannot show, for people."""
        ...

    @property
    def problems(self) -> Mapping[str, int]:
        """Frames that could not be used, by kind, and damaged places."""
        ...

    @property
    def length(self) -> tuple[int, int]:
        """Bytes read, and of how many, as they are stored; (0, 0) where that is not known."""
        ...


class WireFeed:
    """Frames, read by the venue's own translator."""

    def __init__(
        self,
        log: Log,
        translator: Callable[[Sequence[Instrument]], WireTranslator],
        instruments: Sequence[Instrument],
    ) -> None:
        self._log = log
        self._translator = translator
        self._instruments = instruments
        self._reading = translator(instruments)
        self._before: dict[str, int] = {}
        """Problems of translators that a break has ended."""
        self.frames = 0

    def first_ns(self) -> int:
        return self._log.first_ns()

    @property
    def damage(self) -> Sequence[Damage]:
        return self._log.damage

    @property
    def notes(self) -> Sequence[str]:
        return self._log.notes

    @property
    def length(self) -> tuple[int, int]:
        return self._log.bytes_read, self._log.size

    @property
    def problems(self) -> Mapping[str, int]:
        damaged, problems = self._log.damaged, self._reading.problems
        if self._before:
            problems = {
                kind: self._before.get(kind, 0) + problems.get(kind, 0) for kind in {**self._before, **problems}
            }
        return {**problems, "recording_damage": damaged} if damaged else problems

    def events(self) -> Iterator[MarketEvent]:
        self.frames = 0
        self._before = {}
        self._reading = self._translator(self._instruments)
        events = self._all()
        first = next(events, None)
        if first is None:
            if self.frames:
                names = ", ".join(each.symbol for each in self._instruments)
                self._log.name(
                    f"none of {self.frames} frames says anything of {names}; is it another symbol's or venue's?"
                )
            return iter(())
        return chain((first,), events)

    def raw(self) -> Iterator[tuple[int, bytes]]:
        """The frames as they stand there."""
        return self._log.frames()

    def _all(self) -> Iterator[MarketEvent]:
        translate: Callable[[bytes, int], Sequence[MarketEvent]] = self._reading.translate
        unreadable = 0
        for ts_local_ns, frame in self._log.frames():
            if not frame:
                if self.frames:
                    yield from voided(self._instruments, ts_local_ns)
                    translate, unreadable = self._begin_anew(), 0
                continue
            self.frames += 1
            events = translate(frame, ts_local_ns)
            if not events or type(events[0]) is BookInvalidated:
                unreadable = self._name_unreadable(unreadable)
            yield from events

    def _begin_anew(self) -> Callable[[bytes, int], Sequence[MarketEvent]]:
        """The link was gone: another translator, as after it came back."""
        for kind, count in self._reading.problems.items():
            self._before[kind] = self._before.get(kind, 0) + count
        self._reading = self._translator(self._instruments)
        return self._reading.translate

    def _name_unreadable(self, before: int) -> int:
        """Name the frame just read as damage when the translator could not read it; how many there are by now."""
        problems = self._reading.problems
        unreadable = sum(problems.get(kind, 0) for kind in _UNREADABLE)
        if unreadable > before:
            self._log.name("frame cannot be read")
        return unreadable


class EventFeed:
    """Events that a connector made and a recorder kept."""

    def __init__(self, log: Log, instruments: Sequence[Instrument], venue: str) -> None:
        """`venue` is the name under which they were recorded."""
        self._log = log
        self._instruments = instruments
        self._known = renamed_ids(instruments, venue)
        self.frames = 0

    def first_ns(self) -> int:
        return self._log.first_ns()

    @property
    def damage(self) -> Sequence[Damage]:
        return self._log.damage

    @property
    def notes(self) -> Sequence[str]:
        return self._log.notes

    @property
    def length(self) -> tuple[int, int]:
        return self._log.bytes_read, self._log.size

    @property
    def problems(self) -> Mapping[str, int]:
        return {"recording_damage": self._log.damaged} if self._log.damaged else _NONE

    def events(self) -> Iterator[MarketEvent]:
        self.frames = 0
        decode = msgspec.json.Decoder(MarketEvent).decode
        for ts_local_ns, frame in self._log.frames():
            if frame == BREAK:
                if self.frames:
                    yield from voided(self._instruments, ts_local_ns)
                continue
            self.frames += 1
            try:
                event = decode(frame)
            except msgspec.DecodeError:
                self._log.name("event cannot be read")
                continue
            known = self._known.get(event.instrument)
            if known is not None:
                yield here(event, known, ts_local_ns)


def renamed_ids(instruments: Sequence[Instrument], venue: str) -> Mapping[InstrumentId, InstrumentId]:
    """From what instruments are called in a recording of `venue` to what they are called here."""
    return {instrument_id(venue, each.symbol): each.id for each in instruments}


def here(event: MarketEvent, known: InstrumentId, ts_local_ns: int) -> MarketEvent:
    """The event under our name of the instrument, not before what was read before it."""
    if event.instrument == known and event.ts_local_ns == ts_local_ns:
        return event
    return msgspec.structs.replace(event, instrument=known, ts_local_ns=ts_local_ns)


def voided(instruments: Sequence[Instrument], ts_local_ns: int) -> Iterator[MarketEvent]:
    """The link was gone: no book holds any more."""
    for each in instruments:
        yield BookInvalidated(each.id, ts_local_ns, ts_local_ns, InvalidCause.DISCONNECTED, "the recording has a break")


def only(events: Iterator[MarketEvent], streams: Sequence[Stream]) -> Iterator[MarketEvent]:
    """Without the streams that are not wanted."""
    unwanted = frozenset[type[MarketEvent]]().union(*(_EVENTS[each] for each in STREAMS if each not in streams))
    return (event for event in events if type(event) not in unwanted) if unwanted else events


def single(instruments: Sequence[Instrument], what: str) -> Instrument:
    """The one instrument of a recording that does not name any. Raises ConfigError."""
    if len(instruments) != 1:
        names = ", ".join(symbol_of(each.id) for each in instruments)
        raise ConfigError(
            f"{what} has no column that names the symbol, and {instruments[0].venue} has {len(instruments)} markets "
            f"({names}); give each its own file and venue, or add a column `symbol`"
        )
    return instruments[0]
