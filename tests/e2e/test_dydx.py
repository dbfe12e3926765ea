"""The test network's example and the simulated dYdX, two real processes: quotes, fills, faults, a stop."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.dydx_process import SYMBOL, DydxProcess, StatefulDydxProcess
from tests.e2e.venue import LiveDesk, events_of, fills_of, trades_on, wait_for

pytestmark = pytest.mark.e2e

ORDER_BLOCKS = 16
"""Of the example: how long an order lives."""


@pytest.fixture
def venue(tmp_path: Path) -> Iterator[DydxProcess]:
    process = DydxProcess(tmp_path)
    yield process
    process.end()


@pytest.fixture
def desk(tmp_path: Path, venue: DydxProcess) -> LiveDesk:
    return LiveDesk(tmp_path, venue)


def test_live_run_quotes_is_filled_and_stops_clean(desk: LiveDesk, venue: DydxProcess) -> None:
    """Every order cancelled and its end learned from the chain's height; all fills are a maker's, no key is shown."""
    life = desk.quote_and_stop(fills=3)
    said = json.dumps([line for _, line in life.log])
    assert "kill_latched" not in said and "unexplained" not in said
    assert venue.told["accounts"][0]["private_key"] not in said
    (dead_man,) = [line["text"] for _, line in life.log if line["event"] == "dead_man"]
    assert dead_man == "dead man's switch: each order ends by itself, at most 20 blocks ahead"
    assert {fill["liquidity"] for fill in venue.fills()} == {"MAKER"}


def test_quote_that_nobody_cancels_dies_by_block_height(tmp_path: Path) -> None:
    """The daemon is dead for good, the chain goes on: each of its orders is gone with the block that it named, which is
    not far ahead, and not before."""
    venue = DydxProcess(tmp_path, markets={SYMBOL: {"trades_per_second": 0.001}}, block_ms=250)  # none is filled
    desk = LiveDesk(tmp_path, venue)
    try:
        with desk.living() as life:
            while not venue.open_orders():
                time.sleep(0.01)
            life._process.kill()
            life._process.wait()
        died_at = venue.height()
        ends: dict[str, int] = {}
        seen: dict[str, int] = {}
        while True:
            height = venue.height()
            still = {order["id"]: int(order["goodTilBlock"]) for order in venue.open_orders()}
            if not still:
                break
            assert height <= max(still.values()) <= died_at + ORDER_BLOCKS
            ends |= still
            seen |= dict.fromkeys(still, height)
            time.sleep(0.01)
        assert max(seen.values()) > died_at
        assert any(ends[each] - height <= 2 for each, height in seen.items())
        desk.quote_and_stop()
    finally:
        venue.end()


@pytest.mark.parametrize("on_orphan", ["cancel", "adopt"])
def test_stateful_quotes_outlive_the_daemon(tmp_path: Path, on_orphan: str) -> None:
    """It says so at the start. Killed behind a fill, its orders stand on while far more blocks pass than a short-term
    order lives, and some may fill; the next life ends them or goes on with them, and both have the same account."""
    venue = StatefulDydxProcess(tmp_path, markets={SYMBOL: {"trades_per_second": 5}}, block_ms=50)
    desk = LiveDesk(
        tmp_path,
        venue,
        order_size=0.5,  # more than takers take, so that something is left
        max_position=2.5,
        max_drawdown=5000,
        max_loss=5000,
        order_lockout_ms="3000\n    fill_lockout_ms: 0",
    )
    with desk.config.open("a", encoding="utf-8") as file:
        file.write(f"reconcile: {{on_orphan: {on_orphan}}}\n")
    try:
        with desk.living() as life:
            wait_for(life, "fill", 1)
            while not any(int(order["createdAtHeight"]) > venue.height() - 10 for order in venue.open_orders()):
                time.sleep(0.01)  # a fresh one, which is in its lockout: no cancel of it is on its way
            life._process.kill()
            life._process.wait()
        (dead_man,) = [line["text"] for _, line in life.log if line["event"] == "dead_man"]
        assert dead_man.endswith("its orders stay open until it starts again, at most 300 s each")
        died_at = venue.height()
        while venue.height() < died_at + 2 * ORDER_BLOCKS:
            time.sleep(0.02)
        left = venue.open_orders()
        assert {order["orderFlags"] for order in left} == {"64"}
        with desk.living() as life:
            still = [venue.read(f"/v4/orders/{order['id']}")["status"] for order in left]
            assert on_orphan == "adopt" or set(still) <= {"CANCELED", "FILLED"}
            wait_for(life, "fill", 1)
            desk.stop(life)
        desk.differences()
    finally:
        venue.end()


def test_node_that_is_dead_and_node_that_breaks_are_replaced(tmp_path: Path, venue: DydxProcess) -> None:
    """The first node was never there and the second breaks in the middle: orders go on by the third."""
    nodes = f"http://127.0.0.1:1, {venue.url}/nodes/a, {venue.url}/nodes/b"
    desk = LiveDesk(tmp_path, venue, nodes=f"[{nodes}]\n    node_rest: {venue.url} #")
    with desk.living() as life:
        trades_on(life)
        venue.fault("lose_request", on="/nodes/a", times=10_000)
        trades_on(life, 4)
        desk.stop(life)
    assert venue.struck()["lose_request"]


def test_missed_blocks_change_no_figure(desk: LiveDesk, venue: DydxProcess) -> None:
    """Blocks that the feed does not tell of, and a chain that makes none for three seconds."""
    with desk.living() as life:
        venue.fault("lose_message", on="v4_block_height", times=12)
        trades_on(life)
        venue.until_struck("lose_message", 12)
        venue.post("/control/halt", {"ms": 3000})
        time.sleep(3.0)
        trades_on(life)
        desk.stop(life)


@pytest.mark.slow
def test_named_faults_change_no_figure(desk: LiveDesk, venue: DydxProcess) -> None:
    """Links cut and half open, 429 of node and indexer, failures and lost replies, blocks without our matches, an
    indexer that falls behind: it quotes again after each, and at the end both have the same account."""
    with desk.living() as life:
        for kind, keys in (
            ("disconnect", {}),
            ("half_open", {}),
            ("rate_limit", {"on": "/nodes/", "times": 3}),
            ("rate_limit", {"on": "/v4/fills", "ms": 2000}),
            ("server_error", {"on": "/nodes/", "times": 2}),
            ("lose_reply", {"on": "/nodes/", "times": 2}),
            ("lose_request", {"on": "/nodes/", "times": 2}),
            ("restart", {"ms": 500}),
        ):
            connected = events_of(life, "connected")
            venue.fault(kind, **keys)
            if kind in ("disconnect", "half_open", "restart"):
                wait_for(life, "connected", connected + 1)
            trades_on(life)
        for trouble in ("drop_matches", "late_post_only", "untold", "undercollateralized", "miss_removal"):
            venue.post("/control/trouble", {"kind": trouble})
            trades_on(life)
        venue.post("/control/stream", {"lag_ms": 500})
        trades_on(life)
        venue.post("/control/stream", {"lag_ms": 0})
        trades_on(life)
        desk.stop(life)
    assert fills_of(life) >= 2 * 15
    desk.differences()
