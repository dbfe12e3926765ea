"""Composition root of `record`: the connectors of a configuration without their keys, listened to and never sent to.

Each venue has a task of its own that comes back after weather, so that one venue's trouble costs no other's frames. A
connector shows its frames as they come (`ConnectorContext.tap`); where no translator reads them later, the events it
makes of them are kept beside them, in a folder of their own.
"""

import asyncio
import signal
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Literal

import msgspec
from structlog.typing import FilteringBoundLogger

from mm_daemon import __version__, registry
from mm_daemon.config.schema import Config, VenueConfig
from mm_daemon.config.secrets import Secrets
from mm_daemon.domain.errors import ConfigError, JournalError, MmError, UsageError
from mm_daemon.domain.events import Event, MarketEvent, VenueConnected, VenueDisconnected
from mm_daemon.domain.instrument import Instrument, InstrumentId, Venue, instrument_id
from mm_daemon.ports.connector import Connector, ConnectorContext, RecordedFeed, SpeaksWire
from mm_daemon.ports.recording import CLOSED, EVENTS_SUFFIX, OPENED, RecordingIndex
from mm_daemon.runtime.clock import Clock
from mm_daemon.runtime.recording.segments import SegmentFolder, begin
from mm_daemon.runtime.recording.writer import RecordingWriter, WhenFull

KeepEvents = Literal["auto", "always", "never"]

SEGMENT_BYTES_MAX = 1 << 30
_LOOK_S = 0.5
_TELL_EVERY_S = 60.0
_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 60.0
_START_TIMEOUT_S = 30.0
_SHARES = 8
"""Segments that a bounded disk holds at least, so that what is deleted is a small part of it."""

_MARKET = MarketEvent.__args__
_WEATHER = (MmError, OSError, TimeoutError)


class RecordSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What `record` is asked for."""

    out: Path
    max_bytes: int | None = None
    """Bound of all folders together; None: the disk's own."""
    when_full: WhenFull = "delete-oldest"
    duration_s: float | None = None
    markets: tuple[str, ...] = ()
    """Venues, or `venue:symbol`; empty: all of the configuration."""
    events: KeepEvents = "auto"
    """auto: where no translator reads the frames."""


class Recorded(msgspec.Struct, frozen=True):
    """What came of it."""

    frames: int
    """On the disk, in all folders, those of earlier recorders too."""
    bytes: int
    lost: int
    folders: Mapping[str, tuple[int, int]]
    """(frames, bytes) by folder."""
    full: bool
    """It ended because the bound was reached and nothing may be deleted."""


def chosen_symbols(config: Config, markets: Collection[str]) -> dict[Venue, tuple[str, ...]]:
    """Symbols to record by venue. Raises UsageError for a market that the configuration does not have."""
    wanted = dict.fromkeys(markets)
    known: dict[InstrumentId, None] = {}
    chosen: dict[Venue, tuple[str, ...]] = {}
    for venue in config.venues:
        symbols = config.symbols_of(venue)
        known.update(dict.fromkeys(instrument_id(venue, symbol) for symbol in symbols))
        kept = tuple(s for s in symbols if not wanted or venue in wanted or instrument_id(venue, s) in wanted)
        if kept:
            chosen[venue] = kept
    missing = [each for each in wanted if each not in known and each not in config.venues]
    if missing:
        raise UsageError(f"--market {missing[0]}: the configuration has no such market; it has {', '.join(known)}")
    return chosen


def run(config: Config, settings: RecordSettings, log: FilteringBoundLogger) -> Recorded:
    """Record until the time is over, a signal comes or the disk is full. Raises ConfigError, JournalError."""
    if config.runtime.uvloop:
        import uvloop

        new_loop: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    else:
        new_loop = asyncio.new_event_loop
    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(Recorder(config, settings, log).run(signals=True))


class Recorder:
    """One `record`. `stop` ends it from within the loop."""

    def __init__(
        self,
        config: Config,
        settings: RecordSettings,
        log: FilteringBoundLogger,
        *,
        clock: Clock | None = None,
        connector_named: Callable[[str], Callable[..., Connector]] = registry.connector,
    ) -> None:
        """Raises UsageError for a market that the configuration does not have."""
        self._settings = settings
        self._log = log
        self._clock = clock or Clock()
        self._stop = asyncio.Event()
        most = settings.max_bytes
        self.writer = RecordingWriter(
            max_bytes=most,
            when_full=settings.when_full,
            on_deleted=lambda file: log.info("recording_made_room", text=f"the disk bound is reached: {file} deleted"),
        )
        self._segment_bytes_max = SEGMENT_BYTES_MAX if most is None else min(SEGMENT_BYTES_MAX, most // _SHARES)
        self._venues = [
            _Venue(self, config.venues[venue], symbols, connector_named)
            for venue, symbols in chosen_symbols(config, settings.markets).items()
        ]

    def stop(self) -> None:
        self._stop.set()

    async def run(self, *, signals: bool = False) -> Recorded:
        """Raises ConfigError before anything is recorded, JournalError when the disk fails."""
        loop = asyncio.get_running_loop()
        if signals:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, self.stop)
        self.writer.start()
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(venue.keep()) for venue in self._venues]
                await self._watch(tasks)
                for task in tasks:
                    task.cancel()
        except* MmError as failed:
            raise failed.exceptions[0] from None
        finally:
            self.writer.stop()
        folders = self.writer.figures()
        return Recorded(
            sum(frames for frames, _ in folders.values()),
            sum(size for _, size in folders.values()),
            self.writer.lost,
            folders,
            self.writer.full,
        )

    async def _watch(self, tasks: "Collection[asyncio.Task[None]]") -> None:
        """Until there is a reason to stop; tells now and then how it goes."""
        loop = asyncio.get_running_loop()
        begun_s = told_s = loop.time()
        duration_s = self._settings.duration_s
        while not all(task.done() for task in tasks):
            wait_s = _LOOK_S
            if duration_s is not None:
                wait_s = min(wait_s, begun_s + duration_s - loop.time())
            if wait_s <= 0 or self.writer.full or self.writer.failure is not None:
                return
            try:
                async with asyncio.timeout(wait_s):
                    await self._stop.wait()
                    return
            except TimeoutError:
                pass
            if loop.time() - told_s >= _TELL_EVERY_S:
                told_s = loop.time()
                self._tell()

    def _tell(self) -> None:
        for name, (frames, size) in self.writer.figures().items():
            self._log.info("recording", venue=name, text=f"{frames} frames, {size / (1 << 20):.1f} MiB on the disk")
        if self.writer.lost:
            self._log.warning("recording_lost", text=f"{self.writer.lost} frames lost: the disk is too slow")

    # For the venues

    @property
    def settings(self) -> RecordSettings:
        return self._settings

    @property
    def clock(self) -> Clock:
        return self._clock

    @property
    def log(self) -> FilteringBoundLogger:
        return self._log

    def open(self, name: str, head: RecordingIndex) -> SegmentFolder:
        """A folder of `out`, taken over where it exists. Raises JournalError, ConfigError."""
        folder = SegmentFolder(self._settings.out / name, head, segment_bytes_max=self._segment_bytes_max)
        for text in folder.repaired:
            self._log.warning("recording_repaired", venue=head.venue, text=text)
        begin(folder, self._clock.now_ns(), __version__)
        self.writer.add(folder)
        return folder


class _Venue:
    """One venue: its connector, built anew after each failure, and its folders."""

    def __init__(
        self,
        recorder: Recorder,
        config: VenueConfig,
        symbols: tuple[str, ...],
        connector_named: Callable[[str], Callable[..., Connector]],
    ) -> None:
        self._recorder = recorder
        self._config = config
        self._symbols = symbols
        self._make = connector_named(config.connector)
        self._frames: SegmentFolder | None = None
        self._events: SegmentFolder | None = None
        self._encode = msgspec.json.Encoder().encode

    async def keep(self) -> None:
        """Listen until cancelled, or until a feed that ends has ended. Raises ConfigError and JournalError."""
        pause_s = _FIRST_PAUSE_S
        while True:
            connector = self._connector()
            if isinstance(connector, RecordedFeed):
                text = "is a recording already; `mm-daemon convert` writes it in another form"
                raise ConfigError(f"venue {self._config.name} {text}")
            try:
                async with asyncio.timeout(_START_TIMEOUT_S):
                    instruments = await connector.load_instruments()
                self._open(connector, instruments)
                pause_s = _FIRST_PAUSE_S
                await connector.run()
                return
            except (ConfigError, JournalError):
                raise
            except Exception as error:  # the edge of a task: weather, or a bug that must not cost other venues' frames
                said = str(error) or type(error).__name__
                report = self._recorder.log.warning if isinstance(error, _WEATHER) else self._recorder.log.error
                report("venue_failed", venue=self._config.name, text=said, kind=type(error).__name__, pause_s=pause_s)
            finally:
                await connector.close()
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _connector(self) -> Connector:
        """Without a key where it can be had so: nothing is to be traded, and nothing private recorded."""
        context = ConnectorContext(
            venue=self._config.name,
            symbols=self._symbols,
            emit=self._on_event,
            now_ns=self._recorder.clock.now_ns,
            delay_s=self._recorder.clock.delay_s,
            secrets=Secrets(),
            translator=registry.translator,
            tap=self._on_frame,
        )
        try:
            return self._make(context, self._config.settings)
        except ConfigError:
            if not self._config.secrets:
                raise
        return self._make(msgspec.structs.replace(context, secrets=self._config.secrets), self._config.settings)

    def _open(self, connector: Connector, instruments: "Collection[Instrument]") -> None:
        if self._frames is not None or self._events is not None:
            return  # it is a later connection of the same run
        wire = connector.wire if isinstance(connector, SpeaksWire) else None
        name, keep = self._config.name, self._recorder.settings.events
        embedded = connector.capabilities.simulated and wire is None
        if not embedded:
            head = RecordingIndex(venue=name, holds="frames", wire=wire, instruments=tuple(instruments))
            self._frames = self._recorder.open(name, head)
        if embedded or keep == "always" or (keep == "auto" and wire is None):
            head = RecordingIndex(venue=name, holds="events", instruments=tuple(instruments))
            self._events = self._recorder.open(name + EVENTS_SUFFIX, head)

    def _on_frame(self, frame: bytes, ts_local_ns: int) -> None:
        if self._frames is not None:
            self._recorder.writer.put(self._frames, ts_local_ns, frame)

    def _on_event(self, event: Event) -> None:
        if isinstance(event, _MARKET):
            if self._events is not None:
                self._recorder.writer.put(self._events, event.ts_local_ns, self._encode(event))
        elif isinstance(event, VenueConnected | VenueDisconnected):
            word, cause = (OPENED, "") if isinstance(event, VenueConnected) else (CLOSED, event.cause)
            for folder in (self._frames, self._events):
                if folder is not None:
                    self._recorder.writer.remark(folder, event.ts_local_ns, word, cause)
