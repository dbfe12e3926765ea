"""What the risk gate looks at: an instrument's facts and limits, and the ledger's orders as it reads them.

The core owns a `MarketFacts` per instrument and keeps it true; the ledger satisfies `OrdersView` as it is.
"""

from collections.abc import Collection
from decimal import ROUND_CEILING, Decimal
from fractions import Fraction
from typing import Protocol

from mm_daemon.domain.book import OrderBook
from mm_daemon.domain.instrument import FixedTick, Instrument, InstrumentId
from mm_daemon.domain.money import ATTO
from mm_daemon.domain.orders import ClientOrderId, InFlight, Phase, Purpose, Side
from mm_daemon.risk.limits import MarketLimits

_COLLAR_UNITS_PER_BPS = 1_000_000
COLLAR_WHOLE = 10_000 * _COLLAR_UNITS_PER_BPS
"""What `Bounds.collar` is a fraction of."""


class OrderView(Protocol):
    """What the gate reads of an order; `exposure_with` tells its exposure if an amend to that size were in flight."""

    @property
    def client_id(self) -> ClientOrderId: ...
    @property
    def instrument(self) -> InstrumentId: ...
    @property
    def side(self) -> Side: ...
    @property
    def level(self) -> int | None: ...
    @property
    def purpose(self) -> Purpose: ...
    @property
    def phase(self) -> Phase: ...
    @property
    def amend(self) -> InFlight: ...
    @property
    def reduce_only(self) -> bool: ...
    @property
    def fresh(self) -> bool: ...
    @property
    def filled_lots(self) -> int: ...
    @property
    def exposure(self) -> int: ...
    @property
    def may_be_alive(self) -> bool: ...
    def exposure_with(self, pend_lots: int) -> int: ...
    def alive_ticks(self) -> tuple[int, ...]: ...
    def tail_at(self, ticks: int) -> bool: ...


class OrdersView(Protocol):
    """What the gate reads of the order ledger."""

    def get(self, client_id: ClientOrderId) -> OrderView | None: ...
    def used(self, client_id: ClientOrderId) -> bool: ...
    def alive(self, instrument: InstrumentId) -> Collection[OrderView]: ...
    def exposure(self, instrument: InstrumentId, side: Side) -> int: ...


class Bounds:
    """Instrument and limits worked out into plain integers, so that a review compares and never converts.

    The notional of an order is `ticks * lots * unit`; minimum and maximum are in the same scaled unit.
    """

    __slots__ = ("collar", "fixed_grid", "max_notional", "min_lots", "min_notional", "unit")

    def __init__(self, instrument: Instrument, limits: MarketLimits) -> None:
        numerator, scale = (instrument.tick * instrument.lot * instrument.multiplier * Decimal(ATTO)).as_integer_ratio()
        least = instrument.min_notional * Decimal(ATTO) * scale
        self.unit = numerator
        self.min_notional = int(least.to_integral_value(ROUND_CEILING))
        self.max_notional = None if limits.max_notional_atto is None else limits.max_notional_atto * scale
        self.min_lots = max(instrument.min_lots, 1)
        self.collar = round(limits.collar_bps * _COLLAR_UNITS_PER_BPS)
        self.fixed_grid = isinstance(instrument.grid, FixedTick)


class MarketFacts:
    """What the gate has to know of one instrument. The core owns it and keeps it true."""

    __slots__ = (
        "book",
        "book_fresh",
        "bounds",
        "boxed_lots",
        "boxed_ns",
        "half_tick",
        "instrument",
        "limits",
        "lot_units",
        "margin_share",
        "mark_half_ticks",
        "position_lots",
        "rationed",
        "reconciling",
        "tradable",
        "twins",
    )

    def __init__(
        self,
        instrument: Instrument,
        limits: MarketLimits,
        book: OrderBook,
        book_fresh: bool = False,
        position_lots: int = 0,
    ) -> None:
        self.instrument = instrument
        self.limit(limits)
        self.book = book
        self.book_fresh = book_fresh
        self.position_lots = position_lots
        self.boxed_lots = 0
        """Held long and short at once, beside the net position: closed only by a reduce-only order of either side."""
        self.boxed_ns: int | None = None
        """When the venue was asked for that; None: it keeps one net position."""
        self.mark_half_ticks: int | None = None
        """The venue's mark, twice in ticks; None where there is none."""
        self.tradable = instrument.tradable
        self.reconciling = False
        self.twins: tuple[InstrumentId, ...] = ()
        """The same market under other accounts of ours: our orders there must not meet those here."""
        self.half_tick = Fraction(instrument.tick) / 2
        self.lot_units = Fraction(instrument.lot) * Fraction(instrument.multiplier)
        """What a lot is of the underlying; of quote currency where the contract is inverse."""

    def in_collar(self, ticks: int, half_ticks: int) -> bool:
        """Whether a price is within the collar around another one, which is twice in ticks."""
        return abs(2 * ticks - half_ticks) * COLLAR_WHOLE <= self.bounds.collar * half_ticks

    def near_mark(self, ticks: int) -> bool:
        """Whether a price is within the collar of the venue's mark, where there is one."""
        return self.mark_half_ticks is None or self.in_collar(ticks, self.mark_half_ticks)

    def limit(self, limits: MarketLimits) -> None:
        """Go by these limits from here on."""
        self.limits = limits
        self.bounds = Bounds(self.instrument, limits)
        self.margin_share = Fraction(str(limits.initial_margin))
        self.rationed = limits.actions_per_minute is not None or limits.max_order_to_trade is not None
        """Whether limits of ours count messages."""
