"""A paper run of a recording, played again as a backtest at the run's own turns: the proof that both are one engine.

A paper run at real speed meets the same market as its backtest and yet not at the same instants: its loop is late now
and then, takes several events in one turn, and hands its commands over a little after the event that caused them. The
run's journal knows all of that. Here the recording is read again, the venue is simulated again, a fresh core decides
again, and from the journal come only

    the turns          which events were taken together, and at what time the core decided
    the driver's words connections, deadlines, snapshots being asked for, the stop
    times              when a command reached the venue, from the two times of its answer, and when that was heard of

Everything else is compared: market data with the recording's, what the venue said with what ours says, every decision
and command with what the core answers. What remains when the marks are left out is counted beside it: a backtest of the
same recording, and how much of the difference each departure from it can explain.
"""

from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import msgspec

from mm_daemon.backtest.following import REPLIES, Answers, Departures, Follower, Parted
from mm_daemon.backtest.progress import Told
from mm_daemon.backtest.report import BacktestReport, table
from mm_daemon.backtest.runner import run_backtest
from mm_daemon.backtest.venues import compose
from mm_daemon.config.schema import Config
from mm_daemon.core.parameters import CoreParameters
from mm_daemon.domain.errors import JournalError, UsageError
from mm_daemon.domain.events import (
    MarketEvent,
    RunStarted,
)
from mm_daemon.journal.run_reader import open_journal

_MARKET = get_args(MarketEvent)


class AsJournal(msgspec.Struct, kw_only=True):
    """What came of it."""

    path: str
    ok: bool
    market_events: int
    """Equal to the recording's."""
    venue_events: int
    """What the venue said, equal."""
    decisions: int
    """Changed decisions, equal."""
    commands: int
    """Released commands, equal."""
    snapshots: int
    """Accounts shown to the core: orders and positions equal."""
    parted: Parted | None
    departures: Departures
    run: BacktestReport
    """The run's own figures, as the core here has them when it has gone through all of its turns."""
    without: BacktestReport
    """A backtest of the same recording and time without the marks."""
    notes: tuple[str, ...] = ()

    def to_json(self) -> bytes:
        return _encoder.encode(self)

    def to_text(self) -> str:
        """The report for people."""
        gone = self.departures
        verdict = "identical at the run's turns" if self.ok else "NOT IDENTICAL"
        lines = [
            f"{self.path}: {verdict}",
            f"  equal: {self.market_events:,} market events, {self.venue_events:,} of the venue, {self.decisions:,} "
            f"decisions, {self.commands:,} commands, {self.snapshots:,} accounts",
        ]
        if self.parted is not None:
            lines += [
                f"  first difference, turn {self.parted.turn} at {self.parted.now_ns}: {self.parted.what}",
                f"    run:      {_line(self.parted.run)}",
                f"    backtest: {_line(self.parted.backtest)}",
            ]
        lines += ["", *table([("", "run", "backtest", "difference"), *_compared(self.run, self.without)]), ""]
        share = gone.batched / gone.with_market if gone.with_market else 0.0
        lines += [
            "the backtest decides after every instant and hands its commands over at once; the run",
            f"  took market events together in {gone.batched:,} of {gone.with_market:,} turns ({share:.1%}): "
            f"{gone.events_batched:,} events had no decision of their own, at most {gone.longest_batch:,} at once",
            f"  handed {gone.commands:,} commands over {gone.late_ms_mean:.3f} ms late on average, "
            f"{gone.late_ms_max:.3f} ms at most",
        ]
        if gone.received_late:
            lines.append(f"  was late to hear {gone.received_late:,} of what the venue said")
        if gone.overflows:
            lines.append(f"  gave up {gone.overflows} books that it could not follow")
        lines += [f"note      {note}" for note in self.notes]
        return "\n".join(lines)


_encoder = msgspec.json.Encoder(decimal_format="number")


def play_as_journal(config: Config, path: Path, told: Told | None = None) -> AsJournal:
    """Play the recordings of a configuration at the turns of the paper run whose journal this is, and without them.

    Raises JournalError when the journal cannot be read or does not begin with its run, UsageError when the run cannot
    be played like this: it is no paper run of recordings, or it went on from an earlier one's position.
    """
    started, last_ns, answers = _survey(path)
    parameters = CoreParameters.from_json(started.parameters)
    _check(path, started, parameters, config)
    _, sources = compose(config)
    follower = Follower(parameters, sources, answers)
    with open_journal(path) as reader:
        for frame in reader:
            for record in frame.records:
                if not follower.take(record):
                    break
            if follower.parted is not None:
                break
    follower.finish()
    own, fresh = compose(config, until_ns=last_ns + 1)
    without = run_backtest(parameters, fresh, told=told)
    notes = []
    if msgspec.structs.replace(own, first_client_id=parameters.first_client_id) != parameters:
        notes.append("the configuration has changed since the run: the core's parameters were taken from the journal")
    return AsJournal(
        path=str(path),
        ok=follower.parted is None,
        market_events=follower.counts["market"],
        venue_events=follower.counts["venue"],
        decisions=follower.counts["decisions"],
        commands=follower.counts["commands"],
        snapshots=follower.counts["snapshots"],
        parted=follower.parted,
        departures=follower.departures,
        run=follower.report(path),
        without=msgspec.structs.replace(without, wall_seconds=None),
        notes=tuple(notes),
    )


def _survey(path: Path) -> tuple[RunStarted, int, Answers]:
    """The run's beginning, the time of its last market event, and when each command was answered."""
    started: RunStarted | None = None
    last_ns = 0
    answers: Answers = {}
    with open_journal(path) as reader:
        for frame in reader:
            for record in frame.records:
                if isinstance(record, RunStarted):
                    started = record
                elif isinstance(record, _MARKET):
                    last_ns = max(last_ns, record.ts_local_ns)
                elif isinstance(record, REPLIES):
                    answers.setdefault(record.client_id, deque()).append((record.ts_venue_ns, record.ts_local_ns))
    if started is None:
        raise JournalError(f"journal {path} does not begin with its run")
    return started, last_ns, answers


def _check(path: Path, started: RunStarted, parameters: CoreParameters, config: Config) -> None:
    if not all(can.simulated and can.recorded for can in parameters.venues.values()):
        raise UsageError(f"{path} is no paper run of recordings: nothing could be played again at its turns")
    if started.resumed is not None and any(market.position.lots for market in started.resumed.markets):
        raise UsageError(f"{path} went on from the position of an earlier run: name a run that started flat")
    missing = [venue for venue in parameters.venues if not config.symbols_of(venue)]
    if missing:
        raise UsageError(f"{path} has venues that {config.file} has not: {', '.join(missing)}")


def _compared(run: BacktestReport, without: BacktestReport) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    counts: tuple[tuple[str, Callable[[BacktestReport], int]], ...] = (
        ("turns", lambda report: report.turns),
        ("decisions", lambda report: report.decisions),
        ("placed", lambda report: report.orders_placed),
        ("amended", lambda report: report.orders_amended),
        ("canceled", lambda report: report.orders_canceled),
        ("rejected", lambda report: report.orders_rejected),
        ("fills", lambda report: report.fills),
    )
    for name, count in counts:
        rows.append((name, f"{count(run):,}", f"{count(without):,}", f"{count(without) - count(run):+,}"))
    if run.volume is not None and without.volume is not None:
        change = without.volume - run.volume
        rows.append(("volume", f"{run.volume:,.2f}", f"{without.volume:,.2f}", f"{change:+,.2f}"))
    if run.pnl is not None and without.pnl is not None:
        change = without.pnl.total - run.pnl.total
        rows.append(("pnl", f"{run.pnl.total:+,.4f}", f"{without.pnl.total:+,.4f}", f"{change:+,.4f}"))
    return rows


def _line(value: object) -> str:
    return "nothing" if value is None else msgspec.json.encode(value).decode()
