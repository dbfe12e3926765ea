"""What a backtest counts while it runs: orders, fills, extremes, the time both sides were quoted, the trade statistics
and the equity on its clock.

No second ledger: positions and money stay the core's, this only watches what passes the driver. Order events and
released commands are rare beside market data, so nothing here lies on the path of a book update: what must be looked at
later (the mid after a fill, the equity each second) has an instant, `due_ns`, that the driver's clock is compared with.
"""

from collections import Counter
from collections.abc import Mapping

from mm_daemon.core.market import MarketState
from mm_daemon.domain.deadlines import NEVER_NS
from mm_daemon.domain.decisions import AmendOrder, PlaceOrder, Turn
from mm_daemon.domain.events import (
    Event,
    OrderAmended,
    OrderAmendRejected,
    OrderCanceled,
    OrderFilled,
    OrderRejected,
)
from mm_daemon.domain.instrument import InstrumentId
from mm_daemon.engine.equity import EquityCurve
from mm_daemon.engine.inventory import Traded
from mm_daemon.observability.equity_figures import EQUITY_NS
from mm_daemon.observability.quoted_time import QuotedTime
from mm_daemon.observability.trade_statistics import InventoryFigures, TradeStatistics


class MarketTally:
    """Counts of one market. Times in nanoseconds, sizes in lots, money in atto of the settlement currency."""

    __slots__ = (
        "amends_sent",
        "decisions",
        "inventory",
        "market",
        "max_abs_lots",
        "offered_lots",
        "orders_amended",
        "orders_canceled",
        "orders_placed",
        "orders_rejected",
        "quoted",
        "start_half_ticks",
        "start_lots",
        "statistics",
    )

    def __init__(self, market: MarketState, start_ns: int) -> None:
        self.market = market
        self.quoted = QuotedTime()
        self.quoted.advance(start_ns)
        self.statistics = TradeStatistics(market, start_ns)
        self.inventory: InventoryFigures | None = None
        """As they were when the data ended."""
        self.decisions = 0
        self.orders_placed = self.orders_amended = self.orders_canceled = self.orders_rejected = 0
        self.amends_sent = 0
        self.offered_lots = 0
        """Size of all places sent, and what amends added to theirs."""
        self.start_lots = market.position.lots
        self.max_abs_lots = abs(self.start_lots)
        self.start_half_ticks: int | None = None
        """The first valid mid."""

    def amended(self, command: AmendOrder) -> None:
        self.amends_sent += 1
        for orders in self.market.quotes.values():
            for order in orders:
                if order.client_id == command.client_id:
                    self.offered_lots += max(0, command.lots - order.lots)

    def moved(self) -> None:
        """The position has changed."""
        self.max_abs_lots = max(self.max_abs_lots, abs(self.market.position.lots))

    # Fills as the books have them, those included that only a venue's snapshot told

    @property
    def maker_fills(self) -> int:
        return sum(side.maker_fills for side in self._sides())

    @property
    def taker_fills(self) -> int:
        return sum(side.taker_fills for side in self._sides())

    @property
    def volume_lots(self) -> int:
        return sum(side.lots for side in self._sides())

    @property
    def volume_atto(self) -> int:
        return sum(side.value_atto for side in self._sides())

    def _sides(self) -> tuple[Traded, Traded]:
        return self.market.position.bought, self.market.position.sold


class Tally:
    """Counts of a whole run."""

    def __init__(self, markets: Mapping[InstrumentId, MarketState], start_ns: int) -> None:
        self.start_ns = start_ns
        self.markets = {name: MarketTally(market, start_ns) for name, market in markets.items()}
        self.refusals: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        """Decisive reasons of changed decisions, as `QUOTE new_quote`."""
        self.equity = EquityCurve()
        """Of all markets: money only where they have one currency."""
        self._sample_ns = start_ns
        self.due_ns = start_ns
        """The next instant at which something must be looked at: `reach` is to be called before anything changes after
        it.
        """
        self.unpriced = list(self.markets.values())
        """Markets without a valid mid so far: call `note_prices` after each turn while there are any."""

    def note_prices(self) -> None:
        for tally in self.unpriced:
            tally.start_half_ticks = tally.market.position.half_ticks
        self.unpriced = [tally for tally in self.unpriced if tally.start_half_ticks is None]

    def reach(self, now_ns: int) -> int:
        """Nothing has changed since the last turn, and `now_ns` comes next: look at what stood at every instant before
        it that was waited for. Returns `due_ns`.
        """
        if self._sample_ns < now_ns:
            samples = (now_ns - 1 - self._sample_ns) // EQUITY_NS + 1
            self._sample_ns += samples * EQUITY_NS
            total_atto = 0
            for tally in self.markets.values():
                worth_atto = tally.market.position.total_atto
                tally.statistics.equity.add(worth_atto, samples)
                total_atto += worth_atto
            self.equity.add(total_atto, samples)
        due_ns = self._sample_ns
        for tally in self.markets.values():
            due_ns = min(due_ns, tally.statistics.stood(now_ns - 1))
        self.due_ns = due_ns
        return due_ns

    def order_event(self, event: Event, held_lots: int) -> None:
        """An order event was applied; `held_lots` is the position before it: a fill seen before leaves it alone."""
        if isinstance(event, OrderFilled):
            tally = self.markets[event.instrument]
            if tally.market.position.lots != held_lots:
                tally.moved()
                tally.statistics.booked((event,), event.ts_local_ns)
                if self.due_ns != NEVER_NS:
                    self.due_ns = min(self.due_ns, tally.statistics.due_ns)
        elif isinstance(event, OrderCanceled):
            self.markets[event.instrument].orders_canceled += not event.replaced
        elif isinstance(event, OrderAmended):
            self.markets[event.instrument].orders_amended += 1
        elif isinstance(event, OrderRejected | OrderAmendRejected):
            self.markets[event.instrument].orders_rejected += 1

    def turn(self, turn: Turn) -> None:
        """The core has answered something."""
        for changed in turn.decisions:
            self.markets[changed.instrument].decisions += 1
            for decision in changed.decisions:
                self.reasons[f"{decision.action} {decision.reasons[0]}"] += 1
        for booked in turn.booked:  # what no event told, a snapshot did
            tally = self.markets[booked.instrument]
            tally.moved()
            tally.statistics.booked((), turn.now_ns)
        for refusal in turn.refusals:
            self.refusals[refusal.code] += 1
        for drop in turn.dropped:
            self.dropped[drop.code] += 1
        for approved in turn.released:
            command = approved.command
            if isinstance(command, PlaceOrder):
                self.markets[command.instrument].orders_placed += 1
                self.markets[command.instrument].offered_lots += command.lots
            elif isinstance(command, AmendOrder):
                self.markets[command.instrument].amended(command)

    def observe_quotes(self, now_ns: int) -> None:
        for tally in self.markets.values():
            tally.quoted.see(tally.market, now_ns)

    def stop(self, now_ns: int) -> None:
        """The data ends here: what follows is the stop, and counts towards no share of time."""
        self.reach(now_ns + 1)
        self.due_ns = NEVER_NS
        for tally in self.markets.values():
            tally.quoted.stop(now_ns)
            tally.inventory = tally.statistics.inventory_figures(now_ns)
