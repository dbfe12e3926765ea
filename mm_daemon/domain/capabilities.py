"""What a venue can do, stated by its connector. Ledger, planner and outbox read this; nothing asks for a venue by
name.
"""

from enum import StrEnum

import msgspec


class AmendQuantity(StrEnum):
    """What the size of an amend means: the order's new TOTAL, filled part included, or a FRESH order's size."""

    TOTAL = "total"
    FRESH = "fresh"


class BucketKind(StrEnum):
    WINDOW = "window"
    """`capacity` units in each fixed window of `period_ms`."""
    TOKEN = "token"
    """A bucket of `capacity` refilled evenly over `period_ms`."""


class CommandClass(StrEnum):
    """Priority classes of the outbox, first served first (EXECUTION 6)."""

    CANCEL_ALL = "cancel_all"
    CANCEL = "cancel"
    REDUCE = "reduce"
    AMEND = "amend"
    PLACE = "place"


class Bucket(msgspec.Struct, frozen=True, kw_only=True):
    """One rate limit of a venue. `reserve` is kept back for cancels; None means 20 % of capacity."""

    name: str
    kind: BucketKind
    capacity: int
    period_ms: int
    costs: dict[CommandClass, int]
    reserve: int | None = None
    cancels_exempt: bool = False
    """While a retry-after runs, cancels may still leave."""


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    amend: bool = False
    amend_quantity: AmendQuantity = AmendQuantity.TOTAL
    amend_new_venue_id: bool = False
    decrease_keeps_place: bool = False
    """A pure size decrease by amend keeps the place in the queue."""
    cancel_final: bool = True
    """A cancel report is the last word: the order cannot fill afterwards."""
    post_only: bool = True
    reduce_only: bool = True
    batch_max: int = 1
    ack_timeout_ms: int = 3000
    dead_man_floor_ms: int | None = None
    """Shortest deadline of the venue's dead man's switch; None: it has none."""
    dead_man_ms: int | None = None
    """Silence after which it shall cancel all; None: 10 s, or the shortest deadline where that is longer."""
    buckets: tuple[Bucket, ...] = ()
    simulated: bool = False
    """Orders never leave this process: paper mode needs no wrapper around it."""
