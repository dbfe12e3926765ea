"""The unit: accepted by systemd, locked down, restarted exactly where a restart helps; the wheels bear with it."""

import re
import sys
from pathlib import Path

import pytest

from mm_daemon.config.schema import RuntimeSettings
from tests.shared import ROOT
from tests.unit.deploy.tools import DEPLOY, said, tool

UNIT = DEPLOY / "systemd/mm-daemon.service"
EXPOSURE_MAX = 1.5
WHEELS = "msgspec, yaml, uvloop, structlog, prometheus_client, aiohttp, websockets, zstandard, numpy, coincurve"
CONFINED = f"""
import ctypes, mmap
PR_SET_MDWE, REFUSE_EXEC_GAIN = 65, 1
if ctypes.CDLL(None).prctl(PR_SET_MDWE, REFUSE_EXEC_GAIN, 0, 0, 0) != 0:
    raise SystemExit(77)
try:
    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    raise SystemExit("memory can be both written and executed")
except PermissionError:
    pass
import {WHEELS}
numpy.linalg.eigh(numpy.eye(50))
coincurve.PrivateKey().sign_recoverable(bytes(32))
from Crypto.Hash import keccak
keccak.new(digest_bits=256, data=b"x").digest()
uvloop.new_event_loop().close()
"""


def settings() -> dict[str, str]:
    """The last value of each key; they stand in one file."""
    return dict(re.findall(r"^(\w+)=(.*)$", UNIT.read_text("utf-8"), re.MULTILINE))


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The unit with a program that exists: systemd looks for it."""
    program = tmp_path / "mm-daemon"
    program.write_text("#!/bin/sh\n", "utf-8")
    program.chmod(0o755)
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text("utf-8").replace("/opt/mm-daemon/.venv/bin/mm-daemon", str(program)), "utf-8")
    return unit


def test_systemd_has_nothing_to_say(installed: Path) -> None:
    """No unknown key, no bad value."""
    assert said(tool("systemd-analyze"), "verify", str(installed)) == (0, "")


def test_exposure_is_small(installed: Path) -> None:
    """Of ten; what is left is the network that it trades over."""
    command = [tool("systemd-analyze"), "security", "--offline=true", f"--threshold={EXPOSURE_MAX * 10:.0f}"]
    code, text = said(*command, str(installed))
    overall = re.search(r"Overall exposure level for \S+: ([\d.]+)", text)
    assert overall is not None, text
    assert float(overall[1]) <= EXPOSURE_MAX
    assert code == 0


def test_restarts_where_a_restart_helps() -> None:
    """The codes of the README that ask for a person are the ones that are not restarted; there is a limit of starts."""
    told = settings()
    codes = {int(code) for code in told["RestartPreventExitStatus"].split()}
    readme = {int(code) for code in re.findall(r"^\| (\d+) \| ", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE)}
    assert codes == readme - {0, 1, 69, 81}
    assert told["Restart"] == "on-failure"
    assert int(told["StartLimitBurst"]) > 1


def test_a_stop_has_time_to_cancel_and_confirm() -> None:
    """More than the daemon's own deadline and the closing of connections."""
    assert float(settings()["TimeoutStopSec"].removesuffix("s")) > RuntimeSettings().stop_timeout_s + 10


def test_wheels_work_without_memory_that_is_written_and_executed() -> None:
    """What MemoryDenyWriteExecute forbids is forbidden by the kernel here, and everything imports and computes."""
    assert settings()["MemoryDenyWriteExecute"] == "yes"
    code, text = said(sys.executable, "-c", CONFINED)
    if code == 77:
        pytest.skip("this kernel has no PR_SET_MDWE (Linux 6.3)")
    assert (code, text) == (0, "")
