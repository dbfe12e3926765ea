"""The book as the indexer tells it, uncrossed and repaired."""

from hypothesis import given
from hypothesis import strategies as st

from connectors.dydx.book import UncrossedBook
from mm_daemon.domain.events import Levels
from mm_daemon.domain.orders import Side

_LEVELS = st.dictionaries(st.integers(90, 110), st.integers(0, 9), max_size=6).map(lambda found: tuple(found.items()))
_QUIET = 3


def begun(bids: Levels, asks: Levels) -> UncrossedBook:
    book = UncrossedBook()
    book.begin(bids, asks, 0)
    return book


def both(book: UncrossedBook) -> tuple[Levels, Levels]:
    return book.levels(Side.BUY), book.levels(Side.SELL)


def test_the_older_of_two_levels_that_cross_goes_and_stays_away() -> None:
    """The sample's crossing bid; the ask's removal, which comes later, changes nothing."""
    book = begun(((89946, 5), (89945, 2)), ((89958, 1), (89961, 3)))
    assert book.apply(((89961, 2),), (), 1) == (((89961, 2),), ((89958, 0), (89961, 0)))
    assert both(book) == (((89961, 2), (89946, 5), (89945, 2)), ())
    assert book.apply((), ((89961, 0),), 2) == ((), ((89961, 0),))
    assert book.apply((), ((89961, 1),), 3) == (((89961, 0),), ((89961, 1),))
    assert book.dropped == 3


def test_of_two_levels_of_one_age_the_larger_keeps_the_difference() -> None:
    assert both(begun(((100, 5),), ((99, 2),))) == (((100, 3),), ())
    assert both(begun(((100, 2),), ((99, 5),))) == ((), ((99, 3),))
    assert both(begun(((100, 2),), ((100, 2),))) == ((), ())


@given(st.lists(st.tuples(_LEVELS, _LEVELS), max_size=12))
def test_it_never_crosses_and_what_it_tells_is_what_it_holds(messages: list[tuple[Levels, Levels]]) -> None:
    """Whoever applies the changes, each level's last word counting, has the same book."""
    book = begun(((100, 5),), ((101, 5),))
    copy = [dict(side) for side in both(book)]
    for now_ns, (bids, asks) in enumerate(messages):
        for side, changes in zip(copy, book.apply(bids, asks, now_ns), strict=True):
            for ticks, lots in changes:
                side[ticks] = lots
                if not lots:
                    del side[ticks]
        held = both(book)
        assert [dict(side) for side in held] == copy
        assert not (held[0] and held[1]) or held[0][0][0] < held[1][0][0]


@given(_LEVELS, _LEVELS, _LEVELS, _LEVELS)
def test_a_check_repairs_what_has_been_quiet_and_leaves_alone_what_moved(
    bids: Levels, asks: Levels, late_bids: Levels, late_asks: Levels
) -> None:
    shown_bids, shown_asks = ((95, 4), (93, 1)), ((105, 2), (107, 3))
    book = begun(bids, asks)
    book.checked(shown_bids, shown_asks, 100, 101, _QUIET)
    inside = [(ticks, lots) for ticks, lots in book.levels(Side.BUY) if ticks >= 93]
    assert tuple(inside) == shown_bids
    assert tuple((ticks, lots) for ticks, lots in book.levels(Side.SELL) if ticks <= 107) == shown_asks
    book.apply(late_bids, late_asks, 110)
    before = both(book)
    book.checked(shown_bids, shown_asks, 110 + _QUIET - 1, 112, _QUIET)
    for side, was, late in zip((Side.BUY, Side.SELL), before, (late_bids, late_asks), strict=True):
        moved = {ticks for ticks, _ in late}
        now = dict(book.levels(side))
        assert all(now.get(ticks) == lots for ticks, lots in was if ticks in moved) or book.dropped
