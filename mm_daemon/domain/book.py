"""The order book: integer ticks to lots per side, with the venue's best-price stream laid over it.

Used by the engine (the market as the daemon saw it) and by the simulated venue (the market as the venue had it).
Updates arrive already sequence-checked by the connector; the book only knows whether it can be trusted now.
"""

from collections.abc import Iterable
from typing import Any

from mm_daemon.domain.events import (
    BookDelta,
    BookInvalidated,
    BookSnapshot,
    InvalidCause,
    Levels,
    MarketEvent,
    TopOfBook,
)
from mm_daemon.domain.orders import Side

NO_BID = 0
NO_ASK = 1 << 62
_BUY = Side.BUY  # members of an enumeration are slow to look up
_BoxedLevels = Iterable[tuple[Any, Any]]
"""Levels whose numbers compiled code passes on as they are, instead of unboxing and boxing each."""


class OrderBook:
    """Depth, best prices and validity of one instrument.

    `bid_ticks`, `bid_lots`, `ask_ticks`, `ask_lots` are the best prices after the overlay; an empty side shows
    `NO_BID` or `NO_ASK` with zero lots, so that comparisons need no special case.
    """

    __slots__ = (
        "_ask_depth",
        "_bid_depth",
        "_depth_ask",
        "_depth_bid",
        "_overlay",
        "ask_lots",
        "ask_ticks",
        "bid_lots",
        "bid_ticks",
        "crossings",
        "half_ticks",
        "invalid_cause",
        "invalidated",
        "trusted",
        "ts_local_ns",
        "update_id",
    )

    def __init__(self) -> None:
        self._bid_depth: dict[int, int] = {}
        self._ask_depth: dict[int, int] = {}
        self.ts_local_ns = 0
        self.trusted = False
        """Synchronised, both sides present, not crossed: the only book quotes may rest on (R9)."""
        self.half_ticks = 0
        """Twice the mid, in ticks: exact. Only meaningful while `trusted`."""
        self.crossings = 0
        """Depth updates that left the book crossed: the venue never has such a book, so its feed was wrong."""
        self.invalid_cause: InvalidCause | None = InvalidCause.UNSYNCHRONISED
        self.invalidated: dict[InvalidCause, int] = {}
        """How often a synchronised book was lost, by cause."""
        self.invalidate(InvalidCause.UNSYNCHRONISED)

    @property
    def crossed(self) -> bool:
        return self.bid_ticks >= self.ask_ticks

    def lots_at(self, side: Side, ticks: int) -> int:
        """Displayed size at a price; levels better than the overlay's best are not there."""
        if side is _BUY:
            if ticks >= self.bid_ticks:
                return self.bid_lots if ticks == self.bid_ticks else 0
            return self._bid_depth.get(ticks, 0)
        if ticks <= self.ask_ticks:
            return self.ask_lots if ticks == self.ask_ticks else 0
        return self._ask_depth.get(ticks, 0)

    def lots_within(self, side: Side, ticks: int) -> int:
        """What is displayed on a side from its best price to `ticks`, which belongs to it. Costs as many steps as there
        are prices between, or levels if those are fewer: not for the hot path.
        """
        if side is _BUY:
            best, head, depth = self.bid_ticks, self.bid_lots, self._bid_depth
            low, high = ticks, best - 1
        else:
            best, head, depth = self.ask_ticks, self.ask_lots, self._ask_depth
            low, high = best + 1, ticks
        if not head or (ticks - best) * side > 0:
            return 0
        if high - low < len(depth):
            return head + sum(depth.get(at, 0) for at in range(low, high + 1))
        return head + sum(lots for at, lots in depth.items() if low <= at <= high)

    def levels(self, side: Side, limit: int) -> list[tuple[int, int]]:
        """The best `limit` levels as (ticks, lots), best first. Costs a sort: not for the hot path."""
        if side is _BUY:
            best = [(t, n) for t, n in self._bid_depth.items() if t < self.bid_ticks]
            best.sort(reverse=True)
            head = (self.bid_ticks, self.bid_lots)
        else:
            best = [(t, n) for t, n in self._ask_depth.items() if t > self.ask_ticks]
            best.sort()
            head = (self.ask_ticks, self.ask_lots)
        return ([head] if head[1] else []) + best[: limit - 1 if head[1] else limit]

    def apply(self, event: MarketEvent) -> None:
        """Take in any market event that concerns the book; others are ignored."""
        if isinstance(event, BookDelta):
            self.apply_delta(event)
        elif isinstance(event, TopOfBook):
            self.apply_top(event)
        elif isinstance(event, BookSnapshot):
            self.apply_snapshot(event)
        elif isinstance(event, BookInvalidated):
            self.invalidate(event.cause)

    def invalidate(self, cause: InvalidCause) -> None:
        """Forget everything until the next snapshot."""
        if self.invalid_cause is None:
            self.invalidated[cause] = self.invalidated.get(cause, 0) + 1
        self.invalid_cause = cause
        self._bid_depth.clear()
        self._ask_depth.clear()
        self._depth_bid = NO_BID
        self._depth_ask = NO_ASK
        self._show(NO_BID, 0, NO_ASK, 0)
        self.update_id = -1
        self._overlay: TopOfBook | None = None

    def apply_snapshot(self, event: BookSnapshot) -> None:
        self._bid_depth = _depth_of(event.bids)
        self._ask_depth = _depth_of(event.asks)
        self._depth_bid = max(self._bid_depth, default=NO_BID)
        self._depth_ask = min(self._ask_depth, default=NO_ASK)
        self.invalid_cause = None
        self._settle(event.update_id, event.ts_local_ns)
        best = self._overlay
        if best is not None:  # newer than this book, and heard perhaps while there was none
            self._show(best.bid_ticks, best.bid_lots, best.ask_ticks, best.ask_lots)

    def apply_delta(self, event: BookDelta) -> None:
        if self.invalid_cause is not None:
            return
        bids: _BoxedLevels = event.bids
        asks: _BoxedLevels = event.asks
        best: Any
        depth, best = self._bid_depth, self._depth_bid
        for ticks, lots in bids:
            if lots:
                depth[ticks] = lots
                if ticks > best:
                    best = ticks
            elif ticks in depth:
                del depth[ticks]
        self._depth_bid = best if best in depth else _next_below(depth, best)
        depth, best = self._ask_depth, self._depth_ask
        for ticks, lots in asks:
            if lots:
                depth[ticks] = lots
                if ticks < best:
                    best = ticks
            elif ticks in depth:
                del depth[ticks]
        self._depth_ask = best if best in depth else _next_above(depth, best)
        self._settle(event.update_id, event.ts_local_ns)

    def apply_top(self, event: TopOfBook) -> None:
        """The faster stream wins while it is newer by the venue's own sequence; without a book it waits for one."""
        if event.update_id <= self.update_id:
            return
        overlay = self._overlay
        if overlay is not None and event.update_id < overlay.update_id:
            return
        self._overlay = event
        if self.invalid_cause is not None:
            return
        self._show(event.bid_ticks, event.bid_lots, event.ask_ticks, event.ask_lots)
        self.ts_local_ns = event.ts_local_ns

    def _settle(self, update_id: int, ts_local_ns: int) -> None:
        """Best prices after a depth update: the depth's own, unless the overlay is still the newer one."""
        self.update_id = update_id
        self.ts_local_ns = ts_local_ns
        overlay = self._overlay
        if overlay is not None:
            if overlay.update_id > update_id:
                return
            self._overlay = None
        bid, ask = self._depth_bid, self._depth_ask
        self._show(bid, self._bid_depth.get(bid, 0), ask, self._ask_depth.get(ask, 0))
        if ask <= bid:
            self.crossings += 1

    def _show(self, bid: int, bid_lots: int, ask: int, ask_lots: int) -> None:
        """Let these be the best prices, and bring up to date what follows from them."""
        self.bid_ticks, self.bid_lots = bid, bid_lots
        self.ask_ticks, self.ask_lots = ask, ask_lots
        self.half_ticks = bid + ask
        self.trusted = NO_BID < bid < ask and bid_lots > 0 < ask_lots  # an empty side has no lots


def _depth_of(levels: Levels) -> dict[int, int]:
    depth = dict(levels)
    return depth if all(depth.values()) else {ticks: lots for ticks, lots in levels if lots}


def _next_below(depth: dict[int, int], ticks: int) -> int:
    """The next bid under a vanished best: tick by tick for as long as that costs less than to look at every level."""
    for near in range(ticks - 1, ticks - len(depth) // 4, -1):
        if near in depth:
            return near
    return max(depth, default=NO_BID)


def _next_above(depth: dict[int, int], ticks: int) -> int:
    for near in range(ticks + 1, ticks + len(depth) // 4):
        if near in depth:
            return near
    return min(depth, default=NO_ASK)
