"""Grids and text: what becomes ticks, what is refused, and how prices are rounded by side."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm_daemon.domain.errors import GridError
from mm_daemon.domain.instrument import SignificantFigures, ceil_ticks, floor_ticks, grid_ceil, grid_floor, to_units
from mm_daemon.testkit import builders


def test_price_text_becomes_exact_ticks():
    """Trailing zeros, exponents and many digits all name the same tick."""
    ticks = builders.instrument(tick="0.1").ticks_of()
    assert ticks["61800.20"] == ticks["61800.2"] == ticks["6.18002E4"] == 618002


@pytest.mark.parametrize(
    "text", ["NaN", "Infinity", "-1.0", "0", "0.05", "", "abc", "1e400", "1e999999999999", "9" * 65, "1,5"]
)
def test_text_that_is_no_price_on_the_grid_is_refused(text):
    """Not finite, not positive, between two ticks or no number: a GridError that names the text."""
    ticks = builders.instrument(tick="0.1").ticks_of()
    with pytest.raises(GridError, match="BTC-USDT"):
        ticks[text]


def test_zero_is_a_size_but_not_a_price():
    """A removed level has size zero."""
    assert builders.instrument(lot="0.001").lots_of()["0.000"] == 0


def test_the_memo_of_texts_is_bounded():
    """A hostile feed with ever new numbers cannot fill the memory."""
    ticks = builders.instrument(tick="1").ticks_of()
    for n in range(1, 200_000):
        ticks[str(n)]
    assert len(ticks) <= 1 << 16


def test_smallest_order_respects_the_notional_minimum():
    """100 USDT at 61,800.0 is 0.001619 BTC, so two lots of 0.001."""
    contract = builders.instrument(tick="0.1", lot="0.001", min_notional="100")
    assert contract.min_lots_at(618000) == 2


@given(
    st.from_regex(r"[0-9]{0,6}\.?[0-9]{0,9}(e-?[0-9])?", fullmatch=True),
    st.sampled_from(["10", "1", "0.1", "0.5", "0.00001"]),
)
def test_remembered_text_means_what_exact_arithmetic_says(text, step):
    """The memo's short cut for plain digits agrees with Decimal, refusals included."""
    memo = builders.instrument(lot=step).lots_of()
    try:
        expected = to_units(text, Decimal(step))
    except GridError:
        with pytest.raises(GridError):
            memo[text]
    else:
        assert memo[text] == expected


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
