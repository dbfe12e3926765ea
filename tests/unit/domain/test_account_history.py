"""What a venue's memory adds up to, and what it forgets."""

from mm_daemon.domain.account_history import TRADES_KEPT
from mm_daemon.domain.orders import ClientOrderId, Side
from mm_daemon.testkit.builders import MS, SYMBOL
from tests.histories import amounts, booked, order, payment, same, some_entries, summed


def test_position_cash_fees_and_funding_are_sums_of_the_entries() -> None:
    """Bought 3, sold 1 at 1000 atto with fees 7 and -2, and paid 5 of funding."""
    history = summed([booked(1, 1, 1, 3), booked(2, 2, 1, 1, side=Side.SELL, fee=-2), payment(3, -5)])
    assert amounts(history) == {SYMBOL: (2, -3000 - 7 + 1000 + 2 - 5, -7 + 2, -5, 2)}
    assert history.lots(SYMBOL) == 2


def test_entries_of_a_history_add_up_to_it_again() -> None:
    """Nothing is lost by writing a history down and reading it, however often."""
    history = summed(some_entries(50))
    again = summed(list(history.entries()))
    assert same(again, history)
    assert same(summed(list(again.entries())), history)


def test_forgotten_fills_still_count() -> None:
    """Only the last few thousand fills are kept one by one; position and money keep all of them."""
    history = summed([booked(n, n, 1, 1) for n in range(TRADES_KEPT + 10)])
    assert len(history.trades) == TRADES_KEPT
    again = summed(list(history.entries()))
    assert amounts(again) == amounts(history) == {SYMBOL: (4106, -4106 * 1007, -4106 * 7, 0, 4106)}
    assert same(again, history)


def test_fills_of_an_order_are_counted_on_it_and_it_dies_with_the_process() -> None:
    """A late question after it gets a true answer: ended, with what was filled."""
    history = summed([order(1), booked(1, 1, 1, 3), booked(2, 1, 2, 2)])
    assert history.open[ClientOrderId(1)].filled_lots == 5
    history.end_open_orders()
    assert not history.open
    assert history.ended[ClientOrderId(1)] == order(1, filled=5, ended=True)


def test_fills_since_a_time_come_in_the_order_of_booking() -> None:
    """At the asked time or later; nothing when there is nothing later."""
    history = summed([booked(at, at, 1, 1) for at in (100, 200, 300, 300)])
    assert [fill.ts_venue_ns // MS for fill in history.fills_since(200 * MS)] == [200, 300, 300]
    assert not list(history.fills_since(301 * MS))
    assert history.last_ns == 300 * MS
