"""Which released commands may share one message to a venue (EXECUTION 6).

The outbox counts what a batch costs and the gateway sends it: both ask here, so that what is counted is what is sent.
"""

from collections.abc import Callable, Sequence

from mm_daemon.domain.capabilities import CommandClass
from mm_daemon.domain.decisions import AmendOrder, ApprovedCommand, CancelAll, CancelOrder, Command, PlaceOrder
from mm_daemon.domain.instrument import InstrumentId
from mm_daemon.domain.orders import Purpose

FamilyOf = Callable[[InstrumentId], str]
"""The family of an instrument: contracts of different ones never share a batch."""


def command_class(command: Command) -> CommandClass:
    """The priority class a command leaves with."""
    if isinstance(command, PlaceOrder):
        return CommandClass.PLACE if command.purpose is Purpose.QUOTE else CommandClass.REDUCE
    if isinstance(command, AmendOrder):
        return CommandClass.AMEND
    return CommandClass.CANCEL if isinstance(command, CancelOrder) else CommandClass.CANCEL_ALL


class Batch:
    """The batch that grows at the end of a sequence of commands."""

    __slots__ = ("_batch_max", "_family_of", "_key", "size")

    def __init__(self, batch_max: int, family_of: FamilyOf) -> None:
        self._batch_max = batch_max
        self._family_of = family_of
        self._key: tuple[object, ...] | None = None
        self.size = 0
        """Commands in it."""

    def takes(self, command: Command) -> bool:
        """Whether this command may join: of one class and one family, makers and takers apart, and not too many."""
        return self._key is not None and self.size < self._batch_max and self._key_of(command) == self._key

    def add(self, command: Command) -> None:
        """The next command, in this batch if it takes it, else in a new one."""
        if self.takes(command):
            self.size += 1
        else:
            self._key, self.size = self._key_of(command), 1

    def _key_of(self, command: Command) -> tuple[object, ...] | None:
        if isinstance(command, CancelAll):
            return None  # always alone
        family = self._family_of(command.instrument)
        if isinstance(command, PlaceOrder):
            return command_class(command), family, command.post_only, command.time_in_force
        return type(command), family


def batches(
    commands: Sequence[ApprovedCommand], batch_max: int, family_of: FamilyOf = lambda instrument: ""
) -> list[list[ApprovedCommand]]:
    """Neighbours that may share a batch together, order kept; a `CancelAll` stands alone."""
    grouped: list[list[ApprovedCommand]] = []
    batch = Batch(batch_max, family_of)
    for approved in commands:
        joins = batch.takes(approved.command)
        batch.add(approved.command)
        if joins:
            grouped[-1].append(approved)
        else:
            grouped.append([approved])
    return grouped
