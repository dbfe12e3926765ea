"""Messages of a simulated venue on their way to its clients, and what goes wrong with them for all alike."""

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

from connectors.simulators.faults import Fault, FaultKind, FaultPoint, WireFaults

M = TypeVar("M")

_BEFORE = {FaultKind.MALFORMED: b'{"channel":', FaultKind.OVERSIZED: b'"' + b" " * (5 << 20) + b'"'}


class Delivery(Generic[M]):
    """Asks the faults about each message; what is left to be sent goes out by `send(message, before)`, where `before`
    are bytes that mean nothing, to be sent first."""

    def __init__(
        self, faults: WireFaults, carry_out: Callable[[Fault], None], send: Callable[[M, bytes | None], None]
    ) -> None:
        """`carry_out` does what a fault of the kind `AT_ONCE` says."""
        self._faults = faults
        self._carry_out = carry_out
        self._send = send
        self._held: dict[str, list[M]] = {}
        """Messages that go out behind the next one of their channel."""

    def deliver(self, channel: str, message: M) -> None:
        fault = self._faults.strike(FaultPoint.MESSAGE, channel)
        kind = None if fault is None else fault.kind
        held = self._held.pop(channel, [])
        if fault is not None and fault.point is FaultPoint.AT_ONCE:
            self._carry_out(fault)
        if kind is FaultKind.REORDER:
            self._held[channel] = [message]
        elif kind is FaultKind.DELAY_MESSAGE and fault is not None:
            asyncio.get_running_loop().call_later(fault.ms / 1000, self._send, message, None)
        elif kind is not FaultKind.LOSE_MESSAGE:
            self._send(message, None if kind is None else _BEFORE.get(kind))
            if kind is FaultKind.DUPLICATE:
                self._send(message, None)
        for late in held:
            self._send(late, None)
