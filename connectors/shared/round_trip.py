"""How long the way to a venue and back takes: over HTTP by any cheap read, over a WebSocket by the protocol's ping."""

import asyncio
import statistics
from collections.abc import Awaitable, Callable

from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from mm_daemon.domain.errors import VenueUnreachable
from mm_daemon.ports.examination import Check, failed, ok

_TIMES = 3
_OPEN_S, _CLOSE_S = 5.0, 0.2
_FRAME_BYTES_MAX = 4 << 20


async def http_s(read: Callable[[], Awaitable[object]]) -> float:
    """Median of a few reads one after the other, seconds; the first opens the connection and does not count."""
    await read()
    return await _median_s(read)


async def socket_s(url: str) -> float:
    """Median of a few pings over a connection of its own, seconds. Raises VenueUnreachable."""
    try:
        async with connect(
            url,
            open_timeout=_OPEN_S,
            close_timeout=_CLOSE_S,
            ping_interval=None,
            max_size=_FRAME_BYTES_MAX,
            compression=None,
            proxy=None,
        ) as socket:

            async def ping() -> None:
                await (await socket.ping())

            return await _median_s(ping)
    except (OSError, TimeoutError, WebSocketException) as error:
        raise VenueUnreachable(f"no stream at {url.partition('?')[0]}: {type(error).__name__}: {error}") from error


async def latency(read: Callable[[], Awaitable[object]], url: str | None) -> list[Check]:
    """Both ways as one finding. Raises VenueUnreachable when HTTP does not answer."""
    text = f"HTTP {1000 * await http_s(read):.1f} ms there and back"
    if url is None:
        return [ok("latency", text)]
    try:
        return [ok("latency", f"{text}, WebSocket {1000 * await socket_s(url):.1f} ms")]
    except VenueUnreachable as error:
        advice = "see whether a firewall or proxy lets WebSockets through"
        return [failed("latency", f"{text}; {error}", advice)]


async def _median_s(once: Callable[[], Awaitable[object]]) -> float:
    loop = asyncio.get_running_loop()
    taken = []
    for _ in range(_TIMES):
        began_s = loop.time()
        await once()
        taken.append(loop.time() - began_s)
    return statistics.median(taken)
