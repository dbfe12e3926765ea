"""What is assumed of the venue, in whole backtests: the core lives with it, and the report has it to the last digit."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from mm_daemon.backtest import Result, run
from mm_daemon.domain.codec import Record
from mm_daemon.domain.events import FundingPaid, FundingUpdate, MarketEvent, MarkPriceUpdate, OrderRejected, RateLimited
from mm_daemon.domain.instrument import Instrument
from mm_daemon.domain.orders import RejectKind
from mm_daemon.journal.log import JournalReader
from mm_daemon.testkit.builders import MS, SYMBOL, instrument
from tests.unit.backtest.doubles import tape

CONFIG = """
version: 1
venues:
  test: {connector: sim}
defaults: {fill_lockout_ms: 0, order_lockout_ms: 0, k: 2}
markets:
  - {venue: test, symbol: BTC-USDT, order_size: 0.01, max_position: 0.05}
"""
_DUE_MS = 22_000


class Tape:
    """A minute of a drifting market with fills, and funding of 10 bps due after 21 s."""

    def instruments(self) -> list[Instrument]:
        return [instrument(maker_fee_ppm=200, taker_fee_ppm=500)]

    def events(self) -> Iterator[MarketEvent]:
        for event in tape(60):
            yield event
            if event.ts_local_ns == 2000 * MS:
                yield MarkPriceUpdate(SYMBOL, 2000 * MS, 2000 * MS, 1_200_000)
                yield FundingUpdate(SYMBOL, 2000 * MS, 2000 * MS, 10**9, _DUE_MS * MS, 8 * 3600 * 10**9)


def played(**paper: object) -> Result:
    return run(CONFIG, {f"paper.{key}": value for key, value in paper.items()}, Tape())


def records(path: Path) -> Iterator[Record]:
    with JournalReader(path) as reader:
        for frame in reader:
            yield from frame.records


def test_the_outbox_keeps_within_limits_that_the_venue_enforces(tmp_path: Path) -> None:
    """Paced by the same budget that the venue refuses by: it sends less, and nothing is refused."""
    path = tmp_path / "paced.journal"
    limits = {"paper.rate_limits": [{"name": "orders", "capacity": 2, "period_ms": 2000}]}
    free, limited = played(), run(CONFIG, limits, Tape(), journal=path)
    sent = [one.report.orders_placed + one.report.orders_amended for one in (free, limited)]
    assert sent[1] < sent[0]
    assert not any(isinstance(record, RateLimited) for record in records(path))
    assert limited.report.clean


def test_a_link_that_bunches_meets_the_limit(tmp_path: Path) -> None:
    """Messages that were sent apart and arrive together pass the venue's window, and the core hears why."""
    path = tmp_path / "bunched.journal"
    paper = {"rate_limits": [{"name": "orders", "capacity": 2, "period_ms": 500}], "entry_samples_ms": [1, 900]}
    result = run(CONFIG, {f"paper.{key}": value for key, value in paper.items()}, Tape(), journal=path)
    told = list(records(path))
    refused = [record for record in told if isinstance(record, OrderRejected)]
    assert any(record.kind is RejectKind.RATE_LIMITED for record in refused)
    assert any(isinstance(record, RateLimited) for record in told)
    assert result.report.clean


def test_refusals_are_lived_through() -> None:
    """Half of all places refused: fewer rest, all is clean at the end, and the seed is the history."""
    refused = played(rejects={"place_chance": 0.5})
    assert refused.report.orders_rejected > 0
    assert refused.report.clean
    assert played(rejects={"place_chance": 0.5}).report.markets == refused.report.markets
    assert played(rejects={"cancel_chance": 0.9, "amend_chance": 0.5}).report.clean


def test_fees_of_a_tier_are_what_is_paid() -> None:
    """One tier from the start: its rate on all of the volume; the core prices with it as with a contract's own."""
    (market,) = played(fee_tiers=[{"from_volume": 0, "maker_bps": 1, "taker_bps": 4}]).report.markets
    assert market.maker_fills > 0
    assert market.taker_fills == 0
    assert market.pnl.fees == -market.volume / Decimal(10_000)
    (own,) = played().report.markets
    assert own.pnl.fees == -own.volume * 2 / Decimal(10_000)


def test_funding_is_booked_at_its_time(tmp_path: Path) -> None:
    """One payment, on the position of then, in the report's funding and in the curve."""
    path = tmp_path / "funded.journal"
    result = run(CONFIG, None, Tape(), journal=path)
    (paid,) = (record for record in records(path) if isinstance(record, FundingPaid))
    assert paid.ts_venue_ns == _DUE_MS * MS
    (market,) = result.report.markets
    held = result.market.position[result.market.time.astype("int64") <= _DUE_MS * MS][-1]
    assert held != 0
    assert float(market.pnl.funding) == pytest.approx(-held * 60_000 * 0.001)
    before = result.market.funding[result.market.time.astype("int64") < _DUE_MS * MS]
    assert not before.any()
    assert result.market.funding[-1] == pytest.approx(float(market.pnl.funding))


@pytest.mark.parametrize("feed_latency_ms", [0, 80])
def test_slower_market_data_change_when_everything_is_known(feed_latency_ms: float) -> None:
    """The run is as long, and starts as much later."""
    report = played(feed_latency_ms=feed_latency_ms, feed_floor_ms=0).report
    assert report.start_ns == (1000 + feed_latency_ms) * MS
    assert report.data_seconds == pytest.approx(59.9, abs=0.01)
    assert report.orders_placed
