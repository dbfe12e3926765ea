"""Laws of the order book: it equals the naive book at every step, and the overlay never lies."""

from hypothesis import given, settings
from hypothesis import strategies as st

from mm_daemon.domain.book import NO_ASK, NO_BID, OrderBook
from mm_daemon.domain.events import BookDelta, BookSnapshot, InvalidCause, TopOfBook
from mm_daemon.domain.instrument import InstrumentId
from mm_daemon.domain.orders import Side

SYMBOL = InstrumentId("test:X")
prices = st.integers(1, 400)
levels = st.lists(st.tuples(prices, st.integers(0, 5)), max_size=8).map(tuple)


def best(depth: dict[int, int], side: Side) -> tuple[int, int]:
    """The naive best: by looking at every level."""
    if not depth:
        return (NO_BID, 0) if side is Side.BUY else (NO_ASK, 0)
    ticks = max(depth) if side is Side.BUY else min(depth)
    return ticks, depth[ticks]


@given(levels, levels, st.lists(st.tuples(levels, levels), max_size=20))
@settings(max_examples=150, deadline=None)
def test_book_equals_the_naive_book_after_every_delta(bids, asks, deltas):
    """Best prices, sizes and depth reads are those of a dictionary that is searched in full."""
    book = OrderBook()
    naive: dict[Side, dict[int, int]] = {Side.BUY: {}, Side.SELL: {}}
    book.apply(BookSnapshot(SYMBOL, 0, 0, bids, asks, 1))
    for side, changes in ((Side.BUY, bids), (Side.SELL, asks)):
        naive[side] = {ticks: lots for ticks, lots in changes if lots}
    for update_id, (bid_changes, ask_changes) in enumerate([((), ()), *deltas], start=2):
        book.apply(BookDelta(SYMBOL, 0, update_id, bid_changes, ask_changes, update_id))
        for side, changes in ((Side.BUY, bid_changes), (Side.SELL, ask_changes)):
            for ticks, lots in changes:
                naive[side][ticks] = lots
                if not lots:
                    del naive[side][ticks]
        assert (book.bid_ticks, book.bid_lots) == best(naive[Side.BUY], Side.BUY)
        assert (book.ask_ticks, book.ask_lots) == best(naive[Side.SELL], Side.SELL)
        for side in Side:
            assert book.levels(side, 1000) == sorted(naive[side].items(), key=lambda item: -side * item[0])
            for ticks in range(1, 401, 7):
                assert book.lots_at(side, ticks) == naive[side].get(ticks, 0)
        assert book.trusted == bool(naive[Side.BUY] and naive[Side.SELL] and book.bid_ticks < book.ask_ticks)


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("top"), st.integers(1, 60), prices, prices),
            st.tuples(st.just("depth"), st.integers(1, 60), prices, prices),
        ),
        max_size=30,
    )
)
@settings(max_examples=150, deadline=None)
def test_overlay_shows_the_newest_best_by_the_venues_own_sequence(steps):
    """Whatever the order of arrival, the best shown is the one with the highest update id seen so far."""
    book = OrderBook()
    book.apply(BookSnapshot(SYMBOL, 0, 0, ((1, 1),), ((400, 1),), 0))
    depth_id, bid, ask = 0, 1, 400
    newest_id, shown = 0, (1, 400)
    for kind, step, price_a, price_b in steps:
        low, high = sorted((price_a, price_b))
        if kind == "top":
            book.apply(TopOfBook(SYMBOL, 0, 0, low, 1, high, 1, step))
            if step > depth_id and step >= newest_id:
                newest_id, shown = step, (low, high)
        else:
            depth_id += step
            removed_bid, removed_ask = ((bid, 0),), ((ask, 0),)
            bid, ask = low, high
            book.apply(BookDelta(SYMBOL, 0, 0, (*removed_bid, (bid, 1)), (*removed_ask, (ask, 1)), depth_id))
            if depth_id >= newest_id:
                newest_id, shown = depth_id, (bid, ask)
        assert (book.bid_ticks, book.ask_ticks) == shown
        for hidden in range(shown[0] + 1, 401):
            assert book.lots_at(Side.BUY, hidden) == 0
        for hidden in range(1, shown[1]):
            assert book.lots_at(Side.SELL, hidden) == 0


def test_invalidated_book_is_empty_and_untrusted_until_a_snapshot():
    """After a gap nothing of the old book can be seen, deltas are ignored, and only a snapshot brings trust back."""
    book = OrderBook()
    book.apply(BookSnapshot(SYMBOL, 0, 0, ((99, 5),), ((101, 5),), 7))
    assert book.trusted
    book.invalidate(InvalidCause.GAP)
    book.apply(BookDelta(SYMBOL, 0, 0, ((98, 5),), ((102, 5),), 8))
    book.apply(TopOfBook(SYMBOL, 0, 0, 98, 1, 102, 1, 9))
    assert not book.trusted
    assert (book.bid_ticks, book.ask_ticks) == (NO_BID, NO_ASK)
    assert book.lots_at(Side.BUY, 99) == 0
    book.apply(BookSnapshot(SYMBOL, 0, 0, ((97, 5),), ((103, 5),), 10))
    assert book.trusted
    assert book.half_ticks == 200


def test_one_sided_and_crossed_books_are_not_trusted():
    """A best price needs two sides with a gap between them."""
    book = OrderBook()
    book.apply(BookSnapshot(SYMBOL, 0, 0, ((99, 5),), (), 1))
    assert not book.trusted
    book.apply(BookDelta(SYMBOL, 0, 0, (), ((99, 5),), 2))
    assert book.crossed
    assert book.crossings == 1
    assert not book.trusted
    book.apply(BookDelta(SYMBOL, 0, 0, ((99, 0), (98, 1)), (), 3))
    assert book.trusted


@given(
    st.lists(
        st.tuples(
            st.sampled_from(("top", "delta", "snapshot", "gap")),
            st.integers(-2, 3),
            st.integers(0, 2),
            st.integers(-1, 4),
            st.integers(0, 2),
        ),
        max_size=20,
    )
)
@settings(max_examples=300, deadline=None)
def test_only_a_book_with_two_sides_of_real_prices_is_trusted(steps):
    """At every step: synchronised, both sides there with lots, prices above zero, not crossed."""
    book = OrderBook()
    for number, (kind, bid, bid_lots, ask, ask_lots) in enumerate(steps):
        if kind == "top":
            book.apply(TopOfBook(SYMBOL, 0, number, bid, bid_lots, ask, ask_lots, number))
        elif kind == "delta":
            book.apply(BookDelta(SYMBOL, 0, number, ((bid, bid_lots),), ((ask, ask_lots),), number))
        elif kind == "snapshot":
            book.apply(BookSnapshot(SYMBOL, 0, number, ((bid, bid_lots),), ((ask, ask_lots),), number))
        else:
            book.invalidate(InvalidCause.GAP)
        assert book.trusted == (
            book.invalid_cause is None
            and NO_BID < book.bid_ticks < book.ask_ticks < NO_ASK
            and book.bid_lots > 0
            and book.ask_lots > 0
        )
