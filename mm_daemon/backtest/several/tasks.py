"""One backtest as a task for an executor: everything it needs, in a form that travels.

The configuration travels as text, with the keys that are set over it, so that a task means the same wherever it runs;
files that it names (recordings, calibrations) must be found there under the same paths.
"""

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from mm_daemon import registry
from mm_daemon.backtest.report import BacktestReport
from mm_daemon.backtest.several.executors import tell
from mm_daemon.backtest.venues import backtest
from mm_daemon.config.load import loads
from mm_daemon.config.schema import Config, VenueConfig
from mm_daemon.domain.errors import ConfigError

DAY = "{day}"
"""In the path of a recording, stands for the day of a task as 2024-08-08."""


class BacktestTask(msgspec.Struct, frozen=True, kw_only=True):
    """One backtest, from a configuration and what is different from it. Starts flat, as every backtest does."""

    name: str
    """What it is called in reports and file names."""
    config: str
    """Text of the configuration."""
    file: str
    """What its mistakes are reported under."""
    overrides: Mapping[str, object] = msgspec.field(default_factory=dict)
    """Keys that stand over it (`config/overrides.py`)."""
    seed: int | None = None
    markets: tuple[str, ...] = ()
    """`venue:symbol` of the markets that are played; empty: all."""
    day: str | None = None
    since_ns: int | None = None
    until_ns: int | None = None
    """The part of the recordings that is played: received from `since_ns` on and before `until_ns`."""
    duration_s: float | None = None
    journal: Path | None = None


def run_task(task: BacktestTask) -> BacktestReport:
    """The work of an executor. The report knows no wall time: equal tasks are equal bytes.

    Raises what reading a configuration and a backtest raise, ConfigError when there were no market data.
    """
    report = backtest(
        config_of(task),
        journal=task.journal,
        duration_s=task.duration_s,
        since_ns=task.since_ns,
        until_ns=task.until_ns,
        told=tell,
    )
    if not report.rows:
        raise ConfigError("the recordings hold no market data of that time")
    return msgspec.structs.replace(report, wall_seconds=None)


def config_of(task: BacktestTask) -> Config:
    """The configuration as the task means it. Raises ConfigProblems; ConfigError when a day is needed and none named,
    or a market is not there.
    """
    config = loads(
        task.config,
        task.file,
        settings_of=registry.settings_of,
        environ=os.environ,
        seed=task.seed,
        models=registry.PricingModels(),
        overrides=task.overrides,
    )
    markets = config.markets
    if task.markets:
        missing = [name for name in task.markets if name not in {market.id for market in markets}]
        if missing:
            raise ConfigError(f"{task.file}: there is no market {', '.join(missing)}")
        markets = tuple(market for market in markets if market.id in task.markets)
    venues = {name: _on_day(venue, task.day) for name, venue in config.venues.items()}
    return msgspec.structs.replace(config, markets=markets, venues=venues)


def _on_day(venue: VenueConfig, day: str | None) -> VenueConfig:
    path = getattr(venue.settings, "path", None)
    if path is None or DAY not in str(path):
        return venue
    if day is None:
        raise ConfigError(f"{venue.place}: venues.{venue.name}.path has {DAY}: say which days with --days")
    dated = Path(str(path).replace(DAY, day))
    return msgspec.structs.replace(venue, settings=msgspec.structs.replace(venue.settings, path=dated))
