"""The decision table (EXECUTION 3.4): what to do with one slot, by the first row that matches, and why.

Conditions come as a bit mask of `Reason`s. Called for every slot at every full decision, so rows are mask tests and the
tuples of reasons are remembered.
"""

from functools import lru_cache

from mm_daemon.domain.decisions import HOLD_MASK, WITHDRAW_MASK, Action, Reason, mask, reasons_in

MAX_REASONS = 4
"""A decision names at most this many reasons; the first is decisive."""

_PULLING_LOCKOUTS = mask(Reason.FILL_LOCKOUT, Reason.REJECT_LOCKOUT)
"""The order lockout is not among them: it always holds."""
_NO_BUDGET = mask(Reason.BUDGET_HOLD, Reason.ORDER_TO_TRADE)
_BUDGET_PULL = Reason.BUDGET_PULL.bit
_TOO_AGGRESSIVE, _TOO_PASSIVE = Reason.TOO_AGGRESSIVE, Reason.TOO_PASSIVE
_WITHDRAW, _HOLD = Action.WITHDRAW, Action.HOLD
_SIZE_CHANGED = Reason.SIZE_CHANGED.bit
_EXPIRY_NEAR = Reason.EXPIRY_NEAR.bit
_MIN_LIFE = Reason.MIN_LIFE.bit

Row = tuple[Action, tuple[Reason, ...]]

_QUOTE_NEW: Row = (Action.QUOTE, (Reason.NEW_QUOTE,))
_QUOTE_TOO_AGGRESSIVE: Row = (Action.QUOTE, (Reason.TOO_AGGRESSIVE,))
_QUOTE_TOO_PASSIVE: Row = (Action.QUOTE, (Reason.TOO_PASSIVE,))
_QUOTE_SIZE: Row = (Action.QUOTE, (Reason.SIZE_CHANGED,))
_QUOTE_EXPIRY: Row = (Action.QUOTE, (Reason.EXPIRY_NEAR,))
_HOLD_YOUNG: Row = (Action.HOLD, (Reason.MIN_LIFE,))
_HOLD_WITHIN: Row = (Action.HOLD, (Reason.WITHIN_TOLERANCE,))


def decide_row(conditions: int, working: bool, verdict: Reason | None, lockouts_withdraw: bool = False) -> Row:
    """(action, reasons) for one slot.

    conditions: mask of withdraw, in-flight, lockout and pacing reasons, and SIZE_CHANGED, EXPIRY_NEAR and MIN_LIFE
    (what works is too young to be moved for being too passive or of another size) where they hold; working: an order of
    ours rests in the slot; verdict: TOO_AGGRESSIVE, TOO_PASSIVE, WITHIN_TOLERANCE, or None without a target;
    lockouts_withdraw: fill and reject lockouts pull the quote instead of holding it.
    """
    if conditions:
        pulling = conditions & WITHDRAW_MASK
        lockouts = conditions & _PULLING_LOCKOUTS if lockouts_withdraw else 0
        if pulling:
            return _WITHDRAW, first_reasons(pulling | lockouts)
        if conditions & _NO_BUDGET and working and verdict is _TOO_AGGRESSIVE:
            lockouts |= _BUDGET_PULL
        if lockouts:
            return _WITHDRAW, first_reasons(lockouts)
        holding = conditions & HOLD_MASK
        if holding:
            return _HOLD, first_reasons(holding)
        if conditions & _MIN_LIFE and working and verdict is not _TOO_AGGRESSIVE:
            young = verdict is _TOO_PASSIVE or conditions & _SIZE_CHANGED
            return _HOLD_YOUNG if young else _HOLD_WITHIN
    if not working:
        return _QUOTE_NEW
    if verdict is _TOO_AGGRESSIVE:
        return _QUOTE_TOO_AGGRESSIVE
    if verdict is _TOO_PASSIVE:
        return _QUOTE_TOO_PASSIVE
    if conditions & _SIZE_CHANGED:
        return _QUOTE_SIZE
    if conditions & _EXPIRY_NEAR:
        return _QUOTE_EXPIRY
    return _HOLD_WITHIN


@lru_cache(maxsize=4096)
def first_reasons(bits: int) -> tuple[Reason, ...]:
    """The reasons of a mask in list order, four at most."""
    return reasons_in(bits)[:MAX_REASONS]
