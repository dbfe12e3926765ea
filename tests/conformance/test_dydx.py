"""The dYdX connector against the simulated chain and its indexer, over real loopback sockets."""

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest

from connectors.dydx import tx
from connectors.dydx.settings import OrderKind
from connectors.simulators.faults import FaultKind
from mm_daemon.domain.errors import CredentialsRefused
from mm_daemon.domain.events import CommandOutcomeUnknown, OrderAccepted, OrderCanceled, OrderFilled, OrderStatus
from mm_daemon.domain.orders import ClientOrderId, Operation
from mm_daemon.runtime.clock import Clock
from mm_daemon.testkit.conformance import (
    ConnectorConformance,
    ConnectorUnderTest,
    Heard,
    Trouble,
    refuses_wrong_key,
)
from tests.dydx import FIRST_ID, Control, dydx_connector, dydx_venue, uuid_of

_BROADCAST, _BOOK, _ACCOUNT = "/broadcast_tx_sync", "v4_orderbook", "v4_subaccounts"
_FAULTS: dict[Trouble, tuple[FaultKind, dict[str, object]]] = {
    Trouble.LOST_REPLY: (FaultKind.LOSE_REPLY, {"on": _BROADCAST}),
    Trouble.SERVER_ERROR: (FaultKind.SERVER_ERROR, {"on": _BROADCAST}),
    Trouble.DUPLICATE_FILL: (FaultKind.DUPLICATE, {"on": _ACCOUNT}),
    Trouble.LATE_FILL: (FaultKind.DELAY_MESSAGE, {"on": _ACCOUNT, "ms": 200}),
    Trouble.LOST_UPDATE: (FaultKind.LOSE_MESSAGE, {"on": _BOOK}),
    Trouble.MALFORMED: (FaultKind.MALFORMED, {"on": _BOOK}),
    Trouble.OVERSIZED: (FaultKind.OVERSIZED, {"on": _BOOK}),
    Trouble.CUT: (FaultKind.DISCONNECT, {}),
    Trouble.HALF_OPEN: (FaultKind.HALF_OPEN, {}),
}


class DydxHand:
    """Structurally a `VenueHand`. A node's 429 names no time to wait, so `RATE_LIMIT` is not among what it can do: see
    `test_connector.py`."""

    can = frozenset(_FAULTS) | {Trouble.FILL, Trouble.OLD_SNAPSHOT}

    def __init__(self, control: Control, flags: int = tx.OrderFlags.SHORT_TERM) -> None:
        self._control = control
        self._flags = flags

    async def fill(self, client_id: ClientOrderId, lots: int) -> None:
        """Done once a block has it: until then it may never have been."""
        chain, uuid = self._control.venue.chain, uuid_of(self._control.address, client_id, flags=self._flags)
        (order,) = [order for order in chain.orders.values() if order.uuid == uuid]
        await self._control.fill(uuid, lots)
        height = chain.height
        while chain.height == height:  # noqa: ASYNC110 - a real venue has no event to wait for either
            await asyncio.sleep(0.005)
        assert order.committed == order.filled

    async def make(self, trouble: Trouble) -> None:
        if trouble is Trouble.OLD_SNAPSHOT:
            await self._control.post("stream", {"late_subscribed_ms": 300, "late_channel": _BOOK})
            return
        kind, keys = _FAULTS[trouble]
        await self._control.fault(kind, **keys)


class TestDydx(ConnectorConformance):
    """Every case applies but the dead man's switch, which the venue does not have."""

    @pytest.fixture
    async def connector_under_test(self) -> AsyncIterator[ConnectorUnderTest]:
        clock, heard = Clock(), Heard()
        async with dydx_venue(symbols=("BTC-USD",), clock=clock) as control:  # faults strike the next message of any
            connector = dydx_connector(control.url, heard.put, key=control.key(), clock=clock)
            yield ConnectorUnderTest(connector, heard, DydxHand(control), clock.now_ns, first_client_id=FIRST_ID)


class TestDydxStateful(TestDydx):
    """The same with quotes in the chain's state, which cannot be amended; the account may place more than two a block,
    as conformance does not pace."""

    @pytest.fixture
    async def connector_under_test(self) -> AsyncIterator[ConnectorUnderTest]:
        clock, heard = Clock(), Heard()
        many = {"stateful_per_block": 20, "stateful_per_100_blocks": 200}
        async with dydx_venue(symbols=("BTC-USD",), clock=clock, **many) as control:
            connector = dydx_connector(
                control.url, heard.put, key=control.key(), clock=clock, orders=OrderKind.STATEFUL
            )
            hand = DydxHand(control, tx.OrderFlags.LONG_TERM)
            yield ConnectorUnderTest(connector, heard, hand, clock.now_ns, first_client_id=FIRST_ID)

    async def test_post_only_never_takes(self, live: ConnectorUnderTest) -> None:
        """A block takes it into the chain's state, and the book that it meets behind that drops it."""
        book = live.see_book()
        order = live.order()
        through = book.ask_ticks + (book.ask_ticks - book.bid_ticks) + 100
        await live.placed(msgspec.structs.replace(order, ticks=through))
        over = await live.heard.until(OrderCanceled, lambda event: event.client_id == order.client_id)
        assert over.final and over.filled_lots == 0 and not live.heard.of(OrderFilled)

    async def test_lost_reply_is_unknown_and_asking_tells(self, live: ConnectorUnderTest) -> None:
        """The order was placed and the reply was lost: unknown, never resent, and a question behind the block finds it
        once."""
        order = live.order()
        await live.hand.make(Trouble.LOST_REPLY)
        await live.send(order)
        unknown = await live.heard.until(CommandOutcomeUnknown)
        assert (unknown.client_id, unknown.operation) == (order.client_id, Operation.PLACE)
        await live.heard.until(OrderAccepted, lambda event: event.client_id == order.client_id)
        await live.connector.query_order(order.client_id)
        status = await live.heard.until(OrderStatus, lambda event: event.client_id == order.client_id)
        assert (status.ticks, status.lots, status.filled_lots) == (order.ticks, order.lots, 0)
        assert (await live.open_ids()).count(order.client_id) == 1


async def test_a_key_without_an_account_is_refused_at_the_start() -> None:
    """A mistyped word of a mnemonic is another account, which does not exist."""
    async with dydx_venue() as control:
        connector = dydx_connector(control.url, lambda _event: None, key="55" * 32)
        await refuses_wrong_key(connector, CredentialsRefused)
