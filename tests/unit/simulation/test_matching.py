"""The price-time book: priority, sweeps, amends, and what it says has changed."""

from mm_daemon.domain.book import NO_ASK, NO_BID
from mm_daemon.domain.orders import Side
from mm_daemon.simulation.matching import Match, PriceTimeBook


def _book() -> PriceTimeBook:
    book = PriceTimeBook()
    book.place(1, Side.SELL, 101, 5)
    book.place(2, Side.SELL, 101, 5)
    book.place(3, Side.SELL, 100, 5)
    book.place(4, Side.BUY, 98, 7)
    return book


def test_sweep_takes_price_first_then_time() -> None:
    """The best price goes first; at one price the older order does, at its own price."""
    assert _book().sweep(Side.BUY, 12) == [Match(3, 100, 5, 0), Match(1, 101, 5, 0), Match(2, 101, 2, 3)]


def test_sweep_stops_at_its_limit_and_at_an_empty_book() -> None:
    """No trade beyond the limit, and no more than there is."""
    book = _book()
    assert [match.ticks for match in book.sweep(Side.BUY, 50, limit_ticks=100)] == [100]
    assert sum(match.lots for match in book.sweep(Side.BUY, 50)) == 10
    assert book.sweep(Side.BUY, 1) == []
    assert (book.best(Side.SELL), book.best(Side.BUY)) == (NO_ASK, 98)


def test_limit_order_rests_with_what_it_did_not_match() -> None:
    """A crossing limit trades up to its price; the rest is the new best bid."""
    book = _book()
    placed = book.place(9, Side.BUY, 100, 8)
    assert (placed.matches, placed.resting_lots) == ([Match(3, 100, 5, 0)], 3)
    assert (book.best(Side.BUY), book.lots_of(9)) == (100, 3)


def test_post_only_order_that_would_take_is_refused() -> None:
    """Nothing trades and nothing rests."""
    book = _book()
    placed = book.place(9, Side.BUY, 100, 8, post_only=True)
    assert placed.refused
    assert (placed.matches, book.lots_of(9), book.best(Side.SELL)) == ([], 0, 100)


def test_ioc_remainder_vanishes() -> None:
    """What an immediate order cannot take never rests."""
    book = _book()
    placed = book.place(9, Side.BUY, 100, 8, ioc=True)
    assert (len(placed.matches), placed.resting_lots, book.lots_of(9)) == (1, 0, 0)


def test_cancel_frees_the_level() -> None:
    """The lots come back, and an unknown order gives none."""
    book = _book()
    assert (book.cancel(3), book.cancel(3)) == (5, 0)
    assert book.best(Side.SELL) == 101


def test_amend_goes_to_the_back_unless_a_decrease_may_keep_its_place() -> None:
    """The first of two orders stays first only by a decrease where that is allowed."""
    kept, moved = _book(), _book()
    kept.amend(1, 101, 3, decrease_keeps_place=True)
    moved.amend(1, 101, 3)
    assert (kept.ahead_of(1), kept.ahead_of(2)) == (0, 3)
    assert (moved.ahead_of(1), moved.ahead_of(2)) == (5, 0)
    assert kept.lots_at(Side.SELL, 101) == moved.lots_at(Side.SELL, 101) == 8


def test_amend_can_trade_and_cannot_revive() -> None:
    """A new price that crosses matches at once; an order that is gone stays gone."""
    book = _book()
    placed = book.amend(4, 100, 7)
    assert placed is not None
    assert (placed.matches, placed.resting_lots) == ([Match(3, 100, 5, 0)], 2)
    assert book.amend(3, 99, 1) is None


def test_changes_are_told_once_with_the_size_now() -> None:
    """A level that vanished is told with zero lots."""
    book = _book()
    book.take_changes(Side.SELL)
    book.take_changes(Side.BUY)
    assert not book.changed
    book.sweep(Side.BUY, 6)
    assert book.changed
    assert book.take_changes(Side.SELL) == ((100, 0), (101, 9))
    assert book.take_changes(Side.SELL) == ()


def test_empty_book_shows_no_prices() -> None:
    """Both sides answer with their own word for nothing, and nothing crosses."""
    book = PriceTimeBook()
    assert (book.best(Side.BUY), book.best(Side.SELL)) == (NO_BID, NO_ASK)
    assert not book.crosses(Side.BUY, 10**9)
    assert not book.crosses(Side.SELL, 1)
    assert book.depth(Side.BUY) == ()
