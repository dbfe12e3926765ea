"""What the neutral venue says, as typed structs decoded straight from the bytes. Only this package uses them.

Prices and sizes of the market, which the venue writes as text, are read as floats (`connectors/shared/displayed.py`
makes ticks and lots of them); those of our own orders and fills stay text and become exact. Unknown fields are skipped,
so that a venue may add some; numbers are bounded, so that everything made from them fits 64 bits.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Id = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
Nanos = Annotated[int, Meta(ge=0, le=(1 << 62) - 1)]
Level = tuple[float, float]
"""Price and size."""
SideWord = Literal["buy", "sell"]


class Problem(msgspec.Struct, gc=False):
    code: str
    text: str = ""
    bucket: str | None = None
    retry_after_ms: Annotated[int, Meta(ge=0, le=86_400_000)] | None = None
    time_ns: Nanos = 0


class Refusal(msgspec.Struct, gc=False):
    error: Problem


class Order(msgspec.Struct, gc=False):
    what: Literal["accepted", "amended", "canceled", "filled"]
    client_id: Id
    order_id: str
    symbol: str
    side: SideWord
    price: str
    size: str
    filled: str
    updated_ns: Nanos


class Result(msgspec.Struct, gc=False):
    client_id: Id
    symbol: str = ""
    order: Order | None = None
    error: Problem | None = None


class Results(msgspec.Struct, gc=False):
    results: list[Result]


class Canceled(msgspec.Struct, gc=False):
    canceled: list[Order]


class Instrument(msgspec.Struct, gc=False):
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


class Instruments(msgspec.Struct, gc=False):
    instruments: list[Instrument]


class BookReply(msgspec.Struct, gc=False):
    symbol: str
    update: Id
    time_ns: Nanos
    bids: list[Level]
    asks: list[Level]


class Position(msgspec.Struct, gc=False):
    symbol: str
    size: str


class Account(msgspec.Struct, gc=False):
    time_ns: Nanos
    orders: list[Order]
    positions: list[Position]


class FillRow(msgspec.Struct, gc=False):
    fill_id: str
    client_id: Id
    order_id: str
    symbol: str
    side: SideWord
    price: str
    size: str
    maker: bool
    fee: str
    time_ns: Nanos


class Fills(msgspec.Struct, gc=False):
    fills: list[FillRow]
    next: Id | None


class PaymentRow(msgspec.Struct, gc=False):
    payment_id: str
    symbol: str
    amount: str
    time_ns: Nanos


class Payments(msgspec.Struct, gc=False):
    payments: list[PaymentRow]


class Time(msgspec.Struct, gc=False):
    time_ns: Nanos


class DeadMan(msgspec.Struct, gc=False):
    deadline_ns: Nanos | None


# Stream


class Book(msgspec.Struct, tag_field="channel", tag="book", gc=False):
    symbol: str
    update: Id
    time_ns: Nanos
    bids: list[Level]
    asks: list[Level]


class Trade(msgspec.Struct, tag_field="channel", tag="trade", gc=False):
    symbol: str
    trade: Id
    taker: SideWord
    price: float
    size: float
    time_ns: Nanos


class Mark(msgspec.Struct, tag_field="channel", tag="mark", gc=False):
    symbol: str
    price: float
    time_ns: Nanos


class Funding(msgspec.Struct, tag_field="channel", tag="funding", gc=False):
    symbol: str
    rate: float
    due_ns: Nanos
    period_ns: Nanos
    time_ns: Nanos


class OrderChanged(msgspec.Struct, tag_field="channel", tag="order", gc=False):
    order: Order


class Filled(msgspec.Struct, tag_field="channel", tag="fill", gc=False):
    fill: FillRow


class Paid(msgspec.Struct, tag_field="channel", tag="payment", gc=False):
    payment: PaymentRow


class LoggedIn(msgspec.Struct, tag_field="channel", tag="login", gc=False):
    time_ns: Nanos


class StreamError(msgspec.Struct, tag_field="channel", tag="error", gc=False):
    error: Problem


Message = Book | Trade | Mark | Funding | OrderChanged | Filled | Paid | LoggedIn | StreamError

message = msgspec.json.Decoder(Message, strict=False).decode
book_reply = msgspec.json.Decoder(BookReply, strict=False).decode
