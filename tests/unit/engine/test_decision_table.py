"""Rows of the decision table beyond the public vectors."""

from mm_daemon.domain.decisions import Action, Reason, mask
from mm_daemon.engine.decision_table import MAX_REASONS, decide_row

_WITHIN = Reason.WITHIN_TOLERANCE


def test_at_most_four_reasons_in_list_order() -> None:
    """The most important reason decides, however the mask was put together."""
    everything = mask(
        Reason.MARGIN_LOW,
        Reason.BOOK_STALE,
        Reason.SHUTDOWN,
        Reason.MAX_POSITION,
        Reason.VENUE_DOWN,
        Reason.FILL_LOCKOUT,
    )
    action, reasons = decide_row(everything, True, _WITHIN, lockouts_withdraw=True)
    assert action is Action.WITHDRAW
    assert reasons == (Reason.SHUTDOWN, Reason.VENUE_DOWN, Reason.BOOK_STALE, Reason.MAX_POSITION)
    assert len(reasons) == MAX_REASONS


def test_pulling_lockouts_are_named_after_the_withdraw_reasons() -> None:
    """Row 1 adds fill and reject lockouts, never the order lockout."""
    conditions = mask(Reason.BOOK_STALE, Reason.REJECT_LOCKOUT, Reason.ORDER_LOCKOUT)
    assert decide_row(conditions, True, _WITHIN, lockouts_withdraw=True) == (
        Action.WITHDRAW,
        (Reason.BOOK_STALE, Reason.REJECT_LOCKOUT),
    )
    assert decide_row(conditions, True, _WITHIN) == (Action.WITHDRAW, (Reason.BOOK_STALE,))


def test_hold_names_flight_lockout_and_pacing_together() -> None:
    """Rows 3 to 5 share their reasons."""
    conditions = mask(Reason.VENUE_BACKOFF, Reason.PLACE_PENDING, Reason.ORDER_LOCKOUT)
    assert decide_row(conditions, False, None) == (
        Action.HOLD,
        (Reason.PLACE_PENDING, Reason.ORDER_LOCKOUT, Reason.VENUE_BACKOFF),
    )


def test_spent_budget_holds_an_empty_slot() -> None:
    """Only a working order that is too aggressive is pulled for want of budget."""
    assert decide_row(Reason.BUDGET_HOLD.bit, False, None) == (Action.HOLD, (Reason.BUDGET_HOLD,))


def test_price_goes_before_size_and_size_before_expiry() -> None:
    """Rows 7 to 11 in their order."""
    late = mask(Reason.SIZE_CHANGED, Reason.EXPIRY_NEAR)
    assert decide_row(late, True, Reason.TOO_PASSIVE)[1] == (Reason.TOO_PASSIVE,)
    assert decide_row(late, True, _WITHIN) == (Action.QUOTE, (Reason.SIZE_CHANGED,))
    assert decide_row(Reason.EXPIRY_NEAR.bit, True, _WITHIN) == (Action.QUOTE, (Reason.EXPIRY_NEAR,))
    assert decide_row(0, True, _WITHIN) == (Action.HOLD, (_WITHIN,))
    assert decide_row(late, False, None) == (Action.QUOTE, (Reason.NEW_QUOTE,))


def test_youth_holds_what_is_not_urgent() -> None:
    """Too passive or of another size waits; too aggressive, empty and withdrawn do not; what is right is just right."""
    young, size, old = Reason.MIN_LIFE.bit, Reason.SIZE_CHANGED.bit, Reason.EXPIRY_NEAR.bit
    held = (Action.HOLD, (Reason.MIN_LIFE,))
    assert decide_row(young, True, Reason.TOO_PASSIVE) == held
    assert decide_row(young | size, True, Reason.WITHIN_TOLERANCE) == held
    assert decide_row(young | size, True, Reason.TOO_AGGRESSIVE) == (Action.QUOTE, (Reason.TOO_AGGRESSIVE,))
    assert decide_row(young, True, Reason.WITHIN_TOLERANCE) == (Action.HOLD, (Reason.WITHIN_TOLERANCE,))
    assert decide_row(young, False, None) == (Action.QUOTE, (Reason.NEW_QUOTE,))
    assert decide_row(young | Reason.BOOK_STALE.bit, True, Reason.TOO_PASSIVE)[0] is Action.WITHDRAW
    assert decide_row(young | Reason.ORDER_LOCKOUT.bit, True, Reason.TOO_PASSIVE)[1] == (Reason.ORDER_LOCKOUT,)
    assert decide_row(old, True, Reason.WITHIN_TOLERANCE) == (Action.QUOTE, (Reason.EXPIRY_NEAR,))
