"""A live daemon on a spot pair of the simulated Hyperliquid, two processes: quotes, fills, broken links, a stop."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from mm_daemon.journal.segments import runs_in
from tests.e2e.hyperliquid_process import HyperliquidSpotProcess
from tests.e2e.test_recovery import Life, positions, substituted
from tests.e2e.venue import LiveDesk, _records, events_of, trades_on, wait_for
from tests.shared import ROOT

pytestmark = pytest.mark.e2e

HELD = 3


@pytest.fixture
def venue(tmp_path: Path) -> Iterator[HyperliquidSpotProcess]:
    process = HyperliquidSpotProcess(tmp_path)
    yield process
    process.end()


@pytest.fixture
def desk(tmp_path: Path, venue: HyperliquidSpotProcess) -> LiveDesk:
    return LiveDesk(tmp_path, venue)


def test_live_run_buys_first_then_sells_what_it_has(desk: LiveDesk, venue: HyperliquidSpotProcess) -> None:
    """From nothing, through a link that breaks and one that falls silent: both sides are filled, and daemon and venue
    have the same balances, no lot was taken over unexplained."""
    with desk.living() as life:
        wait_for(life, "fill", 8)
        for kind in ("disconnect", "half_open"):
            connected = events_of(life, "connected")
            venue.fault(kind)
            wait_for(life, "connected", connected + 1)
            trades_on(life, 3)
        desk.stop(life)
    sides = {line["side"] for _, line in life.log if line["event"] == "fill"}
    assert sides == {"bid", "ask"}
    desk.differences()


def test_what_is_held_at_the_start_is_taken_over(tmp_path: Path) -> None:
    """With `position_adopt: venue` after a few looks: then it is quoted with, and sold."""
    coins = {"HYPE/USDC": {"trades_per_second": 20, "held": HELD}}
    venue = HyperliquidSpotProcess(tmp_path, coins=coins)
    try:
        # Looks each second are more than the venue's minute allows; this one allows more.
        desk = LiveDesk(tmp_path, venue, dead_man_ms=None, book="fast\n    weight_per_minute: 100_000")
        text = desk.config.read_text("utf-8")
        desk.config.write_text(f"{text}\nreconcile: {{interval_s: 1, position_adopt: venue}}\n", "utf-8")
        with desk.living() as life:
            wait_for(life, "fill", 8)
            assert life.stop() == 0, life.last_words()
        (held,) = positions(_records(runs_in(desk.state_dir / "journal")[-1]), to_the_end=True).values()
        rows = {row["coin"]: Decimal(row["total"]) for row in venue.ask("spotClearinghouseState")["balances"]}
        assert held.lots == rows[venue.base] // venue.lot
        assert not venue.open_orders()
    finally:
        venue.end()


def test_paper_example_quotes_a_spot_pair(tmp_path: Path, venue: HyperliquidSpotProcess) -> None:
    """The ready file, on the simulated venue: filled, and stopped clean."""
    text = substituted(
        (ROOT / "deploy/examples/hyperliquid-spot-paper.yaml").read_text("utf-8"),
        state_dir=tmp_path / "state",
        network=f"mainnet\n    url: {venue.url} #",
        k=5,
    )
    config = tmp_path / "paper.yaml"
    config.write_text(f"{text}\nhttp: {{port: 0}}\n", "utf-8")
    life = Life(config)
    try:
        life.wait_for_quotes((venue.symbol,))
        wait_for(life, "fill", 1)
        assert life.stop() == 0, life.last_words()
    finally:
        life.end()
