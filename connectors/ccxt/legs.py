"""Two-way position mode: a position is a long and a short leg, and every order says which of them it is about.

The daemon knows a net position, long less short. The rule: an order closes lots of the opposite leg where that leg
covers all of it, beside what other orders may still take from it; else it opens on its own side. So legs close each
other as a maker trades, no order is refused for want of a leg, and what is held both long and short (boxed, which nets
to nothing) stays below twice what the orders of one side add up to. Orders keep their leg for life.

`Legs` learns of orders and fills as the daemon does, and is set right by every reading of the account.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from enum import IntEnum
from typing import Any

import msgspec

from mm_daemon.domain.decisions import AmendOrder, PlaceOrder
from mm_daemon.domain.events import (
    Event,
    OrderAmended,
    OrderAmendRejected,
    OrderCanceled,
    OrderFilled,
    OrderRejected,
    OrderStatus,
)
from mm_daemon.domain.instrument import InstrumentId
from mm_daemon.domain.orders import ClientOrderId, RejectKind, Side

_FILLS_KEPT = 8192
_LEG_KEYS = ("positionSide", "ps", "posSide", "holdSide")


class Leg(IntEnum):
    LONG = 1
    SHORT = -1


_WORDS = {"long": Leg.LONG, "short": Leg.SHORT}
_NUMBERS = {"1": Leg.LONG, "2": Leg.SHORT}
Held = Mapping[tuple[InstrumentId, Leg], int]
"""Lots of each leg, never negative."""


def leg_of(info: object) -> Leg | None:
    """The leg that a venue's row of an order or a fill is about; None: it does not say."""
    if not isinstance(info, dict):
        return None
    for key in _LEG_KEYS:
        leg = _WORDS.get(str(info.get(key)).lower())
        if leg is not None:
            return leg
    return _NUMBERS.get(str(info.get("positionIdx")))


class Shown(msgspec.Struct, frozen=True):
    """An open order, as a reading of the account shows it. `leg` None: it was not said."""

    instrument: InstrumentId
    client_id: ClientOrderId | None
    side: Side
    leg: Leg | None
    remaining_lots: int


class _Order:
    """One order of ours. `most_lots`: the larger of its size and that of an amend under way; once the order has ended,
    what the venue says was filled of it."""

    __slots__ = ("filled_lots", "instrument", "leg", "lots", "most_lots", "sent_ns", "side")

    def __init__(self, instrument: InstrumentId, side: Side, leg: Leg, lots: int, sent_ns: int) -> None:
        self.instrument = instrument
        self.side = side
        self.leg = leg
        self.lots = self.most_lots = lots
        self.filled_lots = 0
        self.sent_ns = sent_ns

    @property
    def closes(self) -> bool:
        return self.side + self.leg == 0

    @property
    def owed_lots(self) -> int:
        """Lots of it that may still be filled, or are and were not told yet."""
        return max(self.most_lots - self.filled_lots, 0)


class Legs:
    """Of one venue's account. What nobody has read yet is empty."""

    def __init__(self, now_ns: Callable[[], int], d_max_ns: int) -> None:
        """`d_max_ns`: an order that was sent longer ago than this, and that no reading shows, is no more."""
        self._now_ns = now_ns
        self._d_max_ns = d_max_ns
        self._held: dict[tuple[InstrumentId, Leg], int] = {}
        self._orders: dict[ClientOrderId, _Order] = {}
        self._others: dict[tuple[InstrumentId, Leg], int] = {}
        """What orders that are not ours may close, as last read."""
        self._doubted: set[InstrumentId] = set()
        """Contracts whose legs are not what is believed: nothing closes there before the next reading."""
        self._fills: dict[tuple[InstrumentId, str], tuple[int, Leg | None, int]] = {}
        """The last fills by their key: number, leg and what they did to it."""
        self._count = 0
        self.unread = True
        """The account has not been read yet."""

    def held(self, instrument: InstrumentId, leg: Leg) -> int:
        return self._held.get((instrument, leg), 0)

    # Orders

    def take(self, place: PlaceOrder) -> bool:
        """Give a new order its leg; False, and nothing done, for a reduce-only order that no leg covers."""
        leg, side = Leg(-place.side), place.side
        if self._room(place.instrument, leg) < place.lots:
            if place.reduce_only:
                return False
            leg = Leg(side)
        self._orders[place.client_id] = _Order(place.instrument, side, leg, place.lots, self._now_ns())
        return True

    def closes(self, client_id: ClientOrderId) -> bool:
        order = self._orders.get(client_id)
        return order is not None and order.closes

    def stretch(self, amend: AmendOrder) -> bool:
        """An order is about to get another size; False, and nothing done, where it closes and its leg does not cover
        that."""
        order = self._orders.get(amend.client_id)
        if order is None:
            return True
        more = amend.lots - order.most_lots
        if order.closes and more > max(self._room(order.instrument, order.leg), 0):
            return False
        order.most_lots = max(order.most_lots, amend.lots)
        return True

    def _room(self, instrument: InstrumentId, leg: Leg) -> int:
        """Lots of a leg that no order may take yet."""
        if instrument in self._doubted:
            return 0
        owed = sum(
            order.owed_lots
            for order in self._orders.values()
            if order.closes and order.leg is leg and order.instrument == instrument
        )
        return self.held(instrument, leg) - owed - self._others.get((instrument, leg), 0)

    # What is told

    def apply(self, event: Event) -> None:
        """Something that the daemon is told of an order. Fills go to `fill`."""
        if isinstance(event, OrderRejected):
            if self._orders.pop(event.client_id, None) is not None:  # else it has never left
                self._refused(event.instrument, event.kind)
        elif isinstance(event, OrderAmendRejected):
            order = self._orders.get(event.client_id)
            if order is not None:
                order.most_lots = order.lots
            self._refused(event.instrument, event.kind)
        elif isinstance(event, OrderAmended | OrderStatus):
            order = self._orders.get(event.client_id)
            if order is not None:
                order.lots = event.lots
                if isinstance(event, OrderAmended):
                    order.most_lots = event.lots
        elif isinstance(event, OrderCanceled):
            order = self._orders.get(event.client_id)
            if order is not None:
                order.most_lots = order.filled_lots if event.filled_lots is None else event.filled_lots
                self._forget_done(event.client_id, order)

    def fill(self, fill: OrderFilled, leg: Leg | None) -> None:
        """A fill, once by its key. `leg`: as its row says, for an order that is not known here."""
        key = (fill.instrument, fill.fill_key)
        if key in self._fills:
            return
        leg = self._note(fill, leg)
        if leg is None:
            self._doubted.add(fill.instrument)
        else:
            self._move(fill.instrument, leg, leg * fill.side * fill.lots)

    def _note(self, fill: OrderFilled, leg: Leg | None) -> Leg | None:
        """Remember a fill, and that its order has it."""
        order = self._orders.get(fill.client_id)
        if order is not None:
            leg = order.leg
            order.filled_lots += fill.lots
            self._forget_done(fill.client_id, order)
        self._count += 1
        change = 0 if leg is None else leg * fill.side * fill.lots
        self._fills[fill.instrument, fill.fill_key] = self._count, leg, change
        if len(self._fills) > _FILLS_KEPT:
            del self._fills[next(iter(self._fills))]
        return leg

    def _move(self, instrument: InstrumentId, leg: Leg, change: int) -> None:
        self._held[instrument, leg] = max(self.held(instrument, leg) + change, 0)

    def _forget_done(self, client_id: ClientOrderId, order: _Order) -> None:
        if not order.owed_lots:
            del self._orders[client_id]

    def _refused(self, instrument: InstrumentId, kind: RejectKind) -> None:
        if kind is RejectKind.REDUCE_ONLY:
            self._doubted.add(instrument)

    # Readings

    def mark(self) -> int:
        """Where a reading begins: fills from here on are not certain to be in it."""
        return self._count

    def read(
        self,
        held: Held,
        shown: Sequence[Shown],
        fills: Iterable[tuple[OrderFilled, Leg | None]],
        *,
        since: int,
        requested_ns: int,
    ) -> None:
        """What the account says, as of one instant after `mark()` was `since`: legs, open orders, and the latest fills,
        all of which are in the legs."""
        inside: set[tuple[InstrumentId, str]] = set()
        for fill, leg in fills:
            key = (fill.instrument, fill.fill_key)
            inside.add(key)
            if key not in self._fills:
                self._note(fill, leg)
        self._held, self.unread = dict(held), False
        self._doubted.clear()
        for (instrument, name), (number, leg, change) in self._fills.items():
            if number > since and (instrument, name) not in inside:
                if leg is None:
                    self._doubted.add(instrument)
                else:
                    self._move(instrument, leg, change)
        self._read_orders(shown, requested_ns)

    def _read_orders(self, shown: Sequence[Shown], requested_ns: int) -> None:
        self._others.clear()
        open_ids: set[ClientOrderId] = set()
        for each in shown:
            if each.client_id is not None and each.client_id in self._orders:
                open_ids.add(each.client_id)
                continue
            closing = Leg(-each.side)
            if each.leg is None or each.leg is closing:
                key = (each.instrument, closing)
                self._others[key] = self._others.get(key, 0) + each.remaining_lots
        self._drop_old(open_ids, requested_ns)

    def _drop_old(self, open_ids: Collection[ClientOrderId], requested_ns: int) -> None:
        gone = [
            client_id
            for client_id, order in self._orders.items()
            if client_id not in open_ids and order.sent_ns < requested_ns - self._d_max_ns
        ]
        for client_id in gone:
            del self._orders[client_id]


def boxed(held: Held) -> tuple[tuple[InstrumentId, int], ...]:
    """Lots that are held both long and short, of each contract that has any."""
    found = {
        instrument: min(lots, held.get((instrument, Leg.SHORT), 0))
        for (instrument, leg), lots in held.items()
        if leg is Leg.LONG
    }
    return tuple((instrument, lots) for instrument, lots in found.items() if lots)


def hedged_params(*, closes: bool) -> dict[str, Any]:
    """What ccxt turns into each venue's own words for a leg: positionSide, posSide, positionIdx, tradeSide."""
    return {"hedged": True, "reduceOnly": True} if closes else {"hedged": True}
