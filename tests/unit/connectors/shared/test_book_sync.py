"""Sequencing of one book: when it starts, what it lets through, how it breaks and comes back."""

from collections.abc import Callable

import pytest

from connectors.shared.book_sync import BookSync, Chaining, Verdict
from mm_daemon.domain.events import BookDelta, BookSnapshot
from mm_daemon.domain.instrument import InstrumentId

BTC = InstrumentId("x:BTC")


def delta(last_id: int, levels: int = 1) -> BookDelta:
    return BookDelta(BTC, 0, 0, ((1, 1),) * levels, (), last_id)


def snapshot(update_id: int) -> BookSnapshot:
    return BookSnapshot(BTC, 0, 0, ((1, 1),), ((2, 1),), update_id)


def futures() -> BookSync:
    return BookSync(Chaining.PREVIOUS_ID)


def spot() -> BookSync:
    return BookSync(Chaining.CONSECUTIVE)


def running(sync: BookSync) -> BookSync:
    """A book that stands at update 20."""
    assert sync.offer(11, 10, delta(20)) is Verdict.HELD
    assert sync.offer_snapshot(snapshot(15)) is Verdict.STARTS
    sync.take_start()
    return sync


def test_futures_book_starts_with_the_delta_that_spans_the_snapshot() -> None:
    """Older deltas are dropped, the first one kept has U <= lastUpdateId <= u, the rest follow."""
    sync = futures()
    for first_id, previous_id, last_id in ((5, 4, 9), (12, 9, 20), (25, 20, 30)):
        assert sync.offer(first_id, previous_id, delta(last_id)) is Verdict.HELD
    assert sync.offer_snapshot(snapshot(15)) is Verdict.STARTS
    assert [event.update_id for event in sync.take_start()] == [15, 20, 30]
    assert sync.synchronised and sync.last_id == 30
    assert sync.take_start() == []


@pytest.mark.parametrize("snapshot_id", [12, 20])
def test_futures_snapshot_on_either_edge_of_a_delta_starts_the_book(snapshot_id: int) -> None:
    """Both ends of the rule count."""
    sync = futures()
    sync.offer(12, 9, delta(20))
    assert sync.offer_snapshot(snapshot(snapshot_id)) is Verdict.STARTS


def test_spot_book_starts_with_the_delta_that_spans_the_next_id() -> None:
    """A delta that ends at the snapshot is already in it; the first kept has U <= lastUpdateId + 1 <= u."""
    sync = spot()
    sync.offer(5, -1, delta(9))
    sync.offer(10, -1, delta(20))
    assert sync.offer_snapshot(snapshot(9)) is Verdict.STARTS
    assert [event.update_id for event in sync.take_start()] == [9, 20]


def test_snapshot_older_than_the_stream_does_not_start_the_book() -> None:
    """Deltas between it and the first held one are missing: wait for a newer snapshot."""
    sync = spot()
    sync.offer(10, -1, delta(20))
    assert sync.offer_snapshot(snapshot(5)) is Verdict.GAP
    assert not sync.synchronised
    assert sync.offer_snapshot(snapshot(12)) is Verdict.STARTS


@pytest.mark.parametrize("make", [futures, spot])
def test_snapshot_newer_than_all_deltas_waits_for_the_one_that_continues_it(make: Callable[[], BookSync]) -> None:
    """A snapshot alone is no book, because a stale one looks the same."""
    sync = make()
    sync.offer(5, 4, delta(9))
    assert sync.offer_snapshot(snapshot(15)) is Verdict.HELD
    assert not sync.synchronised
    assert sync.offer(10, 9, delta(20)) is Verdict.STARTS
    assert [event.update_id for event in sync.take_start()] == [15, 20]


def test_waiting_snapshot_that_nothing_continues_is_given_up() -> None:
    """The next delta begins after it: a newer snapshot is needed."""
    sync = spot()
    sync.offer_snapshot(snapshot(15))
    assert sync.offer(18, -1, delta(20)) is Verdict.GAP
    assert sync.offer_snapshot(snapshot(19)) is Verdict.STARTS


def test_futures_deltas_follow_by_the_id_they_name() -> None:
    """The first id says nothing: ids are shared with other markets."""
    sync = running(futures())
    assert sync.offer(99, 20, delta(120)) is Verdict.FOLLOWS
    assert sync.offer(121, 119, delta(130)) is Verdict.OVERLAP
    assert not sync.synchronised


def test_spot_deltas_follow_without_a_hole() -> None:
    """The first id is the previous last one plus one, and nothing else counts."""
    sync = running(spot())
    assert sync.offer(21, 777, delta(25)) is Verdict.FOLLOWS
    assert sync.offer(27, 25, delta(30)) is Verdict.GAP
    assert not sync.synchronised


def test_duplicates_and_older_deltas_are_skipped() -> None:
    """They are already in the book, which stays."""
    sync = running(futures())
    assert sync.offer(11, 10, delta(20)) is Verdict.OLD
    assert sync.offer(3, 1, delta(5)) is Verdict.OLD
    assert sync.offer(21, 20, delta(30)) is Verdict.FOLLOWS


def test_snapshot_is_not_needed_while_the_book_stands() -> None:
    """The chain proves the book; a second source could only disagree."""
    assert running(futures()).offer_snapshot(snapshot(18)) is Verdict.OLD


def test_book_comes_back_from_the_next_snapshot_after_a_gap() -> None:
    """The delta that showed the gap is the first one held for it."""
    sync = running(futures())
    assert sync.offer(41, 40, delta(50)) is Verdict.GAP
    assert sync.offer(51, 50, delta(60)) is Verdict.HELD
    assert sync.offer_snapshot(snapshot(55)) is Verdict.STARTS
    assert [event.update_id for event in sync.take_start()] == [55, 60]


def test_gap_among_held_deltas_forgets_those_before_it() -> None:
    """Only what follows without a hole can continue a snapshot."""
    sync = spot()
    sync.offer(1, -1, delta(5))
    assert sync.offer(8, -1, delta(9)) is Verdict.GAP
    assert [event.update_id for event in sync.held()] == [9]


def test_held_deltas_are_bounded_and_the_newest_kept() -> None:
    """Without a snapshot memory stays flat, and a late snapshot still finds its continuation."""
    sync = BookSync(Chaining.CONSECUTIVE, held_levels_max=100)
    for n in range(1, 1000):
        sync.offer(n, -1, delta(n, levels=9))
    assert len(sync.held()) == 10
    assert sync.dropped == 989
    assert sync.offer_snapshot(snapshot(995)) is Verdict.STARTS


def test_sequence_that_begins_anew_breaks_the_book_instead_of_looking_old_for_ever() -> None:
    """After 64 old ids in a row the book is void and the new sequence is the one that counts."""
    sync = running(futures())
    verdicts = [sync.offer(1, 0, delta(2)) for _ in range(64)]
    assert verdicts == [Verdict.OLD] * 63 + [Verdict.OVERLAP]
    assert sync.offer(3, 2, delta(4)) is Verdict.HELD


def test_lost_link_forgets_everything() -> None:
    """Nothing held before a reset can continue a later snapshot."""
    sync = running(spot())
    sync.reset()
    assert not sync.synchronised
    assert sync.offer_snapshot(snapshot(20)) is Verdict.HELD
    assert sync.held() == []
