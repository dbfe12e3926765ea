"""What has changed since the core last decided, and what its next turn has to tell besides decisions and commands.

Shared by those who take events in (`core/accounts.py`, `core/venue_links.py`, `core/control.py`, and for market data
the core itself), and read by `TradingCore.decide`. It knows no rules.
"""

from collections.abc import Iterable, Mapping

from mm_daemon.core.market import MarketState
from mm_daemon.domain.checkpoint import PositionBooked
from mm_daemon.domain.decisions import OrderQuery
from mm_daemon.domain.instrument import InstrumentId, Venue
from mm_daemon.domain.orders import ClientOrderId
from mm_daemon.domain.reconciliation import Reconciled


class Agenda:
    """`markets` are all the core's; times are its nanoseconds."""

    __slots__ = (
        "_by_venue",
        "booked",
        "deadline_known",
        "markets",
        "news",
        "now_ns",
        "queries",
        "reconciled",
        "revalued",
        "touched",
    )

    def __init__(self, markets: Mapping[InstrumentId, MarketState], venues: Iterable[Venue]) -> None:
        self.markets = markets
        self._by_venue = {
            venue: [market for market in markets.values() if market.instrument.venue == venue] for venue in venues
        }
        self.now_ns = 0
        """The latest instant that was lived; never steps back."""
        self.touched: list[MarketState] = []
        """Markets that changed: `decide` looks whether that calls for a decision."""
        self.deadline_known = False
        """Whether the core's deadline is early enough, so that a decision can only bring it forward; else all that
        have one are asked.
        """
        self.revalued: dict[InstrumentId, MarketState] = {}
        """Markets whose worth may have changed since it was last counted."""
        self.news = False
        """Whether any of the three that follow has something to tell."""
        self.booked: dict[InstrumentId, MarketState] = {}
        """Markets whose position was changed by a fill or a payment."""
        self.reconciled: list[Reconciled] = []
        """What comparisons with venues came to."""
        self.queries: dict[ClientOrderId, OrderQuery] = {}
        """Orders to ask the venues about."""

    def of_venue(self, venue: Venue) -> list[MarketState]:
        """Raises KeyError for a venue the core was not built with."""
        return self._by_venue[venue]

    def touch(self, market: MarketState) -> None:
        """Something changed here."""
        if not market.touched:
            market.touched = True
            self.touched.append(market)

    def reconsider(self, market: MarketState) -> None:
        """Something changed here that calls for a full decision."""
        market.full = True
        self.deadline_known = False
        self.touch(market)

    def rebook(self, market: MarketState) -> None:
        """A position is another now."""
        market.facts.position_lots = market.position.lots
        self.booked[market.id] = market
        self.revalued[market.id] = market
        self.news = True

    def tell(self, came_of_it: Reconciled) -> None:
        """A comparison with a venue came to something."""
        self.reconciled.append(came_of_it)
        self.news = True

    def ask(self, query: OrderQuery) -> None:
        """A venue has to be asked about an order, once a turn."""
        self.queries[query.client_id] = query
        self.news = True

    def take_news(self) -> tuple[tuple[PositionBooked, ...], tuple[Reconciled, ...], tuple[OrderQuery, ...]]:
        """What there is to tell: positions booked, comparisons, questions. It is told once."""
        if not self.news:
            return (), (), ()
        booked = tuple(PositionBooked(market.id, market.position.state()) for market in self.booked.values())
        news = booked, tuple(self.reconciled), tuple(self.queries.values())
        self.booked.clear()
        self.reconciled.clear()
        self.queries.clear()
        self.news = False
        return news
