"""Sessions and blackouts by the time of day."""

import pytest

from mm_daemon.domain.errors import DomainError
from mm_daemon.engine.overlays.trading_hours import DAY_NS, TradingHours

_H = 3600 * 1_000_000_000


def test_always_open_without_sessions() -> None:
    """And nothing to wait for."""
    hours = TradingHours()
    assert hours.open_at(123 * _H)
    assert hours.next_change_ns(123 * _H) is None


def test_session_is_open_from_its_start_to_before_its_end() -> None:
    """On every day."""
    hours = TradingHours([(9 * _H, 17 * _H)])
    day = 20_000 * DAY_NS
    assert not hours.open_at(day + 9 * _H - 1)
    assert hours.open_at(day + 9 * _H)
    assert not hours.open_at(day + 17 * _H)
    assert hours.next_change_ns(day) == day + 9 * _H
    assert hours.next_change_ns(day + 9 * _H) == day + 17 * _H
    assert hours.next_change_ns(day + 17 * _H) == day + DAY_NS + 9 * _H


def test_blackout_over_midnight_cuts_a_session_over_midnight() -> None:
    """Both run from one day into the next."""
    hours = TradingHours([(22 * _H, 6 * _H)], [(23 * _H, 1 * _H)])
    assert [hour for hour in range(24) if hours.open_at(hour * _H)] == [1, 2, 3, 4, 5, 22]
    assert hours.next_change_ns(22 * _H) == 23 * _H
    assert hours.next_change_ns(23 * _H) == DAY_NS + _H


def test_change_at_midnight() -> None:
    """A session that ends with the day, and one that begins with it."""
    late, early = TradingHours([(20 * _H, DAY_NS)]), TradingHours([(0, 4 * _H)])
    assert late.next_change_ns(21 * _H) == DAY_NS
    assert early.next_change_ns(5 * _H) == DAY_NS
    assert TradingHours([(0, DAY_NS)]).next_change_ns(_H) is None


@pytest.mark.parametrize("interval", [(5, 5), (-1, 5), (5, DAY_NS + 1), (DAY_NS, 5)])
def test_what_is_no_interval_is_refused(interval: tuple[int, int]) -> None:
    """Of no length or outside the day."""
    with pytest.raises(DomainError):
        TradingHours([interval])
