"""Calibration over many seeds: it finds what the market was made of, and its standard errors are honest.

The synthetic market's sigma, A and k are exact (`tests/synthetic_market.py`). The embedded market's flow has no A and
k: how far its takers get is decided by the sizes that rest in its book and by the slippage they accept. Of it the
volatility of the fair price and the rate of takers are known, where nothing but chance moves it.
"""

from collections.abc import Callable, Sequence
from functools import cache

import pytest

from mm_daemon.backtest.calibration.calibrate import calibrate_sources
from mm_daemon.backtest.calibration.intensity import IntensityFit
from mm_daemon.backtest.calibration.report import MarketCalibration
from mm_daemon.domain.instrument import Venue
from mm_daemon.engine.units import annual_vol_to_bps
from mm_daemon.simulation.embedded import EmbeddedMarket, EmbeddedSettings
from mm_daemon.simulation.symbols import SymbolSettings, build_symbol
from mm_daemon.testkit.builders import core_parameters, market
from tests.synthetic_market import SyntheticFeed, measured

SIM = Venue("sim")
SIGMA, A, K = 0.9, 1.2, 0.5
FEW, ALL = range(1, 4), range(1, 21)
SEEDS = pytest.mark.parametrize(
    "seeds", [pytest.param(FEW, id="3 seeds"), pytest.param(ALL, id="20 seeds", marks=pytest.mark.slow)]
)
MOST = 3.0
"""Standard errors that an estimate may be off."""


@cache
def exact(seed: int) -> MarketCalibration:
    """Half an hour on a fine grid."""
    feed = SyntheticFeed(seed, seconds=1800, sigma_bps=SIGMA, A=A, k=K, tick=0.01)
    return measured(feed, tick="0.01")


@cache
def coarse(seed: int) -> MarketCalibration:
    """Half an hour on a grid of one bp, where depths are whole steps: an uncorrected k would be a fifth too small."""
    return measured(SyntheticFeed(seed, seconds=1800, sigma_bps=0.2, A=A, k=K, half_bps=0.0, tick=6.0), tick="6")


@cache
def bursts(seed: int) -> MarketCalibration:
    """An hour in which orders come five at a time."""
    feed = SyntheticFeed(seed, seconds=3600, sigma_bps=SIGMA, A=A, k=K, tick=0.01, burst=5.0, step_s=0.2)
    return measured(feed, tick="0.01")


@cache
def embedded(seed: int) -> MarketCalibration:
    """Half an hour of an embedded market: nobody knows more, trades move nothing, volatility stands still."""
    settings = SymbolSettings(
        volatility=0.5, volatility_dispersion=0.0, news_lag_ms=1.0, impact_bps=0.0, informed_share=0.0
    )
    symbol = build_symbol(SIM, "BTC-USDT", settings)
    venue = EmbeddedMarket(SIM, [symbol], EmbeddedSettings(seed=seed))
    parameters = core_parameters(market(symbol.instrument, order_lots=1))
    return calibrate_sources(parameters, {SIM: venue}, duration_s=1800).markets[0]


def check(scores: Sequence[float], most: float = MOST) -> None:
    """Each estimate within `most` of its standard errors; over many seeds these are neither too small nor too large."""
    assert max(map(abs, scores)) < most, scores
    if len(scores) >= 20:
        assert 0.4 < (sum(score * score for score in scores) / len(scores)) ** 0.5 < 1.5, scores


def k_score(fit: IntensityFit) -> float:
    assert fit.refused is None and fit.k is not None and fit.k_error is not None
    return (fit.k - K) / fit.k_error


def A_score(fit: IntensityFit) -> float:
    assert fit.A is not None and fit.A_error is not None
    return (fit.A - A) / fit.A_error


SIDES: list[Callable[[MarketCalibration], IntensityFit]] = [lambda m: m.fit, lambda m: m.buys, lambda m: m.sells]


@SEEDS
def test_truth_is_recovered(seeds: range) -> None:
    """Sigma in bps per square root of a second; A and k of both sides together and of each."""
    fits = [fit for seed in seeds if (fit := exact(seed).volatility) is not None]
    assert len(fits) == len(seeds)
    check([(fit.sigma_bps - SIGMA) / fit.standard_error_bps for fit in fits])
    for side in SIDES:
        check([k_score(side(exact(seed))) for seed in seeds])
        check([A_score(side(exact(seed))) for seed in seeds])


@SEEDS
@pytest.mark.parametrize("history", [coarse, bursts], ids=["coarse grid", "bursts"])
def test_intensity_is_recovered_where_it_is_harder(history: Callable[[int], MarketCalibration], seeds: range) -> None:
    """On a coarse grid, and when orders come in bursts; among so many estimates one or two are beyond three errors."""
    for side in SIDES:
        check([k_score(side(history(seed))) for seed in seeds], most=3.5)
        check([A_score(side(history(seed))) for seed in seeds], most=3.5)


@SEEDS
def test_bursts_make_the_rate_less_sure(seeds: range) -> None:
    """Five orders that come together are not five independent ones: errors exceed a Poisson process's."""
    for seed in seeds:
        fit = bursts(seed).fit
        assert fit.d0_rate_error is not None
        assert fit.d0_rate_error > 1.5 / fit.orders**0.5


@SEEDS
def test_the_law_is_recognised(seeds: range) -> None:
    """An exponential law is told as one, and both estimates of its k agree."""
    for seed in seeds:
        fit = exact(seed).fit
        assert fit.r2 > 0.97 and fit.confidence > 0.8
        assert fit.k is not None and fit.k_regression == pytest.approx(fit.k, rel=0.25)


@SEEDS
def test_embedded_market_shows_its_volatility_and_takers(seeds: range) -> None:
    """Its fair price's sigma on a clock slow enough for the flicker of its touch, and five takers a second."""
    sigma = annual_vol_to_bps(0.5)
    slow = [fit for seed in seeds if (fit := embedded(seed).coarse_volatility) is not None]
    check([(fit.sigma_bps - sigma) / fit.standard_error_bps for fit in slow])
    trades = [embedded(seed).trades for seed in seeds]
    rates = [(t.orders_per_minute, t.orders_per_minute_error) for t in trades]
    check([(rate - 300.0) / error for rate, error in rates if rate is not None and error is not None])
    assert len(slow) == len(rates) == len(seeds)
