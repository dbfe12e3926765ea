"""A market whose volatility, A and k are known exactly: Brownian mid, Poisson takers with exponential reach.

Orders of each side arrive at rate A and would pay up to an exponential distance with decay k from the mid as it was
last published; those that do not reach the touch do not trade. So a distance delta is reached `A e^{-k delta}` times a
second and side, whatever the spread. All chance is one seed's.
"""

import math
from collections.abc import Iterator

from mm_daemon.backtest.calibration.calibrate import calibrate_sources
from mm_daemon.backtest.calibration.report import MarketCalibration
from mm_daemon.backtest.sources import RecordedMarket
from mm_daemon.core.parameters import MarketParameters
from mm_daemon.domain.events import BookSnapshot, MarketEvent, PublicTrade
from mm_daemon.domain.orders import Side
from mm_daemon.domain.rng import Rng
from mm_daemon.simulation.policy import VenuePolicy
from mm_daemon.simulation.venue import SimulatedVenue
from mm_daemon.testkit.builders import SYMBOL, VENUE, core_parameters, instrument, market

NS = 1_000_000_000
PRICE = 60_000.0
FEED_NS = 1_000_000


class SyntheticFeed:
    """What a backtest reads of a recorded feed.

    `sigma_bps` per square root of a second; `half_bps`: half the spread that makers keep; `tick` in quote currency;
    `burst`: orders that each arrival brings on average, itself included, on its side within two seconds.
    """

    def __init__(
        self,
        seed: int,
        *,
        seconds: float,
        sigma_bps: float = 0.9,
        A: float = 1.2,
        k: float = 0.5,
        half_bps: float = 0.8,
        tick: float = 0.1,
        burst: float = 1.0,
        step_s: float = 0.1,
        jump_at_s: float | None = None,
    ) -> None:
        self._rng = Rng(seed)
        self._seconds, self._step_s = seconds, step_s
        self._sigma, self._A, self._k, self._half = sigma_bps * 1e-4, A, k, half_bps * 1e-4
        self._tick, self._burst = tick, burst
        self._jump_at_s = jump_at_s
        self._id = 0

    def events(self) -> Iterator[MarketEvent]:
        prices, orders = self._rng.split("prices"), self._rng.split("orders")
        deviation = self._sigma * math.sqrt(self._step_s)
        fair = PRICE / self._tick
        pending: list[tuple[float, Side]] = []
        due = dict.fromkeys((Side.BUY, Side.SELL), 0.0)
        for number in range(round(self._seconds / self._step_s)):
            now = number * self._step_s
            fair *= math.exp(deviation * prices.normal())
            if self._jump_at_s is not None and now >= self._jump_at_s:
                fair, self._jump_at_s = fair * 1.5, None
            bid = math.floor(fair * (1.0 - self._half))
            ask = max(math.ceil(fair * (1.0 + self._half)), bid + 1)
            self._id += 1
            at_ns = round(now * NS)
            yield BookSnapshot(SYMBOL, at_ns, at_ns + FEED_NS, ((bid, 1000),), ((ask, 1000),), self._id)
            end = now + self._step_s
            for side in due:
                while due[side] < end:
                    pending += self._arrival(due[side], side, orders)
                    due[side] += orders.exponential(self._A / self._burst) if self._A else math.inf
            pending.sort()
            while pending and pending[0][0] < end:
                at, side = pending.pop(0)
                yield from self._order(max(at, now), side, bid, ask, orders)

    def _arrival(self, at: float, side: Side, rng: Rng) -> list[tuple[float, Side]]:
        """An order and, in a market of bursts, its geometric number of followers. None at the very start."""
        if not at:
            return []
        arrivals = [(at, side)]
        while rng.uniform() < 1.0 - 1.0 / self._burst:
            arrivals.append((at + 2.0 * rng.uniform(), side))
        return arrivals

    def _order(self, at: float, side: Side, bid: int, ask: int, rng: Rng) -> Iterator[MarketEvent]:
        """Its prints, the touch first: two of them where it goes deeper."""
        mid = 0.5 * (bid + ask)
        reach = side * mid * rng.exponential(self._k) * 1e-4 + mid
        ticks = math.floor(reach + 1e-9) if side is Side.BUY else math.ceil(reach - 1e-9)
        touch = ask if side is Side.BUY else bid
        if side * (ticks - touch) < 0:
            return
        at_ns = round(at * NS)
        for price in sorted({touch, ticks}, reverse=side is Side.SELL):
            self._id += 1
            yield PublicTrade(SYMBOL, at_ns, at_ns + FEED_NS, side, price, 10, self._id)


class Events:
    """A feed of these events."""

    def __init__(self, *events: MarketEvent) -> None:
        self._events = events

    def events(self) -> Iterator[MarketEvent]:
        return iter(self._events)


def measured(
    feed: SyntheticFeed | Events, *, tick: str = "0.1", of: MarketParameters | None = None
) -> MarketCalibration:
    """What `calibrate` says about a feed's one market."""
    contract = of.instrument if of is not None else instrument(tick=tick)
    source = RecordedMarket(feed, SimulatedVenue(VENUE, [contract], VenuePolicy()))
    report = calibrate_sources(core_parameters(of or market(contract)), {VENUE: source})
    return report.markets[0]
