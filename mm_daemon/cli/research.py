"""Verbs about the past: backtest, replay."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from mm_daemon.cli.options import DEFAULT_CONFIG, ConfigPath, Json, Set, overrides, read_config, seconds


def new_journal_path(state_dir: Path, config: Path, *, folder: bool = False) -> Path:
    """A file that does not exist yet for the journal of a backtest, in a folder that does; or a folder for several."""
    from datetime import UTC, datetime

    from mm_daemon.domain.errors import JournalError

    place = state_dir / "backtest"
    now = datetime.now(UTC)
    name = f"{config.stem}-{now:%Y%m%dT%H%M%S}.{now.microsecond:06d}Z"
    path = place / (name if folder else f"{name}.journal")
    try:
        (path if folder else place).mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise JournalError(f"{place} cannot be made: {error.strerror}") from error
    return path


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
    duration_s = seconds(duration)
    from mm_daemon.domain.errors import UsageError

    if seed is not None and not 0 <= seed < 1 << 63:
        raise UsageError(f"--seed {seed}: must be a whole number at least 0 and below 2^63")
    if journal is not None and no_journal:
        raise UsageError("--journal and --no-journal contradict each other")
    if html is not None:
        from mm_daemon.cli.report import check_html

        check_html(html)
        if no_journal:
            raise UsageError("--html is drawn from the journal: leave --no-journal out")
    if files and days is not None:
        raise UsageError("name recordings or --days, not both: a recording may hold several days")
    values = overrides(set_)
    loaded = read_config(config, seed=seed, overrides=values)
    from mm_daemon.backtest.progress import Bar

    if as_journal is not None:
        from mm_daemon.backtest.as_journal import play_as_journal
        from mm_daemon.domain.errors import CoreError

        if files or days is not None or each_market or queue_sensitivity or duration is not None:
            raise UsageError("--as-journal plays what the run played: no other choice of it goes with it")
        with Bar(wanted=not json) as bar:
            followed = play_as_journal(loaded, as_journal, told=bar.first)
        print(followed.to_json().decode() if json else followed.to_text())
        return 0 if followed.ok else CoreError.exit_code
    several = bool(files) or days is not None or each_market
    if several and html is not None:
        raise UsageError("--html draws one backtest; of several, draw their journals: mm-daemon report JOURNAL ...")
    if not several and not queue_sensitivity:
        from mm_daemon.backtest.venues import backtest as play

        path = None if no_journal else journal or new_journal_path(loaded.state_dir, config)
        with Bar(wanted=not json) as bar:
            report = play(loaded, journal=path, duration_s=duration_s, told=bar.first)
        print(report.to_json().decode() if json else report.to_text())
        if html is not None and path is not None:
            from mm_daemon.cli.report import write_html

            write_html(path, html)
        return 0
    from msgspec.structs import replace

    from mm_daemon.backtest.days import day_tasks, days_between, file_tasks, journals, market_tasks
    from mm_daemon.backtest.parts import play_parts
    from mm_daemon.backtest.tasks import BacktestTask
    from mm_daemon.config.load import config_text

    task = BacktestTask(
        name="", config=config_text(config), file=str(config), overrides=values, seed=seed, duration_s=duration_s
    )
    tasks = [task]
    if days is not None:
        tasks = day_tasks(task, days_between(days))
    elif files:
        tasks = file_tasks(task, files)
    if each_market:
        tasks = market_tasks(tasks)
    if not no_journal and not several:
        tasks = [replace(task, journal=journal or new_journal_path(loaded.state_dir, config))]
    elif not no_journal:
        tasks = journals(tasks, journal or new_journal_path(loaded.state_dir, config, folder=True))
    combined = play_parts(tasks, workers=workers, dask=dask, bar=not json, sensitivity=queue_sensitivity)
    if not several:
        (only,) = combined.parts
        assert only.report is not None
        report = replace(only.report, queue_sensitivity=combined.queue_sensitivity)
        print(report.to_json().decode() if json else report.to_text())
        return 0
    print(combined.to_json().decode() if json else combined.to_text())
    return combined.exit_code


def replay(path: Path, /, *, verify: Annotated[bool, Parameter(negative=())] = False, json: Json = False) -> int:
    """Live a journal again in a fresh core and compare every decision and command.

    Parameters
    ----------
    path:
        Journal of a run or a backtest.
    verify:
        Exit with 1 when an answer differs, with 74 when the journal is damaged. A torn tail, as a sudden death leaves
        it, is neither.
    json:
        Answer as one JSON object.
    """
    from mm_daemon.backtest.replay import verify as compare
    from mm_daemon.domain.errors import CoreError, JournalError

    report = compare(path)
    print(report.to_json().decode() if json else report.to_text())
    if report.ok or not verify:
        return 0
    return CoreError.exit_code if report.difference is not None else JournalError.exit_code
