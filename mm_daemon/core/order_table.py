"""The order state machine as a table: what each report does to an order in each phase (EXECUTION 1).

Rows are kinds of report, columns are phases; a cell changes the order and notes in the `LedgerChange` what the core has
to act upon. The ledger chooses the row; nothing else decides what a report means.
"""

from collections.abc import Callable
from enum import Enum, auto

import msgspec

from mm_daemon.core.ledger_order import LedgerOrder, Tail
from mm_daemon.domain.orders import InFlight, Phase, RejectKind

LATE_FILL = "late_fill"
OVERFILL = "overfill"
CONTRADICTION = "contradiction"
ORPHAN = "orphan"
FOREIGN_FILL = "foreign_fill"


class Row(Enum):
    """Kinds of report, as the table tells them apart."""

    ACCEPTED = auto()
    FILL = auto()
    REJECTED = auto()
    PLACE_UNKNOWN = auto()
    AMENDED = auto()
    AMEND_REFUSED = auto()
    AMEND_GONE = auto()
    AMEND_PLACE_LEG_FAILED = auto()
    AMEND_UNKNOWN = auto()
    CANCELED = auto()
    """Of the current version; expiry is the same."""
    CANCELED_VERSION = auto()
    """Of a tail, or of the current version while a fresh amend is out."""
    NO_DEATH = auto()
    """A cancel report that kills nothing: a same-id replacement, or a version settled before."""
    CANCEL_GONE = auto()
    CANCEL_REFUSED = auto()
    CANCEL_UNKNOWN = auto()
    STATUS = auto()
    """A query's answer: the order is open. `cum_lots` is what the venue has filled of it."""
    PROVEN_DEAD = auto()
    DECLARED_FILLED = auto()
    """A person says so."""


class Report(msgspec.Struct, frozen=True, gc=False):
    """One report in the table's words. `cum_lots` is the filled size a death report names."""

    row: Row
    venue_order_id: str = ""
    ticks: int = 0
    lots: int = 0
    cum_lots: int | None = None
    final: bool = True
    word: Phase = Phase.CANCELED
    kind: RejectKind | None = None


class LedgerChange(msgspec.Struct):
    """What one event did, for the core to act upon.

    `fill_lots` is signed (bought positive) and belongs in the position even when `order` is None: a fill is a fact.
    `accepted`: the venue took a place or an amend. `rejected`: it refused one. `flags`: late_fill, overfill,
    contradiction, orphan (an id of ours without a record), foreign_fill. `query` asks for a look at the order,
    `reconcile` for a lockout until the venue's view matches. `ignored`: the event changed nothing.
    """

    order: LedgerOrder | None = None
    fill_lots: int = 0
    fill_ticks: int = 0
    duplicate: bool = False
    flags: tuple[str, ...] = ()
    accepted: bool = False
    rejected: RejectKind | None = None
    query: bool = False
    reconcile: bool = False
    ignored: bool = False

    def flag(self, name: str) -> None:
        """Raise a flag; all of them mean that our picture was wrong, so all of them reconcile."""
        if name not in self.flags:
            self.flags += (name,)
        self.reconcile = True


Cell = Callable[[LedgerOrder, Report, LedgerChange], None]


def _ignore(order: LedgerOrder, report: Report, change: LedgerChange) -> None:
    change.ignored = True


def _ignore_and_query(order: LedgerOrder, report: Report, change: LedgerChange) -> None:
    change.ignored = True
    change.query = True


# accepted


def _accept(order: LedgerOrder, report: Report, change: LedgerChange) -> None:
    order.phase = Phase.LIVE
    _accept_again(order, report, change)


def _accept_again(order: LedgerOrder, report: Report, change: LedgerChange) -> None:
    order.accepted = True
    order.learn_id(report.venue_order_id)
    change.accepted = True


def _accept_late(order: LedgerOrder, report: Report, change: LedgerChange) -> None:
    order.accepted = True
    order.learn_id(report.venue_order_id)


# fill


def _fill_proves(order: LedgerOrder, report: Report, change: LedgerChange) -> None:
    order.phase = Phase.LIVE
    _fill(order, report, change)


def _fill(order: LedgerOrder, report: Report, change: LedgerChange) -> None:
    name = report.venue_order_id
    tail = order.tail(name)
    if tail is not None:
        _fill_tail(order, tail, report, change)
        return
    if order.names_pend(name):
        # The amend's own version was filled before its acknowledgement came.
        _amend(order, Report(Row.AMENDED, name, order.pend_ticks, order.pend_lots), change)
    elif order.fresh and name in order.settled_ids:
        change.flag(LATE_FILL)
        return
    elif not order.current_alive:
        change.flag(CONTRADICTION)
    order.learn_id(name)
    order.filled_lots += report.lots
    if order.filled_lots > (order.lots if order.fresh else max(order.lots, order.pend_lots)):
        change.flag(OVERFILL)
    order.finish_if_done()


def _fill_tail(order: LedgerOrder, tail: Tail, report: Report, change: LedgerChange) -> None:
    tail.filled_lots += report.lots
    if tail.filled_lots > tail.lots:
        change.flag(OVERFILL)
    order.settle_tail(tail)
    order.finish_if_done()


def _fill_late(order: LedgerOrder, report: Report, change: LedgerChange) -> None:
    change.flag(LATE_FILL)
    if order.fresh and not order.is_current(report.venue_order_id):
        return
    order.filled_lots += report.lots
    if order.filled_lots > order.lots:
        change.flag(OVERFILL)
    if order.filled_lots >= order.lots:
        order.phase = Phase.FILLED


# rejected, unknown


def _reject(order: LedgerOrder, report: Report, change: LedgerChange) -> None:
    change.rejected = report.kind
    if order.filled_lots:
        _doubt_reject(order, report, change)
    else:
        order.finish(Phase.REJECTED)


def _doubt_reject(order: LedgerOrder, report: Report, change: LedgerChange) -> None:
    change.rejected = report.kind
    if order.filled_lots:
        change.flag(CONTRADICTION)
    _doubt(order)
    change.query = True


def _reject_doubted(order: LedgerOrder, report: Report, change: LedgerChange) -> None:
    """Stay, but for an order of which nothing was ever heard but that it is not there: that is why."""
    if order.doubted and not order.accepted and not order.filled_lots:
        _reject(order, report, change)
    else:
        change.ignored = True


def _lose_place(order: LedgerOrder, report: Report, change: LedgerChange) -> None:
    order.phase = Phase.UNKNOWN
    change.query = True


def _lose_amend(order: LedgerOrder, report: Report, change: LedgerChange) -> None:
    if order.amend is InFlight.NONE:
        change.ignored = True
        return
    order.amend = InFlight.UNKNOWN
    change.query = True


def _lose_cancel(order: LedgerOrder, report: Report, change: LedgerChange) -> None:
    if order.cancel is InFlight.NONE:
        change.ignored = True
        return
    order.cancel = InFlight.UNKNOWN
    change.query = True


def _doubt(order: LedgerOrder) -> None:
    """It may be gone: what became of it has to be found out."""
    order.phase = Phase.CLOSING
    order.doubted = True


# amend


def _amend(order: LedgerOrder, report: Report, change: LedgerChange) -> None:
    order.phase = Phase.LIVE
    order.accepted = True
    order.replace_current(report.venue_order_id, report.ticks, report.lots)
    change.accepted = True
    order.finish_if_done()


def _refuse_amend(order: LedgerOrder, report: Report, change: LedgerChange) -> None:
    change.rejected = report.kind
    order.clear_pend()
    order.finish_if_done()


def _amend_gone(order: LedgerOrder, report: Report, change: LedgerChange) -> None:
    _refuse_amend(order, report, change)
    if order.may_be_alive and order.filled_lots < order.lots:
        _doubt(order)
        change.query = True


def _fail_place_leg(order: LedgerOrder, report: Report, change: LedgerChange) -> None:
    change.rejected = report.kind
    order.clear_pend()
    _doubt(order)
    if order.fresh:
        order.retire_current(settled=False)
    change.query = True
    order.finish_if_done()


# canceled, expired


def _never_left(order: LedgerOrder, report: Report, change: LedgerChange) -> None:
    order.finish(Phase.ABSENT)


def _cancel(order: LedgerOrder, report: Report, change: LedgerChange) -> None:
    order.learn_id(report.venue_order_id)
    order.clear_cancel()
    order.phase = Phase.CLOSING
    order.doubted = False
    _name_death(order, report)
    order.finish_if_done()
    change.query = order.may_be_alive


def _name_death(order: LedgerOrder, report: Report) -> None:
    """A final report bounds the current version by the filled size it names, by what was seen if it names none."""
    if report.final:
        order.cum_lots = order.filled_lots if report.cum_lots is None else report.cum_lots
        order.final_word = report.word


def _cancel_version(order: LedgerOrder, report: Report, change: LedgerChange) -> None:
    tail = order.tail(report.venue_order_id)
    if tail is None:
        order.learn_id(report.venue_order_id)
        order.clear_cancel()
        _name_death(order, report)
    elif report.final:
        tail.lots = tail.filled_lots if report.cum_lots is None else report.cum_lots
        order.settle_tail(tail)
    order.finish_if_done()


def _cancel_again(order: LedgerOrder, report: Report, change: LedgerChange) -> None:
    change.ignored = True
    named = report.cum_lots or 0
    change.reconcile = order.is_current(report.venue_order_id) and named > order.filled_lots


# cancel refused, proof


def _cancel_gone(order: LedgerOrder, report: Report, change: LedgerChange) -> None:
    _doubt(order)
    order.clear_cancel()
    change.query = True


def _refuse_cancel(order: LedgerOrder, report: Report, change: LedgerChange) -> None:
    order.clear_cancel()


# a query's answer


def _show(order: LedgerOrder, report: Report, change: LedgerChange) -> None:
    """Open, says the venue. A reported death stands: the answer may be older. Sizes only ever grow by it, because the
    answer may be older than the last amend; what has become smaller is found by the comparison with snapshots.
    """
    if order.phase is Phase.CLOSING and not order.doubted:
        change.ignored = True
        return
    name = report.venue_order_id
    order.phase = Phase.LIVE
    order.accepted = True
    order.doubted = False
    order.learn_id(name)
    if order.amend is InFlight.UNKNOWN and _shows_pend(order, report):
        _amend(order, report, change)
    elif order.is_current(name) and not order.pend_lots:
        order.lots = max(order.lots, report.lots)
    if order.cancel is InFlight.UNKNOWN:
        order.clear_cancel()


def _shows_pend(order: LedgerOrder, report: Report) -> bool:
    """Whether the version shown can only be that of the amend in doubt, or stands for no less."""
    if (report.ticks, report.lots) != (order.pend_ticks, order.pend_lots):
        return False
    return order.names_pend(report.venue_order_id) if order.fresh else report.lots >= order.lots


# proof


def _bury_unproven(order: LedgerOrder, report: Report, change: LedgerChange) -> None:
    order.finish(Phase.CANCELED if order.accepted or order.filled_lots else Phase.ABSENT)


def _bury(order: LedgerOrder, report: Report, change: LedgerChange) -> None:
    order.finish(order.ends_as)


def _declare_filled(order: LedgerOrder, report: Report, change: LedgerChange) -> None:
    order.finish(Phase.FILLED)


_QUEUED, _SENT, _LIVE, _CLOSING, _FINAL = range(5)
_COLUMN = {
    Phase.QUEUED: _QUEUED,
    Phase.SENT: _SENT,
    Phase.UNKNOWN: _SENT,
    Phase.LIVE: _LIVE,
    Phase.FOREIGN: _LIVE,
    Phase.CLOSING: _CLOSING,
}

_TABLE: dict[Row, tuple[Cell, Cell, Cell, Cell, Cell]] = {
    #                            QUEUED         SENT, UNKNOWN    LIVE             CLOSING          final
    Row.ACCEPTED:               (_accept,       _accept,         _accept_again,   _accept_late,    _ignore),
    Row.FILL:                   (_fill_proves,  _fill_proves,    _fill,           _fill,           _fill_late),
    Row.REJECTED:               (_ignore,       _reject,         _doubt_reject,   _reject_doubted, _ignore),
    Row.PLACE_UNKNOWN:          (_ignore,       _lose_place,     _ignore,         _ignore,         _ignore),
    Row.AMENDED:                (_ignore,       _amend,          _amend,          _amend,          _ignore_and_query),
    Row.AMEND_REFUSED:          (_ignore,       _refuse_amend,   _refuse_amend,   _refuse_amend,   _ignore),
    Row.AMEND_GONE:             (_ignore,       _amend_gone,     _amend_gone,     _refuse_amend,   _ignore),
    Row.AMEND_PLACE_LEG_FAILED: (_ignore,       _fail_place_leg, _fail_place_leg, _fail_place_leg, _ignore),
    Row.AMEND_UNKNOWN:          (_ignore,       _lose_amend,     _lose_amend,     _lose_amend,     _ignore),
    Row.CANCELED:               (_never_left,   _cancel,         _cancel,         _cancel,         _cancel_again),
    Row.CANCELED_VERSION:       (_ignore,       _cancel_version, _cancel_version, _cancel_version, _cancel_again),
    Row.NO_DEATH:               (_ignore,       _ignore,         _ignore,         _ignore,         _ignore),
    Row.CANCEL_GONE:            (_ignore,       _cancel_gone,    _cancel_gone,    _refuse_cancel,  _ignore),
    Row.CANCEL_REFUSED:         (_ignore,       _refuse_cancel,  _refuse_cancel,  _refuse_cancel,  _ignore),
    Row.CANCEL_UNKNOWN:         (_ignore,       _lose_cancel,    _lose_cancel,    _lose_cancel,    _ignore),
    Row.STATUS:                 (_ignore,       _show,           _show,           _show,           _ignore),
    Row.PROVEN_DEAD:            (_ignore,       _bury_unproven,  _bury,           _bury,           _ignore),
    Row.DECLARED_FILLED:        (_ignore,       _declare_filled, _declare_filled, _declare_filled, _ignore),
}  # fmt: skip


def step(order: LedgerOrder, report: Report, change: LedgerChange) -> None:
    """Apply one report by the table."""
    _TABLE[report.row][_COLUMN.get(order.phase, _FINAL)](order, report, change)
