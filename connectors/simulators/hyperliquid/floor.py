"""The trading floor of the simulated Hyperliquid: the venue's rules for an order, and what becomes of it.

Rules are checked in the venue's order and refused in its words. Matching is by price, then time, on the market's book;
an address never trades with itself: its resting order is cancelled and the taker goes on. Called by `exchange.py`, in
the order of a block; what is to be told is collected by user.
"""

import hashlib
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from connectors.simulators.hyperliquid import wire
from connectors.simulators.hyperliquid.accounts import Account, Fill, Order, TriggerTerms
from connectors.simulators.hyperliquid.market import (
    MONEY_DECIMALS,
    MONEY_ONE,
    MONEY_PER_TICK_LOT,
    Market,
    Trade,
    money,
    number,
)
from mm_daemon.domain.book import NO_ASK, NO_BID
from mm_daemon.domain.instrument import grid_floor
from mm_daemon.domain.orders import Side

_LETTERS = {Side.BUY: "B", Side.SELL: "A"}
_LEAST_NOTIONAL = 10 * 10**6
"""10 USDC in ticks times lots."""
_LEAST_SPOT_MONEY = 10 * MONEY_ONE
_BAND = Decimal("0.95")
_OPEN_ORDERS, _MOST_OPEN_ORDERS, _VOLUME_PER_ORDER = 1000, 5000, 5_000_000 * 10**12
_TID_BITS = 50
_MARKET_SLIPPAGE = Decimal("0.1")
"""How far a triggered market order goes from its trigger."""

GONE = "Order was never placed, already canceled, or filled."
CANNOT_MODIFY = "Cannot modify canceled or filled order"


class Refused(Exception):
    """The venue refuses one order: its words, and the status it is remembered by."""

    def __init__(self, text: str, status: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.status = status


class RefusedBatch(Exception):
    """The venue refuses a whole action because of what is in it."""


class Floor:
    def __init__(
        self, markets: Mapping[int, Market], accounts: Mapping[str, Account], next_oid: Callable[[], int]
    ) -> None:
        self._markets = markets
        self._accounts = accounts
        self.post_only_until_ms = 0
        """Until then only post-only orders are taken: the network was upgraded."""
        self._by_coin = {market.coin: market for market in markets.values()}
        self._next_oid = next_oid
        self._owners: dict[int, Account] = {}
        self.updates: dict[str, list[dict[str, Any]]] = {}
        """Order updates since the last block, by user."""
        self.fills: dict[str, list[Fill]] = {}
        """Fills since the last block, by user."""
        self.self_cancels: dict[str, list[dict[str, Any]]] = {}
        """What was cancelled without the user's asking, by user."""

    # An order's rules

    def check_batch(self, items: list[wire.Order]) -> None:
        """What follows from the orders alone is refused once for all of them. Raises RefusedBatch."""
        if not items:
            raise RefusedBatch("Empty batch of orders")
        for item in items:
            market = self._markets.get(item.a)
            price = _decimal(item.p)
            if market is None or market.delisted or price is None:
                continue
            reference = Decimal(market.oracle_ticks).scaleb(-market.price_decimals)
            if price > 0 and abs(price - reference) > _BAND * reference and price > reference * (1 - _BAND):
                raise RefusedBatch(f"Order price cannot be more than 95% away from the reference price asset={item.a}")

    def _market(self, number: int) -> Market:
        market = self._markets.get(number)
        if market is None or market.delisted:
            raise Refused(f"Asset {number} is not tradable")
        return market

    def _numbers(self, market: Market, item: wire.Order) -> tuple[int, int]:
        """Ticks and lots of an order. Raises Refused."""
        price, size = _decimal(item.p), _decimal(item.s)
        if price is None or price <= 0:
            raise Refused("Order has invalid price.")
        if size is None or size < 0:
            raise Refused("Order has invalid size.")
        if size == 0:
            raise Refused("Order has zero size.")
        lots = size.scaleb(market.size_decimals)
        if lots != int(lots):
            raise Refused("Order has invalid size.")
        ticks = price.scaleb(market.price_decimals)
        if ticks != int(ticks) or grid_floor(int(ticks), market.grid) != ticks:
            raise Refused("Price must be divisible by tick size.", "tickRejected")
        return int(ticks), int(lots)

    def place(self, account: Account, item: wire.Order, now_ms: int) -> dict[str, Any] | str:
        """The status of one order of an action."""
        try:
            order = self._checked(account, item, now_ms)
        except Refused as refused:
            return {"error": _suffixed(refused.text, item.a)}
        if order.trigger is not None:
            account.open(order)
            self._owners[order.oid] = account
            self._update(account, order, "open", now_ms)
            return "waitingForTrigger"
        try:
            return self._carry_out(account, order, now_ms)
        except Refused as refused:
            account.end(order, refused.status, now_ms)
            return {"error": _suffixed(refused.text, item.a)}

    def _checked(self, account: Account, item: wire.Order, now_ms: int) -> Order:
        """The order, if the rules that need no book let it pass. Raises Refused."""
        market = self._market(item.a)
        ticks, lots = self._numbers(market, item)
        trigger = self._trigger(market, item)
        tif = item.t.limit.tif if isinstance(item.t.limit, wire.Tif) else ""
        order = Order(
            market,
            self._next_oid(),
            Side.BUY if item.b else Side.SELL,
            ticks,
            lots,
            reduce_only=item.r,
            tif=tif,
            client_order_id=item.c if isinstance(item.c, str) else None,
            time_ms=now_ms,
            trigger=trigger,
        )
        try:
            if now_ms < self.post_only_until_ms and tif != "Alo":
                raise Refused("Only post-only orders allowed immediately after a network upgrade")
            self._check_account(account, order)
        except Refused as refused:
            account.end(order, refused.status, now_ms)
            raise
        return order

    @staticmethod
    def _trigger(market: Market, item: wire.Order) -> TriggerTerms | None:
        if not isinstance(item.t.trigger, wire.Trigger):
            if not isinstance(item.t.limit, wire.Tif):
                raise Refused("Order has invalid type.")
            return None
        wanted = item.t.trigger
        price = _decimal(wanted.triggerPx)
        if price is None or price <= 0:
            raise Refused("Invalid TP/SL price.", "badTriggerPxRejected")
        ticks = int(price.scaleb(market.price_decimals))
        above = (wanted.tpsl == "tp") is not item.b
        if (market.mark_ticks >= ticks) if above else (market.mark_ticks <= ticks):
            raise Refused("Invalid TP/SL price.", "badTriggerPxRejected")
        return TriggerTerms(ticks, above, wanted.isMarket, wanted.tpsl)

    def _check_account(self, account: Account, order: Order) -> None:
        if order.market.pair is not None:
            self._check_spot(account, order)
            return
        lots_held = account.position(order.market).lots
        room = -order.side * lots_held
        if order.reduce_only and order.trigger is None:
            if room <= 0:
                raise Refused("Reduce only order would increase position.", "reduceOnlyRejected")
            order.lots = order.original_lots = min(order.lots, room)
        closing = order.reduce_only and order.lots == room
        if order.ticks * order.lots < _LEAST_NOTIONAL and not closing:
            raise Refused("Order must have minimum value of $10.", "minTradeNtlRejected")
        self._check_count(account, order)
        self._check_open_interest(order, lots_held)
        after = abs(lots_held + order.side * order.lots) * order.ticks * MONEY_PER_TICK_LOT
        if not order.reduce_only and account.position(order.market).leverage > order.market.leverage_at(after):
            raise Refused("Order would cause position to exceed margin tier limit at current leverage")
        if not order.reduce_only and not self._has_margin(account, order):
            raise Refused("Insufficient margin to place order.", "perpMarginRejected")

    @staticmethod
    def _check_count(account: Account, order: Order) -> None:
        most = min(_OPEN_ORDERS + account.volume // _VOLUME_PER_ORDER, _MOST_OPEN_ORDERS)
        if len(account.orders) >= most or (
            len(account.orders) >= _OPEN_ORDERS and (order.reduce_only or order.trigger is not None)
        ):
            raise Refused(f"Too many open orders: {len(account.orders)}")

    def _check_spot(self, account: Account, order: Order) -> None:
        if order.trigger is not None:
            raise Refused("Order has invalid type.")
        if order.reduce_only:
            raise Refused("Reduce only order would increase position.", "reduceOnlyRejected")
        if order.ticks * order.lots * order.market.money_per_tick_lot < _LEAST_SPOT_MONEY:
            raise Refused("Order must have minimum value of 10 USDC.", "minTradeSpotNtlRejected")
        self._check_count(account, order)
        if not account.can_pay(order, self._by_coin):
            raise Refused("Insufficient spot balance", "insufficientSpotBalanceRejected")

    def _check_open_interest(self, order: Order, lots_held: int) -> None:
        """While it is capped no position may grow, and no price may be more aggressive than the oracle's."""
        market = order.market
        if market.open_interest_cap is None:
            return
        held = [account.position(market).lots for account in self._accounts.values()]
        interest = max(sum(lots for lots in held if lots > 0), -sum(lots for lots in held if lots < 0))
        if interest * market.mark_ticks * MONEY_PER_TICK_LOT < market.open_interest_cap * MONEY_ONE:
            return
        if abs(lots_held + order.side * order.lots) > abs(lots_held):
            text = "Order would increase open interest while open interest is capped"
            raise Refused(text, "positionIncreaseAtOpenInterestCapRejected")
        if order.side * (order.ticks - market.oracle_ticks) > 0:
            text = "Order rejected due to price more aggressive than oracle while at open interest cap"
            raise Refused(text, "tooAggressiveAtOpenInterestCapRejected")

    def _has_margin(self, account: Account, order: Order) -> bool:
        if order.market.pair is not None:
            return True  # what a spot order may cost is held for it
        more = {(order.market.coin, order.side): order.lots}
        before = account.margin_with_orders(self._by_coin, {})
        after = account.margin_with_orders(self._by_coin, more)
        held = account.spot_hold(None) if account.unified else 0
        return after <= before or after <= account.value(self._by_coin) - held

    # Matching

    def _carry_out(self, account: Account, order: Order, now_ms: int) -> dict[str, Any]:
        """Match or rest an order that passed the rules; its status. Raises Refused."""
        market = order.market
        if order.tif == "Alo" and market.book.crosses(order.side, order.ticks):
            bid, ask = market.book.best(Side.BUY), market.book.best(Side.SELL)
            bid_text = "" if bid == NO_BID else wire.shortest(market.price(bid))
            ask_text = "" if ask == NO_ASK else wire.shortest(market.price(ask))
            raise Refused(
                f"Post only order would have immediately matched, bbo was {bid_text}@{ask_text}.", "badAloPxRejected"
            )
        account.open(order)
        self._owners[order.oid] = account
        spent = self._match(account, order, now_ms)
        taken = order.original_lots - order.lots
        if order.tif == "Ioc" and not taken:
            account.orders.pop(order.oid)
            text = "Order could not immediately match against any resting orders."
            raise Refused(text, "iocCancelRejected")
        cloid = {} if order.client_order_id is None else {"cloid": order.client_order_id}
        if order.lots and order.tif != "Ioc":
            market.book.rest(order.oid, order.side, order.ticks, order.lots)
            self._update(account, order, "open", now_ms)
            self._guard_reduce_only(account, market, now_ms)
            if order.oid in account.orders:
                return {"resting": {"oid": order.oid, **cloid}}
            return {"error": "Reduce only order would increase position."}
        if order.lots:
            self._end(account, order, "canceled", now_ms)
        self._guard_reduce_only(account, market, now_ms)
        average = Decimal(spent) / taken
        price = average.scaleb(-market.price_decimals)
        filled = {"totalSz": wire.shortest(market.size(taken)), "avgPx": wire.shortest(f"{round(price, 8):f}")}
        return {"filled": {**filled, "oid": order.oid, **cloid}}

    def _match(self, account: Account, order: Order, now_ms: int) -> int:
        """Take what the limit allows; ticks times lots that were paid."""
        market, other, spent = order.market, Side(-order.side), 0
        book = market.book
        while order.lots and book.crosses(order.side, order.ticks):
            best = book.best(other)
            if best in (NO_BID, NO_ASK):
                break
            maker_id = next(book.ids_at(other, best))
            owner = self._owners.get(maker_id)
            if owner is account:
                self.cancel(account, account.orders[maker_id], "selfTradeCanceled", now_ms)
                continue
            if owner is not None and not self._has_margin(owner, owner.orders[maker_id]):
                self.cancel(owner, owner.orders[maker_id], "marginCanceled", now_ms)
                continue
            (match,) = book.sweep(order.side, min(order.lots, book.lots_of(maker_id)), limit_ticks=best)
            spent += match.ticks * match.lots
            if not match.maker_left_lots:
                market.flow.forget((match.maker_id,))
            self._traded(market, order.side, match.ticks, match.lots, match.maker_id, account, order, now_ms)
        market.flow.keep_two_sided()
        return spent

    def others_traded(self, market: Market, aggressor: Side, ticks: int, lots: int, maker_id: int, now_ms: int) -> None:
        """A taker of the flow met a resting order."""
        self._traded(market, aggressor, ticks, lots, maker_id, None, None, now_ms)

    def _traded(
        self,
        market: Market,
        aggressor: Side,
        ticks: int,
        lots: int,
        maker_id: int,
        taker: Account | None,
        order: Order | None,
        now_ms: int,
    ) -> None:
        owner = self._owners.get(maker_id)
        taker_id = self._next_oid() if order is None else order.oid
        tid = (maker_id * 0x9E3779B97F4A7C15 ^ taker_id * 0xBF58476D1CE4E5B9) & ((1 << _TID_BITS) - 1)
        makers = "0x" + "0" * 40 if owner is None else owner.address
        takers = "0x" + "1" * 40 if taker is None else taker.address
        market.note(Trade(aggressor, ticks, lots, now_ms, tid, makers, takers))
        if taker is not None and order is not None:
            self._fill(taker, order, ticks, lots, tid, now_ms, taker=True)
        if owner is not None:
            self._fill(owner, owner.orders[maker_id], ticks, lots, tid, now_ms, taker=False)

    def _fill(
        self, account: Account, order: Order, ticks: int, lots: int, tid: int, now_ms: int, *, taker: bool
    ) -> None:
        market, pair = order.market, order.market.pair
        if pair is None:
            before, profit, fee = account.book_fill(order, ticks, lots, taker=taker)
            start, direction, fee_text = market.size(before), _direction(before, order.side, lots), money(fee)
        else:
            before, profit, fee = account.book_spot_fill(order, ticks, lots, taker=taker)
            start, direction = number(before, MONEY_DECIMALS), "Buy" if order.side is Side.BUY else "Sell"
            fee_text = number(fee, MONEY_DECIMALS)
        fill = Fill(
            coin=market.coin,
            px=market.price(ticks),
            sz=wire.shortest(market.size(lots)),
            side=_LETTERS[order.side],
            time=now_ms,
            startPosition=start,
            dir=direction,
            closedPnl=money(profit),
            hash="0x" + hashlib.sha256(f"{now_ms} {tid}".encode()).hexdigest(),
            oid=order.oid,
            crossed=taker,
            fee=fee_text,
            tid=tid,
            feeToken="USDC" if pair is None or order.side is Side.SELL else pair.base.name,
            twapId=None,
            cloid=msgspec.UNSET if order.client_order_id is None else order.client_order_id,
        )
        account.fills.append(fill)
        self.fills.setdefault(account.address, []).append(fill)
        if not order.lots:
            self._end(account, order, "filled", now_ms)
        if not taker:
            self._guard_reduce_only(account, market, now_ms)

    # Ends

    def cancel(self, account: Account, order: Order, status: str, now_ms: int) -> None:
        order.market.book.cancel(order.oid)
        self._end(account, order, status, now_ms)
        if status != "canceled":
            row = {"coin": order.market.coin, "oid": order.oid}
            self.self_cancels.setdefault(account.address, []).append(row)

    def cancel_all(self, account: Account, status: str, now_ms: int) -> None:
        for order in tuple(account.orders.values()):
            self.cancel(account, order, status, now_ms)

    def _end(self, account: Account, order: Order, status: str, now_ms: int) -> None:
        account.end(order, status, now_ms)
        self._owners.pop(order.oid, None)
        self._update(account, order, status, now_ms)

    def _guard_reduce_only(self, account: Account, market: Market, now_ms: int) -> None:
        """Resting orders that only reduce never exceed the position: the older ones go first."""
        if market.pair is not None:
            return
        for side in (Side.BUY, Side.SELL):
            room = max(-side * account.position(market).lots, 0)
            for order in reversed(account.resting(market, side)):
                if not order.reduce_only:
                    continue
                if order.lots > room:
                    self.cancel(account, order, "reduceOnlyCanceled", now_ms)
                else:
                    room -= order.lots

    def modify(self, account: Account, oid: int | str, item: wire.Order, now_ms: int) -> dict[str, Any] | str:
        """Cancel the old order and place the new one; when that fails nothing is left."""
        old = account.find(oid)
        if old is None or old.oid not in account.orders:
            return {"error": CANNOT_MODIFY}
        self.cancel(account, old, "canceled", now_ms)
        status = self.place(account, item, now_ms)
        if isinstance(status, dict) and "error" in status:
            return {"error": f"Error placing new order during modify: {status['error']}"}
        return status

    def pull_triggers(self, account: Account, now_ms: int) -> None:
        """Trigger orders whose price the mark has reached become orders."""
        for order in tuple(account.orders.values()):
            terms = order.trigger
            if terms is None:
                continue
            mark = order.market.mark_ticks
            if (mark < terms.ticks) if terms.above else (mark > terms.ticks):
                continue
            account.orders.pop(order.oid)
            order.trigger, order.tif = None, "Ioc" if terms.is_market else "Gtc"
            if terms.is_market:
                reach = 1 + order.side * _MARKET_SLIPPAGE
                order.ticks = max(grid_floor(int(terms.ticks * reach), order.market.grid), 1)
            self._update(account, order, "triggered", now_ms)
            try:
                self._check_account(account, order)
                self._carry_out(account, order, now_ms)
            except Refused as refused:
                dry = terms.is_market and refused.status == "iocCancelRejected"
                self._end(account, order, "marketOrderNoLiquidityRejected" if dry else refused.status, now_ms)

    # What is told

    def _update(self, account: Account, order: Order, status: str, now_ms: int) -> None:
        row = {"order": order_row(order), "status": status, "statusTimestamp": now_ms}
        self.updates.setdefault(account.address, []).append(row)

    def hit(self, account: Account, order: Order, lots: int, now_ms: int) -> int:
        """A taker of the moment trades with all that stands before an order and then with `lots` of it. What traded."""
        market, aggressor = order.market, Side(-order.side)
        book = market.book
        better = sum(here for ticks, here in book.depth(order.side) if order.side * (ticks - order.ticks) > 0)
        before = order.lots
        for match in book.sweep(aggressor, better + book.ahead_of(order.oid) + min(lots, order.lots)):
            if not match.maker_left_lots:
                market.flow.forget((match.maker_id,))
            self.others_traded(market, aggressor, match.ticks, match.lots, match.maker_id, now_ms)
        market.flow.keep_two_sided()
        return before - order.lots


def order_row(order: Order) -> dict[str, Any]:
    """An order as `openOrders` and `orderUpdates` show it: what is not used is absent."""
    row: dict[str, Any] = {
        "coin": order.market.coin,
        "side": _LETTERS[order.side],
        "limitPx": order.market.price(order.ticks),
        "sz": order.market.size(order.lots),
        "oid": order.oid,
        "timestamp": order.time_ms,
        "origSz": order.market.size(order.original_lots),
    }
    if order.client_order_id is not None:
        row["cloid"] = order.client_order_id
    if order.reduce_only:
        row["reduceOnly"] = True
    return row


def _direction(before: int, side: Side, lots: int) -> str:
    after = before + side * lots
    if before * after < 0:
        return "Long > Short" if before > 0 else "Short > Long"
    if abs(after) > abs(before):
        return "Open Long" if after > 0 else "Open Short"
    return "Close Long" if before > 0 else "Close Short"


def _decimal(text: str) -> Decimal | None:
    try:
        found = Decimal(text)
    except InvalidOperation:
        return None
    return found if found.is_finite() and abs(found.adjusted()) < 30 else None


def _suffixed(text: str, asset: int) -> str:
    """Live texts end with the asset."""
    return f"{text} asset={asset}"
