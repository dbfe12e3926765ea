"""Many seeds: each in a folder of its own that is gone afterwards, on as many processes as wanted, and the report."""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import msgspec

from mm_daemon.dst.report import SimulationReport
from mm_daemon.dst.world import Outcome, World

_MEMORY = Path("/dev/shm")
"""Where files cost no disk, on systems that have it."""
TWICE_EVERY = 25
"""One seed of so many is lived twice, and must write the same bytes (R21); its journals are replayed."""
_SEEDS_A_TASK = 4


def live_seed(seed: int, steps: int, *, twice: bool = False) -> Outcome:
    """One seed from its beginning to its end; `twice`: and again, to see that it is the same, and its journals too."""
    first = _lived(seed, steps, replay=twice)
    if not twice or first.breach is not None:
        return first
    second = _lived(seed, steps)
    if second.digest == first.digest:
        return first
    lives = zip(first.digest.split("-"), second.digest.split("-"), strict=False)
    life = next((number for number, (one, other) in enumerate(lives, 1) if one != other), first.lives)
    return msgspec.structs.replace(first, breach=f"R21: lived twice, life {life} wrote other bytes the second time")


def simulate(
    seeds: Sequence[int], steps: int, *, workers: int = 1, told: Callable[[Outcome], None] = lambda outcome: None
) -> SimulationReport:
    """All seeds; `told` hears of each when it is over, in their order."""
    report = SimulationReport(first_seed=seeds[0], seeds=len(seeds), steps_each=steps)
    for outcome in _outcomes(seeds, steps, workers):
        told(outcome)
        report.add(outcome)
    return report


def _outcomes(seeds: Sequence[int], steps: int, workers: int) -> Iterator[Outcome]:
    jobs = [(seed, index % TWICE_EVERY == 0) for index, seed in enumerate(seeds)]
    if workers < 2:
        for seed, twice in jobs:
            yield live_seed(seed, steps, twice=twice)
        return
    with ProcessPoolExecutor(workers) as pool:
        yield from pool.map(partial(_job, steps), jobs, chunksize=_SEEDS_A_TASK)


def _job(steps: int, job: tuple[int, bool]) -> Outcome:
    seed, twice = job
    return live_seed(seed, steps, twice=twice)


def _lived(seed: int, steps: int, *, replay: bool = False) -> Outcome:
    folder = Path(tempfile.mkdtemp(prefix="mm-dst-", dir=_MEMORY if _MEMORY.is_dir() else None))
    try:
        return World(seed, steps, folder, replay=replay).run()
    finally:
        shutil.rmtree(folder)
