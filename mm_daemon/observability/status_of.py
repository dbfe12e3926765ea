"""The status of a daemon, taken from the core's own state: it cannot say anything else than the metrics do."""

from collections.abc import Mapping
from math import isfinite

from mm_daemon.core.ledger_order import LedgerOrder
from mm_daemon.core.market import MarketState
from mm_daemon.core.trading_core import TradingCore
from mm_daemon.domain.decisions import LOCKOUT_MASK, Reason, reasons_in
from mm_daemon.domain.instrument import InstrumentId, Venue
from mm_daemon.domain.money import from_pair, to_text
from mm_daemon.domain.orders import ClientOrderId, InFlight, Side
from mm_daemon.observability.equity_figures import equity_figures
from mm_daemon.observability.quoted_time import quote_works
from mm_daemon.observability.readiness import unready_reasons
from mm_daemon.observability.status import (
    BookStatus,
    GuardStatus,
    Lockout,
    MarketStatus,
    ModelStatus,
    PnlStatus,
    SideStatus,
    Status,
    Surroundings,
    UnknownOrder,
    VenueStatus,
)
from mm_daemon.observability.summary import Tally
from mm_daemon.observability.trade_statistics import TradeStatistics
from mm_daemon.observability.words import in_words

_NS_PER_MS = 1_000_000
_NS_PER_S = 1_000_000_000
_DAY_NS = 86_400 * _NS_PER_S
_BPS = 10_000.0


def status_of(
    core: TradingCore,
    tallies: Mapping[InstrumentId, Tally],
    statistics: Mapping[InstrumentId, TradeStatistics],
    around: Surroundings,
    now_ns: int,
) -> Status:
    """Everything as of `now_ns` on the run's clock."""
    markets = tuple(
        market_status(core, market, tallies[market.id], statistics[market.id], around, now_ns)
        for market in core.markets.values()
    )
    return status_with(markets, core, around, now_ns)


def status_with(markets: tuple[MarketStatus, ...], core: TradingCore, around: Surroundings, now_ns: int) -> Status:
    """The status around its markets, which may have been looked at one by one, up to `now_ns`."""
    unready = unready_reasons(core.markets.values(), now_ns)
    account = core.parameters.account
    totals: dict[str, int] = {}
    for market in core.markets.values():
        currency = _currency(market)
        totals[currency] = totals.get(currency, 0) + market.position.total_atto
    return Status(
        version=around.version,
        mode=around.mode,
        state=_state(core, markets, unready, around),
        ready=not unready,
        unready=unready,
        kill=core.gate.latched,
        pid=around.pid,
        config=around.config,
        journal=around.journal,
        http=around.http,
        now_ns=now_ns,
        started_ns=around.started_ns,
        events=around.events,
        turns=around.turns,
        pnl={currency: to_text(atto) for currency, atto in totals.items()},
        drawdown=_money(core.gate.drawdown_atto),
        max_drawdown=_money(account.max_drawdown_atto),
        max_loss=_money(account.max_loss_atto),
        venues=tuple(_venue(core, venue, around, now_ns) for venue in core.outboxes),
        markets=markets,
        recent=around.recent,
    )


def _state(
    core: TradingCore, markets: tuple[MarketStatus, ...], unready: tuple[Reason, ...], around: Surroundings
) -> str:
    if around.stopping or Reason.SHUTDOWN in unready:
        return "stopping"
    if core.gate.latched is not None:
        return "killed"
    if Reason.STARTING in unready:
        return "starting"
    if any(market.bid.price or market.ask.price for market in markets):
        return "quoting"
    unwanted = (Reason.OPERATOR_PAUSED, Reason.MARKET_DISABLED)
    return "paused" if all(any(reason in market.halts for reason in unwanted) for market in markets) else "idle"


def _venue(core: TradingCore, venue: Venue, around: Surroundings, now_ns: int) -> VenueStatus:
    markets = [market for market in core.markets.values() if market.instrument.venue == venue]
    seen_ns = max((market.book.ts_local_ns for market in markets), default=0)
    down = Reason.VENUE_DOWN.bit | Reason.STARTING.bit
    orders = [order for market in markets for order in core.ledger.alive(market.id)]
    outbox = core.outboxes[venue]
    return VenueStatus(
        name=venue,
        connected=not any(market.halts & down for market in markets),
        simulated=core.parameters.venues[venue].simulated,
        open_orders=len(orders),
        unknown_orders=sum(order.lost for order in orders),
        waiting_commands=outbox.waiting,
        headroom=outbox.headroom(),
        data_age_ms=_age_ms(seen_ns, now_ns),
        bad_messages=dict(around.bad_messages.get(venue, {})),
        restarts=around.restarts.get(venue, 0),
        unknown=tuple(_unknown(core, order) for order in orders if order.uncertain),
    )


def _unknown(core: TradingCore, order: LedgerOrder) -> UnknownOrder:
    contract = core.markets[order.instrument].instrument
    return UnknownOrder(
        client_id=order.client_id,
        symbol=contract.symbol,
        side=order.side.word,
        price=f"{contract.price(order.ticks):f}",
        size=f"{contract.size(order.exposure):f}",
        phase=order.phase.lower(),
    )


def market_status(
    core: TradingCore,
    market: MarketState,
    tally: Tally,
    statistics: TradeStatistics,
    around: Surroundings,
    now_ns: int,
) -> MarketStatus:
    """One market as of `now_ns`."""
    fronts = around.fronts.get(market.instrument.venue, {})
    contract, position, limits = market.instrument, market.position, market.parameters.limits
    ledger = core.ledger

    def size(lots: int) -> str:
        return f"{contract.size(lots):f}"

    return MarketStatus(
        venue=contract.venue,
        symbol=contract.symbol,
        base=contract.base,
        currency=_currency(market),
        book=_book(market, now_ns),
        bid=_side(market, Side.BUY, fronts, now_ns),
        ask=_side(market, Side.SELL, fronts, now_ns),
        halts=reasons_in(market.halts),
        held=market.lockouts.held(),
        position=size(position.lots),
        max_position=size(limits.max_position_lots),
        min_position=size(limits.min_position_lots),
        worst_long=size(position.lots + ledger.exposure(market.id, Side.BUY)),
        worst_short=size(position.lots - ledger.exposure(market.id, Side.SELL)),
        average_price=None if position.average_ticks is None else position.average_ticks * float(contract.tick),
        pnl=PnlStatus(
            total=to_text(position.total_atto),
            spread=to_text(position.spread_atto),
            inventory=to_text(position.inventory_atto),
            fees=to_text(position.fees_atto),
            funding=to_text(position.funding_atto),
        ),
        fills=sum(side.maker_fills + side.taker_fills for side in (position.bought, position.sold)),
        maker_fills=position.bought.maker_fills + position.sold.maker_fills,
        duplicate_fills=ledger.duplicates_of(market.id),
        fills_per_order=round(tally.fills / statistics.orders, 4) if statistics.orders else None,
        decisions=tally.decisions,
        uptime=round(tally.uptime, 4),
        trades=statistics.fill_figures(now_ns),
        inventory=statistics.inventory_figures(now_ns),
        equity=equity_figures(statistics.equity),
        model=_model(market),
        guard=_guard(market, now_ns),
    )


def _guard(market: MarketState, now_ns: int) -> GuardStatus | None:
    if market.guard is None:
        return None
    state = market.guard.state()
    result_atto = market.position.total_atto - from_pair(state.day_began)
    return GuardStatus(
        age_s=None if state.since_ns is None else max(now_ns - state.since_ns, 0) / _NS_PER_S,
        stopped=state.stop_tripped,
        day_result=to_text(result_atto) if state.day == now_ns // _DAY_NS else None,
        day_stopped=state.loss_stopped,
    )


def _book(market: MarketState, now_ns: int) -> BookStatus:
    contract, book = market.instrument, market.book
    trusted = book.trusted
    return BookStatus(
        trusted=trusted,
        bid=f"{contract.price(book.bid_ticks):f}" if trusted else None,
        bid_size=f"{contract.size(book.bid_lots):f}" if trusted else None,
        ask=f"{contract.price(book.ask_ticks):f}" if trusted else None,
        ask_size=f"{contract.size(book.ask_lots):f}" if trusted else None,
        spread_bps=2 * (book.ask_ticks - book.bid_ticks) / book.half_ticks * _BPS if trusted else None,
        age_ms=_age_ms(book.ts_local_ns, now_ns),
        trouble=None if trusted else (book.invalid_cause or ("crossed" if book.crossed else "a side is empty")),
        resyncs=sum(book.invalidated.values()),
    )


def _side(market: MarketState, side: Side, fronts: Mapping[ClientOrderId, float], now_ns: int) -> SideStatus:
    contract, book = market.instrument, market.book
    decision = next((decision for decision in market.decisions if decision.side is side), None)
    lockouts = tuple(
        Lockout(reason, -(-(market.lockouts.until_ns(side, reason) - now_ns) // _NS_PER_MS))
        for reason in reasons_in(market.lockouts.mask(side, now_ns) & LOCKOUT_MASK)
    )
    order = market.working(side) if quote_works(market, side) else None
    behind = None
    mid_bps = touch_bps = None
    if order is not None and book.trusted:
        best = book.bid_ticks if side is Side.BUY else book.ask_ticks
        behind = side * (best - order.ticks)
        touch_bps = _BPS * behind / best
        mid_bps = _BPS * side * (book.half_ticks - 2 * order.ticks) / book.half_ticks
    front = None if order is None else fronts.get(order.client_id)
    return SideStatus(
        side=side.word,
        action=None if decision is None else decision.action,
        reasons=() if decision is None else decision.reasons,
        words="" if decision is None else in_words(decision, {lockout.reason: lockout.left_ms for lockout in lockouts}),
        state=None if order is None else _order_state(order),
        price=None if order is None else f"{contract.price(order.ticks):f}",
        size=None if order is None else f"{contract.size(order.remaining_lots):f}",
        mid_bps=mid_bps,
        touch_ticks=behind,
        touch_bps=touch_bps,
        queue=None if front is None or not isfinite(front) else f"{contract.size(round(front)):f}",
        lockouts=lockouts,
    )


def _order_state(order: LedgerOrder) -> str:
    said = [order.phase.lower()]
    said += [
        f"{what} {flight}"
        for what, flight in (("amend", order.amend), ("cancel", order.cancel))
        if flight is not InFlight.NONE
    ]
    return ", ".join(said)


def _model(market: MarketState) -> ModelStatus:
    pricing = market.pricing
    if pricing is None:
        return ModelStatus(fair=None, reservation=None, sigma_bps=None, half_spread_bps=None, skew_bps=None)
    tick = float(market.instrument.tick)
    return ModelStatus(
        fair=pricing.fair_ticks * tick,
        reservation=pricing.reservation_ticks * tick,
        sigma_bps=pricing.sigma_bps,
        half_spread_bps=pricing.half_bps,
        skew_bps=pricing.skew_bps,
    )


def _currency(market: MarketState) -> str:
    """What the contract is settled in."""
    return market.instrument.base if market.instrument.inverse else market.instrument.quote


def _money(atto: int | None) -> str | None:
    return None if atto is None else to_text(atto)


def _age_ms(ts_ns: int, now_ns: int) -> int | None:
    return max(0, now_ns - ts_ns) // _NS_PER_MS if ts_ns else None
