"""Doing again what a run did, record by record of its journal, until it cannot be had again (`play.py`)."""

from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import get_args

import msgspec

from mm_daemon import registry
from mm_daemon.backtest.report import BacktestReport, build_report
from mm_daemon.backtest.runner import merged
from mm_daemon.backtest.sources import RecordedMarket, Source
from mm_daemon.backtest.tally import Tally
from mm_daemon.core.parameters import CoreParameters
from mm_daemon.core.trading_core import TradingCore
from mm_daemon.domain import codec
from mm_daemon.domain.checkpoint import Checkpoint, PositionBooked
from mm_daemon.domain.codec import Answer, Decided, Record, plain
from mm_daemon.domain.decisions import (
    ApprovedCommand,
    CancelAll,
    DecisionsChanged,
    DroppedCommand,
    OrderQuery,
    Refusal,
    Turn,
)
from mm_daemon.domain.errors import JournalError
from mm_daemon.domain.events import (
    BookInvalidated,
    Event,
    FundingPaid,
    InvalidCause,
    MarketEvent,
    OrderAccepted,
    OrderAmended,
    OrderAmendRejected,
    OrderCanceled,
    OrderCancelRejected,
    OrderEvent,
    OrderFilled,
    OrderNotFound,
    OrderRejected,
    RateLimited,
    RunEnded,
    ShutdownRequested,
    StreamStale,
    VenueSnapshotReceived,
)
from mm_daemon.domain.instrument import Venue, venue_of
from mm_daemon.domain.orders import ClientOrderId
from mm_daemon.domain.reconciliation import Reconciled
from mm_daemon.journal.segments import shown
from mm_daemon.simulation.desk import QueryOrder, Request
from mm_daemon.simulation.venue import SimulatedVenue

_ANSWERS = (DecisionsChanged, Refusal, DroppedCommand, PositionBooked, Reconciled, ApprovedCommand, OrderQuery)
REPLIES = (OrderAccepted, OrderRejected, OrderAmended, OrderAmendRejected, OrderCanceled, OrderCancelRejected)
"""Events that answer a command."""
_MARKET = get_args(MarketEvent)
_VENUE_SAID = (*get_args(OrderEvent), OrderNotFound, FundingPaid, RateLimited)
_NS_PER_MS = 1_000_000


class Parted(msgspec.Struct, frozen=True):
    """The first place at which run and backtest differ."""

    turn: int
    now_ns: int
    what: str
    run: object
    """What the journal has; None: nothing."""
    backtest: object


class Departures(msgspec.Struct, kw_only=True):
    """In what the run was not like a backtest of its own: what differences have to be explained by."""

    turns: int = 0
    with_market: int = 0
    """Turns with market data."""
    batched: int = 0
    """Of them, those that took events of several instants together: only the last was decided on."""
    events_batched: int = 0
    """Market events that no decision of their own followed."""
    longest_batch: int = 0
    commands: int = 0
    """Commands whose arrival at the venue is known."""
    late_ms_mean: float = 0.0
    """Their time from the event that was decided on to being handed over: zero in a backtest."""
    late_ms_max: float = 0.0
    received_late: int = 0
    """What the venue said and a late loop took in later than the latency model says."""
    overflows: int = 0
    """Books given up because the core could not follow."""


Answers = dict[ClientOrderId, deque[tuple[int, int]]]
"""Venue and local times of the answers to an order's commands, in their order."""


class Follower:
    """Reads a journal and does the same: `take` one record after the other, `finish` at its end."""

    def __init__(self, parameters: CoreParameters, sources: Mapping[Venue, Source], answers: Answers) -> None:
        self.core = TradingCore(parameters, models=registry.PricingModels())
        self.counts: Counter[str] = Counter()
        self.departures = Departures()
        self.parted: Parted | None = None
        self._feeds = [source.feed for source in sources.values() if isinstance(source, RecordedMarket)]
        self._feed: Iterator[MarketEvent] = merged(self._feeds)
        self._coming = next(self._feed, None)
        self._ahead: deque[MarketEvent] = deque()
        """Events of the recording that our venues have seen and the core has not."""
        self._venues: dict[Venue, SimulatedVenue] = {}
        self._said: dict[Venue, deque[Event]] = {}
        """What our venues have said and the journal has yet to show."""
        for name, source in sources.items():
            if isinstance(source, RecordedMarket) and isinstance(source.venue, SimulatedVenue):
                self._venues[name] = source.venue
                self._said[name] = deque()
                source.venue.follow(partial(self._answered, source.venue))
        self._answers = answers
        self._batch: list[Event] = []
        self._expected: deque[Answer] = deque()
        self._tally: Tally | None = None
        self._start_ns = self._end_ns = self._now_ns = 0
        self._stopping = self._clean = False
        self._lateness: list[int] = []
        self._rows = 0

    def take(self, record: Record) -> bool:
        """One record; False once run and backtest have parted."""
        if isinstance(record, _ANSWERS):
            self._compare(record)
        elif isinstance(record, Checkpoint):
            return True
        elif self._expected:
            self._part("the run lacks an answer", None, self._expected[0])
        elif isinstance(record, Decided):
            self._turn(record.now_ns)
        else:
            self._batch.append(record)
        return self.parted is None

    def finish(self) -> None:
        self.departures.commands = len(self._lateness)
        if self._lateness:
            self.departures.late_ms_mean = sum(self._lateness) / len(self._lateness) / _NS_PER_MS
            self.departures.late_ms_max = max(self._lateness) / _NS_PER_MS
        if self._tally is not None and not self._stopping:
            self._end_ns = self._now_ns
            self._tally.stop(self._now_ns)

    def report(self, path: Path) -> BacktestReport:
        """What the run came to, as far as it was followed."""
        if self._tally is None:
            raise JournalError(f"journal {path} has no turn")
        return build_report(
            self._tally,
            messages=self.counts["market"],
            rows=self._rows,
            turns=self.departures.turns,
            full_decisions=self.core.full_decisions,
            end_ns=self._end_ns,
            wall_seconds=None,
            open_orders=self.core.ledger.open_orders(),
            clean=self._clean,
            problems={},
            notes=(),
            journal=shown(path),
        )

    def _answered(self, venue: SimulatedVenue, request: Request) -> tuple[int, int] | None:
        """Times of the answer that the run got to a request, the first one where it was about all orders."""
        if isinstance(request, QueryOrder):
            return None
        concerned = list(venue.account.orders) if isinstance(request, CancelAll) else [request.client_id]
        waiting = [self._answers[client_id] for client_id in concerned if self._answers.get(client_id)]
        return min((answers.popleft() for answers in waiting), key=lambda times: times[1], default=None)

    # A turn

    def _turn(self, now_ns: int) -> None:
        batch, self._batch = self._batch, []
        if self._tally is None:
            self._start_ns = now_ns
            self._tally = Tally(self.core.markets, now_ns)
        elif not self._stopping and now_ns > self._tally.due_ns:
            self._tally.reach(now_ns)
        self._now_ns = now_ns
        self._count(batch)
        shown = self._play_venues(batch)
        for event in batch if self.parted is None else ():
            self._tell(self._ours(event, shown))
        if self.parted is not None:
            return
        turn = self.core.decide(now_ns)
        self._expected.extend(codec.answers(turn))
        self._tally.turn(turn)
        self._tally.note_prices()
        self._hand_over(turn, now_ns)

    def _count(self, batch: Sequence[Event]) -> None:
        gone = self.departures
        gone.turns += 1
        times = [event.ts_local_ns for event in batch if isinstance(event, _MARKET)]
        if times:
            gone.with_market += 1
            gone.longest_batch = max(gone.longest_batch, len(times))
            instants = len(set(times))
            gone.batched += instants > 1
            gone.events_batched += sum(at_ns < times[-1] for at_ns in times)

    def _play_venues(self, batch: Sequence[Event]) -> "dict[int, Event]":
        """Show our venues the turn's market data and let them speak by the times of what they said in the run; what
        they answer when their accounts are asked for, by `id` of the event that shows it.
        """
        shown: dict[int, Event] = {}
        asked = [event for event in batch if isinstance(event, VenueSnapshotReceived)]
        for event in batch:
            if not isinstance(event, _MARKET) or _is_the_runs_own(event):
                continue
            while asked and asked[0].snapshot.requested_ns < event.ts_local_ns:
                self._show(asked.pop(0), shown)
            if not self._ahead:
                self._play_next()
            recorded = self._ahead.popleft() if self._ahead else None
            if recorded != event:
                self._part("the recording says otherwise", event, recorded)
                return shown
        for one in asked:
            self._show(one, shown)
        for name, venue in self._venues.items():
            times = [e.ts_local_ns for e in batch if isinstance(e, _VENUE_SAID) and _venue_of(e) == name]
            if times:
                until_ns = max(times)
                while self._coming is not None and self._coming.ts_local_ns <= until_ns:
                    self._play_next()
                self._said[name].extend(venue.advance(until_ns))
        return shown

    def _play_next(self) -> None:
        """Show our venue the recording's next event; the core is told when the run was."""
        event = self._coming
        if event is None:
            return
        self._coming = next(self._feed, None)
        name = venue_of(event.instrument)
        venue, said = self._venues[name], self._said[name]
        said.extend(venue.advance(event.ts_local_ns - 1))
        venue.on_market(event)
        said.extend(venue.advance(event.ts_local_ns))
        self._ahead.append(event)

    def _show(self, asked: VenueSnapshotReceived, shown: dict[int, Event]) -> None:
        """Ours, in the words of the run where both agree on orders and positions."""
        venue = self._venues.get(asked.venue)
        if venue is None:
            return
        theirs = asked.snapshot
        ours = venue.snapshot(theirs.requested_ns, self.core.fills_since_ns(asked.venue) or 0)
        if (ours.orders, ours.positions) == (theirs.orders, theirs.positions):
            self.counts["snapshots"] += 1
            return
        shown[id(asked)] = msgspec.structs.replace(asked, snapshot=ours)

    def _ours(self, event: Event, shown: Mapping[int, Event]) -> Event | None:
        """What the core here is told in place of an event of the run; None: nothing."""
        if isinstance(event, _VENUE_SAID) and (said := self._said.get(_venue_of(event))) is not None:
            ours: Event | None = said.popleft() if said else None
            if ours is None or ours.ts_local_ns > event.ts_local_ns or _received(ours, event.ts_local_ns) != event:
                self._part("the venue says otherwise", event, ours)
                return ours
            self.counts["venue"] += 1
            self.departures.received_late += event.ts_local_ns > ours.ts_local_ns
            return _received(ours, event.ts_local_ns)
        if id(event) in shown:
            self._part("the account is another one", event, shown[id(event)])
        elif isinstance(event, _MARKET):
            if _is_the_runs_own(event):
                self.departures.overflows += isinstance(event, BookInvalidated)
            else:
                self.counts["market"] += 1
        elif isinstance(event, ShutdownRequested) and not self._stopping and self._tally is not None:
            self._stopping = True
            self._end_ns = self._now_ns
            self._tally.stop(self._now_ns)
        elif isinstance(event, RunEnded):
            self._clean = event.clean
        return event

    def _tell(self, event: Event | None) -> None:
        if event is None or self.parted is not None or self._tally is None:
            return
        if isinstance(event, OrderFilled) or type(event) in _ORDER_KINDS:
            held_lots = self.core.markets[event.instrument].position.lots  # type: ignore[union-attr, index]
            self.core.apply(event)
            self._tally.order_event(event, held_lots)
            self._tally.observe_quotes(self._now_ns)
        else:
            self.core.apply(event)

    def _hand_over(self, turn: Turn, now_ns: int) -> None:
        for approved in turn.released:
            command = approved.command
            if isinstance(command, CancelAll):
                venue = self._venues[command.venue]
                venue.cancel_all(now_ns)
            else:
                venue = self._venues[venue_of(command.instrument)]
                venue.submit([approved], now_ns)
            late_ns = venue.last_lateness_ns
            if late_ns is not None:
                self._lateness.append(late_ns)
        for query in turn.queries:
            self._venues[venue_of(query.instrument)].query(query.client_id, now_ns)

    def _compare(self, journaled: Answer) -> None:
        ours = self._expected.popleft() if self._expected else None
        if ours is None:
            self._part("the backtest gives no such answer", journaled, None)
        elif ours != journaled and codec.encode(0, [ours]) != codec.encode(0, [journaled]):
            self._part(f"{type(journaled).__name__} differs", journaled, ours)
        elif isinstance(journaled, DecisionsChanged):
            self.counts["decisions"] += 1
        elif isinstance(journaled, ApprovedCommand):
            self.counts["commands"] += 1

    def _part(self, what: str, run: Record | None, backtest: Record | None) -> None:
        if self.parted is None:
            self.parted = Parted(self.departures.turns, self._now_ns, what, plain(run), plain(backtest))


_ORDER_KINDS = frozenset(get_args(OrderEvent))


def _received(event: Event, at_ns: int) -> Event:
    heard: Event = msgspec.structs.replace(event, ts_local_ns=at_ns)
    return heard


def _is_the_runs_own(event: MarketEvent) -> bool:
    """What the running daemon says about its feed, and no recording holds."""
    return isinstance(event, StreamStale) or (
        isinstance(event, BookInvalidated) and event.cause is InvalidCause.OVERFLOW
    )


def _venue_of(event: Event) -> Venue:
    venue = getattr(event, "venue", None)
    return Venue(venue) if venue is not None else venue_of(event.instrument)  # type: ignore[union-attr, arg-type]
