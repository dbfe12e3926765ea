"""The simulated dYdX in this process, behind real loopback sockets, and a client of its control page."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec

from connectors.dydx import tx
from connectors.dydx.connector import DydxConnector
from connectors.dydx.settings import DydxSettings, Network
from connectors.simulators.dydx.server import DydxVenue
from connectors.simulators.dydx.settings import DydxVenueSettings, MarketSettings
from connectors.simulators.faults import FaultKind
from mm_daemon.domain.events import Event
from mm_daemon.domain.instrument import Venue
from mm_daemon.domain.orders import ClientOrderId
from mm_daemon.ports.connector import ConnectorContext
from mm_daemon.ports.simulator import SimulatorContext
from mm_daemon.runtime.clock import Clock
from tests.serving import served

QUIET = MarketSettings(volatility=0.0, trades_per_second=0.0, impact_bps=0.0, join_chance=0.0, pull_chance=0.0)
"""A market in which makers come and go, and nobody takes."""
QUICK: dict[str, Any] = {"block_ms": 100, "batch_ms": 20, "indexer_requests_per_10s": 10_000}
"""A quick venue, for tests that wait."""


class Control:
    """A running venue: where it is, its accounts, its control page."""

    def __init__(self, venue: DydxVenue, address: str, session: aiohttp.ClientSession) -> None:
        self.venue = venue
        self.url = f"http://{address}"
        self.session = session

    @property
    def address(self) -> str:
        return next(iter(self.venue.chain.owners))

    def key(self, number: int = 0) -> str:
        return self.venue.chain.keys[number].hex()

    async def fault(self, kind: FaultKind, **keys: Any) -> None:
        await self.post("fault", {"kind": kind.value, **keys})

    async def fill(self, order: str, lots: int, *, cancelled: bool = False) -> None:
        await self.post("fill", {"order": order, "lots": lots, "cancelled": cancelled})

    async def post(self, page: str, body: dict[str, Any]) -> Any:
        async with self.session.post(f"{self.url}/control/{page}", data=msgspec.json.encode(body)) as reply:
            assert reply.status == 200, await reply.text()
            return await reply.json()

    async def get(self, path: str) -> tuple[int, Any]:
        async with self.session.get(self.url + path) as reply:
            return reply.status, await reply.json()


@asynccontextmanager
async def dydx_venue(
    *, symbols: tuple[str, ...] = ("BTC-USD", "ETH-USD"), clock: Clock | None = None, **settings: Any
) -> AsyncIterator[Control]:
    """A venue that serves until the end of the block."""
    clock = clock or Clock()
    keys = {**QUICK, "markets": dict.fromkeys(symbols, QUIET), **settings}
    context = SimulatorContext(host="127.0.0.1", port=0, seed=1, symbols=symbols, now_ns=clock.now_ns)
    venue = DydxVenue(context, DydxVenueSettings(**keys))
    async with served(venue) as (address, session):
        yield Control(venue, address, session)


FIRST_ID = ClientOrderId((416 << 32) + 1)
"""An id as the daemon's are: it began at a time of the wall clock, so that its upper bits are never small."""


def dydx_connector(
    url: str,
    emit: Callable[[Event], None],
    *,
    key: str | None,
    clock: Clock | None = None,
    symbols: tuple[str, ...] = ("BTC-USD",),
    **settings: Any,
) -> DydxConnector:
    clock = clock or Clock()
    context = ConnectorContext(
        venue=Venue("dydx"),
        symbols=symbols,
        emit=emit,
        now_ns=clock.now_ns,
        delay_s=clock.delay_s,
        secrets={} if key is None else {"private_key": key},
    )
    keys = {"network": Network.LOCAL, "indexer": url, "nodes": (url,), "requests_per_10s": 10_000, **settings}
    return DydxConnector(context, DydxSettings(**keys))


def uuid_of(address: str, client_id: ClientOrderId, pair: int = 0, *, flags: int = tx.OrderFlags.SHORT_TERM) -> str:
    return str(tx.OrderId(tx.Subaccount(address), client_id & 0xFFFFFFFF, pair, flags).uuid)
