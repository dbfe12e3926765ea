"""From the configuration's venues to connectors: which class, which context, wrapped for paper or not, on which clock.

In paper mode a connector whose orders would leave this process is never handed to the daemon itself: the registry's
`paper` connector takes its market data and executes here. It is given the inner connector, so it imports no venue.
Called by `runtime/app.py`.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol, cast, runtime_checkable

import msgspec

from mm_daemon import registry
from mm_daemon.config.schema import Config, VenueConfig
from mm_daemon.domain.errors import ConfigError
from mm_daemon.domain.events import Event
from mm_daemon.domain.instrument import Venue
from mm_daemon.journal.market_data import JournalMarketData
from mm_daemon.ports.connector import Connector, ConnectorContext, RecordedTime
from mm_daemon.runtime.clock import Clock


@runtime_checkable
class Surrounds(Protocol):
    """A connector that is put around another one."""

    @property
    def inner(self) -> Connector: ...


class PaperConnector(Connector, Surrounds, Protocol):
    """What a connector offers that executes another one's orders here."""

    def receive(self, event: Event) -> None:
        """An event of the inner connector."""
        ...


@runtime_checkable
class PlaysTogether(Protocol):
    """A recorded feed that can play others of its kind in one order of local time."""

    def play_with(self, others: Sequence[object]) -> None: ...


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
    report: Callable[[Venue, str, str], None],
) -> dict[Venue, Connector]:
    """One connector for each venue that has a market; `report` hears of their trouble, its kind and words. Raises
    ConfigError when one cannot be had."""
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
                read_only=paper,
                journal=JournalMarketData,
                report=partial(report, venue),
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
    return connector.inner if isinstance(connector, Surrounds) else connector


def move_to_feed_time(clock: Clock, connectors: Mapping[Venue, Connector]) -> None:
    """Put the clock on the time base of recorded feeds.

    Recordings of the same minutes may run together, and are then played as one. Raises ConfigError when the venues do
    not share one time.
    """
    feeds = {venue: feed_of(connector) for venue, connector in connectors.items()}
    recorded = {venue: feed for venue, feed in feeds.items() if isinstance(feed, RecordedTime)}
    if not recorded:
        return
    if len(recorded) < len(connectors):
        live = ", ".join(venue for venue in connectors if venue not in recorded)
        raise ConfigError(f"a recording and a live market cannot run together: {live} has no recorded time")
    starts_ns = [feed.starts_at_ns for feed in recorded.values()]
    speeds = {float(feed.speed) for feed in recorded.values()}
    if len(speeds) > 1:
        raise ConfigError(f"recordings that run together need one speed, not {sorted(speeds)}")
    first, *others = recorded.values()
    of_one_kind = len({type(feed) for feed in recorded.values()}) == 1
    if others and of_one_kind and isinstance(first, PlaysTogether):
        first.play_with(others)
    clock.move_to(min(starts_ns), speeds.pop())
