"""Orders that live in the simulated chain's state: long-term and conditional ones.

CheckTx reserves and answers; nothing is there before a block holds it, and an order reaches the book behind that block.
What the node gives up (a post-only order that would cross, a maker without collateral) is told at once and is final
with the next block, of which the feed says nothing: only the database knows.

Source: FACTS sections 4, 6 to 9 (v4-chain x/clob/keeper/orders.go, x/accountplus; indexer vulcan order-remove-handler).
"""

from connectors.simulators.dydx import wire
from connectors.simulators.dydx.accounts import NONCE_FROM, NONCE_WINDOW_MS, POST_ONLY, Order
from connectors.simulators.dydx.checks import Checks, Refused
from connectors.simulators.dydx.market import Market
from connectors.simulators.dydx.matching import Matching
from connectors.simulators.dydx.news import News
from connectors.simulators.dydx.state import State
from mm_daemon.domain.orders import Side

EQUITY_TIERS = ((0, 0), (20, 4), (100, 8), (1000, 10), (10_000, 100), (100_000, 200))
"""Open stateful orders by net collateral from so many USDC on."""
_LONGEST_S = 95 * 86_400
_OPEN = ("OPEN", "UNTRIGGERED")
_DROPPED = "BEST_EFFORT_CANCELED"


class Stateful:
    def __init__(self, state: State, news: News, matching: Matching, checks: Checks) -> None:
        self._state = state
        self._news = news
        self._matching = matching
        self._checks = checks
        self._waiting: list[tuple[int, Order | wire.Cancel]] = []
        """What the next block will hold, each with its transaction's sequence."""

    # CheckTx

    def place(self, message: wire.Place, tx: wire.Tx) -> None:
        """Raises Refused."""
        market = self._checks.market(message)
        self._until(message.good_til_time or 0)
        known = self._known(message.id.owner)
        if message.id in known:
            raise Refused(3005, "Stateful order already exists")
        self._tier(message.id, len(known))
        self._collateral(message, market)
        self._waiting.append((tx.sequence, self._state.new_order(message, tx.public_key)))

    def cancel(self, message: wire.Cancel, tx: wire.Tx) -> None:
        """Raises Refused."""
        self._until(message.good_til_time or 0)
        if any(isinstance(each, wire.Cancel) and each.id == message.id for _, each in self._waiting):
            raise Refused(3008, "Order Id to cancel: (id): Stateful order was previously cancelled")
        order = self._known(message.id.owner).get(message.id)
        if order is None:
            text = "Order Id to cancel does not exist. OrderId : (id)"
            raise Refused(3006, f"{text}: Stateful order does not exist")
        if (message.good_til_time or 0) < (order.good_til_time or 0):
            raise Refused(29, "cancellation goodTilBlockTime less than stateful order goodTilBlockTime")
        self._waiting.append((tx.sequence, message))

    def _known(self, owner: str) -> dict[wire.OrderId, Order]:
        """An owner's orders in the state and on their way into it."""
        committed = [order for order in self._state.orders.values() if order.status in (*_OPEN, _DROPPED)]
        waiting = [each for _, each in self._waiting if isinstance(each, Order)]
        return {each.id: each for each in (*committed, *waiting) if each.id.owner == owner and not each.id.short_term}

    def _until(self, until: int) -> None:
        now_s = self._state.block_ns // 10**9
        if until <= now_s:
            raise Refused(3003, f"GoodTilBlockTime {until} is in the past: time exceeds GoodTilBlockTime")
        if until > now_s + _LONGEST_S:
            raise Refused(3004, f"GoodTilBlockTime {until} is too far ahead: exceeds the stateful order time window")

    def _tier(self, order_id: wire.OrderId, count: int) -> None:
        subaccount = self._state.subaccounts.get((order_id.owner, order_id.number))
        net = 0 if subaccount is None else int(subaccount.equity(self._state.markets))
        limit = max((tier for least, tier in EQUITY_TIERS if net >= least), default=0)
        if count >= limit:
            raise Refused(
                10001,
                f"Opening order would exceed equity tier limit of {limit}. Order count: {count}, total net collateral: "
                f"{net * 10**6}, order id: (id): Subaccount cannot open more orders due to equity tier limit.",
            )

    def _collateral(self, message: wire.Place, market: Market) -> None:
        subaccount = self._state.subaccounts.get((message.id.owner, message.id.number))
        side = Side.BUY if message.side == 1 else Side.SELL
        if subaccount is None or subaccount.lots(market) * side < 0:
            return
        lots, ticks = message.quantums // market.step, message.subticks // market.subticks_per_tick
        margin = lots * market.lot * ticks * market.tick * market.margin_ppm / 1_000_000
        if margin > subaccount.equity(self._state.markets):
            raise Refused(3007, "Stateful order collateralization check failed")

    # Blocks

    def include(self) -> None:
        """The block holds what has waited, in its order; orders that are still open then reach the book. A transaction
        whose time has passed while it waited never lands, and nobody is told."""
        for order in self._matching.take_removals():
            if order.status == _DROPPED:
                order.status = "CANCELED"
                order.updated_at, order.updated_height = self._state.time, self._state.height
        waiting, self._waiting = self._waiting, []
        placed: list[Order] = []
        for sequence, each in waiting:
            if sequence >= NONCE_FROM and sequence < self._state.block_ns // 1_000_000 - NONCE_WINDOW_MS:
                continue
            if isinstance(each, Order):
                each.created_at, each.created_height = self._state.time, self._state.height
                each.status = "UNTRIGGERED" if each.conditional_type else "OPEN"
                self._state.orders[each.id] = each
                self._news.slow(each)
                placed.append(each)
                continue
            found = self._state.orders.get(each.id)
            if found is not None and found.status in _OPEN:
                self._lift(found)
                found.status, found.removal = "CANCELED", "USER_CANCELED"
                self._news.slow(found)
        for order in placed:
            if order.status == "OPEN":
                self._enter(order)

    def expire(self) -> None:
        """What the block's time has reached."""
        now_s = self._state.block_ns // 10**9
        for order in self._state.orders.values():
            if order.good_til_time is not None and order.good_til_time <= now_s and order.status in _OPEN:
                self._lift(order)
                order.status, order.removal = "CANCELED", "EXPIRED"
                order.updated_at, order.updated_height = self._state.time, self._state.height
                self._news.fast(order)

    def trigger(self) -> None:
        """Conditional orders whose trigger the oracle's price has reached."""
        for order in self._state.orders.values():
            if order.status != "UNTRIGGERED":
                continue
            above = (order.conditional_type == 2) is (order.side is Side.SELL)
            distance = order.market.oracle_ticks - order.trigger_ticks
            if (distance >= 0) if above else (distance <= 0):
                order.status = "OPEN"
                self._news.slow(order)
                self._enter(order)

    def _enter(self, order: Order) -> None:
        """An order meets the book for the first time."""
        if order.tif == POST_ONLY and self._matching.would_match(order, None):
            self._matching.drop(order, "POST_ONLY_WOULD_CROSS_MAKER_ORDER")
        else:
            self._matching.match(order)

    def _lift(self, order: Order) -> None:
        if order.resting:
            self._matching.lift(order)
