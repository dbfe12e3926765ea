"""Which backtests a person means by days, files and single markets: one task for each, each starting flat."""

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from msgspec.structs import replace

from mm_daemon.backtest.several.tasks import BacktestTask, config_of
from mm_daemon.config.schema import Config
from mm_daemon.domain.errors import ConfigError, UsageError
from mm_daemon.domain.instrument import Venue

_DAY_NS = 86_400_000_000_000
_DAYS_MAX = 36_525


def days_between(text: str) -> list[date]:
    """`2024-08-08` or `2024-08-08..2024-08-10`, both ends included. Raises UsageError."""
    first, dots, last = text.partition("..")
    try:
        begin = date.fromisoformat(first.strip())
        end = date.fromisoformat(last.strip()) if dots else begin
    except ValueError:
        said = "write one day, or the first and the last: 2024-08-08..2024-08-10"
        raise UsageError(f"--days {text}: {said}") from None
    if end < begin:
        raise UsageError(f"--days {text}: the last day comes before the first")
    count = (end - begin).days + 1
    if count > _DAYS_MAX:
        raise UsageError(f"--days {text}: {count} days are more than anybody has recorded")
    return [begin + timedelta(days=number) for number in range(count)]


def day_tasks(task: BacktestTask, days: Sequence[date]) -> list[BacktestTask]:
    """One task for each day of UTC: that day of every recording, or its recording where the path has `{day}`."""
    tasks = []
    for day in days:
        since_ns = round(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1_000_000_000
        dated = replace(task, name=_joined(task.name, day.isoformat()), day=day.isoformat())
        tasks.append(replace(dated, since_ns=since_ns, until_ns=since_ns + _DAY_NS))
    return tasks


def file_tasks(task: BacktestTask, files: Sequence[Path]) -> list[BacktestTask]:
    """One task for each recording, in place of the one that the configuration names. Raises UsageError when it has
    several venues with recordings, or none.
    """
    config = config_of(replace(task, day="0000-00-00"))
    recorded = [name for name in used_venues(config) if hasattr(config.venues[name].settings, "path")]
    if len(recorded) != 1:
        raise UsageError(
            f"files stand for the recording of one venue, and {task.file} has {len(recorded)}; with several, write "
            "{day} into their paths and use --days"
        )
    key = f"venues.{recorded[0]}.path"
    names = _distinct([path.name.partition(".")[0] for path in files])
    return [
        replace(task, name=_joined(task.name, name), overrides={**task.overrides, key: _quoted(path)})
        for name, path in zip(names, files, strict=True)
    ]


def market_tasks(tasks: Sequence[BacktestTask]) -> list[BacktestTask]:
    """One task for each market of each: as if it were alone, so that limits over all markets hold for each of them."""
    return [
        replace(task, name=_joined(task.name, market.id), markets=(market.id,))
        for task in tasks
        for market in config_of(task).markets
    ]


def journals(tasks: Sequence[BacktestTask], folder: Path) -> list[BacktestTask]:
    """The tasks with a journal each, named like them, in one folder."""
    names = _distinct([file_name(task.name) for task in tasks])
    return [replace(task, journal=folder / f"{name}.journal") for task, name in zip(tasks, names, strict=True)]


def file_name(name: str) -> str:
    """A task's name without what file systems do not like."""
    return re.sub(r"[^A-Za-z0-9._+-]+", "-", name) or "run"


def used_venues(config: Config) -> list[Venue]:
    return [name for name in config.venues if config.symbols_of(name)]


def _joined(name: str, more: str) -> str:
    return f"{name} {more}" if name else more


def _distinct(names: list[str]) -> list[str]:
    if len(set(names)) == len(names):
        return names
    return [f"{number}-{name}" for number, name in enumerate(names, 1)]


def _quoted(path: Path) -> str:
    """A path as YAML text, whatever characters it has. Raises ConfigError when it is not there."""
    if not path.exists():
        raise ConfigError(f"{path}: there is no such recording")
    text = str(path).replace("$", "$$").replace("'", "''")
    return f"'{text}'"
