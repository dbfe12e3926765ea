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
    """`capacity` units in any `period_ms`, wherever the venue lets its windows begin."""
    TOKEN = "token"
    """A bucket of `capacity` refilled evenly over `period_ms`."""
    PER_BLOCK = "per_block"
    """`capacity` units in any `blocks` blocks, by the heights of `VenueTime`."""
    QUOTA = "quota"
    """`capacity` units that time does not bring back: the venue grants more, and says so by `RateLimitUsed`."""


class CommandClass(StrEnum):
    """Priority classes of the outbox, first served first (EXECUTION 6)."""

    CANCEL_ALL = "cancel_all"
    CANCEL = "cancel"
    REDUCE = "reduce"
    AMEND = "amend"
    PLACE = "place"


class Validity(StrEnum):
    """How a venue bounds the time in which a command of ours can still take effect: the kind of an order's proof of
    death (EXECUTION 2).
    """

    EXPIRES_AT = "expires_at"
    """The command names an instant of the venue's clock."""
    HEIGHT = "height"
    """The order names a last block."""
    NONCE = "nonce"
    """Spent by another transaction, the command can never land; it may name an instant too."""
    DELAY = "delay"
    """Nothing is named: `d_max_ms` is how long the venue may keep a command before it acts."""


class Bucket(msgspec.Struct, frozen=True, kw_only=True):
    """One rate limit of a venue. `reserve` is kept back for cancels; None means 20 % of capacity (5 % of a quota).

    A batch of n commands costs n times `costs`, unless `batch_costs` names its class: then 2 and more cost that, and
    `costs` once more for each full `batch_step` of them.
    """

    name: str
    kind: BucketKind
    capacity: int
    period_ms: int = 0
    costs: dict[CommandClass, int]
    reserve: int | None = None
    cancels_exempt: bool = False
    """While a retry-after runs, cancels may still leave."""
    blocks: int = 1
    batch_costs: dict[CommandClass, int] = msgspec.field(default_factory=dict)
    batch_step: int | None = None
    use_percent: int = 90
    """Share of `capacity` that is used at most: somebody's count may differ from ours."""
    slack_ms: int = 100
    """How much closer together messages may arrive than they left: a window counts for so much longer."""

    def cost(self, kind: CommandClass, commands: int) -> int:
        """Units that one batch of so many commands costs."""
        each = self.costs.get(kind, 0)
        flat = self.batch_costs.get(kind)
        if commands < 2 or flat is None:
            return each * commands
        return flat + (each * (commands // self.batch_step) if self.batch_step else 0)

    def concerns(self, kind: CommandClass) -> bool:
        return bool(self.costs.get(kind) or self.batch_costs.get(kind))


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
    validity: Validity = Validity.DELAY
    validity_margin_ms: int = 2000
    """What the venue's clock has to show beyond the end of a validity before it counts as over."""
    d_max_ms: int = 60_000
    """`delay`: longest time from sending a command to its effect."""
    action_ttl_floor_ms: int = 0
    """Shortest validity that the venue takes."""
    max_order_blocks: int | None = None
    """`height`: furthest block that an order may name, from the present one; None: any."""
    order_life_ms: int | None = None
    """After how long at most the venue drops a resting order that nobody cancels; None: never, or another key says."""
    fence: bool = False
    """A cancel can be signed with the nonce of a command whose outcome is unknown: one of the two takes effect."""
    client_id_bits: int = 48
    """The venue keeps the low bits of our order ids."""
    dead_man_floor_ms: int | None = None
    """Shortest deadline of the venue's dead man's switch; None: it has none."""
    dead_man_ms: int | None = None
    """Silence after which it shall cancel all; None: 10 s, or the shortest deadline where that is longer."""
    buckets: tuple[Bucket, ...] = ()
    simulated: bool = False
    """Orders never leave this process: paper mode needs no wrapper around it."""
    exchange: str = ""
    """Whose books these are: entries that say the same trade the same symbols in the same books, and their orders of
    ours must not meet. Empty: nobody else's.
    """
    recorded: bool = False
    """Market data are played from a recording: the venue's clock says nothing about ours."""
    lossy: bool = False
    """Of a simulated venue: commands and replies may be lost or late, so that an order its snapshot lacks may live."""
