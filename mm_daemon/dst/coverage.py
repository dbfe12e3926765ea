"""How often each thing that can happen did happen: the simulation's answer to "and was that case ever tried?".

Names that are known beforehand (rows and phases of the order table, reasons, refusals, faults, crash points) begin at
zero, so that what was never hit is in the report as much as what was.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from mm_daemon.core import order_ledger, reconciler
from mm_daemon.core.ledger_order import LedgerOrder
from mm_daemon.core.order_table import LedgerChange, Report, Row
from mm_daemon.domain.decisions import DropCode, Reason, RefusalCode
from mm_daemon.domain.events import OperatorAction
from mm_daemon.domain.orders import FINAL_PHASES, Phase, RejectKind
from mm_daemon.domain.reconciliation import Diff, DiffKind
from mm_daemon.dst.faults import CRASH_POINTS, FAULT_NAMES

ORDER_TABLE = "order table"
REASONS = "reasons"
REFUSALS = "refusals"
DROPS = "dropped by the outbox"
DIFFERENCES = "differences of a snapshot"
FAULTS = "faults"
CRASHES = "crash points"
OPERATOR = "operator"
REJECTS = "rejects"
FLAGS = "flags of the ledger"
ENDINGS = "exit codes"

_COLUMNS = ("QUEUED", "SENT", "UNKNOWN", "LIVE", "CLOSING", "final")
_WHEN_QUEUED = (Row.ACCEPTED, Row.FILL, Row.CANCELED)
"""What EXECUTION 1 has in its column of orders that wait in the outbox."""


def _cells() -> Iterator[str]:
    for row in Row:
        for column in _COLUMNS:
            if column != "QUEUED" or row in _WHEN_QUEUED:
                yield f"{row.name} x {column}"


GROUPS: Mapping[str, tuple[str, ...]] = {
    ORDER_TABLE: tuple(_cells()),
    REASONS: tuple(Reason),
    REFUSALS: tuple(RefusalCode),
    DROPS: tuple(DropCode),
    DIFFERENCES: tuple(DiffKind),
    OPERATOR: tuple(OperatorAction),
    REJECTS: tuple(RejectKind),
    FAULTS: FAULT_NAMES,
    CRASHES: CRASH_POINTS,
}
"""What is known beforehand, by group."""


_NOT_YET = "the order was never answered, and an amend is refused (target_busy) before it is"
_NO_VERSIONS = "before the first answer an order has one version, without a name that a report could miss"
_OVER = "what is proven or declared is asked of orders in doubt alone, and one that is over is not"
_NOT_GIVEN = "the core never gives this reason; a test looks through its source"

UNREACHABLE: Mapping[str, Mapping[str, str]] = {
    ORDER_TABLE: {
        "AMEND_UNKNOWN x SENT": _NOT_YET,
        "AMEND_UNKNOWN x UNKNOWN": _NOT_YET,
        "CANCELED_VERSION x SENT": _NO_VERSIONS,
        "CANCELED_VERSION x UNKNOWN": _NO_VERSIONS,
        "CANCELED_VERSION x final": "an order that is over has no older version left and no amend out",
        "NO_DEATH x SENT": _NO_VERSIONS,
        "NO_DEATH x UNKNOWN": _NO_VERSIONS,
        "PROVEN_DEAD x final": _OVER,
        "DECLARED_FILLED x final": _OVER,
    },
    REASONS: {
        Reason.JOURNAL_FAULT: "a write that fails stops the process (R14), which then decides nothing; " + _NOT_GIVEN,
        Reason.MODEL_NOT_READY: "models quote wider while they learn (`Doubt`); " + _NOT_GIVEN,
        Reason.LEVEL_UNUSED: "orders of a level that is gone are `surplus`; " + _NOT_GIVEN,
        Reason.DEAD_MAN: "a venue's switch fires there and sends no command of ours; " + _NOT_GIVEN,
        Reason.HEDGE: "nothing hedges between venues yet; " + _NOT_GIVEN,
    },
    REFUSALS: {RefusalCode.OFF_GRID_SIZE: "sizes are whole lots by their type; no check gives this refusal"},
}
"""What cannot happen, and why. One of them that does happen is a breach: the argument was wrong."""


def known_names(group: str) -> tuple[str, ...]:
    """The vocabulary of a group; empty where it has none."""
    return GROUPS.get(group, ())


class Coverage:
    """Counts by group and name."""

    def __init__(self) -> None:
        self.groups: dict[str, Counter[str]] = {}

    def hit(self, group: str, name: str, times: int = 1) -> None:
        found = self.groups.get(group)
        if found is None:
            found = self.groups[group] = Counter()
        found[name] += times

    def add(self, other: Mapping[str, Mapping[str, int]]) -> None:
        for group, counts in other.items():
            for name, times in counts.items():
                self.hit(group, name, times)

    def table(self) -> dict[str, dict[str, int]]:
        """Every known name and every other that was hit, in the order of its vocabulary."""
        groups: dict[str, dict[str, int]] = {}
        for group in (*GROUPS, *(group for group in sorted(self.groups) if group not in GROUPS)):
            counts = self.groups.get(group, Counter())
            names = dict.fromkeys((*known_names(group), *sorted(counts)))
            groups[group] = {name: counts[name] for name in names}
        return groups


@contextmanager
def differences_watched(hit: Callable[[str, str], None]) -> Iterator[None]:
    """Count inside this block that a position could not be compared, of which no record is kept."""
    names = vars(reconciler)
    real: Callable[..., list[Diff]] = names["reconcile_diff"]

    def counted(*facts: Any, **more: Any) -> list[Diff]:
        found = real(*facts, **more)
        if any(diff.kind is DiffKind.POSITION_NOT_COMPARED for diff in found):
            hit(DIFFERENCES, DiffKind.POSITION_NOT_COMPARED)
        return found

    names["reconcile_diff"] = counted
    try:
        yield
    finally:
        names["reconcile_diff"] = real


@contextmanager
def order_table_watched(hit: Callable[[str, str], None]) -> Iterator[None]:
    """Count each cell of the order table that is used inside this block."""
    names = vars(order_ledger)
    real: Callable[[LedgerOrder, Report, LedgerChange], None] = names["step"]

    def counted(order: LedgerOrder, report: Report, change: LedgerChange) -> None:
        hit(ORDER_TABLE, f"{report.row.name} x {_column(order.phase)}")
        real(order, report, change)
        if change.flags:
            for flag in change.flags:
                hit(FLAGS, flag)

    names["step"] = counted
    try:
        yield
    finally:
        names["step"] = real


def _column(phase: Phase) -> str:
    return "final" if phase in FINAL_PHASES else str(phase)
