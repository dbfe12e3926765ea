"""Process starts, by the wall: `mm-daemon --help`, and from nothing to the first quote on the embedded market.

The first quote is the first log line of a decision that quotes: it is written once the journal has the order and the
order has left. Measured from before the fork to the line having been read; the best of some starts, each in a state
directory of its own. Beside them an interpreter that does nothing, and one that imports ccxt.pro (0.65 s on the
reference machine).
"""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from time import perf_counter

import pytest

from tests.bench.figures import Figures
from tests.bench.processes import MM_DAEMON, finished
from tests.shared import ROOT

pytestmark = pytest.mark.bench

HELPS = 10
STARTS = 5


def test_help(figures: Figures) -> None:
    helps = [finished([*MM_DAEMON, "--help"]) for _ in range(HELPS)]
    assert b"backtest" in helps[0].output
    figures.add("help.wall", min(run.wall_s for run in helps), "s")
    figures.add("help.cpu", min(run.cpu_s for run in helps), "s")
    for name, statement in (("python.wall", ""), ("ccxt.import.wall", "import ccxt.pro")):
        figures.add(name, min(finished([sys.executable, "-c", statement]).wall_s for _ in range(STARTS)), "s")


def embedded(folder: Path) -> Path:
    """The configuration of `make run`, with a state directory and a port of its own."""
    folder.mkdir()
    text = (ROOT / "config.yaml").read_text("utf-8")
    text, directories = re.subn(r"(?m)^state_dir: \S+", f"state_dir: {folder / 'state'}", text)
    text, ports = re.subn(r"(?m)^  port: \d+", "  port: 0", text)
    assert (directories, ports) == (1, 1)
    config = folder / "config.yaml"
    config.write_text(text, "utf-8")
    return config


def seconds_to_first_quote(config: Path) -> float:
    began = perf_counter()
    process = subprocess.Popen(
        [*MM_DAEMON, "run", "--config", str(config)], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    with process.stderr as log:
        try:
            for text in log:
                line = json.loads(text)
                if line["event"] == "decision" and "bid quote" in line["text"]:
                    took = perf_counter() - began
                    break
            else:
                raise AssertionError(f"no quote before the end, {process.wait()}")
        finally:
            process.send_signal(signal.SIGINT)
        last = json.loads(log.readlines()[-1])
    assert (process.wait(), last["event"], last["confirmed"]) == (0, "stopped", True)
    return took


def test_first_quote(tmp_path: Path, figures: Figures) -> None:
    starts = [seconds_to_first_quote(embedded(tmp_path / str(start))) for start in range(STARTS)]
    figures.add("first_quote.wall", min(starts), "s")
