"""The peers, on the same frames: ccxt.pro's own handling of them, and msgspec's bare typed decoding.

ccxt is unmodified and needs no network: frames go in by its client's `handle_text_or_binary_message`, as its receive
loop would hand them over, and its order book starts as ccxt starts it. Deltas are cached until the recording's REST
snapshot comes; then `fetch_order_book_snapshot` asks for it, gets that very reply instead of an HTTP one, and replays
the cache. Nobody awaits the results, so the cost of waking a `watch_...` call is not in the figures, to ccxt's good.
"""

from importlib.metadata import version
from time import perf_counter_ns
from typing import Any

import ccxt.pro
import msgspec
from ccxt.async_support.base.ws import client as ccxt_client

from tests.bench.frames import KINDS, Frames, kind_of
from tests.bench.timing import Step

SYMBOL = "BTC/USDT:USDT"
_HYPERLIQUID_SYMBOL = "BTC/USDC:USDC"
_BOOK_LEVELS = 1000


class Depth(msgspec.Struct, gc=False):
    """The frames as plainly typed as can be, numbers left as the text they come in: what no decoder can do without."""

    U: int
    u: int
    pu: int
    E: int
    T: int
    s: str
    b: list[tuple[str, str]]
    a: list[tuple[str, str]]


class Trade(msgspec.Struct, gc=False):
    t: int
    T: int
    s: str
    p: str
    q: str
    m: bool


class BookTicker(msgspec.Struct, gc=False):
    u: int
    T: int
    s: str
    b: str
    B: str
    a: str
    A: str


class Level(msgspec.Struct, gc=False):
    px: str
    sz: str


class Book(msgspec.Struct, gc=False):
    coin: str
    time: int
    levels: tuple[list[Level], list[Level]]


_SHAPES = {"depth": Depth, "trade": Trade, "bookTicker": BookTicker}

Best = tuple[float, float]
"""Best bid and ask."""


def ccxt_words() -> str:
    """Which ccxt, and which JSON parser it chose by itself."""
    return f"ccxt.pro {ccxt.pro.__version__} with {ccxt_client.json_parser.__name__} {_parser_version()}"


def _parser_version() -> str:
    name = ccxt_client.json_parser.__name__
    return "of Python" if name == "json" else version(name)


def bare(kind: str) -> Step:
    """msgspec decoding a wrapped Binance frame of one known kind, and nothing else."""
    envelope = msgspec.defstruct("Envelope", [("stream", str), ("data", _SHAPES[kind])], gc=False)
    return _decoding(envelope)


def bare_hyperliquid() -> Step:
    """msgspec decoding an l2Book frame, and nothing else."""
    return _decoding(msgspec.defstruct("BookFrame", [("channel", str), ("data", Book)], gc=False))


def _decoding(shape: Any) -> Step:
    decode = msgspec.json.Decoder(shape).decode
    return lambda _ts_local_ns, frame: decode(frame)


class _Binance(ccxt.pro.binanceusdm):  # type: ignore[misc]
    """Whose every HTTP answer is the recording's REST reply."""

    reply = ""

    async def fetch(self, *_request: object, **_more: object) -> object:
        return self.parse_json(self.reply)


async def binance_pass(frames: Frames) -> tuple[dict[str, list[int]], Best]:
    """ccxt over the USD-M recording: nanoseconds of each frame by kind, and its book's best prices at the end."""
    exchange = _Binance({"enableRateLimit": False})
    exchange.set_markets([exchange.safe_market_structure(perpetual("BTCUSDT", "BTC", "USDT"))])
    client = exchange.client(exchange.get_ws_url("linear", "public"))
    exchange.orderbooks[SYMBOL] = book = exchange.order_book({}, _BOOK_LEVELS)
    handle = client.handle_text_or_binary_message
    taken: dict[str, list[int]] = {kind: [] for kind in KINDS}
    try:
        for _, frame in frames:
            text, kind = frame.decode(), kind_of(frame)
            if kind == "snapshot":
                exchange.reply = text
                asked = {"symbol": SYMBOL, "type": "linear", "limit": _BOOK_LEVELS, "params": {}}
                await exchange.fetch_order_book_snapshot(client, None, asked)
                continue
            began = perf_counter_ns()
            handle(text)
            taken[kind].append(perf_counter_ns() - began)
        if book is not exchange.orderbooks.get(SYMBOL) or client.rejections:
            raise AssertionError(f"ccxt lost its book: {client.rejections}")
        return taken, (book["bids"][0][0], book["asks"][0][0])
    finally:
        await exchange.close()


async def hyperliquid_pass(frames: Frames) -> tuple[list[int], Best]:
    """ccxt over l2Book frames: nanoseconds of each, and its book's best prices at the end."""
    exchange = ccxt.pro.hyperliquid()
    exchange.set_markets([exchange.safe_market_structure(perpetual("0", "BTC", "USDC"))])
    client = exchange.client(exchange.urls["api"]["ws"]["public"])
    handle = client.handle_text_or_binary_message
    taken = []
    try:
        for _, frame in frames:
            text = frame.decode()
            began = perf_counter_ns()
            handle(text)
            taken.append(perf_counter_ns() - began)
        book = exchange.orderbooks[_HYPERLIQUID_SYMBOL]
        return taken, (book["bids"][0][0], book["asks"][0][0])
    finally:
        await exchange.close()


def perpetual(market_id: str, base: str, quote: str) -> dict[str, object]:
    return {
        "id": market_id,
        "lowercaseId": market_id.lower(),
        "symbol": f"{base}/{quote}:{quote}",
        "base": base,
        "baseId": base,
        "baseName": base,
        "quote": quote,
        "quoteId": quote,
        "settle": quote,
        "settleId": quote,
        "type": "swap",
        "swap": True,
        "contract": True,
        "linear": True,
        "active": True,
        "contractSize": 1.0,
    }
