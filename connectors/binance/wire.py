"""Binance market-data frames as typed structs, decoded in one pass straight from the bytes.

The envelope is decoded together with its payload, as a union tagged by the event type `e`. On the recordings that costs
no more than a decoder that knows the payload beforehand; peeking at the stream name first nearly doubles a small frame,
and decoding envelope and payload apart costs a quarter more on depth. Prices and sizes, which the venue writes
as text, are read straight as floats (`connectors/shared/displayed.py` makes ticks and lots of them). Unknown fields are
skipped; ids and times are bounded, so that everything made from them fits 64 bits. Only `translate.py` uses these.
"""

from collections.abc import Callable
from typing import Annotated, Any

import msgspec
from msgspec import Meta, field

Id = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
Millis = Annotated[int, Meta(ge=0, le=9_000_000_000_000)]
Level = tuple[float, float]
"""Price and size."""

_EVENT_TYPE_WITHIN = 96


class Depth(msgspec.Struct, tag_field="e", tag="depthUpdate", gc=False):
    """Absolute sizes of changed levels. `previous_id` (`pu`) and the matching time `T` are only on futures."""

    symbol: str = field(name="s")
    first_id: Id = field(name="U")
    last_id: Id = field(name="u")
    bids: list[Level] = field(name="b")
    asks: list[Level] = field(name="a")
    pushed_ms: Millis = field(name="E")
    matched_ms: Millis = field(name="T", default=0)
    previous_id: int = field(name="pu", default=-1)


class Trade(msgspec.Struct, tag_field="e", tag="trade", gc=False):
    """One print. `type_` (`X`) is only on futures; `buyer_is_maker` means that a seller took."""

    symbol: str = field(name="s")
    trade_id: Id = field(name="t")
    price: float = field(name="p")
    quantity: float = field(name="q")
    buyer_is_maker: bool = field(name="m")
    matched_ms: Millis = field(name="T")
    type_: str = field(name="X", default="MARKET")


class AggregateTrade(msgspec.Struct, tag_field="e", tag="aggTrade", gc=False):
    """All fills of one taker order at one price within 100 ms."""

    symbol: str = field(name="s")
    trade_id: Id = field(name="a")
    price: float = field(name="p")
    quantity: float = field(name="q")
    buyer_is_maker: bool = field(name="m")
    matched_ms: Millis = field(name="T")
    type_: str = field(name="X", default="MARKET")


class BookTicker(msgspec.Struct, gc=False):
    """Best prices, as spot sends them: without an event type and without a time."""

    symbol: str = field(name="s")
    update_id: Id = field(name="u")
    bid: float = field(name="b")
    bid_size: float = field(name="B")
    ask: float = field(name="a")
    ask_size: float = field(name="A")
    matched_ms: Millis = field(name="T", default=0)


class FuturesBookTicker(BookTicker, tag_field="e", tag="bookTicker", gc=False):
    """The same on futures, with its event type."""


class DepthSnapshot(msgspec.Struct, gc=False):
    """The REST depth reply; spot's has no time. It does not name its symbol."""

    last_id: Id = field(name="lastUpdateId")
    bids: list[Level]
    asks: list[Level]
    matched_ms: Millis = field(name="T", default=0)


FuturesPayload = Depth | Trade | AggregateTrade | FuturesBookTicker
SpotEvent = Depth | Trade | AggregateTrade
Payload = FuturesPayload | BookTicker


class FuturesEnvelope(msgspec.Struct, gc=False):
    stream: str
    data: FuturesPayload


class SpotEnvelope(msgspec.Struct, gc=False):
    stream: str
    data: SpotEvent


class SpotTickerEnvelope(msgspec.Struct, gc=False):
    stream: str
    data: BookTicker


Envelope = FuturesEnvelope | SpotEnvelope | SpotTickerEnvelope


class Wire(msgspec.Struct, frozen=True):
    """How the frames of one of the venue's markets are decoded. All raise msgspec.DecodeError on any other frame."""

    wrapped: Callable[[bytes], Envelope]
    """`{"stream": ..., "data": payload}`"""
    bare: Callable[[bytes], Payload]
    """The payload alone."""
    converted: Callable[[dict[str, Any]], Payload]
    """A payload that was already decoded without types: for frames in an unusual order."""


def _decode(kind: Any) -> Callable[[bytes], Any]:
    """Not strict, so that text becomes the number it spells."""
    return msgspec.json.Decoder(kind, strict=False).decode


def _has_event_type(frame: bytes) -> bool:
    """Of spot's streams only bookTicker carries none; where present it stands right behind the stream name."""
    return frame.find(b'"e":', 0, _EVENT_TYPE_WITHIN) >= 0


def _spot_wrapped(frame: bytes) -> Envelope:
    return _spot_envelope(frame) if _has_event_type(frame) else _spot_ticker_envelope(frame)


def _spot_bare(frame: bytes) -> Payload:
    return _spot_event(frame) if _has_event_type(frame) else _ticker(frame)


def _spot_converted(body: dict[str, Any]) -> Payload:
    return msgspec.convert(body, SpotEvent if "e" in body else BookTicker, strict=False)


_spot_envelope: Callable[[bytes], SpotEnvelope] = _decode(SpotEnvelope)
_spot_ticker_envelope: Callable[[bytes], SpotTickerEnvelope] = _decode(SpotTickerEnvelope)
_spot_event: Callable[[bytes], SpotEvent] = _decode(SpotEvent)
_ticker: Callable[[bytes], BookTicker] = _decode(BookTicker)

FUTURES = Wire(
    wrapped=_decode(FuturesEnvelope),
    bare=_decode(FuturesPayload),
    converted=lambda body: msgspec.convert(body, FuturesPayload, strict=False),
)
SPOT = Wire(wrapped=_spot_wrapped, bare=_spot_bare, converted=_spot_converted)
