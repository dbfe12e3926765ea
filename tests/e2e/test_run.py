"""The real process and the real clock: it starts, quotes, is stopped, is killed, and can be replayed."""

import gzip
import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from tests.shared import ROOT, shared_file

pytestmark = pytest.mark.e2e

MM_DAEMON = (sys.executable, "-c", "from mm_daemon.cli.main import main; main()")
PATIENCE_S = 20.0


class Process:
    """`mm-daemon run` with its log as JSON."""

    def __init__(self, config: Path, *arguments: str) -> None:
        self.started_s = time.monotonic()
        self._process = subprocess.Popen(
            [*MM_DAEMON, "run", "--config", str(config), *arguments],
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            cwd=ROOT,
            text=True,
        )
        self.lines: list[dict[str, Any]] = []
        self._watchdog = threading.Timer(PATIENCE_S, self._process.kill)
        self._watchdog.start()

    def until(self, *wanted: tuple[str, str]) -> dict[str, Any]:
        """Read the log until every (event, symbol) of `wanted` has been seen; the line of the last of them."""
        missing = set(wanted)
        for line in self._read():
            missing.discard((line["event"], line.get("symbol", "")))
            if not missing:
                return line
        pytest.fail(f"the log ended without {missing}")

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def finish(self) -> int:
        """Read the rest of the log; the exit code."""
        for _ in self._read():
            pass
        return self._process.wait(PATIENCE_S)

    def end(self) -> None:
        self._watchdog.cancel()
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(PATIENCE_S)
        assert self._process.stderr is not None
        self._process.stderr.close()

    def _read(self) -> Iterator[dict[str, Any]]:
        assert self._process.stderr is not None
        for text in self._process.stderr:
            line = json.loads(text)
            self.lines.append(line)
            yield line


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The configuration of `make run`, with a state directory of its own."""
    text = (ROOT / "config.yaml").read_text("utf-8")
    path = tmp_path / "config.yaml"
    path.write_text(re.sub(r"(?m)^state_dir: \S+", f"state_dir: {tmp_path / 'state'}", text), "utf-8")
    return path


def replay_verify(config: Path) -> dict[str, Any]:
    (journal,) = (config.parent / "state" / "journal").iterdir()
    done = subprocess.run(
        [*MM_DAEMON, "replay", "--verify", "--json", str(journal)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def test_run_quotes_within_two_seconds_and_ctrl_c_leaves_nothing(config: Path) -> None:
    """Both symbols are quoted within 2 s of process start; Ctrl-C ends with no open order, exit 0 and a summary."""
    process = Process(config)
    try:
        process.until(("decision", "BTC-USDT"), ("decision", "ETH-USDT"))
        assert time.monotonic() - process.started_s < 2.0
        process.until(("fill", "BTC-USDT"))
        process.signal(signal.SIGINT)
        assert process.finish() == 0
    finally:
        process.end()
    last = process.lines[-1]
    assert (last["event"], last["confirmed"], last["reason"]) == ("stopped", True, "SIGINT")
    assert [line["symbol"] for line in process.lines if line["event"] == "final_summary"] == ["BTC-USDT", "ETH-USDT"]
    report = replay_verify(config)
    assert report["ok"]
    assert report["ended"] == "SIGINT"


def test_a_changed_configuration_takes_effect_while_running(config: Path) -> None:
    """SIGHUP: another model and size at once, another port at the next start, a mistake not at all; and the journal of
    all that lives again.
    """
    process = Process(config)
    try:
        process.until(("decision", "BTC-USDT"))
        process.signal(signal.SIGHUP)
        nothing = process.until(("config_read", ""))
        assert "nothing that can change while running has changed" in nothing["text"]
        text = config.read_text(encoding="utf-8")
        config.write_text(
            text.replace("model: glft ", "model: fixed_spread ")
            .replace("half_spread_bps: null", "half_spread_bps: 4")
            .replace("segment_mb: 64", "segment_mb: 32"),
            encoding="utf-8",
        )
        process.signal(signal.SIGHUP)
        read = process.until(("config_read", ""))
        process.until(("parameters", ""))
        assert "sim:BTC-USDT model glft -> fixed_spread" in read["text"]
        assert "at the next start only: journal" in read["text"]
        with config.open("a", encoding="utf-8") as file:
            file.write("gama: 1\n")
        process.signal(signal.SIGHUP)
        assert "gama: unknown key" in process.until(("config_bad", ""))["text"]
        process.signal(signal.SIGTERM)
        assert process.finish() == 0
    finally:
        process.end()
    assert process.lines[-1]["reason"] == "SIGTERM"
    report = replay_verify(config)
    assert report["ok"]
    assert report["compared"]["decisions"] > 0


def test_sigkill_leaves_a_journal_that_replays(config: Path) -> None:
    """Sudden death at any moment leaves a journal whose every decision can be lived again."""
    process = Process(config)
    try:
        process.until(("fill", "BTC-USDT"))
        process.signal(signal.SIGKILL)
        assert process.finish() == -signal.SIGKILL
    finally:
        process.end()
    report = replay_verify(config)
    assert report["ok"]
    assert report["ended"] is None
    assert report["compared"]["commands"] > 0


def test_recording_plays_at_speed_and_ends_by_itself(tmp_path: Path) -> None:
    """A recorded market on its own clock, a hundred times as fast: it quotes, the feed ends, the run ends clean."""
    recording = tmp_path / "start.gz"
    with (
        gzip.open(shared_file("data/binance-usdm-btcusdt-20240808.gz")) as whole,
        gzip.open(recording, "wb", 1) as part,
    ):
        part.writelines(islice(whole, 15_000))
    text = (ROOT / "deploy/examples/recorded-binance-usdm.yaml").read_text("utf-8")
    for key, value in (("path", recording), ("speed", 100), ("state_dir", tmp_path / "state")):
        text = re.sub(rf"(?m)^(\s*){key}: \S+", rf"\g<1>{key}: {value}", text)
    config = tmp_path / "recorded.yaml"
    config.write_text(text, "utf-8")
    process = Process(config)
    try:
        assert process.finish() == 0
    finally:
        process.end()
    last = process.lines[-1]
    assert (last["event"], last["confirmed"], last["reason"]) == ("stopped", True, "feed ended")
    assert last["ts"].startswith("2024-08-08T23:5")
    assert any(line["event"] == "decision" and "quote" in line["text"] for line in process.lines)
    assert replay_verify(config)["ok"]
