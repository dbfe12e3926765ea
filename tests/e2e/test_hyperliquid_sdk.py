"""The venue's official SDK trades on the simulated venue as it would on the real one: only the URL is another.

Its environment is made under `build/peers` where it is missing, which needs a package index: that is why these are
slow.
"""

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.bench.peers.environments import python_of
from tests.e2e.test_recovery import DAEMON, PATIENCE_S
from tests.shared import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.e2e]

USUAL: dict[str, Any] = {"weight_per_minute": 100_000, "block_ms": 20}
PARTS = {
    "usual": (USUAL, 18),
    "traded": ({**USUAL, "traded": 1_500_000, "funding_period_s": 10}, 2),
    "poor": ({"initial_requests": 5, "block_ms": 20}, 2),
    "capped": ({**USUAL, "coins": {"BTC": {"open_interest_cap": 500, "tier_notional": 50_000}}}, 1),
    "broke": ({**USUAL, "deposit": 0}, 1),
    "upgraded": ({**USUAL, "post_only_ms": 60_000}, 1),
    "spot": ({**USUAL, "coins": {"PURR/USDC": {"held": 1000}}}, 4),
}
SYMBOLS = {"spot": "BTC,PURR/USDC,HYPE/USDC,xyz:GOLD"}


@contextmanager
def simulated(folder: Path, settings: dict[str, Any], symbols: str) -> Iterator[str]:
    """`mm-daemon simulate hyperliquid` on a port of its own choice; the line it printed."""
    file = folder / "venue.yaml"
    file.write_text(json.dumps(settings), "utf-8")
    command = [*DAEMON, "simulate", "hyperliquid", "--port", "0", "--seed", "3", "--symbols", symbols]
    process = subprocess.Popen(
        [*command, "--settings", str(file)], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, cwd=ROOT, text=True
    )
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


@pytest.mark.parametrize("part", PARTS)
def test_official_sdk(part: str, tmp_path: Path) -> None:
    """Every call, subscription and refusal of the session is as the SDK expects it."""
    settings, checks = PARTS[part]
    python = python_of("hyperliquid_sdk")
    with simulated(tmp_path, settings, SYMBOLS.get(part, "BTC,ETH")) as line:
        venue = json.loads(line)
        assert set(venue) == {"venue", "rest", "ws", "accounts", "symbols"}
        script = ROOT / "tests/e2e/hyperliquid_sdk_session.py"
        done = subprocess.run(
            [str(python), str(script), part, line], capture_output=True, text=True, check=False, timeout=180
        )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    assert len(json.loads(done.stdout.splitlines()[-1])) == checks
