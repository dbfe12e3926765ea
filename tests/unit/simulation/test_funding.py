"""Funding of the embedded perpetual: published, paid at full periods, exact to the last unit."""

from decimal import Decimal
from itertools import pairwise

from mm_daemon.core.trading_core import TradingCore
from mm_daemon.domain.events import FundingPaid, FundingUpdate, MarkPriceUpdate, OrderFilled, RunStarted
from mm_daemon.domain.money import from_pair
from mm_daemon.domain.orders import Side
from mm_daemon.domain.rng import Rng
from mm_daemon.engine.inventory import Position
from mm_daemon.simulation.embedded import EmbeddedMarket, EmbeddedSettings, EmbeddedSymbol
from mm_daemon.simulation.flow import FlowSettings
from mm_daemon.simulation.funding import Funding, FundingTerms, funding_atto
from mm_daemon.testkit.builders import MS, SYMBOL, VENUE, core_parameters, instrument
from tests.simulated import Hand, place

SECOND = 1_000_000_000
MINUTE = FundingTerms(period_s=60, mean_bps=1.0, deviation_bps=0.5)


def _market(terms: FundingTerms | None = MINUTE) -> Hand:
    symbol = EmbeddedSymbol(
        instrument=instrument(),
        start_price=Decimal(60000),
        typical_size=Decimal("0.05"),
        flow=FlowSettings(),
        funding=terms,
    )
    return Hand(EmbeddedMarket(VENUE, [symbol], EmbeddedSettings()))


def _bought(hand: Hand, lots: int = 7) -> Hand:
    """A long position from the first second on."""
    hand.until(0)
    hand.send(1, place(1, Side.BUY, 700_000, lots, post_only=False, ioc=True))
    hand.until(1000)
    assert sum(fill.side * fill.lots for fill in hand.of(OrderFilled)) == lots
    return hand


def test_payment_is_position_times_mark_times_rate() -> None:
    """What is paid follows exactly from what was published before it, and is what our own estimate says."""
    hand = _bought(_market())
    hand.until(130_000)
    first, second = hand.of(FundingPaid)
    assert [paid.ts_venue_ns for paid in (first, second)] == [60 * SECOND, 120 * SECOND]
    for paid in (first, second):
        rate = [event for event in hand.of(FundingUpdate) if event.ts_venue_ns < paid.ts_venue_ns][-1]
        mark = [event for event in hand.of(MarkPriceUpdate) if event.ts_venue_ns < paid.ts_venue_ns][-1]
        assert rate.next_ns == paid.ts_venue_ns
        assert rate.period_ns == 60 * SECOND
        position = Position(instrument(), 7, mark.mark_half_ticks)
        assert from_pair(paid.amount) == position.estimate_funding(mark.mark_half_ticks, rate.rate_e12)
        assert (from_pair(paid.amount) < 0) is (rate.rate_e12 > 0), "longs pay a positive rate"
    assert first.payment_key != second.payment_key


def test_payment_reaches_the_profit_and_loss() -> None:
    """The core books the same amounts."""
    hand = _bought(_market())
    hand.until(70_000)
    core = TradingCore(core_parameters())
    core.apply(RunStarted(0, "test", ""))
    for event in hand.said:
        core.apply(event)
    (paid,) = hand.of(FundingPaid)
    assert core.markets[SYMBOL].position.funding_atto == from_pair(paid.amount) != 0


def test_no_position_no_payment() -> None:
    """The rate is published all the same, every few seconds, from the opening on."""
    hand = _market()
    hand.until(130_000)
    assert hand.of(FundingPaid) == []
    updates = hand.of(FundingUpdate)
    assert updates[0].ts_venue_ns == 0
    gaps = [b.ts_venue_ns - a.ts_venue_ns for a, b in pairwise(updates)]
    assert max(gaps) <= 3 * SECOND
    assert {update.next_ns for update in updates} == {60 * SECOND, 120 * SECOND, 180 * SECOND}


def test_spot_pays_nothing() -> None:
    """Without terms there is neither rate nor mark nor payment."""
    hand = _bought(_market(None))
    hand.until(130_000)
    assert hand.of(FundingUpdate) == hand.of(MarkPriceUpdate) == hand.of(FundingPaid) == []


def test_funding_does_not_change_the_market() -> None:
    """What others do is the same with and without it."""
    with_it, without = _market(), _market(None)
    for hand in (with_it, without):
        hand.until(30_000)
    about_funding = FundingUpdate | MarkPriceUpdate
    assert [event for event in with_it.said if not isinstance(event, about_funding)] == without.said


def test_amounts_are_rounded_against_us() -> None:
    """Half an atto received is none; half an atto paid is one."""
    assert funding_atto(-1, 1, 1, 10**12) == 0
    assert funding_atto(1, 1, 1, 10**12) == -1
    assert funding_atto(3, 2, 5, 10**12) == -15


def test_rate_wanders_about_its_mean() -> None:
    """Over days of updates the predicted rate averages to the mean and varies as asked for."""
    funding = Funding(FundingTerms(mean_bps=1.0, deviation_bps=0.5), Rng(3))
    funding.open(1234 * MS)
    rates = []
    while funding.next_ns < 700_000 * SECOND:
        funding.step(funding.next_ns)
        rates.append(funding.rate_e12 / 1e8)
    mean = sum(rates) / len(rates)
    assert abs(mean - 1.0) < 0.1
    assert abs((sum((rate - mean) ** 2 for rate in rates) / len(rates)) ** 0.5 - 0.5) < 0.1
