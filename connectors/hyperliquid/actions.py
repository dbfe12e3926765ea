"""Hyperliquid's actions and the requests that carry them, as structs whose fields stand in the order that is hashed.

One struct is written twice: as msgpack, which is hashed, and as JSON, which is sent. What an action does not use is
absent in both (`UNSET`), never null: the venue would hash something else.
"""

from typing import Final

import msgspec
from msgspec import UNSET, UnsetType

from connectors.hyperliquid.signing import Signature
from mm_daemon.domain.orders import ClientOrderId

_CLOID_PREFIX: Final = "0x6d6d2d6461656d6f6e00"
"""`mm-daemon` in ASCII and a zero: what the client order ids of this daemon begin with."""
_ID_DIGITS = 12
_CLOID_LENGTH = 34


class Tif(msgspec.Struct, frozen=True, gc=False):
    tif: str


class LimitType(msgspec.Struct, frozen=True, gc=False):
    limit: Tif


ALO: Final = LimitType(Tif("Alo"))
IOC: Final = LimitType(Tif("Ioc"))
GTC: Final = LimitType(Tif("Gtc"))
"""Post-only; take and vanish; rest."""


class OrderWire(msgspec.Struct, gc=False):
    """One order: asset, is buy, price, size, reduce-only, type, client order id."""

    a: int
    b: bool
    p: str
    s: str
    r: bool
    t: LimitType
    c: str | UnsetType = UNSET


class CancelWire(msgspec.Struct, gc=False):
    a: int
    o: int


class CancelByCloidWire(msgspec.Struct, gc=False):
    asset: int
    cloid: str


class ModifyWire(msgspec.Struct, gc=False):
    """`oid`: the venue's number, or the client order id of the order that is to be replaced."""

    oid: int | str
    order: OrderWire


class Place(msgspec.Struct, tag_field="type", tag="order", gc=False):
    orders: list[OrderWire]
    grouping: str = "na"


class Cancel(msgspec.Struct, tag_field="type", tag="cancel", gc=False):
    cancels: list[CancelWire]
    f: bool | UnsetType = UNSET
    """True: ahead of others in a block. Never false: the venue refuses that."""


class CancelByCloid(msgspec.Struct, tag_field="type", tag="cancelByCloid", gc=False):
    cancels: list[CancelByCloidWire]
    f: bool | UnsetType = UNSET


class BatchModify(msgspec.Struct, tag_field="type", tag="batchModify", gc=False):
    modifies: list[ModifyWire]


class ScheduleCancel(msgspec.Struct, tag_field="type", tag="scheduleCancel", gc=False):
    """Cancel everything at `time`, ms; without one the switch is disarmed."""

    time: int | UnsetType = UNSET


class UpdateLeverage(msgspec.Struct, tag_field="type", tag="updateLeverage", gc=False):
    asset: int
    isCross: bool
    leverage: int


class Noop(msgspec.Struct, tag_field="type", tag="noop", gc=False):
    """Burns a nonce: with the one of an action under way, whichever comes first is the only one."""


Action = Place | Cancel | CancelByCloid | BatchModify | ScheduleCancel | UpdateLeverage | Noop


class Request(msgspec.Struct, gc=False):
    """The body of `POST /exchange`, and the payload of a post over the socket."""

    action: Action
    nonce: int
    signature: Signature
    vaultAddress: str | UnsetType = UNSET
    expiresAfter: int | UnsetType = UNSET


def cloid(client_id: ClientOrderId) -> str:
    """Our client order id in the venue's form, 16 bytes in lower case: the text itself is hashed."""
    return f"{_CLOID_PREFIX}{client_id:0{_ID_DIGITS}x}"


def client_id(text: str | None) -> ClientOrderId | None:
    """The id of ours that a `cloid` of the venue stands for; None for what is not ours."""
    if text is None or len(text) != _CLOID_LENGTH or not text.startswith(_CLOID_PREFIX):
        return None
    try:
        return ClientOrderId(int(text[-_ID_DIGITS:], 16))
    except ValueError:
        return None
