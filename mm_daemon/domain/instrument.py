"""Instruments and their price grids.

Prices are integer *ticks* and sizes integer *lots* on the instrument's finest grid; `Decimal` appears only here, where
a venue's text becomes ticks or ticks become text. Pricing models work in float ticks and are rounded by side on the
grid.
"""

from bisect import bisect_right
from collections.abc import Callable
from decimal import Decimal
from functools import cache
from math import ceil, floor
from typing import NewType

import msgspec

from mm_daemon.domain.errors import GridError

Venue = NewType("Venue", str)
InstrumentId = NewType("InstrumentId", str)
"""`venue:symbol`, for example `binance-usdm:BTCUSDT`."""

_ROUNDING_SLACK = 1e-12
_MOST_SLACK = 0.03125
"""Ticks. Without a bound, the slack would be a whole tick from 2**40 ticks on, and lock a bid with the ask above."""
_MAX_UNITS = 1 << 53
_MAX_TEXT = 64


def instrument_id(venue: str, symbol: str) -> InstrumentId:
    return InstrumentId(f"{venue}:{symbol}")


def venue_of(instrument: InstrumentId) -> Venue:
    return Venue(instrument.partition(":")[0])


def symbol_of(instrument: InstrumentId) -> str:
    return instrument.partition(":")[2]


class FixedTick(msgspec.Struct, frozen=True, tag="fixed"):
    """Every tick of the base grid is a valid price."""


class SignificantFigures(msgspec.Struct, frozen=True, tag="figures"):
    """A price keeps at most `figures` significant figures; whole numbers are always valid (Hyperliquid's rule).

    `decimals` is how many decimals the base tick stands for, so that ticks divisible by 10**decimals are whole prices.
    """

    figures: int
    decimals: int


PriceGrid = FixedTick | SignificantFigures


class Instrument(msgspec.Struct, frozen=True, kw_only=True):
    """What the venue says about one market. Fees are parts per million of notional; negative means a rebate."""

    venue: Venue
    symbol: str
    base: str
    quote: str
    tick: Decimal
    lot: Decimal
    multiplier: Decimal = Decimal(1)
    grid: PriceGrid = msgspec.field(default_factory=FixedTick)
    min_lots: int = 1
    max_lots: int | None = None
    min_notional: Decimal = Decimal(0)
    maker_fee_ppm: int = 0
    taker_fee_ppm: int = 0
    tradable: bool = True
    inverse: bool = False
    """Settled in the base currency: a lot is `lot * multiplier` of quote currency, worth that over the price."""
    family: str = ""
    """Contracts of different families never share a batch of commands."""
    spot: bool = False
    """Bought outright: the position is the balance of the base, in whole lots, and cannot be short. No funding, no
    leverage; fees may be taken out of the base."""
    wire_symbol: str = ""
    """The venue's name of it in its frames, where that is not the symbol."""

    @property
    def id(self) -> InstrumentId:
        return instrument_id(self.venue, self.symbol)

    def price(self, ticks: int) -> Decimal:
        """Ticks as the exact decimal price, written with the tick's decimals."""
        return self.tick * ticks

    def size(self, lots: int) -> Decimal:
        return self.lot * lots

    def min_lots_at(self, ticks: int) -> int:
        """Smallest order at this price that passes both the size and the notional minimum."""
        unit = self.tick * ticks * self.lot * self.multiplier
        if self.min_notional <= 0 or unit <= 0:
            return self.min_lots
        return max(self.min_lots, ceil(self.min_notional / unit))


def to_units(text: str, step: Decimal, what: str = "number") -> int:
    """`text` in whole units of `step`. Raises GridError when it is no finite number or lies between two units."""
    if len(text) > _MAX_TEXT:
        raise GridError(f"{what}: {len(text)} characters are not a number")
    try:
        units, rest = divmod(Decimal(text), step)
    except ArithmeticError:  # no number, infinite, or more digits than any price has
        raise GridError(f"{what}: {text!r} is not a finite number") from None
    if rest:  # a NaN is true
        raise GridError(f"{what}: {text!r} is not a multiple of {step}")
    if abs(whole := int(units)) > _MAX_UNITS:
        raise GridError(f"{what}: {text!r} is more than 2**53 times {step}, which cannot be computed with exactly")
    return whole


def floor_ticks(price_ticks: float) -> int:
    """Largest whole tick not above `price_ticks`, with a relative slack for float noise (MODELS 0.3, step 5).

    Raises ValueError or OverflowError for what is not finite.
    """
    slack = _ROUNDING_SLACK * abs(price_ticks)
    return floor(price_ticks + (slack if slack < _MOST_SLACK else _MOST_SLACK))


def ceil_ticks(price_ticks: float) -> int:
    """Smallest whole tick not below `price_ticks`, with the same slack."""
    slack = _ROUNDING_SLACK * abs(price_ticks)
    return ceil(price_ticks - (slack if slack < _MOST_SLACK else _MOST_SLACK))


@cache
def _brackets(grid: SignificantFigures) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """(prices from which on the grid is ten times as coarse, the steps below, between and beyond them), in ticks."""
    powers = range(grid.decimals)
    return tuple(10 ** (grid.figures + power) for power in powers), (1, *(10 ** (power + 1) for power in powers))


def grid_step(ticks: int, grid: PriceGrid) -> int:
    """Distance in ticks between valid prices around a positive one."""
    if isinstance(grid, FixedTick):
        return 1
    bounds, steps = _brackets(grid)
    return steps[bisect_right(bounds, ticks)]


def grid_floor(ticks: int, grid: PriceGrid) -> int:
    """Largest valid price not above `ticks`: where a bid goes."""
    return ticks - ticks % grid_step(ticks, grid)


def grid_ceil(ticks: int, grid: PriceGrid) -> int:
    """Smallest valid price not below `ticks`: where an ask goes."""
    return ticks + -ticks % grid_step(ticks, grid)


def grid_rounding(grid: PriceGrid) -> tuple[Callable[[float], int], Callable[[float], int]]:
    """Rounding of unrounded prices onto `grid`: (bid down, ask up)."""
    if isinstance(grid, FixedTick):
        return floor_ticks, ceil_ticks
    bounds, steps = _brackets(grid)

    def bid_down(price_ticks: float) -> int:
        ticks = floor_ticks(price_ticks)
        return ticks - ticks % steps[bisect_right(bounds, ticks)]

    def ask_up(price_ticks: float) -> int:
        ticks = ceil_ticks(price_ticks)
        return ticks + -ticks % steps[bisect_right(bounds, ticks)]

    return bid_down, ask_up
