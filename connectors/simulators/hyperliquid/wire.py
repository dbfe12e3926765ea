"""What clients send, as the venue reads it: typed, and written again in the venue's own order of keys.

The venue does not hash the bytes it gets but its own msgpack of what it understood: keys in its order, numbers in their
shortest text, unknown keys gone. Whoever signed anything else has signed for another address.
"""

from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

Nonce = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
Cloid = Annotated[str, Meta(pattern="^0x[0-9a-fA-F]{32}$")]
Address = Annotated[str, Meta(pattern="^0x[0-9a-fA-F]{40}$")]
NumberText = Annotated[str, Meta(max_length=40)]


def shortest(text: str) -> str:
    """A number as the venue writes it; what is no number is left as it is, to be refused by its name."""
    try:
        number = Decimal(text)
    except InvalidOperation:
        return text
    if not number.is_finite() or abs(number.adjusted()) > 40:
        return text
    plain = f"{number:f}"
    return plain.rstrip("0").rstrip(".") if "." in plain else plain


class Tif(msgspec.Struct):
    tif: Literal["Alo", "Ioc", "Gtc"]


class Trigger(msgspec.Struct):
    isMarket: bool
    triggerPx: NumberText
    tpsl: Literal["tp", "sl"]


class OrderType(msgspec.Struct):
    limit: Tif | UnsetType = UNSET
    trigger: Trigger | UnsetType = UNSET


class Order(msgspec.Struct):
    a: Annotated[int, Meta(ge=0)]
    b: bool
    p: NumberText
    s: NumberText
    r: bool
    t: OrderType
    c: Cloid | UnsetType = UNSET


class Builder(msgspec.Struct):
    b: Address
    f: int


class Priority(msgspec.Struct):
    p: int


class CancelItem(msgspec.Struct):
    a: Annotated[int, Meta(ge=0)]
    o: Annotated[int, Meta(ge=0)]


class CloidItem(msgspec.Struct):
    asset: Annotated[int, Meta(ge=0)]
    cloid: Cloid


class ModifyItem(msgspec.Struct):
    oid: Annotated[int, Meta(ge=0)] | Cloid
    order: Order


class PlaceAction(msgspec.Struct, tag_field="type", tag="order"):
    orders: list[Order]
    grouping: Literal["na", "normalTpsl", "positionTpsl"] | Priority
    builder: Builder | UnsetType = UNSET


class CancelAction(msgspec.Struct, tag_field="type", tag="cancel"):
    """`f`: true, or not there at all."""

    cancels: list[CancelItem]
    f: bool | UnsetType = UNSET


class CancelByCloidAction(msgspec.Struct, tag_field="type", tag="cancelByCloid"):
    cancels: list[CloidItem]
    f: bool | UnsetType = UNSET


class ModifyAction(msgspec.Struct, tag_field="type", tag="modify"):
    oid: Annotated[int, Meta(ge=0)] | Cloid
    order: Order


class BatchModifyAction(msgspec.Struct, tag_field="type", tag="batchModify"):
    modifies: list[ModifyItem]


class ScheduleCancelAction(msgspec.Struct, tag_field="type", tag="scheduleCancel"):
    time: Nonce | UnsetType = UNSET


class UpdateLeverageAction(msgspec.Struct, tag_field="type", tag="updateLeverage"):
    asset: Annotated[int, Meta(ge=0)]
    isCross: bool
    leverage: int


class NoopAction(msgspec.Struct, tag_field="type", tag="noop"):
    pass


class ReserveAction(msgspec.Struct, tag_field="type", tag="reserveRequestWeight"):
    weight: Annotated[int, Meta(ge=1)]


class CreateSubAccountAction(msgspec.Struct, tag_field="type", tag="createSubAccount"):
    name: Annotated[str, Meta(min_length=1, max_length=16)]


class SubAccountTransferAction(msgspec.Struct, tag_field="type", tag="subAccountTransfer"):
    """`usd`: in units of 1e-6 USDC."""

    subAccountUser: Address
    isDeposit: bool
    usd: Annotated[int, Meta(ge=1)]


class ApproveAgentAction(msgspec.Struct, tag_field="type", tag="approveAgent"):
    """Signed by the user in a domain of its own, not as an L1 action."""

    signatureChainId: Annotated[str, Meta(pattern="^0x[0-9a-fA-F]{1,16}$")]
    hyperliquidChain: Literal["Mainnet", "Testnet"]
    agentAddress: Address
    nonce: Nonce
    agentName: str | None = None


OrderAction = PlaceAction | ModifyAction | BatchModifyAction
Action = (
    PlaceAction
    | CancelAction
    | CancelByCloidAction
    | ModifyAction
    | BatchModifyAction
    | ScheduleCancelAction
    | UpdateLeverageAction
    | NoopAction
    | ReserveAction
    | CreateSubAccountAction
    | SubAccountTransferAction
    | ApproveAgentAction
)


class Signature(msgspec.Struct):
    r: Annotated[str, Meta(pattern="^0x[0-9a-fA-F]{1,64}$")]
    s: Annotated[str, Meta(pattern="^0x[0-9a-fA-F]{1,64}$")]
    v: int


class ExchangeRequest(msgspec.Struct):
    """The body of `POST /exchange`; null and absent are the same."""

    action: Action
    nonce: Nonce
    signature: Signature
    vaultAddress: Address | None = None
    expiresAfter: Nonce | None = None


class InfoRequest(msgspec.Struct):
    """The body of `POST /info`: which keys are needed depends on the type."""

    type: str
    user: Address | None = None
    coin: str | None = None
    dex: str = ""
    oid: int | str | None = None
    startTime: int | None = None
    endTime: int | None = None
    nSigFigs: int | None = None
    mantissa: int | None = None
    aggregateByTime: bool = False


class Subscription(msgspec.Struct):
    type: str
    coin: str | None = None
    user: Address | None = None
    nSigFigs: int | None = None
    mantissa: int | None = None
    fast: bool = False
    interval: str | None = None
    aggregateByTime: bool | None = None
    dex: str | None = None


class PostRequest(msgspec.Struct):
    type: Literal["action", "info", "explorer"]
    payload: msgspec.Raw


class SocketRequest(msgspec.Struct):
    """One frame from a client."""

    method: Literal["subscribe", "unsubscribe", "ping", "post"]
    subscription: Subscription | None = None
    id: int | None = None
    request: PostRequest | None = None


def normalised(action: Action) -> Action:
    """The action with the numbers as the venue writes them; changed in place."""
    orders: list[Order] = []
    if isinstance(action, PlaceAction):
        orders = action.orders
    elif isinstance(action, ModifyAction):
        orders = [action.order]
    elif isinstance(action, BatchModifyAction):
        orders = [item.order for item in action.modifies]
    for order in orders:
        order.p, order.s = shortest(order.p), shortest(order.s)
        if isinstance(order.t.trigger, Trigger):
            order.t.trigger.triggerPx = shortest(order.t.trigger.triggerPx)
    return action


def canonical(action: Action) -> bytes:
    """What the venue hashes."""
    return msgspec.msgpack.encode(action)


def builtins(value: object) -> Any:
    return msgspec.to_builtins(value)
