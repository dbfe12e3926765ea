"""What a core must remember to live on after a death: small, restorable, the same bytes for the same state.

A `Checkpoint` stands in the journal each minute and in `RunStarted` of a run that continues another; `PositionBooked`
stands behind every fill and payment. Made and taken up by `core/checkpoint.py`; books are not part of it, because
nothing known of a book outlives a link. Times are nanoseconds, prices ticks, sizes lots, money pairs of
`domain/money.py`.
"""

import msgspec

from mm_daemon.domain.instrument import InstrumentId, Venue
from mm_daemon.domain.money import MoneyPair
from mm_daemon.domain.orders import ClientOrderId, InFlight, Phase, Purpose, Side
from mm_daemon.domain.signal_states import DepthCapState, GuardState, OverlaysState, SignalsState, VolatilityState


class _State(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Base of all states: only the encoding is shared."""


class PositionState(_State, frozen=True, array_like=True, gc=False):
    """`engine/inventory.py` to the last unit (EXECUTION 7b). `half_ticks` is the mark `inventory` is settled at."""

    lots: int
    half_ticks: int | None
    cash: MoneyPair
    spread: MoneyPair
    inventory: MoneyPair
    fees: MoneyPair
    funding: MoneyPair
    fee_residue: int
    funding_residue: int
    estimated_fees: int
    stale_mids: int
    average: float | None
    """As `Position` keeps it: in the price in which averages are arithmetic."""
    base_surplus: MoneyPair = (0, 0)
    """Base units held beyond the whole lots, where fees are taken out of the base."""


class PositionBooked(_State, frozen=True, array_like=True, gc=False, tag="position_booked"):
    """A fill or a payment changed a position in this turn; this is what it is now."""

    instrument: InstrumentId
    state: PositionState


class SideLockoutState(_State, frozen=True, array_like=True, gc=False):
    """When each lockout of a side ends, and the rejects in a row."""

    fill_ns: int
    order_ns: int
    reject_ns: int
    rejects: int
    burst_ns: int = 0


class LockoutState(_State, frozen=True, array_like=True, gc=False):
    """`engine/lockouts.py`. `held` are (reason, source) of the lockouts without an end, `sides` the side that each of
    them holds, 0 for both; empty: all of them hold both.
    """

    buy: SideLockoutState
    sell: SideLockoutState
    held: tuple[tuple[str, str], ...]
    sides: tuple[int, ...] = ()


class TailState(_State, frozen=True, array_like=True, gc=False):
    """An older version of an order whose death is not settled."""

    venue_order_id: str | None
    ticks: int
    lots: int
    filled_lots: int


class OrderState(_State, frozen=True, array_like=True, gc=False):
    """One order as a next life may take it up: what waited in the outbox never left, what was sent is unknown.

    `final_ns` tells when a final order ended, None while it may be alive. The other fields are those of
    `core/ledger_order.py`.
    """

    client_id: ClientOrderId
    instrument: InstrumentId
    side: Side
    level: int | None
    purpose: Purpose
    post_only: bool
    reduce_only: bool
    ticks: int
    lots: int
    filled_lots: int
    cum_lots: int | None
    current_alive: bool
    phase: Phase
    final_word: Phase
    amend: InFlight
    cancel: InFlight
    pend_ticks: int
    pend_lots: int
    venue_order_id: str | None
    tails: tuple[TailState, ...]
    settled_ids: tuple[str, ...]
    accepted: bool
    amended: bool
    final_ns: int | None
    since_ns: int = 0
    sent_ns: int | None = None
    expires_ns: int | None = None
    expires_height: int | None = None
    wire_ref: str = ""
    doubted: bool = False


class SeenKey(_State, frozen=True, array_like=True, gc=False):
    """A fill or a payment that has been booked, by the venue's key."""

    instrument: InstrumentId
    key: str
    ts_venue_ns: int
    ts_local_ns: int


class FillCursor(_State, frozen=True, array_like=True, gc=False):
    """How far a venue's fills are known, in its own time: complete up to `complete_ns`; whatever is not newer than
    `history_ns` was before our time, or is known although its key is forgotten.
    """

    venue: Venue
    complete_ns: int
    history_ns: int


class LedgerState(_State, frozen=True, array_like=True, gc=False):
    """Orders that may be alive or ended lately, and the keys of late."""

    orders: tuple[OrderState, ...]
    fills: tuple[SeenKey, ...]
    forgotten_id: int


class GateState(_State, frozen=True, array_like=True, gc=False):
    """The kill latch and what losses are counted from (`risk/gate.py`)."""

    latched: str | None
    equity: MoneyPair | None
    peak: MoneyPair
    day_start: MoneyPair
    day: int | None


class MarketCheckpoint(_State, frozen=True, array_like=True, gc=False):
    """One market. `grid` is the contract's tick, lot and multiplier: ticks and lots mean nothing on another one."""

    instrument: InstrumentId
    grid: str
    position: PositionState
    lockouts: LockoutState
    volatility: VolatilityState
    paused: bool | None
    """What an operator last said about quoting here; None: nothing."""
    signals: SignalsState | None = None
    """What the estimators have learned, where the market has any."""
    guard: GuardState | None = None
    enabled: bool | None = None
    """What an operator last said about trading here at all; None: nothing, and the configuration holds."""
    flattening: bool = False
    """An operator wants the position worked off and it is not yet."""
    sized_half_ticks: int | None = None
    """The mid at which sizes that are money were last made lots."""
    depth_cap: DepthCapState | None = None
    overlays: OverlaysState | None = None
    boxed_lots: int = 0
    """Lots that the venue holds both long and short, as last known."""


class Checkpoint(_State, frozen=True, array_like=True, gc=False, tag="checkpoint"):
    """Everything of a core that must outlive its process, as of `now_ns` of the core's clock."""

    now_ns: int
    next_client_id: ClientOrderId
    ledger: LedgerState
    payments: tuple[SeenKey, ...]
    markets: tuple[MarketCheckpoint, ...]
    cursors: tuple[FillCursor, ...]
    gate: GateState
    bans: tuple[tuple[Venue, int], ...] = ()
    """Venues that take no message of ours, and until when, ns."""
    parameters: str | None = None
    """What the run's parameters have become, where they were changed while it ran."""
