"""The simulated Binance USD-M venue in this process, behind real loopback sockets, and the clients that use it."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from connectors.ccxt.connector import CcxtConnector
from connectors.ccxt.settings import CcxtSettings, MarketData
from connectors.simulators.binance_usdm.server import DEFAULT_KEY, DEFAULT_SECRET, BinanceUsdmVenue
from connectors.simulators.binance_usdm.settings import BinanceUsdmSettings
from mm_daemon import registry
from mm_daemon.domain.events import Event
from mm_daemon.domain.instrument import Venue
from mm_daemon.ports.connector import ConnectorContext
from mm_daemon.ports.simulator import SimulatorContext
from mm_daemon.runtime.clock import Clock
from mm_daemon.simulation.symbols import SymbolSettings
from tests.neutral import QUIET
from tests.serving import Control, served

SECRETS = {"api_key": DEFAULT_KEY, "api_secret": DEFAULT_SECRET}
SYMBOL = "BTCUSDT"
UNIFIED = "BTC/USDT:USDT"


@asynccontextmanager
async def binance_venue(
    *,
    symbols: tuple[str, ...] = (SYMBOL,),
    state_dir: Path | None = None,
    clock: Clock | None = None,
    market: SymbolSettings = QUIET,
    **settings: Any,
) -> AsyncIterator[Control]:
    """A venue that serves until the end of the block."""
    clock = clock or Clock()
    keys = {"symbols": dict.fromkeys(symbols, market), "publish_interval_ms": 20.0, **settings}
    context = SimulatorContext(
        host="127.0.0.1", port=0, seed=1, symbols=symbols, now_ns=clock.now_ns, state_dir=state_dir
    )
    async with served(BinanceUsdmVenue(context, BinanceUsdmSettings(**keys))) as (address, session):
        yield Control(address, session)


def ccxt_client(url: str, *, secret: str = DEFAULT_SECRET, **config: Any) -> Any:
    """ccxt.pro as it is, but for its URLs."""
    import ccxt.pro

    client = ccxt.pro.binanceusdm(
        {
            "apiKey": DEFAULT_KEY,
            "secret": secret,
            "enableRateLimit": False,
            "timeout": 3000,
            "options": {"fetchCurrencies": False, "fetchMargins": False},
            "timeout_on_exit": 0,
            **config,
        }
    )
    api = client.urls["api"]
    for name in ("fapiPublic", "fapiPublicV2", "fapiPublicV3", "fapiPrivate", "fapiPrivateV2", "fapiPrivateV3"):
        api[name] = f"{url}/fapi/v{name[-1] if name[-1].isdigit() else '1'}"
    api["ws"]["linear"] = f"ws{url.removeprefix('http')}/ws"
    return client


def ccxt_connector(
    url: str,
    emit: Callable[[Event], None],
    *,
    clock: Clock | None = None,
    symbols: tuple[str, ...] = (SYMBOL,),
    secrets: dict[str, str] | None = None,
    **settings: Any,
) -> CcxtConnector:
    """Our connector to it, with native market data unless the settings say otherwise."""
    clock = clock or Clock()
    context = ConnectorContext(
        venue=Venue("binance-usdm"),
        symbols=symbols,
        emit=emit,
        now_ns=clock.now_ns,
        delay_s=clock.delay_s,
        secrets=SECRETS if secrets is None else secrets,
        translator=registry.translator,
    )
    keys = {"exchange": "binanceusdm", "url": url, "market_data": MarketData.NATIVE, "dead_man_ms": 10_000, **settings}
    return CcxtConnector(context, CcxtSettings(**keys))
