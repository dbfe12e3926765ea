"""The neutral venue in this process, behind real loopback sockets, and a client of its control page."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from connectors.neutral.connector import NeutralConnector, NeutralSettings
from connectors.simulators.faults import FaultKind
from connectors.simulators.neutral.server import DEFAULT_KEY, DEFAULT_SECRET, NeutralVenue
from connectors.simulators.neutral.settings import NeutralVenueSettings
from mm_daemon.domain.events import Event
from mm_daemon.domain.instrument import Venue
from mm_daemon.ports.connector import ConnectorContext
from mm_daemon.ports.simulator import SimulatorContext
from mm_daemon.runtime.clock import Clock
from mm_daemon.simulation.symbols import SymbolSettings

QUIET = SymbolSettings(
    volatility=0.0, trades_per_second=0.0, impact_bps=0.0, join_chance=0.0, pull_chance=0.0, funding_period_s=None
)
"""A market in which makers come and go, and nobody takes."""
SECRETS = {"api_key": DEFAULT_KEY, "api_secret": DEFAULT_SECRET}


class Control:
    """`/control` of a neutral venue."""

    def __init__(self, address: str, session: aiohttp.ClientSession) -> None:
        self.url = f"http://{address}"
        self._session = session

    async def fault(self, kind: FaultKind, **keys: Any) -> None:
        await self._post("/control/fault", {"kind": kind.value, **keys})

    async def fill(self, client_id: int, size: str) -> None:
        await self._post("/control/fill", {"client_id": client_id, "size": size})

    async def struck(self) -> dict[str, int]:
        async with self._session.get(f"{self.url}/control/struck") as reply:
            counts: dict[str, int] = await reply.json()
            return counts

    async def _post(self, path: str, body: dict[str, Any]) -> None:
        async with self._session.post(self.url + path, data=msgspec.json.encode(body)) as reply:
            assert reply.status == 200, await reply.text()


@asynccontextmanager
async def neutral_venue(
    *,
    symbols: tuple[str, ...] = ("BTC-USDT",),
    settings: NeutralVenueSettings | None = None,
    state_dir: Path | None = None,
    clock: Clock | None = None,
) -> AsyncIterator[Control]:
    """A venue that serves until the end of the block."""
    clock = clock or Clock()
    settings = settings or NeutralVenueSettings(symbols=dict.fromkeys(symbols, QUIET), publish_interval_ms=20.0)
    context = SimulatorContext(
        host="127.0.0.1", port=0, seed=1, symbols=symbols, now_ns=clock.now_ns, state_dir=state_dir
    )
    listening: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(NeutralVenue(context, settings).run(listening.set_result))
    try:
        waiting: set[asyncio.Future[Any]] = {serving, listening}
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if serving.done():
            await serving
        async with aiohttp.ClientSession() as session:
            yield Control(await listening, session)
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


def neutral_connector(
    url: str,
    emit: "Any",
    *,
    clock: Clock | None = None,
    symbols: tuple[str, ...] = ("BTC-USDT",),
    secrets: dict[str, str] | None = None,
    **settings: Any,
) -> NeutralConnector:
    clock = clock or Clock()
    context = ConnectorContext(
        venue=Venue("neutral"),
        symbols=symbols,
        emit=emit,
        now_ns=clock.now_ns,
        delay_s=clock.delay_s,
        secrets=SECRETS if secrets is None else secrets,
    )
    return NeutralConnector(context, NeutralSettings(url=url, **settings))


def nothing(_event: Event) -> None:
    """Nobody listens."""
