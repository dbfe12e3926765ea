"""One instrument of a simulated venue: the book as its feed shows it, and our orders that rest in it."""

from collections.abc import Iterator

from mm_daemon.domain.book import NO_ASK, NO_BID, OrderBook
from mm_daemon.domain.events import FundingUpdate
from mm_daemon.domain.orders import Side
from mm_daemon.simulation.account import VenueOrder
from mm_daemon.simulation.models import FRONT_UNKNOWN, QueuePosition

_WALK_TICKS = 256
_BUY, _SELL = Side.BUY, Side.SELL  # members of an enumeration are slow to look up


class Resting:
    """An order of ours in the recorded book: since when, behind how many, and how fresh its level's report is."""

    __slots__ = ("order", "queue", "reported_id", "since_ns")

    def __init__(self, order: VenueOrder, queue: QueuePosition, since_ns: int, reported_id: int) -> None:
        self.order = order
        self.queue = queue
        self.since_ns = since_ns
        self.reported_id = reported_id


class PlayedMarket:
    """One instrument: the venue's book, our resting orders by priority, and what we took from displayed levels."""

    __slots__ = (
        "book",
        "funded_ns",
        "funding",
        "gap",
        "inner_ask_ticks",
        "inner_bid_ticks",
        "mark_half_ticks",
        "own_book",
        "resting",
        "seen_ask_ticks",
        "seen_bid_ticks",
        "taken",
    )

    def __init__(self) -> None:
        self.book = OrderBook()
        self.own_book = True
        """Whether the book is moved here and not by the core."""
        self.gap = True
        """Whether there was no book before the present event."""
        self.resting: list[Resting] = []
        self.inner_bid_ticks, self.inner_ask_ticks = NO_BID, NO_ASK
        """The best prices of `resting`: a market that stays away from them does not concern us."""
        self.taken: dict[tuple[Side, int], tuple[int, int]] = {}
        """(side, ticks) to (lots we took, lots displayed when we did): void once the level displays another size."""
        self.funding: FundingUpdate | None = None
        """The rate told last, and when it is due; None: paid, or never told."""
        self.funded_ns = 0
        """When funding was last due."""
        self.mark_half_ticks = 0
        """The venue's mark; 0: it never said."""
        self.seen_bid_ticks = self.seen_ask_ticks = 0
        """Worst prices of the last snapshot: sizes beyond them are unknown, not zero."""

    def rest(self, resting: Resting) -> None:
        self.resting.append(resting)
        self.resting.sort(key=_priority)  # stable: time decides among equals
        self._find_inner()

    def lift(self, resting: Resting) -> None:
        self.resting.remove(resting)
        self._find_inner()

    def clear(self) -> None:
        self.resting.clear()
        self._find_inner()

    def _find_inner(self) -> None:
        orders = [resting.order for resting in self.resting]
        self.inner_bid_ticks = max((order.ticks for order in orders if order.side is _BUY), default=NO_BID)
        self.inner_ask_ticks = min((order.ticks for order in orders if order.side is _SELL), default=NO_ASK)

    def lots_free(self, side: Side, ticks: int) -> int:
        """Displayed lots less our own impact."""
        displayed = self.book.lots_at(side, ticks)
        taken = self.taken.get((side, ticks))
        if taken is None or taken[1] != displayed:
            return displayed
        return displayed - taken[0]

    def take(self, side: Side, ticks: int, lots: int) -> None:
        """Remember what we took of a displayed level until it is reported changed."""
        displayed = self.book.lots_at(side, ticks)
        taken = self.taken.get((side, ticks))
        before = taken[0] if taken is not None and taken[1] == displayed else 0
        self.taken[side, ticks] = (before + lots, displayed)

    def free_levels(self, side: Side, limit_ticks: int) -> Iterator[tuple[int, int]]:
        """Levels of `side` from the best to `limit_ticks`, with their free lots, best first."""
        best = self.book.bid_ticks if side is _BUY else self.book.ask_ticks
        gap = side * (best - limit_ticks)
        if gap < 0:
            return
        if gap <= _WALK_TICKS:
            for ticks in range(best, limit_ticks - side, -side):
                free = self.lots_free(side, ticks)
                if free > 0:
                    yield ticks, free
            return
        for ticks, _ in self.book.levels(side, 1 << 30):
            if side * (ticks - limit_ticks) < 0:
                return
            free = self.lots_free(side, ticks)
            if free > 0:
                yield ticks, free

    def front_at(self, side: Side, ticks: int) -> float:
        """Lots before a newcomer at this price; unknown beyond what the venue's snapshot showed."""
        book = self.book
        lots = book.lots_at(side, ticks)
        if side is _BUY:
            unseen = ticks < self.seen_bid_ticks and ticks < book.bid_ticks
        else:
            unseen = 0 < self.seen_ask_ticks < ticks and ticks > book.ask_ticks
        return FRONT_UNKNOWN if unseen and not lots else float(lots)

    def forget_taken(self) -> None:
        """Drop what the book has since reported changed, so that the memory stays as small as the touch."""
        lots_at = self.book.lots_at
        self.taken = {key: value for key, value in self.taken.items() if lots_at(*key) == value[1]}


def _priority(resting: Resting) -> int:
    """Inner prices first on either side; sides never compete for one print."""
    return -resting.order.side * resting.order.ticks
