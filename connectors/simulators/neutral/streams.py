"""The streams of the neutral venue: who listens to what, and what goes wrong on the way to them.

Messages are put into a listener's bounded queue at once and written by the listener's own coroutine; one that does not
keep up is cut off. Faults of the plan strike here, message by message, the same for every listener.
"""

import asyncio
from collections.abc import Callable

import msgspec
from aiohttp import web

from connectors.simulators.delivery import Delivery
from connectors.simulators.faults import Fault, WireFaults
from connectors.simulators.neutral import messages as m
from connectors.simulators.socket import Socket

_PUBLIC = (m.BookMessage, m.TradeMessage, m.MarkMessage, m.FundingMessage)

_encoder = msgspec.json.Encoder()


class Listener(Socket):
    """One connected client."""

    def __init__(self, socket: web.WebSocketResponse, transport: asyncio.Transport | None) -> None:
        super().__init__(socket, transport)
        self.symbols: frozenset[str] = frozenset()
        self.private = False

    def wants(self, message: m.Message) -> bool:
        return message.symbol in self.symbols if isinstance(message, _PUBLIC) else self.private


class Streams:
    def __init__(self, faults: WireFaults, carry_out: Callable[[Fault], None]) -> None:
        """`carry_out` does what a fault of the kind `AT_ONCE` says."""
        self._delivery = Delivery[m.Message](faults, carry_out, self._send)
        self.listeners: list[Listener] = []

    def tell(self, messages: list[m.Message]) -> None:
        for message in messages:
            self._delivery.deliver(str(message.__struct_config__.tag), message)

    def cut_all(self) -> None:
        for listener in self.listeners:
            listener.cut()

    def mute_all(self) -> None:
        for listener in self.listeners:
            listener.mute = True

    def _send(self, message: m.Message, before: bytes | None) -> None:
        frame = _encoder.encode(message)
        for listener in tuple(self.listeners):
            if listener.wants(message):
                if before is not None:
                    listener.put(before)
                listener.put(frame)
