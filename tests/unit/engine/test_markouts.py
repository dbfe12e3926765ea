"""Markouts live: which mid belongs to a horizon, and what is not observed."""

import math

import pytest

from mm_daemon.domain.errors import DomainError
from mm_daemon.domain.orders import Side
from mm_daemon.engine.markouts import MAX_WAITING, Markouts

_S = 1_000_000_000


def test_each_horizon_takes_the_last_mid_at_or_before_it() -> None:
    """A mid after the horizon is too late, one exactly at it counts."""
    markouts = Markouts((_S, 10 * _S))
    markouts.on_mid(0, 1000.0)
    markouts.on_fill(_S, Side.BUY, 1000.0)
    markouts.on_mid(_S + 5, 1001.0)
    markouts.on_mid(2 * _S + 1, 1009.0)
    markouts.on_mid(11 * _S, 1002.0)
    one, ten = markouts.figures(Side.BUY)
    assert one.mean_bps == pytest.approx(10.0)
    assert ten.mean_bps == pytest.approx(20.0)
    assert one.error_bps is None


def test_sides_are_kept_apart_with_mean_and_error() -> None:
    """A sale earns when the mid falls; the error is that of the mean."""
    markouts = Markouts((_S,))
    for second, mid in ((0, 1000.0), (10, 999.0), (20, 998.0)):
        markouts.on_mid(second * _S, 1000.0)
        markouts.on_fill(second * _S, Side.SELL, 1000.0)
        markouts.on_mid((second + 1) * _S, mid)
    (sold,) = markouts.figures(Side.SELL)
    assert (sold.fills, sold.mean_bps) == (3, pytest.approx(10.0))
    assert sold.error_bps == pytest.approx(10.0 / math.sqrt(3))
    assert markouts.figures(Side.BUY)[0].mean_bps is None


def test_book_that_is_lost_observes_nothing() -> None:
    """A horizon that falls into the loss has no mid; one after it has."""
    markouts = Markouts((_S, 10 * _S))
    markouts.on_mid(0, 1000.0)
    markouts.on_fill(0, Side.BUY, 1000.0)
    markouts.lose_book(_S // 2)
    markouts.on_mid(5 * _S, 1001.0)
    markouts.on_mid(20 * _S, 1001.0)
    one, ten = markouts.figures(Side.BUY)
    assert (one.fills, ten.fills) == (0, 1)
    assert markouts.dropped == 1


def test_bad_numbers_and_too_many_are_dropped() -> None:
    """The queue is bounded; what cannot be a price is not waited for; nothing older than the last fill is taken."""
    markouts = Markouts((_S,))
    markouts.on_fill(0, Side.BUY, math.nan)
    markouts.on_mid(0, math.nan)
    for _ in range(MAX_WAITING + 1):
        markouts.on_fill(5, Side.BUY, 1000.0)
    markouts.on_fill(1, Side.BUY, 1000.0)
    assert markouts.dropped == 3
    with pytest.raises(DomainError):
        Markouts((0,))
