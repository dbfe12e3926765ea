"""Everything the core is built from: the content of `RunStarted.parameters`, so that a journal can rebuild its core."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from mm_daemon.domain.capabilities import Capabilities
from mm_daemon.domain.errors import JournalError
from mm_daemon.domain.instrument import Instrument, Venue
from mm_daemon.domain.orders import ClientOrderId
from mm_daemon.engine.inventory import Position
from mm_daemon.engine.parameters import QuoteParameters, WarmStart
from mm_daemon.engine.sizing import MoneySizes
from mm_daemon.risk.limits import AccountLimits, MarketLimits


class MarketParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One market: the contract, how it is priced, how much may be risked, and the size of one quote.

    With `money`, order size and position limits are lots only once there is a price: until then the limits are zero.
    """

    instrument: Instrument
    order_lots: int
    quoting: QuoteParameters
    limits: MarketLimits
    money: MoneySizes | None = None
    warm: WarmStart | None = None
    """The calibration whose volatility, intensity and k stand in `quoting`; None: they are a person's."""

    def sized(self, half_ticks: int) -> "MarketParameters":
        """These with lots at that mid, where they are money."""
        if self.money is None:
            return self
        contract, ladder = self.instrument, self.quoting
        largest = max(1.0, ladder.level_size_ratio ** (ladder.levels - 1))
        most = None if contract.max_lots is None else int(contract.max_lots / largest)
        sizes = self.money.at(abs(Position(contract).value(half_ticks)), most)
        limits = msgspec.structs.replace(
            self.limits,
            max_position_lots=sizes.max_position_lots,
            min_position_lots=sizes.min_position_lots,
            # Whatever the money comes to, what is held can be worked off.
            max_order_lots=max(int(2 * largest * sizes.order_lots), 2 * contract.min_lots_at(half_ticks // 2)),
        )
        return msgspec.structs.replace(self, order_lots=sizes.order_lots, limits=limits)


class OrderRules(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long commands are valid, and what is done about those whose outcome is not known (EXECUTION 0 and 2).

    The keys of `orders` in the configuration.
    """

    action_ttl_ms: Annotated[
        int,
        Meta(ge=500, le=600000, description="how long a command may take to arrive, where the venue can bound it, ms"),
    ] = 5000
    order_blocks: Annotated[
        int, Meta(ge=1, le=1000, description="how many blocks an order lives, on venues that count blocks")
    ] = 16
    unknown_withdraw_ms: Annotated[
        int, Meta(ge=0, le=600000, description="unknown outcome for so long: the market's quotes are pulled, ms")
    ] = 5000
    unknown_stop_ms: Annotated[
        int,
        Meta(ge=1000, le=86400000, description="for so long: all of the venue is cancelled and stays out, ms"),
    ] = 60_000
    cancel_retry_ms: Annotated[
        int, Meta(ge=10, le=60000, description="pause after a refused cancel; doubles up to 64 times this, ms")
    ] = 250
    keep_final_s: Annotated[
        int, Meta(ge=120, le=604800, description="how long ended orders are remembered for late fills, seconds")
    ] = 3600
    """At least two checkpoints, which are a minute apart."""


class ReconcileRules(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is done about differences between a venue's account and what we believe (EXECUTION 7).

    The keys of `reconcile` in the configuration.
    """

    interval_s: Annotated[
        float, Meta(ge=1, le=30, description="time between two comparisons of orders and position, seconds")
    ] = 10.0
    on_orphan: Annotated[
        Literal["cancel", "adopt"],
        Meta(description="an open order of ours that nobody here remembers: cancel, or quote with it"),
    ] = "cancel"
    on_foreign_order: Annotated[
        Literal["ignore", "cancel", "halt"],
        Meta(description="an open order of somebody else: count it, cancel all, or stay out while it is there"),
    ] = "ignore"
    position_adopt: Annotated[
        Literal["operator", "venue"],
        Meta(description="who may declare an unexplained position right: a person (`adopt`), or the venue at once"),
    ] = "operator"


class CoreParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    markets: tuple[MarketParameters, ...]
    venues: dict[Venue, Capabilities]
    account: AccountLimits = msgspec.field(default_factory=AccountLimits)
    first_client_id: ClientOrderId = ClientOrderId(1)
    queue_ttl_ms: int = 250
    """Places and amends that waited longer in the outbox are dropped."""
    max_clock_skew_ms: int | None = None
    """A venue's clock further from ours than this, in `clock_skew_samples` tellings running, pulls its quotes."""
    clock_skew_samples: int = 3
    orders: OrderRules = msgspec.field(default_factory=OrderRules)
    reconcile: ReconcileRules = msgspec.field(default_factory=ReconcileRules)

    def to_json(self) -> str:
        """Keeps the order of venues and markets: a core built from this text asks its outboxes in the same order."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def from_json(cls, text: str) -> "CoreParameters":
        """Raises JournalError when the text was written by another schema."""
        try:
            return msgspec.json.decode(text, type=cls)
        except msgspec.DecodeError as error:
            raise JournalError(f"run parameters cannot be read: {error}") from error
