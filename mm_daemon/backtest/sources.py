"""What a backtest is played from: a recorded feed under a venue that is shown it, or a market of its own."""

from collections.abc import Iterator, Mapping
from typing import Protocol, runtime_checkable

import msgspec

from mm_daemon.domain.book import OrderBook
from mm_daemon.domain.events import MarketEvent
from mm_daemon.domain.instrument import InstrumentId
from mm_daemon.ports.connector import VirtualVenue


class MarketData(Protocol):
    """What a backtest reads of a recorded feed (`ports.RecordedFeed`).

    Read where the feed has them: `frames`, raw frames consumed so far; `CountsProblems`; `NotesDamage`.
    """

    def events(self) -> Iterator[MarketEvent]: ...


@runtime_checkable
class ReplayVenue(VirtualVenue, Protocol):
    """A virtual venue that is shown a recorded market (`simulation.SimulatedVenue`)."""

    def share(self, books: Mapping[InstrumentId, OrderBook]) -> None:
        """Look at these books, the core's, in place of copies."""
        ...

    def before(self, event: MarketEvent) -> None:
        """The core is about to be told this."""
        ...

    def after(self, event: MarketEvent) -> None:
        """The core has been told this, and its book has moved."""
        ...


class RecordedMarket(msgspec.Struct, frozen=True):
    """A recorded venue: its market data, and who plays its matching engine."""

    feed: MarketData
    venue: ReplayVenue


Source = RecordedMarket | VirtualVenue
"""A venue of a backtest: recorded, or a whole market of its own."""
