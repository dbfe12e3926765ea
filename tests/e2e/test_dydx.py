"""The daemon lives on the simulated dYdX as a process, with the configuration that is shipped for the test network."""

import json
import signal
import subprocess
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_recovery import DAEMON, PATIENCE_S
from tests.shared import ROOT

pytestmark = pytest.mark.e2e

_SETTINGS = {
    "block_ms": 100,
    "indexer_requests_per_10s": 10_000,
    "markets": {"BTC-USD": {"trades_per_second": 20}},
}
_FILLS = 3


def _get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=PATIENCE_S) as reply:
        return json.load(reply)


def test_the_daemon_quotes_moves_fills_and_leaves_nothing_behind(tmp_path: Path) -> None:
    """It is killed by SIGINT and stops clean: every order cancelled and its end learned from the chain's height."""
    settings = tmp_path / "venue.yaml"
    settings.write_text(json.dumps(_SETTINGS), "utf-8")
    command = [*DAEMON, "simulate", "dydx", "--port", "0", "--symbols", "BTC-USD", "--settings", str(settings)]
    venue = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, cwd=ROOT, text=True)
    watchdog = threading.Timer(PATIENCE_S, venue.kill)
    watchdog.start()
    try:
        assert venue.stdout is not None
        line = venue.stdout.readline()
        watchdog.cancel()
        url = json.loads(line)["rest"] if line.startswith("{") else line.split()[-1]
        account = _get(f"{url}/control/venue")["accounts"][0]
        text = (ROOT / "deploy/examples/dydx-testnet.yaml").read_text("utf-8")
        for old, new in (
            ("state_dir: var/dydx-testnet", f"state_dir: {tmp_path / 'state'}"),
            ("network: testnet", f"network: local\n    indexer: {url}"),
            ("nodes: []", f"nodes: [{url}/nodes/a, {url}/nodes/b]"),
            ("requests_per_10s: 40", "requests_per_10s: 1000"),
            ("order_lockout_ms: 1000", "order_lockout_ms: 100\n    fill_lockout_ms: 100"),
        ):
            assert old in text
            text = text.replace(old, new)
        config = tmp_path / "config.yaml"
        config.write_text(text, "utf-8")
        daemon = subprocess.Popen(
            [*DAEMON, "run", "--config", str(config)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            cwd=ROOT,
            text=True,
            env={"DYDX_PRIVATE_KEY": account["private_key"], "PATH": ""},
        )
        watchdog = threading.Timer(2 * PATIENCE_S, daemon.kill)
        watchdog.start()
        where = f"address={account['address']}&subaccountNumber=0"
        until = time.monotonic() + PATIENCE_S
        while len(_get(f"{url}/v4/fills?{where}")["fills"]) < _FILLS and time.monotonic() < until:
            time.sleep(0.1)
        daemon.send_signal(signal.SIGINT)
        said, _ = daemon.communicate(timeout=PATIENCE_S)
        open_orders = _get(f"{url}/v4/orders?{where}&status=OPEN,BEST_EFFORT_OPENED")
        fills = _get(f"{url}/v4/fills?{where}")["fills"]
    finally:
        watchdog.cancel()
        venue.terminate()
        venue.wait(PATIENCE_S)
        if venue.stdout is not None:
            venue.stdout.close()
    assert daemon.returncode == 0, said[-4000:]
    assert open_orders == []
    assert len(fills) >= _FILLS and all(fill["liquidity"] == "MAKER" for fill in fills)
    lines = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    events = {each["event"] for each in lines}
    assert {"connected", "fill", "stopped"} <= events
    assert "kill_latched" not in said and "unexplained" not in said
    assert account["private_key"] not in said
    (stopped,) = [each for each in lines if each["event"] == "stopped"]
    assert stopped["confirmed"] is True
    (dead_man,) = [each["text"] for each in lines if each["event"] == "dead_man"]
    assert dead_man == "dead man's switch: each order ends by itself, at most 20 blocks ahead"
