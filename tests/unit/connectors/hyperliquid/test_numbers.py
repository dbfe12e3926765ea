"""The laws of the venue's numbers."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.hyperliquid import numbers
from mm_daemon.domain.errors import GridError

DECIMALS = st.integers(0, 8)
PRICES = st.decimals(min_value="0.00000001", max_value="100000000", places=8)


@given(units=st.integers(-(10**15), 10**15), decimals=DECIMALS)
def test_a_text_is_its_units(units: int, decimals: int) -> None:
    """Exactly the number, without an exponent and without zeros at its end, and back."""
    text = numbers.to_text(units, decimals)
    assert Decimal(text) == Decimal(units).scaleb(-decimals)
    assert "e" not in text.lower()
    assert "." not in text or text[-1] not in "0."
    assert text != "-0"
    assert numbers.floor_units(text, decimals) == (units, True)


@given(price=PRICES, sz_decimals=st.integers(0, 6), spot=st.booleans())
def test_bid_and_ask_hold_the_price_between_them(price: Decimal, sz_decimals: int, spot: bool) -> None:
    """Both are prices of the venue, as near as a step, and the same when the price is one itself."""
    grid, text = numbers.price_grid(sz_decimals, spot=spot), f"{price:f}"
    bid, ask = numbers.bid_text(text, grid), numbers.ask_text(text, grid)
    assert Decimal(bid) <= price <= Decimal(ask)
    assert numbers.price_is_valid(ask, grid)
    assert bid == "0" or numbers.price_is_valid(bid, grid)
    assert (bid == ask) == numbers.price_is_valid(text, grid)
    assert Decimal(ask) - Decimal(bid) <= Decimal(numbers.price_step(ask, grid))


@given(price=PRICES, sz_decimals=st.integers(0, 6))
def test_a_valid_price_obeys_the_rule_as_the_venue_says_it(price: Decimal, sz_decimals: int) -> None:
    """Five significant figures and so many decimals, or a whole number."""
    digits = price.normalize().as_tuple()
    decimals = max(-int(digits.exponent), 0)
    allowed = decimals == 0 or (len(digits.digits) <= 5 and decimals <= 6 - sz_decimals)
    assert numbers.price_is_valid(f"{price:f}", numbers.price_grid(sz_decimals)) == allowed


@pytest.mark.parametrize("text", ["", "abc", "nan", "inf", "-inf", "1e999", "1" * 60])
def test_what_is_no_number_is_refused(text: str) -> None:
    """GridError for rounding, no for validity."""
    with pytest.raises(GridError):
        numbers.floor_units(text, 2)
    assert not numbers.price_is_valid(text, numbers.price_grid(0))


def test_a_size_below_one_lot_is_zero() -> None:
    """Rounded down: whoever sends it must refuse it."""
    assert numbers.size_text("0.00999", 2) == "0"
    assert not numbers.price_is_valid("0", numbers.price_grid(0))
    assert not numbers.price_is_valid("-1", numbers.price_grid(0))
