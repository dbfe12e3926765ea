"""The connector against the simulated venue, beyond what conformance asks of every venue."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from connectors.lighter import contracts, wire
from connectors.lighter import transactions as tx
from connectors.lighter.connector import LighterConnector
from connectors.lighter.rest import RestClient
from connectors.lighter.settings import QUOTA, Deployment, LighterSettings, Tier, capabilities
from connectors.shared.http import NeverLeft
from connectors.simulators.faults import FaultKind
from mm_daemon.domain.capabilities import AmendQuantity, BucketKind
from mm_daemon.domain.decisions import AmendOrder, CancelOrder, PlaceOrder, Reason
from mm_daemon.domain.errors import ConfigError, CredentialsRefused
from mm_daemon.domain.events import (
    BalanceUpdate,
    BookDelta,
    BookInvalidated,
    BookSnapshot,
    CommandOutcomeUnknown,
    CommandSent,
    FenceAnswered,
    FundingUpdate,
    InstrumentUpdated,
    OrderAccepted,
    OrderCanceled,
    OrderCancelRejected,
    OrderFilled,
    OrderNotFound,
    OrderRejected,
    OrderStatus,
    PositionUpdate,
    RateLimited,
    RateLimitUsed,
    VenueConnected,
    VenueDisconnected,
    VenueTime,
)
from mm_daemon.domain.instrument import Venue
from mm_daemon.domain.money import from_pair
from mm_daemon.domain.orders import RejectKind, Side, TimeInForce
from mm_daemon.ports.connector import ConnectorContext
from mm_daemon.testkit.conformance import ConnectorUnderTest, Heard
from tests.conformance.test_lighter import LighterHand
from tests.lighter import ACCOUNT, KEY_INDEX, QUIET, Control, lighter_connector, lighter_venue

_WHY = (Reason.NEW_QUOTE,)


@asynccontextmanager
async def trading(
    venue: dict[str, Any] | None = None, **connector: Any
) -> AsyncIterator[tuple[ConnectorUnderTest, Control, LighterConnector]]:
    """A connector that runs, with a book."""
    heard = Heard()
    async with lighter_venue(**(venue or {})) as control:
        made = lighter_connector(control, heard.put, **connector)
        live = ConnectorUnderTest(made, heard, LighterHand(control), control.clock.now_ns)
        async with live.running():
            yield live, control, made


def refused(order: PlaceOrder) -> Any:
    return lambda event: event.client_id == order.client_id


# Nonces


async def test_nonce_that_somebody_else_used_is_refused_once() -> None:
    """21104: nothing was done, the venue is asked, and the next order passes."""
    async with trading(keys=(KEY_INDEX,)) as (live, control, _):
        await control.set_nonce(KEY_INDEX, 77)
        order = live.order()
        await live.send(order)
        told = await live.heard.until(OrderRejected, refused(order))
        assert told.kind is RejectKind.OTHER and "nonce" in told.text
        await live.placed(live.order())
        assert control.venue.admission.nonces[KEY_INDEX] == 78
        refs = [event.wire_ref for event in live.heard.of(CommandSent)]
        assert [ref.partition(":")[0] for ref in refs] == ["0", "77"]
        assert refs[1].split(":")[1] in control.venue.exchange.transactions


async def test_lost_answer_leaves_no_hole_in_the_nonces() -> None:
    """The venue is asked for the next one before anything else leaves: the order had been placed."""
    async with trading(keys=(KEY_INDEX,)) as (live, control, _):
        order = live.order()
        await control.fault(FaultKind.LOSE_REPLY, on="sendTx")
        await live.send(order)
        await live.heard.until(CommandOutcomeUnknown, refused(order))
        await live.placed(live.order())
        assert control.venue.admission.nonces[KEY_INDEX] == 2


async def test_lost_request_is_shut_out_by_what_follows() -> None:
    """The next transaction bears its nonce: should it come late after all, it is refused."""
    async with trading(keys=(KEY_INDEX,)) as (live, control, _):
        order = live.order()
        await control.fault(FaultKind.SERVER_ERROR, on="sendTx")
        await live.send(order)
        await live.heard.until(CommandOutcomeUnknown, refused(order))
        await live.placed(live.order())
        assert control.venue.admission.nonces[KEY_INDEX] == 1


async def test_orders_that_may_take_go_under_the_last_key() -> None:
    """The venue delays them; quotes are not held up behind them."""
    async with trading({"taker_delay_ms": 300}, keys=(4, 5)) as (live, control, _):
        book = live.see_book()
        hedge = PlaceOrder(
            live.instrument.id,
            live.next_id(),
            Side.BUY,
            0,
            book.ask_ticks + 1000,
            20,
            _WHY,
            post_only=False,
            time_in_force=TimeInForce.IOC,
        )
        await live.send(hedge)
        quote = live.order()
        accepted = await live.placed(quote)
        filled = await live.heard.until(OrderFilled)
        assert live.heard.events.index(accepted) < live.heard.events.index(filled)
        assert not filled.maker and filled.client_id == hedge.client_id
        assert control.venue.admission.nonces[5] == 1 and control.venue.admission.nonces[4] >= 1


async def test_without_a_socket_orders_go_over_http() -> None:
    """A single one and a batch, with the venue's quota in the answer."""
    heard = Heard()
    async with lighter_venue() as control:
        connector = lighter_connector(control, heard.put)
        live = ConnectorUnderTest(connector, heard, LighterHand(control), control.clock.now_ns)
        (live.instrument,) = await connector.load_instruments()
        orders = [PlaceOrder(live.instrument.id, live.next_id(), Side.BUY, 0, 290_000, 50, _WHY) for _ in range(3)]
        await live.send(orders[0])
        await live.send(*orders[1:])
        assert sorted(await live.open_ids(), key=str) == [order.client_id for order in orders]
        assert heard.of(RateLimitUsed)[-1].bucket == QUOTA
        await connector.cancel_all()
        assert {event.client_id for event in heard.of(OrderCanceled)} == {order.client_id for order in orders}
        await connector.close()


# Admission is not execution


async def test_order_beyond_the_margin_is_refused_by_the_stream() -> None:
    """Code 200, and then canceled-margin-not-allowed."""
    async with trading({"deposit": Decimal(10), "max_leverage": 1}) as (live, _, _connector):
        order = live.order()
        await live.send(order)
        told = await live.heard.until(OrderRejected, refused(order))
        assert told.kind is RejectKind.INSUFFICIENT_MARGIN


async def test_reduce_only_order_that_vanished_is_told_when_asked_for() -> None:
    """No report ever comes: its transaction was carried out and there is no order."""
    async with trading() as (live, _, connector):
        order = msgspec.structs.replace(live.order(), reduce_only=True)
        await live.send(order)
        await live.placed(live.order())
        assert not [event for event in live.heard.of(OrderAccepted) if event.client_id == order.client_id]
        await connector.query_order(order.client_id)
        told = await live.heard.until(OrderRejected, refused(order))
        assert told.kind is RejectKind.REDUCE_ONLY


async def test_question_after_an_order_that_nobody_knows_proves_nothing() -> None:
    """That it is not known is said, and no more: which key a stranger's had, nobody knows (R7)."""
    async with trading(keys=(4, 5)) as (live, _, connector):
        since, stranger = live.here, live.next_id()
        await connector.query_order(stranger)
        (told,) = live.heard.of(OrderNotFound, since)
        assert (told.client_id, told.next_nonce) == (stranger, None)


async def test_lost_order_is_proven_dead_by_the_nonce_that_another_used() -> None:
    """Its key's next nonce comes with the answer: once it is past ours, the order can never land."""
    async with trading(keys=(KEY_INDEX,)) as (live, control, connector):
        lost = live.order()
        await control.fault(FaultKind.SERVER_ERROR, on="sendTx")
        await live.send(lost)
        await live.heard.until(CommandOutcomeUnknown, refused(lost))
        await live.placed(live.order())
        await connector.query_order(lost.client_id)
        told = await live.heard.until(OrderNotFound, refused(lost))
        sent = next(event for event in live.heard.of(CommandSent) if event.client_id == lost.client_id)
        assert told.next_nonce == int(sent.wire_ref.partition(":")[0]) + 1
        assert (await live.heard.until(FenceAnswered, refused(lost))).accepted


async def test_lost_order_that_nothing_follows_is_shut_out_when_it_is_asked_about() -> None:
    """A cancel of what the venue does not know uses no nonce: something that changes nothing does, and the dead man's
    switch is armed again behind it. What was lost is refused if it comes after all."""
    async with trading(keys=(KEY_INDEX,)) as (live, control, connector):
        deadline_ns = control.clock.now_ns() + 400 * 10**9
        await connector.arm_dead_man(deadline_ns)
        lost = live.order()
        await control.fault(FaultKind.SERVER_ERROR, on="sendTx")
        await live.send(lost)
        await live.heard.until(CommandOutcomeUnknown, refused(lost))
        await live.send(CancelOrder(lost.instrument, lost.client_id, _WHY))
        await live.heard.until(OrderCancelRejected, refused(lost))
        await connector.query_order(lost.client_id)
        assert (await live.heard.until(FenceAnswered, refused(lost))).accepted
        since = live.here
        await connector.query_order(lost.client_id)
        told = await live.heard.until(OrderNotFound, refused(lost), since=since)
        sent = next(event for event in live.heard.of(CommandSent) if event.client_id == lost.client_id)
        assert told.next_nonce is not None and told.next_nonce > int(sent.wire_ref.partition(":")[0])
        assert abs(control.venue.exchange.cancel_all_ms - deadline_ns // 1_000_000) < 1000
        await live.placed(live.order())


async def test_lost_amend_is_shut_out_when_it_is_asked_about() -> None:
    """The order stands as it was; that the amend can never happen is told, and said once."""
    async with trading(keys=(KEY_INDEX,)) as (live, control, connector):
        order = live.order()
        await live.placed(order)
        await control.fault(FaultKind.LOSE_REQUEST, on="sendTx")
        await live.send(AmendOrder(order.instrument, order.client_id, order.ticks - 3, order.lots, _WHY))
        await live.heard.until(CommandOutcomeUnknown, refused(order))
        for _ in range(2):
            await connector.query_order(order.client_id)
        (told,) = live.heard.of(FenceAnswered)
        assert told.accepted and told.client_id == order.client_id
        assert live.heard.of(OrderStatus)[-1].ticks == order.ticks


async def test_fence_shuts_out_what_an_earlier_process_has_sent() -> None:
    """Of its transactions nothing is known here, and none can land any more."""
    async with trading(keys=(KEY_INDEX,)) as (live, control, _):
        before = control.venue.admission.nonces[KEY_INDEX]
        fence = CancelOrder(live.instrument.id, live.next_id(), _WHY, fence=True)
        await live.send(fence)
        answered = await live.heard.until(FenceAnswered)
        assert answered.accepted and answered.client_id == fence.client_id
        assert control.venue.admission.nonces[KEY_INDEX] > before + 1000
        await live.placed(live.order())


async def test_order_of_somebody_else_is_shown_as_foreign() -> None:
    """Placed with the same account and without a client index."""
    async with trading() as (live, control, _):
        expiry_ms = control.clock.now_ns() // 1_000_000 + 3_600_000
        stranger = tx.CreateOrder(market=0, client_index=1, base=50, price=290_000, ask=False, expiry_ms=expiry_ms)
        signed = control.signer.signed(stranger, 0, 6)
        assert (await control.send(signed))["code"] == 200
        info = msgspec.json.decode(signed.tx_info) | {"ClientOrderIndex": 0, "Nonce": 1}
        made = control.signer.signed_info(14, info, 6)
        assert (await control.send(made))["code"] == 200
        shown = await live.snapshot()
        assert sorted((order.client_id for order in shown.orders), key=str) == [1, None]


# Quota and limits


async def test_quota_is_told_and_its_end_closes_it() -> None:
    """What is left comes with every answer; without any, the order is refused and cancels still pass."""
    async with trading({"quota": 2}) as (live, _, _connector):
        first, second, third = live.order(), live.order(), live.order()
        await live.placed(first)
        await live.placed(second)
        await live.placed(third)
        used = live.heard.of(RateLimitUsed)[-1]
        assert used.capacity is not None and used.capacity - used.used == 0
        beyond = live.order()
        await live.send(beyond)
        limited = await live.heard.until(RateLimited)
        assert limited.bucket == QUOTA
        told = await live.heard.until(OrderRejected, refused(beyond))
        assert told.kind is RejectKind.RATE_LIMITED
        await live.send(CancelOrder(first.instrument, first.client_id, _WHY))
        await live.heard.until(OrderCanceled, refused(first))


async def test_cancel_all_without_quota_cancels_one_by_one() -> None:
    """Cancels cost none: the last resort works with an empty quota."""
    async with trading({"quota": 1}) as (live, _, connector):
        orders = [live.order(), live.order()]
        for order in orders:
            await live.placed(order)
        await connector.cancel_all()
        assert await live.open_ids() == []
        for order in orders:
            await live.heard.until(OrderCanceled, refused(order))


async def test_cancel_all_does_not_wait_for_what_is_to_be_read() -> None:
    """The venue takes no reads for now: everything is cancelled all the same, and confirmed as soon as it does."""
    async with trading() as (live, control, connector):
        order = live.order()
        await live.placed(order)
        await control.fault(FaultKind.RATE_LIMIT, on="accountActiveOrders")
        await connector.cancel_all()
        assert await live.open_ids() == []
        await live.heard.until(OrderCanceled, refused(order))


async def test_reads_of_a_minute_that_are_spent_fail_at_once_and_cost_nothing() -> None:
    """Whoever asked has given up long before the minute is over; the urgent go on."""
    async with lighter_venue() as control:
        rest = RestClient(control.url, timeout_s=3.0, reads_per_minute=600, weighed=True)
        query = {"by": "index", "value": ACCOUNT}
        for _ in range(2):
            await rest.read("account", wire.Accounts, query)
        for _ in range(10):
            with pytest.raises(NeverLeft, match=r"account: the reads of this minute are spent, for [56][0-9] s"):
                await rest.read("account", wire.Accounts, query)
        await rest.read("account", wire.Accounts, query, urgent=True)
        await rest.close()


# The link


async def test_token_is_renewed_ahead_and_the_streams_go_on() -> None:
    """The venue ends a channel with its token, without a word."""
    async with trading(auth_token_s=30) as (live, control, _):
        await control.fault(FaultKind.CLOCK_STEP, ms=22_000)
        await asyncio.sleep(1.5)  # the clock is seen with the next statistics, the token looked at every second
        await control.fault(FaultKind.CLOCK_STEP, ms=12_000)
        await live.heard.until(BookDelta, since=live.here)
        order = live.order(away=0)
        await live.placed(order)
        await live.hand.fill(order.client_id, order.lots)
        await live.heard.until(OrderFilled, refused(order))
        assert not live.heard.of(VenueDisconnected)


async def test_venues_pings_are_answered() -> None:
    """It drops who is silent, however much it talks itself."""
    async with trading({"idle_s": 0.6, "ping_s": 0.2}) as (live, _, _connector):
        for _ in range(60):
            await live.heard.until(BookDelta, since=live.here)
        assert not live.heard.of(VenueDisconnected)


async def test_connection_that_has_grown_old_is_made_anew() -> None:
    """The venue drops it after a day: told, and mended."""
    async with trading({"life_s": 1.0}) as (live, _, _connector):
        lost = await live.heard.until(VenueDisconnected)
        await live.heard.until(VenueConnected, since=live.heard.events.index(lost))


async def test_announced_shutdown_is_a_lost_link_like_any_other() -> None:
    """Counted when it is announced; what was placed stands."""
    async with trading() as (live, control, connector):
        order = live.order()
        await live.placed(order)
        await control.fault(FaultKind.RESTART, ms=50)
        lost = await live.heard.until(VenueDisconnected)
        await live.heard.until(VenueConnected, since=live.heard.events.index(lost))
        assert connector.problems["shutdown"] == 1
        assert await live.open_ids() == [order.client_id]


async def test_lost_book_is_unsubscribed_and_subscribed_again() -> None:
    """A second subscription alone would be refused with 30003, and bring nothing."""
    async with trading() as (live, control, connector):
        await control.fault(FaultKind.LOSE_MESSAGE, on="order_book")
        gap = await live.heard.until(BookInvalidated)
        await live.heard.until(BookSnapshot, since=live.heard.events.index(gap))
        assert "error_30003" not in connector.problems


async def test_account_and_clock_are_told() -> None:
    """Collateral when it changes, positions when they do, the venue's time now and then, funding with its period."""
    async with trading() as (live, _, _connector):
        balance = await live.heard.until(BalanceUpdate)
        assert (balance.asset, from_pair(balance.total)) == ("USDC", 100_000 * 10**18)
        await live.heard.until(VenueTime)
        assert (await live.heard.until(FundingUpdate)).period_ns == 3_600_000_000_000
        order = live.order(away=0)
        await live.placed(order)
        since = live.here
        await live.hand.fill(order.client_id, 3)
        assert (await live.heard.until(PositionUpdate, since=since)).lots == 3


async def test_key_that_is_refused_while_running_ends_the_run() -> None:
    """Nothing is tried again with it."""
    heard = Heard()
    async with lighter_venue() as control:
        connector = lighter_connector(control, heard.put, keys=(4,))
        live = ConnectorUnderTest(connector, heard, LighterHand(control), control.clock.now_ns)
        (live.instrument,) = await connector.load_instruments()
        running = asyncio.create_task(connector.run())
        await live.two_sided()
        del control.venue.admission.keys[4]
        order = live.order()
        await live.send(order)
        await heard.until(OrderRejected, refused(order))
        with pytest.raises(CredentialsRefused, match="21109"):
            await asyncio.wait_for(running, 5)
        await connector.close()


# Account


async def test_switch_is_called_off_before_it_is_set_again() -> None:
    """A second one would be refused while the first is scheduled."""
    async with trading() as (live, control, connector):
        for ahead_ms in (0, 600_000, 900_000):
            deadline_ns = control.clock.now_ns() + ahead_ms * 1_000_000
            await connector.arm_dead_man(deadline_ns)
        set_ms = control.venue.exchange.cancel_all_ms
        assert abs(set_ms - (control.clock.now_ns() // 1_000_000 + 900_000)) < 5000
        await connector.arm_dead_man(None)
        assert control.venue.exchange.cancel_all_ms == 0
        assert live.connector.capabilities.dead_man_floor_ms == 300_000


async def test_a_contract_that_the_venue_changes_is_told_once() -> None:
    """No stream says it: status and steps are read again; what has not changed is no news."""
    async with trading(contracts_every_s=0.1) as (live, control, _):
        book, heard = control.venue.exchange.books[0], live.heard
        begun = book.instrument
        for changed in (
            msgspec.structs.replace(begun, tradable=False),
            msgspec.structs.replace(begun, min_lots=7 * begun.min_lots),
            msgspec.structs.replace(begun, tradable=False),
        ):
            since, book.instrument = live.here, changed
            told = await heard.until(InstrumentUpdated, since=since)
            assert told.instrument == "lighter:ETH"
            assert (told.definition.tradable, told.definition.min_lots) == (changed.tradable, changed.min_lots)
        assert len(heard.of(InstrumentUpdated)) == 3


async def test_a_contract_that_the_venue_names_no_more_is_closed() -> None:
    async with lighter_venue() as control:
        rest = RestClient(control.url, timeout_s=3.0, reads_per_minute=100, weighed=False)
        there = dict(await contracts.markets(rest, Venue("lighter"), ("ETH",), None))
        gone = msgspec.structs.replace(there[0], symbol="OLD")
        told = await contracts.changed(rest, Venue("lighter"), {**there, 77: gone}, None)
        await rest.close()
        assert told == {77: msgspec.structs.replace(gone, tradable=False)}


async def test_payments_of_funding_are_in_the_snapshot_once() -> None:
    """By their own number, with the venue's sign, and not again when they are older."""
    often = msgspec.structs.replace(QUIET, funding_period_s=10)
    async with trading({"symbol_settings": often}) as (live, control, _):
        order = live.order(away=0)
        await live.placed(order)
        await live.hand.fill(order.client_id, order.lots)
        await live.heard.until(OrderFilled)
        now_ms = control.clock.now_ns() // 1_000_000
        await control.fault(FaultKind.CLOCK_STEP, ms=10_000 - now_ms % 10_000 + 100)
        shown = await live.snapshot()
        (paid,) = shown.payments
        (row,) = control.venue.exchange.account.funding
        assert from_pair(paid.amount) == int(Decimal(row["change"]) * 10**18)
        assert (await live.snapshot(paid.ts_venue_ns + 1)).payments == ()
        assert (await live.snapshot(paid.ts_venue_ns)).payments != ()


async def test_leverage_is_set_at_the_start() -> None:
    """10000 over the leverage, for each of our markets."""
    async with trading(leverage=20, isolated=True) as (_, control, _connector):
        held = control.venue.exchange.account.positions[0]
        assert (held.margin_fraction, held.isolated) == (500, True)


async def test_contracts_and_fees_are_the_venues() -> None:
    """Steps from decimals, minimums from the market, fees from the account's tier."""
    async with trading() as (live, _, _connector):
        contract = live.instrument
        assert (contract.tick, contract.lot) == (Decimal("0.01"), Decimal("0.001"))
        assert (contract.maker_fee_ppm, contract.taker_fee_ppm) == (40, 280)
        assert contract.min_notional == 5 and contract.min_lots == 1


async def test_symbol_that_is_not_there_is_named() -> None:
    """With those that are."""
    async with lighter_venue(symbols=("ETH", "BTC")) as control:
        connector = lighter_connector(control, lambda event: None, symbols=("DOGE",))
        with pytest.raises(ConfigError, match=r"no symbol DOGE; there are BTC, ETH"):
            await connector.load_instruments()
        await connector.close()


# Without an account, and settings


async def test_feed_without_an_account_has_books_and_refuses_to_trade() -> None:
    """For paper runs: no key, no library, a read-only connection."""
    heard = Heard()
    async with lighter_venue() as control:
        connector = lighter_connector(control, heard.put, account=None)
        (instrument,) = await connector.load_instruments()
        running = asyncio.create_task(connector.run())
        await heard.until(VenueConnected)
        await heard.until(BookDelta)
        assert [client.read_only for client in control.venue._streams.clients] == [True]
        with pytest.raises(CredentialsRefused, match="no account to trade with"):
            await connector.cancel_all()
        assert instrument.symbol == "ETH"
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await connector.close()


def _context(secrets: dict[str, str]) -> ConnectorContext:
    return ConnectorContext(
        venue=Venue("lighter"),
        symbols=("ETH",),
        emit=lambda event: None,
        now_ns=lambda: 0,
        delay_s=lambda at_ns: 0.0,
        secrets=secrets,
    )


def test_secret_that_is_missing_is_named() -> None:
    """One for each key."""
    settings = LighterSettings(network=Deployment.TESTNET, account=ACCOUNT, api_keys=(4, 5))
    with pytest.raises(ConfigError, match=r"secrets\.api_key_5 is missing"):
        LighterConnector(_context({"api_key_4": "0x00"}), settings)


def test_library_that_is_missing_is_told_with_the_command() -> None:
    """Before anything begins."""
    settings = LighterSettings(network=Deployment.TESTNET, account=ACCOUNT, signer_library="/nowhere/signer.so")
    with pytest.raises(ConfigError, match=r"python -m connectors.lighter.library"):
        LighterConnector(_context({"api_key_4": "0x00"}), settings)


@pytest.mark.parametrize(
    ("network", "host", "chain"),
    [
        (Deployment.MAINNET, "mainnet.zklighter.elliot.ai", 304),
        (Deployment.TESTNET, "testnet.zklighter.elliot.ai", 300),
        (Deployment.ROBINHOOD, "api.rh.lighter.xyz", 466_324),
        (Deployment.ROBINHOOD_TESTNET, "api.rh-testnet.lighter.xyz", 300),
    ],
)
def test_deployments_have_hosts_and_chains_of_their_own(network: Deployment, host: str, chain: int) -> None:
    """The chain is asked for by name, never guessed from an address."""
    settings = LighterSettings(network=network, account=1)
    assert (settings.rest_url, settings.socket_url) == (f"https://{host}", f"wss://{host}/stream")
    assert settings.chain == chain
    elsewhere = LighterSettings(network=network, url="http://127.0.0.1:9700/", account=1)
    assert (elsewhere.socket_url, elsewhere.chain) == ("ws://127.0.0.1:9700/stream", chain)
    assert LighterSettings(network=network).socket_url.endswith("/stream?readonly=true")


def test_limits_are_the_tiers() -> None:
    """A premium account has a quota that time does not refill and cancels do not use."""
    standard = capabilities(LighterSettings(network=Deployment.MAINNET, account=1))
    assert [(bucket.name, bucket.capacity) for bucket in standard.buckets] == [("transactions", 60)]
    premium = capabilities(LighterSettings(network=Deployment.MAINNET, account=1, tier=Tier.PREMIUM))
    quota = premium.buckets[1]
    assert (quota.name, quota.kind, quota.cancels_exempt) == (QUOTA, BucketKind.QUOTA, True)
    assert (premium.amend_quantity, premium.batch_max) == (AmendQuantity.TOTAL, 15)
    assert capabilities(LighterSettings(network=Deployment.MAINNET)).dead_man_floor_ms is None


async def test_many_markets_are_subscribed_a_few_at_a_time() -> None:
    """No more than 35 wait for their answer at any time, and in the end all are there."""
    symbols = tuple(f"C{number}" for number in range(16))
    heard, most = Heard(), 0
    async with lighter_venue(symbols=symbols) as control:
        connector = lighter_connector(control, heard.put, symbols=symbols)
        loaded = await connector.load_instruments()
        running = asyncio.create_task(connector.run())

        def noted(event: Any) -> bool:
            nonlocal most
            most = max(most, connector.channels.unanswered)
            return isinstance(event, BookSnapshot)

        for instrument in loaded:
            await heard.until(BookSnapshot, lambda event, name=instrument.id: noted(event) and event.instrument == name)  # type: ignore[misc]
        assert most <= 35
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await connector.close()
