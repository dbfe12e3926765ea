"""Tells people what the daemon does: a line when a market's state changes, a line for each fill and refusal, a summary.

Shown every turn by the core loop; on a turn that changed nothing it returns at once. The rule that keeps a terminal
readable: a side is *quoting*, *held* by something unusual (a lockout after a fill or reject, an unknown order, a closed
venue) or *withdrawn*, each with its first reason. When that changes, the market gets a line at `info`. Requotes, the
short holds they pass through, and changes that come faster than one a second after a burst of five are written at
`debug`; how many came too fast is said in the next line.
"""

from collections.abc import Mapping, Sequence

from structlog.typing import FilteringBoundLogger

from mm_daemon.core.market import MarketState
from mm_daemon.domain.decisions import Action, Decision, DecisionsChanged, PlaceOrder, Reason, Refusal, Turn
from mm_daemon.domain.errors import DomainError
from mm_daemon.domain.events import (
    CommandOutcomeUnknown,
    Event,
    FundingPaid,
    OperatorRequest,
    OrderAmendRejected,
    OrderCancelRejected,
    OrderFilled,
    OrderRejected,
    OrderResolved,
    ParametersChanged,
    PositionAdopted,
    RateLimited,
    ShutdownRequested,
    VenueConnected,
    VenueDisconnected,
)
from mm_daemon.domain.instrument import Instrument, InstrumentId, symbol_of
from mm_daemon.domain.money import from_pair, to_text
from mm_daemon.domain.orders import Side
from mm_daemon.engine.parameters import WarmStart
from mm_daemon.engine.units import annual_vol_to_bps
from mm_daemon.observability.summary import Tally, market_summary, money, quoted_ticks

_NS_PER_MS = 1_000_000
_NS_PER_S = 1_000_000_000
_BURST = 5
_ROUTINE_HOLDS = frozenset(
    {
        Reason.WITHIN_TOLERANCE,
        Reason.ORDER_LOCKOUT,
        Reason.PLACE_PENDING,
        Reason.AMEND_PENDING,
        Reason.CANCEL_PENDING,
        Reason.BUDGET_HOLD,
        Reason.ORDER_TO_TRADE,
    }
)
_LOCKOUTS = frozenset({Reason.FILL_LOCKOUT, Reason.ORDER_LOCKOUT, Reason.REJECT_LOCKOUT, Reason.FILL_BURST})

_BARS = frozenset({Reason.MAX_NOTIONAL, Reason.MARGIN_LOW})

WIDE_SKEW_BPS = 50.0
"""A shift beyond this at full inventory is rarely meant (MODELS 0.2)."""

Standing = tuple[tuple[str, Reason | None], ...]
"""Per slot: quoting, held or withdrawn, and the reason that makes it so."""


def standing(decisions: Sequence[Decision]) -> Standing:
    """What a person would call the state of these slots; requoting does not change it."""
    return tuple(_standing_of(decision) for decision in decisions)


def _standing_of(decision: Decision) -> tuple[str, Reason | None]:
    reason = decision.reasons[0]
    if decision.action is Action.WITHDRAW:
        return "withdrawn", reason
    if decision.action is Action.HOLD and reason not in _ROUTINE_HOLDS:
        return "held", reason
    return "quoting", None


class _Told:
    """What was told of one market: its standing, and how many quicker changes were not. One line a second on average,
    `_BURST` at once."""

    __slots__ = ("_full_ns", "_seen", "_standing", "_untold")

    def __init__(self) -> None:
        self._full_ns = -(1 << 62)
        self._standing: Standing = ()
        self._seen: Standing = ()
        self._untold = 0

    def news(self, now_standing: Standing, now_ns: int) -> int | None:
        """How many changes went untold before this one; None when this is no news, or comes too soon."""
        changed = now_standing != self._seen
        self._seen = now_standing
        if now_standing == self._standing:
            return None
        self._full_ns = max(self._full_ns, now_ns - _BURST * _NS_PER_S)
        if self._full_ns + _NS_PER_S > now_ns:
            self._untold += changed
            return None
        self._full_ns += _NS_PER_S
        self._standing = now_standing
        untold, self._untold = self._untold, 0
        return untold

    def listen(self) -> None:
        """The next change is told, however soon it comes."""
        self._full_ns = -(1 << 62)


class Narrator:
    """`markets` are the core's, read only. Prices and sizes are written in the market's own units."""

    def __init__(self, markets: Mapping[InstrumentId, MarketState], log: FilteringBoundLogger) -> None:
        self._markets = markets
        self._log = log
        self._debug = log.is_enabled_for(10)
        self._flattening: set[InstrumentId] = set()
        """Markets of which an operator wanted the position gone, until we have told that it is."""
        self._told = {instrument: _Told() for instrument in markets}
        self.tallies = {instrument: Tally() for instrument in markets}

    def observe(self, turn: Turn, events: Sequence[Event]) -> None:
        """One turn and its order, account, link and control events. Called after the turn's commands have left."""
        if not (turn.decisions or turn.refusals or events):
            return
        for event in events:
            self._event(event)
        for changed in turn.decisions:
            self._decisions(changed)
        for refusal in turn.refusals:
            self._refusal(refusal, turn.now_ns)
        for instrument, market in self._markets.items():
            self.tallies[instrument].see(market, turn.now_ns)
            if market.flattening:
                self._flattening.add(instrument)
            elif instrument in self._flattening:
                self._flattened(market, turn.now_ns)

    def opening(self, now_ns: int) -> None:
        """What the model would quote at the configured volatility: half-spread and skew per market (MODELS 0.2), and
        what calibration it begins with.
        """
        for market in self._markets.values():
            if market.parameters.warm is not None:
                self._begins_with(market, market.parameters.warm, now_ns)
            try:
                engine = market.fresh_engine()
                spread = engine.curve(engine.inputs(annual_vol_to_bps(market.parameters.quoting.volatility), now_ns))
            except DomainError as error:
                text = f"cannot be priced with these parameters, so nothing will be quoted: {error}"
                self._log.warning("pricing", symbol=market.instrument.symbol, text=text)
                continue
            most_orders = engine.most_orders
            furthest_bps = spread.skew_bps * most_orders
            text = (
                f"half-spread {spread.half_bps:.2f} bps, skew {spread.skew_bps:.2f} bps per order held, "
                f"{furthest_bps:.1f} bps at the limit of {most_orders:g} orders"
            )
            fields = {"half_spread_bps": round(spread.half_bps, 4), "skew_bps": round(spread.skew_bps, 4)}
            if furthest_bps > WIDE_SKEW_BPS:
                text += f": more than {WIDE_SKEW_BPS:g}, so a smaller gamma or max_position may be meant"
                self._log.warning("pricing", symbol=market.instrument.symbol, text=text, **fields)
            else:
                self._log.info("pricing", symbol=market.instrument.symbol, text=text, **fields)

    def _begins_with(self, market: MarketState, warm: WarmStart, now_ns: int) -> None:
        age_h = max(0, now_ns - warm.at_ns) / (3600 * _NS_PER_S)
        newer = market.engine.volatility.sigma_bps is not None
        begins = "the last run has measured it since" if newer else "begins with it"
        text = (
            f"{begins}: {warm.file}, measured {age_h:.1f} h ago: volatility {warm.volatility:.4g} a year, "
            f"A {warm.intensity:.4g} a second, k {warm.k:.4g} per bps, confidence {warm.confidence:.2f}"
        )
        self._log.info("calibration_file", symbol=market.instrument.symbol, text=text, age_h=round(age_h, 2))

    def summary(self, now_ns: int, *, final: bool = False) -> None:
        """A line per market: quotes, position, P&L and its parts, fills, uptime."""
        for instrument, market in self._markets.items():
            tally = self.tallies[instrument]
            tally.see(market, now_ns)
            text, fields = market_summary(market, tally)
            self._log.info(
                "final_summary" if final else "summary",
                symbol=market.instrument.symbol,
                ts_ns=now_ns,
                text=f"total {text}" if final else text,
                **fields,
            )

    def _decisions(self, changed: DecisionsChanged) -> None:
        self.tallies[changed.instrument].decisions += 1
        untold = self._told[changed.instrument].news(standing(changed.decisions), changed.now_ns)
        if untold is not None:
            text = self.compact(changed)
            if untold:
                text += f" (after {untold} quicker change{'' if untold == 1 else 's'})"
            write = self._log.info
        elif self._debug:
            text, write = self.compact(changed), self._log.debug
        else:
            return
        market = self._markets[changed.instrument]
        write(
            "decision",
            symbol=market.instrument.symbol,
            ts_ns=changed.now_ns,
            text=text,
            mid=_mid(market.instrument, changed),
            position=_size(market.instrument, changed.inputs.position_lots),
        )

    def compact(self, changed: DecisionsChanged) -> str:
        """`bid quote 60123.4 (new_quote) | ask hold (fill_lockout 640 ms)`."""
        market = self._markets[changed.instrument]
        return " | ".join(_slot(market, decision, changed.now_ns) for decision in changed.decisions)

    def _flattened(self, market: MarketState, now_ns: int) -> None:
        self._flattening.discard(market.id)
        left = f"position {_size(market.instrument, market.position.lots)}"
        if market.position.lots and not market.paused:
            text = f"no longer flattening: {left}"
        else:
            text = f"flat: {left}{'; paused until resume' if market.paused else ''}"
        self._log.warning("flattened", symbol=market.instrument.symbol, ts_ns=now_ns, text=text)

    def _refusal(self, refusal: Refusal, now_ns: int) -> None:
        intent = refusal.intent
        instrument = getattr(intent, "instrument", None)
        market = self._markets.get(instrument) if instrument is not None else None
        what = type(intent).__name__.replace("Order", "").lower()
        if isinstance(intent, PlaceOrder):
            what = f"{intent.side.word} {what}"
        bounds = "" if refusal.limit is None else f": {refusal.value} against a limit of {refusal.limit}"
        self._log.warning(
            "refused",
            symbol=market.instrument.symbol if market else "",
            ts_ns=now_ns,
            code=refusal.code.value,
            operation=what,
            text=f"gate refused {what} ({refusal.code.value}{bounds})",
        )

    def _event(self, event: Event) -> None:
        """The order, account, link and control events that a person wants to know of."""
        if isinstance(event, OrderFilled):
            self._fill(event)
        elif isinstance(event, OrderRejected | OrderAmendRejected | OrderCancelRejected):
            self._reject(event)
        elif isinstance(event, CommandOutcomeUnknown):
            self._log.warning(
                "outcome_unknown",
                symbol=symbol_of(event.instrument),
                ts_ns=event.ts_local_ns,
                client_id=event.client_id,
                operation=event.operation.value,
                text=f"outcome of {event.operation.value} {event.client_id} is unknown: {event.text or 'no answer'}",
            )
        elif isinstance(event, FundingPaid):
            amount = to_text(from_pair(event.amount))
            self._log.info(
                "funding", symbol=symbol_of(event.instrument), ts_ns=event.ts_local_ns, text=f"funding {amount}"
            )
        elif isinstance(event, VenueConnected):
            self._log.info("connected", venue=event.venue, ts_ns=event.ts_local_ns, text="connected")
        elif isinstance(event, VenueDisconnected):
            text = f"disconnected: {event.cause or 'no cause given'}"
            self._log.warning("disconnected", venue=event.venue, ts_ns=event.ts_local_ns, text=text)
        elif isinstance(event, RateLimited):
            wait = "" if event.retry_after_ms is None else f" for {event.retry_after_ms} ms"
            text = f"{'banned' if event.banned else 'asked to slow down'}{wait}"
            self._log.warning("rate_limited", venue=event.venue, ts_ns=event.ts_local_ns, text=text)
        elif isinstance(event, OperatorRequest):
            text = f"{event.action.value.replace('_', '-')} asked by {event.who}"
            symbol = "" if event.instrument is None else symbol_of(event.instrument)
            self._log.warning("operator", symbol=symbol, ts_ns=event.ts_local_ns, text=text, kind=event.action.value)
        elif isinstance(event, ParametersChanged):
            text = f"other parameters from here on, asked by {event.who}"
            self._log.warning("parameters", ts_ns=event.ts_local_ns, text=text)
            self.opening(event.ts_local_ns)
        elif isinstance(event, OrderResolved):
            evidence = f" ({event.evidence})" if event.evidence else ""
            text = f"order {event.client_id} is {event.outcome.value}, says {event.who}{evidence}"
            self._log.warning("operator", ts_ns=event.ts_local_ns, text=text, client_id=event.client_id)
        elif isinstance(event, PositionAdopted):
            text = f"the venue's position is right, says {event.who}"
            symbol = symbol_of(event.instrument)
            self._log.warning("operator", symbol=symbol, ts_ns=event.ts_local_ns, text=text)
        elif isinstance(event, ShutdownRequested):
            for told in self._told.values():
                told.listen()
            text = f"stopping ({event.reason}): cancelling every order"
            self._log.info("stopping", ts_ns=event.ts_local_ns, text=text, reason=event.reason)

    def _fill(self, event: OrderFilled) -> None:
        market = self._markets[event.instrument]
        self.tallies[event.instrument].fill(event)
        contract = market.instrument
        price, size = f"{contract.price(event.ticks)}", f"{contract.size(event.lots)}"
        position = f"{contract.size(market.position.lots)}"
        word = "bought" if event.side is Side.BUY else "sold"
        fee = None if event.fee is None else money(from_pair(event.fee))
        charged = "" if event.charged is None else f" ({event.charged})"
        self._log.info(
            "fill",
            symbol=contract.symbol,
            ts_ns=event.ts_local_ns,
            client_id=event.client_id,
            side=event.side.word,
            price=price,
            size=size,
            fee=fee,
            maker=event.maker,
            position=position,
            text=f"{word} {size} at {price} ({'maker' if event.maker else 'taker'}"
            f"{'' if fee is None else f', fee {fee}{charged}'}), position {position}",
        )

    def _reject(self, event: OrderRejected | OrderAmendRejected | OrderCancelRejected) -> None:
        said = f": {event.text}" if event.text else ""
        operation = {OrderRejected: "place", OrderAmendRejected: "amend", OrderCancelRejected: "cancel"}[type(event)]
        self._log.warning(
            "rejected",
            symbol=symbol_of(event.instrument),
            ts_ns=event.ts_local_ns,
            client_id=event.client_id,
            operation=operation,
            kind=event.kind.value,
            text=f"venue rejected {operation} {event.client_id} ({event.kind.value}{said})",
        )


def _slot(market: MarketState, decision: Decision, now_ns: int) -> str:
    reasons = ", ".join(_reason(market, decision.side, reason, now_ns) for reason in decision.reasons)
    ticks = _resting_ticks(market, decision)
    price = "" if ticks is None else f" {market.instrument.price(ticks)}"
    return f"{decision.side.word} {decision.action.lower()}{price} ({reasons})"


def _resting_ticks(market: MarketState, decision: Decision) -> int | None:
    """The price the slot aims at, or holds."""
    if decision.target is not None:
        return decision.target.ticks
    if decision.action is Action.WITHDRAW:
        return None
    return quoted_ticks(market, decision.side)


def _reason(market: MarketState, side: Side, reason: Reason, now_ns: int) -> str:
    if reason in _BARS:
        bar = market.bid_bar if side is Side.BUY else market.ask_bar
        return reason.value if bar is None else f"{reason.value}: {_figure(bar[1])} against {_figure(bar[2])}"
    if reason not in _LOCKOUTS:
        return reason.value
    # Rounded up: a lockout that still runs never shows 0 ms.
    left_ms = -(min(0, now_ns - market.lockouts.until_ns(side, reason)) // _NS_PER_MS)
    return f"{reason.value} {left_ms} ms"


def _figure(value: float | int | str | None) -> str:
    return f"{value:.2f}" if isinstance(value, float) else f"{value}"


def _mid(contract: Instrument, changed: DecisionsChanged) -> str | None:
    mid_ticks = changed.inputs.mid_ticks
    return None if mid_ticks is None else f"{contract.price(round(mid_ticks * 2)) / 2}"


def _size(contract: Instrument, lots: int) -> str:
    return f"{contract.size(lots)}"
