"""The verbs about what was done: logs, history, export. They read journals and need no daemon; one may run."""

import sys
from collections.abc import Iterator
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

from cyclopts import Parameter

from mm_daemon.cli.options import DEFAULT_CONFIG, ConfigPath, Json, moment

if TYPE_CHECKING:
    from mm_daemon.journal.kept import KeptRuns


class Span(NamedTuple):
    """Nanoseconds; None: no bound on that side."""

    since_ns: int | None
    until_ns: int | None

    def holds(self, time_ns: int) -> bool:
        after = self.since_ns is None or time_ns >= self.since_ns
        return after and (self.until_ns is None or time_ns < self.until_ns)


_What = Literal["fills", "orders", "decisions", "pnl", "days"]
_Since = Annotated[str | None, Parameter(name="--since")]
_Until = Annotated[str | None, Parameter(name="--until")]


def logs(
    *,
    config: ConfigPath = DEFAULT_CONFIG,
    state_dir: Path | None = None,
    since: _Since = None,
    until: _Until = None,
    symbol: str | None = None,
    only: Annotated[tuple[Literal["fills", "orders", "decisions", "trouble", "runs"], ...], Parameter()] = (),
    last: int | None = 200,
    json: Json = False,
) -> int:
    """Tell what happened, in words, over all runs whose journals are kept: fills, refusals, differences, links,
    operators. Orders and decisions are told where they are asked for.

    Parameters
    ----------
    config:
        Configuration whose state_dir is meant.
    state_dir:
        The folder itself, instead of --config.
    since:
        From then on: a UTC time like 2026-11-26T03:00:00, or how long ago: 30m, 2h.
    until:
        Before then, as --since.
    symbol:
        Only this market, as SYMBOL or venue:SYMBOL.
    only:
        Only these kinds; may be repeated.
    last:
        The last so many lines, 200 by default; 0 for all.
    json:
        One JSON object a line.
    """
    from collections import deque

    import msgspec

    from mm_daemon.domain.errors import UsageError
    from mm_daemon.domain.instrument import symbol_of
    from mm_daemon.journal.history import utc
    from mm_daemon.observability.story import Kind, sentence

    if last is not None and last < 0:
        raise UsageError(f"--last {last}: must be at least 0, which means all")
    span = _span(since, until)
    kinds = {Kind(name) for name in only} or {Kind.FILLS, Kind.TROUBLE, Kind.RUNS}
    runs = _runs(config, state_dir)

    def told() -> Iterator[str]:
        for kept in runs:
            if not span.holds(kept.time_ns):
                continue
            said = sentence(kept.record, kept.contracts)
            if said is None or said.kind not in kinds:
                continue
            if symbol is not None and symbol not in {said.subject, symbol_of(said.subject)}:  # type: ignore[arg-type]
                continue
            if json:
                shown = {"time": utc(kept.time_ns), "kind": said.kind, "subject": said.subject, "text": said.text}
                yield msgspec.json.encode({**shown, "run": kept.run, "record": kept.seq}).decode()
            else:
                yield f"{utc(kept.time_ns)[:-4]}Z  {said.subject:<22}  {said.text}".rstrip()

    lines = deque(told(), maxlen=last or None)
    print("\n".join(lines) if lines else "nothing of that is in the journals that are kept")
    return _told(runs)


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

    from mm_daemon.domain.errors import UsageError
    from mm_daemon.journal import history as journals

    if days is not None and days < 1:
        raise UsageError(f"--days {days}: must be at least 1")
    runs = _runs(config, state_dir)
    found = journals.days(journals.History(runs))
    if days is not None:
        shown = sorted({each.day for each in found})[-days:]
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
    return _told(runs)


def export(
    out: Path,
    /,
    *,
    what: _What = "fills",
    config: ConfigPath = DEFAULT_CONFIG,
    state_dir: Path | None = None,
    since: _Since = None,
    until: _Until = None,
    symbol: str | None = None,
) -> int:
    """Write what was done, over all runs whose journals are kept, as a table: for accounting, tax and audit.

    Parameters
    ----------
    out:
        FILE.csv, FILE.jsonl or FILE.parquet to write. An existing one is never overwritten.
    what:
        fills: each once; orders: what was asked and answered; decisions: with their numbers and reasons; pnl: the
        books after each fill and payment; days: a sum for each day and market.
    config:
        Configuration whose state_dir is meant.
    state_dir:
        The folder itself, instead of --config.
    since:
        From then on: a UTC time like 2026-11-26T03:00:00, or how long ago: 30m, 2h.
    until:
        Before then, as --since.
    symbol:
        Only this market, as SYMBOL or venue:SYMBOL.
    """
    from mm_daemon.domain.errors import UsageError
    from mm_daemon.journal.tables import TABLES, check_parquet, write_csv, write_jsonl, write_parquet

    if out.suffix not in {".csv", ".jsonl", ".parquet"}:
        raise UsageError(f"{out}: must end in .csv, .jsonl or .parquet, which says what is written")
    if out.suffix == ".parquet":
        check_parquet()
    span = _span(since, until)

    def wanted(time_ns: int, venue: str, name: str) -> bool:
        return span.holds(time_ns) and symbol in {None, name, f"{venue}:{name}"}

    table, runs = TABLES[what], _runs(config, state_dir)
    rows = table.rows(runs, wanted)
    try:
        with out.open("xb") as file:
            if out.suffix == ".parquet":
                count = write_parquet(table, rows, file)
            else:
                write = write_csv if out.suffix == ".csv" else write_jsonl
                with TextIOWrapper(file, encoding="utf-8", newline="") as text:
                    count = write(table, rows, text)
    except FileExistsError:
        raise UsageError(f"{out} exists already and is not overwritten; name another file") from None
    except OSError as error:
        raise UsageError(f"{out} cannot be written: {error.strerror}") from error
    print(f"{count} {what} written to {out}")
    return _told(runs)


def _span(since: str | None, until: str | None) -> Span:
    """Raises UsageError."""
    from mm_daemon.domain.errors import UsageError

    span = Span(moment(since), moment(until))
    if span.since_ns is not None and span.until_ns is not None and span.until_ns <= span.since_ns:
        raise UsageError(f"--until {until} is not after --since {since}: there is no time between them")
    return span


def _runs(config: Path, state_dir: Path | None) -> "KeptRuns":
    import os

    from mm_daemon.config.load import state_dir_of
    from mm_daemon.domain.errors import UsageError
    from mm_daemon.journal.kept import KeptRuns

    if state_dir is not None and not state_dir.is_dir():
        raise UsageError(f"--state-dir {state_dir}: there is no such folder")
    folder = state_dir if state_dir is not None else state_dir_of(config, environ=os.environ)
    return KeptRuns(folder / "journal")


def _told(runs: "KeptRuns") -> int:
    """The exit code, damage having been named. A torn tail is no damage: the process was killed, or still writes."""
    from mm_daemon.domain.errors import JournalError
    from mm_daemon.journal.format import FaultKind

    damaged = [(run, fault) for run, fault in runs.faults if fault.kind is FaultKind.DAMAGED]
    for run, fault in damaged:
        print(f"{run}: {fault}", file=sys.stderr)
    return JournalError.exit_code if damaged else 0
