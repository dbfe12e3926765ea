"""The control socket: how a person at this machine asks a running daemon, and tells it to pause or to stop quoting.

A unix socket in `state_dir`, for its owner (and root) alone. One JSON line in, one JSON line out, as often as one
likes: `{"verb": "status"}`, `{"verb": "pause", "symbol": "BTC-USDT"}`. Requests that change something become events in
the inbox, journaled with who asked, and are answered when the core has taken them.
"""

import asyncio
import os
import socket
import struct
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

import msgspec

from mm_daemon.domain.errors import ConfigError, UsageError
from mm_daemon.domain.events import Event, OperatorAction, OrderResolved, PositionAdopted, Resolution
from mm_daemon.domain.orders import ClientOrderId
from mm_daemon.observability.status import Status
from mm_daemon.runtime.control_door import ControlDoor

SOCKET_NAME = "control"
_LONGEST_NAME = 100
"""Bytes; the kernel takes 107."""
_LONGEST_LINE = 4096
_MOST_CLIENTS = 16
"""The next one takes the place of the one that has been silent longest."""
_BREATH_S = 0.01
"""Between two answers to one client: requests sent in bulk are answered one by one while the core does its work."""
_END_S = 1.0
_CREDENTIALS = struct.Struct("3i")

Verb = Literal[
    "status",
    "reload",
    "pause",
    "resume",
    "flatten",
    "cancel_all",
    "kill",
    "clear_kill",
    "enable",
    "disable",
    "resolve",
    "adopt",
]


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    verb: Verb
    symbol: str | None = None
    """One market, as `BTC-USDT` or `sim:BTC-USDT`; None: all."""
    order: int | None = None
    """The client order id that `resolve` is about."""
    outcome: Resolution | None = None
    evidence: str = ""


class Reply(msgspec.Struct, frozen=True):
    ok: bool
    text: str = ""
    status: Status | None = None


class ControlSocket:
    """Serves the socket as a child of the supervisor; what it is told goes through the door."""

    def __init__(
        self,
        folder: Path,
        *,
        door: ControlDoor,
        status: Callable[[], Status],
        reload: Callable[[str], Awaitable[tuple[Event | None, str]]],
        now_ns: Callable[[], int],
    ) -> None:
        """`reload` reads the configuration for whoever it is told of; it answers with the event that makes what has
        changed so, and with words. Raises ConfigError.
        """
        self._path = folder / SOCKET_NAME
        self._door = door
        self._status = status
        self._reload = reload
        self._now_ns = now_ns
        self._encoder = msgspec.json.Encoder()
        self._decoder = msgspec.json.Decoder(Request)
        self._clients: dict[asyncio.StreamWriter, asyncio.Task[None] | None] = {}
        """Who is connected and by whom it is served; whoever asked last is last."""
        self.listening = asyncio.Event()

    async def run(self) -> None:
        """Serve until cancelled. Raises OSError when the socket cannot be made."""
        server = await asyncio.start_unix_server(self._serve, sock=self._bound(), limit=_LONGEST_LINE)
        self.listening.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.listening.clear()
            server.close()
            served = [task for task in self._clients.values() if task is not None]
            for client in self._clients:
                client.transport.abort()
            if served:
                await asyncio.wait(served, timeout=_END_S)
            with suppress(FileNotFoundError):
                self._path.unlink()

    def _bound(self) -> socket.socket:
        """Nobody can connect before it listens, and by then it belongs to the owner alone."""
        with suppress(FileNotFoundError):
            self._path.unlink()  # left by a sudden death: the lock on the folder says that nobody serves it
        bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with socket_name(self._path) as name:
            bound.bind(name)
        self._path.chmod(0o600)
        return bound

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        uid = peer_uid(writer)
        try:
            if uid not in (os.getuid(), 0):
                writer.write(self._line(Reply(False, "this daemon belongs to somebody else")))
            else:
                self._seen(writer)
                while line := await reader.readline():
                    self._seen(writer)
                    answer = self._line(await self._answer(line, f"uid {uid}"))
                    if writer.is_closing():
                        break  # we have closed it meanwhile
                    writer.write(answer)
                    await writer.drain()
                    await asyncio.sleep(_BREATH_S)
        except ConnectionError:
            pass  # whoever asked has left
        except ValueError:  # more than the limit without an end of line
            writer.write(self._line(Reply(False, f"a request is one line of at most {_LONGEST_LINE} bytes")))
        finally:
            self._clients.pop(writer, None)
            writer.close()

    def _seen(self, writer: asyncio.StreamWriter) -> None:
        """This client is the last that was heard of; a place is made for it."""
        self._clients.pop(writer, None)
        if len(self._clients) >= _MOST_CLIENTS:
            silent = next(iter(self._clients))
            self._clients.pop(silent)
            silent.transport.abort()
        self._clients[writer] = asyncio.current_task()

    def _line(self, reply: Reply) -> bytes:
        return self._encoder.encode(reply) + b"\n"

    async def _answer(self, line: bytes, who: str) -> Reply:
        try:
            request = self._decoder.decode(line)
            if request.verb == "status":
                return Reply(True, status=self._status())
            if request.verb == "reload":
                changed, text = await self._reload(who)
                if changed is not None:
                    await self._door.tell(changed)
                return Reply(True, text)
            if request.verb in ("resolve", "adopt"):
                return Reply(True, await self._settle(request, who))
            return Reply(True, await self._door.act(OperatorAction(request.verb), request.symbol, who))
        except (msgspec.DecodeError, UsageError, ConfigError) as error:
            return Reply(False, str(error))

    async def _settle(self, request: Request, who: str) -> str:
        """A person's word on what the venue holds."""
        if request.verb == "adopt":
            if request.symbol is None:
                raise UsageError("name the market whose position at the venue is right")
            instrument = self._door.market(request.symbol)
            await self._door.tell(PositionAdopted(self._now_ns(), instrument, who))
            return f"{instrument}: the venue's position is taken over, if it differs; the log says by how much"
        if request.order is None or request.outcome is None:
            raise UsageError("name an order and how it ended: dead or filled")
        unknown = [order.client_id for venue in self._status().venues for order in venue.unknown]
        if request.order not in unknown:
            known = ", ".join(map(str, unknown)) or "none"
            raise UsageError(f"order {request.order} is not in doubt; orders in doubt: {known}")
        event = OrderResolved(self._now_ns(), ClientOrderId(request.order), request.outcome, who, request.evidence)
        await self._door.tell(event)
        return f"order {request.order} is taken to be {request.outcome}; accounts are compared"


@contextmanager
def socket_name(path: Path) -> Iterator[str]:
    """A name for the socket that the kernel takes, however deep its folder lies."""
    if len(os.fsencode(path)) <= _LONGEST_NAME:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def peer_uid(writer: asyncio.StreamWriter) -> int:
    """Who is at the other end, as the kernel says."""
    told = writer.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(told)[1])


class ControlClient:
    """The other end, blocking: for the verbs of the command line."""

    def __init__(self, folder: Path, *, timeout_s: float = 5.0) -> None:
        """Raises UsageError when no daemon answers there."""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(timeout_s)
        try:
            with socket_name(folder / SOCKET_NAME) as name:
                self._socket.connect(name)
        except OSError as error:
            self._socket.close()
            raise UsageError(
                f"no daemon answers in {folder} ({error.strerror}); is one running with this state_dir, and with "
                "`control: true`?"
            ) from error
        self._lines = self._socket.makefile("rb")
        self._decoder = msgspec.json.Decoder(Reply)

    def ask(
        self,
        verb: Verb,
        symbol: str | None = None,
        *,
        order: int | None = None,
        outcome: Resolution | None = None,
        evidence: str = "",
    ) -> Reply:
        """One question, one answer. Raises EOFError when the daemon has gone."""
        request = Request(verb, symbol, order, outcome, evidence)
        try:
            self._socket.sendall(msgspec.json.encode(request) + b"\n")
            line = self._lines.readline()
        except OSError as error:
            raise EOFError(str(error)) from error
        if not line.endswith(b"\n"):
            raise EOFError("the daemon has closed the connection")
        return self._decoder.decode(line)

    def status(self) -> Status:
        """Raises EOFError when the daemon has gone, UsageError when it does not want to say."""
        reply = self.ask("status")
        if reply.status is None:
            raise UsageError(reply.text)
        return reply.status

    def close(self) -> None:
        self._lines.close()
        self._socket.close()

    def __enter__(self) -> "ControlClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
