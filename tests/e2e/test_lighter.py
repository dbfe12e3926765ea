"""A live daemon and the simulated Lighter, two real processes: quotes, fills, a stop; and a paper run on its feed."""

import json
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from mm_daemon.domain.money import from_pair
from mm_daemon.journal.run_reader import RunReader
from mm_daemon.journal.segments import runs_in
from tests.e2e.neutral import STOP_WITHIN_S, wait_for
from tests.e2e.test_recovery import DAEMON, PATIENCE_S, Life, positions, substituted
from tests.lighter import native_library
from tests.shared import ROOT

pytestmark = pytest.mark.e2e

SYMBOL = "ETH"
BUSY: dict[str, Any] = {
    "symbols": {
        SYMBOL: {"trades_per_second": 20, "funding_period_s": None, "maker_fee_bps": 0.4, "taker_fee_bps": 2.8}
    },
    "weight_per_minute": 1_000_000,
    "quota": 100_000,
}


class VenueProcess:
    """`mm-daemon simulate lighter` on a port of its own choice."""

    def __init__(self, folder: Path) -> None:
        file = folder / "venue.yaml"
        file.write_text(json.dumps(BUSY), "utf-8")
        command = [*DAEMON, "simulate", "lighter", "--port", "0", "--symbols", SYMBOL, "--settings", str(file)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, cwd=ROOT, text=True)
        watchdog = threading.Timer(PATIENCE_S, self._process.kill)
        watchdog.start()
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        watchdog.cancel()
        if not line.startswith("{"):
            self.end()
            raise AssertionError(line)
        told = json.loads(line)
        self.url, self.account, self.key = told["rest"], told["account_index"], told["api_keys"][0]["private_key"]

    def held(self) -> dict[str, Any]:
        """The account as the venue shows it."""
        url = f"{self.url}/api/v1/account?by=index&value={self.account}"
        with urllib.request.urlopen(url, timeout=PATIENCE_S) as reply:
            found: dict[str, Any] = json.load(reply)["accounts"][0]
            return found

    def end(self) -> None:
        self._process.terminate()
        assert self._process.wait(PATIENCE_S) == 0
        assert self._process.stdout is not None
        self._process.stdout.close()


@pytest.fixture
def venue(tmp_path: Path) -> Iterator[VenueProcess]:
    process = VenueProcess(tmp_path)
    yield process
    process.end()


_MORE = f"http: {{port: 0}}\nruntime: {{stop_timeout_s: {STOP_WITHIN_S}}}\n"


def test_live_run_quotes_is_filled_and_stops_clean(tmp_path: Path, venue: VenueProcess) -> None:
    """Signed by the venue's own library, from the start to exit 0 without an open order; both sides hold the same
    position and paid the same fees; the key is nowhere."""
    library, state_dir, key = native_library(), tmp_path / "state", tmp_path / "key"
    key.write_text(venue.key, "utf-8")
    text = substituted(
        (ROOT / "deploy/examples/lighter-testnet.yaml").read_text("utf-8"),
        state_dir=state_dir,
        network=f"testnet\n    url: {venue.url} #",
        account=venue.account,
        api_key_4=f"{{file: {key}}} #",
        tier="premium",
        signer_library=library,
        order_lockout_ms="50\n    fill_lockout_ms: 0\n    fees_in_model: false",
        k=5,
    )
    config = tmp_path / "live.yaml"
    config.write_text(f"{text}\n{_MORE}", "utf-8")
    life = Life(config)
    try:
        life.wait_for_quotes((SYMBOL,))
        wait_for(life, "fill", 5)
        assert life.stop() == 0, life.log
    finally:
        life.end()
    last = life.log[-1][1]
    assert (last["event"], last["confirmed"]) == ("stopped", True)

    shown = venue.held()
    assert shown["total_order_count"] == 0 and shown["cancel_all_time"] == 0
    rows = {row["market_id"]: int(row["sign"]) * Decimal(row["position"]) for row in shown["positions"]}
    records = [record for frame in RunReader(runs_in(state_dir / "journal")[-1]) for record in frame.records]
    (held,) = positions(records, to_the_end=True).values()
    assert Decimal(held.lots) / 1000 == rows.get(0, Decimal(0))
    mark = sum(Decimal(row["unrealized_pnl"]) for row in shown["positions"])
    worth = sum(
        int(row["sign"]) * Decimal(row["position"]) * Decimal(row["avg_entry_price"]) for row in shown["positions"]
    )
    cash = Decimal(from_pair(held.cash)) / 10**18
    collateral = Decimal(shown["collateral"]) - 100_000
    assert abs(cash + worth - collateral) < Decimal("0.001"), (cash, worth, collateral, mark)
    secret = venue.key.removeprefix("0x")
    assert secret not in str(life.log)
    for file in state_dir.rglob("*"):
        assert not file.is_file() or secret.encode() not in file.read_bytes(), file


def test_paper_run_on_the_venues_feed(tmp_path: Path, venue: VenueProcess) -> None:
    """No key, no library: the venue's market, orders executed here."""
    text = substituted(
        (ROOT / "deploy/examples/lighter-paper.yaml").read_text("utf-8"),
        state_dir=tmp_path / "state",
        network=f"mainnet\n    url: {venue.url} #",
    )
    config = tmp_path / "paper.yaml"
    config.write_text(f"{text}\n{_MORE}", "utf-8")
    life = Life(config)
    try:
        life.wait_for_quotes((SYMBOL,))
        assert life.stop() == 0, life.log
    finally:
        life.end()
    assert venue.held()["total_order_count"] == 0
