"""The neutral venue in this process, behind real loopback sockets, and a client of its control page."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from connectors.neutral.connector import NeutralConnector, NeutralSettings
from connectors.simulators.neutral.server import DEFAULT_KEY, DEFAULT_SECRET, NeutralVenue
from connectors.simulators.neutral.settings import NeutralVenueSettings
from mm_daemon.domain.events import Event
from mm_daemon.domain.instrument import Venue
from mm_daemon.ports.connector import ConnectorContext
from mm_daemon.ports.simulator import SimulatorContext
from mm_daemon.runtime.clock import Clock
from mm_daemon.simulation.symbols import SymbolSettings
from tests.serving import Control, served

QUIET = SymbolSettings(
    volatility=0.0, trades_per_second=0.0, impact_bps=0.0, join_chance=0.0, pull_chance=0.0, funding_period_s=None
)
"""A market in which makers come and go, and nobody takes."""
SECRETS = {"api_key": DEFAULT_KEY, "api_secret": DEFAULT_SECRET}


@asynccontextmanager
async def neutral_venue(
    *,
    symbols: tuple[str, ...] = ("BTC-USDT",),
    settings: NeutralVenueSettings | None = None,
    state_dir: Path | None = None,
    clock: Clock | None = None,
) -> AsyncIterator[Control]:
    """A venue that serves until the end of the block."""
    clock = clock or Clock()
    settings = settings or NeutralVenueSettings(symbols=dict.fromkeys(symbols, QUIET), publish_interval_ms=20.0)
    context = SimulatorContext(
        host="127.0.0.1", port=0, seed=1, symbols=symbols, now_ns=clock.now_ns, state_dir=state_dir
    )
    async with served(NeutralVenue(context, settings)) as (address, session):
        yield Control(address, session)


def neutral_connector(
    url: str,
    emit: "Any",
    *,
    clock: Clock | None = None,
    symbols: tuple[str, ...] = ("BTC-USDT",),
    secrets: dict[str, str] | None = None,
    **settings: Any,
) -> NeutralConnector:
    clock = clock or Clock()
    context = ConnectorContext(
        venue=Venue("neutral"),
        symbols=symbols,
        emit=emit,
        now_ns=clock.now_ns,
        delay_s=clock.delay_s,
        secrets=SECRETS if secrets is None else secrets,
    )
    return NeutralConnector(context, NeutralSettings(url=url, **settings))


def nothing(_event: Event) -> None:
    """Nobody listens."""
