"""What a venue's words are about: which rows of the order table an event takes, given the versions an order has.

Pure functions of an order and one event; `core/order_ledger.py` asks, `core/order_table.py` says what a row does.
"""

from collections.abc import Callable
from typing import Any

from mm_daemon.core.ledger_order import LedgerOrder
from mm_daemon.core.order_table import Report, Row
from mm_daemon.domain.checkpoint import OrderState
from mm_daemon.domain.events import (
    CommandOutcomeUnknown,
    OpenOrder,
    OrderAccepted,
    OrderAmended,
    OrderAmendRejected,
    OrderCanceled,
    OrderCancelRejected,
    OrderEvent,
    OrderExpired,
    OrderRejected,
    OrderStatus,
)
from mm_daemon.domain.orders import ClientOrderId, InFlight, Operation, Phase, Purpose, RejectKind

UNKNOWN_ROWS = {
    Operation.PLACE: Row.PLACE_UNKNOWN,
    Operation.AMEND: Row.AMEND_UNKNOWN,
    Operation.CANCEL: Row.CANCEL_UNKNOWN,
}
_AMEND_REJECT_ROWS = {
    RejectKind.GONE: Row.AMEND_GONE,
    RejectKind.FILLED: Row.AMEND_GONE,
    RejectKind.PLACE_LEG_FAILED: Row.AMEND_PLACE_LEG_FAILED,
}
_GONE = (RejectKind.GONE, RejectKind.FILLED)


def reports_of(order: LedgerOrder, event: OrderEvent) -> tuple[Report, ...]:
    """What happened, in order; the last of it is what the event itself is about. Not for fills and sent commands."""
    return _REPORTS[type(event)](order, event)


def _accepted(order: LedgerOrder, event: OrderAccepted) -> tuple[Report, ...]:
    return (Report(Row.ACCEPTED, event.venue_order_id),)


def _rejected(order: LedgerOrder, event: OrderRejected) -> tuple[Report, ...]:
    return (Report(Row.REJECTED, kind=event.kind),)


def _amended(order: LedgerOrder, event: OrderAmended) -> tuple[Report, ...]:
    return (Report(Row.AMENDED, event.venue_order_id, event.ticks, event.lots),)


def _amend_rejected(order: LedgerOrder, event: OrderAmendRejected) -> tuple[Report, ...]:
    return (Report(_AMEND_REJECT_ROWS.get(event.kind, Row.AMEND_REFUSED), kind=event.kind),)


def _cancel_rejected(order: LedgerOrder, event: OrderCancelRejected) -> tuple[Report, ...]:
    return (Report(Row.CANCEL_GONE if event.kind in _GONE else Row.CANCEL_REFUSED, kind=event.kind),)


def _expired(order: LedgerOrder, event: OrderExpired) -> tuple[Report, ...]:
    row = Row.CANCELED_VERSION if order.fresh and order.pend_lots else Row.CANCELED
    return (Report(row, cum_lots=event.filled_lots, word=Phase.EXPIRED),)


def _unknown(order: LedgerOrder, event: CommandOutcomeUnknown) -> tuple[Report, ...]:
    return (Report(UNKNOWN_ROWS[event.operation]),)


def _status(order: LedgerOrder, event: OrderStatus) -> tuple[Report, ...]:
    return (Report(Row.STATUS, event.venue_order_id, event.ticks, event.lots, cum_lots=event.filled_lots),)


def _canceled(order: LedgerOrder, event: OrderCanceled) -> tuple[Report, ...]:
    """Which version a cancel report is about decides its row."""
    name = event.venue_order_id
    row = Row.CANCELED
    early: tuple[Report, ...] = ()
    if event.replaced and not order.new_ids and (order.pend_lots or order.amended):
        row = Row.NO_DEATH
    elif order.tail(name) is not None:
        row = Row.CANCELED_VERSION
    elif name in order.settled_ids:
        row = Row.NO_DEATH
    elif order.fresh and order.venue_order_id is not None and order.names_pend(name):
        # The amend's own version came and went before its acknowledgement.
        early = (Report(Row.AMENDED, name, order.pend_ticks, order.pend_lots),)
    elif order.fresh and order.pend_lots:
        row = Row.CANCELED_VERSION
    elif not order.is_current(name):
        row = Row.NO_DEATH
    return (*early, Report(row, name, cum_lots=event.filled_lots, final=event.final))


_REPORTS: dict[type, Callable[[LedgerOrder, Any], tuple[Report, ...]]] = {
    OrderAccepted: _accepted,
    OrderRejected: _rejected,
    OrderAmended: _amended,
    OrderAmendRejected: _amend_rejected,
    OrderCanceled: _canceled,
    OrderCancelRejected: _cancel_rejected,
    OrderExpired: _expired,
    OrderStatus: _status,
    CommandOutcomeUnknown: _unknown,
}


def orphan(shown: OpenOrder, client_id: ClientOrderId) -> OrderState:
    """An open order of ours that we have no record of (EXECUTION 1, orphan): it is live, and belongs to no slot."""
    return OrderState(
        client_id=client_id,
        instrument=shown.instrument,
        side=shown.side,
        level=None,
        purpose=Purpose.QUOTE,
        post_only=True,
        reduce_only=False,
        ticks=shown.ticks,
        lots=shown.remaining_lots,
        filled_lots=0,
        cum_lots=None,
        current_alive=True,
        phase=Phase.LIVE,
        final_word=Phase.CANCELED,
        amend=InFlight.NONE,
        cancel=InFlight.NONE,
        pend_ticks=0,
        pend_lots=0,
        venue_order_id=shown.venue_order_id,
        tails=(),
        settled_ids=(),
        accepted=True,
        amended=False,
        final_ns=None,
    )
