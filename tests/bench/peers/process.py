"""A whole process, measured from outside: seconds by the clock, and the peak of its memory."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

# A process starts with the peak of the one that forked it, so the fork is left to a small one.
_PEAK_OF = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[2:]).returncode
with open(sys.argv[1], "w") as file:
    print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=file)
sys.exit(code)
"""


class FailedError(Exception):
    """The process ended with another code than 0; the text is the end of what it said."""


@dataclass(frozen=True)
class Measured:
    wall_s: float
    peak_mib: float
    output: str


def measured(command: Sequence[str], folder: Path, environ: Mapping[str, str]) -> Measured:
    """Run a command in a folder, where it may leave what it likes. Raises FailedError."""
    note = folder / "peak"
    wrapped = [sys.executable, "-I", "-S", "-c", _PEAK_OF, str(note), *command]
    began = perf_counter()
    done = subprocess.run(wrapped, check=False, cwd=folder, env=environ, capture_output=True, text=True)
    wall_s = perf_counter() - began
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise FailedError(f"{' '.join(command[:4])} ...: {said[-1]}")
    return Measured(wall_s, int(note.read_text()) / 1024, done.stdout)
