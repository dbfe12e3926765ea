"""A day of the whole daemon: whatever it holds, it holds no more of it in the evening than in the morning (R18)."""

import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest

from tests.shared import ROOT
from tests.soak.day import Held

HOURS = 24
WARM_HOURS = 4
"""By then the history that is kept of orders and fills has its full length."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="what a process holds is read from /proc"),
]


def test_a_day_leaves_nothing_behind(tmp_path: Path) -> None:
    """Memory grows by less than 1 MiB an hour; files, tasks and metric series stay what they were, and
    the journal grows as it did."""
    run = subprocess.run(
        [sys.executable, "-m", "tests.soak.day", str(tmp_path), str(HOURS)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    held = msgspec.json.decode(run.stdout, type=list[Held])
    assert len(held) == HOURS
    warm = held[WARM_HOURS:]
    slope = float(np.polyfit([each.hour for each in warm], [each.resident_mib for each in warm], 1)[0])
    assert held[-1].events > 1_000_000
    assert slope < 1.0, "\n".join(map(str, held))
    assert max(each.files for each in warm) <= min(each.files for each in warm) + 2
    assert len({each.tasks for each in warm}) == 1
    assert max(each.series for each in warm) - warm[0].series < 30  # a reason that is seen for the first time
    # Segments age by the clock of the file system, which knows nothing of this day: none is deleted in it.
    hourly = np.diff([each.journal_mib for each in warm])
    assert hourly[-6:].mean() < 1.3 * hourly[:6].mean()
