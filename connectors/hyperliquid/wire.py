"""Hyperliquid market-data frames as typed structs, decoded in one pass straight from the bytes.

Every frame of the venue is `{"channel": ..., "data": ...}`; the channels we use are one union tagged by that name.
Prices and sizes, which the venue writes as text, are read straight as floats (`connectors/shared/displayed.py` makes
ticks and lots of them). Unknown fields are skipped; times and ids are bounded, so that everything made from them fits
64 bits. Only `translate.py` uses these.
"""

from typing import Annotated

import msgspec
from msgspec import Meta, field

Id = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
Millis = Annotated[int, Meta(ge=0, le=9_000_000_000_000)]


class Level(msgspec.Struct, frozen=True, gc=False):
    """One price and all that rests there; hashable, because most levels of a book are those of the book before."""

    price: float = field(name="px")
    size: float = field(name="sz")


class Book(msgspec.Struct, gc=False):
    """The best levels of both sides, best first, as of a block. `spread` is only in aggregated books."""

    coin: str
    time_ms: Millis = field(name="time")
    levels: tuple[list[Level], list[Level]]
    spread: str | None = None


class Best(msgspec.Struct, gc=False):
    """Best bid and ask as of a block; None for a side on which nothing rests."""

    coin: str
    time_ms: Millis = field(name="time")
    bbo: tuple[Level | None, Level | None]


class Trade(msgspec.Struct, gc=False):
    """One print. `side` is the aggressor's: B bought, A sold."""

    coin: str
    side: str
    price: float = field(name="px")
    size: float = field(name="sz")
    time_ms: Millis = field(name="time")
    trade_id: Id = field(name="tid")


class Prices(msgspec.Struct, gc=False):
    """What the venue reckons of a market: its mark, and of a perpetual the running estimate of its hourly funding."""

    mark: float | None = field(name="markPx", default=None)
    funding: float | None = None


class Context(msgspec.Struct, gc=False):
    coin: str
    prices: Prices = field(name="ctx")


class BookFrame(msgspec.Struct, tag_field="channel", tag="l2Book", gc=False):
    data: Book


class BestFrame(msgspec.Struct, tag_field="channel", tag="bbo", gc=False):
    data: Best


class TradesFrame(msgspec.Struct, tag_field="channel", tag="trades", gc=False):
    data: list[Trade]


class ContextFrame(msgspec.Struct, tag_field="channel", tag="activeAssetCtx", gc=False):
    data: Context


class SpotContextFrame(msgspec.Struct, tag_field="channel", tag="activeSpotAssetCtx", gc=False):
    """What a subscription to `activeAssetCtx` brings for a spot pair."""

    data: Context


Frame = BookFrame | BestFrame | TradesFrame | ContextFrame | SpotContextFrame

decode = msgspec.json.Decoder(Frame, strict=False).decode
"""Not strict, so that text becomes the number it spells. Raises msgspec.DecodeError on any other frame."""
