"""Reasons and differences in the words of a person who looks at a screen. The codes stay the same everywhere else."""

from mm_daemon.domain.decisions import Action, Decision, Doubt, Reason
from mm_daemon.domain.reconciliation import Diff, DiffKind

WORDS: dict[Reason, str] = {
    Reason.KILL_LATCHED: "killed",
    Reason.SHUTDOWN: "stopping",
    Reason.OPERATOR_PAUSED: "paused",
    Reason.MARKET_DISABLED: "disabled",
    Reason.STARTING: "not reconciled yet",
    Reason.JOURNAL_FAULT: "journal cannot be written",
    Reason.LOOP_STALL: "event loop stalled",
    Reason.CLOCK_SKEW: "clock differs from the venue's",
    Reason.VENUE_DOWN: "venue is not connected",
    Reason.VENUE_BANNED: "venue has banned us",
    Reason.RECONCILING: "differs from the venue",
    Reason.UNRESOLVED_ORDER: "an outcome is unknown",
    Reason.MARKET_HALTED: "venue has halted it",
    Reason.SESSION_CLOSED: "outside its hours",
    Reason.STOP_LOSS: "position lost too much",
    Reason.POSITION_AGE: "position is too old",
    Reason.LOSS_LIMIT: "loss of the day at its limit",
    Reason.BOOK_INVALID: "no trusted book",
    Reason.BOOK_STALE: "book is too old",
    Reason.NO_REFERENCE: "a side of the book is empty",
    Reason.MODEL_NOT_READY: "model has not seen enough",
    Reason.BAD_NUMBER: "model gave no usable number",
    Reason.COST_TOO_HIGH: "costs too high for any fill",
    Reason.TOXIC_FLOW: "flow is toxic",
    Reason.FILL_BURST: "filled too often",
    Reason.VOLATILITY_HALT: "too volatile",
    Reason.MAX_POSITION: "position limit reached",
    Reason.MAX_NOTIONAL: "value limit reached",
    Reason.SIZE_BELOW_MIN: "too small for the venue",
    Reason.PRICE_COLLAR: "price is outside the collar",
    Reason.LEVEL_MERGED: "same price as a better level",
    Reason.LEVEL_UNUSED: "level not in use",
    Reason.GRID_CHANGED: "contract has changed",
    Reason.MARGIN_LOW: "margin is low",
    Reason.BUDGET_PULL: "message budget, too close",
    Reason.PLACE_PENDING: "being placed",
    Reason.AMEND_PENDING: "being moved",
    Reason.CANCEL_PENDING: "being cancelled",
    Reason.ORDER_UNKNOWN: "outcome unknown",
    Reason.FILL_LOCKOUT: "pause after fill",
    Reason.ORDER_LOCKOUT: "pause after move",
    Reason.REJECT_LOCKOUT: "pause after reject",
    Reason.VENUE_BACKOFF: "venue asked to slow down",
    Reason.ORDER_TO_TRADE: "too many messages per fill",
    Reason.BUDGET_HOLD: "message budget",
    Reason.MIN_LIFE: "too young to move",
    Reason.WITHIN_TOLERANCE: "close enough",
    Reason.NEW_QUOTE: "new",
    Reason.TOO_AGGRESSIVE: "was too aggressive",
    Reason.TOO_PASSIVE: "was too passive",
    Reason.SIZE_CHANGED: "size changed",
    Reason.EXPIRY_NEAR: "was too old or about to expire",
    Reason.UNKNOWN_FENCE: "fencing an unknown order",
    Reason.ORPHAN: "order nobody here remembers",
    Reason.FOREIGN: "order of somebody else",
    Reason.SURPLUS: "more orders than wanted",
    Reason.OPERATOR_CANCEL: "cancelled by a person",
    Reason.DEAD_MAN: "venue's own switch",
    Reason.HEDGE: "hedge",
    Reason.FLATTEN: "closing the position",
}

DOUBTS: dict[Doubt, str] = {
    Doubt.VOLATILITY_WARMING: "volatility is warming up",
    Doubt.INTENSITY_WARMING: "no good fit of A and k yet",
    Doubt.INTENSITY_POOR: "fit of A and k is poor",
    Doubt.INTENSITY_OLD: "last good fit of A, k is old",
    Doubt.MICROPRICE_WARMING: "microprice is not adjusted yet",
}

DIFFERENCES: dict[DiffKind, str] = {
    DiffKind.FILL_UNSEEN: "a fill we had not heard of",
    DiffKind.ORDER_MISSING_ONCE: "order not shown, this once",
    DiffKind.ORDER_MISSING: "order not shown",
    DiffKind.ORDER_EXTRA_OURS: "order nobody here remembers",
    DiffKind.ORDER_FOREIGN: "order of somebody else",
    DiffKind.ORDER_SIZE: "order of another size",
    DiffKind.ORDER_PRICE: "order at another price",
    DiffKind.POSITION: "another position",
    DiffKind.POSITION_NOT_COMPARED: "position changed meanwhile",
    DiffKind.POSITION_UNEXPLAINED: "position nothing explains",
    DiffKind.POSITION_ADOPTED: "position taken over",
    DiffKind.ORDER_DEAD: "order proven dead",
    DiffKind.AMEND_DEAD: "move proven not to be made",
}

_ACTIONS = {Action.QUOTE: "quote", Action.HOLD: "keep", Action.WITHDRAW: "none"}


def in_words(decision: Decision, left_ms: dict[Reason, int]) -> str:
    """`keep: pause after fill, 0.6 s`. `left_ms`: what is left of the lockouts that run."""
    said = []
    for reason in decision.reasons:
        left = left_ms.get(reason)
        said.append(WORDS[reason] if left is None else f"{WORDS[reason]}, {-(-left // 100) / 10:.1f} s")
    return f"{_ACTIONS[decision.action]}: {'; '.join(said)}"


def difference(diff: Diff) -> str:
    """`another position (position 5)`."""
    return f"{DIFFERENCES[diff.kind]} ({diff.kind} {diff.subject})"
