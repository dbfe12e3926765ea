"""Plays the market data of a configuration past the estimators, quoting nothing, and says what they found.

Markets do not know of each other here, so venues play one after the other, each from its own beginning.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import get_args

from mm_daemon.backtest.calibration import advice
from mm_daemon.backtest.calibration.intensity import IntensityFit, fit_intensity
from mm_daemon.backtest.calibration.report import (
    CalibrationReport,
    CoursePoint,
    FeeBreakEven,
    LiveEstimate,
    MarketCalibration,
    ShortVolatility,
    TouchSpread,
    Trades,
)
from mm_daemon.backtest.calibration.sample import MarketSample
from mm_daemon.backtest.calibration.volatility import VolatilityFit
from mm_daemon.backtest.calibration.yaml_block import suggested_block
from mm_daemon.backtest.sources import RecordedMarket, Source
from mm_daemon.backtest.venues import compose
from mm_daemon.config.schema import Config
from mm_daemon.core.parameters import CoreParameters, MarketParameters
from mm_daemon.domain.errors import DomainError, UsageError
from mm_daemon.domain.events import MarketEvent
from mm_daemon.domain.instrument import Venue
from mm_daemon.domain.spelling import did_you_mean
from mm_daemon.engine.costs import break_even
from mm_daemon.engine.units import BPS, YEAR_S, annual_vol_to_bps
from mm_daemon.ports.connector import CountsProblems, NotesDamage

_NS = 1_000_000_000
_PER_BP = 1e4
_PPM_PER_BP = 100.0
_MARKET_EVENTS = get_args(MarketEvent)
_CONFIGURED_MAX = 100.0
"""The largest annual volatility a configuration may have."""
_MINUTE_S = 60.0
_ENOUGH_S = 60.0
_FEW_ORDERS = 20.0
_CLEARLY = 1.01
_ALIKE = 1.3
"""Factor between two estimates of k from which they are told apart."""


def calibrate(config: Config, *, symbol: str | None = None, duration_s: float | None = None) -> CalibrationReport:
    """Calibrate the markets of a configuration, or the one called `symbol` (`BTC-USDT` or `sim:BTC-USDT`).

    Raises UsageError when there is no such market or the data would never end, ConfigError when a feed cannot be read.
    """
    parameters, sources = compose(config)
    return calibrate_sources(parameters, sources, symbol=symbol, duration_s=duration_s)


def calibrate_sources(
    parameters: CoreParameters,
    sources: Mapping[Venue, Source],
    *,
    symbol: str | None = None,
    duration_s: float | None = None,
) -> CalibrationReport:
    """The same with sources at hand."""
    wanted = _chosen(parameters, symbol)
    samples = {market.instrument.id: MarketSample(market) for market in wanted}
    problems: Counter[str] = Counter()
    notes: list[str] = []
    for venue in dict.fromkeys(market.instrument.venue for market in wanted):
        source = sources[venue]
        for event in _played(source, duration_s):
            sample = samples.get(event.instrument)
            if sample is not None:
                sample.on_event(event)
        if isinstance(source, RecordedMarket):
            if isinstance(source.feed, CountsProblems):
                problems.update(source.feed.problems)
            if isinstance(source.feed, NotesDamage):
                notes += source.feed.notes
    markets = tuple(_assessed(sample) for sample in samples.values())
    return CalibrationReport(
        markets=markets, problems=dict(problems), notes=tuple(notes), yaml=suggested_block(markets)
    )


def _chosen(parameters: CoreParameters, symbol: str | None) -> list[MarketParameters]:
    markets = [
        market
        for market in parameters.markets
        if symbol is None or symbol in (market.instrument.symbol, market.instrument.id)
    ]
    if not markets:
        names = [market.instrument.symbol for market in parameters.markets]
        known = did_you_mean(symbol or "", names) or f"; there are {', '.join(names)}"
        raise UsageError(f"--symbol {symbol}: no such market in the configuration{known}")
    return markets


def _played(source: Source, duration_s: float | None) -> Iterator[MarketEvent]:
    """A venue's market data from its beginning, for so much market time."""
    if isinstance(source, RecordedMarket):
        end_ns: float = math.inf
        for number, event in enumerate(source.feed.events()):
            if not number and duration_s is not None:
                end_ns = event.ts_local_ns + duration_s * _NS
            if event.ts_local_ns >= end_ns:
                return
            yield event
        return
    if duration_s is None:
        raise UsageError("an embedded market never ends: say how much market time to play with --duration")
    due_ns = source.next_deadline_ns()
    end_ns = (due_ns or 0) + duration_s * _NS
    while due_ns is not None and due_ns < end_ns:
        for said in source.advance(due_ns):
            if isinstance(said, _MARKET_EVENTS):
                yield said
        due_ns = source.next_deadline_ns()


def _assessed(sample: MarketSample) -> MarketCalibration:
    """All that follows from one market's sample."""
    sample.finish()
    market = sample.parameters
    instrument, seconds = market.instrument, sample.observed_s
    volatility = sample.volatility.fit()
    touch = None
    mean_mid = sample.mid_tick_s / seconds if seconds > 0.0 else sample.mid_ticks
    if seconds > 0.0:
        touch = TouchSpread(ticks=sample.spread_tick_s / seconds, bps=sample.spread_bps_s / seconds)
    tick_bps = _PER_BP / mean_mid if mean_mid else 0.0
    half_touch_bps = 0.5 * touch.bps if touch is not None else 0.0
    fee_bps = instrument.maker_fee_ppm / _PPM_PER_BP
    even = break_even(float(instrument.tick) * (mean_mid or 1.0), fee_bps * BPS, 0.0, 0.0)
    fees = FeeBreakEven(half_spread_bps=0.5 * even.spread_bps, spread_bps=even.spread_bps)
    fit, buys, sells = (
        fit_intensity(depths, sample.exposure, tick_bps=tick_bps, sides=sides)
        for depths, sides in ((sample.both, 2), (sample.buys, 1), (sample.sells, 1))
    )
    rate_error = sample.rate.standard_error
    warnings = _warnings(sample, volatility, fit)
    suggestion, quotes = _suggested(sample, volatility, fit, half_touch_bps, tick_bps, fees, warnings)
    return MarketCalibration(
        market=instrument.id,
        venue=instrument.venue,
        symbol=instrument.symbol,
        base=instrument.base,
        order_size=instrument.size(market.order_lots),
        max_position=instrument.size(market.limits.max_position_lots),
        min_position=instrument.size(market.limits.min_position_lots),
        seconds=0.0 if sample.first_ns is None else (sample.last_ns - sample.first_ns) / _NS,
        until_ns=sample.last_ns,
        observed_s=seconds,
        mid=None if mean_mid is None else float(instrument.tick) * mean_mid,
        volatility=volatility,
        annual_volatility=None if volatility is None else _annual(volatility.sigma_bps),
        plain_volatility=sample.volatility.plain_fit(),
        short_volatility=_short(sample),
        touch_spread=touch,
        trades=Trades(
            prints=sample.prints,
            orders=sample.orders,
            orders_per_minute=None if sample.rate.value is None else _MINUTE_S * sample.rate.value,
            orders_per_minute_error=None if rate_error is None else _MINUTE_S * rate_error,
            mean_size=float(instrument.lot) * sample.order_lots / sample.orders if sample.orders else None,
            as_large_as_ours=sample.both.orders,
        ),
        fit=fit,
        buys=buys,
        sells=sells,
        live=_live(sample),
        break_even=fees,
        glft=quotes,
        suggestion=suggestion,
        dropped=sample.dropped,
        warnings=tuple(warnings),
    )


def _warnings(sample: MarketSample, volatility: VolatilityFit | None, fit: IntensityFit) -> list[str]:
    warnings: list[str] = []
    if sample.first_ns is None:
        warnings.append("no market data came: nothing was measured")
    elif not sample.observed_s:
        warnings.append("the book never had two sides that could be trusted: nothing was measured")
    elif sample.observed_s < _ENOUGH_S:
        warnings.append(f"{sample.observed_s:.0f} s of data are too few for any of these figures to mean much")
    if sample.silent_s:
        warnings.append(f"the feed was silent for {sample.silent_s:.0f} s in all, which were not counted")
    if volatility is not None and volatility.jump_bps is not None:
        warnings.append(
            f"one move of {volatility.jump_bps:+.4g} bps is {volatility.jump_share:.0%} of the variance; without it "
            f"sigma is {volatility.usual_bps:.3g} bps/sqrt(s), and that is what the suggestion is made of"
        )
    if fit.refused is None and fit.n_eff < _FEW_ORDERS:
        warnings.append(
            f"k is known to ± {1.0 / math.sqrt(fit.n_eff):.0%} only: the {fit.orders:,} orders that came so far are "
            f"worth {fit.n_eff:.0f} independent ones; play more data"
        )
    if fit.refused is None and fit.k and fit.k_regression and not 1 / _ALIKE < fit.k / fit.k_regression < _ALIKE:
        warnings.append(
            f"not quite exponential: k is {fit.k:.3g} by likelihood, which near orders decide, and "
            f"{fit.k_regression:.3g} by regression, which far ones do; look at --plot"
        )
    if fit.refused is not None and sample.observed_s:
        warnings.append(f"A and k: {fit.refused}; the suggestion is wide and safe instead")
    return warnings


def _suggested(
    sample: MarketSample,
    volatility: VolatilityFit | None,
    fit: IntensityFit,
    half_touch_bps: float,
    tick_bps: float,
    fees: FeeBreakEven,
    warnings: list[str],
) -> tuple[advice.Suggestion, advice.GlftAdvice | None]:
    """Keys for the configuration, and what GLFT quotes with exactly these."""
    market = sample.parameters
    quoting = market.quoting
    fee_bps = fees.half_spread_bps if quoting.fees_in_model else 0.0
    prior = annual_vol_to_bps(quoting.volatility)
    # The daemon does not believe in a market that stands still either (MODELS 6.1).
    least_sigma = 0.5 * tick_bps / math.sqrt(quoting.volatility_half_life_s)
    sigma = prior if volatility is None else max(volatility.usual_bps, least_sigma)
    if sample.observed_s < _ENOUGH_S:
        sigma = max(sigma, prior)
    wide = fit.refused is not None or fit.A is None or fit.k is None
    least_half_bps = max(half_touch_bps, 0.5 * tick_bps)
    min_spread_bps = max_spread_bps = None
    if wide:
        half_bps = advice.safe_half_spread_bps(half_touch_bps, fees.half_spread_bps, sigma)
        seconds = sample.both.rate.x
        A, k = advice.safe_intensity(half_bps, fee_bps, 0.5 * sample.both.orders / seconds if seconds else None)
        min_spread_bps = advice.rounded(2.0 * half_bps, up=True)
        least_half_bps = half_bps
    else:
        assert fit.A is not None and fit.k is not None
        A, k = fit.A, fit.k
    A, k = advice.rounded(A), advice.rounded(k)
    gamma = advice.rounded(advice.gamma_for_skew(market, fee_bps, A, k, sigma, least_half_bps))
    quotes = None
    try:
        quotes = advice.quotes(market, fee_bps, gamma, A, k, sigma)
    except DomainError as error:
        warnings.append(f"GLFT has no quote for these: {error}")
    spread_bps = max(2.0 * quotes.half_spread_bps if quotes is not None else 0.0, min_spread_bps or 0.0)
    if spread_bps > quoting.max_spread_bps:
        max_spread_bps = advice.rounded(1.5 * spread_bps, up=True)
        warnings.append(f"max_spread_bps is {quoting.max_spread_bps:g}: the model's spread would be cut to that")
    if quotes is not None and quotes.shift_at_limit_bps > _CLEARLY * quoting.max_skew_bps:
        warnings.append(f"max_skew_bps is {quoting.max_skew_bps:g}: the model's skew at the limit would be cut to that")
    suggestion = advice.Suggestion(
        gamma=gamma,
        k=k,
        intensity=A,
        volatility=min(advice.rounded(_annual(sigma)), _CONFIGURED_MAX),
        min_spread_bps=min_spread_bps,
        max_spread_bps=max_spread_bps,
        wide=wide,
    )
    return suggestion, quotes


def _short(sample: MarketSample) -> ShortVolatility | None:
    """Against the whole sample by the same estimator, single steps of one clock, so that noise is in both."""
    points, first_ns = sample.course.points, sample.first_ns
    last, plain = sample.short_volatility.sigma_bps, sample.volatility.plain_fit()
    if plain is None or not plain.sigma_bps or last is None or not points or first_ns is None:
        return None
    usual = plain.sigma_bps
    values = [sigma for _, sigma in points]
    return ShortVolatility(
        half_life_s=sample.short_volatility.half_life_s,
        ratio=last / usual,
        lowest_ratio=min(values) / usual,
        highest_ratio=max(values) / usual,
        course=tuple(CoursePoint((ts_ns - first_ns) / _NS, sigma) for ts_ns, sigma in points),
    )


def _live(sample: MarketSample) -> LiveEstimate:
    live = sample.live
    return LiveEstimate(
        half_life_s=sample.live_half_life_s,
        A=live.A,
        k=live.k,
        n_eff=live.n_eff,
        r2=live.r2,
        confidence=live.confidence,
        refused=live.refused,
    )


def _annual(sigma_bps: float) -> float:
    return sigma_bps * BPS * math.sqrt(YEAR_S)
