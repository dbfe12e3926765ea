"""Grids and text: what becomes ticks, what is refused, and how prices are rounded by side."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm_daemon.domain.errors import GridError
from mm_daemon.domain.instrument import SignificantFigures, ceil_ticks, floor_ticks, grid_ceil, grid_floor, to_units
from mm_daemon.testkit import builders


def test_smallest_order_respects_the_notional_minimum():
    """100 USDT at 61,800.0 is 0.001619 BTC, so two lots of 0.001."""
    contract = builders.instrument(tick="0.1", lot="0.001", min_notional="100")
    assert contract.min_lots_at(618000) == 2


@pytest.mark.parametrize("text", ["NaN", "Infinity", "0.05", "", "abc", "1e400", "1e999999999999", "9" * 65, "1,5"])
def test_text_that_lies_on_no_grid_is_refused(text):
    """Not finite, between two ticks or no number: a GridError that names what it was meant to be."""
    with pytest.raises(GridError, match="price of BTC"):
        to_units(text, Decimal("0.1"), "price of BTC")


def test_a_price_of_more_ticks_than_can_be_computed_with_is_refused():
    """Beyond 2**53 whole ticks are no longer apart as floats: the error says so, and up to there they round right."""
    assert to_units(f"{1 << 53}", Decimal(1)) == 1 << 53
    with pytest.raises(GridError, match=r"price of X: '9007199254740993' is more than 2\*\*53 times 1"):
        to_units(f"{(1 << 53) + 1}", Decimal(1), "price of X")
    assert floor_ticks(float((1 << 53) - 1)) == ceil_ticks(float((1 << 53) - 1)) == (1 << 53) - 1


def test_every_spelling_of_a_price_is_the_same_tick():
    """Trailing zeros, exponents and many digits."""
    assert {to_units(text, Decimal("0.1")) for text in ("61800.20", "61800.2", "6.18002E4")} == {618002}


@given(st.integers(1, 10**9), st.integers(1, 7), st.integers(0, 6))
def test_figure_grid_rounds_by_side_to_the_nearest_valid_price(ticks, figures, decimals):
    """Down for bids, up for asks, valid prices unchanged, and never a valid price skipped in between."""
    grid = SignificantFigures(figures, decimals)
    low, high = grid_floor(ticks, grid), grid_ceil(ticks, grid)
    assert low <= ticks <= high
    assert grid_floor(low, grid) == low == grid_ceil(low, grid)
    assert grid_floor(high, grid) == high
    if ticks % 10**decimals == 0:
        assert low == ticks == high


def test_hyperliquid_prices_keep_five_figures_or_are_whole():
    """With one decimal of base grid: 12345.6 has six figures, 123456 is whole and so valid."""
    grid = SignificantFigures(figures=5, decimals=1)
    assert grid_floor(123456, grid) == 123450
    assert grid_ceil(123456, grid) == 123460
    assert grid_floor(1234560, grid) == 1234560
    assert grid_floor(99999, grid) == 99999


@given(st.integers(1, 10**10), st.floats(-1e-13, 1e-13))
def test_float_noise_does_not_cost_a_tick(ticks, noise):
    """A price that is a tick but for rounding error stays that tick on both sides."""
    assert floor_ticks(ticks * (1 + noise)) == ticks == ceil_ticks(ticks * (1 + noise))


def test_price_and_size_are_written_exactly():
    """Ticks and lots become the decimal text a venue expects."""
    contract = builders.instrument(tick="0.1", lot="0.001")
    assert contract.price(618002) == Decimal("61800.2")
    assert str(contract.size(10)) == "0.010"
