"""The verb `backtest`: recordings or the embedded market through the engine, once or many times."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from mm_daemon.cli.options import DEFAULT_CONFIG, ConfigPath, Json, Set, overrides, read_config, say, seconds
from mm_daemon.domain.errors import ConfigError, CoreError, JournalError, UsageError

if TYPE_CHECKING:
    from mm_daemon.backtest.several.tasks import BacktestTask
    from mm_daemon.config.schema import Config


def backtest(
    *files: Path,
    config: ConfigPath = DEFAULT_CONFIG,
    days: str | None = None,
    json: Json = False,
    journal: Path | None = None,
    no_journal: Annotated[bool, Parameter(negative=())] = False,
    seed: int | None = None,
    duration: str | None = None,
    set_: Set = (),
    each_market: Annotated[bool, Parameter(negative=())] = False,
    queue_sensitivity: Annotated[bool, Parameter(negative=())] = False,
    as_journal: Path | None = None,
    workers: int | None = None,
    dask: str | None = None,
    html: Path | None = None,
) -> int:
    """Play recordings or the embedded market through the engine, as fast as possible, and report.

    Parameters
    ----------
    files:
        Recordings, each a backtest of its own that starts flat, in place of the one in the configuration.
    config:
        Configuration file, the same one that `run` takes.
    days:
        Days of UTC, each a backtest of its own that starts flat: 2024-08-08, or 2024-08-08..2024-08-10 with both ends.
        `{day}` in a recording's path stands for the day.
    json:
        Answer as one JSON object.
    journal:
        Journal to write, or the folder of several; a new one under `state_dir` by default.
    no_journal:
        Write no journal.
    seed:
        Use this seed instead of the one in the file.
    duration:
        Play this much market time: 60s, 2m. An embedded market never ends by itself.
    set:
        Let a key have another value than in the file: paper.queue_model=power, markets.*.gamma=0.1. May be repeated.
    each_market:
        Each market is a backtest of its own, as if it were alone: limits over all markets hold for each of them.
    queue_sensitivity:
        Play it under other queue models too, and report their figures beside: a recording cannot tell which is right.
    as_journal:
        Journal of a paper run of the same recordings: play them at its turns and compare every decision, then without
        them and count what differs. Exits with 1 when decisions differ at equal turns.
    workers:
        Processes that share several backtests; one for each core by default. The results do not depend on it.
    dask:
        Address of a Dask scheduler whose workers share several backtests.
    html:
        FILE.html: write the report's page with its pictures, as `report JOURNAL --html FILE` does.
    """
    several = bool(files) or days is not None or each_market
    duration_s = seconds(duration)
    if seed is not None and not 0 <= seed < 1 << 63:
        raise UsageError(f"--seed {seed}: must be a whole number at least 0 and below 2^63")
    if workers is not None and workers < 1:
        raise UsageError(f"--workers {workers}: at least one process is needed")
    if journal is not None and no_journal:
        raise UsageError("--journal and --no-journal contradict each other")
    if files and days is not None:
        raise UsageError("name recordings or --days, not both: a recording may hold several days")
    if as_journal is not None and (several or queue_sensitivity or duration is not None):
        raise UsageError("--as-journal plays what the run played: no other choice of it goes with it")
    if as_journal is not None and (html is not None or journal is not None):
        raise UsageError("--as-journal compares and keeps no journal: leave --journal and --html out")
    if html is not None:
        _check_page(html, no_journal=no_journal, several=several)
    values = overrides(set_)
    loaded = read_config(config, seed=seed, overrides=values)
    if as_journal is not None:
        return _play_as_journal(loaded, as_journal, json=json)
    if several:
        tasks = _tasks(_task(config, values, seed, duration_s), files, days, each_market=each_market)
        if not no_journal:
            from mm_daemon.backtest.several.days import journals

            tasks = journals(tasks, journal or _new_journal(loaded.state_dir, config, folder=True))
        return _play_several(tasks, workers, dask, sensitivity=queue_sensitivity, json=json)
    written = None if no_journal else journal or _new_journal(loaded.state_dir, config)
    if queue_sensitivity:
        _play_beside_other_queues(_task(config, values, seed, duration_s, written), workers, dask, json=json)
    else:
        _play_once(loaded, written, duration_s, json=json)
    if html is not None and written is not None:
        from mm_daemon.cli.report import write_html

        write_html(written, html)
    return 0


def _check_page(html: Path, *, no_journal: bool, several: bool) -> None:
    """Before the work: can a page be made of what is asked for? Raises UsageError."""
    from mm_daemon.cli.report import check_html

    check_html(html)
    if no_journal:
        raise UsageError("--html is drawn from the journal: leave --no-journal out")
    if several:
        raise UsageError("--html draws one backtest; of several, draw their journals: mm-daemon report JOURNAL ...")


def _play_as_journal(config: "Config", run: Path, *, json: bool) -> int:
    from mm_daemon.backtest.as_journal.play import play_as_journal
    from mm_daemon.backtest.progress import Bar

    with Bar(wanted=not json) as bar:
        followed = play_as_journal(config, run, told=bar.first)
    say(followed, json=json)
    return 0 if followed.ok else CoreError.exit_code


def _play_once(config: "Config", journal: Path | None, duration_s: float | None, *, json: bool) -> None:
    from mm_daemon.backtest.progress import Bar
    from mm_daemon.backtest.venues import backtest as play

    with Bar(wanted=not json) as bar:
        report = play(config, journal=journal, duration_s=duration_s, told=bar.first, ahead=True)
    if not report.rows:
        raise ConfigError("the recordings hold no market data")
    say(report, json=json)


def _play_beside_other_queues(task: "BacktestTask", workers: int | None, dask: str | None, *, json: bool) -> None:
    from msgspec.structs import replace

    from mm_daemon.backtest.several.parts import play_parts

    combined = play_parts([task], workers=workers, dask=dask, bar=not json, sensitivity=True)
    (only,) = combined.parts
    assert only.report is not None
    say(replace(only.report, queue_sensitivity=combined.queue_sensitivity), json=json)


def _play_several(
    tasks: "Sequence[BacktestTask]", workers: int | None, dask: str | None, *, sensitivity: bool, json: bool
) -> int:
    from mm_daemon.backtest.several.parts import play_parts

    combined = play_parts(tasks, workers=workers, dask=dask, bar=not json, sensitivity=sensitivity)
    say(combined, json=json)
    return combined.exit_code


def _task(
    config: Path,
    values: Mapping[str, object],
    seed: int | None,
    duration_s: float | None,
    journal: Path | None = None,
) -> "BacktestTask":
    """The configuration as a task, with what stands over it."""
    from mm_daemon.backtest.several.tasks import BacktestTask
    from mm_daemon.config.load import config_text

    return BacktestTask(
        name="",
        config=config_text(config),
        file=str(config),
        overrides=values,
        seed=seed,
        duration_s=duration_s,
        journal=journal,
    )


def _tasks(
    task: "BacktestTask", files: Sequence[Path], days: str | None, *, each_market: bool
) -> "Sequence[BacktestTask]":
    """One for each day or file, and of those for each market."""
    from mm_daemon.backtest.several.days import day_tasks, days_between, file_tasks, market_tasks

    tasks = [task]
    if days is not None:
        tasks = day_tasks(task, days_between(days))
    elif files:
        tasks = file_tasks(task, files)
    return market_tasks(tasks) if each_market else tasks


def _new_journal(state_dir: Path, config: Path, *, folder: bool = False) -> Path:
    """What does not exist yet, in a folder that does: a file for the journal of a backtest, or a folder for several."""
    from datetime import UTC, datetime

    place = state_dir / "backtest"
    now = datetime.now(UTC)
    name = f"{config.stem}-{now:%Y%m%dT%H%M%S}.{now.microsecond:06d}Z"
    path = place / (name if folder else f"{name}.journal")
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise JournalError(f"{place} cannot be made: {error.strerror}") from error
    return path
