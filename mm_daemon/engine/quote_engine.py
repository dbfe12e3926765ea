"""From a trusted book and an inventory to one bid and one ask: the pipeline of MODELS 0.3, in its order.

A `QuoteEngine` belongs to one instrument. It owns the volatility estimate, the model's coefficients, the conditions of
the market (`conditions.py`) and the way from depths to quotes (`quote_placement.py`), and is called by the core at each
full decision. It knows no orders: what is working at the venue is the core's business.
"""

import math
from collections.abc import Mapping

from mm_daemon.domain.book import OrderBook
from mm_daemon.domain.decisions import Reason
from mm_daemon.domain.errors import CostTooHigh, DomainError
from mm_daemon.domain.events import PublicTrade
from mm_daemon.domain.instrument import Instrument
from mm_daemon.domain.orders import Side
from mm_daemon.domain.rng import Rng
from mm_daemon.engine.conditions import Conditions
from mm_daemon.engine.costs import fill_cost_bps
from mm_daemon.engine.intent import solved_intent
from mm_daemon.engine.models.catalogue import MODELS
from mm_daemon.engine.models.depth_table import Depths
from mm_daemon.engine.parameters import QuoteParameters, WarmStart
from mm_daemon.engine.position_guard import UNGUARDED, Guarded
from mm_daemon.engine.pricing import Pricing, WantedDepths
from mm_daemon.engine.pricing_model import (
    Curve,
    ModelFactory,
    ModelInputs,
    ModelSettings,
    Solving,
    Watcher,
    inventory_offsets,
    tilt_bps,
)
from mm_daemon.engine.quote_placement import QuotePlacement
from mm_daemon.engine.signals.adjusted_microprice import AdjustedMicroprice
from mm_daemon.engine.signals.microprice import microprice
from mm_daemon.engine.signals.robust_volatility import RobustVolatility
from mm_daemon.engine.signals.volatility import EwmaVolatility
from mm_daemon.engine.sizing import DepthCap
from mm_daemon.engine.units import BPS, annual_vol_to_bps

_NS = 1e-9
_INF = math.inf
_MAX_POSITION = Reason.MAX_POSITION.bit
_BAD_NUMBER = Reason.BAD_NUMBER.bit
_COST_TOO_HIGH = Reason.COST_TOO_HIGH.bit
_VOLATILITY_HALT = Reason.VOLATILITY_HALT.bit


class QuoteEngine:
    """Prices one instrument. Sizes and limits are in lots; `collar_bps` and `max_notional_atto` are the gate's: see
    `QuotePlacement`.
    """

    __slots__ = (
        "_anew",
        "_by_impact",
        "_by_the_clock",
        "_capped",
        "_cost_bps",
        "_curve",
        "_depths",
        "_floor_tick_bps",
        "_grounds",
        "_inputs",
        "_low_confidence",
        "_min_edge_bps",
        "_order_lots",
        "_parameters",
        "_priced",
        "_prior_sigma_bps",
        "_reduce_floor_bps",
        "_seen",
        "_session_phase_s",
        "_solving",
        "_target_lots",
        "_tilt_bps",
        "_unfinished",
        "_use_microprice",
        "adjusted",
        "conditions",
        "depth_cap",
        "gamma",
        "k",
        "max_skew_bps",
        "model",
        "most_orders",
        "most_tilt_bps",
        "placement",
        "volatility",
        "watcher",
    )

    def __init__(
        self,
        instrument: Instrument,
        parameters: QuoteParameters,
        *,
        order_lots: int,
        min_position_lots: int,
        max_position_lots: int,
        collar_bps: float,
        max_notional_atto: int | None = None,
        models: Mapping[str, ModelFactory] = MODELS,
        warm: WarmStart | None = None,
    ) -> None:
        """`warm`: a calibration that `parameters` begin with. Raises DomainError for parameters that contradict each
        other, KeyError for a model not in `models`.
        """
        self._parameters = parameters
        self._order_lots = order_lots
        self._target_lots = parameters.target_position / float(instrument.lot)
        self._cost_bps = fill_cost_bps(instrument, parameters)
        self._min_edge_bps = parameters.min_edge_bps
        self._reduce_floor_bps = -parameters.max_give_bps
        self._use_microprice = parameters.fair_price != "mid"
        self._low_confidence = parameters.low_confidence_widening - 1.0
        self._prior_sigma_bps = annual_vol_to_bps(parameters.volatility)
        kind, clock = (
            parameters.volatility_estimator,
            (parameters.volatility_half_life_s, parameters.volatility_step_ms),
        )
        self.volatility = EwmaVolatility(*clock) if kind == "ewma" else RobustVolatility(*clock, kind)
        self._floor_tick_bps = 0.5 / (BPS * math.sqrt(parameters.volatility_half_life_s))
        # Sessions of different symbols must not restart together, or all spreads jump at once (MODELS 1.4).
        self._session_phase_s = Rng(0).split(instrument.id).uniform() * parameters.session_s
        self.most_orders = most = max(abs(max_position_lots), abs(min_position_lots)) / order_lots
        """The larger position limit in order sizes."""
        self.max_skew_bps = parameters.max_skew_bps / most if most else parameters.max_skew_bps
        """Largest skew per order held: what `max_skew_bps` at the position limit comes to."""
        self._by_the_clock = parameters.tau == "session"
        self._by_impact = parameters.size_impact_bps is not None
        self.gamma, self.k = solved_intent(
            parameters, max_orders=most, sigma_bps=self._prior_sigma_bps, cost_bps=self._cost_bps
        )
        """Risk aversion and decay as configured, or as solved from what is meant by them."""
        self.model = models[parameters.model](ModelSettings(parameters, max(1, math.ceil(most))))
        self.watcher = self.model if isinstance(self.model, Watcher) else None
        """The model, where it has a signal of its own."""
        self.most_tilt_bps = parameters.max_skew_bps if self.watcher is None else parameters.max_shift_bps
        """How far from the fair price both quotes may stand with nothing held, by the model."""
        self._anew = self._by_the_clock or self.watcher is not None
        self._solving = self.model if isinstance(self.model, Solving) else None
        self._unfinished = False
        """The model has more to do, and each decision does a slice of it."""
        self.conditions = Conditions(
            instrument,
            parameters,
            order_lots=order_lots,
            min_position_lots=min_position_lots,
            max_position_lots=max_position_lots,
            k=self.k,
            warm=warm,
        )
        share = parameters.size_depth_share
        self.depth_cap = (
            None if share is None else DepthCap(share, parameters.size_depth_bps, parameters.size_tolerance)
        )
        """None: whatever is displayed, quotes have their full size."""
        self._capped = self._by_impact or self.depth_cap is not None
        """Whether what the market can bear has a say in the size of quotes."""
        self.adjusted: AdjustedMicroprice | None = None
        """What `fair_price: adjusted_microprice` looks up."""
        self._look_up_fair_price()
        self.placement = QuotePlacement(
            instrument,
            parameters,
            order_lots=order_lots,
            min_position_lots=min_position_lots,
            max_position_lots=max_position_lots,
            collar_bps=collar_bps,
            max_notional_atto=max_notional_atto,
        )
        self._seen: tuple[object, ...] = ()
        self._priced: Pricing | int = 0
        """What `_seen` came to."""
        self._grounds: tuple[object, ...] = ()
        self._depths: WantedDepths | int = 0
        """What `_grounds` came to."""
        self._inputs: ModelInputs | None = None
        self._curve: Curve | None = None
        self._tilt_bps = 0.0
        """Of `_curve`, within `most_tilt_bps`."""

    def resize(self, order_lots: int, min_position_lots: int, max_position_lots: int) -> None:
        """Sizes have changed, the limits in proportion to the order, so that the model stays as it is. No lots: there
        is nothing to quote with.
        """
        self._order_lots = max(order_lots, 1)
        self.placement.resize(order_lots, min_position_lots, max_position_lots)
        self.conditions.resize(self._order_lots, min_position_lots, max_position_lots)
        self._seen = self._grounds = ()

    def begin(self, order_lots: int) -> None:
        """Our order size is known only now."""
        self.conditions.begin(order_lots)
        self._look_up_fair_price()

    def look_at_depth(self, book: OrderBook, now_ns: int) -> None:
        """Let a trusted book say how large quotes may be, where that is asked for."""
        if self.depth_cap is not None and self.depth_cap.look(book, now_ns):
            self._seen = ()

    def observe(self, book: OrderBook, ts_local_ns: int) -> bool:
        """A trusted book changed: let the estimators see it. Returns whether they call for a decision at once."""
        self.volatility.update(ts_local_ns, book.half_ticks * 0.5)
        if self.watcher is not None:
            self.watcher.on_book(ts_local_ns, book.bid_ticks, book.bid_lots, book.ask_ticks, book.ask_lots)
        conditions = self.conditions
        return conditions.signals is not None and conditions.on_book(book, ts_local_ns)

    def on_trade(self, trade: PublicTrade) -> None:
        """A print of the market."""
        if self.watcher is not None:
            self.watcher.on_trade(trade.ts_local_ns, trade.aggressor is Side.BUY, trade.ticks, trade.lots)
        if self.conditions.signals is not None:
            self.conditions.on_trade(trade)

    def lose_clock(self, back_ns: int) -> None:
        """Time begins anew, `back_ns` earlier: what was learned stays."""
        self.volatility.lose_clock()
        self.conditions.lose_clock(back_ns)
        if self.depth_cap is not None:
            self.depth_cap.shift(-back_ns)

    def _look_up_fair_price(self) -> None:
        signals = self.conditions.signals
        if signals is not None and self._parameters.fair_price == "adjusted_microprice":
            self.adjusted = signals.microprice

    def fair_ticks(self, book: OrderBook) -> float:
        """The reference price of a trusted book, in ticks: mid, size-weighted microprice, or that of Stoikov, which is
        never outside the best prices and the size-weighted one until its table is solved.
        """
        if not self._use_microprice:
            return book.half_ticks * 0.5
        if self.adjusted is not None:
            shift = self.adjusted.shift_of(book.bid_ticks, book.bid_lots, book.ask_ticks, book.ask_lots)
            if shift is not None and -_INF < shift < _INF:
                fair = book.half_ticks * 0.5 + shift
                return min(max(fair, float(book.bid_ticks)), float(book.ask_ticks))
        return microprice(book.bid_ticks, book.bid_lots, book.ask_ticks, book.ask_lots)

    def sigma_bps(self, mid_ticks: float) -> float:
        """Volatility in bps per square root of a second: estimated, or the configured prior until that is ready.

        Never below half a tick in a half-life (MODELS 6.1): a market that stands still is not one without risk.
        """
        estimate = self.volatility.sigma_bps
        if estimate is None:
            return self._prior_sigma_bps
        least = self._floor_tick_bps / mid_ticks
        return estimate if estimate > least else least

    def inputs(self, sigma_bps: float, now_ns: int) -> ModelInputs:
        """What the model may price by at this volatility."""
        intensity = self.conditions.intensity()
        return ModelInputs(
            sigma_bps,
            intensity.A_buy,
            intensity.A_sell,
            intensity.k,
            self.conditions.gamma(self.gamma),
            self._cost_bps + self.conditions.adverse_bps(),
            self._session_left_s(now_ns) if self._by_the_clock else None,
        )

    def curve(self, inputs: ModelInputs) -> Curve:
        """The model's answer, remembered while the inputs stay and once it is whole, and its tilt with it. Raises
        DomainError.
        """
        anew = self._unfinished or self.watcher is not None
        if self._curve is None or anew or (inputs is not self._inputs and inputs != self._inputs):
            watches = self.watcher is not None
            try:
                curve = self.model.curve(inputs)
            finally:
                self._unfinished = self._solving is not None and self._solving.unfinished
            self._tilt_bps = tilt_bps(inputs, curve, self.most_tilt_bps, watches=watches)
            self._inputs, self._curve = inputs, curve
        return self._curve

    def price(self, book: OrderBook, position_lots: int, now_ns: int, guarded: Guarded = UNGUARDED) -> Pricing | int:
        """Both quotes for a trusted book, or the withdraw reasons (as a mask) that keep the instrument from quoting.

        Most updates of a book leave its best prices alone, and what was priced of the same numbers is the same pricing.
        """
        seen = (
            book.bid_ticks,
            book.bid_lots,
            book.ask_ticks,
            book.ask_lots,
            position_lots,
            self.volatility.sigma_bps,
            self.volatility.confidence,
            now_ns if self._anew or self._unfinished or self.conditions.changing else None,
            None if self.adjusted is None else self.adjusted.table,
            self.conditions.largest_lots() if self._by_impact else None,
            guarded,
        )
        if seen != self._seen:
            self._seen = seen
            self._priced = self._price(book, position_lots, now_ns, guarded)
        return self._priced

    def _price(self, book: OrderBook, position_lots: int, now_ns: int, guarded: Guarded) -> Pricing | int:
        mid = book.half_ticks * 0.5
        fair = self.fair_ticks(book)
        sigma = self.sigma_bps(mid)
        # A book that moves leaves all this alone, as long as nothing else has changed.
        moment = now_ns if self._anew or self._unfinished or self.conditions.changing else None
        unadjusted = self.adjusted is not None and not self.adjusted.table
        grounds = position_lots, sigma, self.volatility.confidence, moment, unadjusted, guarded
        if grounds != self._grounds:
            self._grounds = grounds
            self._depths = self._wanted_depths(position_lots, sigma, now_ns, guarded)
        wanted = self._depths
        if isinstance(wanted, int):
            return wanted
        try:
            most = self._most_lots() if self._capped else None
            bids, asks = self.placement.quotes(book, position_lots, guarded, fair, wanted, most)
        except DomainError:
            return _BAD_NUMBER
        return Pricing(
            mid,
            fair,
            sigma,
            wanted.q,
            wanted.half_bps,
            wanted.skew_bps,
            wanted.centre_bps,
            wanted.tau_s,
            wanted.shift_bps,
            wanted.widening,
            wanted.inputs,
            bids,
            asks,
            wanted.toxic_widening,
            wanted.confidence_widening,
            wanted.doubts,
        )

    def _most_lots(self) -> tuple[int, int] | None:
        """The largest bid and ask by depth and impact; None where neither has a say."""
        shown = None if self.depth_cap is None else self.depth_cap.lots
        most = self.conditions.largest_lots() if self._by_impact else None
        if most is None:
            return shown
        return (most, most) if shown is None else (min(shown[0], most), min(shown[1], most))

    def _wanted_depths(self, position_lots: int, sigma: float, now_ns: int, guarded: Guarded) -> WantedDepths | int:
        """How far from the fair price both sides want to be, or the withdraw reasons as a mask."""
        conditions = self.conditions
        used = conditions.used(position_lots)
        widening = conditions.widening(sigma, now_ns)
        if widening is None:
            return _VOLATILITY_HALT
        toxic, (sure, doubts) = conditions.toxic_widening(), conditions.confidence(self.volatility.confidence, now_ns)
        unsure = 1.0 + self._low_confidence * (1.0 - sure)
        widening *= guarded.widening * toxic * unsure
        q = (position_lots - self._target_lots) / self._order_lots
        try:
            inputs = self.inputs(sigma, now_ns)
            curve = self.curve(inputs)
            shift = conditions.shift_bps(sigma, curve.tau_s, now_ns) if conditions.shifts else 0.0
            depths = curve.at(q)
            half, skew, centre = self._half_skew_centre(curve, depths, q, widening)
        except CostTooHigh:
            return _COST_TOO_HIGH
        except DomainError:
            return _BAD_NUMBER
        bid_bps, ask_bps = half + centre, half - centre
        if used:
            bid_further, ask_further = conditions.inventory_widening(used, self.half_bps(curve, widening))
            bid_bps, ask_bps = bid_bps + bid_further, ask_bps + ask_further
        # The side that grows the inventory must earn its edge; the one that reduces it may give some away.
        grows, reduces = max(self._min_edge_bps, inputs.cost_bps), self._reduce_floor_bps
        bid_bps = max(bid_bps, grows if q >= 0 else reduces) - shift
        ask_bps = max(ask_bps, grows if q <= 0 else reduces) + shift
        bid_obstacles, ask_obstacles = conditions.obstacles(used, now_ns)
        if depths.delta_bid is None:  # the model's bound: one more would be too many
            bid_obstacles |= _MAX_POSITION
        if depths.delta_ask is None:
            ask_obstacles |= _MAX_POSITION
        return WantedDepths(
            q,
            half,
            skew,
            centre,
            None if curve.tau_s is None else float(curve.tau_s),
            shift,
            widening,
            inputs,
            bid_bps,
            ask_bps,
            *conditions.sizes(used),
            bid_obstacles,
            ask_obstacles,
            toxic,
            unsure,
            doubts,
        )

    def half_bps(self, curve: Curve, widening: float, held_bps: float = 0.0) -> float:
        """The half-spread within its limits; `held_bps`: what inventory adds to that when flat. It is not widened: a
        wider part for inventory could raise a quote with a longer position. A plain float, whatever the model computes
        in, as no journal holds those of numpy.
        """
        limits, half, skew = self._parameters, curve.half_bps, curve.skew_bps
        if skew > self.max_skew_bps:
            # The part of the spread that is for risk shrinks in proportion to the skew that is cut.
            half -= curve.risk_bps * (1.0 - self.max_skew_bps / skew)
        half = half * widening + held_bps
        least, widest = limits.min_spread_bps * 0.5, limits.max_spread_bps * 0.5
        return float(least if half < least else widest if half > widest else half)

    def _half_skew_centre(self, curve: Curve, depths: Depths, q: float, widening: float) -> tuple[float, float, float]:
        """Half-spread, skew and centre of a `Pricing`. Spread and skew are clamped apart, so that neither takes from
        the other (MODELS 0.3, step 3). Raises DomainError.
        """
        most_skew, tilt = self.max_skew_bps, self._tilt_bps
        bid_off, ask_off = inventory_offsets(depths, curve.half_bps, tilt, abs(q) * most_skew)
        half = self.half_bps(curve, widening, 0.5 * (bid_off + ask_off))
        return half, float(min(curve.skew_bps, most_skew)), float(tilt + 0.5 * (bid_off - ask_off))

    def _session_left_s(self, now_ns: int) -> float:
        length = self._parameters.session_s
        return length - (now_ns * _NS + self._session_phase_s) % length
