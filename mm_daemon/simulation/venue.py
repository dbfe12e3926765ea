"""`SimulatedVenue`: our orders against the recorded or live market data of a real venue, in paper and backtest alike.

It has a book per instrument, on the venue's side of the feed latency, and our orders at the venue. Market
data come in by `on_market` in local order, commands by `submit`, and everything the core learns goes out by `advance`.
In a backtest the core is told each event at the same instant, so that one book would be a copy of the other: there the
venue looks at the core's books (`share`), and each event comes in two halves, `before` and `after` the core has moved
them.

Clock (EXECUTION 8, online form). The venue's clock is the running maximum of the market events' venue time, expressed
in nanoseconds of the local clock (`FeedClock`). A command released at t arrives at a = max(last arrival, t + entry
latency); it is executed before the first market event later than a, and at a + response latency at the latest. A reply
or a fill of venue time t' is learned at max(last emission, now, t' + response latency). While feed latency does not
exceed response latency this equals matching in exact venue time. Ties resolve against us: at equal time the market
moves first.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence

from mm_daemon.domain.book import OrderBook
from mm_daemon.domain.deadlines import NEVER_NS
from mm_daemon.domain.decisions import ApprovedCommand, CancelAll
from mm_daemon.domain.events import (
    BookDelta,
    BookInvalidated,
    BookSnapshot,
    Event,
    FundingUpdate,
    InstrumentUpdated,
    MarketEvent,
    MarkPriceUpdate,
    PublicTrade,
    RateLimited,
    TopOfBook,
    VenueSnapshot,
)
from mm_daemon.domain.instrument import Instrument, InstrumentId, Venue
from mm_daemon.domain.orders import ClientOrderId, RejectKind, Side
from mm_daemon.domain.rng import Rng
from mm_daemon.simulation.account import VenueAccount, VenueOrder
from mm_daemon.simulation.desk import OrderDesk, OrderLink, QueryOrder, Request, Waiting
from mm_daemon.simulation.faults import Faults, Told
from mm_daemon.simulation.fee_tiers import FeeTiers
from mm_daemon.simulation.funding import funding_atto
from mm_daemon.simulation.models import (
    FRONT_UNKNOWN,
    FeedClock,
    QueuePosition,
    latency_model,
    tick_atto,
)
from mm_daemon.simulation.played_market import PlayedMarket, Resting
from mm_daemon.simulation.policy import VenuePolicy
from mm_daemon.simulation.refusals import Refusals, VenueLimits
from mm_daemon.simulation.replay_matching import match_book, match_print

_BUY = Side.BUY  # members of an enumeration are slow to look up
_LARGE_SHARE = 10


class SimulatedVenue:
    """Structurally a `VirtualVenue`. An event of an instrument without orders of ours costs only the book update."""

    def __init__(self, venue: Venue, instruments: Sequence[Instrument], policy: VenuePolicy | None = None) -> None:
        """Raises DomainError when an instrument's notional is no whole number of atto."""
        policy = policy or VenuePolicy()
        rng = Rng(policy.seed).split(venue)
        self._policy = policy
        self._account = VenueAccount(venue, instruments)
        if policy.fee_tiers:
            self._account.tiers = FeeTiers(policy.fee_tiers, policy.fee_tier_volume)
        refusals = None if policy.rejects is None else Refusals(policy.rejects, self._account, rng.split("rejects"))
        self._desk = OrderDesk(self._account, self, decrease_keeps_place=policy.decrease_keeps_place, refusals=refusals)
        self._limits = VenueLimits([limit.bucket() for limit in policy.rate_limits]) if policy.rate_limits else None
        rows = policy.latency_rows
        self._response = latency_model(
            policy.response_latency_ms,
            policy.response_samples_ms,
            rng.split("response"),
            [(row.time_ns, row.response_ns) for row in rows],
        )
        entry = latency_model(
            policy.entry_latency_ms,
            policy.entry_samples_ms,
            rng.split("entry"),
            [(row.time_ns, row.entry_ns) for row in rows],
        )
        self._faults = None if policy.faults is None else Faults(policy.faults, rng.split("faults"))
        self._link = OrderLink(entry, self._response, self._faults)
        self._waiting = self._link.waiting
        self._clock = FeedClock(policy.floor_ns)
        self._venue_ns = self._happened_ns = 0
        self._funding_ns = NEVER_NS
        """When the next funding is due, on the venue's own clock."""
        self._moving: PlayedMarket | None = None
        """The instrument of the present event."""
        self._now_ns = 0
        self._emitted_ns = 0
        self._outgoing: deque[Event] = deque()
        """In order of local time."""
        self._markets: dict[InstrumentId, PlayedMarket] = {instrument.id: PlayedMarket() for instrument in instruments}
        self._resting: dict[ClientOrderId, Resting] = {}
        self.last_lateness_ns: int | None = None
        """How much later than the latency model says the last command arrived in the run that is followed."""
        self.large_orders = 0
        """Orders larger than a tenth of the touch and of the level they joined: their replayed fills mean little."""

    def add(self, instrument: Instrument) -> None:
        """One more instrument, or a new definition of a known one. Raises DomainError as the constructor does."""
        self._account.define(instrument)
        self._markets.setdefault(instrument.id, PlayedMarket())

    @property
    def account(self) -> VenueAccount:
        """What the venue remembers of us: for the connector that keeps it, never for the core."""
        return self._account

    def follow(self, answered: Callable[[Request], tuple[int, int] | None]) -> None:
        """Let each command arrive when its answer in an earlier run says it did: `answered` gives the answer's times at
        the venue and here; None: it had none, and the latency model decides.
        """

        def retimed(request: Request, arrival_ns: int, response_ns: int) -> int:
            times = answered(request)
            if times is None:
                self.last_lateness_ns = None
                return arrival_ns
            # Both are at or after the arrival: the first while the feed clock still learns, the second when the answer
            # had to wait for others.
            known_ns = min(self._clock.local_ns(times[0]), times[1] - response_ns)
            self.last_lateness_ns = known_ns - arrival_ns
            return known_ns

        self._link.retimed = retimed

    # Port

    def submit(self, commands: Sequence[ApprovedCommand], now_ns: int) -> None:
        for approved in commands:
            self._link.send(approved.command, now_ns)

    def query(self, client_id: ClientOrderId, now_ns: int) -> None:
        """Ask about one order; the answer is an event, behind those of the commands sent before."""
        self._link.send(QueryOrder(client_id), now_ns)

    def cancel_all(self, now_ns: int) -> None:
        """Everything of the account, by the ordinary way."""
        self._link.send(CancelAll(self._account.venue, ()), now_ns)

    def advance(self, now_ns: int) -> Sequence[Event]:
        """Everything the daemon learns up to and including `now_ns`, in order of `ts_local_ns`."""
        waiting = self._waiting
        while waiting and waiting[0].arrival_ns + waiting[0].response_ns <= now_ns:
            due = waiting.popleft()
            self._now_ns = max(self._now_ns, due.arrival_ns + due.response_ns)
            self._execute(due)
        self._now_ns = max(self._now_ns, now_ns)
        outgoing = self._outgoing
        if not outgoing or outgoing[0].ts_local_ns > now_ns:
            return ()
        due_events = []
        while outgoing and outgoing[0].ts_local_ns <= now_ns:
            due_events.append(outgoing.popleft())
        return due_events

    def next_deadline_ns(self) -> int | None:
        """When `advance` next has something to do without another market event; None: nothing waits."""
        emission = self._outgoing[0].ts_local_ns if self._outgoing else None
        if not self._waiting:
            return emission
        first = self._waiting[0]
        latest = first.arrival_ns + first.response_ns
        return latest if emission is None or latest < emission else emission

    def snapshot(self, now_ns: int, since_ns: int = 0) -> VenueSnapshot:
        """Our orders, positions and fills as the venue holds them; commands still under way are not in it."""
        return self._account.snapshot(self._clock.venue_ns(now_ns), now_ns, since_ns)

    def close(self) -> None:
        """Orders die with the venue, and what was under way is lost."""
        self._account.clear()
        self._waiting.clear()
        self._outgoing.clear()
        self._resting.clear()
        for market in self._markets.values():
            market.clear()

    def fronts(self) -> dict[ClientOrderId, float]:
        """Lots of others before each resting order of ours, for reports; infinite where the level was never shown."""
        return {client_id: resting.queue.front_lots for client_id, resting in self._resting.items()}

    # Market data

    def share(self, books: Mapping[InstrumentId, OrderBook]) -> None:
        """From now on look at these books, which their owner moves between `before` and `after`."""
        for instrument, book in books.items():
            if instrument in self._markets:
                market = self._markets[instrument]
                market.book, market.own_book = book, False

    def on_market(self, event: MarketEvent) -> None:
        """Take in the next market event in local order."""
        self.before(event)
        self.after(event)

    def before(self, event: MarketEvent) -> None:
        """The next market event in local order is about to move the book: commands that arrived earlier meet it as it
        is.
        """
        local_ns = event.ts_local_ns
        if local_ns > self._now_ns:
            self._now_ns = local_ns
        self._happened_ns = happened_ns = self._clock.observe(event.ts_venue_ns, local_ns)
        if happened_ns > self._venue_ns:
            self._venue_ns = happened_ns
        waiting = self._waiting
        while waiting and waiting[0].arrival_ns < self._venue_ns:
            self._execute(waiting.popleft())
        if event.ts_venue_ns >= self._funding_ns:
            self._settle_funding(event.ts_venue_ns)
        self._moving = market = self._markets.get(event.instrument)
        if market is not None:
            market.gap = market.book.invalid_cause is not None

    def after(self, event: MarketEvent) -> None:
        """The event has moved a shared book, and moves one of our own now: what it means for our resting orders."""
        market = self._moving
        if market is None:
            return
        if market.own_book:
            market.book.apply(event)
        if type(event) is TopOfBook:
            book = market.book
            if market.inner_bid_ticks >= book.bid_ticks or market.inner_ask_ticks <= book.ask_ticks:
                self._on_book(market, event)
        elif type(event) is PublicTrade:
            if market.inner_bid_ticks >= event.ticks or market.inner_ask_ticks <= event.ticks:
                self._on_print(market, event)
        elif type(event) is BookDelta:
            self._on_book(market, event)
        elif type(event) is BookSnapshot:
            market.seen_bid_ticks = min((ticks for ticks, _ in event.bids), default=0)
            market.seen_ask_ticks = max((ticks for ticks, _ in event.asks), default=0)
            self._on_book(market, event)
        elif type(event) is BookInvalidated:
            market.taken.clear()
        elif type(event) is InstrumentUpdated:
            self._on_instrument(market, event)
        elif type(event) is MarkPriceUpdate:
            market.mark_half_ticks = event.mark_half_ticks
        elif type(event) is FundingUpdate and event.next_ns > market.funded_ns:
            market.funding = event
            self._funding_ns = min(self._funding_ns, event.next_ns)

    def _on_instrument(self, market: PlayedMarket, event: InstrumentUpdated) -> None:
        """A new contract: our orders are cancelled by the venue and the book starts again."""
        orders = [resting.order for resting in market.resting]
        ts_local_ns = self._emission_ns(self._venue_ns, self._response.draw(self._venue_ns))
        self._tell(self._desk.cancel_orders(orders, self._clock.venue_ns(self._venue_ns), ts_local_ns))
        self._account.define(event.definition)
        market.book, market.own_book = OrderBook(), True
        market.taken.clear()

    def _settle_funding(self, venue_ns: int) -> None:
        """Pay what is due by now at the rate told last before, on the position and at the mark of this moment."""
        self._funding_ns = NEVER_NS
        for instrument, market in self._markets.items():
            funding = market.funding
            if funding is None:
                continue
            if funding.next_ns > venue_ns:
                self._funding_ns = min(self._funding_ns, funding.next_ns)
                continue
            market.funding, market.funded_ns = None, funding.next_ns
            lots = self._account.history.lots(instrument)
            mark = market.mark_half_ticks or (market.book.half_ticks if market.book.trusted else 0)
            if not lots or not mark:
                continue
            worth = tick_atto(self._account.instruments[instrument])
            received = funding_atto(lots, mark, worth, funding.rate_e12)
            ts_local_ns = self._emission_ns(self._venue_ns, self._response.draw(self._venue_ns))
            paid = self._account.pay_funding(instrument, received, ts_venue_ns=funding.next_ns, ts_local_ns=ts_local_ns)
            self._outgoing.append(paid)

    def _on_print(self, market: PlayedMarket, event: PublicTrade) -> None:
        """One print, offered to our orders by inner price, then time; its volume is used once.

        Prints of one aggressor come as separate events of one time and side. An order that is filled through its price
        by one of them takes that print's own volume only, so that the sum over the aggressor counts nothing twice.
        """
        if market.book.invalid_cause is not None:
            return
        free_lots, happened_ns = event.lots, self._happened_ns
        aggressor, ticks = event.aggressor, event.ticks
        for resting in tuple(market.resting):
            order = resting.order
            if order.side is aggressor or 0 < happened_ns <= resting.since_ns:
                continue
            lots = match_print(
                order.side,
                order.ticks,
                order.remaining_lots,
                resting.queue,
                aggressor=aggressor,
                print_ticks=ticks,
                free_lots=free_lots,
                printed_lots=event.lots,
            )
            if lots:
                free_lots -= lots
                self._fill(market, resting, lots)

    def _on_book(self, market: PlayedMarket, event: BookDelta | TopOfBook | BookSnapshot) -> None:
        book, gap = market.book, market.gap
        if book.invalid_cause is not None:
            return
        bid_ticks, ask_ticks = book.bid_ticks, book.ask_ticks
        crossed = False
        touch_only = type(event) is TopOfBook
        for resting in market.resting:
            order = resting.order
            if order.side is _BUY:
                if touch_only and order.ticks < bid_ticks:
                    continue  # behind the touch: this stream says nothing of our level
                crossed = crossed or order.ticks >= ask_ticks
            else:
                if touch_only and order.ticks > ask_ticks:
                    continue
                crossed = crossed or order.ticks <= bid_ticks
            self._report(market, resting, event, gap=gap)
        if crossed:
            self._on_crossed(market)

    def _report(
        self, market: PlayedMarket, resting: Resting, event: BookDelta | TopOfBook | BookSnapshot, *, gap: bool
    ) -> None:
        """Tell an order's queue what its level displays now, unless this event knows nothing newer about that level."""
        order = resting.order
        book = market.book
        if gap:
            resting.reported_id = event.update_id
            front = market.front_at(order.side, order.ticks)
            if front != FRONT_UNKNOWN:
                resting.queue.resynchronise(int(front))
            return
        if event.update_id <= resting.reported_id:
            return
        lots = book.lots_at(order.side, order.ticks)
        if lots != resting.queue.level_lots:
            if not lots and market.front_at(order.side, order.ticks) == FRONT_UNKNOWN:
                return
            resting.reported_id = event.update_id
            resting.queue.depth(lots)

    def _on_crossed(self, market: PlayedMarket) -> None:
        """The market is displayed at or through orders of ours: they are taken, as far as displayed lots go."""
        market.forget_taken()
        for resting in tuple(market.resting):
            order = resting.order
            opposite = Side(-order.side)
            levels = market.free_levels(opposite, order.ticks)
            lots = 0
            for ticks, part in match_book(order.side, order.ticks, order.remaining_lots, resting.queue, levels):
                market.take(opposite, ticks, part)
                lots += part
            if lots:
                self._fill(market, resting, lots)

    def _fill(self, market: PlayedMarket, resting: Resting, lots: int) -> None:
        order = resting.order
        at_ns = self._venue_ns
        ts_local_ns = self._emission_ns(at_ns, self._response.draw(at_ns))
        filled = self._account.fill(
            order, order.ticks, lots, maker=True, ts_venue_ns=self._clock.venue_ns(at_ns), ts_local_ns=ts_local_ns
        )
        self._tell((filled,))
        if not order.remaining_lots:
            market.lift(resting)
            del self._resting[order.client_id]

    # Commands

    def _execute(self, due: Waiting) -> None:
        request: Request = due.request
        ts_local_ns = self._emission_ns(due.arrival_ns, due.response_ns)
        ts_venue_ns = self._clock.venue_ns(due.arrival_ns)
        if self._limits is not None and not isinstance(request, QueryOrder):
            over = self._limits.refusal(request, due.arrival_ns)
            if over is not None:
                bucket, wait_ms = over
                self._outgoing.append(RateLimited(self._account.venue, ts_venue_ns, ts_local_ns, bucket, wait_ms))
                self._tell(self._desk.refuse(request, (RejectKind.RATE_LIMITED, bucket), ts_venue_ns, ts_local_ns))
                return
        self._tell(self._desk.execute(request, due.arrival_ns, ts_venue_ns, ts_local_ns))

    def _tell(self, replies: Sequence[Told]) -> None:
        """What we are to learn, as far as nothing goes wrong with it."""
        outgoing, faults = self._outgoing, self._faults
        if faults is None:
            outgoing.extend(replies)
            return
        for told in [each for reply in replies for each in faults.replies(reply)]:
            place = len(outgoing)
            while place and outgoing[place - 1].ts_local_ns > told.ts_local_ns:
                place -= 1
            outgoing.insert(place, told)

    def _emission_ns(self, at_ns: int, response_ns: int) -> int:
        self._emitted_ns = max(self._emitted_ns, self._now_ns, at_ns + response_ns)
        return self._emitted_ns

    # Matcher of the desk

    def touch(self, instrument: InstrumentId, side: Side) -> int | None:
        book = self._markets[instrument].book
        if book.invalid_cause is not None:
            return None
        return book.ask_ticks if side is _BUY else book.bid_ticks

    def take(self, order: VenueOrder) -> list[tuple[int, int]]:
        market = self._markets[order.instrument]
        market.forget_taken()
        opposite = Side(-order.side)
        remaining = order.remaining_lots
        taken: list[tuple[int, int]] = []
        for ticks, free in market.free_levels(opposite, order.ticks):
            lots = min(free, remaining)
            taken.append((ticks, lots))
            remaining -= lots
            if not remaining:
                break
        for ticks, lots in taken:
            market.take(opposite, ticks, lots)
        return taken

    def rest(self, order: VenueOrder, at_ns: int) -> None:
        market = self._markets[order.instrument]
        book = market.book
        level_lots = book.lots_at(order.side, order.ticks)
        front = market.front_at(order.side, order.ticks)
        queue = QueuePosition(self._policy.queue_model, self._policy.queue_exponent, level_lots, front)
        resting = Resting(order, queue, at_ns, book.update_id)
        best_lots = book.bid_lots if order.side is _BUY else book.ask_lots
        if order.remaining_lots * _LARGE_SHARE > max(level_lots, best_lots):
            self.large_orders += 1
        self._resting[order.client_id] = resting
        market.rest(resting)

    def shrink(self, order: VenueOrder) -> None:
        """Nothing to do: the queue position does not know our own size."""

    def lift(self, order: VenueOrder) -> None:
        resting = self._resting.pop(order.client_id, None)
        if resting is not None:
            self._markets[order.instrument].lift(resting)
