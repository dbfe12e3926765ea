"""Backtests: one `TradingCore`, its venues as machines on deadlines, and a clock that jumps to whatever is next.

A turn happens at every instant at which the core learns something, and always in the same order:

1. market data received at that instant, in the recording's order: commands that reached the venue before it meet the
   book as it was, then the core is told, then our resting orders meet the book as it is;
2. what the venues have to say by now (acknowledgements, fills; for an embedded market its market data too);
3. `DeadlineReached`, if the core's own deadline has come;
4. `core.decide(now)` once, and what it releases goes to the venues, which it reaches after their entry latency.

So a market move is known before the answer to an order that raced it: ties resolve against us (EXECUTION 8). Nothing
else decides anything: no clock, no loop, no chance of its own. Two runs with the same input are the same run, byte for
byte.
"""

import gc
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from heapq import merge
from operator import attrgetter
from pathlib import Path
from time import perf_counter
from typing import get_args

from mm_daemon import __version__, registry
from mm_daemon.backtest.progress import Meter, Told
from mm_daemon.backtest.report import BacktestReport, build_report
from mm_daemon.backtest.sources import MarketData, RecordedMarket, Source
from mm_daemon.backtest.tally import Tally
from mm_daemon.core.parameters import CoreParameters
from mm_daemon.core.trading_core import TradingCore
from mm_daemon.domain.deadlines import NEVER_NS
from mm_daemon.domain.decisions import ApprovedCommand, CancelAll, OrderQuery, Turn
from mm_daemon.domain.errors import ConfigError, CoreError, UsageError
from mm_daemon.domain.events import (
    BookDelta,
    BookSnapshot,
    DeadlineReached,
    Event,
    MarketEvent,
    OrderEvent,
    PublicTrade,
    RunEnded,
    RunStarted,
    ShutdownRequested,
    StreamStale,
    VenueConnected,
    VenueSnapshotReceived,
)
from mm_daemon.domain.instrument import InstrumentId, Venue, venue_of
from mm_daemon.domain.orders import ClientOrderId
from mm_daemon.journal.log import JournalWriter
from mm_daemon.ports.connector import CountsProblems, NotesDamage, VirtualVenue

FIRST_CLIENT_ID = ClientOrderId(1)
"""Backtests number their orders from here, so that equal runs write equal journals."""

_LOOK_EVERY_NS = 1_000_000_000
STOP_LIMIT_NS = 60_000_000_000
"""Virtual time in which a stop must find every order gone."""

_FLUSH_BYTES = 1 << 18
_MAX_TURNS_AT_ONCE = 10_000
"""Turns at one instant after which time is taken to stand still: a deadline in the past that nobody clears."""
_ORDER_EVENTS = frozenset(get_args(OrderEvent))
_MARKET_EVENTS = frozenset(get_args(MarketEvent))
_Hear = Callable[[MarketEvent], None]


def run_backtest(
    parameters: CoreParameters,
    sources: Mapping[Venue, Source],
    *,
    journal: Path | None = None,
    duration_s: float | None = None,
    told: Told | None = None,
) -> BacktestReport:
    """Play the sources to their end, or for `duration_s` of market time, stop cleanly, and report.

    `journal` is a file to write, which must not exist yet; `told` hears how far the run has come.

    Raises ConfigError when a venue has no source, UsageError when the run would never end, JournalError when the
    journal cannot be written, CoreError when the core breaks.
    """
    return BacktestRunner(parameters, sources, journal=journal, duration_s=duration_s, told=told).run()


class BacktestRunner:
    """One backtest. Built, run once, and left for its core to be looked at."""

    def __init__(
        self,
        parameters: CoreParameters,
        sources: Mapping[Venue, Source],
        *,
        journal: Path | None = None,
        duration_s: float | None = None,
        told: Told | None = None,
    ) -> None:
        _check(parameters, sources, duration_s)
        self.parameters = parameters
        self.core = TradingCore(parameters, models=registry.PricingModels())
        self._journal_path = journal
        self._journal: JournalWriter | None = None
        self._duration_ns = None if duration_s is None else round(duration_s * 1_000_000_000)
        self._feeds = [source.feed for source in sources.values() if isinstance(source, RecordedMarket)]
        self._venues: dict[Venue, VirtualVenue] = {
            name: source.venue if isinstance(source, RecordedMarket) else source for name, source in sources.items()
        }
        self._deadlines = tuple(venue.next_deadline_ns for venue in self._venues.values())
        books = {instrument: market.book for instrument, market in self.core.markets.items()}
        self._shown: dict[InstrumentId, tuple[_Hear, _Hear]] = {}
        """Who plays the matching engine of a recorded instrument: what it does before and after the core is told."""
        for market in parameters.markets:
            source = sources[market.instrument.venue]
            if isinstance(source, RecordedMarket):
                source.venue.share(books)
                self._shown[market.instrument.id] = source.venue.before, source.venue.after
        self._told = told
        self._meter: Meter | None = None
        self._now_ns = 0
        self._look_ns = NEVER_NS
        """When the accounts are shown to the core again; never while nothing is open."""
        self._tally = Tally(self.core.markets, 0)
        self._turns = 0
        self._rows = 0
        self._feed_events = 0
        self._own_events = 0

    def run(self) -> BacktestReport:
        """Start, play, stop, report. The journal is made and closed here; a crash leaves it with what led there."""
        started = perf_counter()
        if self._journal_path is not None:
            self._journal = JournalWriter(self._journal_path)
        gc.freeze()  # nothing made so far becomes garbage during the run
        try:
            end_ns, clean = self._play()
        finally:
            gc.unfreeze()
            if self._journal is not None:
                self._journal.close()
        return build_report(
            self._tally,
            messages=self._messages(),
            rows=self._rows,
            turns=self._turns,
            full_decisions=self.core.full_decisions,
            end_ns=end_ns,
            wall_seconds=perf_counter() - started,
            open_orders=self.core.ledger.open_orders(),
            clean=clean,
            problems=self._problems(),
            notes=self._notes(),
            journal=None if self._journal_path is None else str(self._journal_path),
        )

    def _play(self) -> tuple[int, bool]:
        """(when the data ended, whether every order was gone after the stop)."""
        feed = self._merged()
        first = next(feed, None)
        self._now_ns = start_ns = self._start_ns(first)
        self._tally = Tally(self.core.markets, start_ns)
        limit_ns = NEVER_NS if self._duration_ns is None else start_ns + self._duration_ns
        if self._told is not None:
            known_end_ns = None if self._duration_ns is None else limit_ns
            self._meter = Meter(self._feeds, self._told, start_ns=start_ns, end_ns=known_end_ns)
        self._turn([RunStarted(start_ns, __version__, self.parameters.to_json()), *self._connected(start_ns)])
        self._drive(first, feed, limit_ns)
        end_ns = self._now_ns
        self._tally.stop(end_ns)
        self._turn([ShutdownRequested(end_ns, _END_REASON)])
        self._drive(None, iter(()), end_ns + STOP_LIMIT_NS, stopping=True)
        clean = self.core.stopped
        self._turn([RunEnded(self._now_ns, _END_REASON, clean)])
        return end_ns, clean

    def _drive(
        self, first: MarketEvent | None, feed: Iterator[MarketEvent], limit_ns: int, *, stopping: bool = False
    ) -> None:
        """Turn until the feed is over, time reaches `limit_ns`, or (stopping) no order may be alive any more.

        The inner loop of every backtest: the common turn, one market event that changes no decision, makes no object of
        its own.
        """
        core, tally, journal, meter = self.core, self._tally, self._journal, self._meter
        keep = None if journal is None else journal.event
        shown = self._shown
        now_ns = self._now_ns
        rows = seen = turns = at_once = 0
        event = _NOTHING if first is None else first
        ends_with_feed = first is not None
        venue_ns = self._venue_due_ns()
        due_ns = tally.due_ns
        while not (stopping and core.stopped):
            core_ns = core.next_deadline_ns()
            event_ns = event.ts_local_ns
            next_ns = event_ns if event_ns < venue_ns else venue_ns
            if core_ns is not None and core_ns < next_ns:
                next_ns = core_ns
            if next_ns >= limit_ns or (ends_with_feed and event is _NOTHING):
                break
            if next_ns > now_ns:
                now_ns = next_ns
                at_once = 0
                if now_ns > due_ns:
                    due_ns = tally.reach(now_ns)
                    if meter is not None:
                        meter.look(now_ns)
            else:
                at_once += 1
                if at_once > _MAX_TURNS_AT_ONCE:
                    raise CoreError(f"time stands still at {now_ns}: the core's deadline is {core_ns}")
            told = event_ns <= now_ns
            while event_ns <= now_ns:
                if type(event) is BookDelta or type(event) is BookSnapshot:
                    rows += len(event.bids) + len(event.asks)
                elif type(event) is PublicTrade:
                    rows += 1
                seen += 1
                if keep is not None:
                    keep(event)
                before, after = shown[event.instrument]
                before(event)
                core.apply(event)
                after(event)
                event = next(feed, _NOTHING)
                event_ns = event.ts_local_ns
            venue_ns = self._venue_due_ns()
            if venue_ns <= now_ns:
                told |= self._hear(now_ns)
                venue_ns = self._venue_due_ns()
                due_ns = tally.due_ns
            core_ns = core.next_deadline_ns()
            if core_ns is not None and core_ns <= now_ns:
                reached = DeadlineReached(now_ns)
                if keep is not None:
                    keep(reached)
                core.apply(reached)
            elif not told:
                continue  # a venue went about its own business
            turn = core.decide(now_ns)
            turns += 1
            if journal is not None:
                journal.turn(turn)
                if journal.buffered_bytes > _FLUSH_BYTES:
                    journal.flush()
            if not core.quiet:
                self._answer(turn, now_ns)
                venue_ns = self._venue_due_ns()
            if tally.unpriced:
                tally.note_prices()
        self._now_ns = now_ns
        self._rows += rows
        self._feed_events += seen
        self._turns += turns

    def _answer(self, turn: Turn, now_ns: int) -> None:
        """Count what the core said, and take it to the venues."""
        self._tally.turn(turn)
        self._submit(turn.released, now_ns)
        if turn.queries or (self._look_ns == NEVER_NS and self._in_doubt(turn)):
            self._ask(turn.queries, now_ns)

    def _turn(self, events: Sequence[Event]) -> None:
        """One turn of the driver's own words, at the present instant."""
        for event in events:
            self._tell(event)
        turn = self.core.decide(self._now_ns)
        self._turns += 1
        if self._journal is not None:
            self._journal.turn(turn)
        self._tally.turn(turn)
        self._submit(turn.released, self._now_ns)

    def _hear(self, now_ns: int) -> bool:
        """Tell the core what the venues say by now, and return whether they said anything."""
        tally, markets = self._tally, self.core.markets
        told = ordered = False
        if self._look_ns <= now_ns:
            self._show_accounts(now_ns)
            told = True
        for venue in self._venues.values():
            for event in venue.advance(now_ns):
                told = True
                kind = type(event)
                if kind in _ORDER_EVENTS:
                    held_lots = markets[event.instrument].position.lots  # type: ignore[union-attr, index]
                    self._tell(event)
                    tally.order_event(event, held_lots)
                    ordered = True
                else:
                    self._tell(event)
                    if kind in _MARKET_EVENTS:
                        self._own_events += 1
                        self._rows += _rows_of(event)
        if ordered:
            tally.observe_quotes(now_ns)
        return told

    def _tell(self, event: Event) -> None:
        if self._journal is not None:
            self._journal.event(event)
        self.core.apply(event)

    def _submit(self, released: Sequence[ApprovedCommand], now_ns: int) -> None:
        """Hand the commands to their venues, each venue's in order."""
        batches: dict[Venue, list[ApprovedCommand]] = {}
        for approved in released:
            command = approved.command
            name = command.venue if isinstance(command, CancelAll) else venue_of(command.instrument)
            batches.setdefault(name, []).append(approved)
        for name, batch in batches.items():
            self._venues[name].submit(batch, now_ns)

    def _ask(self, queries: Sequence[OrderQuery], now_ns: int) -> None:
        """Put the core's questions to its venues, and show it their accounts while anything is open (R12)."""
        for query in queries:
            self._venues[venue_of(query.instrument)].query(query.client_id, now_ns)
        if self._look_ns == NEVER_NS:
            self._look_ns = now_ns + _LOOK_EVERY_NS

    def _in_doubt(self, turn: Turn) -> bool:
        """Whether a market that was decided waits for its account to be compared."""
        markets = self.core.markets
        return any(markets[changed.instrument].lockouts.held() for changed in turn.decisions)

    def _show_accounts(self, now_ns: int) -> None:
        for name, venue in self._venues.items():
            since_ns = self.core.fills_since_ns(name)
            snapshot = venue.snapshot(now_ns, 0 if since_ns is None else since_ns)
            self._tell(VenueSnapshotReceived(name, snapshot.ts_venue_ns, now_ns, snapshot))
        self._look_ns = NEVER_NS if self.core.settled else now_ns + _LOOK_EVERY_NS

    def _venue_due_ns(self) -> int:
        due_ns = self._look_ns
        for next_deadline_ns in self._deadlines:
            deadline_ns = next_deadline_ns()
            if deadline_ns is not None and deadline_ns < due_ns:
                due_ns = deadline_ns
        return due_ns

    def _merged(self) -> Iterator[MarketEvent]:
        return merged(self._feeds)

    def _start_ns(self, first: MarketEvent | None) -> int:
        if first is not None:
            return first.ts_local_ns
        due_ns = self._venue_due_ns()
        return 0 if due_ns == NEVER_NS else due_ns

    def _connected(self, now_ns: int) -> list[Event]:
        """Every venue is there, and its account agrees with a core that has done nothing yet."""
        events: list[Event] = []
        for name, venue in self._venues.items():
            snapshot = venue.snapshot(now_ns, now_ns)
            events += [
                VenueConnected(name, now_ns, now_ns),
                VenueSnapshotReceived(name, snapshot.ts_venue_ns, now_ns, snapshot),
            ]
        return events

    def _messages(self) -> int:
        frames = [getattr(feed, "frames", None) for feed in self._feeds]
        counted = [count for count in frames if count is not None]
        return self._own_events + (sum(counted) if len(counted) == len(frames) else self._feed_events)

    def _problems(self) -> dict[str, int]:
        crossings = sum(market.book.crossings for market in self.core.markets.values())
        books = {"crossed_book": crossings} if crossings else {}
        return _summed([*(feed.problems for feed in self._feeds if isinstance(feed, CountsProblems)), books])

    def _notes(self) -> tuple[str, ...]:
        notes = [note for feed in self._feeds if isinstance(feed, NotesDamage) for note in feed.notes]
        for name, venue in self._venues.items():
            large = getattr(venue, "large_orders", 0)
            if large:
                notes.append(
                    f"{name}: {large} orders were larger than a tenth of the level they joined; "
                    "their fills say little about a real market"
                )
        return tuple(notes)


def merged(feeds: Sequence[MarketData]) -> Iterator[MarketEvent]:
    """All recorded market data in order of local time; feeds that tie keep the order of the configuration."""
    streams = [feed.events() for feed in feeds]
    if len(streams) == 1:
        return iter(streams[0])
    return merge(*streams, key=attrgetter("ts_local_ns"))


_END_REASON = "the data ends here"
_NOTHING: MarketEvent = StreamStale(InstrumentId(""), NEVER_NS, NEVER_NS, "")
"""Stands behind a feed's last event and never comes, so that the loop need not ask whether there is one."""


def _rows_of(event: Event) -> int:
    if isinstance(event, BookDelta | BookSnapshot):
        return len(event.bids) + len(event.asks)
    return 1 if isinstance(event, PublicTrade) else 0


def _summed(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for count in counts:
        total.update(count)
    return dict(total)


def _check(parameters: CoreParameters, sources: Mapping[Venue, Source], duration_s: float | None) -> None:
    missing = [venue for venue in parameters.venues if venue not in sources]
    if missing:
        raise ConfigError(f"no market data for {', '.join(missing)}: a backtest needs a source for every venue")
    recorded = [isinstance(source, RecordedMarket) for source in sources.values()]
    if duration_s is None and not any(recorded):
        raise UsageError("an embedded market never ends: say how much market time to play with --duration")
    if duration_s is not None and not duration_s > 0:
        raise UsageError(f"a duration of {duration_s} s plays nothing")
