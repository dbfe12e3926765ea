"""Prices and sizes in the venue's words: integer units to the text that is signed, texts to units, the venue's steps.

The venue hashes the text as it would write it itself, so there is one right text for a number: no exponent, no zeros at
its end, no float on the way. Prices have at most five significant figures and (6 - szDecimals) decimals, (8 -
szDecimals) on spot, and whole prices are always valid; sizes have szDecimals decimals.

Source: the venue's documents, "Tick and lot size".
"""

from decimal import ROUND_FLOOR, Decimal, localcontext

from mm_daemon.domain.errors import GridError
from mm_daemon.domain.instrument import SignificantFigures, grid_ceil, grid_floor, grid_step

FIGURES = 5
_PERP_DECIMALS, _SPOT_DECIMALS = 6, 8
_DIGITS_MAX = 80


def price_grid(sz_decimals: int, *, spot: bool = False) -> SignificantFigures:
    """The venue's price rule for a market whose sizes have `sz_decimals` decimals."""
    return SignificantFigures(FIGURES, max((_SPOT_DECIMALS if spot else _PERP_DECIMALS) - sz_decimals, 0))


def to_text(units: int, decimals: int) -> str:
    """`units` of 10**-decimals as the venue writes them: `to_text(12340, 3)` is 12.34."""
    if not decimals:
        return str(units)
    digits = str(abs(units)).zfill(decimals + 1)
    whole, part = digits[:-decimals], digits[-decimals:].rstrip("0")
    sign = "-" if units < 0 else ""
    return f"{sign}{whole}.{part}" if part else f"{sign}{whole}"


def floor_units(text: str, decimals: int) -> tuple[int, bool]:
    """`text` in whole units of 10**-decimals, rounded down, and whether nothing was lost. Raises GridError."""
    number = _decimal(text)
    with localcontext(prec=_DIGITS_MAX):
        scaled = number.scaleb(decimals)
        units = scaled.to_integral_value(ROUND_FLOOR)
        return int(units), units == scaled


def price_is_valid(text: str, grid: SignificantFigures) -> bool:
    """Whether the venue takes this price; a text that is no number is no price."""
    try:
        ticks, exact = floor_units(text, grid.decimals)
    except GridError:
        return False
    return exact and ticks > 0 and grid_floor(ticks, grid) == ticks


def price_step(text: str, grid: SignificantFigures) -> str:
    """Distance between valid prices around a positive price. Raises GridError."""
    ticks, _ = floor_units(text, grid.decimals)
    return to_text(grid_step(ticks, grid), grid.decimals)


def bid_text(text: str, grid: SignificantFigures) -> str:
    """Highest valid price not above `text`. Raises GridError."""
    ticks, _ = floor_units(text, grid.decimals)
    return to_text(grid_floor(ticks, grid), grid.decimals)


def ask_text(text: str, grid: SignificantFigures) -> str:
    """Lowest valid price not below `text`. Raises GridError."""
    ticks, exact = floor_units(text, grid.decimals)
    return to_text(grid_ceil(ticks if exact else ticks + 1, grid), grid.decimals)


def size_text(text: str, sz_decimals: int) -> str:
    """`text` rounded down to a size the venue takes. Raises GridError."""
    return to_text(floor_units(text, sz_decimals)[0], sz_decimals)


def _decimal(text: str) -> Decimal:
    if len(text) > _DIGITS_MAX // 2:
        raise GridError(f"{len(text)} characters are not a number")
    try:
        number = Decimal(text)
    except ArithmeticError:
        raise GridError(f"{text!r} is not a number") from None
    if not number.is_finite() or abs(number.adjusted()) > _DIGITS_MAX // 4:
        raise GridError(f"{text!r} is not a finite number")
    return number
