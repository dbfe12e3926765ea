"""The connector port: how a venue meets the daemon.

A connector translates and keeps a link alive; it holds no strategy, no position, no opinion. It is built as
`ConnectorClass(context, settings)` with `settings` an instance of its own `Settings` struct, which the configuration
loader validates key by key. Everything it learns it says by `context.emit`, which is synchronous and never blocks.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Protocol, runtime_checkable

import msgspec

from mm_daemon.domain.capabilities import Capabilities
from mm_daemon.domain.decisions import ApprovedCommand
from mm_daemon.domain.events import Event, LinkEvent, MarketEvent, VenueSnapshot
from mm_daemon.domain.instrument import Instrument, Venue
from mm_daemon.domain.orders import ClientOrderId


class ConnectorContext(msgspec.Struct, frozen=True, kw_only=True):
    """What a connector is given: its name, its symbols, a way to speak, the time, its secrets, a folder."""

    venue: Venue
    symbols: tuple[str, ...]
    emit: Callable[[Event], None]
    now_ns: Callable[[], int]
    delay_s: Callable[[int], float]
    """Seconds of the event loop until `now_ns` reads an instant: a recording's time may run faster than the loop's."""
    state_dir: Path | None = None
    """Where it may keep files of its own; None: nowhere."""
    secrets: Mapping[str, str] = msgspec.field(default_factory=dict)
    translator: "Callable[[str], type[WireTranslator]] | None" = None
    """Finds a venue's wire translator by name; given to connectors that play recordings."""
    read_only: bool = False
    """Nothing may be changed at the venue: no order (`send` and the like are not called), no leverage, no setting."""
    journal: "Callable[[Path], RecordedRun] | None" = None
    """Opens the journal of a run; given to connectors that play recordings."""
    table: object | None = None
    """A table in memory (polars or pandas) that a recording is read from instead of a file; None: from its path."""
    report: Callable[[str, str], None] = lambda _kind, _text: None
    """Hears of trouble that the connector lives with and that a person should mend: its kind, of which the log holds
    back what comes in quick succession, and words."""
    tap: Callable[[bytes, int], None] | None = None
    """Shown each market-data frame as the venue sent it, and when it came (ns), before anything is made of it. It never
    blocks. None: nobody records."""


class Connector(Protocol):
    """One venue, live or simulated. Outcomes of `send` are emitted events, never return values."""

    Settings: ClassVar[type[msgspec.Struct]]
    capabilities: Capabilities

    async def load_instruments(self) -> Sequence[Instrument]:
        """The definitions of the context's symbols. Raises VenueUnreachable, CredentialsRefused or ConfigError."""
        ...

    async def run(self) -> None:
        """Keep the links alive until cancelled; returns when a finite feed has ended."""
        ...

    async def send(self, commands: Sequence[ApprovedCommand]) -> None:
        """Carry one released batch to the venue. A timeout is `CommandOutcomeUnknown`, never guessed, never retried."""
        ...

    async def snapshot(self, since_ns: int) -> VenueSnapshot:
        """Open orders, positions and fills since a venue time."""
        ...

    async def query_order(self, client_id: ClientOrderId) -> None:
        """Ask about one order whose outcome is unknown. The answer is an event: `OrderStatus` for one that is open, the
        event of its end for one that has ended, `OrderNotFound` for one that the venue does not know.
        """
        ...

    async def arm_dead_man(self, deadline_ns: int | None) -> None:
        """Arm or (None) disarm the venue's own switch, where `capabilities` has one."""
        ...

    async def cancel_all(self) -> None:
        """Last resort: cancel every order of the account. Needs no core."""
        ...

    async def close(self) -> None:
        """Close the sockets. They outlive `run`, so that a stop can still confirm."""
        ...


class WireTranslator(Protocol):
    """A venue's market-data frames as events. Pure but for its own sequence state; used live and by recordings."""

    def __init__(self, instruments: Sequence[Instrument]) -> None: ...

    def translate(self, frame: bytes, ts_local_ns: int) -> Sequence[MarketEvent]:
        """Events in a frame, empty for frames that mean nothing to us. Never raises: a bad frame is counted in
        `problems` and answered with `BookInvalidated` where a book is affected."""
        ...

    @property
    def problems(self) -> Mapping[str, int]:
        """Frames that could not be used, by kind."""
        ...


class VirtualVenue(Protocol):
    """A venue as a pure machine on deadlines: no loop, no clock. The same object serves paper runs and backtests."""

    def submit(self, commands: Sequence[ApprovedCommand], now_ns: int) -> None:
        """Commands leave the daemon at `now_ns`; they arrive after the entry latency."""
        ...

    def query(self, client_id: ClientOrderId, now_ns: int) -> None:
        """Ask about one order at `now_ns`; the answer is told by `advance`."""
        ...

    def advance(self, now_ns: int) -> Sequence[Event]:
        """Everything the daemon learns up to and including `now_ns`, in order of `ts_local_ns`."""
        ...

    def next_deadline_ns(self) -> int | None:
        """When `advance` next has something to do; None: never again."""
        ...

    def snapshot(self, now_ns: int, since_ns: int = 0) -> VenueSnapshot:
        """Open orders, positions, and fills since a venue time, as the venue holds them at `now_ns`."""
        ...


@runtime_checkable
class RecordedFeed(Protocol):
    """What a connector offers when its market data can be read without a loop: the way in for backtests."""

    def instruments(self) -> Sequence[Instrument]: ...

    def events(self) -> Iterator[MarketEvent]:
        """The whole recording as events, in order of local time."""
        ...


@runtime_checkable
class EmbeddedVenue(Protocol):
    """What a connector offers when its whole venue is a pure machine in this process."""

    def instruments(self) -> Sequence[Instrument]: ...

    def virtual(self) -> VirtualVenue: ...


class RecordedRun(Protocol):
    """The market data in the journal of a run."""

    def instruments(self) -> Sequence[Instrument]:
        """Every contract of the run. Raises JournalError."""
        ...

    def events(self) -> Iterator[MarketEvent | LinkEvent]:
        """Market data and links in the order the core saw them. Raises JournalError."""
        ...

    @property
    def fault(self) -> str | None:
        """What ended the journal's good part before its end, once `events` has been read; None: nothing."""
        ...


# What a connector may offer besides; asked for by `isinstance`.


@runtime_checkable
class SpeaksWire(Protocol):
    """A connector whose frames a wire translator reads without it."""

    @property
    def wire(self) -> str | None:
        """Name of that translator; None: with these settings there is none, and recordings keep the events too."""
        ...


@runtime_checkable
class CountsProblems(Protocol):
    """A feed that counts the frames it could not use."""

    @property
    def problems(self) -> Mapping[str, int]:
        """How many so far, by kind."""
        ...


@runtime_checkable
class RecallsOrders(Protocol):
    """A connector that needs to know what earlier processes sent: its venue orders each key's commands."""

    def recall(self, sent: Mapping[ClientOrderId, str]) -> None:
        """The `wire_ref`s of orders of earlier processes that may be alive; told once, before the first command."""
        ...


class Link(msgspec.Struct, frozen=True):
    """One connection of a venue as it is now."""

    connected: bool
    messages: int
    """Received since the start."""
    ends: Mapping[str, int]
    """Connections that ended or never opened, by a fixed set of causes; each is made again."""


@runtime_checkable
class KeepsLinks(Protocol):
    """A connector that talks to its venue over connections that come and go."""

    def links(self) -> Mapping[str, Link]:
        """By the name of what they carry, such as `market` or `account`; the names never change."""
        ...


@runtime_checkable
class NotesDamage(Protocol):
    """A feed that can name the places it could not use."""

    @property
    def notes(self) -> Sequence[str]:
        """Sentences for people."""
        ...


@runtime_checkable
class KnowsItsLength(Protocol):
    """A feed that knows how much of it has been read, for a progress bar."""

    @property
    def bytes_read(self) -> int:
        """Of the files as they are stored."""
        ...

    @property
    def bytes_total(self) -> int: ...


@runtime_checkable
class Forkable(Protocol):
    """A feed that can say whether a process forked from the one that made it may read it."""

    @property
    def forkable(self) -> bool:
        """Nothing that reads it has threads: a fork leaves them behind, and whoever waits for them waits for ever."""
        ...


@runtime_checkable
class CatchesUp(Protocol):
    """A feed that can be told to say now what is due, when the event loop is late."""

    def catch_up(self, until_ns: int) -> None:
        """Emit everything up to and with an instant that has come and is not told yet."""
        ...


@runtime_checkable
class RecordedTime(Protocol):
    """A feed that plays on a clock of its own."""

    @property
    def starts_at_ns(self) -> int:
        """Where a clock that plays it begins. Raises ConfigError."""
        ...

    @property
    def speed(self) -> float:
        """Seconds of the recording in one of the wall's."""
        ...


@runtime_checkable
class SeesQueue(Protocol):
    """A venue that knows what stands before our orders."""

    def fronts(self) -> Mapping[ClientOrderId, float]:
        """Lots of others before each resting order of ours."""
        ...
