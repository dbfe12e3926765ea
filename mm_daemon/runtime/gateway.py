"""The order gateway: carries what the core released to the venues, in order, and never holds up the core.

One task per real venue takes commands from a queue and awaits the connector, another one its queries, so that no
question holds up a cancel; a simulated venue is in this process and is called at once. What a connector cannot answer
for (an exception, a timeout) becomes `CommandOutcomeUnknown`: it is never guessed into accepted or refused and never
sent again. The queues need no bound of their own: a slot has one command in flight at most, and the outbox paces the
rest; an order waits to be asked about once at most.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from mm_daemon.domain.decisions import (
    AmendOrder,
    ApprovedCommand,
    CancelAll,
    CancelOrder,
    Command,
    OrderQuery,
    PlaceOrder,
)
from mm_daemon.domain.errors import CoreError
from mm_daemon.domain.events import CommandOutcomeUnknown, CommandSent, Event
from mm_daemon.domain.instrument import Venue, venue_of
from mm_daemon.domain.orders import ClientOrderId, Operation
from mm_daemon.ports.connector import Connector

_OPERATIONS: dict[type[Command], Operation] = {
    PlaceOrder: Operation.PLACE,
    AmendOrder: Operation.AMEND,
    CancelOrder: Operation.CANCEL,
}


class OrderGateway:
    """Called by the core loop (`carry`, `ask`); its `serve` and `serve_queries` coroutines are children of the
    supervisor.
    """

    def __init__(
        self,
        connectors: Mapping[Venue, Connector],
        *,
        emit: Callable[[Event], None],
        now_ns: Callable[[], int],
        report: Callable[[Venue, str], None],
    ) -> None:
        """`report` hears about a venue's trouble in words for the log."""
        self._connectors = connectors
        self._emit = emit
        self._now_ns = now_ns
        self._report = report
        self._queues: dict[Venue, deque[ApprovedCommand]] = {
            venue: deque() for venue, connector in connectors.items() if not connector.capabilities.simulated
        }
        self._waiting: dict[Venue, asyncio.Event] = {venue: asyncio.Event() for venue in self._queues}
        self._questions: dict[Venue, dict[ClientOrderId, None]] = {venue: {} for venue in self._queues}
        self._asked: dict[Venue, asyncio.Event] = {venue: asyncio.Event() for venue in self._queues}

    @property
    def real_venues(self) -> tuple[Venue, ...]:
        """The venues that need a `serve` task."""
        return tuple(self._queues)

    def carry(self, released: Sequence[ApprovedCommand]) -> None:
        """Take over a turn's released commands. Returns at once."""
        for venue, commands in _by_venue(released).items():
            queue = self._queues.get(venue)
            if queue is None:
                self._hand_over_now(self._connectors[venue], commands)
            else:
                queue.extend(commands)
                self._waiting[venue].set()

    def ask(self, queries: Sequence[OrderQuery]) -> None:
        """Take over a turn's queries; one about an order that already waits is the same question. Returns at once."""
        for query in queries:
            venue = venue_of(query.instrument)
            questions = self._questions.get(venue)
            if questions is None:
                _finish_at_once(self._connectors[venue].query_order(query.client_id))
            else:
                questions[query.client_id] = None
                self._asked[venue].set()

    async def serve_queries(self, venue: Venue) -> None:
        """Ask one venue's questions until cancelled. One that gets no answer is not repeated: the core asks again."""
        questions, asked, connector = self._questions[venue], self._asked[venue], self._connectors[venue]
        while True:
            await asked.wait()
            asked.clear()
            while questions:
                client_id = next(iter(questions))
                del questions[client_id]
                try:
                    async with asyncio.timeout(connector.capabilities.ack_timeout_ms / 1000):
                        await connector.query_order(client_id)
                except Exception as error:  # the edge of a venue: not knowing is what we started from
                    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
                    self._report(venue, f"order {client_id} cannot be asked about: {text}")

    async def serve(self, venue: Venue) -> None:
        """Carry one venue's commands until cancelled."""
        queue, waiting, connector = self._queues[venue], self._waiting[venue], self._connectors[venue]
        while True:
            await waiting.wait()
            waiting.clear()
            while queue:
                commands = tuple(queue)
                queue.clear()
                for batch in batches(commands, connector.capabilities.batch_max):
                    await self._send(venue, connector, batch)

    async def _send(self, venue: Venue, connector: Connector, batch: Sequence[ApprovedCommand]) -> None:
        self._tell(
            batch, lambda order, operation, now: CommandSent(order.instrument, 0, now, order.client_id, operation)
        )
        try:
            async with asyncio.timeout(connector.capabilities.ack_timeout_ms / 1000):
                await _carried(connector, batch)
        except Exception as error:  # the edge of a venue: whatever went wrong, the outcome is not known
            text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            self._report(venue, f"{len(batch)} command(s) with unknown outcome: {text}")
            self._tell(
                batch,
                lambda order, operation, now: CommandOutcomeUnknown(
                    order.instrument, 0, now, order.client_id, operation, text
                ),
            )

    def _tell(
        self,
        batch: Sequence[ApprovedCommand],
        event: Callable[[PlaceOrder | AmendOrder | CancelOrder, Operation, int], Event],
    ) -> None:
        now_ns = self._now_ns()
        for approved in batch:
            command = approved.command
            if not isinstance(command, CancelAll):
                self._emit(event(command, _OPERATIONS[type(command)], now_ns))

    def _hand_over_now(self, connector: Connector, commands: Sequence[ApprovedCommand]) -> None:
        for batch in batches(commands, len(commands)):
            _finish_at_once(_carried(connector, batch))


def batches(commands: Sequence[ApprovedCommand], batch_max: int) -> list[list[ApprovedCommand]]:
    """Neighbours of one kind together, at most `batch_max`, order kept; a `CancelAll` stands alone (EXECUTION 6)."""
    grouped: list[list[ApprovedCommand]] = []
    for approved in commands:
        kind = type(approved.command)
        last = grouped[-1] if grouped else None
        if last is not None and type(last[0].command) is kind and kind is not CancelAll and len(last) < batch_max:
            last.append(approved)
        else:
            grouped.append([approved])
    return grouped


async def _carried(connector: Connector, batch: Sequence[ApprovedCommand]) -> None:
    if isinstance(batch[0].command, CancelAll):
        await connector.cancel_all()
    else:
        await connector.send(batch)


def _by_venue(released: Sequence[ApprovedCommand]) -> dict[Venue, list[ApprovedCommand]]:
    commands: dict[Venue, list[ApprovedCommand]] = {}
    for approved in released:
        command = approved.command
        venue = command.venue if isinstance(command, CancelAll) else venue_of(command.instrument)
        commands.setdefault(venue, []).append(approved)
    return commands


def _finish_at_once(step: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine that must not wait. Raises CoreError when it does."""
    try:
        step.send(None)
    except StopIteration:
        return
    step.close()
    raise CoreError("a connector that says it is simulated waited in send: its venue must be in this process")
