"""The neutral connector against the neutral venue, over real loopback sockets."""

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
from tests.neutral import neutral_connector, neutral_venue, nothing
from tests.serving import Control

_FAULTS: dict[Trouble, tuple[FaultKind, dict[str, object]]] = {
    Trouble.LOST_REPLY: (FaultKind.LOSE_REPLY, {"on": "/v1/place"}),
    Trouble.SERVER_ERROR: (FaultKind.SERVER_ERROR, {"on": "/v1/place"}),
    Trouble.RATE_LIMIT: (FaultKind.RATE_LIMIT, {"on": "/v1/place", "ms": 700}),
    Trouble.DUPLICATE_FILL: (FaultKind.DUPLICATE, {"on": "fill"}),
    Trouble.LATE_FILL: (FaultKind.DELAY_MESSAGE, {"on": "fill", "ms": 200}),
    Trouble.LOST_UPDATE: (FaultKind.LOSE_MESSAGE, {"on": "book"}),
    Trouble.OLD_SNAPSHOT: (FaultKind.DELAY, {"on": "/v1/book", "ms": 300}),
    Trouble.MALFORMED: (FaultKind.MALFORMED, {"on": "book"}),
    Trouble.OVERSIZED: (FaultKind.OVERSIZED, {"on": "book"}),
    Trouble.CUT: (FaultKind.DISCONNECT, {}),
    Trouble.HALF_OPEN: (FaultKind.HALF_OPEN, {}),
}


class NeutralHand:
    """Structurally a `VenueHand`."""

    can = frozenset(Trouble)

    def __init__(self, control: Control) -> None:
        self._control = control

    async def fill(self, client_id: ClientOrderId, lots: int) -> None:
        await self._control.fill(client_id, f"{lots * 0.0001:.4f}")

    async def make(self, trouble: Trouble) -> None:
        kind, keys = _FAULTS[trouble]
        await self._control.fault(kind, **keys)


class TestNeutral(ConnectorConformance):
    """Every case applies."""

    @pytest.fixture
    async def connector_under_test(self) -> AsyncIterator[ConnectorUnderTest]:
        clock, heard = Clock(), Heard()
        async with neutral_venue(clock=clock) as control:
            connector = neutral_connector(control.url, heard.put, clock=clock)
            yield ConnectorUnderTest(connector, heard, NeutralHand(control), clock.now_ns)


async def test_wrong_secret_is_refused_at_the_start() -> None:
    """Nothing begins with a key that the venue refuses; the exit code is that of credentials."""
    async with neutral_venue() as control:
        connector = neutral_connector(control.url, nothing, secrets={"api_key": "neutral-key", "api_secret": "wrong"})
        await refuses_wrong_key(connector, CredentialsRefused)
