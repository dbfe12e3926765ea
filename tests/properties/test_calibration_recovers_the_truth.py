"""Calibration over many seeds: it finds what the market was made of, and its standard errors are honest.

The synthetic market's sigma, A and k are exact (`tests/synthetic_market.py`), and so are those of an embedded market
with `taker_intensity` and `taker_k`. Without them its flow has no A and k: how far takers get is decided by the sizes
that rest in its book and by the slippage they accept.

An estimate's score is its error in standard errors. If these are honest, scores are standard normal: 20 of them have a
root mean square of 0.54 to 1.50 and a mean within 0.74 but for one time in a thousand, each is beyond three one time in
370. So estimates that must all be within three are few, and of the many some are allowed 3.5.
"""

import math
from collections.abc import Callable, Sequence
from functools import cache

import msgspec
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
SIM_SIGMA, LAW_A, LAW_K = annual_vol_to_bps(0.5), 2.0, 1.0
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


def _embedded(seed: int, settings: SymbolSettings) -> MarketCalibration:
    """Half an hour of BTC."""
    symbol = build_symbol(SIM, "BTC-USDT", settings)
    venue = EmbeddedMarket(SIM, [symbol], EmbeddedSettings(seed=seed))
    parameters = core_parameters(market(symbol.instrument, order_lots=1))
    return calibrate_sources(parameters, {SIM: venue}, duration_s=1800).markets[0]


_STILL = SymbolSettings(
    volatility=0.5, volatility_dispersion=0.0, news_lag_ms=1.0, impact_bps=0.0, informed_share=0.0, trade_clustering=0.0
)
"""Nobody knows more, trades move nothing, volatility stands still, no bursts."""


@cache
def embedded(seed: int) -> MarketCalibration:
    """A market of takers with a size."""
    return _embedded(seed, msgspec.structs.replace(_STILL, trade_clustering=0.7))


@cache
def lawful(seed: int) -> MarketCalibration:
    """A market of known sigma, A and k and nothing else."""
    return _embedded(seed, msgspec.structs.replace(_STILL, taker_intensity=LAW_A, taker_k=LAW_K))


@cache
def lively(seed: int) -> MarketCalibration:
    """The same law in the market as it is by default: bursts, informed takers, impact, a mid that comes behind."""
    return _embedded(seed, SymbolSettings(volatility_dispersion=0.0, taker_intensity=LAW_A, taker_k=LAW_K))


def check(scores: Sequence[float], most: float = MOST) -> None:
    """Each estimate within `most` of its standard errors; over many seeds these are neither too small nor too large."""
    assert max(map(abs, scores)) < most, scores
    if len(scores) >= 20:
        assert 0.54 < rms(scores) < 1.5, scores
        assert abs(sum(scores) / len(scores)) < 0.74, scores


def rms(scores: Sequence[float]) -> float:
    return math.sqrt(sum(score * score for score in scores) / len(scores))


def k_score(fit: IntensityFit, k: float = K) -> float:
    assert fit.refused is None and fit.k is not None and fit.k_error is not None
    return (fit.k - k) / fit.k_error


def A_score(fit: IntensityFit, truth: float = A) -> float:
    assert fit.A is not None and fit.A_error is not None
    return (fit.A - truth) / fit.A_error


def sigma_score(found: MarketCalibration, sigma: float) -> float:
    fit = found.volatility
    assert fit is not None and fit.noise_bps is not None, "not by two scales"
    return (fit.sigma_bps - sigma) / fit.standard_error_bps


SIDES: list[Callable[[MarketCalibration], IntensityFit]] = [lambda m: m.fit, lambda m: m.buys, lambda m: m.sells]


@SEEDS
def test_embedded_market_of_known_sigma_A_and_k_is_recovered(seeds: range) -> None:
    """Each of the three within three standard errors of what the market was configured with, for every seed; and the
    errors are no larger than they must be: all scores together spread as a standard normal does, to a quarter.
    """
    sigma = [sigma_score(lawful(seed), SIM_SIGMA) for seed in seeds]
    A_ = [A_score(lawful(seed).fit, LAW_A) for seed in seeds]
    k = [k_score(lawful(seed).fit, LAW_K) for seed in seeds]
    for scores in (sigma, A_, k):
        check(scores)
    if len(seeds) >= 20:
        assert 0.75 < rms([*sigma, *A_, *k]) < 1.25
    for seed in seeds:
        found = lawful(seed)
        assert found.fit.A_error is not None and found.fit.k_error is not None and found.volatility is not None
        assert found.fit.A_error < 0.04 * LAW_A and found.fit.k_error < 0.03 * LAW_K
        assert found.volatility.standard_error_bps < 0.1 * SIM_SIGMA


@pytest.mark.parametrize(
    ("history", "seeds"),
    [
        pytest.param(lawful, FEW, id="3 seeds"),
        pytest.param(lawful, ALL, id="20 seeds", marks=pytest.mark.slow),
        pytest.param(lively, ALL, id="20 lively seeds", marks=pytest.mark.slow),
    ],
)
def test_the_daemons_own_estimate_is_not_biased(history: Callable[[int], MarketCalibration], seeds: range) -> None:
    """What `calibration: market` comes to by default after half an hour, from nothing: A and k are those of the market,
    although no order that ends inside the touch is ever seen. Of the fair price's half-touch k would be a third less.
    Bursts make its own count of independent orders too large, and its errors up to twice as large as that says.
    """
    live = [history(seed).live for seed in seeds]
    for one in live:
        assert one.k is not None and one.A is not None
        error = 1.0 / math.sqrt(one.n_eff)
        assert one.k == pytest.approx(LAW_K, rel=6.0 * error)
        assert pytest.approx(LAW_A, rel=8.0 * error) == one.A
    for estimates, truth in (([one.k or 0.0 for one in live], LAW_K), ([one.A or 0.0 for one in live], LAW_A)):
        spread = max(max(estimates) - min(estimates), 0.02 * truth)
        assert sum(estimates) / len(live) == pytest.approx(truth, abs=spread)
        if len(seeds) >= 20:
            assert sum(estimates) / len(live) == pytest.approx(truth, rel=0.03)


@pytest.mark.slow
@pytest.mark.parametrize("history", [lawful, lively])
def test_embedded_law_is_recovered_of_each_side_and_in_a_lively_market(
    history: Callable[[int], MarketCalibration],
) -> None:
    """Bursts, informed takers, impact and lag are none of it."""
    check([sigma_score(history(seed), SIM_SIGMA) for seed in ALL], most=3.5)
    for side in SIDES:
        check([k_score(side(history(seed)), LAW_K) for seed in ALL], most=3.5)
        check([A_score(side(history(seed)), LAW_A) for seed in ALL], most=3.5)


@SEEDS
def test_truth_is_recovered(seeds: range) -> None:
    """Sigma in bps per square root of a second; A and k of both sides together and of each."""
    plain = [fit for seed in seeds if (fit := exact(seed).plain_volatility) is not None]
    check([(fit.sigma_bps - SIGMA) / fit.standard_error_bps for fit in plain])
    check([sigma_score(exact(seed), SIGMA) for seed in seeds], most=4.0)
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
    """Its fair price's sigma, which the flicker of its touch hides from plain steps, and five takers a second."""
    check([sigma_score(embedded(seed), SIM_SIGMA) for seed in seeds])
    plain = [fit for seed in seeds if (fit := embedded(seed).plain_volatility) is not None]
    assert sum((fit.sigma_bps - SIM_SIGMA) / fit.standard_error_bps for fit in plain) / len(plain) > MOST
    trades = [embedded(seed).trades for seed in seeds]
    rates = [(t.orders_per_minute, t.orders_per_minute_error) for t in trades]
    check([(rate - 300.0) / error for rate, error in rates if rate is not None and error is not None])
    assert len(plain) == len(rates) == len(seeds)
