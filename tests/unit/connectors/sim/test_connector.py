"""The embedded market behind the connector port, on virtual time."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from connectors.shared.account_file import account_path, read_account
from connectors.sim.connector import SimConnector, SimSettings
from mm_daemon.domain.errors import ConfigError
from mm_daemon.domain.events import (
    BookDelta,
    BookSnapshot,
    Event,
    OrderAccepted,
    OrderCanceled,
    OrderFilled,
    OrderStatus,
    PublicTrade,
    VenueConnected,
)
from mm_daemon.domain.instrument import InstrumentId, Venue
from mm_daemon.domain.orders import ClientOrderId, Side
from mm_daemon.ports.connector import ConnectorContext, EmbeddedVenue
from mm_daemon.runtime.clock import Clock
from mm_daemon.simulation.symbols import SymbolSettings
from mm_daemon.testkit.builders import MS
from mm_daemon.testkit.virtual_loop import VirtualLoop, run_virtual
from tests.approval import approved
from tests.simulated import place

BTC = InstrumentId("sim:BTC-USDT")
STILL = Clock(wall_ns=lambda: 0, monotonic_ns=lambda: 0)


def _connector(
    emit: Callable[[Event], None],
    clock: VirtualLoop | Clock = STILL,
    settings: SimSettings | None = None,
    state_dir: Path | None = None,
) -> SimConnector:
    context = ConnectorContext(
        venue=Venue("sim"),
        symbols=("BTC-USDT", "ETH-USDT"),
        emit=emit,
        now_ns=clock.now_ns,
        delay_s=clock.delay_s,
        state_dir=state_dir,
    )
    return SimConnector(context, settings)


def test_run_connects_shows_every_book_and_lives() -> None:
    """Connected first, then a snapshot of both symbols at once, then updates and trades as time passes."""
    said: list[Event] = []

    async def main(loop: VirtualLoop) -> int:
        connector = _connector(said.append, loop)
        running = asyncio.create_task(connector.run())
        await asyncio.sleep(0)
        assert [type(event) for event in said] == [VenueConnected, BookSnapshot, BookSnapshot]
        await asyncio.sleep(10)
        running.cancel()
        await connector.close()
        return loop.now_ns()

    end_ns = run_virtual(main)
    assert sum(isinstance(event, BookDelta) for event in said) > 100
    assert sum(isinstance(event, PublicTrade) for event in said) > 20
    times = [event.ts_local_ns for event in said]
    assert times == sorted(times)
    assert times[-1] <= end_ns


def test_orders_are_answered_before_during_and_after_run() -> None:
    """A stop cancels and confirms after `run` has ended; only `close` ends the venue."""
    said: list[Event] = []

    async def main(loop: VirtualLoop) -> None:
        connector = _connector(said.append, loop)
        running = asyncio.create_task(connector.run())
        await asyncio.sleep(1)
        book = next(event for event in said if isinstance(event, BookSnapshot) and event.instrument == BTC)
        await connector.send([approved(place(1, Side.BUY, book.bids[0][0] - 5000, 10, symbol=BTC))])
        await asyncio.sleep(0.1)
        assert [order.client_id for order in (await connector.snapshot(0)).orders] == [1]
        await connector.query_order(ClientOrderId(1))
        running.cancel()
        await asyncio.sleep(0.1)
        await connector.cancel_all()
        await asyncio.sleep(0.1)
        assert (await connector.snapshot(0)).orders == ()
        await connector.close()
        told = len(said)
        await asyncio.sleep(5)
        assert len(said) == told

    run_virtual(main)
    ours = [type(event) for event in said if isinstance(event, OrderAccepted | OrderStatus | OrderCanceled)]
    assert ours == [OrderAccepted, OrderStatus, OrderCanceled]


def test_second_run_shows_whole_books_again() -> None:
    """After a restart of the task the core starts with fresh books."""
    said: list[Event] = []

    async def main(loop: VirtualLoop) -> None:
        connector = _connector(said.append, loop)
        for _ in range(2):
            running = asyncio.create_task(connector.run())
            await asyncio.sleep(1)
            running.cancel()
        await connector.close()

    run_virtual(main)
    connected = [n for n, event in enumerate(said) if isinstance(event, VenueConnected)]
    assert len(connected) == 2
    assert sum(isinstance(event, BookSnapshot) for event in said[connected[1] :]) == 2


def test_failure_of_the_venue_ends_run() -> None:
    """A bug inside a timer does not disappear in the loop: `run` raises it, and so does the next command."""
    seen = 0

    def emit(event: Event) -> None:
        nonlocal seen
        seen += 1
        if seen > 20:
            raise RuntimeError("inbox broken")

    async def main(loop: VirtualLoop) -> None:
        connector = _connector(emit, loop)
        with pytest.raises(RuntimeError, match="inbox broken"):
            await connector.run()
        with pytest.raises(RuntimeError, match="inbox broken"):
            await connector.send([approved(place(1, Side.BUY, 1, 10, symbol=BTC))])
        await connector.close()

    run_virtual(main)


def test_market_can_be_driven_without_a_loop() -> None:
    """Backtests take the machine itself; its instruments are the connector's."""
    connector = _connector(lambda event: None)
    assert isinstance(connector, EmbeddedVenue)
    assert [instrument.id for instrument in connector.instruments()] == ["sim:BTC-USDT", "sim:ETH-USDT"]
    venue = connector.virtual()
    assert [event.ts_local_ns for event in venue.advance(7 * MS)] == [7 * MS, 7 * MS]
    assert connector.capabilities.simulated


def test_settings_of_a_symbol_nobody_trades_are_refused() -> None:
    """A misspelt symbol would otherwise be silently ignored."""
    with pytest.raises(ConfigError, match="BTC-USD belongs to no market; there are BTC-USDT, ETH-USDT"):
        _connector(lambda event: None, settings=SimSettings(symbols={"BTC-USD": SymbolSettings()}))


def test_restart_meets_a_venue_that_remembers(tmp_path: Path) -> None:
    """Position, fills and the price are those of the life before; open orders and used ids are gone; time is new."""
    path = account_path(tmp_path, Venue("sim"))
    said: list[Event] = []
    kept: list[bool] = []

    def emit(event: Event) -> None:
        said.append(event)
        if isinstance(event, OrderFilled):
            kept.append(any(trade.fill == event for trade in read_account(path).trades))

    async def live(loop: VirtualLoop, first_id: int) -> tuple[SimConnector, int]:
        connector = _connector(emit, loop, state_dir=tmp_path)
        running = asyncio.create_task(connector.run())
        await asyncio.sleep(1)
        book = next(e for e in reversed(said) if isinstance(e, BookSnapshot) and e.instrument == BTC)
        taking = place(first_id, Side.BUY, book.asks[0][0] + 2000, 30, post_only=False, ioc=True, symbol=BTC)
        resting = place(first_id + 1, Side.BUY, book.bids[0][0] - 9000, 30, symbol=BTC)
        await connector.send([approved(taking), approved(resting)])
        await asyncio.sleep(3)
        running.cancel()
        return connector, book.bids[0][0] + book.asks[0][0]

    async def main(loop: VirtualLoop) -> None:
        first, _ = await live(loop, 1)
        before = await first.snapshot(0)
        assert len(before.orders) == 1
        mid = read_account(path).mids[BTC]
        first._pump.stop()  # sudden death: nothing is closed, nothing is said
        second, opened_at = await live(loop, 3)
        after = await second.snapshot(0)
        assert after.fills[: len(before.fills)] == before.fills
        assert len({fill.fill_key for fill in after.fills}) == len(after.fills) > len(before.fills)
        assert dict(after.positions)[BTC] == 60
        assert [order.client_id for order in after.orders] == [4]
        assert abs(opened_at / mid - 1) < 0.0005
        await second.close()
        assert read_account(path).lots(BTC) == 60

    run_virtual(main)
    assert kept
    assert all(kept)
    trades = [event.trade_id for event in said if isinstance(event, PublicTrade) and event.instrument == BTC]
    assert len(set(trades)) == len(trades)


def test_each_opening_lives_another_stretch_of_the_seed(tmp_path: Path) -> None:
    """A market that repeated itself at every start would teach nothing; without a memory it is the seed's own."""

    def sizes(state_dir: Path | None) -> list[int]:
        said: list[Event] = []

        async def main(loop: VirtualLoop) -> None:
            connector = _connector(said.append, loop, state_dir=state_dir)
            running = asyncio.create_task(connector.run())
            await asyncio.sleep(5)
            running.cancel()
            await connector.close()

        run_virtual(main)
        return [event.lots for event in said if isinstance(event, PublicTrade)]

    first, second = sizes(tmp_path), sizes(tmp_path)
    assert first == sizes(None)
    assert first != second
