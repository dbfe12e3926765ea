"""The pull after toxic flow: which side, how long, and how it escalates."""

import pytest

from mm_daemon.domain.errors import DomainError
from mm_daemon.domain.orders import Side
from mm_daemon.engine.overlays.adverse_selection import AdverseSelectionPull

_MS = 1_000_000


def test_side_that_would_be_hit_next_is_pulled() -> None:
    """After buyers the ask, after sellers the bid, and only for the cool-down."""
    pull = AdverseSelectionPull(100, 1000)
    pull.trip(Side.BUY, 50 * _MS)
    assert pull.pulled(Side.SELL, 149 * _MS)
    assert not pull.pulled(Side.BUY, 149 * _MS)
    assert not pull.pulled(Side.SELL, 150 * _MS)
    pull.trip(Side.SELL, 300 * _MS)
    assert pull.pulled(Side.BUY, 300 * _MS)
    assert pull.next_expiry_ns(300 * _MS) == 400 * _MS
    assert pull.next_expiry_ns(400 * _MS) is None


def test_trip_while_pulled_starts_the_cool_down_anew() -> None:
    """Not longer, however many come; and never shorter."""
    pull = AdverseSelectionPull(100, 1000)
    for at in (0, 10, 20):
        pull.trip(Side.BUY, at * _MS)
    assert pull.next_expiry_ns(20 * _MS) == 120 * _MS
    pull.trip(Side.BUY, 5 * _MS)
    assert pull.next_expiry_ns(20 * _MS) == 120 * _MS
    assert pull.trips == 4


def test_trip_soon_after_the_end_doubles_up_to_the_cap() -> None:
    """And one after a calm as long as the pull begins from the first length."""
    pull = AdverseSelectionPull(100, 300)
    now, lengths = 0, []
    for _ in range(4):
        pull.trip(Side.SELL, now)
        until = pull.next_expiry_ns(now)
        assert until is not None
        lengths.append((until - now) // _MS)
        now = until + 50 * _MS
    assert lengths == [100, 200, 300, 300]
    pull.trip(Side.SELL, now + 300 * _MS)
    assert pull.next_expiry_ns(now + 300 * _MS) == now + 400 * _MS


def test_pull_outlives_its_process_and_a_clock_that_is_set() -> None:
    """State and shift keep the time that is left."""
    pull, other = AdverseSelectionPull(100, 300), AdverseSelectionPull(100, 300)
    pull.trip(Side.BUY, 1000 * _MS)
    other.restore(pull.state())
    other.shift(-900 * _MS)
    assert other.pulled(Side.SELL, 199 * _MS)
    assert not other.pulled(Side.SELL, 200 * _MS)
    assert not other.pulled(Side.BUY, 0)


def test_impossible_cool_downs_are_refused() -> None:
    """None, or longer than the longest."""
    for lengths in ((0, 10), (20, 10)):
        with pytest.raises(DomainError):
            AdverseSelectionPull(*lengths)
