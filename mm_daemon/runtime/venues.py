"""From the configuration's venues to connectors: which class, which context, wrapped for paper or not, on which clock.

In paper mode a connector whose orders would leave this process is never handed to the daemon itself: the registry's
`paper` connector takes its market data and executes here. It is given the inner connector, so it imports no venue.
Called by `runtime/app.py`.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol, cast

import msgspec

from mm_daemon import registry
from mm_daemon.config.schema import Config, VenueConfig
from mm_daemon.domain.errors import ConfigError
from mm_daemon.domain.events import Event
from mm_daemon.domain.instrument import Venue
from mm_daemon.ports.connector import Connector, ConnectorContext
from mm_daemon.runtime.clock import Clock


class PaperConnector(Connector, Protocol):
    """What a connector offers that is put around another one to execute its orders here."""

    @property
    def inner(self) -> Connector: ...

    def receive(self, event: Event) -> None:
        """An event of the inner connector."""
        ...


class _Relay:
    """Where a connector's events go: to the daemon, or to the paper connector that was put around it afterwards."""

    __slots__ = ("to",)

    def __init__(self, to: Callable[[Event], None]) -> None:
        self.to = to

    def emit(self, event: Event) -> None:
        self.to(event)


def build_connectors(
    config: Config,
    *,
    paper: bool,
    emit: Callable[[Event], None],
    clock: Clock,
    state_dir: Path,
    connector_named: Callable[[str], Callable[..., Connector]],
) -> dict[Venue, Connector]:
    """One connector for each venue that has a market. Raises ConfigError when one cannot be had."""
    connectors: dict[Venue, Connector] = {}
    for venue, settings in config.venues.items():
        symbols = config.symbols_of(venue)
        if symbols:
            context = ConnectorContext(
                venue=venue,
                symbols=symbols,
                emit=emit,
                now_ns=clock.now_ns,
                delay_s=clock.delay_s,
                state_dir=state_dir,
                secrets=settings.secrets,
                translator=registry.translator,
            )
            connectors[venue] = _connector(config, settings, context, connector_named, paper=paper)
    return connectors


def _connector(
    config: Config,
    settings: VenueConfig,
    context: ConnectorContext,
    connector_named: Callable[[str], Callable[..., Connector]],
    *,
    paper: bool,
) -> Connector:
    relay = _Relay(context.emit)
    make = connector_named(settings.connector)
    inner = make(msgspec.structs.replace(context, emit=relay.emit), settings.settings)
    if not paper or inner.capabilities.simulated:
        return inner
    wrap = cast("Callable[..., PaperConnector]", connector_named("paper"))
    wrapped = wrap(context, config.paper, inner)
    relay.to = wrapped.receive
    return wrapped


def feed_of(connector: Connector) -> Connector:
    """Where a venue's market data come from: the connector itself, or the one that paper was put around."""
    feed: Connector = getattr(connector, "inner", connector)
    return feed


def move_to_feed_time(clock: Clock, connectors: Mapping[Venue, Connector]) -> None:
    """Put the clock on the time base of recorded feeds, which have a `starts_at_ns` (and a `speed`).

    Recordings of the same minutes may run together, and are then played as one. Raises ConfigError when the venues do
    not share one time.
    """
    starts = {venue: getattr(feed_of(connector), "starts_at_ns", None) for venue, connector in connectors.items()}
    recorded = {venue: start_ns for venue, start_ns in starts.items() if start_ns is not None}
    if not recorded:
        return
    if len(recorded) < len(connectors):
        live = ", ".join(venue for venue in connectors if venue not in recorded)
        raise ConfigError(f"a recording and a live market cannot run together: {live} has no recorded time")
    speeds = {float(getattr(feed_of(connectors[venue]), "speed", 1.0)) for venue in recorded}
    if len(speeds) > 1:
        raise ConfigError(f"recordings that run together need one speed, not {sorted(speeds)}")
    first, *others = (feed_of(connectors[venue]) for venue in recorded)
    play_with = getattr(first, "play_with", None)
    if play_with is not None and others and all(type(other) is type(first) for other in others):
        play_with(others)
    clock.move_to(min(recorded.values()), speeds.pop())
