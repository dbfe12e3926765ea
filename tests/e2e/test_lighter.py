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
from tests.e2e.test_neutral import needs_proof
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

    def __init__(self, folder: Path, **settings: Any) -> None:
        file = folder / "venue.yaml"
        file.write_text(json.dumps({**BUSY, **settings}), "utf-8")
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


def live_config(folder: Path, venue: VenueProcess) -> Path:
    """The test network's example on the simulated venue, signed by the venue's own library."""
    library, key = native_library(), folder / "key"
    key.write_text(venue.key, "utf-8")
    text = substituted(
        (ROOT / "deploy/examples/lighter-testnet.yaml").read_text("utf-8"),
        state_dir=folder / "state",
        network=f"testnet\n    url: {venue.url} #",
        account=venue.account,
        api_key_4=f"{{file: {key}}} #",
        tier="premium",
        signer_library=library,
        order_lockout_ms="50\n    fill_lockout_ms: 0\n    fees_in_model: false",
        k=5,
    )
    config = folder / "live.yaml"
    config.write_text(f"{text}\n{_MORE}", "utf-8")
    return config


def stopped_with_the_venues_account(life: Life, folder: Path, venue: VenueProcess) -> None:
    """Stopped clean: nothing is open, and both sides have the same position, and cash to the venue's last digits."""
    assert life.stop() == 0, life.log
    last = life.log[-1][1]
    assert (last["event"], last["confirmed"]) == ("stopped", True)
    shown = venue.held()
    assert shown["total_order_count"] == 0 and shown["cancel_all_time"] == 0
    held_there, worth = Decimal(0), Decimal(0)
    for row in shown["positions"]:
        held_there = int(row["sign"]) * Decimal(row["position"])
        worth = held_there * Decimal(row["avg_entry_price"])
    records = [record for frame in RunReader(runs_in(folder / "state/journal")[-1]) for record in frame.records]
    (held,) = positions(records, to_the_end=True).values()
    assert Decimal(held.lots) / 1000 == held_there
    cash, collateral = Decimal(from_pair(held.cash)) / 10**18, Decimal(shown["collateral"]) - 100_000
    assert abs(cash + worth - collateral) < Decimal("0.001"), (cash, worth, collateral)


def test_live_run_quotes_is_filled_and_stops_clean(tmp_path: Path, venue: VenueProcess) -> None:
    """From the start to exit 0 without an open order, the account as the venue has it; the key is nowhere."""
    life = Life(live_config(tmp_path, venue))
    try:
        life.wait_for_quotes((SYMBOL,))
        wait_for(life, "fill", 5)
        stopped_with_the_venues_account(life, tmp_path, venue)
    finally:
        life.end()
    secret = venue.key.removeprefix("0x")
    assert secret not in str(life.log)
    for file in (tmp_path / "state").rglob("*"):
        assert not file.is_file() or secret.encode() not in file.read_bytes(), file


@needs_proof
def test_killed_it_finds_its_orders_and_what_they_did_meanwhile(tmp_path: Path, venue: VenueProcess) -> None:
    """Orders outlive a dead daemon here: the next life books what they traded, cancels them, and quotes."""
    config = live_config(tmp_path, venue)
    life = Life(config)
    try:
        life.wait_for_quotes((SYMBOL,))
        wait_for(life, "fill", 1)
    finally:
        life._process.kill()
        life.end()
    life = Life(config)
    try:
        life.wait_for_quotes((SYMBOL,))
        wait_for(life, "fill", 2)
        stopped_with_the_venues_account(life, tmp_path, venue)
    finally:
        life.end()


def test_disturbed_streams_change_no_figure(tmp_path: Path) -> None:
    """Frames told twice, late, out of order and between noise: the account is the venue's."""
    kinds = {"duplicate": 0.1, "reorder": 0.05, "malformed": 0.02}
    chances = [{"fault": {"kind": kind}, "chance": chance} for kind, chance in kinds.items()]
    chances.append({"fault": {"kind": "delay_message", "on": "account_all_trades", "ms": 150}, "chance": 0.2})
    venue = VenueProcess(tmp_path, chances=chances)
    try:
        life = Life(live_config(tmp_path, venue))
        try:
            life.wait_for_quotes((SYMBOL,))
            wait_for(life, "fill", 10)
            stopped_with_the_venues_account(life, tmp_path, venue)
        finally:
            life.end()
    finally:
        venue.end()


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
