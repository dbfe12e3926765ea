"""Synthetic order flow of one embedded market: who else is there, when they come and what they do.

A fair price walks at random. Makers place limit orders around it and leave after a random life; takers come as a
Poisson process with sizes of a heavy tail; whoever rests on the wrong side of fair is either pulled in time or picked
off. All chance comes from one seeded stream, so that a seed is a history.
"""

import math
from collections.abc import Iterable
from typing import Annotated

import msgspec
from msgspec import Meta

from mm_daemon.domain.orders import Side
from mm_daemon.domain.rng import Rng
from mm_daemon.simulation.matching import Match, PriceTimeBook

_NS_PER_S = 1_000_000_000
_SECONDS_PER_YEAR = 31_536_000.0
_BPS = 1e-4
_MAKER_SIZE = 0.6
"""Median size of a limit order relative to a typical trade."""
_REFILL_PER_S = 1.0
"""How fast makers come back to a book that is thinner than usual: missing orders replaced, per second."""
_REACH = 2.0
"""How far beyond the touch a taker goes at most, in mean order distances: the slippage it accepts."""


class FlowSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How lively one market is."""

    volatility: Annotated[float, Meta(ge=0, le=10, description="annual volatility of the fair price, 0.5 = 50 %")] = 0.5
    spread_bps: Annotated[float, Meta(gt=0, le=1000, description="bid-ask spread the makers aim at, bps")] = 1.2
    depth_bps: Annotated[
        float, Meta(gt=0, le=1000, description="mean distance of limit orders beyond the touch, bps")
    ] = 3.0
    orders_per_side: Annotated[int, Meta(ge=1, le=1000, description="limit orders that rest on a side on average")] = 24
    order_life_s: Annotated[float, Meta(gt=0, le=3600, description="mean life of a limit order, seconds")] = 8.0
    trades_per_second: Annotated[float, Meta(ge=0, le=1000, description="arrival rate of takers, per second")] = 4.0
    size_dispersion: Annotated[
        float, Meta(ge=0, le=3, description="spread of order sizes: standard deviation of their logarithm")
    ] = 1.3
    pull_chance: Annotated[
        float, Meta(ge=0, le=1, description="chance that a stale quote is pulled before it is picked off")
    ] = 0.5


class Flow:
    """The others in one market, acting on a `PriceTimeBook` under negative ids; other ids are not theirs.

    `next_ns` is when they next do something; `step` does it.
    """

    __slots__ = (
        "_book",
        "_counts",
        "_leave_rate",
        "_limit_rate",
        "_next_id",
        "_orders",
        "_places",
        "_rng",
        "_settings",
        "_sigma",
        "_trade_rate",
        "_typical_lots",
        "_walked_ns",
        "fair_ticks",
        "next_ns",
    )

    def __init__(
        self, settings: FlowSettings, book: PriceTimeBook, rng: Rng, *, fair_ticks: float, typical_lots: float
    ) -> None:
        self._settings = settings
        self._book = book
        self._rng = rng
        self._typical_lots = typical_lots
        self.fair_ticks = fair_ticks
        self._sigma = settings.volatility / math.sqrt(_SECONDS_PER_YEAR)
        self._leave_rate = 1.0 / settings.order_life_s
        self._limit_rate = 2.0 * settings.orders_per_side * self._leave_rate
        self._trade_rate = settings.trades_per_second
        self._counts = {Side.BUY: 0, Side.SELL: 0}
        self._orders: list[int] = []
        self._places: dict[int, tuple[int, Side]] = {}
        """Where each id stands in `_orders`, so that a random one can be chosen and any one removed at once."""
        self._next_id = -1
        self._walked_ns = 0
        self.next_ns = 0

    def open(self, now_ns: int) -> None:
        """Fill both sides and set the clock."""
        for _ in range(self._settings.orders_per_side):
            self._place(Side.BUY)
            self._place(Side.SELL)
        self._walked_ns = now_ns
        self._schedule(now_ns)

    def step(self, now_ns: int) -> tuple[Side, list[Match]]:
        """What happens at `now_ns`: the taking side and its trades, often none."""
        self._walk(now_ns)
        side, matches = self._pick_off()
        if not matches:
            side, matches = self._act()
        self.forget(match.maker_id for match in matches if not match.maker_left_lots)
        self._schedule(now_ns)
        return side, matches

    def forget(self, gone: Iterable[int]) -> None:
        """Orders that were filled or cancelled; ids that are not of this flow are ignored."""
        orders, places = self._orders, self._places
        for order_id in gone:
            found = places.pop(order_id, None)
            if found is None:
                continue
            place, side = found
            self._counts[side] -= 1
            last = orders.pop()
            if last != order_id:
                orders[place] = last
                places[last] = (place, places[last][1])

    def _arrival_rate(self) -> float:
        """Limit orders per second: what replaces those that leave, and more while orders are missing."""
        missing = 2 * self._settings.orders_per_side - len(self._orders)
        return self._limit_rate + max(missing, 0) * _REFILL_PER_S

    def _rate(self) -> float:
        return self._arrival_rate() + self._trade_rate + self._leave_rate * len(self._orders)

    def _schedule(self, now_ns: int) -> None:
        self.next_ns = now_ns + 1 + int(self._rng.exponential(self._rate()) * _NS_PER_S)

    def _walk(self, now_ns: int) -> None:
        """Geometric Brownian motion between events."""
        elapsed_s = (now_ns - self._walked_ns) / _NS_PER_S
        self._walked_ns = now_ns
        deviation = self._sigma * math.sqrt(elapsed_s)
        self.fair_ticks *= math.exp(deviation * self._rng.normal() - 0.5 * deviation * deviation)

    def _act(self) -> tuple[Side, list[Match]]:
        """One of the three processes, in proportion to its rate."""
        rng = self._rng
        choice = rng.uniform() * self._rate() - self._arrival_rate()
        if choice < 0.0:
            self._place(self._thin_side())
            return Side.BUY, []
        if choice < self._trade_rate:
            side = Side.BUY if rng.bits() & 1 else Side.SELL
            limit = self.fair_ticks + side * (self._half_ticks() + _REACH * self._depth_ticks())
            return side, self._book.sweep(side, self._size(self._typical_lots), limit_ticks=round(limit))
        self._leave(self._orders[rng.below(len(self._orders))])
        return Side.BUY, []

    def _pick_off(self) -> tuple[Side, list[Match]]:
        """Quotes on the wrong side of fair: some of their owners are quick, the others are taken."""
        book, fair = self._book, self.fair_ticks
        for side in (Side.BUY, Side.SELL):
            stale_ticks = book.best(side)
            if side * (stale_ticks - fair) <= 0 or not book.lots_at(side, stale_ticks):
                continue
            if self._rng.uniform() < self._settings.pull_chance:
                for order_id in [order_id for order_id in book.ids_at(side, stale_ticks) if order_id < 0]:
                    self._leave(order_id)
                    self._place(side)
                continue
            taker = Side(-side)
            return taker, book.sweep(taker, self._size(self._typical_lots), limit_ticks=round(fair))
        return Side.BUY, []

    def _thin_side(self) -> Side:
        """The side that is refilled: one whose best price is too far from fair, else the one with fewer orders."""
        book = self._book
        half = self._half_ticks() + 1.0
        if self.fair_ticks - book.best(Side.BUY) > half:
            return Side.BUY
        if book.best(Side.SELL) - self.fair_ticks > half:
            return Side.SELL
        surplus = self._counts[Side.BUY] - self._counts[Side.SELL]
        if surplus:
            return Side.SELL if surplus > 0 else Side.BUY
        return Side.BUY if self._rng.bits() & 1 else Side.SELL

    def _half_ticks(self) -> float:
        return 0.5 * self._settings.spread_bps * _BPS * self.fair_ticks

    def _depth_ticks(self) -> float:
        return self._settings.depth_bps * _BPS * self.fair_ticks

    def _place(self, side: Side) -> None:
        """A limit order: at the touch when that is missing, else deeper by an exponential distance; never crossing."""
        book = self._book
        half = self._half_ticks()
        touching = side * (self.fair_ticks - book.best(side)) <= half + 1.0
        distance = half + (self._rng.exponential(1.0) * self._depth_ticks() if touching else 0.0)
        price = self.fair_ticks - side * distance
        ticks = max(math.floor(price) if side is Side.BUY else math.ceil(price), 1)
        lots = self._size(_MAKER_SIZE * self._typical_lots)
        if book.crosses(side, ticks):
            return
        order_id = self._next_id
        self._next_id -= 1
        book.rest(order_id, side, ticks, lots)
        self._places[order_id] = (len(self._orders), side)
        self._orders.append(order_id)
        self._counts[side] += 1

    def _leave(self, order_id: int) -> None:
        self._book.cancel(order_id)
        self.forget((order_id,))

    def _size(self, median_lots: float) -> int:
        """Log-normal, at least one lot."""
        return max(round(median_lots * math.exp(self._settings.size_dispersion * self._rng.normal())), 1)
