"""Whether the daemon may be relied on to quote: reconciled, and with fresh data of every venue (OPERATIONS 4).

The codes are those of `Reason`; `/readyz`, `mm_ready` and `status` say the same. Being paused or killed by a person is
not unreadiness: the daemon does what it was told.
"""

from collections.abc import Iterable

from mm_daemon.core.market import MarketState
from mm_daemon.domain.decisions import Reason, mask, reasons_in
from mm_daemon.domain.instrument import Venue

_NOT_READY = mask(
    Reason.SHUTDOWN,
    Reason.STARTING,
    Reason.JOURNAL_FAULT,
    Reason.LOOP_STALL,
    Reason.CLOCK_SKEW,
    Reason.VENUE_DOWN,
    Reason.VENUE_BANNED,
    Reason.RECONCILING,
)


def unready_reasons(markets: Iterable[MarketState], now_ns: int) -> tuple[Reason, ...]:
    """Why the daemon is not ready, in list order; empty: it is. A venue's data are fresh when one of its books is."""
    bits = 0
    books: dict[Venue, int] = {}
    for market in markets:
        bits |= (market.halts | mask(*(reason for reason, _ in market.lockouts.held()))) & _NOT_READY
        venue = market.instrument.venue
        books[venue] = min(books.get(venue, 1 << 62), _book_trouble(market, now_ns))
    for trouble in books.values():
        bits |= trouble
    return reasons_in(bits)


def _book_trouble(market: MarketState, now_ns: int) -> int:
    """0 for a fresh book, else the bit of what is wrong with it."""
    if not market.book.trusted:
        return Reason.BOOK_INVALID.bit
    return 0 if now_ns - market.book.ts_local_ns <= market.max_book_age_ns else Reason.BOOK_STALE.bit
