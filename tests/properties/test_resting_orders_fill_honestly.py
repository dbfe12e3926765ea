"""A resting order in a recorded market fills by no more than was printed or displayed; price-time priority holds.

Two laws of EXECUTION 8: volume counts once, and the primitive serves price first, then time, losing no lot on the way.
"""

from hypothesis import given, settings
from hypothesis import strategies as st

from mm_daemon.domain.events import BookDelta, OrderFilled, PublicTrade, TopOfBook
from mm_daemon.domain.orders import Side
from mm_daemon.simulation.matching import PriceTimeBook
from mm_daemon.simulation.models import QueueModel, QueuePosition
from mm_daemon.simulation.policy import VenuePolicy
from mm_daemon.simulation.venue import SimulatedVenue
from mm_daemon.testkit.builders import MS, SYMBOL, VENUE, instrument, snapshot, trade
from tests.simulated import Hand, cancel, place

SIDES = st.sampled_from([Side.BUY, Side.SELL])
TICKS = st.integers(995, 1005)
LOTS = st.integers(1, 30)

PRINTS = st.tuples(st.just("print"), SIDES, TICKS, LOTS)
LEVELS = st.tuples(st.just("level"), SIDES, TICKS, st.integers(0, 30))
TOPS = st.tuples(st.just("top"), TICKS, TICKS, LOTS)
ORDERS = st.tuples(st.just("order"), SIDES, TICKS, LOTS)
CANCELS = st.tuples(st.just("cancel"), st.integers(1, 10))


@settings(max_examples=150, deadline=None)
@given(st.lists(PRINTS | LEVELS | TOPS | ORDERS | CANCELS, max_size=40), st.sampled_from(list(QueueModel)))
def test_fills_never_exceed_what_was_printed_or_displayed(script: list[tuple], model: QueueModel) -> None:  # type: ignore[type-arg]
    """Whatever happens: fills on a side <= prints against that side + everything ever displayed against it; no order
    overfills; no price is better or worse than the limit; position is the sum of the fills."""
    hand = Hand(SimulatedVenue(VENUE, [instrument()], VenuePolicy(queue_model=model, feed_floor_ms=0.0)))
    hand.market(snapshot(1, 999, 1001, lots=10))
    supply = {Side.BUY: 5 * 10, Side.SELL: 5 * 10}
    limits: dict[int, tuple[Side, int, int]] = {}
    now_ms = 1
    for update_id, (what, *figures) in enumerate(script, start=2):
        now_ms += 7
        at_ns = now_ms * MS
        if what == "print":
            aggressor, ticks, lots = figures
            supply[Side(-aggressor)] += lots
            hand.market(PublicTrade(SYMBOL, at_ns, at_ns, aggressor, ticks, lots, update_id))
        elif what == "level":
            side, ticks, lots = figures
            supply[Side(-side)] += lots
            levels = ((ticks, lots),)
            bids, asks = (levels, ()) if side is Side.BUY else ((), levels)
            hand.market(BookDelta(SYMBOL, at_ns, at_ns, bids, asks, update_id))
        elif what == "top":
            bid, ask, lots = figures
            supply[Side.BUY] += lots
            supply[Side.SELL] += lots
            hand.market(TopOfBook(SYMBOL, at_ns, at_ns, bid, lots, ask, lots, update_id))
        elif what == "order":
            side, ticks, lots = figures
            limits[update_id] = (side, ticks, lots)
            hand.send(now_ms, place(update_id, side, ticks, lots))
        else:
            hand.send(now_ms, cancel(figures[0]))
    hand.until(now_ms + 1000)
    filled: dict[int, int] = {}
    by_side = {Side.BUY: 0, Side.SELL: 0}
    for fill in hand.of(OrderFilled):
        side, ticks, _ = limits[fill.client_id]
        assert (fill.side, fill.ticks, fill.maker) == (side, ticks, True)
        filled[fill.client_id] = filled.get(fill.client_id, 0) + fill.lots
        by_side[side] += fill.lots
    assert all(lots <= limits[client_id][2] for client_id, lots in filled.items())
    # A hidden level that reappears is displayed anew: each top may uncover the depth behind it once more.
    uncovered = 1 + sum(step[0] == "top" for step in script)
    assert all(by_side[side] <= supply[side] * uncovered for side in by_side)
    venue = hand.venue
    assert isinstance(venue, SimulatedVenue)
    assert dict(venue.snapshot(0).positions)[SYMBOL] == by_side[Side.BUY] - by_side[Side.SELL]
    assert len({fill.fill_key for fill in hand.of(OrderFilled)}) == len(hand.of(OrderFilled))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(TICKS, LOTS), min_size=1, max_size=25), st.integers(1, 3))
def test_prints_alone_never_fill_more_than_they_carry(prints: list[tuple[int, int]], orders: int) -> None:
    """Several orders of ours share each print: the sum of their fills is at most its size."""
    hand = Hand(SimulatedVenue(VENUE, [instrument()], VenuePolicy(feed_floor_ms=0.0)))
    hand.market(snapshot(1, 999, 1010, lots=5, depth=9))
    hand.send(2, *(place(n + 1, Side.BUY, 999 - n, 40) for n in range(orders)))
    hand.until(20)
    for n, (ticks, lots) in enumerate(prints):
        before = sum(fill[2] for fill in hand.fills())
        hand.market(trade(100 + 20 * n, Side.SELL, ticks, lots, trade_id=n))
        hand.until(110 + 20 * n)
        assert sum(fill[2] for fill in hand.fills()) - before <= lots


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(list(QueueModel)),
    st.floats(0.5, 5.0),
    st.integers(0, 100),
    st.lists(st.tuples(st.booleans(), st.integers(0, 200)), max_size=30),
)
def test_front_of_the_queue_stays_between_nothing_and_the_level(
    model: QueueModel, exponent: float, level: int, steps: list[tuple[bool, int]]
) -> None:
    """0 <= front <= displayed after every report; cancels and joiners never move us back; no fill exceeds a trade."""
    queue = QueuePosition(model, exponent, level, float(level))
    for is_trade, lots in steps:
        before = queue.front_lots
        if is_trade:
            assert 0 <= queue.trade(lots, 1000, lots) <= lots
        else:
            queue.depth(lots)
            assert queue.front_lots <= lots
        assert 0.0 <= queue.front_lots <= before


PLACES = st.tuples(st.just("place"), SIDES, TICKS, LOTS)
SWEEPS = st.tuples(st.just("sweep"), SIDES, TICKS, LOTS)
REMOVALS = st.tuples(st.just("cancel"), st.integers(0, 30))
CHANGES = st.tuples(st.just("amend"), st.integers(0, 30), TICKS, LOTS)


@settings(max_examples=200, deadline=None)
@given(st.lists(PLACES | SWEEPS | REMOVALS | CHANGES, max_size=40))
def test_price_time_priority_and_conservation(script: list[tuple]) -> None:  # type: ignore[type-arg]
    """Against a list of orders searched anew for each match: the maker is always the best-priced, then the oldest; lots
    are neither made nor lost; the book never stands crossed."""
    book = PriceTimeBook()
    model: list[list[int]] = []  # [id, side, ticks, lots], oldest first
    for order_id, (what, *figures) in enumerate(script):
        matches = []
        if what == "cancel":
            lots = book.cancel(figures[0])
            assert lots == sum(order[3] for order in model if order[0] == figures[0])
            model = [order for order in model if order[0] != figures[0]]
            continue
        if what == "amend":
            target, ticks, lots = figures
            found = [order for order in model if order[0] == target]
            placed = book.amend(target, ticks, lots)
            assert (placed is None) == (not found)
            if placed is None:
                continue
            model.remove(found[0])
            side, matches, resting, taker_id = Side(found[0][1]), placed.matches, placed.resting_lots, target
        else:
            side, ticks, lots = figures
            taker_id = order_id
            if what == "place":
                placed = book.place(order_id, side, ticks, lots)
                matches, resting = placed.matches, placed.resting_lots
            else:
                matches, resting = book.sweep(side, lots, limit_ticks=ticks), 0
        for match in matches:
            makers = [order for order in model if order[1] == -side and side * (ticks - order[2]) >= 0]
            best = min(makers, key=lambda order: side * order[2])
            assert (match.maker_id, match.ticks) == (best[0], best[2])
            best[3] -= match.lots
            assert match.maker_left_lots == best[3] >= 0
            if not best[3]:
                model.remove(best)
        traded = sum(match.lots for match in matches)
        if what == "sweep":
            assert traded <= lots
        else:
            assert traded + resting == lots
        if resting:
            model.append([taker_id, side, ticks, resting])
        assert book.best(Side.BUY) < book.best(Side.SELL)
    for side in Side:
        totals: dict[int, int] = {}
        for order in model:
            if order[1] == side:
                totals[order[2]] = totals.get(order[2], 0) + order[3]
        assert dict(book.depth(side)) == totals
