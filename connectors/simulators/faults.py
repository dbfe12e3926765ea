"""What goes wrong on the wire of a simulated venue, on demand or by seeded chance.

`WireFaults` is asked at each point where something can go wrong, and answers with the fault that strikes there, if any.
Faults that were ordered come first, in their order; then chance has its say, one draw for each kind of the point, so
that one seed is one sequence of faults. What a fault does is the simulator's business.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from mm_daemon.domain.rng import Rng


class FaultPoint(StrEnum):
    """Where a fault can strike."""

    REQUEST = "request"
    """A request has come in and nothing was done about it yet."""
    REPLY = "reply"
    """A request was carried out and its reply is about to leave."""
    MESSAGE = "message"
    """A message of a stream is about to leave."""
    AT_ONCE = "at_once"
    """Nothing waits for it: it happens when it is ordered."""


class FaultKind(StrEnum):
    LOSE_REQUEST = "lose_request"
    """The connection drops before the venue has done anything."""
    SERVER_ERROR = "server_error"
    """The venue answers 503 and has done nothing, which the answer does not say."""
    RATE_LIMIT = "rate_limit"
    """The venue refuses and names `ms` to wait."""
    BAN = "ban"
    """The venue refuses everything for `ms`."""
    LOSE_REPLY = "lose_reply"
    """The venue did what was asked, and the connection drops before it says so."""
    DELAY = "delay"
    """The reply comes `ms` late."""
    DELAY_MESSAGE = "delay_message"
    """The message comes `ms` late, behind others."""
    DUPLICATE = "duplicate"
    """The message comes twice."""
    REORDER = "reorder"
    """The message comes behind the next one."""
    LOSE_MESSAGE = "lose_message"
    """The message never comes."""
    MALFORMED = "malformed"
    """Bytes that mean nothing come before the message."""
    OVERSIZED = "oversized"
    """A message larger than any client should take comes before the message."""
    DISCONNECT = "disconnect"
    """Every stream is cut."""
    HALF_OPEN = "half_open"
    """Every stream falls silent and answers nothing, without being closed."""
    CLOCK_STEP = "clock_step"
    """The venue's clock is set forward (backward when negative) by `ms`."""
    RESTART = "restart"
    """The venue goes down, its orders with it, and is back after `ms`."""


_POINTS: Mapping[FaultKind, FaultPoint] = {
    FaultKind.LOSE_REQUEST: FaultPoint.REQUEST,
    FaultKind.SERVER_ERROR: FaultPoint.REQUEST,
    FaultKind.RATE_LIMIT: FaultPoint.REQUEST,
    FaultKind.BAN: FaultPoint.REQUEST,
    FaultKind.LOSE_REPLY: FaultPoint.REPLY,
    FaultKind.DELAY: FaultPoint.REPLY,
    FaultKind.DELAY_MESSAGE: FaultPoint.MESSAGE,
    FaultKind.DUPLICATE: FaultPoint.MESSAGE,
    FaultKind.REORDER: FaultPoint.MESSAGE,
    FaultKind.LOSE_MESSAGE: FaultPoint.MESSAGE,
    FaultKind.MALFORMED: FaultPoint.MESSAGE,
    FaultKind.OVERSIZED: FaultPoint.MESSAGE,
    FaultKind.DISCONNECT: FaultPoint.AT_ONCE,
    FaultKind.HALF_OPEN: FaultPoint.AT_ONCE,
    FaultKind.CLOCK_STEP: FaultPoint.AT_ONCE,
    FaultKind.RESTART: FaultPoint.AT_ONCE,
}


class Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One fault to come. `on` is the beginning of the path or the name of the channel that it waits for; empty: any."""

    kind: FaultKind
    on: str = ""
    skip: Annotated[int, Meta(ge=0, description="how many that fit pass unharmed before it strikes")] = 0
    times: Annotated[int, Meta(ge=1, le=10000, description="how many it strikes in a row")] = 1
    ms: Annotated[int, Meta(ge=-3600000, le=3600000, description="how long, or how far, ms")] = 0

    @property
    def point(self) -> FaultPoint:
        return _POINTS[self.kind]


class Chance(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A fault that may strike whatever fits."""

    fault: Fault
    chance: Annotated[float, Meta(ge=0, le=1, description="that it strikes one that fits")]


class _Ordered:
    __slots__ = ("fault", "skip", "times")

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.skip = fault.skip
        self.times = fault.times


class WireFaults:
    """The faults to come. Those `AT_ONCE` are for the simulator to carry out when they are ordered, or, if left to
    chance, with the message that they struck."""

    def __init__(self, rng: Rng, chances: Sequence[Chance] = ()) -> None:
        self._rng = rng
        self._chances = tuple(chances)
        self._ordered: dict[FaultPoint, list[_Ordered]] = {point: [] for point in FaultPoint}
        self.struck: dict[FaultKind, int] = dict.fromkeys(FaultKind, 0)
        """How often each kind has struck."""

    def order(self, fault: Fault) -> None:
        self._ordered[fault.point].append(_Ordered(fault))

    def strike(self, point: FaultPoint, where: str) -> Fault | None:
        """What goes wrong here and now."""
        found = self._next_ordered(point, where)
        for each in self._chances:
            fits = _strikes_at(each.fault.kind) is point and where.startswith(each.fault.on)
            if fits and self._rng.uniform() < each.chance and found is None:
                found = each.fault
        if found is not None:
            self.struck[found.kind] += 1
        return found

    def _next_ordered(self, point: FaultPoint, where: str) -> Fault | None:
        waiting = self._ordered[point]
        for ordered in waiting:
            if not where.startswith(ordered.fault.on):
                continue
            if ordered.skip:
                ordered.skip -= 1
                continue
            ordered.times -= 1
            if not ordered.times:
                waiting.remove(ordered)
            return ordered.fault
        return None


def _strikes_at(kind: FaultKind) -> FaultPoint:
    point = _POINTS[kind]
    return FaultPoint.MESSAGE if point is FaultPoint.AT_ONCE else point
