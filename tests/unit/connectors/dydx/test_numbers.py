"""Quantums and subticks: exact where floats lose a step, and whole ticks of ours need no rounding."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.dydx.numbers import Grid
from mm_daemon.domain.errors import GridError

_GRIDS = st.builds(
    Grid,
    clob_pair_id=st.integers(min_value=0, max_value=500),
    atomic_resolution=st.integers(min_value=-12, max_value=4),
    quantum_conversion_exponent=st.just(-9),
    step_base_quantums=st.sampled_from([1, 1_000_000, 10_000_000]),
    subticks_per_tick=st.sampled_from([1, 10_000, 100_000, 1_000_000]),
)


@given(_GRIDS, st.integers(min_value=1, max_value=10**9))
def test_whole_ticks_and_lots_are_whole_on_the_chain(grid: Grid, count: int) -> None:
    """So an order is `lots * step_base_quantums` at `ticks * subticks_per_tick`."""
    assert grid.quantums(f"{grid.step * count:f}") == count * grid.step_base_quantums
    assert grid.subticks(f"{grid.tick * count:f}") == count * grid.subticks_per_tick


@given(_GRIDS, st.decimals(min_value=Decimal(0), max_value=Decimal(10**9), places=12))
def test_rounding_is_down_and_by_less_than_a_step(grid: Grid, number: Decimal) -> None:
    text = f"{number:f}"
    size = Decimal(grid.quantums(text)) / grid.step_base_quantums * grid.step
    price = Decimal(grid.subticks(text)) / grid.subticks_per_tick * grid.tick
    assert 0 <= number - size < grid.step and 0 <= number - price < grid.tick


@pytest.mark.parametrize("text", ["", "x", "-1", "nan", "inf", "1" * 100])
def test_what_is_no_number_is_refused(text: str) -> None:
    grid = Grid(
        clob_pair_id=0,
        atomic_resolution=-10,
        quantum_conversion_exponent=-9,
        step_base_quantums=1_000_000,
        subticks_per_tick=100_000,
    )
    with pytest.raises(GridError):
        grid.quantums(text)


def test_the_chain_takes_what_is_on_the_grid_and_fits() -> None:
    grid = Grid(
        clob_pair_id=0,
        atomic_resolution=-10,
        quantum_conversion_exponent=-9,
        step_base_quantums=10,
        subticks_per_tick=100,
    )
    assert grid.takes_quantums(10) and grid.takes_subticks(200)
    assert not any(map(grid.takes_quantums, (0, -10, 15, 10 * (1 << 64))))
    assert not any(map(grid.takes_subticks, (0, 150, 100 * (1 << 64))))


def test_a_step_of_nothing_is_no_grid() -> None:
    with pytest.raises(GridError, match="1 or more"):
        Grid(
            clob_pair_id=0,
            atomic_resolution=-10,
            quantum_conversion_exponent=-9,
            step_base_quantums=0,
            subticks_per_tick=1,
        )
