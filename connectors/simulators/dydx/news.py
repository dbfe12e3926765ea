"""What the simulated chain tells the indexer's listeners: news of the node's book at once, those of blocks later."""

from typing import Any

import msgspec

from connectors.simulators.dydx import wire
from connectors.simulators.dydx.accounts import Order, Subaccount
from connectors.simulators.dydx.market import Market
from connectors.simulators.dydx.state import State, Trouble
from mm_daemon.domain.orders import Side

BOOK, TRADES, MARKETS, SUBACCOUNTS, HEIGHT = (
    "v4_orderbook",
    "v4_trades",
    "v4_markets",
    "v4_subaccounts",
    "v4_block_height",
)


class Said(msgspec.Struct, frozen=True):
    """Contents of one message of a channel."""

    channel: str
    id: str
    contents: dict[str, Any]


class News:
    def __init__(self, state: State) -> None:
        self._state = state
        self._said: list[Said] = []

    def take(self) -> list[Said]:
        """What was said since this was last asked."""
        said, self._said = self._said, []
        return said

    def say(self, channel: str, name: str, contents: dict[str, Any]) -> None:
        self._said.append(Said(channel, name, contents))

    def say_account(self, subaccount: Subaccount, contents: dict[str, Any]) -> None:
        self.say(SUBACCOUNTS, subaccount.id, contents | {"blockHeight": str(self._state.height)})

    def fast(self, order: Order) -> None:
        """News of the node's book. An order that never filled is in no database: when it has ended it is not known."""
        subaccount = self._state.subaccounts.get((order.id.owner, order.id.number))
        if subaccount is None:
            return
        if order.status == "BEST_EFFORT_OPENED" or order.in_database:
            subaccount.orders[order.uuid] = order
        elif subaccount.orders.get(order.uuid) is order:
            del subaccount.orders[order.uuid]
        if order.told:
            self.say_account(subaccount, {"orders": [order.fast()]})

    def slow(self, order: Order) -> None:
        order.updated_at, order.updated_height = self._state.time, self._state.height
        subaccount = self._state.subaccounts[order.id.owner, order.id.number]
        subaccount.orders[order.uuid] = order
        self.say_account(subaccount, {"orders": [order.slow()]})

    def unknown_cancel(self, order_id: wire.OrderId) -> None:
        subaccount = self._state.subaccounts.get((order_id.owner, order_id.number))
        if subaccount is None:
            return
        row = {
            "id": order_id.uuid,
            "subaccountId": subaccount.uuid,
            "clientId": str(order_id.client_id),
            "clobPairId": str(order_id.pair_id),
            "status": "BEST_EFFORT_CANCELED",
            "orderFlags": str(order_id.flags),
            "ticker": self._state.markets[order_id.pair_id].ticker,
            "removalReason": "ORDER_REMOVAL_REASON_USER_CANCELED",
        }
        self.say_account(subaccount, {"orders": [row]})

    def books(self) -> None:
        """One message a level, with the level's new size."""
        for market in self._state.markets.values():
            for side, ticks, lots in market.changes():
                if not lots and self._state.trouble(Trouble.MISS_REMOVAL):
                    continue
                self.level(market, side, ticks, lots)

    def level(self, market: Market, side: Side, ticks: int, lots: int) -> None:
        """What the indexer says of a level, be it so or not."""
        name = "bids" if side is Side.BUY else "asks"
        self.say(BOOK, market.ticker, {name: [[market.price(ticks), market.size(lots)]]})
