"""Keep or move a working quote."""

import math

from mm_daemon.domain.decisions import Reason
from mm_daemon.domain.orders import Side
from mm_daemon.engine.tolerance import price_verdict, size_within, tolerance_ticks, validity


def test_tolerance_is_a_quarter_of_the_half_spread_and_at_least_a_tick() -> None:
    """A configured fraction of the price replaces the quarter."""
    assert tolerance_ticks(12.9, 1000) == 3
    assert tolerance_ticks(0.5, 1000) == 1
    assert tolerance_ticks(12.9, 1000, 0.01) == 10


def test_too_aggressive_moves_at_once_and_too_passive_may_lag() -> None:
    """One tick too high is too much for a bid; being low is tolerated up to the tolerance."""
    verdicts = [price_verdict(Side.BUY, 1000, target, 3) for target in (999, 1000, 1003, 1004)]
    assert verdicts == [
        Reason.TOO_AGGRESSIVE,
        Reason.WITHIN_TOLERANCE,
        Reason.WITHIN_TOLERANCE,
        Reason.TOO_PASSIVE,
    ]


def test_limit_forces_a_decrease_inside_the_size_tolerance() -> None:
    """A size may differ by a quarter, but never exceed what a limit leaves."""
    assert size_within(8, 10, 0.25)
    assert not size_within(7, 10, 0.25)
    assert not size_within(13, 10, 0.25)
    assert not size_within(11, 10, 0.25, limit_lots=10)


def test_no_quote_puts_no_bound_on_the_fair_price() -> None:
    """Nothing stands, so nothing can be left behind."""
    assert validity(1006.0, []) == (-math.inf, math.inf)


def test_bound_itself_is_inside_where_the_quote_would_stay() -> None:
    """At the outer bound a bid's target would be one tick past the tolerance: already outside."""
    low, high = validity(1000.0, [(Side.BUY, 990.5, 990, 2)])
    assert low == 999.5
    assert 1002.5 > high > 1002.499999
