"""The ccxt connector against simulated Binance USD-M, over real loopback sockets: with our own market data, and with
ccxt's."""

from collections.abc import AsyncIterator

import pytest

from connectors.ccxt.settings import MarketData, PositionMode
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
from tests.binance_usdm import binance_venue, ccxt_connector
from tests.serving import Control

_FAULTS: dict[Trouble, tuple[FaultKind, dict[str, object]]] = {
    Trouble.LOST_REPLY: (FaultKind.LOSE_REPLY, {"on": "POST /fapi/v1/order"}),
    Trouble.SERVER_ERROR: (FaultKind.SERVER_ERROR, {"on": "POST /fapi/v1/order"}),
    Trouble.RATE_LIMIT: (FaultKind.RATE_LIMIT, {"on": "POST /fapi/v1/order", "ms": 700}),
    Trouble.DUPLICATE_FILL: (FaultKind.DUPLICATE, {"on": "ORDER_TRADE_UPDATE:TRADE"}),
    Trouble.LATE_FILL: (FaultKind.DELAY_MESSAGE, {"on": "ORDER_TRADE_UPDATE:TRADE", "ms": 200}),
    Trouble.LOST_UPDATE: (FaultKind.LOSE_MESSAGE, {"on": "depthUpdate"}),
    Trouble.OLD_SNAPSHOT: (FaultKind.DELAY, {"on": "GET /fapi/v1/depth", "ms": 300}),
    Trouble.MALFORMED: (FaultKind.MALFORMED, {"on": "depthUpdate"}),
    Trouble.OVERSIZED: (FaultKind.OVERSIZED, {"on": "depthUpdate"}),
    Trouble.CUT: (FaultKind.DISCONNECT, {}),
    Trouble.HALF_OPEN: (FaultKind.HALF_OPEN, {}),
}


class BinanceHand:
    """Structurally a `VenueHand`."""

    can = frozenset(Trouble)

    def __init__(self, control: Control) -> None:
        self._control = control

    async def fill(self, client_id: ClientOrderId, lots: int) -> None:
        await self._control.fill(f"mm{client_id}", f"{lots * 0.0001:.4f}")

    async def make(self, trouble: Trouble) -> None:
        kind, keys = _FAULTS[trouble]
        await self._control.fault(kind, **keys)


class TestBinanceThroughCcxt(ConnectorConformance):
    """Every case applies."""

    @pytest.fixture
    async def connector_under_test(self) -> AsyncIterator[ConnectorUnderTest]:
        clock, heard = Clock(), Heard()
        async with binance_venue(clock=clock) as control:
            connector = ccxt_connector(control.url, heard.put, clock=clock)
            yield ConnectorUnderTest(connector, heard, BinanceHand(control), clock.now_ns)


class TestBinanceInTwoWayMode(ConnectorConformance):
    """The account holds long and short apart; what it holds of both nets, as everywhere."""

    @pytest.fixture
    async def connector_under_test(self) -> AsyncIterator[ConnectorUnderTest]:
        clock, heard = Clock(), Heard()
        async with binance_venue(clock=clock, hedge_mode=True) as control:
            connector = ccxt_connector(control.url, heard.put, clock=clock, position_mode=PositionMode.TWO_WAY)
            yield ConnectorUnderTest(connector, heard, BinanceHand(control), clock.now_ns)


class BinanceHandForCcxtsBooks(BinanceHand):
    """What strikes a book strikes inside ccxt, which numbers none and counts nothing: those cases are not its."""

    can = frozenset(Trouble) - {Trouble.LOST_UPDATE, Trouble.OLD_SNAPSHOT, Trouble.MALFORMED, Trouble.OVERSIZED}


class TestBinanceWithMarketDataOfCcxt(ConnectorConformance):
    """The way of every exchange that we have no translator of."""

    @pytest.fixture
    async def connector_under_test(self) -> AsyncIterator[ConnectorUnderTest]:
        clock, heard = Clock(), Heard()
        async with binance_venue(clock=clock) as control:
            connector = ccxt_connector(control.url, heard.put, clock=clock, market_data=MarketData.CCXT)
            yield ConnectorUnderTest(connector, heard, BinanceHandForCcxtsBooks(control), clock.now_ns)


async def test_wrong_secret_is_refused_at_the_start() -> None:
    """Nothing begins with a key that the venue refuses; the exit code is that of credentials."""
    async with binance_venue() as control:
        secrets = {"api_key": "binance-usdm-key", "api_secret": "wrong"}
        connector = ccxt_connector(control.url, lambda _event: None, secrets=secrets)
        await refuses_wrong_key(connector, CredentialsRefused)
