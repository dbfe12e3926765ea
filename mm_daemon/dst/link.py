"""Between the daemon and the reference venue: a connector, and the ways in which messages come to grief.

Commands that have left are `flying` until they arrive or are lost; that survives the daemon's death. Reports travel the
other way, late, twice, out of order or not at all. Market data keep their order, as every connector sees to it, but may
have gaps. One `ReferenceConnector` is made for each life of the daemon; the `Link` stays.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, Protocol

import msgspec

from mm_daemon.domain.decisions import AmendOrder, ApprovedCommand, CancelAll, CancelOrder, Command, PlaceOrder
from mm_daemon.domain.events import (
    BalanceUpdate,
    BookDelta,
    BookInvalidated,
    BookSnapshot,
    Event,
    InvalidCause,
    Levels,
    MarketEvent,
    RateLimited,
    TopOfBook,
    VenueConnected,
    VenueDisconnected,
    VenueSnapshot,
    VenueTime,
)
from mm_daemon.domain.instrument import Instrument, InstrumentId
from mm_daemon.domain.orders import ClientOrderId, RejectKind
from mm_daemon.domain.rng import Rng
from mm_daemon.dst.chance import chance, pick, weighted
from mm_daemon.dst.faults import SNAPSHOT_ASKED
from mm_daemon.dst.scenario import Scenario
from mm_daemon.dst.venue import ReferenceVenue, is_void
from mm_daemon.ports.connector import ConnectorContext
from mm_daemon.testkit.virtual_loop import VirtualLoop

NS_PER_MS = 1_000_000
_NOTICED_S = 2.0
"""How long a connector takes to notice that a connection is dead (R13)."""


class Surroundings(Protocol):
    """What the link needs of the world it is in."""

    loop: VirtualLoop
    calm: bool

    def fault(self, name: str) -> None: ...
    def step(self, what: str, detail: object = None) -> None: ...
    def venue_changed(self) -> None: ...
    def pass_point(self, point: str) -> None: ...
    def leaving(self, batch: Sequence[ApprovedCommand]) -> None: ...
    def hangs(self, batch: Sequence[ApprovedCommand]) -> None:
        """What the venue has taken of us will not be answered."""
        ...


class Flight:
    """A command on its way to the venue."""

    __slots__ = ("command", "refused", "void")

    def __init__(self, command: Command, refused: RejectKind | None, arrives_ns: int) -> None:
        self.command = command
        self.refused = refused
        self.void = isinstance(command, PlaceOrder | AmendOrder) and is_void(command, arrives_ns)
        """It will come too late."""


class Link:
    """Owner of everything that is under way."""

    def __init__(self, world: Surroundings, scenario: Scenario, rng: Rng) -> None:
        self.venue: ReferenceVenue
        self._world = world
        self._scenario = scenario
        self._rng = rng
        self._fates_total = sum(scenario.fates.values())
        self._latency_ns = scenario.latency_ms * NS_PER_MS
        self._late_ns = scenario.late_ms * NS_PER_MS
        self.flying: dict[int, Flight] = {}
        self._flights = 0
        self._arrival_ns = self._report_ns = 0
        self._apart_ns = int(scenario.capabilities.simulated)
        """What is due at one instant comes in any order, as on connections of its own; in one process it keeps it."""
        self.reports = 0
        """Reports under way."""
        self.hasty = False
        """What the venue says now is heard at once, before what it said earlier."""
        self.connector: ReferenceConnector | None = None
        self._armings = 0
        self.banned_until_ns = 0
        self.ban_told = False

    # Commands

    def fate(self) -> str:
        if self._world.calm:
            return "arrives"
        return weighted(self._rng, self._scenario.fates, self._fates_total)

    def fly(self, command: Command, *, late: bool = False, refused: RejectKind | None = None) -> None:
        """Put a command on its way."""
        loop = self._world.loop
        delay_ns = self._latency_ns
        if late:
            delay_ns += 1 + self._rng.below(self._late_ns)
        at_ns = loop.now_ns() + delay_ns
        if self._scenario.reorders and not self._world.calm and chance(self._rng, 10):
            self._world.fault("commands reordered")
            at_ns += self._rng.below(self._late_ns)
        else:
            at_ns = self._arrival_ns = max(self._arrival_ns + self._apart_ns, at_ns)
        self._flights += 1
        self.flying[self._flights] = Flight(command, refused, at_ns)
        loop.call_later((at_ns - loop.now_ns()) / 1e9, self._arrive, self._flights)

    def forget(self) -> None:
        """The venue was in the process, and what was on its way there is gone with it."""
        self.flying.clear()

    def _arrive(self, number: int) -> None:
        flight = self.flying.pop(number, None)
        if flight is None:
            return
        self._world.step("arrives at the venue", flight.command)
        refused = flight.refused
        if refused is None and self._world.loop.now_ns() < self.banned_until_ns:
            refused = RejectKind.RATE_LIMITED
        if refused is None:
            self.venue.execute(flight.command)
        else:
            self.venue.refuse(flight.command, refused)
        self._world.venue_changed()

    def arm(self, silence_ns: int | None) -> None:
        """The venue is to cancel everything after so much silence; None: it is not."""
        self._armings += 1
        if silence_ns is not None:
            self._world.loop.call_later(silence_ns / 1e9, self._fire, self._armings)

    def _fire(self, arming: int) -> None:
        if arming != self._armings:
            return
        self._world.step("dead man")
        self._world.fault("dead man's switch fires")
        for order in tuple(self.venue.orders.values()):
            self.venue.kill_order(order, expired=False)
        self._world.venue_changed()

    # Reports

    def report(self, event: Event) -> None:
        """The venue says something about the account."""
        connector = self.connector
        if connector is None or not connector.hears:
            return
        world, rng, scenario = self._world, self._rng, self._scenario
        if self.hasty:
            connector.emit(event)
            return
        if not world.calm:
            if rng.below(1000) < scenario.lost_reports:
                world.fault("report lost")
                return
            if rng.below(1000) < scenario.double_reports:
                world.fault("report twice")
                self._send_report(event, connector, rng.below(self._late_ns))
        self._send_report(event, connector, 0)

    def overtake(self, event: Event) -> None:
        """Something is said of an order by another way than the stream, and heard before it."""
        if self.connector is not None and self.connector.hears:
            self.connector.emit(event)

    def _send_report(self, event: Event, connector: "ReferenceConnector", more_ns: int) -> None:
        world = self._world
        now_ns = world.loop.now_ns()
        at_ns = now_ns + self._latency_ns + more_ns
        if not world.calm and self._rng.below(1000) < self._scenario.late_reports:
            world.fault("report late")
            at_ns += self._rng.below(self._late_ns)
        if more_ns or (self._scenario.reorders and not world.calm and chance(self._rng, 15)):
            if not more_ns:
                world.fault("reports reordered")
                at_ns += self._rng.below(self._late_ns)
        else:
            at_ns = self._report_ns = max(self._report_ns + self._apart_ns, at_ns)
        self.reports += 1
        world.loop.call_later((at_ns - now_ns) / 1e9, self._deliver, event, connector, connector.session)

    def _deliver(self, event: Event, connector: "ReferenceConnector", session: int) -> None:
        self.reports -= 1
        if connector is self.connector and connector.session == session and connector.hears:
            self._world.pass_point("report: received")
            connector.emit(event)

    # Market data

    def publish(self, instrument: InstrumentId) -> None:
        """A book has changed."""
        if self.connector is not None and self.connector.hears:
            self.connector.publish(instrument)

    def market(self, event: MarketEvent) -> None:
        """Anything else that everybody is told."""
        if self.connector is not None and self.connector.hears:
            self.connector.emit(event)


class NoKeys(msgspec.Struct, frozen=True):
    """The reference venue has no keys of its own."""


class ReferenceConnector:
    """The venue behind the connector port, for one life of the daemon."""

    Settings: ClassVar[type[msgspec.Struct]] = NoKeys

    def __init__(
        self, context: ConnectorContext, world: Surroundings, link: Link, scenario: Scenario, rng: Rng
    ) -> None:
        self.capabilities = scenario.capabilities
        self._emit = context.emit
        self._now_ns = context.now_ns
        """The daemon's clock, by which it is told when something was received."""
        self._world = world
        self._link = link
        self._venue = link.venue
        self._scenario = scenario
        self._rng = rng
        self.session = 0
        """Counts connections: what was under way when one was lost is lost."""
        self.up = False
        self.half_open = False
        self._running: asyncio.Future[None] | None = None
        self._gapped: set[InstrumentId] = set()
        self._shown: dict[InstrumentId, tuple[Mapping[int, int], Mapping[int, int]]] = {}
        """The depth that was last told."""

    # What the world does to it

    @property
    def hears(self) -> bool:
        return self.up and not self.half_open

    @property
    def reaches(self) -> bool:
        """Requests get through; before `run` they do so on connections of their own."""
        return self.hears or self._running is None

    def emit(self, event: Event) -> None:
        self._emit(msgspec.structs.replace(event, ts_local_ns=self._now_ns()))

    def publish(self, instrument: InstrumentId) -> None:
        """The book in one of the ways in which venues tell it; one with a gap stays void for a while."""
        drawn = self._rng.below(10)
        if instrument in self._gapped:
            if drawn < 7:
                return
            self._gapped.discard(instrument)
            drawn = 0
        if drawn < 4:
            self._emit(self._book(instrument))
        elif drawn < 9:
            self._emit(self._changes(instrument))
        else:
            quotes = self._venue.quotes[instrument]
            if quotes.bids and quotes.asks:
                now_ns, bid, ask = self._now_ns(), quotes.bid, quotes.ask
                lots = quotes.bids[bid], quotes.asks[ask]
                self._emit(TopOfBook(instrument, now_ns, now_ns, bid, lots[0], ask, lots[1], quotes.update_id))

    def lose(self, cause: str, *, tell: bool = True) -> None:
        """The connection is gone, and noticed."""
        self.up = self.half_open = False
        self.session += 1
        if tell:
            now_ns = self._now_ns()
            self._emit(VenueDisconnected(self._venue.venue, 0, now_ns, cause))

    def outage(self, seconds: float) -> None:
        """Disconnected, and back after a while."""
        if self.up:
            self.lose("connection reset")
            self._world.loop.call_later(seconds, self._reconnect, self.session)

    def go_half_open(self, seconds: float) -> None:
        """Nothing gets through and nobody says so, until the silence is noticed."""
        if self.up:
            self.half_open = True
            self._world.loop.call_later(min(seconds, _NOTICED_S), self._notice, self.session, seconds)

    def fail(self, *, tell: bool) -> None:
        """The session ends with an exception, for the supervisor to start it again."""
        if self._running is not None and not self._running.done():
            self.lose("session failed", tell=tell)
            self._running.set_exception(ConnectionError("session failed"))

    def gap(self, instrument: InstrumentId) -> None:
        """Some of a book's changes did not come: it is void until it comes whole."""
        if self.hears:
            self._gapped.add(instrument)
            now_ns = self._now_ns()
            self._emit(BookInvalidated(instrument, now_ns, now_ns, InvalidCause.GAP))

    def vanish(self) -> None:
        """The process it lived in is gone."""
        self.up = False
        self.session += 1

    def _notice(self, session: int, seconds: float) -> None:
        if self.session == session and self.half_open:
            self.lose("no byte for too long")
            self._world.loop.call_later(seconds, self._reconnect, self.session)

    def _reconnect(self, session: int) -> None:
        if self.session == session and self._link.connector is self and self._running is not None:
            self._connect()

    def _connect(self) -> None:
        self.up, self.half_open = True, False
        self._gapped = set()
        now_ns = self._now_ns()
        self._emit(VenueConnected(self._venue.venue, now_ns, now_ns))
        for instrument in self._venue.quotes:
            self._emit(self._book(instrument))

    def _book(self, instrument: InstrumentId) -> BookSnapshot:
        quotes = self._venue.quotes[instrument]
        now_ns = self._now_ns()
        self._shown[instrument] = quotes.bids, quotes.asks
        bids, asks = tuple(quotes.bids.items()), tuple(quotes.asks.items())
        return BookSnapshot(instrument, now_ns, now_ns, bids, asks, quotes.update_id)

    def _changes(self, instrument: InstrumentId) -> BookDelta:
        quotes = self._venue.quotes[instrument]
        now_ns = self._now_ns()
        bids, asks = self._shown[instrument]
        self._shown[instrument] = quotes.bids, quotes.asks
        changes = _changed(bids, quotes.bids), _changed(asks, quotes.asks)
        return BookDelta(instrument, now_ns, now_ns, *changes, quotes.update_id)

    # Port

    async def load_instruments(self) -> Sequence[Instrument]:
        return self._scenario.instruments

    async def run(self) -> None:
        self._running = self._world.loop.create_future()
        self._connect()
        await self._running

    async def send(self, commands: Sequence[ApprovedCommand]) -> None:
        world, link = self._world, self._link
        world.pass_point("send: before the batch")
        world.leaving(commands)
        fate = link.fate()
        if fate != "arrives":
            world.fault(fate)
        if not self.reaches:
            if self.capabilities.simulated:
                return
            if self.half_open:
                await asyncio.Event().wait()
            raise ConnectionError("not connected")
        if fate == "command lost, no answer":
            return
        if fate == "connection lost before the command":
            self.outage(0.05 + self._rng.uniform())
            raise ConnectionError("connection reset by peer")
        if fate == "time-out before the venue":
            await asyncio.Event().wait()
        refused = {"rate limited": RejectKind.RATE_LIMITED, "venue refuses": pick(self._rng, _REFUSALS)}.get(fate)
        for number, approved in enumerate(commands):
            if number:
                world.pass_point("send: inside the batch")
            link.fly(approved.command, late=fate == "command late", refused=refused)
        if fate == "rate limited":
            self.slow_down(pick(self._rng, (None, 100, 1000)))
        world.pass_point("send: after the batch")
        if fate == "connection lost after the command":
            self.outage(0.05 + self._rng.uniform())
            raise ConnectionError("connection reset by peer")
        if fate == "time-out after the venue took it":
            world.hangs(commands)
            await asyncio.Event().wait()

    def slow_down(self, retry_after_ms: int | None, *, banned: bool = False) -> None:
        now_ns = self._now_ns()
        bucket = None
        if self.capabilities.buckets and not banned and chance(self._rng, 50):
            bucket = self.capabilities.buckets[0].name
        self._emit(RateLimited(self._venue.venue, now_ns, now_ns, bucket, retry_after_ms, banned))

    def tell_time(self, venue_ns: int) -> None:
        if self.hears:
            self._emit(VenueTime(self._venue.venue, venue_ns, self._now_ns()))

    def tell_balance(self, event: BalanceUpdate) -> None:
        if self.hears:
            self.emit(event)

    async def snapshot(self, since_ns: int) -> VenueSnapshot:
        world = self._world
        requested_ns = self._now_ns()
        world.pass_point(SNAPSHOT_ASKED)
        if not self.reaches and not self.half_open:
            raise ConnectionError("not connected")
        if self.half_open:
            await asyncio.Event().wait()
        if not world.calm:
            await self._dawdle()
        taken = self._venue.snapshot(requested_ns, since_ns)
        if not world.calm:
            await self._dawdle()
        world.pass_point("snapshot: answered")
        return taken

    async def _dawdle(self) -> None:
        """The question or the answer takes its time, or does not come."""
        drawn = self._rng.below(100)
        if drawn < 70:
            await asyncio.sleep(self._scenario.latency_ms / 1000)
        elif drawn < 94:
            self._world.fault("snapshot late")
            await asyncio.sleep(self._rng.below(self._scenario.late_ms) / 1000)
        elif drawn < 98:
            self._world.fault("snapshot fails")
            raise ConnectionError("connection reset by peer")
        else:
            self._world.fault("snapshot hangs")
            await asyncio.sleep(10.0)

    async def query_order(self, client_id: ClientOrderId) -> None:
        if not self.reaches:
            if self.capabilities.simulated:
                return
            raise ConnectionError("not connected")
        delay_s = self._scenario.latency_ms / 1000
        self._world.loop.call_later(delay_s, self._venue.query, client_id)

    async def arm_dead_man(self, deadline_ns: int | None) -> None:
        if not self.reaches:
            raise ConnectionError("not connected")
        silence_ns = None if deadline_ns is None else max(deadline_ns - self._now_ns(), 0)
        self._link.arm(silence_ns)

    async def cancel_all(self) -> None:
        self._world.pass_point("cancel all: before")
        if self.reaches:
            self._link.fly(CancelAll(self._venue.venue, ()))
        elif not self.capabilities.simulated:
            raise ConnectionError("not connected")
        self._world.pass_point("cancel all: after")

    async def close(self) -> None:
        self.vanish()


_REFUSALS = (
    RejectKind.INSUFFICIENT_MARGIN,
    RejectKind.OTHER,
    RejectKind.HALTED,
    RejectKind.INVALID,
    RejectKind.REDUCE_ONLY,
)


def _changed(before: Mapping[int, int], after: Mapping[int, int]) -> Levels:
    gone = tuple((ticks, 0) for ticks in before if ticks not in after)
    return gone + tuple((ticks, lots) for ticks, lots in after.items() if before.get(ticks) != lots)


def orders_of(flying: dict[int, Flight]) -> Iterator[PlaceOrder | AmendOrder | CancelOrder]:
    """The commands under way that concern one order."""
    for flight in flying.values():
        command = flight.command
        if flight.refused is None and not flight.void and not isinstance(command, CancelAll):
            yield command
