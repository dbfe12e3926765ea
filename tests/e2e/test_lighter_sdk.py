"""The venue's official SDK trades on the simulated venue as it would on the real one: only the addresses are others.

Its environment is made under `build/peers` where it is missing, which needs a package index: that is why this is slow.
"""

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.bench.peers.environments import python_of
from tests.e2e.test_recovery import DAEMON, PATIENCE_S
from tests.shared import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.e2e]


@contextmanager
def simulated() -> Iterator[str]:
    """`mm-daemon simulate lighter` on a port of its own choice; the line it printed."""
    command = [*DAEMON, "simulate", "lighter", "--port", "0", "--seed", "3", "--symbols", "ETH,BTC"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, cwd=ROOT, text=True)
    watchdog = threading.Timer(PATIENCE_S, process.kill)
    watchdog.start()
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        watchdog.cancel()
        yield line
    finally:
        watchdog.cancel()
        process.terminate()
        assert process.wait(PATIENCE_S) == 0
        assert process.stdout is not None
        process.stdout.close()


def test_official_sdk() -> None:
    """Every call, stream and refusal of the session is as the SDK expects it."""
    python = python_of("lighter_sdk")
    with simulated() as line:
        venue = json.loads(line)
        assert venue["chain_id"] == 300 and venue["symbols"] == ["ETH", "BTC"] and len(venue["api_keys"]) == 3
        script = ROOT / "tests/e2e/lighter_sdk_session.py"
        done = subprocess.run(
            [str(python), str(script), line], capture_output=True, text=True, check=False, timeout=180
        )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    assert len(json.loads(done.stdout.splitlines()[-1])) == 19
