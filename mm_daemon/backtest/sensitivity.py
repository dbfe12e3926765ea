"""How much of a result hangs on where cancelled orders are taken to have stood in the queue (EXECUTION 8, Queue).

Nobody can know that from a recording, so a result is shown beside what other assumptions give: `risk_averse`, which
credits no cancel to us, `power 1`, which spreads them evenly, and `power 3`, which takes most from the longer part.
"""

from collections.abc import Sequence

from msgspec.structs import replace

from mm_daemon.backtest.report import BacktestReport, Pnl, QueueFigures, exact_sum, sum_pnl
from mm_daemon.backtest.tasks import BacktestTask, config_of
from mm_daemon.simulation.models import QueueModel

Queue = tuple[QueueModel, float]

BESIDE: tuple[Queue, ...] = (
    (QueueModel.RISK_AVERSE, 1.0),
    (QueueModel.POWER, 1.0),
    (QueueModel.POWER, 3.0),
)


def queues(task: BacktestTask) -> list[Queue]:
    """The task's own assumption, and those that are shown beside it."""
    paper = config_of(replace(task, day="0000-00-00")).paper
    own = paper.queue_model, paper.queue_exponent
    return [own, *(queue for queue in BESIDE if not _same(queue, own))]


def with_queue(task: BacktestTask, queue: Queue) -> BacktestTask:
    """The same task under another assumption, and without a journal."""
    model, exponent = queue
    keys = {"paper.queue_model": model.value, "paper.queue_exponent": exponent}
    return replace(task, overrides={**task.overrides, **keys}, journal=None)


def queue_figures(queue: Queue, reports: Sequence[BacktestReport]) -> QueueFigures:
    """The reports of all parts under one assumption, summed where a sum exists."""
    model, exponent = queue
    pnls = [report.pnl for report in reports]
    volumes = [report.volume for report in reports]
    alike = len({report.currency for report in reports}) == 1
    known: list[Pnl] = [pnl for pnl in pnls if pnl is not None]
    summed = alike and len(known) == len(pnls)
    return QueueFigures(
        model=model.value,
        exponent=exponent,
        fills=sum(report.fills for report in reports),
        volume=exact_sum(volume for volume in volumes if volume is not None) if summed else None,
        pnl=sum_pnl(known) if summed else None,
    )


def _same(one: Queue, other: Queue) -> bool:
    return one == other or (one[0] is other[0] is QueueModel.RISK_AVERSE)
