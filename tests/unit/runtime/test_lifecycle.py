"""Starting clean and stopping clean, on virtual time."""

import asyncio
import io

import pytest
from structlog.typing import FilteringBoundLogger

from mm_daemon.domain.capabilities import Capabilities, Validity
from mm_daemon.domain.errors import ReconciliationFailed, VenueUnreachable
from mm_daemon.domain.events import Event, OpenOrder, ShutdownRequested, VenueSnapshot, VenueSnapshotReceived
from mm_daemon.domain.instrument import Venue
from mm_daemon.domain.orders import ClientOrderId, Side
from mm_daemon.observability.logs import open_log
from mm_daemon.runtime.lifecycle import (
    StopRequest,
    clear_leftovers,
    keep_reconciled,
    load_instruments,
    outlast_forgotten,
    stop_cleanly,
)
from mm_daemon.testkit import builders
from mm_daemon.testkit.virtual_loop import VirtualLoop, run_virtual
from tests.unit.runtime.parts import BTC, VENUE, DiaryConnector


def showing(*client_ids: int | None) -> VenueSnapshot:
    """A venue's snapshot with one open order per id; None is somebody else's."""
    orders = tuple(
        OpenOrder(BTC, None if number is None else ClientOrderId(number), "v", Side.BUY, 100, 1)
        for number in client_ids
    )
    return VenueSnapshot(VENUE, 0, 0, orders, ())


class Book:
    """Stands for the core: stopped after some virtual seconds."""

    def __init__(self, loop: VirtualLoop, stops_after_s: float) -> None:
        self._loop = loop
        self._at_s = loop.time() + stops_after_s

    @property
    def stopped(self) -> bool:
        return self._loop.time() >= self._at_s


class Holding(DiaryConnector):
    """A venue that shows an order of ours until somebody cancels all."""

    async def snapshot(self, since_ns: int) -> VenueSnapshot:
        return showing() if "cancel_all" in self.diary else showing(7)


class Agreeing:
    """Stands for a core that agrees with its venue after some rounds, and has met it before."""

    def __init__(self, rounds: int = 0) -> None:
        self.rounds = rounds

    @property
    def reconciled(self) -> bool:
        return self.rounds <= 0

    def fills_since_ns(self, venue: Venue) -> int | None:
        return 77

    def take(self, event: Event) -> None:
        self.rounds -= 1


def quiet(loop: VirtualLoop) -> FilteringBoundLogger:
    return open_log(io.StringIO(), people=True, now_ns=loop.now_ns)


class Stop:
    """One stop: what it took and what it left."""

    def __init__(self, loop: VirtualLoop, connector: DiaryConnector, *, timeout_s: float = 10.0) -> None:
        self.loop = loop
        self.connector = connector
        self.events: list[Event] = []
        self.request = StopRequest(timeout_s)

    async def run(self, stops_after_s: float) -> bool:
        if not self.request.asked:
            self.request.ask("test")
        return await stop_cleanly(
            Book(self.loop, stops_after_s),
            {VENUE: self.connector},
            self.request,
            emit=self.events.append,
            now_ns=self.loop.now_ns,
            log=quiet(self.loop),
        )


def test_stop_is_clean_when_core_and_venue_agree() -> None:
    """The core is told to stop first; an empty venue confirms it, and no last resort is needed."""

    async def main(loop: VirtualLoop) -> None:
        stop = Stop(loop, DiaryConnector())
        started_s = loop.time()
        assert await stop.run(stops_after_s=0.1)
        assert loop.time() - started_s < 0.5
        assert [type(event) for event in stop.events] == [ShutdownRequested]
        assert stop.connector.diary == []

    run_virtual(main)


def test_order_still_at_the_venue_is_not_confirmed() -> None:
    """Our own belief is not enough: as long as the venue shows an order of ours the stop goes on, and cancels again."""

    async def main(loop: VirtualLoop) -> None:
        stop = Stop(loop, DiaryConnector())
        stop.connector.open_orders = [showing(7)] * 150
        assert await stop.run(stops_after_s=0.0)
        assert stop.connector.diary == ["cancel_all"]

    run_virtual(main)


def test_stop_gives_up_at_its_deadline() -> None:
    """Orders that do not die within the time are reported as not confirmed, after cancels that come ever sooner."""

    async def main(loop: VirtualLoop) -> None:
        stop = Stop(loop, DiaryConnector(), timeout_s=5.0)
        started_s = loop.time()
        assert not await stop.run(stops_after_s=1000.0)
        assert loop.time() - started_s == pytest.approx(5.0, abs=0.1)
        assert stop.connector.diary == ["cancel_all"] * 5  # with 3, 1.5, 0.75, 0.4 and 0.2 s left

    run_virtual(main)


@pytest.mark.parametrize(("timeout_s", "hurried"), [(0.5, False), (2.0, False), (60.0, True)])
def test_a_short_stop_cancels_again_before_it_gives_up(timeout_s: float, hurried: bool) -> None:
    """The first cancel overtook the order that it was for, and nothing but another one takes it away."""

    async def main(loop: VirtualLoop) -> None:
        stop = Stop(loop, Holding(), timeout_s=timeout_s)
        stop.request.ask("test")
        if hurried:
            stop.request.hurry("SIGINT")
        assert await stop.run(stops_after_s=0.0)
        assert stop.connector.diary == ["cancel_all"]

    run_virtual(main)


def test_second_signal_shortens_and_does_not_skip() -> None:
    """Asking twice leaves one second, in which cancelling and confirming still happen."""

    async def main(loop: VirtualLoop) -> None:
        stop = Stop(loop, DiaryConnector(), timeout_s=60.0)
        stop.request.hurry("SIGINT")
        stop.request.hurry("SIGINT")
        started_s = loop.time()
        assert not await stop.run(stops_after_s=1000.0)
        assert loop.time() - started_s == pytest.approx(1.0, abs=0.1)
        assert isinstance(stop.events[0], ShutdownRequested)

    run_virtual(main)


def test_orders_of_others_do_not_hold_up_a_stop() -> None:
    """An order that is not ours is left alone."""

    async def main(loop: VirtualLoop) -> None:
        stop = Stop(loop, DiaryConnector())
        stop.connector.open_orders = [showing(None)]
        assert await stop.run(stops_after_s=0.0)

    run_virtual(main)


def test_leftovers_of_an_earlier_run_are_cancelled_before_quoting() -> None:
    """Open orders of ours at the start are cancelled; the clean snapshot is what the core gets to see."""

    async def main(loop: VirtualLoop) -> None:
        connector = DiaryConnector()
        connector.open_orders = [showing(3, 4), showing(4)]
        events: list[Event] = []
        await clear_leftovers(Agreeing(), {VENUE: connector}, events.append, loop.now_ns)
        assert connector.diary == ["cancel_all", "cancel_all"]
        (received,) = events
        assert isinstance(received, VenueSnapshotReceived)
        assert received.snapshot.orders == ()
        assert received.snapshot.requested_ns == 77  # this venue echoes from when on fills were asked for

    run_virtual(main)


def test_leftovers_may_be_left_for_the_core_to_adopt() -> None:
    """Nothing is cancelled; the core is shown them."""

    async def main(loop: VirtualLoop) -> None:
        connector = DiaryConnector()
        connector.open_orders = [showing(3)]
        events: list[Event] = []
        await clear_leftovers(Agreeing(), {VENUE: connector}, events.append, loop.now_ns, adopt=True)
        assert connector.diary == []
        (received,) = events
        assert isinstance(received, VenueSnapshotReceived)
        assert [order.client_id for order in received.snapshot.orders] == [3]

    run_virtual(main)


class Ageing(DiaryConnector):
    """A venue whose time goes on, a block each half second, where a place that was sent before lands late."""

    def __init__(self, loop: VirtualLoop, lands_after_s: float) -> None:
        super().__init__()
        self._loop = loop
        self._begin_s = loop.time()
        self._lands_s = loop.time() + lands_after_s
        self._there = True

    async def cancel_all(self) -> None:
        await super().cancel_all()
        self._there = self._loop.time() < self._lands_s

    async def snapshot(self, since_ns: int) -> VenueSnapshot:
        now_s = self._loop.time()
        orders = showing(3).orders if self._there and now_s >= self._lands_s else ()
        height = 1000 + int((now_s - self._begin_s) * 2)
        return VenueSnapshot(VENUE, int(now_s * 1e9), since_ns, orders, (), height=height)


@pytest.mark.parametrize(
    ("validity", "least_s"),
    [(Validity.DELAY, 15.0), (Validity.EXPIRES_AT, 7.0), (Validity.NONCE, 7.0), (Validity.HEIGHT, 8.0)],
)
def test_what_a_power_cut_made_us_forget_is_outlasted(validity: Validity, least_s: float) -> None:
    """A place of the last second before a power cut lands after the restart: it is cancelled, and we go on only when
    nothing else can land, by the venue's own time.
    """

    async def main(loop: VirtualLoop) -> None:
        connector = Ageing(loop, lands_after_s=6.0)
        capabilities = Capabilities(validity=validity, d_max_ms=15_000, max_order_blocks=16)
        parameters = builders.core_parameters(capabilities=capabilities)
        begin_s = loop.time()
        await outlast_forgotten(parameters, {builders.VENUE: connector})
        assert least_s < loop.time() - begin_s < least_s + 1.5
        assert connector.diary == ["cancel_all"]

    run_virtual(main)


def test_a_venue_in_this_process_keeps_nobody_waiting() -> None:
    """It went down with us: nothing can be on its way to it."""

    async def main(loop: VirtualLoop) -> None:
        parameters = builders.core_parameters(capabilities=Capabilities(simulated=True))
        begin_s = loop.time()
        await outlast_forgotten(parameters, {builders.VENUE: DiaryConnector()})
        assert loop.time() == begin_s

    run_virtual(main)


def test_leftovers_that_will_not_go_keep_us_from_starting() -> None:
    """A venue that keeps showing orders of ours is a matter for a person."""

    async def main(loop: VirtualLoop) -> None:
        connector = DiaryConnector()
        connector.open_orders = [showing(3)] * 100
        with pytest.raises(ReconciliationFailed, match="earlier run"):
            await clear_leftovers(Agreeing(), {VENUE: connector}, lambda _event: None, loop.now_ns)

    run_virtual(main)


def test_a_link_that_fails_while_leftovers_are_cancelled_is_weather() -> None:
    """The venue went away between its snapshot and our cancel: that is no bug of ours, and may be tried again."""

    class Failing(DiaryConnector):
        async def cancel_all(self) -> None:
            raise ConnectionResetError("connection reset by peer")

    async def main(loop: VirtualLoop) -> None:
        connector = Failing()
        connector.open_orders = [showing(3)]
        with pytest.raises(VenueUnreachable, match="sim did not cancel what an earlier run left: connection reset"):
            await clear_leftovers(Agreeing(), {VENUE: connector}, lambda _event: None, loop.now_ns)

    run_virtual(main)


def test_venue_that_cannot_be_reached_is_named() -> None:
    """A refused connection at the start says which venue, and has the exit code for it."""

    class Unreachable(DiaryConnector):
        async def load_instruments(self) -> tuple[()]:
            raise ConnectionRefusedError("connection refused")

    async def main(_loop: VirtualLoop) -> None:
        with pytest.raises(VenueUnreachable, match="sim cannot be reached: connection refused") as caught:
            await load_instruments({VENUE: Unreachable()})
        assert caught.value.exit_code == 69

    run_virtual(main)


def test_a_core_that_disagrees_is_shown_the_account_every_second() -> None:
    """Once it agrees the rounds come every ten seconds."""

    seen_at: list[float] = []

    async def watched(loop: VirtualLoop) -> None:
        core = Agreeing(rounds=3)

        def emit(event: Event) -> None:
            seen_at.append(loop.time())
            core.take(event)

        with pytest.raises(TimeoutError):
            async with asyncio.timeout(25.0):
                await keep_reconciled(
                    core,
                    {VENUE: DiaryConnector()},
                    emit=emit,
                    now_ns=loop.now_ns,
                    interval_s=10.0,
                    start_timeout_s=60.0,
                    on_never=lambda: pytest.fail("it did agree"),
                    log=quiet(loop),
                )

    run_virtual(watched)
    assert [round(at) for at in seen_at] == [1, 2, 3, 13, 23]


def test_an_account_that_never_agrees_is_given_up_at_the_timeout() -> None:
    """The run is told once, after the time that the configuration leaves."""

    async def main(loop: VirtualLoop) -> None:
        given_up: list[float] = []
        await keep_reconciled(
            Agreeing(rounds=1 << 20),
            {VENUE: DiaryConnector()},
            emit=lambda _event: None,
            now_ns=loop.now_ns,
            interval_s=10.0,
            start_timeout_s=5.0,
            on_never=lambda: given_up.append(loop.time()),
            log=quiet(loop),
        )
        assert given_up == [pytest.approx(5.0, abs=0.1)]

    run_virtual(main)
