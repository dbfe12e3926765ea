"""The fair price: as volatile as asked for, in clusters, known to the public only after a while."""

import math
from itertools import pairwise
from statistics import fmean

import pytest

from mm_daemon.domain.rng import Rng
from mm_daemon.simulation.fair_price import STEP_NS, FairPrice
from tests.market_facts import autocorrelation, kurtosis

SECOND = 1_000_000_000


def _price(seed: int = 1, *, volatility: float = 0.5, log_deviation: float = 0.7, lag_s: float = 1.5) -> FairPrice:
    return FairPrice(
        Rng(seed), ticks=600_000.0, volatility=volatility, log_deviation=log_deviation, memory_s=120.0, lag_s=lag_s
    )


def _returns(price: FairPrice, seconds: int, step_s: int) -> list[float]:
    path = []
    for second in range(0, seconds, step_s):
        price.advance(second * SECOND)
        path.append(price.fair_ticks)
    return [math.log(b / a) for a, b in pairwise(path)]


def test_volatility_is_what_was_asked_for() -> None:
    """The root mean square over hours is the annual figure."""
    returns = _returns(_price(log_deviation=0.5), 40_000, 10)
    annual = math.sqrt(fmean([r * r for r in returns]) * 31_536_000 / 10)
    assert annual == pytest.approx(0.5, rel=0.1)


def test_absolute_returns_cluster_and_tails_are_heavy() -> None:
    """With dispersion they do; without it the walk is a plain one."""
    wild = _returns(_price(), 10_000, 10)
    plain = _returns(_price(log_deviation=0.0), 10_000, 10)
    assert autocorrelation([abs(r) for r in wild], 1) > 0.15 > abs(autocorrelation([abs(r) for r in plain], 1))
    assert kurtosis(wild) > 4 > kurtosis(plain)


def test_public_follows_and_can_be_pushed_but_the_news_cannot() -> None:
    """A trade moves beliefs, which then return to fair; the path of fair is the same."""
    pushed, left = _price(), _price()
    pushed.push(50.0)
    for price in (pushed, left):
        price.advance(STEP_NS)
    assert pushed.fair_ticks == left.fair_ticks
    assert 45.0 < pushed.public_ticks - left.public_ticks < 50.0
    for price in (pushed, left):
        price.advance(30 * SECOND)
    assert pushed.fair_ticks == left.fair_ticks
    assert abs(pushed.public_ticks - left.public_ticks) < 0.001


def test_still_price_stays() -> None:
    """No volatility, no move."""
    price = _price(volatility=0.0)
    price.advance(1000 * SECOND)
    assert price.fair_ticks == price.public_ticks == 600_000.0


def test_activity_is_bounded() -> None:
    """Makers widen and takers hurry in wild times, within reason."""
    price = _price(log_deviation=1.5)
    seen = []
    for second in range(5000):
        price.advance(second * SECOND)
        seen.append(price.activity)
    assert min(seen) == 0.5
    assert 1.5 < max(seen) <= 3.0
