"""A live daemon on a spot pair of the simulated Hyperliquid, two processes: quotes, fills, stops, sudden deaths."""

import json
import subprocess
from collections.abc import Iterator
from decimal import Decimal
from math import ceil
from pathlib import Path

import pytest

from mm_daemon.domain.checkpoint import Checkpoint
from mm_daemon.domain.money import ATTO, from_pair
from mm_daemon.domain.reconciliation import DiffKind, Reconciled
from mm_daemon.journal.run_reader import RunReader
from mm_daemon.journal.segments import runs_in
from tests.e2e.neutral import wait_for
from tests.e2e.test_hyperliquid import BUSY, LiveDesk, VenueProcess
from tests.e2e.test_neutral import needs_proof
from tests.e2e.test_recovery import DAEMON, Life, positions, substituted
from tests.shared import ROOT

pytestmark = pytest.mark.e2e

SYMBOL, BASE = "HYPE/USDC", "HYPE"
DEPOSIT = Decimal(100_000)
LOT = Decimal("0.01")
HELD = Decimal(3)


class SpotProcess(VenueProcess):
    """The simulated venue with one spot pair, of whose base the accounts have `held`."""

    def __init__(self, folder: Path, held: Decimal = Decimal(0)) -> None:
        file = folder / "venue.yaml"
        coins = {SYMBOL: {**BUSY["coins"]["BTC"], "held": float(held)}}
        file.write_text(json.dumps({**BUSY, "coins": coins}), "utf-8")
        command = [*DAEMON, "simulate", "hyperliquid", "--port", "0", "--symbols", SYMBOL, "--settings", str(file)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, cwd=ROOT, text=True)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line.startswith("{"):
            self.end()
            raise AssertionError(line)
        told = json.loads(line)
        self.url, self.account = told["rest"], told["accounts"][0]


class SpotDesk(LiveDesk):
    """The test network's example on HYPE/USDC; what the account has of HYPE at the start is taken over."""

    def __init__(self, folder: Path, venue: VenueProcess, held: Decimal = Decimal(0)) -> None:
        self._held = held
        super().__init__(folder, venue)
        text = substituted(
            self.config.read_text("utf-8"),
            symbol=SYMBOL,
            order_size=1,
            max_position="6\n    min_position: 0",
            # Looks each second are more than the venue's minute allows; this one allows more.
            dead_man_ms="null\n    weight_per_minute: 100_000",
        )
        self.config.write_text(f"{text}\nreconcile: {{interval_s: 1, position_adopt: venue}}\n", "utf-8")

    def compare(self) -> None:
        """Nothing is open. Lots are the balance's whole ones and the surplus its rest, fees are the venue's with those
        in the base at their value, and cash is the venue's less what the base paid for, to the last unit."""
        venue = self.venue
        assert venue.ask("openOrders") == []
        records = [record for frame in RunReader(runs_in(self.state_dir / "journal")[-1]) for record in frame.records]
        (position,) = positions(records, to_the_end=True).values()
        balances = {row["coin"]: Decimal(row["total"]) for row in venue.ask("spotClearinghouseState")["balances"]}
        lots, rest = divmod(balances[BASE], LOT)
        assert (position.lots, from_pair(position.base_surplus)) == (lots, rest * ATTO)
        fills = list(reversed(venue.ask("userFills")))
        assert {fill["feeToken"] for fill in fills} == {BASE, "USDC"}
        base, quote, fees, cash, surplus = self._held, DEPOSIT, 0, 0, Decimal(0)
        for fill in fills:
            price, size, fee, sign = Decimal(fill["px"]), Decimal(fill["sz"]), Decimal(fill["fee"]), -1
            flow = price * size
            if fill["side"] == "B":
                assert fill["feeToken"] == BASE
                taken = ceil((fee - surplus) / LOT)
                surplus += taken * LOT - fee
                base += size - fee
                quote -= flow
                value = ceil(fee * price * ATTO)
                cash += int(taken * LOT * price * ATTO)
            else:
                assert fill["feeToken"] == "USDC"
                sign = 1
                base -= size
                quote += flow - fee
                value = int(fee * ATTO)
            fees += value
            cash += sign * int(flow * ATTO) - value
        assert (balances[BASE], balances["USDC"]) == (base, quote)
        assert from_pair(position.fees) == -fees
        if not self._held:
            assert from_pair(position.cash) == cash
        assert from_pair(position.funding) == 0
        found = [diff.kind for record in records if isinstance(record, Reconciled) for diff in record.diffs]
        assert bool(self._held) == (DiffKind.POSITION_ADOPTED in found)
        (*_, last) = [record for record in records if isinstance(record, Checkpoint)]
        assert [order for order in last.ledger.orders if order.final_ns is None] == []


@pytest.fixture
def venue(tmp_path: Path) -> Iterator[VenueProcess]:
    process = SpotProcess(tmp_path)
    yield process
    process.end()


def test_live_run_buys_first_then_sells_what_it_has(tmp_path: Path, venue: VenueProcess) -> None:
    """From nothing: both sides are filled, and at the end daemon and venue have the same balances."""
    desk = SpotDesk(tmp_path, venue)
    life = Life(desk.config)
    try:
        life.wait_for_quotes((SYMBOL,))
        wait_for(life, "fill", 12)
        desk.stop(life)
    finally:
        life.end()


def test_what_is_held_at_the_start_is_taken_over(tmp_path: Path) -> None:
    """With `position_adopt: venue` after a few looks: then it is quoted with, and sold."""
    venue = SpotProcess(tmp_path, HELD)
    desk = SpotDesk(tmp_path, venue, HELD)
    try:
        life = Life(desk.config)
        try:
            life.wait_for_quotes((SYMBOL,))
            wait_for(life, "fill", 8)
            desk.stop(life)
        finally:
            life.end()
    finally:
        venue.end()


def test_paper_example_quotes_a_spot_pair(tmp_path: Path, venue: VenueProcess) -> None:
    """The ready file, on the simulated venue: bought first, then sold, and stopped clean."""
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
        life.wait_for_quotes((SYMBOL,))
        wait_for(life, "fill", 1)
        assert life.stop() == 0, life.log
    finally:
        life.end()


@needs_proof
@pytest.mark.slow
def test_broken_links_and_sudden_deaths_change_no_balance(tmp_path: Path, venue: VenueProcess) -> None:
    """Orders outlive the daemon and are filled meanwhile; links break; what is left of a lot survives both."""
    desk = SpotDesk(tmp_path, venue)
    for _ in range(2):
        life = Life(desk.config)
        try:
            life.wait_for_quotes((SYMBOL,))
            wait_for(life, "fill", 4)
            venue.fault("disconnect")
            wait_for(life, "connected", 2)
            wait_for(life, "fill", 6)
        finally:
            life._process.kill()
            life.end()
    life = Life(desk.config)
    try:
        life.wait_for_quotes((SYMBOL,))
        wait_for(life, "fill", 4)
        venue.fault("half_open")
        wait_for(life, "connected", 2)
        desk.stop(life)
    finally:
        life.end()
