"""What CheckTx of a node says of a transaction, in our words.

Source: FACTS section 6 (v4-chain x/clob/types/errors.go, x/accountplus/types/errors.go; Cosmos SDK errors).
"""

from connectors.dydx import wire
from mm_daemon.domain.orders import RejectKind

_DONE = frozenset({("", 0), ("sdk", 19)})
"""Answers that mean taken; 19: the same bytes were taken before."""
_CLOB_KINDS = {
    4: RejectKind.INVALID,
    6: RejectKind.INVALID,
    7: RejectKind.GONE,
    8: RejectKind.HALTED,
    9: RejectKind.GONE,
    12: RejectKind.INVALID,
    24: RejectKind.FILLED,
    34: RejectKind.HALTED,
    2001: RejectKind.REDUCE_ONLY,
    2003: RejectKind.POST_ONLY_CROSS,
    3006: RejectKind.GONE,
    3007: RejectKind.INSUFFICIENT_MARGIN,
    3008: RejectKind.GONE,
    5001: RejectKind.RATE_LIMITED,
    9003: RejectKind.REDUCE_ONLY,
}
_WRONG_HEIGHT = (10, 11)


def taken(result: wire.TxResult) -> bool:
    return (result.codespace, result.code) in _DONE


def key_refused(result: wire.TxResult) -> bool:
    """The key may not sign for the account: starting again will not help."""
    return result.codespace == "accountplus" or (result.codespace == "sdk" and result.code in (4, 8, 9))


def height_refused(result: wire.TxResult) -> bool:
    return result.codespace == "clob" and result.code in _WRONG_HEIGHT


def limited(result: wire.TxResult) -> bool:
    return result.codespace == "clob" and result.code == 5001


def sequence_refused(result: wire.TxResult) -> bool:
    """A timestamp nonce that is out of its window, used before, or older than what the chain remembers."""
    return result.codespace == "sdk" and result.code == 32


def refusal(result: wire.TxResult) -> tuple[RejectKind, str]:
    kind = _CLOB_KINDS.get(result.code, RejectKind.OTHER) if result.codespace == "clob" else RejectKind.OTHER
    return kind, f"{result.codespace} {result.code}: {result.log}"[:200]
