"""Results kept as JSON beside the commit they were measured at, and how far a run has moved since the last of them.

`make bench KEEP=1` writes `results/<UTC date>-<commit>.json`. A kept result is compared as a ratio, now to then; times
and rates are first brought to one machine speed by the peers of their own runs (`verdicts.speed_factor`), so that a
slower neighbour does not look like slower code. Instructions, memory and counts are compared as they are.
"""

import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from tests.bench.figures import RATES, TIMES, Figure, Figures
from tests.bench.verdicts import speed_factor
from tests.shared import ROOT

FOLDER = Path(__file__).parent / "results"


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One kept run. `dirty`: the tree was not the commit's alone, kept results aside."""

    commit: str
    dirty: bool
    date: str
    python: str
    cpu: str
    speed_factor: float | None
    remarks: list[str]
    figures: dict[str, Figure]


def result_of(figures: Figures) -> Result:
    factor = speed_factor(figures)
    return Result(
        commit=_git("rev-parse", "--short=10", "HEAD"),
        dirty=bool(_git("status", "--porcelain", "--", ".", f":!{FOLDER.relative_to(ROOT)}")),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        python=f"{platform.python_implementation()} {platform.python_version()}",
        cpu=_cpu(),
        speed_factor=None if factor is None else round(factor, 4),
        remarks=figures.remarks,
        figures=figures.all,
    )


def keep(result: Result) -> Path:
    """Write it; a later run of the same commit and day takes its place."""
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{result.date[:10]}-{result.commit}.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n")
    return path


def last_of_another_commit(commit: str) -> Result | None:
    kept = [msgspec.json.decode(path.read_bytes(), type=Result) for path in FOLDER.glob("*.json")]
    others = [result for result in kept if result.commit != commit]
    return max(others, key=lambda result: result.date, default=None)


def moved(name: str, now: Result, then: Result) -> float | None:
    """Now to then, at one machine speed; None where either run does not have the figure."""
    here, there = now.figures.get(name), then.figures.get(name)
    if here is None or there is None or here.unit != there.unit or not there.value:
        return None
    ratio = here.value / there.value
    if now.speed_factor is None or then.speed_factor is None:
        return ratio
    slower = now.speed_factor / then.speed_factor
    if here.unit in TIMES:
        return ratio / slower
    return ratio * slower if here.unit in RATES else ratio


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else "unknown"


def _cpu() -> str:
    facts = Path("/proc/cpuinfo")
    if facts.exists():
        for line in facts.read_text("utf-8", "replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
