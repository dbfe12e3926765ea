"""All estimators together: prints become orders, a lost book interrupts, and nothing is counted twice."""

import msgspec

from mm_daemon.domain.signal_states import SignalsState
from mm_daemon.engine.signals.market_signals import MarketSignals, SignalParameters
from mm_daemon.engine.signals.taker_orders import TakerOrder, TakerOrders

_S = 1_000_000_000


def market() -> MarketSignals:
    return MarketSignals(SignalParameters(), order_lots=1, quote_per_tick_lot=0.001)


def test_prints_of_one_time_and_side_are_one_order() -> None:
    """Its size is their sum, its price the furthest, its fair price that before the first."""
    orders = TakerOrders()
    assert orders.on_print(10, 7, True, 1001, 3, 1000.5) is None
    assert orders.on_print(11, 7, True, 1004, 2, 1002.0) is None
    assert orders.on_print(11, 7, True, 1003, 1, 1003.0) is None
    assert orders.on_print(12, 7, False, 999, 5, 1001.0) == TakerOrder(10, True, 1004, 6, 1000.5)
    assert orders.on_print(12, 7, False, 997, 5, 1001.0) is None
    assert orders.flush() == TakerOrder(12, False, 997, 10, 1001.0)
    assert orders.flush() is None


def test_prints_that_are_none_are_dropped() -> None:
    """And do not end the order at hand."""
    orders = TakerOrders()
    orders.on_print(10, 7, True, 1001, 3, 1000.5)
    for ticks, lots in ((0, 1), (1, 0), (1, -3), (1 << 70, 1)):
        assert orders.on_print(10, 8, True, ticks, lots, 1000.5) is None
    assert orders.dropped == 4
    assert orders.flush() == TakerOrder(10, True, 1001, 3, 1000.5)


def test_book_completes_the_order_before_it() -> None:
    """A book after a print: the order has been seen whole."""
    signals = market()
    signals.on_book(_S, 1000, 5, 1001, 5)
    signals.on_trade(2 * _S, 1, True, 1001, 4)
    signals.on_trade(2 * _S, 1, True, 1002, 4)
    assert signals.size_outlier.seen == 0
    signals.on_book(2 * _S, 1001, 5, 1002, 5)
    assert signals.size_outlier.seen == 1
    assert signals.signed_volume.value == 8.0


def test_trades_without_a_trusted_book_are_passed_by() -> None:
    """There is no fair price to measure them from."""
    signals = market()
    signals.on_trade(_S, 1, True, 1001, 4)
    signals.on_book(2 * _S, 1000, 5, 1001, 5)
    signals.lose_book()
    signals.on_trade(3 * _S, 2, True, 1001, 4)
    signals.on_book(4 * _S, 1000, 5, 1001, 5)
    assert signals.size_outlier.seen == 0


def test_outlier_is_told_with_its_side() -> None:
    """Whom to pull: a seller far larger than usual, once its order is whole; usual ones after it change nothing."""
    signals = market()
    signals.on_book(_S, 1000, 5, 1001, 5)
    for index in range(60):
        signals.on_trade((2 + index) * _S, index, index % 2 == 0, 1001, 5 + index % 3)
    assert signals.outlier is None
    signals.on_trade(63 * _S, 99, False, 1000, 4000)
    signals.on_trade(63 * _S, 99, False, 990, 1000)
    signals.on_book(63 * _S, 990, 5, 991, 5)
    outlier = signals.outlier
    assert outlier == TakerOrder(63 * _S, False, 990, 5000, 1000.5)
    signals.on_trade(64 * _S, 100, True, 991, 5)
    signals.on_book(64 * _S, 990, 6, 991, 5)
    assert signals.outlier is outlier


def test_a_state_that_was_read_is_written_in_the_same_bytes() -> None:
    """Whole numbers of the book become the floats that the compiled build holds and a checkpoint gives back."""
    signals = market()
    for index in range(4):
        signals.on_book(index * _S, 1000 + index, 5, 1001 + index, 6)
    written = msgspec.msgpack.encode(signals.state())
    read = msgspec.msgpack.decode(written, type=SignalsState)
    assert msgspec.msgpack.encode(read) == written


def test_unchanged_touch_is_only_time() -> None:
    """Deeper levels changed: no flow, no transition, but the clocks go on."""
    signals = market()
    for second in range(100):
        signals.on_book(second * _S, 1000, 5, 1001, 5)
    assert signals.order_flow.events == 0
    assert signals.microprice.moves == 0
    assert signals.regime.fast.estimate == 0.0


def test_new_clock_may_begin_earlier() -> None:
    """After `lose_clock` times before those seen are taken, not dropped."""
    signals = market()
    for second in range(100, 140):
        signals.on_book(second * _S, 1000 + second % 3, 5, 1001 + second % 3, 5)
        signals.on_trade(second * _S, second, True, 1003, 4)
    signals.lose_clock()
    for second in range(40):
        signals.on_book(second * _S, 1000 + second % 3, 5, 1001 + second % 3, 5)
        signals.on_trade(second * _S, second, True, 1003, 4)
    names = ("momentum", "order_flow", "microprice", "intensity", "kyle", "size_outlier", "signed_volume", "vpin")
    assert [getattr(signals, name).dropped for name in names] == [0] * len(names)
    assert signals.regime.fast.dropped == 0
