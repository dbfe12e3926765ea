"""Several backtests beside each other: their tasks on an executor, a bar while they run, one report."""

from collections.abc import Sequence

from msgspec.structs import replace

from mm_daemon.backtest.combined import CombinedReport, combined
from mm_daemon.backtest.executors import Done, executor, gather
from mm_daemon.backtest.progress import Bar
from mm_daemon.backtest.sensitivity import queue_figures, queues, with_queue
from mm_daemon.backtest.tasks import BacktestTask, run_task


def play_parts(
    tasks: Sequence[BacktestTask],
    *,
    workers: int | None = None,
    dask: str | None = None,
    bar: bool = False,
    sensitivity: bool = False,
) -> CombinedReport:
    """Run the tasks and put their reports together, the same for any number of processes; with `sensitivity` also under
    other queue models, whose figures go into the report.

    Raises UsageError and ConfigError as `executor` does, AllFailed.
    """
    for task in tasks:
        if task.journal is not None:
            task.journal.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    assumed = queues(tasks[0]) if sensitivity else []
    others = [with_queue(task, queue) for queue in assumed[1:] for task in tasks]
    with Bar(len(tasks) + len(others), wanted=bar) as drawn:
        where = executor(workers, dask, heard=drawn.heard)
        outcomes = gather(where, run_task, [*tasks, *others], lambda index, _: drawn.end(index))
    report = combined(tasks, outcomes[: len(tasks)])
    figures = []
    for place, queue in enumerate(assumed):
        part = outcomes[place * len(tasks) : (place + 1) * len(tasks)]
        figures.append(queue_figures(queue, [outcome.value for outcome in part if isinstance(outcome, Done)]))
    return replace(report, queue_sensitivity=tuple(figures))
