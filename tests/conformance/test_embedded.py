"""The embedded market and a paper account, as far as a venue in this process can be made to do things."""

from collections.abc import AsyncIterator, Callable

import pytest

from connectors.paper.connector import PaperConnector
from connectors.sim.connector import SimConnector, SimSettings
from mm_daemon.domain.events import Event
from mm_daemon.domain.instrument import Venue
from mm_daemon.domain.orders import ClientOrderId
from mm_daemon.ports.connector import ConnectorContext
from mm_daemon.runtime.clock import Clock
from mm_daemon.simulation.policy import VenuePolicy
from mm_daemon.testkit.conformance import ConnectorConformance, ConnectorUnderTest, Heard, Trouble
from tests.neutral import QUIET

SYMBOLS = ("BTC-USDT",)


def _context(clock: Clock, emit: Callable[[Event], None]) -> ConnectorContext:
    return ConnectorContext(venue=Venue("sim"), symbols=SYMBOLS, emit=emit, now_ns=clock.now_ns, delay_s=clock.delay_s)


class EmbeddedHand:
    """Structurally a `VenueHand`."""

    can = frozenset({Trouble.FILL})

    def __init__(self, connector: SimConnector, clock: Clock) -> None:
        self._connector = connector
        self._clock = clock

    async def fill(self, client_id: ClientOrderId, lots: int) -> None:
        assert self._connector._market.hit(client_id, lots, self._clock.now_ns())
        self._connector._pump.arm()

    async def make(self, trouble: Trouble) -> None:
        raise NotImplementedError(trouble)


class NoHand:
    """A paper account: what fills its orders is somebody else's market."""

    can: frozenset[Trouble] = frozenset()

    async def fill(self, client_id: ClientOrderId, lots: int) -> None:
        raise NotImplementedError

    async def make(self, trouble: Trouble) -> None:
        raise NotImplementedError(trouble)


class TestEmbedded(ConnectorConformance):
    """The embedded market on the wall's clock."""

    @pytest.fixture
    async def connector_under_test(self) -> AsyncIterator[ConnectorUnderTest]:
        clock, heard = Clock(), Heard()
        settings = SimSettings(symbols=dict.fromkeys(SYMBOLS, QUIET), publish_interval_ms=20.0)
        connector = SimConnector(_context(clock, heard.put), settings)
        yield ConnectorUnderTest(connector, heard, EmbeddedHand(connector, clock), clock.now_ns)


class TestPaper(ConnectorConformance):
    """A paper account on the embedded market's data."""

    @pytest.fixture
    async def connector_under_test(self) -> AsyncIterator[ConnectorUnderTest]:
        clock, heard = Clock(), Heard()
        settings = SimSettings(symbols=dict.fromkeys(SYMBOLS, QUIET), publish_interval_ms=20.0)
        inner = SimConnector(_context(clock, lambda event: connector.receive(event)), settings)  # noqa: PLW0108
        connector = PaperConnector(_context(clock, heard.put), VenuePolicy(), inner)
        yield ConnectorUnderTest(connector, heard, NoHand(), clock.now_ns)
