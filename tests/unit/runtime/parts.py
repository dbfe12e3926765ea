"""Parts shared by the tests of the shell: a core that answers by script, a connector that keeps a diary."""

import asyncio
from collections.abc import Callable, Sequence
from typing import ClassVar

import msgspec

from mm_daemon.domain.capabilities import Capabilities
from mm_daemon.domain.checkpoint import Checkpoint, GateState, LedgerState
from mm_daemon.domain.decisions import (
    ApprovedCommand,
    CancelAll,
    CancelOrder,
    Command,
    PlaceOrder,
    Reason,
    Turn,
)
from mm_daemon.domain.events import Event, VenueSnapshot
from mm_daemon.domain.instrument import Instrument, InstrumentId, Venue
from mm_daemon.domain.orders import ClientOrderId, Side

VENUE = Venue("sim")
BTC = InstrumentId("sim:BTC-USDT")


def place(number: int, instrument: InstrumentId = BTC) -> PlaceOrder:
    return PlaceOrder(instrument, ClientOrderId(number), Side.BUY, 0, 100, 1, (Reason.NEW_QUOTE,))


def cancel(number: int, instrument: InstrumentId = BTC) -> CancelOrder:
    return CancelOrder(instrument, ClientOrderId(number), (Reason.SHUTDOWN,))


def cancel_all(venue: Venue = VENUE) -> CancelAll:
    return CancelAll(venue, (Reason.SHUTDOWN,))


def released(*commands: Command) -> tuple[ApprovedCommand, ...]:
    """Commands as the gate would have passed them; decoded, because only the gate may construct one."""
    return tuple(
        msgspec.convert(["approved", msgspec.to_builtins(command), 0], ApprovedCommand) for command in commands
    )


class ScriptedCore:
    """Applies everything to a list and answers by a function of `now`."""

    def __init__(self, answer: Callable[[int], Turn] = Turn) -> None:
        self.applied: list[Event] = []
        self.decided: list[int] = []
        self.deadlines: list[int] = []
        self._answer = answer

    def apply(self, event: Event) -> None:
        self.applied.append(event)

    def decide(self, now_ns: int) -> Turn:
        self.decided.append(now_ns)
        while self.deadlines and self.deadlines[0] <= now_ns:
            self.deadlines.pop(0)
        return self._answer(now_ns)

    def next_deadline_ns(self) -> int | None:
        return self.deadlines[0] if self.deadlines else None

    def checkpoint(self) -> Checkpoint:
        nothing = (0, 0)
        gate = GateState(None, None, nothing, nothing, None)
        return Checkpoint(self.decided[-1], ClientOrderId(1), LedgerState((), (), 0), (), (), (), gate)


class NoSettings(msgspec.Struct):
    """A connector without settings of its own."""


class DiaryConnector:
    """A venue that writes down what reaches it, takes `send_s` over a batch, and can be told to fail."""

    Settings: ClassVar[type[msgspec.Struct]] = NoSettings

    def __init__(self, *, simulated: bool = False, batch_max: int = 1, send_s: float = 0.0) -> None:
        self.capabilities = Capabilities(simulated=simulated, batch_max=batch_max, ack_timeout_ms=3000)
        self.diary: list[object] = []
        self.send_s = send_s
        self.fails_with: Exception | None = None
        self.open_orders: list[VenueSnapshot] = []
        self.closed = False

    async def load_instruments(self) -> Sequence[Instrument]:
        return ()

    async def run(self) -> None:
        await asyncio.Event().wait()

    async def send(self, commands: Sequence[ApprovedCommand]) -> None:
        if self.send_s:
            await asyncio.sleep(self.send_s)
        if self.fails_with is not None:
            raise self.fails_with
        self.diary.append([approved.command for approved in commands])

    async def snapshot(self, since_ns: int) -> VenueSnapshot:
        return self.open_orders.pop(0) if self.open_orders else VenueSnapshot(VENUE, 0, since_ns, (), ())

    async def query_order(self, client_id: ClientOrderId) -> None:
        self.diary.append(("query", client_id))

    async def arm_dead_man(self, deadline_ns: int | None) -> None:
        self.diary.append(("dead man", deadline_ns))

    async def cancel_all(self) -> None:
        if self.fails_with is not None:
            raise self.fails_with
        self.diary.append("cancel_all")

    async def close(self) -> None:
        self.closed = True
