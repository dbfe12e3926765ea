"""The neutral venue's side of its protocol: what it reads and what it says, as typed structs.

Written from the protocol and not from the connector, which has structs of its own: a misunderstanding of one side shall
not hide on the other. Prices and sizes are decimal text, times nanoseconds of the venue's clock.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

SideWord = Literal["buy", "sell"]
Level = tuple[str, str]
"""Price and size."""

_ClientId = Annotated[int, Meta(ge=0, lt=1 << 62)]
_Text = Annotated[str, Meta(min_length=1, max_length=64)]
BATCH_MAX = 10


class _Asked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a client sends: unknown fields are an error, so that a misspelt one is noticed."""


# Requests


class PlaceItem(_Asked, frozen=True, kw_only=True):
    client_id: _ClientId
    symbol: _Text
    side: SideWord
    price: _Text
    size: _Text
    post_only: bool = False
    reduce_only: bool = False
    time_in_force: Literal["gtc", "ioc"] = "gtc"
    expires_ns: int | None = None


class AmendItem(_Asked, frozen=True, kw_only=True):
    """`size` is the new total, what has been filled included."""

    client_id: _ClientId
    symbol: _Text
    price: _Text
    size: _Text
    expires_ns: int | None = None


class CancelItem(_Asked, frozen=True, kw_only=True):
    client_id: _ClientId
    symbol: _Text


class PlaceRequest(_Asked, frozen=True, kw_only=True):
    orders: Annotated[tuple[PlaceItem, ...], Meta(min_length=1, max_length=BATCH_MAX)]


class AmendRequest(_Asked, frozen=True, kw_only=True):
    orders: Annotated[tuple[AmendItem, ...], Meta(min_length=1, max_length=BATCH_MAX)]


class CancelRequest(_Asked, frozen=True, kw_only=True):
    orders: Annotated[tuple[CancelItem, ...], Meta(min_length=1, max_length=BATCH_MAX)]


class DeadManRequest(_Asked, frozen=True, kw_only=True):
    """Cancel everything when `timeout_ms` pass without another of these; null: disarm."""

    timeout_ms: Annotated[int, Meta(ge=1000, le=3_600_000)] | None


class Login(_Asked, frozen=True, kw_only=True, tag_field="op", tag="login"):
    key: str
    time_ms: int
    nonce: int
    sign: str


class Subscribe(_Asked, frozen=True, kw_only=True, tag_field="op", tag="subscribe"):
    symbols: Annotated[tuple[_Text, ...], Meta(min_length=1, max_length=100)]


StreamRequest = Login | Subscribe


# Replies


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why something was refused. `code` is one of a closed list, `text` is for people. `time_ns`: when it was so, where
    that matters: an order that is not known yet may be on its way."""

    code: str
    text: str = ""
    bucket: str | None = None
    retry_after_ms: int | None = None
    time_ns: int | None = None


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """The body of every answer whose status is not 200."""

    error: Problem


class OrderReport(msgspec.Struct, frozen=True, kw_only=True):
    """An order and what was last done to it. `updated_ns` grows with every change of the order."""

    what: Literal["accepted", "amended", "canceled", "filled"]
    client_id: int
    order_id: str
    symbol: str
    side: SideWord
    price: str
    size: str
    filled: str
    updated_ns: int


class Result(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of one item of a batch, or of an order asked for: a report, or an error."""

    client_id: int
    symbol: str | None = None
    order: OrderReport | None = None
    error: Problem | None = None


class Results(msgspec.Struct, frozen=True, kw_only=True):
    results: list[Result]


class Canceled(msgspec.Struct, frozen=True, kw_only=True):
    """Every order that was open and is not any more."""

    canceled: list[OrderReport]


class InstrumentRow(msgspec.Struct, frozen=True, kw_only=True):
    symbol: str
    base: str
    quote: str
    tick: str
    lot: str
    min_size: str
    max_size: str | None
    min_notional: str
    maker_fee_ppm: int
    taker_fee_ppm: int
    tradable: bool


class Instruments(msgspec.Struct, frozen=True, kw_only=True):
    instruments: list[InstrumentRow]


class Book(msgspec.Struct, frozen=True, kw_only=True):
    """A whole book as of the update numbered `update`."""

    symbol: str
    update: int
    time_ns: int
    bids: list[Level]
    asks: list[Level]


class OpenOrders(msgspec.Struct, frozen=True, kw_only=True):
    orders: list[OrderReport]


class PositionRow(msgspec.Struct, frozen=True, kw_only=True):
    symbol: str
    size: str


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """Orders and positions of one instant: every fill and payment up to `time_ns` is in them, none after it."""

    time_ns: int
    orders: list[OrderReport]
    positions: list[PositionRow]


class FillRow(msgspec.Struct, frozen=True, kw_only=True):
    """`fee` is what was charged, negative for a rebate. `number` counts the account's fills without a hole."""

    number: int
    fill_id: str
    client_id: int
    order_id: str
    symbol: str
    side: SideWord
    price: str
    size: str
    maker: bool
    fee: str
    time_ns: int


class Fills(msgspec.Struct, frozen=True, kw_only=True):
    """Oldest first. `next`: the number to ask from for what follows; null: this was all."""

    fills: list[FillRow]
    next: int | None


class PaymentRow(msgspec.Struct, frozen=True, kw_only=True):
    """Funding: positive when it was received."""

    payment_id: str
    symbol: str
    amount: str
    time_ns: int


class Payments(msgspec.Struct, frozen=True, kw_only=True):
    payments: list[PaymentRow]


class Time(msgspec.Struct, frozen=True, kw_only=True):
    time_ns: int


class DeadMan(msgspec.Struct, frozen=True, kw_only=True):
    deadline_ns: int | None


# Stream


class BookMessage(msgspec.Struct, frozen=True, kw_only=True, tag_field="channel", tag="book"):
    """Levels that changed, with their whole size; size 0: gone. Updates of a symbol are numbered without a hole."""

    symbol: str
    update: int
    time_ns: int
    bids: list[Level]
    asks: list[Level]


class TradeMessage(msgspec.Struct, frozen=True, kw_only=True, tag_field="channel", tag="trade"):
    symbol: str
    trade: int
    taker: SideWord
    price: str
    size: str
    time_ns: int


class MarkMessage(msgspec.Struct, frozen=True, kw_only=True, tag_field="channel", tag="mark"):
    symbol: str
    price: str
    time_ns: int


class FundingMessage(msgspec.Struct, frozen=True, kw_only=True, tag_field="channel", tag="funding"):
    """The rate expected for the present period, as a share of the position's worth; positive: longs pay."""

    symbol: str
    rate: str
    due_ns: int
    period_ns: int
    time_ns: int


class OrderMessage(msgspec.Struct, frozen=True, kw_only=True, tag_field="channel", tag="order"):
    order: OrderReport


class FillMessage(msgspec.Struct, frozen=True, kw_only=True, tag_field="channel", tag="fill"):
    fill: FillRow


class PaymentMessage(msgspec.Struct, frozen=True, kw_only=True, tag_field="channel", tag="payment"):
    payment: PaymentRow


class LoginMessage(msgspec.Struct, frozen=True, kw_only=True, tag_field="channel", tag="login"):
    """Private messages follow from here on. `time_ns`: every fill after it will be told."""

    time_ns: int


class ErrorMessage(msgspec.Struct, frozen=True, kw_only=True, tag_field="channel", tag="error"):
    error: Problem


PublicMessage = BookMessage | TradeMessage | MarkMessage | FundingMessage
PrivateMessage = OrderMessage | FillMessage | PaymentMessage
Message = PublicMessage | PrivateMessage
