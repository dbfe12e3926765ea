"""`EmbeddedMarket`: a whole venue in this process, seeded order flow for any number of symbols, no network.

Our orders stand among synthetic ones in a `PriceTimeBook` per symbol and are matched by true price-time priority; the
others are `flow.py`. Perpetuals publish mark and funding rate and pay (`funding.py`). Everything happens at exact
instants of virtual time: `advance` lives through them in order, whether the shell calls it in real time or a backtest
jumps from deadline to deadline. The venue opens at the first `advance`, each symbol at its own start price. One seed is
one history: while we do nothing, what others do depends on the seed alone.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from heapq import heappop, heappush

import msgspec

from mm_daemon.domain.book import NO_ASK, NO_BID
from mm_daemon.domain.capabilities import Capabilities
from mm_daemon.domain.deadlines import NEVER_NS
from mm_daemon.domain.decisions import ApprovedCommand, CancelAll
from mm_daemon.domain.errors import ConfigError
from mm_daemon.domain.events import (
    BookDelta,
    BookSnapshot,
    Event,
    FundingUpdate,
    MarkPriceUpdate,
    PublicTrade,
    VenueSnapshot,
)
from mm_daemon.domain.instrument import Instrument, InstrumentId, Venue
from mm_daemon.domain.orders import ClientOrderId, Side
from mm_daemon.domain.rng import Rng
from mm_daemon.simulation.account import VenueAccount, VenueOrder
from mm_daemon.simulation.desk import OrderDesk, OrderLink, QueryOrder, Request, Waiting, desk_capabilities
from mm_daemon.simulation.faults import FaultPlan, Faults, Told
from mm_daemon.simulation.flow import Flow, FlowSettings
from mm_daemon.simulation.funding import Funding, FundingTerms, funding_atto
from mm_daemon.simulation.matching import Match, PriceTimeBook
from mm_daemon.simulation.models import NS_PER_MS, ConstantLatency, tick_atto

_FLOW, _PUBLISH, _FUNDING = 0, 1, 2
_TRADES_AN_OPENING = 1 << 40
"""Room for trade ids, so that none is given twice."""


class EmbeddedSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What all symbols of an embedded market share. Times in milliseconds."""

    seed: int = 1
    opening: int = 0
    """How often the market has opened before: each opening lives another stretch of the seed's history."""
    entry_latency_ms: float = 2.0
    response_latency_ms: float = 2.0
    feed_latency_ms: float = 1.0
    publish_interval_ms: float = 100.0
    faults: FaultPlan | None = None


class EmbeddedSymbol(msgspec.Struct, frozen=True, kw_only=True):
    """One symbol: its contract, where its price starts, what a typical trade is, and who else is there."""

    instrument: Instrument
    start_price: Decimal
    typical_size: Decimal
    """Median size of a taker's order, base units."""
    flow: FlowSettings
    funding: FundingTerms | None = None
    """None: no perpetual, no funding."""


class _Symbol:
    """A symbol at work: its book, its flow, its funding, and what it has published."""

    __slots__ = (
        "book",
        "flow",
        "funding",
        "instrument_id",
        "mark_half_ticks",
        "published_ns",
        "publishing",
        "tick_atto",
        "trade_id",
        "update_id",
    )

    def __init__(self, symbol: EmbeddedSymbol, rng: Rng) -> None:
        instrument = symbol.instrument
        self.instrument_id: InstrumentId = instrument.id
        self.book = PriceTimeBook()
        self.flow = Flow(
            symbol.flow,
            self.book,
            rng,
            fair_ticks=float(symbol.start_price / instrument.tick),
            typical_lots=float(symbol.typical_size / instrument.lot),
        )
        self.funding = Funding(symbol.funding, rng.split("funding")) if symbol.funding is not None else None
        self.tick_atto = tick_atto(instrument)
        self.mark_half_ticks = 0
        self.published_ns = 0
        self.publishing = False
        self.update_id = 0
        self.trade_id = 0


class EmbeddedMarket:
    """Structurally a `VirtualVenue`; its market data come out of `advance` beside the order events."""

    def __init__(
        self, venue: Venue, symbols: Sequence[EmbeddedSymbol], settings: EmbeddedSettings | None = None
    ) -> None:
        """Raises ConfigError without symbols, DomainError when a notional is no whole number of atto."""
        if not symbols:
            raise ConfigError(f"{venue}: an embedded market needs at least one symbol")
        settings = settings or EmbeddedSettings()
        rng = Rng(settings.seed) if settings.opening == 0 else Rng(settings.seed).split(f"opening {settings.opening}")
        self._account = VenueAccount(venue, [symbol.instrument for symbol in symbols])
        self._desk = OrderDesk(self._account, self, decrease_keeps_place=False)
        self._response_ns = round(settings.response_latency_ms * NS_PER_MS)
        self._feed_ns = round(settings.feed_latency_ms * NS_PER_MS)
        self._interval_ns = max(round(settings.publish_interval_ms * NS_PER_MS), 1)
        entry = ConstantLatency(round(settings.entry_latency_ms * NS_PER_MS))
        self._plan = settings.faults
        self._faults = None if self._plan is None else Faults(self._plan, rng.split("faults"))
        self._link = OrderLink(entry, ConstantLatency(self._response_ns), self._faults)
        self._waiting = self._link.waiting
        self._symbols = [_Symbol(symbol, rng.split(symbol.instrument.symbol)) for symbol in symbols]
        for symbol in self._symbols:
            symbol.trade_id = settings.opening * _TRADES_AN_OPENING
        self._by_id: Mapping[InstrumentId, _Symbol] = {symbol.instrument_id: symbol for symbol in self._symbols}
        self._schedule: list[tuple[int, int, int]] = []
        """What the market does next, as (instant, flow or publication or funding, index of the symbol)."""
        self._outgoing: list[tuple[int, int, Event]] = []
        self._sequence = 0
        self._open = False
        self._venue_ns = 0

    def instruments(self) -> Sequence[Instrument]:
        return tuple(self._account.instruments.values())

    @property
    def account(self) -> VenueAccount:
        """What the venue remembers of us: for the connector that keeps it, never for the core."""
        return self._account

    def mids(self) -> dict[InstrumentId, int]:
        """Where the prices are now, in half ticks; a symbol with an empty side has none."""
        mids: dict[InstrumentId, int] = {}
        for symbol in self._symbols if self._open else ():
            bid, ask = symbol.book.best(Side.BUY), symbol.book.best(Side.SELL)
            if bid != NO_BID and ask != NO_ASK:
                mids[symbol.instrument_id] = bid + ask
        return mids

    def capabilities(self) -> Capabilities:
        return desk_capabilities(decrease_keeps_place=False, ack_timeout_ms=3000, faults=self._plan)

    # Port

    def submit(self, commands: Sequence[ApprovedCommand], now_ns: int) -> None:
        for approved in commands:
            self._link.send(approved.command, now_ns)

    def query(self, client_id: ClientOrderId, now_ns: int) -> None:
        """Ask about one order; the answer is an event, behind those of the commands sent before."""
        self._link.send(QueryOrder(client_id), now_ns)

    def cancel_all(self, now_ns: int) -> None:
        """Everything of the account, by the ordinary way."""
        self._link.send(CancelAll(self._account.venue, ()), now_ns)

    def execute(self, request: Request, now_ns: int) -> Sequence[Told]:
        """Carry a request out at once: for a simulator that has a wire of its own, and so a latency of its own. The
        replies are the caller's to tell; what others see of it comes out of `advance`."""
        if not self._open:
            self._open_market(now_ns)
        self._live(now_ns)
        return self._carry_out(request, now_ns, now_ns)

    def hit(self, client_id: ClientOrderId, lots: int, now_ns: int) -> int:
        """A taker of the moment trades with everything before an order of ours and then with `lots` of it: how tests
        and demonstrations have an order filled when they want it. The lots of ours that traded; 0 without the order.
        """
        self._live(now_ns)
        order = self._account.orders.get(client_id)
        if order is None:
            return 0
        self._venue_ns = max(self._venue_ns, now_ns)
        symbol, aggressor = self._by_id[order.instrument], Side(-order.side)
        better = sum(level for ticks, level in symbol.book.depth(order.side) if order.side * (ticks - order.ticks) > 0)
        wanted = min(lots, order.remaining_lots)
        matches = symbol.book.sweep(aggressor, better + symbol.book.ahead_of(client_id) + wanted)
        symbol.flow.forget(match.maker_id for match in matches if not match.maker_left_lots)
        symbol.flow.keep_two_sided()
        self._print(symbol, aggressor, matches)
        self._plan_publications(self._venue_ns)
        return sum(match.lots for match in matches if match.maker_id == client_id)

    def advance(self, now_ns: int) -> Sequence[Event]:
        """Live up to and including `now_ns`; what the daemon has learned by then, in order of `ts_local_ns`."""
        if not self._open:
            self._open_market(now_ns)
        self._live(now_ns)
        outgoing = self._outgoing
        events: list[Event] = []
        while outgoing and outgoing[0][0] <= now_ns:
            events.append(heappop(outgoing)[2])
        return events

    def _live(self, now_ns: int) -> None:
        """Everything that happens at the venue up to `now_ns`, in its order."""
        schedule, waiting = self._schedule, self._waiting
        while True:
            market_ns = schedule[0][0] if schedule else NEVER_NS
            arrival_ns = waiting[0].arrival_ns if waiting else NEVER_NS
            if min(market_ns, arrival_ns) > now_ns:
                break
            if market_ns <= arrival_ns:  # at equal time the market moves first
                self._move(*heappop(schedule))
            else:
                self._execute(waiting.popleft())

    def next_deadline_ns(self) -> int | None:
        """When `advance` next has something to do: at once while the market has not opened."""
        if not self._open:
            return 0
        deadline = self._schedule[0][0]
        if self._waiting and self._waiting[0].arrival_ns < deadline:
            deadline = self._waiting[0].arrival_ns
        if self._outgoing and self._outgoing[0][0] < deadline:
            deadline = self._outgoing[0][0]
        return deadline

    def snapshot(self, now_ns: int, since_ns: int = 0) -> VenueSnapshot:
        """Our orders, positions and fills as the venue holds them; commands still under way are not in it."""
        return self._account.snapshot(now_ns, now_ns, since_ns)

    def close(self) -> None:
        """Orders die with the venue, and what was under way is lost."""
        for order in self._account.orders.values():
            self.lift(order)
        self._account.clear()
        self._waiting.clear()
        self._outgoing.clear()

    def fronts(self) -> dict[ClientOrderId, float]:
        """Lots of others before each resting order of ours, for reports."""
        return {
            order.client_id: float(self._by_id[order.instrument].book.ahead_of(order.client_id))
            for order in self._account.orders.values()
        }

    def show_books(self, now_ns: int) -> None:
        """Show every book in full again: a new link knows nothing. Before the opening there is nothing to do."""
        if not self._open:
            return
        self._live(now_ns)
        for symbol in self._symbols:
            self._show(symbol, self._venue_ns, now_ns + self._feed_ns)

    # The market

    def _show(self, symbol: _Symbol, at_ns: int, local_ns: int) -> None:
        book = symbol.book
        book.take_changes(Side.BUY)
        book.take_changes(Side.SELL)
        symbol.flow.published()
        symbol.update_id += 1
        bids, asks = book.depth(Side.BUY), book.depth(Side.SELL)
        self._emit(local_ns, BookSnapshot(symbol.instrument_id, at_ns, local_ns, bids, asks, symbol.update_id))

    def _open_market(self, now_ns: int) -> None:
        """Fill the books and show them at once."""
        self._open = True
        self._venue_ns = now_ns
        for index, symbol in enumerate(self._symbols):
            symbol.flow.open(now_ns)
            symbol.published_ns = now_ns
            self._show(symbol, now_ns, now_ns)
            heappush(self._schedule, (symbol.flow.next_ns, _FLOW, index))
            if symbol.funding is not None:
                symbol.funding.open(now_ns)
                heappush(self._schedule, (symbol.funding.next_ns, _FUNDING, index))

    def _move(self, at_ns: int, what: int, index: int) -> None:
        symbol = self._symbols[index]
        self._venue_ns = at_ns
        if what == _PUBLISH:
            self._publish(symbol, at_ns)
            return
        if what == _FUNDING and symbol.funding is not None:
            self._fund(symbol, symbol.funding, at_ns)
            heappush(self._schedule, (symbol.funding.next_ns, _FUNDING, index))
            return
        aggressor, matches = symbol.flow.step(at_ns)
        if matches:
            self._print(symbol, aggressor, matches)
        heappush(self._schedule, (symbol.flow.next_ns, _FLOW, index))
        self._plan_publication(symbol, index, at_ns)

    def _plan_publication(self, symbol: _Symbol, index: int, at_ns: int) -> None:
        if not symbol.publishing and symbol.book.changed:
            symbol.publishing = True
            heappush(self._schedule, (max(at_ns, symbol.published_ns + self._interval_ns), _PUBLISH, index))

    def _publish(self, symbol: _Symbol, at_ns: int) -> None:
        symbol.publishing = False
        symbol.flow.published()
        symbol.published_ns = at_ns
        symbol.update_id += 1
        local_ns = at_ns + self._feed_ns
        bids = symbol.book.take_changes(Side.BUY)
        asks = symbol.book.take_changes(Side.SELL)
        self._emit(local_ns, BookDelta(symbol.instrument_id, at_ns, local_ns, bids, asks, symbol.update_id))

    def _fund(self, symbol: _Symbol, funding: Funding, at_ns: int) -> None:
        """Settle when a period has ended, else publish; nothing is said of a payment on no position."""
        local_ns = at_ns + self._feed_ns
        if funding.step(at_ns):
            lots = self._account.positions[symbol.instrument_id]
            if lots:
                reply_ns = at_ns + self._response_ns
                received = funding_atto(lots, symbol.mark_half_ticks, symbol.tick_atto, funding.rate_e12)
                paid = self._account.pay_funding(
                    symbol.instrument_id, received, ts_venue_ns=at_ns, ts_local_ns=reply_ns
                )
                self._emit(reply_ns, paid)
            return
        symbol.mark_half_ticks = round(2.0 * symbol.flow.price.public_ticks)
        self._emit(local_ns, MarkPriceUpdate(symbol.instrument_id, at_ns, local_ns, symbol.mark_half_ticks))
        self._emit(
            local_ns,
            FundingUpdate(symbol.instrument_id, at_ns, local_ns, funding.rate_e12, funding.due_ns, funding.period_ns),
        )

    def _print(self, symbol: _Symbol, aggressor: Side, matches: Sequence[Match]) -> None:
        """Tell everybody of the trades, and us of those we made."""
        at_ns = self._venue_ns
        local_ns = at_ns + self._feed_ns
        for match in matches:
            symbol.trade_id += 1
            self._emit(
                local_ns,
                PublicTrade(symbol.instrument_id, at_ns, local_ns, aggressor, match.ticks, match.lots, symbol.trade_id),
            )
            if match.maker_id >= 0:
                order = self._account.orders[ClientOrderId(match.maker_id)]
                reply_ns = at_ns + self._response_ns
                self._tell(
                    self._account.fill(
                        order, match.ticks, match.lots, maker=True, ts_venue_ns=at_ns, ts_local_ns=reply_ns
                    )
                )

    def _execute(self, due: Waiting) -> None:
        reply_ns = due.arrival_ns + self._response_ns
        for reply in self._carry_out(due.request, due.arrival_ns, reply_ns):
            self._tell(reply)

    def _carry_out(self, request: Request, at_ns: int, reply_ns: int) -> Sequence[Told]:
        self._venue_ns = at_ns
        replies = self._desk.execute(request, at_ns, at_ns, reply_ns)
        self._plan_publications(at_ns)
        return replies

    def _plan_publications(self, at_ns: int) -> None:
        for index, symbol in enumerate(self._symbols):
            self._plan_publication(symbol, index, at_ns)

    def _tell(self, reply: Told) -> None:
        """Something about an order of ours, as far as nothing goes wrong with it."""
        for told in (reply,) if self._faults is None else self._faults.replies(reply):
            self._emit(told.ts_local_ns, told)

    def _emit(self, local_ns: int, event: Event) -> None:
        self._sequence += 1
        heappush(self._outgoing, (local_ns, self._sequence, event))

    # Matcher of the desk

    def touch(self, instrument: InstrumentId, side: Side) -> int | None:
        return self._by_id[instrument].book.best(Side(-side))

    def take(self, order: VenueOrder) -> list[tuple[int, int]]:
        symbol = self._by_id[order.instrument]
        matches = symbol.book.sweep(order.side, order.remaining_lots, limit_ticks=order.ticks)
        symbol.flow.forget(match.maker_id for match in matches if not match.maker_left_lots)
        symbol.flow.keep_two_sided()
        self._print(symbol, order.side, matches)
        return [(match.ticks, match.lots) for match in matches]

    def rest(self, order: VenueOrder, at_ns: int) -> None:
        self._by_id[order.instrument].book.rest(order.client_id, order.side, order.ticks, order.remaining_lots)

    def shrink(self, order: VenueOrder) -> None:
        self._by_id[order.instrument].book.reduce(order.client_id, order.remaining_lots)

    def lift(self, order: VenueOrder) -> None:
        self._by_id[order.instrument].book.cancel(order.client_id)
