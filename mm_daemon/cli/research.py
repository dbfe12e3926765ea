"""Verbs about the past: backtest, replay."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from mm_daemon.cli.options import DEFAULT_CONFIG, ConfigPath, Json, read_config, seconds


def new_journal_path(state_dir: Path, config: Path) -> Path:
    """A file that does not exist yet for the journal of a backtest, in a folder that does."""
    from datetime import UTC, datetime

    from mm_daemon.domain.errors import JournalError

    folder = state_dir / "backtest"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise JournalError(f"{folder} cannot be made: {error.strerror}") from error
    now = datetime.now(UTC)
    return folder / f"{config.stem}-{now:%Y%m%dT%H%M%S}.{now.microsecond:06d}Z.journal"


def backtest(
    *,
    config: ConfigPath = DEFAULT_CONFIG,
    json: Json = False,
    journal: Path | None = None,
    no_journal: Annotated[bool, Parameter(negative=())] = False,
    seed: int | None = None,
    duration: str | None = None,
    html: Path | None = None,
) -> int:
    """Play a recording or the embedded market through the engine, as fast as possible, and report.

    Parameters
    ----------
    config:
        Configuration file, the same one that `run` takes.
    json:
        Answer as one JSON object.
    journal:
        Journal to write; a new file under `state_dir` by default.
    no_journal:
        Write no journal.
    seed:
        Use this seed instead of the one in the file.
    duration:
        Play this much market time: 60s, 2m. An embedded market never ends by itself.
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
    loaded = read_config(config, seed=seed)
    from mm_daemon.backtest.venues import backtest as play

    path = None if no_journal else journal or new_journal_path(loaded.state_dir, config)
    report = play(loaded, journal=path, duration_s=duration_s)
    print(report.to_json().decode() if json else report.to_text())
    if html is not None and path is not None:
        from mm_daemon.cli.report import write_html

        write_html(path, html)
    return 0


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
