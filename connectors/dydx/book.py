"""One market's book as dYdX's indexer tells it: a sum of what several nodes said, which may cross itself.

Each level has the number of the message that last set it; all levels of one snapshot share one. After each message,
while the best bid stands at or above the best ask, the older of the two levels goes; of two of one age the smaller
goes, and the larger keeps the difference. A level that went stays away until it is set again. Removals may be missed:
`checked` compares with a book asked for, level by level, leaving alone what changed lately on our side.

Source: FACTS section 13 (dYdX documentation, "How to uncross the orderbook").
"""

from collections.abc import Iterable

from mm_daemon.domain.book import NO_ASK, NO_BID
from mm_daemon.domain.events import Levels
from mm_daemon.domain.orders import Side

_Level = tuple[int, int, int]
"""Lots, number of the message, and when it came, ns."""

_SIDES = (Side.BUY, Side.SELL)


class UncrossedBook:
    """Prices in ticks, sizes in lots. `apply` and `checked` return what changed, for a `BookDelta`: (bids, asks)."""

    __slots__ = ("_best", "_levels", "_number", "dropped")

    def __init__(self) -> None:
        self._levels: dict[Side, dict[int, _Level]] = {Side.BUY: {}, Side.SELL: {}}
        self._best = {Side.BUY: NO_BID, Side.SELL: NO_ASK}
        self._number = 0
        self.dropped = 0
        """Levels that went because they crossed."""

    def begin(self, bids: Levels, asks: Levels, now_ns: int) -> None:
        """A whole book; what was known is void."""
        self._number += 1
        for side, levels in zip(_SIDES, (bids, asks), strict=True):
            self._levels[side] = {ticks: (lots, self._number, now_ns) for ticks, lots in levels if lots}
            self._find_best(side)
        self._uncross({Side.BUY: {}, Side.SELL: {}})

    def apply(self, bids: Levels, asks: Levels, now_ns: int) -> tuple[Levels, Levels]:
        """New sizes of levels; no lots: gone."""
        self._number += 1
        changed: dict[Side, dict[int, int]] = {Side.BUY: {}, Side.SELL: {}}
        for side, levels in zip(_SIDES, (bids, asks), strict=True):
            for ticks, lots in levels:
                self._set(side, ticks, lots, now_ns)
                changed[side][ticks] = lots
        self._uncross(changed)
        return tuple(changed[Side.BUY].items()), tuple(changed[Side.SELL].items())

    def checked(self, bids: Levels, asks: Levels, asked_ns: int, now_ns: int, quiet_ns: int) -> tuple[Levels, Levels]:
        """Repair by a book that was asked for at `asked_ns`: levels of its range that differ from it, and have been
        quiet for `quiet_ns` before, are set to what it says."""
        wrong: dict[Side, list[tuple[int, int]]] = {Side.BUY: [], Side.SELL: []}
        for side, levels in zip(_SIDES, (bids, asks), strict=True):
            shown, here = dict(levels), self._levels[side]
            worst = min((side * ticks for ticks in shown), default=0)
            reached = [ticks for ticks in here if side * ticks >= worst] if shown else []
            for ticks in {*shown, *reached}:
                lots, _, set_ns = here.get(ticks, (0, 0, 0))
                if shown.get(ticks, 0) != lots and set_ns <= asked_ns - quiet_ns:
                    wrong[side].append((ticks, shown.get(ticks, 0)))
        if not wrong[Side.BUY] and not wrong[Side.SELL]:
            return (), ()
        return self.apply(tuple(wrong[Side.BUY]), tuple(wrong[Side.SELL]), now_ns)

    def levels(self, side: Side) -> Levels:
        """Best first."""
        levels = self._levels[side]
        return tuple((ticks, levels[ticks][0]) for ticks in sorted(levels, reverse=side is Side.BUY))

    def _set(self, side: Side, ticks: int, lots: int, now_ns: int) -> None:
        levels = self._levels[side]
        if lots:
            levels[ticks] = (lots, self._number, now_ns)
            if side * (ticks - self._best[side]) > 0:
                self._best[side] = ticks
        elif levels.pop(ticks, None) is not None and ticks == self._best[side]:
            self._find_best(side)

    def _find_best(self, side: Side) -> None:
        levels = self._levels[side]
        self._best[side] = (max(levels, default=NO_BID)) if side is Side.BUY else min(levels, default=NO_ASK)

    def _uncross(self, changed: dict[Side, dict[int, int]]) -> None:
        best = self._best
        while best[Side.BUY] >= best[Side.SELL]:
            bid, ask = best[Side.BUY], best[Side.SELL]
            bid_lots, bid_number, _ = self._levels[Side.BUY][bid]
            ask_lots, ask_number, _ = self._levels[Side.SELL][ask]
            if bid_number == ask_number:
                left = bid_lots - ask_lots
                gone: Iterable[tuple[Side, int, int]] = (
                    (Side.BUY, bid, max(left, 0)),
                    (Side.SELL, ask, max(-left, 0)),
                )
            else:
                gone = ((Side.BUY, bid, 0),) if bid_number < ask_number else ((Side.SELL, ask, 0),)
            for side, ticks, lots in gone:
                kept = self._levels[side].pop(ticks)
                changed[side][ticks] = lots
                if lots:
                    self._levels[side][ticks] = (lots, *kept[1:])
                else:
                    self.dropped += 1
                    self._find_best(side)
