"""Sizes that are not a number of lots: money, which becomes lots at a price, a share of the displayed depth, and what
moves the mid by no more than is allowed.

Both are looked at seldom and change by steps, so that quotes do not flutter: lots of money are worked out anew once the
price is a hundredth away from where that was last done; depth is read once a second, counts as far as it has been there
for ten of those looks, and is taken over when it differs by more than a quote's size may. Limits come out as whole
lots. Money is in atto of the settlement currency.
"""

import math
from collections import deque
from typing import NamedTuple

import msgspec

from mm_daemon.domain.book import OrderBook
from mm_daemon.domain.orders import Side
from mm_daemon.domain.signal_states import DepthCapState
from mm_daemon.engine.units import BPS

_NOMINAL_LOTS = 10**6
"""An order before a price is known: only how many orders the limits hold matters then."""
_DRIFT_PARTS = 100
_LOOK_NS = 1_000_000_000
_LOOKS = 10
_LOT_SLACK = 1e-9
_MOST_LOTS = 1e15
_NEVER_NS = -(1 << 62)


class Sizes(NamedTuple):
    """In lots; the position limits signed."""

    order_lots: int
    max_position_lots: int
    min_position_lots: int


class MoneySizes(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Size of one quote and position limits as money; `min_position_atto` is zero or negative."""

    order_atto: int
    max_position_atto: int
    min_position_atto: int

    def nominal(self) -> Sizes:
        """Sizes whose proportions are right, while there is no price."""
        return self._of(_NOMINAL_LOTS)

    def at(self, lot_atto: int, most_lots: int | None = None) -> Sizes:
        """Lots where one is worth `lot_atto`, never worth more than the money; an order has `most_lots` at most.

        The limits hold as many orders as the money does, so that what a model prices by does not change with the price.
        """
        lots = self.order_atto // lot_atto
        return self._of(lots if most_lots is None or lots < most_lots else most_lots)

    def _of(self, order_lots: int) -> Sizes:
        return Sizes(
            order_lots,
            order_lots * self.max_position_atto // self.order_atto,
            -(order_lots * -self.min_position_atto // self.order_atto),
        )


def has_drifted(half_ticks: int, since_half_ticks: int) -> bool:
    """Whether a price is so far from that at which sizes were worked out that it has to be done again."""
    return abs(half_ticks - since_half_ticks) * _DRIFT_PARTS > since_half_ticks


def impact_lots(impact_bps: float, bps_a_lot: float | None) -> int | None:
    """The largest order that moves the mid by `impact_bps` at most where a lot moves it by `bps_a_lot` (Kyle's lambda,
    MODELS 6.7), in two figures so that quotes do not flutter with the estimate. None: there is no such bound, as the
    estimate is not known, or nothing.
    """
    if bps_a_lot is None or not bps_a_lot > 0.0:
        return None
    most = impact_bps / bps_a_lot * (1.0 + _LOT_SLACK)
    if not most < _MOST_LOTS:
        return None
    lots = math.floor(most)
    step = 1
    while lots >= 100 * step:
        step *= 10
    return lots - lots % step


class DepthCap:
    """The largest order on each side: a share of what is displayed there within some bps of the mid, the least of the
    last looks. Orders of ours that the venue displays are counted among it.
    """

    __slots__ = ("_looked_ns", "_looks", "_reach", "_share", "_tolerance", "lots")

    def __init__(self, share: float, reach_bps: float, tolerance: float) -> None:
        """`tolerance`: by what share of itself a cap may be off before it is changed."""
        self._share, self._reach, self._tolerance = share, reach_bps * BPS, tolerance
        self._looked_ns = _NEVER_NS
        self._looks: deque[tuple[int, int]] = deque(maxlen=_LOOKS)
        """What bids and asks displayed, in lots, the latest last."""
        self.lots: tuple[int, int] | None = None
        """Of bid and ask; None: nothing was seen yet."""

    def look(self, book: OrderBook, now_ns: int) -> bool:
        """Read a trusted book, once a second. Returns whether a cap is another now."""
        if 0 <= now_ns - self._looked_ns < _LOOK_NS:
            return False
        self._looked_ns = now_ns
        mid = book.half_ticks * 0.5
        self._looks.append(
            (
                book.lots_within(Side.BUY, math.ceil(mid * (1.0 - self._reach))),
                book.lots_within(Side.SELL, math.floor(mid * (1.0 + self._reach))),
            )
        )
        bid, ask = self._allowed()
        before = self.lots
        self.lots = (bid, ask) if before is None else (self._taken(before[0], bid), self._taken(before[1], ask))
        return self.lots != before

    def settle(self) -> None:
        """The share may be another one than that of the caps so far: they are what the looks allow, however little
        that changes them.
        """
        if self._looks:
            self.lots = self._allowed()

    def _allowed(self) -> tuple[int, int]:
        bids, asks = zip(*self._looks, strict=True)
        return math.floor(self._share * min(bids) + _LOT_SLACK), math.floor(self._share * min(asks) + _LOT_SLACK)

    def _taken(self, cap: int, lots: int) -> int:
        return lots if abs(lots - cap) > self._tolerance * cap else cap

    def state(self) -> DepthCapState:
        return DepthCapState(self._looked_ns, self.lots, tuple(self._looks))

    def restore(self, state: DepthCapState) -> None:
        """Become what `state` was taken of."""
        self._looked_ns, self.lots = state.looked_ns, state.lots
        self._looks.extend(state.looks)

    def shift(self, by_ns: int) -> None:
        """The clock was set by so much."""
        self._looked_ns += by_ns
