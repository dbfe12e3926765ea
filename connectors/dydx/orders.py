"""Our orders at dYdX: commands to messages, answers and the feed to events. No socket, no clock.

An id of ours has 48 bits and the venue's client id 32: the upper ones travel as `clientMetadata`, which the venue hands
back with orders and fills. Ids begin above 2^40, so metadata below 256 means an order that is not ours.

The venue tells an order's life twice: the node's book at once, blocks later. What the book says is not final: a
cancelled short-term order may fill until its last block has passed. `to_settle` names the orders whose end is certain
by height and still has to be learned; `settled` is told what the indexer then says of one.

A stateful order is there when a block holds it and is over when a block says so: `CANCELED` with what it has filled is
the last word. Where the node's book alone has dropped one, or the feed does not name what was filled, the indexer is
asked. Immediate orders are short-term ones in any case: the chain keeps none of those in its state.
"""

from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

from connectors.dydx import answers, stateful, tx, wire
from connectors.dydx.own import Market, Own
from mm_daemon.domain.decisions import OPERATIONS, AmendOrder, CancelOrder, OrderCommand, PlaceOrder
from mm_daemon.domain.events import (
    CommandOutcomeUnknown,
    FundingPaid,
    OpenOrder,
    OrderAccepted,
    OrderAmended,
    OrderAmendRejected,
    OrderCanceled,
    OrderCancelRejected,
    OrderEvent,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OrderStatus,
)
from mm_daemon.domain.instrument import InstrumentId, to_units
from mm_daemon.domain.money import MoneyPair, from_text, to_pair
from mm_daemon.domain.orders import (
    SHORT_ID_BITS,
    ClientOrderId,
    RejectKind,
    Side,
    TimeInForce,
    short_client_id,
)

FOREIGN = ClientOrderId(0)
"""Whose fills are those of orders that are not ours."""
OURS_FROM = 1 << 8
"""Metadata of our ids: the milliseconds that they began at have more than 40 bits."""

ROOM_BLOCKS = 3
"""Blocks that an order ends before the core says, so that it can be moved within one block and still end in time."""
_LIFE_BLOCKS = 16
"""Life of an order for which the core names no block."""
_IOC_BLOCKS = 4
"""The same of an immediate one, so that its blocks have passed before its command's time has."""
_KEPT = 4096
_KINDS = (tx.OrderFlags.SHORT_TERM, tx.OrderFlags.LONG_TERM)
"""Of orders of ours; the second in a run with stateful quotes, or from one."""
OVER = ("CANCELED", "FILLED")
"""States of a stateful order that a block has ended."""
_NS_PER_S = 10**9
_REASON = "ORDER_REMOVAL_REASON_"
_SIDES = {"BUY": Side.BUY, "SELL": Side.SELL}
_WIRE_SIDES = {Side.BUY: tx.OrderSide.BUY, Side.SELL: tx.OrderSide.SELL}


class OwnOrders:
    def __init__(self, markets: Iterable[Market], subaccount: tx.Subaccount, ttl_s: int | None = None) -> None:
        """`ttl_s`: quotes are stateful and live so long; None: they are short-term."""
        self._markets: Mapping[str, Market] = {market.instrument.symbol: market for market in markets}
        self._by_instrument: Mapping[InstrumentId, Market] = {
            market.instrument.id: market for market in self._markets.values()
        }
        self.subaccount = subaccount
        self._uuid: UUID = subaccount.uuid
        self._ttl_s = ttl_s
        self._orders: dict[str, Own] = {}
        """By the indexer's id, oldest first."""
        self._earlier: dict[str, ClientOrderId] = {}
        """Short-term orders of an earlier life that a snapshot showed, by the indexer's id."""
        self.height = 0
        """Last block that was told."""

    def market(self, instrument: InstrumentId) -> Market:
        return self._by_instrument[instrument]

    @property
    def flags(self) -> int:
        """Kind of our quotes."""
        return tx.OrderFlags.SHORT_TERM if self._ttl_s is None else tx.OrderFlags.LONG_TERM

    def uuid(self, client_id: ClientOrderId, market: Market, flags: int) -> str:
        return str(tx.order_uuid(self._uuid, short_client_id(client_id), market.grid.clob_pair_id, flags))

    def find(self, client_id: ClientOrderId, instrument: InstrumentId) -> Own | None:
        market = self._by_instrument[instrument]
        found = (self._orders.get(self.uuid(client_id, market, flags)) for flags in _KINDS)
        return next((order for order in found if order is not None), None)

    def uuids(self, client_id: ClientOrderId) -> list[tuple[Market, str]]:
        """What an order is called; one that is not known by any name that it may have."""
        names = [(market, self.uuid(client_id, market, flags)) for market in self._markets.values() for flags in _KINDS]
        return [name for name in names if name[1] in self._orders] or names

    def alive(self) -> list[Own]:
        """Orders that may be in the node's book, or in the chain's state."""
        return [order for order in self._orders.values() if not order.ended and (order.stateful or not order.dying)]

    # Commands

    def place(self, command: PlaceOrder, venue_ns: int = 0) -> tuple[Own, bytes]:
        """The order and its message."""
        market = self._by_instrument[command.instrument]
        ioc = command.time_in_force is TimeInForce.IOC
        flags = tx.OrderFlags.SHORT_TERM if ioc else self.flags
        uuid = self.uuid(command.client_id, market, flags)
        order = Own(command.client_id, uuid, market, command.side, command.ticks, command.lots, flags)
        order.tif = tx.OrderTif.IOC if ioc else tx.OrderTif.POST_ONLY if command.post_only else tx.OrderTif.GTT
        order.reduce_only = command.reduce_only
        self._keep(order)
        if self._ttl_s is not None and order.stateful:
            return order, self._stateful_message(order, venue_ns // _NS_PER_S + self._ttl_s)
        order.until = order.version_until = self._end(command.expires_height, _IOC_BLOCKS if ioc else _LIFE_BLOCKS)
        return order, self._message(order, order.ticks, order.lots, order.until)

    def amend(self, command: AmendOrder) -> tuple[Own, bytes] | OrderAmendRejected:
        """A place under the same id that ends later, or why there can be none."""
        order = self.find(command.client_id, command.instrument)
        if order is None or order.ended or order.dying or order.canceling:
            kind = RejectKind.FILLED if order is not None and self._is_filled(order) else RejectKind.GONE
            text = "the order has ended, or was cancelled: its id cannot be used again"
            return OrderAmendRejected(command.instrument, 0, 0, command.client_id, kind, text)
        if order.stateful:
            text = "an order in the chain's state cannot be moved: it is of a run with `orders: stateful`"
            return OrderAmendRejected(command.instrument, 0, 0, command.client_id, RejectKind.OTHER, text)
        latest = command.expires_height if command.expires_height is not None else self._end(None) + ROOM_BLOCKS
        until = max(self._end(command.expires_height), order.until + 1)
        if until > latest:
            text = f"moved too often: it ends with block {order.until} and may not end later than {latest}"
            return OrderAmendRejected(command.instrument, 0, 0, command.client_id, RejectKind.OTHER, text)
        order.amend = (command.ticks, command.lots, until)
        order.until = until
        return order, self._message(order, command.ticks, command.lots, until)

    def cancel(self, command: CancelOrder, window: int) -> Own | OrderCancelRejected:
        """The order, noted as being cancelled, or why it cannot be. One that is not known is of an earlier life."""
        order = self.find(command.client_id, command.instrument)
        if order is not None and (order.ended or (order.dying and not order.stateful)):
            kind = RejectKind.FILLED if self._is_filled(order) else RejectKind.GONE
            return OrderCancelRejected(command.instrument, 0, 0, command.client_id, kind, "the order has ended")
        if order is None:
            market = self._by_instrument[command.instrument]
            uuid = self.uuid(command.client_id, market, self.flags)
            order = Own(command.client_id, uuid, market, Side.BUY, 0, 0, self.flags)
            order.accepted = True
            order.until = order.version_until = self.height + window
            self._keep(order)
        order.canceling = True
        return order

    def cancel_message(self, order: Own, window: int, venue_ns: int) -> bytes:
        """Message of one cancel. It ends as late as may be, so never before its order."""
        if order.stateful:
            return stateful.cancel(order.id, venue_ns)
        return order.market.messages.cancel(order.short_id, self.height + window)

    def _end(self, expires_height: int | None, blocks: int = _LIFE_BLOCKS) -> int:
        """Block that an order of now ends with: a little before the core says, which leaves room for moves; after so
        many `blocks` where it does not."""
        if expires_height is None:
            return self.height + blocks
        room = min(ROOM_BLOCKS, max((expires_height - self.height) // 4, 0))
        return max(expires_height - room, self.height + 1)

    def _message(self, order: Own, ticks: int, lots: int, until: int) -> bytes:
        market = order.market
        return market.messages.place(
            order.short_id,
            _WIRE_SIDES[order.side],
            lots * market.grid.step_base_quantums,
            ticks * market.grid.subticks_per_tick,
            until,
            order.tif,
            order.reduce_only,
            order.client_id >> SHORT_ID_BITS,
        )

    def _stateful_message(self, order: Own, good_til_time: int) -> bytes:
        market = order.market
        return stateful.place(
            order.id,
            _WIRE_SIDES[order.side],
            order.lots * market.grid.step_base_quantums,
            order.ticks * market.grid.subticks_per_tick,
            good_til_time,
            order.tif,
            order.client_id >> SHORT_ID_BITS,
        )

    def _keep(self, order: Own) -> None:
        self._orders[order.uuid] = order
        if len(self._orders) > _KEPT:
            oldest = next((uuid for uuid, each in self._orders.items() if each.ended), None)
            if oldest is not None:
                del self._orders[oldest]

    @staticmethod
    def _is_filled(order: Own) -> bool:
        return 0 < order.lots <= order.filled

    # Answers of a node

    def answered(self, command: OrderCommand, order: Own, result: wire.TxResult, now_ns: int) -> list[OrderEvent]:
        """What CheckTx said of a command. Taken is not resting, but it is the node's word that its book has it; of a
        stateful order it says only that a block may hold it."""
        if not answers.taken(result):
            return self.refused(command, order, *answers.refusal(result), now_ns)
        if isinstance(command, PlaceOrder):
            return [] if order.stateful else self._accept(order, now_ns)
        if isinstance(command, AmendOrder):
            return self._amended(order, now_ns)
        return []  # a cancel is confirmed by the feed

    def refused(self, command: OrderCommand, order: Own, kind: RejectKind, text: str, now_ns: int) -> list[OrderEvent]:
        """Nothing was done. What the feed has already answered is not answered again."""
        if isinstance(command, PlaceOrder):
            order.ended = True
            return [OrderRejected(command.instrument, 0, now_ns, command.client_id, kind, text)]
        if isinstance(command, AmendOrder):
            if order.amend is None:
                return []  # the feed was quicker
            order.amend = None
            return [OrderAmendRejected(command.instrument, 0, now_ns, command.client_id, kind, text)]
        if not order.canceling:
            return []
        order.canceling = False
        return [OrderCancelRejected(command.instrument, 0, now_ns, command.client_id, kind, text)]

    @staticmethod
    def unknown(command: OrderCommand, text: str, now_ns: int) -> CommandOutcomeUnknown:
        operation = OPERATIONS[type(command)]
        return CommandOutcomeUnknown(command.instrument, 0, now_ns, command.client_id, operation, text)

    def _accept(self, order: Own, now_ns: int) -> list[OrderEvent]:
        return [] if order.ended or order.dying else self._accept_late(order, now_ns)

    def _amended(self, order: Own, now_ns: int) -> list[OrderEvent]:
        if order.amend is None or order.ended or order.dying:
            return []
        order.ticks, order.lots, order.version_until = order.amend
        order.amend = None
        instrument = order.market.instrument.id
        return [OrderAmended(instrument, 0, now_ns, order.client_id, order.uuid, order.ticks, order.lots)]

    # The feed

    def update(self, message: wire.AccountUpdate, venue_ns: int, now_ns: int) -> list[OrderEvent]:
        """Fills, then what became of the orders. Raises GridError."""
        events: list[OrderEvent] = []
        for order_row in message.orders:
            self.note(order_row)
        for row in message.fills:
            filled = self.filled(row, now_ns)
            if filled is not None:
                events.append(filled)
        for order_row in message.orders:
            events += self._row(order_row, venue_ns, now_ns)
        return events

    def note(self, row: wire.OrderRow) -> None:
        """Remember whose an order of an earlier life is: fills name its uuid only. A stateful one that is open goes on
        as one of this life."""
        market, client_id = self._markets.get(row.ticker), _shown_id(row)
        if row.id in self._orders or market is None or client_id is None:
            return
        if row.orderFlags == tx.OrderFlags.LONG_TERM and row.status in wire.OPEN_STATES:
            order = Own(client_id, row.id, market, _SIDES[row.side], 0, 0, row.orderFlags)
            order.accepted = True
            self._keep(order)
            return
        self._earlier[row.id] = client_id
        if len(self._earlier) > _KEPT:
            del self._earlier[next(iter(self._earlier))]

    def knows(self, row: wire.FillRow) -> bool:
        """Whether a fill's order can be told, or it is certainly not ours."""
        if (
            row.orderId is None
            or (row.clientMetadata or 0) < OURS_FROM
            or (row.ticker or row.market) not in self._markets
        ):
            return True
        return row.orderId in self._orders or row.orderId in self._earlier

    def filled(self, row: wire.FillRow, now_ns: int) -> OrderFilled | None:
        """One fill; None for a market that is not ours. Raises GridError. A fee below an atto is rounded against us."""
        market = self._markets.get(row.ticker or row.market)
        if market is None:
            return None
        instrument, lots = market.instrument, to_units(row.size, market.instrument.lot, "size")
        order = None if row.orderId is None else self._orders.get(row.orderId)
        client_id = FOREIGN
        if order is not None:
            client_id = order.client_id
            if row.id not in order.fill_keys:
                order.fill_keys.add(row.id)
                order.filled += lots
        elif row.orderId is not None:
            client_id = self._earlier.get(row.orderId, FOREIGN)
        return OrderFilled(
            instrument.id,
            wire.nanos(row.createdAt),
            now_ns,
            client_id,
            row.orderId or "",
            row.id,
            _SIDES[row.side],
            to_units(row.price, instrument.tick, "price"),
            lots,
            row.liquidity == "MAKER",
            None if row.fee is None else _fee(row.fee),
        )

    def _row(self, row: wire.OrderRow, venue_ns: int, now_ns: int) -> list[OrderEvent]:
        order = self._orders.get(row.id)
        if order is None or order.ended:
            return []
        if order.stateful:
            return self._stateful_row(order, row, venue_ns, now_ns)
        instrument, until = order.market.instrument.id, row.goodTilBlock or 0
        if row.status in wire.OPEN_STATES:
            if order.amend is not None and until == order.amend[2]:
                return [*self._accept(order, now_ns), *self._amended(order, now_ns)]
            return self._accept(order, now_ns)
        if row.status == "FILLED":
            return self._ended_by_fill(order, now_ns)
        reason = row.removalReason.removeprefix(_REASON)
        replaced = reason == "REPLACED" or (until and until < order.version_until and reason != "USER_CANCELED")
        if replaced or order.dying:
            return []  # a version that another has taken the place of
        if order.amend is not None and until and until < order.amend[2] and reason != "USER_CANCELED":
            return []  # what becomes of the new version is told of it
        if reason == "USER_CANCELED" and not order.canceling and until and until < order.until:
            return []
        order.dying = True
        order.canceling = False
        events = self._accept_late(order, now_ns)
        return [*events, OrderCanceled(instrument, venue_ns, now_ns, order.client_id, order.uuid, False, None)]

    def _stateful_row(self, order: Own, row: wire.OrderRow, venue_ns: int, now_ns: int) -> list[OrderEvent]:
        if row.status in wire.OPEN_STATES:
            order.dying = False
            return self._accept(order, now_ns)
        if row.status == "FILLED":
            return self._ended_by_fill(order, now_ns)
        order.dying = True
        if row.status != "CANCELED" or row.totalFilled is None:
            return []  # dropped by the node's book, or without what it has filled: the indexer is asked
        return self._stateful_end(order, row, venue_ns, now_ns)

    def _stateful_end(self, order: Own, row: wire.OrderRow, venue_ns: int, now_ns: int) -> list[OrderEvent]:
        """A block has ended it. Raises GridError."""
        cum = max(filled_lots(row, order.market), order.filled)
        events = self._accept_late(order, now_ns)
        order.ended, order.canceling = True, False
        instrument, end = order.market.instrument.id, row.goodTilBlockTime
        if end is not None and wire.nanos(end) <= venue_ns:
            return [*events, OrderExpired(instrument, venue_ns, now_ns, order.client_id, cum)]
        return [*events, OrderCanceled(instrument, venue_ns, now_ns, order.client_id, order.uuid, True, cum)]

    def _accept_late(self, order: Own, now_ns: int) -> list[OrderEvent]:
        """An order that was taken and dropped at once was there."""
        if order.accepted:
            return []
        order.accepted = True
        return [OrderAccepted(order.market.instrument.id, 0, now_ns, order.client_id, order.uuid)]

    def _ended_by_fill(self, order: Own, now_ns: int) -> list[OrderEvent]:
        """The fills have told the ledger; what was asked besides came too late."""
        order.ended = True
        instrument = order.market.instrument.id
        events: list[OrderEvent] = []
        if order.canceling:
            events.append(
                OrderCancelRejected(instrument, 0, now_ns, order.client_id, RejectKind.FILLED, "filled before")
            )
        if order.amend is not None:
            events.append(
                OrderAmendRejected(instrument, 0, now_ns, order.client_id, RejectKind.FILLED, "filled before")
            )
        order.canceling, order.amend = False, None
        return events

    # The end of orders

    def to_settle(self, blocks: int) -> list[Own]:
        """Orders whose end has not been learned: short-term ones whose last block has passed by more than `blocks`,
        stateful ones that the node's book has dropped."""
        return [
            order
            for order in self._orders.values()
            if not order.ended and (order.dying if order.stateful else order.until + blocks < self.height)
        ]

    def settled(self, order: Own, row: wire.OrderRow | None, venue_ns: int, now_ns: int) -> list[OrderEvent]:
        """What the indexer says of an order at a block behind its last: never filled when it knows none. Of a stateful
        order at any block. Raises GridError."""
        if order.ended:
            return []
        if order.stateful:
            if row is None or row.status not in OVER:
                return []
            return self._stateful_end(order, row, venue_ns, now_ns)
        instrument = order.market.instrument
        told = 0 if row is None else filled_lots(row, order.market)
        cum = max(told, order.filled)
        order.ended = True
        asked = self._late_refusals(order, now_ns)
        if order.dying:
            end: OrderEvent = OrderCanceled(instrument.id, venue_ns, now_ns, order.client_id, order.uuid, True, cum)
        else:
            end = OrderExpired(instrument.id, venue_ns, now_ns, order.client_id, cum)
        return [end, *asked]

    def _late_refusals(self, order: Own, now_ns: int) -> list[OrderEvent]:
        instrument, amend, order.amend = order.market.instrument.id, order.amend, None
        if amend is None:
            return []
        return [OrderAmendRejected(instrument, 0, now_ns, order.client_id, RejectKind.GONE, "it has expired")]

    def dropped(self, order: Own, now_ns: int) -> list[OrderEvent]:
        """The indexer shows it no more after it was cancelled: what its feed would have told, if it has not."""
        if order.ended or order.dying:
            return []
        order.dying, order.canceling = True, False
        instrument = order.market.instrument.id
        return [OrderCanceled(instrument, 0, now_ns, order.client_id, order.uuid, False, None)]

    def status(self, row: wire.OrderRow, market: Market, client_id: ClientOrderId, now_ns: int) -> OrderStatus:
        """An open order, as the answer to a question. Raises GridError."""
        instrument = market.instrument
        order = self._orders.get(row.id)
        told = filled_lots(row, market)
        filled = max(told, 0 if order is None else order.filled)
        ticks, lots = to_units(row.price, instrument.tick, "price"), to_units(row.size, instrument.lot, "size")
        if order is not None:
            order.accepted = True
            if order.amend is not None and row.goodTilBlock == order.amend[2]:
                order.amend = None
                order.ticks, order.lots, order.version_until = ticks, lots, row.goodTilBlock
        return OrderStatus(instrument.id, 0, now_ns, client_id, row.id, ticks, lots, filled)

    def cancel_id(self, row: wire.OrderRow) -> tx.OrderId | None:
        """The identity of an open order that cancelling all is about: each short-term one on our markets, and the
        stateful ones that are ours."""
        market = self._markets.get(row.ticker)
        if market is None or (row.orderFlags != tx.OrderFlags.SHORT_TERM and _shown_id(row) is None):
            return None
        return market.order_id(row.clientId, row.orderFlags)

    # The account

    def open_orders(self, rows: Sequence[wire.OrderRow]) -> tuple[OpenOrder, ...]:
        """Open orders on our markets; those of nobody we know have no client id. Raises GridError."""
        found: list[OpenOrder] = []
        for row in rows:
            market = self._markets.get(row.ticker)
            if market is None:
                continue
            instrument, order = market.instrument, self._orders.get(row.id)
            told = filled_lots(row, market)
            filled = max(told, 0 if order is None else order.filled)
            self.note(row)
            client_id = _shown_id(row) if order is None else order.client_id
            ticks, lots = to_units(row.price, instrument.tick, "price"), to_units(row.size, instrument.lot, "size")
            if lots > filled:
                found.append(OpenOrder(instrument.id, client_id, row.id, _SIDES[row.side], ticks, lots - filled))
        return tuple(found)

    def positions(self, rows: Mapping[str, wire.PositionRow]) -> tuple[tuple[InstrumentId, int], ...]:
        """Positions on our markets, signed lots: the size's own sign may be missing, the side's never is. Raises
        GridError."""
        found: list[tuple[InstrumentId, int]] = []
        for ticker, row in rows.items():
            market = self._markets.get(ticker)
            if market is not None:
                lots = abs(to_units(row.size, market.instrument.lot, "position"))
                found.append((market.instrument.id, lots if row.side == "LONG" else -lots))
        return tuple(found)

    def paid(self, row: wire.PaymentRow, now_ns: int) -> FundingPaid | None:
        """One funding payment; None for a market that is not ours. Raises GridError."""
        market = self._markets.get(row.ticker)
        if market is None:
            return None
        at_ns, key = wire.nanos(row.createdAt), f"{row.ticker}-{row.createdAtHeight}"
        return FundingPaid(market.instrument.id, at_ns, now_ns, to_pair(from_text(row.payment)[0]), key)


def filled_lots(row: wire.OrderRow, market: Market) -> int:
    """Raises GridError."""
    return 0 if row.totalFilled is None else to_units(row.totalFilled, market.instrument.lot, "size")


def _shown_id(row: wire.OrderRow) -> ClientOrderId | None:
    """Our id of an order as the venue shows it; None: it is not ours."""
    metadata = row.clientMetadata or 0
    if metadata < OURS_FROM or row.orderFlags not in _KINDS:
        return None
    return ClientOrderId(metadata << SHORT_ID_BITS | row.clientId)


def _fee(text: str) -> MoneyPair:
    atto, rest = from_text(text)
    return to_pair(atto + 1 if rest else atto)
