"""Composition root of backtests: from a configuration to venues as machines, and to a report.

The counterpart of `runtime/app.py`, without a loop: a connector that is a recording plays through `SimulatedVenue`, one that
is a whole market in this process is driven as it is. Called by the `backtest` and `check` verbs.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import msgspec

from mm_daemon import registry
from mm_daemon.backtest.report import BacktestReport
from mm_daemon.backtest.runner import RecordedMarket, Source, run_backtest
from mm_daemon.config.build import core_parameters
from mm_daemon.config.problems import ConfigProblems, Problem
from mm_daemon.config.schema import Config, VenueConfig
from mm_daemon.core.parameters import CoreParameters
from mm_daemon.domain.capabilities import Capabilities
from mm_daemon.domain.instrument import Instrument, Venue
from mm_daemon.journal.log import JournalWriter
from mm_daemon.ports.connector import Connector, ConnectorContext, EmbeddedVenue, RecordedFeed
from mm_daemon.simulation.venue import SimulatedVenue, policy_capabilities


class OfflineVenue(msgspec.Struct, frozen=True):
    """A venue that needs no network: its source of events, its contracts, what it can do."""

    source: Source
    instruments: tuple[Instrument, ...]
    capabilities: Capabilities


def backtest(config: Config, *, journal: Path | None, duration_s: float | None) -> BacktestReport:
    """Play what the configuration names. `journal` is a file to write, which must not exist yet.

    Raises ConfigProblems when a venue can only be had live or a market does not fit its venue, JournalError when the journal
    cannot be written.
    """
    venues, problems = offline_venues(config)
    if problems:
        raise ConfigProblems(problems)
    parameters = offline_parameters(config, venues)
    writer = None
    if journal is not None:
        journal.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        writer = JournalWriter(journal)
    sources = {venue: offline.source for venue, offline in venues.items()}
    return run_backtest(parameters, sources, journal=writer, duration_s=duration_s)


def new_journal_path(config: Config) -> Path:
    """A journal of its own for a backtest of this configuration, under `state_dir`."""
    now = datetime.now(UTC)
    return (
        config.state_dir / "backtest" / f"{Path(config.file).stem}-{now:%Y%m%dT%H%M%S}.{now.microsecond:06d}Z.journal"
    )


def offline_venues(config: Config) -> tuple[dict[Venue, OfflineVenue], list[Problem]]:
    """The venues with markets that can be had without a network, and a problem for each that cannot."""
    venues: dict[Venue, OfflineVenue] = {}
    problems: list[Problem] = []
    for venue in config.venues.values():
        if not config.symbols_of(venue.name):
            continue
        connector = _connector(config, venue)
        if isinstance(connector, RecordedFeed):
            venues[venue.name] = _recorded(config, venue.name, connector, connector)
        elif isinstance(connector, EmbeddedVenue):
            instruments = tuple(connector.instruments())
            venues[venue.name] = OfflineVenue(connector.virtual(), instruments, connector.capabilities)
        else:
            text = f"{venue.connector} is live: a backtest needs a recording or an embedded market"
            problems.append(Problem(venue.place, f"venues.{venue.name}.connector", text))
    return venues, problems


def offline_parameters(config: Config, venues: Mapping[Venue, OfflineVenue]) -> CoreParameters:
    """What the core is built from. Raises ConfigProblems with every market that its venue would not take."""
    instruments = [instrument for venue in venues.values() for instrument in venue.instruments]
    return core_parameters(config, instruments, {name: venue.capabilities for name, venue in venues.items()})


def _recorded(config: Config, venue: Venue, connector: Connector, feed: RecordedFeed) -> OfflineVenue:
    instruments = tuple(feed.instruments())
    capabilities = msgspec.structs.replace(
        policy_capabilities(config.paper),
        batch_max=connector.capabilities.batch_max,
        buckets=connector.capabilities.buckets,
    )
    return OfflineVenue(
        RecordedMarket(feed, SimulatedVenue(venue, instruments, config.paper)), instruments, capabilities
    )


def _connector(config: Config, venue: VenueConfig) -> Connector:
    make = cast("Callable[..., Connector]", registry.connector(venue.connector))
    context = ConnectorContext(
        venue=venue.name,
        symbols=config.symbols_of(venue.name),
        emit=_unheard,
        now_ns=_no_time,
        secrets=venue.secrets,
        translator=registry.translator,
    )
    return make(context, venue.settings)


def _unheard(_event: object) -> None:
    """A backtest reads its venues; they have nobody to speak to."""


def _no_time() -> int:
    return 0
