"""All the core knows about one instrument: book, engine, position, lockouts, working orders, standing decision.

Owned and changed by `TradingCore` alone; reports and status views read it.
"""

from collections.abc import Mapping
from math import inf

from mm_daemon.core.ledger_order import LedgerOrder
from mm_daemon.core.parameters import MarketParameters
from mm_daemon.domain.book import OrderBook
from mm_daemon.domain.decisions import Decision
from mm_daemon.domain.orders import Side
from mm_daemon.engine.inventory import Position
from mm_daemon.engine.lockouts import LockoutSet
from mm_daemon.engine.models.catalogue import MODELS
from mm_daemon.engine.position_guard import guard_of
from mm_daemon.engine.pricing import Pricing
from mm_daemon.engine.pricing_model import ModelFactory
from mm_daemon.engine.quote_engine import QuoteEngine
from mm_daemon.risk.facts import MarketFacts

_MS = 1_000_000


class MarketState:
    """State of one instrument. Times in nanoseconds of the core's clock, prices in ticks."""

    __slots__ = (
        "ask_clamped_at",
        "basis",
        "bid_clamped_at",
        "book",
        "book_moved",
        "deadline_ns",
        "decide_interval_ns",
        "decided_ns",
        "decided_touch",
        "decided_trusted",
        "decisions",
        "engine",
        "facts",
        "fair_high",
        "fair_low",
        "full",
        "guard",
        "halts",
        "holding",
        "id",
        "instrument",
        "joins",
        "levels",
        "lockouts",
        "lockouts_withdraw",
        "max_book_age_ns",
        "operator_paused",
        "parameters",
        "position",
        "pricing",
        "quotes",
        "size_tolerance",
        "slots",
        "surplus",
        "touched",
        "worth_atto",
    )

    def __init__(self, parameters: MarketParameters, models: Mapping[str, ModelFactory] = MODELS) -> None:
        limits = parameters.limits
        self.parameters = parameters
        self.instrument = parameters.instrument
        self.id = parameters.instrument.id
        self.book = OrderBook()
        self.engine = QuoteEngine(
            parameters.instrument,
            parameters.quoting,
            order_lots=parameters.order_lots,
            min_position_lots=limits.min_position_lots,
            max_position_lots=limits.max_position_lots,
            collar_bps=limits.collar_bps,
            models=models,
            warm=parameters.warm,
        )
        self.position = Position(parameters.instrument)
        self.guard = guard_of(
            parameters.instrument,
            parameters.quoting,
            min_position_lots=limits.min_position_lots,
            max_position_lots=limits.max_position_lots,
        )
        self.lockouts = LockoutSet(
            parameters.quoting.fill_lockout_ms,
            parameters.quoting.order_lockout_ms,
            parameters.quoting.reject_lockout_ms,
        )
        self.facts = MarketFacts(parameters.instrument, limits, self.book)
        self.worth_atto = 0
        """Its part of the account's equity, as last counted."""
        self.quotes: dict[Side, list[LedgerOrder]] = {Side.BUY: [], Side.SELL: []}
        """Our quotes that may be alive, oldest first."""
        self.slots: list[LedgerOrder | None] = []
        """The order working in each slot, bids before asks, the inner level first; empty: to be looked up in
        `quotes`.
        """
        self.surplus: list[LedgerOrder] = []
        """Quotes of ours that have no slot."""
        self.halts = 0
        """Withdraw reasons that stand until an event clears them, as a mask."""
        self.operator_paused: bool | None = None
        """What an operator last said about quoting here; None: nothing, and the configuration holds."""
        self.decide_interval_ns = parameters.quoting.decide_interval_ms * _MS
        self.levels = parameters.quoting.levels
        self.joins = not parameters.quoting.improve_touch
        """Quotes follow the best prices of their own sides."""
        self.size_tolerance = parameters.quoting.size_tolerance
        self.lockouts_withdraw = parameters.quoting.lockout_action == "withdraw"
        self.max_book_age_ns = parameters.quoting.max_book_age_ms * _MS
        # The standing decision: what it was, when it was made, and how far the fair price may move before the next.
        self.basis: tuple[object, ...] = ()
        """All that the standing decision was made of."""
        self.decisions: tuple[Decision, ...] = ()
        self.holding = True
        """No side wants anything changed."""
        self.pricing: Pricing | None = None
        self.decided_ns = -(1 << 62)
        self.decided_trusted = False
        self.decided_touch = (0, 0)
        self.fair_low, self.fair_high = -inf, inf
        self.bid_clamped_at: int | None = None
        self.ask_clamped_at: int | None = None
        self.deadline_ns: int | None = None
        # What has changed since `decide` last looked: anything, the book, something that calls for a full decision.
        self.touched = False
        self.book_moved = False
        self.full = False

    def working(self, side: Side) -> LedgerOrder | None:
        """The quote of ours that works on a side, if any may be alive."""
        orders = self.quotes[side]
        return orders[0] if orders else None

    def reassess(self) -> int:
        """Set `worth_atto` to what this market is worth now; returns by how much that changed it."""
        before, self.worth_atto = self.worth_atto, self.position.total_atto
        return self.worth_atto - before

    def refresh_deadline(self, now_ns: int) -> None:
        """When this instrument must be decided again even if nothing happens: a lockout ends, or the book turns
        stale.
        """
        deadline_ns = self.lockouts.next_expiry_ns(now_ns)
        if self.engine.conditions.timed:
            change_ns = self.engine.conditions.next_change_ns(now_ns)
            if change_ns is not None and (deadline_ns is None or change_ns < deadline_ns):
                deadline_ns = change_ns
        if self.guard is not None:
            change_ns = self.guard.due_ns(now_ns)
            if change_ns is not None and (deadline_ns is None or change_ns < deadline_ns):
                deadline_ns = change_ns
        if self.pricing is not None:
            stale_ns = self.book.ts_local_ns + self.max_book_age_ns + 1
            if deadline_ns is None or stale_ns < deadline_ns:
                deadline_ns = stale_ns
        self.deadline_ns = deadline_ns

    def decision_due(self, now_ns: int) -> bool:
        """The decide rule of EXECUTION 3.1: on events and their timestamps alone, so that every run decides alike."""
        if self.full or now_ns - self.decided_ns >= self.decide_interval_ns:
            return True
        if not self.book_moved:
            return False
        book = self.book
        if book.trusted is not self.decided_trusted:
            return True
        if not self.decided_trusted:
            return False
        if not self.fair_low <= self.engine.fair_ticks(book) <= self.fair_high:
            return True
        if self.joins and (book.bid_ticks, book.ask_ticks) != self.decided_touch:
            return True
        if self.bid_clamped_at is not None and book.ask_ticks != self.bid_clamped_at:
            return True
        return self.ask_clamped_at is not None and book.bid_ticks != self.ask_clamped_at
