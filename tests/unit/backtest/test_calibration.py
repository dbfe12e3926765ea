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
from mm_daemon.backtest.calibration.depths import Depths
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
        depths.add(second * NS, rng.exponential(0.001))
    assert len(ratio._batches) <= 40
    assert len(course.points) <= 512
    assert len(list(depths.since(0))) <= 5001
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
    assert realised.sum.y == pytest.approx(sum(squares))
    assert realised.sum.x == pytest.approx(4.0)
    assert realised.fit() is None, "four observations say nothing"


@pytest.mark.parametrize(
    ("value", "up", "expected"), [(0.123456, False, 0.123), (1234.0, True, 1240.0), (2.0, True, 2.0), (0.0, True, 0.0)]
)
def test_three_figures_are_enough(value: float, up: bool, expected: float) -> None:
    """More would claim a precision that no sample has."""
    assert rounded(value, up=up) == pytest.approx(expected)
