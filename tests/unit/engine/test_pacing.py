"""How long a decision may stand: shorter when the mid moves more, shorter near a limit, never below the least."""

from hypothesis import given
from hypothesis import strategies as st

from mm_daemon.core.market import MarketState
from mm_daemon.engine.pacing import adapted_interval_ns
from mm_daemon.engine.parameters import QuoteParameters
from mm_daemon.testkit import builders
from tests.unit.core.desk import MS, SYMBOL, Desk

BASE, LEAST = 100 * MS, 10 * MS


def test_the_interval_in_numbers() -> None:
    """Twice as volatile: a quarter. Half of the way from 0.7 to the limit: half. Both: an eighth."""
    assert adapted_interval_ns(BASE, LEAST, None, 0.0, 0.7) == BASE
    assert adapted_interval_ns(BASE, LEAST, 0.5, 0.7, 0.7) == BASE
    assert adapted_interval_ns(BASE, LEAST, 2.0, 0.0, 0.7) == BASE // 4
    assert adapted_interval_ns(BASE, LEAST, None, -0.75, 0.5) == BASE // 2
    assert adapted_interval_ns(BASE, LEAST, 2.0, 0.75, 0.5) == BASE // 8
    assert adapted_interval_ns(BASE, LEAST, 4.0, 0.0, 0.7) == LEAST
    assert adapted_interval_ns(BASE, LEAST, None, 1.0, 1.0) == BASE
    assert adapted_interval_ns(BASE, LEAST, None, 1.01, 1.0) == LEAST


@given(
    ratio=st.none() | st.floats(0.0, allow_nan=False),
    more=st.floats(1.0, 10.0),
    used=st.floats(allow_nan=False),
    at=st.floats(0.0, 1.0),
)
def test_it_stays_in_its_bounds_and_never_grows_with_risk(
    ratio: float | None, more: float, used: float, at: float
) -> None:
    """Whatever the numbers; more volatility or more inventory never makes it longer."""
    interval = adapted_interval_ns(BASE, LEAST, ratio, used, at)
    assert LEAST <= interval <= BASE
    assert adapted_interval_ns(BASE, LEAST, None if ratio is None else ratio * more, used, at) <= interval
    assert adapted_interval_ns(BASE, LEAST, ratio, used * more, at) <= interval


def test_a_market_paces_itself_by_its_position() -> None:
    """At the limit a quote is decided again after the least interval; flat, after the usual one."""
    quoting = QuoteParameters(decide_interval_ms=100, decide_interval_min_ms=5, inventory_widen_at=0.5)
    desk = Desk(builders.core_parameters(builders.market(quoting=quoting, max_position_lots=10)))
    market = desk.core.markets[SYMBOL]
    desk.acknowledge(desk.open_market(), 10)
    assert market.decide_interval_ns == 100 * MS
    side_lots = desk.quote(1).lots  # type: ignore[arg-type]
    desk.fill(desk.quote(1).side, side_lots, 20)  # type: ignore[arg-type]
    assert market.decide_interval_ns == 5 * MS
    assert not market.decision_due(24 * MS)
    assert market.decision_due(25 * MS)


def test_off_nothing_is_measured_for_it() -> None:
    """Null: the interval stays, and no estimator is made."""
    market = MarketState(builders.market())
    assert market.min_interval_ns is None
    assert market.engine.conditions.signals is None
    measured = MarketState(builders.market(quoting=QuoteParameters(decide_interval_min_ms=5)))
    assert measured.engine.conditions.signals is not None
