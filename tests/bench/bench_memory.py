"""Memory while the USD-M recording is looped to an hour of market (10.4 times, a million events)."""

import sys
from pathlib import Path

import msgspec
import pytest

from tests.bench.figures import Figures
from tests.bench.processes import finished
from tests.bench.recordings import USDM, decoded
from tests.shared import ROOT, shared_file

pytestmark = pytest.mark.bench

HOURS = 1.0
WARM_MINUTES = 10
"""By then the recording has been played once and a half: every level and every memo has been seen."""


class Told(msgspec.Struct):
    """What `hour.py` prints."""

    events: int
    samples: list[tuple[int, float]]
    amended: int


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="resident memory is read from /proc")
def test_an_hour(figures: Figures) -> None:
    run = finished([sys.executable, "-m", "tests.bench.hour", str(shared_file(USDM)), str(HOURS)], cwd=ROOT)
    told = msgspec.json.decode(run.output, type=Told)
    warm = [mib for minute, mib in told.samples if minute >= WARM_MINUTES]
    figures.add("hour.peak", run.peak_mib, "MiB")
    figures.add("hour.growth", max(warm) - warm[0], "MiB")
    figures.add("hour.cpu", run.cpu_s, "s")
    course = ", ".join(f"{minute} min {mib:.1f}" for minute, mib in told.samples[:: len(told.samples) // 6])
    figures.remark(f"an hour of market, {told.events:,} events, MiB resident: {course}")
    assert told.events > 10 * len(decoded())
    assert told.amended > 0
