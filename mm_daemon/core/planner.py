"""From decisions to intents: the smallest list of commands that moves what is working to what was decided.

A pure function of decisions, working orders and capabilities (EXECUTION 4). Run again on the state it asked for, it
returns nothing. It never amends what may be dead, never lets two of ours meet, and leaves limits to the gate.
"""

from collections.abc import Callable, Iterable, Sequence

from mm_daemon.core.ledger_order import LedgerOrder
from mm_daemon.domain.capabilities import AmendQuantity, Capabilities
from mm_daemon.domain.decisions import (
    Action,
    AmendOrder,
    CancelOrder,
    Decision,
    Intent,
    PlaceOrder,
    QuoteTarget,
    Reason,
)
from mm_daemon.domain.instrument import InstrumentId
from mm_daemon.domain.orders import ClientOrderId, InFlight, Side

# Members of an enumeration are slow to look up, and these are looked at in every plan.
_HOLD, _WITHDRAW = Action.HOLD, Action.WITHDRAW
_TOTAL = AmendQuantity.TOTAL

Slot = tuple[Decision, LedgerOrder | None]
"""A decision and the order that works in its slot."""


def plan(
    instrument: InstrumentId,
    slots: Sequence[Slot],
    surplus: Iterable[LedgerOrder],
    capabilities: Capabilities,
    next_client_id: Callable[[], ClientOrderId],
    now_ns: int = 0,
    expires_ns: int | None = None,
    expires_height: int | None = None,
) -> list[Intent]:
    """Intents in the order they must leave: cancels, amends outward, amends inward, places.

    `surplus` are orders of ours that may be alive and belong to no slot; they are cancelled. A move or a place that
    would meet another of our orders waits: the obstructing order is moved first, and its acknowledgement brings the
    next decision. `expires_ns` and `expires_height` are when places and amends end by themselves, where the venue has
    such a bound.
    """
    cancels: list[Intent] = [
        CancelOrder(instrument, order.client_id, (Reason.SURPLUS,))
        for order in surplus
        if order.cancel is InFlight.NONE and order.may_cancel(now_ns)
    ]
    outward: list[Intent] = []
    inward: list[Intent] = []
    places: list[Intent] = []
    for decision, working in slots:
        if decision.action is _HOLD or (working is not None and working.final):
            continue  # one that was let go in this very decision is decided anew at once
        target = decision.target
        if decision.action is _WITHDRAW or target is None:
            if working is not None and working.may_cancel(now_ns):
                cancels.append(CancelOrder(instrument, working.client_id, decision.reasons))
        elif working is None:
            if _free(decision.side, target.ticks, None, slots):
                places.append(
                    PlaceOrder(
                        instrument,
                        next_client_id(),
                        decision.side,
                        decision.level,
                        target.ticks,
                        target.lots,
                        decision.reasons,
                        post_only=capabilities.post_only,
                        expires_ns=expires_ns,
                        expires_height=expires_height,
                    )
                )
        elif not capabilities.amend or (target.ticks == working.ticks and target.lots == working.remaining_lots):
            # An amend that changes nothing would not place anew what is too old.
            if working.may_cancel(now_ns):
                cancels.append(CancelOrder(instrument, working.client_id, decision.reasons))
        elif _free(decision.side, target.ticks, working, slots):
            amend = AmendOrder(
                instrument,
                working.client_id,
                target.ticks,
                _amend_lots(working, target, capabilities),
                decision.reasons,
                expires_ns,
                expires_height,
            )
            (outward if (target.ticks - working.ticks) * decision.side < 0 else inward).append(amend)
    return [*cancels, *outward, *inward, *places]


def _amend_lots(order: LedgerOrder, target: QuoteTarget, capabilities: Capabilities) -> int:
    if capabilities.amend_quantity is _TOTAL:
        return order.filled_lots + target.lots
    return target.lots


def _free(side: Side, ticks: int, moving: LedgerOrder | None, slots: Sequence[Slot]) -> bool:
    """Whether `ticks` meets none of our orders that may be alive: not at or through the other side, not on our own."""
    for _, order in slots:
        if order is None or order is moving or order.final:
            continue
        for alive in order.alive_ticks():
            if alive == ticks or (order.side is not side and (ticks - alive) * side >= 0):
                return False
    return True


def pair_levels(
    side: Side, working: Sequence[tuple[ClientOrderId, int]], targets: Sequence[tuple[int, int]]
) -> tuple[list[tuple[ClientOrderId, int, bool]], list[ClientOrderId], list[int]]:
    """Match working (id, ticks) to target (level, ticks): (pairs, surplus ids, levels to place) of EXECUTION 4.1.

    An order already at a target's price only changes its label (pair's third item False); the rest move in order of
    aggressiveness. So a ladder that shifts by one step costs one move.
    """
    most_aggressive_first = sorted(working, key=lambda item: -side * item[1])
    open_targets = sorted(targets, key=lambda item: -side * item[1])
    kept: list[tuple[ClientOrderId, int, bool]] = []
    rest: list[tuple[ClientOrderId, int]] = []
    for client_id, ticks in most_aggressive_first:
        match = next((target for target in open_targets if target[1] == ticks), None)
        if match is None:
            rest.append((client_id, ticks))
        else:
            open_targets.remove(match)
            kept.append((client_id, match[0], False))
    moved = [(client_id, level, True) for (client_id, _), (level, _) in zip(rest, open_targets, strict=False)]
    surplus = [client_id for client_id, _ in rest[len(open_targets) :]]
    places = [level for level, _ in open_targets[len(rest) :]]
    return kept + moved, surplus, places
