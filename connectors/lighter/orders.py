"""Our orders at Lighter: commands to transactions, reports and trades to events.

Code 200 is admission, not execution: what became of an order is told by the account's streams, and what became of a
transaction by its record. An order's report comes whole each time and more than once, so that only what is news is
told. Fills are told by trades alone: a canceled order shows nothing remaining, whatever was filled of it.
"""

from collections.abc import Iterable, Mapping
from typing import TypeVar

import msgspec

from connectors.lighter import transactions as tx
from connectors.lighter import wire
from connectors.lighter.translate import trade_ns
from mm_daemon.domain.decisions import OPERATIONS, AmendOrder, CancelOrder, OrderCommand, PlaceOrder
from mm_daemon.domain.events import (
    CommandOutcomeUnknown,
    CommandSent,
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
from mm_daemon.domain.instrument import Instrument, InstrumentId, to_units
from mm_daemon.domain.money import MoneyPair, from_text, to_pair
from mm_daemon.domain.orders import ClientOrderId, RejectKind, Side, TimeInForce

_NS_PER_MS, _NS_PER_US, _NS_PER_S = 1_000_000, 1000, 1_000_000_000
_KEPT = 8192
_FAILED = 0
LIVE_STATUSES = frozenset({"open", "in-progress", "pending"})
_REJECTIONS = {
    "canceled-post-only": RejectKind.POST_ONLY_CROSS,
    "canceled-reduce-only": RejectKind.REDUCE_ONLY,
    "canceled-position-not-allowed": RejectKind.REDUCE_ONLY,
    "canceled-margin-not-allowed": RejectKind.INSUFFICIENT_MARGIN,
    "canceled-invalid-balance": RejectKind.INSUFFICIENT_MARGIN,
}
"""Ends of orders that never stood."""
_KINDS = {
    **dict.fromkeys((21600, 21700, 21708, 21709, 21715), RejectKind.GONE),
    **dict.fromkeys((21111, 21112, 21507, 21508, 21739, 21301), RejectKind.INSUFFICIENT_MARGIN),
    **dict.fromkeys((21732, 21738, 21740), RejectKind.REDUCE_ONLY),
    **dict.fromkeys((21701, 21702, 21703, 21704, 21705, 21706, 21603, 21711, 21727, 21728), RejectKind.INVALID),
    **dict.fromkeys((21733, 21734), RejectKind.INVALID),
    **dict.fromkeys((21601, 21602, 21605), RejectKind.HALTED),
    **dict.fromkeys((23000, 23001, 23002, 23003, 23004, 429, 21506), RejectKind.RATE_LIMITED),
}


_K = TypeVar("_K")
_V = TypeVar("_V")


def kind_of(code: int) -> RejectKind:
    return _KINDS.get(code, RejectKind.OTHER)


class Doubt(msgspec.Struct, frozen=True):
    """A transaction of which nobody knows whether the venue has seen it."""

    instrument: InstrumentId
    signed: tx.Signed


class _Known:
    """What was told of one order."""

    __slots__ = ("accepted", "ended", "filled", "lots", "ticks", "time")

    def __init__(self) -> None:
        self.accepted = False
        self.ended = False
        self.filled = False
        """Ended because nothing is left of it."""
        self.ticks = self.lots = 0
        self.time = 0


class OwnOrders:
    """What is known of the orders that we have sent or heard of, and of transactions on their way."""

    def __init__(self, markets: Mapping[int, Instrument], account: int, order_expiry_s: int) -> None:
        self._markets = dict(markets)
        self._numbers: Mapping[InstrumentId, int] = {each.id: number for number, each in markets.items()}
        self._account = account
        self._expiry_ms = order_expiry_s * 1000
        self._known: dict[int, _Known] = {}
        self._commands: dict[str, OrderCommand] = {}
        """Of our last transactions, by hash."""
        self._placed: dict[ClientOrderId, tx.Signed] = {}
        """By what transactions."""
        self._changed: dict[ClientOrderId, tx.Signed] = {}
        """Last transaction that placed or amended an order."""
        self._doubts: dict[ClientOrderId, Doubt] = {}
        self._recalled: dict[ClientOrderId, int] = {}
        """Keys that signed for orders of earlier processes."""
        self.newest_trade = 0
        """The last trade of the account that was heard of."""
        self.foreign_fills = 0
        """Fills of the account that bear no client index."""

    # Commands

    def transaction(self, command: OrderCommand, now_ns: int) -> tx.Transaction:
        """Raises GridError for what the venue's wire cannot carry."""
        market = self._numbers[command.instrument]
        made: tx.Transaction
        if isinstance(command, CancelOrder):
            made = tx.CancelOrder(market=market, index=command.client_id)
        elif isinstance(command, AmendOrder):
            made = tx.ModifyOrder(market=market, index=command.client_id, base=command.lots, price=command.ticks)
        else:
            rests = command.time_in_force is TimeInForce.GTC
            made = tx.CreateOrder(
                market=market,
                client_index=command.client_id,
                base=command.lots,
                price=command.ticks,
                ask=command.side is Side.SELL,
                time_in_force=(tx.POST_ONLY if command.post_only else tx.GOOD_TILL_TIME) if rests else tx.IOC,
                reduce_only=command.reduce_only,
                expiry_ms=now_ns // _NS_PER_MS + self._expiry_ms if rests else 0,
            )
        tx.check(made, 0)
        return made

    def sent(self, command: OrderCommand, signed: tx.Signed, now_ns: int) -> CommandSent:
        """A transaction is about to leave; its record will bear this hash."""
        _keep(self._commands, signed.tx_hash, command)
        if isinstance(command, PlaceOrder):
            _keep(self._placed, command.client_id, signed)
            self._of(command.client_id)
        if not isinstance(command, CancelOrder):
            _keep(self._changed, command.client_id, signed)
        operation = OPERATIONS[type(command)]
        return CommandSent(command.instrument, 0, now_ns, command.client_id, operation, signed.wire_ref)

    def placed_by(self, client_id: ClientOrderId) -> tx.Signed | None:
        """The transaction that placed an order; None: it is not remembered."""
        return self._placed.get(client_id)

    def key_of(self, client_id: ClientOrderId) -> int | None:
        """The key that signed the last placement or amend of an order, here or in an earlier process; None: nobody
        knows."""
        changed = self._changed.get(client_id)
        return self._recalled.get(client_id) if changed is None else changed.key_index

    def recall(self, sent: Mapping[ClientOrderId, str]) -> None:
        """The `wire_ref`s of orders that earlier processes sent."""
        keys = {client_id: tx.key_of(wire_ref) for client_id, wire_ref in sent.items()}
        self._recalled |= {client_id: index for client_id, index in keys.items() if index is not None}

    def is_accepted(self, client_id: ClientOrderId) -> bool:
        """Whether the venue has ever shown an order."""
        known = self._known.get(client_id)
        return known is not None and (known.accepted or known.ended)

    # Outcomes of commands

    def refused(self, command: OrderCommand, code: int, text: str, now_ns: int) -> OrderEvent:
        """The venue has refused a command, and done nothing."""
        kind = kind_of(code)
        if isinstance(command, PlaceOrder):
            return OrderRejected(command.instrument, 0, now_ns, command.client_id, kind, text)
        known = self._known.get(command.client_id)
        if kind is RejectKind.GONE and known is not None and known.filled:
            kind = RejectKind.FILLED
        if isinstance(command, AmendOrder):
            return OrderAmendRejected(command.instrument, 0, now_ns, command.client_id, kind, text)
        return OrderCancelRejected(command.instrument, 0, now_ns, command.client_id, kind, text)

    def unknown(self, command: OrderCommand, text: str, now_ns: int) -> CommandOutcomeUnknown:
        """Nobody knows whether the venue has seen a command."""
        signed = self._changed.get(command.client_id)
        if signed is not None and self._commands.get(signed.tx_hash) == command:
            _keep(self._doubts, command.client_id, Doubt(command.instrument, signed))
        operation = OPERATIONS[type(command)]
        return CommandOutcomeUnknown(command.instrument, 0, now_ns, command.client_id, operation, text)

    def doubt(self, client_id: ClientOrderId) -> "Doubt | None":
        """The last placement or amend of an order whose outcome is unknown, until it is settled."""
        return self._doubts.get(client_id)

    def settle(self, client_id: ClientOrderId) -> None:
        self._doubts.pop(client_id, None)

    def recorded(self, row: wire.Transaction, now_ns: int) -> list[OrderEvent]:
        """A transaction's record: news only where it has failed, because then no order tells of it."""
        command = self._commands.get(row.hash)
        if command is None or row.status != _FAILED:
            return []
        code, text = _failure(row.event_info)
        known = self._known.get(command.client_id)
        if isinstance(command, PlaceOrder) and known is not None and (known.accepted or known.ended):
            return []
        return [self.refused(command, code, text, now_ns)]

    # Reports

    def reported(self, row: wire.Order, now_ns: int, *, again: bool = False) -> list[OrderEvent]:
        """What an order's report says that was not told before; with `again`, for an answer to a question, all of it.
        Raises GridError."""
        instrument = self._markets.get(row.market_index)
        if instrument is None or not row.client_order_index:
            return []
        client_id, venue_id = ClientOrderId(row.client_order_index), str(row.order_index)
        known = self._of(client_id)
        at_ns = _order_ns(row)
        if at_ns < known.time or (known.ended and not again):
            return []
        known.time = at_ns
        filled = to_units(row.filled_base_amount, instrument.lot, "filled size")
        if row.status in LIVE_STATUSES:
            return self._alive(row, instrument, known, now_ns, again=again)
        known.ended = True
        if row.status == "filled":
            known.filled = True
            if again:
                return [OrderCanceled(instrument.id, at_ns, now_ns, client_id, venue_id, filled_lots=filled)]
            told: list[OrderEvent] = []
            if not known.accepted:
                known.accepted = True
                told.append(OrderAccepted(instrument.id, at_ns, now_ns, client_id, venue_id))
            return told  # the fills tell the rest
        rejection = _REJECTIONS.get(row.status)
        if rejection is not None and not known.accepted and not filled:
            return [OrderRejected(instrument.id, at_ns, now_ns, client_id, rejection, row.status)]
        if row.status == "canceled-expired":
            return [OrderExpired(instrument.id, at_ns, now_ns, client_id, filled_lots=filled)]
        return [OrderCanceled(instrument.id, at_ns, now_ns, client_id, venue_id, filled_lots=filled)]

    @staticmethod
    def _alive(row: wire.Order, instrument: Instrument, known: _Known, now_ns: int, *, again: bool) -> list[OrderEvent]:
        ticks = to_units(row.price, instrument.tick, "price")
        lots = to_units(row.initial_base_amount, instrument.lot, "size")
        client_id, venue_id, at_ns = ClientOrderId(row.client_order_index), str(row.order_index), _order_ns(row)
        told: list[OrderEvent] = []
        if again:
            filled = to_units(row.filled_base_amount, instrument.lot, "filled size")
            told.append(OrderStatus(instrument.id, at_ns, now_ns, client_id, venue_id, ticks, lots, filled))
        elif not known.accepted:
            told.append(OrderAccepted(instrument.id, at_ns, now_ns, client_id, venue_id))
        elif (ticks, lots) != (known.ticks, known.lots):
            told.append(OrderAmended(instrument.id, at_ns, now_ns, client_id, venue_id, ticks, lots))
        known.accepted, known.ticks, known.lots = True, ticks, lots
        return told

    def vanished(self, command_hash: str, now_ns: int) -> list[OrderEvent]:
        """The transaction of a placement was carried out and no order is known of it: as the venue does with a
        reduce-only order that could not reduce. Of any other order nothing is concluded: the venue shows no more than
        its last ones."""
        command = self._commands.get(command_hash)
        if not isinstance(command, PlaceOrder) or not command.reduce_only or self._of(command.client_id).accepted:
            return []
        text = "carried out without an order"
        return [OrderRejected(command.instrument, 0, now_ns, command.client_id, RejectKind.REDUCE_ONLY, text)]

    # Trades and payments

    def filled(self, row: wire.Trade, now_ns: int) -> list[OrderFilled]:
        """Our fills in a trade: one, or two when we have traded with ourselves. Raises GridError."""
        self.newest_trade = max(self.newest_trade, row.trade_id)
        instrument = self._markets.get(row.market_id)
        if instrument is None:
            return []
        ticks = to_units(row.price, instrument.tick, "price")
        lots = to_units(row.size, instrument.lot, "size")
        told: list[OrderFilled] = []
        for side, account, client_index, index in (
            (Side.SELL, row.ask_account_id, row.ask_client_id, row.ask_id),
            (Side.BUY, row.bid_account_id, row.bid_client_id, row.bid_id),
        ):
            if account != self._account:
                continue
            if not client_index:
                self.foreign_fills += 1
                continue
            maker = (side is Side.SELL) is row.is_maker_ask
            told.append(
                OrderFilled(
                    instrument.id,
                    trade_ns(row),
                    now_ns,
                    ClientOrderId(client_index),
                    str(index),
                    f"{row.trade_id}-{side.word}",
                    side,
                    ticks,
                    lots,
                    maker,
                    _fee(instrument, ticks, lots, row.maker_fee if maker else row.taker_fee),
                )
            )
        return told

    def paid(self, row: wire.Payment, now_ns: int) -> FundingPaid | None:
        """Raises GridError. What is below an atto is rounded against us."""
        instrument = self._markets.get(row.market_id)
        if instrument is None:
            return None
        amount = to_pair(from_text(row.change)[0])
        return FundingPaid(instrument.id, row.timestamp * _NS_PER_S, now_ns, amount, str(row.funding_id))

    # The account

    def open_orders(self, rows: Iterable[wire.Order]) -> tuple[OpenOrder, ...]:
        """Raises GridError. Orders on markets that are not ours are left out; one without a client index is foreign."""
        found: list[OpenOrder] = []
        for row in rows:
            instrument = self._markets.get(row.market_index)
            if instrument is None or row.status not in LIVE_STATUSES:
                continue
            size = to_units(row.initial_base_amount, instrument.lot, "size")
            done = to_units(row.filled_base_amount, instrument.lot, "filled size")
            ticks, side = to_units(row.price, instrument.tick, "price"), Side.SELL if row.is_ask else Side.BUY
            client_id = ClientOrderId(row.client_order_index) if row.client_order_index else None
            found.append(OpenOrder(instrument.id, client_id, str(row.order_index), side, ticks, size - done))
        return tuple(found)

    def positions(self, rows: Iterable[wire.Position]) -> tuple[tuple[InstrumentId, int], ...]:
        """Signed lots; a market that is not named is flat. Raises GridError."""
        held = dict.fromkeys(self._markets, 0)
        for row in rows:
            if row.market_id in held:
                size = to_units(row.position, self._markets[row.market_id].lot, "position")
                held[row.market_id] = size if row.sign >= 0 else -size
        return tuple((self._markets[number].id, lots) for number, lots in held.items())

    def _of(self, client_index: int) -> _Known:
        known = self._known.get(client_index)
        if known is None:
            known = _Known()
            _keep(self._known, client_index, known)
        return known


def _keep(kept: dict[_K, _V], key: _K, value: _V) -> None:
    """Remember the last few thousand."""
    kept.pop(key, None)
    kept[key] = value
    if len(kept) > _KEPT:
        del kept[next(iter(kept))]


def _order_ns(row: wire.Order) -> int:
    return row.transaction_time * _NS_PER_US if row.transaction_time else row.updated_at * _NS_PER_MS


def _failure(event_info: str) -> tuple[int, str]:
    """Code and words of a failed transaction's record."""
    try:
        said = msgspec.json.decode(event_info, type=wire.EventInfo)
        problem = msgspec.json.decode(said.ae, type=wire.Problem)
    except (msgspec.DecodeError, RecursionError):
        return 0, "the transaction failed"
    return problem.code, problem.message


def _fee(instrument: Instrument, ticks: int, lots: int, ppm: int) -> MoneyPair:
    """Of a fill, in atto: millionths of its notional. A rest below an atto is rounded against us."""
    notional = instrument.price(ticks) * instrument.size(lots)
    atto, rest = from_text(f"{notional * ppm / 1_000_000:f}")
    return to_pair(atto + 1 if rest else atto)
