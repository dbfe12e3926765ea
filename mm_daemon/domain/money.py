"""Exact money: integers of 10**-18 of the settlement currency ("atto"), unbounded in memory, a pair in the journal.

A pair is (whole, atto) with value = whole + atto * 1e-18 and 0 <= atto < 10**18, so that each half fits 64 bits
(EXECUTION 7b). Nothing here rounds in our favour.
"""

from decimal import ROUND_FLOOR, Context, Decimal, InvalidOperation

from mm_daemon.domain.errors import GridError

ATTO = 10**18
MoneyPair = tuple[int, int]

_WIDE = Context(prec=60)
_MOST_ATTO = ATTO << 63
"""Of what a venue says; sums of it have room in a pair for as long as anybody trades."""


def to_pair(atto: int) -> MoneyPair:
    return divmod(atto, ATTO)


def from_pair(pair: MoneyPair) -> int:
    return pair[0] * ATTO + pair[1]


def to_decimal(atto: int) -> Decimal:
    """The exact value, without trailing zeros and never in scientific notation when formatted with `:f`."""
    value = _WIDE.divide(Decimal(atto), Decimal(ATTO)).normalize(_WIDE)
    return value if value else Decimal(0)


def to_text(atto: int) -> str:
    return f"{to_decimal(atto):f}"


def from_text(text: str) -> tuple[int, Decimal]:
    """(atto, rest) of a decimal text, floored; `rest` is the part below one atto, in atto. Raises GridError, also for
    more than a pair can hold.
    """
    try:
        scaled = _WIDE.multiply(Decimal(text), Decimal(ATTO))
        floored = scaled.to_integral_value(ROUND_FLOOR)
        atto = int(floored)
    except (InvalidOperation, ValueError, OverflowError):
        raise GridError(f"money: {text!r} is not a finite number") from None
    if not -_MOST_ATTO <= atto < _MOST_ATTO:
        raise GridError(f"money: {text!r} is more than 2^63")
    return atto, scaled - floored
