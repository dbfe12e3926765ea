"""Bursts of takers: an arrival raises what follows, mostly on its own side, and time lets it fade."""

import pytest

from mm_daemon.domain.orders import Side
from mm_daemon.domain.rng import Rng
from mm_daemon.simulation.arrivals import Arrivals

BUY, SELL = Side.BUY, Side.SELL
SECOND = 1_000_000_000


def test_an_arrival_brings_others_and_is_forgotten() -> None:
    """Its followers add up to `followers` over all time, three quarters of them on its own side."""
    arrivals = Arrivals(rate=0.0, followers=0.6, memory_s=2.0)
    assert arrivals.intensity(BUY, 1.0) == 0.0
    arrivals.arrived(BUY)
    assert 2.0 * arrivals.intensity(BUY, 1.0) == pytest.approx(0.75 * 0.6)
    assert 2.0 * arrivals.intensity(SELL, 1.0) == pytest.approx(0.25 * 0.6)
    arrivals.advance(2 * SECOND)
    assert 2.0 * arrivals.intensity(BUY, 1.0) == pytest.approx(0.75 * 0.6 / 2.718281828)
    arrivals.advance(200 * SECOND)
    assert arrivals.intensity(BUY, 1.0) < 1e-12


def test_rate_is_what_was_asked_for() -> None:
    """However much of it is followers, the long-run mean is the rate."""
    arrivals = Arrivals(rate=5.0, followers=0.7, memory_s=3.0)
    rng = Rng(4)
    now_ns = count = 0
    while now_ns < 4000 * SECOND:
        bound = arrivals.intensity(BUY, 1.0) + arrivals.intensity(SELL, 1.0)
        now_ns += 1 + int(rng.exponential(bound) * SECOND)
        arrivals.advance(now_ns)
        choice = rng.uniform() * bound
        for side in (BUY, SELL):
            choice -= arrivals.intensity(side, 1.0)
            if choice < 0.0:
                arrivals.arrived(side)
                count += 1
                break
    assert count / 4000 == pytest.approx(5.0, rel=0.05)


def test_without_followers_only_activity_changes_the_rate() -> None:
    """Plain Poisson arrivals, scaled by how lively the market is."""
    arrivals = Arrivals(rate=4.0, followers=0.0, memory_s=1.0)
    arrivals.arrived(BUY)
    assert arrivals.intensity(BUY, 1.0) == arrivals.intensity(SELL, 1.0) == 2.0
    assert arrivals.intensity(BUY, 1.5) == 3.0
