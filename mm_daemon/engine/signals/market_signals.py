"""All estimators of one market together, fed once per trusted book and once per print.

The owner (a market of the core) calls `on_book` after every change of a trusted book, `on_trade` for every print, and
`lose_book` when the book can no longer be trusted; each estimator's value is read from its own attributes. Prints of
one taker order become one order first, so most of them cost a few comparisons.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from mm_daemon.domain.signal_states import SignalsState
from mm_daemon.engine.signals.adjusted_microprice import AdjustedMicroprice
from mm_daemon.engine.signals.fill_intensity import FillIntensity
from mm_daemon.engine.signals.flow import OrderFlowImbalance
from mm_daemon.engine.signals.kyle import KyleLambda
from mm_daemon.engine.signals.momentum import Momentum
from mm_daemon.engine.signals.regime import VolatilityRegime
from mm_daemon.engine.signals.taker_orders import TakerOrder, TakerOrders
from mm_daemon.engine.signals.toxicity import Vpin
from mm_daemon.engine.signals.trade_size import SignedVolume, SizeOutlier

_BEYOND = 1e15
"""No price in ticks and no size in lots is as large as this."""
_HalfLife = Annotated[float, Meta(gt=0, le=86400)]


class SignalParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a person may tune about a market's estimators. Half-lives in seconds."""

    volatility_fast_s: Annotated[_HalfLife, Meta(description="half-life of the short-horizon volatility, seconds")] = (
        30.0
    )
    volatility_slow_s: Annotated[_HalfLife, Meta(description="half-life of the usual volatility, seconds")] = 3600.0
    volatility_step_ms: Annotated[
        int, Meta(ge=0, le=60000, description="clock on which the mid is sampled for both, ms; 0 = every change")
    ] = 1000
    momentum_fast_s: Annotated[_HalfLife, Meta(description="half-life of the fast moving average, seconds")] = 10.0
    momentum_slow_s: Annotated[_HalfLife, Meta(description="half-life of the slow moving average, seconds")] = 120.0
    order_flow_s: Annotated[_HalfLife, Meta(description="half-life of the order-flow imbalance, seconds")] = 5.0
    kyle_bin_ms: Annotated[int, Meta(ge=10, le=600000, description="bins of Kyle's lambda, ms")] = 1000
    kyle_s: Annotated[_HalfLife, Meta(description="half-life of Kyle's lambda, seconds")] = 1800.0
    intensity_s: Annotated[_HalfLife, Meta(description="half-life of the fill intensity A and k, seconds")] = 600.0
    intensity_d0_bps: Annotated[
        float, Meta(ge=0, le=1000, description="distance from which orders count for A and k, bps")
    ] = 0.0
    intensity_reach_bps: Annotated[
        float, Meta(gt=0, le=1000, description="distance beyond that over which their shape is judged, bps")
    ] = 10.0
    outlier_s: Annotated[_HalfLife, Meta(description="half-life of usual trade sizes, seconds")] = 300.0
    outlier_z: Annotated[float, Meta(gt=0, le=100, description="standard deviations that make a trade an outlier")] = (
        4.0
    )
    outlier_min_n: Annotated[int, Meta(ge=1, le=100000, description="trades to see before any is an outlier")] = 50
    signed_volume_s: Annotated[_HalfLife, Meta(description="half-life of signed volume, seconds")] = 2.0
    vpin_bucket: Annotated[float, Meta(gt=0, description="volume of a VPIN bucket, in order sizes")] = 100.0
    vpin_buckets: Annotated[int, Meta(ge=1, le=1000, description="buckets VPIN averages")] = 50


class MarketSignals:
    """The estimators of one market, each under its own name. Prices in ticks, sizes in lots, times in nanoseconds.

    `outlier`: the latest order whose size was one; a new object each time, so that the owner can tell it has changed.
    """

    __slots__ = (
        "_ask",
        "_ask_lots",
        "_bid",
        "_bid_lots",
        "_half",
        "_orders",
        "dropped",
        "intensity",
        "kyle",
        "microprice",
        "momentum",
        "order_flow",
        "outlier",
        "regime",
        "signed_volume",
        "size_outlier",
        "vpin",
    )

    def __init__(self, parameters: SignalParameters, *, order_lots: int, quote_per_tick_lot: float) -> None:
        """`order_lots`: our order size; `quote_per_tick_lot`: tick * lot * multiplier of a linear contract."""
        p = parameters
        self.regime = VolatilityRegime(p.volatility_fast_s, p.volatility_slow_s, p.volatility_step_ms)
        self.momentum = Momentum(p.momentum_fast_s, p.momentum_slow_s)
        self.order_flow = OrderFlowImbalance(p.order_flow_s)
        self.microprice = AdjustedMicroprice()
        self.intensity = FillIntensity(
            p.intensity_s,
            d0_bps=p.intensity_d0_bps,
            reach_bps=p.intensity_reach_bps,
            min_lots=order_lots,
            refit_s=min(5.0, p.intensity_s),
        )
        self.kyle = KyleLambda(p.kyle_bin_ms, p.kyle_s, quote_per_tick_lot)
        self.size_outlier = SizeOutlier(p.outlier_s, p.outlier_z, p.outlier_min_n, least_sd=0.1)
        self.signed_volume = SignedVolume(p.signed_volume_s)
        self.vpin = Vpin(p.vpin_bucket * order_lots, p.vpin_buckets)
        self.outlier: TakerOrder | None = None
        self._orders = TakerOrders()
        self.dropped = 0
        """Books and prints whose numbers could not be prices or sizes."""
        self._bid = self._ask = self._half = 0
        self._bid_lots = self._ask_lots = 0

    def on_book(self, ts_ns: int, bid_ticks: int, bid_lots: int, ask_ticks: int, ask_lots: int) -> None:
        """The touch of a trusted book after any change of it."""
        if not (0 < bid_ticks < ask_ticks < _BEYOND and 0 <= bid_lots < _BEYOND and 0 <= ask_lots < _BEYOND):
            self.dropped += 1
            return
        if self._orders.pending:
            self._flush()
        half = bid_ticks + ask_ticks
        self.regime.update(ts_ns, half)
        self.kyle.on_mid(ts_ns, half)
        self.intensity.on_clock(ts_ns)
        if bid_lots == self._bid_lots and ask_lots == self._ask_lots and bid_ticks == self._bid and half == self._half:
            return
        self.order_flow.on_book(ts_ns, bid_ticks, bid_lots, ask_ticks, ask_lots)
        self.microprice.on_book(bid_ticks, bid_lots, ask_ticks, ask_lots)
        if bid_ticks != self._bid or ask_ticks != self._ask:
            self.intensity.on_touch(ts_ns, bid_ticks, ask_ticks)
        if half != self._half:
            self.momentum.on_price(ts_ns, half)
        self._bid, self._bid_lots, self._ask, self._ask_lots, self._half = (
            bid_ticks,
            bid_lots,
            ask_ticks,
            ask_lots,
            half,
        )

    def on_trade(self, ts_ns: int, ts_venue_ns: int, buy: bool, ticks: int, lots: int) -> None:
        """A print: `buy` when its aggressor bought. Passed by without a trusted book, for there is no fair price."""
        if not self._half:
            return
        if not (0 < ticks < _BEYOND and 0 < lots < _BEYOND):
            self.dropped += 1
            return
        order = self._orders.on_print(ts_ns, ts_venue_ns, buy, ticks, lots, 0.5 * self._half)
        if order is not None:
            self._take(order)

    def lose_book(self) -> None:
        """The book can no longer be trusted."""
        self._flush()
        self._bid = self._ask = self._half = 0
        self._bid_lots = self._ask_lots = 0
        self.order_flow.lose_book()
        self.microprice.lose_book()

    def lose_clock(self) -> None:
        """Time begins anew."""
        self.lose_book()
        self.regime.lose_clock()
        self.momentum.lose_clock()
        self.order_flow.lose_clock()
        self.intensity.lose_clock()
        self.kyle.lose_clock()
        self.size_outlier.lose_clock()
        self.signed_volume.lose_clock()

    def state(self) -> SignalsState:
        """All that was learned. An order that is not complete yet is not in it."""
        return SignalsState(
            self.regime.state(),
            self.momentum.state(),
            self.order_flow.state(),
            self.microprice.state(),
            self.intensity.state(),
            self.kyle.state(),
            self.size_outlier.state(),
            self.signed_volume.state(),
            self.vpin.state(),
        )

    def restore(self, state: SignalsState) -> None:
        """Go on from `state`, of a market with the same parameters and grid; the book begins anew."""
        self.regime.restore(state.regime)
        self.momentum.restore(state.momentum)
        self.order_flow.restore(state.order_flow)
        self.microprice.restore(state.microprice)
        self.intensity.restore(state.intensity)
        self.kyle.restore(state.kyle)
        self.size_outlier.restore(state.size_outlier)
        self.signed_volume.restore(state.signed_volume)
        self.vpin.restore(state.vpin)
        self.lose_book()

    def _flush(self) -> None:
        order = self._orders.flush()
        if order is not None:
            self._take(order)

    def _take(self, order: TakerOrder) -> None:
        ts_ns, buy, ticks, lots, fair_ticks = order
        self.intensity.on_order(ts_ns, buy, ticks, lots, fair_ticks)
        self.kyle.on_order(ts_ns, buy, ticks, lots)
        self.size_outlier.on_order(ts_ns, lots)
        if self.size_outlier.flagged:
            self.outlier = order
        self.signed_volume.on_order(ts_ns, buy, lots)
        self.vpin.on_order(lots if buy else -lots)
