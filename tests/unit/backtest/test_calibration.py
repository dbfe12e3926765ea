"""Calibration of markets that are not as they should be: it says why, suggests what is safe, and has no NaN."""

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from mm_daemon import registry
from mm_daemon.backtest.calibration.advice import rounded
from mm_daemon.backtest.calibration.batches import BatchedRatio
from mm_daemon.backtest.calibration.depths import Depths, Exposure
from mm_daemon.backtest.calibration.intensity import fit_intensity
from mm_daemon.backtest.calibration.page import to_text
from mm_daemon.backtest.calibration.report import CalibrationReport, MarketCalibration
from mm_daemon.backtest.calibration.volatility import Course, RealisedVolatility
from mm_daemon.backtest.calibration.yaml_block import suggested_block
from mm_daemon.config.load import loads
from mm_daemon.domain.events import BookInvalidated, BookSnapshot, InvalidCause, PublicTrade
from mm_daemon.domain.orders import Side
from mm_daemon.domain.rng import Rng
from mm_daemon.engine.models import glft
from mm_daemon.engine.parameters import QuoteParameters
from mm_daemon.testkit.builders import SYMBOL, instrument, market
from tests.synthetic_market import Events, SyntheticFeed, measured

NS = 1_000_000_000


def numbers(value: Any) -> Iterator[float]:
    """Every float anywhere in a result."""
    if isinstance(value, float):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from numbers(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from numbers(part)
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from numbers(getattr(value, name))


def whole(found: MarketCalibration) -> MarketCalibration:
    """A result without NaN, that can be printed, whose suggestion a configuration takes."""
    assert all(map(math.isfinite, numbers(found)))
    block = suggested_block([found])
    report = CalibrationReport(markets=(found,), problems={}, notes=(), yaml=block)
    assert found.market in to_text(report)
    assert b"NaN" not in report.to_json()
    config = loads(
        f"version: 1\nvenues:\n  {found.venue}: {{connector: sim}}\n{block}",
        "suggested.yaml",
        settings_of=registry.settings_of,
        environ={},
    )
    quoting = config.markets[0].quoting
    assert quoting.gamma == found.suggestion.gamma
    assert quoting.k == found.suggestion.k
    assert quoting.intensity == found.suggestion.intensity
    assert quoting.volatility == found.suggestion.volatility
    return found


def safe(found: MarketCalibration) -> MarketCalibration:
    """Wide, as wide as the rules say, and it warns."""
    assert found.suggestion.wide and found.warnings
    assert found.suggestion.min_spread_bps is not None
    assert found.suggestion.min_spread_bps >= max(10.0, 2.0 * found.break_even.spread_bps)
    return whole(found)


def book(at_s: float, bid: int, ask: int) -> BookSnapshot:
    at_ns = round(at_s * NS)
    bids = ((bid, 100),) if bid else ()
    asks = ((ask, 100),) if ask else ()
    return BookSnapshot(SYMBOL, at_ns, at_ns, bids, asks, round(at_s * 10) + 1)


def trade(at_s: float, side: Side, ticks: int, lots: int = 10) -> PublicTrade:
    at_ns = round(at_s * NS)
    return PublicTrade(SYMBOL, at_ns, at_ns, side, ticks, lots, round(at_s * 1000))


def test_an_hour_without_trades_has_a_volatility_and_no_intensity() -> None:
    """Sigma is known; A and k are not, and why is said."""
    found = safe(measured(SyntheticFeed(1, seconds=3600, A=0.0, step_s=1.0)))
    assert found.volatility is not None and found.volatility.sigma_bps == pytest.approx(0.9, rel=0.1)
    assert found.fit.A is None and found.fit.k is None
    assert found.fit.refused == "no taker order as large as ours came"
    assert any("no taker order" in warning for warning in found.warnings)
    assert found.trades.orders == 0 and found.trades.mean_size is None
    assert found.trades.orders_per_minute == 0.0


def test_one_sided_book_measures_nothing() -> None:
    """Trades without a price to measure from are counted as not used."""
    events = [
        event for second in range(600) for event in (book(second, 600_000, 0), trade(second + 0.5, Side.SELL, 600_000))
    ]
    found = safe(measured(Events(*events)))
    assert found.volatility is None and found.touch_spread is None and found.mid is None
    assert found.observed_s == 0.0 and found.seconds == pytest.approx(599.5)
    assert found.dropped["prints without a trusted book"] == 600
    assert any("never had two sides" in warning for warning in found.warnings)


def test_nothing_at_all_is_said_to_be_nothing() -> None:
    """An empty feed is a warning, not an error."""
    found = safe(measured(Events()))
    assert any("no market data" in warning for warning in found.warnings)


def test_one_price_jump_does_not_make_the_suggestion() -> None:
    """A jump of 50 % is told as one move; sigma without it, and A and k, stay what they are."""
    found = whole(measured(SyntheticFeed(3, seconds=1800, jump_at_s=900.0)))
    fit = found.volatility
    assert fit is not None and fit.jump_bps == pytest.approx(1e4 * math.log(1.5), rel=0.01)
    assert fit.sigma_bps > 50.0 and fit.jump_share > 0.99
    assert fit.usual_bps == pytest.approx(0.9, rel=0.1)
    assert any("of the variance" in warning for warning in found.warnings)
    assert found.suggestion.volatility == pytest.approx(0.5, rel=0.15)
    assert found.fit.refused is None
    assert found.fit.k == pytest.approx(0.5, rel=0.15) and pytest.approx(1.2, rel=0.25) == found.fit.A


def test_orders_that_all_stop_at_the_touch_have_no_k() -> None:
    """Nothing to learn a decay from."""
    events = [
        event
        for second in range(600)
        for event in (
            book(second, 600_000, 600_001),
            trade(second + 0.5, Side.BUY, 600_001),
        )
    ]
    found = safe(measured(Events(*events)))
    assert found.fit.refused is not None and "every order stopped" in found.fit.refused
    assert found.fit.orders == 600 and found.sells.orders == 0


def test_a_spread_beyond_the_histogram_is_measured_too() -> None:
    """Three per cent from bid to ask: the touch is further out than the last bin, and nothing breaks."""
    events = [
        event
        for second in range(600)
        for event in (book(second, 591_000, 609_000), trade(second + 0.5, Side.BUY, 609_000 + 60 * (second % 7)))
    ]
    found = whole(measured(Events(*events)))
    assert found.fit.orders == 600 and found.fit.d0_bps == pytest.approx(150.0)


def test_k_out_of_range_is_refused() -> None:
    """Nine in ten stop at the touch of a very fine grid, the tenth goes one step: k would be thousands."""
    events = [
        event
        for second in range(600)
        for event in (
            book(second, 60_000_000, 60_000_001),
            trade(second + 0.5, Side.BUY, 60_000_001 + (second % 10 == 0)),
        )
    ]
    found = safe(measured(Events(*events), tick="0.001"))
    assert found.fit.refused is not None and "out of range" in found.fit.refused


def test_what_is_not_exponential_is_refused() -> None:
    """Almost all reach the same distance: no straight line through logarithms."""
    events = [
        event
        for second in range(600)
        for event in (
            book(second, 600_000, 600_002),
            trade(second + 0.5, Side.BUY, 603_001 if second % 30 else 606_001),
        )
    ]
    found = safe(measured(Events(*events)))
    assert found.fit.refused is not None
    assert found.fit.r2 < 0.5 and "not exponential" in found.fit.refused


def test_a_silent_feed_is_not_a_quiet_market() -> None:
    """Ten minutes without any event were not observed, and no return is made across them."""
    early = [event for second in range(60) for event in (book(second, 600_000, 600_002),)]
    late = [book(660 + second, 660_000, 660_002) for second in range(60)]
    found = whole(measured(Events(*early, *late)))
    assert found.observed_s == pytest.approx(118.0)
    assert any("silent for 601 s" in warning for warning in found.warnings)
    assert found.volatility is not None and found.volatility.sigma_bps == 0.0


def test_a_lost_book_is_not_observed() -> None:
    """From the gap to the next snapshot nothing counts."""
    gap = BookInvalidated(SYMBOL, 100 * NS, 100 * NS, InvalidCause.GAP)
    before = [book(second, 600_000, 600_002) for second in range(101)]
    after = [book(130 + second, 600_000, 600_002) for second in range(51)]
    found = whole(measured(Events(*before, gap, trade(110, Side.BUY, 600_002), *after)))
    assert found.observed_s == pytest.approx(150.0)
    assert found.dropped == {"prints without a trusted book": 1, "books lost": 1}


def test_orders_smaller_than_ours_are_not_fitted() -> None:
    """They could not fill us: counted in the market's trades, not in A and k."""
    found = measured(SyntheticFeed(1, seconds=300), of=market(instrument(), order_lots=1000, max_position_lots=5000))
    assert found.trades.orders > 100 and found.trades.as_large_as_ours == 0
    assert found.dropped["orders smaller than ours"] == found.trades.orders
    safe(found)


def test_the_fit_begins_where_the_fee_is_earned() -> None:
    """With 2 bps to pay no quote is nearer; and the quotes told are GLFT's with that fee in the optimiser."""
    contract = instrument(maker_fee_ppm=200)
    found = whole(measured(SyntheticFeed(2, seconds=3600, step_s=0.2), of=market(contract)))
    assert found.fit.d0_bps == pytest.approx(2.0, abs=0.05)
    assert found.break_even.half_spread_bps == pytest.approx(2.0)
    assert found.break_even.spread_bps == pytest.approx(4.0)
    assert [point.fitted for point in found.fit.points] == sorted(point.fitted for point in found.fit.points)
    quotes, suggestion, sigma = found.glft, found.suggestion, found.volatility
    assert quotes is not None and sigma is not None
    A = glft.fee_adjusted_A(suggestion.intensity, suggestion.k, 2.0)
    expected = glft.coefficients(A, suggestion.k, suggestion.gamma, sigma.usual_bps)
    assert quotes.half_spread_bps == pytest.approx(2.0 + expected.half_spread)
    assert quotes.skew_bps == pytest.approx(expected.skew)
    anyway = market(contract, quoting=QuoteParameters(fees_in_model=False))
    free = measured(SyntheticFeed(2, seconds=3600, step_s=0.2), of=anyway)
    assert free.fit.d0_bps == pytest.approx(0.8, abs=0.05)


@pytest.mark.parametrize("limit", [5, 10, 50, 500])
def test_gamma_gives_the_skew_that_was_aimed_at(limit: int) -> None:
    """At the limit both quotes are shifted by half of the half-spread, whatever the limit."""
    found = measured(SyntheticFeed(1, seconds=600), of=market(instrument(), max_position_lots=limit))
    assert found.glft is not None
    assert found.glft.limit_orders == max(limit / 10, 1)
    assert found.glft.shift_at_limit_bps == pytest.approx(0.5 * found.glft.half_spread_bps, rel=0.01)


def test_memory_does_not_grow_with_time() -> None:
    """Batches, histogram and course are bounded."""
    ratio, course, depths, rng = BatchedRatio(), Course(), Depths(), Rng(1)
    for second in range(20_000):
        ratio.add(second * NS, 1.0, 1.0)
        course.add(second * NS, 1.0)
        depths.add(second * NS, rng.exponential(0.001), 0.0, 0.0)
    assert len(ratio._batches) <= 40
    assert len(course.points) <= 512
    assert len(list(depths.depths.bins())) <= 5001 and len(list(depths.excesses.bins())) <= 5001
    assert ratio.value == 1.0 and ratio.standard_error == 0.0


def test_batches_know_dependence() -> None:
    """The same value five times in a row: the error is that of a fifth as many."""
    rng, alone, together = Rng(7), BatchedRatio(), BatchedRatio()
    for number in range(4000):
        alone.add(number * NS, rng.normal(), 1.0)
    for number in range(800):
        value = rng.normal()
        for repeated in range(5):
            together.add((5 * number + repeated) * NS, value, 1.0)
    assert alone.standard_error == pytest.approx(1 / math.sqrt(4000), rel=0.4)
    assert together.standard_error == pytest.approx(1 / math.sqrt(800), rel=0.4)


def test_realised_volatility_is_its_definition() -> None:
    """The last price before each second, squared log returns over time; seconds without an event are still ones."""
    realised = RealisedVolatility(1000)
    prices = [(0.2, 100.0), (0.9, 101.0), (1.5, 102.0), (4.2, 103.0), (5.1, 99.0)]
    for at_s, price in prices:
        realised.update(round(at_s * NS), price)
    sampled = [101.0, 102.0, 102.0, 102.0, 103.0]  # at 1, 2, 3, 4, 5 s
    squares = [(1e4 * math.log(b / a)) ** 2 for a, b in pairwise(sampled)]
    assert realised.plain.sum.y == pytest.approx(sum(squares))
    assert realised.plain.sum.x == pytest.approx(4.0)
    assert realised.fit() is None, "four observations say nothing"


def walked(
    seed: int, seconds: int, *, noise: float = 0.0, lag_s: float = 0.0, jump: float = 0.0, spike: float = 0.0
) -> RealisedVolatility:
    """A walk of 1 bp per square root of a second, seen with flicker of its own, late, with a jump half-way that stays,
    or with one that is over after a second.
    """
    rng, realised, log, seen = Rng(seed), RealisedVolatility(1000), 0.0, 0.0
    for second in range(seconds):
        half_way = second == seconds // 2
        log += rng.normal() + jump * half_way
        seen += (log - seen) * (-math.expm1(-1.0 / lag_s) if lag_s else 1.0)
        shown = seen + noise * rng.normal() + spike * half_way
        realised.update(second * NS + 1, 100.0 * math.exp(1e-4 * shown))
    return realised


def test_two_scales_are_their_definition() -> None:
    """Mean squared moves of 12 s less those of 4 s, over 8 s; the same end points count for both."""
    rng = Rng(5)
    logs = [math.log(100.0) * 1e4]
    for _ in range(199):
        logs.append(logs[-1] + rng.normal())
    realised = RealisedVolatility(1000)
    for second, log in enumerate(logs):
        realised.update(second * NS + 1, math.exp(1e-4 * log))
    seen = logs[:-1]  # the last one is not carried to a boundary yet
    gained = [(seen[i] - seen[i - 12]) ** 2 / 8.0 - (seen[i] - seen[i - 4]) ** 2 / 8.0 for i in range(12, len(seen))]
    fit = realised.fit()
    assert fit is not None and (fit.fast_s, fit.slow_s) == (4.0, 12.0)
    assert fit.sigma_bps**2 == pytest.approx(sum(gained) / len(gained), rel=1e-6)
    assert fit.noise_bps is not None


@pytest.mark.parametrize("seen", [{}, {"noise": 0.5}, {"noise": 2.0}, {"lag_s": 1.0}], ids=str)
def test_flicker_and_lag_of_the_mid_are_no_volatility(seen: dict[str, float]) -> None:
    """Over 40 walks of half an hour the error in standard errors is a standard normal: mean 0 and spread 1, each within
    three of their own errors. Plain steps are right only for the walk itself.
    """
    fits = [(realised.fit(), realised.plain_fit()) for realised in (walked(seed, 1800, **seen) for seed in range(40))]
    scores = [(fit.sigma_bps - 1.0) / fit.standard_error_bps for fit, _ in fits if fit is not None]
    plain = [(fit.sigma_bps - 1.0) / fit.standard_error_bps for _, fit in fits if fit is not None]
    assert len(scores) == len(plain) == 40
    assert abs(sum(scores) / 40) < 3 / math.sqrt(40)
    assert 1 - 3 / math.sqrt(80) < math.sqrt(sum(z * z for z in scores) / 40) < 1 + 3 / math.sqrt(80)
    assert abs(sum(plain) / 40) < 3 / math.sqrt(40) if not seen else min(map(abs, plain)) > 5


def test_a_jump_that_stays_is_told_and_one_that_comes_back_is_flicker() -> None:
    """A move of 60 bps is most of the variance; the usual sigma is that of the rest."""
    fit = walked(1, 1800, jump=60.0).fit()
    assert fit is not None and fit.jump_bps == pytest.approx(60.0, abs=4.0) and fit.jump_share > 0.6
    assert fit.usual_bps == pytest.approx(1.0, rel=0.15)
    flicker = walked(1, 1800, spike=60.0).fit()
    assert flicker is not None and flicker.jump_bps is None
    assert flicker.sigma_bps == pytest.approx(1.0, rel=0.2)


def test_short_data_have_the_plain_estimator_and_say_so() -> None:
    """Two minutes are the least for two scales."""
    short, longer = walked(1, 100).fit(), walked(1, 140).fit()
    assert short is not None and short.noise_bps is None and (short.fast_s, short.slow_s) == (0.0, 1.0)
    assert longer is not None and longer.noise_bps is not None


def test_a_distance_is_counted_while_the_touch_is_inside_it() -> None:
    """Orders at distances that are out of sight half of the time: the rate there is over the other half."""
    depths, exposure = Depths(), Exposure()
    for second in range(1000):
        touch = 1.0 if second % 2 else 3.0
        exposure.observe(1.0, touch, touch)
        depths.observe(second * NS, 1.0)
        for depth in (2.0, 4.0):
            if depth >= touch:
                depths.add(second * NS, depth, touch, touch)
        depths.add(second * NS, 0.5, touch, touch)  # inside a stale touch: reached nothing
    assert depths.orders == 2500 and depths.reached == 1500
    fit = fit_intensity(depths, exposure, tick_bps=0.0, sides=1)
    rates = {round(point.distance_bps, 1): point.rate for point in fit.points}
    assert all(rate == pytest.approx(2.0 if distance <= 2.0 else 1.0) for distance, rate in rates.items())
    assert fit.k is not None and fit.d0_bps is not None
    assert fit.k == pytest.approx(1500 / (500 * 1 + 500 * 3 + 500 * 1), rel=0.02)
    seen = 500 * math.exp(-fit.k * 1.0) + 500 * math.exp(-fit.k * 3.0)
    assert pytest.approx(1500 / seen) == fit.A


@pytest.mark.parametrize(
    ("value", "up", "expected"), [(0.123456, False, 0.123), (1234.0, True, 1240.0), (2.0, True, 2.0), (0.0, True, 0.0)]
)
def test_three_figures_are_enough(value: float, up: bool, expected: float) -> None:
    """More would claim a precision that no sample has."""
    assert rounded(value, up=up) == pytest.approx(expected)
