"""From a trusted book and an inventory to one bid and one ask: the pipeline of MODELS 0.3, in its order.

A `QuoteEngine` belongs to one instrument. It owns the volatility estimate and the model's coefficients, and is called
by the core at each full decision. It knows no orders: what is working at the venue is the core's business.
"""

import math

import msgspec

from mm_daemon.domain.book import OrderBook
from mm_daemon.domain.decisions import Reason
from mm_daemon.domain.errors import DomainError
from mm_daemon.domain.instrument import Instrument, grid_rounding
from mm_daemon.domain.rng import Rng
from mm_daemon.engine.models import avellaneda_stoikov, glft
from mm_daemon.engine.parameters import QuoteParameters
from mm_daemon.engine.rounding import round_quotes
from mm_daemon.engine.signals.microprice import microprice
from mm_daemon.engine.signals.volatility import EwmaVolatility
from mm_daemon.engine.tolerance import tolerance_ticks
from mm_daemon.engine.units import annual_vol_to_bps

_BPS = 1e-4
_NS = 1e-9
_PPM_PER_BPS = 100.0
_MAX_POSITION = Reason.MAX_POSITION.bit
_SIZE_BELOW_MIN = Reason.SIZE_BELOW_MIN.bit
_PRICE_COLLAR = Reason.PRICE_COLLAR.bit
_BAD_NUMBER = Reason.BAD_NUMBER.bit


class Spread(msgspec.Struct, frozen=True, gc=False):
    """What a model says at one volatility: half-spread when flat, shift per order held (both bps), and the horizon."""

    half_bps: float
    skew_bps: float
    tau_s: float | None


class SideQuote(msgspec.Struct, frozen=True, gc=False):
    """One side of a pricing. `tolerance_ticks`: how far a working quote may be too passive before it has to move;
    `obstacles`: withdraw reasons of this side as a mask, 0 when it may be quoted.
    """

    ticks: int
    lots: int
    raw_ticks: float
    clamped: bool
    tolerance_ticks: int
    obstacles: int


class Pricing(msgspec.Struct, frozen=True, gc=False):
    """Both sides and the numbers behind them. Prices in ticks, depths in bps; q in order sizes off the target."""

    mid_ticks: float
    fair_ticks: float
    sigma_bps: float
    q: float
    spread: Spread
    bid: SideQuote
    ask: SideQuote

    @property
    def reservation_ticks(self) -> float:
        """The price around which the quotes are centred: fair shifted against the inventory."""
        return self.fair_ticks - self.q * self.spread.skew_bps * _BPS * self.mid_ticks


class QuoteEngine:
    """Prices one instrument. Sizes and limits are in lots; `collar_bps` is the gate's, so that a target it would refuse
    is withdrawn with a reason instead of being refused again and again."""

    def __init__(
        self,
        instrument: Instrument,
        parameters: QuoteParameters,
        *,
        order_lots: int,
        min_position_lots: int,
        max_position_lots: int,
        collar_bps: float,
    ) -> None:
        self._parameters = parameters
        self._order_lots = order_lots
        self._min_position_lots = min_position_lots
        self._max_position_lots = max_position_lots
        self._collar_bps = collar_bps
        self._target_lots = parameters.target_position / float(instrument.lot)
        self._round_bid, self._round_ask = grid_rounding(instrument.grid)
        self._min_lots = instrument.min_lots
        # A product of ticks and lots below this is under the venue's notional minimum.
        unit = instrument.tick * instrument.lot * instrument.multiplier
        self._min_tick_lots = math.ceil(instrument.min_notional / unit)
        self._fee_bps = instrument.maker_fee_ppm / _PPM_PER_BPS if parameters.fees_in_model else 0.0
        self._grow_floor_bps = max(parameters.min_edge_bps, self._fee_bps)
        self._reduce_floor_bps = -parameters.max_give_bps
        self._use_microprice = parameters.fair_price == "microprice"
        self._prior_sigma_bps = annual_vol_to_bps(parameters.volatility)
        self.volatility = EwmaVolatility(parameters.volatility_half_life_s, parameters.volatility_step_ms)
        self._floor_tick_bps = 0.5 / (_BPS * math.sqrt(parameters.volatility_half_life_s))
        # Sessions of different symbols must not restart together, or all spreads jump at once (MODELS 1.4).
        self._session_phase_s = Rng(0).split(instrument.id).uniform() * parameters.session_s
        widest = max(abs(max_position_lots), abs(min_position_lots))
        self._max_skew_bps = parameters.max_skew_bps * order_lots / widest if widest else parameters.max_skew_bps
        self._by_the_clock = parameters.tau == "session"
        self._seen: tuple[float | None, ...] = ()
        self._priced: Pricing | int = 0
        """What `_seen` came to."""
        self._spread: Spread | None = None
        self._spread_sigma_bps = -1.0

    def observe(self, book: OrderBook, ts_local_ns: int) -> None:
        """A trusted book changed: let the estimators see the mid."""
        self.volatility.update(ts_local_ns, book.half_ticks * 0.5)

    def fair_ticks(self, book: OrderBook) -> float:
        """The reference price of a trusted book, in ticks: mid, or the size-weighted microprice."""
        if not self._use_microprice:
            return book.half_ticks * 0.5
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

    def spread(self, sigma_bps: float, now_ns: int) -> Spread:
        """The model's half-spread and skew, remembered while volatility stands still. Raises DomainError."""
        known = self._spread
        if known is not None and sigma_bps == self._spread_sigma_bps and not self._by_the_clock:
            return known
        parameters = self._parameters
        gamma, k, fee_bps = parameters.gamma, parameters.k, self._fee_bps
        intensity = glft.fee_adjusted_A(parameters.intensity, k, fee_bps)
        coefficients = glft.coefficients(intensity, k, gamma, sigma_bps)
        if parameters.model == "glft" or parameters.tau == "auto":
            # With its horizon chosen automatically Avellaneda-Stoikov is GLFT (MODELS 2.2).
            skew_bps, tau_s = coefficients.skew, coefficients.tau_star
        else:
            tau_s = self._session_left_s(now_ns) if isinstance(parameters.tau, str) else parameters.tau
            skew_bps = avellaneda_stoikov.skew(gamma, sigma_bps, tau_s)
        skew_bps = min(skew_bps, self._max_skew_bps)
        half_bps = fee_bps + coefficients.c1 + skew_bps * 0.5
        half_bps = min(max(half_bps, parameters.min_spread_bps * 0.5), parameters.max_spread_bps * 0.5)
        self._spread_sigma_bps = sigma_bps
        self._spread = spread = Spread(half_bps, skew_bps, tau_s)
        return spread

    def price(self, book: OrderBook, position_lots: int, now_ns: int) -> Pricing | int:
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
            now_ns if self._by_the_clock else None,
        )
        if seen != self._seen:
            self._seen = seen
            self._priced = self._price(book, position_lots, now_ns)
        return self._priced

    def _price(self, book: OrderBook, position_lots: int, now_ns: int) -> Pricing | int:
        mid = book.half_ticks * 0.5
        fair = self.fair_ticks(book)
        sigma = self.sigma_bps(mid)
        try:
            spread = self.spread(sigma, now_ns)
        except DomainError:
            return _BAD_NUMBER
        q = (position_lots - self._target_lots) / self._order_lots
        half, shift = spread.half_bps, q * spread.skew_bps
        bid_bps, ask_bps = half + shift, half - shift
        # The side that grows the inventory must earn its edge; the one that reduces it may give some away.
        least = self._grow_floor_bps if q >= 0 else self._reduce_floor_bps
        if bid_bps < least:
            bid_bps = least
        least = self._grow_floor_bps if q <= 0 else self._reduce_floor_bps
        if ask_bps < least:
            ask_bps = least
        bp = mid * _BPS
        bid_raw, ask_raw = fair - bid_bps * bp, fair + ask_bps * bp
        try:
            bid, ask = round_quotes(
                bid_raw, ask_raw, book.bid_ticks, book.ask_ticks, floor=self._round_bid, ceil=self._round_ask
            )
        except DomainError:
            return _BAD_NUMBER
        frac = self._parameters.tolerance_frac
        bid_tolerance = tolerance_ticks(half * bp, bid, frac)
        ask_tolerance = bid_tolerance if frac is None else tolerance_ticks(half * bp, ask, frac)
        bid_clamped = bid_raw >= book.ask_ticks
        ask_clamped = ask_raw <= bid or ask_raw <= book.bid_ticks
        bid_room = self._max_position_lots - position_lots
        ask_room = position_lots - self._min_position_lots
        return Pricing(
            mid,
            fair,
            sigma,
            q,
            spread,
            self._side(bid, bid_raw, bid_clamped, bid_tolerance, bid_bps, bid_room),
            self._side(ask, ask_raw, ask_clamped, ask_tolerance, ask_bps, ask_room),
        )

    def _side(
        self, ticks: int, raw: float, clamped: bool, tolerance: int, depth_bps: float, room_lots: int
    ) -> SideQuote:
        lots = self._order_lots
        obstacles = 0
        if lots > room_lots:
            lots = room_lots
        if lots <= 0:
            lots, obstacles = 0, _MAX_POSITION
        elif lots < self._min_lots or lots * ticks < self._min_tick_lots:
            obstacles = _SIZE_BELOW_MIN
        if depth_bps > self._collar_bps or ticks <= 0:
            obstacles |= _PRICE_COLLAR
        return SideQuote(ticks, lots, float(ticks) if clamped else raw, clamped, tolerance, obstacles)

    def _session_left_s(self, now_ns: int) -> float:
        length = self._parameters.session_s
        return length - (now_ns * _NS + self._session_phase_s) % length
