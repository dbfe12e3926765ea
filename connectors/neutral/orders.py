"""Orders of the neutral venue: commands to request bodies, replies and reports to events. Pure functions.

An outcome comes as reply and as report on the stream, in either order. `Revisions` lets through what is news: a report
older than one already told would take the order back to where it was.
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

import msgspec

from connectors.neutral import wire
from mm_daemon.domain.decisions import OPERATIONS, AmendOrder, CancelOrder, Command, OrderCommand, PlaceOrder
from mm_daemon.domain.errors import GridError
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
    OrderFilled,
    OrderRejected,
    OrderStatus,
)
from mm_daemon.domain.instrument import Instrument, InstrumentId, Venue, to_units
from mm_daemon.domain.money import MoneyPair, from_text, to_pair
from mm_daemon.domain.orders import ClientOrderId, RejectKind, Side

Instruments = Mapping[InstrumentId, Instrument]
Symbols = Mapping[str, Instrument]

_REVISIONS_KEPT = 8192
_SIDES = {"buy": Side.BUY, "sell": Side.SELL}
_WORDS = {Side.BUY: "buy", Side.SELL: "sell"}
_KINDS = {
    "would_take": RejectKind.POST_ONLY_CROSS,
    "insufficient_margin": RejectKind.INSUFFICIENT_MARGIN,
    "would_not_reduce": RejectKind.REDUCE_ONLY,
    "invalid": RejectKind.INVALID,
    "bad_request": RejectKind.INVALID,
    "halted": RejectKind.HALTED,
    "not_open": RejectKind.GONE,
    "filled": RejectKind.FILLED,
    "rate_limited": RejectKind.RATE_LIMITED,
    "banned": RejectKind.RATE_LIMITED,
}
_PATHS: Mapping[type[Command], str] = {
    PlaceOrder: "/v1/place",
    AmendOrder: "/v1/amend",
    CancelOrder: "/v1/cancel",
}


class Revisions:
    """The newest `updated_ns` told of each order, for the last few thousand orders that something was told of."""

    __slots__ = ("_newest",)

    def __init__(self) -> None:
        self._newest: dict[int, int] = {}

    def are_news(self, order: wire.Order, *, again: bool) -> bool:
        """Whether a report is newer than what was told of its order, or (`again`) as new: a question wants its answer.
        Notes it as told.
        """
        newest = self._newest
        told_ns = newest.pop(order.client_id, 0)
        newest[order.client_id] = max(told_ns, order.updated_ns)
        if len(newest) > _REVISIONS_KEPT:
            del newest[next(iter(newest))]
        return order.updated_ns > told_ns or (again and order.updated_ns == told_ns)


# Commands


def request(batch: Sequence[OrderCommand], instruments: Instruments) -> tuple[str, bytes]:
    """Path and body that ask for a batch of one kind."""
    return _PATHS[type(batch[0])], msgspec.json.encode({"orders": [_item(each, instruments) for each in batch]})


def _item(command: OrderCommand, instruments: Instruments) -> dict[str, object]:
    instrument = instruments[command.instrument]
    item: dict[str, object] = {"client_id": command.client_id, "symbol": instrument.symbol}
    if isinstance(command, CancelOrder):
        return item
    item |= {"price": f"{instrument.price(command.ticks):f}", "size": f"{instrument.size(command.lots):f}"}
    if command.expires_ns is not None:
        item["expires_ns"] = command.expires_ns
    if isinstance(command, PlaceOrder):
        item |= {
            "side": _WORDS[command.side],
            "post_only": command.post_only,
            "reduce_only": command.reduce_only,
            "time_in_force": command.time_in_force.value,
        }
    return item


# Outcomes of commands


def outcomes(
    batch: Sequence[OrderCommand], reply: wire.Results, symbols: Symbols, revisions: Revisions, now_ns: int
) -> list[OrderEvent]:
    """What a reply says of each command. One that it does not name has an unknown outcome."""
    results = {result.client_id: result for result in reply.results}
    events: list[OrderEvent] = []
    for command in batch:
        result = results.get(command.client_id)
        if result is not None and result.error is not None:
            events.append(refusal(command, result.error, now_ns))
        elif result is not None and result.order is not None:
            events += reported(result.order, symbols, revisions, now_ns)
        else:
            events.append(unknown(command, "the reply does not name it", now_ns))
    return events


def refusal(command: OrderCommand, problem: wire.Problem, now_ns: int) -> OrderEvent:
    """The venue has refused a command, and done nothing."""
    kind = _KINDS.get(problem.code, RejectKind.OTHER)
    text = problem.text or problem.code
    if isinstance(command, PlaceOrder):
        return OrderRejected(command.instrument, 0, now_ns, command.client_id, kind, text)
    if isinstance(command, AmendOrder):
        return OrderAmendRejected(command.instrument, 0, now_ns, command.client_id, kind, text)
    return OrderCancelRejected(command.instrument, 0, now_ns, command.client_id, kind, text)


def unknown(command: OrderCommand, text: str, now_ns: int) -> CommandOutcomeUnknown:
    """Nobody knows whether the venue has seen a command."""
    operation = OPERATIONS[type(command)]
    return CommandOutcomeUnknown(command.instrument, 0, now_ns, command.client_id, operation, text)


# Reports


def answered(result: wire.Result, symbols: Symbols, revisions: Revisions, now_ns: int) -> list[OrderEvent]:
    """The answer to a question after one order: how it stands, or how it ended. Raises GridError."""
    order = result.order
    if order is not None and order.what in ("accepted", "amended") and order.symbol in symbols:
        return [_status(order, symbols[order.symbol], now_ns)] if revisions.are_news(order, again=True) else []
    if order is not None:
        return reported(order, symbols, revisions, now_ns, again=True)
    instrument = symbols.get(result.symbol)
    if instrument is None or result.error is None:
        return []
    text = result.error.text or result.error.code
    return [OrderRejected(instrument.id, 0, now_ns, ClientOrderId(result.client_id), RejectKind.OTHER, text)]


def _status(order: wire.Order, instrument: Instrument, now_ns: int) -> OrderStatus:
    return OrderStatus(
        instrument.id,
        order.updated_ns,
        now_ns,
        ClientOrderId(order.client_id),
        order.order_id,
        to_units(order.price, instrument.tick, "price"),
        to_units(order.size, instrument.lot, "size"),
        to_units(order.filled, instrument.lot, "filled size"),
    )


def reported(
    order: wire.Order, symbols: Symbols, revisions: Revisions, now_ns: int, *, again: bool = False
) -> list[OrderEvent]:
    """What an order's report says; nothing when it is no news, or about a symbol that is not ours. Raises GridError."""
    instrument = symbols.get(order.symbol)
    if instrument is None or not revisions.are_news(order, again=again):
        return []
    client_id, at_ns = ClientOrderId(order.client_id), order.updated_ns
    if order.what in ("canceled", "filled"):
        filled = to_units(order.filled, instrument.lot, "filled size")
        return [OrderCanceled(instrument.id, at_ns, now_ns, client_id, order.order_id, filled_lots=filled)]
    events: list[OrderEvent] = [OrderAccepted(instrument.id, at_ns, now_ns, client_id, order.order_id)]
    if order.what == "amended":
        ticks = to_units(order.price, instrument.tick, "price")
        lots = to_units(order.size, instrument.lot, "size")
        events.append(OrderAmended(instrument.id, at_ns, now_ns, client_id, order.order_id, ticks, lots))
    return events


def filled(row: wire.FillRow, instrument: Instrument, now_ns: int) -> OrderFilled:
    """Raises GridError."""
    return OrderFilled(
        instrument.id,
        row.time_ns,
        now_ns,
        ClientOrderId(row.client_id),
        row.order_id,
        row.fill_id,
        _SIDES[row.side],
        to_units(row.price, instrument.tick, "price"),
        to_units(row.size, instrument.lot, "size"),
        row.maker,
        fee(row.fee),
    )


def paid(row: wire.PaymentRow, instrument: Instrument, now_ns: int) -> FundingPaid:
    """Raises GridError. What is below an atto is rounded against us."""
    return FundingPaid(instrument.id, row.time_ns, now_ns, to_pair(from_text(row.amount)[0]), row.payment_id)


def fee(text: str) -> MoneyPair:
    """Raises GridError. What is below an atto is rounded against us."""
    atto, rest = from_text(text)
    return to_pair(atto + 1 if rest else atto)


# The account


def open_orders(orders: Iterable[wire.Order], symbols: Symbols) -> tuple[OpenOrder, ...]:
    """Raises GridError. Orders on symbols that are not ours are left out."""
    found: list[OpenOrder] = []
    for order in orders:
        instrument = symbols.get(order.symbol)
        if instrument is not None:
            size, done = (to_units(text, instrument.lot, "size") for text in (order.size, order.filled))
            ticks = to_units(order.price, instrument.tick, "price")
            client_id, side = ClientOrderId(order.client_id), _SIDES[order.side]
            found.append(OpenOrder(instrument.id, client_id, order.order_id, side, ticks, size - done))
    return tuple(found)


def positions(rows: Iterable[wire.Position], symbols: Symbols) -> tuple[tuple[InstrumentId, int], ...]:
    """Raises GridError. Positions on symbols that are not ours are left out."""
    ours = [(symbols[row.symbol], row.size) for row in rows if row.symbol in symbols]
    return tuple((instrument.id, to_units(size, instrument.lot, "position")) for instrument, size in ours)


def instrument(row: wire.Instrument, venue: Venue) -> Instrument:
    """The contract as the house writes it. Raises GridError for one that cannot be traded in whole steps."""
    try:
        tick, lot, notional = Decimal(row.tick), Decimal(row.lot), Decimal(row.min_notional)
    except ArithmeticError:
        raise GridError(f"{venue}:{row.symbol}: {row.tick!r}, {row.lot!r} are not steps") from None
    if tick <= 0 or lot <= 0:
        raise GridError(f"{venue}:{row.symbol}: tick {tick} and lot {lot} must be positive")
    return Instrument(
        venue=venue,
        symbol=row.symbol,
        base=row.base,
        quote=row.quote,
        tick=tick,
        lot=lot,
        min_lots=to_units(row.min_size, lot, "smallest size"),
        max_lots=None if row.max_size is None else to_units(row.max_size, lot, "largest size"),
        min_notional=notional,
        maker_fee_ppm=row.maker_fee_ppm,
        taker_fee_ppm=row.taker_fee_ppm,
        tradable=row.tradable,
    )


def limit(header: str) -> tuple[int, int, int] | None:
    """(used, capacity, milliseconds to the next window) of a limit's header; None when it says nothing we know."""
    share, _, left = header.partition(";")
    used, _, capacity = share.partition("/")
    try:
        return int(used), int(capacity), int(left)
    except ValueError:
        return None
