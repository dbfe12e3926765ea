"""Commands on their way to a venue."""

import asyncio
import itertools
from collections.abc import Sequence
from typing import Any

import pytest

from mm_daemon.core.batching import batches
from mm_daemon.domain.decisions import ApprovedCommand, OrderQuery, PlaceOrder
from mm_daemon.domain.errors import CoreError
from mm_daemon.domain.events import CommandOutcomeUnknown, CommandSent, Event
from mm_daemon.domain.orders import ClientOrderId, Operation
from mm_daemon.runtime.gateway import OVERTAKE_S, OrderGateway
from mm_daemon.testkit.virtual_loop import VirtualLoop, run_virtual
from tests.unit.runtime.parts import BTC, VENUE, DiaryConnector, cancel, cancel_all, place, released


class Desk:
    """A gateway over one diary connector, and what it emitted and reported."""

    def __init__(self, connector: DiaryConnector, loop: VirtualLoop) -> None:
        self.events: list[Event] = []
        self.reports: list[str] = []
        self.gateway = OrderGateway(
            {VENUE: connector},
            emit=self.events.append,
            now_ns=loop.now_ns,
            report=lambda _venue, text: self.reports.append(text),
        )

    async def serve_for(self, seconds: float) -> None:
        lanes = (self.gateway.serve, self.gateway.serve_cancels, self.gateway.serve_queries)
        tasks = [asyncio.ensure_future(lane(venue)) for venue in self.gateway.real_venues for lane in lanes]
        await asyncio.sleep(seconds)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def said(self) -> list[tuple[type, int, Operation]]:
        return [
            (type(event), event.client_id, event.operation)
            for event in self.events
            if isinstance(event, CommandSent | CommandOutcomeUnknown)
        ]


def test_batches_keep_order_and_kind() -> None:
    """Neighbours of one kind share a batch up to the venue's maximum; cancel-all stands alone."""
    commands = released(cancel(1), cancel(2), cancel(3), cancel_all(), place(4), place(5))
    grouped = [[approved.command for approved in batch] for batch in batches(commands, 2)]
    assert grouped == [[cancel(1), cancel(2)], [cancel(3)], [cancel_all()], [place(4), place(5)]]


def test_simulated_venue_is_called_at_once() -> None:
    """A venue in this process has the commands before `carry` returns, and no `CommandSent` is invented for it."""

    async def main(loop: VirtualLoop) -> None:
        connector = DiaryConnector(simulated=True)
        desk = Desk(connector, loop)
        desk.gateway.carry(released(place(1), place(2), cancel_all()))
        assert connector.diary == [[place(1), place(2)], "cancel_all"]
        assert desk.events == []
        assert desk.gateway.real_venues == ()

    run_virtual(main)


def test_simulated_venue_that_waits_is_a_bug() -> None:
    """A connector that claims to be simulated but awaits something is refused loudly."""

    async def main(loop: VirtualLoop) -> None:
        desk = Desk(DiaryConnector(simulated=True, send_s=0.1), loop)
        with pytest.raises(CoreError, match="waited in send"):
            desk.gateway.carry(released(place(1)))

    run_virtual(main)


def test_real_venue_does_not_hold_up_the_caller() -> None:
    """`carry` returns before a slow venue has taken anything; order is kept and each command is said to be sent."""

    async def main(loop: VirtualLoop) -> None:
        connector = DiaryConnector(send_s=0.5)
        desk = Desk(connector, loop)
        desk.gateway.carry(released(place(1)))
        desk.gateway.carry(released(cancel(2)))
        assert connector.diary == []
        await desk.serve_for(2.0)
        assert connector.diary == [[place(1)], [cancel(2)]]
        assert desk.said() == [(CommandSent, 1, Operation.PLACE), (CommandSent, 2, Operation.CANCEL)]

    run_virtual(main)


class StuckVenue(DiaryConnector):
    """Takes placements and answers them after `stuck_s`; everything else at once. `entries` have the times."""

    def __init__(self, loop: VirtualLoop, stuck_s: float) -> None:
        super().__init__()
        self._loop = loop
        self._stuck_s = stuck_s
        self.entries: list[tuple[Any, ...]] = []

    async def send(self, commands: Sequence[ApprovedCommand]) -> None:
        self.entries.append((self._loop.time(), *(approved.command for approved in commands)))
        if isinstance(commands[0].command, PlaceOrder):
            await asyncio.sleep(self._stuck_s)

    async def cancel_all(self) -> None:
        self.entries.append((self._loop.time(), "cancel_all"))


def test_placement_without_an_answer_holds_up_no_cancel() -> None:
    """A cancel of another order leaves at once; one of the same order lets it go first, for half a second."""

    async def main(loop: VirtualLoop) -> None:
        connector = StuckVenue(loop, 2.9)
        desk = Desk(connector, loop)
        serving = asyncio.ensure_future(desk.serve_for(5.0))
        desk.gateway.carry(released(place(1)))
        await asyncio.sleep(0.1)
        desk.gateway.carry(released(cancel(7)))
        desk.gateway.carry(released(cancel(1)))
        await serving
        assert [entry[1:] for entry in connector.entries] == [(place(1),), (cancel(7),), (cancel(1),)]
        assert [round(entry[0], 3) for entry in connector.entries] == [0.0, 0.1, 0.1 + OVERTAKE_S]

    run_virtual(main)


def test_cancel_goes_behind_the_placement_that_is_still_queued() -> None:
    """It would find nothing if it went first. A cancel-all goes first and last."""

    async def main(loop: VirtualLoop) -> None:
        connector = StuckVenue(loop, 1.0)
        desk = Desk(connector, loop)
        serving = asyncio.ensure_future(desk.serve_for(5.0))
        desk.gateway.carry(released(place(1)))
        await asyncio.sleep(0.1)
        desk.gateway.carry(released(place(2), cancel(2), cancel_all()))
        await serving
        assert [entry[1:] for entry in connector.entries] == [
            (place(1),),
            ("cancel_all",),
            (place(2),),
            (cancel(2),),
            ("cancel_all",),
        ]

    run_virtual(main)


@pytest.mark.parametrize("trouble", ["exception", "timeout"])
def test_failed_send_leaves_the_outcome_unknown_and_is_not_repeated(trouble: str) -> None:
    """An exception or a timeout is neither an accept nor a refusal; the command goes out once."""

    async def main(loop: VirtualLoop) -> None:
        connector = DiaryConnector(batch_max=5, send_s=60.0 if trouble == "timeout" else 0.0)
        connector.fails_with = ConnectionResetError("peer went away")
        desk = Desk(connector, loop)
        desk.gateway.carry(released(place(1), place(2)))
        await desk.serve_for(10.0)
        assert desk.said() == [
            (CommandSent, 1, Operation.PLACE),
            (CommandSent, 2, Operation.PLACE),
            (CommandOutcomeUnknown, 1, Operation.PLACE),
            (CommandOutcomeUnknown, 2, Operation.PLACE),
        ]
        assert len(desk.reports) == 1
        assert connector.diary == []

    run_virtual(main)


def test_gateway_goes_on_after_a_failure() -> None:
    """One failed batch does not stop the cancels behind it."""

    async def main(loop: VirtualLoop) -> None:
        connector = DiaryConnector()
        desk = Desk(connector, loop)
        connector.fails_with = ConnectionResetError("peer went away")
        desk.gateway.carry(released(place(1)))
        await desk.serve_for(0.1)
        connector.fails_with = None
        desk.gateway.carry(released(cancel_all()))
        await desk.serve_for(0.1)
        assert connector.diary == ["cancel_all"]

    run_virtual(main)


def query(number: int) -> OrderQuery:
    return OrderQuery(BTC, ClientOrderId(number))


def test_queries_are_asked_in_order_and_each_once() -> None:
    """One about an order that waits already is the same question; a simulated venue is asked at once."""

    async def main(loop: VirtualLoop) -> None:
        connector = DiaryConnector()
        desk = Desk(connector, loop)
        desk.gateway.ask((query(1), query(2)))
        desk.gateway.ask((query(1),))
        await desk.serve_for(0.1)
        assert connector.diary == [("query", 1), ("query", 2)]
        simulated = DiaryConnector(simulated=True)
        Desk(simulated, loop).gateway.ask((query(3),))
        assert simulated.diary == [("query", 3)]

    run_virtual(main)


def test_a_query_that_fails_holds_up_nothing_and_is_reported() -> None:
    """The core asks again by itself; commands do not wait for answers."""

    async def main(loop: VirtualLoop) -> None:
        class Deaf(DiaryConnector):
            async def query_order(self, client_id: ClientOrderId) -> None:
                if client_id == 1:
                    await asyncio.sleep(60.0)
                await super().query_order(client_id)

        connector = Deaf()
        desk = Desk(connector, loop)
        desk.gateway.ask((query(1), query(2)))
        serving = asyncio.ensure_future(desk.serve_for(5.0))
        await asyncio.sleep(1.0)
        desk.gateway.carry(released(cancel(7)))
        await asyncio.sleep(0.1)
        assert connector.diary == [[cancel(7)]]
        await serving
        assert connector.diary == [[cancel(7)], ("query", 2)]
        assert desk.reports == ["order 1 cannot be asked about: TimeoutError"]


def test_a_link_that_fails_at_once_does_not_keep_the_core_turning() -> None:
    """Whoever asks again at every failure, as a core that wants its orders gone does, is answered ever more slowly,
    and at once again when the link is back.
    """

    async def main(loop: VirtualLoop) -> None:
        connector = DiaryConnector()
        connector.fails_with = ConnectionResetError("not connected")
        desk = Desk(connector, loop)
        failed_s: list[float] = []

        def ask_again(_venue: object, _text: str) -> None:
            failed_s.append(loop.time())
            desk.gateway.carry(released(cancel(1)))

        desk.gateway = OrderGateway({VENUE: connector}, emit=desk.events.append, now_ns=loop.now_ns, report=ask_again)
        desk.gateway.carry(released(cancel(1)))
        await desk.serve_for(10.0)
        assert 10 <= len(failed_s) <= 20
        pauses = [after - before for before, after in itertools.pairwise(failed_s)]
        assert pauses[0] < 0.02
        assert pauses == sorted(pauses)
        connector.fails_with = None
        await desk.serve_for(1.5)
        connector.fails_with = ConnectionResetError("not connected")
        failed_s.clear()
        desk.gateway.carry(released(cancel(1)))
        await desk.serve_for(0.05)
        assert len(failed_s) >= 2

    run_virtual(main)
