"""The dYdX connector against the simulated chain: what only this venue has. What all share is conformance."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from connectors.dydx import tx
from connectors.dydx.connector import DydxConnector
from connectors.dydx.keys import Signer
from connectors.dydx.translate import MessageIds
from connectors.dydx.wire import Envelope
from connectors.simulators.dydx.accounts import Order
from connectors.simulators.dydx.state import Trouble
from connectors.simulators.faults import FaultKind
from mm_daemon.domain.capabilities import CommandClass, Validity
from mm_daemon.domain.decisions import AmendOrder, ApprovedCommand, CancelOrder, Command, PlaceOrder, Reason
from mm_daemon.domain.errors import ConfigError, CredentialsRefused, VenueUnreachable
from mm_daemon.domain.events import (
    BookDelta,
    BookInvalidated,
    BookSnapshot,
    CommandOutcomeUnknown,
    InstrumentUpdated,
    InvalidCause,
    OrderAccepted,
    OrderAmended,
    OrderAmendRejected,
    OrderCanceled,
    OrderCancelRejected,
    OrderExpired,
    OrderFilled,
    OrderNotFound,
    OrderRejected,
    OrderStatus,
    RateLimited,
    VenueConnected,
    VenueDisconnected,
    VenueTime,
)
from mm_daemon.domain.instrument import InstrumentId
from mm_daemon.domain.orders import ClientOrderId, RejectKind, Side, TimeInForce
from mm_daemon.testkit.conformance import Heard
from tests.dydx import FIRST_ID, Control, dydx_connector, dydx_venue, uuid_of

_WHY = (Reason.NEW_QUOTE,)
_BTC = InstrumentId("dydx:BTC-USD")


class Live:
    """A connector on a running chain."""

    def __init__(self, control: Control, connector: DydxConnector, heard: Heard) -> None:
        self.control = control
        self.chain = control.venue.chain
        self.connector = connector
        self.heard = heard
        self._last = FIRST_ID - 1

    @property
    def here(self) -> int:
        return len(self.heard.events)

    def order(self, side: Side = Side.BUY, *, lots: int = 10, away: int = 20, **keys: Any) -> PlaceOrder:
        self._last += 1
        ticks = self.chain.markets[0].book.best(side) - side * away
        return PlaceOrder(_BTC, ClientOrderId(self._last), side, 0, ticks, lots, _WHY, **keys)

    async def send(self, *commands: Command) -> None:
        await self.connector.send(
            [msgspec.convert(["approved", msgspec.to_builtins(each), 0], ApprovedCommand) for each in commands]
        )

    async def placed(self, order: PlaceOrder) -> Order:
        """The order as the chain has it."""
        await self.send(order)
        await self.heard.until(OrderAccepted, self.of(order))
        return self.on_chain(order)

    def on_chain(self, order: PlaceOrder) -> Order:
        uuid = self.uuid(order)
        return next(each for each in self.chain.orders.values() if each.uuid == uuid)

    def uuid(self, order: PlaceOrder) -> str:
        return uuid_of(self.control.address, order.client_id)

    def of(self, order: PlaceOrder) -> Callable[[Any], bool]:
        return lambda event: event.client_id == order.client_id

    def ending(self, order: PlaceOrder) -> Callable[[Any], bool]:
        """The last word on an order."""
        return lambda event: event.client_id == order.client_id and getattr(event, "final", True)


@asynccontextmanager
async def alive(*, venue: dict[str, Any] | None = None, key: str | None = "", **settings: Any) -> AsyncIterator[Live]:
    """Loaded, connected and with a book; `key` "": the account's own."""
    heard = Heard()
    async with dydx_venue(symbols=("BTC-USD",), **(venue or {})) as control:
        used = control.key() if key == "" else key
        connector = dydx_connector(control.url, heard.put, key=used, **settings)
        await connector.load_instruments()
        running = asyncio.create_task(connector.run())
        try:
            await heard.until(VenueConnected)
            await heard.until(BookSnapshot)
            yield Live(control, connector, heard)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await connector.close()


# What it can do


async def test_capabilities_are_those_of_short_term_orders() -> None:
    async with dydx_venue() as control:
        able = dydx_connector(control.url, lambda _event: None, key=None, requests_per_10s=40).capabilities
    assert able.amend and not able.amend_new_venue_id and not able.cancel_final
    assert able.validity is Validity.HEIGHT and able.max_order_blocks == 20 and able.client_id_bits == 32
    chain, node = able.buckets
    assert (chain.blocks, chain.capacity) == (5, 4000) and chain.cost(CommandClass.CANCEL_ALL, 1) == 2
    assert (node.period_ms, node.capacity) == (10_000, 40)


async def test_instruments_are_exact() -> None:
    async with dydx_venue(symbols=("BTC-USD", "PEPE-USD")) as control:
        connector = dydx_connector(control.url, lambda _event: None, key=control.key(), symbols=("BTC-USD", "PEPE-USD"))
        bitcoin, pepe = await connector.load_instruments()
        await connector.close()
    assert (f"{bitcoin.tick}", f"{bitcoin.lot}") == ("1", "0.0001")
    assert f"{pepe.tick:f}" == "0.0000000001" and pepe.lot == 10_000_000
    assert (bitcoin.maker_fee_ppm, bitcoin.taker_fee_ppm) == (100, 500)


# Orders


async def test_an_order_ends_a_little_before_the_core_says_and_bears_the_whole_id() -> None:
    """So it can be moved within one block and still end in time; the upper bits of the id travel as metadata."""
    async with alive() as live:
        height = live.chain.height
        order = await live.placed(live.order(expires_height=height + 16))
        assert height + 16 - 3 == order.good_til_block
        assert order.id.client_id | order.metadata << 32 == FIRST_ID


async def test_a_move_is_one_place_under_the_same_id_that_ends_later() -> None:
    async with alive() as live:
        place = live.order(expires_height=live.chain.height + 16)
        first = await live.placed(place)
        for lots in (11, 12, 13):
            move = AmendOrder(_BTC, place.client_id, place.ticks - 1, lots, _WHY, expires_height=first.good_til_block)
            move = msgspec.structs.replace(move, expires_height=(first.good_til_block or 0) + 3)
            await live.send(move)
            await live.heard.until(OrderAmended, lambda event, lots=lots: event.lots == lots)  # type: ignore[misc]
        now = live.on_chain(place)
        assert now.lots == 13 and now.good_til_block == (first.good_til_block or 0) + 3
        await live.send(msgspec.structs.replace(move, lots=14))
        refused = await live.heard.until(OrderAmendRejected)
        assert refused.kind is RejectKind.OTHER and "moved too often" in refused.text
        assert not live.heard.of(OrderCanceled)


async def test_an_order_expires_with_its_filled_size_and_finally() -> None:
    async with alive() as live:
        place = live.order(lots=10, away=0, expires_height=live.chain.height + 8)
        await live.placed(place)
        await live.control.fill(live.uuid(place), 4)
        filled = await live.heard.until(OrderFilled, live.of(place))
        assert filled.lots == 4 and filled.fee is not None
        end = await live.heard.until(OrderCanceled, live.ending(place))
        assert end.filled_lots == 4
        assert live.chain.height > (live.on_chain(place).good_til_block or 0)


async def test_a_cancel_is_not_final_before_the_block_and_a_fill_may_come_between() -> None:
    """Another proposer's block fills what this node has dropped (FACTS 17.4)."""
    async with alive() as live:
        place = live.order(expires_height=live.chain.height + 12)
        await live.placed(place)
        await live.send(CancelOrder(_BTC, place.client_id, _WHY))
        canceled = await live.heard.until(OrderCanceled, live.of(place))
        assert not canceled.final and canceled.filled_lots is None
        await live.control.fill(live.uuid(place), 3, cancelled=True)
        await live.heard.until(OrderFilled, live.of(place))
        end = await live.heard.until(OrderCanceled, live.ending(place))
        assert end.filled_lots == 3


async def test_a_cancel_ends_no_sooner_than_its_order() -> None:
    """A sooner one answers 0, is told as done, and does nothing (FACTS 17.3)."""
    async with alive() as live:
        place = live.order(expires_height=live.chain.height + 20)
        order = await live.placed(place)
        await live.send(CancelOrder(_BTC, place.client_id, _WHY))
        await live.heard.until(OrderCanceled, live.of(place))
        assert live.chain.cancels[order.id] >= (order.good_til_block or 0) and not order.resting


async def test_the_id_of_a_cancelled_order_is_not_used_again() -> None:
    async with alive() as live:
        place = live.order(expires_height=live.chain.height + 16)
        await live.placed(place)
        await live.send(CancelOrder(_BTC, place.client_id, _WHY))
        await live.heard.until(OrderCanceled, live.of(place))
        await live.send(AmendOrder(_BTC, place.client_id, place.ticks, 5, _WHY))
        assert (await live.heard.until(OrderAmendRejected)).kind is RejectKind.GONE


async def test_taken_is_not_resting() -> None:
    """Answer 0, then dropped: by another node's book, or for want of collateral (FACTS 17.1, 17.6)."""
    for trouble in (Trouble.LATE_POST_ONLY, Trouble.UNDERCOLLATERALIZED):
        async with alive() as live:
            await live.control.post("trouble", {"kind": trouble})
            place = live.order(expires_height=live.chain.height + 8)
            await live.placed(place)
            await live.heard.until(OrderCanceled, live.of(place))
            end = await live.heard.until(OrderCanceled, live.ending(place))
            assert end.filled_lots == 0


async def test_an_order_that_the_indexer_never_hears_of_is_settled_by_height() -> None:
    async with alive() as live:
        await live.control.post("trouble", {"kind": Trouble.UNTOLD})
        place = live.order(expires_height=live.chain.height + 8)
        await live.placed(place)
        end = await live.heard.until(OrderExpired, live.of(place))
        assert end.filled_lots == 0


async def test_ioc_reduces_and_never_rests() -> None:
    async with alive() as live:
        opening = live.order(away=-40, lots=5, post_only=False, time_in_force=TimeInForce.IOC)
        await live.send(opening)
        first = await live.heard.until(OrderFilled, live.of(opening))
        assert not first.maker
        closing = live.order(
            Side.SELL, away=-40, lots=5, post_only=False, reduce_only=True, time_in_force=TimeInForce.IOC
        )
        await live.send(closing)
        await live.heard.until(OrderFilled, live.of(closing))


async def test_three_cancels_are_one_message_and_only_the_feed_confirms() -> None:
    """A batch answers 0 whatever it did (FACTS 17.2)."""
    async with alive() as live:
        places = [live.order(away=20 + n, expires_height=live.chain.height + 16) for n in range(4)]
        for place in places:
            await live.placed(place)
        owner = live.chain.owners[live.control.address]
        owner.spent["short"].clear()
        await live.send(*(CancelOrder(_BTC, place.client_id, _WHY) for place in places))
        for place in places:
            assert not (await live.heard.until(OrderCanceled, live.of(place))).final
        assert [count for _, count in owner.spent["short"]] == [2]


async def test_a_batch_that_did_nothing_confirms_nothing() -> None:
    """The network's window is shorter than we were told: code 0, and the orders stand."""
    async with alive(venue={"short_block_window": 8}, block_window=20) as live:
        places = [live.order(away=20 + n, expires_height=live.chain.height + 8) for n in range(3)]
        for place in places:
            await live.placed(place)
        since = live.here
        await live.send(*(CancelOrder(_BTC, place.client_id, _WHY) for place in places))
        assert all(live.on_chain(place).resting for place in places)
        assert not live.heard.of(OrderCanceled, since) and not live.heard.of(OrderCancelRejected, since)


async def test_refusals_have_their_kinds_and_a_block_limit_is_told() -> None:
    async with alive(venue={"short_term_per_5_blocks": 1_000_000}) as live:
        crossing = live.order(away=-500)
        await live.send(crossing)
        assert (await live.heard.until(OrderRejected, live.of(crossing))).kind is RejectKind.POST_ONLY_CROSS
        live.chain.settings = msgspec.structs.replace(live.chain.settings, short_term_per_5_blocks=1)
        for _ in range(3):
            last = live.order()
            await live.send(last)
        assert (await live.heard.until(OrderRejected, live.of(last))).kind is RejectKind.RATE_LIMITED
        assert live.heard.of(RateLimited)[0].bucket == "chain"


# Nodes


async def test_a_nodes_429_is_told_and_nothing_was_done() -> None:
    async with alive() as live:
        await live.control.fault(FaultKind.RATE_LIMIT, on="/")
        place = live.order()
        await live.send(place)
        limited = await live.heard.until(RateLimited)
        assert (limited.bucket, limited.retry_after_ms, limited.banned) == ("node", None, False)
        assert (await live.heard.until(OrderRejected, live.of(place))).kind is RejectKind.RATE_LIMITED


async def test_what_never_left_goes_to_the_next_node_and_what_failed_is_left_alone() -> None:
    async with dydx_venue(symbols=("BTC-USD",)) as control:
        dead, nodes = "http://127.0.0.1:1", ("http://127.0.0.1:1", f"{control.url}/nodes/a", f"{control.url}/nodes/b")
        heard = Heard()
        connector = dydx_connector(control.url, heard.put, key=control.key(), nodes=nodes, node_rest=control.url)
        await connector.load_instruments()
        assert connector.nodes.failures[dead] == 1 and connector.nodes.order()[0] == nodes[1]
        live = Live(control, connector, heard)
        await control.fault(FaultKind.SERVER_ERROR, on="/nodes/a")
        first, second = live.order(), live.order()
        await live.send(first)
        await heard.until(CommandOutcomeUnknown, live.of(first))
        await live.send(second)
        await heard.until(OrderAccepted, live.of(second))
        assert connector.nodes.failures == {dead: 1, nodes[1]: 1, nodes[2]: 0}
        await connector.close()


async def test_the_same_bytes_that_a_node_knows_count_as_taken() -> None:
    async with alive() as live:
        await live.control.fault(FaultKind.LOSE_REPLY, on="/broadcast_tx_sync")
        place = live.order()
        await live.send(place)
        await live.heard.until(CommandOutcomeUnknown, live.of(place))
        since = live.here
        await live.connector.query_order(place.client_id)
        status = await live.heard.until(OrderStatus, live.of(place), since=since)
        assert (status.ticks, status.lots, status.filled_lots) == (place.ticks, place.lots, 0)


# The account


async def test_an_earlier_lifes_orders_and_fills_are_ours() -> None:
    """A new process knows them by the upper bits of their ids, which came back as metadata."""
    async with alive() as live:
        kept = live.order(away=30, expires_height=live.chain.height + 20)
        done = live.order(away=0, lots=4, expires_height=live.chain.height + 20)
        await live.placed(kept)
        await live.placed(done)
        await live.control.fill(live.uuid(done), 4)
        await live.heard.until(OrderFilled, live.of(done))
        heard = Heard()
        again = dydx_connector(live.control.url, heard.put, key=live.control.key())
        await again.load_instruments()
        shown = await again.snapshot(0)
        assert [order.client_id for order in shown.orders] == [kept.client_id]
        assert {fill.client_id for fill in shown.fills} == {done.client_id}
        assert shown.positions == ((_BTC, 4),)
        assert (shown.height or 0) + 3 == shown.fills_height  # lists of orders may be a second old
        second = Live(live.control, again, heard)
        await second.send(CancelOrder(_BTC, kept.client_id, _WHY))
        assert not live.on_chain(kept).resting
        await again.close()


async def test_orders_of_others_are_foreign() -> None:
    """The web site's orders have a metadata of 0 or 1, and ids that might look like ours."""
    async with alive() as live:
        signer = Signer(live.chain.keys[0])
        orders = tx.ShortTermOrders(tx.Subaccount(signer.address), 0)
        builder = tx.TxBuilder(signer, chain_id="localdydxprotocol", account_number=73)
        ticks = live.chain.markets[0].book.best(Side.BUY) - 9
        for client_id, metadata in ((1, 0), (2, 1)):
            until = live.chain.next_height + 15
            message = orders.place(client_id, 1, 10**7, ticks * 100_000, until, tx.OrderTif.POST_ONLY, False, metadata)
            assert live.chain.broadcast(builder.raw(message), live.chain.block_ns).code == 0
        shown = await live.connector.snapshot(1 << 62)
        assert [order.client_id for order in shown.orders] == [None, None]
        await live.connector.cancel_all()
        assert (await live.connector.snapshot(1 << 62)).orders == ()


async def test_a_short_position_is_negative() -> None:
    async with alive() as live:
        place = live.order(Side.SELL, away=0, lots=7)
        await live.placed(place)
        await live.control.fill(live.uuid(place), 7)
        await live.heard.until(OrderFilled, live.of(place))
        assert (await live.connector.snapshot(0)).positions == ((_BTC, -7),)


async def test_funding_is_read_with_the_snapshot() -> None:
    async with alive(venue={"funding_period_s": 1, "funding_rate_ppm": 100.0}) as live:
        place = live.order(away=0, lots=10)
        await live.placed(place)
        await live.control.fill(live.uuid(place), 10)
        await live.heard.until(OrderFilled, live.of(place))
        async with asyncio.timeout(5):
            while not (shown := await live.connector.snapshot(0)).payments:  # noqa: ASYNC110 - asked, never told
                await asyncio.sleep(0.05)
        assert shown.payments[0].amount[0] == -1 and shown.payments[0].payment_key.startswith("BTC-USD-")


async def test_an_unknown_order_proves_nothing_before_its_block() -> None:
    async with alive() as live:
        await live.connector.query_order(ClientOrderId(FIRST_ID + 500))
        await live.heard.until(OrderNotFound)


async def test_permissioned_key_trades_for_the_owner() -> None:
    async with dydx_venue(symbols=("BTC-USD",)) as control:
        trader = Signer(b"\x07" * 32)
        body = {"owner": control.address, "public_key": trader.public_key.hex(), "pairs": [0], "subaccounts": [0]}
        number = (await control.post("permit", body))["id"]
        keys: dict[str, Any] = {"key": "07" * 32, "owner": control.address}
        with pytest.raises(ConfigError, match="authenticator"):
            dydx_connector(control.url, lambda _event: None, **keys)
        heard = Heard()
        connector = dydx_connector(control.url, heard.put, **keys, authenticator=number)
        await connector.load_instruments()
        live = Live(control, connector, heard)
        await live.placed(live.order())
        await connector.close()
        stranger = dydx_connector(control.url, heard.put, **keys, authenticator=number + 1)
        with pytest.raises(CredentialsRefused, match="accountplus 1"):
            await stranger.load_instruments()
        await stranger.close()


async def test_a_feed_needs_no_key_and_refuses_to_trade() -> None:
    async with alive(key=None) as live:
        await live.heard.until(BookDelta)
        place = live.order()
        await live.send(place)
        assert (await live.heard.until(OrderRejected, live.of(place))).text == "there is no key"
        assert (await live.connector.snapshot(0)).orders == ()


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"key": "nonsense"}, "secrets.private_key"),
        ({"key": "11" * 32, "owner": "dydx1nope"}, "owner"),
        ({"key": None, "node_rest": "ftp://here"}, "node_rest"),
    ],
)
def test_what_cannot_be_is_said_at_once(keys: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        dydx_connector("http://127.0.0.1:1", lambda _event: None, **keys)


async def test_a_symbol_that_is_not_there_and_a_venue_that_is_not() -> None:
    async with dydx_venue() as control:
        connector = dydx_connector(control.url, lambda _event: None, key=None, symbols=("NOPE-USD",))
        with pytest.raises(ConfigError, match="no symbol NOPE-USD"):
            await connector.load_instruments()
        await connector.close()
    gone = dydx_connector(control.url, lambda _event: None, key=None)
    with pytest.raises(VenueUnreachable):
        await gone.load_instruments()
    await gone.close()


# The feed


async def test_heights_are_told_and_subscriptions_are_not_batched() -> None:
    """Batches come up to 250 ms late (FACTS 17.11)."""
    async with alive() as live:
        first = await live.heard.until(VenueTime, lambda event: event.height is not None)
        next_height = (first.height or 0) + 1
        await live.heard.until(VenueTime, lambda event: event.height == next_height)
        (client,) = live.control.venue.streams.clients
        assert not any(client.subscriptions.values())
        assert {channel for channel, _ in client.subscriptions} == {
            "v4_orderbook",
            "v4_trades",
            "v4_markets",
            "v4_subaccounts",
            "v4_block_height",
        }


async def test_a_crossed_book_is_uncrossed() -> None:
    async with alive() as live:
        ask = live.chain.markets[0].book.best(Side.SELL)
        since = live.here
        await live.control.post("level", {"ticker": "BTC-USD", "side": "BUY", "ticks": ask, "lots": 3})
        both = await live.heard.until(BookDelta, lambda event: (ask, 3) in event.bids, since=since)
        assert (ask, 0) in both.asks


async def test_a_missed_removal_is_repaired_by_the_rest_interface() -> None:
    """After it has been quiet for three seconds (FACTS 13)."""
    async with alive(book_check_s=0.2) as live:
        low = live.chain.markets[0].book.best(Side.BUY) - 15
        while live.chain.markets[0].book.lots_at(Side.BUY, low):
            low -= 1
        await live.control.post("level", {"ticker": "BTC-USD", "side": "BUY", "ticks": low, "lots": 3})
        await live.heard.until(BookDelta, lambda event: (low, 3) in event.bids)
        await live.heard.until(BookDelta, lambda event: (low, 0) in event.bids)
        assert live.connector.problems["repaired_level"] >= 1


async def test_a_hole_in_the_ids_opens_another_connection() -> None:
    async with alive() as live:
        since = live.here
        await live.control.post("stream", {"skip_ids": 1})
        gap = await live.heard.until(BookInvalidated, since=since)
        assert gap.cause is InvalidCause.GAP
        await live.heard.until(VenueDisconnected, since=since)
        up = await live.heard.until(VenueConnected, since=since)
        await live.heard.until(BookSnapshot, since=live.heard.events.index(up))


async def test_late_answers_to_subscriptions_leave_holes_that_are_none() -> None:
    ids = MessageIds()
    ids.pending = 2
    for number, kind in ((3, "channel_data"), (2, "subscribed"), (4, "channel_data"), (1, "subscribed")):
        assert ids.see(Envelope(kind, number))  # type: ignore[arg-type]
    assert ids.see(Envelope("error", 4)) and ids.see(Envelope("channel_data", 5))
    assert not ids.see(Envelope("channel_data", 7))


async def test_an_indexer_far_behind_the_node_is_not_believed() -> None:
    async with alive(max_lag_blocks=3, lag_check_s=0.1) as live:
        since = live.here
        await live.control.post("stream", {"lag_ms": 600})
        late = await live.heard.until(BookInvalidated, since=since)
        assert late.cause is InvalidCause.UNSYNCHRONISED and "blocks behind the node" in late.detail
        since = live.here
        await live.control.post("stream", {"lag_ms": 0})
        await live.heard.until(BookSnapshot, since=since)


async def test_a_market_that_closes_is_told() -> None:
    async with alive() as live:
        for status, tradable in (("PAUSED", False), ("POST_ONLY", True)):
            since = live.here
            await live.control.post("status", {"ticker": "BTC-USD", "status": status})
            told = await live.heard.until(InstrumentUpdated, since=since)
            assert told.definition.tradable is tradable
            await live.heard.until(BookSnapshot, since=since)


async def test_the_indexers_429_is_milliseconds_and_reads_wait() -> None:
    async with alive() as live:
        await live.control.fault(FaultKind.RATE_LIMIT, on="/v4/orders", ms=150)
        with pytest.raises(VenueUnreachable, match="429"):
            await live.connector.snapshot(0)
        with pytest.raises(VenueUnreachable, match="asked us to wait"):
            await live.connector.snapshot(0)
        await asyncio.sleep(0.2)
        assert (await live.connector.snapshot(0)).height


async def test_there_is_no_switch_to_arm() -> None:
    connector = dydx_connector("http://127.0.0.1:1", lambda _event: None, key=None)
    with pytest.raises(VenueUnreachable, match="no dead man's switch"):
        await connector.arm_dead_man(1)
    await connector.close()


async def test_a_country_that_is_shut_out_is_told_in_the_venues_words() -> None:
    """Nothing begins, and nothing is sent to the node."""
    async with dydx_venue(symbols=("BTC-USD",), geoblocked=True) as control:
        connector = dydx_connector(control.url, lambda _event: None, key=control.key())
        with pytest.raises(VenueUnreachable, match=r"403.*GEOBLOCKED"):
            await connector.load_instruments()
        await connector.close()
        assert control.venue.acted == {}
