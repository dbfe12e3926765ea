"""The book of the simulated dYdX node: what meets what, who can afford it, and the trades that no block holds yet.

A match is optimistic: it counts once a block with it is committed. Matching is `mm_daemon.simulation`'s.
"""

from decimal import Decimal

import msgspec

from connectors.simulators.dydx.accounts import IOC, Order, Subaccount
from connectors.simulators.dydx.market import Market
from connectors.simulators.dydx.news import News
from connectors.simulators.dydx.state import State
from mm_daemon.domain.orders import Side
from mm_daemon.simulation.matching import Match


class Trade(msgspec.Struct):
    """A match that no block has yet."""

    market: Market
    aggressor: Side
    ticks: int
    lots: int
    maker: Order | None
    taker: Order | None


class Matching:
    def __init__(self, state: State, news: News) -> None:
        self._state = state
        self._news = news
        self._by_book_id: dict[int, Order] = {}
        self._pending: list[Trade] = []
        self._removals: list[Order] = []

    def take(self) -> list[Trade]:
        """The trades that the next block may hold."""
        pending, self._pending = self._pending, []
        return pending

    def take_removals(self) -> list[Order]:
        """Orders in the chain's state that the node has given up: the next block takes them out."""
        removals, self._removals = self._removals, []
        return removals

    def replace(self, former: Order, order: Order) -> None:
        """The trades of a former version are the new one's."""
        for trade in self._pending:
            trade.maker = order if trade.maker is former else trade.maker
            trade.taker = order if trade.taker is former else trade.taker

    def would_match(self, order: Order, former: Order | None) -> bool:
        """Whether a post-only order meets somebody else's; one's own do not count."""
        market, other = order.market, Side(-order.side)
        for ticks, _ in market.book.depth(other):
            if order.side * (order.ticks - ticks) < 0:
                return False
            for book_id in market.book.ids_at(other, ticks):
                maker = self._by_book_id.get(book_id)
                if maker is None or (maker.id.owner, maker.id.number) != (order.id.owner, order.id.number):
                    return True
        return False

    def match(self, order: Order) -> None:
        """Match an order with the node's book and let the rest stand, as far as its kind allows."""
        market, other = order.market, Side(-order.side)
        book = market.book
        while order.left and book.crosses(order.side, order.ticks):
            best = book.best(other)
            book_id = next(book.ids_at(other, best))
            maker = self._by_book_id.get(book_id)
            if maker is not None and (maker.id.owner, maker.id.number) == (order.id.owner, order.id.number):
                self.lift(maker)
                self.drop(maker, "SELF_TRADE_ERROR")
                continue
            lots = min(order.left, book.lots_of(book_id))
            if not self._can_afford(order, best, lots, taker=True):
                self.drop(order, "UNDERCOLLATERALIZED")
                return
            (match,) = book.sweep(order.side, lots, limit_ticks=best)
            if not match.maker_left_lots:
                market.flow.forget((match.maker_id,))
            self.met(market, order.side, match, order)
        market.flow.keep_two_sided()
        if not order.left:
            return
        if order.tif == IOC:
            self.drop(order, "IMMEDIATE_OR_CANCEL_WOULD_REST_ON_BOOK")
            return
        self.rest(order)

    def met(self, market: Market, aggressor: Side, match: Match, taker: Order | None) -> None:
        """A trade that the next block may hold."""
        maker = self._by_book_id.get(match.maker_id)
        if maker is not None and not self._can_afford(maker, match.ticks, match.lots, taker=False):
            if match.maker_left_lots:
                self.lift(maker)
            maker.resting = False
            self.drop(maker, "UNDERCOLLATERALIZED")
            return
        for order in (maker, taker):
            if order is not None:
                order.filled += match.lots
        if maker is not None and not match.maker_left_lots:
            maker.resting = False
            self._by_book_id.pop(maker.book_id, None)
        self._pending.append(Trade(market, aggressor, match.ticks, match.lots, maker, taker))

    def _can_afford(self, order: Order, ticks: int, lots: int, *, taker: bool) -> bool:
        """Collateral after this match and those that wait: enough, or at least no worse than before."""
        subaccount = self._state.subaccounts.get((order.id.owner, order.id.number))
        if subaccount is None:
            return False
        trades = [
            (trade.market, each.side, trade.ticks, trade.lots, each is trade.taker)
            for trade in self._pending
            for each in (trade.maker, trade.taker)
            if each is not None and (each.id.owner, each.id.number) == (order.id.owner, order.id.number)
        ]
        before = self._collateral(subaccount, trades)
        after = self._collateral(subaccount, [*trades, (order.market, order.side, ticks, lots, taker)])
        return after[0] >= after[1] or (after[1] < before[1] and after[0] - after[1] >= before[0] - before[1])

    def _collateral(
        self, subaccount: Subaccount, trades: list[tuple[Market, Side, int, int, bool]]
    ) -> tuple[Decimal, Decimal]:
        """(equity, initial margin) after trades that are not booked."""
        lots = {pair: each.lots for pair, each in subaccount.positions.items()}
        usdc = subaccount.usdc + subaccount.owed
        for market, side, ticks, traded, taker in trades:
            worth = traded * market.lot * ticks * market.tick
            lots[market.pair_id] = lots.get(market.pair_id, 0) + side * traded
            usdc -= side * worth + worth * self._state.fee_ppm(taker=taker) / 1_000_000
        margin = Decimal(0)
        for pair, held in lots.items():
            market = self._state.markets[pair]
            worth = held * market.lot * market.oracle_ticks * market.tick
            usdc += worth
            margin += abs(worth) * market.margin_ppm / 1_000_000
        return usdc, margin

    def rest(self, order: Order) -> None:
        order.resting = True
        self._by_book_id[order.book_id] = order
        order.market.book.rest(order.book_id, order.side, order.ticks, order.left)

    def lift(self, order: Order) -> None:
        order.resting = False
        self._by_book_id.pop(order.book_id, None)
        order.market.book.cancel(order.book_id)

    def drop(self, order: Order, reason: str) -> None:
        """The node has given an order up; it may still be filled by a block of somebody else."""
        order.status, order.removal = "BEST_EFFORT_CANCELED", reason
        if not order.id.short_term:
            self._removals.append(order)
        self._news.fast(order)

    def hit(self, order: Order, lots: int, *, cancelled: bool = False) -> int:
        """A taker of the moment trades with all that stands before an order and with `lots` of it; the lots of it that
        traded. `cancelled`: another proposer's block fills one that this node has dropped."""
        market, aggressor = order.market, Side(-order.side)
        if not order.resting:
            lots = min(lots, order.left) if cancelled and order.status != "CANCELED" else 0
            if lots:
                order.filled += lots
                self._pending.append(Trade(market, aggressor, order.ticks, lots, order, None))
            return lots
        book, before = market.book, order.left
        better = sum(here for ticks, here in book.depth(order.side) if order.side * (ticks - order.ticks) > 0)
        for match in book.sweep(aggressor, better + book.ahead_of(order.book_id) + min(lots, order.left)):
            if not match.maker_left_lots:
                market.flow.forget((match.maker_id,))
            self.met(market, aggressor, match, None)
        market.flow.keep_two_sided()
        return before - order.left

    def forget(self, trades: list[Trade]) -> None:
        """They never happened. A maker of the account stands again, at the back of its level."""
        for trade in trades:
            for order in (trade.maker, trade.taker):
                if order is None:
                    continue
                order.filled -= trade.lots
                if order.resting:
                    order.market.book.reduce(order.book_id, order.left)
                elif order is trade.maker and order.status in ("BEST_EFFORT_OPENED", "OPEN"):
                    self.rest(order)
