"""How time is taken: per frame the best of some passes, and percentiles of those over the frames.

The best, because on a shared machine whatever is slower than it was somebody else's doing. A frame's time is the wall's
(`perf_counter_ns`, some 50 ns of which are the clock's own, in ours and in the peers' alike); longer spans are taken as
CPU time of the process.
"""

import gc
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter_ns
from typing import NamedTuple

from tests.bench.frames import Frames

PASSES = 5

Step = Callable[[int, bytes], object]
"""What is done with one frame: local time and bytes."""


class Spread(NamedTuple):
    """Over frames, in microseconds."""

    p50: float
    p99: float
    mean: float


@contextmanager
def settled() -> Iterator[None]:
    """What is in memory already is left out of collections, as the daemon does once it has started."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def spread(nanoseconds: Iterable[int]) -> Spread:
    ordered = sorted(nanoseconds)
    count = len(ordered)
    return Spread(ordered[count // 2] / 1000, ordered[count * 99 // 100] / 1000, sum(ordered) / count / 1000)


def best(passes: Sequence[Sequence[int]]) -> list[int]:
    """Each frame's best over the passes."""
    return [min(times) for times in zip(*passes, strict=True)]


def timed(step: Step, frames: Frames) -> list[int]:
    """Nanoseconds of one pass, a frame each."""
    taken = []
    for ts_local_ns, frame in frames:
        began = perf_counter_ns()
        step(ts_local_ns, frame)
        taken.append(perf_counter_ns() - began)
    return taken
