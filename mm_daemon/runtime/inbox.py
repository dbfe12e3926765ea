"""Where every event waits for the core: two bounded lanes, orders and control before market.

Connectors call `put` (through `ConnectorContext.emit`) from the event loop's thread; it never blocks. Only the core
loop takes. Nothing is lost in silence: an overflowing market lane gives up the instruments with the longest backlogs
and says so with `BookInvalidated`; an overflowing order lane says so with `OrderEventsLost`, and the venue stays out
until its account has been compared, because an unseen order event means that we no longer know our orders.
"""

from collections import Counter, deque
from collections.abc import Callable
from typing import Any, cast

from mm_daemon.domain.events import (
    BookDelta,
    BookInvalidated,
    BookSnapshot,
    Event,
    FundingUpdate,
    InvalidCause,
    MarketEvent,
    MarkPriceUpdate,
    OrderEventsLost,
    PublicTrade,
    StreamStale,
    TopOfBook,
    VolatilityUpdate,
)
from mm_daemon.domain.instrument import InstrumentId, Venue, venue_of

_MARKET: frozenset[type] = frozenset(
    {
        BookDelta,
        TopOfBook,
        PublicTrade,
        BookSnapshot,
        BookInvalidated,
        MarkPriceUpdate,
        FundingUpdate,
        VolatilityUpdate,
        StreamStale,
    }
)
"""What may be given up for a resynchronised book; `InstrumentUpdated` travels with the orders and never is."""


class Inbox:
    __slots__ = (
        "_awake",
        "_lost",
        "_market",
        "_market_limit",
        "_order_limit",
        "_orders",
        "dropped_market",
        "dropped_orders",
        "on_lost_market",
        "on_lost_orders",
        "wake",
    )

    def __init__(self, *, market_limit: int = 1 << 16, order_limit: int = 1 << 14) -> None:
        self._orders: deque[Event] = deque()
        self._market: deque[MarketEvent] = deque()
        self._market_limit = market_limit
        self._order_limit = order_limit
        self._awake = False
        self._lost: dict[Venue, None] = {}
        """Venues whose order events were lost since the last `take`."""
        self.dropped_market = 0
        self.dropped_orders = 0
        self.wake: Callable[[], None] = _nothing
        """Called on the first event after a `take`."""
        self.on_lost_market: Callable[[InstrumentId], None] = _nothing_for
        """Called when an instrument was given up. Its book waits for the next snapshot; nobody asks for one."""
        self.on_lost_orders: Callable[[Venue], None] = _nothing_for
        """Called when order events of a venue were lost."""

    def __len__(self) -> int:
        return len(self._orders) + len(self._market)

    @property
    def waiting(self) -> tuple[int, int]:
        """Events waiting in the order lane and in the market lane."""
        return len(self._orders), len(self._market)

    def put(self, event: Event) -> None:
        if type(event) in _MARKET:
            market_event = cast("MarketEvent", event)
            if len(self._market) >= self._market_limit:
                self._make_room(market_event)
            else:
                self._market.append(market_event)
        elif len(self._orders) >= self._order_limit and (venue := _venue_of(event)) is not None:
            self._lose_order_event(event, venue)
        else:
            self._orders.append(event)
        if not self._awake:
            self._awake = True
            self.wake()

    def take(self, limit: int) -> tuple[list[Event], int]:
        """Up to `limit` waiting events, and how many of them (the first) came by the order lane."""
        orders, market = self._orders, self._market
        batch: list[Event]
        if len(orders) <= limit:
            batch = list(orders)
            orders.clear()
            self._lost.clear()
        else:
            batch = [orders.popleft() for _ in range(limit)]
        urgent = len(batch)
        room = limit - urgent
        if len(market) <= room:
            batch.extend(market)
            market.clear()
            self._awake = bool(orders)
        else:
            batch.extend([market.popleft() for _ in range(room)])
        return batch, urgent

    def _make_room(self, event: MarketEvent) -> None:
        """Give up the longest backlogs until a quarter of the lane is free: looking through the lane is dear, so that a
        core which cannot follow must not be made to wait for it again a few events later.
        """
        enough = self._market_limit - self._market_limit // 4
        left = len(self._market)
        given_up: dict[InstrumentId, int] = {}
        for instrument, waiting in Counter(each.instrument for each in self._market).most_common():
            if given_up and left <= enough:
                break
            given_up[instrument] = waiting
            left -= waiting
        self._market = deque(each for each in self._market if each.instrument not in given_up)
        if event.instrument in given_up:
            given_up[event.instrument] += 1
        for instrument, dropped in given_up.items():
            self.dropped_market += dropped
            detail = f"{dropped} events dropped: the core was too late"
            self._market.append(
                BookInvalidated(instrument, event.ts_venue_ns, event.ts_local_ns, InvalidCause.OVERFLOW, detail)
            )
            self.on_lost_market(instrument)
        if event.instrument not in given_up:
            self._market.append(event)

    def _lose_order_event(self, event: Event, venue: Venue) -> None:
        self.dropped_orders += 1
        if venue not in self._lost:
            self._lost[venue] = None
            self._orders.append(OrderEventsLost(venue, 0, event.ts_local_ns, "order lane overflow"))
            self.on_lost_orders(venue)


def _venue_of(event: Event) -> Venue | None:
    """The venue an event speaks of; None for control events, which are never dropped."""
    told: Any = event
    venue = getattr(told, "venue", None)
    if venue is not None:
        return cast("Venue", venue)
    instrument = getattr(told, "instrument", None)
    return venue_of(instrument) if instrument is not None and hasattr(told, "ts_venue_ns") else None


def _nothing() -> None:
    """Nobody listens."""


def _nothing_for(_what: str) -> None:
    """Nobody listens."""
