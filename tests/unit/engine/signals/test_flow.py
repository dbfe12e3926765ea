"""Order-flow and depth imbalance: signs, and what interrupts them."""

import math

import pytest

from mm_daemon.domain.errors import DomainError
from mm_daemon.engine.signals.flow import OrderFlowImbalance, depth_imbalance, flow_event, ofi

_S = 1_000_000_000


def test_events_have_the_sign_of_the_pressure() -> None:
    """More bids, fewer asks, a higher price: up. Their mirror images: down."""
    base = (100.0, 5.0, 101.0, 5.0)
    assert flow_event(base, (100.0, 8.0, 101.0, 5.0)) == 3.0
    assert flow_event(base, (100.0, 5.0, 101.0, 2.0)) == 3.0
    assert flow_event(base, (101.0, 2.0, 102.0, 4.0)) == 2.0 + 5.0
    assert flow_event(base, (99.0, 2.0, 100.0, 4.0)) == -5.0 - 4.0
    assert flow_event(base, base) == 0.0


def test_no_updates_are_no_flow() -> None:
    """Nothing and a single touch have no event."""
    assert ofi([]) == ([], 0.0)
    assert ofi([(1.0, 1.0, 2.0, 1.0)]) == ([], 0.0)
    with pytest.raises(DomainError):
        ofi([(1.0, -1.0, 2.0, 1.0)])


def test_depth_imbalance_weights_levels() -> None:
    """From -1 to 1, deeper levels less; sides of different depth; an empty book is balanced."""
    assert depth_imbalance([1.0], [], 0.5) == 1.0
    assert depth_imbalance([], [1.0, 4.0], 0.5) == -1.0
    assert depth_imbalance([], [], 0.5) == 0.0
    assert depth_imbalance([2.0], [1.0, 2.0], 0.5) == 0.0
    assert depth_imbalance([3.0, 9.0], [1.0, 0.0], 0.0) == 0.5
    for bids, decay in (([-1.0], 0.5), ([1.0], -0.1), ([math.inf], 0.5), ([1e308, 1e308], 1.0)):
        with pytest.raises(DomainError):
            depth_imbalance(bids, [1.0], decay)


def test_value_is_flow_in_units_of_the_touch() -> None:
    """Ten lots a second onto a bid that stays at one size: ready after some events, positive, and decaying."""
    flow = OrderFlowImbalance(2.0)
    for second in range(30):
        flow.on_book(second * _S, 100, 10 + 10 * (second % 2), 101, 10)
        if second == 5:
            assert flow.value is None
    assert flow.value is not None
    assert flow.value == pytest.approx(flow.flow * 0.5 / 6.25, rel=0.7)


def test_lost_book_and_long_silence_are_no_flow() -> None:
    """What changed while the book was lost did not flow; after ten half-lives nothing is known."""
    flow = OrderFlowImbalance(2.0)
    for second in range(12):
        flow.on_book(second * _S, 100, 10, 101, 10)
    flow.lose_book()
    flow.on_book(13 * _S, 200, 99, 201, 5)
    assert flow.flow == 0.0
    flow.on_book(14 * _S, 200, 100, 201, 5)
    assert flow.flow == 1.0
    flow.on_book(14 * _S + 21 * _S, 200, 500, 201, 5)
    assert flow.flow == 0.0
    assert flow.value is None


def test_bad_touches_are_dropped() -> None:
    """Crossed, negative, not a number, older than the last."""
    flow = OrderFlowImbalance(2.0)
    flow.on_book(_S, 100, 10, 101, 10)
    before = flow.state()
    flow.on_book(2 * _S, 101, 10, 101, 10)
    flow.on_book(2 * _S, 100, -1, 101, 10)
    flow.on_book(2 * _S, 100, math.nan, 101, 10)
    flow.on_book(0, 100, 11, 101, 10)
    assert flow.dropped == 4
    assert flow.state() == before
