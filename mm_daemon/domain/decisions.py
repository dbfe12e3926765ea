"""Decisions, reasons, commands: what the core answers and why.

`Reason` is the closed list of EXECUTION 3.5 in its order; the same texts appear in logs, metrics, journal and tests.
Conditions are carried as bit masks (`Reason.bit`) on the hot path and become tuples of reasons when a decision is made.
"""

from collections.abc import Mapping
from enum import StrEnum
from functools import cached_property

import msgspec

from mm_daemon.domain.checkpoint import Checkpoint, PositionBooked
from mm_daemon.domain.instrument import InstrumentId, Venue
from mm_daemon.domain.orders import ClientOrderId, Operation, Purpose, Side, TimeInForce
from mm_daemon.domain.reconciliation import Reconciled
from mm_daemon.domain.signal_states import PullState


class Reason(StrEnum):
    """Why a quote is made, kept or pulled."""

    # Withdraw: in order of importance.
    KILL_LATCHED = "kill_latched"
    SHUTDOWN = "shutdown"
    OPERATOR_PAUSED = "operator_paused"
    MARKET_DISABLED = "market_disabled"
    STARTING = "starting"
    JOURNAL_FAULT = "journal_fault"
    LOOP_STALL = "loop_stall"
    CLOCK_SKEW = "clock_skew"
    VENUE_DOWN = "venue_down"
    VENUE_BANNED = "venue_banned"
    RECONCILING = "reconciling"
    UNRESOLVED_ORDER = "unresolved_order"
    MARKET_HALTED = "market_halted"
    SESSION_CLOSED = "session_closed"
    BOOK_INVALID = "book_invalid"
    BOOK_STALE = "book_stale"
    NO_REFERENCE = "no_reference"
    MODEL_NOT_READY = "model_not_ready"
    BAD_NUMBER = "bad_number"
    COST_TOO_HIGH = "cost_too_high"
    TOXIC_FLOW = "toxic_flow"
    FILL_BURST = "fill_burst"
    VOLATILITY_HALT = "volatility_halt"
    STOP_LOSS = "stop_loss"
    POSITION_AGE = "position_age"
    LOSS_LIMIT = "loss_limit"
    MAX_POSITION = "max_position"
    MAX_NOTIONAL = "max_notional"
    SIZE_BELOW_MIN = "size_below_min"
    PRICE_COLLAR = "price_collar"
    LEVEL_MERGED = "level_merged"
    LEVEL_UNUSED = "level_unused"
    GRID_CHANGED = "grid_changed"
    MARGIN_LOW = "margin_low"
    BUDGET_PULL = "budget_pull"
    # Hold: the slot is in flight, a lockout runs, pacing, or nothing to do.
    PLACE_PENDING = "place_pending"
    AMEND_PENDING = "amend_pending"
    CANCEL_PENDING = "cancel_pending"
    ORDER_UNKNOWN = "order_unknown"
    FILL_LOCKOUT = "fill_lockout"
    ORDER_LOCKOUT = "order_lockout"
    REJECT_LOCKOUT = "reject_lockout"
    VENUE_BACKOFF = "venue_backoff"
    ORDER_TO_TRADE = "order_to_trade"
    BUDGET_HOLD = "budget_hold"
    MIN_LIFE = "min_life"
    WITHIN_TOLERANCE = "within_tolerance"
    # Quote.
    NEW_QUOTE = "new_quote"
    TOO_AGGRESSIVE = "too_aggressive"
    TOO_PASSIVE = "too_passive"
    SIZE_CHANGED = "size_changed"
    EXPIRY_NEAR = "expiry_near"
    # Cancel only: on commands that no decision asked for.
    UNKNOWN_FENCE = "unknown_fence"
    ORPHAN = "orphan"
    FOREIGN = "foreign"
    SURPLUS = "surplus"
    OPERATOR_CANCEL = "operator_cancel"
    DEAD_MAN = "dead_man"
    # Order purpose.
    HEDGE = "hedge"
    FLATTEN = "flatten"

    @cached_property
    def bit(self) -> int:
        return 1 << _ORDER[self]


_ORDER = {reason: index for index, reason in enumerate(Reason)}


def mask(*reasons: Reason) -> int:
    """The reasons as one integer."""
    return sum(reason.bit for reason in dict.fromkeys(reasons))


def reasons_in(bits: int) -> tuple[Reason, ...]:
    """The reasons of a mask, in list order."""
    return tuple(reason for reason in Reason if bits & reason.bit)


def _between(first: Reason, last: Reason) -> int:
    return mask(*list(Reason)[_ORDER[first] : _ORDER[last] + 1])


WITHDRAW_MASK = _between(Reason.KILL_LATCHED, Reason.BUDGET_PULL)
LOCKOUT_MASK = _between(Reason.FILL_LOCKOUT, Reason.REJECT_LOCKOUT) | Reason.FILL_BURST.bit
PACING_MASK = _between(Reason.VENUE_BACKOFF, Reason.BUDGET_HOLD)
HOLD_MASK = _between(Reason.PLACE_PENDING, Reason.BUDGET_HOLD)


class RefusalCode(StrEnum):
    """Why the gate said no (EXECUTION 5)."""

    CANCELS_ONLY = "cancels_only"
    KILL_LATCHED = "kill_latched"
    RECONCILING = "reconciling"
    UNKNOWN_INSTRUMENT = "unknown_instrument"
    MARKET_HALTED = "market_halted"
    BOOK_NOT_TRUSTED = "book_not_trusted"
    BAD_NUMBER = "bad_number"
    OFF_GRID_PRICE = "off_grid_price"
    OFF_GRID_SIZE = "off_grid_size"
    SIZE_MIN = "size_min"
    SIZE_MAX = "size_max"
    NOTIONAL_MIN = "notional_min"
    NOTIONAL_MAX = "notional_max"
    PRICE_COLLAR = "price_collar"
    WOULD_CROSS = "would_cross"
    SELF_CROSS = "self_cross"
    DUPLICATE_ID = "duplicate_id"
    UNKNOWN_TARGET = "unknown_target"
    TARGET_BUSY = "target_busy"
    SLOT_BUSY = "slot_busy"
    PRICE_BUSY = "price_busy"
    MAX_ORDERS = "max_orders"
    WORST_POSITION = "worst_position"
    WORST_NOTIONAL = "worst_notional"
    MARGIN_LOW = "margin_low"
    NOT_REDUCING = "not_reducing"
    LOSS_LIMIT = "loss_limit"
    ACTION_BUDGET = "action_budget"
    ORDER_TO_TRADE = "order_to_trade"
    OUTBOX_FULL = "outbox_full"


class DropCode(StrEnum):
    """Why the outbox let go of a command that never left."""

    CONFLATED = "conflated"
    QUEUE_EXPIRED = "queue_expired"


class Doubt(StrEnum):
    """What is not known well enough, so that quotes are wider or built on something simpler."""

    VOLATILITY_WARMING = "volatility_warming"
    INTENSITY_WARMING = "intensity_warming"
    INTENSITY_POOR = "intensity_poor"
    INTENSITY_OLD = "intensity_old"
    MICROPRICE_WARMING = "microprice_warming"


class Action(StrEnum):
    QUOTE = "QUOTE"
    HOLD = "HOLD"
    WITHDRAW = "WITHDRAW"


class QuoteTarget(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Where a quote should rest. `raw_ticks` is the unrounded price that `ticks` came from."""

    ticks: int
    lots: int
    raw_ticks: float


class Decision(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What to do with one slot; `reasons[0]` is decisive. `target` is None when there is nothing to aim at."""

    side: Side
    level: int
    action: Action
    target: QuoteTarget | None
    reasons: tuple[Reason, ...]

    def compact(self) -> str:
        return f"{self.side.word} {self.action.lower()} ({', '.join(self.reasons)})"


class DecisionInputs(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The numbers behind an instrument's decisions: what a person asks for when they ask why.

    Prices in ticks; depths, skew and shifts in bps of the mid; sigma in bps per square root of a second; q in order
    sizes relative to the target; gamma in 1/(bps order); A, of one side, per second; k in 1/bps; `widening` is what the
    half-spread was multiplied with, `confidence_widening` the part of it that `doubts` are the reasons for;
    `impact_bps` what Kyle's lambda adds to the adverse move; `pulled` until when toxic flow keeps sides out, None where
    none was. Order size and position limits, in lots, are told where they are money and follow the price. NaN never
    appears: what is unknown is None.
    """

    mid_ticks: float | None
    fair_ticks: float | None
    sigma_bps: float | None
    position_lots: int
    q: float
    reservation_ticks: float | None
    half_spread_bps: float | None
    skew_bps: float | None
    tau_s: float | None
    tolerance_ticks: int | None
    shift_bps: float = 0.0
    gamma: float | None = None
    A: float | None = None
    k: float | None = None
    widening: float = 1.0
    confidence_widening: float = 1.0
    doubts: tuple[Doubt, ...] = ()
    impact_bps: float = 0.0
    pulled: PullState | None = None
    order_lots: int | None = None
    max_position_lots: int | None = None
    min_position_lots: int | None = None


class PlaceOrder(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="place"):
    instrument: InstrumentId
    client_id: ClientOrderId
    side: Side
    level: int
    ticks: int
    lots: int
    reasons: tuple[Reason, ...]
    post_only: bool = True
    reduce_only: bool = False
    time_in_force: TimeInForce = TimeInForce.GTC
    purpose: Purpose = Purpose.QUOTE
    expires_ns: int | None = None
    expires_height: int | None = None


class AmendOrder(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="amend"):
    """`lots` follows the venue's amend semantics: the new total, or the size of the order that replaces this one."""

    instrument: InstrumentId
    client_id: ClientOrderId
    ticks: int
    lots: int
    reasons: tuple[Reason, ...]
    expires_ns: int | None = None
    expires_height: int | None = None


class CancelOrder(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="cancel"):
    instrument: InstrumentId
    client_id: ClientOrderId
    reasons: tuple[Reason, ...]
    fence: bool = False


class CancelAll(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="cancel_all"):
    venue: Venue
    reasons: tuple[Reason, ...]


Intent = PlaceOrder | AmendOrder | CancelOrder | CancelAll
"""What the planner wants. It becomes a command only inside an `ApprovedCommand`."""

Command = Intent

OrderCommand = PlaceOrder | AmendOrder | CancelOrder
"""A command about one order."""

OPERATIONS: Mapping[type[Command], Operation] = {
    PlaceOrder: Operation.PLACE,
    AmendOrder: Operation.AMEND,
    CancelOrder: Operation.CANCEL,
}


class ApprovedCommand(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="approved"):
    """An intent that passed the risk gate: the only thing a venue ever sees. Made by `risk/gate.py` alone."""

    command: Command
    approved_ns: int


class OrderQuery(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="query"):
    """The core wants to know what the venue holds under this id; the answer is an event (EXECUTION 2)."""

    instrument: InstrumentId
    client_id: ClientOrderId


class Refusal(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="refusal"):
    """An intent that did not pass, with the figure that was too large (or small) and the limit it met."""

    intent: Intent
    code: RefusalCode
    value: float | int | str | None = None
    limit: float | int | str | None = None


class DroppedCommand(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="dropped"):
    """An approved command that the outbox let go before it left."""

    command: Command
    code: DropCode


class DecisionsChanged(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="decisions"):
    """An instrument's decisions, recorded when an action, a reason or a target differs from before."""

    instrument: InstrumentId
    now_ns: int
    decisions: tuple[Decision, ...]
    inputs: DecisionInputs

    def compact(self) -> str:
        """For people: `bid quote (new_quote) | ask hold (fill_lockout)`."""
        return " | ".join(decision.compact() for decision in self.decisions)


class Turn(msgspec.Struct, frozen=True, array_like=True):
    """The core's answer to one `decide`: what it decided anew, what was refused or dropped, which positions were
    booked, what came of snapshots, what may leave now, and which orders the venues are to be asked about.
    `checkpoint` is added by the shell, each minute.
    """

    now_ns: int
    decisions: tuple[DecisionsChanged, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    dropped: tuple[DroppedCommand, ...] = ()
    released: tuple[ApprovedCommand, ...] = ()
    booked: tuple[PositionBooked, ...] = ()
    reconciled: tuple[Reconciled, ...] = ()
    checkpoint: Checkpoint | None = None
    queries: tuple[OrderQuery, ...] = ()
