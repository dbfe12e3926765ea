"""From a configuration to a backtest: each venue a recording under a simulated venue, or an embedded market.

The composition root of backtests. The same connectors, the same assumptions about the venue (`paper` in the
configuration) and the same pace as in paper mode, but no loop: connectors are only asked for what needs none.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from mm_daemon import registry
from mm_daemon.backtest.report import BacktestReport
from mm_daemon.backtest.runner import FIRST_CLIENT_ID, RecordedMarket, Source, run_backtest
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
from mm_daemon.simulation.policy import paper_capabilities
from mm_daemon.simulation.venue import SimulatedVenue

FindConnector = Callable[[str], type[Connector]]


def backtest(
    config: Config,
    *,
    journal: Path | None = None,
    duration_s: float | None = None,
    tables: Mapping[str, object] | None = None,
) -> BacktestReport:
    """Backtest a configuration. `tables`: for each recorded venue whose market data are in memory, a polars or pandas
    DataFrame of quotes or bars; such a venue needs no `path`. Raises ConfigError, UsageError, JournalError, CoreError.
    """
    parameters, sources = compose(config, tables=tables)
    return run_backtest(parameters, sources, journal=journal, duration_s=duration_s)


def compose(
    config: Config, find: FindConnector = registry.connector, *, tables: Mapping[str, object] | None = None
) -> tuple[CoreParameters, dict[Venue, Source]]:
    """The core's parameters and one source for each venue that has a market; `tables` as in `backtest`.

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
        connector = _connector(venue, symbols, settings, find, tables.get(venue))
        if isinstance(connector, EmbeddedVenue):
            instruments += connector.instruments()
            capabilities[venue] = connector.capabilities
            sources[venue] = connector.virtual()
        elif isinstance(connector, RecordedFeed):
            contracts = connector.instruments()
            instruments += contracts
            capabilities[venue] = paper_capabilities(config.paper, connector.capabilities)
            sources[venue] = RecordedMarket(connector, SimulatedVenue(venue, contracts, config.paper))
        else:
            text = f"{settings.connector} is live: a backtest needs a recording or an embedded market"
            problems.append(Problem(settings.place, f"venues.{venue}.connector", text))
    if problems:
        raise ConfigProblems(problems)
    parameters = core_parameters(config, instruments, capabilities, first_client_id=FIRST_CLIENT_ID)
    return parameters, sources


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
