"""Backtests on venues that fail: the core asks, is shown its accounts, and ends with nothing open."""

from pathlib import Path

import pytest

from mm_daemon import registry
from mm_daemon.backtest.replay import verify
from mm_daemon.backtest.runner import BacktestRunner
from mm_daemon.backtest.sources import RecordedMarket
from mm_daemon.backtest.venues import compose
from mm_daemon.config.load import loads
from mm_daemon.simulation.faults import FaultPlan
from mm_daemon.simulation.policy import VenuePolicy, paper_capabilities
from mm_daemon.simulation.venue import SimulatedVenue
from mm_daemon.testkit.builders import VENUE, core_parameters, instrument
from tests.unit.backtest.doubles import ListFeed, tape

PLAN = FaultPlan(
    lose_command=0.05,
    late_command=0.05,
    lose_reply=0.05,
    late_reply=0.05,
    repeat_reply=0.05,
    unknown_reply=0.05,
    late_ms=1500,
)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_an_embedded_market_with_faults_is_played_to_a_clean_end(tmp_path: Path, seed: int) -> None:
    """Every outcome is found out, our position is the venue's, and the journal replays."""
    faults = ", ".join(f"{name}: {getattr(PLAN, name)}" for name in PLAN.__struct_fields__)
    text = f"""
version: 1
venues: {{sim: {{connector: sim, seed: {seed}, faults: {{{faults}}}}}}}
markets: [{{venue: sim, symbol: BTC-USDT, order_size: 0.01, max_position: 0.05}}]
"""
    parameters, sources = compose(loads(text, "c.yaml", settings_of=registry.settings_of, environ={}))
    runner = BacktestRunner(parameters, sources, journal=tmp_path / "j", duration_s=120)
    report = runner.run()
    assert report.clean
    assert report.fills > 0
    ((name, source),) = sources.items()
    assert not isinstance(source, RecordedMarket)
    shown = dict(source.snapshot(1 << 62).positions)
    assert {market.id: market.position.lots for market in runner.core.markets.values()} == shown, name
    replayed = verify(tmp_path / "j")
    assert replayed.ok, replayed.to_text()
    assert replayed.compared.queries > 0


def test_a_recording_with_faults_is_played_to_a_clean_end(tmp_path: Path) -> None:
    """The same on a recorded market, with the rules of paper."""
    policy = VenuePolicy(faults=PLAN)
    venue = SimulatedVenue(VENUE, [instrument()], policy)
    capabilities = paper_capabilities(policy, paper_capabilities(VenuePolicy(), core_parameters().venues[VENUE]))
    runner = BacktestRunner(
        core_parameters(capabilities=capabilities),
        {VENUE: RecordedMarket(ListFeed(list(tape(60))), venue)},
        journal=tmp_path / "j",
    )
    assert runner.run().clean
    assert dict(venue.account.positions) == {market.id: market.position.lots for market in runner.core.markets.values()}
    assert verify(tmp_path / "j").ok
