"""What the neutral connector does about a venue's limits, bans, clock and silence, over real loopback sockets."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from connectors.shared.http import NeverLeft
from connectors.simulators.faults import FaultKind
from connectors.simulators.neutral.settings import NeutralVenueSettings
from mm_daemon.domain.errors import ConfigError
from mm_daemon.domain.events import (
    BookDelta,
    OrderCanceled,
    OrderFilled,
    OrderRejected,
    RateLimited,
    VenueConnected,
    VenueTime,
)
from mm_daemon.domain.orders import RejectKind, Side
from mm_daemon.runtime.clock import Clock
from mm_daemon.testkit.conformance import ConnectorUnderTest, Heard
from tests.conformance.test_neutral import NeutralHand
from tests.neutral import QUIET, neutral_connector, neutral_venue, nothing
from tests.serving import Control


@asynccontextmanager
async def live_on(control: Control, clock: Clock) -> AsyncIterator[ConnectorUnderTest]:
    heard = Heard()
    connector = neutral_connector(control.url, heard.put, clock=clock)
    tested = ConnectorUnderTest(connector, heard, NeutralHand(control), clock.now_ns)
    async with tested.running() as live:
        yield live


async def test_ban_is_told_and_reads_wait_it_out() -> None:
    """The refused order was not placed; no read leaves while the ban runs, because going on makes it longer."""
    clock = Clock()
    async with neutral_venue(clock=clock) as control, live_on(control, clock) as live:
        await control.fault(FaultKind.BAN, on="/v1/place", ms=300)
        order = live.order()
        await live.send(order)
        told = await live.heard.until(RateLimited)
        assert told.banned and told.retry_after_ms is not None and 0 < told.retry_after_ms <= 300
        refused = await live.heard.until(OrderRejected)
        assert refused.kind is RejectKind.RATE_LIMITED
        with pytest.raises(NeverLeft, match="asked us to wait"):
            await live.connector.snapshot(0)
        over_ns = clock.now_ns() + 300_000_000
        await live.heard.until(BookDelta, lambda delta: delta.ts_local_ns > over_ns)
        await live.placed(live.order())


async def test_full_limit_is_told_before_it_is_broken() -> None:
    """The header of the last reply that passed says that nothing more will."""
    clock = Clock()
    settings = NeutralVenueSettings(symbols={"BTC-USDT": QUIET}, publish_interval_ms=20.0, orders_per_10s=2)
    async with neutral_venue(clock=clock, settings=settings) as control, live_on(control, clock) as live:
        await live.send(live.order(), live.order(Side.SELL))
        limited = await live.heard.until(RateLimited)
        assert limited.bucket == "orders"
        assert limited.retry_after_ms is not None and 0 < limited.retry_after_ms <= 10_000
        assert not live.heard.of(OrderRejected)


async def test_clock_that_steps_is_measured_again() -> None:
    """A refused time is no placed order; the next one is signed with the venue's time as it is now."""
    clock = Clock()
    async with neutral_venue(clock=clock) as control, live_on(control, clock) as live:
        await control.fault(FaultKind.CLOCK_STEP, ms=60_000)
        since = live.here
        await live.send(live.order())
        refused = await live.heard.until(OrderRejected, since=since)
        ago_ms = int(refused.text.split("made ")[1].split()[0])
        assert abs(ago_ms - 60_000) < 1000, "the clock was measured to milliseconds"
        assert refused.kind is RejectKind.OTHER
        await live.heard.until(VenueTime, lambda time: time.ts_venue_ns > time.ts_local_ns + 59 * 10**9, since=since)
        await live.placed(live.order())


async def test_venue_that_restarts_has_cancelled_everything_and_kept_the_account(tmp_path: Path) -> None:
    """Down for a moment: our order is gone, what it had filled is still there, and a question is answered with it."""
    clock = Clock()
    async with neutral_venue(clock=clock, state_dir=tmp_path) as control, live_on(control, clock) as live:
        order = live.order(away=0)
        await live.placed(order)
        await live.hand.fill(order.client_id, 3)
        await live.heard.until(OrderFilled)
        since = live.here
        await control.fault(FaultKind.RESTART, ms=100)
        await live.heard.until(VenueConnected, since=since)
        shown = await live.snapshot()
        assert shown.orders == ()
        assert [(fill.client_id, fill.lots) for fill in shown.fills] == [(order.client_id, 3)]
        await live.connector.query_order(order.client_id)
        canceled = await live.heard.until(OrderCanceled, since=since)
        assert canceled.filled_lots == 3


async def test_symbol_that_is_not_there_is_a_mistake_of_the_configuration() -> None:
    """Told with those that are."""
    async with neutral_venue() as control:
        connector = neutral_connector(control.url, nothing, symbols=("BTC-USDX",))
        with pytest.raises(ConfigError, match="no symbol BTC-USDX; there are BTC-USDT"):
            await connector.load_instruments()
        await connector.close()


def test_missing_secret_is_named() -> None:
    """And how to give it."""
    with pytest.raises(ConfigError, match=r"secrets\.api_secret is missing; write .*NEUTRAL_API_SECRET"):
        neutral_connector("http://127.0.0.1:1", nothing, secrets={"api_key": "k"})
    with pytest.raises(ConfigError, match="must begin with"):
        neutral_connector("127.0.0.1:1", nothing)
