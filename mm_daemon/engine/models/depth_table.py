"""Depths solved once for every inventory on a grid, then looked up at each decision."""

import math
from collections.abc import Sequence
from itertools import pairwise

import msgspec

from mm_daemon.domain.errors import DomainError
from mm_daemon.engine.domain_checks import require_finite

INVENTORY_BOUND_LIMIT = 1000
"""Larger grids are a mistake: solving costs the bound's cube, and depths hardly depend on it beyond a few dozen."""


class Depths(msgspec.Struct, frozen=True, gc=False):
    """Distances of bid and ask below and above the reference price, in units of price; negative beyond it.

    None: that side has no quote, one more fill would pass the inventory bound.
    """

    delta_bid: float | None
    delta_ask: float | None


class DepthTable(msgspec.Struct, frozen=True):
    """Depths over q = -Q..Q in trade sizes: `bids[i]` at q = i - Q (none at +Q), `asks[i]` at q = i - Q + 1 (none at
    -Q); 2 Q entries each.
    """

    bound: int
    bids: tuple[float, ...]
    asks: tuple[float, ...]

    def at(self, q: float) -> Depths:
        """Depths at inventory `q`, linear between whole units.

        Within one unit of the bound the side that would pass it has no quote; beyond the bound the other side stays as
        it is at the bound, so that a position too large can still be reduced. Raises DomainError for NaN or infinity.
        """
        require_finite(q=q)
        return Depths(
            interpolate(self.bids, q + self.bound) if q <= self.bound - 1 else None,
            interpolate(self.asks, q + self.bound - 1) if q >= 1 - self.bound else None,
        )


def depth_table(log_values: Sequence[float], decay: float, ask_premium: float, bid_premium: float) -> DepthTable:
    """The table that follows from ln w_q, q = -Q..Q (GLFT 2013, Prop. 2; Cartea, Jaimungal and Penalva, ch. 10):
    `delta_bid = premium + ln(w_q/w_(q+1))/decay`, the ask alike with w_(q-1). Premiums in price, decay in 1/price.
    """
    falls = [(here - beyond) / decay for here, beyond in pairwise(log_values)]
    bids = tuple(bid_premium + fall for fall in falls)
    asks = tuple(ask_premium - fall for fall in falls)
    if not (all(map(math.isfinite, bids)) and all(map(math.isfinite, asks))):
        raise DomainError("the model has no finite quotes for these parameters")
    return DepthTable(len(falls) // 2, bids, asks)


def whole_bound(Q: float) -> int:
    """The inventory bound as a whole number; DomainError unless it is one, from 1 to what a grid can have."""
    if not (1 <= Q <= INVENTORY_BOUND_LIMIT and int(Q) == Q):
        raise DomainError(f"Q = {Q} must be a whole number from 1 to {INVENTORY_BOUND_LIMIT}")
    return int(Q)


def interpolate(values: Sequence[float], place: float) -> float:
    """The value at a place counted from the first, linear in between; the ends hold beyond themselves."""
    last = len(values) - 1
    if not 0.0 < place < last:
        return values[0 if place <= 0.0 else last]
    index = int(place)
    share = place - index
    return values[index] if share == 0.0 else (1.0 - share) * values[index] + share * values[index + 1]
