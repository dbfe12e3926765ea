"""Our account at a simulated venue: orders, positions, fees and fills, as the venue keeps them.

Owned by one simulated venue and never read by the core, which learns of it by events and snapshots only.
"""

from collections import deque
from collections.abc import Sequence

from mm_daemon.domain.decisions import PlaceOrder
from mm_daemon.domain.events import OpenOrder, OrderFilled, VenueSnapshot
from mm_daemon.domain.instrument import Instrument, InstrumentId, Venue
from mm_daemon.domain.money import to_pair
from mm_daemon.domain.orders import ClientOrderId, RejectKind, Side
from mm_daemon.simulation.models import FeeSchedule

_FILLS_KEPT = 4096
_ENDED_KEPT = 8192

Refused = tuple[RejectKind, str]


class VenueOrder:
    """One order of ours as the venue holds it. `lots` is the total, filled part included."""

    __slots__ = ("client_id", "filled_lots", "fills", "instrument", "lots", "post_only", "side", "ticks")

    def __init__(self, command: PlaceOrder) -> None:
        self.client_id = command.client_id
        self.instrument = command.instrument
        self.side = command.side
        self.ticks = command.ticks
        self.lots = command.lots
        self.post_only = command.post_only
        self.filled_lots = 0
        self.fills = 0

    @property
    def remaining_lots(self) -> int:
        return self.lots - self.filled_lots

    @property
    def venue_order_id(self) -> str:
        return f"sim-{self.client_id}"


class VenueAccount:
    """Open orders by client id in the order of their arrival, net positions, and the fills of late."""

    def __init__(self, venue: Venue, instruments: Sequence[Instrument]) -> None:
        self.venue = venue
        self.instruments: dict[InstrumentId, Instrument] = {}
        self.positions: dict[InstrumentId, int] = {}
        self.orders: dict[ClientOrderId, VenueOrder] = {}
        self._fees: dict[InstrumentId, FeeSchedule] = {}
        self._ended: dict[ClientOrderId, VenueOrder] = {}
        self._refused: dict[ClientOrderId, InstrumentId] = {}
        self._fills: deque[OrderFilled] = deque(maxlen=_FILLS_KEPT)
        for instrument in instruments:
            self.define(instrument)

    def define(self, instrument: Instrument) -> None:
        """A contract, new or changed. Raises DomainError when its notional is no whole number of atto."""
        self.instruments[instrument.id] = instrument
        self._fees[instrument.id] = FeeSchedule(instrument)
        self.positions.setdefault(instrument.id, 0)

    def refusal(self, command: PlaceOrder, at_ns: int) -> Refused | None:
        """Why the venue would not even look at its book for this order; None when it passes validation."""
        instrument = self.instruments.get(command.instrument)
        if instrument is None:
            return RejectKind.INVALID, f"no instrument {command.instrument}"
        if command.client_id in self.orders or command.client_id in self._ended:
            return RejectKind.INVALID, f"client order id {command.client_id} was used before"
        if command.expires_ns is not None and at_ns > command.expires_ns:
            return RejectKind.OTHER, "arrived after its expiry"
        if not instrument.tradable:
            return RejectKind.HALTED, "the market is halted"
        if command.reduce_only:
            room = -command.side * self.positions[command.instrument]
            if command.lots > room:
                return RejectKind.REDUCE_ONLY, f"{command.lots} lots would not only reduce a position of {room}"
        return self.size_refusal(instrument, command.ticks, command.lots, reduce_only=command.reduce_only)

    def size_refusal(self, instrument: Instrument, ticks: int, lots: int, *, reduce_only: bool) -> Refused | None:
        """The venue's filters on price and size; reducing orders are free of the notional minimum."""
        if ticks <= 0 or lots <= 0:
            return RejectKind.INVALID, "price and size must be positive"
        least = instrument.min_lots if reduce_only else instrument.min_lots_at(ticks)
        if lots < least:
            return RejectKind.INVALID, f"{lots} lots are below the minimum of {least}"
        if instrument.max_lots is not None and lots > instrument.max_lots:
            return RejectKind.INVALID, f"{lots} lots are above the maximum of {instrument.max_lots}"
        return None

    def open(self, command: PlaceOrder) -> VenueOrder:
        order = self.orders[command.client_id] = VenueOrder(command)
        return order

    def fill(
        self, order: VenueOrder, ticks: int, lots: int, *, maker: bool, ts_venue_ns: int, ts_local_ns: int
    ) -> OrderFilled:
        """Book one fill; the order ends when nothing remains. The key is unique because client ids are."""
        order.filled_lots += lots
        order.fills += 1
        self.positions[order.instrument] += order.side * lots
        fee = self._fees[order.instrument].fee_atto(ticks, lots, maker=maker)
        filled = OrderFilled(
            order.instrument,
            ts_venue_ns,
            ts_local_ns,
            order.client_id,
            order.venue_order_id,
            f"{order.client_id}-{order.fills}",
            order.side,
            ticks,
            lots,
            maker,
            to_pair(fee),
        )
        self._fills.append(filled)
        if order.filled_lots >= order.lots:
            self.end(order)
        return filled

    def end(self, order: VenueOrder) -> None:
        """The order is over; it is remembered for a while, so that late commands get a true answer."""
        del self.orders[order.client_id]
        ended = self._ended
        ended[order.client_id] = order
        if len(ended) > _ENDED_KEPT:
            del ended[next(iter(ended))]

    def note_refused(self, command: PlaceOrder) -> None:
        """Remember a refused order for a while, unless its id belongs to an order that lives or lived."""
        if command.client_id in self.orders or command.client_id in self._ended:
            return
        refused = self._refused
        refused[command.client_id] = command.instrument
        if len(refused) > _ENDED_KEPT:
            del refused[next(iter(refused))]

    def refused_instrument(self, client_id: ClientOrderId) -> InstrumentId | None:
        return self._refused.get(client_id)

    def ended(self, client_id: ClientOrderId) -> VenueOrder | None:
        return self._ended.get(client_id)

    def gone_kind(self, client_id: ClientOrderId) -> RejectKind:
        """What a venue says of an order that is not open."""
        order = self._ended.get(client_id)
        filled = order is not None and order.filled_lots >= order.lots
        return RejectKind.FILLED if filled else RejectKind.GONE

    def opposing(self, instrument: InstrumentId, side: Side, ticks: int) -> list[VenueOrder]:
        """Resting orders of ours that an order on `side` at `ticks` would trade with."""
        return [
            order
            for order in self.orders.values()
            if order.side is not side and order.instrument == instrument and side * (ticks - order.ticks) >= 0
        ]

    def snapshot(self, ts_venue_ns: int, requested_ns: int, since_ns: int) -> VenueSnapshot:
        """Open orders, positions and the fills kept since a venue time; at most the last few thousand."""
        orders = tuple(
            OpenOrder(o.instrument, o.client_id, o.venue_order_id, o.side, o.ticks, o.remaining_lots)
            for o in self.orders.values()
        )
        fills = tuple(fill for fill in self._fills if fill.ts_venue_ns >= since_ns)
        return VenueSnapshot(self.venue, ts_venue_ns, requested_ns, orders, tuple(self.positions.items()), fills)

    def clear(self) -> None:
        """The account's orders die, with nobody left to tell."""
        for order in tuple(self.orders.values()):
            self.end(order)
