"""Several backtests beside each other: their tasks on an executor, a bar while they run, one report."""

from collections.abc import Sequence

from mm_daemon.backtest.combined import CombinedReport, combined
from mm_daemon.backtest.executors import executor, gather
from mm_daemon.backtest.progress import Bar
from mm_daemon.backtest.tasks import BacktestTask, run_task


def play_parts(
    tasks: Sequence[BacktestTask], *, workers: int | None = None, dask: str | None = None, bar: bool = False
) -> CombinedReport:
    """Run the tasks and put their reports together, the same for any number of processes.

    Raises UsageError and ConfigError as `executor` does, ConfigError when every part failed.
    """
    for task in tasks:
        if task.journal is not None:
            task.journal.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with Bar(len(tasks), wanted=bar) as drawn:
        where = executor(workers, dask, heard=drawn.heard)
        outcomes = gather(where, run_task, tasks, lambda index, _: drawn.end(index))
    return combined(tasks, outcomes)
