"""A network that does what it likes between a real `TradingCore` and a real `OrderDesk`, for `RuleBasedStateMachine`s.

Commands, questions and replies lie in two heaps; rules pick from them in any order, lose them, tell them twice. What is
true is the venue's own account; what may still become true is what lies in the heap of commands.
"""

from collections import Counter

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mm_daemon.core.parameters import CoreParameters, OrderRules
from mm_daemon.core.trading_core import TradingCore
from mm_daemon.domain.capabilities import Capabilities, Validity
from mm_daemon.domain.decisions import AmendOrder, CancelOrder, Command, PlaceOrder
from mm_daemon.domain.events import (
    CommandOutcomeUnknown,
    DeadlineReached,
    Event,
    OrderCanceled,
    OrderFilled,
    RunStarted,
    VenueDisconnected,
    VenueSnapshotReceived,
    VenueTime,
)
from mm_daemon.domain.orders import Operation, Side
from mm_daemon.engine.parameters import QuoteParameters
from mm_daemon.simulation.account import VenueAccount, VenueOrder
from mm_daemon.simulation.desk import OrderDesk, QueryOrder
from mm_daemon.testkit.builders import MS, SYMBOL, VENUE, connected, core_parameters, instrument, market, snapshot

SECOND = 1000 * MS
LEVELS = 2
MAX_LOTS = 35
D_MAX_MS = 4000
PICK = st.integers(0, 1 << 30)
_OPERATIONS = {PlaceOrder: Operation.PLACE, AmendOrder: Operation.AMEND, CancelOrder: Operation.CANCEL}
_SIDES = (Side.BUY, Side.SELL)


class Book:
    """What the desk sees of the market: two prices. Our orders rest wherever they are put."""

    def __init__(self) -> None:
        self.bid, self.ask = 600_000, 600_001

    def touch(self, instrument: object, side: Side) -> int:
        return self.ask if side is Side.BUY else self.bid

    def take(self, order: VenueOrder) -> list[tuple[int, int]]:
        return []

    def rest(self, order: VenueOrder, at_ns: int) -> None:
        """Nothing else stands there."""

    def shrink(self, order: VenueOrder) -> None:
        """Nobody else is counted."""

    def lift(self, order: VenueOrder) -> None:
        """Nothing else stands there."""


class BadNetwork(RuleBasedStateMachine):
    """Everything but the machine's own settings."""

    core: TradingCore
    steps = 0
    """Taken so far by all machines of the class."""

    @initialize(
        validity=st.sampled_from((Validity.DELAY, Validity.EXPIRES_AT)),
        fence=st.booleans(),
        amend=st.booleans(),
        lead_s=st.integers(-20, 20),
    )
    def begin(self, validity: Validity, fence: bool, amend: bool, lead_s: int) -> None:
        capabilities = Capabilities(
            amend=amend,
            validity=validity,
            fence=fence,
            d_max_ms=D_MAX_MS,
            validity_margin_ms=200,
            ack_timeout_ms=1000,
        )
        quoting = QuoteParameters(levels=LEVELS, fill_lockout_ms=100, order_lockout_ms=50)
        parameters = core_parameters(market(max_position_lots=MAX_LOTS, quoting=quoting), capabilities=capabilities)
        self.parameters: CoreParameters = msgspec.structs.replace(
            parameters, orders=OrderRules(action_ttl_ms=3000, unknown_withdraw_ms=2000, unknown_stop_ms=8000)
        )
        self.core = TradingCore(self.parameters)
        self.lead_ns = lead_s * SECOND
        self.now_ns = 100 * SECOND
        self.account = VenueAccount(VENUE, [instrument()])
        self.book = Book()
        self.desk = OrderDesk(self.account, self.book, decrease_keeps_place=False)
        self.wires: list[tuple[int, Command | QueryOrder]] = []
        self.replies: list[Event] = []
        self.heard: list[OrderFilled] = []
        self.placed: Counter[int] = Counter()
        self.snapshots: list[VenueSnapshotReceived] = []
        self.updates = 1
        self.feed(
            RunStarted(self.now_ns, "test", ""),
            VenueTime(VENUE, self.venue_ns, self.now_ns),
            connected(self.now_ns // MS),
        )
        self.shows_account()
        self.snapshot_comes(0)
        self.market_moves(0)

    @property
    def venue_ns(self) -> int:
        """The venue's clock."""
        return self.now_ns + self.lead_ns

    @invariant()
    def steps_are_counted(self) -> None:
        """What must hold was looked at once more."""
        type(self).steps += 1

    def feed(self, *events: Event) -> None:
        for event in events:
            self.core.apply(event)
        turn = self.core.decide(self.now_ns)
        for approved in turn.released:
            command = approved.command
            if isinstance(command, PlaceOrder):
                self.placed[command.client_id] += 1
            self.wires.append((self.now_ns, command))
        self.wires += [(self.now_ns, QueryOrder(query.client_id)) for query in turn.queries]

    # What we do: the market moves, time passes

    @rule(ticks=st.integers(-12, 12))
    def market_moves(self, ticks: int) -> None:
        self.book.bid += ticks
        self.book.ask += ticks
        self.updates += 1
        shown = snapshot(0, self.book.bid, self.book.ask, update_id=self.updates)
        self.feed(msgspec.structs.replace(shown, ts_venue_ns=self.venue_ns, ts_local_ns=self.now_ns))

    @rule(ms=st.sampled_from((1, 20, 200, 600, 1500)))
    def time_passes(self, ms: int) -> None:
        end_ns = self.now_ns + ms * MS
        while (deadline_ns := self.core.next_deadline_ns()) is not None and deadline_ns <= end_ns:
            self.now_ns = max(self.now_ns, deadline_ns)
            self.feed(DeadlineReached(self.now_ns))
        self.now_ns = end_ns
        self.market_moves(0)

    # What happens to commands

    @precondition(lambda self: self.wires)
    @rule(pick=PICK)
    def command_arrives(self, pick: int) -> None:
        sent_ns, request = self.wires.pop(pick % len(self.wires))
        if not self.too_late(sent_ns):
            self.replies += self.desk.execute(request, self.venue_ns, self.venue_ns, 0)

    @precondition(lambda self: self.wires)
    @rule(pick=PICK)
    def command_is_lost(self, pick: int) -> None:
        self.wires.pop(pick % len(self.wires))

    def too_late(self, sent_ns: int) -> bool:
        """What every venue promises of commands without an expiry, and what keeps ours from mattering for ever."""
        return self.now_ns > sent_ns + D_MAX_MS * MS

    # What the venue does by itself

    @precondition(lambda self: self.account.orders)
    @rule(pick=PICK, lots=st.integers(1, 12))
    def venue_trades(self, pick: int, lots: int) -> None:
        order = self.picked_order(pick)
        lots = min(lots, order.remaining_lots)
        self.replies.append(
            self.account.fill(order, order.ticks, lots, maker=True, ts_venue_ns=self.venue_ns, ts_local_ns=0)
        )

    @precondition(lambda self: self.account.orders)
    @rule(pick=PICK)
    def venue_cancels(self, pick: int) -> None:
        self.replies += self.desk.cancel_orders([self.picked_order(pick)], self.venue_ns, 0)

    def picked_order(self, pick: int) -> VenueOrder:
        orders = list(self.account.orders.values())
        return orders[pick % len(orders)]

    # What we hear

    @precondition(lambda self: self.replies)
    @rule(pick=PICK)
    def reply_comes(self, pick: int) -> None:
        self.hear(self.replies.pop(pick % len(self.replies)))

    @precondition(lambda self: self.replies)
    @rule(pick=PICK)
    def reply_is_lost(self, pick: int) -> None:
        self.replies.pop(pick % len(self.replies))

    @precondition(lambda self: self.replies)
    @rule(pick=PICK)
    def reply_comes_twice(self, pick: int) -> None:
        reply = self.replies[pick % len(self.replies)]
        if isinstance(reply, OrderFilled | OrderCanceled):
            self.hear(reply)

    @precondition(lambda self: self.heard)
    @rule(pick=PICK)
    def old_fill_comes_again(self, pick: int) -> None:
        self.hear(self.heard[pick % len(self.heard)])

    @precondition(lambda self: self.wires)
    @rule(pick=PICK)
    def outcome_is_unknown(self, pick: int) -> None:
        _, request = self.wires[pick % len(self.wires)]
        operation = _OPERATIONS.get(type(request))
        if operation is not None and isinstance(request, PlaceOrder | AmendOrder | CancelOrder):
            self.feed(CommandOutcomeUnknown(request.instrument, 0, self.now_ns, request.client_id, operation))

    @rule()
    def shows_account(self) -> None:
        since_ns = self.core.fills_since_ns(VENUE)
        shown = self.account.snapshot(self.venue_ns, self.now_ns, 0 if since_ns is None else since_ns)
        self.snapshots.append(VenueSnapshotReceived(VENUE, shown.ts_venue_ns, self.now_ns, shown))
        self.now_ns += 1  # what happens from here on is not in it

    @precondition(lambda self: self.snapshots)
    @rule(pick=PICK)
    def snapshot_comes(self, pick: int) -> None:
        shown = self.snapshots.pop(pick % len(self.snapshots))
        self.heard += shown.snapshot.fills
        self.feed(msgspec.structs.replace(shown, ts_local_ns=self.now_ns))

    @rule()
    def venue_tells_its_time(self) -> None:
        self.feed(VenueTime(VENUE, self.venue_ns, self.now_ns))

    def hear(self, event: Event) -> None:
        if isinstance(event, OrderFilled):
            self.heard.append(event)
        self.feed(msgspec.structs.replace(event, ts_local_ns=self.now_ns))

    # What else may happen

    @rule(ticks=st.integers(-12, 12))
    def all_goes_well_for_once(self, ticks: int) -> None:
        """Everything arrives in order, and the market moves."""
        while self.wires or self.replies:
            while self.wires:
                self.command_arrives(0)
            while self.replies:
                self.reply_comes(0)
        self.shows_account()
        self.snapshot_comes(len(self.snapshots) - 1)
        self.time_passes(150)
        self.market_moves(ticks)

    @rule(rarely=st.integers(0, 3))
    def link_breaks_and_comes_back(self, rarely: int) -> None:
        if rarely:
            return
        self.feed(VenueDisconnected(VENUE, 0, self.now_ns))
        self.feed(connected(self.now_ns // MS))
        self.market_moves(0)

    @rule(rarely=st.integers(0, 3))
    def we_die_and_live_again(self, rarely: int) -> None:
        """Whatever was sent is unknown, whatever waited never left."""
        if rarely:
            return
        left = self.core.checkpoint()
        self.core = TradingCore(self.parameters, left)
        self.snapshots.clear()
        self.now_ns += 1
        self.feed(RunStarted(self.now_ns, "test", "", left), connected(self.now_ns // MS))
        self.market_moves(0)

    # What must hold

    def may_still_fill(self, side: Side) -> int:
        """Lots of ours on a side that the venue may fill, or has filled without our knowing."""
        seen = self.core.ledger.seen
        history = self.account.history.fills_since(0)
        lots = sum(fill.lots for fill in history if fill.side is side and not seen(SYMBOL, fill.fill_key))
        may_become: dict[int, int] = {
            order.client_id: order.remaining_lots for order in self.account.orders.values() if order.side is side
        }
        coming = [command for sent_ns, command in self.wires if not self.too_late(sent_ns)]
        for command in coming:
            if not isinstance(command, PlaceOrder) or command.side is not side:
                continue
            if self.account.refusal(command, self.venue_ns) is None:
                may_become[command.client_id] = command.lots
        for command in coming:
            if not isinstance(command, AmendOrder) or command.client_id not in may_become:
                continue
            if command.expires_ns is None or command.expires_ns >= self.venue_ns:
                order = self.account.orders.get(command.client_id)
                left = command.lots - (0 if order is None else order.filled_lots)
                may_become[command.client_id] = max(may_become[command.client_id], left)
        return lots + sum(may_become.values())

    @invariant()
    def exposure_covers_all_that_may_fill(self) -> None:
        """R7: what is in doubt counts."""
        if hasattr(self, "core"):
            for side in _SIDES:
                assert self.core.ledger.exposure(SYMBOL, side) >= self.may_still_fill(side), side

    @invariant()
    def worst_case_stays_within_the_limit(self) -> None:
        """R1: by the venue's own account, whatever we know of it."""
        if hasattr(self, "core"):
            heard = self.core.markets[SYMBOL].position.lots
            assert heard + self.may_still_fill(Side.BUY) <= MAX_LOTS
            assert heard - self.may_still_fill(Side.SELL) >= -MAX_LOTS

    @invariant()
    def position_is_the_sum_of_the_fills_we_know(self) -> None:
        """R8: each once, however often and in whatever order."""
        if hasattr(self, "core"):
            seen = self.core.ledger.seen
            known = [fill for fill in self.account.history.fills_since(0) if seen(SYMBOL, fill.fill_key)]
            assert self.core.markets[SYMBOL].position.lots == sum(fill.side * fill.lots for fill in known)

    @invariant()
    def no_id_is_submitted_twice(self) -> None:
        """R6."""
        if hasattr(self, "core"):
            assert all(times == 1 for times in self.placed.values())

    @invariant()
    def orders_are_few_and_never_cross(self) -> None:
        """R2 and R3, as the venue has it: unknown ones count."""
        if hasattr(self, "core"):
            prices: dict[Side, list[int]] = {side: [] for side in _SIDES}
            for order in self.account.orders.values():
                prices[order.side].append(order.ticks)
            assert all(len(ticks) <= LEVELS for ticks in prices.values())
            if prices[Side.BUY] and prices[Side.SELL]:
                assert max(prices[Side.BUY]) < min(prices[Side.SELL])

    def teardown(self) -> None:
        """Once the network behaves, everything in doubt is found out, and both sides agree."""
        if not hasattr(self, "core"):
            return
        for _ in range(120):
            while self.wires:
                self.command_arrives(0)
            while self.replies:
                self.reply_comes(0)
            self.shows_account()
            while self.snapshots:
                self.snapshot_comes(0)
            if not self.wires and not self.replies and self.core.settled and self.agrees():
                break
            self.time_passes(600)  # sooner than an acknowledgement is overdue
        assert self.core.settled, self.story()
        assert self.agrees(), self.story()
        self.exposure_covers_all_that_may_fill()
        self.worst_case_stays_within_the_limit()

    def agrees(self) -> bool:
        """We believe what is true: the orders that are open, and the position."""
        held = self.core.markets[SYMBOL].position.lots == self.account.positions[SYMBOL]
        return held and {order.client_id for order in self.core.ledger.alive(SYMBOL)} == set(self.account.orders)

    def story(self) -> str:
        """What is open, for whoever reads the failure."""
        ours = [
            (order.client_id, order.phase.value, order.amend.value, order.cancel.value, order.filled_lots, order.lots)
            for order in self.core.ledger.alive(SYMBOL)
        ]
        held = self.core.markets[SYMBOL].lockouts.held()
        return f"ours {ours}, venue {list(self.account.orders)}, held {held}, wires {self.wires}"
