"""Binance frames as the venue writes them, with only what a test cares about said aloud."""

from decimal import Decimal

import msgspec

from connectors.binance.translate import BinanceSpotTranslator, BinanceUsdmTranslator
from mm_daemon.domain.instrument import Instrument, Venue

BTC = Instrument(
    venue=Venue("binance-usdm"), symbol="BTCUSDT", base="BTC", quote="USDT", tick=Decimal("0.1"), lot=Decimal("0.001")
)
ETH = Instrument(
    venue=Venue("binance-usdm"), symbol="ETHUSDT", base="ETH", quote="USDT", tick=Decimal("0.01"), lot=Decimal("0.001")
)
SPOT = Instrument(
    venue=Venue("binance-spot"),
    symbol="BTCUSDT",
    base="BTC",
    quote="USDT",
    tick=Decimal("0.01"),
    lot=Decimal("0.00001"),
)

Texts = list[list[str]]


def wrapped(stream: str, data: dict[str, object]) -> bytes:
    return msgspec.json.encode({"stream": stream, "data": data})


def depth(
    first_id: int,
    last_id: int,
    previous_id: int | None = None,
    *,
    bids: Texts | None = None,
    asks: Texts | None = None,
    symbol: str = "BTCUSDT",
    stream: str = "depth@0ms",
) -> bytes:
    """A depth delta; without `previous_id` it follows the id before `first_id`."""
    return wrapped(
        f"{symbol.lower()}@{stream}",
        {
            "e": "depthUpdate",
            "E": 1_700_000_000_100,
            "T": 1_700_000_000_099,
            "s": symbol,
            "U": first_id,
            "u": last_id,
            "pu": first_id - 1 if previous_id is None else previous_id,
            "b": bids if bids is not None else [["100.00", "1.000"]],
            "a": asks if asks is not None else [["100.20", "2.000"]],
        },
    )


def snapshot(update_id: int, *, bids: Texts | None = None, asks: Texts | None = None) -> bytes:
    return msgspec.json.encode(
        {
            "lastUpdateId": update_id,
            "E": 1_700_000_000_050,
            "T": 1_700_000_000_049,
            "bids": bids if bids is not None else [["99.90", "5.000"], ["99.80", "6.000"]],
            "asks": asks if asks is not None else [["100.30", "7.000"]],
        }
    )


def trade(
    trade_id: int, price: str = "100.10", size: str = "0.500", *, type_: str = "MARKET", sold: bool = False
) -> bytes:
    return wrapped(
        "btcusdt@trade",
        {
            "e": "trade",
            "E": 1_700_000_000_201,
            "T": 1_700_000_000_200,
            "s": "BTCUSDT",
            "t": trade_id,
            "p": price,
            "q": size,
            "X": type_,
            "m": sold,
        },
    )


def top(update_id: int, bid: str = "100.00", ask: str = "100.20", *, bid_size: str = "1.000") -> bytes:
    return wrapped(
        "btcusdt@bookTicker",
        {
            "e": "bookTicker",
            "u": update_id,
            "s": "BTCUSDT",
            "b": bid,
            "B": bid_size,
            "a": ask,
            "A": "2.000",
            "T": 1_700_000_000_300,
            "E": 1_700_000_000_301,
        },
    )


def futures(*more: Instrument) -> BinanceUsdmTranslator:
    return BinanceUsdmTranslator([BTC, *more])


def running() -> BinanceUsdmTranslator:
    """A translator whose book stands at update 20."""
    translator = futures()
    translator.translate(depth(11, 20, 10), 1)
    assert len(translator.translate(snapshot(15), 2)) == 2
    return translator


def spot() -> BinanceSpotTranslator:
    return BinanceSpotTranslator([SPOT])
