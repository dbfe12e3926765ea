"""Our account at a simulated venue: orders, positions, fees and fills, as the venue keeps them.

Owned by one simulated venue and never read by the core, which learns of it by events and snapshots only. Whatever
changes is an entry of its `AccountHistory`; a venue that is to be remembered hands the entries on by `note` as they are
made and begins with `restore`.
"""

from collections.abc import Callable, Mapping, Sequence

from mm_daemon.domain.account_history import (
    ENDED_KEPT,
    AccountHistory,
    ContractKnown,
    Entry,
    MidSeen,
    OrderKnown,
    TradeBooked,
)
from mm_daemon.domain.decisions import PlaceOrder
from mm_daemon.domain.errors import ConfigError
from mm_daemon.domain.events import ChargedIn, FundingPaid, OpenOrder, OrderFilled, VenueSnapshot
from mm_daemon.domain.instrument import Instrument, InstrumentId, Venue
from mm_daemon.domain.money import to_pair
from mm_daemon.domain.orders import ClientOrderId, RejectKind, Side
from mm_daemon.simulation.fee_tiers import FeeTiers
from mm_daemon.simulation.models import FeeSchedule

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
        """Never given twice, because client ids never are."""
        return f"sim-{self.client_id}"

    def known(self, *, ended: bool) -> OrderKnown:
        """The order as it stands, for the history."""
        return OrderKnown(
            self.instrument,
            self.client_id,
            self.venue_order_id,
            self.side,
            self.ticks,
            self.lots,
            self.filled_lots,
            ended,
        )


class VenueAccount:
    """Open orders by client id in the order of their arrival, and the history of everything before.

    Fills, payments and snapshots are stamped by a clock of the account's own: the venue's, unless that goes back behind
    what is remembered, as when a recording is played again. Then it is ahead by so much that it goes on where it was,
    because the core asks for fills by the time of those it knows.
    """

    def __init__(self, venue: Venue, instruments: Sequence[Instrument]) -> None:
        self.venue = venue
        self.instruments: dict[InstrumentId, Instrument] = {}
        self.orders: dict[ClientOrderId, VenueOrder] = {}
        self.history = AccountHistory()
        self.note: Callable[[Entry], None] | None = None
        """Told of every entry as it is made, before anybody learns of it."""
        self.tiers: FeeTiers | None = None
        """Fees by volume; None: those of the contracts."""
        self.charge: Callable[[int], ChargedIn | None] | None = None
        """What is taken in another currency instead of a fee of so many atto; None: nothing, the fee itself is paid."""
        self._ahead_ns: int | None = None
        """What the account's clock is ahead of the venue's; None until it is first read."""
        self._shown_ns = 0
        """Time of the last snapshot: what is booked behind it is later."""
        self._ids_before = 0
        """Client ids up to this one were used before we were restored."""
        self._fees: dict[InstrumentId, FeeSchedule] = {}
        self._refused: dict[ClientOrderId, InstrumentId] = {}
        self._fenced: dict[ClientOrderId, None] = {}
        """Ids whose nonce was spent before their order came."""
        for instrument in instruments:
            self.define(instrument)

    def define(self, instrument: Instrument) -> None:
        """A contract, new or changed. Raises DomainError when its notional is no whole number of atto, ConfigError when
        a position is held in lots of another size."""
        fees = FeeSchedule(instrument)
        contract = ContractKnown.of(instrument)
        known = self.history.contracts.get(instrument.id)
        if known != contract:
            if instrument.id not in self.instruments:
                self._check_remembered(contract)
            self._book(contract)
        self.instruments[instrument.id] = instrument
        self._fees[instrument.id] = fees

    def restore(self, history: AccountHistory) -> None:
        """Begin with what an earlier process left, all its orders dead. Raises ConfigError as `define` does."""
        self.history = history
        self._ids_before = history.last_client_id
        for instrument in self.instruments.values():
            contract = ContractKnown.of(instrument)
            if history.contracts.get(instrument.id) != contract:
                self._check_remembered(contract)
                self._book(contract)

    @property
    def positions(self) -> Mapping[InstrumentId, int]:
        """Net lots of every market that is defined."""
        return {instrument: self.history.lots(instrument) for instrument in self.instruments}

    def _check_remembered(self, contract: ContractKnown) -> None:
        known, lots = self.history.contracts.get(contract.instrument), self.history.lots(contract.instrument)
        if known is not None and lots and (known.lot, known.multiplier) != (contract.lot, contract.multiplier):
            raise ConfigError(
                f"{contract.instrument}: the venue's account holds {lots} lots of {known.lot} x {known.multiplier}, "
                f"and the configuration now says {contract.lot} x {contract.multiplier}; put the old size back, or use "
                "another state_dir to start from nothing"
            )

    def _account_ns(self, ts_venue_ns: int) -> int:
        if self._ahead_ns is None:
            self._ahead_ns = max(self.history.last_ns - ts_venue_ns, 0)
        return ts_venue_ns + self._ahead_ns

    def _booking_ns(self, ts_venue_ns: int) -> int:
        return max(self._account_ns(ts_venue_ns), self._shown_ns + 1)

    def _book(self, entry: Entry) -> None:
        self.history.apply(entry)
        if self.note is not None:
            self.note(entry)

    def refusal(self, command: PlaceOrder, at_ns: int) -> Refused | None:
        """Why the venue would not even look at its book for this order; None when it passes validation."""
        instrument = self.instruments.get(command.instrument)
        if instrument is None:
            return RejectKind.INVALID, f"no instrument {command.instrument}"
        if self._was_used(command.client_id):
            return RejectKind.INVALID, f"client order id {command.client_id} was used before"
        if command.client_id in self._fenced:
            return RejectKind.OTHER, "its nonce was spent"
        if command.expires_ns is not None and at_ns > command.expires_ns:
            return RejectKind.OTHER, "arrived after its expiry"
        if not instrument.tradable:
            return RejectKind.HALTED, "the market is halted"
        if command.reduce_only:
            room = -command.side * self.history.lots(command.instrument)
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
        self._book(order.known(ended=False))
        return order

    def amend(self, order: VenueOrder, ticks: int, lots: int) -> None:
        """New price and total size of an open order."""
        order.ticks = ticks
        order.lots = lots
        self._book(order.known(ended=False))

    def fill(
        self, order: VenueOrder, ticks: int, lots: int, *, maker: bool, ts_venue_ns: int, ts_local_ns: int
    ) -> OrderFilled:
        """Book one fill; the order ends when nothing remains. The key is unique because client ids are."""
        order.filled_lots += lots
        order.fills += 1
        schedule = self._fees[order.instrument]
        notional = schedule.notional_atto(ticks, lots)
        ppm = None if self.tiers is None else self.tiers.ppm()
        if ppm is None:
            fee = schedule.fee_atto(ticks, lots, maker=maker)
        else:
            fee = schedule.fee_at(ppm[0] if maker else ppm[1], ticks, lots)
        if self.tiers is not None:
            self.tiers.traded(notional)
        charged = None if self.charge is None else self.charge(fee)
        if charged is not None:
            fee = 0
        filled = OrderFilled(
            order.instrument,
            self._booking_ns(ts_venue_ns),
            ts_local_ns,
            order.client_id,
            order.venue_order_id,
            f"{order.client_id}-{order.fills}",
            order.side,
            ticks,
            lots,
            maker,
            to_pair(fee),
            charged=charged,
        )
        self._book(TradeBooked(filled, to_pair(-order.side * notional - fee)))
        if order.filled_lots >= order.lots:
            self.end(order)
        return filled

    def pay_funding(
        self, instrument: InstrumentId, received_atto: int, *, ts_venue_ns: int, ts_local_ns: int
    ) -> FundingPaid:
        """Settle funding; `received_atto` is negative when we pay. The venue pays a market once at any instant."""
        booked_ns = self._booking_ns(ts_venue_ns)
        key = f"{instrument}@{booked_ns}"
        paid = FundingPaid(instrument, booked_ns, ts_local_ns, to_pair(received_atto), key)
        self._book(paid)
        return paid

    def note_mid(self, instrument: InstrumentId, half_ticks: int) -> None:
        """Where the market stands: remembered for the next opening."""
        if self.history.mids.get(instrument) != half_ticks:
            self._book(MidSeen(instrument, half_ticks))

    def end(self, order: VenueOrder) -> None:
        """The order is over; it is remembered for a while, so that late commands get a true answer."""
        del self.orders[order.client_id]
        self._book(order.known(ended=True))

    def note_refused(self, command: PlaceOrder) -> None:
        """Remember a refused order for a while, unless its id belongs to an order that lives or lived."""
        if self._was_used(command.client_id):
            return
        refused = self._refused
        refused[command.client_id] = command.instrument
        if len(refused) > ENDED_KEPT:
            del refused[next(iter(refused))]

    def fence(self, client_id: ClientOrderId) -> bool:
        """Spend the nonce of an order that has not come; False when it has."""
        if self._was_used(client_id) or client_id in self._refused:
            return False
        self._fenced[client_id] = None
        return True

    def refused_instrument(self, client_id: ClientOrderId) -> InstrumentId | None:
        return self._refused.get(client_id)

    def ended(self, client_id: ClientOrderId) -> OrderKnown | None:
        return self.history.ended.get(client_id)

    def _was_used(self, client_id: ClientOrderId) -> bool:
        return client_id <= self._ids_before or client_id in self.orders or client_id in self.history.ended

    def gone_kind(self, client_id: ClientOrderId) -> RejectKind:
        """What a venue says of an order that is not open."""
        order = self.history.ended.get(client_id)
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
        """Open orders, positions, and the fills and payments since a venue time; at most the last few thousand."""
        orders = tuple(
            OpenOrder(o.instrument, o.client_id, o.venue_order_id, o.side, o.ticks, o.remaining_lots)
            for o in self.orders.values()
        )
        known, history = self.instruments, self.history
        self._shown_ns = shown_ns = max(self._account_ns(ts_venue_ns), self._shown_ns)
        return VenueSnapshot(
            self.venue,
            shown_ns,
            requested_ns,
            orders,
            tuple(self.positions.items()),
            tuple(fill for fill in history.fills_since(since_ns) if fill.instrument in known),
            tuple(paid for paid in history.payments_since(since_ns) if paid.instrument in known),
        )

    def clear(self) -> None:
        """The account's orders die, with nobody left to tell."""
        for order in tuple(self.orders.values()):
            self.end(order)
