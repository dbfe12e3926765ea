"""The Lighter connector against the simulated Lighter, over real loopback sockets."""

from collections.abc import AsyncIterator

import pytest

from connectors.simulators.faults import FaultKind
from mm_daemon.domain.errors import CredentialsRefused
from mm_daemon.domain.orders import ClientOrderId
from mm_daemon.testkit.conformance import (
    ConnectorConformance,
    ConnectorUnderTest,
    Heard,
    Trouble,
    refuses_wrong_key,
)
from tests.lighter import Control, lighter_connector, lighter_venue, native_library

_FAULTS: dict[Trouble, tuple[FaultKind, dict[str, object]]] = {
    Trouble.LOST_REPLY: (FaultKind.LOSE_REPLY, {"on": "sendTx"}),
    Trouble.SERVER_ERROR: (FaultKind.SERVER_ERROR, {"on": "sendTx"}),
    Trouble.DUPLICATE_FILL: (FaultKind.DUPLICATE, {"on": "account_all_trades"}),
    Trouble.LATE_FILL: (FaultKind.DELAY_MESSAGE, {"on": "account_all_trades", "ms": 200}),
    Trouble.LOST_UPDATE: (FaultKind.LOSE_MESSAGE, {"on": "order_book"}),
    Trouble.MALFORMED: (FaultKind.MALFORMED, {"on": "order_book"}),
    Trouble.OVERSIZED: (FaultKind.OVERSIZED, {"on": "order_book"}),
    Trouble.CUT: (FaultKind.DISCONNECT, {}),
    Trouble.HALF_OPEN: (FaultKind.HALF_OPEN, {}),
}


class LighterHand:
    """Structurally a `VenueHand`. The venue names no time to wait at a rate limit, and its snapshots come in the
    stream, so that none is older than it."""

    can = frozenset({*_FAULTS, Trouble.FILL})

    def __init__(self, control: Control) -> None:
        self._control = control

    async def fill(self, client_id: ClientOrderId, lots: int) -> None:
        await self._control.fill(client_id, lots)

    async def make(self, trouble: Trouble) -> None:
        kind, keys = _FAULTS[trouble]
        await self._control.fault(kind, **keys)


class TestLighter(ConnectorConformance):
    """Signed in Python: every case that applies, on any machine."""

    @pytest.fixture
    async def connector_under_test(self) -> AsyncIterator[ConnectorUnderTest]:
        heard = Heard()
        async with lighter_venue() as control:
            connector = lighter_connector(control, heard.put)
            yield ConnectorUnderTest(connector, heard, LighterHand(control), control.clock.now_ns)


class TestLighterKeys(ConnectorConformance):
    """Three keys: two take turns with quotes and cancels, one has what may take."""

    @pytest.fixture
    async def connector_under_test(self) -> AsyncIterator[ConnectorUnderTest]:
        heard = Heard()
        async with lighter_venue() as control:
            connector = lighter_connector(control, heard.put, keys=(4, 5, 6))
            yield ConnectorUnderTest(connector, heard, LighterHand(control), control.clock.now_ns)


class TestLighterNative(ConnectorConformance):
    """Signed by the venue's own library, where it is."""

    @pytest.fixture
    async def connector_under_test(self) -> AsyncIterator[ConnectorUnderTest]:
        heard, library = Heard(), native_library()
        async with lighter_venue() as control:
            connector = lighter_connector(control, heard.put, native=library)
            yield ConnectorUnderTest(connector, heard, LighterHand(control), control.clock.now_ns)


async def test_wrong_key_is_refused_at_the_start() -> None:
    """Nothing begins with a key that the venue refuses; the exit code is that of credentials."""
    async with lighter_venue() as control:
        wrong = {index: secret + 1 for index, secret in control.venue.secrets.items()}
        await refuses_wrong_key(lighter_connector(control, lambda event: None, secrets=wrong), CredentialsRefused)


async def test_unknown_key_index_is_refused_at_the_start() -> None:
    """It is told which one."""
    async with lighter_venue() as control:
        secrets = {9: next(iter(control.venue.secrets.values()))}
        unknown = lighter_connector(control, lambda event: None, keys=(9,), secrets=secrets)
        await refuses_wrong_key(unknown, CredentialsRefused)
