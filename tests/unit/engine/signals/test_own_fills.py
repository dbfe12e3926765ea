"""The intensity of our own fills, and how it is blended with the market's."""

import math

import pytest

from mm_daemon.domain.errors import DomainError
from mm_daemon.engine.signals.own_fills import OwnFillIntensity, OwnFit, blended

_S = 1_000_000_000


def fed() -> OwnFillIntensity:
    """Fills in exact proportion to 2 e^{-0.5 d} at three distances."""
    own = OwnFillIntensity(1e9, reach_bps=10.0, buckets=10)
    for bucket in (0.5, 2.5, 4.5):
        own.on_quoted(_S, bucket, 100.0 / math.exp(-0.5 * bucket))
        for _ in range(200):
            own.on_fill(_S, bucket)
    return own


def test_our_fills_give_a_and_k() -> None:
    """The line goes through the buckets' rates."""
    fit = fed().fit()
    assert fit is not None
    assert pytest.approx(2.0) == fit.A
    assert fit.k == pytest.approx(0.5)
    assert fit.n_eff == pytest.approx(600)


def test_no_line_is_no_fit() -> None:
    """One bucket, none, or fills that grow with distance."""
    own = OwnFillIntensity(60.0)
    assert own.fit() is None
    own.on_quoted(_S, 0.5, 10.0)
    own.on_fill(_S, 0.5)
    assert own.fit() is None
    own.on_quoted(_S, 3.5, 10.0)
    for _ in range(5):
        own.on_fill(_S, 3.5)
    assert own.fit() is None


def test_what_is_no_distance_is_dropped_and_what_is_too_far_passed_by() -> None:
    """NaN and time going back count as dropped; beyond the reach is simply not ours to judge."""
    own = fed()
    before = own.state()
    own.on_fill(_S, 99.0)
    own.on_quoted(_S, 99.0, 5.0)
    assert own.state() == before
    own.on_fill(_S, math.nan)
    own.on_fill(0, 1.0)
    own.on_quoted(_S, 1.0, -1.0)
    assert own.dropped == 3
    assert own.state() == before


def test_what_is_old_weighs_less() -> None:
    """After one half-life fills and exposure have halved: the rates stay, the sample shrinks."""
    own = OwnFillIntensity(10.0)
    own.on_quoted(_S, 0.5, 8.0)
    own.on_fill(_S, 0.5)
    own.on_quoted(11 * _S, 20.0, 1.0)
    assert own.state().exposures[0] == pytest.approx(4.0)
    assert own.state().fills[0] == pytest.approx(0.5)


def test_blend_lies_between_and_leans_to_the_larger_sample() -> None:
    """Without fills it is the market's; with many it is ours."""
    assert blended(2.0, 0.5, 100.0, None) == (2.0, 0.5)
    A, k = blended(2.0, 0.5, 100.0, OwnFit(0.5, 1.0, 1.0, 100.0))
    assert pytest.approx(1.0) == A
    assert k == pytest.approx(math.sqrt(0.5))
    A, k = blended(2.0, 0.5, 1.0, OwnFit(0.5, 1.0, 1.0, 1e6))
    assert k == pytest.approx(1.0, rel=1e-5)


def test_one_bucket_is_refused() -> None:
    """A line needs two."""
    with pytest.raises(DomainError):
        OwnFillIntensity(10.0, buckets=1)
