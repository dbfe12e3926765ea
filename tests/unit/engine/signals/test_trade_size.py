"""Trades that are too large, alone or together."""

import math

import pytest

from mm_daemon.domain.errors import DomainError
from mm_daemon.engine.signals.trade_size import SignedVolume, SizeOutlier

_S = 1_000_000_000


def usual(outlier: SizeOutlier, count: int = 50) -> SizeOutlier:
    for index in range(count):
        outlier.on_order(index * _S, 5 + index % 4)
    return outlier


def test_large_trade_is_flagged_and_still_counts() -> None:
    """One of fifty usual ones is flagged; after it another is less unusual."""
    outlier = usual(SizeOutlier(60.0, 4.0, 10))
    assert not outlier.flagged
    outlier.on_order(50 * _S, 200)
    assert outlier.flagged
    first = outlier.z
    outlier.on_order(51 * _S, 200)
    assert outlier.z < first


def test_nothing_is_unusual_before_enough_was_seen() -> None:
    """Below `min_n` z is zero."""
    outlier = SizeOutlier(60.0, 1.0, 10)
    for size in (1, 1, 1000):
        outlier.on_order(_S, size)
    assert outlier.z == 0.0
    assert not outlier.flagged


def test_same_sizes_all_along_are_no_infinite_z() -> None:
    """Without a floor nothing can be said; with one, a much larger trade is an outlier."""
    bare, floored = SizeOutlier(60.0, 4.0, 5), SizeOutlier(60.0, 4.0, 5, least_sd=0.1)
    for outlier in (bare, floored):
        for second in range(10):
            outlier.on_order(second * _S, 1)
        outlier.on_order(10 * _S, 1000)
    assert bare.z == 0.0
    assert floored.z == pytest.approx(math.log(1000) / 0.1)
    assert floored.flagged


def test_silence_and_bad_sizes() -> None:
    """After ten half-lives it learns anew; bad input is dropped, flags nothing and changes nothing."""
    outlier = usual(SizeOutlier(60.0, 4.0, 10))
    for size in (0, -1, math.nan, math.inf):
        outlier.on_order(60 * _S, size)
    outlier.on_order(1, 5)
    assert outlier.dropped == 5
    assert outlier.seen == 50
    outlier.on_order(49 * _S + 601 * _S, 1000)
    assert outlier.seen == 1
    assert not outlier.flagged
    with pytest.raises(DomainError):
        SizeOutlier(60.0, 4.0, 0)


def test_signed_volume_tells_who_presses() -> None:
    """Buying more than the ask shows, or selling more than the bid does; it decays."""
    volume = SignedVolume(1.0)
    volume.on_order(_S, True, 8)
    volume.on_order(2 * _S, True, 8)
    assert volume.value == 12.0
    assert volume.outweighs(2 * _S, 2.0, 100, 5) == 1
    assert volume.outweighs(2 * _S, 2.0, 5, 6) == 0
    assert volume.outweighs(4 * _S, 2.0, 100, 5) == 0
    volume.on_order(2 * _S, False, 40)
    assert volume.value == -28.0
    assert volume.outweighs(2 * _S, 2.0, 10, 1) == -1
    volume.on_order(_S, True, 8)
    volume.on_order(3 * _S, True, math.nan)
    assert volume.dropped == 2
    volume.lose_clock()
    assert volume.at(0) == 0.0
