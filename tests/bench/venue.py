"""A venue that accepts everything at once, for measurements in which it must cost nothing and never fill."""

from collections.abc import Sequence

from mm_daemon.domain.decisions import AmendOrder, ApprovedCommand, CancelOrder, PlaceOrder
from mm_daemon.domain.events import Event, OrderAccepted, OrderAmended, OrderCanceled


def replies(released: Sequence[ApprovedCommand], at_ns: int) -> list[Event]:
    said: list[Event] = []
    for approved in released:
        command = approved.command
        if isinstance(command, PlaceOrder):
            said.append(OrderAccepted(command.instrument, at_ns, at_ns, command.client_id, "v"))
        elif isinstance(command, AmendOrder):
            said.append(
                OrderAmended(command.instrument, at_ns, at_ns, command.client_id, "v", command.ticks, command.lots)
            )
        elif isinstance(command, CancelOrder):
            said.append(OrderCanceled(command.instrument, at_ns, at_ns, command.client_id, "v", True, 0))
    return said
