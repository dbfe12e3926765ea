"""`run` at a terminal: the screen comes up, Ctrl-C stops the daemon, the terminal is given back."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.shared import ROOT

pytestmark = pytest.mark.e2e

PATIENCE_S = 20.0


class Terminal:
    """A process on a pseudo-terminal of 80 by 24, and all it has written."""

    def __init__(self, *command: str) -> None:
        ours, theirs = pty.openpty()
        environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80", "LINES": "24"}
        self.process = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=ROOT, env=environment, start_new_session=True
        )
        os.close(theirs)
        self._fd = ours
        self.written = ""

    def until(self, pattern: str) -> None:
        deadline_s = time.monotonic() + PATIENCE_S
        while not re.search(pattern, self.written):
            if not self._read(deadline_s):
                pytest.fail(f"no {pattern!r} on the terminal:\n{self.written[-2000:]}")

    def finish(self) -> int:
        deadline_s = time.monotonic() + PATIENCE_S
        while self._read(deadline_s):
            pass
        return self.process.wait(PATIENCE_S)

    def end(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(PATIENCE_S)
        os.close(self._fd)

    def _read(self, deadline_s: float) -> bool:
        ready, _, _ = select.select([self._fd], [], [], max(0.0, deadline_s - time.monotonic()))
        try:
            chunk = os.read(self._fd, 1 << 16) if ready else b""
        except OSError:  # Linux says so when nobody holds the other end any more
            chunk = b""
        self.written += chunk.decode("utf-8", "replace")
        return bool(chunk)


def test_run_at_a_terminal_shows_the_screen_and_gives_it_back(tmp_path: Path) -> None:
    """The log is in its file, the screen shows both markets, and after Ctrl-C the last lines are on the terminal."""
    text = (ROOT / "config.yaml").read_text("utf-8")
    config = tmp_path / "config.yaml"
    text = re.sub(r"(?m)^state_dir: \S+", f"state_dir: {tmp_path / 'state'}", text)
    config.write_text(re.sub(r"(?m)^  port: \S+", "  port: 0", text), "utf-8")
    terminal = Terminal(sys.executable, "-m", "mm_daemon.cli", "run", "--config", str(config))
    try:
        terminal.until(r"\x1b\[\?1049h")
        terminal.until(r"QUOTING[\s\S]*BTC-USDT[\s\S]*ETH-USDT")
        os.killpg(terminal.process.pid, signal.SIGINT)  # as the terminal does on Ctrl-C: to everybody who sits at it
        assert terminal.finish() == 0
    finally:
        terminal.end()
    shown, _, after = terminal.written.rpartition("\x1b[?1049l")
    assert shown
    assert "no open orders" in after
    log = (tmp_path / "state" / "run.log").read_text("utf-8")
    assert "bid quote" in log and "no open orders" in log and "\x1b" not in log
