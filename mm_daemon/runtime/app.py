"""Composition root: the one place where concrete things meet and a configuration becomes a running daemon.

The order of a run: lock the state directory; build the connectors (in paper mode each real venue is wrapped, so that
its orders never leave this process); load the instruments; recover what the last run left; build the core from it; open
the journal with `RunStarted`; see that no order of an earlier run is open and that accounts agree; supervise the core
loop, the gateway's tasks and the venues until somebody or something asks to stop; cancel everything, have it confirmed,
write `RunEnded`, say what came of it. Called by the `run` verb.
"""

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TextIO, cast

import msgspec
from structlog.typing import FilteringBoundLogger

import mm_daemon
from mm_daemon import registry
from mm_daemon.config.build import core_parameters
from mm_daemon.config.schema import Config
from mm_daemon.core.trading_core import TradingCore
from mm_daemon.domain.capabilities import Capabilities
from mm_daemon.domain.decisions import Turn
from mm_daemon.domain.errors import (
    ConfigError,
    JournalError,
    MmError,
    ReconciliationFailed,
    UsageError,
    VenueUnreachable,
)
from mm_daemon.domain.events import (
    Event,
    OperatorAction,
    OperatorRequest,
    RunEnded,
    RunStarted,
    VenueDisconnected,
)
from mm_daemon.domain.instrument import Venue
from mm_daemon.domain.orders import ClientOrderId
from mm_daemon.domain.rng import Rng
from mm_daemon.journal import client_ids
from mm_daemon.journal.disk import DISK, Disk
from mm_daemon.journal.keeping import Keeper, Retention
from mm_daemon.journal.recovery import recover
from mm_daemon.journal.run_writer import RunWriter
from mm_daemon.journal.segments import OPENING, name_of_next
from mm_daemon.observability.logs import catch_third_parties, open_log, utc_text
from mm_daemon.observability.narrator import Narrator
from mm_daemon.observability.recent import Recent
from mm_daemon.ports.connector import Connector, RecallsOrders
from mm_daemon.runtime.clock import Clock, boot_name
from mm_daemon.runtime.core_loop import CoreLoop
from mm_daemon.runtime.dead_man import DeadManSwitches
from mm_daemon.runtime.gateway import OrderGateway
from mm_daemon.runtime.inbox import Inbox
from mm_daemon.runtime.lateness import watch_loop
from mm_daemon.runtime.lifecycle import (
    StopRequest,
    cancel_without_core,
    clear_leftovers,
    keep_reconciled,
    load_instruments,
    outlast_forgotten,
    stop_cleanly,
)
from mm_daemon.runtime.reload import Reloader
from mm_daemon.runtime.reports import FORGOTTEN, Reports, trace
from mm_daemon.runtime.screen import RunLog
from mm_daemon.runtime.service_manager import ServiceManager
from mm_daemon.runtime.state_dir import StateDir
from mm_daemon.runtime.supervisor import Kind, Supervisor
from mm_daemon.runtime.venues import build_connectors, move_to_feed_time
from mm_daemon.runtime.view import OperatorsView

EXIT_CLEAN = 0
EXIT_BUG = 1
EXIT_LATCHED = 80
EXIT_NOT_CONFIRMED = 81

_CORE_LOOP = "core loop"
_VENUE = "venue "
_NS_PER_MS = 1_000_000
_SYNC_S = 1.0
_KEEP_S = 10.0
_MIB = 1 << 20
_CLOSE_S = 2.0
_SPARE_IDS = 1024
"""Client ids still promised when the next block is asked for: far more than one turn can use."""


def run(config: Config, *, paper: bool, duration_s: float | None, screen: bool = False) -> int:
    """Run until stopped; returns the process's exit code (OPERATIONS 4). `paper` forces paper mode; `screen`: the
    terminal shows `watch`, and the log goes to a file in the state directory.

    Raises ConfigError when the configuration does not fit the venue, with nothing started.
    """
    if config.runtime.uvloop:
        import uvloop

        new_loop: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    else:
        new_loop = asyncio.new_event_loop
    with asyncio.Runner(loop_factory=new_loop) as runner:
        log_to = cast("TextIO", RunLog(sys.stderr)) if screen else sys.stderr
        daemon = Daemon(config, paper=paper, duration_s=duration_s, log_to=log_to)
        catch_third_parties(daemon.log)
        return runner.run(daemon.run())


def _settle_memory() -> None:
    """What is built by now lives as long as the process: keep collections short."""
    gc.collect()
    gc.freeze()


class Daemon:
    """One run: everything it is made of, wired in `_wire` and `_children`."""

    log: FilteringBoundLogger
    view: OperatorsView
    _connectors: dict[Venue, Connector]
    _venues_left: set[Venue]
    """Venues whose market data have not ended."""
    _ids_file: Path
    _ids_end: int
    """Client ids below this one are promised to this run."""
    _core: TradingCore
    _journal: RunWriter
    _keeper: Keeper
    _gateway: OrderGateway
    _dead_man: DeadManSwitches
    _narrator: Narrator
    reloader: Reloader
    _reports: Reports
    _loop: CoreLoop
    _supervisor: Supervisor

    def __init__(
        self,
        config: Config,
        *,
        paper: bool,
        duration_s: float | None,
        clock: Clock | None = None,
        connector_named: Callable[[str], Callable[..., Connector]] = registry.connector,
        log_to: TextIO = sys.stderr,
        disk: Disk = DISK,
        settle_memory: Callable[[], None] = _settle_memory,
        boot: str | None = None,
    ) -> None:
        """`clock` and all below it are what a simulated day replaces; `boot` names the machine's present boot."""
        self._config = config
        self._disk = disk
        self._settle_memory = settle_memory
        self._boot = boot_name() if boot is None else boot
        self._mode = "paper" if paper else config.mode
        self._duration_s = duration_s
        self._clock = clock or Clock()
        self._connector_named = connector_named
        self._run_log = log_to if isinstance(log_to, RunLog) else None
        self._recent = Recent()
        self.log = _open_log(config, log_to, self._clock.now_ns, self._recent)
        self.inbox = Inbox()
        self._stop = StopRequest(config.runtime.stop_timeout_s)
        self._manager = ServiceManager(report=lambda text: self.log.warning("service_manager", text=text))
        self._clean = False
        self._closed: list[Venue] = []
        self._weather: MmError | None = None
        """Why we stop although nobody asked: its exit code is the run's."""

    async def run(self) -> int:
        state = StateDir(self._config.state_dir)
        try:
            return await self._run(state)
        finally:
            state.close()
            self._manager.close()

    async def _run(self, state: StateDir) -> int:
        if self._run_log is not None:
            self._run_log.keep_in(state.path)
        self._connectors = build_connectors(
            self._config,
            paper=self._mode == "paper",
            emit=self.inbox.put,
            clock=self._clock,
            state_dir=state.path,
            connector_named=self._connector_named,
            report=lambda venue, kind, text: self.log.warning("venue_trouble", venue=venue, kind=kind, text=text),
        )
        try:
            try:
                await self._start(state)
            except (ConfigError, UsageError):
                raise
            except Exception as error:  # nothing was quoted yet: say why we cannot start
                return self._failed("cannot start", error)
            return await self._live()
        finally:
            await self._close_venues()

    # Starting

    async def _start(self, state: StateDir) -> None:
        """Everything up to the first event. Raises MmError with nothing quoted."""
        self._manager.beginning()
        instruments = await load_instruments(self._connectors)
        move_to_feed_time(self._clock, self._connectors)
        capabilities = {venue: connector.capabilities for venue, connector in self._connectors.items()}
        parameters = core_parameters(self._config, instruments, capabilities)
        self._ids_file = state.client_ids
        parameters = msgspec.structs.replace(parameters, first_client_id=self._reserve_ids())
        models = registry.PricingModels()
        left = recover(state.journals, models)
        if left is not None and left.may_have_forgotten(self._boot):
            # Before this run is one: should it die while it waits, the next one waits again.
            self.log.warning("forgotten", run=left.run.name, text=FORGOTTEN)
            waiting = partial(self._manager.waiting, "until nothing can land that a power cut made us forget")
            await outlast_forgotten(parameters, self._connectors, waiting)
        resumed = None if left is None else left.checkpoint
        self._core = TradingCore(parameters, resumed, models)
        journal = state.journals / name_of_next(state.journals, utc_text(self._clock.wall_ns()).replace(":", ""))
        settings = self._config.journal
        self._journal = RunWriter(
            journal.with_name(f"{journal.name}{OPENING}"), segment_bytes=settings.segment_mb * _MIB, disk=self._disk
        )
        self._keeper = Keeper(
            state.journals,
            Retention(
                market_keep_s=settings.market_keep_hours * 3600,
                trade_keep_s=settings.trade_keep_days * 86400,
                free_bytes=settings.disk_keep_free_mb * _MIB,
            ),
        )
        self._wire(state, capabilities)
        whole = left is None or not left.cut
        started = RunStarted(
            self._clock.now_ns(), mm_daemon.__version__, parameters.to_json(), resumed, whole, self._boot
        )
        self._loop.begin(started)
        # Only now is it a journal: whenever we may be killed, what bears this name can be replayed.
        self._journal.rename(journal)
        self._journal.sync()  # a run that a power cut makes vanish as a whole has sent nothing
        self._reports.starting(self._mode, self._config.file, str(self._journal.path))
        self._narrator.opening(self._clock.now_ns())
        if left is not None:
            self._reports.continuing(left)
        for venue, connector in self._connectors.items():
            if isinstance(connector, RecallsOrders):
                connector.recall(self._core.ledger.wire_refs(venue))
        adopt = self._config.reconcile.on_orphan == "adopt"
        await clear_leftovers(self._core, self._connectors, self.inbox.put, self._clock.now_ns, adopt=adopt)
        self._reports.dead_man()
        for venue in self._dead_man.venues:
            await self._dead_man.arm(venue)

    def _wire(self, state: StateDir, capabilities: Mapping[Venue, Capabilities]) -> None:
        """The parts around core and journal; nothing of them runs yet."""
        self._reports = Reports(self.log, self._core, self._connectors)
        self._gateway = OrderGateway(
            self._connectors,
            emit=self.inbox.put,
            now_ns=self._clock.now_ns,
            report=self._reports.venue_trouble,
            family_of=self._core.family_of,
        )
        self._dead_man = DeadManSwitches(
            self._connectors, report=self._reports.venue_trouble, now_ns=self._clock.now_ns
        )
        self._narrator = Narrator(self._core.markets, self.log)
        self._loop = CoreLoop(
            self._core,
            inbox=self.inbox,
            journal=self._journal,
            clock=self._clock,
            carry=self._gateway.carry,
            ask=self._gateway.ask,
            observe=self._after_turn,
            beat=self._beat,
            beat_s=min(filter(None, (self._dead_man.every_s, self._manager.beat_s)), default=None),
        )
        self.reloader = Reloader(
            self._config,
            self._core,
            capabilities,
            emit=self.inbox.put,
            now_ns=self._clock.now_ns,
            log=self.log,
            reading=self._manager.reloading,
        )
        self.view = OperatorsView(
            self._config,
            self._core,
            self._loop,
            mode=self._mode,
            clock=self._clock,
            inbox=self.inbox,
            connectors=self._connectors,
            tallies=self._narrator.tallies,
            state_dir=state.path,
            journal=lambda: self._journal.path,
            dead_man=self._dead_man,
            stopping=lambda: self._stop.asked,
            reload=self.reloader.read,
            recent=self._recent,
            log=self.log,
            run_log=self._run_log,
        )
        self.view.metrics.venues.dead_man_ns = self._dead_man.deadlines_ns
        self.view.metrics.venues.dead_man_refresh_s = self._dead_man.refresh_s
        self.inbox.on_lost_market = self._reports.market_lost
        self.inbox.on_lost_orders = self._reports.orders_lost

    def _reserve_ids(self) -> ClientOrderId:
        """Promise this run another block of client ids; the first of them."""
        wall_ms = self._clock.wall_ns() // _NS_PER_MS
        first_id, self._ids_end = client_ids.reserve(self._ids_file, wall_ms, disk=self._disk)
        return first_id

    # Living

    async def _live(self) -> int:
        """Supervise until the end, whichever it is; the exit code."""
        supervisor = self._supervisor = self._children()
        self._listen_to_signals()
        self._settle_memory()
        try:
            await supervisor.run()
        except Exception as error:  # an essential part failed: a bug, or a disk; nothing may stay open behind it
            return await self._die(error)
        return self._finish()

    def _children(self) -> Supervisor:
        supervisor = Supervisor(
            Rng(self._config.seed).split("supervisor"),
            on_restart=self._child_restarts,
            on_given_up=self._child_given_up,
            on_finished=self._child_finished,
        )
        supervisor.add(_CORE_LOOP, Kind.ESSENTIAL, self._loop.run)
        supervisor.add("journal", Kind.ESSENTIAL, self._keep_durable)
        supervisor.add("journal keeping", Kind.RESTARTABLE, self._keep_journals)
        for venue in self._gateway.real_venues:
            supervisor.add(f"gateway {venue}", Kind.ESSENTIAL, partial(self._gateway.serve, venue))
            supervisor.add(f"queries {venue}", Kind.ESSENTIAL, partial(self._gateway.serve_queries, venue))
            supervisor.add(f"cancels {venue}", Kind.ESSENTIAL, partial(self._gateway.serve_cancels, venue))
        for venue in self._dead_man.venues:
            supervisor.add(f"dead man {venue}", Kind.ESSENTIAL, partial(self._dead_man.serve, venue))
        for venue, connector in self._connectors.items():
            supervisor.add(f"{_VENUE}{venue}", Kind.RESTARTABLE, partial(self._run_venue, venue, connector))
        supervisor.add("summary", Kind.RESTARTABLE, self._summarise)
        supervisor.add("reconcile", Kind.RESTARTABLE, self._reconcile)
        supervisor.add("reload", Kind.RESTARTABLE, self.reloader.run)
        supervisor.add("lateness", Kind.RESTARTABLE, self._watch_lateness)
        if self._manager.there:
            tell = partial(self._manager.run, lambda: self._core.reconciled, self.view.in_a_line)
            supervisor.add("service manager", Kind.RESTARTABLE, tell)
        for name, start in self.view.children():
            supervisor.add(name, Kind.RESTARTABLE, start)
        supervisor.add("stop", Kind.FINITE, self._stop_when_asked)
        if self._duration_s is not None:
            supervisor.add("duration", Kind.FINITE, partial(self._stop_after, self._duration_s))
        self._venues_left = set(self._connectors)
        self.view.metrics.restarts.update(dict.fromkeys(supervisor.names, 0))
        return supervisor

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop.hurry, number.name)
        loop.add_signal_handler(signal.SIGHUP, self.reloader.ask, signal.SIGHUP.name)
        loop.add_signal_handler(signal.SIGUSR1, self._kill_switch)

    def _kill_switch(self) -> None:
        self.inbox.put(OperatorRequest(self._clock.now_ns(), OperatorAction.KILL, signal.SIGUSR1.name))

    async def _run_venue(self, venue: Venue, connector: Connector) -> None:
        """A venue's link comes and goes; a disk that cannot keep its account ends the run (R14), and a recording that
        is damaged ends: playing it again from its beginning would not help."""
        try:
            await connector.run()
        except JournalError as error:
            self._supervisor.fail(error)
            await asyncio.Event().wait()
        except ConfigError as error:
            self._child_given_up(f"{_VENUE}{venue}", error)
            await asyncio.Event().wait()

    async def _keep_durable(self) -> None:
        while True:
            await asyncio.sleep(_SYNC_S)
            await asyncio.to_thread(self._journal.sync)

    async def _keep_journals(self) -> None:
        while True:
            kept = await asyncio.to_thread(self._keeper.keep, self._journal.open_segments)
            self._reports.kept(kept)
            self.view.metrics.journal_errors["keep"] += kept.errors
            await asyncio.sleep(_KEEP_S)

    async def _summarise(self) -> None:
        while True:
            await asyncio.sleep(self._config.runtime.summary_interval_s)
            self._narrator.summary(self._loop.now_ns)
            self._reports.bad_frames()

    async def _reconcile(self) -> None:
        await keep_reconciled(
            self._core,
            self._connectors,
            emit=self.inbox.put,
            now_ns=self._clock.now_ns,
            interval_s=self._config.reconcile.interval_s,
            start_timeout_s=self._config.runtime.start_timeout_s,
            on_never=self._never_reconciled,
            log=self.log,
        )

    async def _watch_lateness(self) -> None:
        await watch_loop(
            limit_s=self._config.runtime.loop_stall_ms / 1000,
            emit=self.inbox.put,
            now_ns=self._clock.now_ns,
            observe=self.view.metrics.loop_lag.observe,
            report=self._reports.late,
        )

    async def _stop_after(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self._stop.ask(f"ran for {seconds:g} s")

    async def _stop_when_asked(self) -> None:
        await self._stop.wait()
        self._manager.stopping(self._stop.reason, self._config.runtime.stop_timeout_s + _CLOSE_S)
        self._clean = await stop_cleanly(
            self._core,
            self._connectors,
            self._stop,
            emit=self.inbox.put,
            now_ns=self._clock.now_ns,
            log=self.log,
        )
        if self._clean:
            await self._dead_man.disarm()
        await self._close_venues()  # nothing a venue does after this is part of the run
        self.inbox.put(RunEnded(self._clock.now_ns(), self._stop.reason, self._clean))

    def _after_turn(self, turn: Turn, urgent: Sequence[Event]) -> None:
        if self._core.last_client_id + _SPARE_IDS > self._ids_end:
            self._reserve_ids()
        # What is written to the log from here on is about this turn's records.
        self._recent.turn = self.view.records.observe(turn, urgent, self._journal.seq)
        self._narrator.observe(turn, urgent)
        self._reports.reconciled(turn)
        self._reports.safeguards()
        self._recent.turn = None
        self.view.observe(turn, urgent)

    def _beat(self, now_ns: int) -> None:
        """The signs of life that only the turning core loop may give."""
        self._dead_man.beat(now_ns)
        self._manager.beat()

    # What the parts report, and what is done about it

    def _child_restarts(self, name: str, error: Exception, pause_s: float) -> None:
        self.view.restarted(name)
        self._reports.restart(name, error, pause_s)

    def _child_given_up(self, name: str, error: Exception) -> None:
        self._reports.given_up(name, error)
        if name.startswith(_VENUE):
            self._weather = error if isinstance(error, MmError) else VenueUnreachable(f"{name} is lost: {error}")
            self._venue_gone(name, str(error))

    def _child_finished(self, name: str) -> None:
        if name == _CORE_LOOP:
            self._supervisor.end()
        elif name.startswith(_VENUE):
            self._venue_gone(name, "feed ended")

    def _venue_gone(self, name: str, cause: str) -> None:
        """The venue's market data have ended. Without the last of them there is nothing left to quote on."""
        venue = Venue(name.removeprefix(_VENUE))
        self._venues_left.discard(venue)
        if self._venues_left:
            self.inbox.put(VenueDisconnected(venue, 0, self._clock.now_ns(), cause))
        else:
            self._stop.ask(cause)

    def _never_reconciled(self) -> None:
        open_issues = [
            f"{market.id} ({market.position.lots} lots by our journal)"
            for market in self._core.markets.values()
            if market.facts.reconciling or market.lockouts.held()
        ]
        self._weather = ReconciliationFailed(
            f"{', '.join(open_issues) or 'a venue'} did not come to agree with the venue's account within "
            f"{self._config.runtime.start_timeout_s:g} s: compare position and fills at the venue, "
            "then start again, or start with another state_dir once both are flat"
        )
        self.log.critical("not_reconciled", text=str(self._weather))
        self._stop.ask("not reconciled")

    # Ending

    def _finish(self) -> int:
        """After a stop that went its way: the last words and the exit code."""
        self._keeper.stop()
        self._narrator.summary(self._loop.now_ns, final=True)
        self._reports.bad_frames()
        try:
            self._journal.close()
        except JournalError as error:
            self.log.critical("failed", text=str(error), exit_code=error.exit_code)
            return error.exit_code
        exit_code = self._exit_code()
        left = "no open orders" if self._clean else "orders may still be open: look at the venue"
        text = f"stopped ({self._stop.reason}): {left}; {self._loop.events} events; journal {self._journal.path}"
        (self.log.info if exit_code == EXIT_CLEAN else self.log.error)(
            "stopped",
            reason=self._stop.reason,
            confirmed=self._clean,
            exit_code=exit_code,
            events=self._loop.events,
            turns=self._loop.turns,
            journal=str(self._journal.path),
            text=text,
        )
        return exit_code

    def _exit_code(self) -> int:
        if not self._clean:
            return EXIT_NOT_CONFIRMED
        if self._core.gate.latched is not None:
            return EXIT_LATCHED
        return EXIT_CLEAN if self._weather is None else self._weather.exit_code

    async def _die(self, error: Exception) -> int:
        """Something that must not fail has failed. All tasks are gone; cancel at the venues without the core."""
        self._manager.stopping(str(error), self._config.runtime.stop_timeout_s + _CLOSE_S)
        exit_code = self._failed("stopping at once", error)
        self._keeper.stop()
        await cancel_without_core(self._connectors, self.log)
        try:
            self._journal.close()
        except JournalError as journal_error:
            self.log.critical("failed", text=str(journal_error), exit_code=exit_code)
        return exit_code

    def _failed(self, what: str, error: Exception) -> int:
        """Say it, with the place in the code when it is our bug; the exit code."""
        if isinstance(error, MmError):
            self.log.critical("failed", text=f"{what}: {error}", exit_code=error.exit_code)
            return error.exit_code
        text = f"{what}: {type(error).__name__}: {error}"
        self.log.critical("failed", text=text, exit_code=EXIT_BUG, error=trace(error))
        return EXIT_BUG

    async def _close_venues(self) -> None:
        """Each once: at the end of a stop, or wherever else the run came to its end."""
        for venue, connector in self._connectors.items():
            if venue in self._closed:
                continue
            self._closed.append(venue)
            try:
                async with asyncio.timeout(_CLOSE_S):
                    await connector.close()
            except Exception as error:  # the process ends anyway: say it and close the next one
                self.log.warning("close_failed", venue=venue, text=f"closing failed: {type(error).__name__}: {error}")


def _open_log(config: Config, stream: TextIO, now_ns: Callable[[], int], keep: Recent) -> FilteringBoundLogger:
    terminal = stream.isatty()
    return open_log(
        stream,
        people=config.log.format == "console" or (config.log.format == "auto" and terminal),
        now_ns=now_ns,
        level=config.log.level,
        secrets=_secrets_of(config),
        colour=terminal and "NO_COLOR" not in os.environ,
        keep=keep,
    )


def _secrets_of(config: Config) -> list[str]:
    """Every text that must appear nowhere."""
    page = [] if config.http.token is None else [config.http.token.reveal()]
    return page + [text for venue in config.venues.values() for text in venue.secrets.values()]
