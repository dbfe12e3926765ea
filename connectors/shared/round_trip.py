"""How long the way to a venue and back takes: over HTTP by any cheap read, over a WebSocket by the protocol's ping."""

import asyncio
import statistics
from collections.abc import Awaitable, Callable

from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from mm_daemon.domain.errors import VenueUnreachable
from mm_daemon.ports.examination import Check, failed, ok, warning

_TIMES = 3
_SLOW_S = 0.5
_OPEN_S, _CLOSE_S = 5.0, 0.2
_FRAME_BYTES_MAX = 4 << 20


async def http_s(read: Callable[[], Awaitable[object]]) -> float:
    """Median of a few reads one after the other, seconds; the first opens the connection and does not count."""
    await read()
    return await _median_s(read)


async def socket_s(url: str, ping: str | None = None) -> float:
    """Median of a few pings over a connection of its own, seconds. `ping`: a message that the venue answers with one
    that has `pong` in it, instead of the protocol's own. Raises VenueUnreachable."""
    try:
        async with (
            asyncio.timeout(_OPEN_S),
            connect(
                url,
                open_timeout=_OPEN_S,
                close_timeout=_CLOSE_S,
                ping_interval=None,
                max_size=_FRAME_BYTES_MAX,
                compression=None,
                proxy=None,
            ) as socket,
        ):

            async def answered() -> None:
                if ping is None:
                    await (await socket.ping())
                    return
                await socket.send(ping)
                while b"pong" not in await socket.recv(decode=False):
                    pass

            return await _median_s(answered)
    except (OSError, TimeoutError, WebSocketException) as error:
        raise VenueUnreachable(
            f"no answer at {url.partition('?')[0]}: {type(error).__name__} {error}".strip()
        ) from error


async def latency(read: Callable[[], Awaitable[object]], url: str | None, ping: str | None = None) -> list[Check]:
    """Both ways as one finding. Raises VenueUnreachable when HTTP does not answer."""
    http = await http_s(read)
    text = f"HTTP {_ms(http)} there and back"
    if url is not None:
        try:
            text += f", WebSocket {_ms(await socket_s(url, ping))}"
        except VenueUnreachable as error:
            advice = "see whether a firewall or proxy lets WebSockets through"
            return [failed("latency", f"{text}; WebSocket: {error}", advice)]
    if http > _SLOW_S:
        return [warning("latency", text, "run nearer to the venue: quotes this late are hit by those who know more")]
    return [ok("latency", text)]


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.0f} ms" if seconds >= 0.01 else f"{1000 * seconds:.2g} ms"


async def _median_s(once: Callable[[], Awaitable[object]]) -> float:
    loop = asyncio.get_running_loop()
    taken = []
    for _ in range(_TIMES):
        began_s = loop.time()
        await once()
        taken.append(loop.time() - began_s)
    return statistics.median(taken)
