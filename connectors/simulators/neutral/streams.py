"""The streams of the neutral venue: who listens to what, and what goes wrong on the way to them.

Messages are put into a listener's bounded queue at once and written by the listener's own coroutine; one that does not
keep up is cut off. Faults of the plan strike here, message by message, the same for every listener.
"""

import asyncio
from collections import deque
from collections.abc import Callable

import msgspec
from aiohttp import web

from connectors.simulators.neutral import messages as m
from mm_daemon.simulation.faults import Fault, FaultKind, FaultPlan, FaultPoint

QUEUE_MAX = 4096
_OVERSIZED = b" " * (5 << 20)
_PUBLIC = (m.BookMessage, m.TradeMessage, m.MarkMessage, m.FundingMessage)

_encoder = msgspec.json.Encoder()


class Listener:
    """One connected client."""

    def __init__(self, socket: web.WebSocketResponse, transport: asyncio.Transport | None) -> None:
        self.socket = socket
        self._transport = transport
        self.symbols: frozenset[str] = frozenset()
        self.private = False
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

    def wants(self, message: m.Message) -> bool:
        return message.symbol in self.symbols if isinstance(message, _PUBLIC) else self.private

    async def write(self) -> None:
        """Write what waits until cancelled or cut off."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                await self.socket.send_bytes(self._waiting.popleft())

    def cut(self) -> None:
        """Drop the connection without a word."""
        self.mute = True
        if self._transport is not None:
            self._transport.abort()


class Streams:
    def __init__(self, faults: FaultPlan, carry_out: Callable[[Fault], None]) -> None:
        """`carry_out` does what a fault of the kind `AT_ONCE` says."""
        self._faults = faults
        self._carry_out = carry_out
        self._held: dict[str, list[m.Message]] = {}
        """Messages that go out behind the next one of their channel."""
        self.listeners: list[Listener] = []

    def tell(self, messages: list[m.Message]) -> None:
        for message in messages:
            self._tell(message)

    def cut_all(self) -> None:
        for listener in self.listeners:
            listener.cut()

    def mute_all(self) -> None:
        for listener in self.listeners:
            listener.mute = True

    def _tell(self, message: m.Message) -> None:
        channel = str(message.__struct_config__.tag)
        fault = self._faults.strike(FaultPoint.MESSAGE, channel)
        kind = None if fault is None else fault.kind
        held = self._held.pop(channel, [])
        if fault is not None and fault.point is FaultPoint.AT_ONCE:
            self._carry_out(fault)
        if kind is FaultKind.REORDER:
            self._held[channel] = [message]
        elif kind is FaultKind.DELAY_MESSAGE and fault is not None:
            asyncio.get_running_loop().call_later(fault.ms / 1000, self._send, message)
        elif kind is not FaultKind.LOSE_MESSAGE:
            before = {FaultKind.MALFORMED: b'{"channel":', FaultKind.OVERSIZED: _OVERSIZED}.get(kind) if kind else None
            self._send(message, before)
            if kind is FaultKind.DUPLICATE:
                self._send(message)
        for late in held:
            self._send(late)

    def _send(self, message: m.Message, before: bytes | None = None) -> None:
        frame = _encoder.encode(message)
        for listener in tuple(self.listeners):
            if listener.wants(message):
                if before is not None:
                    listener.put(before)
                listener.put(frame)
