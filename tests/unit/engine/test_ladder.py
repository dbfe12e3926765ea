"""Ladders: merging, trimming to the room, and rounding away from the market."""

import math

import pytest

from mm_daemon.domain.errors import DomainError
from mm_daemon.domain.orders import Side
from mm_daemon.engine.ladder import Ladder


def test_levels_lie_outwards_and_shrink() -> None:
    """Bids go down, asks up, by the step; sizes by the ratio."""
    shape = Ladder(3, 10.0, size_ratio=0.5)
    assert shape.levels(Side.BUY, 10_000.5, 70.0, 1000.0) == [(10_000, 40), (9_990, 20), (9_980, 10)]
    assert shape.levels(Side.SELL, 10_000.5, 70.0, 1000.0) == [(10_001, 40), (10_011, 20), (10_021, 10)]


def test_growing_steps_double() -> None:
    """Growth 2: 0, 1, 3, 7 steps."""
    levels = Ladder(4, 10.0, growth=2.0).levels(Side.SELL, 10_000.0, 4.0, 9.0)
    assert [ticks for ticks, _ in levels] == [10_000, 10_010, 10_030, 10_070]


def test_levels_on_one_tick_are_merged_before_lots_are_floored() -> None:
    """Halves of a lot add up."""
    assert Ladder(4, 0.1).levels(Side.BUY, 1000.9, 6.0, 9.0) == [(1000, 6)]


def test_inner_levels_take_the_room_first() -> None:
    """What is left of the position limit; none at all when it is used up or overdrawn."""
    shape = Ladder(3, 10.0)
    assert shape.levels(Side.BUY, 10_000.0, 30.0, 15.0) == [(10_000, 10), (9_990, 5)]
    assert shape.levels(Side.BUY, 10_000.0, 30.0, 0.0) == []
    assert shape.levels(Side.BUY, 10_000.0, 30.0, -5.0) == []
    assert shape.levels(Side.BUY, 10_000.0, 0.0, 5.0) == []


def test_levels_below_one_tick_are_no_price() -> None:
    """A bid a whole price below is dropped; its size is not given to the others."""
    assert Ladder(2, 10_000.0).levels(Side.BUY, 5.0, 4.0, 9.0) == [(5, 2)]
    assert Ladder(0, 1.0).levels(Side.BUY, 5.0, 4.0, 9.0) == []


def test_coarse_grids_bring_their_own_rounding() -> None:
    """Prices in steps of ten ticks."""
    levels = Ladder(2, 10.0).levels(Side.BUY, 10_005.0, 4.0, 9.0, rounding=lambda p: math.floor(p / 10) * 10)
    assert levels == [(10_000, 2), (9_990, 2)]


@pytest.mark.parametrize("shape", [(-1, 1.0, 1.0, 1.0), (2, -1.0, 1.0, 1.0), (2, 1.0, 0.0, 1.0), (2, 1.0, 1.0, 0.0)])
def test_impossible_shapes_are_refused(shape: tuple[int, float, float, float]) -> None:
    """Negative counts and steps, growth or sizes of zero, and powers beyond any number."""
    with pytest.raises(DomainError):
        Ladder(*shape)
    with pytest.raises(DomainError):
        Ladder(2000, 1.0, growth=2.0)


@pytest.mark.parametrize("numbers", [(0.0, 1.0, 1.0), (math.nan, 1.0, 1.0), (1.0, -1.0, 1.0), (1.0, 1.0, math.nan)])
def test_numbers_that_are_none_are_refused(numbers: tuple[float, float, float]) -> None:
    """No price, negative size, no room to speak of."""
    with pytest.raises(DomainError):
        Ladder(2, 1.0).levels(Side.BUY, *numbers)
