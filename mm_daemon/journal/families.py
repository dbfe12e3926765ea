"""Which record belongs to which family: one table, by the record's type (ARCHITECTURE 7).

Market data, deadlines and decide markers are what a replay needs and what fills the disk. All the rest (orders,
account, link, control, contracts, answers, checkpoints) is what a restart and a person need, so a new kind of record is
kept unless it is entered here.
"""

from mm_daemon.domain.codec import Decided
from mm_daemon.domain.events import (
    BookDelta,
    BookInvalidated,
    BookSnapshot,
    DeadlineReached,
    FundingUpdate,
    MarkPriceUpdate,
    PublicTrade,
    StreamStale,
    TopOfBook,
    VolatilityUpdate,
)

MARKET_RECORDS: frozenset[type] = frozenset(
    {
        BookSnapshot,
        BookDelta,
        TopOfBook,
        BookInvalidated,
        PublicTrade,
        MarkPriceUpdate,
        FundingUpdate,
        VolatilityUpdate,
        StreamStale,
        DeadlineReached,
        Decided,
    }
)
