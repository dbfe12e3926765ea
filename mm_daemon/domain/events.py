"""The event vocabulary: everything the core can be told, in the past tense.

Each event names its `instrument` or `venue`, when the venue says it happened (`ts_venue_ns`) and when we received it
(`ts_local_ns`), both integer nanoseconds. Events are frozen, tagged and array-like, so that one definition serves the
inbox, the journal and the tests. Prices are ticks, sizes lots, money pairs of `domain/money.py`.
"""

from decimal import Decimal
from enum import StrEnum

import msgspec

from mm_daemon.domain.checkpoint import Checkpoint
from mm_daemon.domain.instrument import Instrument, InstrumentId, Venue
from mm_daemon.domain.money import MoneyPair, from_pair, to_decimal
from mm_daemon.domain.orders import ClientOrderId, Operation, RejectKind, Side

Levels = tuple[tuple[int, int], ...]
"""(ticks, lots) pairs in the venue's order; zero lots remove a level."""


class _Event(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Base of all events: only the encoding is shared."""


class _InstrumentEvent(_Event, frozen=True, array_like=True, gc=False):
    instrument: InstrumentId
    ts_venue_ns: int
    ts_local_ns: int


class _VenueEvent(_Event, frozen=True, array_like=True, gc=False):
    venue: Venue
    ts_venue_ns: int
    ts_local_ns: int


# Market


class BookSnapshot(_InstrumentEvent, frozen=True, array_like=True, gc=False, tag="book_snapshot"):
    """The whole book as of `update_id`; what was known before is void."""

    bids: Levels
    asks: Levels
    update_id: int


class BookDelta(_InstrumentEvent, frozen=True, array_like=True, gc=False, tag="book_delta"):
    """Absolute sizes of the levels that changed up to `update_id`, already checked to follow the one before."""

    bids: Levels
    asks: Levels
    update_id: int


class TopOfBook(_InstrumentEvent, frozen=True, array_like=True, gc=False, tag="top_of_book"):
    """The venue's best prices from a faster stream; an overlay that wins while its `update_id` is the newer one."""

    bid_ticks: int
    bid_lots: int
    ask_ticks: int
    ask_lots: int
    update_id: int


class InvalidCause(StrEnum):
    """Why a book cannot be trusted."""

    GAP = "gap"
    MALFORMED = "malformed"
    OUT_OF_ORDER = "out_of_order"
    CROSSED = "crossed"
    OVERFLOW = "overflow"
    DISCONNECTED = "disconnected"
    UNSYNCHRONISED = "unsynchronised"


class BookInvalidated(_InstrumentEvent, frozen=True, array_like=True, gc=False, tag="book_invalidated"):
    """Nothing known of this book holds any more, until the next snapshot."""

    cause: InvalidCause
    detail: str = ""


class PublicTrade(_InstrumentEvent, frozen=True, array_like=True, gc=False, tag="trade"):
    """One print. `aggressor` is the side that took; several prints of one taker order share a venue time and side."""

    aggressor: Side
    ticks: int
    lots: int
    trade_id: int


class MarkPriceUpdate(_InstrumentEvent, frozen=True, array_like=True, gc=False, tag="mark_price"):
    """The venue's mark, in half ticks (rounded to the nearest)."""

    mark_half_ticks: int


class FundingUpdate(_InstrumentEvent, frozen=True, array_like=True, gc=False, tag="funding"):
    """The predicted next funding rate per period in units of 1e-12, positive when longs pay, and when it is due."""

    rate_e12: int
    next_ns: int
    period_ns: int


class VolatilityUpdate(_InstrumentEvent, frozen=True, array_like=True, gc=False, tag="volatility"):
    """Somebody else's figure of the annual volatility, in units of 1e-6 (500,000 is 50 %): it stands in the place of
    the engine's own estimate until the next one. Only tables of a backtest tell such.
    """

    annual_e6: int


class InstrumentUpdated(_InstrumentEvent, frozen=True, array_like=True, gc=False, tag="instrument"):
    """The venue changed the contract (grid, limits, status): quotes are withdrawn and the book starts again."""

    definition: Instrument


# Orders


class _OrderEvent(_InstrumentEvent, frozen=True, array_like=True, gc=False):
    client_id: ClientOrderId


class OrderAccepted(_OrderEvent, frozen=True, array_like=True, gc=False, tag="accepted"):
    venue_order_id: str


class OrderRejected(_OrderEvent, frozen=True, array_like=True, gc=False, tag="rejected"):
    kind: RejectKind
    text: str = ""


class OrderAmended(_OrderEvent, frozen=True, array_like=True, gc=False, tag="amended"):
    """The order now has this price and size (size as the venue's amend semantics say) under `venue_order_id`."""

    venue_order_id: str
    ticks: int
    lots: int


class OrderAmendRejected(_OrderEvent, frozen=True, array_like=True, gc=False, tag="amend_rejected"):
    kind: RejectKind
    text: str = ""


class ChargedIn(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A fee in another currency than the contract settles in: how much of that (negative: a rebate), and the price of
    one unit that it was counted at.
    """

    currency: str
    amount: MoneyPair
    price: MoneyPair

    @property
    def size(self) -> Decimal:
        return to_decimal(from_pair(self.amount))

    def __str__(self) -> str:
        return f"{self.size:f} {self.currency}"


class OrderFilled(_OrderEvent, frozen=True, array_like=True, gc=False, tag="filled"):
    """One fill, identified by the venue's trade id. `fee` is what the venue charged (negative: a rebate), None if
    unsaid; where it took it out of what was bought, `base_fee` is how much of that, and `fee` its value at the price.
    Where it was charged in a third currency, `charged` is how much, and `fee` what that was worth (rounded up).
    """

    venue_order_id: str
    fill_key: str
    side: Side
    ticks: int
    lots: int
    maker: bool
    fee: MoneyPair | None = None
    base_fee: MoneyPair | None = None
    charged: ChargedIn | None = None


class OrderCanceled(_OrderEvent, frozen=True, array_like=True, gc=False, tag="canceled"):
    """`final`: the venue can no longer fill it; `filled_lots`: the filled size it named, None if it named none."""

    venue_order_id: str
    final: bool = True
    filled_lots: int | None = None
    replaced: bool = False


class OrderCancelRejected(_OrderEvent, frozen=True, array_like=True, gc=False, tag="cancel_rejected"):
    kind: RejectKind
    text: str = ""


class OrderStatus(_OrderEvent, frozen=True, array_like=True, gc=False, tag="order_status"):
    """The answer to a query: this order is open. `lots` as in `OrderAmended`; a query after an order that ended is
    answered by the event of its end.
    """

    venue_order_id: str
    ticks: int
    lots: int
    filled_lots: int


class FenceAnswered(_OrderEvent, frozen=True, array_like=True, gc=False, tag="fence"):
    """What became of a `CancelOrder(fence=True)`. accepted: it spent the nonce, and the command it fences can never
    land; refused: the nonce had been used, so the command landed.
    """

    accepted: bool


class OrderExpired(_OrderEvent, frozen=True, array_like=True, gc=False, tag="expired"):
    filled_lots: int | None = None


# Account


class BalanceUpdate(_VenueEvent, frozen=True, array_like=True, gc=False, tag="balance"):
    asset: str
    total: MoneyPair


class PositionUpdate(_InstrumentEvent, frozen=True, array_like=True, gc=False, tag="position"):
    lots: int


class FundingPaid(_InstrumentEvent, frozen=True, array_like=True, gc=False, tag="funding_paid"):
    """Funding settled on our position: positive when we received it."""

    amount: MoneyPair
    payment_key: str


class OpenOrder(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One order as a venue's snapshot shows it; `client_id` is None for an order that is not ours."""

    instrument: InstrumentId
    client_id: ClientOrderId | None
    venue_order_id: str
    side: Side
    ticks: int
    remaining_lots: int


class VenueSnapshot(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Open orders, positions (lots by instrument), fills and funding payments since a cursor, as the venue knew them at
    `ts_venue_ns`. An instrument that is not among the positions is flat.
    """

    venue: Venue
    ts_venue_ns: int
    requested_ns: int
    orders: tuple[OpenOrder, ...]
    positions: tuple[tuple[InstrumentId, int], ...]
    fills: tuple[OrderFilled, ...] = ()
    payments: tuple[FundingPaid, ...] = ()
    height: int | None = None
    """Block that the open orders are of, where the venue counts blocks."""
    fills_height: int | None = None
    """Block up to which the fills are complete."""
    boxed: tuple[tuple[InstrumentId, int], ...] | None = None
    """Lots held both long and short, which net to nothing in `positions`; None: the account keeps net positions."""


class VenueSnapshotReceived(_VenueEvent, frozen=True, array_like=True, gc=False, tag="venue_snapshot"):
    snapshot: VenueSnapshot


# Link


class VenueConnected(_VenueEvent, frozen=True, array_like=True, gc=False, tag="connected"):
    """Market data and orders may flow; what was known of the venue's books before is void."""


class VenueDisconnected(_VenueEvent, frozen=True, array_like=True, gc=False, tag="disconnected"):
    cause: str = ""


class StreamStale(_InstrumentEvent, frozen=True, array_like=True, gc=False, tag="stream_stale"):
    stream: str


class VenueTime(_VenueEvent, frozen=True, array_like=True, gc=False, tag="venue_time"):
    height: int | None = None


class OrderNotFound(_VenueEvent, frozen=True, array_like=True, gc=False, tag="order_not_found"):
    """The answer to a query: the venue knows no such order. That alone proves nothing (R7). `next_nonce`: the one the
    venue expects next, where it counts them.
    """

    client_id: ClientOrderId
    next_nonce: int | None = None


class OrderEventsLost(_VenueEvent, frozen=True, array_like=True, gc=False, tag="order_events_lost"):
    """The order lane was full and events of this venue were dropped: what we know of its account may be wrong."""

    cause: str = ""


class RateLimited(_VenueEvent, frozen=True, array_like=True, gc=False, tag="rate_limited"):
    """The venue told us to slow down. `bucket` None closes all of the venue's buckets."""

    bucket: str | None = None
    retry_after_ms: int | None = None
    banned: bool = False


class RateLimitUsed(_VenueEvent, frozen=True, array_like=True, gc=False, tag="rate_used"):
    """The venue's own count of one of its limits, as responses tell it: units `used`, of `capacity` where it tells."""

    bucket: str
    used: int
    capacity: int | None = None


class CommandSent(_InstrumentEvent, frozen=True, array_like=True, gc=False, tag="sent"):
    """A command's bytes were handed to the socket; `wire_ref`, a nonce or what begins with one (`41:0xab`), is evidence
    for people, and for the connector of the next process (`RecallsOrders`).
    """

    client_id: ClientOrderId
    operation: Operation
    wire_ref: str = ""


class CommandOutcomeUnknown(_InstrumentEvent, frozen=True, array_like=True, gc=False, tag="outcome_unknown"):
    """No answer, or none that can be trusted: the command may or may not have happened."""

    client_id: ClientOrderId
    operation: Operation
    text: str = ""


# Control


class _ControlEvent(_Event, frozen=True, array_like=True, gc=False):
    ts_local_ns: int


class DeadlineReached(_ControlEvent, frozen=True, array_like=True, gc=False, tag="deadline"):
    """The instant that `TradingCore.next_deadline_ns` asked to be called at."""


class LoopLagged(_ControlEvent, frozen=True, array_like=True, gc=False, tag="loop_lagged"):
    """The process was `late_ms` late: quotes are pulled. 0: it has kept time again for long enough."""

    late_ms: int


class CoreFailed(_ControlEvent, frozen=True, array_like=True, gc=False, tag="core_failed"):
    """The core raised what it must not: nothing is quoted any more until an operator clears it (EXECUTION 5)."""

    text: str


class OperatorAction(StrEnum):
    PAUSE = "pause"
    RESUME = "resume"
    KILL = "kill"
    CLEAR_KILL = "clear_kill"
    FLATTEN = "flatten"
    CANCEL_ALL = "cancel_all"
    ENABLE = "enable"
    DISABLE = "disable"


class OperatorRequest(_ControlEvent, frozen=True, array_like=True, gc=False, tag="operator"):
    """Somebody asked for something. `instrument` None means all of them."""

    action: OperatorAction
    who: str
    instrument: InstrumentId | None = None


class ParametersChanged(_ControlEvent, frozen=True, array_like=True, gc=False, tag="parameters_changed"):
    """The configuration was read again: what the core is to go by from here on, in the words of `RunStarted`. The
    contracts, markets and venues in it are those of the start.
    """

    parameters: str
    who: str


class Resolution(StrEnum):
    """How a person says that an order has ended."""

    DEAD = "dead"
    FILLED = "filled"


class OrderResolved(_ControlEvent, frozen=True, array_like=True, gc=False, tag="order_resolved"):
    """Somebody looked at the venue and says how an order of unknown outcome ended, by what `evidence`."""

    client_id: ClientOrderId
    outcome: Resolution
    who: str
    evidence: str = ""


class PositionAdopted(_ControlEvent, frozen=True, array_like=True, gc=False, tag="position_adopted"):
    """Somebody says that the venue's position is right although we cannot explain it."""

    instrument: InstrumentId
    who: str


class ShutdownRequested(_ControlEvent, frozen=True, array_like=True, gc=False, tag="shutdown"):
    reason: str


class RunStarted(_ControlEvent, frozen=True, array_like=True, gc=False, tag="run_started"):
    """Everything a fresh core needs to live this run again. `parameters` is `core/parameters.py` as JSON text;
    `resumed` is what the core took over from the run before, None for a first one. `whole`: its journal had no torn
    tail. `boot` names the machine's boot, by which a later run sees that the power was cut; empty where it has no name.
    """

    version: str
    parameters: str
    resumed: Checkpoint | None = None
    whole: bool = True
    boot: str = ""


class RunEnded(_ControlEvent, frozen=True, array_like=True, gc=False, tag="run_ended"):
    reason: str
    clean: bool


MarketEvent = (
    BookSnapshot
    | BookDelta
    | TopOfBook
    | BookInvalidated
    | PublicTrade
    | MarkPriceUpdate
    | FundingUpdate
    | VolatilityUpdate
    | InstrumentUpdated
    | StreamStale
)
OrderEvent = (
    OrderAccepted
    | OrderRejected
    | OrderAmended
    | OrderAmendRejected
    | OrderFilled
    | OrderCanceled
    | OrderCancelRejected
    | OrderExpired
    | OrderStatus
    | FenceAnswered
    | CommandSent
    | CommandOutcomeUnknown
)
AccountEvent = BalanceUpdate | PositionUpdate | FundingPaid | VenueSnapshotReceived
LinkEvent = (
    VenueConnected | VenueDisconnected | VenueTime | RateLimited | RateLimitUsed | OrderNotFound | OrderEventsLost
)
ControlEvent = (
    DeadlineReached
    | LoopLagged
    | CoreFailed
    | OperatorRequest
    | ParametersChanged
    | OrderResolved
    | PositionAdopted
    | ShutdownRequested
    | RunStarted
    | RunEnded
)
Event = MarketEvent | OrderEvent | AccountEvent | LinkEvent | ControlEvent
