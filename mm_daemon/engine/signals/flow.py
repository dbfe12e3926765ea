"""Order-flow imbalance and depth imbalance (MODELS 6.6): which side of the book presses on the price.

Source: Cont, Kukanov and Stoikov, "The price impact of order book events", J. Financial Econometrics 12 (2014).
Positive is buying pressure throughout.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

from mm_daemon.domain.errors import DomainError
from mm_daemon.domain.signal_states import OrderFlowState
from mm_daemon.engine.domain_checks import require_not_negative, require_positive
from mm_daemon.engine.signals.volatility import GAP_HALF_LIVES, MIN_SAMPLES

_NS = 1_000_000_000
_BEYOND = 1e15

Touch = tuple[float, float, float, float]
"""Best bid, its quantity, best ask, its quantity."""


def flow_event(before: Touch, after: Touch) -> float:
    """What came to the bid less what came to the ask between two states of the touch, in the unit of the quantities."""
    old_bid, old_bid_qty, old_ask, old_ask_qty = before
    bid, bid_qty, ask, ask_qty = after
    event = 0.0
    if bid >= old_bid:
        event += bid_qty
    if bid <= old_bid:
        event -= old_bid_qty
    if ask <= old_ask:
        event -= ask_qty
    if ask >= old_ask:
        event += old_ask_qty
    return event


def ofi(updates: Sequence[Touch]) -> tuple[list[float], float]:
    """The event of each update after the first, and their sum. Raises DomainError for quantities that are no size."""
    for _, bid_qty, _, ask_qty in updates:
        require_not_negative(bid_qty=bid_qty, ask_qty=ask_qty)
    events = [flow_event(before, after) for before, after in pairwise(updates)]
    return events, math.fsum(events)


def depth_imbalance(bids: Sequence[float], asks: Sequence[float], decay: float) -> float:
    """From -1 (only asks) to 1 (only bids) of quantities by level, best first, level i weighted `decay^i`.

    0 when nothing is there. Raises DomainError for a negative quantity or weight.
    """
    require_not_negative(decay=decay)
    bid_sum = ask_sum = 0.0
    weight = 1.0
    for level in range(max(len(bids), len(asks))):
        bid = bids[level] if level < len(bids) else 0.0
        ask = asks[level] if level < len(asks) else 0.0
        require_not_negative(bid=bid, ask=ask)
        bid_sum += weight * bid
        ask_sum += weight * ask
        weight *= decay
    total = bid_sum + ask_sum
    if not total < math.inf:
        raise DomainError(f"depths of {len(bids)} and {len(asks)} levels at decay {decay} have no finite sum")
    return (bid_sum - ask_sum) / total if total > 0.0 else 0.0


class OrderFlowImbalance:
    """The decayed sum of flow events over the decayed mean of the touch's size: how many top levels came or went.

    `value`: as of the last change of the touch, None until ready. `flow`: the sum itself, in lots. `dropped`: input
    that was no touch, or older than the last.
    """

    __slots__ = (
        "_ask",
        "_ask_lots",
        "_bid",
        "_bid_lots",
        "_depth",
        "_gap_ns",
        "_last_ns",
        "_rate",
        "_weight",
        "dropped",
        "events",
        "flow",
        "value",
    )

    _last_ns: int
    _bid: int
    _bid_lots: float
    _ask: int
    _ask_lots: float
    _depth: float
    _weight: float
    flow: float
    events: int
    value: float | None

    def __init__(self, half_life_s: float) -> None:
        require_positive(half_life_s=half_life_s)
        self._rate = 1.0 / (half_life_s * _NS)
        self._gap_ns = GAP_HALF_LIVES * half_life_s * _NS
        self._begin()
        self.dropped = 0

    def on_book(self, ts_ns: int, bid_ticks: int, bid_lots: float, ask_ticks: int, ask_lots: float) -> None:
        """The touch of a trusted book. One that has not changed is an event of size 0."""
        passed_ns = ts_ns - self._last_ns
        if not (
            passed_ns >= 0 and 0.0 <= bid_lots < _BEYOND and 0.0 <= ask_lots < _BEYOND and 0 <= bid_ticks < ask_ticks
        ):
            self.dropped += 1
            return
        if passed_ns > self._gap_ns:
            self._begin()
        elif self._bid >= 0:
            event = 0.0
            bid, ask = self._bid, self._ask
            if bid_ticks >= bid:
                event = bid_lots
            if bid_ticks <= bid:
                event -= self._bid_lots
            if ask_ticks <= ask:
                event -= ask_lots
            if ask_ticks >= ask:
                event += self._ask_lots
            decay = math.exp2(-passed_ns * self._rate)
            self.flow = flow = decay * self.flow + event
            self._depth = depth = decay * self._depth + 0.5 * (bid_lots + ask_lots)
            self._weight = weight = decay * self._weight + 1.0
            self.events = events = self.events + 1
            if events >= MIN_SAMPLES and depth > 0.0:
                self.value = flow * weight / depth
        else:
            decay = math.exp2(-passed_ns * self._rate)
            self.flow *= decay
            self._depth *= decay
            self._weight *= decay
        self._last_ns = ts_ns
        self._bid, self._bid_lots, self._ask, self._ask_lots = bid_ticks, bid_lots, ask_ticks, ask_lots

    def lose_book(self) -> None:
        """The book is not trusted: the next touch is no event of the one before."""
        self._bid = -1

    def lose_clock(self) -> None:
        """Time begins anew."""
        self._begin()

    def state(self) -> OrderFlowState:
        return OrderFlowState(
            self.flow,
            self._depth,
            self._weight,
            self.events,
            self._last_ns,
            self._bid,
            float(self._bid_lots),
            self._ask,
            float(self._ask_lots),
            self.value,
        )

    def restore(self, state: OrderFlowState) -> None:
        """Go on from `state`, of an estimator with the same half-life."""
        self.flow, self._depth, self._weight, self.events = state.flow, state.depth, state.weight, state.events
        self._last_ns = state.last_ns
        self._bid, self._bid_lots = state.bid_ticks, state.bid_lots
        self._ask, self._ask_lots = state.ask_ticks, state.ask_lots
        self.value = state.value

    def _begin(self) -> None:
        self._last_ns = self._bid = self._ask = -1
        self._bid_lots = self._ask_lots = 0.0
        self.flow = self._depth = self._weight = 0.0
        self.events = 0
        self.value = None
