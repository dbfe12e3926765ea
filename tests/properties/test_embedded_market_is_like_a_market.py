"""The embedded market over many seeds: it has the stylised facts of markets, and quoting too tightly costs money.

Each market of each seed is one independent history. A few seeds in the default run, all of them among the slow proofs.
"""

from functools import cache
from statistics import fmean
from typing import NamedTuple

import pytest
import yaml

from mm_daemon import registry
from mm_daemon.backtest.report import BacktestReport
from mm_daemon.backtest.runner import run_backtest
from mm_daemon.backtest.venues import compose
from mm_daemon.config.load import loads
from mm_daemon.domain.instrument import InstrumentId, Venue
from mm_daemon.engine.costs import break_even
from mm_daemon.simulation.embedded import EmbeddedMarket, EmbeddedSettings
from mm_daemon.simulation.symbols import SymbolSettings, build_symbol
from tests.market_facts import Notes, Sample, WatchedVenue, autocorrelation, dispersion, kurtosis
from tests.shared import ROOT

SIM = Venue("sim")
BTC = InstrumentId("sim:BTC-USDT")
FEW, ALL = range(1, 4), range(1, 21)
SEEDS = pytest.mark.parametrize(
    "seeds", [pytest.param(FEW, id="3 seeds"), pytest.param(ALL, id="20 seeds", marks=pytest.mark.slow)]
)
FACTS_S = 1200
TRADING_S = 200
HORIZON_S = 10


class Traded(NamedTuple):
    """The default configuration, or one that differs in `max_spread_bps`, on one seed."""

    report: BacktestReport
    notes: dict[InstrumentId, Notes]


@cache
def watched(seed: int) -> Notes:
    """Twenty minutes of BTC with nobody of ours in it."""
    market = EmbeddedMarket(SIM, [build_symbol(SIM, "BTC-USDT", SymbolSettings())], EmbeddedSettings(seed=seed))
    venue = WatchedVenue(market, [BTC])
    venue.live(FACTS_S)
    return venue.notes[BTC]


@cache
def traded(seed: int, max_spread_bps: float | None = None) -> Traded:
    """Minutes of the repository's own configuration."""
    content = yaml.safe_load((ROOT / "config.yaml").read_text("utf-8"))
    content["seed"] = seed
    if max_spread_bps is not None:
        content["defaults"]["max_spread_bps"] = max_spread_bps
    config = loads(yaml.safe_dump(content), "config.yaml", settings_of=registry.settings_of, environ={})
    parameters, sources = compose(config)
    venue = WatchedVenue(sources[SIM], [market.instrument.id for market in parameters.markets])  # type: ignore[arg-type]
    report = run_backtest(parameters, {SIM: venue}, duration_s=TRADING_S)
    return Traded(report, dict(venue.notes))


def profits(runs: list[Traded]) -> Sample:
    """P&L of a market and seed, USDT."""
    return Sample.of([float(market.pnl.total) for run in runs for market in run.report.markets])


def break_even_bps(runs: list[Traded]) -> float:
    """The half-spread that pays for fee and adverse selection, as the fills of these runs measured it (MODELS 5.3)."""
    adverse = [loss for run in runs for notes in run.notes.values() for loss in notes.adverse(HORIZON_S)]
    fees = -sum(float(market.pnl.fees) for run in runs for market in run.report.markets)
    volume = sum(float(market.volume) for run in runs for market in run.report.markets)
    return break_even(1.0, fees / volume, 0.0, 0.0, adverse=fmean(adverse)).spread_bps / 2


@SEEDS
def test_wild_times_follow_wild_times(seeds: range) -> None:
    """Absolute returns of 10 s remember those before them, and their tails are heavy."""
    markets = [watched(seed) for seed in seeds]
    assert Sample.of([autocorrelation([abs(r) for r in notes.returns(10)], 1) for notes in markets]).mean > 0.1
    assert Sample.of([kurtosis(notes.returns(10)) for notes in markets]).mean > 4


@pytest.mark.slow
def test_wild_seconds_are_still_felt_ten_seconds_later() -> None:
    """Absolute returns of 1 s, 10 s apart."""
    markets = [watched(seed) for seed in ALL]
    assert Sample.of([autocorrelation([abs(r) for r in notes.returns(1)], 10) for notes in markets]).mean > 0.1


@pytest.mark.slow
def test_returns_themselves_hardly_remember() -> None:
    """Direction is no free lunch: 30 s returns say little of the next ones."""
    assert abs(Sample.of([autocorrelation(watched(seed).returns(30), 1) for seed in ALL]).mean) < 0.1


@SEEDS
def test_takers_come_in_bursts(seeds: range) -> None:
    """Counts of takers in windows of 10 s vary more than twice as much as independent ones would, in every history."""
    assert min(dispersion(watched(seed).taker_counts(10)) for seed in seeds) > 2


@SEEDS
def test_market_stays_tight_and_two_sided(seeds: range) -> None:
    """Every update has both sides (the notebook insists on it), the usual spread is below 2 bps, and people trade."""
    for seed in seeds:
        notes = watched(seed)
        spreads = sorted(notes.spreads_bps)
        assert spreads[len(spreads) // 2] < 2
        assert spreads[len(spreads) * 9 // 10] < 4
        assert len(notes.takers_ns) > 0.5 * FACTS_S


@SEEDS
def test_default_configuration_is_filled_soon_and_does_not_lose(seeds: range) -> None:
    """Fills within the first minute on both symbols, and a P&L that is not significantly below zero."""
    runs = [traded(seed) for seed in seeds]
    for run in runs:
        for notes in run.notes.values():
            assert notes.fills[0].ts_venue_ns < 60_000_000_000
    assert profits(runs).errors_from_zero > -2


@SEEDS
def test_quotes_at_half_the_break_even_lose(seeds: range) -> None:
    """Who quotes at half of what fee and adverse selection cost loses beyond three standard errors."""
    half_bps = break_even_bps([traded(seed) for seed in seeds]) / 2
    assert 0.1 < half_bps < 1
    tight = profits([traded(seed, round(2 * half_bps, 3)) for seed in seeds])
    assert tight.errors_from_zero < -3
