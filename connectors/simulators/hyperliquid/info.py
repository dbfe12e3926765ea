"""What the simulated Hyperliquid answers to `POST /info`, by type, and its weights."""

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any

from connectors.simulators.hyperliquid import wire
from connectors.simulators.hyperliquid.accounts import Account, Fill, Order, Position
from connectors.simulators.hyperliquid.exchange import Exchange, level_row, trade_row
from connectors.simulators.hyperliquid.floor import order_row
from connectors.simulators.hyperliquid.market import MONEY_PER_TICK_LOT, Market, money, number
from mm_daemon.domain.orders import Side

FULL, FAST = 20, 5
"""Levels of a side in the two kinds of book."""
_FILLS_A_REPLY, _ROWS_A_REPLY = 2000, 500
_WEIGHTS = {"l2Book": 2, "allMids": 2, "clearinghouseState": 2, "spotClearinghouseState": 2, "orderStatus": 2}
_WEIGHTS |= {"exchangeStatus": 2, "userRole": 60}
_WEIGHT = 20
_BY_ROWS = ("historicalOrders", "userFills", "userFillsByTime", "userFunding", "fundingHistory", "recentTrades")


class BadRequest(Exception):
    """An unknown type, or a key is missing: 422."""


class NoSuch(Exception):
    """An unknown dex, or an unknown coin where the venue answers 500 with null."""


def weight(kind: str, reply: object) -> int:
    """What an answered read costs."""
    base = _WEIGHTS.get(kind, _WEIGHT)
    return base + (len(reply) // 20 if kind in _BY_ROWS and isinstance(reply, list) else 0)


class Info:
    """`now_ms` is the venue's clock."""

    def __init__(self, exchange: Exchange, now_ms: Callable[[], int], *, unified: bool = False) -> None:
        """`unified`: money of accounts shows in the spot balance."""
        self._exchange = exchange
        self._unified = unified
        self._now_ms = now_ms
        self._reads: Mapping[str, Callable[[wire.InfoRequest], Any]] = {
            "meta": self._meta,
            "metaAndAssetCtxs": self._meta_and_contexts,
            "allPerpMetas": lambda _: [self._meta(wire.InfoRequest("meta", dex=dex)) for dex in ("", *exchange.dexes)],
            "perpDexs": lambda _: [None, *map(_dex_row, exchange.dexes)],
            "spotMeta": lambda _: self._spot_meta(),
            "spotMetaAndAssetCtxs": lambda _: [
                self._spot_meta(),
                [self.context(exchange.by_coin[pair.coin]) for pair in exchange.pairs],
            ],
            "allMids": lambda asked: self.mids(asked.dex),
            "l2Book": self._book,
            "recentTrades": self._recent_trades,
            "fundingHistory": self._funding_history,
            "exchangeStatus": lambda _: {"specialStatuses": None, "time": self._now_ms()},
            "clearinghouseState": self._state,
            "spotClearinghouseState": self._spot_state,
            "userAbstraction": lambda asked: _MODES[unified] if _user(asked) else "",
            "openOrders": lambda asked: [order_row(each) for each in self._orders(asked)],
            "frontendOpenOrders": lambda asked: [frontend_row(each) for each in self._orders(asked)],
            "orderStatus": self._order_status,
            "historicalOrders": self._historical,
            "userFills": lambda asked: self._fills(asked)[:_FILLS_A_REPLY],
            "userFillsByTime": self._fills_by_time,
            "userFunding": self._user_funding,
            "userRateLimit": self._rate_limit,
            "userFees": self._fees,
            "userRole": self._role,
            "extraAgents": self._agents,
            "subAccounts": self._sub_accounts,
        }

    def read(self, asked: wire.InfoRequest) -> Any:
        """The reply. Raises BadRequest or NoSuch."""
        read = self._reads.get(asked.type)
        if read is None:
            raise BadRequest
        if asked.dex and asked.dex not in self._exchange.dexes:
            raise NoSuch
        return read(asked)

    # The market

    def _meta(self, asked: wire.InfoRequest) -> dict[str, Any]:
        markets = self._perpetuals(asked.dex)
        tables = {_table_of(market): _tiers(market) for market in markets}
        return {
            "universe": [_universe_row(each) for each in markets],
            "marginTables": list(tables.items()),
            "collateralToken": 0,
        }

    def _meta_and_contexts(self, asked: wire.InfoRequest) -> list[Any]:
        return [self._meta(asked), [self.context(market) for market in self._perpetuals(asked.dex)]]

    def _perpetuals(self, dex: str) -> list[Market]:
        return [each for each in self._exchange.markets.values() if each.pair is None and each.dex == dex]

    def _spot_meta(self) -> dict[str, Any]:
        markets = [self._exchange.by_coin[pair.coin] for pair in self._exchange.pairs]
        return {"universe": list(map(_pair_row, markets)), "tokens": [_USDC, *map(_token_row, markets)]}

    def context(self, market: Market) -> dict[str, Any]:
        """Prices and, of a perpetual, funding; only that of a spot pair names it."""
        if market.pair is not None:
            return self._spot_context(market)
        mid = market.mid_half_ticks()
        impact = market.impact_ticks()
        sides = [
            abs(a.positions[market.coin].lots) for a in self._exchange.accounts.values() if market.coin in a.positions
        ]
        day = wire.shortest(number(market.day_money, 12))
        return {
            "funding": wire.shortest(number(market.rate_e12(), 12)),
            "openInterest": market.size(sum(sides)),
            "prevDayPx": market.price(market.day_open_ticks),
            "dayNtlVlm": day,
            "premium": None if impact is None else f"{market.premium():.10f}",
            "oraclePx": market.price(market.oracle_ticks),
            "markPx": market.price(market.mark_ticks),
            "midPx": None if mid is None else market.half(mid),
            "impactPxs": None if impact is None else [market.price(round(each)) for each in impact],
            "dayBaseVlm": market.size(market.day_lots),
        }

    @staticmethod
    def _spot_context(market: Market) -> dict[str, Any]:
        mid = market.mid_half_ticks()
        return {
            "dayNtlVlm": wire.shortest(number(market.day_money, 12)),
            "prevDayPx": market.price(market.day_open_ticks),
            "markPx": market.price(market.mark_ticks),
            "midPx": None if mid is None else market.half(mid),
            "circulatingSupply": _SUPPLY,
            "coin": market.coin,
            "totalSupply": _SUPPLY,
            "dayBaseVlm": market.size(market.day_lots),
        }

    def mids(self, dex: str = "") -> dict[str, str]:
        """Spot pairs are among those of the first dex."""
        found = {}
        for market in self._exchange.markets.values():
            if market.dex != dex:
                continue
            mid = market.mid_half_ticks()
            found[market.coin] = market.price(market.last_ticks) if mid is None else market.half(mid)
        return found

    def _book(self, asked: wire.InfoRequest) -> dict[str, Any] | None:
        market = self._exchange.by_coin.get(asked.coin or "")
        if asked.coin is None:
            raise BadRequest
        if not good_aggregation(asked.nSigFigs, asked.mantissa):
            raise NoSuch
        return None if market is None else self.book(market, FULL, asked.nSigFigs, asked.mantissa)

    def book(self, market: Market, levels: int, figures: int | None, mantissa: int | None) -> dict[str, Any]:
        """The best `levels` of each side; with `figures` prices are lumped together, bids down and asks up."""
        sides = []
        for side in (Side.BUY, Side.SELL):
            rows = market.book.depth(side)
            if figures is None:
                sides.append([level_row(market, side, ticks, lots) for ticks, lots in rows[:levels]])
            else:
                sides.append(_lumped(market, side, rows, figures, mantissa or 1)[:levels])
        shown: dict[str, Any] = {"coin": market.coin, "time": self._exchange.block_ms, "levels": sides}
        if figures is not None and all(sides):
            spread = Decimal(sides[1][0]["px"]) - Decimal(sides[0][0]["px"])
            shown["spread"] = f"{spread:f}"
        return shown

    def _recent_trades(self, asked: wire.InfoRequest) -> list[dict[str, Any]]:
        market = self._coin(asked)
        return [trade_row(market, trade) for trade in reversed(market.trades)][:10]

    def _funding_history(self, asked: wire.InfoRequest) -> list[dict[str, Any]]:
        market, start, end = self._coin(asked), *_range(asked)
        rows = [
            {
                "coin": market.coin,
                "fundingRate": wire.shortest(number(rate, 12)),
                "premium": f"{premium:.10f}",
                "time": time_ms,
            }
            for time_ms, rate, premium in market.funding
            if start <= time_ms <= end
        ]
        return rows[:_ROWS_A_REPLY]

    def _coin(self, asked: wire.InfoRequest) -> Market:
        if asked.coin is None:
            raise BadRequest
        market = self._exchange.by_coin.get(asked.coin)
        if market is None:
            raise NoSuch
        return market

    # Accounts: an address that is none of them has an empty one

    def _account(self, asked: wire.InfoRequest) -> Account:
        address = _user(asked)
        return self._exchange.accounts.get(address) or Account(address, 0, 0)

    def _orders(self, asked: wire.InfoRequest) -> Iterable[Order]:
        return [order for order in self._account(asked).orders.values() if order.market.dex == asked.dex]

    def _state(self, asked: wire.InfoRequest) -> dict[str, Any]:
        account, by_coin = self._account(asked), self._exchange.by_coin
        held = [(market, position) for market, position in account.held(by_coin) if market.dex == asked.dex]
        notional = sum(position.worth(market.mark_ticks) for market, position in held)
        value, used = account.value(by_coin), account.margin_used(by_coin)
        signed = sum((1 if position.lots > 0 else -1) * position.worth(market.mark_ticks) for market, position in held)
        if self._unified:
            value = used
        summary = {
            "accountValue": money(value),
            "totalNtlPos": money(notional),
            "totalRawUsd": money(value - signed),
            "totalMarginUsed": money(used),
        }
        maintenance = sum(p.worth(market.mark_ticks) // (2 * market.max_leverage) for market, p in held)
        return {
            "marginSummary": summary,
            "crossMarginSummary": summary,
            "crossMaintenanceMarginUsed": money(maintenance),
            "withdrawable": money(max(value - used, 0)),
            "assetPositions": [
                {"type": "oneWay", "position": _position_row(market, position)} for market, position in held
            ],
            "time": self._now_ms(),
        }

    def _spot_state(self, asked: wire.InfoRequest) -> dict[str, Any]:
        account, by_coin = self._account(asked), self._exchange.by_coin
        if not self._unified and not self._exchange.pairs:
            return {"balances": []}
        used = account.margin_used(by_coin) if self._unified else 0
        rows = [("USDC", 0, account.spot_money(by_coin), account.spot_hold(None) + used, 0)]
        for pair in self._exchange.pairs:
            held, name = account.token(pair.base.name), pair.base.name
            rows.append((name, pair.base.index, held.units, account.spot_hold(name), held.cost))
        return {
            "balances": [
                {
                    "coin": name,
                    "token": index,
                    "total": number(total, 12),
                    "hold": number(hold, 12),
                    "entryNtl": number(cost, 12),
                }
                for name, index, total, hold, cost in rows
                if total or not index
            ]
        }

    def _order_status(self, asked: wire.InfoRequest) -> dict[str, Any]:
        if asked.oid is None:
            raise BadRequest
        order = self._account(asked).find(asked.oid)
        if order is None:
            return {"status": "unknownOid"}
        return {"status": "order", "order": _with_status(order)}

    def _historical(self, asked: wire.InfoRequest) -> list[dict[str, Any]]:
        account = self._account(asked)
        orders = [*account.orders.values(), *account.history.values()]
        newest = sorted(orders, key=lambda each: (each.status_ms, each.oid), reverse=True)
        return [_with_status(each) for each in newest[:_FILLS_A_REPLY]]

    def _fills(self, asked: wire.InfoRequest) -> list[Fill]:
        """Newest first."""
        return list(reversed(self._account(asked).fills))

    def _fills_by_time(self, asked: wire.InfoRequest) -> list[Fill]:
        start, end = _range(asked)
        found = [fill for fill in self._account(asked).fills if start <= fill.time <= end]
        return found[:_FILLS_A_REPLY]

    def _user_funding(self, asked: wire.InfoRequest) -> list[dict[str, Any]]:
        start, end = _range(asked)
        rows = [row for row in self._account(asked).funding if start <= int(str(row["time"])) <= end]
        return [
            {
                "time": row["time"],
                "hash": "0x" + "0" * 64,
                "delta": {"type": "funding", **{key: value for key, value in row.items() if key != "time"}},
            }
            for row in rows[:_ROWS_A_REPLY]
        ]

    def _rate_limit(self, asked: wire.InfoRequest) -> dict[str, Any]:
        account = self._account(asked)
        return {
            "cumVlm": wire.shortest(number(account.volume, 12)),
            "nRequestsUsed": account.requests,
            "nRequestsCap": self._exchange.request_cap(account),
            "nRequestsSurplus": 0,
        }

    def _fees(self, asked: wire.InfoRequest) -> dict[str, Any]:
        account = self._account(asked)
        (taker, maker), (spot_taker, spot_maker) = account.fees_ppm(), account.fees_ppm(spot=True)
        return {
            "dailyUserVlm": [],
            "feeSchedule": {"cross": "0.00045", "add": "0.00015", "tiers": {"vip": [], "mm": []}},
            "userCrossRate": wire.shortest(number(taker, 6)),
            "userAddRate": wire.shortest(number(maker, 6)),
            "userSpotCrossRate": wire.shortest(number(spot_taker, 6)),
            "userSpotAddRate": wire.shortest(number(spot_maker, 6)),
            "activeReferralDiscount": "0.0",
        }

    def _role(self, asked: wire.InfoRequest) -> dict[str, Any]:
        address = _user(asked)
        account = self._exchange.accounts.get(address)
        if account is not None and account.master is not None:
            return {"role": "subAccount", "data": {"master": account.master.address}}
        if account is not None:
            return {"role": "user"}
        now_ms = self._now_ms()
        for each in self._exchange.accounts.values():
            if address in each.agents and each.agents[address].valid_until_ms > now_ms:
                return {"role": "agent", "data": {"user": each.address}}
        return {"role": "missing"}

    def _agents(self, asked: wire.InfoRequest) -> list[dict[str, Any]]:
        return [
            {"name": agent.name, "address": agent.address, "validUntil": agent.valid_until_ms}
            for agent in self._account(asked).agents.values()
            if agent.name is not None
        ]

    def _sub_accounts(self, asked: wire.InfoRequest) -> list[dict[str, Any]] | None:
        subs = self._account(asked).sub_accounts
        return [
            {
                "name": sub.name,
                "subAccountUser": sub.address,
                "master": asked.user,
                "clearinghouseState": self._state(wire.InfoRequest("clearinghouseState", user=sub.address)),
            }
            for sub in subs
        ] or None


_MODES = {False: "disabled", True: "unifiedAccount"}
_SUPPLY = "1000000000.0"
_USDC = {
    "name": "USDC",
    "szDecimals": 8,
    "weiDecimals": 8,
    "index": 0,
    "tokenId": "0x6d1e7cde53ba9467b783cb7c530ce054",
    "isCanonical": True,
}


def _token_row(market: Market) -> dict[str, Any]:
    assert market.pair is not None
    base = market.pair.base
    return {
        **_USDC,
        "name": base.name,
        "szDecimals": market.size_decimals,
        "weiDecimals": max(base.wei_decimals, market.size_decimals),
        "index": base.index,
        "tokenId": f"0x{base.index:032x}",
    }


def _pair_row(market: Market) -> dict[str, Any]:
    assert market.pair is not None
    pair = market.pair
    return {
        "name": pair.coin,
        "tokens": [pair.base.index, 0],
        "index": pair.index,
        "isCanonical": not pair.coin.startswith("@"),
    }


def _dex_row(dex: str) -> dict[str, Any]:
    nobody = "0x" + "0" * 40
    return {"name": dex, "fullName": dex, "deployer": nobody, "oracleUpdater": None, "feeRecipient": None}


def good_aggregation(figures: int | None, mantissa: int | None) -> bool:
    return (figures is None and mantissa is None) or (
        figures in (2, 3, 4, 5) and (mantissa is None or (figures == 5 and mantissa in (1, 2, 5)))
    )


def frontend_row(order: Order) -> dict[str, Any]:
    """An order as `frontendOpenOrders` and `orderStatus` show it: every key is there."""
    terms = order.trigger
    kind, condition, price = "Limit", "N/A", "0.0"
    if terms is not None:
        price = order.market.price(terms.ticks)
        word = "Take Profit" if terms.tpsl == "tp" else "Stop"
        kind = f"{word} {'Market' if terms.is_market else 'Limit'}"
        condition = f"Price {'above' if terms.above else 'below'} {wire.shortest(price)}"
    row = order_row(order)
    return {
        **row,
        "triggerCondition": condition,
        "isTrigger": terms is not None,
        "triggerPx": price,
        "children": [],
        "isPositionTpsl": False,
        "reduceOnly": order.reduce_only,
        "orderType": kind,
        "tif": order.tif or None,
        "cloid": order.client_order_id,
    }


def _with_status(order: Order) -> dict[str, Any]:
    return {"order": frontend_row(order), "status": order.status, "statusTimestamp": order.status_ms}


def _table_of(market: Market) -> int:
    """Tables of one tier are named by their leverage, as at the venue; those with more have numbers of their own."""
    return market.max_leverage if market.tier_notional is None else 100 + market.number


def _tiers(market: Market) -> dict[str, Any]:
    tiers = [{"lowerBound": "0.0", "maxLeverage": market.max_leverage}]
    if market.tier_notional is not None:
        bound = f"{market.tier_notional:f}"
        tiers.append(
            {"lowerBound": bound if "." in bound else f"{bound}.0", "maxLeverage": max(market.max_leverage // 2, 1)}
        )
    return {"description": "", "marginTiers": tiers}


def _universe_row(market: Market) -> dict[str, Any]:
    row: dict[str, Any] = {
        "szDecimals": market.size_decimals,
        "name": market.coin,
        "maxLeverage": market.max_leverage,
        "marginTableId": _table_of(market),
    }
    if market.delisted:
        row["isDelisted"] = True
    return row


def _position_row(market: Market, position: Position) -> dict[str, Any]:
    worth, unrealised = position.worth(market.mark_ticks), position.unrealised(market.mark_ticks)
    entry = Decimal(position.cost) / (abs(position.lots) * MONEY_PER_TICK_LOT)
    margin = position.cost // position.leverage
    return {
        "coin": market.coin,
        "szi": market.size(position.lots),
        "leverage": {"type": "cross" if position.cross else "isolated", "value": position.leverage},
        "entryPx": wire.shortest(f"{round(entry.scaleb(-market.price_decimals), 8):f}"),
        "positionValue": money(worth),
        "unrealizedPnl": money(unrealised),
        "returnOnEquity": f"{unrealised / margin:.10f}" if margin else "0.0",
        "liquidationPx": None,
        "marginUsed": money(worth // position.leverage),
        "maxLeverage": market.max_leverage,
        "cumFunding": {
            "allTime": money(position.funding_all),
            "sinceOpen": money(position.funding_open),
            "sinceChange": "0.0",
        },
    }


def _lumped(
    market: Market, side: Side, rows: Iterable[tuple[int, int]], figures: int, mantissa: int
) -> list[dict[str, Any]]:
    lumps: dict[int, list[int]] = {}
    for ticks, lots in rows:
        step = max(10 ** (len(str(ticks)) - figures), 1) * mantissa
        price = ticks - ticks % step if side is Side.BUY else ticks + -ticks % step
        lump = lumps.setdefault(price, [0, 0])
        lump[0] += lots
        lump[1] += sum(1 for _ in market.book.ids_at(side, ticks))
    return [
        {"px": market.price(price), "sz": wire.shortest(market.size(lots)), "n": count}
        for price, (lots, count) in lumps.items()
    ]


def _user(asked: wire.InfoRequest) -> str:
    if asked.user is None:
        raise BadRequest
    return asked.user.lower()


def _range(asked: wire.InfoRequest) -> tuple[int, int]:
    if asked.startTime is None:
        raise BadRequest
    return asked.startTime, (1 << 62) if asked.endTime is None else asked.endTime
