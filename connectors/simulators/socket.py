"""One client's connection to a simulated venue, as its streams see it.

Frames are put into a bounded queue at once and written by a coroutine of the connection's own; a client that does not
keep up is cut off.
"""

import asyncio
import ipaddress
from collections import deque

from aiohttp import web

QUEUE_MAX = 4096


class Socket:
    def __init__(
        self, socket: web.WebSocketResponse, transport: asyncio.Transport | None, *, text: bool = False
    ) -> None:
        """`text`: frames leave as text, as some venues have it."""
        self.socket = socket
        self._transport = transport
        self._text = text
        self.mute = False
        """Half open: nothing is sent any more and nothing is answered, and nobody is told."""
        self._waiting: deque[bytes] = deque()
        self._wake = asyncio.Event()

    def put(self, frame: bytes) -> None:
        if self.mute:
            return
        if len(self._waiting) >= QUEUE_MAX:
            self.cut()
            return
        self._waiting.append(frame)
        self._wake.set()

    async def write(self) -> None:
        """Write what waits until cancelled or cut off."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                frame = self._waiting.popleft()
                await (self.socket.send_str(frame.decode()) if self._text else self.socket.send_bytes(frame))

    def cut(self) -> None:
        """Drop the connection without a word."""
        self.mute = True
        if self._transport is not None:
            self._transport.abort()


def from_here(request: web.Request) -> bool:
    """Whether a request comes from this machine."""
    try:
        return ipaddress.ip_address(request.remote or "").is_loopback
    except ValueError:
        return False


def cut(request: web.Request) -> web.Response:
    """Drop a request's connection without a word: what is returned is never written."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)
