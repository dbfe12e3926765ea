"""A simulated venue that serves a test, and its control page."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Protocol

import aiohttp
import msgspec

from connectors.simulators.faults import FaultKind


class Serves(Protocol):
    async def run(self, listening: Callable[[str], None]) -> None: ...


class Control:
    """`/control` of the venue."""

    def __init__(self, address: str, session: aiohttp.ClientSession) -> None:
        self.url = f"http://{address}"
        self._session = session

    async def fault(self, kind: FaultKind, **keys: Any) -> None:
        await self._post("/control/fault", {"kind": kind.value, **keys})

    async def fill(self, client_id: int | str, size: str) -> None:
        await self._post("/control/fill", {"client_id": client_id, "size": size})

    async def struck(self) -> dict[str, int]:
        async with self._session.get(f"{self.url}/control/struck") as reply:
            counts: dict[str, int] = await reply.json()
            return counts

    async def _post(self, path: str, body: dict[str, Any]) -> None:
        async with self._session.post(self.url + path, data=msgspec.json.encode(body)) as reply:
            assert reply.status == 200, await reply.text()


@asynccontextmanager
async def served(venue: Serves) -> AsyncIterator[tuple[str, aiohttp.ClientSession]]:
    """Until the end of the block: its address, and a session to reach it by."""
    listening: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(venue.run(listening.set_result))
    try:
        waiting: set[asyncio.Future[Any]] = {serving, listening}
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if serving.done():
            await serving
        async with aiohttp.ClientSession() as session:
            yield await listening, session
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
