"""`python -m mm_daemon.backtest.comparison`, from the root of the sources: all scenes, the page and the picture."""

import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from time import perf_counter

from mm_daemon.backtest.comparison.contenders import CONTENDERS, OTHERS, Contender
from mm_daemon.backtest.comparison.cost import cost
from mm_daemon.backtest.comparison.page import costs, filled, many_runs, single_runs
from mm_daemon.backtest.comparison.picture import draw
from mm_daemon.backtest.comparison.play import Figures, play
from mm_daemon.backtest.comparison.scenes import EMBEDDED, RECORDED, Scene

PAGE = Path("deploy/docs/models.md")
PICTURE = Path("deploy/pictures/models.svg")
_PROCESSES = 2


def main() -> None:
    started = perf_counter()
    measured = [cost(EMBEDDED, contender) for contender in CONTENDERS + OTHERS]  # before others keep the machine busy
    jobs = [
        (scene, contender, seed)
        for scene in (*RECORDED, EMBEDDED)
        for seed in range(1, scene.seeds + 1)
        for contender in CONTENDERS
    ]
    runs = _all(jobs, started)
    recorded = [run for run in runs if run.scene != EMBEDDED.title]
    embedded = [run for run in runs if run.scene == EMBEDDED.title]
    tables = {"embedded": many_runs(embedded), "recorded": single_runs(recorded), "cost": costs(measured)}
    sys.stdout.write("\n\n".join(tables.values()) + "\n")
    PAGE.write_text(filled(PAGE.read_text(), tables))
    draw(embedded, PICTURE)
    sys.stderr.write(f"{PAGE} and {PICTURE} are written; {perf_counter() - started:.0f} s\n")


def _all(jobs: list[tuple[Scene, Contender, int]], started: float) -> list[Figures]:
    """In the order of the jobs, with a line of progress now and then."""
    found: dict[int, Figures] = {}
    with ProcessPoolExecutor(_PROCESSES) as pool:
        waiting = {pool.submit(play, *job): place for place, job in enumerate(jobs)}
        for done in as_completed(waiting):
            found[waiting[done]] = done.result()
            if len(found) % 25 == 0 or len(found) == len(jobs):
                sys.stderr.write(f"{len(found)} of {len(jobs)} runs, {perf_counter() - started:.0f} s\n")
    return [found[place] for place in range(len(jobs))]


if __name__ == "__main__":
    main()
