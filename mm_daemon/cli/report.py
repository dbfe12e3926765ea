"""The verbs that look at recorded runs: `report`, `compare` and `calibrate-queue`."""

from pathlib import Path

from mm_daemon.cli.options import Json


def report(*journals: Path, html: Path | None = None, json: Json = False) -> int:
    """Report runs from their journals: figures, and with --html their pictures, several runs side by side.

    Parameters
    ----------
    journals:
        The journal of a backtest, the folder of a live or paper run, or a state_dir, which means all its runs.
    html:
        FILE.html: write one page with pictures and definitions, which needs nothing else. Needs matplotlib: pip install
        'mm-daemon[research]'.
    json:
        Answer as one JSON object, with the definition of every figure.
    """
    from mm_daemon.domain.errors import UsageError

    if not journals:
        raise UsageError("name at least one journal: mm-daemon report JOURNAL [JOURNAL ...]")
    if html is not None:
        check_html(html)
    from mm_daemon.backtest.relived import runs_of
    from mm_daemon.backtest.run_report.as_json import to_json
    from mm_daemon.backtest.run_report.report import report_runs
    from mm_daemon.backtest.run_report.text import to_text

    reports = report_runs(list(runs_of(list(journals))))
    if html is not None:
        from mm_daemon.cli.report_page import write

        write(reports, html)
    told = [one.report for one in reports]
    print(to_json(told).decode() if json else to_text(told))
    if html is not None and not json:
        print(f"\npage      {html}")
    return _exit_code(any(one.damaged for one in told))


def write_html(journal: Path, html: Path) -> None:
    """What `backtest --html FILE` does with its journal, after `check_html`. Raises UsageError, JournalError."""
    from mm_daemon.backtest.run_report.report import report_run
    from mm_daemon.cli.report_page import write

    write([report_run(journal)], html)


def check_html(path: Path) -> None:
    """Before the work: can this page be made at all? Raises UsageError."""
    from mm_daemon.domain.errors import UsageError

    if path.suffix not in (".html", ".htm"):
        raise UsageError(f"--html {path}: must end in .html")
    try:
        import matplotlib
    except ImportError:
        raise UsageError("--html needs matplotlib, which is not installed: pip install 'mm-daemon[research]'") from None
    matplotlib.use("Agg")


def compare(journal_a: Path, journal_b: Path, /, *, json: Json = False) -> int:
    """Hold two runs side by side: parameters, decisions, fills, and the first difference with what was behind it.

    Parameters
    ----------
    journal_a:
        The journal of a backtest, or the folder of a run.
    journal_b:
        The other one.
    json:
        Answer as one JSON object.
    """
    from mm_daemon.backtest.relived import one_journal
    from mm_daemon.backtest.side_by_side.compare import compare as hold
    from mm_daemon.backtest.side_by_side.result import to_text

    found = hold(one_journal(journal_a), one_journal(journal_b))
    print(found.to_json().decode() if json else to_text(found))
    return _exit_code(found.damaged)


def calibrate_queue(journal: Path, /, *, json: Json = False) -> int:
    """Hold the queue models of the simulation against what became of our orders, and suggest the one that fits.

    Parameters
    ----------
    journal:
        The folder of a live run, or of a paper run, or a backtest's journal; of the last two, their own model is found.
    json:
        Answer as one JSON object.
    """
    from mm_daemon.backtest.queue.calibration import calibrate_queue as hold
    from mm_daemon.backtest.queue.calibration import to_text
    from mm_daemon.backtest.relived import one_journal

    found = hold(one_journal(journal))
    print(found.to_json().decode() if json else to_text(found))
    return _exit_code(found.damaged)


def _exit_code(damaged: bool) -> int:
    """A program that reads no notes must not take half a run for a whole one."""
    from mm_daemon.domain.errors import JournalError

    return JournalError.exit_code if damaged else 0
