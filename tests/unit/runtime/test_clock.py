"""The run's clock."""

import pytest

from mm_daemon.domain.errors import ConfigError
from mm_daemon.runtime.clock import Clock


class Hands:
    """A wall clock and a monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.wall = 1_700_000_000_000_000_000
        self.monotonic = 5_000

    def clock(self) -> Clock:
        return Clock(wall_ns=lambda: self.wall, monotonic_ns=lambda: self.monotonic)


def test_time_is_wall_time_at_start_plus_elapsed() -> None:
    """A fresh clock reads the wall; later it moves by the monotonic clock."""
    hands = Hands()
    clock = hands.clock()
    assert clock.now_ns() == hands.wall
    hands.monotonic += 7
    assert clock.now_ns() == hands.wall + 7


def test_wall_clock_correction_does_not_move_it() -> None:
    """A system clock that is set back an hour changes nothing."""
    hands = Hands()
    clock = hands.clock()
    before = clock.now_ns()
    hands.wall -= 3_600_000_000_000
    assert clock.now_ns() == before


def test_recorded_time_base_runs_at_its_speed() -> None:
    """In a recording's time base ten wall milliseconds at speed 20 are 200 ms, and delays shrink by the same factor."""
    hands = Hands()
    clock = hands.clock()
    clock.move_to(1_000, speed=20.0)
    assert clock.now_ns() == 1_000
    hands.monotonic += 10_000_000
    assert clock.now_ns() == 1_000 + 200_000_000
    assert clock.delay_s(clock.now_ns() + 2_000_000_000) == pytest.approx(0.1)


def test_past_deadline_needs_no_sleep() -> None:
    """A deadline that has passed gives a delay of zero, never a negative one."""
    clock = Hands().clock()
    assert clock.delay_s(clock.now_ns() - 1) == 0.0


@pytest.mark.parametrize("speed", [0.0, -1.0, float("nan"), float("inf")])
def test_impossible_speed_is_refused(speed: float) -> None:
    """A speed that is not a positive finite number is the configuration's fault."""
    with pytest.raises(ConfigError):
        Hands().clock().move_to(0, speed=speed)
