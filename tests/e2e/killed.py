"""`mm-daemon` that kills itself at an exact moment of a fill: `python -m tests.e2e.killed MOMENT N run --config ...`.

Moments, at the N-th batch with fills: `kept`, when the venue has written it down and nobody was told; `told`, when the
core has applied it and the journal has not been written; `journaled`, right after that. The kill is SIGKILL to itself,
so nothing is closed and nothing is said.
"""

import os
import signal
import sys

from connectors.shared.account_file import AccountFile
from mm_daemon.cli.main import execute
from mm_daemon.domain.account_history import TradeBooked
from mm_daemon.domain.events import Event, OrderFilled
from mm_daemon.journal.run_writer import RunWriter

MOMENTS = ("kept", "told", "journaled")


class _Countdown:
    def __init__(self, count: int) -> None:
        self._left = count

    def __call__(self) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def _arm(moment: str, countdown: _Countdown) -> None:
    save, note_event, flush = AccountFile.save, RunWriter.event, RunWriter.flush
    fills: list[OrderFilled] = []

    def save_and_die(file: AccountFile) -> None:
        with_fill = any(isinstance(entry, TradeBooked) for entry in file._unsaved)
        save(file)
        if with_fill and moment == "kept":
            countdown()

    def watch(journal: RunWriter, event: Event) -> None:
        note_event(journal, event)
        if isinstance(event, OrderFilled):
            fills.append(event)

    def flush_and_die(journal: RunWriter) -> None:
        if fills and moment == "told":
            countdown()
        flush(journal)
        if fills and moment == "journaled":
            countdown()
        fills.clear()

    AccountFile.save = save_and_die  # type: ignore[assignment,method-assign]
    RunWriter.event = watch  # type: ignore[assignment,method-assign]
    RunWriter.flush = flush_and_die  # type: ignore[assignment,method-assign]


if __name__ == "__main__":
    _arm(sys.argv[1], _Countdown(int(sys.argv[2])))
    sys.exit(execute(sys.argv[3:]))
