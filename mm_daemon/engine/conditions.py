"""What a market's estimators and overlays say about its quotes now (MODELS 6 and 7), beside model and inventory.

A `Conditions` belongs to one `QuoteEngine`. It measures what the configuration makes use of and nothing else, so that
what is switched off costs nothing. Each influence enters at one place: intensity and gamma are inputs of the model,
shifts move both quotes, widenings multiply the half-spread or a side's depth, obstacles take a side away.
"""

import math

import msgspec

from mm_daemon.domain.book import OrderBook
from mm_daemon.domain.decisions import Doubt, Reason
from mm_daemon.domain.events import FundingUpdate, PublicTrade
from mm_daemon.domain.instrument import Instrument
from mm_daemon.domain.orders import Side
from mm_daemon.domain.signal_states import OverlaysState, PullState, SignalsState
from mm_daemon.engine.costs import quotes_begin_bps
from mm_daemon.engine.models.short_term_alpha import alpha_shift_glft
from mm_daemon.engine.overlays.adverse_selection import AdverseSelectionPull
from mm_daemon.engine.overlays.shifts import clamped, funding_shift, momentum_shift
from mm_daemon.engine.overlays.soft_limits import ToxicityLimits, VolatilityLimits
from mm_daemon.engine.overlays.trading_hours import Interval, TradingHours
from mm_daemon.engine.parameters import QuoteParameters, WarmStart
from mm_daemon.engine.signals.fill_intensity import FillIntensity
from mm_daemon.engine.signals.market_signals import MarketSignals, SignalParameters
from mm_daemon.engine.sizing import impact_lots
from mm_daemon.engine.toxic_flow import ToxicFlow
from mm_daemon.engine.units import annual_vol_to_bps

_BUY, _SELL = Side.BUY, Side.SELL
_TOXIC = Reason.TOXIC_FLOW.bit
_CLOSED = Reason.SESSION_CLOSED.bit
_MAX_POSITION = Reason.MAX_POSITION.bit
_RATE_UNITS = 1e-12
_NS = 1e-9
_MINUTE_NS = 60_000_000_000
_MAX_PULL_TIMES = 16
_ABRUPT = 0.999
"""Share of the volatility to stop at from which quotes widen where nobody said from when."""
_LN2 = math.log(2.0)
_SAME_SHARE, _SAME_BPS = 0.02, 0.01
"""An impact that differs by less is the same, so that models need not be solved anew for it (MODELS 2.1)."""
_MAX_AGE = 64.0
"""Half-lives that stand for an age that is not known."""
_SURE = 0.6
"""Confidence in a fit from which on it counts as known: that of a hundred orders that are nearly exponential."""
_NO_DOUBTS: tuple[Doubt, ...] = ()
_CERTAIN = (1.0, _NO_DOUBTS)


class Intensity(msgspec.Struct, frozen=True, gc=False):
    """Takers' orders a second at distance zero that lift our ask and that hit our bid, and their decay, 1/bps."""

    A_buy: float
    A_sell: float
    k: float


class Conditions:
    """`signals` is None where nothing in the configuration asks for an estimate. `impact_bps` is what was last added to
    the expected adverse move.
    """

    __slots__ = (
        "_flow_zeta",
        "_freshness",
        "_hours",
        "_kyle_value",
        "_largest_lots",
        "_largest_of",
        "_made_of",
        "_max_lots",
        "_min_lots",
        "_order_lots",
        "_pull",
        "_quoting",
        "_resume_ns",
        "_toxic_flow",
        "_toxicity",
        "_unit",
        "_volatility",
        "_warm",
        "changing",
        "configured",
        "funding",
        "impact_bps",
        "shifts",
        "signals",
        "timed",
    )

    def __init__(
        self,
        instrument: Instrument,
        quoting: QuoteParameters,
        *,
        order_lots: int,
        min_position_lots: int,
        max_position_lots: int,
        k: float,
        warm: WarmStart | None = None,
    ) -> None:
        """`k`: the configured decay, or what was solved from a half-spread; `warm`: what holds in its place until the
        market has been measured, where that is asked for. Raises DomainError for limits that contradict each other.
        """
        self._quoting = quoting
        self._warm = warm
        self._freshness: float | None = None
        """Of `warm`, when this life began to quote."""
        if warm is not None and quoting.calibration == "market":
            k = warm.k
        self.configured = Intensity(quoting.intensity, quoting.intensity, k)
        """What holds until the market has been measured."""
        from_bps = quoting.calibration_from_bps
        parameters = SignalParameters(
            intensity_s=quoting.calibration_half_life_s,
            intensity_d0_bps=quotes_begin_bps(instrument, quoting) if from_bps is None else from_bps,
            outlier_z=quoting.toxic_trade_z,
            vpin_bucket=quoting.vpin_bucket,
        )
        self._flow_zeta = _LN2 / parameters.order_flow_s
        unit = float(instrument.tick * instrument.lot * instrument.multiplier)
        self._made_of = parameters, unit
        self.signals = (
            MarketSignals(parameters, order_lots=order_lots, quote_per_tick_lot=unit) if _estimates(quoting) else None
        )
        cool_down_ms = quoting.toxic_cool_down_ms
        self._pull = AdverseSelectionPull(cool_down_ms, _MAX_PULL_TIMES * cool_down_ms) if cool_down_ms else None
        self._toxic_flow = None if self._pull is None else ToxicFlow(self._pull, quoting)
        self._toxicity = _toxicity_limits(quoting)
        self._unit, self._order_lots = unit, order_lots
        self._kyle_value: float | None = None
        self.impact_bps = 0.0
        self._largest_of: float | None = None
        """The lambda that `_largest_lots` was worked out from."""
        self._largest_lots: int | None = None
        hours = _intervals(quoting.sessions), _intervals(quoting.blackouts)
        self._hours = TradingHours(*hours) if any(hours) else None
        self._volatility = _volatility_limits(quoting)
        self._resume_ns: int | None = None
        """Until when a stop that an earlier life left stands, whatever volatility seems to be; -1: not known yet."""
        self._max_lots, self._min_lots = max_position_lots, min_position_lots
        self.funding: FundingUpdate | None = None
        """What was last said of it."""
        self.shifts = bool(quoting.momentum_beta or quoting.flow_beta_bps)
        """Whether anything may move both quotes off the fair price."""
        self.timed = self._hours is not None or self._pull is not None
        """Whether obstacles may change by themselves."""
        self.changing = _moves_depths(quoting) or self._hours is not None
        """Whether anything but book, position and volatility may change the quotes between two pricings."""

    def resize(self, order_lots: int, min_position_lots: int, max_position_lots: int) -> None:
        """Our order size and the position limits have changed."""
        self._order_lots = order_lots
        self._max_lots, self._min_lots = max_position_lots, min_position_lots

    def begin(self, order_lots: int) -> None:
        """Our order size is known only now: estimators that compare others' orders with it begin anew."""
        if self.signals is not None:
            parameters, unit = self._made_of
            self.signals = MarketSignals(parameters, order_lots=order_lots, quote_per_tick_lot=unit)

    # What happens in the market.

    def on_book(self, book: OrderBook, ts_local_ns: int) -> bool:
        """A trusted book changed. Returns whether a side is pulled for it, which cannot wait."""
        if self.signals is None:
            return False
        self.signals.on_book(ts_local_ns, book.bid_ticks, book.bid_lots, book.ask_ticks, book.ask_lots)
        return self._toxic_flow is not None and self._toxic_flow.look(self.signals, book, ts_local_ns)

    def on_trade(self, trade: PublicTrade) -> None:
        if self.signals is not None:
            buy = trade.aggressor is _BUY
            self.signals.on_trade(trade.ts_local_ns, trade.ts_venue_ns, buy, trade.ticks, trade.lots)

    def on_funding(self, update: FundingUpdate) -> None:
        self.funding = update
        self.changing = True
        self.shifts = self.shifts or self._quoting.funding_shift

    def lose_book(self) -> None:
        if self.signals is not None:
            self.signals.lose_book()

    def lose_clock(self, back_ns: int) -> None:
        """Time begins anew, `back_ns` earlier."""
        if self.signals is not None:
            self.signals.lose_clock()
        if self._pull is not None:
            self._pull.shift(-back_ns)

    def state(self) -> SignalsState | None:
        return None if self.signals is None else self.signals.state()

    def restore(self, state: SignalsState | None) -> None:
        """Go on from what an earlier life has learned, where this one still asks for it."""
        if state is not None and self.signals is not None:
            self.signals.restore(state)
            if self._toxic_flow is not None:
                self._toxic_flow.buckets = self.signals.vpin.full

    def overlays(self) -> OverlaysState:
        """What runs or stands by itself, whatever the estimators say."""
        stopped = self._volatility is not None and self._volatility.stopped
        return OverlaysState(None if self._pull is None else self._pull.state(), stopped)

    def restore_overlays(self, state: OverlaysState) -> None:
        """Go on from what an earlier life left, where this one still asks for it."""
        if state.pull is not None and self._pull is not None:
            self._pull.restore(state.pull)
        self._restore_stop(state.volatility_stopped)

    def pulled(self) -> PullState | None:
        """Until when sides are or were pulled; None when none ever was."""
        return None if self._pull is None or not self._pull.tripped else self._pull.state()

    def relive(self, pulled: PullState | None, stopped: bool | None) -> None:
        """What an earlier life wrote down with a decision: `pulled` as it was then; None: nothing is known of it."""
        if pulled is not None and self._pull is not None:
            self._pull.restore(pulled)
        if stopped is not None:
            self._restore_stop(stopped)

    def _restore_stop(self, stopped: bool) -> None:
        """What stopped an earlier life holds for a while, as this one does not know the market of now."""
        if self._volatility is not None:
            self._volatility.restore(stopped)
            self._resume_ns = -1 if stopped else None
            self.changing, self.timed = self.changing or stopped, self.timed or stopped

    # What it means for the quotes.

    def intensity(self) -> Intensity:
        """As measured once a fit was good, else as configured."""
        if self.signals is not None and self._quoting.calibration == "market":
            measured = self.signals.intensity
            if measured.A_buy and measured.A_sell and measured.k:
                return Intensity(measured.A_buy, measured.A_sell, measured.k)
        return self.configured

    def gamma(self, gamma: float) -> float:
        """Risk aversion as volatility now compares with volatility as usual."""
        quoting = self._quoting
        if self.signals is None or not quoting.regime_power:
            return gamma
        return self.signals.regime.gamma(gamma, quoting.regime_power, quoting.regime_min, quoting.regime_max)

    def shift_bps(self, sigma_bps: float, tau_s: float | None, now_ns: int) -> float:
        """How far both quotes move off the fair price, upwards positive. Raises DomainError."""
        tau_s = self.horizon_s(tau_s)
        if tau_s is None:
            return 0.0
        shift = self.momentum_bps(sigma_bps, tau_s) + self.flow_bps(tau_s) + self.funding_bps(tau_s, now_ns)
        return clamped(shift, self._quoting.max_shift_bps) if shift else 0.0

    def horizon_s(self, tau_s: float | None) -> float | None:
        """Over which time shifts are counted: as configured, else the model's own."""
        return self._quoting.shift_horizon_s or tau_s

    def momentum_bps(self, sigma_bps: float, tau_s: float) -> float:
        """The shift by momentum, within the largest shift. Raises DomainError, as the next two."""
        quoting = self._quoting
        if self.signals is None or not quoting.momentum_beta:
            return 0.0
        score = self.signals.momentum.score(sigma_bps)
        return momentum_shift(score, quoting.momentum_beta, sigma_bps, tau_s, quoting.max_shift_bps)

    def flow_bps(self, tau_s: float) -> float:
        """The shift by order-flow imbalance, without a bound."""
        quoting = self._quoting
        if self.signals is None or not quoting.flow_beta_bps:
            return 0.0
        flow = self.signals.order_flow.value
        return 0.0 if flow is None else alpha_shift_glft(quoting.flow_beta_bps * flow, self._flow_zeta, tau_s)

    def funding_bps(self, tau_s: float, now_ns: int) -> float:
        """The shift by funding that is still to be paid, without a bound."""
        funding = self.funding
        if funding is None or not self._quoting.funding_shift or funding.period_ns <= 0:
            return 0.0
        return _funding_bps(funding, tau_s, now_ns)

    def adverse_bps(self) -> float:
        """What Kyle's lambda adds to the expected adverse move of a fill: how far an order of ours moves the mid, times
        `impact_times`, within `max_impact_bps`; nothing while lambda is not known (MODELS 6.7).
        """
        quoting = self._quoting
        if self.signals is None or not quoting.impact_times:
            return 0.0
        kyle = self.signals.kyle
        if kyle.value != self._kyle_value and kyle.half_ticks:
            self._kyle_value = kyle.value
            order = self._order_lots * 0.5 * kyle.half_ticks * self._unit
            impact = quoting.impact_times * (kyle.impact_bps(order) or 0.0)
            impact = min(impact, quoting.max_impact_bps) if impact > 0.0 else 0.0
            if not abs(impact - self.impact_bps) <= _SAME_BPS + _SAME_SHARE * self.impact_bps:
                self.impact_bps = impact
        return self.impact_bps

    def largest_lots(self) -> int | None:
        """The largest order by `size_impact_bps`; None: there is no such bound, or lambda is not known."""
        most_bps = self._quoting.size_impact_bps
        if self.signals is None or most_bps is None:
            return None
        kyle = self.signals.kyle
        if kyle.value != self._largest_of and kyle.half_ticks:
            self._largest_of = kyle.value
            self._largest_lots = impact_lots(most_bps, kyle.impact_bps(0.5 * kyle.half_ticks * self._unit))
        return self._largest_lots

    def confidence(self, in_volatility: float, now_ns: int) -> tuple[float, tuple[Doubt, ...]]:
        """How much of what the quotes rest on is known, 0 to 1, and what is not. `in_volatility`: of the estimate."""
        warm = 0.0 if self._warm is None else self._warm_freshness(self._warm, now_ns)
        sure = max(_share(in_volatility), warm)
        doubts = (Doubt.VOLATILITY_WARMING,) if sure < 1.0 else _NO_DOUBTS
        quoting = self._quoting
        if self.signals is not None:
            if quoting.calibration == "market":
                known, doubt = self._in_intensity(self.signals.intensity, warm, now_ns)
                sure = min(sure, known)
                if doubt is not None:
                    doubts = (*doubts, doubt)
            if quoting.fair_price == "adjusted_microprice" and not self.signals.microprice.table:
                doubts = (*doubts, Doubt.MICROPRICE_WARMING)
        return (sure, doubts) if doubts else _CERTAIN

    def _in_intensity(self, fit: FillIntensity, warm: float, now_ns: int) -> tuple[float, Doubt | None]:
        """Confidence in A and k as they are used, and why it is not whole."""
        if not (fit.A_buy and fit.A_sell and fit.k):
            known = 0.0 if self._warm is None else _share(self._warm.confidence / _SURE) * warm
            return known, Doubt.INTENSITY_WARMING
        known, doubt = _share(fit.confidence / _SURE), Doubt.INTENSITY_POOR
        age_s = fit.age_s(now_ns)
        half_lives = _MAX_AGE if age_s is None else age_s / self._quoting.calibration_half_life_s
        if half_lives > 1.0:
            known, doubt = known * math.exp2(1.0 - half_lives), Doubt.INTENSITY_OLD
        return known, doubt if known < 1.0 else None

    def _warm_freshness(self, warm: WarmStart, now_ns: int) -> float:
        if self._freshness is None:
            self._freshness = warm.freshness(now_ns)
        return self._freshness

    def used(self, position_lots: int) -> float:
        """The share of its limit that a position takes, negative when short; infinite where there is no limit left."""
        if not position_lots:
            return 0.0
        limit = self._max_lots if position_lots > 0 else -self._min_lots
        return position_lots / limit if limit > 0 else math.copysign(math.inf, position_lots)

    def widening(self, sigma_bps: float, now_ns: int = 0) -> float | None:
        """By what to multiply the half-spread; None: the market is too wild to quote in. What stopped an earlier life
        stands for a half-life of the volatility, in which that is measured anew.
        """
        if self._volatility is None:
            return 1.0
        if self._resume_ns is not None:
            if self._resume_ns < 0:
                self._resume_ns = now_ns + int(self._quoting.volatility_half_life_s / _NS)
            if now_ns < self._resume_ns:
                return None
            self._resume_ns = None
        return self._volatility.judge(sigma_bps)

    def toxic_widening(self) -> float:
        """The same by VPIN."""
        if self._toxicity is None or self.signals is None:
            return 1.0
        return self._toxicity.judge(self.signals.vpin.value)

    def inventory_widening(self, used: float, half_bps: float) -> tuple[float, float]:
        """How much further bid and ask stand away at this share of the limit, bps: only the side that would grow the
        position, as the other one is wanted to trade.
        """
        widen_at = self._quoting.inventory_widen_at
        if -widen_at <= used <= widen_at:
            return 0.0, 0.0
        further = (self._quoting.inventory_widening - 1.0) * half_bps
        return (further, 0.0) if used > 0 else (0.0, further)

    def sizes(self, used: float) -> tuple[float, float]:
        """What bid and ask may have of their full size at this share of the limit: the side that grows it gets less."""
        size_skew = self._quoting.size_skew
        if not used or not size_skew:
            return 1.0, 1.0
        smaller = 1.0 - size_skew * min(abs(used), 1.0)
        return (smaller, 1.0) if used > 0 else (1.0, smaller)

    def obstacles(self, used: float, now_ns: int) -> tuple[int, int]:
        """Withdraw reasons of bid and ask at this share of the limit, as masks."""
        bid = ask = 0
        if self._hours is not None and not self._hours.open_at(now_ns):
            bid = ask = _CLOSED
        if self._pull is not None:
            if self._pull.pulled(_BUY, now_ns):
                bid |= _TOXIC
            if self._pull.pulled(_SELL, now_ns):
                ask |= _TOXIC
        if used:
            skip_at = self._quoting.inventory_skip_at
            if used > skip_at:
                bid |= _MAX_POSITION
            elif used < -skip_at:
                ask |= _MAX_POSITION
        return bid, ask

    def next_change_ns(self, now_ns: int) -> int | None:
        """When obstacles change by themselves, where they are `timed`; None: not as things are."""
        changes = (
            None if self._hours is None else self._hours.next_change_ns(now_ns),
            None if self._pull is None else self._pull.next_expiry_ns(now_ns),
            None if self._resume_ns is None or self._resume_ns <= now_ns else self._resume_ns,
        )
        return min((change for change in changes if change is not None), default=None)


def _share(number: float) -> float:
    """Within 0 and 1; what is no number is nothing."""
    return min(number, 1.0) if number > 0.0 else 0.0


def _estimates(quoting: QuoteParameters) -> bool:
    return (
        _moves_depths(quoting)
        or quoting.fair_price == "adjusted_microprice"
        or quoting.decide_interval_min_ms is not None
        or quoting.size_impact_bps is not None
    )


def _moves_depths(quoting: QuoteParameters) -> bool:
    """Whether a signal has a say in how far from the fair price both quotes are, or whether."""
    return bool(
        quoting.calibration == "market"
        or quoting.regime_power
        or quoting.momentum_beta
        or quoting.flow_beta_bps
        or quoting.toxic_cool_down_ms
        or quoting.toxic_vpin_widen is not None
        or quoting.impact_times
    )


def _volatility_limits(quoting: QuoteParameters) -> VolatilityLimits | None:
    if quoting.volatility_stop is None:
        return None
    stop_bps = annual_vol_to_bps(quoting.volatility_stop)
    widen = quoting.volatility_widen
    widen_bps = _ABRUPT * stop_bps if widen is None else annual_vol_to_bps(widen)
    return VolatilityLimits(widen_bps, stop_bps, quoting.volatility_widening)


def _toxicity_limits(quoting: QuoteParameters) -> ToxicityLimits | None:
    if quoting.toxic_vpin_widen is None:
        return None
    most = 1.0 if quoting.toxic_vpin is None else quoting.toxic_vpin
    return ToxicityLimits(quoting.toxic_vpin_widen, most, quoting.toxic_vpin_widening)


def _funding_bps(funding: FundingUpdate, tau_s: float, now_ns: int) -> float:
    left_s = max(funding.next_ns - now_ns, 0) * _NS
    return funding_shift(1e4, funding.rate_e12 * _RATE_UNITS, left_s, funding.period_ns * _NS, tau_s)


def _intervals(hours: tuple[str, ...]) -> tuple[Interval, ...]:
    return tuple((_time(text[:5]), _time(text[6:])) for text in hours)


def _time(text: str) -> int:
    """`HH:MM` as nanoseconds of the day."""
    return (int(text[:2]) * 60 + int(text[3:])) * _MINUTE_NS
