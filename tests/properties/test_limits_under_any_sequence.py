"""Law: whatever the venue does and in whatever order we hear of it, the position cannot pass its limits (R1, R7, R8).

A venue that processes commands in any order, fills what it likes, and tells us late, twice or never. We ask the gate
for anything. Gate and ledger must keep `true position + everything that could still fill` inside the limits, and the
ledger's own picture must never be rosier than the truth.
"""

from dataclasses import dataclass, field

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mm_daemon.core.order_ledger import OrderLedger
from mm_daemon.domain.decisions import AmendOrder, ApprovedCommand, CancelOrder, DropCode, PlaceOrder
from mm_daemon.domain.events import OrderEvent, OrderFilled
from mm_daemon.domain.orders import Operation, RejectKind, Side
from mm_daemon.risk.gate import RiskGate
from mm_daemon.risk.limits import AccountLimits
from tests.orders import (
    FRESH,
    TOTAL,
    VENUE,
    XYZ,
    accepted,
    amend,
    amend_rejected,
    amended,
    cancel,
    cancel_rejected,
    canceled,
    expired,
    facts,
    filled,
    place,
    rejected,
    unknown,
)

MAX, MIN = 40, -25
SIDES = st.sampled_from((Side.BUY, Side.SELL))
LOTS = st.integers(1, 20)
PICK = st.integers(0, 1000)


@dataclass
class Resting:
    """An order as the venue has it: one version."""

    name: str
    side: Side
    lots: int
    filled: int = 0

    @property
    def left(self) -> int:
        return self.lots - self.filled


@dataclass
class Truth:
    """The venue: what rests, what was traded, what it has said and we have not heard."""

    fresh: bool
    resting: dict[int, Resting] = field(default_factory=dict)
    position: int = 0
    commands: list[PlaceOrder | AmendOrder | CancelOrder] = field(default_factory=list)
    unheard: list[OrderEvent] = field(default_factory=list)
    heard: list[OrderEvent] = field(default_factory=list)
    names: int = 0
    trades: int = 0

    def could_fill(self, side: Side, sides: dict[int, Side]) -> int:
        """Upper bound of what may still trade on a side: resting, plus commands on their way."""
        lots = sum(order.left for order in self.resting.values() if order.side is side)
        for command in self.commands:
            if isinstance(command, PlaceOrder) and command.side is side:
                lots += command.lots
            elif isinstance(command, AmendOrder) and sides[command.client_id] is side:
                order = self.resting.get(command.client_id)
                if order is not None:
                    lots += max(command.lots - (0 if self.fresh else order.filled) - order.left, 0)
        return lots

    def name(self) -> str:
        self.names += 1
        return f"n{self.names}"

    def trade(self, number: int, lots: int) -> None:
        order = self.resting[number]
        lots = min(lots, order.left)
        order.filled += lots
        self.trades += 1
        self.position += order.side * lots
        self.unheard.append(filled(number, f"t{self.trades}", lots, order.name, order.side))
        if not order.left:
            del self.resting[number]

    def process(self, command: PlaceOrder | AmendOrder | CancelOrder, mood: int) -> None:
        number = command.client_id
        if isinstance(command, PlaceOrder):
            self._place(command, mood)
        elif isinstance(command, AmendOrder):
            self._amend(command, mood)
        else:
            order = self.resting.pop(number, None)
            if order is None:
                self.unheard.append(cancel_rejected(number, RejectKind.GONE))
            elif mood % 3 == 0:
                self.unheard.append(expired(number, order.filled))
            else:
                self.unheard.append(canceled(number, order.filled, order.name))

    def _place(self, command: PlaceOrder, mood: int) -> None:
        number = command.client_id
        if mood % 5 == 0:
            self.unheard.append(rejected(number))
        else:
            order = Resting(self.name(), command.side, command.lots)
            self.resting[number] = order
            self.unheard.append(accepted(number, order.name))

    def _amend(self, command: AmendOrder, mood: int) -> None:
        number = command.client_id
        order = self.resting.get(number)
        if order is None:
            self.unheard.append(amend_rejected(number, RejectKind.GONE))
        elif mood % 5 == 0:
            self.unheard.append(amend_rejected(number, RejectKind.OTHER))
        elif self.fresh:
            del self.resting[number]
            self.unheard.append(canceled(number, order.filled, order.name))
            if mood % 5 == 1:
                self.unheard.append(amend_rejected(number, RejectKind.PLACE_LEG_FAILED))
            else:
                new = self.resting[number] = Resting(self.name(), order.side, command.lots)
                self.unheard.append(amended(number, new.name, command.ticks, command.lots))
        elif command.lots <= order.filled:
            del self.resting[number]
            self.unheard.append(canceled(number, order.filled, order.name))
        else:
            order.lots = command.lots
            self.unheard.append(amended(number, order.name, command.ticks, command.lots))


class LimitsUnderAnySequence(RuleBasedStateMachine):
    """Rules are what the planner may ask and what the venue and the wire may do."""

    @initialize(fresh=st.booleans())
    def start(self, fresh: bool) -> None:
        self.truth = Truth(fresh)
        self.ledger = OrderLedger({VENUE: FRESH if fresh else TOTAL})
        self.gate = RiskGate(AccountLimits())
        self.facts = facts(max_position_lots=MAX, min_position_lots=MIN, max_order_lots=20)
        self.sides: dict[int, Side] = {}
        self.now_ns = 0

    def _ask(self, intent: PlaceOrder | AmendOrder | CancelOrder, waits: int) -> None:
        self.now_ns += 1
        verdict = self.gate.review(intent, self.facts, self.ledger, self.now_ns)
        if not isinstance(verdict, ApprovedCommand):
            return
        self.ledger.queue(intent, self.now_ns)
        if isinstance(intent, PlaceOrder):
            self.sides[intent.client_id] = intent.side
        if waits % 6 == 0:
            self.ledger.dropped(intent, DropCode.QUEUE_EXPIRED, self.now_ns)
        else:
            self.ledger.released(intent, self.now_ns)
            self.truth.commands.append(intent)

    @rule(side=SIDES, lots=LOTS, level=st.integers(0, 2), offset=st.integers(0, 5), waits=PICK)
    def ask_place(self, side: Side, lots: int, level: int, offset: int, waits: int) -> None:
        ticks = 99 - offset if side is Side.BUY else 101 + offset
        self._ask(place(len(self.sides) + 1, side, ticks, lots, level), waits)

    @precondition(lambda self: not self.truth.commands)
    @rule(side=SIDES, lots=LOTS, level=st.integers(0, 2))
    def place_goes_well(self, side: Side, lots: int, level: int) -> None:
        """The common case in one step, so that the uncommon ones start from living orders."""
        unheard, self.truth.unheard = self.truth.unheard, []
        self.ask_place(side, lots, level, level, 1)
        while self.truth.commands:
            self.truth.process(self.truth.commands.pop(), 2)
        while self.truth.unheard:
            self._hear(self.truth.unheard.pop(0))
        self.truth.unheard = unheard

    @precondition(lambda self: self.truth.resting)
    @rule(pick=PICK, lots=LOTS, offset=st.integers(0, 5), waits=PICK)
    def ask_amend(self, pick: int, lots: int, offset: int, waits: int) -> None:
        number = list(self.truth.resting)[pick % len(self.truth.resting)]
        ticks = 99 - offset if self.sides[number] is Side.BUY else 101 + offset
        self._ask(amend(number, ticks, lots), waits)

    @precondition(lambda self: self.sides)
    @rule(pick=PICK, waits=PICK)
    def ask_cancel(self, pick: int, waits: int) -> None:
        self._ask(cancel(1 + pick % len(self.sides)), waits)

    @precondition(lambda self: self.truth.commands)
    @rule(pick=PICK, mood=PICK)
    def venue_processes(self, pick: int, mood: int) -> None:
        commands = self.truth.commands
        self.truth.process(commands.pop(pick % len(commands)), mood)

    @precondition(lambda self: self.truth.resting)
    @rule(pick=PICK, lots=LOTS)
    def venue_trades(self, pick: int, lots: int) -> None:
        numbers = list(self.truth.resting)
        self.truth.trade(numbers[pick % len(numbers)], lots)

    @precondition(lambda self: self.truth.unheard)
    @rule(pick=PICK)
    def we_hear(self, pick: int) -> None:
        self._hear(self.truth.unheard.pop(pick % len(self.truth.unheard)))

    @precondition(lambda self: self.truth.heard)
    @rule(pick=PICK)
    def we_hear_again(self, pick: int) -> None:
        event = self.truth.heard[pick % len(self.truth.heard)]
        if isinstance(event, OrderFilled):
            self._hear(event)

    @precondition(lambda self: self.sides)
    @rule(pick=PICK, operation=st.sampled_from(Operation))
    def outcome_is_lost(self, pick: int, operation: Operation) -> None:
        self._hear(unknown(1 + pick % len(self.sides), operation))

    def _hear(self, event: OrderEvent) -> None:
        change = self.ledger.apply(event)
        self.facts.position_lots += change.fill_lots
        self.truth.heard.append(event)

    @invariant()
    def position_cannot_pass_its_limits(self) -> None:
        if not hasattr(self, "truth"):
            return
        assert self.truth.position + self.truth.could_fill(Side.BUY, self.sides) <= MAX
        assert self.truth.position - self.truth.could_fill(Side.SELL, self.sides) >= MIN

    @invariant()
    def ledger_is_never_rosier_than_the_truth(self) -> None:
        if not hasattr(self, "truth"):
            return
        for side in (Side.BUY, Side.SELL):
            ours = self.facts.position_lots * side + self.ledger.exposure(XYZ, side)
            unheard = sum(e.lots for e in self.truth.unheard if isinstance(e, OrderFilled) and e.side is side)
            still = self.truth.could_fill(side, self.sides) + unheard
            assert self.ledger.exposure(XYZ, side) >= still, ours

    @invariant()
    def exposure_is_the_sum_of_the_orders(self) -> None:
        if not hasattr(self, "truth"):
            return
        orders = list(self.ledger.alive(XYZ))
        for side in (Side.BUY, Side.SELL):
            assert self.ledger.exposure(XYZ, side) == sum(o.exposure for o in orders if o.side is side)
        assert all(order.exposure > 0 and order.may_be_alive for order in orders)

    def teardown(self) -> None:
        """Once everything was processed and heard, both sides agree on the position, and no flag was raised."""
        if not hasattr(self, "truth"):
            return
        while self.truth.commands:
            self.truth.process(self.truth.commands.pop(0), 2)
        while self.truth.unheard:
            self._hear(self.truth.unheard.pop(0))
        assert self.facts.position_lots == self.truth.position
        self.ledger_is_never_rosier_than_the_truth()


TestLimitsUnderAnySequence = LimitsUnderAnySequence.TestCase
TestLimitsUnderAnySequence.settings = settings(
    max_examples=60, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
)
