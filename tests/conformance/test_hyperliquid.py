"""The Hyperliquid connector against the simulated venue, over real loopback sockets."""

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
from tests.hyperliquid import Control, hyperliquid_connector, hyperliquid_venue

_FAULTS: dict[Trouble, tuple[FaultKind, dict[str, object]]] = {
    Trouble.LOST_REPLY: (FaultKind.LOSE_REPLY, {"on": "order"}),
    Trouble.SERVER_ERROR: (FaultKind.SERVER_ERROR, {"on": "order"}),
    Trouble.DUPLICATE_FILL: (FaultKind.DUPLICATE, {"on": "userFills"}),
    Trouble.LATE_FILL: (FaultKind.DELAY_MESSAGE, {"on": "userFills", "ms": 200}),
    Trouble.MALFORMED: (FaultKind.MALFORMED, {"on": "l2Book"}),
    Trouble.OVERSIZED: (FaultKind.OVERSIZED, {"on": "l2Book"}),
    Trouble.CUT: (FaultKind.DISCONNECT, {}),
    Trouble.HALF_OPEN: (FaultKind.HALF_OPEN, {}),
}


class HyperliquidHand:
    """Structurally a `VenueHand`. The venue numbers no book and names no time with a 429: those cases are not its."""

    can = frozenset({*_FAULTS, Trouble.FILL})

    def __init__(self, control: Control) -> None:
        self._control = control

    async def fill(self, client_id: ClientOrderId, lots: int) -> None:
        await self._control.fill(client_id, lots)

    async def make(self, trouble: Trouble) -> None:
        kind, keys = _FAULTS[trouble]
        await self._control.fault(kind, **keys)


class TestHyperliquid(ConnectorConformance):
    """Every case that the venue's hand can make."""

    symbol = "BTC"

    @pytest.fixture
    async def connector_under_test(self) -> AsyncIterator[ConnectorUnderTest]:
        clock, heard = Clock(), Heard()
        coins = tuple(dict.fromkeys(("BTC", "ETH", self.symbol)))
        async with hyperliquid_venue(coins=coins, clock=clock, traded=2_000_000) as control:
            connector = hyperliquid_connector(
                control.url, heard.put, key=control.key(), clock=clock, symbols=(self.symbol,)
            )
            yield ConnectorUnderTest(connector, heard, HyperliquidHand(control), clock.now_ns, first_client_id=1 << 40)


class TestHyperliquidSpot(TestHyperliquid):
    """A pair that the venue calls `@107`, under its own name."""

    symbol = "HYPE/USDC"


class TestHyperliquidBuilder(TestHyperliquid):
    """A perpetual of a builder's dex."""

    symbol = "xyz:GOLD"


async def test_key_without_an_account_is_refused_at_the_start() -> None:
    """Nothing begins with a key that may act for nobody; the exit code is that of credentials."""
    async with hyperliquid_venue() as control:
        connector = hyperliquid_connector(control.url, lambda _event: None, key="0x" + "42" * 32)
        await refuses_wrong_key(connector, CredentialsRefused)
