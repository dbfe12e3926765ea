"""The real process under a stand-in for systemd: ready, alive, reloaded, stopped, in systemd's own words."""

import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from tests.e2e.test_run import MM_DAEMON, PATIENCE_S
from tests.shared import ROOT

pytestmark = pytest.mark.e2e


def test_systemd_is_told_of_start_life_reload_and_end(tmp_path: Path) -> None:
    text = (ROOT / "config.yaml").read_text("utf-8")
    config = tmp_path / "config.yaml"
    text = text.replace("state_dir: var ", f"state_dir: {tmp_path / 'state'} ").replace("9464", "0")
    config.write_text(text, "utf-8")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(PATIENCE_S)

        def until(wanted: str) -> list[str]:
            """The lines of all messages up to the one with `wanted`."""
            told: list[str] = []
            while wanted not in told:
                told += systemd.recv(4096).decode().splitlines()
            return told

        environ = {**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "1000000"}
        process = subprocess.Popen(
            [*MM_DAEMON, "run", "--config", str(config)], cwd=ROOT, env=environ, stderr=subprocess.DEVNULL
        )
        try:
            assert until("READY=1")[0] == "STATUS=starting"
            until("WATCHDOG=1")
            asked_usec = time.monotonic_ns() // 1000
            process.send_signal(signal.SIGHUP)
            (since,) = [line for line in until("READY=1") if line.startswith("MONOTONIC_USEC=")]
            assert asked_usec <= int(since.removeprefix("MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000
            process.send_signal(signal.SIGTERM)
            until("STOPPING=1")
            assert process.wait(PATIENCE_S) == 0
        finally:
            process.kill()
            process.wait(PATIENCE_S)
