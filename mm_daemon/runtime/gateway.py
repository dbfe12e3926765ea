"""The order gateway: carries what the core released to the venues, in order, and never holds up the core.

Two tasks per real venue take commands from its two lanes and await the connector, so that a placement without an answer
does not hold up a cancel (R4), and a third asks its questions; a simulated venue is in this process and is called at
once. What a connector cannot answer for (an exception, a timeout) becomes `CommandOutcomeUnknown`: it is never guessed
into accepted or refused and never sent again. The queues need no bound of their own: a slot has one command in flight
at most, the outbox paces the rest, and an order waits to be asked about once at most.

A cancel never overtakes what is still queued here, because then it would find nothing and its order would come after
it: it waits in the same lane, and a `CancelAll` is sent twice, at once and behind the queue. One whose order is on the
wire gives it `OVERTAKE_S` to arrive.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from mm_daemon.core.batching import FamilyOf, batches
from mm_daemon.domain.decisions import OPERATIONS, ApprovedCommand, CancelAll, CancelOrder, OrderCommand, OrderQuery
from mm_daemon.domain.errors import CoreError
from mm_daemon.domain.events import CommandOutcomeUnknown, CommandSent, Event
from mm_daemon.domain.instrument import Venue, venue_of
from mm_daemon.domain.orders import ClientOrderId, Operation
from mm_daemon.ports.connector import Connector

_FIRST_PAUSE_S = 0.01
_LONGEST_PAUSE_S = 1.0
_MOST_DOUBLINGS = 10


OVERTAKE_S = 0.5
"""How long a cancel waits for the answer of a command of the same order that is on the wire."""


class _Lane:
    """Batches that wait for one venue, and the orders of the one that is on the wire."""

    def __init__(self) -> None:
        self.queue: deque[list[ApprovedCommand]] = deque()
        self.filled = asyncio.Event()
        self.on_the_wire: frozenset[ClientOrderId] = frozenset()
        self.idle = asyncio.Event()
        self.idle.set()

    def put(self, batch: list[ApprovedCommand]) -> None:
        self.queue.append(batch)
        self.filled.set()

    def holds_any(self, orders: frozenset[ClientOrderId]) -> bool:
        return any(not orders.isdisjoint(_orders_of(batch)) for batch in self.queue)


class OrderGateway:
    """Called by the core loop (`carry`, `ask`); `serve`, `serve_cancels` and `serve_queries` are children of the
    supervisor.
    """

    def __init__(
        self,
        connectors: Mapping[Venue, Connector],
        *,
        emit: Callable[[Event], None],
        now_ns: Callable[[], int],
        report: Callable[[Venue, str], None],
        family_of: FamilyOf = lambda instrument: "",
    ) -> None:
        """`report` hears about a venue's trouble in words for the log; `family_of` an instrument, as its outbox has
        it.
        """
        self._connectors = connectors
        self._emit = emit
        self._now_ns = now_ns
        self._report = report
        self._family_of = family_of
        real = [venue for venue, connector in connectors.items() if not connector.capabilities.simulated]
        self._orders = {venue: _Lane() for venue in real}
        self._cancels = {venue: _Lane() for venue in real}
        self._questions: dict[Venue, dict[ClientOrderId, None]] = {venue: {} for venue in real}
        self._asked: dict[Venue, asyncio.Event] = {venue: asyncio.Event() for venue in real}
        self._failures: dict[Venue, int] = {}
        """Batches that failed in a row."""

    @property
    def real_venues(self) -> tuple[Venue, ...]:
        """The venues that need a `serve` and a `serve_cancels` task."""
        return tuple(self._orders)

    def carry(self, released: Sequence[ApprovedCommand]) -> None:
        """Take over a turn's released commands. Returns at once."""
        for venue, commands in _by_venue(released).items():
            connector = self._connectors[venue]
            if venue not in self._orders:
                self._hand_over_now(connector, commands)
                continue
            # What the outbox has counted as one message stays one.
            for batch in batches(commands, connector.capabilities.batch_max, self._family_of):
                self._put(venue, batch)

    def _put(self, venue: Venue, batch: list[ApprovedCommand]) -> None:
        orders, cancels = self._orders[venue], self._cancels[venue]
        first = batch[0].command
        if isinstance(first, CancelAll):
            cancels.put(batch)
            if orders.queue or orders.on_the_wire:
                orders.put(batch)
        elif isinstance(first, CancelOrder) and not orders.holds_any(_orders_of(batch)):
            cancels.put(batch)
        else:
            orders.put(batch)

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
                    self._report(venue, f"order {client_id} cannot be asked about: {_in_words(error)}")

    async def serve(self, venue: Venue) -> None:
        """Carry one venue's places and amends until cancelled."""
        await self._serve(venue, self._orders[venue], None)

    async def serve_cancels(self, venue: Venue) -> None:
        """Carry one venue's cancels until cancelled."""
        await self._serve(venue, self._cancels[venue], self._orders[venue])

    async def _serve(self, venue: Venue, lane: _Lane, other: _Lane | None) -> None:
        """`other`: the lane whose commands on the wire are given time to arrive."""
        connector = self._connectors[venue]
        while True:
            await lane.filled.wait()
            lane.filled.clear()
            while lane.queue:
                batch = lane.queue.popleft()
                lane.on_the_wire = _orders_of(batch)
                if other is not None:
                    await _let_arrive(other, lane.on_the_wire)
                lane.idle.clear()
                try:
                    carried = await self._send(venue, connector, batch)
                finally:
                    lane.on_the_wire = frozenset()
                    lane.idle.set()
                if carried:
                    self._failures.pop(venue, None)
                else:
                    await self._breathe(venue)

    async def _send(self, venue: Venue, connector: Connector, batch: Sequence[ApprovedCommand]) -> bool:
        """Whether the connector took it."""
        self._tell(
            batch, lambda order, operation, now: CommandSent(order.instrument, 0, now, order.client_id, operation)
        )
        try:
            async with asyncio.timeout(connector.capabilities.ack_timeout_ms / 1000):
                await _carried(connector, batch)
        except Exception as error:  # the edge of a venue: whatever went wrong, the outcome is not known
            text = _in_words(error)
            self._report(venue, f"{len(batch)} command(s) with unknown outcome: {text}")
            self._tell(
                batch,
                lambda order, operation, now: CommandOutcomeUnknown(
                    order.instrument, 0, now, order.client_id, operation, text
                ),
            )
            return False
        return True

    async def _breathe(self, venue: Venue) -> None:
        """What failed at once may be asked for again at once: without a pause a dead link would keep the core turning
        and fill the journal. It doubles from 10 ms to a second until something gets through.
        """
        failures = self._failures[venue] = self._failures.get(venue, 0) + 1
        await asyncio.sleep(min(_FIRST_PAUSE_S * 2.0 ** min(failures - 1, _MOST_DOUBLINGS), _LONGEST_PAUSE_S))

    def _tell(
        self,
        batch: Sequence[ApprovedCommand],
        event: Callable[[OrderCommand, Operation, int], Event],
    ) -> None:
        now_ns = self._now_ns()
        for approved in batch:
            command = approved.command
            if not isinstance(command, CancelAll):
                self._emit(event(command, OPERATIONS[type(command)], now_ns))

    def _hand_over_now(self, connector: Connector, commands: Sequence[ApprovedCommand]) -> None:
        for batch in batches(commands, len(commands)):
            _finish_at_once(_carried(connector, batch))


async def _let_arrive(lane: _Lane, orders: frozenset[ClientOrderId]) -> None:
    """Two requests on two connections may change places: a cancel lets its own order go first, within reason."""
    if not orders.isdisjoint(lane.on_the_wire):
        try:
            async with asyncio.timeout(OVERTAKE_S):
                await lane.idle.wait()
        except TimeoutError:
            return  # the answer is lost or late: a cancel is the best that can be done


def _orders_of(batch: Sequence[ApprovedCommand]) -> frozenset[ClientOrderId]:
    """The orders that a batch names; a `CancelAll` names none."""
    commands = [approved.command for approved in batch]
    return frozenset(command.client_id for command in commands if not isinstance(command, CancelAll))


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


def _in_words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _finish_at_once(step: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine that must not wait. Raises CoreError when it does."""
    try:
        step.send(None)
    except StopIteration:
        return
    step.close()
    raise CoreError("a connector that says it is simulated waited in send: its venue must be in this process")
