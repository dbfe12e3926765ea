"""The queue model behind recorded fills is found again, and what cannot be told is not told."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mm_daemon.backtest.queue.calibration import QueueReport, calibrate_queue, to_text
from mm_daemon.backtest.runner import run_backtest
from mm_daemon.backtest.sources import RecordedMarket
from mm_daemon.domain.events import BookSnapshot, MarketEvent
from mm_daemon.domain.orders import Side
from mm_daemon.domain.rng import Rng
from mm_daemon.engine.parameters import QuoteParameters
from mm_daemon.simulation.models import QueueModel
from mm_daemon.simulation.policy import VenuePolicy
from mm_daemon.simulation.venue import SimulatedVenue
from mm_daemon.testkit.builders import MS, SYMBOL, VENUE, core_parameters, instrument, market, trade
from tests.unit.backtest.doubles import ListFeed
from tests.unit.backtest.test_curves import walked

BID, ASK = 600_000, 600_001


class Standing:
    """A market that does not move: levels of a thousand lots, of which some cancel, some join and some trade.

    Queue places decide everything here: our orders join the touch and wait.
    """

    def __init__(self, seed: int, steps: int) -> None:
        self._rng = Rng(seed)
        self._steps = steps

    def events(self) -> Iterator[MarketEvent]:
        draw = self._rng.split("market").below
        sizes = {BID: 1000, ASK: 1000}
        now_ms = 1000
        for number in range(1, self._steps):
            now_ms += 50
            ticks = (BID, ASK)[draw(2)]
            side = Side.BUY if ticks == BID else Side.SELL
            lots = 1 + draw(60)
            what = draw(10)
            if what < 3:
                sold = min(lots // 2 + 1, sizes[ticks] - 100)
                if sold > 0:
                    yield trade(now_ms, Side(-side), ticks, sold, trade_id=number)
                    sizes[ticks] -= sold
            elif what < 7:
                sizes[ticks] = max(sizes[ticks] - lots, 100)
            else:
                sizes[ticks] = min(sizes[ticks] + lots + 10, 1500)
            at_ns = (now_ms + 5) * MS
            deep = tuple((BID - 1 - depth, 500) for depth in range(3)), tuple((ASK + 1 + d, 500) for d in range(3))
            bids, asks = ((BID, sizes[BID]), *deep[0]), ((ASK, sizes[ASK]), *deep[1])
            yield BookSnapshot(SYMBOL, at_ns, at_ns, bids, asks, number)


def traded(path: Path, policy: VenuePolicy, *, steps: int = 12_000, seed: int = 5) -> QueueReport:
    contract = instrument()
    quoting = QuoteParameters(
        model="fixed_spread",
        half_spread_bps=0.001,
        skew_bps_at_max=1e-6,
        improve_touch=False,
        fill_lockout_ms=0,
        order_lockout_ms=0,
        quote_max_age_s=40.0,
    )
    parameters = core_parameters(market(contract, order_lots=2, max_position_lots=100_000, quoting=quoting))
    feed = ListFeed(list(Standing(seed, steps).events()))
    run_backtest(parameters, {VENUE: RecordedMarket(feed, SimulatedVenue(VENUE, [contract], policy))}, journal=path)
    return calibrate_queue(path)


def test_the_careful_model_is_found_again(tmp_path: Path) -> None:
    """Its fills are those of the venue, stay by stay."""
    report = traded(tmp_path / "journal", VenuePolicy(entry_latency_ms=1, response_latency_ms=1))
    (only,) = report.markets
    careful = only.models[0]
    assert only.filled > 0
    assert careful.factor == pytest.approx(1.0, abs=0.02)
    assert only.suggestion.queue_model == QueueModel.RISK_AVERSE


@pytest.mark.parametrize("exponent", [1.0, 3.0])
def test_an_exponent_is_found_again(tmp_path: Path, exponent: float) -> None:
    policy = VenuePolicy(
        entry_latency_ms=1, response_latency_ms=1, queue_model=QueueModel.POWER, queue_exponent=exponent
    )
    report = traded(tmp_path / "journal", policy)
    (only,) = report.markets
    found = {model.exponent: model for model in only.models if model.model == QueueModel.POWER}[exponent]
    assert (found.factor, found.mismatch) == (pytest.approx(1.0, abs=0.01), pytest.approx(0.0, abs=1e-3))
    assert only.models[0].factor is not None
    assert only.models[0].factor > 1.2
    suggested = only.suggestion
    assert (suggested.queue_model, suggested.queue_exponent) == (QueueModel.POWER, exponent)
    assert suggested.certain
    assert suggested.low is not None
    assert suggested.high is not None
    assert suggested.low <= exponent <= suggested.high
    assert "queue_exponent" in suggested.yaml
    assert report.simulated
    assert "its own queue model is found" in to_text(report)


def test_fill_ratios_add_up(tmp_path: Path) -> None:
    policy = VenuePolicy(entry_latency_ms=1, response_latency_ms=1, queue_model=QueueModel.POWER)
    (only,) = traded(tmp_path / "journal", policy, steps=4000).markets
    for bins in (only.by_distance, only.by_queue):
        assert sum(one.stays for one in bins) == only.stays
        assert all(one.venue.low <= one.venue.value <= one.venue.high for one in bins)  # type: ignore[operator]
    ratios = [model.ratio for model in only.models]
    assert only.venue.value == pytest.approx(only.filled / only.offered)
    assert all(0.0 <= ratio <= 1.0 for ratio in ratios if ratio is not None)
    assert ratios[0] == min(ratio for ratio in ratios if ratio is not None)


def test_without_fills_nothing_is_told(tmp_path: Path) -> None:
    _, path = walked(tmp_path, [(700, 0, None), (700, 1, None)])
    (only,) = calibrate_queue(path).markets
    assert only.suggestion.queue_model == QueueModel.RISK_AVERSE
    assert not only.suggestion.certain
    assert "no order of ours was filled" in only.suggestion.why


def test_the_same_journal_says_the_same(tmp_path: Path) -> None:
    report = traded(tmp_path / "journal", VenuePolicy(), steps=2000)
    assert calibrate_queue(tmp_path / "journal").to_json() == report.to_json()
