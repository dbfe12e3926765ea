"""The dYdX connector against the simulated chain and its indexer, over real loopback sockets."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from connectors.simulators.faults import FaultKind
from mm_daemon.domain.errors import CredentialsRefused
from mm_daemon.domain.orders import ClientOrderId
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

    def __init__(self, control: Control) -> None:
        self._control = control

    async def fill(self, client_id: ClientOrderId, lots: int) -> None:
        """Done once a block has it: until then it may never have been."""
        chain, uuid = self._control.venue.chain, uuid_of(self._control.address, client_id)
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


async def test_a_key_without_an_account_is_refused_at_the_start() -> None:
    """A mistyped word of a mnemonic is another account, which does not exist."""
    async with dydx_venue() as control:
        connector = dydx_connector(control.url, lambda _event: None, key="55" * 32)
        await refuses_wrong_key(connector, CredentialsRefused)
