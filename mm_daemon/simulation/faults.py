"""`FaultPlan`: what goes wrong between us and a simulated venue, seeded, so that a bad day can be lived again.

Commands get lost or arrive late, replies get lost, come late, come twice, or are replaced by "outcome unknown", as a
connector says after a timeout. Nothing of it is told to the core but by what it sees: the protocol of EXECUTION 2 has
to find out. Market data are never touched.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from mm_daemon.domain.events import (
    CommandOutcomeUnknown,
    OrderAccepted,
    OrderAmended,
    OrderAmendRejected,
    OrderCanceled,
    OrderCancelRejected,
    OrderEvent,
    OrderNotFound,
    OrderRejected,
)
from mm_daemon.domain.orders import Operation
from mm_daemon.domain.rng import Rng

_NS_PER_MS = 1_000_000
_Chance = Annotated[float, Meta(ge=0, le=1)]
_ANSWERS: dict[type, Operation] = {
    OrderAccepted: Operation.PLACE,
    OrderRejected: Operation.PLACE,
    OrderAmended: Operation.AMEND,
    OrderAmendRejected: Operation.AMEND,
    OrderCanceled: Operation.CANCEL,
    OrderCancelRejected: Operation.CANCEL,
}

Told = OrderEvent | OrderNotFound


class FaultPlan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often each thing goes wrong, as chances from 0 to 1 per command or reply."""

    lose_command: Annotated[_Chance, Meta(description="a command never arrives")] = 0.0
    late_command: Annotated[_Chance, Meta(description="a command arrives up to late_ms late, behind later ones")] = 0.0
    lose_reply: Annotated[_Chance, Meta(description="a reply or fill is never told")] = 0.0
    late_reply: Annotated[_Chance, Meta(description="a reply or fill is told up to late_ms late")] = 0.0
    repeat_reply: Annotated[_Chance, Meta(description="a reply or fill is told twice")] = 0.0
    unknown_reply: Annotated[_Chance, Meta(description="a reply is replaced by `outcome unknown`")] = 0.0
    late_ms: Annotated[float, Meta(ge=0, le=60000, description="the longest delay, ms")] = 2000.0


class Faults:
    """A plan at work. Draws in the order of what happens, so that one seed is one history."""

    __slots__ = ("_commands", "_late_ns", "_plan", "_replies", "counts")

    def __init__(self, plan: FaultPlan, rng: Rng) -> None:
        self._plan = plan
        self._late_ns = round(plan.late_ms * _NS_PER_MS)
        self._commands = rng.split("commands")
        self._replies = rng.split("replies")
        self.counts: dict[str, int] = {}
        """How often what went wrong."""

    def command_delay_ns(self) -> int | None:
        """How late the next command arrives; None: never."""
        if self._happens("lose_command", self._plan.lose_command, self._commands):
            return None
        if self._happens("late_command", self._plan.late_command, self._commands):
            return 1 + self._commands.below(self._late_ns + 1)
        return 0

    def replies(self, event: Told) -> list[Told]:
        """What is told in place of one reply or fill, with the local times at which it is."""
        plan, rng = self._plan, self._replies
        if self._happens("lose_reply", plan.lose_reply, rng):
            return []
        operation = _ANSWERS.get(type(event))
        if (
            operation is not None
            and not isinstance(event, OrderNotFound)
            and self._happens("unknown_reply", plan.unknown_reply, rng)
        ):
            event = CommandOutcomeUnknown(
                event.instrument, 0, event.ts_local_ns, event.client_id, operation, "simulated timeout"
            )
        told = [event]
        if self._happens("late_reply", plan.late_reply, rng):
            told = [self._delayed(event)]
        if self._happens("repeat_reply", plan.repeat_reply, rng):
            told.append(self._delayed(event))
        return told

    def _delayed(self, event: Told) -> Told:
        return msgspec.structs.replace(event, ts_local_ns=event.ts_local_ns + self._replies.below(self._late_ns + 1))

    def _happens(self, what: str, chance: float, rng: Rng) -> bool:
        if chance <= 0.0 or rng.uniform() >= chance:
            return False
        self.counts[what] = self.counts.get(what, 0) + 1
        return True
