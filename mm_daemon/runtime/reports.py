"""What the parts of a run report, in words for the log: children, feeds, venues, the keeping of journals.

Each is told once, or when it has changed. Nothing here decides anything; `runtime/app.py` wires it to who reports.
"""

import traceback
from collections.abc import Mapping

from structlog.typing import FilteringBoundLogger

import mm_daemon
from mm_daemon.core.trading_core import TradingCore
from mm_daemon.domain.decisions import Turn
from mm_daemon.domain.instrument import InstrumentId, Venue, symbol_of
from mm_daemon.domain.reconciliation import DiffKind
from mm_daemon.journal.format import FaultKind
from mm_daemon.journal.keeping import Kept
from mm_daemon.journal.recovery import Recovered
from mm_daemon.observability.words import difference
from mm_daemon.ports.connector import Connector, CountsProblems, NotesDamage
from mm_daemon.runtime.dead_man import in_words
from mm_daemon.runtime.venues import feed_of

_PROOFS = (DiffKind.ORDER_DEAD, DiffKind.AMEND_DEAD)

FORGOTTEN = (
    "the machine went down under the last run, whose last second may not be on the disk: waiting until no order that "
    "was sent in it can land any more, and cancelling what does"
)


class Reports:
    def __init__(self, log: FilteringBoundLogger, core: TradingCore, connectors: Mapping[Venue, Connector]) -> None:
        self._log = log
        self._core = core
        self._connectors = connectors
        self._problems: dict[Venue, dict[str, int]] = {}
        self._places_told: set[str] = set()
        self._keeping_problems: tuple[str, ...] = ()
        self._latched: str | None = None
        self._skewed: Mapping[Venue, int] = {}

    # The start

    def starting(self, mode: str, config: str, journal: str) -> None:
        version = mm_daemon.__version__
        text = f"mm-daemon {version}, {mode}, {config}, journal {journal}"
        self._log.info("starting", version=version, mode=mode, config=config, journal=journal, text=text)

    def continuing(self, left: Recovered) -> None:
        """What the last run left."""
        held = [
            f"{symbol_of(market.instrument)} {market.position.lots} lots"
            f"{'' if market.instrument in self._core.markets else ' (no longer a market of ours: nobody reduces it)'}"
            for market in left.checkpoint.markets
            if market.position.lots
        ]
        unknown = self._core.ledger.open_orders()
        how = "which stopped" if left.ended else "which died"
        text = (
            f"continuing {left.run.name}, {how}: {', '.join(held) or 'no position'}, {unknown} orders without an end; "
            f"{left.relived} records behind its last checkpoint"
        )
        self._log.info("continuing", run=left.run.name, ended=left.ended, unknown_orders=unknown, text=text)
        for fault in left.cut:
            torn = fault.kind is FaultKind.TORN
            done = "left half written was cut" if torn else "wrote of the market is left as it is"
            self._log.warning("journal_cut", text=f"what {left.run.name} {done}: {fault}")

    def dead_man(self) -> None:
        """What each venue does with our orders when this process is gone."""
        for venue, connector in self._connectors.items():
            self._log.info("dead_man", venue=venue, text=in_words(connector.capabilities))

    # The supervisor's children

    def restart(self, name: str, error: Exception, pause_s: float) -> None:
        text = f"{name} failed and starts again in {pause_s:.1f} s: {type(error).__name__}: {error}"
        self._log.warning("restart", task=name, pause_s=round(pause_s, 3), text=text, error=trace(error))

    def given_up(self, name: str, error: Exception) -> None:
        self._log.error("given_up", task=name, text=f"{name} is given up: {error}", error=trace(error))

    def late(self, late_s: float) -> None:
        text = f"this process did not get to run for {late_s:.2f} s: all quotes are pulled until it keeps time again"
        self._log.error("loop_stall", late_s=round(late_s, 3), text=text)

    # Feeds and venues

    def bad_frames(self) -> None:
        """What a feed could not use, where it counts it: by kind, when the counts have changed, and each place once."""
        for venue, connector in self._connectors.items():
            feed = feed_of(connector)
            problems = dict(feed.problems) if isinstance(feed, CountsProblems) else {}
            markets = self._core.markets.values()
            crossings = sum(market.book.crossings for market in markets if market.instrument.venue == venue)
            if crossings:
                problems["crossed_book"] = crossings
            if problems and problems != self._problems.get(venue):
                self._problems[venue] = problems
                counts = ", ".join(f"{count} {kind}" for kind, count in sorted(problems.items()))
                notes = feed.notes if isinstance(feed, NotesDamage) else ()
                places = [note for note in notes if note not in self._places_told]
                self._places_told.update(places)
                text = "\n".join([f"frames that could not be used so far: {counts}", *places])
                self._log.warning("bad_frames", venue=venue, text=text)

    def market_lost(self, instrument: InstrumentId) -> None:
        text = "the core was too late for this market: no quotes until its feed sends a whole book by itself"
        self._log.error("overflow", symbol=symbol_of(instrument), text=text)

    def orders_lost(self, venue: Venue) -> None:
        text = "order events were lost, the core was too late: nothing is quoted until the account has been compared"
        self._log.error("overflow", venue=venue, text=text)

    def venue_trouble(self, venue: Venue, text: str) -> None:
        self._log.warning("venue_trouble", venue=venue, text=text)

    def reconciled(self, turn: Turn) -> None:
        """What was found between the venues' accounts and what we believe, and what was found out."""
        for result in turn.reconciled:
            proofs = [diff for diff in result.diffs if diff.kind in _PROOFS]
            found = [diff for diff in result.diffs if diff.kind not in _PROOFS]
            if proofs:
                text = f"found out: {', '.join(map(difference, proofs))}"
                self._log.info("reconcile", venue=result.venue, clean=result.clean, text=text)
            if any(diff.kind is DiffKind.POSITION_UNEXPLAINED for diff in found):
                text = (
                    f"the venue's account differs, and nothing explains it: {', '.join(map(difference, found))}; look "
                    "at the venue: `mm-daemon adopt SYMBOL` takes its position over"
                )
                self._log.error("reconcile", venue=result.venue, clean=False, text=text)
            elif found or result.payments:
                said = ", ".join(map(difference, found)) or "payments we had not heard of"
                text = f"the venue's account differs: {said}" + (": settled" if result.clean else "")
                self._log.warning("reconcile", venue=result.venue, clean=result.clean, text=text)

    # Safeguards

    def safeguards(self) -> None:
        """The kill latch and each venue's clock, when they have changed."""
        latched = self._core.gate.latched
        if latched != self._latched:
            self._latched = latched
            if latched is not None:
                text = f"killed: {latched}. All orders are cancelled; `mm-daemon clear-kill` lets quoting go on"
                self._log.critical("killed", cause=latched, text=text)
        skewed = self._core.safeguards.skewed()
        if skewed != self._skewed:
            for venue, skew_ns in skewed.items():
                if venue not in self._skewed:
                    text = f"our clock less the venue's is {skew_ns / 1e9:.3f} s: quotes are pulled until they agree"
                    self._log.error("clock_skew", venue=venue, skew_s=skew_ns / 1e9, text=text)
            for venue in self._skewed:
                if venue not in skewed:
                    self._log.info("clock_agrees", venue=venue, text="our clock and the venue's agree again")
            self._skewed = skewed

    # Journals

    def kept(self, kept: Kept) -> None:
        """Deleted segments are told each time, what cannot be done when it has changed."""
        if kept.deleted:
            early = f", {kept.deleted_early} of them early for want of space" if kept.deleted_early else ""
            text = f"{len(kept.deleted)} old journal segments deleted{early}"
            (self._log.warning if kept.deleted_early else self._log.info)(
                "journal_deleted", segments=list(kept.deleted), early=kept.deleted_early, text=text
            )
        if kept.problems != self._keeping_problems:
            self._keeping_problems = kept.problems
            for text in kept.problems:
                self._log.warning("journal_keeping", text=text)


def trace(error: Exception) -> str:
    """Where in the code it happened."""
    return "".join(traceback.format_exception(error))
