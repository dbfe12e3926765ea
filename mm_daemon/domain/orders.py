"""The words of an order's life: sides, phases, in-flight flags and what a venue may say about them.

The transitions themselves are the table of EXECUTION 1, kept by `core/order_table.py`.
"""

from enum import IntEnum, StrEnum
from typing import NewType

ClientOrderId = NewType("ClientOrderId", int)
"""A 48-bit persistent counter; each connector maps it to its own form. Never random, never used twice."""


class Side(IntEnum):
    """The sign of a side: `side * lots` is a signed quantity."""

    BUY = 1
    SELL = -1

    @property
    def word(self) -> str:
        """`bid` or `ask`: what people call a quote on this side."""
        return "bid" if self is Side.BUY else "ask"


class Phase(StrEnum):
    """Where an order is in its life. The first five may still add exposure; the last five are final."""

    QUEUED = "QUEUED"
    SENT = "SENT"
    LIVE = "LIVE"
    UNKNOWN = "UNKNOWN"
    CLOSING = "CLOSING"
    FOREIGN = "FOREIGN"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"
    REJECTED = "REJECTED"
    ABSENT = "ABSENT"


FINAL_PHASES = frozenset({Phase.FILLED, Phase.CANCELED, Phase.EXPIRED, Phase.REJECTED, Phase.ABSENT})


class InFlight(StrEnum):
    """State of an amend or a cancel, independent of the phase."""

    NONE = "none"
    QUEUED = "queued"
    SENT = "sent"
    UNKNOWN = "unknown"


class Operation(StrEnum):
    """What a command asks the venue to do with one order."""

    PLACE = "place"
    AMEND = "amend"
    CANCEL = "cancel"


class TimeInForce(StrEnum):
    GTC = "gtc"
    IOC = "ioc"


class Purpose(StrEnum):
    """Why an order exists. Only quotes are post-only and belong to a slot."""

    QUOTE = "quote"
    HEDGE = "hedge"
    FLATTEN = "flatten"


class RejectKind(StrEnum):
    """A venue's refusal, in words shared by all venues. GONE: no such order is open; it may have filled."""

    POST_ONLY_CROSS = "post_only_cross"
    INSUFFICIENT_MARGIN = "insufficient_margin"
    REDUCE_ONLY = "reduce_only"
    RATE_LIMITED = "rate_limited"
    INVALID = "invalid"
    HALTED = "halted"
    GONE = "gone"
    FILLED = "filled"
    PLACE_LEG_FAILED = "place_leg_failed"
    OTHER = "other"


SHORT_ID_BITS = 32


def short_client_id(client_id: ClientOrderId) -> int:
    """What a venue with 32-bit client ids gets to see of ours (EXECUTION 0)."""
    return client_id % (1 << SHORT_ID_BITS)


def full_client_id(seen: int, first: ClientOrderId, end: ClientOrderId) -> ClientOrderId | None:
    """The id of ours in [first, end) that such a venue shows as `seen`; None: it is not ours."""
    offset = (seen - first) % (1 << SHORT_ID_BITS)
    return ClientOrderId(first + offset) if offset < end - first else None
