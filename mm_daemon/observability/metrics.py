"""The metrics of a run: what is counted every turn, and what is read from the core when somebody asks.

`Metrics.observe` is shown every turn by the core loop, after its commands have left; it only adds integers and
observes histograms, a few microseconds on a turn that changed something. All else (prices, position, P&L, orders) is
read from the core's own state when `/metrics` is fetched, so that the two cannot differ. Counters begin at zero with
the process. Names and labels are those of `metric_names.py`; there are no `_created` series. What belongs to one market
is in `market_metrics.py`, to a venue in `venue_metrics.py`.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from prometheus_client import ProcessCollector, generate_latest
from prometheus_client.samples import Sample

from mm_daemon.core.trading_core import TradingCore
from mm_daemon.domain.decisions import (
    CancelAll,
    CancelOrder,
    PlaceOrder,
    Turn,
)
from mm_daemon.domain.events import (
    Event,
    OrderAmendRejected,
    OrderFilled,
    OrderRejected,
)
from mm_daemon.domain.instrument import InstrumentId, Venue, venue_of
from mm_daemon.domain.money import ATTO
from mm_daemon.domain.orders import ClientOrderId, Operation
from mm_daemon.observability.histogram import FAST_S, Histogram
from mm_daemon.observability.market_metrics import MarketCounts, show_market
from mm_daemon.observability.metric_page import Page, Sink
from mm_daemon.observability.readiness import unready_reasons
from mm_daemon.observability.slices import Pace
from mm_daemon.observability.trade_statistics import TradeStatistics
from mm_daemon.observability.venue_metrics import VenueMetrics
from mm_daemon.ports.connector import Link

_NS_PER_S = 1e9


class TurnTimes(Protocol):
    """When the stages of the turn just lived were over: `decided_ns` on the run's clock, the rest durations."""

    decided_ns: int
    flush_s: float
    send_s: float


class Queues(Protocol):
    """What is read of the inbox."""

    dropped_market: int
    dropped_orders: int

    @property
    def waiting(self) -> tuple[int, int]: ...


class Metrics:
    def __init__(
        self,
        core: TradingCore,
        statistics: Mapping[InstrumentId, TradeStatistics],
        *,
        now_ns: Callable[[], int],
        wall_ns: Callable[[], int],
        build: tuple[str, str],
        queues: Queues,
        folder: Path,
        bad_messages: Callable[[], Mapping[Venue, Mapping[str, int]]],
        links: Callable[[], Mapping[Venue, Mapping[str, Link]]],
    ) -> None:
        """`statistics`: of every market, fed by their owner; `wall_ns`: the system's clock, which the run's may differ
        from; `build`: version and hash of the parameters; `folder`: where the journal is; `bad_messages` and `links`
        as `VenueMetrics` has them.
        """
        self._core = core
        self._statistics = statistics
        self._now_ns = now_ns
        self._build = build
        self._queues = queues
        self._folder = folder
        self._markets: dict[InstrumentId, MarketCounts] = {
            instrument: MarketCounts(market) for instrument, market in core.markets.items()
        }
        self.venues = VenueMetrics(core.outboxes, wall_ns=wall_ns, bad_messages=bad_messages, links=links)
        self.restarts: Counter[str] = Counter()
        """Restarts by task; add the names at the start, so that they are shown at zero."""
        self.journal_errors = {"keep": 0}
        """By what was tried. An error of writing is not here: it ends the run, and these figures with it."""
        self.loop_lag = Histogram(FAST_S)
        self.flushes = Histogram(FAST_S)
        self._process = ProcessCollector(registry=None)
        self.pace = Pace()
        """Of all that takes long on the event loop and can wait."""

    # Every turn

    def observe(self, turn: Turn, events: Sequence[Event], times: TurnTimes) -> None:
        """One turn and its order, account, link and control events. Called after the turn's commands have left."""
        self.flushes.observe(times.flush_s)
        if not (events or turn.decisions or turn.released or turn.refusals or turn.dropped):
            return
        markets = self._markets
        now_ns = turn.now_ns
        touched: dict[InstrumentId, MarketCounts] = {}
        for changed in turn.decisions:
            counts = touched[changed.instrument] = markets[changed.instrument]
            counts.decided(changed)
            counts.tick_to_decision.observe(max(0, times.decided_ns - now_ns) / _NS_PER_S)
        for refusal in turn.refusals:
            instrument = getattr(refusal.intent, "instrument", None)
            if instrument in markets:  # an unknown one is refused like anything else, and has no market to count it for
                markets[instrument].refusals[refusal.code] += 1
        for drop in turn.dropped:
            if not isinstance(drop.command, CancelAll):
                markets[drop.command.instrument].dropped[drop.code] += 1
        for event in events:
            instrument = getattr(event, "instrument", None)
            if instrument in markets:
                touched[instrument] = markets[instrument]
                self._order_event(markets[instrument], event)
        self.venues.observe(turn, events)
        if turn.released:
            self._released(turn, times.send_s)
        for counts in touched.values():
            counts.quoted.see(counts.market, now_ns)

    def _released(self, turn: Turn, send_s: float) -> None:
        sending: dict[InstrumentId, MarketCounts] = {}
        for approved in turn.released:
            command = approved.command
            if isinstance(command, CancelAll):
                self._released_cancel_all(command)
                continue
            counts = sending[command.instrument] = self._markets[command.instrument]
            if isinstance(command, PlaceOrder):
                counts.submitted[command.side] += 1
                operation = Operation.PLACE
            elif isinstance(command, CancelOrder):
                counts.cancels[command.reasons[0]] += 1
                operation = Operation.CANCEL
            else:
                operation = Operation.AMEND
            counts.sent[operation][command.client_id] = turn.now_ns
        for counts in sending.values():
            counts.decision_to_send.observe(send_s)
            counts.quoted.see(counts.market, turn.now_ns)

    def _released_cancel_all(self, command: CancelAll) -> None:
        """It counts for each order that it cancels."""
        for instrument, counts in self._markets.items():
            if venue_of(instrument) == command.venue:
                orders = self._core.ledger.alive(instrument)
                hit = sum(order.cancel_command is command for order in orders)
                if hit:
                    counts.cancels[command.reasons[0]] += hit

    def _order_event(self, counts: MarketCounts, event: Event) -> None:
        if isinstance(event, OrderRejected | OrderAmendRejected):
            counts.rejects[event.kind] += 1
        client_id: ClientOrderId | None = getattr(event, "client_id", None)
        if client_id is None:
            return
        if isinstance(event, OrderFilled):
            order = self._core.ledger.get(client_id)
            if order is None or order.final:
                counts.forget(client_id)
            return
        counts.answered(event, client_id)

    # When somebody asks

    async def text(self) -> bytes:
        """The text of `/metrics`: each market as of one instant, and nobody kept waiting for all of them."""
        page = Page()
        await self.pace.walk(self.fill(page))
        return b"".join(await self.pace.walk(self._texts(page)))

    def text_at_once(self) -> bytes:
        """The same, in one go of many milliseconds."""
        page = Page()
        for _ in self.fill(page):
            pass
        return b"".join(self._texts(page))

    def _texts(self, page: Page) -> Iterator[bytes]:
        yield from page.text()
        yield generate_latest(self._process)

    def of_process(self) -> list[Sample]:
        """Memory, open files and CPU time of this process."""
        return [sample for family in self._process.collect() for sample in family.samples]

    def fill(self, page: Sink) -> Iterator[None]:
        """Put everything but the process's own figures on a page, in steps: each market as of one instant."""
        now_ns = self._now_ns()
        self._daemon(page, now_ns)
        yield
        self._runtime(page)
        yield
        for venue, outbox in self._core.outboxes.items():
            for bucket, share in outbox.headroom().items():
                page.add("mm_rate_limit_headroom_ratio", share, venue, bucket)
        for venue, skew_ns in self._core.safeguards.skews_ns().items():
            page.add("mm_clock_skew_seconds", skew_ns / _NS_PER_S, venue)
        self.venues.show(page, now_ns)
        yield
        for counts in self._markets.values():
            yield from show_market(page, counts, self._core, self._statistics[counts.market.id], self._now_ns())

    def _daemon(self, page: Sink, now_ns: int) -> None:
        core = self._core
        page.add("mm_build_info", 1, *self._build)
        page.add("mm_ready", not unready_reasons(core.markets.values(), now_ns))
        page.add("mm_kill_active", core.gate.latched is not None)
        if core.gate.drawdown_atto is not None:
            page.add("mm_drawdown_quote", core.gate.drawdown_atto / ATTO)
        if core.gate.account.max_drawdown_atto is not None:
            page.add("mm_drawdown_limit_quote", core.gate.account.max_drawdown_atto / ATTO)
        exposure = core.gate.exposure
        if exposure.limited:
            for underlying, value in exposure.notionals(core.ledger).items():
                page.add("mm_worst_case_notional_quote", value, underlying)
            for (venue, asset), share in exposure.headrooms(core.ledger).items():
                page.add("mm_margin_headroom_ratio", share, venue, asset)

    def _runtime(self, page: Sink) -> None:
        queues = self._queues
        for task, restarts in self.restarts.items():
            page.add("mm_task_restarts_total", restarts, task)
        page.add_histogram("mm_event_loop_lag_seconds", self.loop_lag)
        orders, market = queues.waiting
        page.add("mm_queue_depth", orders, "orders")
        page.add("mm_queue_depth", market, "market")
        page.add("mm_queue_depth", sum(outbox.waiting for outbox in self._core.outboxes.values()), "outbox")
        page.add("mm_queue_dropped_total", queues.dropped_orders, "orders")
        page.add("mm_queue_dropped_total", queues.dropped_market, "market")
        page.add_histogram("mm_journal_flush_seconds", self.flushes)
        page.add("mm_journal_free_bytes", free_bytes(self._folder))
        for op, errors in self.journal_errors.items():
            page.add("mm_journal_errors_total", errors, op)


def free_bytes(folder: Path) -> int:
    """Bytes that we may still write there."""
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize
