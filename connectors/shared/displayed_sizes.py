"""Sizes a venue displays, as lots: a size between two lots is the lots that fit.

Orders older than a change of the lot size keep their odd remainder, so real books show sizes off today's grid (three
frames of the recorded spot feed do). Refusing them would void such a book for as long as the order rests. For what
others show only: our own orders and fills are exact and use `Instrument.lots_of`.
"""

from decimal import Decimal

from mm_daemon.domain.errors import GridError
from mm_daemon.domain.instrument import GridText, Instrument, to_units

_TEXT_MAX = 64


class DisplayedSizes(GridText):
    """A memo from size text to lots, at least one for any size above zero. Raises GridError for what is no size.

    `off_grid` counts the sizes that had to be floored, once per text while it is remembered.
    """

    def __init__(self, instrument: Instrument) -> None:
        super().__init__(instrument.lot, minimum=0, what=f"size of {instrument.id}")
        self._lot = instrument.lot
        self.off_grid = 0

    def __missing__(self, text: str) -> int:
        try:
            return GridText.__missing__(self, text)  # `super()` costs a tenth of the whole
        except GridError:
            lots = _floored(text, self._lot)
            if lots is None:
                raise
        self.off_grid += 1
        self[text] = lots
        return lots


def _floored(text: str, lot: Decimal) -> int | None:
    """Whole lots in a positive size that is finite and not absurd, at least one; None for anything else."""
    if len(text) > _TEXT_MAX:
        return None
    try:
        value = Decimal(text)
        return max(1, to_units(str(value - value % lot), lot)) if value > 0 else None
    except ArithmeticError:
        return None
    except GridError:  # larger than any size
        return None
