"""Builders for tests about orders: short names for commands, events, a trusted book, and gate facts."""

from decimal import Decimal

from mm_daemon.core.order_ledger import OrderLedger
from mm_daemon.domain.book import OrderBook
from mm_daemon.domain.capabilities import AmendQuantity, Capabilities
from mm_daemon.domain.decisions import AmendOrder, CancelAll, CancelOrder, DropCode, PlaceOrder, Reason
from mm_daemon.domain.events import (
    BookSnapshot,
    CommandOutcomeUnknown,
    CommandSent,
    OrderAccepted,
    OrderAmended,
    OrderAmendRejected,
    OrderCanceled,
    OrderCancelRejected,
    OrderExpired,
    OrderFilled,
    OrderRejected,
)
from mm_daemon.domain.instrument import Instrument, Venue, instrument_id
from mm_daemon.domain.orders import ClientOrderId, Operation, Purpose, RejectKind, Side
from mm_daemon.risk.facts import MarketFacts
from mm_daemon.risk.limits import MarketLimits

VENUE = Venue("venue")
XYZ = instrument_id(VENUE, "XYZ")
WHY = (Reason.NEW_QUOTE,)
MS = 1_000_000
SECOND = 1000 * MS

TOTAL = Capabilities(amend=True)
FRESH = Capabilities(amend=True, amend_quantity=AmendQuantity.FRESH, amend_new_venue_id=True)


def cid(number: int) -> ClientOrderId:
    return ClientOrderId(number)


def place(
    number: int,
    side: Side = Side.BUY,
    ticks: int = 99,
    lots: int = 10,
    level: int = 0,
    *,
    post_only: bool = True,
    reduce_only: bool = False,
    purpose: Purpose = Purpose.QUOTE,
) -> PlaceOrder:
    return PlaceOrder(
        XYZ, cid(number), side, level, ticks, lots, WHY, post_only=post_only, reduce_only=reduce_only, purpose=purpose
    )


def amend(number: int, ticks: int, lots: int) -> AmendOrder:
    return AmendOrder(XYZ, cid(number), ticks, lots, WHY)


def cancel(number: int) -> CancelOrder:
    return CancelOrder(XYZ, cid(number), WHY)


def cancel_all() -> CancelAll:
    return CancelAll(VENUE, WHY)


def sent(number: int, operation: Operation = Operation.PLACE, now_ns: int = 0) -> CommandSent:
    return CommandSent(XYZ, 0, now_ns, cid(number), operation)


def accepted(number: int, venue_order_id: str = "v1", now_ns: int = 0) -> OrderAccepted:
    return OrderAccepted(XYZ, 0, now_ns, cid(number), venue_order_id)


def rejected(number: int, kind: RejectKind = RejectKind.OTHER) -> OrderRejected:
    return OrderRejected(XYZ, 0, 0, cid(number), kind)


def filled(
    number: int, key: str, lots: int, venue_order_id: str = "v1", side: Side = Side.BUY, now_ns: int = 0
) -> OrderFilled:
    return OrderFilled(XYZ, 0, now_ns, cid(number), venue_order_id, key, side, 99, lots, True)


def amended(number: int, venue_order_id: str, ticks: int, lots: int) -> OrderAmended:
    return OrderAmended(XYZ, 0, 0, cid(number), venue_order_id, ticks, lots)


def amend_rejected(number: int, kind: RejectKind = RejectKind.OTHER) -> OrderAmendRejected:
    return OrderAmendRejected(XYZ, 0, 0, cid(number), kind)


def canceled(
    number: int, cum: int | None = 0, venue_order_id: str = "v1", *, final: bool = True, replaced: bool = False
) -> OrderCanceled:
    return OrderCanceled(XYZ, 0, 0, cid(number), venue_order_id, final, cum, replaced)


def cancel_rejected(number: int, kind: RejectKind) -> OrderCancelRejected:
    return OrderCancelRejected(XYZ, 0, 0, cid(number), kind)


def expired(number: int, cum: int | None = None) -> OrderExpired:
    return OrderExpired(XYZ, 0, 0, cid(number), cum)


def unknown(number: int, operation: Operation = Operation.PLACE) -> CommandOutcomeUnknown:
    return CommandOutcomeUnknown(XYZ, 0, 0, cid(number), operation)


def ledger_with(*commands: PlaceOrder, capabilities: Capabilities = TOTAL, live: bool = True) -> OrderLedger:
    """A ledger whose orders were released and, if `live`, accepted under v<client id>."""
    ledger = OrderLedger({VENUE: capabilities})
    for command in commands:
        ledger.queue(command, 0)
        ledger.released(command, 0)
        if live:
            ledger.apply(accepted(command.client_id, f"v{command.client_id}"))
    return ledger


def send_amend(ledger: OrderLedger, number: int, ticks: int, lots: int, now_ns: int = 0) -> AmendOrder:
    command = amend(number, ticks, lots)
    ledger.queue(command, now_ns)
    ledger.released(command, now_ns)
    return command


def send_cancel(ledger: OrderLedger, number: int, now_ns: int = 0) -> CancelOrder:
    command = cancel(number)
    ledger.queue(command, now_ns)
    ledger.released(command, now_ns)
    return command


def drop(ledger: OrderLedger, command: PlaceOrder | AmendOrder | CancelOrder | CancelAll, code: DropCode) -> None:
    ledger.dropped(command, code, 0)


def book(bid_ticks: int = 99, ask_ticks: int = 101) -> OrderBook:
    result = OrderBook()
    result.apply_snapshot(BookSnapshot(XYZ, 0, 0, ((bid_ticks, 50),), ((ask_ticks, 50),), 1))
    return result


def instrument(**changes: object) -> Instrument:
    fields: dict[str, object] = {
        "venue": VENUE,
        "symbol": "XYZ",
        "base": "X",
        "quote": "USD",
        "tick": Decimal("0.1"),
        "lot": Decimal("0.01"),
    }
    return Instrument(**(fields | changes))  # type: ignore[arg-type]


def limits(**changes: object) -> MarketLimits:
    fields: dict[str, object] = {
        "max_position_lots": 100,
        "min_position_lots": -100,
        "max_order_lots": 50,
        "max_orders_per_side": 3,
        "collar_bps": 5000.0,
    }
    return MarketLimits(**(fields | changes))  # type: ignore[arg-type]


def facts(position_lots: int = 0, definition: Instrument | None = None, **changes: object) -> MarketFacts:
    return MarketFacts(
        definition or instrument(), limits(**changes), book(), book_fresh=True, position_lots=position_lots
    )
