"""Law of sequencing: whatever a link loses, repeats or swaps, a book that counts as whole is the venue's book."""

from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.shared.book_sync import BookSync, Chaining, Verdict
from mm_daemon.domain.book import OrderBook
from mm_daemon.domain.events import BookDelta, BookSnapshot, InvalidCause, Levels
from mm_daemon.domain.instrument import InstrumentId
from mm_daemon.domain.orders import Side

BTC = InstrumentId("x:BTC")

changes = st.lists(st.tuples(st.integers(1, 9), st.integers(0, 3)), min_size=1, max_size=3)
spans = st.lists(st.tuples(changes, st.integers(1, 4), st.integers(0, 3)), min_size=1, max_size=30)
"""Deltas of bids: the changes, how many ids they cover, and (futures) how many ids of other markets come before."""

deliveries = st.lists(
    st.tuples(st.sampled_from(["next"] * 6 + ["drop", "again", "swap", "snapshot", "snapshot"]), st.integers(0, 3)),
    max_size=60,
)


@settings(max_examples=150)
@given(spans, deliveries, st.sampled_from(Chaining))
def test_a_whole_book_is_the_venues_book(
    spans: list[tuple[list[tuple[int, int]], int, int]], deliveries: list[tuple[str, int]], chaining: Chaining
) -> None:
    """After each delivery: either the book is not whole, or it equals the truth at its last id."""
    feed, truths = _venue(spans, chaining)
    sync, book = BookSync(chaining), OrderBook()
    at = 0
    for action, back in deliveries:
        if action == "snapshot":
            update_id, bids = truths[max(0, min(at, len(truths) - 1) - back)]
            _take(sync, book, sync.offer_snapshot(BookSnapshot(BTC, 0, 0, bids, (), update_id)), None)
        elif action == "drop":
            at += 1
        else:
            for index in {"next": [at], "again": [at - 1 - back], "swap": [at + 1, at]}[action]:
                if 0 <= index < len(feed):
                    first_id, previous_id, delta = feed[index]
                    _take(sync, book, sync.offer(first_id, previous_id, delta), delta)
            at += {"next": 1, "again": 0, "swap": 2}[action]
        if sync.synchronised:
            truth = dict(truths)[sync.last_id]
            assert sorted(book.levels(Side.BUY, 99)) == sorted(truth)


def _take(sync: BookSync, book: OrderBook, verdict: Verdict, delta: BookDelta | None) -> None:
    if verdict is Verdict.FOLLOWS and delta is not None:
        book.apply(delta)
    elif verdict is Verdict.STARTS:
        for event in sync.take_start():
            book.apply(event)
    elif verdict in {Verdict.GAP, Verdict.OVERLAP}:
        book.invalidate(InvalidCause.GAP)


def _venue(
    spans: list[tuple[list[tuple[int, int]], int, int]], chaining: Chaining
) -> tuple[list[tuple[int, int, BookDelta]], list[tuple[int, Levels]]]:
    """The venue's feed (first id, previous id, delta) and its book after each id it reached."""
    feed: list[tuple[int, int, BookDelta]] = []
    truths: list[tuple[int, Levels]] = [(0, ())]
    bids: dict[int, int] = {}
    last_id = 0
    for changed, width, others in spans:
        previous_id = last_id
        first_id = last_id + 1 + (others if chaining is Chaining.PREVIOUS_ID else 0)
        last_id = first_id + width - 1
        bids.update(changed)
        feed.append((first_id, previous_id, BookDelta(BTC, 0, 0, tuple(changed), (), last_id)))
        truths.append((last_id, tuple((ticks, lots) for ticks, lots in bids.items() if lots)))
    return feed, truths
