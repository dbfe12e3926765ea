"""The simulated dYdX chain, seen from one node: what CheckTx lets in, the node's book, blocks, and what all that looks
like on the indexer's feed.

A match is optimistic: it counts once a block with it is committed, which an ordered fault may prevent (another proposer
had another book). News of the node's book are fast and not committed; those of blocks are slow and final. Matching is
`mm_daemon.simulation`'s; one seed is one history of the others.
"""

from collections.abc import Iterator
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import uuid5

import msgspec
from coincurve import PrivateKey

from connectors.simulators.dydx import wire
from connectors.simulators.dydx.accounts import (
    IOC,
    POST_ONLY,
    Order,
    Owner,
    Permission,
    Position,
    Subaccount,
    iso,
    seeded_key,
)
from connectors.simulators.dydx.checks import Checks, Refused
from connectors.simulators.dydx.market import Market, markets, plain
from connectors.simulators.dydx.settings import DydxVenueSettings
from mm_daemon.domain.orders import Side
from mm_daemon.domain.rng import Rng
from mm_daemon.simulation.matching import Match

BOOK, TRADES, MARKETS, SUBACCOUNTS, HEIGHT = (
    "v4_orderbook",
    "v4_trades",
    "v4_markets",
    "v4_subaccounts",
    "v4_block_height",
)
_NS_PER_MS = 1_000_000
_FIRST_ACCOUNT = 73
_CACHE = 10_000


class Trouble(StrEnum):
    """What goes wrong at the venue itself, ordered by `/control/trouble`, each for the next thing it fits."""

    DROP_MATCHES = "drop_matches"
    """The next block comes without the matches that this node saw."""
    LATE_POST_ONLY = "late_post_only"
    """The next post-only order is taken here and refused by the followed node's book."""
    UNDERCOLLATERALIZED = "undercollateralized"
    """The next order answers 0 and is dropped for want of collateral."""
    UNTOLD = "untold"
    """The indexer never hears of the next order: it can only be filled."""
    MISS_REMOVAL = "miss_removal"
    """The indexer misses the next level that goes: it stays in its book."""


class Said(msgspec.Struct, frozen=True):
    """Contents of one message of a channel."""

    channel: str
    id: str
    contents: dict[str, Any]


class Answer(msgspec.Struct, frozen=True):
    """What CheckTx says. `cached`: the same bytes were taken before."""

    code: int
    codespace: str
    log: str
    hash: str
    cached: bool = False


class _Trade(msgspec.Struct):
    """A match that no block has yet."""

    market: Market
    aggressor: Side
    ticks: int
    lots: int
    maker: Order | None
    taker: Order | None


class Chain:
    """Every method is given the venue's time in nanoseconds, which never goes back."""

    def __init__(self, symbols: tuple[str, ...], settings: DydxVenueSettings, seed: int, opened_ns: int) -> None:
        self.settings = settings
        self.markets = markets(symbols, settings.markets, Rng(seed))
        self.by_ticker = {market.ticker: market for market in self.markets.values()}
        self.height = settings.first_height
        self.block_ns = opened_ns
        self._block_every_ns = settings.block_ms * _NS_PER_MS
        self._next_block_ns = opened_ns + self._block_every_ns
        self.keys = [seeded_key(seed, number) for number in range(settings.accounts)]
        self.owners: dict[str, Owner] = {}
        self.subaccounts: dict[tuple[str, int], Subaccount] = {}
        for number, key in enumerate(self.keys):
            owner = Owner(PrivateKey(key).public_key.format(), _FIRST_ACCOUNT + number)
            self.owners[owner.address] = owner
            self.subaccounts[owner.address, 0] = Subaccount(owner.address, 0, settings.deposit)
        self.checks = Checks(self)
        self.orders: dict[wire.OrderId, Order] = {}
        """The latest version of each order that the node remembers."""
        self.cancels: dict[wire.OrderId, int] = {}
        """Remembered cancels with the block they hold until."""
        self._by_book_id: dict[int, Order] = {}
        self._book_id = 0
        self._pending: list[_Trade] = []
        self._stateful: list[tuple[Order | None, wire.Cancel | None]] = []
        """Places and cancels that the next block will hold."""
        self._said: list[Said] = []
        self._seen: dict[str, None] = {}
        self.troubles: dict[Trouble, int] = dict.fromkeys(Trouble, 0)
        self._funding_ns = settings.funding_period_s * 10**9
        self._next_funding_ns = (opened_ns // self._funding_ns + 1) * self._funding_ns
        self._event = 0
        for market in self.markets.values():
            market.flow.open(opened_ns)
            market.changes()

    # Time

    def next_deadline_ns(self) -> int:
        return min(self._next_block_ns, *(market.flow.next_ns for market in self.markets.values()))

    def advance(self, now_ns: int) -> list[Said]:
        """Live up to now; what is to be told since this was last asked."""
        while self._next_block_ns <= now_ns:
            self._live(self._next_block_ns)
            self._commit(self._next_block_ns)
            self._next_block_ns += self._block_every_ns
        self._live(now_ns)
        self._tell_books()
        said, self._said = self._said, []
        return said

    def halt(self, until_ns: int) -> None:
        """Make no block until then; what was missed is not made up for."""
        self._next_block_ns = max(self._next_block_ns, until_ns)

    @property
    def next_height(self) -> int:
        """The block that is being made."""
        return self.height + 1

    @property
    def time(self) -> str:
        return iso(self.block_ns)

    @property
    def rate(self) -> Decimal:
        """Hourly funding rate."""
        return Decimal(str(self.settings.funding_rate_ppm)).scaleb(-6)

    def trouble(self, kind: Trouble) -> bool:
        """Whether it strikes now."""
        if not self.troubles[kind]:
            return False
        self.troubles[kind] -= 1
        return True

    def open_subaccount(self, owner: str, number: int, usdc: Decimal) -> Subaccount:
        """Deposit into a subaccount, which then exists."""
        found = self.subaccounts.setdefault((owner, number), Subaccount(owner, number, Decimal(0)))
        found.usdc += usdc
        return found

    def _live(self, now_ns: int) -> None:
        for market in self.markets.values():
            for side, matches in market.live(now_ns):
                for match in matches:
                    self._met(market, side, match, None)

    # Transactions

    def broadcast(self, raw: bytes, now_ns: int) -> Answer:
        """CheckTx of one transaction, at this node."""
        digest = wire.tx_hash(raw)
        if digest in self._seen:
            return Answer(19, "sdk", "", digest, cached=True)
        try:
            tx = wire.decode(raw)
            self.checks.transaction(tx)
            for message in tx.messages:
                self._execute(message, tx.public_key)
        except wire.Unreadable as problem:
            return Answer(2, "sdk", f"{problem}: tx parse error", digest)
        except Refused as refused:
            return Answer(refused.code, refused.codespace, refused.text, digest)
        self._seen[digest] = None
        if len(self._seen) > _CACHE:
            del self._seen[next(iter(self._seen))]
        return Answer(0, "", "[]", digest)

    def _execute(self, message: wire.Message, key: bytes) -> None:
        if isinstance(message, wire.Place):
            if message.id.short_term:
                self._place(message, key)
            else:
                self.checks.stateful_place(message)
                self._stateful.append((self._new(message, key), None))
        elif isinstance(message, wire.BatchCancel):
            for pair_id, client_ids in message.batches:
                for client_id in client_ids:
                    order_id = wire.OrderId(message.owner, message.number, client_id, wire.SHORT_TERM, pair_id)
                    self._try_cancel(order_id, message.good_til_block)
        elif message.id.short_term:
            self.checks.short_term_cancel(message.id, message.good_til_block or 0)
            self._cancel(message.id, message.good_til_block or 0)
        else:
            self.checks.stateful_cancel(message)
            self._stateful.append((None, message))

    def _try_cancel(self, order_id: wire.OrderId, until: int) -> None:
        """One of a batch: what cannot be cancelled is passed over, and nobody is told."""
        try:
            self.checks.short_term_cancel(order_id, until)
        except Refused:
            return
        self._cancel(order_id, until)

    def _new(self, message: wire.Place, key: bytes) -> Order:
        self._book_id += 1
        return Order(self.markets[message.id.pair_id], message, self._book_id, key)

    def _place(self, message: wire.Place, key: bytes) -> None:
        """A short-term order, in the order of the chain's checks. Raises Refused."""
        self.checks.market(message)
        order = self._new(message, key)
        former = self.orders.get(order.id)
        self.checks.short_term_place(message, order, former)
        if former is not None:
            order.filled, order.committed = former.filled, former.committed
            order.in_database = former.in_database
            for trade in self._pending:
                trade.maker = order if trade.maker is former else trade.maker
                trade.taker = order if trade.taker is former else trade.taker
        if order.tif == POST_ONLY and self._would_match(order, former):
            raise Refused(2003, "Post-only order would cross one or more maker orders")
        replaced = former is not None and former.resting
        ignored = replaced and former is not None and order.good_til_block == former.good_til_block
        if former is not None and former.resting:
            self._lift(former)
            if not ignored:
                former.status, former.removal = "BEST_EFFORT_CANCELED", "REPLACED"
                self._tell_fast(former)
        order.told = not ignored and not self.trouble(Trouble.UNTOLD)
        self.orders[order.id] = order
        self._tell_fast(order)
        if order.tif == POST_ONLY and self.trouble(Trouble.LATE_POST_ONLY):
            self._drop(order, "POST_ONLY_WOULD_CROSS_MAKER_ORDER")
        elif self.trouble(Trouble.UNDERCOLLATERALIZED):
            self._drop(order, "UNDERCOLLATERALIZED")
        else:
            self._match(order)

    def _cancel(self, order_id: wire.OrderId, until: int) -> None:
        self.cancels[order_id] = until
        order = self.orders.get(order_id)
        if order is None or not (order.resting or order.status == "BEST_EFFORT_OPENED"):
            self._tell_unknown_cancel(order_id)
            return
        stays = (order.good_til_block or 0) > until  # reported, and nothing is done
        if order.resting and not stays:
            self._lift(order)
        shown = order.status, order.removal
        order.status, order.removal = "BEST_EFFORT_CANCELED", "USER_CANCELED"
        self._tell_fast(order)
        if stays:
            order.status, order.removal = shown

    # Matching

    def _would_match(self, order: Order, former: Order | None) -> bool:
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

    def _match(self, order: Order) -> None:
        """Match an order with the node's book and let the rest stand, as far as its kind allows."""
        market, other = order.market, Side(-order.side)
        book = market.book
        while order.left and book.crosses(order.side, order.ticks):
            best = book.best(other)
            book_id = next(book.ids_at(other, best))
            maker = self._by_book_id.get(book_id)
            if maker is not None and (maker.id.owner, maker.id.number) == (order.id.owner, order.id.number):
                self._lift(maker)
                self._drop(maker, "SELF_TRADE_ERROR")
                continue
            lots = min(order.left, book.lots_of(book_id))
            if not self._can_afford(order, best, lots, taker=True):
                self._drop(order, "UNDERCOLLATERALIZED")
                return
            (match,) = book.sweep(order.side, lots, limit_ticks=best)
            if not match.maker_left_lots:
                market.flow.forget((match.maker_id,))
            self._met(market, order.side, match, order)
        market.flow.keep_two_sided()
        if not order.left:
            return
        if order.tif == IOC:
            self._drop(order, "IMMEDIATE_OR_CANCEL_WOULD_REST_ON_BOOK")
            return
        self._rest(order)

    def _met(self, market: Market, aggressor: Side, match: Match, taker: Order | None) -> None:
        """A trade that the next block may hold."""
        maker = self._by_book_id.get(match.maker_id)
        if maker is not None and not self._can_afford(maker, match.ticks, match.lots, taker=False):
            if match.maker_left_lots:
                self._lift(maker)
            maker.resting = False
            self._drop(maker, "UNDERCOLLATERALIZED")
            return
        for order in (maker, taker):
            if order is not None:
                order.filled += match.lots
        if maker is not None and not match.maker_left_lots:
            maker.resting = False
            self._by_book_id.pop(maker.book_id, None)
        self._pending.append(_Trade(market, aggressor, match.ticks, match.lots, maker, taker))

    def _can_afford(self, order: Order, ticks: int, lots: int, *, taker: bool) -> bool:
        """Collateral after this match and those that wait: enough, or at least no worse than before."""
        subaccount = self.subaccounts.get((order.id.owner, order.id.number))
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
            usdc -= side * worth + worth * self._fee_ppm(taker=taker) / 1_000_000
        margin = Decimal(0)
        for pair, held in lots.items():
            market = self.markets[pair]
            worth = held * market.lot * market.oracle_ticks * market.tick
            usdc += worth
            margin += abs(worth) * market.margin_ppm / 1_000_000
        return usdc, margin

    def _fee_ppm(self, *, taker: bool) -> int:
        return self.settings.taker_fee_ppm if taker else self.settings.maker_fee_ppm

    def _rest(self, order: Order) -> None:
        order.resting = True
        self._by_book_id[order.book_id] = order
        order.market.book.rest(order.book_id, order.side, order.ticks, order.left)

    def _lift(self, order: Order) -> None:
        order.resting = False
        self._by_book_id.pop(order.book_id, None)
        order.market.book.cancel(order.book_id)

    def _drop(self, order: Order, reason: str) -> None:
        """The node has given an order up; it may still be filled by a block of somebody else."""
        order.status = "BEST_EFFORT_CANCELED" if order.id.short_term else "CANCELED"
        order.removal = reason
        self._tell_fast(order)

    def hit(self, order: Order, lots: int, *, cancelled: bool = False) -> int:
        """A taker of the moment trades with all that stands before an order and with `lots` of it; the lots of it that
        traded. `cancelled`: another proposer's block fills one that this node has dropped."""
        market, aggressor = order.market, Side(-order.side)
        if not order.resting:
            lots = min(lots, order.left) if cancelled else 0
            if lots:
                order.filled += lots
                self._pending.append(_Trade(market, aggressor, order.ticks, lots, order, None))
            return lots
        book, before = market.book, order.left
        better = sum(here for ticks, here in book.depth(order.side) if order.side * (ticks - order.ticks) > 0)
        for match in book.sweep(aggressor, better + book.ahead_of(order.book_id) + min(lots, order.left)):
            if not match.maker_left_lots:
                market.flow.forget((match.maker_id,))
            self._met(market, aggressor, match, None)
        market.flow.keep_two_sided()
        return before - order.left

    # Blocks

    def _commit(self, at_ns: int) -> None:
        self.height += 1
        self.block_ns = at_ns
        self._event = 0
        pending, self._pending = self._pending, []
        if pending and self.trouble(Trouble.DROP_MATCHES):
            self._forget_trades(pending)
            pending = []
        prints: dict[str, list[dict[str, str]]] = {}
        for trade in pending:
            self._book_trade(trade, prints)
        for ticker, rows in prints.items():
            self._say(TRADES, ticker, {"trades": rows})
        self._include_stateful()
        self._expire()
        self._trigger()
        self._fund()
        prices = {}
        for market in self.markets.values():
            if market.look():
                prices[market.ticker] = {
                    "oraclePrice": market.price(market.oracle_ticks),
                    "effectiveAt": self.time,
                    "effectiveAtHeight": str(self.height),
                    "marketId": market.pair_id,
                }
        if prices:
            self._say(MARKETS, "", {"oraclePrices": prices})
        self._say(HEIGHT, HEIGHT, {"blockHeight": str(self.height), "time": self.time})

    def _forget_trades(self, trades: list[_Trade]) -> None:
        """They never happened. A maker of the account stands again, at the back of its level."""
        for trade in trades:
            for order in (trade.maker, trade.taker):
                if order is None:
                    continue
                order.filled -= trade.lots
                if order.resting:
                    order.market.book.reduce(order.book_id, order.left)
                elif order is trade.maker and order.status in ("BEST_EFFORT_OPENED", "OPEN"):
                    self._rest(order)

    def _book_trade(self, trade: _Trade, prints: dict[str, list[dict[str, str]]]) -> None:
        market = trade.market
        self._event += 1
        event_id = f"{self.height:08x}{2:08x}{self._event:08x}"
        row = {
            "id": event_id,
            "side": "BUY" if trade.aggressor is Side.BUY else "SELL",
            "size": market.size(trade.lots),
            "price": market.price(trade.ticks),
            "type": "LIMIT",
            "createdAt": self.time,
        }
        prints.setdefault(market.ticker, []).append(row)
        market.trades.appendleft(row | {"createdAtHeight": str(self.height)})
        market.day_lots += trade.lots
        market.day_trades += 1
        for order, liquidity in ((trade.maker, "MAKER"), (trade.taker, "TAKER")):
            if order is not None:
                self._book_fill(order, trade, event_id, liquidity)

    def _book_fill(self, order: Order, trade: _Trade, event_id: str, liquidity: str) -> None:
        market, subaccount = trade.market, self.subaccounts[order.id.owner, order.id.number]
        before = subaccount.lots(market)
        ppm = self._fee_ppm(taker=liquidity == "TAKER")
        worth, fee = subaccount.book_fill(market, order.side, trade.ticks, trade.lots, ppm, self.time, self.height)
        order.committed += trade.lots
        order.in_database = True
        order.updated_at, order.updated_height = self.time, self.height
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
            "createdAt": self.time,
            "createdAtHeight": str(self.height),
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
            "transactionHash": wire.tx_hash(f"block {self.height}".encode()),
        }
        position = subaccount.positions[market.pair_id]
        self._say_account(
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

    def _include_stateful(self) -> None:
        """The block holds them; orders then reach the book."""
        waiting, self._stateful = self._stateful, []
        for order, cancel in waiting:
            if order is not None:
                order.created_at, order.created_height = self.time, self.height
                self.orders[order.id] = order
                order.status = "OPEN" if not order.conditional_type else "UNTRIGGERED"
                self._tell_slow(order)
                if not order.conditional_type:
                    self._enter(order)
            elif cancel is not None:
                found = self.orders.get(cancel.id)
                if found is not None and found.status in ("OPEN", "UNTRIGGERED"):
                    self._end(found, "USER_CANCELED")

    def _enter(self, order: Order) -> None:
        """A stateful order meets the book for the first time."""
        if order.tif == POST_ONLY and self._would_match(order, None):
            self._end(order, "POST_ONLY_WOULD_CROSS_MAKER_ORDER")
        else:
            self._match(order)

    def _end(self, order: Order, reason: str) -> None:
        if order.resting:
            self._lift(order)
        order.status, order.removal = "CANCELED", reason
        self._tell_slow(order)

    def _expire(self) -> None:
        """Orders end with their last block; it is told one block later, when no block can hold them any more."""
        block_s = self.block_ns // 10**9
        for order in tuple(self.orders.values()):
            until = order.good_til_block
            if until is not None:
                if until <= self.height and order.resting:
                    self._lift(order)
                if until < self.height and order.status in ("BEST_EFFORT_OPENED", "OPEN"):
                    order.status, order.removal = "CANCELED", "EXPIRED"
                    self._tell_fast(order)
                if until + self.settings.short_block_window < self.height:
                    del self.orders[order.id]
            elif (order.good_til_time or 0) <= block_s and order.status in ("OPEN", "UNTRIGGERED"):
                self._end(order, "EXPIRED")
        self.cancels = {each: until for each, until in self.cancels.items() if until > self.height}

    def _trigger(self) -> None:
        for order in tuple(self.orders.values()):
            if order.status != "UNTRIGGERED":
                continue
            above = (order.conditional_type == 2) is (order.side is Side.SELL)
            distance = order.market.oracle_ticks - order.trigger_ticks
            if (distance >= 0) if above else (distance <= 0):
                order.status = "OPEN"
                self._tell_slow(order)
                self._enter(order)

    def _fund(self) -> None:
        """Once an hour: settled now, in the balance with the next update of the subaccount."""
        if self.block_ns < self._next_funding_ns:
            return
        self._next_funding_ns += self._funding_ns
        for market in self.markets.values():
            price = market.price(market.oracle_ticks)
            settled = {"effectiveAt": self.time, "effectiveAtHeight": str(self.height)}
            market.funding.appendleft({"ticker": market.ticker, "rate": plain(self.rate), "price": price, **settled})
            for subaccount in self.subaccounts.values():
                position = subaccount.positions.get(market.pair_id)
                if position is not None and position.lots:
                    self._pay(subaccount, market, position)

    def _pay(self, subaccount: Subaccount, market: Market, position: Position) -> None:
        worth = position.lots * market.lot * market.oracle_ticks * market.tick
        received = (-worth * self.rate).quantize(Decimal("0.000001"))
        position.funding += received
        subaccount.owed += received
        subaccount.payments.append(
            {
                "createdAt": self.time,
                "createdAtHeight": str(self.height),
                "perpetualId": str(market.pair_id),
                "ticker": market.ticker,
                "oraclePrice": market.price(market.oracle_ticks),
                "size": market.size(abs(position.lots)),
                "side": "LONG" if position.lots > 0 else "SHORT",
                "rate": plain(self.rate),
                "payment": plain(received),
                "subaccountNumber": str(subaccount.number),
                "fundingIndex": "0",
            }
        )

    # What is told

    def _say(self, channel: str, name: str, contents: dict[str, Any]) -> None:
        self._said.append(Said(channel, name, contents))

    def _say_account(self, subaccount: Subaccount, contents: dict[str, Any]) -> None:
        self._say(SUBACCOUNTS, subaccount.id, contents | {"blockHeight": str(self.height)})

    def _tell_fast(self, order: Order) -> None:
        """News of the node's book. An order that never filled is in no database: when it has ended it is not known."""
        subaccount = self.subaccounts.get((order.id.owner, order.id.number))
        if subaccount is None:
            return
        if order.status == "BEST_EFFORT_OPENED" or order.in_database:
            subaccount.orders[order.uuid] = order
        elif subaccount.orders.get(order.uuid) is order:
            del subaccount.orders[order.uuid]
        if order.told:
            self._say_account(subaccount, {"orders": [order.fast()]})

    def _tell_slow(self, order: Order) -> None:
        order.updated_at, order.updated_height = self.time, self.height
        subaccount = self.subaccounts[order.id.owner, order.id.number]
        subaccount.orders[order.uuid] = order
        self._say_account(subaccount, {"orders": [order.slow()]})

    def _tell_unknown_cancel(self, order_id: wire.OrderId) -> None:
        subaccount = self.subaccounts.get((order_id.owner, order_id.number))
        if subaccount is None:
            return
        row = {
            "id": order_id.uuid,
            "subaccountId": subaccount.uuid,
            "clientId": str(order_id.client_id),
            "clobPairId": str(order_id.pair_id),
            "status": "BEST_EFFORT_CANCELED",
            "orderFlags": str(order_id.flags),
            "ticker": self.markets[order_id.pair_id].ticker,
            "removalReason": "ORDER_REMOVAL_REASON_USER_CANCELED",
        }
        self._say_account(subaccount, {"orders": [row]})

    def _tell_books(self) -> None:
        """One message a level, with the level's new size."""
        for market in self.markets.values():
            for side, ticks, lots in market.changes():
                if not lots and self.trouble(Trouble.MISS_REMOVAL):
                    continue
                self.tell_level(market, side, ticks, lots)

    def tell_level(self, market: Market, side: Side, ticks: int, lots: int) -> None:
        """What the indexer says of a level, be it so or not."""
        name = "bids" if side is Side.BUY else "asks"
        self._say(BOOK, market.ticker, {name: [[market.price(ticks), market.size(lots)]]})

    # Control

    def set_status(self, market: Market, status: str) -> None:
        """Governance changes a market. Resting orders stay."""
        market.status = status
        self._say(MARKETS, "", {"trading": {market.ticker: {"status": status}}})

    def permit(self, owner: str, permission: Permission) -> int:
        """Register a permissioned key; the authenticator's id."""
        known = self.owners[owner].authenticators
        number = len(known) + 1
        known[number] = permission
        return number

    def revoke(self, owner: str, number: int) -> None:
        """Take a permissioned key away: its resting orders are dropped, shown as expired."""
        key = self.owners[owner].authenticators.pop(number).public_key
        for order in self._resting_of(owner):
            if order.signed_by == key:
                self._lift(order)
                self._drop(order, "EXPIRED")

    def _resting_of(self, owner: str) -> Iterator[Order]:
        return iter([order for order in self.orders.values() if order.resting and order.id.owner == owner])
