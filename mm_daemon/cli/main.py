"""The command tree and the exit codes: `mm-daemon VERB`.

Verbs live in `operate.py` (configuration, running), `doctor.py` (before real money), `control.py` (a daemon that runs),
`record.py` (recordings), `backtest.py`, `sweep.py` (searches), `report.py` (recorded runs, by themselves and side by
side), `calibrate.py` (parameters from data), `explain.py` (why quotes are where they are), `history.py` (what was
done), `journal.py`, `replicate.py` (published results of the models), `simulate.py` (venues behind sockets) and
`dst.py` (the whole daemon among simulated faults); each imports what it needs when it is called, so that `--help` is
quick. Known errors are told in words, with the exit code that belongs to them (OPERATIONS 4); a traceback is a bug.
"""

import gc
import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec

from cyclopts import App, CycloptsError

from mm_daemon import __version__
from mm_daemon.cli import (
    backtest,
    calibrate,
    control,
    doctor,
    dst,
    explain,
    history,
    journal,
    operate,
    record,
    replicate,
    report,
    simulate,
    sweep,
)
from mm_daemon.domain.errors import MmError, UsageError

EXIT_INTERRUPTED = 130


def _version() -> str:
    """With a word for the compiled build, whose decisions are the same (`setup.py`)."""
    core = find_spec("mm_daemon.core.trading_core")
    compiled = core is not None and not str(core.origin).endswith(".py")
    return f"{__version__} (compiled)" if compiled else __version__


app = App(
    name="mm-daemon",
    help="A market-making daemon: one engine for live, paper and backtest.",
    version=_version,
    help_format="plaintext",
)
app.command(operate.init)
app.command(operate.check)
app.command(doctor.doctor)
app.command(operate.run)
app.command(control.watch)
app.command(control.status)
app.command(control.pause)
app.command(control.resume)
app.command(control.flatten)
app.command(control.enable)
app.command(control.disable)
app.command(control.reload)
app.command(control.cancel_all)
app.command(control.kill)
app.command(control.clear_kill)
app.command(control.resolve)
app.command(control.adopt)
app.command(record.record)
app.command(record.convert)
app.command(backtest.backtest)
app.command(sweep.sweep)
app.command(sweep.estimate)
app.command(calibrate.calibrate)
app.command(journal.replay)
app.command(report.report)
app.command(report.compare)
app.command(report.calibrate_queue)
app.command(explain.explain)
app.command(history.logs)
app.command(history.history)
app.command(history.export)
app.command(journal.app)
app.command(replicate.app)
app.command(dst.dst)
app.command(operate.connectors)
app.command(simulate.simulate)


def main() -> None:
    """The console script."""
    code = execute(sys.argv[1:])
    gc.freeze()  # all that is left ends with the process: a last search for garbage would only cost time
    sys.exit(code)


def execute(arguments: Sequence[str]) -> int:
    """Run one command line; the process's exit code."""
    try:
        code = app(arguments, exit_on_error=False, print_error=True, result_action="return_value")
        sys.stdout.flush()
    except CycloptsError:  # said already, with the usage
        return UsageError.exit_code
    except MmError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # whoever read our output has left; nothing more can be said, not even while exiting
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return code if isinstance(code, int) else 0
