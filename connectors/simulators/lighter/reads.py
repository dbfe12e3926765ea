"""What REST answers at the simulated Lighter, by the name of the endpoint. Bodies without their `code`."""

from collections.abc import Callable, Mapping
from typing import Any

from connectors.simulators.lighter import codes
from connectors.simulators.lighter.admission import Admission
from connectors.simulators.lighter.codes import Refused
from connectors.simulators.lighter.exchange import Exchange
from connectors.simulators.lighter.market import decimals
from connectors.simulators.lighter.settings import LighterVenueSettings
from connectors.simulators.lighter.signing.tokens import read_token

Query = Mapping[str, str]
_PRIVATE = frozenset({"accountActiveOrders", "accountInactiveOrders", "accountLimits", "accountTxs", "positionFunding"})
_ALL = 255
_TOKEN_AHEAD_S = 8 * 3600 + 60
_L1 = f"0x{0:040x}"


class Reads:
    def __init__(self, exchange: Exchange, admission: Admission, settings: LighterVenueSettings) -> None:
        self._exchange = exchange
        self._admission = admission
        self._settings = settings
        self._handlers: dict[str, Callable[[Query], dict[str, Any]]] = {
            "orderBooks": self._order_books,
            "orderBookDetails": self._order_book_details,
            "orderBookOrders": self._order_book_orders,
            "recentTrades": self._recent_trades,
            "account": self._account,
            "accountActiveOrders": self._active_orders,
            "accountInactiveOrders": self._inactive_orders,
            "accountLimits": self._account_limits,
            "trades": self._trades,
            "nextNonce": self._next_nonce,
            "apikeys": self._api_keys,
            "funding-rates": self._funding_rates,
            "fundings": self._fundings,
            "positionFunding": self._position_funding,
            "tx": self._tx,
            "accountTxs": self._account_txs,
        }

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._handlers)

    def read(self, name: str, query: Query, token: str, now_ms: int) -> dict[str, Any]:
        """Raises Refused."""
        if name in _PRIVATE or (name == "trades" and "account_index" in query):
            self.authorise(token, now_ms)
        return self._handlers[name](query)

    def authorise(self, text: str, now_ms: int) -> int:
        """When a token ends, in ms. Raises Refused for one that is not this account's, has ended or lasts too long."""
        token = read_token(text)
        problem = "no auth token" if not text else "invalid auth token"
        if token is not None and token.account == self._exchange.account.index:
            key = self._admission.keys.get(token.key_index)
            if not now_ms < token.deadline_s * 1000 <= now_ms + _TOKEN_AHEAD_S * 1000:
                problem = "auth token expired or too far ahead"
            elif key is not None and (not self._settings.verify_signatures or token.signed_by(key)):
                return token.deadline_s * 1000
        raise Refused(codes.NOT_AUTHORISED, f"invalid auth: {problem}", 401)

    # Markets

    def _order_books(self, query: Query) -> dict[str, Any]:
        return {"order_books": [self._contract(number) for number in self._wanted(query)]}

    def _order_book_details(self, query: Query) -> dict[str, Any]:
        rows = []
        for number in self._wanted(query):
            contract = self._contract(number)
            row = {
                **contract,
                "size_decimals": contract["supported_size_decimals"],
                "price_decimals": contract["supported_price_decimals"],
                "quote_multiplier": 1,
                "default_initial_margin_fraction": 500,
                "min_initial_margin_fraction": 10_000 // self._settings.max_leverage,
                "maintenance_margin_fraction": 120,
                "closeout_margin_fraction": 80,
                "last_trade_price": float(self._exchange.books[number].stats()["last_trade_price"]),
                "open_interest": 0.0,
                "market_config": {"market_margin_mode": 0, "force_reduce_only": False, "hidden": False},
            }
            rows.append(row)
        return {"order_book_details": rows, "spot_order_book_details": []}

    def _contract(self, number: int) -> dict[str, Any]:
        contract = self._exchange.markets[number]
        price_decimals, size_decimals = decimals(contract)
        least = contract.size(contract.min_lots)
        return {
            "symbol": contract.symbol,
            "market_id": number,
            "market_type": "perp",
            "base_asset_id": 0,
            "quote_asset_id": 0,
            "status": "active" if contract.tradable else "inactive",
            "taker_fee": f"{contract.taker_fee_ppm / 10_000:.4f}",
            "is_taker_fee_enabled": True,
            "maker_fee": f"{contract.maker_fee_ppm / 10_000:.4f}",
            "is_maker_fee_enabled": True,
            "liquidation_fee": "1.0000",
            "min_base_amount": f"{least:f}",
            "min_quote_amount": f"{contract.min_notional:.6f}",
            "order_quote_limit": "281474976.710655",
            "supported_size_decimals": size_decimals,
            "supported_price_decimals": price_decimals,
            "supported_quote_decimals": size_decimals + price_decimals,
        }

    def _order_book_orders(self, query: Query) -> dict[str, Any]:
        number, limit = self._market(query), _number(query, "limit", 1, 250)
        snapshot = self._exchange.book_snapshot(number)["order_book"]
        found: dict[str, Any] = {}
        for side in ("asks", "bids"):
            rows = [
                {
                    "order_index": 0,
                    "order_id": "0",
                    "owner_account_index": 0,
                    "initial_base_amount": level["size"],
                    "remaining_base_amount": level["size"],
                    "price": level["price"],
                    "order_expiry": 0,
                    "transaction_time": 0,
                }
                for level in snapshot[side][:limit]
            ]
            found |= {f"total_{side}": len(rows), side: rows}
        return found

    def _recent_trades(self, query: Query) -> dict[str, Any]:
        rows = list(self._exchange.books[self._market(query)].trades)
        return {"next_cursor": None, "trades": rows[-_number(query, "limit", 1, 100) :] or None}

    def _funding_rates(self, _query: Query) -> dict[str, Any]:
        rows = [
            {"market_id": number, "exchange": "lighter", "symbol": book.instrument.symbol, "rate": book.rate_e12 / 1e12}
            for number, book in self._exchange.books.items()
        ]
        return {"funding_rates": rows}

    def _fundings(self, query: Query) -> dict[str, Any]:
        if query.get("resolution") not in ("1h", "1d"):
            raise Refused(codes.BAD_PARAMETER, "invalid parameter: resolution")
        rows = list(self._exchange.books[self._market(query)].fundings)
        return {"resolution": query["resolution"], "fundings": rows[-_number(query, "count_back", 1, 10_000, 100) :]}

    # Account

    def _account(self, query: Query) -> dict[str, Any]:
        account, exchange = self._exchange.account, self._exchange
        if query.get("by") != "index":
            raise Refused(codes.BAD_PARAMETER, "invalid parameter: by (only index is simulated)")
        if query.get("value") != str(account.index):
            raise Refused(codes.ACCOUNT_NOT_FOUND, "account not found")
        marks = exchange.marks()
        positions = [
            account.position_row(number, mark, exchange.orders_of(number))
            for number, mark in marks.items()
            if account.positions[number].lots or exchange.orders_of(number)
        ]
        stats = account.stats(marks)
        row = {
            "code": 0,
            "account_type": 0,
            "index": account.index,
            "account_index": account.index,
            "l1_address": _L1,
            "cancel_all_time": exchange.cancel_all_ms,
            "total_order_count": len(exchange.active),
            "total_isolated_order_count": 0,
            "pending_order_count": 0,
            "available_balance": stats["available_balance"],
            "status": 1,
            "collateral": stats["collateral"],
            "transaction_time": 0,
            "positions": positions,
            "assets": [account.asset()],
            "total_asset_value": stats["portfolio_value"],
            "cross_asset_value": stats["portfolio_value"],
        }
        return {"total": 1, "accounts": [row]}

    def _active_orders(self, query: Query) -> dict[str, Any]:
        self._own(query)
        number = _number(query, "market_id", 0, 4094, _ALL)
        return {"next_cursor": None, "orders": self._exchange.open_rows(None if number == _ALL else number)}

    def _inactive_orders(self, query: Query) -> dict[str, Any]:
        self._own(query)
        number = _number(query, "market_id", 0, 4094, _ALL)
        rows = [
            order.row(self._exchange.account.index)
            for order in reversed(self._exchange.inactive)
            if number in (_ALL, order.market_id)
        ]
        page = _page(rows, query)
        return {"next_cursor": page["next_cursor"], "orders": page["rows"]}

    def _trades(self, query: Query) -> dict[str, Any]:
        """The account's, newest first, or a market's."""
        number = _number(query, "market_id", 0, 4094, _ALL)
        if "account_index" in query:
            self._own(query)
            rows = list(reversed(self._exchange.account.trades))
        else:
            rows = [row for book in self._exchange.books.values() for row in reversed(book.trades)]
        first_ms, wanted = _number(query, "from", 0, 1 << 60, 0), query.get("order_index")
        rows = [row for row in rows if number in (_ALL, row["market_id"]) and row["timestamp"] >= first_ms]
        if wanted is not None:
            rows = [row for row in rows if wanted in (row["ask_id_str"], row["bid_id_str"])]
        page = _page(rows, query)
        return {"next_cursor": page["next_cursor"], "trades": page["rows"] or None}

    def _position_funding(self, query: Query) -> dict[str, Any]:
        self._own(query)
        page = _page(list(reversed(self._exchange.account.funding)), query)
        return {"next_cursor": page["next_cursor"], "position_fundings": page["rows"]}

    def _account_limits(self, query: Query) -> dict[str, Any]:
        self._own(query)
        tier, facts = self._settings.tier, self._settings.facts
        return {
            "max_llp_percentage": 25,
            "max_llp_amount": "0.000000",
            "user_tier": tier.value,
            "user_tier_name": tier.value.title(),
            "can_create_public_pool": False,
            "current_maker_fee_tick": round(facts.maker_fee_bps * 100),
            "current_taker_fee_tick": round(facts.taker_fee_bps * 100),
            "effective_lit_stakes": "0",
            "leased_lit": "0",
        }

    def _next_nonce(self, query: Query) -> dict[str, Any]:
        self._own(query)
        key = _number(query, "api_key_index", 0, 254)
        if key not in self._admission.keys:
            raise Refused(codes.KEY_NOT_FOUND, "api key not found")
        return {"nonce": self._admission.nonces[key]}

    def _api_keys(self, query: Query) -> dict[str, Any]:
        self._own(query)
        wanted = _number(query, "api_key_index", 0, 255, _ALL)
        rows = [
            {
                "account_index": self._exchange.account.index,
                "api_key_index": index,
                "nonce": self._admission.nonces[index],
                "public_key": key.hex(),
                "transaction_time": 0,
            }
            for index, key in self._admission.keys.items()
            if wanted in (_ALL, index)
        ]
        if not rows:
            raise Refused(codes.KEY_NOT_FOUND, "api key not found")
        return {"api_keys": rows}

    def _tx(self, query: Query) -> dict[str, Any]:
        by, value = query.get("by"), query.get("value", "")
        for record in self._exchange.transactions.values():
            if value == (record["hash"] if by == "hash" else str(record["sequence_index"])):
                return dict(record)
        raise Refused(21500, "transaction not found")

    def _account_txs(self, query: Query) -> dict[str, Any]:
        if query.get("value") != str(self._exchange.account.index):
            raise Refused(codes.ACCOUNT_NOT_FOUND, "account not found")
        rows = list(reversed(self._exchange.transactions.values()))
        return {"txs": rows[: _number(query, "limit", 1, 100, 100)]}

    # Parameters

    def _wanted(self, query: Query) -> list[int]:
        number = _number(query, "market_id", 0, 4094, _ALL)
        return [each for each in self._exchange.books if number in (_ALL, each)]

    def _market(self, query: Query) -> int:
        number = _number(query, "market_id", 0, 4094)
        if number not in self._exchange.books:
            raise Refused(codes.BAD_MARKET, "invalid market index")
        return number

    def _own(self, query: Query) -> None:
        if _number(query, "account_index", 0, 1 << 48) != self._exchange.account.index:
            raise Refused(codes.ACCOUNT_NOT_FOUND, "account not found")


def _number(query: Query, name: str, least: int, most: int, default: int | None = None) -> int:
    text = query.get(name)
    if text is None and default is not None:
        return default
    if text is None or not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
        raise Refused(codes.BAD_PARAMETER, f"invalid parameter: {name}")
    return int(text)


def _page(rows: list[dict[str, Any]], query: Query) -> dict[str, Any]:
    """A page of rows and the cursor of the next one: a row's number from the end, so that new rows do not shift it."""
    limit = _number(query, "limit", 1, 100)
    cursor = query.get("cursor")
    left = len(rows) if not cursor else _number(query, "cursor", 0, 1 << 60)
    page = rows[len(rows) - left :][:limit]
    rest = left - len(page)
    return {"rows": page, "next_cursor": str(rest) if rest else None}
