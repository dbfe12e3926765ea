"""The metrics of a run: what is counted every turn, and what is read from the core when somebody asks.

`Metrics.observe` is shown every turn by the core loop, after its commands have left; it only adds integers and
observes histograms, a few microseconds on a turn that changed something. All else (prices, position, P&L, orders) is
read from the core's own state when `/metrics` is fetched, so that the two cannot differ. Counters begin at zero with
the process. Names and labels are those of `metric_names.py`; there are no `_created` series.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from prometheus_client import ProcessCollector, generate_latest
from prometheus_client.samples import Sample

from mm_daemon.core.market import MarketState
from mm_daemon.core.trading_core import TradingCore
from mm_daemon.domain.decisions import (
    LOCKOUT_MASK,
    PACING_MASK,
    WITHDRAW_MASK,
    CancelAll,
    CancelOrder,
    DecisionsChanged,
    PlaceOrder,
    Reason,
    Turn,
    reasons_in,
)
from mm_daemon.domain.events import (
    Event,
    OrderAccepted,
    OrderAmended,
    OrderAmendRejected,
    OrderCanceled,
    OrderCancelRejected,
    OrderExpired,
    OrderFilled,
    OrderRejected,
)
from mm_daemon.domain.instrument import InstrumentId, Venue, venue_of
from mm_daemon.domain.money import ATTO
from mm_daemon.domain.orders import ClientOrderId, Operation, Phase, RejectKind, Side
from mm_daemon.observability.histogram import FAST_S, SLOW_S, Histogram
from mm_daemon.observability.metric_page import Page, Sink
from mm_daemon.observability.quoted_time import QuotedTime
from mm_daemon.observability.readiness import unready_reasons
from mm_daemon.observability.slices import in_slices
from mm_daemon.observability.trade_statistics import TradeStatistics
from mm_daemon.observability.venue_metrics import VenueMetrics
from mm_daemon.ports.connector import Link

_NS_PER_S = 1e9
_BPS = 1e4
_SIDES = (Side.BUY, Side.SELL)
_LOCKING = WITHDRAW_MASK | LOCKOUT_MASK | PACING_MASK
_ALWAYS_SHOWN = (
    Reason.KILL_LATCHED,
    Reason.SHUTDOWN,
    Reason.OPERATOR_PAUSED,
    Reason.MARKET_DISABLED,
    Reason.STARTING,
    Reason.LOOP_STALL,
    Reason.VENUE_DOWN,
    Reason.RECONCILING,
    Reason.MARKET_HALTED,
    Reason.BOOK_INVALID,
    Reason.BOOK_STALE,
    Reason.NO_REFERENCE,
    Reason.BAD_NUMBER,
    Reason.MAX_POSITION,
    Reason.FILL_LOCKOUT,
    Reason.ORDER_LOCKOUT,
    Reason.REJECT_LOCKOUT,
    Reason.VENUE_BACKOFF,
)
"""Lockouts shown from the start, at zero; another appears once it has been seen."""
_STATES = (Phase.QUEUED, Phase.SENT, Phase.LIVE, Phase.UNKNOWN, Phase.CLOSING, Phase.FOREIGN)
_OPERATIONS = {Operation.PLACE: "new", Operation.AMEND: "amend", Operation.CANCEL: "cancel"}
_ANSWERS: Mapping[type[Event], Operation] = {
    OrderAccepted: Operation.PLACE,
    OrderRejected: Operation.PLACE,
    OrderAmended: Operation.AMEND,
    OrderAmendRejected: Operation.AMEND,
    OrderCanceled: Operation.CANCEL,
    OrderCancelRejected: Operation.CANCEL,
}
_ENDINGS = (OrderRejected, OrderCanceled, OrderExpired)


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


class _MarketCounts:
    """What is counted of one market."""

    __slots__ = (
        "acks",
        "cancels",
        "decision_to_send",
        "decisions",
        "dropped",
        "labels",
        "locked_bits",
        "locked_ns",
        "locked_since_ns",
        "market",
        "quoted",
        "refusals",
        "rejects",
        "sent",
        "submitted",
        "tick_to_decision",
    )

    def __init__(self, market: MarketState) -> None:
        self.market = market
        self.labels = (market.instrument.venue, market.instrument.symbol)
        self.decisions: Counter[tuple[str, str, str]] = Counter()
        self.refusals: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()
        self.cancels: Counter[str] = Counter()
        self.rejects: Counter[str] = Counter(dict.fromkeys(RejectKind, 0))
        self.submitted = dict.fromkeys(_SIDES, 0)
        self.tick_to_decision = Histogram(FAST_S)
        self.decision_to_send = Histogram(FAST_S)
        self.acks = {operation: Histogram(SLOW_S) for operation in _OPERATIONS}
        self.sent: dict[Operation, dict[ClientOrderId, int]] = {operation: {} for operation in _OPERATIONS}
        """When a command that is not answered yet was released."""
        self.locked_bits = 0
        self.locked_since_ns = 0
        self.locked_ns: Counter[int] = Counter()
        """Nanoseconds by the mask of reasons that held together."""
        self.quoted = QuotedTime()

    def decided(self, changed: DecisionsChanged) -> None:
        bits = 0
        for decision in changed.decisions:
            self.decisions[decision.side.word, decision.action, decision.reasons[0]] += 1
            for reason in decision.reasons:
                bits |= reason.bit
        bits &= _LOCKING
        if bits != self.locked_bits:
            self.locked_ns[self.locked_bits] += changed.now_ns - self.locked_since_ns
            self.locked_bits, self.locked_since_ns = bits, changed.now_ns

    def answered(self, event: Event, client_id: ClientOrderId) -> None:
        """Time the answer, and forget what this order will not be answered any more."""
        operation = _ANSWERS.get(type(event))
        if operation is not None:
            sent_ns = self.sent[operation].pop(client_id, None)
            if sent_ns is not None:
                self.acks[operation].observe(max(0, event.ts_local_ns - sent_ns) / _NS_PER_S)
        if isinstance(event, _ENDINGS):
            self.forget(client_id)

    def forget(self, client_id: ClientOrderId) -> None:
        for waiting in self.sent.values():
            waiting.pop(client_id, None)

    def locked_s(self, now_ns: int) -> dict[Reason, float]:
        """Seconds by reason, up to `now_ns`."""
        seconds = dict.fromkeys(_ALWAYS_SHOWN, 0.0)
        spans = dict(self.locked_ns)
        if self.locked_bits:
            spans[self.locked_bits] = spans.get(self.locked_bits, 0) + max(0, now_ns - self.locked_since_ns)
        for bits, span_ns in spans.items():
            for reason in reasons_in(bits):
                seconds[reason] = seconds.get(reason, 0.0) + span_ns / _NS_PER_S
        return seconds


def quote_works(market: MarketState, side: Side) -> bool:
    """Whether a quote of ours may rest on this side."""
    order = market.working(side)
    return order is not None and not order.final


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
        self._markets: dict[InstrumentId, _MarketCounts] = {
            instrument: _MarketCounts(market) for instrument, market in core.markets.items()
        }
        self.venues = VenueMetrics(core.outboxes, wall_ns=wall_ns, bad_messages=bad_messages, links=links)
        self.restarts: Counter[str] = Counter()
        """Restarts by task; add the names at the start, so that they are shown at zero."""
        self.journal_errors = {"keep": 0}
        """By what was tried. An error of writing is not here: it ends the run, and these figures with it."""
        self.loop_lag = Histogram(FAST_S)
        self.flushes = Histogram(FAST_S)
        self._process = ProcessCollector(registry=None)

    # Every turn

    def observe(self, turn: Turn, events: Sequence[Event], times: TurnTimes) -> None:
        """One turn and its order, account, link and control events. Called after the turn's commands have left."""
        self.flushes.observe(times.flush_s)
        if not (events or turn.decisions or turn.released or turn.refusals or turn.dropped):
            return
        markets = self._markets
        now_ns = turn.now_ns
        touched: dict[InstrumentId, _MarketCounts] = {}
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
        sending: dict[InstrumentId, _MarketCounts] = {}
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

    def _order_event(self, counts: _MarketCounts, event: Event) -> None:
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
        await in_slices(self.fill(page))
        return b"".join(await in_slices(self._texts(page)))

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
        for venue, outbox in self._core.outboxes.items():
            for bucket, share in outbox.headroom().items():
                page.add("mm_rate_limit_headroom_ratio", share, venue, bucket)
        for venue, skew_ns in self._core.safeguards.skews_ns().items():
            page.add("mm_clock_skew_seconds", skew_ns / _NS_PER_S, venue)
        self.venues.show(page, now_ns)
        yield
        for counts in self._markets.values():
            now_ns = self._now_ns()
            _state(page, counts, now_ns)
            yield
            _latencies(page, counts)
            yield
            _orders(page, counts, self._core, now_ns)
            yield
            _money(page, counts, self._core)
            yield
            _markouts(page, counts, self._statistics[counts.market.id], now_ns)
            yield
            _decisions(page, counts)
            _budgets(page, counts, self._core, now_ns)
            yield

    def _daemon(self, page: Sink, now_ns: int) -> None:
        core, queues = self._core, self._queues
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
        for task, restarts in self.restarts.items():
            page.add("mm_task_restarts_total", restarts, task)
        page.add_histogram("mm_event_loop_lag_seconds", self.loop_lag)
        orders, market = queues.waiting
        page.add("mm_queue_depth", orders, "orders")
        page.add("mm_queue_depth", market, "market")
        page.add("mm_queue_depth", sum(outbox.waiting for outbox in core.outboxes.values()), "outbox")
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


def _state(page: Sink, counts: _MarketCounts, now_ns: int) -> None:
    market, labels = counts.market, counts.labels
    contract, book = market.instrument, market.book
    working = {side: market.working(side) if quote_works(market, side) else None for side in _SIDES}
    page.add("mm_quoting", any(order is not None for order in working.values()), *labels)
    for reason, seconds in counts.locked_s(now_ns).items():
        page.add("mm_lockout", bool(counts.locked_bits & reason.bit), *labels, reason)
        page.add("mm_lockout_seconds_total", seconds, *labels, reason)
    if book.ts_local_ns:
        page.add("mm_market_data_age_seconds", max(0, now_ns - book.ts_local_ns) / _NS_PER_S, *labels, "book")
    if market.trade_ns:
        page.add("mm_market_data_age_seconds", max(0, now_ns - market.trade_ns) / _NS_PER_S, *labels, "trades")
    for cause, lost in book.invalidated.items():
        page.add("mm_book_resyncs_total", lost, *labels, cause)
    if book.trusted:
        page.add("mm_best_price", float(contract.price(book.bid_ticks)), *labels, "bid")
        page.add("mm_best_price", float(contract.price(book.ask_ticks)), *labels, "ask")
    bid, ask = working[Side.BUY], working[Side.SELL]
    for side, order in working.items():
        if order is not None:
            page.add("mm_quote_price", float(contract.price(order.ticks)), *labels, side.word)
        page.add("mm_quote_uptime_seconds_total", counts.quoted.side_ns(side, now_ns) / _NS_PER_S, *labels, side.word)
    if market.pricing is not None:
        page.add("mm_reservation_price", market.pricing.reservation_ticks * float(contract.tick), *labels)
    if bid is not None and ask is not None and book.trusted:
        page.add("mm_spread_quoted_ratio", 2 * (ask.ticks - bid.ticks) / book.half_ticks, *labels)


def _latencies(page: Sink, counts: _MarketCounts) -> None:
    labels = counts.labels
    page.add_histogram("mm_tick_to_decision_seconds", counts.tick_to_decision, *labels)
    page.add_histogram("mm_decision_to_send_seconds", counts.decision_to_send, *labels)
    for operation, word in _OPERATIONS.items():
        page.add_histogram("mm_order_ack_seconds", counts.acks[operation], *labels, word)


def _orders(page: Sink, counts: _MarketCounts, core: TradingCore, now_ns: int) -> None:
    market, labels = counts.market, counts.labels
    live: Counter[tuple[str, Phase]] = Counter()
    unknown = 0
    for order in core.ledger.alive(market.id):
        live[order.side.word, order.phase] += 1
        unknown += order.lost
    oldest_ns = core.resolver.oldest_ns(market.id)
    for side in _SIDES:
        page.add("mm_orders_submitted_total", counts.submitted[side], *labels, side.word)
        for state in _STATES:
            page.add("mm_orders_live", live[side.word, state], *labels, side.word, state.lower())
    page.add("mm_orders_unknown", unknown, *labels)
    page.add("mm_unknown_oldest_seconds", 0.0 if oldest_ns is None else (now_ns - oldest_ns) / _NS_PER_S, *labels)
    for reason, cancels in counts.cancels.items():
        page.add("mm_order_cancels_total", cancels, *labels, reason)
    for kind, rejects in counts.rejects.items():
        page.add("mm_order_rejects_total", rejects, *labels, kind)


def _money(page: Sink, counts: _MarketCounts, core: TradingCore) -> None:
    market, labels = counts.market, counts.labels
    contract, position, limits = market.instrument, market.position, market.parameters.limits
    for side, traded in ((Side.BUY, position.bought), (Side.SELL, position.sold)):
        page.add("mm_fills_total", traded.maker_fills, *labels, side.word, "maker")
        page.add("mm_fills_total", traded.taker_fills, *labels, side.word, "taker")
        page.add("mm_fill_base_quantity_total", float(contract.size(traded.lots)), *labels, side.word)
        page.add("mm_volume_quote_total", traded.value_atto / ATTO, *labels, side.word)
        page.add("mm_spread_captured_quote_total", traded.captured_atto / ATTO, *labels, side.word)
        worst = position.lots + side * core.ledger.exposure(market.id, side)
        page.add("mm_worst_case_position_base", float(contract.size(worst)), *labels, side.word)
    page.add("mm_duplicate_fills_total", core.ledger.duplicates_of(market.id), *labels)
    page.add("mm_position_base", float(contract.size(position.lots)), *labels)
    limit_lots = max(limits.max_position_lots, -limits.min_position_lots)
    page.add("mm_position_limit_base", float(contract.size(limit_lots)), *labels)
    for part, atto in (
        ("spread", position.spread_atto),
        ("inventory", position.inventory_atto),
        ("fees", position.fees_atto),
        ("funding", position.funding_atto),
    ):
        page.add("mm_pnl_quote", atto / ATTO, *labels, part)


def _markouts(page: Sink, counts: _MarketCounts, statistics: TradeStatistics, now_ns: int) -> None:
    for (side, horizon_ns), outcome in statistics.outcomes.items():
        labels = (*counts.labels, f"{horizon_ns / _NS_PER_S:g}s", side.word)
        page.add("mm_markout_gain_quote_total", outcome.gain, *labels)
        page.add("mm_markout_loss_quote_total", outcome.loss, *labels)
        page.add("mm_markout_samples_total", outcome.markout.count, *labels)
        if outcome.adverse.count:
            page.add("mm_adverse_selection_ratio", outcome.adverse.mean / _BPS, *labels)
    inventory = statistics.inventory_figures(now_ns)
    if inventory is not None:
        page.add("mm_position_mean_abs_base", inventory.mean_abs, *counts.labels)


def _decisions(page: Sink, counts: _MarketCounts) -> None:
    for (side, action, reason), times in counts.decisions.items():
        page.add("mm_decisions_total", times, *counts.labels, side, action.lower(), reason)
    for code, times in counts.refusals.items():
        page.add("mm_refusals_total", times, *counts.labels, code)
    for code, times in counts.dropped.items():
        page.add("mm_commands_dropped_total", times, *counts.labels, code)


def _budgets(page: Sink, counts: _MarketCounts, core: TradingCore, now_ns: int) -> None:
    limits, budget = counts.market.facts.limits, core.gate.budget
    if limits.actions_per_minute is not None:
        used = budget.actions(counts.market.id, now_ns)
        page.add("mm_action_headroom_ratio", 1 - used / limits.actions_per_minute, *counts.labels)
    if limits.max_order_to_trade is not None:
        page.add("mm_order_to_trade_ratio", budget.order_to_trade(counts.market.id, now_ns), *counts.labels)
