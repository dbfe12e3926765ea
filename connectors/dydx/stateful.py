"""Long-term orders: those that live in the chain's state, and outlive us.

A transaction about one is signed with a timestamp nonce in place of the account's sequence: milliseconds that the chain
takes once, and only while its block time is no more than 30 s away from them. So a nonce that is dated back says until
when its transaction can land: that is the proof that a command whose outcome is unknown is dead.

An order ends with the first block whose time has reached the second that it names. It cannot be replaced.

Source: FACTS sections 4, 5, 8 and 9 (v4-chain x/accountplus/keeper/timestampnonce.go, x/clob/keeper/orders.go).
"""

from connectors.dydx import tx

NONCE_WINDOW_MS = 30_000
COMMAND_LIFE_MS = 5000
"""How long a command can land that names no end of its own; shorter than the core's is never asked for."""
LONGEST_S = 95 * 86_400
"""Furthest that an order or a cancel may end, from the present block on."""
_SLACK_S = 3600
_NS_PER_MS = 1_000_000
_NS_PER_S = 10**9


class Nonces:
    """The one owner of an account's timestamp nonces: each is greater than the one before.

    The chain takes none below the smallest of the last 20 that it keeps: should somebody else sign 20 transactions of
    the account with later ones within seconds, ours are refused until time has caught up.
    """

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last = 0

    def take(self, venue_ns: int, expires_ns: int | None = None) -> int:
        """The nonce of a transaction of now that cannot land any more when block time is past `expires_ns`, by which
        more than the window is cut short. Both by the venue's clock."""
        now_ms = venue_ns // _NS_PER_MS
        until_ms = now_ms + COMMAND_LIFE_MS if expires_ns is None else expires_ns // _NS_PER_MS
        self._last = max(min(until_ms - NONCE_WINDOW_MS, now_ms), self._last + 1)
        return self._last


def place(
    order_id: tx.OrderId, side: int, quantums: int, subticks: int, good_til_time: int, tif: int, metadata: int
) -> bytes:
    """A MsgPlaceOrder in its `any_of` form."""
    order = tx.Order(
        id=order_id,
        side=side,
        quantums=quantums,
        subticks=subticks,
        good_til_time=good_til_time,
        tif=tif,
        client_metadata=metadata,
    )
    return tx.any_of(tx.PLACE, tx.place(order))


def cancel(order_id: tx.OrderId, venue_ns: int) -> bytes:
    """A MsgCancelOrder in its `any_of` form: it ends as late as may be, so never before its order."""
    return tx.any_of(tx.CANCEL, tx.cancel(order_id, good_til_time=venue_ns // _NS_PER_S + LONGEST_S - _SLACK_S))
