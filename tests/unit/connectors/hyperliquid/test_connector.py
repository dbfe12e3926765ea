"""What the conformance suite does not ask of the Hyperliquid connector, over real loopback sockets."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from connectors.hyperliquid.connector import HyperliquidConnector
from connectors.hyperliquid.settings import HyperliquidSettings, Network
from connectors.simulators.faults import FaultKind
from connectors.simulators.hyperliquid import signatures
from connectors.simulators.hyperliquid.accounts import Account
from mm_daemon.domain.decisions import AmendOrder, CancelOrder
from mm_daemon.domain.errors import ConfigError, CredentialsRefused, VenueUnreachable
from mm_daemon.domain.events import (
    BookSnapshot,
    CommandOutcomeUnknown,
    FenceAnswered,
    FundingPaid,
    FundingUpdate,
    MarkPriceUpdate,
    OrderAccepted,
    OrderAmended,
    OrderAmendRejected,
    OrderCanceled,
    OrderFilled,
    OrderRejected,
    RateLimited,
    VenueConnected,
    VenueDisconnected,
)
from mm_daemon.domain.instrument import SignificantFigures, Venue
from mm_daemon.domain.orders import RejectKind, Side, TimeInForce
from mm_daemon.ports.connector import ConnectorContext
from mm_daemon.runtime.clock import Clock
from mm_daemon.testkit.conformance import ConnectorUnderTest, Heard
from tests.hyperliquid import Control, hyperliquid_connector, hyperliquid_venue, until

AGENT = bytes.fromhex("77" * 32)


class NoHand:
    """Troubles are made by the control page here."""

    can: frozenset[Any] = frozenset()

    async def fill(self, client_id: Any, lots: int) -> None:
        raise NotImplementedError

    async def make(self, trouble: Any) -> None:
        raise NotImplementedError


@asynccontextmanager
async def trading(control: Control, *, key: str | None = None, **settings: Any) -> AsyncIterator[ConnectorUnderTest]:
    """A connector that is loaded, connected and has a book."""
    clock, heard = Clock(), Heard()
    connector = hyperliquid_connector(control.url, heard.put, key=key or control.key(), clock=clock, **settings)
    live = ConnectorUnderTest(connector, heard, NoHand(), clock.now_ns, first_client_id=1 << 40)
    async with live.running():
        yield live


def account_of(control: Control, number: int = 0) -> Account:
    return control.venue.exchange.accounts[control.users[number]]


def oids(control: Control, user: str | None = None) -> list[int]:
    return list(control.venue.exchange.accounts[user or control.users[0]].orders)


# Contracts


async def test_contracts_are_read_from_the_venue() -> None:
    """Grids by the decimals of sizes, numbers by the place in the universe, delisted ones counted; fees as charged."""
    async with hyperliquid_venue() as control:
        connector = hyperliquid_connector(control.url, lambda _event: None, key=control.key(), symbols=("ETH", "BTC"))
        eth, btc = await connector.load_instruments()
        await connector.close()
    assert (eth.symbol, str(eth.tick), str(eth.lot)) == ("ETH", "0.01", "0.0001")
    assert btc.grid == SignificantFigures(5, 1)
    assert (btc.maker_fee_ppm, btc.taker_fee_ppm, btc.min_notional) == (150, 450, 10)
    assert connector._assets["ETH"].number == 2


@pytest.mark.parametrize(
    ("symbol", "words"),
    [
        ("BTX", "did you mean 'BTC'"),
        ("MATIC", "delisted"),
        ("@107", "no spot pair @107"),
        ("PURR/USDC", "no spot pair"),
    ],
)
async def test_symbol_that_cannot_be_traded_is_refused(symbol: str, words: str) -> None:
    """In words that say why."""
    async with hyperliquid_venue() as control:
        connector = hyperliquid_connector(control.url, lambda _event: None, key=control.key(), symbols=(symbol,))
        with pytest.raises(ConfigError, match=words):
            await connector.load_instruments()
        await connector.close()


def test_network_is_asked_for_and_its_host_follows() -> None:
    """It is part of every signature: no default, and never read out of the url."""
    with pytest.raises(msgspec.ValidationError, match="network"):
        msgspec.convert({}, HyperliquidSettings)
    assert HyperliquidSettings(network=Network.TESTNET).socket_url == "wss://api.hyperliquid-testnet.xyz/ws"
    assert HyperliquidSettings(network=Network.MAINNET).rest_url == "https://api.hyperliquid.xyz"
    assert HyperliquidSettings(network=Network.MAINNET, url="http://here:1/").socket_url == "ws://here:1/ws"


def test_secret_that_is_no_key_is_refused_without_being_shown() -> None:
    """At once, with its place, and without its value."""
    context = ConnectorContext(
        venue=Venue("hl"),
        symbols=("BTC",),
        emit=lambda _event: None,
        now_ns=lambda: 0,
        delay_s=lambda _ns: 0.0,
        secrets={"private_key": "no key at all"},
    )
    with pytest.raises(ConfigError, match=r"venue hl: secrets\.private_key") as refused:
        HyperliquidConnector(context, HyperliquidSettings(network=Network.TESTNET))
    assert "no key at all" not in str(refused.value)


# Keys and accounts


async def test_agent_trades_for_its_master() -> None:
    """Orders, streams and snapshots are the master's; the agent's own address has nothing."""
    async with hyperliquid_venue() as control:
        account_of(control).approve(signatures.address_of(AGENT), "desk", control.venue._now_ms())
        async with trading(control, key=AGENT.hex(), account=control.users[0].upper().replace("0X", "0x")) as live:
            order = live.order()
            await live.placed(order)
            assert [each.client_id for each in (await live.snapshot()).orders] == [order.client_id]
            assert len(oids(control)) == 1


async def test_agent_of_another_account_is_refused() -> None:
    """The key works, and for somebody else: nothing begins."""
    async with hyperliquid_venue() as control:
        account_of(control).approve(signatures.address_of(AGENT), None, control.venue._now_ms())
        connector = hyperliquid_connector(control.url, lambda _event: None, key=AGENT.hex(), account=control.users[1])
        with pytest.raises(CredentialsRefused, match=f"acts for {control.users[0]}"):
            await connector.load_instruments()
        await connector.close()


async def test_sub_account_is_traded_by_its_masters_key() -> None:
    """Signed with the master's key for the sub-account, whose streams and account they are."""
    async with hyperliquid_venue() as control:
        exchange = control.venue.exchange
        sub = exchange._create_sub_account(account_of(control), "desk")["response"]["data"]
        exchange.accounts[sub].usdc = account_of(control).usdc
        async with trading(control, vault=sub) as live:
            order = live.order(away=0)
            await live.placed(order)
            assert oids(control) == [] and len(oids(control, sub)) == 1
            await control.fill(order.client_id, order.lots, user=sub)
            filled = await live.heard.until(OrderFilled)
            assert filled.client_id == order.client_id


async def test_signature_for_the_other_network_is_for_nobody() -> None:
    """Every order is refused with an address that nobody knows."""
    async with hyperliquid_venue(mainnet=True) as control, trading(control) as live:
        order = live.order()
        await live.send(order)
        refused = await live.heard.until(OrderRejected)
        assert refused.text.startswith("User or API Wallet 0x") and control.users[0] not in refused.text


async def test_without_a_key_it_is_a_feed() -> None:
    """Books, prints, marks and funding for a paper run; trading is refused in words that help."""
    async with hyperliquid_venue() as control:
        clock, heard = Clock(), Heard()
        connector = hyperliquid_connector(control.url, heard.put, key=None, clock=clock)
        await connector.load_instruments()
        running = asyncio.create_task(connector.run())
        for kind in (VenueConnected, BookSnapshot, MarkPriceUpdate, FundingUpdate):
            await heard.until(kind)
        for asked in (connector.snapshot(0), connector.cancel_all(), connector.arm_dead_man(None)):
            with pytest.raises(CredentialsRefused, match="secrets: "):
                await asked
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await connector.close()


async def test_leverage_is_set_at_the_start() -> None:
    """As the configuration says, and refused where the market does not allow it."""
    async with hyperliquid_venue() as control:
        async with trading(control, leverage=7, isolated=True):
            position = account_of(control).position(control.venue.exchange.by_coin["BTC"])
            assert (position.leverage, position.cross) == (7, False)
        connector = hyperliquid_connector(control.url, lambda _event: None, key=control.key(), leverage=41)
        with pytest.raises(ConfigError, match="above the 40 of BTC"):
            await connector.load_instruments()
        await connector.close()


# Ways and times


async def test_orders_go_by_http_while_there_is_no_socket() -> None:
    """Before the link is up, and after `run` has ended: a stop can still cancel and confirm."""
    async with hyperliquid_venue() as control:
        clock, heard = Clock(), Heard()
        connector = hyperliquid_connector(control.url, heard.put, key=control.key(), clock=clock)
        live = ConnectorUnderTest(connector, heard, NoHand(), clock.now_ns, first_client_id=1 << 40)
        (live.instrument,) = await connector.load_instruments()
        live.book.apply(BookSnapshot(live.instrument.id, 1, 1, ((599_000, 1),), ((601_000, 1),), 1))
        order = live.order()
        await live.placed(order)
        assert await live.open_ids() == [order.client_id]
        await connector.cancel_all()
        assert await live.open_ids() == []
        await connector.close()


async def test_actions_bear_an_expiry_by_the_venues_clock() -> None:
    """A venue whose clock is ahead takes them, once it was measured; what comes too late is refused, and known."""
    async with hyperliquid_venue() as control:
        await control.fault(FaultKind.CLOCK_STEP, ms=20_000)
        async with trading(control) as live:
            await live.placed(live.order())
            await control.fault(FaultKind.CLOCK_STEP, ms=20_000)
            late = live.order()
            await live.send(late)
            refused = await live.heard.until(OrderRejected)
            assert (refused.client_id, refused.text) == (late.client_id, "Action already expired")


async def test_quote_and_hedge_of_one_batch_are_two_actions() -> None:
    """The quote rests, the hedge takes, each in its own class of a block."""
    async with hyperliquid_venue() as control, trading(control) as live:
        quote = live.order()
        hedge = msgspec.structs.replace(
            live.order(), ticks=live.book.ask_ticks + 1000, post_only=False, time_in_force=TimeInForce.IOC
        )
        await live.send(quote, hedge)
        await live.heard.until(OrderAccepted, lambda event: event.client_id == quote.client_id)
        filled = await live.heard.until(OrderFilled, lambda event: event.client_id == hedge.client_id)
        assert not filled.maker
        assert await live.open_ids() == [quote.client_id]


async def test_amend_into_the_market_leaves_nothing() -> None:
    """The old order is gone and the new one refused: told as such, so that nobody waits for either."""
    async with hyperliquid_venue() as control, trading(control) as live:
        order = live.order()
        await live.placed(order)
        through = live.book.ask_ticks + 1000
        await live.send(AmendOrder(order.instrument, order.client_id, through, order.lots, order.reasons))
        refused = await live.heard.until(OrderAmendRejected)
        assert refused.kind is RejectKind.PLACE_LEG_FAILED
        await live.heard.until(OrderCanceled, lambda event: event.client_id == order.client_id)
        assert await live.open_ids() == []


async def test_past_fills_are_no_news() -> None:
    """The snapshot that the fills stream begins with is history, at every subscription anew."""
    async with hyperliquid_venue() as control:
        async with trading(control) as live:
            order = live.order(away=0)
            await live.placed(order)
            await control.fill(order.client_id, order.lots)
            first = await live.heard.until(OrderFilled)
        async with trading(control) as live:
            await live.placed(live.order())
            assert not live.heard.of(OrderFilled)
            assert [fill.fill_key for fill in (await live.snapshot()).fills] == [first.fill_key]
            since = live.here
            await control.fault(FaultKind.DISCONNECT)
            await live.heard.until(VenueDisconnected, since=since)
            await live.heard.until(VenueConnected, since=since)
            assert not live.heard.of(OrderFilled, since)


async def test_funding_is_told_once_under_one_name() -> None:
    """By the stream and by the snapshot with the same key and sum; a short receives a positive rate."""
    async with hyperliquid_venue(funding_period_s=1) as control, trading(control) as live:
        order = live.order(Side.SELL, away=0)
        await live.placed(order)
        await control.fill(order.client_id, order.lots)
        paid = await live.heard.until(FundingPaid)
        shown = next(each for each in (await live.snapshot()).payments if each.payment_key == paid.payment_key)
        assert shown.amount == paid.amount
        rates = await control.info("fundingHistory", coin="BTC", startTime=0)
        assert (paid.amount > (0, 0)) == (float(rates[-1]["fundingRate"]) > 0)


# Limits


async def test_used_up_requests_are_a_limit_of_the_address() -> None:
    """The refused order is known not to be placed, and its bucket waits for ten seconds."""
    async with hyperliquid_venue(initial_requests=3) as control, trading(control) as live:
        resting = live.order()
        await live.placed(resting)
        for step in (10, 20, 30):  # one is let through beyond the budget
            since, ticks = live.here, resting.ticks - step
            await live.send(AmendOrder(resting.instrument, resting.client_id, ticks, resting.lots, resting.reasons))
            await live.heard.until(OrderAmended, since=since)
        order = live.order()
        await live.send(order)
        limited = await live.heard.until(RateLimited)
        assert (limited.bucket, limited.retry_after_ms) == ("address", 10_000)
        refused = await live.heard.until(OrderRejected)
        assert (refused.client_id, refused.kind) == (order.client_id, RejectKind.RATE_LIMITED)


async def test_address_budget_paces_what_is_sent() -> None:
    """What the address has left at the start, unless the configuration names another number, and never less than one
    request in ten seconds, which the venue always lets through."""
    async with hyperliquid_venue(initial_requests=9000) as control:
        for used, per_day, size in ((0, None, 9000), (100, None, 8900), (0, 70, 70), (9999, None, 8640)):
            account_of(control).requests = used
            connector = hyperliquid_connector(
                control.url, lambda _event: None, key=control.key(), requests_per_day=per_day
            )
            await connector.load_instruments()
            buckets = {bucket.name: bucket.capacity for bucket in connector.capabilities.buckets}
            assert buckets["address"] == size
            await connector.close()


async def test_status_429_is_a_limit_without_a_time() -> None:
    """Nothing was done; how long to wait is the core's own doubling pause."""
    async with hyperliquid_venue() as control, trading(control) as live:
        await control.fault(FaultKind.RATE_LIMIT, on="order")
        order = live.order()
        await live.send(order)
        limited = await live.heard.until(RateLimited)
        assert limited.retry_after_ms is None and not limited.banned
        refused = await live.heard.until(OrderRejected)
        assert refused.kind is RejectKind.RATE_LIMITED
        assert oids(control) == []


async def test_dead_man_is_gated_by_volume() -> None:
    """Refused before a million has traded, which is said; behind it armed, never nearer than five seconds."""
    async with hyperliquid_venue() as control, trading(control, dead_man_ms=10_000) as live:
        with pytest.raises(VenueUnreachable, match="until enough volume traded"):
            await live.connector.arm_dead_man(live.now_ns() + 10_000_000_000)
    async with hyperliquid_venue(traded=1_000_000) as control, trading(control, dead_man_ms=10_000) as live:
        assert (live.connector.capabilities.dead_man_floor_ms, live.connector.capabilities.dead_man_ms) == (
            5000,
            10_000,
        )
        await live.connector.arm_dead_man(live.now_ns() + 1_000_000_000)
        at_ms = account_of(control).schedule_cancel_ms
        assert at_ms is not None and at_ms >= live.now_ns() // 1_000_000 + 5000
        await live.connector.arm_dead_man(None)
        assert account_of(control).schedule_cancel_ms is None


async def test_link_that_breaks_while_it_catches_up_is_caught_up_again() -> None:
    """What was read before the second break does not know what was filled in it: it is read again, and then told."""
    async with hyperliquid_venue() as control, trading(control) as live:
        order = live.order(away=0)
        await live.placed(order)
        since = live.here
        await control.fault(FaultKind.DELAY, on="info/clearinghouseState", ms=1500)
        await control.fault(FaultKind.DISCONNECT)
        await until(lambda: control.venue.faults.struck[FaultKind.DELAY] > 0)
        await control.fault(FaultKind.DISCONNECT)
        await until(lambda: not control.venue._streams.clients)
        await control.fill(order.client_id, order.lots)
        up = await live.heard.until(VenueConnected, since=since)
        told = live.heard.of(OrderFilled, since)
        assert [fill.client_id for fill in told] == [order.client_id]
        assert live.heard.events.index(told[0]) < live.heard.events.index(up)


@pytest.mark.parametrize(("fault", "spent"), [(FaultKind.LOSE_REQUEST, True), (FaultKind.LOSE_REPLY, False)])
async def test_fence_tells_whether_a_lost_command_can_still_land(fault: FaultKind, spent: bool) -> None:
    """A no-op with the same nonce: taken, when the order never arrived, and refused when it did."""
    async with hyperliquid_venue() as control, trading(control) as live:
        order = live.order()
        await control.fault(fault, on="order")
        await live.send(order)
        await live.heard.until(CommandOutcomeUnknown)
        await live.send(CancelOrder(order.instrument, order.client_id, order.reasons, fence=True))
        answer = await live.heard.until(FenceAnswered)
        assert (answer.client_id, answer.accepted) == (order.client_id, spent)
        assert len(oids(control)) == (0 if spent else 1)


async def test_amend_whose_reply_is_lost_is_found_with_both_its_versions() -> None:
    """Asked about, the order is told as amended, and the version before it as ended, whatever became of both since."""
    for cancelled in (False, True):
        async with hyperliquid_venue() as control, trading(control) as live:
            order = live.order()
            first = await live.placed(order)
            await control.fault(FaultKind.LOSE_REPLY, on="batchModify")
            await control.fault(FaultKind.LOSE_MESSAGE, on="orderUpdates", times=2)
            ticks = order.ticks - 10
            await live.send(AmendOrder(order.instrument, order.client_id, ticks, order.lots, order.reasons))
            await live.heard.until(CommandOutcomeUnknown)
            (oid,) = oids(control)
            if cancelled:
                account = account_of(control)
                control.venue.exchange.floor.cancel(account, account.orders[oid], "canceled", 1)
            since = live.here
            await live.connector.query_order(order.client_id)
            amended = await live.heard.until(OrderAmended, since=since)
            assert (amended.venue_order_id, amended.ticks) == (str(oid), ticks)
            ends = [event.venue_order_id for event in live.heard.of(OrderCanceled, since)]
            assert ends[:1] == [first.venue_order_id]
            assert (str(oid) in ends) == cancelled


async def test_amended_order_of_an_earlier_life_is_told_with_all_its_versions() -> None:
    """A new process does not know which version its ledger knows: each is told as ended, the newest as it stands."""
    async with hyperliquid_venue() as control:
        connector, clock = hyperliquid_connector(control.url, lambda _event: None, key=control.key()), Clock()
        before = ConnectorUnderTest(connector, Heard(), NoHand(), clock.now_ns, first_client_id=1 << 40)
        (before.instrument,) = await connector.load_instruments()
        before.book.apply(BookSnapshot(before.instrument.id, 1, 1, ((599_000, 1),), ((601_000, 1),), 1))
        order = before.order()
        await before.send(order)
        (first,) = oids(control)
        await before.send(AmendOrder(order.instrument, order.client_id, order.ticks - 10, order.lots, order.reasons))
        (second,) = oids(control)
        await connector.close()  # and nobody heard of either
        async with trading(control) as live:
            since = live.here
            await live.connector.query_order(order.client_id)
            amended = await live.heard.until(OrderAmended, since=since)
            assert (amended.venue_order_id, amended.ticks) == (str(second), order.ticks - 10)
            assert [event.venue_order_id for event in live.heard.of(OrderCanceled, since)] == [str(first)]
