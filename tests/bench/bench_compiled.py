"""The compiled build (`make compiled`), by the very benches that measure the source.

They run in a process of their own that finds the compiled packages first. Its peers run there too, on the same frames,
and are not told twice.
"""

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from tests.bench.figures import Figure, Figures
from tests.shared import ROOT, SHARED

pytestmark = pytest.mark.bench

_BENCHES = ("bench_backtest.py", "bench_frames.py", "bench_hyperliquid.py")
_TOLD = (
    "backtest.rows",
    "backtest.rows.journal",
    "backtest.rows.with_bookTicker",
    "cold.wall",
    "cold.cpu",
    "depth.decision.p50",
    "depth.decision.p99",
    "trade.engine.p50",
    "hyperliquid.book.decision.p50",
    "hyperliquid.frame.signed.p50",
)


def test_compiled(tmp_path: Path, figures: Figures) -> None:
    subprocess.run(["make", "compiled"], cwd=ROOT, capture_output=True, check=True)
    path = tmp_path / "figures.json"
    command = [str(Path(sys.executable).parent / "pytest"), "-q", "-p", "mm_daemon", "-p", "connectors", "-m", "bench"]
    command += ["-o", "addopts=--strict-markers --benchmark-quiet", "--figures", str(path)]
    environment = {**os.environ, "MM_SHARED": str(SHARED), "PYTHONPATH": str(ROOT / "build/compiled")}
    benches = [str(ROOT / "tests/bench" / name) for name in _BENCHES]
    done = subprocess.run([*command, *benches], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
    seen = msgspec.json.decode(path.read_bytes(), type=dict[str, Figure])
    for name in _TOLD:
        figures.add(f"compiled.{name}", seen[name].value, seen[name].unit)
