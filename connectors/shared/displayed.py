"""What a venue displays, prices and sizes read as floats, turned into ticks and lots without losing exactness.

The float nearest to `n` ticks is the float that the venue's text was read as, or the text was no whole number of
ticks: so one division and one comparison tell exactly (to the sixteen digits of a float) whether a number lies on the
grid, and nothing need be remembered. A memo of texts is slower, because its tens of thousands of entries do not stay in
the processor's cache between two frames.

A size between two lots is the lots that fit: orders older than a change of the lot size keep their odd remainder, so
real books show sizes off today's grid (three frames of the recorded spot feed do), and refusing them would void such a
book for as long as the order rests. This is for what others show only; our own orders and fills are exact.
"""

from collections.abc import Iterable
from decimal import Decimal
from math import floor

from mm_daemon.domain.errors import GridError
from mm_daemon.domain.events import Levels
from mm_daemon.domain.instrument import Instrument, to_units

_UP = 1.0 + 1e-14
"""Lifts a product that rounding left just under a whole number. Beyond 1e14 units, and below zero, it makes a wrong
guess of a right one, so that such numbers go the long way too."""


class Displayed:
    """Grids of one instrument. `off_grid` counts the sizes that had to be floored."""

    __slots__ = ("_instrument", "_lots_guess", "_lots_in_one", "_ticks_guess", "_ticks_in_one", "off_grid")

    def __init__(self, instrument: Instrument) -> None:
        self._instrument = instrument
        self._ticks_in_one = float(1 / instrument.tick)
        self._lots_in_one = float(1 / instrument.lot)
        self._ticks_guess = self._ticks_in_one * _UP
        self._lots_guess = self._lots_in_one * _UP
        self.off_grid = 0

    def levels(self, levels: Iterable[tuple[float, float]]) -> Levels:
        """(ticks, lots) of (price, size) pairs. Raises GridError."""
        ticks_in_one, ticks_guess = self._ticks_in_one, self._ticks_guess
        lots_in_one, lots_guess = self._lots_in_one, self._lots_guess
        exact: list[tuple[int, int]] = []
        try:
            for price, size in levels:
                ticks, lots = floor(price * ticks_guess), floor(size * lots_guess)
                if ticks / ticks_in_one != price or lots / lots_in_one != size or not ticks:
                    ticks, lots = self._unusual_ticks(price), self._unusual_lots(size)
                exact.append((ticks, lots))
        except GridError:  # is a ValueError, and says itself what is wrong
            raise
        except (ValueError, OverflowError):  # not a number, or infinite
            raise GridError(f"level of {self._instrument.id}: a number is not finite") from None
        return tuple(exact)

    def ticks(self, price: float) -> int:
        """Raises GridError for anything but a positive price on the grid."""
        try:
            ticks = floor(price * self._ticks_guess)
        except (ValueError, OverflowError):
            raise self._refused("price", price) from None
        return ticks if ticks / self._ticks_in_one == price and ticks else self._unusual_ticks(price)

    def lots(self, size: float) -> int:
        """Zero is a size, anything above it at least one lot. Raises GridError for what is no size."""
        try:
            lots = floor(size * self._lots_guess)
        except (ValueError, OverflowError):
            raise self._refused("size", size) from None
        return lots if lots / self._lots_in_one == size else self._unusual_lots(size)

    def _unusual_ticks(self, price: float) -> int:
        """By decimal arithmetic, for steps and numbers that floats do not settle."""
        ticks = to_units(repr(price), self._instrument.tick, f"price of {self._instrument.id}")
        if ticks < 1:
            raise self._refused("price", price)
        return ticks

    def _unusual_lots(self, size: float) -> int:
        lot = self._instrument.lot
        exact = Decimal(repr(size))
        try:
            rest = exact % lot
        except ArithmeticError:  # more digits than any size has
            raise self._refused("size", size) from None
        if exact < 0:
            raise self._refused("size", size)
        lots = to_units(str(exact - rest), lot, f"size of {self._instrument.id}")
        if not rest:
            return lots
        self.off_grid += 1
        return max(1, lots)

    def _refused(self, what: str, number: float) -> GridError:
        return GridError(f"{what} of {self._instrument.id}: {number} is no {what}")
