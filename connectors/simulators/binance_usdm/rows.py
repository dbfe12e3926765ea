"""Rows and messages of the simulated venue: Binance's names for what the market underneath knows. Pure functions.

Written from the venue's documents and not from any client, so that a misunderstanding of one side does not hide on the
other. Replies to orders carry no average price, as since the middle of 2026.
"""

from decimal import Decimal
from typing import Any

from connectors.simulators.binance_usdm.order_names import Named
from mm_daemon.domain.account_history import OrderKnown
from mm_daemon.domain.events import FundingPaid, OrderFilled
from mm_daemon.domain.instrument import Instrument
from mm_daemon.domain.money import from_pair, to_text
from mm_daemon.domain.orders import Side

Row = dict[str, Any]
NS_PER_MS = 1_000_000
SIDES = {"BUY": Side.BUY, "SELL": Side.SELL}
WORDS = {Side.BUY: "BUY", Side.SELL: "SELL"}


def status_of(order: OrderKnown, named: Named) -> str:
    if not order.ended:
        return "PARTIALLY_FILLED" if order.filled_lots else "NEW"
    return "FILLED" if order.filled_lots >= order.lots else named.status or "CANCELED"


def order_row(order: OrderKnown, named: Named, instrument: Instrument, *, full: bool = False) -> Row:
    """As replies have it; `full`: as the queries have it, which name the price of the fills."""
    filled = f"{instrument.size(order.filled_lots):f}"
    row: Row = {
        "orderId": named.order_id,
        "symbol": instrument.symbol,
        "status": status_of(order, named),
        "clientOrderId": named.client_id,
        "price": "0" if named.order_type == "MARKET" else f"{instrument.price(order.ticks):f}",
        "origQty": f"{instrument.size(order.lots):f}",
        "executedQty": filled,
        "timeInForce": named.time_in_force,
        "type": named.order_type,
        "reduceOnly": named.reduce_only,
        "closePosition": False,
        "side": WORDS[order.side],
        "positionSide": named.position_side,
        "stopPrice": "0",
        "workingType": "CONTRACT_PRICE",
        "priceProtect": False,
        "origType": named.order_type,
        "priceMatch": "NONE",
        "selfTradePreventionMode": "EXPIRE_MAKER",
        "goodTillDate": 0,
        "updateTime": named.updated_ms or named.created_ms,
    }
    if full:
        row |= {"avgPrice": row["price"] if order.filled_lots else "0.00000", "time": named.created_ms}
        row["cumQuote"] = f"{instrument.price(order.ticks) * instrument.size(order.filled_lots):f}"
    else:
        row["cumQty"] = filled
    return row


def commission(fill: OrderFilled, instrument: Instrument) -> tuple[str, str]:
    """What was paid for it, and in which asset."""
    if fill.charged is not None:
        return to_text(from_pair(fill.charged.amount)), fill.charged.currency
    return to_text(from_pair(fill.fee or (0, 0))), instrument.quote


def fill_row(fill: OrderFilled, number: int, order_id: int, position_side: str, instrument: Instrument) -> Row:
    price, size = instrument.price(fill.ticks), instrument.size(fill.lots)
    fee, asset = commission(fill, instrument)
    return {
        "buyer": fill.side is Side.BUY,
        "commission": fee,
        "commissionAsset": asset,
        "id": number,
        "maker": fill.maker,
        "orderId": order_id,
        "price": f"{price:f}",
        "qty": f"{size:f}",
        "quoteQty": f"{price * size:f}",
        "realizedPnl": "0",
        "side": WORDS[fill.side],
        "positionSide": position_side,
        "symbol": instrument.symbol,
        "time": fill.ts_venue_ns // NS_PER_MS,
    }


def position_row(
    instrument: Instrument, position_side: str, lots: int, entry: Decimal, mark: Decimal, updated_ms: int
) -> Row:
    """`positionRisk` of one position; signed lots."""
    held = instrument.size(lots)
    return {
        "symbol": instrument.symbol,
        "positionSide": position_side,
        "positionAmt": f"{held:f}",
        "entryPrice": f"{entry:f}",
        "breakEvenPrice": f"{entry:f}",
        "markPrice": f"{mark:f}",
        "unRealizedProfit": f"{(mark - entry) * held:f}",
        "unrealizedProfit": f"{(mark - entry) * held:f}",
        "liquidationPrice": "0",
        "isolatedMargin": "0",
        "isolatedWallet": "0",
        "notional": f"{mark * held:f}",
        "marginAsset": instrument.quote,
        "initialMargin": "0",
        "maintMargin": "0",
        "positionInitialMargin": "0",
        "openOrderInitialMargin": "0",
        "adl": 0,
        "bidNotional": "0",
        "askNotional": "0",
        "updateTime": updated_ms,
    }


def income_row(paid: FundingPaid, instrument: Instrument) -> Row:
    return {
        "symbol": instrument.symbol,
        "incomeType": "FUNDING_FEE",
        "income": to_text(from_pair(paid.amount)),
        "asset": instrument.quote,
        "info": "FUNDING_FEE",
        "time": paid.ts_venue_ns // NS_PER_MS,
        "tranId": paid.ts_venue_ns,
        "tradeId": "",
    }


def instrument_row(instrument: Instrument, percent: float, open_orders_max: int) -> Row:
    """An entry of `exchangeInfo`."""
    decimals = [-int(step.normalize().as_tuple().exponent) for step in (instrument.tick, instrument.lot)]
    most = f"{instrument.size(instrument.max_lots or 10**6):f}"
    sizes = {"minQty": f"{instrument.size(instrument.min_lots):f}", "maxQty": most, "stepSize": f"{instrument.lot:f}"}
    return {
        "symbol": instrument.symbol,
        "pair": instrument.symbol,
        "contractType": "PERPETUAL",
        "deliveryDate": 4133404800000,
        "onboardDate": 1569398400000,
        "status": "TRADING" if instrument.tradable else "SETTLING",
        "baseAsset": instrument.base,
        "quoteAsset": instrument.quote,
        "marginAsset": instrument.quote,
        "pricePrecision": max(decimals[0], 0),
        "quantityPrecision": max(decimals[1], 0),
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "underlyingSubType": [],
        "triggerProtect": "0.0500",
        "liquidationFee": "0.012500",
        "marketTakeBound": "0.05",
        "filters": [
            {
                "filterType": "PRICE_FILTER",
                "minPrice": f"{instrument.tick:f}",
                "maxPrice": f"{instrument.tick * 10**9:f}",
                "tickSize": f"{instrument.tick:f}",
            },
            {"filterType": "LOT_SIZE", **sizes},
            {"filterType": "MARKET_LOT_SIZE", **sizes},
            {"filterType": "MAX_NUM_ORDERS", "limit": open_orders_max},
            {"filterType": "MIN_NOTIONAL", "notional": f"{instrument.min_notional:f}"},
            {
                "filterType": "PERCENT_PRICE",
                "multiplierUp": f"{1 + percent:.4f}",
                "multiplierDown": f"{1 - percent:.4f}",
                "multiplierDecimal": "4",
            },
        ],
        "orderTypes": ["LIMIT", "MARKET"],
        "timeInForce": ["GTC", "IOC", "GTX"],
    }


def order_update(
    order: OrderKnown,
    named: Named,
    instrument: Instrument,
    execution: str,
    at_ms: int,
    fill: OrderFilled | None = None,
    number: int = 0,
) -> Row:
    """`ORDER_TRADE_UPDATE`; with `fill` that of a trade."""
    at_ms = at_ms if fill is None else fill.ts_venue_ns // NS_PER_MS
    row: Row = {
        "s": instrument.symbol,
        "c": named.client_id,
        "S": WORDS[order.side],
        "o": named.order_type,
        "f": named.time_in_force,
        "q": f"{instrument.size(order.lots):f}",
        "p": f"{instrument.price(order.ticks):f}",
        "ap": f"{instrument.price(fill.ticks):f}" if fill is not None else "0",
        "sp": "0",
        "x": execution,
        "X": status_of(order, named),
        "i": named.order_id,
        "l": f"{instrument.size(fill.lots):f}" if fill is not None else "0",
        "z": f"{instrument.size(order.filled_lots):f}",
        "L": f"{instrument.price(fill.ticks):f}" if fill is not None else "0",
        "T": at_ms,
        "t": number,
        "b": "0",
        "a": "0",
        "m": fill is not None and fill.maker,
        "R": named.reduce_only,
        "wt": "CONTRACT_PRICE",
        "ot": named.order_type,
        "ps": named.position_side,
        "cp": False,
        "pP": False,
        "si": 0,
        "ss": 0,
        "rp": "0",
        "V": "EXPIRE_MAKER",
        "pm": "NONE",
        "gtd": 0,
        "er": "0",
    }
    if fill is not None:
        row["n"], row["N"] = commission(fill, instrument)
    return {"e": "ORDER_TRADE_UPDATE", "T": at_ms, "E": at_ms, "o": row}


def account_update(
    why: str,
    asset: str,
    wallet: Decimal,
    change: Decimal,
    positions: list[tuple[Instrument, str, int, Decimal]],
    at_ms: int,
) -> Row:
    """`ACCOUNT_UPDATE`; positions as (contract, position side, lots, entry price)."""
    balance = {"a": asset, "wb": f"{wallet:f}", "cw": f"{wallet:f}", "bc": f"{change:f}"}
    rows = [
        {
            "s": instrument.symbol,
            "pa": f"{instrument.size(lots):f}",
            "ep": f"{entry:f}",
            "bep": f"{entry:f}",
            "cr": "0",
            "up": "0",
            "mt": "cross",
            "iw": "0",
            "ps": position_side,
        }
        for instrument, position_side, lots, entry in positions
    ]
    return {"e": "ACCOUNT_UPDATE", "T": at_ms, "E": at_ms, "a": {"m": why, "B": [balance], "P": rows}}
