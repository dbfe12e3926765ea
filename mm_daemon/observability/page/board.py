"""What the page shows, built while somebody watches: once for all who do, at most twice a second, a slice at a time.

A build looks at one market, gives way to the core, looks at the next: each market is as of one instant, and none of
them keeps a decision waiting for longer than its own look takes. Whoever watches is sent the pieces that have changed
since what it has.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from time import monotonic

import msgspec

from mm_daemon.core.trading_core import TradingCore
from mm_daemon.domain.instrument import InstrumentId, Venue
from mm_daemon.observability.page.daemon import Switch, daemon_fragments, row_fragments
from mm_daemon.observability.page.market import market_fragments
from mm_daemon.observability.page.marks import Fragments, Marks
from mm_daemon.observability.page.sentences import Headline, Situation, headline
from mm_daemon.observability.page.trail import SAMPLE_S, Trail
from mm_daemon.observability.recent import Recent
from mm_daemon.observability.records import Records
from mm_daemon.observability.slices import Pace
from mm_daemon.observability.status import MarketStatus, Status, Surroundings
from mm_daemon.observability.status_of import market_status, status_with
from mm_daemon.observability.summary import Tally
from mm_daemon.observability.trade_statistics import TradeStatistics
from mm_daemon.ports.connector import Link

PERIOD_S = 0.5
"""Between two builds."""
_AFTER_TROUBLE_S = 5.0

View = InstrumentId | None
"""A market, or None: the daemon as a whole."""


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """Where everything on the page comes from; read only."""

    core: TradingCore
    records: Records
    recent: Recent
    tallies: Mapping[InstrumentId, Tally]
    statistics: Mapping[InstrumentId, TradeStatistics]
    now_ns: Callable[[], int]
    surroundings: Callable[[], Surroundings]
    links: Callable[[], Mapping[Venue, Mapping[str, Link]]]
    switches: Callable[[], Mapping[Venue, Switch]]
    pace: Pace


class Pieces:
    """The pieces of one view, and in which build each came to be what it is."""

    def __init__(self) -> None:
        self.all: Fragments = {}
        self._changed: dict[str, int] = {}
        self._sent: dict[int, bytes] = {}

    def take(self, fragments: Fragments, build: int) -> None:
        for name, text in fragments.items():
            if self.all.get(name) != text:
                self.all[name] = text
                self._changed[name] = build

    def built(self) -> None:
        self._sent.clear()

    def since(self, build: int) -> bytes:
        """JSON of the pieces that have changed since then; made once for everybody who has the same."""
        sent = self._sent.get(build)
        if sent is None:
            changed = {name: text for name, text in self.all.items() if self._changed[name] > build}
            sent = self._sent[build] = msgspec.json.encode(changed)
        return sent


class Board:
    def __init__(self, source: Source, report: Callable[[str], None]) -> None:
        """`report` is told when it cannot be built."""
        self._report = report
        self._source = source
        self.trails = {name: Trail() for name in source.core.markets}
        self._views: dict[View, Pieces] = {}
        self._wanted: dict[View, int] = {}
        """How many watch each view."""
        self._building = asyncio.Lock()
        self._built = asyncio.Event()
        self._awake = asyncio.Event()
        self._built_s = -PERIOD_S
        self.build = 0
        """Number of the last build that is complete."""

    @property
    def core(self) -> TradingCore:
        return self._source.core

    @property
    def pace(self) -> Pace:
        return self._source.pace

    @property
    def markets(self) -> Iterable[InstrumentId]:
        return self._source.core.markets

    async def run(self) -> None:
        """Sample the trails, and build while somebody watches, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._sample())
            tasks.create_task(self._refresh())

    async def _sample(self) -> None:
        core, now_ns = self._source.core, self._source.now_ns
        while True:
            for name, trail in self.trails.items():
                trail.look(core.markets[name], now_ns())
            await asyncio.sleep(SAMPLE_S)

    async def _refresh(self) -> None:
        while True:
            await self._awake.wait()
            await asyncio.sleep(max(0.0, self._built_s + PERIOD_S - monotonic()))
            if not self._wanted:
                continue
            try:
                await self.fresh(())
            except Exception as error:  # a figure that cannot be shown costs the page, neither metrics nor trading
                self._report(f"the status page cannot be shown: {type(error).__name__}: {error}")
                await asyncio.sleep(_AFTER_TROUBLE_S)

    # Watching

    @property
    def watched(self) -> bool:
        return bool(self._wanted)

    def watch(self, view: View) -> None:
        self._wanted[view] = self._wanted.get(view, 0) + 1
        self._awake.set()

    def leave(self, view: View) -> None:
        self._wanted[view] -= 1
        if not self._wanted[view]:
            del self._wanted[view]
            self._views.pop(view, None)
        if not self._wanted:
            self._awake.clear()

    async def next(self, view: View, seen: int) -> tuple[int, bytes]:
        """The next build behind `seen`, and what has changed in the view since."""
        while self.build <= seen or view not in self._views:
            await self._built.wait()
            await self.pace.turn()  # not all who watch at once
        return self.build, self._views[view].since(seen)

    # Building

    async def fresh(self, views: Iterable[View]) -> Mapping[View, Pieces]:
        """The pieces of these views and of those that are watched, at most one period old."""
        async with self._building:
            wanted = {*views, *self._wanted}
            if monotonic() - self._built_s < PERIOD_S and wanted <= self._views.keys():
                return {view: self._views[view] for view in wanted}
            self._built_s = monotonic()
            return await self._build(wanted)

    async def status(self) -> Status:
        """As `status --json` says it, each market as of when it was looked at."""
        source = self._source
        around = source.surroundings()
        markets = await self.pace.walk(self._look(name, around) for name in source.core.markets)
        return status_with(tuple(markets), source.core, around, source.now_ns())

    def _look(self, name: InstrumentId, around: Surroundings) -> MarketStatus:
        source = self._source
        market = source.core.markets[name]
        return market_status(
            source.core, market, source.tallies[name], source.statistics[name], around, source.now_ns()
        )

    def build_at_once(self, wanted: Iterable[View]) -> Mapping[View, Pieces]:
        """These views, without a pause; nobody is told of them."""
        views = {view: Pieces() for view in wanted}
        for _ in self._steps(views, self.build):
            pass
        return views

    async def _build(self, wanted: Iterable[View]) -> Mapping[View, Pieces]:
        """Bring these views up to date; a view that is new is there once it is whole."""
        views, build = {view: self._views.get(view) or Pieces() for view in wanted}, self.build + 1
        await self.pace.walk(self._steps(views, build))
        self._views = views
        self.build = build
        self._built.set()
        self._built.clear()
        return views

    def _steps(self, views: Mapping[View, Pieces], build: int) -> Iterator[None]:
        source = self._source
        around = source.surroundings()
        marks = Marks(around.journal)
        overview = views.get(None)
        statuses: list[MarketStatus] = []
        headlines: dict[InstrumentId, Headline] = {}
        for index, name in enumerate(source.core.markets):
            status = self._look(name, around)
            statuses.append(status)
            at = Situation(source.core, source.core.markets[name], status, source.records, source.now_ns())
            said = headlines[name] = headline(at)
            if overview is not None:
                overview.take(row_fragments(index, status, said, source.records.markets[name], marks), build)
            yield
            if name in views:
                for fragments in market_fragments(at, said, around, source.recent, self.trails[name], marks):
                    views[name].take(fragments, build)
                    yield
        status_now = status_with(tuple(statuses), source.core, around, source.now_ns())
        yield
        whole = daemon_fragments(
            status_now, headlines, source.links(), source.switches(), source.recent, marks, source.records.next
        )
        for view, pieces in views.items():
            pieces.take(
                {name: text for name, text in whole.items() if view is None or name not in ("events", "all")}, build
            )
            pieces.built()
