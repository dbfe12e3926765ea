"""Exact money: integers of 10**-18 of the settlement currency ("atto"), unbounded in memory, a pair in the journal.

A pair is (whole, atto) with value = whole + atto * 1e-18 and 0 <= atto < 10**18, so that each half fits 64 bits
(EXECUTION 7b). Nothing here rounds in our favour.
"""

from decimal import ROUND_FLOOR, Context, Decimal, InvalidOperation

from mm_daemon.domain.errors import GridError

ATTO = 10**18
MoneyPair = tuple[int, int]

_WIDE = Context(prec=60)


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
    """(atto, rest) of a decimal text, floored; `rest` is the part below one atto, in atto. Raises GridError."""
    try:
        scaled = _WIDE.multiply(Decimal(text), Decimal(ATTO))
        floored = scaled.to_integral_value(ROUND_FLOOR)
        return int(floored), scaled - floored
    except (InvalidOperation, ValueError, OverflowError):
        raise GridError(f"money: {text!r} is not a finite number") from None
