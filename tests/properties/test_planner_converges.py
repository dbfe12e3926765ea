"""Laws of the planner: a perfect venue reaches what was decided, then nothing more is asked; ours never meet ours."""

from itertools import count

from hypothesis import given, settings
from hypothesis import strategies as st

from mm_daemon.core.order_ledger import OrderLedger
from mm_daemon.core.planner import pair_levels, plan
from mm_daemon.domain.capabilities import AmendQuantity, Capabilities
from mm_daemon.domain.decisions import (
    Action,
    AmendOrder,
    CancelOrder,
    Decision,
    Intent,
    PlaceOrder,
    QuoteTarget,
    Reason,
)
from mm_daemon.domain.events import OrderAccepted, OrderAmended, OrderCanceled
from mm_daemon.domain.instrument import InstrumentId, Venue
from mm_daemon.domain.orders import ClientOrderId, Side

SYMBOL = InstrumentId("test:X")
SIDES = (Side.BUY, Side.SELL)

quotes = st.tuples(st.integers(50, 150), st.integers(1, 20), st.booleans(), st.booleans())
"""bid price, distance to the ask, whether each side is quoted"""


class PerfectVenue:
    """Does at once what it is asked, and checks that ours never meet ours on the way."""

    def __init__(self, capabilities: Capabilities) -> None:
        self.capabilities = capabilities
        self.ledger = OrderLedger({Venue("test"): capabilities})
        self.ids = count(1)

    def working(self, side: Side):
        return next((order for order in self.ledger.alive(SYMBOL) if order.side is side), None)

    def ask(self, decisions: list[Decision]) -> list[Intent]:
        slots = [(decision, self.working(decision.side)) for decision in decisions]
        return plan(SYMBOL, slots, (), self.capabilities, lambda: ClientOrderId(next(self.ids)))

    def do(self, intents: list[Intent]) -> None:
        for intent in intents:
            self.ledger.queue(intent, 0)
            self.ledger.released(intent, 0)
            assert_ours_never_meet(self.ledger)
        for intent in intents:
            if isinstance(intent, PlaceOrder):
                self.ledger.apply(OrderAccepted(SYMBOL, 0, 0, intent.client_id, f"v{intent.client_id}"))
            elif isinstance(intent, AmendOrder):
                venue_id = f"v{intent.client_id}"
                self.ledger.apply(OrderAmended(SYMBOL, 0, 0, intent.client_id, venue_id, intent.ticks, intent.lots))
            elif isinstance(intent, CancelOrder):
                self.ledger.apply(OrderCanceled(SYMBOL, 0, 0, intent.client_id, f"v{intent.client_id}", True, 0))


def assert_ours_never_meet(ledger: OrderLedger) -> None:
    alive = list(ledger.alive(SYMBOL))
    bids = [ticks for order in alive if order.side is Side.BUY for ticks in order.alive_ticks()]
    asks = [ticks for order in alive if order.side is Side.SELL for ticks in order.alive_ticks()]
    assert not bids or not asks or max(bids) < min(asks)


def decide(venue: PerfectVenue, wanted: dict[Side, int | None]) -> list[Decision]:
    """What the table would say: quote where the price differs, withdraw where nothing is wanted, else hold."""
    decisions = []
    for side in SIDES:
        order, ticks = venue.working(side), wanted[side]
        if ticks is None:
            decisions.append(Decision(side, 0, Action.WITHDRAW, None, (Reason.MAX_POSITION,)))
        elif order is not None and order.ticks == ticks:
            decisions.append(Decision(side, 0, Action.HOLD, None, (Reason.WITHIN_TOLERANCE,)))
        else:
            target = QuoteTarget(ticks, 5, float(ticks))
            decisions.append(Decision(side, 0, Action.QUOTE, target, (Reason.NEW_QUOTE,)))
    return decisions


@given(st.booleans(), st.sampled_from(AmendQuantity), st.lists(quotes, min_size=1, max_size=12))
@settings(max_examples=150, deadline=None)
def test_plans_converge_and_are_minimal(amend, quantity, wishes):
    """Any wish is reached in three rounds, with at most one command a side and round, and then nothing is asked."""
    venue = PerfectVenue(Capabilities(amend=amend, amend_quantity=quantity))
    for bid, distance, wants_bid, wants_ask in wishes:
        wanted = {Side.BUY: bid if wants_bid else None, Side.SELL: bid + distance if wants_ask else None}
        for _ in range(3):
            intents = venue.ask(decide(venue, wanted))
            assert len(intents) <= 2
            venue.do(intents)
        assert {side: order.ticks if (order := venue.working(side)) else None for side in SIDES} == wanted
        assert venue.ask(decide(venue, wanted)) == []


@given(
    st.sampled_from(SIDES),
    st.lists(st.integers(1, 30), unique=True, max_size=6),
    st.lists(st.integers(1, 30), unique=True, max_size=6),
)
def test_pairing_keeps_what_already_rests_where_it_should(side, working_ticks, target_ticks):
    """Every target is served once, no order twice, and an order at a target's price never moves."""
    working = [(ClientOrderId(index), ticks) for index, ticks in enumerate(working_ticks, 1)]
    targets = list(enumerate(target_ticks))
    pairs, surplus, places = pair_levels(side, working, targets)
    assert sorted([level for _, level, _ in pairs] + places) == list(range(len(targets)))
    assert sorted([client_id for client_id, _, _ in pairs] + surplus) == [client_id for client_id, _ in working]
    moves = sum(moved for _, _, moved in pairs)
    assert len(pairs) - moves == len(set(working_ticks) & set(target_ticks))
    assert not (surplus and places)
