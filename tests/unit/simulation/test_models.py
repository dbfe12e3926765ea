"""Place in the queue, latencies, the feed's clock and fees, each on its own."""

import math

import pytest

from mm_daemon.domain.errors import DomainError
from mm_daemon.domain.rng import Rng
from mm_daemon.simulation.models import (
    FRONT_UNKNOWN,
    FeedClock,
    FeeSchedule,
    QueueModel,
    QueuePosition,
    chance_behind,
    latency_model,
)
from mm_daemon.testkit.builders import MS, instrument


def test_risk_averse_queue_believes_no_cancel_before_us() -> None:
    """Cancels stand behind us until the level itself is smaller than our front."""
    queue = QueuePosition(QueueModel.RISK_AVERSE, 1.0, 100, 100.0)
    queue.depth(150)
    queue.depth(110)
    assert queue.front_lots == 100.0
    queue.depth(40)
    assert queue.front_lots == 40.0


@pytest.mark.parametrize("model", list(QueueModel))
def test_cancels_alone_never_fill(model: QueueModel) -> None:
    """Whatever the model, a vanished level leaves us at the front, and only a trade fills us."""
    queue = QueuePosition(model, 2.0, 100, 100.0)
    queue.depth(300)
    queue.depth(0)
    assert queue.front_lots == 0.0
    assert queue.trade(3, 10, 3) == 3


@pytest.mark.parametrize(
    ("model", "exponent", "expected"),
    [
        (QueueModel.RISK_AVERSE, 1.0, 1.0),
        (QueueModel.POWER, 1.0, 0.25),
        (QueueModel.POWER, 3.0, 1.0 / 28.0),
        (QueueModel.POWER2, 2.0, 1.0 / 16.0),
        (QueueModel.POWER3, 2.0, 1.0 - 0.5625),
        (QueueModel.LOG, 1.0, math.log(26) / (math.log(26) + math.log(76))),
        (QueueModel.LOG2, 1.0, math.log(26) / math.log(101)),
    ],
)
def test_chance_behind_follows_the_formula(model: QueueModel, exponent: float, expected: float) -> None:
    """EXECUTION 8 with 75 lots before and 25 behind us."""
    assert chance_behind(model, exponent, 75.0, 25.0) == pytest.approx(expected, rel=1e-12)
    assert chance_behind(model, exponent, 0.0, 0.0) == 1.0


def test_unknown_front_becomes_the_whole_level_when_it_is_shown() -> None:
    """At a price that was never displayed nobody is taken to stand behind us."""
    queue = QueuePosition(QueueModel.POWER, 1.0, 0, FRONT_UNKNOWN)
    assert queue.trade(50, 10, 50) == 0
    queue.depth(80)
    assert queue.front_lots == 80.0


def test_gap_credits_no_cancels() -> None:
    """After a gap the front is only capped by what is displayed."""
    queue = QueuePosition(QueueModel.POWER, 1.0, 100, 50.0)
    queue.resynchronise(60)
    assert queue.front_lots == 50.0
    queue.resynchronise(20)
    assert queue.front_lots == 20.0


def test_latency_is_constant_or_drawn_from_measurements() -> None:
    """Samples replace the constant, and one seed draws one sequence."""
    assert latency_model(2.5, (), Rng(1)).draw(0) == 2_500_000
    first, second = (latency_model(2.5, (1.0, 4.0), Rng(7)) for _ in range(2))
    draws = [first.draw(0) for _ in range(50)]
    assert draws == [second.draw(0) for _ in range(50)]
    assert set(draws) == {1 * MS, 4 * MS}


def test_negative_latency_is_refused() -> None:
    """A reply cannot come before its question."""
    with pytest.raises(DomainError):
        latency_model(1.0, (2.0, -1.0), Rng(1))


def test_feed_clock_removes_a_constant_clock_error() -> None:
    """A venue clock that is 1269 ms ahead gives the same venue time as an exact one, and the floor is kept."""
    ahead, exact = FeedClock(2 * MS), FeedClock(2 * MS)
    seen = []
    for local_ms, latency_ms in ((10_000, 5), (10_100, 3), (10_200, 9)):
        happened_ms = local_ms - latency_ms
        seen.append(exact.observe(happened_ms * MS, local_ms * MS))
        assert ahead.observe((happened_ms + 1269) * MS, local_ms * MS) == seen[-1]
    assert seen[-1] == (10_200 - (9 - 3) - 2) * MS
    assert ahead.venue_ns(seen[-1]) == (10_200 - 9 + 1269) * MS


def test_event_without_a_venue_time_does_not_move_the_feed_clock() -> None:
    """A zero venue time says nothing about latency."""
    clock = FeedClock(0)
    assert clock.observe(0, 5_000 * MS) == 0
    assert clock.observe(4_990 * MS, 5_000 * MS) == 5_000 * MS


def test_fees_are_exact_and_by_role() -> None:
    """2 bps of 10 lots at 60000.0 by hand; a rebate is negative."""
    fees = FeeSchedule(instrument(maker_fee_ppm=-50, taker_fee_ppm=200))
    assert fees.fee_atto(600_000, 10, maker=False) == 120 * 10**15
    assert fees.fee_atto(600_000, 10, maker=True) == -30 * 10**15


def test_fee_below_one_atto_is_rounded_against_us() -> None:
    """Of a notional of 3 atto, 1 ppm costs one atto and a rebate of 1 ppm pays nothing."""
    dust = {"tick": "0.000000001", "lot": "0.000000001"}
    fees = FeeSchedule(instrument(**dust, maker_fee_ppm=-1, taker_fee_ppm=1))
    assert fees.fee_atto(3, 1, maker=False) == 1
    assert fees.fee_atto(3, 1, maker=True) == 0


def test_instrument_whose_notional_is_no_whole_atto_is_refused() -> None:
    """Money must stay exact, so a finer grid cannot be traded here."""
    with pytest.raises(DomainError, match="whole number"):
        FeeSchedule(instrument(tick="0.0000000001", lot="0.0000000001"))
