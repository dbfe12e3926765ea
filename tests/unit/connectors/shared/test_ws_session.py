"""A subscription session against a bare WebSocket server on loopback."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from websockets.asyncio.server import ServerConnection, serve

from connectors.shared.ws_session import Send, SessionLimits, WsSession
from mm_daemon.domain.rng import Rng

QUICK = SessionLimits(
    idle_s=0.1, pong_s=0.1, first_pause_s=0.01, longest_pause_s=0.04, frame_bytes_max=1000, open_s=1.0, settled_s=100.0
)
PATIENCE_S = 10.0


class Seen:
    """What a session tells, with a way to wait for it."""

    def __init__(self, url: str, limits: SessionLimits = QUICK) -> None:
        self.frames: list[bytes] = []
        self.tapped: list[tuple[bytes, int]] = []
        self.causes: list[str] = []
        self.opened = 0
        self._more = asyncio.Event()
        self.session = WsSession(
            url,
            rng=Rng(1),
            now_ns=lambda: 7,
            on_open=self._on_open,
            on_frame=self._on_frame,
            on_closed=self._on_closed,
            limits=limits,
            tap=lambda frame, ts_local_ns: self.tapped.append((frame, ts_local_ns)),
        )

    async def _on_open(self, send: Send) -> None:
        self.opened += 1
        await send(b"hello")
        self._more.set()

    def _on_frame(self, frame: bytes, ts_local_ns: int) -> None:
        assert ts_local_ns == 7
        assert self.tapped[-1] == (frame, ts_local_ns), "a recorder sees each frame before it is read"
        self.frames.append(frame)
        self._more.set()

    def _on_closed(self, cause: str) -> None:
        self.causes.append(cause)
        self._more.set()

    async def until(self, happened: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not happened():
                self._more.clear()
                await self._more.wait()


async def with_server(
    handler: Callable[[ServerConnection], Awaitable[None]],
    body: Callable[[Seen], Awaitable[None]],
    limits: SessionLimits = QUICK,
) -> Seen:
    """Run a session against a server until `body` is done."""
    async with serve(handler, "127.0.0.1", 0, ping_interval=None, close_timeout=0.1) as server:
        port = server.sockets[0].getsockname()[1]
        seen = Seen(f"ws://127.0.0.1:{port}", limits)
        running = asyncio.create_task(seen.session.run())
        try:
            await body(seen)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
    return seen


async def test_session_subscribes_and_hands_on_frames() -> None:
    """Texts and binaries alike, as bytes, stamped when they were received."""
    heard: list[str | bytes] = []

    async def server(socket: ServerConnection) -> None:
        heard.append(await socket.recv())
        await socket.send("text")
        await socket.send(b"bytes")
        await socket.wait_closed()

    async def body(seen: Seen) -> None:
        await seen.until(lambda: len(seen.frames) == 2)
        assert seen.session.connected

    seen = await with_server(server, body)
    assert (heard, seen.frames, seen.session.messages) == ([b"hello"], [b"text", b"bytes"], 2)
    assert not seen.session.connected


async def test_closed_connection_is_opened_again() -> None:
    """The subscription is repeated on each."""

    async def server(socket: ServerConnection) -> None:
        await socket.recv()
        await socket.close(1001, "moving")

    async def body(seen: Seen) -> None:
        await seen.until(lambda: seen.opened >= 3)

    seen = await with_server(server, body)
    assert "moving" in seen.causes[0]
    assert seen.session.ends["closed"] >= 2


async def test_idle_link_that_answers_pings_is_kept() -> None:
    """Silence alone is no death: many times the idle time passes without a frame."""

    async def server(socket: ServerConnection) -> None:
        await socket.recv()
        enough = asyncio.Event()
        asyncio.get_running_loop().call_later(8 * QUICK.idle_s, enough.set)
        await enough.wait()
        await socket.send(b"at last")
        await socket.wait_closed()

    async def body(seen: Seen) -> None:
        await seen.until(lambda: bool(seen.frames))

    seen = await with_server(server, body)
    assert (seen.opened, seen.causes) == (1, [])


async def test_link_that_answers_nothing_is_given_up() -> None:
    """Nothing arrives and no ping is answered: cut after idle time and pong time, not by a close handshake."""

    over = asyncio.Event()

    async def server(socket: ServerConnection) -> None:
        await socket.recv()
        socket.transport.pause_reading()  # the kernel takes our bytes, nobody else does
        await over.wait()
        socket.transport.abort()

    async def body(seen: Seen) -> None:
        loop = asyncio.get_running_loop()
        try:
            await seen.until(lambda: seen.opened == 1)
            begun_s = loop.time()
            await seen.until(lambda: bool(seen.causes))
            assert loop.time() - begun_s < 1.0
        finally:
            over.set()

    seen = await with_server(server, body)
    assert seen.session.ends["half_open"] == 1
    assert seen.causes[0].startswith("no byte and no pong")


async def test_oversized_frame_ends_the_connection_only() -> None:
    """Counted; the session goes on."""

    async def server(socket: ServerConnection) -> None:
        await socket.recv()
        await socket.send(b"x" * 1001)
        await socket.wait_closed()

    async def body(seen: Seen) -> None:
        await seen.until(lambda: seen.opened >= 2)

    seen = await with_server(server, body)
    assert seen.session.ends["oversized"] >= 1
    assert seen.frames == []


async def test_nobody_there_is_weather() -> None:
    """Refused again and again, with pauses that grow to the longest and no further."""
    seen = Seen("ws://127.0.0.1:1")
    running = asyncio.create_task(seen.session.run())
    await seen.until(lambda: len(seen.causes) >= 4)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert set(seen.session.ends) == {"refused"}
    pauses = [seen.session._pause_s() for _ in range(50)]
    assert max(pauses) <= 1.5 * QUICK.longest_pause_s


async def test_what_a_callback_raises_ends_the_run() -> None:
    """A bug is not weather."""

    async def server(socket: ServerConnection) -> None:
        await socket.recv()
        await socket.send(b"boom")
        await socket.wait_closed()

    async with serve(server, "127.0.0.1", 0, close_timeout=0.1) as listening:
        port = listening.sockets[0].getsockname()[1]
        seen = Seen(f"ws://127.0.0.1:{port}")

        def explode(_frame: bytes, _ts_local_ns: int) -> None:
            raise ZeroDivisionError

        seen.session._on_frame = explode
        with pytest.raises(ZeroDivisionError):
            async with asyncio.timeout(PATIENCE_S):
                await seen.session.run()


async def test_ping_of_the_venues_own_keeps_an_idle_link() -> None:
    """Sent as text instead of the protocol's; its answer is the sign of life, and without one the link is dead."""
    pings: list[str | bytes] = []
    answered = 5

    async def server(socket: ServerConnection) -> None:
        await socket.recv()
        async for message in socket:
            pings.append(message)
            if len(pings) <= answered:
                await socket.send("pong")

    async with serve(server, "127.0.0.1", 0, ping_interval=None, close_timeout=0.1) as listening:
        seen = Seen(f"ws://127.0.0.1:{listening.sockets[0].getsockname()[1]}")
        seen.session._ping = "ping"
        running = asyncio.create_task(seen.session.run())
        await seen.until(lambda: bool(seen.causes))
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert seen.session.ends["half_open"] == 1
    assert pings == ["ping"] * (answered + 1)
    assert seen.frames == [b"pong"] * answered
