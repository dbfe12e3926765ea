"""A hand to play a virtual venue with: short commands, and everything it said so far. Times in milliseconds."""

from collections.abc import Sequence
from typing import TypeVar

from mm_daemon.domain.decisions import AmendOrder, CancelAll, CancelOrder, Command, PlaceOrder, Reason
from mm_daemon.domain.events import Event, MarketEvent, OrderFilled
from mm_daemon.domain.instrument import InstrumentId, venue_of
from mm_daemon.domain.orders import ClientOrderId, Side, TimeInForce
from mm_daemon.ports.connector import VirtualVenue
from mm_daemon.simulation.venue import SimulatedVenue
from mm_daemon.testkit.builders import MS, SYMBOL
from tests.approval import approved

_WHY = (Reason.NEW_QUOTE,)
E = TypeVar("E", bound=Event)


def place(
    client_id: int,
    side: Side,
    ticks: int,
    lots: int,
    *,
    post_only: bool = True,
    ioc: bool = False,
    reduce_only: bool = False,
    expires_ns: int | None = None,
    symbol: InstrumentId = SYMBOL,
) -> PlaceOrder:
    return PlaceOrder(
        symbol,
        ClientOrderId(client_id),
        side,
        0,
        ticks,
        lots,
        _WHY,
        post_only=post_only,
        reduce_only=reduce_only,
        time_in_force=TimeInForce.IOC if ioc else TimeInForce.GTC,
        expires_ns=expires_ns,
    )


def amend(client_id: int, ticks: int, lots: int, *, symbol: InstrumentId = SYMBOL) -> AmendOrder:
    return AmendOrder(symbol, ClientOrderId(client_id), ticks, lots, _WHY)


def cancel(client_id: int, *, symbol: InstrumentId = SYMBOL) -> CancelOrder:
    return CancelOrder(symbol, ClientOrderId(client_id), _WHY)


def cancel_all(*, symbol: InstrumentId = SYMBOL) -> CancelAll:
    return CancelAll(venue_of(symbol), _WHY)


class Hand:
    """Drives one venue; `said` is all it said, in order."""

    def __init__(self, venue: VirtualVenue) -> None:
        self.venue = venue
        self.said: list[Event] = []

    def send(self, at_ms: float, *commands: Command) -> None:
        self.venue.submit([approved(command) for command in commands], round(at_ms * MS))

    def until(self, at_ms: float) -> Sequence[Event]:
        """Jump from deadline to deadline up to an instant; what was said on the way."""
        end_ns = round(at_ms * MS)
        start = len(self.said)
        while (deadline_ns := self.venue.next_deadline_ns()) is not None and deadline_ns <= end_ns:
            self.said += self.venue.advance(deadline_ns)
        self.said += self.venue.advance(end_ns)
        return self.said[start:]

    def market(self, *events: MarketEvent) -> None:
        """Show market events at their local times, as a backtest does."""
        assert isinstance(self.venue, SimulatedVenue)
        for event in events:
            self.until((event.ts_local_ns - 1) / MS)
            self.venue.on_market(event)
            self.said += self.venue.advance(event.ts_local_ns)

    def of(self, kind: type[E]) -> list[E]:
        return [event for event in self.said if isinstance(event, kind)]

    def fills(self) -> list[tuple[int, int, int]]:
        """(client id, ticks, lots) of every fill so far."""
        return [(int(fill.client_id), fill.ticks, fill.lots) for fill in self.of(OrderFilled)]
