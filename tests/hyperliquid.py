"""The simulated Hyperliquid in this process, behind real loopback sockets, and a client of its control page."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import aiohttp
import msgspec

from connectors.hyperliquid import actions
from connectors.hyperliquid.connector import HyperliquidConnector
from connectors.hyperliquid.settings import HyperliquidSettings, Network
from connectors.simulators.faults import FaultKind
from connectors.simulators.hyperliquid.server import HyperliquidVenue
from connectors.simulators.hyperliquid.settings import CoinSettings, HyperliquidVenueSettings
from mm_daemon.domain.events import Event
from mm_daemon.domain.instrument import Venue
from mm_daemon.domain.orders import ClientOrderId
from mm_daemon.ports.connector import ConnectorContext
from mm_daemon.ports.simulator import SimulatorContext
from mm_daemon.runtime.clock import Clock
from tests.serving import served

QUIET = CoinSettings(volatility=0.0, trades_per_second=0.0, impact_bps=0.0, join_chance=0.0, pull_chance=0.0)
"""A market in which makers come and go, and nobody takes."""
HOLDING = msgspec.structs.replace(QUIET, held=Decimal(2000))
"""The same, of a spot pair whose base the accounts have."""
QUICK: dict[str, Any] = {
    "coins": {"BTC": QUIET, "ETH": QUIET, "PURR/USDC": HOLDING, "HYPE/USDC": HOLDING, "xyz:GOLD": QUIET},
    "block_ms": 10,
    "fast_book_ms": 20,
    "full_book_ms": 50,
    "context_ms": 50,
    "weight_per_minute": 100_000,
}
"""A quick venue, for tests that wait."""


class Control:
    """A running venue: where it is, its accounts, its control page."""

    def __init__(self, venue: HyperliquidVenue, address: str, session: aiohttp.ClientSession) -> None:
        self.venue = venue
        self.url = f"http://{address}"
        self._session = session

    @property
    def users(self) -> list[str]:
        return list(self.venue.exchange.accounts)

    def key(self, number: int = 0) -> str:
        return f"0x{self.venue.exchange.keys[number].hex()}"

    async def fault(self, kind: FaultKind, **keys: Any) -> None:
        await self._post("/control/fault", {"kind": kind.value, **keys})

    async def fill(self, client_id: ClientOrderId, lots: int, user: str | None = None) -> None:
        body = {"user": user or self.users[0], "order": actions.cloid(client_id), "lots": lots}
        await self._post("/control/fill", body)

    async def info(self, kind: str, **keys: Any) -> Any:
        return await self._post("/info", {"type": kind, **keys})

    async def _post(self, path: str, body: dict[str, Any]) -> Any:
        headers = {"Content-Type": "application/json"}
        async with self._session.post(self.url + path, data=msgspec.json.encode(body), headers=headers) as reply:
            assert reply.status == 200, await reply.text()
            return await reply.json()


@asynccontextmanager
async def hyperliquid_venue(
    *, coins: tuple[str, ...] = ("BTC", "ETH"), clock: Clock | None = None, **settings: Any
) -> AsyncIterator[Control]:
    """A venue that serves until the end of the block."""
    clock = clock or Clock()
    keys = {**QUICK, **settings}
    keys["coins"] = {coin: each for coin, each in keys["coins"].items() if coin in coins}
    context = SimulatorContext(host="127.0.0.1", port=0, seed=1, symbols=coins, now_ns=clock.now_ns)
    venue = HyperliquidVenue(context, HyperliquidVenueSettings(**keys))
    async with served(venue) as (address, session):
        yield Control(venue, address, session)


def hyperliquid_connector(
    url: str,
    emit: Callable[[Event], None],
    *,
    key: str | None,
    clock: Clock | None = None,
    symbols: tuple[str, ...] = ("BTC",),
    **settings: Any,
) -> HyperliquidConnector:
    clock = clock or Clock()
    context = ConnectorContext(
        venue=Venue("hyperliquid"),
        symbols=symbols,
        emit=emit,
        now_ns=clock.now_ns,
        delay_s=clock.delay_s,
        secrets={} if key is None else {"private_key": key},
    )
    return HyperliquidConnector(context, HyperliquidSettings(network=Network.TESTNET, url=url, **settings))


async def until(happened: Callable[[], bool]) -> None:
    """Let the event loop turn until something in this process has happened."""
    async with asyncio.timeout(10.0):
        while not happened():  # noqa: ASYNC110
            await asyncio.sleep(0)
