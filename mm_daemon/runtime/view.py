"""The operator's view of a run: metrics, the loopback address, the control socket, the screen.

Everything here reads the core and nothing depends on it: each part is a restartable child of the supervisor, and one
that cannot be had (a port that is taken) is named in the log while trading goes on. Wired by `runtime/app.py`.
"""

import asyncio
import errno
import hashlib
import importlib
import os
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from structlog.typing import FilteringBoundLogger

import mm_daemon
from mm_daemon.config.schema import Config
from mm_daemon.core.parameters import CoreParameters
from mm_daemon.core.trading_core import TradingCore
from mm_daemon.domain.decisions import Turn
from mm_daemon.domain.events import Event
from mm_daemon.domain.instrument import InstrumentId, Venue
from mm_daemon.domain.orders import ClientOrderId, Side
from mm_daemon.observability import snapshot
from mm_daemon.observability.live_statistics import LiveStatistics
from mm_daemon.observability.metrics import Metrics
from mm_daemon.observability.quoted_time import quote_works
from mm_daemon.observability.readiness import unready_reasons
from mm_daemon.observability.recent import Recent
from mm_daemon.observability.records import Records
from mm_daemon.observability.status import Status, Surroundings
from mm_daemon.observability.status_of import status_of
from mm_daemon.observability.summary import Tally
from mm_daemon.ports.connector import Connector, CountsProblems, KeepsLinks, Link, SeesQueue
from mm_daemon.runtime.clock import Clock
from mm_daemon.runtime.control import ControlSocket
from mm_daemon.runtime.control_door import ControlDoor
from mm_daemon.runtime.core_loop import CoreLoop
from mm_daemon.runtime.dead_man import DeadManSwitches, in_words
from mm_daemon.runtime.inbox import Inbox
from mm_daemon.runtime.screen import RunLog, Screen
from mm_daemon.runtime.venues import feed_of

if TYPE_CHECKING:  # a quarter of a second of imports: only where it is served
    from mm_daemon.observability.page.daemon import Switch
    from mm_daemon.observability.page.server import Page

Start = Callable[[], Coroutine[Any, Any, None]]


class OperatorsView:
    def __init__(
        self,
        config: Config,
        core: TradingCore,
        loop: CoreLoop,
        *,
        mode: str,
        clock: Clock,
        inbox: Inbox,
        connectors: Mapping[Venue, Connector],
        tallies: Mapping[InstrumentId, Tally],
        state_dir: Path,
        journal: Callable[[], Path],
        dead_man: DeadManSwitches,
        stopping: Callable[[], bool],
        reload: Callable[[str], Awaitable[tuple[Event | None, str]]],
        recent: Recent,
        log: FilteringBoundLogger,
        run_log: RunLog | None,
    ) -> None:
        """`run_log`: there when a screen is wanted."""
        self._config = config
        self._core = core
        self._loop = loop
        self._mode = mode
        self._clock = clock
        self._connectors = connectors
        self._tallies = tallies
        self._state_dir = state_dir
        self._journal = journal
        self._dead_man = dead_man
        self._stopping = stopping
        self._recent = recent
        self._log = log
        self._run_log = run_log
        self._started_ns = clock.now_ns()
        self._http: str | None = None
        self._statistics = LiveStatistics(core.markets, self._started_ns)
        self.records = Records(core)
        self._door = ControlDoor(tuple(core.markets), emit=inbox.put, now_ns=clock.now_ns)
        self.metrics = Metrics(
            core,
            self._statistics.markets,
            now_ns=clock.now_ns,
            wall_ns=clock.wall_ns,
            build=(mm_daemon.__version__, parameters_hash(core.parameters)),
            queues=inbox,
            folder=state_dir,
            bad_messages=self._bad_messages,
            links=self._links,
        )
        self._control: ControlSocket | None = None
        if config.control:
            self._control = ControlSocket(
                state_dir, door=self._door, status=self.status, reload=reload, now_ns=clock.now_ns
            )

    def children(self) -> Iterator[tuple[str, Start]]:
        """Name and start of each part, for the supervisor."""
        if self._config.http.port is not None:
            yield "http", partial(self._serve_http, self._config.http.port)
        every_s = self._config.runtime.snapshot_interval_s
        if every_s is not None:
            yield "snapshot", partial(self._keep_snapshot, every_s)
        if self._control is not None:
            yield "control", self._control.run
            if self._run_log is not None:
                screen = Screen(self._state_dir, self._run_log, self._control.listening, self._screen_gone)
                yield "screen", screen.run

    def observe(self, turn: Turn, events: Sequence[Event]) -> None:
        """A turn was lived and its commands have left."""
        self._statistics.observe(turn, events)
        self.metrics.observe(turn, events, self._loop.times)
        self._door.observe(events)

    def restarted(self, task: str) -> None:
        self.metrics.restarts[task] += 1

    def status(self) -> Status:
        """The daemon as it is now."""
        around = self._surroundings()
        return status_of(self._core, self._tallies, self._statistics.markets, around, self._clock.now_ns())

    def _surroundings(self) -> Surroundings:
        return Surroundings(
            version=mm_daemon.__version__,
            mode=self._mode,
            pid=os.getpid(),
            config=self._config.file,
            journal=str(self._journal()),
            started_ns=self._started_ns,
            http=self._http,
            stopping=self._stopping(),
            events=self._loop.events,
            turns=self._loop.turns,
            fronts=self._fronts(),
            bad_messages=self._bad_messages(),
            restarts={venue: self.metrics.restarts[f"venue {venue}"] for venue in self._connectors},
            recent=self._recent.lines,
        )

    def in_a_line(self) -> str:
        """The daemon as it is now, for whoever has room for one line."""
        markets = self._core.markets.values()
        quoted = sum(any(quote_works(market, side) for side in Side) for market in markets)
        killed = ["killed"] if self._core.gate.latched is not None else []
        return ", ".join([f"{self._mode}, quoting {quoted} of {len(markets)} markets", *killed, *self._unready()])

    async def _keep_snapshot(self, every_s: float) -> None:
        await snapshot.keep(
            self._state_dir,
            every_s,
            self.metrics,
            self._clock.wall_ns,
            lambda text: self._log.warning("snapshot", text=text),
        )

    async def _serve_http(self, port: int) -> None:
        # A quarter of a second of imports: in a thread, so that quoting does not wait for it.
        await asyncio.to_thread(importlib.import_module, "aiohttp.web")
        from mm_daemon.observability import http

        host = self._config.http.host
        try:
            page = self.page() if self._config.http.page else None
            await http.serve(
                host,
                port,
                metrics=self.metrics,
                unready=self._unready,
                serving=self._serving,
                names=self._config.http.names,
                page=page,
            )
        except OSError as error:
            cause = "is taken" if error.errno == errno.EADDRINUSE else f"cannot be had ({error.strerror or error})"
            what = "metrics and no status page" if self._config.http.page else "metrics"
            text = f"no {what} in this run: {host}:{port} {cause}; name another with http.port"
            self._log.warning("http", text=text)
        finally:
            self._http = None

    def page(self) -> "Page":
        """The status page over this run."""
        from mm_daemon.observability.page.board import Board, Source
        from mm_daemon.observability.page.server import Page

        source = Source(
            core=self._core,
            records=self.records,
            recent=self._recent,
            tallies=self._tallies,
            statistics=self._statistics.markets,
            now_ns=self._clock.now_ns,
            surroundings=self._surroundings,
            links=self._links,
            switches=self._switches,
            pace=self.metrics.pace,
        )
        settings = self._config.http
        return Page(
            Board(source, lambda text: self._log.error("page", text=text)),
            self._door.act,
            token=None if settings.token is None else settings.token.reveal(),
            run=f"{self._started_ns:x}",
            warn=lambda text: self._log.warning("wrong_token", text=text),
        )

    def _switches(self) -> "Mapping[Venue, Switch]":
        from mm_daemon.observability.page.daemon import Switch

        deadlines_ns, refresh_s = self._dead_man.deadlines_ns, self._dead_man.refresh_s
        return {
            venue: Switch(in_words(connector.capabilities), deadlines_ns.get(venue), refresh_s.get(venue))
            for venue, connector in self._connectors.items()
        }

    def _serving(self, address: str) -> None:
        self._http = address
        page = f"status page at http://{address}/, " if self._config.http.page else ""
        self._log.info("http", text=f"metrics at http://{address}/metrics, {page}also /healthz and /readyz")

    def _unready(self) -> Sequence[Any]:
        return unready_reasons(self._core.markets.values(), self._clock.now_ns())

    def _screen_gone(self, code: int) -> None:
        self._log.warning("screen", text=f"the screen has ended (exit {code}); the log goes on here; Ctrl-C stops")

    def _bad_messages(self) -> Mapping[Venue, Mapping[str, int]]:
        """Of the feeds that count them."""
        feeds = {venue: feed_of(connector) for venue, connector in self._connectors.items()}
        return {venue: dict(feed.problems) for venue, feed in feeds.items() if isinstance(feed, CountsProblems)}

    def _links(self) -> Mapping[Venue, Mapping[str, Link]]:
        """Of the connectors that have some."""
        feeds = {venue: feed_of(connector) for venue, connector in self._connectors.items()}
        return {venue: feed.links() for venue, feed in feeds.items() if isinstance(feed, KeepsLinks)}

    def _fronts(self) -> Mapping[Venue, Mapping[ClientOrderId, float]]:
        """What stands before our orders, at the venues that can say."""
        return {
            venue: connector.fronts()
            for venue, connector in self._connectors.items()
            if isinstance(connector, SeesQueue)
        }


def parameters_hash(parameters: CoreParameters) -> str:
    """Twelve digits that are the same when, and only when, the core was built from the same parameters."""
    plain = msgspec.structs.replace(parameters, first_client_id=ClientOrderId(1))
    return hashlib.sha256(plain.to_json().encode()).hexdigest()[:12]
