"""Processes that are measured from the outside: their time, their CPU time and the peak of their memory."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

MM_DAEMON = (str(Path(sys.executable).parent / "mm-daemon"),)

# A process starts with the peak of the one that forked it, so the fork, and the clock, are left to a small one.
_STOPWATCH = """
import json, resource, subprocess, sys, time
began = time.perf_counter()
done = subprocess.run(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
wall = time.perf_counter() - began
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([done.returncode, wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024]))
sys.stdout.flush()
sys.stdout.buffer.write(done.stdout)
"""


class FailedError(Exception):
    """The process ended with another code than 0; the text is the last line of what it said."""


class Finished(NamedTuple):
    """A process that has ended well."""

    wall_s: float
    cpu_s: float
    peak_mib: float
    output: bytes


def finished(
    command: Sequence[str], *, cwd: Path | None = None, environment: Mapping[str, str] | None = None
) -> Finished:
    """Run it to its end. Raises FailedError."""
    stopwatch = [sys.executable, "-I", "-S", "-c", _STOPWATCH]
    done = subprocess.run([*stopwatch, *command], cwd=cwd, env=environment, capture_output=True, check=True)
    told, _, output = done.stdout.partition(b"\n")
    code, wall_s, cpu_s, peak_mib = msgspec.json.decode(told, type=tuple[int, float, float, float])
    if code:
        said = done.stderr.decode(errors="replace").strip().splitlines() or [f"exit code {code}"]
        raise FailedError(f"{' '.join(command[:4])} ...: {said[-1]}")
    return Finished(wall_s, cpu_s, peak_mib, output)
