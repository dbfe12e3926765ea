"""Commands to signed requests: one account, one key, one owner of its nonces. No socket.

Called by the connector, in the task that hands the bytes to the socket: never on the core's turn.
"""

from collections.abc import Callable

import msgspec
from msgspec import UNSET

from connectors.hyperliquid import actions, numbers
from connectors.hyperliquid.signing import Signer, action_bytes, address_bytes
from connectors.shared.nonces import Nonces
from mm_daemon.domain.instrument import Instrument, SignificantFigures
from mm_daemon.domain.orders import ClientOrderId, Side

_NS_PER_MS = 1_000_000


class Asset(msgspec.Struct, frozen=True, gc=False):
    """A market in the venue's words: its number in actions, its name in reads (which need not be our symbol), the
    decimals of its numbers."""

    number: int
    coin: str
    instrument: Instrument
    price_decimals: int
    size_decimals: int
    max_leverage: int = 1

    @staticmethod
    def of(instrument: Instrument, number: int, size_decimals: int, max_leverage: int = 1) -> "Asset":
        grid = instrument.grid
        assert isinstance(grid, SignificantFigures)
        coin = instrument.wire_symbol or instrument.symbol
        return Asset(number, coin, instrument, grid.decimals, size_decimals, max_leverage)


def dex_of(coin: str) -> str:
    """The builder's dex of a market; empty: the first one, or spot."""
    return coin.partition(":")[0] if ":" in coin else ""


class Terms(msgspec.Struct, frozen=True, gc=False):
    """What an order keeps while it is amended: the venue wants the whole order again."""

    side: Side
    reduce_only: bool
    kind: actions.LimitType


def order_wire(asset: Asset, client_id: ClientOrderId, terms: Terms, ticks: int, lots: int) -> actions.OrderWire:
    """`ticks` and `lots` of the asset's instrument. Raises ValueError for a size or price of zero: the venue reads a
    reduce-only order of size 0 as the whole position."""
    if ticks <= 0 or lots <= 0:
        raise ValueError(f"order {client_id}: {ticks} ticks and {lots} lots must be positive")
    return actions.OrderWire(
        asset.number,
        terms.side is Side.BUY,
        numbers.to_text(ticks, asset.price_decimals),
        numbers.to_text(lots, asset.size_decimals),
        terms.reduce_only,
        terms.kind,
        actions.cloid(client_id),
    )


class Requests:
    """Signs for one account: the key's own, that of the master it is an agent of, or a vault or sub-account."""

    def __init__(self, signer: Signer, now_ns: Callable[[], int], *, vault: str | None = None) -> None:
        """Raises ConfigError when `vault` is no address."""
        self._signer = signer
        self._nonces = Nonces(lambda: now_ns() // _NS_PER_MS)
        self._vault = None if vault is None else address_bytes(vault)
        self._vault_text = UNSET if vault is None else vault.lower()

    def next_nonce(self) -> int:
        return self._nonces.next()

    def signed(self, action: actions.Action, *, expires_ms: int | None = None, nonce: int | None = None) -> bytes:
        """The body for `POST /exchange`. A `nonce` given again makes a rival of the action that bears it."""
        if nonce is None:
            nonce = self._nonces.next()
        signature = self._signer.sign_action(action_bytes(action), nonce, self._vault, expires_ms)
        expires = UNSET if expires_ms is None else expires_ms
        return _encode(actions.Request(action, nonce, signature, self._vault_text, expires))


_encode = msgspec.json.Encoder().encode


def post_frame(number: int, kind: str, payload: bytes) -> bytes:
    """A request as a post over the socket; the reply bears its number. `kind`: action or info."""
    return b'{"method":"post","id":%d,"request":{"type":"%b","payload":%b}}' % (number, kind.encode(), payload)
