"""The hedge rule at its edges."""

from typing import Any

import pytest

from mm_daemon.domain.errors import DomainError
from mm_daemon.domain.orders import Side
from mm_daemon.engine.hedging import Hedge, hedge_rule

_CASE: dict[str, Any] = {
    "position": 7.0,
    "target": 0.0,
    "threshold": 5.0,
    "ratio": 0.8,
    "min_size": 0.1,
    "lot": 0.01,
    "cost": 3.0,
    "skew": 1.5,
    "age": 0.0,
    "max_latency": 60.0,
}


def hedge(**changes: Any) -> Hedge:
    return hedge_rule(**{**_CASE, **changes})


def test_threshold_and_band_are_exceeded_strictly() -> None:
    """Exactly at either, the quotes keep the position."""
    assert hedge(position=5.0).side is None
    assert hedge(threshold=1.0, position=4.0).side is None
    assert hedge(threshold=1.0, position=4.01).side is Side.SELL


def test_without_skew_holding_costs_nothing() -> None:
    """The band is infinite; only age can force a hedge."""
    assert hedge(skew=0.0).band is None
    assert hedge(skew=0.0).lots == 0
    forced = hedge(skew=0.0, age=60.0)
    assert forced.forced
    assert forced.lots == 560


def test_distance_to_the_target_is_what_is_hedged() -> None:
    """Too short of the target is bought."""
    bought = hedge(position=2.0, target=10.0)
    assert bought.side is Side.BUY
    assert bought.size == pytest.approx(6.4)


def test_never_more_than_the_distance_and_never_too_little() -> None:
    """A ratio above one hedges all; below the least size nothing is done."""
    assert hedge(ratio=3.0).lots == 700
    small = hedge(min_size=6.0)
    assert (small.side, small.lots, small.size) == (None, 0, 0.0)
    assert hedge(ratio=0.0).side is None
    assert hedge(min_size=5.6).lots == 560


@pytest.mark.parametrize("name", ["threshold", "ratio", "min_size", "cost", "skew", "age", "max_latency"])
def test_negative_numbers_are_refused(name: str) -> None:
    """And a lot of zero, and positions that are no number."""
    for changes in ({name: -1.0}, {name: float("nan")}, {"lot": 0.0}, {"position": float("inf")}):
        with pytest.raises(DomainError):
            hedge(**changes)
