"""dYdX's transactions: orders, cancels and batch cancels to signed bytes, and their hash.

Everything is protobuf in SIGN_MODE_DIRECT, written by hand (`protobuf.py`). What is the same in every transaction of an
account (AuthInfo, the end of the sign document) and of an order's identity (the subaccount) is written once.

Sources: FACTS sections 3 and 5; v4-chain proto/dydxprotocol/clob/{order,tx}.proto; Cosmos SDK tx.proto.
"""

import hashlib
from collections.abc import Sequence
from enum import IntEnum
from uuid import UUID, uuid5

import msgspec

from connectors.dydx.keys import Signer
from connectors.dydx.protobuf import block, fixed32, packed, set_fixed32, set_uint, text, uint, varint

PLACE = "/dydxprotocol.clob.MsgPlaceOrder"
CANCEL = "/dydxprotocol.clob.MsgCancelOrder"
BATCH_CANCEL = "/dydxprotocol.clob.MsgBatchCancel"
_TX_EXTENSION = "/dydxprotocol.accountplus.TxExtension"
_PUBLIC_KEY = "/cosmos.crypto.secp256k1.PubKey"
GAS_LIMIT = 1_000_000
"""Clob messages are free of gas; a limit must be named all the same."""
BATCH_IDS_MAX = 100
CLIENT_ID_MAX = 0xFFFFFFFF
_SIGN_MODE_DIRECT = 1
_EXTENSION_OPTIONS = 2047
_INDEXER_NAMESPACE = UUID("0f9da948-a6fb-4c45-9edc-4685c3f3317d")


class OrderFlags(IntEnum):
    """Kind of an order; part of its identity."""

    SHORT_TERM = 0
    """Lives in the nodes' memory and ends with its block."""
    CONDITIONAL = 32
    LONG_TERM = 64
    """Lives in the chain's state and ends with its time."""


class OrderSide(IntEnum):
    BUY = 1
    SELL = 2


class OrderTif(IntEnum):
    """Time in force. GTT rests what does not match; FILL_OR_KILL is refused by the chain."""

    GTT = 0
    IOC = 1
    POST_ONLY = 2
    FILL_OR_KILL = 3


class Subaccount(msgspec.Struct, frozen=True):
    """`number` 0 .. 128000: 0 .. 127 margin their positions together, the others hold isolated ones."""

    owner: str
    number: int = 0

    @property
    def uuid(self) -> UUID:
        """The indexer's name of it."""
        return uuid5(_INDEXER_NAMESPACE, f"{self.owner}-{self.number}")

    def encoded(self) -> bytes:
        return text(1, self.owner) + uint(2, self.number)


class OrderId(msgspec.Struct, frozen=True):
    """All four together are an order's identity; `client_id` is 0 .. 2^32 - 1."""

    subaccount: Subaccount
    client_id: int
    clob_pair_id: int
    flags: int = OrderFlags.SHORT_TERM

    @property
    def uuid(self) -> UUID:
        """The indexer's id of the order, known before it is sent."""
        return order_uuid(self.subaccount.uuid, self.client_id, self.clob_pair_id, self.flags)

    def encoded(self) -> bytes:
        rest = fixed32(2, self.client_id) + uint(3, self.flags) + uint(4, self.clob_pair_id)
        return block(1, self.subaccount.encoded()) + rest


def order_uuid(subaccount: UUID, client_id: int, clob_pair_id: int, flags: int = OrderFlags.SHORT_TERM) -> UUID:
    return uuid5(_INDEXER_NAMESPACE, f"{subaccount}-{client_id}-{clob_pair_id}-{flags}")


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """One order. Short-term orders name `good_til_block`, the others `good_til_time` in Unix seconds: exactly one is
    set. `quantums` is the whole size, what an order of the same identity has filled before included."""

    id: OrderId
    side: int
    quantums: int
    subticks: int
    good_til_block: int | None = None
    good_til_time: int | None = None
    tif: int = OrderTif.GTT
    reduce_only: bool = False
    client_metadata: int = 0
    condition: int = 0
    """0 none, 1 stop loss, 2 take profit."""
    trigger_subticks: int = 0
    router: str = ""

    def encoded(self) -> bytes:
        return b"".join(
            (
                block(1, self.id.encoded()),
                uint(2, self.side),
                uint(3, self.quantums),
                uint(4, self.subticks),
                b"" if self.good_til_block is None else set_uint(5, self.good_til_block),
                b"" if self.good_til_time is None else set_fixed32(6, self.good_til_time),
                uint(7, self.tif),
                uint(8, self.reduce_only),
                uint(9, self.client_metadata),
                uint(10, self.condition),
                uint(11, self.trigger_subticks),
                text(14, self.router),
            )
        )


def any_of(type_url: str, value: bytes) -> bytes:
    return text(1, type_url) + block(2, value)


def place(order: Order) -> bytes:
    """Value of a MsgPlaceOrder."""
    return block(1, order.encoded())


def cancel(order_id: OrderId, *, good_til_block: int | None = None, good_til_time: int | None = None) -> bytes:
    """Value of a MsgCancelOrder. It must not end before the order does, or the order stays on the book."""
    until = b"" if good_til_block is None else set_uint(2, good_til_block)
    until += b"" if good_til_time is None else set_fixed32(3, good_til_time)
    return block(1, order_id.encoded()) + until


def batch_cancel(subaccount: Subaccount, pairs: Sequence[tuple[int, Sequence[int]]], good_til_block: int) -> bytes:
    """Value of a MsgBatchCancel of short-term orders: client ids by clob pair, each pair once, 1 to 100 ids in all."""
    cancels = b"".join(block(2, uint(1, pair) + packed(2, client_ids)) for pair, client_ids in pairs)
    return block(1, subaccount.encoded()) + cancels + uint(3, good_til_block)


class SignedTx(msgspec.Struct, frozen=True):
    """A transaction and its parts, as they were signed."""

    body: bytes
    auth_info: bytes
    sign_bytes: bytes
    signature: bytes

    @property
    def raw(self) -> bytes:
        """TxRaw: what is broadcast."""
        return block(1, self.body) + block(2, self.auth_info) + block(3, self.signature)


def tx_hash(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest().upper()


class TxBuilder:
    """Signs for one account of one chain. `account_number` is the owner's, also when another key signs for him by
    `authenticators`: ids that he registered, one for each message.

    `sequence` counts only for what the chain keeps in its state; short-term messages are signed over it and it may be
    any number. A number from 2^40 on is read as milliseconds of time and used once, instead of a count.
    """

    __slots__ = (
        "_auth_info",
        "_auth_part",
        "_chain_part",
        "_extension",
        "_fee_part",
        "_memo",
        "_sign",
        "_sign_tail",
        "_signer_part",
    )

    def __init__(
        self,
        signer: Signer,
        *,
        chain_id: str,
        account_number: int,
        sequence: int = 0,
        memo: str = "",
        authenticators: Sequence[int] = (),
        gas_limit: int = GAS_LIMIT,
        fee: Sequence[tuple[str, str]] = (),
    ) -> None:
        """`fee` is (denom, amount) each; clob messages pay none."""
        self._sign = signer.sign
        self._memo = text(2, memo)
        key = any_of(_PUBLIC_KEY, block(1, signer.public_key))
        mode = block(1, uint(1, _SIGN_MODE_DIRECT))
        coins = b"".join(block(1, text(1, denom) + text(2, amount)) for denom, amount in fee)
        self._signer_part = block(1, key) + block(2, mode)
        self._fee_part = block(2, coins + uint(2, gas_limit))
        self._chain_part = text(3, chain_id) + uint(4, account_number)
        self._auth_info = self._auth(sequence)
        self._auth_part = block(2, self._auth_info)
        self._sign_tail = self._auth_part + self._chain_part
        option = any_of(_TX_EXTENSION, packed(1, authenticators))
        self._extension = block(_EXTENSION_OPTIONS, option) if authenticators else b""

    def _auth(self, sequence: int) -> bytes:
        return block(1, self._signer_part + uint(3, sequence)) + self._fee_part

    def body(self, *messages: bytes) -> bytes:
        """TxBody of messages in their `any_of` form. One with a short-term message must have no other."""
        return b"".join([block(1, message) for message in messages]) + self._memo + self._extension

    def build(self, *messages: bytes) -> SignedTx:
        """The transaction with all its parts, for whoever wants to compare them."""
        body = self.body(*messages)
        sign_bytes = block(1, body) + self._sign_tail
        return SignedTx(body, self._auth_info, sign_bytes, self._sign(sign_bytes))

    def raw(self, message: bytes) -> bytes:
        """The signed bytes of one message in its `any_of` form: the short way to `build(message).raw`."""
        body = b"".join((b"\x0a", varint(len(message)), message, self._memo, self._extension))
        first = b"".join((b"\x0a", varint(len(body)), body))
        return b"".join((first, self._auth_part, b"\x1a\x40", self._sign(first + self._sign_tail)))

    def sequenced(self, message: bytes, sequence: int) -> bytes:
        """As `raw`, with a sequence of its own: what the chain keeps in its state wants one."""
        body, auth_info = self.body(message), self._auth(sequence)
        sign_bytes = block(1, body) + block(2, auth_info) + self._chain_part
        return SignedTx(body, auth_info, sign_bytes, self._sign(sign_bytes)).raw


class ShortTermOrders:
    """Messages about the short-term orders of one subaccount in one market, in their `any_of` form: the hot path, with
    everything written before that is the same in all of them."""

    __slots__ = ("_id_head", "_id_tail", "_pair_id", "_subaccount")

    def __init__(self, subaccount: Subaccount, clob_pair_id: int) -> None:
        self._id_head = block(1, subaccount.encoded()) + b"\x15"
        self._id_tail = uint(4, clob_pair_id)
        self._pair_id = clob_pair_id
        self._subaccount = subaccount

    def place(
        self,
        client_id: int,
        side: int,
        quantums: int,
        subticks: int,
        good_til_block: int,
        tif: int,
        reduce_only: bool,
        metadata: int = 0,
    ) -> bytes:
        identity = self._identity(client_id)
        order = b"".join(
            (
                b"\x0a",
                varint(len(identity)),
                identity,
                b"\x10",
                varint(side),
                b"\x18",
                varint(quantums),
                b"\x20",
                varint(subticks),
                b"\x28",
                varint(good_til_block),
                _TIFS[tif],
                b"\x40\x01" if reduce_only else b"",
                b"\x48" + varint(metadata) if metadata else b"",
            )
        )
        return _PLACE_HEAD + block(2, b"\x0a" + varint(len(order)) + order)

    def cancel(self, client_id: int, good_til_block: int) -> bytes:
        identity = self._identity(client_id)
        value = b"".join((b"\x0a", varint(len(identity)), identity, b"\x10", varint(good_til_block)))
        return _CANCEL_HEAD + block(2, value)

    def _identity(self, client_id: int) -> bytes:
        if not client_id:  # proto3 writes no zero
            return self._id_head[:-1] + self._id_tail
        return self._id_head + client_id.to_bytes(4, "little") + self._id_tail


_TIFS = tuple(uint(7, tif) for tif in OrderTif)
_PLACE_HEAD, _CANCEL_HEAD = text(1, PLACE), text(1, CANCEL)
