"""Displayed prices and sizes: exact ticks, lots for any real size, and refusal of what is none."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.shared.displayed import Displayed
from mm_daemon.domain.errors import GridError
from mm_daemon.domain.instrument import to_units
from mm_daemon.testkit import builders

STEPS = ["1000", "10", "5", "1", "0.5", "0.25", "0.1", "0.05", "0.03", "0.001", "0.00001", "0.00000001"]


def displayed(tick: str = "0.1", lot: str = "0.001") -> Displayed:
    return Displayed(builders.instrument(tick=tick, lot=lot))


@given(st.integers(1, 1 << 53), st.sampled_from(STEPS))
def test_every_number_of_ticks_and_lots_is_read_exactly(units: int, step: str) -> None:
    """What a venue writes of a whole number of units, read as a float, is that number again: in a level and alone."""
    number = float(str(units * Decimal(step)))
    grids = displayed(tick=step, lot=step)
    try:
        exact = to_units(repr(number), Decimal(step))
    except GridError:  # more digits than a float has
        return
    assert grids.levels([(number, number)]) == ((exact, exact),)
    assert (grids.ticks(number), grids.lots(number), grids.off_grid) == (exact, exact, 0)
    assert exact == units or units > 10**15


@given(st.from_regex(r"[1-9][0-9]{0,6}\.[0-9]{1,8}", fullmatch=True), st.sampled_from(STEPS))
def test_a_price_between_two_ticks_is_never_taken_for_one(text: str, step: str) -> None:
    """Floats and exact arithmetic agree on what lies on the grid."""
    grids = displayed(tick=step)
    try:
        expected = to_units(text, Decimal(step))
    except GridError:
        expected = 0
    if expected < 1:
        with pytest.raises(GridError, match="BTC-USDT"):
            grids.ticks(float(text))
        with pytest.raises(GridError, match="BTC-USDT"):
            grids.levels([(float(text), 0.0)])
    else:
        assert grids.ticks(float(text)) == expected == grids.levels([(float(text), 0.0)])[0][0]


@pytest.mark.parametrize(
    ("size", "lots", "off_grid"), [(25.42618900, 2542618, 1), (0.00000001, 1, 1), (0.02, 2000, 0), (0.0, 0, 0)]
)
def test_size_between_two_lots_counts_the_lots_that_fit(size: float, lots: int, off_grid: int) -> None:
    """Floored, but never to zero, which would remove the level."""
    grids = displayed(lot="0.00001")
    assert grids.lots(size) == lots
    assert grids.off_grid == off_grid
    assert grids.levels([(0.1, size)]) == ((1, lots),)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -1.0, -0.000001, 1e300, 1e18])
def test_what_is_no_price_and_no_size_is_refused(number: float) -> None:
    """Not finite, negative or absurd."""
    grids = displayed()
    with pytest.raises(GridError):
        grids.ticks(number)
    with pytest.raises(GridError):
        grids.lots(number)
    with pytest.raises(GridError):
        grids.levels([(number, 1.0)])
    with pytest.raises(GridError):
        grids.levels([(1.0, number)])


def test_zero_is_a_size_but_not_a_price() -> None:
    """A removed level has size zero."""
    assert displayed().levels([(0.1, 0.0)]) == ((1, 0),)
    with pytest.raises(GridError):
        displayed().ticks(0.0)
    with pytest.raises(GridError):
        displayed().levels([(0.0, 1.0)])


@pytest.mark.parametrize(
    ("level", "reason"),
    [((0.15, 1.0), "price .*0.15"), ((0.1, -1.0), "size .*-1.0"), ((float("nan"), 1.0), "not finite")],
)
def test_a_refused_level_says_what_is_wrong_with_it(level: tuple[float, float], reason: str) -> None:
    """A price off the grid is not called infinite: the words go into the reason why the book is void."""
    with pytest.raises(GridError, match=reason):
        displayed().levels([level])
