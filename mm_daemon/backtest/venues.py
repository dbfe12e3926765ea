"""From a configuration to a backtest: each venue a recording under a simulated venue, or an embedded market.

The composition root of backtests. The same connectors, the same assumptions about the venue (`paper` in the
configuration) and the same pace as in paper mode, but no loop: connectors are only asked for what needs none.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from mm_daemon import registry
from mm_daemon.backtest.feeds.ahead import ReadAhead, can_read_ahead
from mm_daemon.backtest.feeds.latency import DelayedFeed, feed_latency
from mm_daemon.backtest.feeds.slices import SlicedFeed
from mm_daemon.backtest.progress import Told
from mm_daemon.backtest.report import BacktestReport
from mm_daemon.backtest.runner import FIRST_CLIENT_ID, run_backtest
from mm_daemon.backtest.sources import MarketData, RecordedMarket, Source
from mm_daemon.config.build import core_parameters
from mm_daemon.config.problems import ConfigProblems, Problem
from mm_daemon.config.schema import Config, VenueConfig
from mm_daemon.core.parameters import CoreParameters
from mm_daemon.domain.capabilities import Capabilities
from mm_daemon.domain.errors import CoreError, UsageError
from mm_daemon.domain.events import Event
from mm_daemon.domain.instrument import Instrument, Venue
from mm_daemon.journal.market_data import JournalMarketData
from mm_daemon.ports.connector import Connector, ConnectorContext, EmbeddedVenue, RecordedFeed
from mm_daemon.simulation.fee_tiers import on_tier
from mm_daemon.simulation.models import NS_PER_MS
from mm_daemon.simulation.policy import VenuePolicy, paper_capabilities
from mm_daemon.simulation.venue import SimulatedVenue

_OF_A_FEED = Capabilities(recorded=True)
"""What a feed that is no connector says of its venue: nothing."""
FindConnector = Callable[[str], type[Connector]]


def backtest(
    config: Config,
    *,
    journal: Path | None = None,
    duration_s: float | None = None,
    since_ns: int | None = None,
    until_ns: int | None = None,
    told: Told | None = None,
    feeds: Mapping[Venue, RecordedFeed] | None = None,
    tables: Mapping[str, object] | None = None,
    ahead: bool = False,
) -> BacktestReport:
    """Backtest a configuration; of its recordings, what was received from `since_ns` on and before `until_ns`. `told`
    hears how much of the recordings has been read; `feeds` are played in place of what the configuration names;
    `tables`: for each recorded venue whose market data are in memory, a polars or pandas DataFrame of quotes or bars;
    `ahead`: recordings are read by processes of their own where another core is free for that, with the same result.

    Raises ConfigError, UsageError, JournalError, CoreError; ReaderDied.
    """
    parameters, sources = compose(config, since_ns=since_ns, until_ns=until_ns, feeds=feeds or {}, tables=tables)
    if ahead:
        sources = _read_ahead(sources, duration_s)
    return run_backtest(parameters, sources, journal=journal, duration_s=duration_s, told=told)


def compose(
    config: Config,
    find: FindConnector = registry.connector,
    *,
    since_ns: int | None = None,
    until_ns: int | None = None,
    feeds: Mapping[Venue, RecordedFeed] = MappingProxyType({}),
    tables: Mapping[str, object] | None = None,
) -> tuple[CoreParameters, dict[Venue, Source]]:
    """The core's parameters and one source for each venue that has a market; `feeds` and `tables` as in `backtest`.

    Raises ConfigProblems with every venue that can only be had live, or every market that its venue would not take;
    UsageError for a table of a venue that is not there.
    """
    tables = tables or {}
    unknown = [name for name in tables if name not in config.venues]
    if unknown:
        raise UsageError(f"a table is given for {unknown[0]}; the configuration has {', '.join(config.venues)}")
    problems: list[Problem] = []
    instruments: list[Instrument] = []
    capabilities: dict[Venue, Capabilities] = {}
    sources: dict[Venue, Source] = {}
    for venue, settings in config.venues.items():
        symbols = config.symbols_of(venue)
        if not symbols:
            continue
        connector = feeds[venue] if venue in feeds else _connector(venue, symbols, settings, find, tables.get(venue))
        real: Capabilities = getattr(connector, "capabilities", _OF_A_FEED)
        if isinstance(connector, EmbeddedVenue):
            instruments += connector.instruments()
            capabilities[venue] = real
            sources[venue] = connector.virtual()
        elif isinstance(connector, RecordedFeed):
            policy = config.paper
            contracts = [
                on_tier(contract, policy.fee_tiers, policy.fee_tier_volume) for contract in connector.instruments()
            ]
            instruments += contracts
            capabilities[venue] = paper_capabilities(policy, real)
            sources[venue] = RecordedMarket(
                _played(connector, policy, venue, since_ns, until_ns), SimulatedVenue(venue, contracts, policy)
            )
        else:
            text = f"{settings.connector} is live: a backtest needs a recording or an embedded market"
            problems.append(Problem(settings.place, f"venues.{venue}.connector", text))
    if problems:
        raise ConfigProblems(problems)
    parameters = core_parameters(config, instruments, capabilities, first_client_id=FIRST_CLIENT_ID)
    return parameters, sources


def _read_ahead(sources: Mapping[Venue, Source], duration_s: float | None) -> dict[Venue, Source]:
    """Recordings read by processes of their own where that can be, as far as the run looks at them. How far that is
    within several, each of which begins at another time, none of them knows: those are read here."""
    recorded = {venue: source for venue, source in sources.items() if isinstance(source, RecordedMarket)}
    if duration_s is not None and len(recorded) > 1:
        return dict(sources)
    duration_ns = None if duration_s is None else round(duration_s * 1_000_000_000)
    ahead = {
        venue: RecordedMarket(ReadAhead(source.feed, duration_ns), source.venue)
        for venue, source in recorded.items()
        if isinstance(source.feed, RecordedFeed) and can_read_ahead(source.feed)
    }
    return {**sources, **ahead}


def _played(
    feed: RecordedFeed, policy: VenuePolicy, venue: Venue, since_ns: int | None, until_ns: int | None
) -> MarketData:
    """The feed with the latency that is assumed, and of it the part that is asked for."""
    latency = feed_latency(policy, venue)
    if latency is not None:
        feed = DelayedFeed(feed, latency, round(policy.feed_floor_ms * NS_PER_MS))
    return feed if since_ns is None and until_ns is None else SlicedFeed(feed, since_ns, until_ns)


def _connector(
    venue: Venue, symbols: tuple[str, ...], settings: VenueConfig, find: FindConnector, table: object | None
) -> Connector:
    context = ConnectorContext(
        venue=venue,
        symbols=symbols,
        emit=_unasked,
        now_ns=_no_clock,
        delay_s=_no_wait,
        secrets=settings.secrets,
        translator=registry.translator,
        journal=JournalMarketData,
        table=table,
    )
    make: Callable[..., Connector] = find(settings.connector)
    return make(context, settings.settings)


def _unasked(event: Event) -> None:
    raise CoreError(f"a connector spoke in a backtest, where nobody listens: {event!r}")


def _no_clock() -> int:
    return 0


def _no_wait(until_ns: int) -> float:
    raise CoreError("a connector waited in a backtest, where no time passes")
