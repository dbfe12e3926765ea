"""Rounding of two post-only quotes."""

import math

import pytest

from mm_daemon.domain.book import NO_ASK, NO_BID
from mm_daemon.domain.errors import DomainError
from mm_daemon.domain.instrument import SignificantFigures, grid_rounding
from mm_daemon.engine.rounding import price_in_ticks, round_quotes


def test_bid_rounds_down_and_ask_up() -> None:
    """Rounding never makes a quote more aggressive than the model asked for."""
    assert round_quotes(100.9, 101.1, 90, 110) == (100, 102)


def test_price_on_a_tick_stays_there_despite_float_noise() -> None:
    """600003 written as a float sum a hair off is still 600003."""
    noisy = price_in_ticks(60000.3, 0.1)
    assert round_quotes(noisy, noisy + 1, NO_BID, NO_ASK) == (600003, 600004)


def test_post_only_keeps_off_the_opposite_best_price() -> None:
    """A bid stays one tick under the best ask and an ask one over the best bid; without post-only they may cross."""
    assert round_quotes(105.0, 108.0, 99, 101) == (100, 108)
    assert round_quotes(95.0, 97.0, 99, 101) == (95, 100)
    assert round_quotes(105.0, 108.0, 99, 101, post_only=False) == (105, 108)


def test_quotes_that_would_meet_are_kept_one_tick_apart() -> None:
    """The ask gives way."""
    assert round_quotes(100.0, 100.0, 99, 103) == (100, 101)


def test_clamped_prices_stay_on_a_coarser_grid() -> None:
    """Five significant figures: the price under the best ask is the next valid one, not one base tick below."""
    floor, ceil = grid_rounding(SignificantFigures(figures=5, decimals=1))
    bid, ask = round_quotes(1_000_500.0, 999_000.0, 1_000_000, 1_000_100, floor=floor, ceil=ceil)
    assert (bid, ask) == (1_000_090, 1_000_100)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_prices_that_are_no_numbers_are_errors(bad: float) -> None:
    """No quote comes from a NaN."""
    with pytest.raises(DomainError):
        round_quotes(bad, 100.0, 99, 101)
    with pytest.raises(DomainError):
        round_quotes(100.0, bad, 99, 101)
    with pytest.raises(DomainError):
        price_in_ticks(100.0, 0.0)
