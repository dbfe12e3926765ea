"""Synthetic order flow of one embedded market: who else is there, when they come and what they do.

Makers stand around the price the public believes in (`fair_price.py`), join good prices of others, step back from
quotes that the price has reached and refill what was taken. Takers come in bursts (`arrivals.py`) with sizes of a heavy
tail; a share of them knows the fair price before the public does and takes whatever stands on its wrong side. All
chance comes from one seed, so that a seed is a history.

With `taker_intensity` and `taker_k` takers have a limit instead of a size, and the market a known law: orders of each
side that reach a distance delta from the published mid come at `A e^{-k delta}` a second (Avellaneda and Stoikov 2008,
2.5; MODELS 6.4). Such a taker takes all that stands within its reach, and the rest of its order at its limit, from
makers who do not display. Makers of others put back at once what was taken, so that the mid is theirs alone to move, as
it is in that model. Bursts keep the mean rate, and those who know the fair price only choose the side, so the law holds
of both sides together at every time, and of each on average.
"""

import math
from collections.abc import Iterable
from typing import Annotated

import msgspec
from msgspec import Meta

from mm_daemon.domain.book import NO_ASK, NO_BID
from mm_daemon.domain.orders import Side
from mm_daemon.domain.rng import Rng
from mm_daemon.simulation.arrivals import Arrivals
from mm_daemon.simulation.fair_price import FairPrice
from mm_daemon.simulation.matching import Match, PriceTimeBook

_NS_PER_S = 1_000_000_000
_BPS = 1e-4
_MAKER_SIZE = 0.6
"""Median size of a limit order relative to a typical trade."""
_REFILL_PER_S = 1.0
"""How fast makers come back to a book that is thinner than usual: missing orders replaced, per second."""
_REACH = 2.0
"""How far beyond the touch a taker goes at most, in mean order distances: the slippage it accepts."""
_LEAST_EDGE = 0.4
"""Nearer to the believed price than this, in half spreads, no maker wants to stand."""

_ALL_LOTS = 1 << 62
"""More than any book holds."""
_HIDDEN = -(1 << 62)
"""Id of a maker who does not display, below all others of this flow."""

_SIDES = (Side.BUY, Side.SELL)


class FlowSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How lively one market is, and how dangerous."""

    volatility: Annotated[
        float, Meta(ge=0, le=10, description="annual volatility of the fair price, root mean square, 0.5 = 50 %")
    ] = 0.5
    volatility_dispersion: Annotated[
        float, Meta(ge=0, le=1.5, description="how uneven volatility is: standard deviation of its logarithm")
    ] = 0.7
    volatility_memory_s: Annotated[
        float, Meta(ge=1, le=86400, description="how long calm and wild times last, seconds to 1/e")
    ] = 120.0
    spread_bps: Annotated[
        float, Meta(gt=0, le=1000, description="bid-ask spread the makers aim at in usual times, bps")
    ] = 1.6
    depth_bps: Annotated[
        float, Meta(gt=0, le=1000, description="mean distance of limit orders beyond the touch, bps")
    ] = 3.0
    orders_per_side: Annotated[int, Meta(ge=1, le=1000, description="limit orders that rest on a side on average")] = 24
    order_life_s: Annotated[float, Meta(gt=0, le=3600, description="mean life of a limit order, seconds")] = 8.0
    join_chance: Annotated[
        float, Meta(ge=0, le=1, description="chance that a new limit order joins the best price, ours included")
    ] = 0.2
    pull_chance: Annotated[
        float, Meta(ge=0, le=1, description="chance that makers step back from a price before they are run over")
    ] = 0.5
    trades_per_second: Annotated[float, Meta(ge=0, le=1000, description="takers per second on average")] = 5.0
    trade_clustering: Annotated[
        float, Meta(ge=0, le=0.95, description="takers that each taker brings after it, on average: 0 = no bursts")
    ] = 0.7
    trade_memory_s: Annotated[
        float, Meta(ge=0.1, le=3600, description="how long a burst of takers lasts, seconds to 1/e")
    ] = 3.0
    size_dispersion: Annotated[
        float, Meta(ge=0, le=3, description="spread of order sizes: standard deviation of their logarithm")
    ] = 1.3
    informed_share: Annotated[
        float, Meta(ge=0, le=1, description="share of takers who know the fair price before the public")
    ] = 0.35
    news_lag_ms: Annotated[
        float, Meta(ge=1, le=600000, description="how far the public comes behind the fair price, ms to 1/e")
    ] = 1500.0
    impact_bps: Annotated[
        float, Meta(ge=0, le=100, description="how far a trade pushes what the public believes, bps")
    ] = 0.1
    taker_intensity: (
        Annotated[
            float,
            Meta(
                gt=0,
                le=1000,
                description="A of A*exp(-k*delta), takers per second and side that reach delta bps from the mid; "
                "replaces trades_per_second; null = takers have a size, not a reach",
            ),
        ]
        | None
    ) = None
    taker_k: (
        Annotated[float, Meta(ge=0.01, le=100, description="k of A*exp(-k*delta), 1/bps; goes with taker_intensity")]
        | None
    ) = None


class Flow:
    """The others in one market, acting on a `PriceTimeBook` under negative ids; other ids are not theirs.

    `next_ns` is when they next do something; `step` does it. Each step costs the same, whatever happened before.
    """

    __slots__ = (
        "_arrivals",
        "_book",
        "_bound",
        "_counts",
        "_half_ticks",
        "_leave_rate",
        "_limit_rate",
        "_next_id",
        "_orders",
        "_places",
        "_rng",
        "_seen_half_ticks",
        "_seen_touch",
        "_settings",
        "_typical_lots",
        "next_ns",
        "price",
    )

    def __init__(
        self, settings: FlowSettings, book: PriceTimeBook, rng: Rng, *, fair_ticks: float, typical_lots: float
    ) -> None:
        self._settings = settings
        self._book = book
        self._rng = rng
        self._typical_lots = typical_lots
        self.price = FairPrice(
            rng.split("price"),
            ticks=fair_ticks,
            volatility=settings.volatility,
            log_deviation=settings.volatility_dispersion,
            memory_s=settings.volatility_memory_s,
            lag_s=settings.news_lag_ms / 1000.0,
        )
        A, rate = settings.taker_intensity, settings.trades_per_second
        self._arrivals = Arrivals(
            rate=rate if A is None else 2.0 * A,
            followers=settings.trade_clustering,
            memory_s=settings.trade_memory_s,
        )
        self._leave_rate = 1.0 / settings.order_life_s
        self._limit_rate = 2.0 * settings.orders_per_side * self._leave_rate
        self._counts = {Side.BUY: 0, Side.SELL: 0}
        self._orders: list[int] = []
        self._places: dict[int, tuple[int, Side]] = {}
        """Where each id stands in `_orders`, so that a random one can be chosen and any one removed at once."""
        self._next_id = -1
        self._half_ticks = 0.0
        """Half the spread that makers want at present."""
        self._bound = 0.0
        """Sum of all rates as of the last event: none is higher until the next one."""
        self._seen_half_ticks = 0
        self._seen_touch = {Side.BUY: NO_BID, Side.SELL: NO_ASK}
        """The mid in half ticks and the best prices as everybody saw them last."""
        self.next_ns = 0

    def open(self, now_ns: int) -> None:
        """Fill both sides and set the clock."""
        self.price.open(now_ns)
        self._arrivals.open(now_ns)
        self._look()
        for _ in range(self._settings.orders_per_side):
            for side in _SIDES:
                self._stand(side, self._new_ticks(side))
        self._schedule(now_ns)

    def step(self, now_ns: int) -> tuple[Side, list[Match]]:
        """What happens at `now_ns`: the taking side and its trades, often none."""
        self.price.advance(now_ns)
        self._arrivals.advance(now_ns)
        self._look()
        for side in _SIDES:
            if self._too_near(side) and self._rng.uniform() < self._settings.pull_chance:
                self._step_back(side)
        side, matches = self._act()
        self.forget(match.maker_id for match in matches if not match.maker_left_lots)
        self.keep_two_sided()
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

    def published(self) -> None:
        """Everybody sees the book as it is now."""
        seen = self._seen_touch
        for side in _SIDES:
            seen[side] = self._book.best(side)
        self._seen_half_ticks = seen[Side.BUY] + seen[Side.SELL]

    def keep_two_sided(self) -> None:
        """Somebody always steps in where nobody is left."""
        for side in _SIDES:
            if not self._counts[side]:
                self._stand(side, self._new_ticks(side))

    # When

    def _arrival_rate(self) -> float:
        """Limit orders per second: what replaces those that leave, and more while orders are missing."""
        missing = 2 * self._settings.orders_per_side - len(self._orders)
        return self._limit_rate + max(missing, 0) * _REFILL_PER_S

    def _taker_rate(self, side: Side) -> float:
        """Takers per second: more in wild times, but for a law that holds at all times."""
        activity = self.price.activity if self._settings.taker_k is None else 1.0
        return self._arrivals.intensity(side, activity)

    def _schedule(self, now_ns: int) -> None:
        takers = sum(self._taker_rate(side) for side in _SIDES)
        self._bound = self._arrival_rate() + self._leave_rate * len(self._orders) + takers
        self.next_ns = now_ns + 1 + int(self._rng.exponential(self._bound) * _NS_PER_S)

    # What

    def _look(self) -> None:
        """Makers want more room in wild times."""
        spread = self._settings.spread_bps * _BPS * self.price.public_ticks * self.price.activity
        self._half_ticks = max(0.5 * spread, 0.5)

    def _act(self) -> tuple[Side, list[Match]]:
        """One of the processes in proportion to its rate, or, where a rate has fallen since the last event, nothing."""
        rng = self._rng
        choice = rng.uniform() * self._bound - self._arrival_rate()
        if choice < 0.0:
            return self._enter()
        choice -= self._leave_rate * len(self._orders)
        if choice < 0.0:
            self._leave(self._orders[rng.below(len(self._orders))])
            return Side.BUY, []
        for side in _SIDES:
            choice -= self._taker_rate(side)
            if choice < 0.0:
                self._arrivals.arrived(side)
                if self._settings.taker_k is not None:
                    return self._reach(side, self._settings.taker_k)
                if rng.uniform() < self._settings.informed_share:
                    return self._take_informed()
                return self._take(side)
        return Side.BUY, []

    def _take(self, side: Side) -> tuple[Side, list[Match]]:
        """Somebody with a reason of his own, who knows no more than others."""
        reach = self._half_ticks + _REACH * self._settings.depth_bps * _BPS * self.price.public_ticks
        return self._sweep(side, round(self.price.public_ticks + side * reach))

    def _take_informed(self) -> tuple[Side, list[Match]]:
        """Takes what stands on the wrong side of fair, unless makers step back in time; else waits for a better day."""
        fair = self.price.fair_ticks
        for side in _SIDES:
            maker = Side(-side)
            if not self._worth(side, fair):
                continue
            if self._rng.uniform() < self._settings.pull_chance:
                self._step_back(maker)
            if self._worth(side, fair):
                return self._sweep(side, math.floor(fair) if side is Side.BUY else math.ceil(fair))
        return Side.BUY, []

    def _reach(self, side: Side, k: float) -> tuple[Side, list[Match]]:
        """Somebody with a limit at an exponential distance from the mid that was published; those who know the fair
        price are on its side. Who does not reach the best price does not trade.
        """
        rng, book = self._rng, self._book
        mid = 0.5 * self._seen_half_ticks
        if rng.uniform() < self._settings.informed_share and self.price.fair_ticks != mid:
            side = Side.BUY if self.price.fair_ticks > mid else Side.SELL
        limit = mid * (1.0 + side * rng.exponential(k) * _BPS)
        ticks = math.floor(limit) if side is Side.BUY else max(math.ceil(limit), 1)
        maker = Side(-side)
        if not book.crosses(side, ticks) and side * (ticks - self._seen_touch[maker]) < 0:
            return side, []
        matches = book.sweep(side, _ALL_LOTS, limit_ticks=ticks)
        self.forget(match.maker_id for match in matches)
        for match in matches:
            if match.maker_id < 0:
                self._put(maker, match.ticks)
        hidden = max(self._size(self._typical_lots), round(self._typical_lots))
        matches.append(Match(_HIDDEN, ticks, hidden, 0))
        self._push(side)
        return side, matches

    def _push(self, side: Side) -> None:
        self.price.push(side * self._settings.impact_bps * _BPS * self.price.public_ticks)

    def _worth(self, side: Side, fair: float) -> bool:
        return side * (fair - self._book.best(Side(-side))) > 0.0

    def _sweep(self, side: Side, limit_ticks: int) -> tuple[Side, list[Match]]:
        matches = self._book.sweep(side, self._size(self._typical_lots), limit_ticks=limit_ticks)
        if matches:
            self._push(side)
        return side, matches

    def _enter(self) -> tuple[Side, list[Match]]:
        """A new limit order, which may meet a quote that has fallen behind: takes it, but under a law of takers, which
        counts all that is taken, lets it step back.
        """
        side = self._thin_side()
        ticks = self._new_ticks(side)
        if self._book.crosses(side, ticks):
            if self._settings.taker_k is None:
                lots = self._size(_MAKER_SIZE * self._typical_lots)
                return side, self._book.sweep(side, lots, limit_ticks=ticks)
            self._step_back(Side(-side))
        self._stand(side, ticks)
        return side, []

    def _thin_side(self) -> Side:
        """The side that is refilled: one whose best price is too far from the believed one, else the thinner one."""
        for side in _SIDES:
            if self._gap(side) > self._half_ticks + 1.0:
                return side
        surplus = self._counts[Side.BUY] - self._counts[Side.SELL]
        if surplus:
            return Side.SELL if surplus > 0 else Side.BUY
        return Side.BUY if self._rng.bits() & 1 else Side.SELL

    def _gap(self, side: Side) -> float:
        """Distance of a side's best price from the believed price, ticks."""
        return side * (self.price.public_ticks - self._book.best(side))

    def _too_near(self, side: Side) -> bool:
        return self._gap(side) < _LEAST_EDGE * self._half_ticks

    def _new_ticks(self, side: Side) -> int:
        """At the touch when that is missing; else often where others stand, or deeper by an exponential distance."""
        distance = self._half_ticks
        gap = self._gap(side)
        if gap <= distance + 1.0:
            if gap >= _LEAST_EDGE * distance and self._rng.uniform() < self._settings.join_chance:
                return self._book.best(side)
            distance += self._rng.exponential(1.0) * self._settings.depth_bps * _BPS * self.price.public_ticks
        price = self.price.public_ticks - side * distance
        return max(math.floor(price), 1) if side is Side.BUY else max(math.ceil(price), 2)

    def _stand(self, side: Side, ticks: int) -> None:
        """A limit order, no further in than the other side allows."""
        book = self._book
        if book.crosses(side, ticks):
            ticks = max(book.best(Side(-side)) - side, 1)
        self._put(side, ticks)

    def _put(self, side: Side, ticks: int) -> None:
        """A limit order where nothing crosses."""
        order_id = self._next_id
        self._next_id -= 1
        self._book.rest(order_id, side, ticks, self._size(_MAKER_SIZE * self._typical_lots))
        self._places[order_id] = (len(self._orders), side)
        self._orders.append(order_id)
        self._counts[side] += 1

    def _step_back(self, side: Side) -> None:
        """Everybody but us leaves the best price of a side and stands where new orders do."""
        for order_id in [order_id for order_id in self._book.ids_at(side, self._book.best(side)) if order_id < 0]:
            self._leave(order_id)
            self._stand(side, self._new_ticks(side))

    def _leave(self, order_id: int) -> None:
        self._book.cancel(order_id)
        self.forget((order_id,))

    def _size(self, median_lots: float) -> int:
        """Log-normal, at least one lot."""
        return max(round(median_lots * math.exp(self._settings.size_dispersion * self._rng.normal())), 1)
