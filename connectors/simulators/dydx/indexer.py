"""The simulated indexer's REST interface: what `/v4/...` answers, from the chain's state. No socket."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from connectors.simulators.dydx.accounts import Subaccount, iso
from connectors.simulators.dydx.chain import Chain
from connectors.simulators.dydx.market import Market

_LIMIT = 1000
_SUBACCOUNT_MAX = 128_000
_OPEN = ("OPEN", "UNTRIGGERED", "BEST_EFFORT_OPENED")
_LIMITERS = {"/v4/orders": "orders", "/v4/fills": "fills", "/v4/historicalFunding": "funding"}


class NotFound(Exception):
    """404 with these words."""


class Invalid(Exception):
    """400: a parameter that is none."""

    def __init__(self, name: str, value: str, text: str, *, location: str = "query") -> None:
        super().__init__(text)
        self.row = {"type": "field", "value": value, "msg": text, "path": name, "location": location}


def limiter(path: str) -> str:
    """Which rate limiter a path belongs to."""
    return next((name for prefix, name in _LIMITERS.items() if path.startswith(prefix)), "default")


class Indexer:
    def __init__(self, chain: Chain, now_ns: Callable[[], int], lag_blocks: Callable[[], int]) -> None:
        """`lag_blocks`: how many blocks the indexer is behind, for what it says of the height."""
        self._chain = chain
        self._now_ns = now_ns
        self._lag_blocks = lag_blocks

    def answer(self, path: str, query: Mapping[str, str]) -> Any:
        """The body of an answer. Raises NotFound or Invalid."""
        parts = path.strip("/").split("/")[1:]
        match parts:
            case ["perpetualMarkets"]:
                return self.markets(query.get("ticker") or query.get("market"))
            case ["orderbooks", "perpetualMarket", ticker]:
                return self._market(ticker).shown()
            case ["trades", "perpetualMarket", ticker]:
                return {"trades": _page(list(self._market(ticker).trades), query)}
            case ["historicalFunding", ticker]:
                return {"historicalFunding": _page(list(self._market(ticker).funding), query, "effectiveAt")}
            case ["candles", "perpetualMarkets", ticker]:
                self._market(ticker)
                return {"candles": []}
            case ["height"]:
                return self._height()
            case ["time"]:
                now_ns = self._now_ns()
                return {"iso": iso(now_ns), "epoch": now_ns // 1_000_000 / 1000}
            case ["addresses", address]:
                return self._address(address)
            case ["addresses", address, "subaccountNumber", number]:
                return {"subaccount": self.subaccount(self._subaccount_at(address, number))}
            case ["perpetualPositions"]:
                return {"positions": self._positions(self._asked(query), query)}
            case ["assetPositions"]:
                return {"positions": [self._asked(query).usdc_row()]}
            case ["orders"]:
                return self.orders(self._asked(query), query)
            case ["orders", uuid]:
                return self._order(uuid)
            case ["fills"]:
                return {"fills": self._fills(self._asked(query), query)}
            case ["fundingPayments"]:
                return {"fundingPayments": _page(list(reversed(self._asked(query).payments)), query)}
            case _:
                raise NotFound("Not Found")

    def _height(self) -> dict[str, str]:
        """The last block that the indexer has processed."""
        behind = self._lag_blocks()
        at_ns = self._chain.block_ns - behind * self._chain.settings.block_ms * 1_000_000
        return {"height": str(self._chain.height - behind), "time": iso(at_ns)}

    # Markets

    def markets(self, ticker: str | None = None) -> dict[str, Any]:
        if ticker is not None and ticker not in self._chain.by_ticker:
            raise Invalid("ticker", ticker, "ticker must be a valid ticker (BTC-USD, etc)")
        rate = self._chain.rate
        return {
            "markets": {
                name: market.row(rate)
                for name, market in self._chain.by_ticker.items()
                if ticker is None or name == ticker
            }
        }

    def _market(self, ticker: str) -> Market:
        market = self._chain.by_ticker.get(ticker)
        if market is None:
            raise Invalid("ticker", ticker, "ticker must be a valid ticker (BTC-USD, etc)", location="params")
        return market

    # Accounts

    def subaccount(self, subaccount: Subaccount) -> dict[str, Any]:
        return subaccount.row(self._chain.markets, self._chain.height)

    def find(self, address: str, number: int) -> Subaccount | None:
        return self._chain.subaccounts.get((address, number))

    def _address(self, address: str) -> dict[str, Any]:
        found = [each for (owner, _), each in self._chain.subaccounts.items() if owner == address]
        if not found:
            raise NotFound(f"No subaccounts found for address {address}")
        return {"subaccounts": [self.subaccount(each) for each in found], "totalTradingRewards": "0"}

    def _asked(self, query: Mapping[str, str]) -> Subaccount:
        address = query.get("address", "")
        if not address:
            raise Invalid("address", "", "address must be a valid dydx address")
        return self._subaccount_at(address, query.get("subaccountNumber", ""))

    def _subaccount_at(self, address: str, text: str) -> Subaccount:
        if not text.isdigit() or int(text) > _SUBACCOUNT_MAX:
            raise Invalid("subaccountNumber", text, "subaccountNumber must be a non-negative integer less than 128001")
        found = self.find(address, int(text))
        if found is None:
            raise NotFound(f"No subaccount found with address {address} and subaccountNumber {text}")
        return found

    def _positions(self, subaccount: Subaccount, query: Mapping[str, str]) -> list[dict[str, Any]]:
        wanted = set(query["status"].split(",")) if query.get("status") else {"OPEN", "CLOSED"}
        rows = [
            subaccount.position_row(self._chain.markets[pair], each, live=False)
            for pair, each in subaccount.positions.items()
        ]
        return [row for row in rows if row["status"] in wanted]

    def orders(self, subaccount: Subaccount, query: Mapping[str, str]) -> list[dict[str, Any]]:
        """Newest first. What never filled and has ended is not known any more."""
        wanted = set(query["status"].split(",")) if query.get("status") else None
        after, before = _whole(query, "goodTilBlockAfter"), _whole(query, "goodTilBlockBeforeOrAt")
        rows = [order.rest() for order in reversed(subaccount.orders.values())]
        return [
            row
            for row in rows
            if (wanted is None or row["status"] in wanted)
            and (not query.get("ticker") or row["ticker"] == query["ticker"])
            and (not query.get("side") or row["side"] == query["side"])
            and (not query.get("type") or row["type"] == query["type"])
            and (after is None or int(row.get("goodTilBlock", 0)) > after)
            and (before is None or 0 < int(row.get("goodTilBlock", 0)) <= before)
        ][: _whole(query, "limit") or _LIMIT]

    def open_orders(self, subaccount: Subaccount) -> list[dict[str, Any]]:
        return [order.rest() for order in subaccount.orders.values() if order.status in _OPEN]

    def _order(self, uuid: str) -> dict[str, Any]:
        for subaccount in self._chain.subaccounts.values():
            if uuid in subaccount.orders:
                return subaccount.orders[uuid].rest()
        raise NotFound(f"Unable to find order id {uuid}")

    def _fills(self, subaccount: Subaccount, query: Mapping[str, str]) -> list[dict[str, Any]]:
        market = query.get("market")
        if market is not None and query.get("marketType") != "PERPETUAL":
            raise Invalid("marketType", query.get("marketType", ""), "market and marketType must be given together")
        rows = [row for row in reversed(subaccount.fills) if market is None or row["market"] == market]
        return _page(rows, query)


def _whole(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name)
    if not text:
        return None
    if not text.isdigit():
        raise Invalid(name, text, f"{name} must be a non-negative integer")
    return int(text)


def _page(rows: list[dict[str, Any]], query: Mapping[str, str], prefix: str = "createdAt") -> list[dict[str, Any]]:
    """Rows, newest first, that the query's height, time, limit and page leave."""
    name = "createdBeforeOrAt" if prefix == "createdAt" else "effectiveBeforeOrAt"
    height = _whole(query, f"{name}Height")
    if height is not None:
        rows = [row for row in rows if int(row[f"{prefix}Height"]) <= height]
    if query.get(name):
        until = _instant(query[name], name)
        rows = [row for row in rows if _instant(row[prefix], prefix) <= until]
    if query.get("afterOrAt"):
        since = _instant(query["afterOrAt"], "afterOrAt")
        rows = [row for row in rows if _instant(row[prefix], prefix) >= since]
    limit = min(_whole(query, "limit") or _LIMIT, _LIMIT)
    page = _whole(query, "page") or 1
    return rows[(page - 1) * limit : page * limit]


def _instant(text: str, name: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise Invalid(name, text, f"{name} must be a valid ISO 8601 date") from None
