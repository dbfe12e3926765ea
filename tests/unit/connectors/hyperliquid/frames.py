"""Hyperliquid frames as the venue writes them, with only what a test cares about said aloud."""

from decimal import Decimal

import msgspec

from connectors.hyperliquid.translate import HyperliquidTranslator
from mm_daemon.domain.instrument import Instrument, SignificantFigures, Venue

VENUE = Venue("hyperliquid")
BTC = Instrument(
    venue=VENUE,
    symbol="BTC",
    base="BTC",
    quote="USDC",
    tick=Decimal("0.1"),
    lot=Decimal("0.00001"),
    grid=SignificantFigures(figures=5, decimals=1),
)
ETH = Instrument(
    venue=VENUE,
    symbol="ETH",
    base="ETH",
    quote="USDC",
    tick=Decimal("0.01"),
    lot=Decimal("0.0001"),
    grid=SignificantFigures(figures=5, decimals=2),
)

Texts = list[tuple[str, str]]


def framed(channel: str, data: object) -> bytes:
    return msgspec.json.encode({"channel": channel, "data": data})


def book(time_ms: int, *, bids: Texts | None = None, asks: Texts | None = None, coin: str = "BTC") -> bytes:
    sides = [
        bids if bids is not None else [("100000.0", "1.5"), ("99999.0", "2.0")],
        asks if asks is not None else [("100001.0", "0.5")],
    ]
    levels = [[{"px": price, "sz": size, "n": 1} for price, size in side] for side in sides]
    return framed("l2Book", {"coin": coin, "time": time_ms, "levels": levels})


def bbo(
    time_ms: int, bid: str | None = "100000.0", ask: str | None = "100001.0", *, size: str = "1.0", coin: str = "BTC"
) -> bytes:
    sides = [None if price is None else {"px": price, "sz": size, "n": 1} for price in (bid, ask)]
    return framed("bbo", {"coin": coin, "time": time_ms, "bbo": sides})


def print_of(
    time_ms: int, trade_id: int, side: str = "B", price: str = "100001.0", size: str = "0.1", coin: str = "BTC"
) -> dict[str, object]:
    return {
        "coin": coin,
        "side": side,
        "px": price,
        "sz": size,
        "time": time_ms,
        "hash": "0x00",
        "tid": trade_id,
        "users": ["0xa", "0xb"],
    }


def trades(*prints: dict[str, object]) -> bytes:
    return framed("trades", list(prints))


def translator(*more: Instrument) -> HyperliquidTranslator:
    return HyperliquidTranslator([BTC, *more])


def running() -> HyperliquidTranslator:
    """A translator that has seen a book of 1,000 ms."""
    made = translator()
    assert len(made.translate(book(1000), 1)) == 1
    return made
