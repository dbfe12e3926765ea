"""The test network's example and the simulated Hyperliquid, two real processes: quotes, fills, faults, a stop."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.hyperliquid_process import HyperliquidProcess
from tests.e2e.venue import LiveDesk, events_of, trades_on, wait_for

pytestmark = pytest.mark.e2e


@pytest.fixture
def venue(tmp_path: Path) -> Iterator[HyperliquidProcess]:
    process = HyperliquidProcess(tmp_path)
    yield process
    process.end()


@pytest.fixture
def desk(tmp_path: Path, venue: HyperliquidProcess) -> LiveDesk:
    return LiveDesk(tmp_path, venue)


def test_live_run_quotes_is_filled_and_stops_clean(desk: LiveDesk, venue: HyperliquidProcess) -> None:
    """From the start to exit 0 without an open order, the account to the last digit; the key is nowhere."""
    life = desk.quote_and_stop(fills=5)
    secret = venue.account["private_key"].removeprefix("0x")
    assert secret not in str(life.log)
    for file in desk.state_dir.rglob("*"):
        assert not file.is_file() or secret.encode() not in file.read_bytes(), file


@pytest.mark.slow
def test_named_faults_change_no_figure(desk: LiveDesk, venue: HyperliquidProcess) -> None:
    """Links cut and half open, 429 for orders and for reads, failures and lost replies, an upgrade of the network: it
    quotes again after each, and at the end both have the same account."""
    with desk.living() as life:
        for kind, keys in (
            ("disconnect", {}),
            ("half_open", {}),
            ("rate_limit", {"on": "order"}),
            ("rate_limit", {"on": "batchModify", "times": 3}),
            ("ban", {"on": "batchModify", "ms": 2000}),
            ("server_error", {"on": "batchModify"}),
            ("lose_reply", {"on": "batchModify"}),
            ("lose_reply", {"on": "order"}),
            ("restart", {"ms": 500}),
        ):
            connected = events_of(life, "connected")
            venue.fault(kind, **keys)
            if kind in ("disconnect", "half_open", "restart"):
                wait_for(life, "connected", connected + 1)
            trades_on(life)
        desk.stop(life)
    struck = venue.struck()
    assert struck["rate_limit"] >= 3 and struck["ban"] and struck["server_error"] and struck["lose_reply"]
    desk.differences()


@pytest.mark.slow
def test_broken_links_change_no_figure(tmp_path: Path) -> None:
    """Fills told twice, late and out of order, links that break or fall silent: the account is the venue's."""
    kinds = {"duplicate": 0.1, "reorder": 0.05, "malformed": 0.02}
    chances = [{"fault": {"kind": kind}, "chance": chance} for kind, chance in kinds.items()]
    chances.append({"fault": {"kind": "delay_message", "on": "userFills", "ms": 150}, "chance": 0.2})
    chances.append({"fault": {"kind": "disconnect", "on": "orderUpdates"}, "chance": 0.02})
    venue = HyperliquidProcess(tmp_path, chances=chances)
    desk = LiveDesk(tmp_path, venue)
    try:
        with desk.living() as life:
            wait_for(life, "fill", 15)
            venue.fault("half_open")
            wait_for(life, "connected", 2)
            desk.stop(life)
    finally:
        venue.end()
