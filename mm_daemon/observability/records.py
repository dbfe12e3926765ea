"""Where in the journal the figures of a run come from: the numbers of the records that made them what they are.

Shown every turn by the shell, behind the journal's write. It keeps numbers and the latest facts that the core itself
does not remember (fills, who paused a market, since when a venue is connected); bounded, whatever happens.
"""

from collections import deque
from collections.abc import Mapping, Sequence

import msgspec

from mm_daemon.core.trading_core import TradingCore
from mm_daemon.domain.codec import numbers_of
from mm_daemon.domain.decisions import AmendOrder, DecisionsChanged, PlaceOrder, Turn
from mm_daemon.domain.events import (
    Event,
    OperatorAction,
    OperatorRequest,
    OrderFilled,
    VenueConnected,
    VenueDisconnected,
)
from mm_daemon.domain.instrument import InstrumentId, Venue
from mm_daemon.domain.orders import ClientOrderId

_FILLS_KEPT = 60
_ORDERS_KEPT = 512
"""Numbers of orders per market before those that have ended are forgotten."""
_PAUSING = (OperatorAction.PAUSE, OperatorAction.FLATTEN, OperatorAction.CANCEL_ALL)


class Fill(msgspec.Struct, frozen=True):
    """A fill and its record."""

    record: int
    event: OrderFilled


class Decided(msgspec.Struct, frozen=True):
    """The standing decision as it was journaled."""

    record: int
    changed: DecisionsChanged


class Asked(msgspec.Struct, frozen=True):
    """What a person asked for last, and who it was."""

    record: int
    event: OperatorRequest


class LinkChange(msgspec.Struct, frozen=True):
    """When a venue was last connected, or lost."""

    record: int
    at_ns: int
    connected: bool
    cause: str


class MarketRecords:
    """Of one market; None: not in this run."""

    def __init__(self) -> None:
        self.decided: Decided | None = None
        self.booked: int | None = None
        self.paused_by: Asked | None = None
        """The request that took its quotes away, while nobody has resumed it."""
        self.disabled_by: Asked | None = None
        self.fills: deque[Fill] = deque(maxlen=_FILLS_KEPT)
        self.orders: dict[ClientOrderId, int] = {}
        """The last command that placed or moved each order."""


class Records:
    def __init__(self, core: TradingCore) -> None:
        self._core = core
        self.next = 0
        """Number of the next record: everything before it has happened."""
        self.markets: Mapping[InstrumentId, MarketRecords] = {name: MarketRecords() for name in core.markets}
        self.links: dict[Venue, LinkChange] = {}
        self.killed_by: Asked | None = None

    def observe(self, turn: Turn, events: Sequence[Event], end: int) -> tuple[int, int]:
        """A turn, the events of it that are not market data, and the number behind its last record. Says its range."""
        first, self.next = self.next, end
        if events:
            for number, event in enumerate(events, first):
                self._event(number, event)
        if turn.decisions or turn.booked or turn.released:
            self._answers(turn, end)
        return first, end - 1

    def _answers(self, turn: Turn, end: int) -> None:
        numbers, markets = numbers_of(turn, end), self.markets
        for number, changed in enumerate(turn.decisions, numbers.decisions):
            markets[changed.instrument].decided = Decided(number, changed)
        for number, booked in enumerate(turn.booked, numbers.booked):
            markets[booked.instrument].booked = number
        for number, approved in enumerate(turn.released, numbers.released):
            command = approved.command
            if isinstance(command, PlaceOrder | AmendOrder):
                orders = markets[command.instrument].orders
                orders[command.client_id] = number
                if len(orders) > _ORDERS_KEPT:
                    alive = {order.client_id for order in self._core.ledger.alive(command.instrument)}
                    for client_id in [known for known in orders if known not in alive]:
                        del orders[client_id]

    def _event(self, number: int, event: Event) -> None:
        if isinstance(event, OrderFilled):
            fills = self.markets[event.instrument].fills
            if all(fill.event.fill_key != event.fill_key for fill in fills):  # venues repeat themselves
                fills.append(Fill(number, event))
        elif isinstance(event, VenueConnected):
            self.links[event.venue] = LinkChange(number, event.ts_local_ns, True, "")
        elif isinstance(event, VenueDisconnected):
            self.links[event.venue] = LinkChange(number, event.ts_local_ns, False, event.cause)
        elif isinstance(event, OperatorRequest):
            self._operator(Asked(number, event))

    def _operator(self, asked: Asked) -> None:
        action = asked.event.action
        if action in (OperatorAction.KILL, OperatorAction.CLEAR_KILL):
            self.killed_by = asked if action is OperatorAction.KILL else None
            return
        instrument = asked.event.instrument
        for name, records in self.markets.items():
            if instrument is not None and instrument != name:
                continue
            if action in (OperatorAction.ENABLE, OperatorAction.DISABLE):
                records.disabled_by = asked if action is OperatorAction.DISABLE else None
            else:
                records.paused_by = asked if action in _PAUSING else None
