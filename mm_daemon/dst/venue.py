"""The reference venue: a small exact exchange that holds the truth about our orders, fills, positions and money.

It shares no code with the simulated venues or the ledger it is held against. Integers throughout. It says what happens
through `tell` and knows nothing of links or faults; whoever calls it decides when commands arrive.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import msgspec

from mm_daemon.domain.capabilities import AmendQuantity, Capabilities
from mm_daemon.domain.decisions import AmendOrder, CancelAll, CancelOrder, Command, PlaceOrder
from mm_daemon.domain.events import (
    Event,
    FenceAnswered,
    FundingPaid,
    OpenOrder,
    OrderAccepted,
    OrderAmended,
    OrderAmendRejected,
    OrderCanceled,
    OrderCancelRejected,
    OrderExpired,
    OrderFilled,
    OrderNotFound,
    OrderRejected,
    OrderStatus,
    VenueSnapshot,
)
from mm_daemon.domain.instrument import Instrument, InstrumentId, Venue
from mm_daemon.domain.money import ATTO, to_pair
from mm_daemon.domain.orders import ClientOrderId, RejectKind, Side, TimeInForce

NOBODY = ClientOrderId((1 << 48) - 1)
"""The client id that fills of the account bear which no order of ours made."""
_PPM = 10**6
_AFTER_THE_CANCEL = (RejectKind.INSUFFICIENT_MARGIN, RejectKind.OTHER)
"""Refusals of an amend by which the old order is gone and the new one not there."""

Booked = TypeVar("Booked", OrderFilled, FundingPaid)


class VenueOrder:
    """An order that rests. `lots` is the size of the present version, `filled` what of it has traded."""

    __slots__ = ("client_id", "filled", "instrument", "lots", "name", "side", "ticks")

    def __init__(
        self, client_id: ClientOrderId | None, name: str, instrument: InstrumentId, side: Side, ticks: int, lots: int
    ) -> None:
        self.client_id = client_id
        self.name = name
        self.instrument = instrument
        self.side = side
        self.ticks = ticks
        self.lots = lots
        self.filled = 0

    @property
    def left(self) -> int:
        return self.lots - self.filled


class Ended(msgspec.Struct, frozen=True):
    """What the venue remembers of an order of ours that is over."""

    instrument: InstrumentId
    name: str
    filled: int
    full: bool
    refused: bool = False


class Account:
    """What we hold of one contract, and what it has brought. Money in atto; `cash` holds fees and funding too."""

    __slots__ = ("cash", "fees", "fills", "funding", "lots", "payments")

    def __init__(self) -> None:
        self.lots = self.cash = self.fees = self.funding = 0
        self.fills: list[OrderFilled] = []
        self.payments: list[FundingPaid] = []


class Quotes:
    """What others offer: the best prices and three levels a side."""

    __slots__ = ("asks", "bids", "empty", "mid", "tradable", "update_id")

    def __init__(self, mid: int) -> None:
        self.mid = mid
        self.bids: dict[int, int] = {}
        self.asks: dict[int, int] = {}
        self.empty: Side | None = None
        self.tradable = True
        self.update_id = 0

    @property
    def bid(self) -> int:
        return max(self.bids, default=0)

    @property
    def ask(self) -> int:
        return min(self.asks, default=1 << 62)


class ReferenceVenue:
    """One exchange with one account of ours."""

    def __init__(
        self,
        venue: Venue,
        instruments: Sequence[Instrument],
        capabilities: Capabilities,
        *,
        start_ticks: int,
        now_ns: Callable[[], int],
        tell: Callable[[Event], None],
        names_cum: bool,
        tells_fees: bool,
    ) -> None:
        self.venue = venue
        self.instruments = {instrument.id: instrument for instrument in instruments}
        self._units = {each.id: int(each.tick * each.lot * each.multiplier * ATTO) // 2 for each in instruments}
        """Atto that one lot gains with half a tick."""
        self._fresh = capabilities.amend_quantity is AmendQuantity.FRESH
        self._now_ns = now_ns
        self._say = tell
        self._names_cum = names_cum
        self._tells_fees = tells_fees
        self.orders: dict[ClientOrderId, VenueOrder] = {}
        """Ours that rest."""
        self.foreign: dict[str, VenueOrder] = {}
        """Those of the account that another program placed."""
        self.ended: dict[ClientOrderId, Ended] = {}
        self.spent: set[ClientOrderId] = set()
        """Orders whose nonce a fence has spent: their placing is worth nothing any more."""
        self.accounts = {instrument: Account() for instrument in self.instruments}
        self.quotes = {instrument: Quotes(start_ticks) for instrument in self.instruments}
        self.told: deque[Event] = deque(maxlen=150)
        """The last that was said of orders."""
        self._count = 0
        self._last_ns = 0
        self._executors: dict[type, Callable[[Any], None]] = {
            PlaceOrder: self._place,
            AmendOrder: self._amend,
            CancelOrder: self._cancel,
            CancelAll: self._cancel_all,
        }

    # What others do

    def show(self, instrument: InstrumentId, mid: int, half: int, sizes: Sequence[int]) -> None:
        """The market stands at `mid` now, with best prices `half` ticks away; orders of ours in its way are filled.

        `sizes`: lots of three bids and three asks, best first.
        """
        quotes = self.quotes[instrument]
        quotes.mid = mid
        quotes.bids = {} if quotes.empty is Side.BUY else {mid - half - i: sizes[i] for i in range(3)}
        quotes.asks = {} if quotes.empty is Side.SELL else {mid + half + i: sizes[3 + i] for i in range(3)}
        quotes.update_id += 1
        for order in [each for each in self._resting(instrument) if self._crosses(each.side, each.ticks, quotes)]:
            self._fill(order, order.ticks, order.left, maker=True)

    def trade(self, instrument: InstrumentId, aggressor: Side, lots: int, limit: int) -> None:
        """Somebody takes up to `lots` of ours down (or up) to the price `limit`."""
        makers = [
            order
            for order in self._resting(instrument)
            if order.side is not aggressor and aggressor * (limit - order.ticks) >= 0
        ]
        makers.sort(key=lambda order: aggressor * order.ticks)
        for order in makers:
            if lots <= 0:
                break
            taken = min(lots, order.left)
            lots -= taken
            self._fill(order, order.ticks, taken, maker=True)

    def kill_order(self, order: VenueOrder, *, expired: bool, refused: bool = False) -> None:
        """The venue ends it by itself; `refused`: by saying that it refuses what it has accepted."""
        if order.client_id is None:
            del self.foreign[order.name]
        elif refused and not order.filled:
            del self.orders[order.client_id]
            self.ended[order.client_id] = Ended(order.instrument, order.name, 0, False, refused=True)
            self._tell(OrderRejected(order.instrument, self.tick(), 0, order.client_id, RejectKind.OTHER))
        elif expired:
            self._end(order)
            cum = order.filled if self._names_cum else None
            self._tell(OrderExpired(order.instrument, self.tick(), 0, order.client_id, cum))
        else:
            self._report_end(order)

    def place_foreign(self, instrument: InstrumentId, side: Side, ticks: int, lots: int) -> None:
        name = self._name()
        self.foreign[name] = VenueOrder(None, name, instrument, side, ticks, lots)

    def place_strange(
        self, client_id: ClientOrderId, instrument: InstrumentId, side: Side, ticks: int, lots: int, then: str
    ) -> None:
        """Somebody places an order under an id of ours: it `rests`, `fills` in part or as a whole, or `ends` at once
        without a word of its having begun."""
        order = self.orders[client_id] = VenueOrder(client_id, self._name(), instrument, side, ticks, lots)
        if then == "ends":
            self._report_end(order)
        elif then == "fills":
            self._fill(order, ticks, 1, maker=True)
        else:
            self._tell(OrderAccepted(instrument, self.tick(), 0, client_id, order.name))

    def fill_foreign(self, instrument: InstrumentId, side: Side, lots: int) -> OrderFilled:
        """A liquidation, or somebody's own trade on the account."""
        return self._book(instrument, NOBODY, self._name(), side, self.quotes[instrument].mid, lots, maker=False)

    def shift_position(self, instrument: InstrumentId, lots: int) -> None:
        """The position changes and no fill tells why."""
        self.accounts[instrument].lots += lots

    def fund(self, instrument: InstrumentId, rate_e6: int) -> FundingPaid | None:
        """Funding on the position; positive rates are paid by longs."""
        account = self.accounts[instrument]
        if not account.lots:
            return None
        value = 2 * self.quotes[instrument].mid * self._units[instrument]
        received = -account.lots * value * rate_e6 // _PPM
        account.cash += received
        account.funding += received
        at_ns = self.tick()
        paid = FundingPaid(instrument, at_ns, 0, to_pair(received), f"{instrument}@{at_ns}")
        account.payments.append(paid)
        self._tell(paid)
        return paid

    # What we ask for

    def execute(self, command: Command) -> None:
        """A command has arrived."""
        if isinstance(command, PlaceOrder) and command.client_id in self.spent:
            return
        if isinstance(command, PlaceOrder | AmendOrder) and is_void(command, self._now_ns()):
            self.refuse(command, RejectKind.INVALID)
            return
        self._executors[type(command)](command)

    def refuse(self, command: Command, kind: RejectKind) -> None:
        """A command is refused at the door, whatever it asks for."""
        if isinstance(command, PlaceOrder):
            self._refuse_place(command, kind)
        elif isinstance(command, AmendOrder):
            order = self.orders.get(command.client_id)
            if self._fresh and order is not None and kind in _AFTER_THE_CANCEL:
                self._replace(order, command, crosses=True)
            else:
                self._tell(OrderAmendRejected(command.instrument, self.tick(), 0, command.client_id, kind))
        elif isinstance(command, CancelOrder):
            self._tell(OrderCancelRejected(command.instrument, self.tick(), 0, command.client_id, kind))

    def query(self, client_id: ClientOrderId) -> None:
        """What we are told of one order."""
        order, ended = self.orders.get(client_id), self.ended.get(client_id)
        if order is not None:
            self._tell(
                OrderStatus(
                    order.instrument, self.tick(), 0, client_id, order.name, order.ticks, order.lots, order.filled
                )
            )
        elif ended is not None and ended.refused:
            self._tell(OrderRejected(ended.instrument, self.tick(), 0, client_id, RejectKind.OTHER))
        elif ended is not None:
            self._tell(OrderCanceled(ended.instrument, self.tick(), 0, client_id, ended.name, True, ended.filled))
        else:
            self._tell(OrderNotFound(self.venue, self.tick(), 0, client_id))

    def snapshot(self, requested_ns: int, since_ns: int) -> VenueSnapshot:
        """The account as it is now."""
        shown = (*self.orders.values(), *self.foreign.values())
        at_ns = self.tick()
        return VenueSnapshot(
            self.venue,
            at_ns,
            requested_ns,
            tuple(OpenOrder(o.instrument, o.client_id, o.name, o.side, o.ticks, o.left) for o in shown),
            tuple((name, account.lots) for name, account in self.accounts.items() if account.lots),
            tuple(fill for account in self.accounts.values() for fill in _since(account.fills, since_ns)),
            tuple(paid for account in self.accounts.values() for paid in _since(account.payments, since_ns)),
        )

    # Inside

    def _place(self, command: PlaceOrder) -> None:
        quotes = self.quotes[command.instrument]
        refused = self._refusal(command)
        crosses = self._crosses(command.side, command.ticks, quotes)
        if refused is None and command.post_only and crosses:
            refused = RejectKind.POST_ONLY_CROSS
        if refused is not None:
            self._refuse_place(command, refused)
            return
        order = VenueOrder(
            command.client_id, self._name(), command.instrument, command.side, command.ticks, command.lots
        )
        self.orders[command.client_id] = order
        self._tell(OrderAccepted(command.instrument, self.tick(), 0, command.client_id, order.name))
        if crosses:
            self._take(order, quotes)
        if command.time_in_force is TimeInForce.IOC and command.client_id in self.orders:
            self._report_end(order)

    def _refusal(self, command: PlaceOrder) -> RejectKind | None:
        instrument = self.instruments[command.instrument]
        if command.client_id in self.orders or command.client_id in self.ended:
            return RejectKind.INVALID
        if not self.quotes[command.instrument].tradable:
            return RejectKind.HALTED
        if command.reduce_only and command.lots > -command.side * self.accounts[command.instrument].lots:
            return RejectKind.REDUCE_ONLY
        if command.lots < instrument.min_lots or (
            instrument.max_lots is not None and command.lots > instrument.max_lots
        ):
            return RejectKind.INVALID
        return None

    def _refuse_place(self, command: PlaceOrder, kind: RejectKind) -> None:
        if command.client_id not in self.orders and command.client_id not in self.ended:
            self.ended[command.client_id] = Ended(command.instrument, "", 0, False, refused=True)
        self._tell(OrderRejected(command.instrument, self.tick(), 0, command.client_id, kind))

    def _amend(self, command: AmendOrder) -> None:
        order = self.orders.get(command.client_id)
        if order is None:
            self._tell(
                OrderAmendRejected(command.instrument, self.tick(), 0, command.client_id, self._gone(command.client_id))
            )
            return
        crosses = self._crosses(order.side, command.ticks, self.quotes[command.instrument])
        if self._fresh:
            self._replace(order, command, crosses=crosses)
            return
        if crosses or command.lots <= order.filled:
            kind = RejectKind.POST_ONLY_CROSS if crosses else RejectKind.INVALID
            self._tell(OrderAmendRejected(command.instrument, self.tick(), 0, command.client_id, kind))
            return
        order.ticks, order.lots = command.ticks, command.lots
        self._tell(
            OrderAmended(command.instrument, self.tick(), 0, command.client_id, order.name, order.ticks, order.lots)
        )

    def _replace(self, order: VenueOrder, command: AmendOrder, *, crosses: bool) -> None:
        """The old order dies and a new one takes its place, if the book lets it."""
        old, cum = order.name, order.filled if self._names_cum else None
        if crosses:
            self._end(order)
            self._tell(OrderCanceled(order.instrument, self.tick(), 0, command.client_id, old, True, cum))
            self._tell(
                OrderAmendRejected(order.instrument, self.tick(), 0, command.client_id, RejectKind.PLACE_LEG_FAILED)
            )
            return
        order.name, order.ticks, order.lots, order.filled = self._name(), command.ticks, command.lots, 0
        self._tell(OrderCanceled(order.instrument, self.tick(), 0, command.client_id, old, True, cum, replaced=True))
        self._tell(
            OrderAmended(order.instrument, self.tick(), 0, command.client_id, order.name, order.ticks, order.lots)
        )

    def _cancel(self, command: CancelOrder) -> None:
        order = self.orders.get(command.client_id)
        if command.fence and order is None and command.client_id not in self.ended:
            # Its nonce is that of a command which has not come: one of the two takes effect, and this one was first.
            self.spent.add(command.client_id)
            self._tell(FenceAnswered(command.instrument, self.tick(), 0, command.client_id, True))
        elif command.fence:
            self._tell(FenceAnswered(command.instrument, self.tick(), 0, command.client_id, False))
        elif order is None:
            kind = self._gone(command.client_id)
            self._tell(OrderCancelRejected(command.instrument, self.tick(), 0, command.client_id, kind))
        else:
            self._report_end(order)

    def _cancel_all(self, _command: CancelAll) -> None:
        """Of the whole account, whoever placed it."""
        for order in tuple(self.orders.values()):
            self._report_end(order)
        self.foreign.clear()

    def _gone(self, client_id: ClientOrderId) -> RejectKind:
        ended = self.ended.get(client_id)
        return RejectKind.FILLED if ended is not None and ended.full else RejectKind.GONE

    def _report_end(self, order: VenueOrder) -> None:
        assert order.client_id is not None
        self._end(order)
        cum = order.filled if self._names_cum else None
        self._tell(OrderCanceled(order.instrument, self.tick(), 0, order.client_id, order.name, True, cum))

    def _end(self, order: VenueOrder) -> None:
        assert order.client_id is not None
        del self.orders[order.client_id]
        self.ended[order.client_id] = Ended(order.instrument, order.name, order.filled, order.left <= 0)

    def _take(self, order: VenueOrder, quotes: Quotes) -> None:
        offers = quotes.asks if order.side is Side.BUY else quotes.bids
        for ticks in sorted(offers, key=lambda ticks: order.side * ticks):
            if order.side * (ticks - order.ticks) > 0 or order.left <= 0:
                break
            self._fill(order, ticks, min(order.left, offers[ticks]), maker=False)

    def _fill(self, order: VenueOrder, ticks: int, lots: int, *, maker: bool) -> None:
        order.filled += lots
        client_id = NOBODY if order.client_id is None else order.client_id
        if order.left <= 0:
            if order.client_id is None:
                del self.foreign[order.name]
            else:
                self._end(order)
        self._book(order.instrument, client_id, order.name, order.side, ticks, lots, maker=maker)

    def _book(
        self,
        instrument: InstrumentId,
        client_id: ClientOrderId,
        name: str,
        side: Side,
        ticks: int,
        lots: int,
        *,
        maker: bool,
    ) -> OrderFilled:
        contract, account = self.instruments[instrument], self.accounts[instrument]
        money = 2 * ticks * lots * self._units[instrument]
        fee = money * (contract.maker_fee_ppm if maker else contract.taker_fee_ppm) // _PPM
        account.lots += side * lots
        account.cash -= side * money + fee
        account.fees -= fee
        told = to_pair(fee) if self._tells_fees else None
        at_ns = self.tick()
        fill = OrderFilled(instrument, at_ns, 0, client_id, name, f"t{at_ns}", side, ticks, lots, maker, told)
        account.fills.append(fill)
        self._tell(fill)
        return fill

    def _resting(self, instrument: InstrumentId) -> Iterator[VenueOrder]:
        for orders in (self.orders, self.foreign):
            for order in orders.values():
                if order.instrument == instrument:
                    yield order

    @staticmethod
    def _crosses(side: Side, ticks: int, quotes: Quotes) -> bool:
        return ticks >= quotes.ask if side is Side.BUY else ticks <= quotes.bid

    def _tell(self, event: Event) -> None:
        self.told.append(event)
        self._say(event)

    def _name(self) -> str:
        self._count += 1
        return f"o{self._count}"

    def tick(self) -> int:
        """The venue's time, never twice the same."""
        self._last_ns = max(self._now_ns(), self._last_ns + 1)
        return self._last_ns


def is_void(command: PlaceOrder | AmendOrder, at_ns: int) -> bool:
    """Whether a command that arrives then is too late by its own words."""
    return command.expires_ns is not None and at_ns > command.expires_ns


def _since(booked: Sequence[Booked], since_ns: int) -> Sequence[Booked]:
    """The youngest come last, so that few have to be looked at."""
    first = len(booked)
    while first and booked[first - 1].ts_venue_ns >= since_ns:
        first -= 1
    return booked[first:]
