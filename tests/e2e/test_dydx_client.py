"""The venue's official client trades on the simulated venue as it would on the real one: only the URLs are others.

Its environment is made under `build/peers` where it is missing, which needs a package index: that is why it is slow.
"""

import json
import subprocess
import threading
from pathlib import Path

import pytest

from tests.bench.peers.environments import python_of
from tests.e2e.test_recovery import DAEMON, PATIENCE_S
from tests.shared import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.e2e]

_SETTINGS = {"block_ms": 50, "indexer_requests_per_10s": 10_000}
_CHECKS = 9


def test_official_client(tmp_path: Path) -> None:
    """It places, replaces, cancels, cancels in batches, trades, reads and listens, and is refused as it should be."""
    python = python_of("dydx_client")
    file = tmp_path / "venue.yaml"
    file.write_text(json.dumps(_SETTINGS), "utf-8")
    command = [*DAEMON, "simulate", "dydx", "--port", "0", "--symbols", "BTC-USD,ETH-USD", "--settings", str(file)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, cwd=ROOT, text=True)
    watchdog = threading.Timer(PATIENCE_S, process.kill)
    watchdog.start()
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        watchdog.cancel()
        url = json.loads(line)["rest"] if line.startswith("{") else line.split()[-1]
        script = ROOT / "tests/e2e/dydx_client_session.py"
        done = subprocess.run([str(python), str(script), url], capture_output=True, text=True, check=False, timeout=180)
    finally:
        watchdog.cancel()
        process.terminate()
        process.wait(PATIENCE_S)
        if process.stdout is not None:
            process.stdout.close()
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    assert len(json.loads(done.stdout.splitlines()[-1])) == _CHECKS
