"""Paper execution around another connector's market data, on virtual time."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

import msgspec
import pytest

from connectors.paper.connector import PaperConnector
from connectors.shared.account_file import account_path, read_account
from mm_daemon.domain.capabilities import Bucket, BucketKind, Capabilities, CommandClass
from mm_daemon.domain.decisions import ApprovedCommand
from mm_daemon.domain.errors import ConfigError, JournalError
from mm_daemon.domain.events import (
    BalanceUpdate,
    Event,
    MarketEvent,
    OrderAccepted,
    OrderCanceled,
    OrderFilled,
    PublicTrade,
    VenueConnected,
    VenueSnapshot,
)
from mm_daemon.domain.instrument import Instrument, Venue
from mm_daemon.domain.orders import ClientOrderId, Side
from mm_daemon.ports.connector import ConnectorContext
from mm_daemon.runtime.clock import Clock
from mm_daemon.simulation.policy import VenuePolicy
from mm_daemon.simulation.venue import SimulatedVenue
from mm_daemon.testkit.builders import MS, SYMBOL, VENUE, delta, instrument, snapshot, trade
from mm_daemon.testkit.virtual_loop import VirtualLoop, run_virtual
from tests.approval import approved
from tests.simulated import Hand, cancel, place

REQUESTS = Bucket(name="orders", kind=BucketKind.WINDOW, capacity=300, period_ms=10_000, costs={CommandClass.PLACE: 1})
TAPE: tuple[MarketEvent, ...] = (
    snapshot(1, 1000, 1001, lots=100),
    delta(30, bids=((1000, 20),)),
    trade(50, Side.SELL, 1000, 24),
    trade(70, Side.SELL, 999, 3, trade_id=2),
    delta(90, asks=((1001, 50),), update_id=3),
)


class Tape:
    """A venue that plays a few events and must never see a command."""

    Settings: ClassVar[type[msgspec.Struct]] = VenuePolicy
    capabilities = Capabilities(batch_max=5, buckets=(REQUESTS,))

    def __init__(self, context: ConnectorContext, contract: Instrument) -> None:
        self._context = context
        self._contract = contract
        self.closed = False

    async def load_instruments(self) -> Sequence[Instrument]:
        return [self._contract]

    async def run(self) -> None:
        now_ns = self._context.now_ns()
        self._context.emit(VenueConnected(self._context.venue, now_ns, now_ns))
        self._context.emit(BalanceUpdate(self._context.venue, now_ns, now_ns, "USDT", (5, 0)))
        for event in TAPE:
            await asyncio.sleep(self._context.delay_s(event.ts_local_ns))
            self._context.emit(event)

    async def send(self, commands: Sequence[ApprovedCommand]) -> None:
        raise AssertionError("a paper order left the process")

    async def snapshot(self, since_ns: int) -> VenueSnapshot:
        raise AssertionError("the real account was asked")

    async def query_order(self, client_id: ClientOrderId) -> None:
        raise AssertionError("the real account was asked")

    async def arm_dead_man(self, deadline_ns: int | None) -> None:
        raise AssertionError("the real account was touched")

    async def cancel_all(self) -> None:
        raise AssertionError("the real account was touched")

    async def close(self) -> None:
        self.closed = True


def _paper(
    emit: Callable[[Event], None],
    clock: VirtualLoop | Clock,
    *,
    venue: str = VENUE,
    state_dir: Path | None = None,
) -> tuple[PaperConnector, Tape]:
    context = ConnectorContext(
        venue=Venue(VENUE),
        symbols=("BTC-USDT",),
        emit=emit,
        now_ns=clock.now_ns,
        delay_s=clock.delay_s,
        state_dir=state_dir,
    )
    around: list[PaperConnector] = []

    def relay(event: Event) -> None:
        around[0].receive(event)

    inner_context = msgspec.structs.replace(context, emit=relay)
    tape = Tape(inner_context, instrument(venue=venue))
    around.append(PaperConnector(context, VenuePolicy(feed_floor_ms=0.0), tape))
    return around[0], tape


def test_paper_orders_fill_exactly_as_in_a_backtest() -> None:
    """The same market and the same commands give the same events in the same order, timers or none."""
    said: list[Event] = []

    async def main(loop: VirtualLoop) -> int:
        paper, _ = _paper(said.append, loop)
        await paper.load_instruments()
        running = asyncio.create_task(paper.run())
        await asyncio.sleep(0.010)
        sent_ns = loop.now_ns()
        await paper.send([approved(place(1, Side.BUY, 1000, 10))])
        await running
        await asyncio.sleep(0.1)
        await paper.close()
        return sent_ns

    sent_ns = run_virtual(main, start_ns=0)
    hand = Hand(SimulatedVenue(VENUE, [instrument()], VenuePolicy(feed_floor_ms=0.0)))
    hand.market(TAPE[0])
    hand.send(sent_ns / 1e6, place(1, Side.BUY, 1000, 10))
    hand.market(*TAPE[1:])
    hand.until(200)
    ours = [event for event in said if isinstance(event, OrderAccepted | OrderFilled)]
    assert ours == hand.said
    assert [fill.lots for fill in hand.of(OrderFilled)] == [4, 3]
    times = [event.ts_local_ns for event in said]
    assert times == sorted(times)
    assert [event for event in said if isinstance(event, PublicTrade)] == [TAPE[2], TAPE[3]]


def test_latencies_keep_their_length_at_forty_times_the_speed() -> None:
    """On a clock that runs ahead of the loop an answer comes when its own time has come, not forty times later."""
    late_ns: list[int] = []

    async def main(loop: VirtualLoop) -> None:
        clock = Clock(wall_ns=loop.now_ns, monotonic_ns=loop.now_ns)
        clock.move_to(0, speed=40.0)

        def emit(event: Event) -> None:
            if isinstance(event, OrderAccepted):
                late_ns.append(clock.now_ns() - event.ts_local_ns)

        paper, _ = _paper(emit, clock)
        await paper.load_instruments()
        await paper.run()
        await paper.send([approved(place(1, Side.BUY, 990, 10))])
        await asyncio.sleep(1)
        await paper.close()

    run_virtual(main, start_ns=0)
    assert len(late_ns) == 1
    assert 0 <= late_ns[0] < 1000


def test_a_late_timer_overtakes_no_recording() -> None:
    """After a stall the recording's events until a deadline come before what the venue does at it, and what is due
    later waits for its own deadline.
    """
    asked: list[int] = []
    said: list[Event] = []

    async def main(loop: VirtualLoop) -> None:
        paper, tape = _paper(said.append, loop)
        tape.catch_up = asked.append  # type: ignore[attr-defined]
        await paper.load_instruments()
        await paper.run()
        began_ns = loop.now_ns()
        for number, late_ms in ((1, 0), (2, 3)):
            loop.elapsed_ns += late_ms * MS
            await paper.send([approved(place(number, Side.BUY, 990, 10))])
        loop.elapsed_ns += 500 * MS
        await asyncio.sleep(0.1)
        assert asked == [began_ns + 10 * MS, began_ns + 13 * MS]
        await paper.close()

    run_virtual(main, start_ns=0)
    accepted = [event for event in said if isinstance(event, OrderAccepted)]
    assert [event.ts_local_ns for event in accepted] == asked


def test_real_account_is_neither_touched_nor_told() -> None:
    """Balances of a real account stay outside; link events pass."""
    said: list[Event] = []

    async def main(loop: VirtualLoop) -> int:
        paper, tape = _paper(said.append, loop)
        await paper.load_instruments()
        await paper.arm_dead_man(None)
        await paper.run()
        await paper.close()
        assert tape.closed
        inner: object = paper.inner
        assert inner is tape
        return paper.withheld

    assert run_virtual(main, start_ns=0) == 1
    assert sum(isinstance(event, VenueConnected) for event in said) == 1
    assert not any(isinstance(event, BalanceUpdate) for event in said)


def test_commands_are_answered_after_the_feed_has_ended() -> None:
    """A stop confirms that nothing is open, though `run` is over."""
    said: list[Event] = []

    async def main(loop: VirtualLoop) -> None:
        paper, _ = _paper(said.append, loop)
        await paper.load_instruments()
        await paper.run()
        await paper.send([approved(place(1, Side.BUY, 990, 10)), approved(place(2, Side.SELL, 1001, 10))])
        await asyncio.sleep(0.1)
        assert len((await paper.snapshot(0)).orders) == 2
        await paper.send([approved(cancel(1))])
        await paper.query_order(ClientOrderId(2))
        await paper.cancel_all()
        await asyncio.sleep(0.1)
        assert (await paper.snapshot(0)).orders == ()
        await paper.close()

    run_virtual(main, start_ns=0)
    assert [event.client_id for event in said if isinstance(event, OrderCanceled)] == [1, 2]


def test_paper_paces_as_the_real_venue_does() -> None:
    """Batch size and budgets are the real venue's, execution is ours."""
    said: list[Event] = []

    async def main(loop: VirtualLoop) -> Capabilities:
        return _paper(said.append, loop)[0].capabilities

    can = run_virtual(main)
    assert (can.simulated, can.batch_max, can.buckets) == (True, 5, (REQUESTS,))


def test_instrument_of_another_venue_is_refused() -> None:
    """A wrong name would let orders and market data miss each other."""

    async def main(loop: VirtualLoop) -> None:
        await _paper(lambda event: None, loop, venue="other")[0].load_instruments()

    with pytest.raises(ConfigError, match="does not belong to venue test"):
        run_virtual(main)


def test_tape_is_about_the_symbol_that_is_traded() -> None:
    """Guards the builders: all events carry the test's own instrument and increasing times."""
    assert {event.instrument for event in TAPE} == {SYMBOL}
    assert [event.ts_local_ns for event in TAPE] == sorted(event.ts_local_ns for event in TAPE)
    assert TAPE[0].ts_local_ns == MS


def test_paper_account_outlives_the_process(tmp_path: Path) -> None:
    """A second life of the same recording meets the position and the fills of the first, and no open order."""
    said: list[Event] = []

    async def main(loop: VirtualLoop) -> None:
        for first_id in (1, 2):
            paper, _ = _paper(said.append, loop, state_dir=tmp_path)
            await paper.load_instruments()
            seen = await paper.snapshot(0)
            assert (seen.orders, len(seen.fills)) == ((), 2 * (first_id - 1))
            assert dict(seen.positions)[SYMBOL] == 7 * (first_id - 1)
            running = asyncio.create_task(paper.run())
            await asyncio.sleep(0.010)
            await paper.send([approved(place(first_id, Side.BUY, 1000, 10))])
            await running
            await asyncio.sleep(0.1)
            assert len((await paper.snapshot(0)).orders) == 1
            loop.elapsed_ns = 0  # killed; the recording is played again from its beginning

    run_virtual(main, start_ns=0)
    fills = [event for event in said if isinstance(event, OrderFilled)]
    history = read_account(account_path(tmp_path, Venue(VENUE)))
    assert [trade.fill for trade in history.trades] == fills
    assert len({fill.fill_key for fill in fills}) == 4
    assert history.lots(SYMBOL) == 14


def test_fill_that_cannot_be_kept_is_not_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the file fails nothing goes out any more, neither then nor at any later call."""
    said: list[Event] = []

    def full(fd: int, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    async def main(loop: VirtualLoop) -> None:
        paper, _ = _paper(said.append, loop, state_dir=tmp_path)
        await paper.load_instruments()
        running = asyncio.create_task(paper.run())
        await asyncio.sleep(0.010)
        monkeypatch.setattr("connectors.shared.account_file._write_all", full)
        await paper.send([approved(place(1, Side.BUY, 1000, 10))])
        with pytest.raises(JournalError, match=r"venue-test\.account cannot be written: No space left"):
            await running
        with pytest.raises(JournalError):
            await paper.cancel_all()

    run_virtual(main, start_ns=0)
    assert not [event for event in said if isinstance(event, OrderAccepted | OrderFilled)]
