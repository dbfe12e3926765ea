"""The P&L identity over a list of events, in any number type (MODELS 7.6): the yardstick for reports and tests.

The daemon's own books are `engine/inventory.py`, exact on the instrument's grid; this takes sizes and prices as they
are. With `Decimal` or `Fraction` the parts equal the total exactly, with floats up to rounding.
"""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any, Generic, TypeVar

import msgspec

from mm_daemon.domain.errors import DomainError

Number = TypeVar("Number", float, Decimal, Fraction)


class PnlParts(msgspec.Struct, Generic[Number], frozen=True):
    """`total = spread + inventory + fees + funding = cash + position * last mid`, with cash starting at `-q0 m0`."""

    total: Number
    spread: Number
    inventory: Number
    fees: Number
    funding: Number
    position: Number
    cash: Number
    stale_mids: int


def pnl(q0: Number, m0: Number, events: Iterable[Sequence[Any]]) -> PnlParts[Number]:
    """Events: `("fill", signed quantity, price, mid at the fill or None, fee)`, `("mark", mid)`, `("funding", mark,
    rate)`.

    A fee is what was paid (negative: a rebate); longs pay a positive rate. A fill without a mid uses the last one and
    is counted in `stale_mids`. Raises DomainError for any other event.
    """
    zero = q0 * 0
    position, mid = q0, m0
    spread = inventory = fees = funding = zero
    cash = -q0 * m0
    stale = 0
    for kind, *numbers in events:
        if kind == "fill":
            quantity, price, seen, fee = numbers
            if seen is None:
                stale += 1
            else:
                inventory += position * (seen - mid)
                mid = seen
            spread += quantity * (mid - price)
            fees -= fee
            position += quantity
            cash -= quantity * price + fee
        elif kind == "mark":
            inventory += position * (numbers[0] - mid)
            mid = numbers[0]
        elif kind == "funding":
            mark, rate = numbers
            paid = position * mark * rate
            funding -= paid
            cash -= paid
        else:
            raise DomainError(f"P&L event {kind!r} is none of fill, mark, funding")
    return PnlParts(spread + inventory + fees + funding, spread, inventory, fees, funding, position, cash, stale)
