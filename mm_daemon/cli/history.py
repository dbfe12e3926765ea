"""The verbs about what was traded: history, export. They read journals and need no daemon; one may run."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mm_daemon.cli.options import DEFAULT_CONFIG, ConfigPath, Json

if TYPE_CHECKING:
    from mm_daemon.journal.history import History


def history(
    *, config: ConfigPath = DEFAULT_CONFIG, state_dir: Path | None = None, days: int | None = None, json: Json = False
) -> int:
    """What each market traded and earned, day by day (UTC), over all runs whose journals are kept.

    The P&L of a day is taken at its last fill or payment, exact, in the settlement currency.

    Parameters
    ----------
    config:
        Configuration whose state_dir is meant.
    state_dir:
        The folder itself, instead of --config.
    days:
        Only the last so many days on which something was traded.
    json:
        Answer as one JSON array.
    """
    import msgspec

    from mm_daemon.journal import history as journals

    read = _history(config, state_dir)
    found = journals.days(read)
    if days is not None:
        shown = sorted({each.day for each in found})[-days:] if days > 0 else []
        found = [each for each in found if each.day in shown]
    if json:
        print(msgspec.json.encode(found).decode())
    elif not found:
        print("nothing was traded in the journals that are kept")
    else:
        width = max(len(each.market) for each in found)
        print(
            f"{'day':<10}  {'market':<{width}}  {'fills':>6}  {'bought':>12}  {'sold':>12}  {'volume':>14}  "
            f"{'P&L':>12}  {'of it fees':>12}  {'position':>12}"
        )
        for each in found:
            print(
                f"{each.day}  {each.market:<{width}}  {each.fills:>6}  {each.bought:>12f}  {each.sold:>12f}  "
                f"{each.volume:>14.2f}  {each.pnl:>+12.4f}  {each.of_it_fees:>+12.4f}  {each.position:>12f}  "
                f"{each.currency}"
            )
    return _told(read)


def export(
    out: Path, /, *, config: ConfigPath = DEFAULT_CONFIG, state_dir: Path | None = None, symbol: str | None = None
) -> int:
    """Write every fill, once, over all runs whose journals are kept, as CSV: for accounting.

    Parameters
    ----------
    out:
        FILE.csv to write. An existing one is never overwritten.
    config:
        Configuration whose state_dir is meant.
    state_dir:
        The folder itself, instead of --config.
    symbol:
        Only fills of this market, as SYMBOL or venue:SYMBOL.
    """
    from mm_daemon.domain.errors import UsageError
    from mm_daemon.journal.history import Trade, write_csv

    read = _history(config, state_dir)
    trades = (
        entry
        for entry in read
        if isinstance(entry, Trade) and symbol in (None, entry.contract.symbol, entry.contract.id)
    )
    try:
        with out.open("x", encoding="utf-8", newline="") as file:
            count = write_csv(trades, file)
    except FileExistsError:
        raise UsageError(f"{out} exists already and is not overwritten; name another file") from None
    except OSError as error:
        raise UsageError(f"{out} cannot be written: {error.strerror}") from error
    print(f"{count} fills written to {out}")
    return _told(read)


def _history(config: Path, state_dir: Path | None) -> "History":
    import os

    from mm_daemon.config.load import state_dir_of
    from mm_daemon.journal.history import History

    folder = state_dir if state_dir is not None else state_dir_of(config, environ=os.environ)
    return History(folder / "journal")


def _told(read: "History") -> int:
    """The exit code, damage having been named. A torn tail is no damage: the process was killed, or still writes."""
    from mm_daemon.domain.errors import JournalError
    from mm_daemon.journal.format import FaultKind

    damaged = [(run, fault) for run, fault in read.faults if fault.kind is FaultKind.DAMAGED]
    for run, fault in damaged:
        print(f"{run}: {fault}", file=sys.stderr)
    return JournalError.exit_code if damaged else 0
