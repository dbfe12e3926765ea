"""A rogue strategy: it sits in the core's turn, passes the planner by, and goes straight to the one door.

The planner asks for nothing that the risk gate would refuse, so most refusals are a second door that nobody reaches.
Here somebody knocks: orders off the grid, too large, too far, on top of our own, under used ids, amends of what cannot
be amended, everything while nothing may be asked for. Each must be refused with its code; what passes, because it is
harmless, is an order of ours like any other, and the invariants hold for it too.

A run with a rogue in it cannot be replayed from its journal, because nobody wrote down what the rogue asked for.
"""

from collections.abc import Callable

from mm_daemon.core.ledger_order import LedgerOrder
from mm_daemon.core.market import MarketState
from mm_daemon.core.trading_core import TradingCore
from mm_daemon.domain.checkpoint import Checkpoint
from mm_daemon.domain.decisions import AmendOrder, CancelOrder, Intent, PlaceOrder, Reason, Turn
from mm_daemon.domain.events import Event, OperatorRequest, ParametersChanged, ShutdownRequested
from mm_daemon.domain.instrument import InstrumentId, grid_floor, instrument_id
from mm_daemon.domain.orders import ClientOrderId, InFlight, Phase, Purpose, Side
from mm_daemon.domain.rng import Rng
from mm_daemon.dst.chance import chance, pick
from mm_daemon.dst.configuration import VENUE

_SELDOM, _TEMPTED, _KNOCKS = 5, 60, 6
"""Chance in percent that a turn has an intent of the rogue's; that of each of so many after what tempts it."""
_FAR_LEVEL = 90
_NOWHERE = instrument_id(VENUE, "NOWHERE")
_TEMPTING = (OperatorRequest, ParametersChanged, ShutdownRequested)
"""What changes what is allowed: the moment in which a door may stand open."""


class Rogue:
    """The core as the loop sees it."""

    def __init__(self, core: TradingCore, rng: Rng) -> None:
        self._core = core
        self._rng = rng
        self._tempted = 0
        self._asks: tuple[Callable[[MarketState], Intent | None], ...] = (
            *[self._ordinary] * 5,
            self._too_small,
            self._too_large,
            self._no_number,
            self._off_the_grid,
            self._off_the_grid,
            self._off_the_grid,
            self._too_cheap,
            self._too_dear,
            self._too_dear,
            self._too_far,
            self._through_the_touch,
            self._against_our_own,
            self._against_our_own,
            self._used_id,
            self._unknown_target,
            self._busy_target,
            self._busy_target,
            self._busy_slot,
            self._busy_price,
            self._one_too_many,
            self._past_the_limit,
            self._past_the_limit,
            self._past_the_limit,
            self._reduces_too_much,
            self._nowhere,
            self._moves,
            self._cancels,
        )

    def apply(self, event: Event) -> None:
        self._core.apply(event)
        if isinstance(event, _TEMPTING):
            self._tempted = 3

    def decide(self, now_ns: int) -> Turn:
        core, rng = self._core, self._rng
        tempted = self._tempted > 0
        if tempted:
            self._tempted -= 1
        for _ in range(_KNOCKS if tempted else 1):
            if not chance(rng, _TEMPTED if tempted else _SELDOM):
                continue
            market = pick(rng, tuple(core.markets.values()))
            plain = tempted or self._closed(market)
            ask = pick(rng, (self._ordinary, self._moves)) if plain else pick(rng, self._asks)
            intent = ask(market)
            if intent is not None:
                now_ns = core.reach(now_ns)
                known = isinstance(intent, PlaceOrder | AmendOrder | CancelOrder) and intent.instrument == market.id
                if isinstance(intent, PlaceOrder):
                    intent = core.dispatch.bounded(intent, now_ns)
                core.dispatch.submit(intent, market if known else None, now_ns)
        return core.decide(now_ns)

    def next_deadline_ns(self) -> int | None:
        return self._core.next_deadline_ns()

    def checkpoint(self) -> Checkpoint:
        return self._core.checkpoint()

    # What it asks for: None where there is nothing to do it with

    def _closed(self, market: MarketState) -> bool:
        """Whether nothing may be quoted here, whatever it is."""
        gate, facts = self._core.gate, market.facts
        return gate.cancels_only or gate.latched is not None or facts.reconciling or not facts.tradable

    def _place(
        self,
        market: MarketState,
        side: Side,
        ticks: int,
        lots: int,
        *,
        level: int | None = None,
        client_id: ClientOrderId | None = None,
        instrument: InstrumentId | None = None,
        purpose: Purpose = Purpose.QUOTE,
        reduce_only: bool = False,
    ) -> PlaceOrder:
        return PlaceOrder(
            instrument or market.id,
            client_id or self._core.dispatch.next_client_id(),
            side,
            self._rng.below(market.levels) if level is None else level,
            ticks,
            lots,
            (Reason.FLATTEN if purpose is Purpose.FLATTEN else Reason.NEW_QUOTE,),
            reduce_only=reduce_only,
            purpose=purpose,
        )

    def _side(self) -> Side:
        return Side.BUY if self._rng.below(2) else Side.SELL

    def _mid(self, market: MarketState) -> int:
        return max(market.position.half_ticks or 20_000, 2) // 2

    def _passive(self, market: MarketState, side: Side) -> int:
        """A price behind the touch and on the grid."""
        ticks = self._mid(market) - side * (4 + self._rng.below(12))
        return grid_floor(ticks, market.instrument.grid)

    def _least(self, market: MarketState, ticks: int) -> int:
        return max(market.instrument.min_lots_at(ticks), 1)

    def _most(self, market: MarketState) -> int:
        most = market.facts.limits.max_order_lots
        venue_most = market.instrument.max_lots
        return most if venue_most is None else min(most, venue_most)

    def _alive(self, market: MarketState) -> list[LedgerOrder]:
        return list(self._core.ledger.alive(market.id))

    def _some(self, orders: list[LedgerOrder]) -> LedgerOrder | None:
        return pick(self._rng, orders) if orders else None

    def _ordinary(self, market: MarketState) -> Intent:
        side = self._side()
        ticks = self._passive(market, side)
        used = {order.level for order in self._alive(market) if order.side is side}
        level = next((level for level in range(market.levels) if level not in used), _FAR_LEVEL)
        return self._place(market, side, ticks, self._least(market, ticks), level=level)

    def _too_small(self, market: MarketState) -> Intent:
        side = self._side()
        return self._place(market, side, self._passive(market, side), 0)

    def _too_large(self, market: MarketState) -> Intent:
        side = self._side()
        return self._place(market, side, self._passive(market, side), self._most(market) + 1)

    def _no_number(self, market: MarketState) -> Intent:
        side = self._side()
        ticks = self._passive(market, side)
        return self._place(market, side, 0, 1) if chance(self._rng, 50) else self._place(market, side, ticks, -1)

    def _off_the_grid(self, market: MarketState) -> Intent | None:
        side = self._side()
        ticks = self._passive(market, side)
        for off in range(ticks + 1, ticks + 10):
            if grid_floor(off, market.instrument.grid) != off:
                return self._place(market, side, off, self._least(market, ticks))
        return None

    def _too_cheap(self, market: MarketState) -> Intent | None:
        side, lots = self._side(), market.facts.bounds.min_lots
        ticks = self._passive(market, side)
        return self._place(market, side, ticks, lots) if lots < market.instrument.min_lots_at(ticks) else None

    def _too_dear(self, market: MarketState) -> Intent | None:
        side = self._side()
        if market.facts.bounds.max_notional is None:
            return None
        return self._place(market, side, self._passive(market, side), self._most(market))

    def _too_far(self, market: MarketState) -> Intent:
        side = self._side()
        ticks = grid_floor(self._mid(market) * (1 if side is Side.BUY else 3) // 2, market.instrument.grid)
        return self._place(market, side, ticks, self._least(market, ticks))

    def _through_the_touch(self, market: MarketState) -> Intent | None:
        book, side = market.book, self._side()
        if not book.trusted:
            return None
        ticks = book.ask_ticks if side is Side.BUY else book.bid_ticks
        return self._place(market, side, ticks, self._least(market, ticks))

    def _against_our_own(self, market: MarketState) -> Intent | None:
        """Something that is not a quote is not asked whether it stays behind the touch."""
        other = self._some([order for order in self._alive(market) if order.exposure])
        if other is None:
            return None
        ticks = grid_floor(other.ticks, market.instrument.grid)
        return self._place(market, Side(-other.side), ticks, self._least(market, ticks), purpose=Purpose.FLATTEN)

    def _used_id(self, market: MarketState) -> Intent | None:
        other, side = self._some(self._alive(market)), self._side()
        if other is None:
            return None
        ticks = self._passive(market, side)
        return self._place(market, side, ticks, self._least(market, ticks), client_id=other.client_id)

    def _unknown_target(self, market: MarketState) -> Intent:
        unknown = ClientOrderId(1 + self._rng.below(1000))
        if chance(self._rng, 50):
            return CancelOrder(market.id, unknown, (Reason.SURPLUS,))
        return AmendOrder(market.id, unknown, self._passive(market, Side.BUY), 1, (Reason.TOO_PASSIVE,))

    def _busy_target(self, market: MarketState) -> Intent | None:
        busy = [
            order
            for order in self._alive(market)
            if order.phase in (Phase.SENT, Phase.UNKNOWN, Phase.CLOSING)
            or order.amend in (InFlight.SENT, InFlight.UNKNOWN)
        ]
        return self._amended(market, self._some(busy))

    def _busy_slot(self, market: MarketState) -> Intent | None:
        other = self._some([order for order in self._alive(market) if order.level is not None])
        if other is None:
            return None
        ticks = grid_floor(other.ticks - 11 * other.side, market.instrument.grid)
        return self._place(market, other.side, ticks, self._least(market, ticks), level=other.level)

    def _busy_price(self, market: MarketState) -> Intent | None:
        other = self._some(self._alive(market))
        if other is None:
            return None
        ticks = grid_floor(other.ticks, market.instrument.grid)
        return self._place(market, other.side, ticks, self._least(market, ticks), level=_FAR_LEVEL)

    def _one_too_many(self, market: MarketState) -> Intent | None:
        other = self._some(self._alive(market))
        if other is None:
            return None
        ticks = grid_floor(other.ticks - 13 * other.side, market.instrument.grid)
        return self._place(market, other.side, ticks, self._least(market, ticks), level=_FAR_LEVEL)

    def _past_the_limit(self, market: MarketState) -> Intent | None:
        """As much as an order may have: alone, or in an amend of one that works."""
        side = self._side()
        working = [order for order in self._alive(market) if order.phase is Phase.LIVE and order.amend is InFlight.NONE]
        order = self._some(working)
        if order is None or chance(self._rng, 30):
            ticks = self._passive(market, side)
            return self._place(market, side, ticks, self._most(market), level=_FAR_LEVEL)
        filled = 0 if order.fresh else order.filled_lots
        return AmendOrder(market.id, order.client_id, order.ticks, filled + self._most(market), (Reason.SIZE_CHANGED,))

    def _reduces_too_much(self, market: MarketState) -> Intent:
        side = Side.SELL if market.position.lots > 0 else Side.BUY
        ticks = self._passive(market, side)
        lots = self._most(market) if abs(market.position.lots) < self._most(market) else self._least(market, ticks)
        return self._place(market, side, ticks, lots, purpose=Purpose.FLATTEN, reduce_only=True)

    def _nowhere(self, market: MarketState) -> Intent:
        side = self._side()
        return self._place(market, side, self._passive(market, side), 1, instrument=_NOWHERE)

    def _moves(self, market: MarketState) -> Intent | None:
        return self._amended(market, self._some(self._alive(market)))

    def _cancels(self, market: MarketState) -> Intent | None:
        order = self._some(self._alive(market))
        return None if order is None else CancelOrder(market.id, order.client_id, (Reason.SURPLUS,))

    def _amended(self, market: MarketState, order: LedgerOrder | None) -> Intent | None:
        if order is None:
            return None
        ticks = grid_floor(order.ticks - order.side * (1 + self._rng.below(5)), market.instrument.grid)
        return AmendOrder(market.id, order.client_id, ticks, order.lots, (Reason.TOO_AGGRESSIVE,))
