"""Law of ladders near a position limit: the core asks for nothing that the gate must refuse, and gets what it may."""

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from mm_daemon.domain.capabilities import AmendQuantity, Capabilities
from mm_daemon.domain.decisions import CancelOrder, Turn
from mm_daemon.domain.events import OrderCanceled
from mm_daemon.domain.orders import Side
from mm_daemon.engine.parameters import QuoteParameters
from mm_daemon.testkit import builders
from tests.unit.core.desk import MS, SYMBOL, Desk

LIMIT = 37
_LADDER = QuoteParameters(
    levels=3,
    level_step_bps=1.0,
    level_size_ratio=1.3,
    half_spread_bps=1.0,
    size_skew=0.5,
    inventory_skip_at=1.0,
    fill_lockout_ms=50,
    order_lockout_ms=30,
    decide_interval_ms=0,
    fair_price="mid",
)
_CAPABILITIES = st.sampled_from(
    [
        Capabilities(amend=True, simulated=True),
        Capabilities(amend=True, amend_quantity=AmendQuantity.FRESH, simulated=True),
        Capabilities(amend=False, simulated=True),
    ]
)
_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("move"), st.integers(-200, 200)),
        st.tuples(st.just("fill"), st.tuples(st.sampled_from([Side.BUY, Side.SELL]), st.integers(1, 17))),
        st.tuples(st.just("answer"), st.none()),
        st.tuples(st.just("wait"), st.integers(1, 120)),
    ),
    max_size=40,
)


class Story:
    """A desk whose venue answers when the story says so."""

    def __init__(self, capabilities: Capabilities, quoting: QuoteParameters) -> None:
        market = builders.market(quoting=quoting, max_position_lots=LIMIT)
        self.desk = Desk(builders.core_parameters(market, capabilities=capabilities))
        self.unanswered: list[Turn] = []
        self.bid, self.updates = 600_000, 1
        self.note(self.desk.open_market())

    def note(self, turn: Turn) -> None:
        assert not turn.refusals, turn.refusals
        if turn.released:
            self.unanswered.append(turn)
        exposure = self.desk.core.ledger.exposure
        held = self.desk.core.markets[SYMBOL].position.lots
        assert held + exposure(SYMBOL, Side.BUY) <= LIMIT
        assert held - exposure(SYMBOL, Side.SELL) >= -LIMIT

    def move(self, ticks: int) -> None:
        self.bid += ticks
        self.updates += 1
        at = self.desk.now_ms + 1
        self.note(self.desk.feed(builders.snapshot(at, self.bid, self.bid + 1, update_id=self.updates)))

    def fill(self, side: Side, lots: int) -> None:
        orders = [order for order in self.desk.core.markets[SYMBOL].quotes[side] if order.resting]
        if orders and orders[0] is self.desk.quote(side):
            self.note(self.desk.fill(side, min(lots, orders[0].remaining_lots), self.desk.now_ms + 1))

    def answer(self) -> None:
        if self.unanswered:
            turn = self.unanswered.pop(0)
            alive = {order.client_id for order in self.desk.core.ledger.alive(SYMBOL)}
            left = tuple(each for each in turn.released if getattr(each.command, "client_id", None) in alive)
            if left:
                self.note(self.desk.acknowledge(msgspec.structs.replace(turn, released=left), self.desk.now_ms + 1))

    def wait(self, ms: int) -> None:
        target = self.desk.now_ms + ms
        before = len(self.desk.turns)
        self.desk.wait(target)
        for turn in self.desk.turns[before:]:
            self.note(turn)


@settings(max_examples=150, deadline=None)
@given(capabilities=_CAPABILITIES, steps=_STEPS)
def test_no_command_of_a_ladder_is_refused(capabilities: Capabilities, steps: list[tuple[str, object]]) -> None:
    """Whatever the order of moves, fills and answers: no refusal, and the worst case stays within the limits."""
    story = Story(capabilities, _LADDER)
    for name, argument in steps:
        if name == "fill":
            assert isinstance(argument, tuple)
            story.fill(*argument)
        elif argument is None:
            story.answer()
        else:
            assert isinstance(argument, int)
            (story.move if name == "move" else story.wait)(argument)


@settings(max_examples=60, deadline=None)
@given(capabilities=_CAPABILITIES, steps=_STEPS)
def test_the_ladder_is_whole_again_when_all_is_answered(
    capabilities: Capabilities, steps: list[tuple[str, object]]
) -> None:
    """Waiting for room is no dead end: left alone, every level works that the limits leave a size for."""
    story = Story(capabilities, _LADDER)
    for name, argument in steps:
        if name == "fill":
            assert isinstance(argument, tuple)
            story.fill(*argument)
        elif name == "move":
            assert isinstance(argument, int)
            story.move(argument)
        else:
            story.answer()
    for _ in range(60):
        while story.unanswered:
            story.answer()
        story.wait(100)
    market = story.desk.core.markets[SYMBOL]
    assert market.pricing is not None
    for side, quotes in ((Side.BUY, market.pricing.bids), (Side.SELL, market.pricing.asks)):
        wanted = [quote for quote in quotes if not quote.obstacles]
        working = [order for order in market.quotes[side] if order.resting]
        assert len(working) >= len(wanted), story.desk.says()
        assert sum(order.remaining_lots for order in working) <= LIMIT - side * market.position.lots


def test_what_is_free_beside_an_order_that_still_works_is_taken_first() -> None:
    """The outer bid shrinks by an amend, which frees its lots only when it is answered: until then the new inner bid
    has what is left, and then its full size.
    """
    story = Story(Capabilities(amend=True, simulated=True), msgspec.structs.replace(_LADDER, size_skew=0.0))
    while story.unanswered:
        story.answer()
    assert [order.lots for order in story.desk.core.markets[SYMBOL].quotes[Side.BUY]] == [10, 13, 14]
    story.fill(Side.BUY, 10)
    story.wait(60)
    exposure = story.desk.core.ledger.exposure(SYMBOL, Side.BUY)
    assert story.desk.core.markets[SYMBOL].position.lots + exposure == LIMIT
    for _ in range(10):
        while story.unanswered:
            story.answer()
        story.wait(100)
    quotes = sorted(story.desk.core.markets[SYMBOL].quotes[Side.BUY], key=lambda order: -order.ticks)
    assert [order.remaining_lots for order in quotes] == [10, 13, 4], story.desk.says()


def test_a_move_beside_which_there_is_no_room_is_a_cancel() -> None:
    """Where an amend makes a fresh order, old and new count together: the quote is cancelled and placed anew."""
    fresh = Capabilities(amend=True, amend_quantity=AmendQuantity.FRESH, simulated=True)
    desk = Desk(
        builders.core_parameters(
            builders.market(
                quoting=QuoteParameters(half_spread_bps=1.0, order_lockout_ms=0, fair_price="mid"),
                max_position_lots=10,
                order_lots=10,
            ),
            capabilities=fresh,
        )
    )
    desk.acknowledge(desk.open_market(), 10)
    turn = desk.feed(builders.snapshot(1000, 599_000, 599_001, update_id=2))
    assert not turn.refusals
    cancels = [each.command for each in turn.released if isinstance(each.command, CancelOrder)]
    assert len(cancels) == 2
    at = 1010 * MS
    for cancel in cancels:
        turn = desk.feed(OrderCanceled(SYMBOL, at, at, cancel.client_id, f"v{cancel.client_id}", True, 0))
    desk.wait(1100)
    assert {side for side, orders in desk.core.markets[SYMBOL].quotes.items() if orders} == {Side.BUY, Side.SELL}
