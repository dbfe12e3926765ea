"""What `explain` looks at."""

import msgspec

from mm_daemon.backtest.explain.guards import Held, guarded
from mm_daemon.core.parameters import MarketParameters
from mm_daemon.domain.book import OrderBook
from mm_daemon.engine.position_guard import UNGUARDED, Guarded
from mm_daemon.engine.quote_engine import QuoteEngine


class Scene(msgspec.Struct, frozen=True, kw_only=True):
    """One market at an instant. `sigma_given`: a person said how volatile it is."""

    parameters: MarketParameters
    engine: QuoteEngine
    book: OrderBook
    position_lots: int
    now_ns: int
    source: str
    sigma_given: bool = False
    notes: tuple[str, ...] = ()
    held: Held = Held()

    def guarded(self, fill: tuple[int, int] | None = None) -> Guarded:
        """What the guard says of the position, or of what a fill of signed lots at ticks leaves of it."""
        if not self.book.trusted:
            return UNGUARDED
        return guarded(self.parameters, self.held, self.book, self.position_lots, self.now_ns, fill)
