"""The suite that every connector must pass, for ours and for those of third parties.

Inherit `ConnectorConformance` in a test module and supply the fixture `connector_under_test`: a `ConnectorUnderTest`
with a connector that has been built and not yet been used, and a `VenueHand` that makes its venue do things: fill an
order of ours, lose a reply, cut the link. The connector's `Capabilities` and what the hand `can` do choose the cases;
the others are skipped by name. Tests are coroutines (pytest-asyncio) and wait for events, never for time to pass.

    class TestMyVenue(ConnectorConformance):
        @pytest.fixture
        async def connector_under_test(self): ...
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from decimal import Decimal
from enum import StrEnum
from math import ceil
from typing import Protocol, TypeVar, cast

import msgspec
import pytest

from mm_daemon.core.order_ledger import OrderLedger
from mm_daemon.domain.book import NO_ASK, NO_BID, OrderBook
from mm_daemon.domain.decisions import AmendOrder, ApprovedCommand, CancelOrder, Command, PlaceOrder, Reason
from mm_daemon.domain.errors import MmError
from mm_daemon.domain.events import (
    BookDelta,
    BookInvalidated,
    BookSnapshot,
    CommandOutcomeUnknown,
    Event,
    InvalidCause,
    OrderAccepted,
    OrderAmended,
    OrderAmendRejected,
    OrderCanceled,
    OrderCancelRejected,
    OrderEvent,
    OrderFilled,
    OrderNotFound,
    OrderRejected,
    OrderStatus,
    PublicTrade,
    RateLimited,
    VenueConnected,
    VenueDisconnected,
    VenueSnapshot,
)
from mm_daemon.domain.instrument import Instrument, InstrumentId, grid_ceil, grid_floor
from mm_daemon.domain.money import from_pair, to_decimal
from mm_daemon.domain.orders import ClientOrderId, Operation, Phase, RejectKind, Side
from mm_daemon.ports.connector import Connector, CountsProblems

PATIENCE_S = 10.0
"""How long an event may take that must come."""
HALF_OPEN_S = 2.0
"""How long a dead connection may go unnoticed (R13)."""
_NS_PER_MS = 1_000_000
_WHY = (Reason.NEW_QUOTE,)
_MARKET = (BookSnapshot, BookDelta, BookInvalidated)
_UPDATE = cast("type[BookDelta | BookSnapshot]", BookDelta | BookSnapshot)
"""How a book moves on: by what has changed, or, at venues that show it whole each time, by the next one."""
_ORDER = OrderEvent.__args__

E = TypeVar("E", bound=Event)


class Trouble(StrEnum):
    """What a venue's hand may be able to do to the connector, each to the next thing that it fits."""

    FILL = "fill"
    """Fill an order of ours (`VenueHand.fill`)."""
    LOST_REPLY = "lost_reply"
    """Carry out the next placement, and drop the connection instead of answering."""
    SERVER_ERROR = "server_error"
    """Answer the next placement with a failure that does not say whether it was carried out; it was not."""
    RATE_LIMIT = "rate_limit"
    """Refuse the next placement because of a rate limit, with 700 ms to wait."""
    DUPLICATE_FILL = "duplicate_fill"
    """Tell the next fill twice."""
    LATE_FILL = "late_fill"
    """Tell the next fill 200 ms late, behind what happens meanwhile."""
    LOST_UPDATE = "lost_update"
    """Lose the next book update."""
    OLD_SNAPSHOT = "old_snapshot"
    """Hold back the next book snapshot, as it is, while the stream goes on."""
    MALFORMED = "malformed"
    """Send bytes that mean nothing before the next message."""
    OVERSIZED = "oversized"
    """Send a message larger than any should be."""
    CUT = "cut"
    """Drop the link now; it can be opened again at once."""
    HALF_OPEN = "half_open"
    """Fall silent on the link now, without closing it."""


class VenueHand(Protocol):
    """The venue's side of a test."""

    can: frozenset[Trouble]

    async def fill(self, client_id: ClientOrderId, lots: int) -> None:
        """Have so much of an open order of ours filled, now."""
        ...

    async def make(self, trouble: Trouble) -> None:
        """Any other trouble."""
        ...


class Heard:
    """Everything that a connector says, in order, and a way to wait for what it has not said yet. Its `put` is the
    `emit` of the connector's context."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._more = asyncio.Event()

    def put(self, event: Event) -> None:
        self.events.append(event)
        self._more.set()

    def of(self, kind: type[E], since: int = 0) -> list[E]:
        return [event for event in self.events[since:] if isinstance(event, kind)]

    async def until(self, kind: type[E], fits: Callable[[E], bool] = lambda _event: True, *, since: int = 0) -> E:
        """The first event of a kind that fits, at or behind the place `since`. Fails the test when none comes."""
        looked = since
        try:
            async with asyncio.timeout(PATIENCE_S):
                while True:
                    self._more.clear()
                    while looked < len(self.events):
                        event = self.events[looked]
                        looked += 1
                        if isinstance(event, kind) and fits(event):
                            return event
                    await self._more.wait()
        except TimeoutError:
            last = [event for event in self.events[since:] if not isinstance(event, _MARKET)][-10:]
            name = getattr(kind, "__name__", kind)
            pytest.fail(f"no {name} that fits came within {PATIENCE_S:g} s; the last that came: {last}")


class ConnectorUnderTest:
    """A connector with its ear and its venue's hand."""

    def __init__(
        self,
        connector: Connector,
        heard: Heard,
        hand: VenueHand,
        now_ns: Callable[[], int],
        *,
        first_client_id: int = 1,
    ) -> None:
        self.connector = connector
        self.heard = heard
        self.hand = hand
        self.now_ns = now_ns
        self.instrument: Instrument
        self.book = OrderBook()
        self._client_id = first_client_id - 1
        self._moved = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator["ConnectorUnderTest"]:
        """The connector loaded and connected, with a book; stopped and closed at the end, without an open order."""
        loaded = await self.connector.load_instruments()
        self.instrument = loaded[0]
        running = asyncio.create_task(self.connector.run())
        try:
            await self.heard.until(VenueConnected)
            await self.two_sided()
            yield self
            await self.connector.cancel_all()
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await self.connector.close()
            said = self.here
            await self.connector.close()
            assert self.here == said, "a closed connector speaks"

    @property
    def here(self) -> int:
        """The place behind everything heard so far."""
        return len(self.heard.events)

    def see_book(self) -> OrderBook:
        """The book by all that was heard."""
        for event in self.heard.events[self._moved :]:
            if isinstance(event, _MARKET) and event.instrument == self.instrument.id:
                self.book.apply(event)
        self._moved = len(self.heard.events)
        return self.book

    async def two_sided(self, *, since: int = 0) -> OrderBook:
        """The book, once a snapshot behind `since` has made it whole on both sides."""
        of_ours = lambda event: event.instrument == self.instrument.id  # noqa: E731
        await self.heard.until(BookSnapshot, of_ours, since=since)
        while not (self.see_book().trusted and self.book.bid_ticks != NO_BID and self.book.ask_ticks != NO_ASK):
            await self.heard.until(_UPDATE, of_ours, since=self.here)
        return self.book

    def next_id(self) -> ClientOrderId:
        self._client_id += 1
        return ClientOrderId(self._client_id)

    def order(self, side: Side = Side.BUY, *, away: int | None = None, lots: int | None = None) -> PlaceOrder:
        """A post-only order at `away` ticks behind the best price of its side; by default one per cent of it."""
        best = self.see_book().bid_ticks if side is Side.BUY else self.book.ask_ticks
        ticks = best - side * (best // 100 if away is None else away)
        ticks = (grid_floor if side is Side.BUY else grid_ceil)(ticks, self.instrument.grid)
        size = self.size(ticks) if lots is None else lots
        return PlaceOrder(self.instrument.id, self.next_id(), side, 0, ticks, size, _WHY)

    def size(self, ticks: int) -> int:
        """Four times the smallest size allowed at a price, so that parts of it are orders too."""
        return 4 * max(self.instrument.min_lots_at(ticks // 2), 1)

    async def send(self, *commands: Command) -> None:
        await self.connector.send([_approved(command) for command in commands])

    async def placed(self, order: PlaceOrder) -> OrderAccepted:
        """The order sent and accepted."""
        await self.send(order)
        return await self.heard.until(OrderAccepted, lambda event: event.client_id == order.client_id)

    async def snapshot(self, since_ns: int = 0) -> VenueSnapshot:
        return await self.connector.snapshot(since_ns)

    async def open_ids(self) -> list[ClientOrderId | None]:
        return [order.client_id for order in (await self.snapshot(1 << 62)).orders]

    def needs(self, *troubles: Trouble) -> None:
        """Skip the test when the venue's hand cannot do this."""
        for trouble in troubles:
            if trouble not in self.hand.can:
                pytest.skip(f"this venue's hand cannot: {trouble}")


class ConnectorConformance:
    """The cases. Each test's docstring is the promise that a connector makes."""

    @pytest.fixture
    async def live(self, connector_under_test: ConnectorUnderTest) -> AsyncIterator[ConnectorUnderTest]:
        async with connector_under_test.running() as live:
            yield live

    # Instruments and market data

    async def test_instruments_can_be_traded_in_whole_steps(self, live: ConnectorUnderTest) -> None:
        """Every symbol asked for is there, on a positive grid, and a price survives the way to text and back."""
        loaded = await live.connector.load_instruments()
        assert {instrument.symbol for instrument in loaded} >= {live.instrument.symbol}
        for instrument in loaded:
            assert instrument.tick > 0 and instrument.lot > 0 and instrument.min_lots >= 1
            assert Decimal(f"{instrument.price(12345):f}") == instrument.tick * 12345

    async def test_book_begins_with_a_snapshot_and_never_crosses(self, live: ConnectorUnderTest) -> None:
        """A link is told before its books, a book begins with a snapshot, and every update leaves it whole."""
        since = live.here
        for _ in range(3):
            await live.heard.until(_UPDATE, lambda event: event.instrument == live.instrument.id, since=live.here)
        first = next(event for event in live.heard.events if isinstance(event, BookSnapshot | BookDelta))
        assert isinstance(first, BookSnapshot)
        book = OrderBook()
        for event in live.heard.events:
            if isinstance(event, _MARKET) and event.instrument == live.instrument.id:
                book.apply(event)
                assert book.trusted and book.bid_ticks < book.ask_ticks
        ids = [event.update_id for event in live.heard.of(BookDelta, since) if event.instrument == live.instrument.id]
        assert ids == sorted(ids)

    async def test_times_never_run_backwards(self, live: ConnectorUnderTest) -> None:
        """What is told later was received later."""
        await live.heard.until(_UPDATE, since=live.here)
        times = [event.ts_local_ns for event in live.heard.events]
        assert times == sorted(times)

    async def test_gap_voids_the_book_until_a_snapshot(self, live: ConnectorUnderTest) -> None:
        """A lost update is noticed, told as a gap, and mended by a snapshot of the connector's own asking."""
        live.needs(Trouble.LOST_UPDATE)
        since = live.here
        await live.hand.make(Trouble.LOST_UPDATE)
        gap = await live.heard.until(BookInvalidated, since=since)
        assert gap.cause is InvalidCause.GAP
        await live.two_sided(since=live.heard.events.index(gap))

    async def test_snapshot_older_than_the_stream_starts_no_book(self, live: ConnectorUnderTest) -> None:
        """A snapshot that the held updates do not continue is asked for again."""
        live.needs(Trouble.LOST_UPDATE, Trouble.OLD_SNAPSHOT)
        since = live.here
        await live.hand.make(Trouble.OLD_SNAPSHOT)
        await live.hand.make(Trouble.LOST_UPDATE)
        gap = await live.heard.until(BookInvalidated, since=since)
        book = await live.two_sided(since=live.heard.events.index(gap))
        assert book.bid_ticks < book.ask_ticks

    async def test_trades_are_told_with_the_takers_side(self, live: ConnectorUnderTest) -> None:
        """A print carries the taker's side, and what it took of us is part of it."""
        live.needs(Trouble.FILL)
        since, order = live.here, live.order(away=0)
        await live.placed(order)
        await live.hand.fill(order.client_id, order.lots)
        trade = await live.heard.until(PublicTrade, lambda event: event.ticks == order.ticks, since=since)
        assert trade.aggressor is Side.SELL
        assert trade.lots >= 1

    # Orders

    async def test_order_is_accepted_and_shown(self, live: ConnectorUnderTest) -> None:
        """An accepted order has a name at the venue and stands in the account as it was sent."""
        order = live.order()
        accepted = await live.placed(order)
        assert accepted.venue_order_id
        (shown,) = [each for each in (await live.snapshot()).orders if each.client_id == order.client_id]
        assert (shown.side, shown.ticks, shown.remaining_lots) == (order.side, order.ticks, order.lots)
        assert shown.venue_order_id == accepted.venue_order_id

    async def test_every_order_of_a_batch_is_answered(self, live: ConnectorUnderTest) -> None:
        """As many answers as orders, the good ones accepted although one is bad."""
        most = min(live.connector.capabilities.batch_max, 4)
        batch = [live.order(Side.BUY if n % 2 else Side.SELL) for n in range(most)]
        if most > 1:
            batch[1] = msgspec.structs.replace(batch[1], lots=0)
        await live.send(*batch)
        for n, order in enumerate(batch):
            wanted: type[OrderAccepted] | type[OrderRejected] = OrderRejected if n == 1 else OrderAccepted
            await live.heard.until(wanted, lambda event, cid=order.client_id: event.client_id == cid)  # type: ignore[misc]

    async def test_fills_come_in_parts_and_add_up(self, live: ConnectorUnderTest) -> None:
        """Two fills with keys of their own, our side and price, and a fee; together they are the order and the
        position."""
        live.needs(Trouble.FILL)
        order = live.order(away=0)
        await live.placed(order)
        before = _position(await live.snapshot(), live.instrument.id)
        for lots in (1, order.lots - 1):
            since = live.here
            await live.hand.fill(order.client_id, lots)
            filled = await live.heard.until(OrderFilled, since=since)
            assert (filled.client_id, filled.side, filled.lots) == (order.client_id, order.side, lots)
            assert filled.ticks == order.ticks and filled.maker and filled.fee is not None
        keys = [fill.fill_key for fill in live.heard.of(OrderFilled) if fill.client_id == order.client_id]
        assert len(set(keys)) == len(keys) == 2
        after = await live.snapshot()
        assert _follows(live, before, live.heard.of(OrderFilled), _position(after, live.instrument.id))
        assert {fill.fill_key for fill in after.fills} >= set(keys)
        assert order.client_id not in [each.client_id for each in after.orders]

    async def test_snapshot_tells_fills_since_a_time_and_all_of_its_positions(self, live: ConnectorUnderTest) -> None:
        """What was filled before a time is left out, what was filled after it is whole, and the position agrees."""
        live.needs(Trouble.FILL)
        first, second = live.order(away=0), live.order(away=0)
        before = _position(await live.snapshot(), live.instrument.id)
        for order in (first, second):
            await live.placed(order)
            await live.hand.fill(order.client_id, order.lots)
            await live.heard.until(OrderFilled, lambda fill, cid=order.client_id: fill.client_id == cid)  # type: ignore[misc]
        told = [fill for fill in live.heard.of(OrderFilled) if fill.client_id == second.client_id]
        since = await live.snapshot(min(fill.ts_venue_ns for fill in told))
        assert {fill.fill_key for fill in told} <= {fill.fill_key for fill in since.fills}
        assert first.client_id not in {fill.client_id for fill in since.fills}
        assert all(fill.ts_venue_ns <= since.ts_venue_ns for fill in since.fills)
        whole = await live.snapshot()
        assert _follows(live, before, whole.fills, _position(whole, live.instrument.id))

    async def test_amend_moves_price_and_size(self, live: ConnectorUnderTest) -> None:
        """The order keeps its client id and has the new price and size, in the reply and in the account."""
        if not live.connector.capabilities.amend:
            pytest.skip("this venue cannot amend")
        order = live.order()
        await live.placed(order)
        ticks, lots = grid_floor(order.ticks - 10, live.instrument.grid), order.lots - 1
        await live.send(AmendOrder(order.instrument, order.client_id, ticks, lots, _WHY))
        amended = await live.heard.until(OrderAmended, lambda event: event.client_id == order.client_id)
        assert (amended.ticks, amended.lots) == (ticks, lots)
        (shown,) = [each for each in (await live.snapshot()).orders if each.client_id == order.client_id]
        assert (shown.ticks, shown.remaining_lots) == (ticks, lots)

    async def test_amend_of_what_is_gone_is_refused(self, live: ConnectorUnderTest) -> None:
        """Nothing is placed in its stead."""
        if not live.connector.capabilities.amend:
            pytest.skip("this venue cannot amend")
        order = live.order()
        await live.placed(order)
        await live.connector.cancel_all()
        await live.heard.until(OrderCanceled, lambda event: event.client_id == order.client_id)
        await live.send(AmendOrder(order.instrument, order.client_id, order.ticks - 1, order.lots, _WHY))
        refused = await live.heard.until(OrderAmendRejected)
        assert refused.kind in (RejectKind.GONE, RejectKind.FILLED)
        assert await live.open_ids() == []

    async def test_cancel_names_what_was_filled(self, live: ConnectorUnderTest) -> None:
        """A cancelled order is out of the account; where the report is final it names the filled size."""
        order = live.order()
        await live.placed(order)
        await live.send(CancelOrder(order.instrument, order.client_id, _WHY))
        canceled = await live.heard.until(OrderCanceled, lambda event: event.client_id == order.client_id)
        assert canceled.final is live.connector.capabilities.cancel_final
        assert canceled.filled_lots in (0, None)
        assert order.client_id not in await live.open_ids()

    async def test_cancel_of_what_is_gone_is_refused(self, live: ConnectorUnderTest) -> None:
        """Twice cancelled is once cancelled, and once refused as gone."""
        order = live.order()
        await live.placed(order)
        for _ in range(2):
            await live.send(CancelOrder(order.instrument, order.client_id, _WHY))
        refused = await live.heard.until(OrderCancelRejected, lambda event: event.client_id == order.client_id)
        assert refused.kind in (RejectKind.GONE, RejectKind.FILLED)

    async def test_cancel_that_loses_against_a_fill(self, live: ConnectorUnderTest) -> None:
        """The fill is told and the cancel is refused: never both an end by cancel and a whole fill."""
        live.needs(Trouble.FILL)
        order = live.order(away=0)
        await live.placed(order)
        await live.hand.fill(order.client_id, order.lots)
        await live.send(CancelOrder(order.instrument, order.client_id, _WHY))
        refused = await live.heard.until(OrderCancelRejected, lambda event: event.client_id == order.client_id)
        assert refused.kind in (RejectKind.GONE, RejectKind.FILLED)
        await live.heard.until(OrderFilled, lambda event: event.client_id == order.client_id)
        assert not [event for event in live.heard.of(OrderCanceled) if event.client_id == order.client_id]

    async def test_cancel_of_a_part_names_the_other_part(self, live: ConnectorUnderTest) -> None:
        """Partly filled, then cancelled: the report's filled size is the sum of the fills."""
        live.needs(Trouble.FILL)
        order = live.order(away=0)
        await live.placed(order)
        await live.hand.fill(order.client_id, 1)
        await live.send(CancelOrder(order.instrument, order.client_id, _WHY))
        canceled = await live.heard.until(OrderCanceled, lambda event: event.client_id == order.client_id)
        assert canceled.filled_lots in (1, None)
        await live.heard.until(OrderFilled, lambda event: event.client_id == order.client_id)

    async def test_post_only_never_takes(self, live: ConnectorUnderTest) -> None:
        """An order through the market is refused, with the reason."""
        if not live.connector.capabilities.post_only:
            pytest.skip("this venue has no post-only orders")
        book = live.see_book()
        through = book.ask_ticks + (book.ask_ticks - book.bid_ticks) + 100
        order = msgspec.structs.replace(live.order(), ticks=grid_ceil(through, live.instrument.grid))
        await live.send(order)
        refused = await live.heard.until(OrderRejected, lambda event: event.client_id == order.client_id)
        assert refused.kind is RejectKind.POST_ONLY_CROSS
        assert order.client_id not in await live.open_ids()

    async def test_impossible_size_is_refused(self, live: ConnectorUnderTest) -> None:
        """Below the venue's minimum: refused, not rounded up."""
        order = msgspec.structs.replace(live.order(), lots=0)
        await live.send(order)
        refused = await live.heard.until(OrderRejected, lambda event: event.client_id == order.client_id)
        assert refused.kind is RejectKind.INVALID

    # What is not known

    async def test_lost_reply_is_unknown_and_asking_tells(self, live: ConnectorUnderTest) -> None:
        """The order was placed and the reply was lost: unknown, never resent, and the question finds it once."""
        live.needs(Trouble.LOST_REPLY)
        order = live.order()
        await live.hand.make(Trouble.LOST_REPLY)
        await live.send(order)
        unknown = await live.heard.until(CommandOutcomeUnknown)
        assert (unknown.client_id, unknown.operation) == (order.client_id, Operation.PLACE)
        since = live.here
        await live.connector.query_order(order.client_id)
        status = await live.heard.until(OrderStatus, lambda event: event.client_id == order.client_id, since=since)
        assert (status.ticks, status.lots, status.filled_lots) == (order.ticks, order.lots, 0)
        assert (await live.open_ids()).count(order.client_id) == 1

    async def test_server_error_is_unknown_and_nobody_guesses(self, live: ConnectorUnderTest) -> None:
        """A failure of the venue is unknown, although nothing was placed; the question alone proves nothing."""
        live.needs(Trouble.SERVER_ERROR)
        order = live.order()
        await live.hand.make(Trouble.SERVER_ERROR)
        await live.send(order)
        await live.heard.until(CommandOutcomeUnknown, lambda event: event.client_id == order.client_id)
        await live.connector.query_order(order.client_id)
        await live.heard.until(OrderNotFound, lambda event: event.client_id == order.client_id)
        said = [event for event in live.heard.events if isinstance(event, OrderRejected | OrderCanceled)]
        assert not [event for event in said if event.client_id == order.client_id]
        assert order.client_id not in await live.open_ids()

    async def test_rate_limit_is_told_and_nothing_was_done(self, live: ConnectorUnderTest) -> None:
        """The refused order is known not to be placed, and the time to wait is the venue's."""
        live.needs(Trouble.RATE_LIMIT)
        order = live.order()
        await live.hand.make(Trouble.RATE_LIMIT)
        await live.send(order)
        limited = await live.heard.until(RateLimited)
        assert limited.retry_after_ms in (700, 1000)  # some venues count whole seconds
        assert not limited.banned
        refused = await live.heard.until(OrderRejected, lambda event: event.client_id == order.client_id)
        assert refused.kind is RejectKind.RATE_LIMITED
        assert not live.heard.of(CommandOutcomeUnknown)

    async def test_fill_told_twice_has_one_key(self, live: ConnectorUnderTest) -> None:
        """However often a fill is told, its key is the same, so that it is booked once."""
        live.needs(Trouble.FILL, Trouble.DUPLICATE_FILL)
        order = live.order(away=0)
        await live.placed(order)
        await live.hand.make(Trouble.DUPLICATE_FILL)
        since = live.here
        await live.hand.fill(order.client_id, order.lots)
        first = await live.heard.until(OrderFilled, since=since)
        again = await live.heard.until(OrderFilled, since=live.heard.events.index(first) + 1)
        assert again.fill_key == first.fill_key
        ledger = _ledger(live, order)
        assert (ledger.duplicates, _phase(ledger, order)) == (1, Phase.FILLED)

    async def test_fill_after_the_cancels_report_is_told(self, live: ConnectorUnderTest) -> None:
        """A fill that comes behind the cancel of its order arrives all the same; where a cancel is not final, the last
        word follows."""
        live.needs(Trouble.FILL, Trouble.LATE_FILL)
        order = live.order(away=0)
        await live.placed(order)
        await live.hand.make(Trouble.LATE_FILL)
        await live.hand.fill(order.client_id, 1)
        await live.send(CancelOrder(order.instrument, order.client_id, _WHY))
        canceled = await live.heard.until(OrderCanceled, lambda event: event.client_id == order.client_id)
        late = await live.heard.until(OrderFilled, lambda event: event.client_id == order.client_id)
        assert live.heard.events.index(late) > live.heard.events.index(canceled)
        if not canceled.final:
            await live.heard.until(OrderCanceled, lambda event: event.client_id == order.client_id and event.final)
        assert _phase(_ledger(live, order), order) is Phase.CANCELED

    # The link

    async def test_link_that_comes_back_tells_what_was_missed(self, live: ConnectorUnderTest) -> None:
        """The loss is told, then the fills made meanwhile, then that the link is up; orders stand as before."""
        live.needs(Trouble.CUT, Trouble.FILL)
        filled, kept = live.order(away=0), live.order()
        await live.placed(filled)
        await live.placed(kept)
        since = live.here
        await live.hand.make(Trouble.CUT)
        await live.heard.until(VenueDisconnected, since=since)
        await live.hand.fill(filled.client_id, filled.lots)
        up = await live.heard.until(VenueConnected, since=since)
        missed = await live.heard.until(OrderFilled, lambda event: event.client_id == filled.client_id, since=since)
        assert live.heard.events.index(missed) < live.heard.events.index(up)
        await live.two_sided(since=live.heard.events.index(up))
        assert await live.open_ids() == [kept.client_id]

    async def test_half_open_link_is_noticed(self, live: ConnectorUnderTest) -> None:
        """A link that has fallen silent without closing is given up within two seconds, and comes back."""
        live.needs(Trouble.HALF_OPEN)
        since, loop = live.here, asyncio.get_running_loop()
        await live.hand.make(Trouble.HALF_OPEN)
        silent_s = loop.time()
        await live.heard.until(VenueDisconnected, since=since)
        assert loop.time() - silent_s < HALF_OPEN_S
        await live.heard.until(VenueConnected, since=since)

    async def test_bytes_that_mean_nothing_are_counted_and_dropped(self, live: ConnectorUnderTest) -> None:
        """The next message is understood as if nothing had been (R16)."""
        live.needs(Trouble.MALFORMED)
        await live.hand.make(Trouble.MALFORMED)
        since = live.here
        await live.heard.until(_UPDATE, since=since)
        await live.heard.until(_UPDATE, since=live.here)
        assert isinstance(live.connector, CountsProblems)
        assert sum(live.connector.problems.values()) == 1
        assert not live.heard.of(VenueDisconnected)

    async def test_oversized_message_ends_the_link_at_most(self, live: ConnectorUnderTest) -> None:
        """It is counted and dropped, or ends the connection, which comes back (R16)."""
        live.needs(Trouble.OVERSIZED)
        since = live.here
        await live.hand.make(Trouble.OVERSIZED)
        await live.heard.until(VenueConnected, since=since)
        await live.two_sided(since=since)
        assert isinstance(live.connector, CountsProblems)
        assert live.connector.problems.get("oversized") == 1

    # The end

    async def test_dead_man_cancels_when_nobody_arms_it_again(self, live: ConnectorUnderTest) -> None:
        """Armed with the shortest deadline, the venue cancels everything at it, and tells."""
        floor_ms = live.connector.capabilities.dead_man_floor_ms
        if floor_ms is None:
            pytest.skip("this venue has no dead man's switch")
        if floor_ms > 1000 * PATIENCE_S / 2:
            pytest.skip(f"the shortest deadline of {floor_ms} ms is too long for a test")
        order = live.order()
        await live.placed(order)
        await live.connector.arm_dead_man(live.now_ns() + floor_ms * _NS_PER_MS)
        await live.heard.until(OrderCanceled, lambda event: event.client_id == order.client_id)
        assert await live.open_ids() == []

    async def test_stop_leaves_no_order(self, live: ConnectorUnderTest) -> None:
        """Cancel-all is told for every order, and a snapshot confirms it."""
        orders = [live.order(), live.order(Side.SELL)]
        for order in orders:
            await live.placed(order)
        await live.connector.cancel_all()
        for order in orders:
            await live.heard.until(OrderCanceled, lambda event, cid=order.client_id: event.client_id == cid)  # type: ignore[misc]
        assert await live.open_ids() == []

    async def test_ledger_and_account_tell_one_story(self, live: ConnectorUnderTest) -> None:
        """A ledger that heard everything holds the account's open orders, and its fills are the position."""
        live.needs(Trouble.FILL)
        start = _position(await live.snapshot(), live.instrument.id)
        orders = [live.order(away=0), live.order(Side.SELL, away=0), live.order()]
        for order in orders:
            await live.placed(order)
        await live.hand.fill(orders[0].client_id, 2)
        await live.hand.fill(orders[1].client_id, orders[1].lots)
        await live.heard.until(OrderFilled, lambda event: event.client_id == orders[0].client_id)
        await live.heard.until(OrderFilled, lambda event: event.client_id == orders[1].client_id)
        ledger = _ledger(live, *orders)
        shown = await live.snapshot()
        alive = {order.client_id: order.remaining_lots for order in ledger.alive(live.instrument.id)}
        assert alive == {each.client_id: each.remaining_lots for each in shown.orders}
        assert _follows(live, start, live.heard.of(OrderFilled), _position(shown, live.instrument.id))


async def refuses_wrong_key(connector: Connector, error: type[MmError]) -> None:
    """For a connector built with a wrong secret: it is told before anything begins. Not part of the class, because
    only some venues have keys."""
    with pytest.raises(error):
        await connector.load_instruments()
    await connector.close()


def _approved(command: Command) -> ApprovedCommand:
    """As the gate would have passed it; decoded, because only the gate may make one."""
    return msgspec.convert(["approved", msgspec.to_builtins(command), 0], ApprovedCommand)


def _position(snapshot: VenueSnapshot, instrument: InstrumentId) -> int:
    return next((lots for each, lots in snapshot.positions if each == instrument), 0)


def _follows(live: ConnectorUnderTest, before: int, fills: Iterable[OrderFilled], after: int) -> bool:
    """Whether a position is what it was and what was filled, each fill once, less the fees taken out of the base: in
    whole lots, of which the first may have been begun before."""
    told = {fill.fill_key: fill for fill in fills if fill.instrument == live.instrument.id}
    lots = sum(fill.side * fill.lots for fill in told.values())
    fees = sum(from_pair(fill.base_fee) for fill in told.values() if fill.base_fee is not None)
    taken = ceil(to_decimal(fees) / live.instrument.lot)
    return after - before - lots in ({-taken, 1 - taken} if taken else {0})


def _ledger(live: ConnectorUnderTest, *orders: PlaceOrder) -> OrderLedger:
    """A ledger that sent these orders and heard everything."""
    ledger = OrderLedger({live.instrument.venue: live.connector.capabilities})
    for order in orders:
        ledger.queue(order, 0)
        ledger.released(order, 0)
    for event in _told(live.heard.events):
        ledger.apply(event)
    return ledger


def _told(events: Iterable[Event]) -> Iterable[OrderEvent]:
    return [event for event in events if isinstance(event, _ORDER)]


def _phase(ledger: OrderLedger, order: PlaceOrder) -> Phase | None:
    kept = ledger.get(order.client_id)
    return None if kept is None else kept.phase
