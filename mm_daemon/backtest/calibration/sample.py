"""One market as it plays: its book, its taker orders and its estimators, in memory that does not grow with time.

Fed with the market events that the core would be fed, in the same order; a depth is measured from the mid of the book
as it was known just before the order, as the daemon's own estimator measures it. Time in which the book could not be
trusted, or the feed was silent, was not observed.
"""

import math
from collections.abc import Mapping

from mm_daemon.backtest.calibration.batches import BatchedRatio
from mm_daemon.backtest.calibration.depths import Depths, Exposure
from mm_daemon.backtest.calibration.volatility import SILENCE_NS, Course, RealisedVolatility
from mm_daemon.core.parameters import MarketParameters
from mm_daemon.domain.book import OrderBook
from mm_daemon.domain.events import BookDelta, BookInvalidated, BookSnapshot, MarketEvent, PublicTrade, TopOfBook
from mm_daemon.domain.orders import Side
from mm_daemon.engine.costs import quotes_begin_bps
from mm_daemon.engine.signals.fill_intensity import FillIntensity
from mm_daemon.engine.signals.market_signals import SignalParameters
from mm_daemon.engine.signals.taker_orders import TakerOrder, TakerOrders
from mm_daemon.engine.signals.volatility import EwmaVolatility

_NS = 1_000_000_000
_PER_BP = 1e4
_BOOK = frozenset((BookSnapshot, BookDelta, TopOfBook, BookInvalidated))
STEP_MS = 1000
"""Clock of the volatility where the configuration asks for none."""
_GRID_SLACK = 1e-6


class MarketSample:
    """All that is measured of one market. Prices in ticks, sizes in lots, times in nanoseconds."""

    def __init__(self, parameters: MarketParameters, signals: SignalParameters | None = None) -> None:
        nearest_bps = quotes_begin_bps(parameters.instrument, parameters.quoting)
        signals = signals or SignalParameters(intensity_d0_bps=nearest_bps)
        self.parameters = parameters
        """With order size and limits at the first mid, where those are money."""
        self._signals = signals
        self.book = OrderBook()
        step_ms = parameters.quoting.volatility_step_ms or STEP_MS
        self.volatility = RealisedVolatility(step_ms)
        self.short_volatility = EwmaVolatility(signals.volatility_fast_s, step_ms)
        self.course = Course()
        """The short volatility over time."""
        self.exposure = Exposure()
        self.both, self.buys, self.sells = Depths(), Depths(), Depths()
        """Orders as large as ours or larger: all, those that lift asks, those that hit bids."""
        self.live = self._intensity()
        """What the daemon would have learned by itself."""
        self.live_half_life_s = signals.intensity_s
        self.rate = BatchedRatio()
        """Taker orders of any size over seconds."""
        self._orders = TakerOrders()
        self._nearest_bps = nearest_bps
        self._touch_bps = self._entry_bps = 0.0
        """From the mid of the last trusted book: half its spread; and the nearest price of the grid that our quotes may
        have, which is at that touch, the usual touch so far, and where the fee is earned, whichever is furthest. Both
        are known before the orders to come, so an exponential law stays one beyond them.
        """
        self._seen_ns: int | None = None
        self._trusted = False
        self.first_ns: int | None = None
        self.last_ns = 0
        self.observed_s = 0.0
        """Time with a trusted book."""
        self.silent_s = 0.0
        self.spread_tick_s = self.spread_bps_s = self.mid_tick_s = 0.0
        """Touch spread and mid, times the seconds they stood."""
        self.prints = self.orders = self.order_lots = self.small_orders = self.unpriced_prints = 0
        self.mid_ticks: float | None = None
        """The last one."""

    def _intensity(self) -> FillIntensity:
        signals = self._signals
        return FillIntensity(
            signals.intensity_s,
            d0_bps=signals.intensity_d0_bps,
            reach_bps=signals.intensity_reach_bps,
            min_lots=self.parameters.order_lots,
            refit_s=min(5.0, signals.intensity_s),
        )

    @property
    def dropped(self) -> Mapping[str, int]:
        """What came in and was not used, by kind."""
        counts = {
            "prints without a trusted book": self.unpriced_prints,
            "orders smaller than ours": self.small_orders,
            "prints without price or size": self._orders.dropped,
            "books lost": sum(self.book.invalidated.values()),
            "crossed books": self.book.crossings,
        }
        return {what: count for what, count in counts.items() if count}

    def on_event(self, event: MarketEvent) -> None:
        """The next event of this market."""
        now_ns = event.ts_local_ns
        self._pass_time(now_ns)
        if isinstance(event, PublicTrade):
            self._on_trade(event)
        elif type(event) in _BOOK:
            self._flush()
            self.book.apply(event)
            self._on_book(now_ns)

    def finish(self) -> None:
        """There is no more."""
        self._flush()

    def _pass_time(self, now_ns: int) -> None:
        """The book stood as it was until now."""
        seen_ns = self._seen_ns
        self._seen_ns = self.last_ns = now_ns
        if seen_ns is None:
            self.first_ns = now_ns
            return
        seconds = (now_ns - seen_ns) / _NS
        if now_ns - seen_ns > SILENCE_NS:
            self.silent_s += seconds
            return
        if not self._trusted or seconds <= 0.0:
            return
        book = self.book
        spread, mid = book.ask_ticks - book.bid_ticks, 0.5 * book.half_ticks
        self.observed_s += seconds
        self.spread_tick_s += spread * seconds
        self.spread_bps_s += spread / mid * _PER_BP * seconds
        self.mid_tick_s += mid * seconds
        self.rate.add(now_ns, 0.0, seconds)
        self.exposure.observe(seconds, self._touch_bps, self._entry_bps)
        for depths in (self.both, self.buys, self.sells):
            depths.observe(now_ns, seconds)

    def _on_book(self, now_ns: int) -> None:
        book = self.book
        self._trusted = book.trusted
        if not book.trusted:
            self.volatility.lose()
            return
        if self.mid_ticks is None and self.parameters.money is not None:
            self.parameters = self.parameters.sized(book.half_ticks)
            self.live = self._intensity()
        mid = 0.5 * book.half_ticks
        self.mid_ticks = mid
        touch = 0.5 * (book.ask_ticks - book.bid_ticks)
        self._touch_bps = touch / mid * _PER_BP
        usual_bps = 0.5 * self.spread_bps_s / self.observed_s if self.observed_s else 0.0
        nearest = math.ceil(mid + mid * max(usual_bps, self._nearest_bps) / _PER_BP - _GRID_SLACK) - mid
        self._entry_bps = max(touch, nearest) / mid * _PER_BP
        self.volatility.update(now_ns, mid)
        self.short_volatility.update(now_ns, mid)
        self.live.on_clock(now_ns)
        self.live.on_touch(now_ns, book.bid_ticks, book.ask_ticks)
        sigma = self.short_volatility.sigma_bps
        if sigma is not None:
            self.course.add(now_ns, sigma)

    def _on_trade(self, event: PublicTrade) -> None:
        if not self._trusted:
            self.unpriced_prints += 1
            return
        self.prints += 1
        order = self._orders.on_print(
            event.ts_local_ns,
            event.ts_venue_ns,
            event.aggressor is Side.BUY,
            event.ticks,
            event.lots,
            0.5 * self.book.half_ticks,
        )
        if order is not None:
            self._take(order)

    def _flush(self) -> None:
        order = self._orders.flush()
        if order is not None:
            self._take(order)

    def _take(self, order: TakerOrder) -> None:
        self.orders += 1
        self.rate.add(order.ts_ns, 1.0, 0.0)
        self.order_lots += order.lots
        self.live.on_order(order.ts_ns, order.buy, order.ticks, order.lots, order.fair_ticks)
        if order.lots < self.parameters.order_lots:
            self.small_orders += 1
            return
        beyond = order.ticks - order.fair_ticks if order.buy else order.fair_ticks - order.ticks
        depth_bps = beyond / order.fair_ticks * _PER_BP
        for depths in (self.both, self.buys if order.buy else self.sells):
            depths.add(order.ts_ns, depth_bps, self._touch_bps, self._entry_bps)
