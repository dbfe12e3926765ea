"""From a trusted book and an inventory to one bid and one ask: the pipeline of MODELS 0.3, in its order.

A `QuoteEngine` belongs to one instrument. It owns the volatility estimate and the model's coefficients, and is called
by the core at each full decision. It knows no orders: what is working at the venue is the core's business.
"""

import math
from collections.abc import Mapping
from fractions import Fraction

from mm_daemon.domain.book import OrderBook
from mm_daemon.domain.decisions import Reason
from mm_daemon.domain.errors import DomainError
from mm_daemon.domain.instrument import Instrument, grid_rounding
from mm_daemon.domain.money import ATTO
from mm_daemon.domain.orders import Side
from mm_daemon.domain.rng import Rng
from mm_daemon.engine.conditions import Conditions
from mm_daemon.engine.costs import fill_cost_bps
from mm_daemon.engine.intent import solved_intent
from mm_daemon.engine.ladder import Ladder
from mm_daemon.engine.models.catalogue import MODELS
from mm_daemon.engine.models.depth_table import Depths
from mm_daemon.engine.parameters import QuoteParameters, WarmStart
from mm_daemon.engine.position_guard import UNGUARDED, Guarded
from mm_daemon.engine.pricing import Pricing, SideQuote, WantedDepths
from mm_daemon.engine.pricing_model import (
    Curve,
    ModelFactory,
    ModelInputs,
    ModelSettings,
    inventory_offsets,
    tilt_bps,
)
from mm_daemon.engine.rounding import round_quotes
from mm_daemon.engine.signals.adjusted_microprice import AdjustedMicroprice
from mm_daemon.engine.signals.microprice import microprice
from mm_daemon.engine.signals.volatility import EwmaVolatility
from mm_daemon.engine.sizing import DepthCap
from mm_daemon.engine.tolerance import tolerance_ticks
from mm_daemon.engine.units import BPS, annual_vol_to_bps

_NS = 1e-9
_INF = math.inf
_MAX_POSITION = Reason.MAX_POSITION.bit
_SIZE_BELOW_MIN = Reason.SIZE_BELOW_MIN.bit
_PRICE_COLLAR = Reason.PRICE_COLLAR.bit
_BAD_NUMBER = Reason.BAD_NUMBER.bit
_VOLATILITY_HALT = Reason.VOLATILITY_HALT.bit
_LEVEL_MERGED = Reason.LEVEL_MERGED.bit
_BUY, _SELL = Side.BUY, Side.SELL
_NO_CAP = 1 << 62


class QuoteEngine:
    """Prices one instrument. Sizes and limits are in lots; `collar_bps` and `max_notional_atto`, the largest value of
    an order, are the gate's, so that a target it would refuse is withdrawn with a reason, or smaller, instead of being
    refused again and again.
    """

    # Beyond thirty attributes an instance dictionary is no longer shared, and each pricing a tenth slower.
    __slots__ = (
        "_behind",
        "_by_the_clock",
        "_collar_share",
        "_cost_bps",
        "_curve",
        "_depths",
        "_floor_tick_bps",
        "_grounds",
        "_inputs",
        "_ladder",
        "_low_confidence",
        "_max_position_lots",
        "_max_tick_lots",
        "_min_edge_bps",
        "_min_lots",
        "_min_position_lots",
        "_min_tick_lots",
        "_order_lots",
        "_parameters",
        "_priced",
        "_prior_sigma_bps",
        "_reduce_floor_bps",
        "_round_ask",
        "_round_bid",
        "_seen",
        "_session_phase_s",
        "_size_lots",
        "_target_lots",
        "_tilt_bps",
        "_use_microprice",
        "adjusted",
        "conditions",
        "depth_cap",
        "gamma",
        "k",
        "ladder_lots",
        "max_skew_bps",
        "model",
        "most_orders",
        "volatility",
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
        self._order_lots = self._size_lots = order_lots
        self._min_position_lots = min_position_lots
        self._max_position_lots = max_position_lots
        self._collar_share = collar_bps * BPS
        self._target_lots = parameters.target_position / float(instrument.lot)
        self._round_bid, self._round_ask = grid_rounding(instrument.grid)
        self._min_lots = instrument.min_lots
        # A product of ticks and lots below this is under the venue's notional minimum.
        unit = instrument.tick * instrument.lot * instrument.multiplier
        self._min_tick_lots = math.ceil(instrument.min_notional / unit)
        # And one above this is over our own largest notional.
        self._max_tick_lots = (
            None if max_notional_atto is None else math.floor(Fraction(max_notional_atto, ATTO) / Fraction(unit))
        )
        self._cost_bps = fill_cost_bps(instrument, parameters)
        self._min_edge_bps = parameters.min_edge_bps
        self._reduce_floor_bps = -parameters.max_give_bps
        self._use_microprice = parameters.fair_price != "mid"
        self._low_confidence = parameters.low_confidence_widening - 1.0
        self._prior_sigma_bps = annual_vol_to_bps(parameters.volatility)
        self.volatility = EwmaVolatility(parameters.volatility_half_life_s, parameters.volatility_step_ms)
        self._floor_tick_bps = 0.5 / (BPS * math.sqrt(parameters.volatility_half_life_s))
        # Sessions of different symbols must not restart together, or all spreads jump at once (MODELS 1.4).
        self._session_phase_s = Rng(0).split(instrument.id).uniform() * parameters.session_s
        self.most_orders = most = max(abs(max_position_lots), abs(min_position_lots)) / order_lots
        """The larger position limit in order sizes."""
        self.max_skew_bps = parameters.max_skew_bps / most if most else parameters.max_skew_bps
        """Largest skew per order held: what `max_skew_bps` at the position limit comes to."""
        self._by_the_clock = parameters.tau == "session"
        self.gamma, self.k = solved_intent(
            parameters, max_orders=most, sigma_bps=self._prior_sigma_bps, cost_bps=self._cost_bps
        )
        """Risk aversion and decay as configured, or as solved from what is meant by them."""
        self.model = models[parameters.model](ModelSettings(parameters, max(1, math.ceil(most))))
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
        self.adjusted: AdjustedMicroprice | None = None
        """What `fair_price: adjusted_microprice` looks up."""
        self._look_up_fair_price()
        self._ladder = Ladder(
            parameters.levels, parameters.level_step_bps, parameters.level_growth, parameters.level_size_ratio
        )
        self._behind = self._ladder.behind(order_lots)
        """Of each level but the inner one: how far beyond that, bps, and its full size, lots."""
        self.ladder_lots = order_lots + sum(lots for _, lots in self._behind)
        """All levels of a side at their full size."""
        self._seen: tuple[object, ...] = ()
        self._priced: Pricing | int = 0
        """What `_seen` came to."""
        self._grounds: tuple[object, ...] = ()
        self._depths: WantedDepths | int = 0
        """What `_grounds` came to."""
        self._inputs: ModelInputs | None = None
        self._curve: Curve | None = None
        self._tilt_bps = 0.0
        """Of `_curve`, within `max_skew_bps`."""

    def resize(self, order_lots: int, min_position_lots: int, max_position_lots: int) -> None:
        """Sizes have changed, the limits in proportion to the order, so that the model stays as it is. No lots: there
        is nothing to quote with.
        """
        self._size_lots, self._order_lots = order_lots, max(order_lots, 1)
        self._min_position_lots, self._max_position_lots = min_position_lots, max_position_lots
        self._behind = self._ladder.behind(order_lots) if order_lots else tuple((b, 0) for b, _ in self._behind)
        self.ladder_lots = order_lots + sum(lots for _, lots in self._behind)
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
        conditions = self.conditions
        return conditions.signals is not None and conditions.on_book(book, ts_local_ns)

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
        """The model's answer, remembered while the inputs stay, and its tilt with it. Raises DomainError."""
        if self._curve is None or (inputs is not self._inputs and inputs != self._inputs):
            curve = self.model.curve(inputs)
            self._tilt_bps = tilt_bps(inputs, curve, self._parameters.max_skew_bps)
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
            now_ns if self._by_the_clock or self.conditions.changing else None,
            None if self.adjusted is None else self.adjusted.table,
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
        moment = now_ns if self._by_the_clock or self.conditions.changing else None
        unadjusted = self.adjusted is not None and not self.adjusted.table
        grounds = position_lots, sigma, self.volatility.confidence, moment, unadjusted, guarded
        if grounds != self._grounds:
            self._grounds = grounds
            self._depths = self._wanted_depths(position_lots, sigma, now_ns, guarded)
        wanted = self._depths
        if isinstance(wanted, int):
            return wanted
        try:
            bids, asks = self._quotes(book, position_lots, guarded, fair, wanted)
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
        except DomainError:
            return _BAD_NUMBER
        bid_bps, ask_bps = half + centre, half - centre
        if used:
            bid_further, ask_further = conditions.inventory_widening(used, half)
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
            curve.tau_s,
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

    def _half_skew_centre(self, curve: Curve, depths: Depths, q: float, widening: float) -> tuple[float, float, float]:
        """Half-spread, skew and centre of a `Pricing`. Spread and skew are clamped apart, so that neither takes from
        the other (MODELS 0.3, step 3). Raises DomainError.
        """
        limits = self._parameters
        half, skew, most_skew, tilt = curve.half_bps, curve.skew_bps, self.max_skew_bps, self._tilt_bps
        bid_off, ask_off = inventory_offsets(depths, half, tilt, abs(q) * most_skew)
        if skew > most_skew:
            # The part of the spread that is for risk shrinks in proportion to the skew that is cut.
            half -= curve.risk_bps * (1.0 - most_skew / skew)
            skew = most_skew
        # Only what is asked for when flat: a wider part for inventory could raise a quote with a longer position.
        half = half * widening + 0.5 * (bid_off + ask_off)
        least, widest = limits.min_spread_bps * 0.5, limits.max_spread_bps * 0.5
        half = least if half < least else widest if half > widest else half
        return half, skew, tilt + 0.5 * (bid_off - ask_off)

    def _quotes(
        self, book: OrderBook, position_lots: int, guarded: Guarded, fair: float, wanted: WantedDepths
    ) -> tuple[tuple[SideQuote, ...], tuple[SideQuote, ...]]:
        """From depths to bids and asks: to where the touch and the guard let them stand, onto the grid and off the
        other side's best, into levels. Raises DomainError.
        """
        mid, best_bid, best_ask = book.half_ticks * 0.5, book.bid_ticks, book.ask_ticks
        bp = mid * BPS
        bid_bps, ask_bps = wanted.bid_bps, wanted.ask_bps
        bid_obstacles, ask_obstacles = wanted.bid_obstacles, wanted.ask_obstacles
        bid_raw, ask_raw = fair - bid_bps * bp, fair + ask_bps * bp
        if not self._parameters.improve_touch:
            bid_raw, ask_raw = min(bid_raw, float(best_bid)), max(ask_raw, float(best_ask))
            bid_bps, ask_bps = (fair - bid_raw) / bp, (ask_raw - fair) / bp
        bid_room, ask_room = self._max_position_lots - position_lots, position_lots - self._min_position_lots
        buys_back = sells_off = False
        if guarded.reasons:
            buys_back, sells_off = position_lots < 0, position_lots > 0
            bid_raw, ask_raw = _worked_off(position_lots, bid_raw, ask_raw, best_bid, best_ask)
            if buys_back:
                bid_bps, bid_room = (fair - bid_raw) / bp, min(bid_room, -position_lots)
            else:
                bid_obstacles |= guarded.reasons
            if sells_off:
                ask_bps, ask_room = (ask_raw - fair) / bp, min(ask_room, position_lots)
            else:
                ask_obstacles |= guarded.reasons
        bid, ask = round_quotes(bid_raw, ask_raw, best_bid, best_ask, self._round_bid, self._round_ask)
        bid_clamped = buys_back or bid_raw >= best_ask
        ask_clamped = sells_off or ask_raw <= bid or ask_raw <= best_bid
        if bid_clamped:
            bid_raw = float(bid)
        if ask_clamped:
            ask_raw = float(ask)
        frac = self._parameters.tolerance_frac
        bid_lots = ask_lots = self._size_lots
        if wanted.bid_size != wanted.ask_size:
            bid_lots, ask_lots = self._sized(bid_lots, wanted.bid_size), self._sized(ask_lots, wanted.ask_size)
        most = None if self.depth_cap is None else self.depth_cap.lots
        if most is not None:
            bid_lots, ask_lots = min(bid_lots, most[0]), min(ask_lots, most[1])
        bid_tolerance = tolerance_ticks(wanted.half_bps * bp, bid, frac)
        ask_tolerance = bid_tolerance if frac is None else tolerance_ticks(wanted.half_bps * bp, ask, frac)
        inner_bid = self._level(
            bid, bid_lots, bid_raw, bid_clamped, bid_tolerance, bid_bps, bid_room, bid_obstacles, mid
        )
        inner_ask = self._level(
            ask, ask_lots, ask_raw, ask_clamped, ask_tolerance, ask_bps, ask_room, ask_obstacles, mid
        )
        if not self._behind:
            return (inner_bid,), (inner_ask,)
        bid_most, ask_most = most or (_NO_CAP, _NO_CAP)
        return (
            (
                inner_bid,
                *self._levels_behind(_BUY, inner_bid, wanted.bid_size, bid_most, bid_bps, bid_room, bid_obstacles, mid),
            ),
            (
                inner_ask,
                *self._levels_behind(
                    _SELL, inner_ask, wanted.ask_size, ask_most, ask_bps, ask_room, ask_obstacles, mid
                ),
            ),
        )

    def _levels_behind(
        self,
        side: Side,
        inner: SideQuote,
        share: float,
        most_lots: int,
        depth_bps: float,
        room_lots: int,
        obstacles: int,
        mid_ticks: float,
    ) -> tuple[SideQuote, ...]:
        """The levels behind the inner one, each no larger than `most_lots`, which take the room that those before them
        left.
        """
        quotes = []
        before = inner
        for beyond_bps, size_lots in self._behind:
            room_lots -= before.lots
            raw = inner.raw_ticks - side * beyond_bps * (mid_ticks * BPS)
            ticks = self._round_bid(raw) if side is _BUY else self._round_ask(raw)
            merged = 0 if side * (before.ticks - ticks) > 0 else _LEVEL_MERGED
            before = self._level(
                ticks,
                min(self._sized(size_lots, share), most_lots),
                raw,
                False,
                inner.tolerance_ticks,
                depth_bps + beyond_bps,
                room_lots,
                obstacles | merged,
                mid_ticks,
            )
            quotes.append(before)
        return tuple(quotes)

    def _sized(self, lots: int, share: float) -> int:
        """A share of a full size, in lots, but no less than the venue's least order."""
        return lots if share == 1.0 else max(math.floor(lots * share), min(lots, self._min_lots))

    def _level(
        self,
        ticks: int,
        size_lots: int,
        raw: float,
        clamped: bool,
        tolerance: int,
        depth_bps: float,
        room_lots: int,
        obstacles: int,
        mid_ticks: float,
    ) -> SideQuote:
        most = self._max_tick_lots
        if most is not None and size_lots * ticks > most:
            size_lots = most // ticks
        lots = size_lots if size_lots < room_lots else room_lots
        if lots <= 0:
            lots = 0
            obstacles |= _MAX_POSITION if size_lots > 0 else _SIZE_BELOW_MIN
        elif lots < self._min_lots or lots * ticks < self._min_tick_lots:
            obstacles |= _SIZE_BELOW_MIN
        if abs(ticks - mid_ticks) > self._collar_share * mid_ticks or ticks <= 0:
            obstacles |= _PRICE_COLLAR
        return SideQuote(ticks, lots, lots < size_lots, raw, clamped, tolerance, obstacles, depth_bps)

    def _session_left_s(self, now_ns: int) -> float:
        length = self._parameters.session_s
        return length - (now_ns * _NS + self._session_phase_s) % length


def _worked_off(
    position_lots: int, bid_raw: float, ask_raw: float, best_bid: int, best_ask: int
) -> tuple[float, float]:
    """Prices in ticks while a position may only be reduced. The side that does stands next to the other side's best,
    where an order that must not take is the first to trade; the other one, withdrawn, is no better than the market.
    """
    if position_lots > 0:
        return min(bid_raw, float(best_bid)), min(ask_raw, best_bid + 1.0)
    if position_lots < 0:
        return max(bid_raw, best_ask - 1.0), max(ask_raw, float(best_ask))
    return min(bid_raw, float(best_bid)), max(ask_raw, float(best_ask))
