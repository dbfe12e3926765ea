"""A WebSocket that comes back: one subscription session of a venue, kept alive until cancelled.

What a venue's connector is spared: reconnecting with growing, jittered pauses; noticing a connection that died without
a word, by the age of its last byte and a ping of our own when it is idle, within two seconds (R13); a bound on the size
of a frame and on how many wait; closing without waiting for a peer that does not answer. What a frame means is the
connector's business.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Never

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from mm_daemon.domain.rng import Rng
from mm_daemon.ports.connector import Link

Send = Callable[[bytes | str], Awaitable[None]]
"""Bytes leave as a binary frame, text as a text frame."""
ENDS = ("refused", "half_open", "oversized", "closed")
"""How a connection ends: it never opened; it died without a word; a frame was too large; the peer closed it."""


class SessionLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Times in seconds. A dead connection is noticed at most `idle_s + pong_s` and a look (a quarter of `idle_s`) after
    its last byte. Pauses double from `first_pause_s` to `longest_pause_s`, each times 0.5..1.5, and start again once a
    connection has lived for `settled_s`."""

    open_s: float = 5.0
    close_s: float = 0.2
    idle_s: float = 0.7
    pong_s: float = 0.7
    first_pause_s: float = 0.1
    longest_pause_s: float = 10.0
    settled_s: float = 10.0
    frame_bytes_max: int = 1 << 20
    frames_waiting_max: int = 256
    """Beyond these the socket is not read: the venue feels it, memory does not."""


class WsSession:
    """`run` belongs to the event loop; the callbacks are called from it.

    `on_open(send)` logs in and subscribes; `on_frame(frame, ts_local_ns)` takes one message; `on_closed(cause)` hears
    of every end, also of attempts that never opened. What the callbacks raise ends `run`.
    """

    def __init__(
        self,
        url: str,
        *,
        rng: Rng,
        now_ns: Callable[[], int],
        on_open: Callable[[Send], Awaitable[None]],
        on_frame: Callable[[bytes, int], None],
        on_closed: Callable[[str], None],
        limits: SessionLimits | None = None,
        ping: str | None = None,
        tap: Callable[[bytes, int], None] | None = None,
    ) -> None:
        """`ping`: a message of the venue's own that it answers, to be sent instead of the protocol's ping. `tap` is
        shown each frame before `on_frame` takes it."""
        self._url = url
        self._ping = ping
        self._rng = rng
        self._now_ns = now_ns
        self._on_open = on_open
        self._on_frame = on_frame if tap is None else _tapped(tap, on_frame)
        self._on_closed = on_closed
        self._limits = limits or SessionLimits()
        self._heard_s = 0.0
        self._sign_of_life = asyncio.Event()
        self._failures = 0
        self.connected = False
        self.messages = 0
        self.ends: Counter[str] = Counter()
        """Ends by kind, those of `ENDS`."""

    @property
    def link(self) -> Link:
        """As it is now; each kind of end is there from the start, at zero."""
        return Link(self.connected, self.messages, {kind: self.ends[kind] for kind in ENDS})

    async def run(self) -> None:
        """Connect, listen, and begin again, for ever."""
        loop = asyncio.get_running_loop()
        while True:
            begun_s = loop.time()
            kind, cause = await self._live()
            self.ends[kind] += 1
            if loop.time() - begun_s >= self._limits.settled_s:
                self._failures = 0
            self._on_closed(cause)
            await asyncio.sleep(self._pause_s())

    def _pause_s(self) -> float:
        limits = self._limits
        pause_s = min(limits.longest_pause_s, limits.first_pause_s * float(2 ** min(self._failures, 30)))
        self._failures += 1
        return pause_s * (0.5 + self._rng.uniform())

    async def _live(self) -> tuple[str, str]:
        """One connection from its opening to its end; the kind of the end, and its cause in words."""
        limits = self._limits
        try:
            socket = await connect(
                self._url,
                open_timeout=limits.open_s,
                close_timeout=limits.close_s,
                ping_interval=None,  # ours are sent when it is idle, see `_watch`
                max_size=limits.frame_bytes_max,
                max_queue=limits.frames_waiting_max,
                compression=None,
                proxy=None,
            )
        except (OSError, TimeoutError, WebSocketException) as error:
            return "refused", f"cannot connect: {type(error).__name__}: {error}"
        self._heard_s = asyncio.get_running_loop().time()
        watching = asyncio.create_task(self._watch(socket))
        try:
            self.connected = True
            await self._on_open(socket.send)
            return await self._listen(socket)
        except ConnectionClosed as error:
            if watching.done() and not watching.cancelled() and watching.exception() is None:
                return "half_open", f"no byte and no pong for {limits.idle_s + limits.pong_s:g} s"
            oversized = error.sent is not None and error.sent.code == 1009
            return ("oversized" if oversized else "closed"), str(error)
        finally:
            self.connected = False
            watching.cancel()
            (watched,) = await asyncio.gather(watching, return_exceptions=True)
            await socket.close()
            if isinstance(watched, Exception):  # a bug of ours is not weather
                raise watched

    async def _listen(self, socket: ClientConnection) -> Never:
        time_s, now_ns, on_frame = asyncio.get_running_loop().time, self._now_ns, self._on_frame
        while True:
            frame = await socket.recv(decode=False)
            self._heard_s = time_s()
            self._sign_of_life.set()
            self.messages += 1
            on_frame(frame, now_ns())

    async def _watch(self, socket: ClientConnection) -> None:
        """Returns, with the connection cut, once it has been silent for too long and does not answer."""
        limits, loop = self._limits, asyncio.get_running_loop()
        while True:
            await asyncio.sleep(limits.idle_s / 4)
            asked_s = loop.time()
            if asked_s - self._heard_s < limits.idle_s:
                continue
            try:
                async with asyncio.timeout(limits.pong_s):
                    await self._answer(socket)
            except TimeoutError:
                if self._heard_s + limits.idle_s + limits.pong_s <= loop.time():
                    socket.transport.abort()
                    return
            except ConnectionClosed:
                await asyncio.Event().wait()  # `_listen` hears of it too
            else:
                self._heard_s = loop.time()

    async def _answer(self, socket: ClientConnection) -> None:
        """Ask for a sign of life and wait for it."""
        if self._ping is None:
            await (await socket.ping())
            return
        self._sign_of_life.clear()
        await socket.send(self._ping)
        await self._sign_of_life.wait()


def _tapped(tap: Callable[[bytes, int], None], on_frame: Callable[[bytes, int], None]) -> Callable[[bytes, int], None]:
    def shown(frame: bytes, ts_local_ns: int) -> None:
        tap(frame, ts_local_ns)
        on_frame(frame, ts_local_ns)

    return shown
