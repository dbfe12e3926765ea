"""A live daemon and the simulated Hyperliquid, two real processes: quotes, fills, a stop, sudden deaths."""

import json
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from mm_daemon.domain.checkpoint import Checkpoint
from mm_daemon.domain.money import from_pair, from_text
from mm_daemon.journal.run_reader import RunReader
from mm_daemon.journal.segments import runs_in
from tests.e2e.neutral import STOP_WITHIN_S, wait_for
from tests.e2e.test_neutral import needs_proof
from tests.e2e.test_recovery import DAEMON, PATIENCE_S, Life, positions, substituted
from tests.shared import ROOT

pytestmark = pytest.mark.e2e

SYMBOL = "BTC"
BUSY: dict[str, Any] = {
    "coins": {SYMBOL: {"trades_per_second": 20}},
    "block_ms": 50,
    "fast_book_ms": 200,
    "funding_period_s": 10,
    "weight_per_minute": 100_000,
    "messages_per_minute": 100_000,
}


class VenueProcess:
    """`mm-daemon simulate hyperliquid` on a port of its own choice."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        file = folder / "venue.yaml"
        file.write_text(json.dumps({**BUSY, **settings}), "utf-8")
        command = [*DAEMON, "simulate", "hyperliquid", "--port", "0", "--symbols", "BTC", "--settings", str(file)]
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
        self.url, self.account = told["rest"], told["accounts"][0]

    def ask(self, kind: str, **keys: Any) -> Any:
        return self._post("/info", {"type": kind, "user": self.account["address"], **keys})

    def fault(self, kind: str, **keys: Any) -> None:
        self._post("/control/fault", {"kind": kind, **keys})

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, data=json.dumps(body).encode(), headers=headers)
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as reply:
            return json.load(reply)

    def end(self) -> None:
        self._process.terminate()
        assert self._process.wait(PATIENCE_S) == 0
        assert self._process.stdout is not None
        self._process.stdout.close()


class LiveDesk:
    """The test network's example on the simulated venue, through many lives."""

    def __init__(self, folder: Path, venue: VenueProcess) -> None:
        self.venue = venue
        self.state_dir = folder / "state"
        key = folder / "key"
        key.write_text(venue.account["private_key"], "utf-8")
        text = substituted(
            (ROOT / "deploy/examples/hyperliquid-testnet.yaml").read_text("utf-8"),
            state_dir=self.state_dir,
            network=f"testnet\n    url: {venue.url} #",
            private_key=f"{{file: {key}}} #",
            order_lockout_ms="50\n    fill_lockout_ms: 0\n    fees_in_model: false",
            k=5,
        )
        self.config = folder / "live.yaml"
        # An order that died on its way is proven dead some seconds after its validity: a stop waits for that.
        more = f"http: {{port: 0}}\nruntime: {{stop_timeout_s: {STOP_WITHIN_S}}}\n"
        self.config.write_text(f"{text}\n{more}", "utf-8")

    def stop(self, life: Life) -> None:
        """Stopped clean: nothing is open, and both sides have the same account."""
        assert life.stop() == 0, life.log
        last = life.log[-1][1]
        assert (last["event"], last["confirmed"]) == ("stopped", True)
        self.compare()

    def compare(self) -> None:
        """The daemon's position, cash, fees and funding are the venue's, to the last digit that the venue shows."""
        venue = self.venue
        assert venue.ask("openOrders") == []
        records = [record for frame in RunReader(runs_in(self.state_dir / "journal")[-1]) for record in frame.records]
        (held,) = positions(records, to_the_end=True).values()
        rows = venue.ask("clearinghouseState")["assetPositions"]
        shown = sum(Decimal(row["position"]["szi"]) for row in rows)
        assert Decimal(held.lots) / 100_000 == shown
        fills = venue.ask("userFills")
        assert fills
        fees = sum(from_text(fill["fee"])[0] for fill in fills)
        assert from_pair(held.fees) == -fees
        received = sum(from_text(row["delta"]["usdc"])[0] for row in venue.ask("userFunding", startTime=0))
        assert from_pair(held.funding) == received
        traded = sum(
            (1 if fill["side"] == "A" else -1) * from_text(str(Decimal(fill["px"]) * Decimal(fill["sz"])))[0]
            for fill in fills
        )
        assert from_pair(held.cash) == traded - fees + received
        (*_, last) = [record for record in records if isinstance(record, Checkpoint)]
        assert [order for order in last.ledger.orders if order.final_ns is None] == []


@pytest.fixture
def venue(tmp_path: Path) -> Iterator[VenueProcess]:
    process = VenueProcess(tmp_path)
    yield process
    process.end()


def test_live_run_quotes_is_filled_and_stops_clean(tmp_path: Path, venue: VenueProcess) -> None:
    """From the start to exit 0 without an open order, the account to the last digit; the key is nowhere."""
    desk = LiveDesk(tmp_path, venue)
    life = Life(desk.config)
    try:
        life.wait_for_quotes((SYMBOL,))
        wait_for(life, "fill", 5)
        desk.stop(life)
    finally:
        life.end()
    secret = venue.account["private_key"].removeprefix("0x")
    assert secret not in str(life.log)
    for file in desk.state_dir.rglob("*"):
        assert not file.is_file() or secret.encode() not in file.read_bytes(), file


@needs_proof
def test_killed_it_finds_its_orders_and_what_they_did_meanwhile(tmp_path: Path, venue: VenueProcess) -> None:
    """Orders outlive a dead daemon here: the next life books what they traded, cancels them, and quotes."""
    desk = LiveDesk(tmp_path, venue)
    for _ in range(2):
        life = Life(desk.config)
        try:
            life.wait_for_quotes((SYMBOL,))
            wait_for(life, "fill", 1)
        finally:
            life._process.kill()
            life.end()
    life = Life(desk.config)
    try:
        life.wait_for_quotes((SYMBOL,))
        wait_for(life, "fill", 2)
        desk.stop(life)
    finally:
        life.end()


@needs_proof
@pytest.mark.slow
def test_broken_links_change_no_figure(tmp_path: Path) -> None:
    """Fills told twice, late and out of order, links that break or fall silent: the account is the venue's."""
    kinds = {"duplicate": 0.1, "reorder": 0.05, "malformed": 0.02}
    chances = [{"fault": {"kind": kind}, "chance": chance} for kind, chance in kinds.items()]
    chances.append({"fault": {"kind": "delay_message", "on": "userFills", "ms": 150}, "chance": 0.2})
    chances.append({"fault": {"kind": "disconnect", "on": "orderUpdates"}, "chance": 0.02})
    venue = VenueProcess(tmp_path, chances=chances, new_connections_per_minute=1000)
    desk = LiveDesk(tmp_path, venue)
    try:
        life = Life(desk.config)
        try:
            life.wait_for_quotes((SYMBOL,))
            wait_for(life, "fill", 15)
            venue.fault("half_open")
            wait_for(life, "connected", 2)
            desk.stop(life)
        finally:
            life.end()
    finally:
        venue.end()
