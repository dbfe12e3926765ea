"""Transactions as the chain reads them: protobuf bytes to messages. Written apart from the connector's own encoder, so
that no misunderstanding can hide on both sides.

Sources: v4-chain proto/dydxprotocol/{clob,accountplus,subaccounts}; Cosmos SDK proto/cosmos/tx/v1beta1/tx.proto.
"""

import hashlib
from collections.abc import Callable, Mapping
from uuid import UUID, uuid5

import msgspec
from coincurve import PublicKey

NAMESPACE = UUID("0f9da948-a6fb-4c45-9edc-4685c3f3317d")
SHORT_TERM, CONDITIONAL, LONG_TERM, TWAP = 0, 32, 64, 128
_SIGNATURE_BYTES = 64
_HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0

Field = int | bytes


class Unreadable(Exception):
    """Bytes that are no message of the kind that was expected."""


class OrderId(msgspec.Struct, frozen=True):
    owner: str
    number: int
    client_id: int
    flags: int
    pair_id: int

    @property
    def short_term(self) -> bool:
        return self.flags == SHORT_TERM

    @property
    def subaccount_uuid(self) -> str:
        return str(uuid5(NAMESPACE, f"{self.owner}-{self.number}"))

    @property
    def uuid(self) -> str:
        return str(uuid5(NAMESPACE, f"{self.subaccount_uuid}-{self.client_id}-{self.pair_id}-{self.flags}"))


class Place(msgspec.Struct, frozen=True):
    id: OrderId
    side: int
    quantums: int
    subticks: int
    good_til_block: int | None
    good_til_time: int | None
    tif: int
    reduce_only: bool
    metadata: int
    condition: int
    trigger_subticks: int
    router: str
    digest: bytes
    """SHA-256 of the order's bytes: what decides between two versions that expire at one block."""


class Cancel(msgspec.Struct, frozen=True):
    id: OrderId
    good_til_block: int | None
    good_til_time: int | None


class BatchCancel(msgspec.Struct, frozen=True):
    owner: str
    number: int
    batches: tuple[tuple[int, tuple[int, ...]], ...]
    good_til_block: int


Message = Place | Cancel | BatchCancel


class Tx(msgspec.Struct, frozen=True):
    messages: tuple[Message, ...]
    timeout_height: int
    authenticators: tuple[int, ...] | None
    """Ids of permissioned keys; None: the owner's own key has signed."""
    public_key: bytes
    sequence: int
    signature: bytes
    body: bytes
    auth_info: bytes

    def signed_for(self, chain_id: str, account_number: int) -> bool:
        """Whether the signature is that of the key named, for this chain and account number."""
        document = _block(1, self.body) + _block(2, self.auth_info) + _block(3, chain_id.encode())
        if account_number:
            document += b"\x20" + _varint(account_number)
        r, s = int.from_bytes(self.signature[:32]), int.from_bytes(self.signature[32:])
        if len(self.signature) != _SIGNATURE_BYTES or not r or not 0 < s <= _HALF_ORDER:
            return False
        der = b"\x02" + _number(r) + b"\x02" + _number(s)
        try:
            key = PublicKey(self.public_key)
            return bool(key.verify(b"\x30" + bytes((len(der),)) + der, hashlib.sha256(document).digest(), hasher=None))
        except ValueError:
            return False


def decode(raw: bytes) -> Tx:
    """A transaction's messages and who signed it. Raises Unreadable, also for messages that trade nothing."""
    tx = _fields(raw)
    body_bytes, auth_bytes = _bytes(tx, 1), _bytes(tx, 2)
    body, auth = _fields(body_bytes), _fields(auth_bytes)
    signer = _fields(_bytes(auth, 1))
    key = _fields(_bytes(signer, 1))
    mode = _fields(_bytes(_fields(_bytes(signer, 2)), 1))
    if _text(key, 1) != "/cosmos.crypto.secp256k1.PubKey" or _int(mode, 1) != 1:
        raise Unreadable("only secp256k1 keys and SIGN_MODE_DIRECT are taken")
    messages = tuple(_message(_fields(_block_of(each))) for each in body.get(1, []))
    if not messages:
        raise Unreadable("must contain at least one message")
    authenticators: tuple[int, ...] | None = None
    for option in body.get(2047, []):
        extension = _fields(_block_of(option))
        if _text(extension, 1) == "/dydxprotocol.accountplus.TxExtension":
            authenticators = _packed(_fields(_bytes(extension, 2)), 1)
    return Tx(
        messages=messages,
        timeout_height=_int(body, 3),
        authenticators=authenticators or None,
        public_key=_bytes(_fields(_bytes(key, 2)), 1),
        sequence=_int(signer, 3),
        signature=_bytes(tx, 3),
        body=body_bytes,
        auth_info=auth_bytes,
    )


def tx_hash(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest().upper()


# Messages


def _message(any_fields: Mapping[int, list[Field]]) -> Message:
    name, value = _text(any_fields, 1), _fields(_bytes(any_fields, 2))
    decoder = _MESSAGES.get(name)
    if decoder is None:
        raise Unreadable(f"no concrete type registered for type URL {name}")
    return decoder(value)


def _place(value: Mapping[int, list[Field]]) -> Place:
    encoded = _bytes(value, 1)
    order = _fields(encoded)
    return Place(
        id=_order_id(_fields(_bytes(order, 1))),
        side=_int(order, 2),
        quantums=_int(order, 3),
        subticks=_int(order, 4),
        good_til_block=_int(order, 5) if 5 in order else None,
        good_til_time=_int(order, 6) if 6 in order else None,
        tif=_int(order, 7),
        reduce_only=bool(_int(order, 8)),
        metadata=_int(order, 9),
        condition=_int(order, 10),
        trigger_subticks=_int(order, 11),
        router=_text(order, 14),
        digest=hashlib.sha256(encoded).digest(),
    )


def _cancel(value: Mapping[int, list[Field]]) -> Cancel:
    return Cancel(
        id=_order_id(_fields(_bytes(value, 1))),
        good_til_block=_int(value, 2) if 2 in value else None,
        good_til_time=_int(value, 3) if 3 in value else None,
    )


def _batch_cancel(value: Mapping[int, list[Field]]) -> BatchCancel:
    subaccount = _fields(_bytes(value, 1))
    batches = [_fields(_block_of(each)) for each in value.get(2, [])]
    return BatchCancel(
        owner=_text(subaccount, 1),
        number=_int(subaccount, 2),
        batches=tuple((_int(batch, 1), _packed(batch, 2)) for batch in batches),
        good_til_block=_int(value, 3),
    )


def _order_id(fields: Mapping[int, list[Field]]) -> OrderId:
    subaccount = _fields(_bytes(fields, 1))
    return OrderId(
        owner=_text(subaccount, 1),
        number=_int(subaccount, 2),
        client_id=_int(fields, 2),
        flags=_int(fields, 3),
        pair_id=_int(fields, 4),
    )


_MESSAGES: Mapping[str, Callable[[Mapping[int, list[Field]]], Message]] = {
    "/dydxprotocol.clob.MsgPlaceOrder": _place,
    "/dydxprotocol.clob.MsgCancelOrder": _cancel,
    "/dydxprotocol.clob.MsgBatchCancel": _batch_cancel,
}


# Protobuf


def _fields(data: bytes) -> dict[int, list[Field]]:
    """Values by field number, in their order. Raises Unreadable."""
    found: dict[int, list[Field]] = {}
    at = 0
    while at < len(data):
        tag, at = _read_varint(data, at)
        number, kind = tag >> 3, tag & 7
        value: Field
        if kind == 0:
            value, at = _read_varint(data, at)
        elif kind == 2:
            length, at = _read_varint(data, at)
            value, at = data[at : at + length], at + length
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
            value, at = int.from_bytes(data[at : at + length], "little"), at + length
        else:
            raise Unreadable(f"wire type {kind}")
        if at > len(data) or not number:
            raise Unreadable("unexpected EOF")
        found.setdefault(number, []).append(value)
    return found


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for place in range(10):
        if at >= len(data):
            raise Unreadable("unexpected EOF")
        byte = data[at]
        at += 1
        value |= (byte & 127) << 7 * place
        if byte < 128:
            return value, at
    raise Unreadable("a number is longer than 64 bits")


def _int(fields: Mapping[int, list[Field]], number: int) -> int:
    value = fields.get(number, [0])[-1]
    if not isinstance(value, int):
        raise Unreadable(f"field {number} is no number")
    return value


def _bytes(fields: Mapping[int, list[Field]], number: int) -> bytes:
    return _block_of(fields.get(number, [b""])[-1])


def _block_of(value: Field) -> bytes:
    if not isinstance(value, bytes):
        raise Unreadable("a field is no message")
    return value


def _text(fields: Mapping[int, list[Field]], number: int) -> str:
    try:
        return _bytes(fields, number).decode()
    except UnicodeDecodeError:
        raise Unreadable(f"field {number} is no text") from None


def _packed(fields: Mapping[int, list[Field]], number: int) -> tuple[int, ...]:
    """A repeated number, packed or not: readers must take both."""
    values: list[int] = []
    for part in fields.get(number, []):
        if isinstance(part, int):
            values.append(part)
            continue
        at = 0
        while at < len(part):
            value, at = _read_varint(part, at)
            values.append(value)
    return tuple(values)


def _varint(value: int) -> bytes:
    data = bytearray()
    while value > 127:
        data.append(value & 127 | 128)
        value >>= 7
    return bytes((*data, value))


def _block(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _number(value: int) -> bytes:
    """An integer of a DER signature with its length."""
    data = value.to_bytes(value.bit_length() // 8 + 1)
    return bytes((len(data),)) + data
