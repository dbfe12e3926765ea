"""Taking in what an earlier life wrote down behind its last checkpoint: its events, what it released, what it booked.

Nothing is decided anew. Books stay void and deadlines are not lived: they follow from the events of the next life.
Called by `journal/recovery.py` with a core that was built from that checkpoint.
"""

from typing import cast, get_args

from mm_daemon.core.trading_core import TradingCore
from mm_daemon.domain.checkpoint import PositionBooked
from mm_daemon.domain.codec import Decided, Record
from mm_daemon.domain.decisions import (
    ApprovedCommand,
    CancelAll,
    DecisionsChanged,
    DroppedCommand,
    PlaceOrder,
    Reason,
    Refusal,
)
from mm_daemon.domain.events import (
    DeadlineReached,
    Event,
    MarketEvent,
    OrderResolved,
    Resolution,
    VenueSnapshotReceived,
)
from mm_daemon.domain.orders import ClientOrderId, Phase
from mm_daemon.domain.reconciliation import DiffKind, Reconciled

_LATCHED = "in an earlier run, by a loss limit or as its log says"
"""Why the gate is latched, where only the effect was journaled: what is lost and what is counted need market data and
the time before the checkpoint.
"""
_OUTLIVING = frozenset(get_args(Event)) - frozenset(get_args(MarketEvent)) - {DeadlineReached}
"""Events that change state which outlives a process."""


def relive(core: TradingCore, record: Record) -> None:
    """Let one record of the journal change the core as it changed the one that wrote it."""
    if isinstance(record, ApprovedCommand):
        command = record.command
        if isinstance(command, CancelAll) and Reason.KILL_LATCHED in command.reasons:
            core.gate.latch(_LATCHED)
        core.dispatch.relive(command, max(core.now_ns, record.approved_ns))
    elif isinstance(record, PositionBooked):
        market = core.markets.get(record.instrument)
        if market is not None:
            market.position.restore(record.state)
            market.facts.position_lots = record.state.lots
    elif isinstance(record, DecisionsChanged):
        if any(Reason.KILL_LATCHED in decision.reasons for decision in record.decisions):
            core.gate.latch(_LATCHED)
        core.reach(record.now_ns)
        _relive_overlays(core, record)
    elif isinstance(record, Reconciled):
        core.relive_round(record)
        _relive_proofs(core, record)
    elif isinstance(record, Decided):
        core.reach(record.now_ns)
    elif isinstance(record, Refusal | DroppedCommand):
        refused = record.intent if isinstance(record, Refusal) else record.command
        if isinstance(refused, PlaceOrder):
            core.dispatch.skip_ids(refused.client_id)
    elif type(record) in _OUTLIVING:
        event = cast("Event", record)
        core.reach(event.ts_local_ns)
        if isinstance(event, OrderResolved):
            _relive_word(core, event)
        if isinstance(event, VenueSnapshotReceived):
            core.relive_round(event)
        else:
            core.apply(event)


def _relive_overlays(core: TradingCore, decided: DecisionsChanged) -> None:
    """What had pulled a side or stopped the market by then. That a side was pulled for longer since, which changes no
    decision, is not known.
    """
    market = core.markets.get(decided.instrument)
    if market is not None:
        halted = any(Reason.VOLATILITY_HALT in decision.reasons for decision in decided.decisions)
        priced = decided.inputs.half_spread_bps is not None
        market.engine.conditions.relive(decided.inputs.pulled, halted if halted or priced else None)


def _relive_word(core: TradingCore, event: OrderResolved) -> None:
    """A person's word about an order that no deadline has put in doubt here, as it did there."""
    order = core.ledger.get(event.client_id)
    if order is not None and order.phase is Phase.SENT:
        if event.outcome is Resolution.DEAD:
            core.ledger.prove_dead(event.client_id, event.ts_local_ns)
        else:
            core.ledger.declare_filled(event.client_id, event.ts_local_ns)


def _relive_proofs(core: TradingCore, record: Reconciled) -> None:
    """What else a snapshot did follows from its event; a proof was the answer to many."""
    for diff in record.diffs:
        if isinstance(diff.subject, str):
            continue
        if diff.kind is DiffKind.ORDER_DEAD:
            core.ledger.prove_dead(ClientOrderId(diff.subject), record.now_ns)
        elif diff.kind is DiffKind.AMEND_DEAD:
            core.ledger.bury_amend(ClientOrderId(diff.subject), record.now_ns)
