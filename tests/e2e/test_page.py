"""The status page as a person has it: a daemon that trades, Chromium, small and wide, with a token and without.

The browser's own environment is made under `build/peers` where it is missing, which needs a package index.
`MM_PICTURES=deploy/pictures` keeps the pictures.
"""

import json
import os
import shlex
import shutil
import subprocess
import threading
from pathlib import Path

import pytest
import yaml

from tests.bench.peers.environments import NoEnvironmentError, python_of
from tests.e2e.test_monitoring import free_port, until
from tests.e2e.test_recovery import DAEMON, Life
from tests.shared import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.e2e]

TOKEN = "a token for the page"
SYMBOLS = ("BTC-USDT", "ETH-USDT", "SOL-USDT")
_SESSION_S = 240.0
_QUOTING = {"order_notional": 600, "max_position_notional": 3000, "k": 3, "fill_lockout_ms": 200}


def configured(folder: Path, port: int, *, token: bool) -> Path:
    folder.mkdir()
    (folder / "token").write_text(TOKEN, "utf-8")
    path = folder / "config.yaml"
    http = {"port": port} | ({"token": {"file": str(folder / "token")}} if token else {})
    text = yaml.safe_dump(
        {
            "version": 1,
            "state_dir": str(folder / "state"),
            "log": {"format": "json"},
            "http": http,
            "venues": {"sim": {"connector": "sim"}},
            "markets": [{"venue": "sim", "symbol": symbol, **_QUOTING} for symbol in SYMBOLS],
        }
    )
    path.write_text(text, "utf-8")
    return path


def test_a_person_at_the_page(tmp_path: Path) -> None:
    """It is live, accessible, fits a phone, asks no other origin for anything, says why nothing is quoted, pauses and
    resumes with the token alone; its numbers are those of `status --json`, and the journal knows who paused.
    """
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is not on the path (Debian: apt-get install chromium)")
    try:
        python = python_of("browser")
    except NoEnvironmentError as error:
        pytest.skip(f"no environment for the browser: {error}")
    pictures = Path(os.environ.get("MM_PICTURES") or tmp_path).resolve()
    ports = free_port(), free_port()
    readonly = configured(tmp_path / "readonly", ports[0], token=False)
    full = configured(tmp_path / "full", ports[1], token=True)
    lives = [Life(readonly), Life(full)]
    urls = [f"http://127.0.0.1:{port}" for port in ports]
    session = None
    try:
        for life in lives:
            life.wait_for_quotes(SYMBOLS)
        until(lambda: [log for life in lives for _, log in tuple(life.log) if log["event"] == "http"][1:])
        command = [str(python), str(ROOT / "tests/e2e/page_session.py"), chromium, str(pictures), *urls]
        pipe = subprocess.PIPE
        session = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
        watchdog = threading.Timer(_SESSION_S, session.kill)
        watchdog.start()
        assert session.stdin is not None and session.stdout is not None and session.stderr is not None
        session.stdin.write(f"{TOKEN}\n")
        session.stdin.flush()
        line = session.stdout.readline()
        assert line, session.stderr.read()[-4000:]
        shown = json.loads(line)["figures"]
        said = subprocess.run(
            [*DAEMON, "status", "--json", "--config", str(full)], capture_output=True, text=True, check=True, cwd=ROOT
        )
        market = json.loads(said.stdout)["markets"][0]
        assert shown == {
            "spread": market["pnl"]["spread"],
            "fees": market["pnl"]["fees"],
            "position": market["position"],
            "fills": str(market["fills"]),
        }
        rest, errors = session.communicate("\n", timeout=_SESSION_S)
        watchdog.cancel()
        assert session.returncode == 0, rest[-2000:] + errors[-4000:]
        seen = json.loads(rest.splitlines()[-1])
        assert seen["answers"] == ["the token is not right", "sim:BTC-USDT paused"]
        show = [*DAEMON, *shlex.split(seen["command"])[1:]]
        told = subprocess.run(show, capture_output=True, text=True, check=False, cwd=ROOT)
        assert "booked" in told.stdout, told
        asked = [log["text"] for _, log in tuple(lives[1].log) if log["event"] == "operator"]
        assert asked == ["pause asked by page", "resume asked by page"]
    finally:
        if session is not None and session.poll() is None:
            session.kill()
        for life in lives:
            life.end()
