"""Watching a run that is lived again: what each of its markets has to be told, and when."""

from pathlib import Path
from typing import get_args

from mm_daemon.backtest.curves.arrays import RunCurves
from mm_daemon.backtest.curves.market import WatchedMarket
from mm_daemon.backtest.curves.samples import Buckets
from mm_daemon.backtest.relived import Relived, relive_run
from mm_daemon.backtest.tally import Tally
from mm_daemon.core.trading_core import TradingCore
from mm_daemon.domain.codec import Answer
from mm_daemon.domain.decisions import ApprovedCommand, DecisionsChanged, DroppedCommand, Refusal, Turn
from mm_daemon.domain.events import (
    BookDelta,
    BookSnapshot,
    Event,
    MarketEvent,
    OrderEvent,
    OrderFilled,
    PublicTrade,
    RunStarted,
    VenueSnapshotReceived,
)
from mm_daemon.domain.instrument import InstrumentId

POINTS = 1000
SAMPLES = 20_000
_ORDER_EVENTS = frozenset(get_args(OrderEvent))
_MARKET_EVENTS = frozenset(get_args(MarketEvent))


def read_curves(path: Path, *, points: int = POINTS, samples: int = SAMPLES) -> RunCurves:
    """Curves of the run in a journal: a backtest's file, or the folder of a live or paper run.

    Between `points` and twice as many buckets, as soon as there are so many milliseconds. Raises JournalError when it
    cannot be read.
    """
    collector = CurveCollector(points=points, samples=samples)
    run = relive_run(path, collector)
    return collector.curves(run)


class CurveCollector:
    """The watcher that `read_curves` sends along."""

    def __init__(self, *, points: int = POINTS, samples: int = SAMPLES) -> None:
        self._points, self._samples = points, samples
        self._core: TradingCore | None = None
        self._unseen: list[OrderFilled] = []
        """Fills of a snapshot that nobody told before."""
        self._ordered = False
        self._rows = 0
        self._stopped_ns: int | None = None

    def start(self, core: TradingCore, started: RunStarted) -> None:
        start_ns = started.ts_local_ns
        self._core = core
        self._now_ns = start_ns
        self.tally = Tally(core.markets, start_ns)
        self._buckets = Buckets(start_ns, self._points)
        resumed = {} if started.resumed is None else {m.instrument: m.position for m in started.resumed.markets}
        self._markets = {
            name: WatchedMarket(market, self._buckets, start_ns, self._samples, resumed.get(name))
            for name, market in core.markets.items()
        }
        self._all = tuple(self._markets.values())

    def reach(self, now_ns: int) -> None:
        if self._stopped_ns is None:
            tally = self.tally
            if now_ns > tally.due_ns:
                tally.reach(now_ns)
            for market in self._all:
                if market.markouts.next_ns < now_ns:
                    market.stood(now_ns - 1)
            buckets = self._buckets
            while buckets.end_ns < now_ns:
                end_ns = buckets.end_ns
                for market in self._all:
                    market.close(end_ns)
                buckets.closed()
        self._now_ns = now_ns

    def before(self, event: Event) -> None:
        assert self._core is not None
        if isinstance(event, OrderFilled):
            self._markets[event.instrument].remember()
        elif isinstance(event, VenueSnapshotReceived):
            for market in self._all:
                market.remember()
            ledger = self._core.ledger
            self._unseen = [fill for fill in event.snapshot.fills if not ledger.seen(fill.instrument, fill.fill_key)]
        elif isinstance(event, PublicTrade) and event.instrument in self._markets:
            self._markets[event.instrument].printed(event)

    def after(self, event: Event) -> None:
        kind = type(event)
        if kind in _MARKET_EVENTS:
            market = self._markets[event.instrument]  # type: ignore[union-attr, index]
            if self._stopped_ns is None:
                market.sample.on_event(event)  # type: ignore[arg-type]
                if kind is BookDelta or kind is BookSnapshot:
                    self._rows += len(event.bids) + len(event.asks)  # type: ignore[union-attr]
                elif kind is PublicTrade:
                    self._rows += 1
            market.moved(self._now_ns)
        elif kind in _ORDER_EVENTS:
            self._on_order(event)  # type: ignore[arg-type]
        elif isinstance(event, VenueSnapshotReceived):
            self._ordered = True
            for market in self._all:
                found = self._taken(market.state.id)
                if market.held_lots != market.state.position.lots or found:
                    tally = self.tally.markets[market.state.id]
                    tally.moved()
                    market.recovered(found, self._now_ns)
                    tally.statistics.booked((), self._now_ns)
                market.moved(self._now_ns)
        else:
            self._ordered = True  # links, operators and deadlines may change what is known of orders
            for market in self._all:
                market.moved(self._now_ns)

    def _taken(self, instrument: InstrumentId) -> list[OrderFilled]:
        """What of a snapshot's fills the core has just booked: not all that it names are taken from it at once."""
        assert self._core is not None
        ledger = self._core.ledger
        unseen = {fill.fill_key: fill for fill in self._unseen if fill.instrument == instrument}
        return [fill for fill in unseen.values() if ledger.seen(instrument, fill.fill_key)]

    def decide(self, now_ns: int) -> None:
        if self._ordered:
            self._ordered = False
            if self._stopped_ns is None:
                self.tally.observe_quotes(now_ns)
            for market in self._all:
                market.requoted(now_ns)
        if self.tally.unpriced:
            self.tally.note_prices()

    def answered(self, answer: Answer, now_ns: int) -> None:
        if isinstance(answer, DecisionsChanged):
            market = self._markets.get(answer.instrument)
            if market is not None:
                if market.state.resizes and market.state.book.trusted:
                    market.state.resize(market.state.book, now_ns)
                if self._stopped_ns is None:
                    market.standing.decided(answer.decisions, now_ns)
            self.tally.turn(Turn(now_ns, decisions=(answer,)))
        elif isinstance(answer, ApprovedCommand):
            self.tally.turn(Turn(now_ns, released=(answer,)))
            for market in self._all:
                market.lives.released(answer.command, now_ns)
        elif isinstance(answer, Refusal):
            self.tally.turn(Turn(now_ns, refusals=(answer,)))
        elif isinstance(answer, DroppedCommand):
            self.tally.turn(Turn(now_ns, dropped=(answer,)))

    def stop(self, now_ns: int) -> None:
        self._stopped_ns = now_ns
        self.tally.stop(now_ns)
        for market in self._all:
            market.stop(now_ns)

    def curves(self, run: Relived) -> RunCurves:
        """Once, at the end."""
        assert self._stopped_ns is not None
        return RunCurves(
            run=run,
            tally=self.tally,
            rows=self._rows,
            decisions=sum(market.decisions for market in self.tally.markets.values()),
            markets={name: market.curves(self._stopped_ns) for name, market in self._markets.items()},
        )

    def _on_order(self, event: OrderEvent) -> None:
        self._ordered = True
        market = self._markets[event.instrument]
        if isinstance(event, OrderFilled) and market.state.position.lots != market.held_lots:
            market.booked(event, self._now_ns)
        self.tally.order_event(event, market.held_lots)
        assert self._core is not None
        market.lives.heard(event, self._core.ledger.get(event.client_id), market.state.book, self._now_ns)
