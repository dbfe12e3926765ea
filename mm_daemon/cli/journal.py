"""The `journal` verbs: list, look into, export and verify the journals of runs and backtests."""

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from mm_daemon.cli.options import DEFAULT_CONFIG, ConfigPath, Json, read_config

app = App(name="journal", help="Look into the journals of runs and backtests.")

_From = Annotated[str | None, Parameter(name="--from")]
_To = Annotated[str | None, Parameter(name="--to")]


@app.command
def ls(path: Path | None = None, /, *, config: ConfigPath = DEFAULT_CONFIG, json: Json = False) -> int:
    """List the runs whose journals are kept, oldest first.

    Parameters
    ----------
    path:
        Folder of journals, or a state_dir; without it that of the configuration.
    config:
        Configuration file whose state_dir is meant.
    json:
        Answer as one JSON array.
    """
    import msgspec

    from mm_daemon.journal.view import runs

    folder = read_config(config).state_dir if path is None else path
    found = runs(folder / "journal" if (folder / "journal").is_dir() else folder)
    if json:
        print(msgspec.json.encode(found).decode())
        return 0
    if not found:
        print(f"no journals in {folder}")
    for run in found:
        parts = f"{run.market_segments} market, {run.trade_segments} trade, {run.compressed} compressed"
        told = run.problem or (f"ended: {run.ended}" if run.ended is not None else "killed, or still running")
        told += "" if run.whole else "; its beginning was deleted"
        print(f"{run.name}  {run.records:>10} records  {run.size_bytes / (1 << 20):>9.2f} MiB  ({parts})  {told}")
    return 0


@app.command
def show(
    path: Path,
    /,
    *,
    first: _From = None,
    last: _To = None,
    kind: str | None = None,
    symbol: str | None = None,
    json: Json = False,
) -> int:
    """Print records, one a line.

    Parameters
    ----------
    path:
        A run's folder, a segment in it, or the journal of a backtest.
    first:
        Number or UTC time of the first record: 1200, or 2024-08-08T23:54:15Z.
    last:
        Number or UTC time to stop before.
    kind:
        Only these records, by name: filled, or filled,approved,decisions.
    symbol:
        Only records of this market: BTC-USDT or sim:BTC-USDT.
    json:
        One JSON object a line.
    """
    from mm_daemon.journal.view import Selection, choice, line, write_jsonl

    selection = Selection(path, choice(first=first, last=last, kind=kind, symbol=symbol))
    if json:
        write_jsonl(selection, sys.stdout)
    else:
        for entry in selection:
            print(line(entry))
    return _told(selection.fault)


@app.command
def latencies(
    path: Path,
    /,
    *,
    out: Path | None = None,
    venue: str | None = None,
    feed: Annotated[bool, Parameter(negative=())] = False,
    feed_floor_ms: float = 2.0,
) -> int:
    """Write how long the run's commands and their answers took, as the CSV that `paper.latency_file` reads.

    Parameters
    ----------
    path:
        A run's folder, or the journal of a backtest.
    out:
        File to write; the terminal by default.
    venue:
        Only commands to this venue.
    feed:
        Also how long market data took, so that backtests play them with that in place of their own.
    feed_floor_ms:
        What the fastest market event is taken to have needed: it says where a round trip divides.
    """
    from mm_daemon.backtest.latencies import latencies as measured
    from mm_daemon.backtest.latencies import written
    from mm_daemon.domain.errors import JournalError, UsageError

    if not 0 <= feed_floor_ms <= 60_000:
        raise UsageError(f"--feed-floor-ms {feed_floor_ms}: must be from 0 to 60000")
    rows = measured(path, floor_ns=round(feed_floor_ms * 1_000_000), venue=venue)
    if not rows:
        raise UsageError(f"{path}: no command" + (f" to {venue}" if venue else "") + " was answered in this run")
    text = "\n".join(written(rows, feed=feed))
    if out is None:
        print(text)
        return 0
    try:
        out.write_text(f"{text}\n")
    except OSError as error:
        raise JournalError(f"{out} cannot be written: {error.strerror}") from error
    print(f"{len(rows)} round trips in {out}")
    return 0


@app.command
def export(
    path: Path,
    /,
    *,
    out: Path,
    first: _From = None,
    last: _To = None,
    kind: str | None = None,
    symbol: str | None = None,
) -> int:
    """Write records to a file for other programs.

    Parameters
    ----------
    path:
        A run's folder, a segment in it, or the journal of a backtest.
    out:
        FILE.jsonl: one JSON object a line; FILE.csv: the common columns, and the whole record as JSON in the last.
    first:
        Number or UTC time of the first record.
    last:
        Number or UTC time to stop before.
    kind:
        Only these records, by name: filled, or filled,approved,decisions.
    symbol:
        Only records of this market.
    """
    from mm_daemon.domain.errors import UsageError
    from mm_daemon.journal.view import Selection, choice, write_csv, write_jsonl

    write = {".jsonl": write_jsonl, ".csv": write_csv}.get(out.suffix)
    if write is None:
        raise UsageError(f"--out {out}: must end in .jsonl or .csv, which says what is written")
    selection = Selection(path, choice(first=first, last=last, kind=kind, symbol=symbol))
    try:
        with out.open("x", encoding="utf-8", newline="") as file:
            count = write(selection, file)
    except FileExistsError:
        raise UsageError(f"{out} exists already and is not overwritten; name another file") from None
    except OSError as error:
        raise UsageError(f"{out} cannot be written: {error.strerror}") from error
    print(f"{count} records written to {out}")
    return _told(selection.fault)


@app.command
def verify(path: Path, /, *, json: Json = False) -> int:
    """Check every byte, live the run again and compare every answer: `replay --verify`.

    Parameters
    ----------
    path:
        A run's folder, a segment in it, or the journal of a backtest.
    json:
        Answer as one JSON object.
    """
    from mm_daemon.cli.research import replay

    return replay(path, verify=True, json=json)


def _told(fault: object) -> int:
    """The exit code, damage having been named. A torn tail is no damage."""
    from mm_daemon.domain.errors import JournalError
    from mm_daemon.journal.format import Fault, FaultKind

    if not isinstance(fault, Fault):
        return 0
    print(fault, file=sys.stderr)
    return JournalError.exit_code if fault.kind is FaultKind.DAMAGED else 0
