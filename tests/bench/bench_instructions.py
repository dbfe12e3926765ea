"""Instructions a frame under valgrind's callgrind: a figure that no neighbour disturbs, for the trend.

Six runs of `counted.py`, each doing one thing more than the one before over the same slice of the recording, so that
start-up and warming up do not count. Nothing of our environment reaches them (`PYTHONHASHSEED` is 0), so that the same
code counts the same in the same place; elsewhere the whole differs by tenths of a percent. Where there is no valgrind
it says so and is skipped.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from itertools import pairwise

import pytest

from tests.bench.counted import STAGES
from tests.bench.figures import Figures
from tests.bench.recordings import USDM
from tests.shared import ROOT, shared_file

pytestmark = pytest.mark.bench

DEPTH_FRAMES = 500
VALGRIND = shutil.which("valgrind")
CALLGRIND = (VALGRIND or "", "--tool=callgrind", "--callgrind-out-file=/dev/null")
_COLLECTED = re.compile(r"Collected : (\d+)")


def ran(under: Sequence[str], stage: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*under, sys.executable, "-m", "tests.bench.counted", stage, str(shared_file(USDM)), str(DEPTH_FRAMES)],
        cwd=ROOT,
        env={"PATH": os.defpath, "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        check=True,
    )


def instructions(stage: str) -> tuple[int, dict[str, int]]:
    """All instructions of the process, and the frames of its slice by kind."""
    done = ran(CALLGRIND, stage)
    collected = _COLLECTED.search(done.stderr)
    assert collected is not None, done.stderr
    tickers, trades, depth = map(int, done.stdout.split())
    return int(collected[1]), {"bookTicker": tickers, "trade": trades, "depth": depth}


def test_instructions(figures: Figures) -> None:
    if VALGRIND is None:
        figures.remark("instructions: no valgrind here, not counted")
        pytest.skip("no valgrind")
    ran((), STAGES[0])  # so that all modules are compiled before the first count
    counts = [instructions(stage) for stage in STAGES]
    (_, frames), *_ = counts
    added = {stage: more - less for stage, ((less, _), (more, _)) in zip(STAGES[1:], pairwise(counts), strict=True)}
    assert frames["depth"] == DEPTH_FRAMES
    for kind in ("bookTicker", "trade"):
        figures.add(f"instructions.{kind}.engine", added[kind] / frames[kind], "instructions")
    for stage in ("decode", "apply", "decide"):
        figures.add(f"instructions.depth.{stage}", added[stage] / frames["depth"], "instructions")
    whole = sum(added[stage] for stage in ("decode", "apply", "decide"))
    figures.add("instructions.depth", whole / frames["depth"], "instructions")
