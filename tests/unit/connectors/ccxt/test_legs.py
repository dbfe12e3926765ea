"""Long and short legs: which of them an order is about, and that no venue ever has a reason to refuse it."""

from collections import deque
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.ccxt.legs import Leg, Legs, Shown, boxed, leg_of
from mm_daemon.domain.decisions import AmendOrder, PlaceOrder, Reason
from mm_daemon.domain.events import (
    Event,
    OrderAmended,
    OrderAmendRejected,
    OrderCanceled,
    OrderFilled,
    OrderRejected,
)
from mm_daemon.domain.instrument import InstrumentId
from mm_daemon.domain.orders import ClientOrderId, RejectKind, Side
from mm_daemon.domain.rng import Rng

BTC = InstrumentId("v:BTC")
WHY = (Reason.NEW_QUOTE,)
D_MAX_NS = 1000


def place(number: int, side: Side, lots: int, **keys: Any) -> PlaceOrder:
    return PlaceOrder(BTC, ClientOrderId(number), side, 0, 100, lots, WHY, **keys)


def amend(number: int, lots: int) -> AmendOrder:
    return AmendOrder(BTC, ClientOrderId(number), 101, lots, WHY)


def fill(number: int, side: Side, lots: int, key: str) -> OrderFilled:
    return OrderFilled(BTC, 1, 1, ClientOrderId(number), "", key, side, 100, lots, True)


def holding(long: int, short: int) -> Legs:
    legs = Legs(lambda: 0, D_MAX_NS)
    read(legs, long, short)
    return legs


def read(legs: Legs, long: int, short: int, *shown: Shown, since: int | None = None, requested_ns: int = 0) -> None:
    held = {(BTC, Leg.LONG): long, (BTC, Leg.SHORT): short}
    legs.read(held, shown, (), since=legs.mark() if since is None else since, requested_ns=requested_ns)


def test_an_order_closes_the_other_leg_where_that_covers_all_of_it() -> None:
    """Five long: a sale of five closes, and while that is open the next one opens short."""
    legs = holding(5, 0)
    for number, side, lots in ((1, Side.SELL, 5), (2, Side.SELL, 1), (3, Side.BUY, 5)):
        assert legs.take(place(number, side, lots))
    assert [legs.closes(ClientOrderId(number)) for number in (1, 2, 3)] == [True, False, False]


def test_a_leg_is_free_again_when_its_order_ends() -> None:
    legs = holding(5, 0)
    legs.take(place(1, Side.SELL, 5))
    legs.apply(OrderCanceled(BTC, 0, 0, ClientOrderId(1), "", filled_lots=0))
    legs.take(place(2, Side.SELL, 5))
    legs.apply(OrderRejected(BTC, 0, 0, ClientOrderId(2), RejectKind.POST_ONLY_CROSS, ""))
    legs.take(place(3, Side.SELL, 5))
    assert legs.closes(ClientOrderId(3))


def test_what_a_dead_order_filled_is_owed_until_it_is_told() -> None:
    """The venue says cancelled with three filled; the fills come later: the leg has two, not five."""
    legs = holding(5, 0)
    legs.take(place(1, Side.SELL, 5))
    legs.apply(OrderCanceled(BTC, 0, 0, ClientOrderId(1), "", filled_lots=3))
    legs.take(place(2, Side.SELL, 3))
    assert not legs.closes(ClientOrderId(2))
    legs.fill(fill(1, Side.SELL, 3, "a"), None)
    assert legs.held(BTC, Leg.LONG) == 2
    legs.take(place(3, Side.SELL, 2))
    assert legs.closes(ClientOrderId(3))


def test_a_fill_counts_once() -> None:
    legs = holding(0, 0)
    legs.take(place(1, Side.BUY, 5))
    for _ in range(2):
        legs.fill(fill(1, Side.BUY, 2, "a"), None)
    assert (legs.held(BTC, Leg.LONG), legs.held(BTC, Leg.SHORT)) == (2, 0)


def test_reduce_only_is_kept() -> None:
    """It closes, or it is not sent: beyond its leg it would open."""
    legs = holding(5, 0)
    assert not legs.take(place(1, Side.BUY, 1, reduce_only=True))
    assert not legs.take(place(2, Side.SELL, 6, reduce_only=True))
    assert legs.take(place(3, Side.SELL, 5, reduce_only=True)) and legs.closes(ClientOrderId(3))


def test_an_order_that_closes_grows_as_far_as_its_leg() -> None:
    legs = holding(5, 0)
    legs.take(place(1, Side.SELL, 3))
    assert legs.stretch(amend(1, 5))
    assert not legs.stretch(amend(1, 6))
    legs.take(place(2, Side.SELL, 1))
    assert not legs.closes(ClientOrderId(2)), "the amend under way holds its part"
    legs.apply(OrderAmendRejected(BTC, 0, 0, ClientOrderId(1), RejectKind.OTHER, ""))
    legs.take(place(3, Side.SELL, 2))
    assert legs.closes(ClientOrderId(3)), "the amend that failed holds nothing"
    assert legs.stretch(amend(2, 100)), "one that opens grows as it likes"


def test_a_refusal_for_want_of_a_leg_stops_closing_until_the_next_reading() -> None:
    """Somebody else has closed it by hand."""
    legs = holding(5, 0)
    legs.take(place(1, Side.SELL, 5))
    legs.apply(OrderRejected(BTC, 0, 0, ClientOrderId(1), RejectKind.REDUCE_ONLY, ""))
    legs.take(place(2, Side.SELL, 1))
    assert not legs.closes(ClientOrderId(2))
    read(legs, 1, 0)
    legs.take(place(3, Side.SELL, 1))
    assert legs.closes(ClientOrderId(3))


def test_a_reading_that_began_before_a_fill_does_not_undo_it() -> None:
    legs = holding(0, 0)
    legs.take(place(1, Side.BUY, 5))
    since = legs.mark()
    legs.fill(fill(1, Side.BUY, 5, "a"), None)
    read(legs, 0, 0, since=since)
    assert legs.held(BTC, Leg.LONG) == 5
    read(legs, 5, 0)
    assert legs.held(BTC, Leg.LONG) == 5


def test_a_fill_that_a_reading_has_told_is_no_news_on_the_stream() -> None:
    legs = holding(0, 0)
    legs.take(place(1, Side.BUY, 5))
    held = {(BTC, Leg.LONG): 5, (BTC, Leg.SHORT): 0}
    legs.read(held, (), [(fill(1, Side.BUY, 5, "a"), Leg.LONG)], since=legs.mark(), requested_ns=0)
    legs.fill(fill(1, Side.BUY, 5, "a"), None)
    assert legs.held(BTC, Leg.LONG) == 5


def test_orders_of_an_earlier_life_and_of_others_keep_what_they_may_close() -> None:
    """Of one whose leg nobody names the worst is assumed."""
    legs = holding(0, 0)
    read(legs, 5, 5, Shown(BTC, ClientOrderId(7), Side.SELL, Leg.LONG, 3), Shown(BTC, None, Side.BUY, None, 4))
    assert legs.take(place(8, Side.SELL, 2)) and legs.closes(ClientOrderId(8))
    assert legs.take(place(9, Side.BUY, 2)) and not legs.closes(ClientOrderId(9))
    legs.fill(fill(7, Side.SELL, 3, "a"), Leg.LONG)
    assert legs.held(BTC, Leg.LONG) == 2


def test_a_fill_of_an_order_that_nobody_knows_is_read_before_anything_closes() -> None:
    legs = holding(5, 0)
    legs.fill(fill(0, Side.SELL, 5, "liquidated"), None)
    legs.take(place(1, Side.SELL, 1))
    assert not legs.closes(ClientOrderId(1))


def test_an_order_that_never_came_is_forgotten_when_it_cannot_come_any_more() -> None:
    """Its outcome was unknown, and no reading shows it."""
    legs = holding(5, 0)
    legs.take(place(1, Side.SELL, 5))
    for requested_ns, closes in ((D_MAX_NS, False), (D_MAX_NS + 1, True)):
        read(legs, 5, 0, requested_ns=requested_ns)
        legs.take(place(requested_ns, Side.SELL, 5))
        assert legs.closes(ClientOrderId(requested_ns)) is closes


@pytest.mark.parametrize(
    ("info", "leg"),
    [
        ({"positionSide": "LONG"}, Leg.LONG),
        ({"ps": "SHORT"}, Leg.SHORT),
        ({"posSide": "long"}, Leg.LONG),
        ({"holdSide": "short"}, Leg.SHORT),
        ({"positionIdx": 1}, Leg.LONG),
        ({"positionIdx": "2"}, Leg.SHORT),
        ({"positionSide": "BOTH"}, None),
        ({"posSide": "net", "positionIdx": 0}, None),
        (None, None),
    ],
)
def test_venues_words_for_a_leg(info: object, leg: Leg | None) -> None:
    assert leg_of(info) is leg


def test_boxed_is_what_nets_to_nothing() -> None:
    eth = InstrumentId("v:ETH")
    held = {(BTC, Leg.LONG): 5, (BTC, Leg.SHORT): 3, (eth, Leg.LONG): 2, (eth, Leg.SHORT): 0}
    assert boxed(held) == ((BTC, 3),)


class StrictVenue:
    """Refuses whatever its legs do not cover beside all that is open; what it says comes later, in order."""

    def __init__(self) -> None:
        self.held = {Leg.LONG: 0, Leg.SHORT: 0}
        self.orders: dict[int, list[Any]] = {}
        """[side, leg, lots left]."""
        self.said: deque[tuple[Event, Leg | None]] = deque()
        self.keys = 0

    def covers(self, leg: Leg, more: int) -> bool:
        closing = sum(lots for side, each, lots in self.orders.values() if each is leg and side + leg == 0)
        return bool(closing + more <= self.held[leg])

    def take(self, number: int, side: Side, leg: Leg, lots: int) -> None:
        assert side + leg != 0 or self.covers(leg, lots), "refused: ReduceOnly Order is rejected"
        self.orders[number] = [side, leg, lots]

    def fill(self, number: int, lots: int) -> None:
        side, leg, left = self.orders[number]
        lots = min(lots, left)
        self.held[leg] += side * leg * lots
        assert self.held[leg] >= 0
        self.orders[number][2] -= lots
        if not self.orders[number][2]:
            del self.orders[number]
        self.keys += 1
        self.said.append((fill(number, side, lots, str(self.keys)), leg))


SIDES = st.sampled_from([Side.BUY, Side.SELL])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("place"), SIDES, st.integers(1, 9)),
        st.tuples(st.just("fill"), st.integers(0, 9), st.integers(1, 9)),
        st.tuples(st.just("cancel"), st.integers(0, 9), st.just(0)),
        st.tuples(st.just("amend"), st.integers(0, 9), st.integers(1, 9)),
        st.tuples(st.just("hear"), st.integers(1, 5), st.just(0)),
        st.tuples(st.just("read"), st.just(0), st.just(0)),
    ),
    max_size=60,
)


@given(STEPS)
def test_no_order_is_ever_refused_and_what_is_heard_is_what_is_held(steps: list[tuple[str, Any, int]]) -> None:
    """Whatever is placed, amended, cancelled, filled and read, and however late it is told."""
    legs, venue, sizes = holding(0, 0), StrictVenue(), dict[int, list[int]]()

    def hear(count: int) -> None:
        for _ in range(min(count, len(venue.said))):
            event, leg = venue.said.popleft()
            if isinstance(event, OrderFilled):
                legs.fill(event, leg)
            else:
                legs.apply(event)

    for number, (what, which, lots) in enumerate(steps, 1):
        if what == "place":
            assert legs.take(place(number, which, lots))
            leg = Leg(-which) if legs.closes(ClientOrderId(number)) else Leg(which)
            venue.take(number, which, leg, lots)
            sizes[number] = [lots, 0]
        elif what == "hear":
            hear(which)
        elif what == "read":
            fills = [(event, leg) for event, leg in venue.said if isinstance(event, OrderFilled)]
            held = {(BTC, leg): lots for leg, lots in venue.held.items()}
            shown = [Shown(BTC, ClientOrderId(n), side, leg, left) for n, (side, leg, left) in venue.orders.items()]
            legs.read(held, shown, fills, since=legs.mark(), requested_ns=0)
        elif venue.orders:
            target = list(venue.orders)[which % len(venue.orders)]
            side, leg, left = venue.orders[target]
            size = sizes[target]
            if what == "fill":
                venue.fill(target, lots)
                size[1] += min(lots, left)
            elif what == "cancel":
                del venue.orders[target]
                event = OrderCanceled(BTC, 0, 0, ClientOrderId(target), "", filled_lots=size[1])
                venue.said.append((event, None))
            elif legs.stretch(amend(target, size[1] + lots)):
                more = lots - left
                assert side + leg != 0 or more <= 0 or venue.covers(leg, more), "an amend is refused"
                size[0] = size[1] + lots
                venue.orders[target][2] = lots
                venue.said.append((OrderAmended(BTC, 0, 0, ClientOrderId(target), "", 101, size[0]), None))
    hear(len(venue.said))
    assert {leg: legs.held(BTC, leg) for leg in Leg} == venue.held


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_what_is_boxed_stays_small(levels: int) -> None:
    """Less than twice what the orders of one side add up to, however long a ladder of tens is filled piece by piece."""
    rng, legs, size, most = Rng(levels), holding(0, 0), 10, 50
    working: dict[tuple[Side, int], list[int]] = {}
    net = number = 0
    for step in range(4000):
        for slot in [(side, level) for side in Side for level in range(levels)]:
            if slot not in working and slot[0] * net + size <= most:
                number += 1
                legs.take(place(number, slot[0], size))
                working[slot] = [number, size]
        slot = list(working)[int(rng.uniform() * len(working))]
        client_id, left = working.pop(slot)
        if rng.uniform() < 0.1:
            legs.apply(OrderCanceled(BTC, 0, 0, ClientOrderId(client_id), "", filled_lots=size - left))
            continue
        lots = 1 + int(rng.uniform() * left)
        legs.fill(fill(client_id, slot[0], lots, str(step)), None)
        net += slot[0] * lots
        if left > lots:
            working[slot] = [client_id, left - lots]
        long, short = legs.held(BTC, Leg.LONG), legs.held(BTC, Leg.SHORT)
        assert long - short == net and min(long, short) < 2 * levels * size
