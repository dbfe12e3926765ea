"""Inventory over time, live."""

import pytest

from mm_daemon.domain.errors import DomainError
from mm_daemon.engine.inventory_time import InventoryTime

_S = 1_000_000_000


def test_figures_are_weighted_by_time() -> None:
    """One second at 2, three at -1, then flat; two lots closed, then turned, then closed."""
    inventory = InventoryTime(2)
    assert inventory.figures(0) is None
    inventory.on_position(0, 2)
    inventory.on_position(_S, -1)
    inventory.on_position(4 * _S, 0)
    stats = inventory.figures(5 * _S)
    assert stats is not None
    assert stats.mean_abs == 1.0
    assert stats.rms == pytest.approx((7 / 5) ** 0.5)
    assert stats.time_at_limit == pytest.approx(0.2)
    assert inventory.closed_lots == 3
    assert stats.mean_holding == pytest.approx(5 / 3)


def test_growing_closes_nothing() -> None:
    """Nor does a position that is told again."""
    inventory = InventoryTime(9)
    for second, lots in enumerate((-1, -4, -4, -3)):
        inventory.on_position(second * _S, lots)
    assert inventory.closed_lots == 1


def test_time_that_goes_back_is_none() -> None:
    """Nothing is subtracted."""
    inventory = InventoryTime(9)
    inventory.on_position(10 * _S, 1)
    inventory.on_position(5 * _S, 1)
    inventory.on_position(12 * _S, 1)
    stats = inventory.figures(12 * _S)
    assert stats is not None
    assert (stats.mean_abs, inventory.figures(5 * _S)) == (1.0, stats)
    with pytest.raises(DomainError):
        InventoryTime(0)


def test_a_limit_that_changes_counts_from_then_on() -> None:
    """Two seconds with three lots: at a limit of three during the first, below one of four during the second."""
    held = InventoryTime(3)
    held.on_position(0, 3)
    held.set_limit(1_000_000_000, 4)
    figures = held.figures(2_000_000_000)
    assert figures is not None
    assert figures.time_at_limit == 0.5
