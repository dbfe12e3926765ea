"""VPIN: buckets of equal volume, however the trades fall into them."""

import math

import pytest

from mm_daemon.domain.errors import DomainError
from mm_daemon.engine.signals.toxicity import Vpin


def test_one_way_flow_is_one_and_balanced_flow_zero() -> None:
    """Ready once as many buckets are full as are averaged."""
    one_way, balanced = Vpin(10.0, 3), Vpin(10.0, 3)
    for index in range(29):
        one_way.on_order(1.0)
        balanced.on_order(1.0 if index % 2 else -1.0)
    assert one_way.value is None
    assert one_way.mean == 1.0
    one_way.on_order(1.0)
    balanced.on_order(1.0)
    assert one_way.value == 1.0
    assert balanced.value == 0.0


def test_huge_trade_is_split_over_all_it_fills() -> None:
    """It closes the bucket at hand, fills many of its own, and leaves a remainder."""
    vpin = Vpin(10.0, 3)
    vpin.on_order(-4.0)
    vpin.on_order(1e9 + 9.0)
    assert vpin.full == 1 + 100_000_000
    assert vpin.value == 1.0
    vpin.on_order(-7.0)
    assert vpin.full == 2 + 100_000_000
    assert vpin.value == pytest.approx((1.0 + 1.0 + 0.4) / 3)


def test_only_the_last_buckets_count() -> None:
    """What is older than the average has no say."""
    vpin = Vpin(2.0, 2)
    for signed in (2.0, 2.0, 1.0, -1.0, -1.0, 1.0):
        vpin.on_order(signed)
    assert vpin.value == 0.0
    assert vpin.full == 4


def test_float_sizes_reach_the_edge() -> None:
    """Ten tenths fill a bucket of one."""
    vpin = Vpin(1.0, 1)
    for _ in range(10):
        vpin.on_order(0.1)
    assert vpin.full == 1
    assert vpin.value == 1.0


def test_what_is_no_size_is_dropped_and_bad_settings_refused() -> None:
    """Zero, NaN and infinity; a bucket of nothing and an average of none."""
    vpin = Vpin(1.0, 1)
    for signed in (0.0, math.nan, math.inf, -math.inf, 1e300):
        vpin.on_order(signed)
    assert vpin.dropped == 5
    assert vpin.mean is None
    with pytest.raises(DomainError):
        Vpin(0.0, 1)
    with pytest.raises(DomainError):
        Vpin(1.0, 0)


def test_state_of_another_average_is_left() -> None:
    """Buckets of five cannot go on as buckets of three."""
    five, three = Vpin(1.0, 5), Vpin(1.0, 3)
    five.on_order(4.0)
    three.restore(five.state())
    assert three.full == 0


def test_bucket_of_another_size_is_not_gone_on_with() -> None:
    """What half fills a large bucket would fill small ones many times over, all of them one-sided."""
    large, small = Vpin(100.0, 3), Vpin(1.0, 3)
    for signed in (50.0, -50.0, 50.0, -50.0, 50.0, -50.0, 80.0):
        large.on_order(signed)
    small.restore(large.state())
    small.on_order(-0.5)
    assert small.value == 0.0
