"""What a committed block books: trades, with their fees, and funding once an hour."""

from decimal import Decimal
from typing import Any
from uuid import uuid5

from connectors.simulators.dydx import wire
from connectors.simulators.dydx.accounts import IOC, Order, Position, Subaccount
from connectors.simulators.dydx.market import Market, plain
from connectors.simulators.dydx.matching import Trade
from connectors.simulators.dydx.news import TRADES, News
from connectors.simulators.dydx.state import State
from mm_daemon.domain.orders import Side


class Booking:
    def __init__(self, state: State, news: News) -> None:
        self._state = state
        self._news = news
        self._event = 0
        self._funding_ns = state.settings.funding_period_s * 10**9
        self._next_funding_ns = (state.block_ns // self._funding_ns + 1) * self._funding_ns

    def trades(self, trades: list[Trade]) -> None:
        """The matches that the block holds, in their order."""
        self._event = 0
        prints: dict[str, list[dict[str, str]]] = {}
        for trade in trades:
            self._book_trade(trade, prints)
        for ticker, rows in prints.items():
            self._news.say(TRADES, ticker, {"trades": rows})

    def _book_trade(self, trade: Trade, prints: dict[str, list[dict[str, str]]]) -> None:
        market = trade.market
        self._event += 1
        event_id = f"{self._state.height:08x}{2:08x}{self._event:08x}"
        row = {
            "id": event_id,
            "side": "BUY" if trade.aggressor is Side.BUY else "SELL",
            "size": market.size(trade.lots),
            "price": market.price(trade.ticks),
            "type": "LIMIT",
            "createdAt": self._state.time,
        }
        prints.setdefault(market.ticker, []).append(row)
        market.trades.appendleft(row | {"createdAtHeight": str(self._state.height)})
        market.day_lots += trade.lots
        market.day_trades += 1
        for order, liquidity in ((trade.maker, "MAKER"), (trade.taker, "TAKER")):
            if order is not None:
                self._book_fill(order, trade, event_id, liquidity)

    def _book_fill(self, order: Order, trade: Trade, event_id: str, liquidity: str) -> None:
        market, subaccount = trade.market, self._state.subaccounts[order.id.owner, order.id.number]
        before = subaccount.lots(market)
        ppm, at, height = self._state.fee_ppm(taker=liquidity == "TAKER"), self._state.time, self._state.height
        worth, fee = subaccount.book_fill(market, order.side, trade.ticks, trade.lots, ppm, at, height)
        order.committed += trade.lots
        order.in_database = True
        order.updated_at, order.updated_height = self._state.time, self._state.height
        if order.committed >= order.lots:
            order.status, order.removal = "FILLED", ""
        elif order.resting:
            order.status = "OPEN"
        elif order.tif == IOC:
            order.status = "CANCELED"
        subaccount.orders[order.uuid] = order
        common = {
            "id": str(uuid5(wire.NAMESPACE, f"{event_id}-{liquidity}")),
            "side": "BUY" if order.side is Side.BUY else "SELL",
            "liquidity": liquidity,
            "type": "LIMIT",
            "price": market.price(trade.ticks),
            "size": market.size(trade.lots),
            "fee": plain(fee),
            "affiliateRevShare": "0",
            "createdAt": self._state.time,
            "createdAtHeight": str(self._state.height),
            "orderId": order.uuid,
            "clientMetadata": str(order.metadata),
        }
        subaccount.fills.append(
            common
            | {
                "market": market.ticker,
                "marketType": "PERPETUAL",
                "subaccountNumber": subaccount.number,
                "positionSizeBefore": market.size(before),
                "entryPriceBefore": "0",
                "positionSideBefore": "LONG" if before >= 0 else "SHORT",
            }
        )
        told = common | {
            "subaccountId": subaccount.uuid,
            "clobPairId": str(market.pair_id),
            "ticker": market.ticker,
            "quoteAmount": plain(worth),
            "eventId": event_id,
            "transactionHash": wire.tx_hash(f"block {self._state.height}".encode()),
        }
        position = subaccount.positions[market.pair_id]
        self._news.say_account(
            subaccount,
            {
                "fills": [told],
                "perpetualPositions": [subaccount.position_row(market, position, live=True)],
                "assetPositions": [self._asset_row(subaccount)],
                "orders": [order.slow()],
            },
        )

    @staticmethod
    def _asset_row(subaccount: Subaccount) -> dict[str, Any]:
        position_id = str(uuid5(wire.NAMESPACE, f"{subaccount.uuid}-asset-0"))
        return subaccount.usdc_row() | {"address": subaccount.owner, "positionId": position_id}

    def funding(self) -> None:
        """Once an hour: settled now, in the balance with the next update of the subaccount."""
        if self._state.block_ns < self._next_funding_ns:
            return
        self._next_funding_ns += self._funding_ns
        for market in self._state.markets.values():
            row = {"ticker": market.ticker, "rate": plain(self._state.rate), "price": market.price(market.oracle_ticks)}
            settled = {"effectiveAt": self._state.time, "effectiveAtHeight": str(self._state.height)}
            market.funding.appendleft(row | settled)
            for subaccount in self._state.subaccounts.values():
                position = subaccount.positions.get(market.pair_id)
                if position is not None and position.lots:
                    self._pay(subaccount, market, position)

    def _pay(self, subaccount: Subaccount, market: Market, position: Position) -> None:
        worth = position.lots * market.lot * market.oracle_ticks * market.tick
        received = (-worth * self._state.rate).quantize(Decimal("0.000001"))
        position.funding += received
        subaccount.owed += received
        subaccount.payments.append(
            {
                "createdAt": self._state.time,
                "createdAtHeight": str(self._state.height),
                "perpetualId": str(market.pair_id),
                "ticker": market.ticker,
                "oraclePrice": market.price(market.oracle_ticks),
                "size": market.size(abs(position.lots)),
                "side": "LONG" if position.lots > 0 else "SHORT",
                "rate": plain(self._state.rate),
                "payment": plain(received),
                "subaccountNumber": str(subaccount.number),
                "fundingIndex": "0",
            }
        )
