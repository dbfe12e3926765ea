"""Transactions as the venue's signer takes them, each with the limits that the wire sets.

The signer takes C integers and wraps silently what does not fit, so every number is checked here, before anything is
called. Prices and amounts are whole numbers of the market's steps; times are milliseconds.
"""

from typing import Protocol

import msgspec

from mm_daemon.domain.errors import GridError

CREATE, CANCEL, CANCEL_ALL, MODIFY, UPDATE_LEVERAGE = 14, 15, 16, 17, 20
"""Types of transactions."""

LIMIT, MARKET = 0, 1
IOC, GOOD_TILL_TIME, POST_ONLY = 0, 1, 2
AT_ONCE, SCHEDULED, ABORT = 0, 1, 2
"""When a cancel-all takes effect."""
ALL_MARKETS = 255

BASE_MAX = (1 << 48) - 1
PRICE_MAX = (1 << 32) - 1
CLIENT_INDEX_MAX = (1 << 48) - 1
ORDER_INDEX_MAX = (1 << 60) - 1
NONCE_MAX = (1 << 47) - 1


class CreateOrder(msgspec.Struct, frozen=True, kw_only=True):
    market: int
    client_index: int
    base: int
    price: int
    ask: bool
    order_type: int = LIMIT
    time_in_force: int = POST_ONLY
    reduce_only: bool = False
    expiry_ms: int = 0
    """0 for what does not rest."""


class CancelOrder(msgspec.Struct, frozen=True, kw_only=True):
    """`index`: the client's below 2**48, the venue's from there on."""

    market: int
    index: int


class ModifyOrder(msgspec.Struct, frozen=True, kw_only=True):
    """`base` is the new total size, the filled part included."""

    market: int
    index: int
    base: int
    price: int


class CancelAllOrders(msgspec.Struct, frozen=True, kw_only=True):
    when: int = AT_ONCE
    time_ms: int = 0


class ShutOut(msgspec.Struct, frozen=True, kw_only=True):
    """Calls a scheduled cancel-all off, and nothing else. It may bear any later nonce, and none below it is taken after
    that."""


class UpdateLeverage(msgspec.Struct, frozen=True, kw_only=True):
    """`margin_fraction` in 1/10000: 500 is twenty-fold leverage."""

    market: int
    margin_fraction: int
    isolated: bool


Transaction = CreateOrder | CancelOrder | ModifyOrder | CancelAllOrders | ShutOut | UpdateLeverage


class Signed(msgspec.Struct, frozen=True):
    """A signed transaction; the venue answers with the same hash, which is therefore known before anything is sent."""

    tx_type: int
    tx_info: str
    """JSON text."""
    tx_hash: str
    nonce: int
    key_index: int

    @property
    def wire_ref(self) -> str:
        """Nonce, hash and key, as evidence of what was sent; `key_of` reads the key again."""
        return f"{self.nonce}:{self.tx_hash}:{self.key_index}"


def key_of(wire_ref: str) -> int | None:
    """The key that a `wire_ref` names; None: it is of a version that named none."""
    _, _, rest = wire_ref.partition(":")
    _, _, index = rest.partition(":")
    return int(index) if index.isdecimal() else None


class SignsTransactions(Protocol):
    """What signs for one account."""

    async def sign(self, transactions: list[tuple[Transaction, int]], key_index: int) -> list[Signed]:
        """Sign transactions, each with its nonce, under one of the account's keys, in their order. Raises GridError for
        a number that the venue's wire cannot carry, ConfigError when the signer refuses."""
        ...

    async def auth_token(self, deadline_s: int, key_index: int) -> str:
        """A token for private reads until then. Raises ConfigError when the signer refuses."""
        ...


def check(transaction: Transaction, nonce: int) -> None:
    """Raises GridError for a number that the signer would wrap or the venue refuse."""
    _within("nonce", nonce, 0, NONCE_MAX)
    if isinstance(transaction, CreateOrder | ModifyOrder):
        _within("base amount", transaction.base, 1, BASE_MAX)
        _within("price", transaction.price, 1, PRICE_MAX)
    if isinstance(transaction, CreateOrder):
        _within("client order index", transaction.client_index, 1, CLIENT_INDEX_MAX)
        _within("order expiry", transaction.expiry_ms, 0, 1 << 53)
    elif isinstance(transaction, CancelOrder | ModifyOrder):
        _within("order index", transaction.index, 1, ORDER_INDEX_MAX)
    elif isinstance(transaction, CancelAllOrders):
        _within("time of cancel-all", transaction.time_ms, 0, 1 << 53)
    if not isinstance(transaction, CancelAllOrders | ShutOut):
        _within("market", transaction.market, 0, 4094)


def _within(what: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise GridError(f"{what} {value} is outside {least}..{most}, which Lighter's transactions can carry")
