"""The law of the standing decision: while the fair price stays inside the interval, no quote leaves its tolerance."""

from hypothesis import given, settings
from hypothesis import strategies as st

from mm_daemon.domain.decisions import Reason
from mm_daemon.domain.instrument import ceil_ticks, floor_ticks
from mm_daemon.domain.orders import Side
from mm_daemon.engine.tolerance import price_verdict, validity


@settings(max_examples=300, deadline=None)
@given(
    side=st.sampled_from(list(Side)),
    raw_half=st.integers(2000, 20_000_000),
    lag=st.integers(-5, 5),
    tolerance=st.integers(1, 5),
    shift_half=st.integers(-20, 20),
)
def test_interval_holds_exactly_while_the_quote_is_within_tolerance(
    side: Side, raw_half: int, lag: int, tolerance: int, shift_half: int
) -> None:
    """Over moves of half ticks: inside the interval the verdict is to keep, outside it is to move."""
    raw, fair = raw_half / 2, 1000.0
    onto_grid = floor_ticks if side is Side.BUY else ceil_ticks
    working = onto_grid(raw) + lag
    low, high = validity(fair, [(side, raw, working, tolerance)])
    verdict = price_verdict(side, working, onto_grid(raw + shift_half / 2), tolerance)
    assert (low <= fair + shift_half / 2 <= high) == (verdict is Reason.WITHIN_TOLERANCE)
