"""The words of a comparison between a venue's snapshot and what we believe (EXECUTION 7)."""

from enum import StrEnum

import msgspec

from mm_daemon.domain.events import FundingPaid, OrderFilled
from mm_daemon.domain.instrument import Venue


class DiffKind(StrEnum):
    """How a snapshot differs from the ledger."""

    FILL_UNSEEN = "fill_unseen"
    ORDER_MISSING_ONCE = "order_missing_once"
    ORDER_MISSING = "order_missing"
    ORDER_EXTRA_OURS = "order_extra_ours"
    ORDER_FOREIGN = "order_foreign"
    ORDER_SIZE = "order_size"
    ORDER_PRICE = "order_price"
    POSITION = "position"
    POSITION_NOT_COMPARED = "position_not_compared"
    POSITION_UNEXPLAINED = "position_unexplained"
    """It stayed in five rounds running: nothing but a person, or `position_adopt: venue`, will end it."""
    POSITION_ADOPTED = "position_adopted"
    """The venue's position was taken over: an adjustment at the mid, no trade."""
    ORDER_DEAD = "order_dead"
    """No snapshot's difference: an order of unknown outcome was proven dead."""
    AMEND_DEAD = "amend_dead"
    """Nor this: an amend of unknown outcome can no longer happen, and has not."""


class Diff(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One difference. `subject`: a fill's key, an order's client id (the venue's id for an order that is not ours), or
    for a position the lots the venue has more than we can explain (of an adopted one, those that were added).
    """

    kind: DiffKind
    subject: int | str


class Reconciled(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="reconciled"):
    """What came of a snapshot, recorded when it differed or when it let quoting go on. `fills` and `payments` are those
    that only the snapshot told us of; `clean`: nothing stands open between us and the venue.
    """

    venue: Venue
    now_ns: int
    diffs: tuple[Diff, ...]
    clean: bool
    fills: tuple[OrderFilled, ...] = ()
    payments: tuple[FundingPaid, ...] = ()

    def compact(self) -> str:
        """For people: `fill_unseen sim-7-1, position 5` or `equal`."""
        return ", ".join(f"{diff.kind} {diff.subject}" for diff in self.diffs) or "equal"
