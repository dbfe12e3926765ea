"""The `check` verb: everything about a configuration that can be known without a network."""

import sys
from pathlib import Path

import msgspec

from mm_daemon import registry
from mm_daemon.backtest.venues import compose
from mm_daemon.cli.options import read_config
from mm_daemon.config.problems import ConfigProblems, Problem
from mm_daemon.config.schema import Config
from mm_daemon.domain.errors import ConfigError
from mm_daemon.ports.connector import EmbeddedVenue, RecordedFeed


class CheckResult(msgspec.Struct, frozen=True):
    """What `check --json` says."""

    ok: bool
    file: str
    markets: tuple[str, ...] = ()
    unchecked: tuple[str, ...] = ()
    """Venues whose contracts only the venue itself knows."""
    problems: tuple[Problem, ...] = ()
    error: str | None = None


def check_config(path: Path, *, as_json: bool) -> int:
    """Read a configuration, fit its markets to what is known of their venues, say the result; the exit code."""
    try:
        result = _check(read_config(path))
    except ConfigProblems as error:
        result = CheckResult(False, str(path), problems=error.problems)
    except ConfigError as error:
        result = CheckResult(False, str(path), error=str(error))
    if as_json:
        print(msgspec.json.encode(result).decode())
    elif result.ok:
        print(f"{path}: ok, {len(result.markets)} markets: {', '.join(result.markets)}")
        for venue in result.unchecked:
            print(f"{path}: sizes on {venue} are checked against the venue when it is started")
    else:
        for problem in result.problems:
            print(problem, file=sys.stderr)
        if result.error is not None:
            print(result.error, file=sys.stderr)
        count = len(result.problems) or 1
        print(f"{count} {'mistake' if count == 1 else 'mistakes'}; nothing was started", file=sys.stderr)
    return 0 if result.ok else ConfigError.exit_code


def _check(config: Config) -> CheckResult:
    """Venues that need no network are asked for their contracts, so that sizes are checked against them too."""
    offline = {
        name
        for name, venue in config.venues.items()
        if issubclass(registry.connector(venue.connector), RecordedFeed | EmbeddedVenue)
    }
    compose(msgspec.structs.replace(config, markets=tuple(m for m in config.markets if m.venue in offline)))
    unchecked = tuple(venue for venue in config.venues if venue not in offline and config.symbols_of(venue))
    return CheckResult(True, config.file, tuple(market.id for market in config.markets), unchecked)
