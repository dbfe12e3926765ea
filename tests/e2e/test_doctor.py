"""`mm-daemon doctor` as a trader runs it: the real command at simulated venues in processes of their own."""

import json
import os
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mm_daemon.doctor.findings import EXIT_FAILED
from tests.e2e.hyperliquid_process import HyperliquidProcess
from tests.e2e.test_recovery import DAEMON, PATIENCE_S
from tests.e2e.venue import LiveDesk
from tests.shared import ROOT

pytestmark = pytest.mark.e2e


@pytest.fixture
def venue(tmp_path: Path) -> Iterator[HyperliquidProcess]:
    process = HyperliquidProcess(tmp_path)
    yield process
    process.end()


def doctor(config: Path, *more: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [*DAEMON, "doctor", "--config", str(config), "--watch", "500ms", *more],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    return done.returncode, done.stdout, done.stderr


def acted(venue: HyperliquidProcess) -> Any:
    with urllib.request.urlopen(f"{venue.url}/control/acted", timeout=PATIENCE_S) as reply:
        return json.load(reply)


def test_the_testnets_example_is_examined_and_nothing_is_sent(tmp_path: Path, venue: HyperliquidProcess) -> None:
    """For people and for machines; exit 0; neither a state directory nor the key anywhere."""
    desk = LiveDesk(tmp_path, venue)
    code, text, errors = doctor(desk.config)
    assert (code, errors) == (0, ""), text + errors
    assert "mode: live: `mm-daemon run` would send REAL orders; nothing was sent now" in text
    assert "BTC: would quote bid 0.00100 at " in text
    code, text, errors = doctor(desk.config, "--json")
    report = json.loads(text)
    assert (code, errors, report["ok"], report["mode"]) == (0, "", True, "live")
    (found,) = report["venues"]
    assert {check["verdict"] for check in found["checks"]} <= {"ok", "warning", "not_applicable"}
    assert found["markets"][0]["quotes"]["bid"]["size"] == "0.00100"
    assert venue.account["private_key"].removeprefix("0x") not in text
    assert acted(venue) == {}
    assert not desk.state_dir.exists()


def test_what_fails_is_told_with_its_own_exit_code(tmp_path: Path, venue: HyperliquidProcess) -> None:
    """A key of nobody: the code is the doctor's. A bad configuration and a bad option have theirs."""
    desk = LiveDesk(tmp_path, venue)
    (tmp_path / "key").write_text("11" * 32, "utf-8")
    code, text, errors = doctor(desk.config)
    assert (code, errors) == (EXIT_FAILED, "")
    assert "FAILED   credentials" in text and text.rstrip().endswith("1 failed")
    assert acted(venue) == {}
    assert doctor(desk.config, "--timeout", "soon")[::2] == (
        64,
        "--timeout soon: not a duration; write for example 60s, 2m or 1h30m\n",
    )
    assert doctor(tmp_path / "absent.yaml")[0] == 78
