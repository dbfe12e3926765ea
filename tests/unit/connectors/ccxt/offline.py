"""Exchanges through our layers and ccxt with the network cut off: what would be sent is kept, what comes is given.

Payloads are those of the exchanges' documents (`shared/venues/cex`), with our symbol and our order id put in.
"""

import asyncio
import json
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from connectors.ccxt.abilities import order_params
from connectors.ccxt.client import Factory
from connectors.ccxt.contracts import Contract, contract, find_market
from connectors.ccxt.dialects import dialect
from connectors.ccxt.fees import FeePrices
from connectors.ccxt.legs import Legs
from connectors.ccxt.orders import OrderBookkeeping
from connectors.ccxt.requests import LimitsHeard, Requests
from connectors.ccxt.settings import CcxtSettings, PositionMode
from mm_daemon.domain.decisions import AmendOrder, CancelOrder, OrderCommand, PlaceOrder, Reason
from mm_daemon.domain.events import Event
from mm_daemon.domain.instrument import Venue
from mm_daemon.domain.orders import ClientOrderId, Side
from tests.shared import shared_file

WHY = (Reason.NEW_QUOTE,)
NOW_NS = 1_700_000_000_000_000_000
SECRETS = {"api_key": "key", "api_secret": "c2VjcmV0", "passphrase": "word"}
SYMBOLS = {"okx": "BTC-USDT-SWAP", "bybit": "BTCUSDT", "kucoinfutures": "XBTUSDTM"}


def payload(exchange: str, name: str) -> Any:
    """The answer of a documented request, or the last message of a documented stream."""
    kept = json.loads(shared_file(f"venues/cex/{exchange}/messages/{name}.json").read_text("utf-8"))
    return kept["response"] if isinstance(kept, dict) else kept[-1]["server"]


def filled_in(value: Any, **keys: Any) -> Any:
    """A payload with other values of some keys, wherever they stand."""
    if isinstance(value, dict):
        return {name: keys[name] if name in keys else filled_in(each, **keys) for name, each in value.items()}
    return [filled_in(each, **keys) for each in value] if isinstance(value, list) else value


class Offline:
    """One exchange with one contract, its orders and what was sent."""

    def __init__(self, exchange: str, **settings: Any) -> None:
        self.settings = CcxtSettings(exchange=exchange, leverage=3, **settings)
        self.dialect = dialect(exchange)
        self.events: list[Event] = []
        self.limits = LimitsHeard(Venue(exchange), self.dialect, now_ns=lambda: NOW_NS, emit=self.events.append)
        factory = Factory(
            self.settings,
            self.dialect,
            SECRETS,
            venue=exchange,
            now_ms=lambda: NOW_NS // 1_000_000,
            on_response=self.limits.hear,
        )
        self.exchange = factory.build()
        self.exchange.fetch = self._fetch
        self.exchange.options.update(
            enableUnifiedMargin=False, enableUnifiedAccount=True, unifiedMarginStatus=6, uta=False
        )
        self.sent: list[tuple[str, str, Any]] = []
        """(method, URL without its host, body)."""
        self.answers: deque[tuple[int, Any]] = deque()
        self.contract: Contract
        self.kept: OrderBookkeeping
        self.requests: Requests

    async def load(self) -> "Offline":
        name = self.exchange.id
        self.exchange.set_markets(await _markets(self))
        self.sent.clear()
        market = find_market(self.exchange.markets.values(), SYMBOLS[name], Venue(name))
        self.contract = contract(market, SYMBOLS[name], Venue(name))
        two_way = self.settings.position_mode is PositionMode.TWO_WAY
        legs = Legs(lambda: NOW_NS, 1) if two_way else None
        markets = self.exchange.markets.values
        self.prices = FeePrices(self._read, markets, self.settings.fee_prices, lambda: NOW_NS)
        self.kept = OrderBookkeeping([self.contract], "mm", self.dialect, legs, self.prices)
        params = order_params(self.settings, self.dialect)
        self.requests = Requests(self.exchange, self.dialect, self.kept, self.limits, lambda: NOW_NS, params)
        return self

    def answer(self, body: Any, status: int = 200) -> None:
        self.answers.append((status, body))

    async def send(self, *batch: OrderCommand) -> Sequence[Event]:
        return await self.requests.send(batch)

    def place(self, number: int, ticks: int, lots: int = 4, side: Side = Side.BUY, **keys: Any) -> PlaceOrder:
        return PlaceOrder(self.contract.instrument.id, ClientOrderId(number), side, 0, ticks, lots, WHY, **keys)

    def amend(self, number: int, ticks: int, lots: int = 4) -> AmendOrder:
        return AmendOrder(self.contract.instrument.id, ClientOrderId(number), ticks, lots, WHY)

    def cancel(self, number: int) -> CancelOrder:
        return CancelOrder(self.contract.instrument.id, ClientOrderId(number), WHY)

    async def hear(self, watch: str, message: Any) -> list[Any]:
        """What a watch of ccxt.pro gives when a message of the stream comes."""
        exchange = self.exchange

        async def nothing(*args: Any, **keys: Any) -> Any:
            return "ws://offline"

        async def one(url: str, message_hash: str, *args: Any, **keys: Any) -> Any:
            return await exchange.client("ws://offline").future(message_hash)

        async def many(url: str, message_hashes: list[str], *args: Any, **keys: Any) -> Any:
            return await exchange.client("ws://offline").future(message_hashes[0])

        exchange.authenticate = exchange.negotiate = nothing
        exchange.watch, exchange.watch_multiple = one, many
        self.answer({})
        waiting = asyncio.ensure_future(getattr(exchange, watch)())
        for _ in range(20):
            await asyncio.sleep(0)
        exchange.handle_message(exchange.client("ws://offline"), message)
        async with asyncio.timeout(2):
            rows: list[Any] = await waiting
        self.answers.clear()
        return rows

    async def _read(self, method: str, *args: Any) -> Any:
        return await self.requests.read(method, *args)

    async def close(self) -> None:
        await self.exchange.close()

    async def _fetch(self, url: str, method: str = "GET", headers: Any = None, body: Any = None) -> Any:
        path = "/" + url.partition("://")[2].partition("/")[2]
        self.sent.append((method, path, msgspec.json.decode(body) if body else None))
        status, answer = self.answers.popleft()
        text = json.dumps(answer)
        self.exchange.on_rest_response(status, "", url, method, {}, text, headers, body)
        self.exchange.handle_errors(status, "", url, method, {}, text, answer, headers, body)
        self.exchange.handle_http_status_code(status, "", url, method, text)
        return answer


async def _markets(offline: Offline) -> list[Mapping[str, Any]]:
    exchange, name = offline.exchange, offline.exchange.id
    if name == "okx":
        swap = {"instId": "BTC-USDT-SWAP", "instType": "SWAP", "ctVal": "0.01", "ctValCcy": "BTC", "ctType": "linear"}
        swap |= {"settleCcy": "USDT", "uly": "BTC-USDT", "instFamily": "BTC-USDT", "lotSz": "0.01", "minSz": "0.01"}
        swap |= {"ctMult": "1", "baseCcy": "", "quoteCcy": ""}
        (row,) = filled_in(payload("okx", "rest_get_symbols"), **swap)["data"]
        return [exchange.parse_market(row)]
    if name == "bybit":
        offline.answer(payload("bybit", "rest_get_linear_inverse_symbols"))
        offline.answer(filled_in(payload("bybit", "rest_get_linear_inverse_symbols"), list=[]))  # before their launch
        found: list[Mapping[str, Any]] = await exchange.fetch_future_markets({"category": "linear"})
        return found
    row = filled_in(payload("kucoin", "rest_get_contract"), symbol="XBTUSDTM", baseCurrency="XBT", multiplier=0.001)
    offline.answer({**row, "data": [row["data"]]})
    found = await exchange.fetch_contract_markets()
    return found
