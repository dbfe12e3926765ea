"""The testnet configuration and simulated Binance USD-M, two real processes: it quotes, is filled, and survives."""

import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mm_daemon.domain.events import OrderRejected
from mm_daemon.domain.orders import RejectKind
from mm_daemon.domain.rng import Rng
from tests.binance_usdm import SYMBOL
from tests.e2e.binance_process import BinanceProcess, BnbDesk, BnbProcess, PaperDesk, TwoWayProcess
from tests.e2e.neutral_process import SECRET
from tests.e2e.test_neutral import needs_proof
from tests.e2e.test_recovery import DAEMON, PATIENCE_S, Life
from tests.e2e.venue import LiveDesk, events_of, trades_on, wait_for
from tests.shared import ROOT

pytestmark = pytest.mark.e2e


@pytest.fixture
def venue(tmp_path: Path) -> Iterator[BinanceProcess]:
    process = BinanceProcess(tmp_path)
    yield process
    process.end()


@pytest.fixture
def desk(tmp_path: Path, venue: BinanceProcess) -> LiveDesk:
    return LiveDesk(tmp_path, venue)


def test_live_run_quotes_is_filled_and_stops_clean(desk: LiveDesk) -> None:
    """From the start to exit 0 without an open order; what protects the orders is said, and no secret is."""
    life = desk.begin()
    try:
        life.wait_for_quotes((SYMBOL,))
        wait_for(life, "fill", 3)
        desk.stop(life)
    finally:
        life.end()
    said = {line["event"]: line["text"] for _, line in life.log if "text" in line}
    assert said["dead_man"] == "dead man's switch: venue cancels all after 10 s of silence"
    assert SECRET not in str(life.log) and "signature=" not in str(life.log) and "listenKey=" not in str(life.log)
    assert desk.venue.stop() == 0


@pytest.mark.slow
def test_links_that_break_and_limits_change_no_figure(desk: LiveDesk) -> None:
    """Cut off, each stream alone and all at once, half open, told to slow down, banned and told so on the way: it
    quotes again after each, and at the end both have the same account."""
    with desk.living() as life:
        for kind, keys in (
            ("disconnect", {"on": "/public"}),
            ("disconnect", {"on": "/market"}),
            ("disconnect", {"on": "/private"}),
            ("rate_limit", {"on": "POST /fapi/v1/", "ms": 900}),
            ("half_open", {"on": "/private"}),
            ("half_open", {}),
            ("ban", {"on": "POST /fapi/v1/", "ms": 2000}),
            ("disconnect", {}),
        ):
            connected = events_of(life, "connected")
            desk.venue.fault(kind, **keys)
            if kind in ("disconnect", "half_open") and keys.get("on") != "/market":
                wait_for(life, "connected", connected + 1)
            trades_on(life)
        desk.stop(life)
    struck = desk.venue.struck()
    assert struck["rate_limit"] and struck["ban"] and struck["disconnect"] == 4 and struck["half_open"] == 2
    desk.differences()


def test_bad_streams_change_no_figure(tmp_path: Path) -> None:
    """Messages twice, late, out of order, lost and garbled: the account is the venue's."""
    kinds = {"duplicate": 0.05, "reorder": 0.02, "lose_message": 0.01, "disconnect": 0.001}
    chances = [{"fault": {"kind": kind}, "chance": chance} for kind, chance in kinds.items()]
    chances.append({"fault": {"kind": "malformed", "on": "depthUpdate"}, "chance": 0.02})
    chances.append({"fault": {"kind": "delay_message", "on": "ORDER_TRADE_UPDATE:TRADE", "ms": 150}, "chance": 0.2})
    venue = BinanceProcess(tmp_path, chances=chances)
    desk = LiveDesk(tmp_path, venue)
    try:
        life = desk.begin()
        try:
            life.wait_for_quotes((SYMBOL,))
            fills = 15
            wait_for(life, "fill", fills)
            while not all(venue.struck()[kind] for kind in ("duplicate", "reorder", "malformed", "lose_message")):
                fills += 5
                wait_for(life, "fill", fills)
            desk.stop(life)
        finally:
            life.end()
    finally:
        venue.end()


@pytest.mark.slow
def test_lost_replies_and_failures_change_no_figure(desk: LiveDesk) -> None:
    """Orders, amends and cancels whose outcome nobody tells: asked for, never sent twice, proven dead or found alive,
    and the account is the venue's."""
    life = desk.begin()
    try:
        life.wait_for_quotes((SYMBOL,))
        wait_for(life, "fill", 2)
        for kind, on in (("lose_reply", "PUT"), ("lose_reply", "POST /fapi/v1/order"), ("server_error", "POST")):
            fills = sum(line["event"] == "fill" for _, line in life.log)
            desk.venue.fault(kind, on=on)
            wait_for(life, "fill", fills + 3)
        desk.stop(life)
    finally:
        life.end()
    assert desk.venue.struck()["lose_reply"] and desk.venue.struck()["server_error"]


def test_sudden_death_leaves_nothing_open_beyond_the_deadline(tmp_path: Path, venue: BinanceProcess) -> None:
    """Nobody starts the daemon again: the countdown has cancelled everything a second after it fell silent (R10)."""
    desk = LiveDesk(tmp_path, venue, dead_man_ms=1000)
    life = desk.begin()
    try:
        life.wait_for_quotes((SYMBOL,))
        wait_for(life, "fill")
        life._process.send_signal(signal.SIGKILL)
    finally:
        life.end()
    assert desk.until_nothing_is_open(within_s=3.0) < 2.0


def test_paper_on_market_data_of_the_venue_needs_no_key(tmp_path: Path, venue: BinanceProcess) -> None:
    """The ready paper configuration quotes and is filled here, and the venue never hears of an order."""
    desk = PaperDesk(tmp_path, venue)
    life = desk.begin()
    try:
        life.wait_for_quotes((SYMBOL,))
        wait_for(life, "fill")
        assert life.stop() == 0, life.log
    finally:
        life.end()
    assert not venue.account().open and not venue.account().holdings


@needs_proof
@pytest.mark.slow
def test_both_legs_survive_deaths_and_are_flattened(tmp_path: Path) -> None:
    """Two-way position mode: killed while it holds long and short, the next life has the venue's account to the last
    unit; no order was ever refused for want of a leg; an operator's flatten closes both."""
    venue = TwoWayProcess(tmp_path)
    desk = LiveDesk(tmp_path, venue)
    try:
        with desk.living() as life:
            box(venue, life)
            life._process.kill()
        held = venue.legs()
        assert held["LONG"] > 0 > held["SHORT"]
        for _ in range(2):
            desk.die_filled()
        with desk.living() as life:
            wait_for(life, "fill", 2)
            subprocess.run([*DAEMON, "flatten", "--config", str(desk.config)], check=True, cwd=ROOT, timeout=PATIENCE_S)
            deadline_s = time.monotonic() + PATIENCE_S
            while any(venue.legs().values()):
                assert time.monotonic() < deadline_s, (venue.legs(), life.last_words())
                time.sleep(0.1)
            desk.stop(life)
        desk.differences()
        rejected = [event for event in desk.records() if isinstance(event, OrderRejected)]
        assert not [event for event in rejected if event.kind is RejectKind.REDUCE_ONLY]
    finally:
        venue.end()


@needs_proof
@pytest.mark.slow
def test_fees_in_bnb_are_the_venues_through_deaths(tmp_path: Path) -> None:
    venue = BnbProcess(tmp_path)
    desk = BnbDesk(tmp_path, venue)
    try:
        for _ in range(2):
            desk.die_filled()
        desk.quote_and_stop(fills=3)
        desk.differences()
    finally:
        venue.end()


def box(venue: TwoWayProcess, life: Life) -> None:
    """Have orders filled until both legs are held: what is left of one is too small for the next order to close."""
    deadline_s = time.monotonic() + PATIENCE_S
    while len([size for size in venue.legs().values() if size]) < 2:
        assert time.monotonic() < deadline_s, (venue.legs(), life.last_words())
        venue.fill_towards_both_legs()
        time.sleep(0.2)


@needs_proof
def test_killed_at_random_moments_it_ends_with_the_venues_account(desk: LiveDesk) -> None:
    """Position, fees and P&L equal the venue's to the last unit after a few deaths, and no order is unknown."""
    rng = Rng(7)
    for _ in range(3):
        desk.kill_at(1.5 + 2.0 * rng.uniform())
    desk.quote_and_stop()
