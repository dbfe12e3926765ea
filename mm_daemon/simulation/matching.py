"""The match primitive: a price-time order book of individual orders, ours and synthetic ones alike.

It owns nothing but the orders and their priority; sequencing, validation, accounts and fees belong to the venue around
it (the embedded market, the wire simulators). A recorded market, which never knew us, is `replay_matching.py`'s.
"""

from collections.abc import Iterator
from heapq import heappop, heappush
from typing import NamedTuple

from mm_daemon.domain.book import NO_ASK, NO_BID
from mm_daemon.domain.events import Levels
from mm_daemon.domain.orders import Side


class Match(NamedTuple):
    """One trade: the resting order that gave, at its own price. `maker_left_lots` 0: it is gone."""

    maker_id: int
    ticks: int
    lots: int
    maker_left_lots: int


class Placement(NamedTuple):
    """What became of a limit order: its trades best price first, what rests now, and whether post-only refused it."""

    matches: list[Match]
    resting_lots: int
    refused: bool = False


class _Order:
    __slots__ = ("lots", "order_id", "side", "ticks")

    def __init__(self, order_id: int, side: Side, ticks: int, lots: int) -> None:
        self.order_id = order_id
        self.side = side
        self.ticks = ticks
        self.lots = lots


class _Level:
    """Orders of one price in order of arrival, with their sum."""

    __slots__ = ("lots", "orders")

    def __init__(self) -> None:
        self.orders: dict[int, _Order] = {}
        self.lots = 0


class PriceTimeBook:
    """Limit orders matched by price, then time. Sizes are remaining lots and positive; ids are the caller's."""

    __slots__ = ("_changed", "_heaps", "_levels", "_orders")

    def __init__(self) -> None:
        self._levels: dict[Side, dict[int, _Level]] = {Side.BUY: {}, Side.SELL: {}}
        self._heaps: dict[Side, list[int]] = {Side.BUY: [], Side.SELL: []}
        """Prices that had a level, best first as `-side * ticks`; stale ones are dropped when they come up."""
        self._orders: dict[int, _Order] = {}
        self._changed: dict[Side, dict[int, None]] = {Side.BUY: {}, Side.SELL: {}}

    # Orders

    def place(
        self, order_id: int, side: Side, ticks: int, lots: int, *, post_only: bool = False, ioc: bool = False
    ) -> Placement:
        """Match what crosses; the rest stands at the back of its level, or vanishes if `ioc`."""
        if post_only and self.crosses(side, ticks):
            return Placement([], 0, refused=True)
        matches = self.sweep(side, lots, limit_ticks=ticks)
        left = lots - sum(match.lots for match in matches)
        if ioc or not left:
            return Placement(matches, 0)
        self.rest(order_id, side, ticks, left)
        return Placement(matches, left)

    def sweep(self, side: Side, lots: int, *, limit_ticks: int | None = None) -> list[Match]:
        """Take up to `lots` from the other side, best price first, then by time; no further than the limit."""
        other = Side(-side)
        levels = self._levels[other]
        matches: list[Match] = []
        while lots:
            ticks = self.best(other)
            if ticks not in levels or (limit_ticks is not None and side * (limit_ticks - ticks) < 0):
                break
            level = levels[ticks]
            self._changed[other][ticks] = None
            while lots and level.orders:
                maker = next(iter(level.orders.values()))
                part = min(lots, maker.lots)
                lots -= part
                maker.lots -= part
                level.lots -= part
                if not maker.lots:
                    del level.orders[maker.order_id], self._orders[maker.order_id]
                matches.append(Match(maker.order_id, ticks, part, maker.lots))
            if not level.orders:
                del levels[ticks]
        return matches

    def rest(self, order_id: int, side: Side, ticks: int, lots: int) -> None:
        """Stand at the back of a level without matching; the caller has seen to it that nothing crosses."""
        order = self._orders[order_id] = _Order(order_id, side, ticks, lots)
        level = self._levels[side].get(ticks)
        if level is None:
            level = self._levels[side][ticks] = _Level()
            heappush(self._heaps[side], -side * ticks)
        level.orders[order_id] = order
        level.lots += lots
        self._changed[side][ticks] = None

    def cancel(self, order_id: int) -> int:
        """Lots taken out of the book; 0 when there is no such order."""
        order = self._orders.pop(order_id, None)
        if order is None:
            return 0
        levels = self._levels[order.side]
        level = levels[order.ticks]
        del level.orders[order_id]
        level.lots -= order.lots
        if not level.orders:
            del levels[order.ticks]
        self._changed[order.side][order.ticks] = None
        return order.lots

    def reduce(self, order_id: int, lots: int) -> None:
        """Make an order smaller, to `lots` > 0, in its place."""
        order = self._orders[order_id]
        self._levels[order.side][order.ticks].lots -= order.lots - lots
        order.lots = lots
        self._changed[order.side][order.ticks] = None

    def amend(self, order_id: int, ticks: int, lots: int, *, decrease_keeps_place: bool = False) -> Placement | None:
        """New price and remaining size; None when there is no such order. All but a kept decrease starts anew."""
        order = self._orders.get(order_id)
        if order is None:
            return None
        if decrease_keeps_place and ticks == order.ticks and 0 < lots <= order.lots:
            self.reduce(order_id, lots)
            return Placement([], lots)
        self.cancel(order_id)
        return self.place(order_id, order.side, ticks, lots) if lots else Placement([], 0)

    # Views

    def best(self, side: Side) -> int:
        """Best price of a side in ticks; `NO_BID` or `NO_ASK` when it is empty."""
        heap, levels = self._heaps[side], self._levels[side]
        while heap:
            ticks = -side * heap[0]
            if ticks in levels:
                return ticks
            heappop(heap)
        return NO_BID if side is Side.BUY else NO_ASK

    def crosses(self, side: Side, ticks: int) -> bool:
        return side * (ticks - self.best(Side(-side))) >= 0

    def lots_at(self, side: Side, ticks: int) -> int:
        level = self._levels[side].get(ticks)
        return level.lots if level is not None else 0

    def lots_of(self, order_id: int) -> int:
        """Remaining lots of an order; 0 when it is not in the book."""
        order = self._orders.get(order_id)
        return order.lots if order is not None else 0

    def ahead_of(self, order_id: int) -> int:
        """Lots that stand before an order at its own price."""
        order = self._orders[order_id]
        ahead = 0
        for other in self._levels[order.side][order.ticks].orders.values():
            if other is order:
                break
            ahead += other.lots
        return ahead

    def ids_at(self, side: Side, ticks: int) -> Iterator[int]:
        """Orders of a level, first in line first."""
        level = self._levels[side].get(ticks)
        return iter(level.orders if level is not None else ())

    def depth(self, side: Side) -> Levels:
        """Every level as (ticks, lots), best first."""
        levels = self._levels[side]
        return tuple((ticks, levels[ticks].lots) for ticks in sorted(levels, reverse=side is Side.BUY))

    @property
    def changed(self) -> bool:
        return bool(self._changed[Side.BUY] or self._changed[Side.SELL])

    def take_changes(self, side: Side) -> Levels:
        """Levels that changed since they were last asked for, with their size now; zero lots: gone."""
        changes = tuple((ticks, self.lots_at(side, ticks)) for ticks in self._changed[side])
        self._changed[side].clear()
        return changes
