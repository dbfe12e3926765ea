"""The test network's example and the simulated Lighter, two real processes: quotes, fills, faults, a stop; and a paper
run on its feed."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.lighter_process import KEY_INDEX, SYMBOL, LighterKeysProcess, LighterProcess
from tests.e2e.test_recovery import PATIENCE_S, Life, substituted
from tests.e2e.venue import STOP_WITHIN_S, LiveDesk, trades_on, wait_for
from tests.shared import ROOT

pytestmark = pytest.mark.e2e

TOKEN_LIFE_S = 10
"""The shortest there may be."""


@pytest.fixture
def venue(tmp_path: Path) -> Iterator[LighterProcess]:
    process = LighterProcess(tmp_path)
    yield process
    process.end()


@pytest.fixture
def desk(tmp_path: Path, venue: LighterProcess) -> LiveDesk:
    return LiveDesk(tmp_path, venue)


def used_again(life: Life, venue: LighterProcess, index: int, jumped: int) -> None:
    """It trades on, and signs under a key whose next nonce was `jumped`."""
    trades_on(life)
    until_s = time.monotonic() + PATIENCE_S
    while venue.next_nonce(index) <= jumped:  # resting orders of before may fill first
        assert time.monotonic() < until_s
        trades_on(life, 1)


def test_live_run_quotes_is_filled_and_stops_clean(desk: LiveDesk, venue: LighterProcess) -> None:
    """From the start to exit 0 without an open order, the account as the venue has it; the key is nowhere."""
    life = desk.quote_and_stop(fills=5)
    secret = venue.private_key().removeprefix("0x")
    assert secret not in str(life.log)
    for file in desk.state_dir.rglob("*"):
        assert not file.is_file() or secret.encode() not in file.read_bytes(), file


def test_nonce_that_somebody_else_used_is_found_out(desk: LiveDesk, venue: LighterProcess) -> None:
    """The venue refuses with 21104 and used no nonce: the daemon asks for the next one, and quotes again."""
    with desk.living() as life:
        for _ in range(3):
            trades_on(life)
            used_again(life, venue, KEY_INDEX, venue.use_nonces(5))
        desk.stop(life)


def test_trouble_with_one_key_holds_up_no_other(tmp_path: Path) -> None:
    """Nonces that somebody else has used under one key, again and again: it is used again soon. Then that key is taken
    away, and so is the next one: a person is told, it goes on to quote, and stops clean with the last."""
    venue = LighterKeysProcess(tmp_path)
    try:
        desk = LiveDesk(tmp_path, venue)
        with desk.living() as life:
            trades_on(life)
            for _ in range(3):
                jumped, others = venue.use_nonces(5, 4), venue.next_nonce(5)
                used_again(life, venue, 5, others)
                used_again(life, venue, 4, jumped)
            for index, left in ((4, "5, 6"), (5, "6")):
                venue.remove_key(index)
                wait_for(life, "venue_trouble", 2 if index == 5 else 1)
                told = [line["text"] for _, line in tuple(life.log) if line["event"] == "venue_trouble"]
                assert f"refuses API key {index}" in told[-1] and f"go on: {left}." in told[-1]
                trades_on(life)
            desk.stop(life)
        desk.differences()
        for index in venue.used:
            secret = venue.private_key(index).removeprefix("0x")
            assert secret not in str(life.log)
            for file in desk.state_dir.rglob("*"):
                assert not file.is_file() or secret.encode() not in file.read_bytes(), file
    finally:
        venue.end()


def test_limits_of_requests_change_no_figure(desk: LiveDesk, venue: LighterProcess) -> None:
    """429 for transactions and for reads, and a ban of two seconds."""
    with desk.living() as life:
        for kind, times, ms in (("rate_limit", 3, 0), ("ban", 1, 2000)):
            venue.fault(kind, on="sendTx", times=times, ms=ms)
            trades_on(life)
        venue.fault("rate_limit", on="trades", times=2)
        venue.fault("disconnect")
        wait_for(life, "connected", 2)
        trades_on(life)
        desk.stop(life)
    struck = venue.struck()
    assert struck["rate_limit"] == 5 and struck["ban"] == 1


@pytest.mark.slow
def test_token_that_ends_is_another_in_time(tmp_path: Path, venue: LighterProcess) -> None:
    """Two lives of a token, and a link that comes back with the last one."""
    desk = LiveDesk(tmp_path, venue, tier=f"premium\n    auth_token_s: {TOKEN_LIFE_S}")
    with desk.living() as life:
        until_s = time.monotonic() + 2.1 * TOKEN_LIFE_S
        while time.monotonic() < until_s:
            trades_on(life)
        venue.fault("disconnect")
        wait_for(life, "connected", 2)
        trades_on(life)
        desk.stop(life)
    desk.differences()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["disconnect", "half_open", "restart"])
def test_broken_link_changes_no_figure(desk: LiveDesk, venue: LighterProcess, kind: str) -> None:
    """Cut, half open, or after a shutdown that the venue announces: it quotes again. Links that break more often than
    that spend the reads of a minute, which the venue limits, and quotes wait for the next one."""
    with desk.living() as life:
        trades_on(life)
        venue.fault(kind, ms=500)
        wait_for(life, "connected", 2)
        trades_on(life)
        desk.stop(life)
    desk.differences()


@pytest.mark.slow
def test_transactions_whose_outcome_nobody_tells_change_no_figure(desk: LiveDesk, venue: LighterProcess) -> None:
    """Failures, lost requests and lost replies: asked about, never sent twice."""
    with desk.living() as life:
        for kind, times in (("server_error", 2), ("lose_reply", 1), ("lose_request", 1)):
            venue.fault(kind, on="sendTx", times=times)
            trades_on(life)
        desk.stop(life)
    desk.differences()


def test_disturbed_streams_change_no_figure(tmp_path: Path) -> None:
    """Frames told twice, late, out of order and between noise: the account is the venue's."""
    kinds = {"duplicate": 0.1, "reorder": 0.05, "malformed": 0.02}
    chances = [{"fault": {"kind": kind}, "chance": chance} for kind, chance in kinds.items()]
    chances.append({"fault": {"kind": "delay_message", "on": "account_all_trades", "ms": 150}, "chance": 0.2})
    venue = LighterProcess(tmp_path, chances=chances)
    try:
        LiveDesk(tmp_path, venue).quote_and_stop(fills=10)
    finally:
        venue.end()


def test_paper_run_on_the_venues_feed(tmp_path: Path, venue: LighterProcess) -> None:
    """No key, no library: the venue's market, orders executed here."""
    text = substituted(
        (ROOT / "deploy/examples/lighter-paper.yaml").read_text("utf-8"),
        state_dir=tmp_path / "state",
        network=f"mainnet\n    url: {venue.url} #",
    )
    config = tmp_path / "paper.yaml"
    config.write_text(f"{text}\nhttp: {{port: 0}}\nruntime: {{stop_timeout_s: {STOP_WITHIN_S}}}\n", "utf-8")
    life = Life(config)
    try:
        life.wait_for_quotes((SYMBOL,))
        assert life.stop() == 0, life.log
    finally:
        life.end()
    assert venue.open_orders() == []
