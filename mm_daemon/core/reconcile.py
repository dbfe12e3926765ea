"""Comparing a venue's snapshot with what we believe: which differences there are, and nothing about what to do.

The race rule of EXECUTION 7 is here: what was touched since the snapshot was asked for is not compared, because the
stream may know more than the snapshot. Called by `core/reconciler.py`, which repairs.
"""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from mm_daemon.domain.events import OpenOrder
from mm_daemon.domain.orders import ClientOrderId
from mm_daemon.domain.reconciliation import Diff, DiffKind


class Held(msgspec.Struct, frozen=True, gc=False):
    """One order that may be alive, as the ledger has it. `touched_ns`: when anything last changed it."""

    client_id: ClientOrderId
    ticks: int
    remaining_lots: int
    touched_ns: int


class Unseen(msgspec.Struct, frozen=True, gc=False):
    """A fill that only the snapshot tells of. `lots` are signed: bought positive."""

    fill_key: str
    client_id: ClientOrderId
    lots: int


def reconcile_diff(
    held: Sequence[Held],
    position_lots: int,
    unseen: Sequence[Unseen],
    shown: Sequence[OpenOrder],
    shown_position_lots: int,
    *,
    requested_ns: int,
    fills_touched_ns: int,
    misses: Mapping[ClientOrderId, int],
    misses_before_missing: int = 1,
    touched_ns: Callable[[ClientOrderId], int | None] = lambda _client_id: None,
) -> list[Diff]:
    """The differences of one instrument, in the order of the table: fills, our orders, the venue's orders, position.

    misses: in how many rounds running an order was absent before this one; `misses_before_missing` 0 (at start) makes
    one absence enough. touched_ns: when an order that is not in `held` was last touched, None for an unknown one.
    """
    diffs = [Diff(DiffKind.FILL_UNSEEN, fill.fill_key) for fill in unseen]
    ours = {order.client_id: order for order in shown if order.client_id is not None}
    for order in held:
        if order.touched_ns >= requested_ns:
            continue
        filled = sum(abs(fill.lots) for fill in unseen if fill.client_id == order.client_id)
        remaining = max(order.remaining_lots - filled, 0)
        there = ours.get(order.client_id)
        if there is None:
            if remaining or not filled:
                missing = misses.get(order.client_id, 0) >= misses_before_missing
                kind = DiffKind.ORDER_MISSING if missing else DiffKind.ORDER_MISSING_ONCE
                diffs.append(Diff(kind, order.client_id))
            continue
        if there.remaining_lots != remaining:
            diffs.append(Diff(DiffKind.ORDER_SIZE, order.client_id))
        if there.ticks != order.ticks:
            diffs.append(Diff(DiffKind.ORDER_PRICE, order.client_id))
    known = {order.client_id for order in held}
    for shown_order in shown:
        client_id = shown_order.client_id
        if client_id is None:
            diffs.append(Diff(DiffKind.ORDER_FOREIGN, shown_order.venue_order_id))
        elif client_id not in known:
            last_ns = touched_ns(client_id)
            if last_ns is None or last_ns < requested_ns:
                diffs.append(Diff(DiffKind.ORDER_EXTRA_OURS, client_id))
    unexplained = shown_position_lots - position_lots - sum(fill.lots for fill in unseen)
    if unexplained:
        if fills_touched_ns >= requested_ns:
            diffs.append(Diff(DiffKind.POSITION_NOT_COMPARED, 0))
        else:
            diffs.append(Diff(DiffKind.POSITION, unexplained))
    return diffs
