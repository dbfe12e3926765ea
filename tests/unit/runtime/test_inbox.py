"""The inbox's two lanes and what happens when they overflow."""

from mm_daemon.domain.events import (
    BookInvalidated,
    InvalidCause,
    OrderAccepted,
    OrderEventsLost,
    PublicTrade,
    ShutdownRequested,
)
from mm_daemon.domain.instrument import InstrumentId, Venue
from mm_daemon.domain.orders import ClientOrderId, Side
from mm_daemon.runtime.inbox import Inbox

BTC = InstrumentId("sim:BTC-USDT")
ETH = InstrumentId("sim:ETH-USDT")


def trade(instrument: InstrumentId, number: int) -> PublicTrade:
    return PublicTrade(instrument, number, number, Side.BUY, 100, 1, number)


def accepted(number: int) -> OrderAccepted:
    return OrderAccepted(BTC, number, number, ClientOrderId(number), "v")


def test_orders_come_before_market_data() -> None:
    """An order event overtakes the market data that was waiting before it; each lane keeps its order."""
    inbox = Inbox()
    for event in (trade(BTC, 1), trade(BTC, 2), accepted(3), accepted(4)):
        inbox.put(event)
    batch, urgent = inbox.take(10)
    assert batch == [accepted(3), accepted(4), trade(BTC, 1), trade(BTC, 2)]
    assert urgent == 2
    assert len(inbox) == 0


def test_take_is_bounded_and_leaves_the_rest() -> None:
    """A turn takes no more than its bound; what stays keeps its place."""
    inbox = Inbox()
    for number in range(5):
        inbox.put(trade(BTC, number))
    inbox.put(accepted(9))
    assert inbox.take(3) == ([accepted(9), trade(BTC, 0), trade(BTC, 1)], 1)
    assert inbox.take(3) == ([trade(BTC, 2), trade(BTC, 3), trade(BTC, 4)], 0)


def test_one_wake_for_many_events() -> None:
    """The loop is woken by the first event after a take, not by each."""
    wakes: list[int] = []
    inbox = Inbox()
    inbox.wake = lambda: wakes.append(1)
    inbox.put(trade(BTC, 1))
    inbox.put(trade(BTC, 2))
    assert len(wakes) == 1
    inbox.take(10)
    inbox.put(trade(BTC, 3))
    assert len(wakes) == 2


def test_market_overflow_gives_up_the_longest_backlog_and_says_so() -> None:
    """The instrument that fills the lane loses its frames and its book; the other keeps every event."""
    lost: list[InstrumentId] = []
    inbox = Inbox(market_limit=4)
    inbox.on_lost_market = lost.append
    for event in (trade(BTC, 1), trade(ETH, 2), trade(BTC, 3), trade(BTC, 4), trade(ETH, 5)):
        inbox.put(event)
    batch, _ = inbox.take(10)
    invalidated = batch[1]
    assert isinstance(invalidated, BookInvalidated)
    assert (invalidated.instrument, invalidated.cause) == (BTC, InvalidCause.OVERFLOW)
    assert [batch[0], batch[2]] == [trade(ETH, 2), trade(ETH, 5)]
    assert inbox.dropped_market == 3
    assert lost == [BTC]


def test_an_overflow_of_many_instruments_makes_room_for_a_while() -> None:
    """With short backlogs everywhere several are given up at once: the next events do not overflow the lane again."""
    lost: list[InstrumentId] = []
    inbox = Inbox(market_limit=400)
    inbox.on_lost_market = lost.append
    names = [InstrumentId(f"sim:S{number:02d}") for number in range(40)]
    for number in range(400):
        inbox.put(trade(names[number % 40], number))
    inbox.put(trade(names[0], 400))
    assert len(lost) == len(set(lost)) == 10
    assert len(inbox) == 400 - 10 * 10 + 10 + (names[0] not in lost)
    for number in range(80):
        inbox.put(trade(names[number % 40], number))
    assert len(lost) == 10


def test_market_lane_never_exceeds_its_bound() -> None:
    """However much comes in, the lane stays within its limit."""
    inbox = Inbox(market_limit=8)
    for number in range(1000):
        inbox.put(trade(BTC, number))
        assert len(inbox) <= 8


def test_order_overflow_is_told_once_a_batch() -> None:
    """Lost order events are counted, and told once until the lane has been emptied."""
    lost: list[Venue] = []
    inbox = Inbox(order_limit=2)
    inbox.on_lost_orders = lost.append
    for number in range(1, 6):
        inbox.put(accepted(number))
    batch, _ = inbox.take(10)
    assert batch[:2] == [accepted(1), accepted(2)]
    assert batch[2:] == [OrderEventsLost(Venue("sim"), 0, 3, "order lane overflow")]
    assert inbox.dropped_orders == 3
    assert lost == [Venue("sim")]
    for number in range(6, 9):
        inbox.put(accepted(number))
    assert [type(event) for event in inbox.take(10)[0]] == [OrderAccepted, OrderAccepted, OrderEventsLost]
    assert lost == [Venue("sim")] * 2


def test_control_events_pass_a_full_order_lane() -> None:
    """A request to stop is never lost to an overflow."""
    inbox = Inbox(order_limit=1)
    inbox.put(accepted(1))
    inbox.put(ShutdownRequested(2, "asked"))
    assert inbox.take(10)[0] == [accepted(1), ShutdownRequested(2, "asked")]
