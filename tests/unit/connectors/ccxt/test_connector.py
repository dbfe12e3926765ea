"""The ccxt connector on simulated Binance USD-M: what conformance does not ask."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from connectors.ccxt import connector as connector_module
from connectors.ccxt.abilities import capabilities
from connectors.ccxt.connector import CcxtConnector
from connectors.ccxt.dialects import KNOWN, dialect
from connectors.ccxt.settings import CcxtSettings, MarginMode, MarketData, PositionMode
from connectors.simulators.faults import FaultKind
from mm_daemon import registry
from mm_daemon.domain.capabilities import CommandClass
from mm_daemon.domain.errors import ConfigError, CredentialsRefused, VenueUnreachable
from mm_daemon.domain.events import (
    BookSnapshot,
    Event,
    FundingUpdate,
    MarkPriceUpdate,
    OrderAccepted,
    OrderFilled,
    OrderRejected,
    RateLimited,
    VenueConnected,
    VenueDisconnected,
)
from mm_daemon.domain.instrument import Venue
from mm_daemon.domain.orders import RejectKind
from mm_daemon.ports.connector import ConnectorContext
from mm_daemon.runtime.clock import Clock
from mm_daemon.simulation.symbols import SymbolSettings
from mm_daemon.testkit.conformance import ConnectorUnderTest, Heard, Trouble
from tests.binance_usdm import SECRETS, binance_venue, ccxt_connector
from tests.neutral import QUIET
from tests.serving import Control
from tests.shared import ROOT


class NoHand:
    """Structurally a `VenueHand` that can nothing."""

    can: frozenset[Trouble] = frozenset()

    async def fill(self, client_id: Any, lots: int) -> None: ...

    async def make(self, trouble: Trouble) -> None: ...


@asynccontextmanager
async def live_on(
    *, venue: dict[str, Any] | None = None, **settings: Any
) -> AsyncIterator[tuple[ConnectorUnderTest, Control]]:
    clock, heard = Clock(), Heard()
    async with binance_venue(clock=clock, **(venue or {})) as control:
        connector = ccxt_connector(control.url, heard.put, clock=clock, **settings)
        under_test = ConnectorUnderTest(connector, heard, NoHand(), clock.now_ns)
        async with under_test.running() as live:
            yield live, control


async def until_again(live: ConnectorUnderTest, since: int) -> None:
    """The link has gone and is back."""
    down = await live.heard.until(VenueDisconnected, since=since)
    await live.heard.until(VenueConnected, since=live.heard.events.index(down))


def build(
    *, secrets: dict[str, str] | None = None, emit: Callable[[Event], None] = print, **settings: Any
) -> CcxtConnector:
    clock = Clock()
    context = ConnectorContext(
        venue=Venue("v"),
        symbols=("BTCUSDT",),
        emit=emit,
        now_ns=clock.now_ns,
        delay_s=clock.delay_s,
        secrets=secrets or {},
        translator=registry.translator,
    )
    return CcxtConnector(context, CcxtSettings(**settings))


# What is wrong with a configuration


@pytest.mark.parametrize(
    ("settings", "secrets", "words"),
    [
        ({"exchange": "binanceusdn"}, {}, "ccxt has no streams of 'binanceusdn'"),
        ({"exchange": "okx", "market_data": MarketData.NATIVE}, {}, "there is no native market data of okx"),
        ({"exchange": "binanceusdm"}, {"api_key": "k"}, "secrets.api_secret is missing"),
        ({"exchange": "okx"}, {"api_key": "k", "api_secret": "s"}, "secrets.passphrase is missing"),
        (
            {"exchange": "kucoinfutures"},
            {"api_key": "k", "api_secret": "s", "passphrase": "p"},
            "takes the leverage with each order; write leverage: 5",
        ),
        ({"exchange": "kucoinfutures", "testnet": True}, {}, "ccxt has no test system of kucoinfutures"),
    ],
)
def test_words_for_what_cannot_be(settings: dict[str, Any], secrets: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        build(secrets=secrets, **settings)


async def test_symbol_that_is_not_there_is_named() -> None:
    async with binance_venue() as control:
        connector = ccxt_connector(control.url, lambda _event: None, symbols=("BTCUSD",))
        with pytest.raises(ConfigError, match="has no symbol BTCUSD"):
            await connector.load_instruments()
        await connector.close()


def test_ccxt_is_not_imported_before_a_connector_is_built() -> None:
    """Neither by our package nor by the registry: it takes half a second and 100 MB."""
    script = (
        "import sys; from mm_daemon import registry; registry.settings_of('ccxt'); "
        "import connectors.ccxt.connector; assert 'ccxt' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False).returncode == 0


def test_testnet_is_binances_demo_system() -> None:
    connector = build(exchange="binanceusdm", testnet=True)
    api = connector._factory.build().urls["api"]
    assert api["fapiPrivate"].startswith("https://demo-fapi.binance.com")
    assert api["ws"]["linear"].startswith("wss://fstream.binancefuture.com")


def test_capabilities_of_binance() -> None:
    made = capabilities(CcxtSettings(exchange="binanceusdm"), dialect("binanceusdm"), {"editOrder": True})
    assert (made.amend, made.dead_man_floor_ms, made.dead_man_ms, made.d_max_ms) == (True, 1000, 30_000, 15_000)
    costs = {bucket.name: bucket.cost(CommandClass.PLACE, 5) for bucket in made.buckets}
    assert costs == {"orders": 5, "orders_1m": 1, "weight": 5}
    assert [bucket.name for bucket in made.buckets if bucket.concerns(CommandClass.CANCEL)] == ["weight"]


def test_unknown_exchange_gets_the_careful_one() -> None:
    made = capabilities(CcxtSettings(exchange="gate"), dialect("gate"), {"editOrder": "emulated"})
    assert (made.amend, made.batch_max, made.dead_man_ms, made.d_max_ms) == (False, 1, None, 60_000)
    assert made.buckets and "gate" not in KNOWN


# Without a key


async def test_without_a_key_there_are_market_data_only() -> None:
    """Enough for paper; asking for the account says what to write."""
    async with binance_venue() as control:
        heard = Heard()
        connector = ccxt_connector(control.url, heard.put, secrets={})
        await connector.load_instruments()
        running = asyncio.create_task(connector.run())
        try:
            await heard.until(VenueConnected)
            with pytest.raises(CredentialsRefused, match="there is no key"):
                await connector.snapshot(0)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await connector.close()


# The link


async def test_listen_key_that_expires_is_replaced() -> None:
    """ccxt ignores the venue's word for it and would hang for ever."""
    async with live_on(venue={"listen_key_s": 1.0}) as (live, _):
        await until_again(live, live.here)
        assert live.connector.problems["user_listen_key_expired"] >= 1  # type: ignore[attr-defined]


async def test_connection_that_the_venue_ends_after_its_day_comes_back() -> None:
    async with live_on(venue={"socket_s": 1.0}) as (live, _):
        since = live.here
        await until_again(live, since)
        await live.two_sided(since=since)


async def test_bytes_that_mean_nothing_on_the_accounts_stream(caplog: pytest.LogCaptureFixture) -> None:
    """ccxt's reading ends without a word; the link is given up, and the fill that was lost is told."""
    async with live_on() as (live, control):
        order = live.order(away=0)
        await live.placed(order)
        since = live.here
        await control.fault(FaultKind.MALFORMED, on="ORDER_TRADE_UPDATE:TRADE")
        await control.fill(f"mm{order.client_id}", f"{order.lots * 0.0001:.4f}")
        await live.heard.until(OrderFilled, lambda fill: fill.client_id == order.client_id, since=since)
        await until_again(live, since)


async def test_stream_that_says_nothing_of_an_accepted_order_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """As for four months at an operator's desk: connected to an address that carries nothing private."""
    monkeypatch.setattr(connector_module, "_SILENT_NS", 300_000_000)
    monkeypatch.setattr(connector_module, "_LOOK_S", 0.1)
    async with live_on() as (live, control):
        await control.fault(FaultKind.LOSE_MESSAGE, on="ORDER_TRADE_UPDATE", times=1)
        since = live.here
        await live.placed(live.order())
        await until_again(live, since)
        assert live.connector.problems["user_silent"] == 1  # type: ignore[attr-defined]


async def test_clock_that_is_off_is_measured_again() -> None:
    async with live_on() as (live, control):
        await control.fault(FaultKind.CLOCK_STEP, ms=60_000)
        first, second = live.order(), live.order()
        await live.send(first)
        await live.heard.until(OrderRejected, lambda event: event.client_id == first.client_id)
        await live.placed(second)


# Limits


async def test_ban_is_told_and_reads_wait() -> None:
    async with live_on() as (live, control):
        order = live.order()
        await control.fault(FaultKind.BAN, on="POST /fapi/v1/order", ms=1500)
        await live.send(order)
        refused = await live.heard.until(OrderRejected, lambda event: event.client_id == order.client_id)
        assert refused.kind is RejectKind.RATE_LIMITED
        (limited,) = live.heard.of(RateLimited)
        assert (limited.banned, limited.bucket, limited.retry_after_ms) == (True, None, 2000)
        with pytest.raises(VenueUnreachable, match="asked us to wait"):
            await live.snapshot()
        await asyncio.sleep(2.1)


async def test_limit_of_orders_leaves_cancels_free() -> None:
    async with live_on(venue={"orders_per_10s": 2}) as (live, _):
        orders = [live.order() for _ in range(3)]
        for order in orders[:2]:
            await live.placed(order)
        await live.send(orders[2])
        limited = await live.heard.until(RateLimited)
        assert (limited.bucket, limited.banned) == ("orders", False)


# The account


async def test_account_is_set_as_the_configuration_says() -> None:
    """What is so already is no error."""
    keys: dict[str, Any] = {"leverage": 7, "margin_mode": MarginMode.CROSS, "set_position_mode": True}
    async with live_on(**keys) as (live, _):
        requests = live.connector._asking  # type: ignore[attr-defined]
        (row,) = await requests.read("fapiPrivateGetSymbolConfig", {"symbol": "BTCUSDT"})
        assert int(row["leverage"]) == 7


async def test_two_symbols_have_books_and_orders_of_their_own() -> None:
    """One batch may hold both; each is asked for apart, and one cancel-all ends all."""
    symbols = ("BTCUSDT", "ETHUSDT")
    async with live_on(venue={"symbols": symbols}, symbols=symbols) as (live, _):
        first, second = await live.connector.load_instruments()
        for instrument in (first, second):
            await live.heard.until(BookSnapshot, lambda event, wanted=instrument.id: event.instrument == wanted)  # type: ignore[misc]
        btc = live.order()
        (book,) = [each for each in live.heard.of(BookSnapshot) if each.instrument == second.id][:1]
        ticks = book.bids[0][0] * 99 // 100
        lots = 2 * second.min_lots_at(ticks)
        eth = msgspec.structs.replace(btc, instrument=second.id, client_id=live.next_id(), ticks=ticks, lots=lots)
        await live.send(btc, eth)
        for order in (btc, eth):
            await live.heard.until(OrderAccepted, lambda event, cid=order.client_id: event.client_id == cid)  # type: ignore[misc]
        assert {each.instrument for each in (await live.snapshot()).orders} == {first.id, second.id}
        await live.connector.cancel_all()
        assert (await live.snapshot()).orders == ()


@pytest.mark.parametrize("wanted", list(PositionMode))
async def test_account_in_another_position_mode_is_refused_with_both_ways_out(wanted: PositionMode) -> None:
    other = "one_way" if wanted is PositionMode.TWO_WAY else "two_way"
    async with binance_venue(hedge_mode=wanted is PositionMode.ONE_WAY) as control:
        connector = ccxt_connector(control.url, lambda _event: None, position_mode=wanted)
        words = f"position_mode says {wanted.value}; write position_mode: {other}, or .* set_position_mode: true"
        with pytest.raises(ConfigError, match=words):
            await connector.load_instruments()
        await connector.close()
        connector = ccxt_connector(control.url, lambda _event: None, position_mode=wanted, set_position_mode=True)
        assert await connector.load_instruments()
        await connector.close()
        connector = ccxt_connector(control.url, lambda _event: None, position_mode=wanted)
        assert await connector.load_instruments(), "it stays so"
        await connector.close()


async def test_position_mode_is_not_switched_while_an_order_is_open() -> None:
    async with live_on() as (live, control):
        await live.placed(live.order())
        again = ccxt_connector(
            control.url, lambda _event: None, position_mode=PositionMode.TWO_WAY, set_position_mode=True
        )
        with pytest.raises(ConfigError, match=r"could not be switched .*-4067.* or write position_mode: one_way"):
            await again.load_instruments()
        await again.close()


def test_two_way_mode_needs_an_exchange_whose_legs_ccxt_names() -> None:
    with pytest.raises(ConfigError, match="does not tell gate which leg an order is about; write position_mode"):
        build(exchange="gate", position_mode=PositionMode.TWO_WAY)
    build(exchange="bitget", position_mode=PositionMode.TWO_WAY)


async def test_names_of_fills_are_found_again_after_a_restart() -> None:
    """The venue's list of fills names its own orders only; another process learns ours from the list of orders."""
    clock = Clock()
    async with binance_venue(clock=clock) as control:
        heard = Heard()
        first = ccxt_connector(control.url, heard.put, clock=clock)
        async with ConnectorUnderTest(first, heard, NoHand(), clock.now_ns).running() as live:
            order = live.order(away=0)
            await live.placed(order)
            await control.fill(f"mm{order.client_id}", "0.0001")
            (fill,) = (await live.snapshot()).fills
            assert fill.client_id == order.client_id
        again = ccxt_connector(control.url, lambda _event: None, clock=clock)
        await again.load_instruments()
        snapshot = await again.snapshot(0)
        assert [(each.client_id, each.fill_key) for each in snapshot.fills] == [(order.client_id, fill.fill_key)]
        await again.close()


async def test_histories_longer_than_a_page_are_read_to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    async with live_on() as (live, control):
        monkeypatch.setattr(live.connector._account, "_page", 3)  # type: ignore[attr-defined]
        order = live.order(away=0)
        await live.placed(order)
        since_ns = live.now_ns() - 1_000_000
        for _ in range(order.lots):
            await control.fill(f"mm{order.client_id}", "0.0001")
        fills = (await live.snapshot(since_ns)).fills
        assert len({fill.fill_key for fill in fills}) == order.lots > 6


async def test_funding_and_mark_are_told_and_paid() -> None:
    market = SymbolSettings(**{**_fields(QUIET), "funding_period_s": 10, "funding_mean_bps": 5.0})
    async with live_on(venue={"market": market}) as (live, control):
        await live.heard.until(MarkPriceUpdate)
        funding = await live.heard.until(FundingUpdate)
        assert funding.next_ns > funding.ts_venue_ns and funding.period_ns == 8 * 3_600_000_000_000
        order = live.order(away=0)
        await live.placed(order)
        await control.fill(f"mm{order.client_id}", f"{order.lots * 0.0001:.4f}")
        for _ in range(30):
            payments = (await live.snapshot()).payments
            if payments:
                break
            await asyncio.sleep(0.5)
        assert payments and payments[0].amount < (0, 0)


def _fields(settings: SymbolSettings) -> dict[str, Any]:
    return {name: getattr(settings, name) for name in settings.__struct_fields__}


def test_secrets_are_not_in_what_is_said() -> None:
    """Addresses end where their parameters begin: signatures and listen keys stand there."""
    from connectors.ccxt.outcomes import said

    error = ConnectionError("Connection to wss://x/private/ws?listenKey=abc timed out; GET https://x/y?signature=def")
    assert "abc" not in said(error) and "def" not in said(error) and "timed out" in said(error)
    assert SECRETS["api_secret"] not in said(error)
