"""Quotes in the chain's state: what only they have. What all orders share is conformance and `test_connector.py`."""

import asyncio
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from connectors.dydx.settings import DydxSettings, OrderKind, capabilities
from connectors.dydx.stateful import COMMAND_LIFE_MS, NONCE_WINDOW_MS, Nonces
from connectors.simulators.dydx.accounts import Order, Owner
from connectors.simulators.faults import FaultKind
from mm_daemon.domain.capabilities import CommandClass, Validity
from mm_daemon.domain.decisions import AmendOrder, CancelOrder, PlaceOrder
from mm_daemon.domain.events import (
    CommandOutcomeUnknown,
    OrderAccepted,
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
    VenueTime,
)
from mm_daemon.domain.orders import RejectKind, Side, TimeInForce
from mm_daemon.testkit.conformance import Heard
from tests.dydx import dydx_connector, uuid_of
from tests.unit.connectors.dydx.test_connector import _BTC, _WHY, Live, alive

STATEFUL: dict[str, Any] = {"orders": OrderKind.STATEFUL}
_MS = 1_000_000


def on_chain(live: Live, place: PlaceOrder) -> Order:
    uuid = uuid_of(live.control.address, place.client_id, flags=64)
    return next(each for each in live.chain.orders.values() if each.uuid == uuid)


async def placed(live: Live, place: PlaceOrder) -> Order:
    await live.send(place)
    await live.heard.until(OrderAccepted, live.of(place))
    return on_chain(live, place)


def owner(live: Live) -> Owner:
    return live.chain.owners[live.control.address]


# Nonces


@given(
    st.lists(
        st.tuples(st.integers(0, 50), st.one_of(st.none(), st.integers(COMMAND_LIFE_MS, 90_000))),
        min_size=1,
        max_size=60,
    )
)
def test_nonces_rise_and_close_with_their_command(steps: list[tuple[int, int | None]]) -> None:
    """Whatever is asked for: the chain takes each within its window, none of them twice; a command is void at the end
    that it names, but for the few ms by which a burst pushes it."""
    nonces, account, now_ms = Nonces(), Owner(b"\x02" + b"\x01" * 32, 1), 1_790_000_000_000
    last = pushed = 0
    for passed_ms, life_ms in steps:
        now_ms += passed_ms
        expires_ns = None if life_ms is None else (now_ms + life_ms) * _MS
        nonce = nonces.take(now_ms * _MS, expires_ns)
        assert nonce > last and nonce <= now_ms + len(steps)
        wanted = min(now_ms + (life_ms or COMMAND_LIFE_MS) - NONCE_WINDOW_MS, now_ms)
        pushed = max(last + 1 - wanted, 0)
        assert nonce == wanted + pushed
        assert account.use_sequence(nonce, now_ms, NONCE_WINDOW_MS) is None
        last = nonce


# What it can do


def test_capabilities_are_those_of_stateful_orders() -> None:
    able = capabilities(DydxSettings(orders=OrderKind.STATEFUL, stateful_ttl_s=600))
    assert not able.amend and able.cancel_final and able.max_order_blocks is None
    assert able.validity is Validity.EXPIRES_AT and able.action_ttl_floor_ms == COMMAND_LIFE_MS
    assert able.order_life_ms == 600_000
    _, _, block, many = able.buckets
    assert (block.capacity, many.capacity, many.blocks) == (2, 20, 100)
    assert not any(bucket.concerns(kind) for bucket in (block, many) for kind in CommandClass if kind != "place")


# Orders


async def test_an_order_is_accepted_by_a_block_and_ends_with_its_time() -> None:
    async with alive(stateful_ttl_s=11, **STATEFUL) as live:
        place = live.order()
        await live.send(place)
        assert not live.heard.of(OrderAccepted)  # the node has taken it, which is not there
        accepted = await live.heard.until(OrderAccepted, live.of(place))
        order = on_chain(live, place)
        assert accepted.venue_order_id == order.uuid and order.id.flags == 64
        assert order.id.client_id | order.metadata << 32 == place.client_id
        opened_s = order.good_til_time - 11 if order.good_til_time is not None else 0
        assert abs(opened_s - live.chain.block_ns / 1e9) < 2
        order.good_til_time = live.chain.block_ns // 10**9  # its time has come
        end = await live.heard.until(OrderExpired, live.of(place))
        assert end.filled_lots == 0


async def test_an_order_lives_on_while_short_term_ones_would_have_ended() -> None:
    async with alive(venue={"block_ms": 20}, **STATEFUL) as live:
        place = live.order(away=0, lots=10)
        order = await placed(live, place)
        height = live.chain.height
        async with asyncio.timeout(5):
            while live.chain.height < height + 60:  # noqa: ASYNC110 - a chain has no event to wait for
                await asyncio.sleep(0.02)
        assert order.resting
        await live.control.fill(order.uuid, 4)
        await live.heard.until(OrderFilled, live.of(place))
        await live.send(CancelOrder(_BTC, place.client_id, _WHY))
        end = await live.heard.until(OrderCanceled, live.of(place))
        assert end.final and end.filled_lots == 4


async def test_a_command_cannot_land_behind_its_end() -> None:
    """Its nonce is dated back: a block that is later than the command's end drops it, and nobody says so. The indexer
    then does not know it, as of that block's time."""
    async with alive(**STATEFUL) as live:
        place = live.order(expires_ns=live.chain.block_ns + 1000 * _MS)
        await live.send(place)
        assert owner(live).nonces == [(place.expires_ns or 0) // _MS - NONCE_WINDOW_MS]
        await live.heard.until(OrderAccepted, live.of(place))
        late = live.order(expires_ns=live.chain.block_ns + 1000 * _MS)
        await live.control.post("halt", {"ms": 1200})
        await live.send(late)
        asked_ns = live.chain.block_ns // _MS * _MS
        await live.connector.query_order(late.client_id)
        missing = await live.heard.until(OrderNotFound, live.of(late))
        assert missing.ts_venue_ns == asked_ns < (late.expires_ns or 0)  # proves nothing yet
        height, since = live.chain.height, live.here
        await live.heard.until(VenueTime, lambda event: (event.height or 0) > height, since=since)
        await live.connector.query_order(late.client_id)
        missing = await live.heard.until(OrderNotFound, live.of(late), since=since)
        assert missing.ts_venue_ns > (late.expires_ns or 0)
        assert not [event for event in live.heard.of(OrderAccepted) if event.client_id == late.client_id]


async def test_what_the_book_drops_is_over_when_a_block_says_so() -> None:
    """The feed tells the first, and only the indexer knows the second: here for want of collateral when touched."""
    async with alive(venue={"deposit": 1000}, **STATEFUL) as live:
        short = [live.order(Side.SELL, away=30 + n, lots=6000) for n in range(2)]  # each 36 000 USDC at 50 times
        for place in short:
            await placed(live, place)
        for place in short:
            touched = msgspec.json.encode({"order": on_chain(live, place).uuid, "lots": 6000})
            await live.control.session.post(f"{live.control.url}/control/fill", data=touched)
        end = await live.heard.until(OrderCanceled, live.of(short[1]))
        assert end.final and end.filled_lots == 0


async def test_refusals_have_their_kinds_and_a_limit_closes_its_budget() -> None:
    async with alive(**STATEFUL) as live:
        places = [live.order(away=20 + n) for n in range(3)]
        await live.control.post("halt", {"ms": 300})
        await live.send(*places)
        refused = await live.heard.until(OrderRejected)
        assert refused.kind is RejectKind.RATE_LIMITED
        assert (await live.heard.until(RateLimited)).bucket == "stateful"
        gone = live.order()
        since = live.here
        await live.send(CancelOrder(_BTC, gone.client_id, _WHY))
        (answer,) = live.heard.of(OrderCancelRejected, since)
        assert (answer.client_id, answer.kind) == (gone.client_id, RejectKind.GONE), "3006 comes at once"


async def test_an_immediate_order_is_a_short_term_one() -> None:
    """The chain keeps none in its state. Not found means nothing of it before its blocks have passed."""
    async with alive(**STATEFUL) as live:
        order = live.order(away=-40, lots=5, post_only=False, time_in_force=TimeInForce.IOC)
        await live.send(order)
        filled = await live.heard.until(OrderFilled, live.of(order))
        assert filled.lots == 5 and not owner(live).nonces
        lost = live.order(away=40, lots=5, post_only=False, time_in_force=TimeInForce.IOC)
        await live.control.post("halt", {"ms": 400})
        await live.send(lost)
        since = live.here
        await live.connector.query_order(lost.client_id)
        assert not [event for event in live.heard.events[since:] if isinstance(event, OrderNotFound)]


async def test_an_order_of_unknown_outcome_that_landed_is_found() -> None:
    async with alive(**STATEFUL) as live:
        await live.control.fault(FaultKind.LOSE_REPLY, on="/broadcast_tx_sync")
        place = live.order()
        await live.send(place)
        await live.heard.until(CommandOutcomeUnknown, live.of(place))
        await live.heard.until(OrderAccepted, live.of(place))
        await live.connector.query_order(place.client_id)
        status = await live.heard.until(OrderStatus, live.of(place))
        assert (status.ticks, status.lots) == (place.ticks, place.lots)


# Other lives


async def test_an_earlier_lifes_orders_go_on_in_this_one() -> None:
    """Shown as ours, with what becomes of them, whichever kind this life quotes with; a cancel finds them."""
    for kind in OrderKind:
        async with alive(**STATEFUL) as live:
            kept, other = live.order(away=30), live.order(away=40)
            await placed(live, kept)
            await placed(live, other)
            heard = Heard()
            again = dydx_connector(live.control.url, heard.put, key=live.control.key(), orders=kind)
            await again.load_instruments()
            running = asyncio.create_task(again.run())
            shown = await again.snapshot(0)
            assert {order.client_id for order in shown.orders} == {kept.client_id, other.client_id}
            await heard.until(VenueConnected)
            second = Live(live.control, again, heard)
            await live.control.fill(on_chain(live, kept).uuid, 3)
            assert (await heard.until(OrderFilled)).client_id == kept.client_id
            await second.send(AmendOrder(_BTC, kept.client_id, kept.ticks, 9, _WHY))
            assert "cannot be moved" in (await heard.until(OrderAmendRejected)).text
            await second.send(CancelOrder(_BTC, kept.client_id, _WHY))
            end = await heard.until(OrderCanceled, live.of(kept))
            assert end.final and end.filled_lots == 3
            await again.cancel_all()
            assert (await heard.until(OrderCanceled, live.of(other))).final
            assert (await again.snapshot(0)).orders == ()
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await again.close()


async def test_orders_in_the_state_that_are_not_ours_are_left_alone() -> None:
    """A stop or a long-term order of the owner's."""
    async with alive(**STATEFUL) as live:
        mine, others = live.order(away=30), live.order(away=40)
        await placed(live, mine)
        foreign = await placed(live, others)
        foreign.metadata = 1
        heard = Heard()
        again = dydx_connector(live.control.url, heard.put, key=live.control.key())
        await again.load_instruments()
        await again.cancel_all()
        shown = await again.snapshot(1 << 62)
        assert [order.client_id for order in shown.orders] == [None]
        assert foreign.resting and not on_chain(live, mine).resting
        await again.close()
