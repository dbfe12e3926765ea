"""The way out: from what is wanted to what leaves for the venue.

Intents of the planner, of reconciliation and of a stop all pass here: the risk gate approves or refuses each, the
ledger counts it from then on, and the outbox of its venue lets it go when pacing allows. Owned by `TradingCore`, which
tells in its `Turn` what was released, refused and dropped.
"""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from mm_daemon.core.ledger_order import LedgerOrder
from mm_daemon.core.market import MarketState
from mm_daemon.core.order_ledger import OrderLedger
from mm_daemon.core.outbox import CAPACITY, Outbox
from mm_daemon.core.parameters import CoreParameters
from mm_daemon.core.planner import plan
from mm_daemon.core.venue_clock import VenueClock
from mm_daemon.domain.capabilities import Capabilities, Validity
from mm_daemon.domain.deadlines import sooner
from mm_daemon.domain.decisions import (
    AmendOrder,
    ApprovedCommand,
    CancelAll,
    CancelOrder,
    Command,
    DroppedCommand,
    Intent,
    PlaceOrder,
    Reason,
    Refusal,
    RefusalCode,
)
from mm_daemon.domain.instrument import InstrumentId, Venue, venue_of
from mm_daemon.domain.orders import SHORT_ID_BITS, ClientOrderId, InFlight, Phase, Purpose
from mm_daemon.engine.tolerance import price_verdict
from mm_daemon.risk.budget import FREE
from mm_daemon.risk.gate import RiskGate

_MOVES = PlaceOrder, AmendOrder
"""Commands that put an order at a price."""

# Members of an enumeration are slow to look up, and these are looked at for every command.
_DELAY, _HEIGHT, _QUOTE = Validity.DELAY, Validity.HEIGHT, Purpose.QUOTE

_NO_ROOM = frozenset({RefusalCode.WORST_POSITION, RefusalCode.WORST_NOTIONAL, RefusalCode.MARGIN_LOW})
"""Refusals of an amend that counts twice until it is answered."""
_SCARCE_PATIENCE = 2
"""What tolerances are multiplied by while messages are scarce (EXECUTION 5)."""
_NS_PER_MS = 1_000_000


class Dispatch:
    """Owner of the outboxes and of the counter of client order ids."""

    def __init__(
        self,
        parameters: CoreParameters,
        markets: Mapping[InstrumentId, MarketState],
        ledger: OrderLedger,
        gate: RiskGate,
        clocks: Mapping[Venue, VenueClock],
        touch: Callable[[MarketState], None],
    ) -> None:
        """`touch` hears of a market whose command was dropped: it must be decided again."""
        self._markets = markets
        self._ledger = ledger
        self._gate = gate
        self._clocks = clocks
        self._touch = touch
        self._capabilities = parameters.venues
        self._rules = parameters.orders
        self._short_ids = any(venue.client_id_bits <= SHORT_ID_BITS for venue in parameters.venues.values())
        ttl_ns = parameters.queue_ttl_ms * _NS_PER_MS
        self.outboxes = {
            venue: Outbox(capabilities, ttl_ns, self._merge, self.family_of)
            for venue, capabilities in parameters.venues.items()
        }
        self._outbox_of = {market.id: self.outboxes[market.instrument.venue] for market in markets.values()}
        self.last_client_id = ClientOrderId(parameters.first_client_id - 1)
        self.waiting = False
        """Whether any outbox holds something."""
        self.refusals: list[Refusal] = []
        self.dropped: list[DroppedCommand] = []

    # In

    def family_of(self, instrument: InstrumentId) -> str:
        """Which contracts may share a batch with this one."""
        return self._markets[instrument].instrument.family

    def pacing(self, market: MarketState, now_ns: int) -> int:
        """What keeps new commands of this market back for now, as a mask of hold reasons; also tells the market how
        patient it has to be, and until when."""
        outbox, facts = self._outbox_of[market.id], market.facts
        if not (outbox.paced or facts.rationed):
            return 0
        pace = self._gate.budget.pace
        held, scarce, until_ns = pace(market.id, facts.limits, now_ns) if facts.rationed else FREE
        if outbox.paced:
            venue = market.instrument.venue
            amends = self._capabilities[venue].amend
            reason, opens_ns = outbox.hold(amends, self._ledger.open_orders(venue), now_ns)
            scarce = scarce or outbox.scarce
            if reason is not None:
                held |= reason.bit
                until_ns = sooner(until_ns, opens_ns)
        market.patience = _SCARCE_PATIENCE if scarce else 1
        market.paced_until_ns = until_ns
        market.paced = bool(held) or scarce
        return held

    def drop_superseded(self, market: MarketState, now_ns: int) -> None:
        """Let go of what has not left and would not be asked for at this price any more (EXECUTION 6). The next
        decision asks for what is wanted instead."""
        outbox, pricing = self._outbox_of[market.id], market.pricing
        if not outbox.waiting or pricing is None:
            return
        for order, quote in zip(market.slots, pricing.bids + pricing.asks, strict=True):
            if order is None:
                continue
            if order.amend is InFlight.QUEUED:
                ticks = order.pend_ticks
            elif order.phase is Phase.QUEUED:
                ticks = order.ticks
            else:
                continue
            tolerance = quote.tolerance_ticks * market.patience
            if price_verdict(order.side, ticks, quote.ticks, tolerance) is not Reason.WITHIN_TOLERANCE:
                self._drop(outbox.take_back(order.client_id), now_ns)

    def pursue(self, market: MarketState, now_ns: int) -> None:
        """The fewest commands from what is working to what was decided."""
        capabilities = self._capabilities[market.instrument.venue]
        slots = tuple(zip(market.decisions, market.slots, strict=True))
        expires_ns, expires_height = self._expiry(market.instrument.venue, capabilities, now_ns)
        for intent in plan(
            market.id, slots, market.surplus, capabilities, self.next_client_id, now_ns, expires_ns, expires_height
        ):
            self.submit(intent, market, now_ns)
            if market.moves_beside and isinstance(intent, AmendOrder):
                self._move_without_room(intent, market, now_ns)

    def bounded(self, place: PlaceOrder, now_ns: int) -> PlaceOrder:
        """The same order with the end of its validity, where the venue has such a bound."""
        venue = venue_of(place.instrument)
        expires_ns, expires_height = self._expiry(venue, self._capabilities[venue], now_ns)
        return msgspec.structs.replace(place, expires_ns=expires_ns, expires_height=expires_height)

    def _expiry(self, venue: Venue, capabilities: Capabilities, now_ns: int) -> tuple[int | None, int | None]:
        """When a place or an amend of now ends by itself, as an instant of the venue's clock or a block (EXECUTION 0):
        so an outcome that is not known can be waited out.
        """
        if capabilities.validity is _DELAY:
            return None, None
        clock, rules = self._clocks[venue], self._rules
        if capabilities.validity is _HEIGHT:
            if clock.height is None:
                return None, None
            most = capabilities.max_order_blocks
            return None, clock.height + (rules.order_blocks if most is None else min(rules.order_blocks, most))
        ttl_ms = max(rules.action_ttl_ms, capabilities.action_ttl_floor_ms)
        return clock.at(now_ns) + ttl_ms * _NS_PER_MS, None

    def _move_without_room(self, amend: AmendOrder, market: MarketState, now_ns: int) -> None:
        """Where an amend makes a fresh order, old and new count together until it is answered. Too much near a limit:
        the order is cancelled instead, and placed anew when it is gone.
        """
        refusal = self.refusals[-1] if self.refusals else None
        if refusal is not None and refusal.intent is amend and refusal.code in _NO_ROOM:
            self.submit(CancelOrder(amend.instrument, amend.client_id, amend.reasons), market, now_ns)

    def submit(self, intent: Intent, market: MarketState | None, now_ns: int) -> None:
        """Ask the gate, and put what it approves into the outbox."""
        facts = None if market is None else market.facts
        outbox = self.outboxes[intent.venue if isinstance(intent, CancelAll) else venue_of(intent.instrument)]
        if outbox.full and isinstance(intent, PlaceOrder):
            self.refusals.append(Refusal(intent, RefusalCode.OUTBOX_FULL, outbox.waiting, CAPACITY))
            return
        reviewed = self._gate.review(intent, facts, self._ledger, now_ns)
        if isinstance(reviewed, Refusal):
            self.refusals.append(reviewed)
            return
        self._ledger.queue(intent, now_ns)
        if isinstance(intent, PlaceOrder):
            self._enter_slot(intent.client_id)
        self._drop(outbox.offer(reviewed, now_ns), now_ns)
        self.waiting = True

    def cancel_everything(self, reason: Reason, now_ns: int) -> None:
        for venue in self.outboxes:
            self.submit(CancelAll(venue, (reason,)), None, now_ns)

    # Out

    def release(self, now_ns: int) -> list[ApprovedCommand]:
        """What leaves now, venue by venue."""
        released: list[ApprovedCommand] = []
        self.waiting = False
        for venue, outbox in self.outboxes.items():
            if not outbox.waiting:
                continue
            leaving, dropped = outbox.release(now_ns, self._ledger.open_orders(venue))
            self._drop(dropped, now_ns)
            for approved in leaving:
                self._left(approved.command, now_ns)
            released += leaving
            if outbox.waiting:
                self.waiting = True
        return released

    def take_unsent(self) -> tuple[tuple[Refusal, ...], tuple[DroppedCommand, ...]]:
        """What was refused and dropped since this was last asked."""
        unsent = tuple(self.refusals), tuple(self.dropped)
        self.refusals, self.dropped = [], []
        return unsent

    # Another life

    def relive(self, command: Command, now_ns: int) -> None:
        """A command that an earlier life released: it is on its way, and nobody asks the gate again."""
        if isinstance(command, CancelAll):
            self._ledger.queue(command, now_ns)
        else:
            order = self._ledger.get(command.client_id)
            if isinstance(command, PlaceOrder):
                if order is None:
                    self._ledger.queue(command, now_ns)
                    self._enter_slot(command.client_id)
                self.skip_ids(command.client_id)
            elif order is not None and order.may_be_alive:
                self._ledger.queue(command, now_ns)
        self._left(command, now_ns)

    def take_up(self, orders: Sequence[LedgerOrder]) -> None:
        """Orders of an earlier life that may be alive go back into their slots."""
        for order in orders:
            if order.level is not None and order.instrument in self._markets:
                market = self._markets[order.instrument]
                market.quotes[order.side].append(order)
                market.slots = []

    def skip_ids(self, last: ClientOrderId) -> None:
        """Ids up to this one have been used."""
        self.last_client_id = max(self.last_client_id, last)

    # Inside

    def _left(self, command: Command, now_ns: int) -> None:
        self._ledger.released(command, now_ns)
        if isinstance(command, _MOVES):
            order = self._ledger.get(command.client_id)
            if order is not None and order.purpose is _QUOTE:
                market = self._markets[command.instrument]
                market.lockouts.after_order(order.side, now_ns)
                market.refresh_deadline(now_ns)

    def _drop(self, dropped: list[DroppedCommand], now_ns: int) -> None:
        for drop in dropped:
            self._give_back(drop.command, now_ns)
            self._ledger.dropped(drop.command, drop.code, now_ns)
            if not isinstance(drop.command, CancelAll):
                self._touch(self._markets[drop.command.instrument])
        self.dropped += dropped

    def _give_back(self, command: Command, now_ns: int) -> None:
        """What never left is not counted as an action."""
        if isinstance(command, CancelAll):
            return
        order = self._ledger.get(command.client_id)
        reduces = order is not None and order.reduce_only
        charged = isinstance(command, _MOVES) and not reduces
        self._gate.budget.give_back(command.instrument, charged=charged, now_ns=now_ns)

    def _merge(self, place: PlaceOrder, amend: AmendOrder, now_ns: int) -> ApprovedCommand | Refusal:
        """A queued place takes over its amend's price and size: one command, reviewed like any other."""
        return self._gate.merge(place, amend, self._markets[place.instrument].facts, self._ledger, now_ns)

    def _enter_slot(self, client_id: ClientOrderId) -> None:
        order = self._ledger.get(client_id)
        if order is not None:
            self.take_up((order,))

    def next_client_id(self) -> ClientOrderId:
        self.last_client_id = ClientOrderId(self.last_client_id + 1)
        while self._short_ids and self._ledger.short_id_taken(self.last_client_id):
            self.last_client_id = ClientOrderId(self.last_client_id + 1)
        return self.last_client_id
