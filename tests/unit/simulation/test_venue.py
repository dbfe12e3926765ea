"""Our orders against a recorded market: clocks, queue, prints, crossings, amends, and what must never be assumed."""

import msgspec
import pytest

from mm_daemon.domain.capabilities import AmendQuantity, Capabilities
from mm_daemon.domain.events import (
    BookInvalidated,
    BookSnapshot,
    InstrumentUpdated,
    InvalidCause,
    OrderAccepted,
    OrderAmended,
    OrderAmendRejected,
    OrderCanceled,
    OrderCancelRejected,
    OrderFilled,
    OrderNotFound,
    OrderRejected,
    OrderStatus,
    PublicTrade,
    TopOfBook,
)
from mm_daemon.domain.instrument import InstrumentId
from mm_daemon.domain.money import from_pair
from mm_daemon.domain.orders import ClientOrderId, RejectKind, Side
from mm_daemon.simulation.policy import VenuePolicy, paper_capabilities
from mm_daemon.simulation.venue import SimulatedVenue
from mm_daemon.testkit.builders import MS, SYMBOL, VENUE, delta, instrument, snapshot, trade
from tests.simulated import Hand, amend, cancel, cancel_all, place

BUY, SELL = Side.BUY, Side.SELL


def _hand(**policy: object) -> Hand:
    """A venue with bids 1000 and asks 1001, 100 lots a level; 5 ms there, 5 ms back, feed at once, from 0 ms on."""
    settings = msgspec.convert({"feed_floor_ms": 0.0, **policy}, VenuePolicy)
    contract = instrument(maker_fee_ppm=-50, taker_fee_ppm=400)
    hand = Hand(SimulatedVenue(VENUE, [contract], settings))
    hand.market(snapshot(1, 1000, 1001, lots=100))
    return hand


def _top(at_ms: int, bid: int, bid_lots: int, ask: int, ask_lots: int, update_id: int) -> TopOfBook:
    return TopOfBook(SYMBOL, at_ms * MS, at_ms * MS, bid, bid_lots, ask, ask_lots, update_id)


def test_reply_comes_after_both_latencies() -> None:
    """A command without further market data is answered entry plus response latency later, not before."""
    hand = _hand()
    hand.send(10, place(1, BUY, 1000, 10))
    assert hand.venue.next_deadline_ns() == 20 * MS
    assert hand.until(19.9) == []
    (accepted,) = hand.until(20)
    assert isinstance(accepted, OrderAccepted)
    assert accepted.ts_local_ns == 20 * MS


def test_queue_before_us_trades_first_and_prints_fill_what_is_over() -> None:
    """Behind 100 lots, prints of 60 and 45 fill five lots, as maker and at our price, one response latency later."""
    hand = _hand()
    hand.send(10, place(1, BUY, 1000, 10))
    hand.market(trade(30, SELL, 1000, 60), trade(40, SELL, 1000, 45))
    assert hand.fills() == []
    (fill,) = hand.until(60)
    assert isinstance(fill, OrderFilled)
    assert (fill.ticks, fill.lots, fill.maker, fill.ts_local_ns) == (1000, 5, True, 45 * MS)
    assert fill.fee is not None
    assert from_pair(fill.fee) == -(10**17) * 1000 * 5 * 50 // 1000 // 10**6


def test_a_touch_is_no_fill() -> None:
    """Without a print or a displayed crossing nothing happens, however long the market stands at our price."""
    hand = _hand()
    hand.send(10, place(1, BUY, 1000, 10))
    hand.market(delta(30, bids=((1000, 1),)), delta(40, bids=((1000, 0),), update_id=3))
    hand.until(1000)
    assert hand.fills() == []


def test_print_at_the_instant_of_arrival_does_not_fill() -> None:
    """At equal time the market moves first: the order was not there yet."""
    hand = _hand()
    hand.send(10, place(1, BUY, 1000, 10))
    hand.market(trade(15, SELL, 999, 50))
    hand.until(100)
    assert hand.fills() == []


def test_trade_beats_the_cancel_that_arrives_with_it() -> None:
    """A cancel that reaches the venue at the instant of a trade comes too late for it."""
    hand = _hand()
    hand.send(10, place(1, BUY, 1000, 10))
    hand.send(30, cancel(1))
    hand.market(trade(35, SELL, 999, 10))
    hand.until(100)
    assert hand.fills() == [(1, 1000, 10)]
    assert [event.kind for event in hand.of(OrderCancelRejected)] == [RejectKind.FILLED]


def test_order_is_still_filled_while_its_cancel_travels() -> None:
    """Cancels take the entry latency like everything else."""
    hand = _hand(entry_latency_ms=50.0)
    hand.send(10, place(1, BUY, 1000, 10))
    hand.send(100, cancel(1))
    hand.market(trade(149, SELL, 999, 4), trade(160, SELL, 999, 4))
    hand.until(300)
    assert hand.fills() == [(1, 1000, 4)]
    (canceled,) = hand.of(OrderCanceled)
    assert (canceled.final, canceled.filled_lots) == (True, 4)


def test_late_print_from_before_our_arrival_does_not_fill() -> None:
    """Streams are out of order: what happened before we arrived cannot fill us, whenever it is told."""
    hand = _hand()
    hand.send(10, place(1, BUY, 1000, 10))
    hand.market(_top(20, 1000, 100, 1001, 100, 2), PublicTrade(SYMBOL, 14 * MS, 21 * MS, SELL, 999, 50, 1))
    hand.until(100)
    assert hand.fills() == []


def test_print_through_our_price_fills_at_our_price_up_to_its_size() -> None:
    """We are never filled better than our limit, nor by more than was printed."""
    hand = _hand()
    hand.send(10, place(1, SELL, 1001, 10))
    hand.market(trade(30, BUY, 1003, 4))
    hand.until(100)
    assert hand.fills() == [(1, 1001, 4)]


def test_one_print_is_used_once_inner_price_first() -> None:
    """Two orders of ours share a print of 12 lots: the inner one is served first."""
    hand = _hand()
    hand.send(10, place(1, BUY, 999, 10), place(2, BUY, 1000, 10))
    hand.market(trade(30, SELL, 998, 12))
    hand.until(100)
    assert hand.fills() == [(2, 1000, 10), (1, 999, 2)]


def test_displayed_crossing_fills_up_to_what_is_displayed_and_only_once() -> None:
    """Asks of 3 and 4 at and through our bid fill 7; the same display fills nothing more until it changes."""
    hand = _hand()
    hand.send(10, place(1, BUY, 1000, 20))
    hand.market(delta(30, bids=((1000, 0),), asks=((999, 3), (1000, 4))))
    hand.market(delta(40, asks=((1005, 1),), update_id=3), _top(41, 998, 100, 999, 3, 4))
    hand.until(100)
    assert hand.fills() == [(1, 1000, 7)]
    hand.market(delta(110, asks=((999, 5),), update_id=5))
    hand.until(200)
    assert hand.fills() == [(1, 1000, 7), (1, 1000, 5)]


def test_post_only_is_judged_on_the_book_at_arrival() -> None:
    """The market moved while the order travelled: it is refused though it did not cross when it left."""
    hand = _hand()
    hand.send(10, place(1, BUY, 1000, 10))
    hand.market(_top(12, 998, 50, 999, 50, 2))
    hand.until(100)
    (rejected,) = hand.of(OrderRejected)
    assert rejected.kind is RejectKind.POST_ONLY_CROSS


def test_ioc_takes_level_by_level_and_remembers_its_impact() -> None:
    """The displayed levels are taken once; the remainder is cancelled, and a second order finds them empty."""
    hand = _hand()
    hand.send(10, place(1, BUY, 1002, 150, post_only=False, ioc=True))
    hand.send(11, place(2, BUY, 1002, 80, post_only=False, ioc=True))
    hand.until(100)
    assert hand.fills() == [(1, 1001, 100), (1, 1002, 50), (2, 1002, 50)]
    assert not any(fill.maker for fill in hand.of(OrderFilled))
    (canceled,) = hand.of(OrderCanceled)
    assert (canceled.client_id, canceled.filled_lots) == (2, 50)
    hand.market(delta(110, asks=((1001, 30),)))
    hand.send(120, place(3, BUY, 1001, 80, post_only=False, ioc=True))
    hand.until(200)
    assert hand.fills()[3:] == [(3, 1001, 30)]


def test_crossing_limit_order_takes_and_rests() -> None:
    """What a limit order cannot take stands in the book."""
    hand = _hand()
    hand.send(10, place(1, BUY, 1001, 120, post_only=False))
    hand.until(100)
    assert hand.fills() == [(1, 1001, 100)]
    venue = hand.venue
    assert isinstance(venue, SimulatedVenue)
    (order,) = venue.snapshot(100 * MS).orders
    assert (order.ticks, order.remaining_lots) == (1001, 20)


def test_amend_moves_to_the_back_of_the_queue() -> None:
    """An order at the front that is made larger waits behind the whole level again."""
    hand = _hand()
    hand.send(10, place(1, BUY, 1000, 10))
    hand.market(trade(30, SELL, 1000, 100), delta(31, bids=((1000, 40),)))
    venue = hand.venue
    assert isinstance(venue, SimulatedVenue)
    assert venue.fronts() == {1: 0.0}
    hand.send(40, amend(1, 1000, 12))
    hand.until(100)
    assert venue.fronts() == {1: 40.0}
    (amended,) = hand.of(OrderAmended)
    assert (amended.lots, amended.venue_order_id) == (12, hand.of(OrderAccepted)[0].venue_order_id)


@pytest.mark.parametrize(("keeps", "front"), [(True, 0.0), (False, 40.0)])
def test_decrease_keeps_the_place_only_where_the_policy_says_so(keeps: bool, front: float) -> None:
    """A pure decrease is back of the queue by default."""
    hand = _hand(decrease_keeps_place=keeps)
    hand.send(10, place(1, BUY, 1000, 10))
    hand.market(trade(30, SELL, 1000, 100), delta(31, bids=((1000, 40),)))
    hand.send(40, amend(1, 1000, 6))
    hand.until(100)
    venue = hand.venue
    assert isinstance(venue, SimulatedVenue)
    assert venue.fronts() == {1: front}


def test_amend_without_a_change_succeeds_and_keeps_the_place() -> None:
    """Nothing to do is no reason to lose the queue."""
    hand = _hand()
    hand.send(10, place(1, BUY, 1000, 10))
    hand.market(trade(30, SELL, 1000, 90))
    hand.send(40, amend(1, 1000, 10))
    hand.until(100)
    venue = hand.venue
    assert isinstance(venue, SimulatedVenue)
    assert (len(hand.of(OrderAmended)), venue.fronts()) == (1, {1: 10.0})


def test_amend_of_a_post_only_order_that_would_cross_cancels_it() -> None:
    """Binance's rule: the order is cancelled, not refused."""
    hand = _hand()
    hand.send(10, place(1, BUY, 1000, 10))
    hand.send(20, amend(1, 1001, 10))
    hand.until(100)
    assert hand.of(OrderAmended) == []
    assert [event.filled_lots for event in hand.of(OrderCanceled)] == [0]


def test_amend_to_no_more_than_the_filled_part_cancels() -> None:
    """The size of an amend is the total, filled part included."""
    hand = _hand()
    hand.send(10, place(1, BUY, 1000, 10))
    hand.market(trade(30, SELL, 999, 4))
    hand.send(40, amend(1, 999, 4))
    hand.until(100)
    assert [event.filled_lots for event in hand.of(OrderCanceled)] == [4]


def test_amend_and_cancel_of_what_is_gone_are_refused_by_kind() -> None:
    """A cancelled order is gone, a filled one filled."""
    hand = _hand()
    hand.send(10, place(1, BUY, 1000, 10), place(2, BUY, 999, 5))
    hand.market(trade(30, SELL, 999, 10))
    hand.send(40, cancel(2), amend(2, 998, 5), cancel(1), amend(1, 999, 20), cancel(77))
    hand.until(100)
    assert [event.kind for event in hand.of(OrderAmendRejected)] == [RejectKind.GONE, RejectKind.FILLED]
    assert [event.kind for event in hand.of(OrderCancelRejected)] == [RejectKind.FILLED, RejectKind.GONE]


def test_cancel_all_ends_every_order() -> None:
    """Nothing is open afterwards."""
    hand = _hand()
    hand.send(10, place(1, BUY, 1000, 10), place(2, SELL, 1001, 10), cancel_all())
    hand.until(100)
    assert [event.client_id for event in hand.of(OrderCanceled)] == [1, 2]
    venue = hand.venue
    assert isinstance(venue, SimulatedVenue)
    assert venue.snapshot(100 * MS).orders == ()


def test_nothing_fills_on_an_invalid_book_and_orders_survive_it() -> None:
    """Resting orders wait for the next snapshot; new ones are refused until then."""
    hand = _hand()
    hand.send(10, place(1, BUY, 1000, 10))
    hand.market(BookInvalidated(SYMBOL, 0, 30 * MS, InvalidCause.GAP), trade(31, SELL, 999, 50))
    hand.send(40, place(2, BUY, 1000, 10), amend(1, 999, 10))
    hand.until(60)
    assert hand.fills() == []
    assert [event.kind for event in hand.of(OrderRejected)] == [RejectKind.HALTED]
    assert [event.kind for event in hand.of(OrderAmendRejected)] == [RejectKind.HALTED]
    hand.market(snapshot(70, 1000, 1001, lots=30, update_id=9), trade(80, SELL, 1000, 35))
    hand.until(100)
    assert hand.fills() == [(1, 1000, 5)]


def test_size_beyond_the_snapshot_is_unknown_not_zero() -> None:
    """At a price deeper than the venue shows, a print there does not make us the first in line."""
    hand = _hand()
    hand.send(10, place(1, BUY, 990, 10))
    hand.market(trade(30, SELL, 990, 50))
    hand.until(100)
    assert hand.fills() == []
    hand.market(trade(110, SELL, 989, 3))
    hand.until(200)
    assert hand.fills() == [(1, 990, 3)]


def test_older_depth_report_does_not_move_the_queue_back() -> None:
    """The best-price stream is ahead of the depth stream; a level's older size is not a fresh report of it."""
    hand = _hand(queue_model="power")
    hand.market(_top(5, 1000, 40, 1001, 100, 10))
    hand.send(10, place(1, BUY, 1000, 10))
    hand.market(_top(30, 1000, 20, 1001, 100, 12))
    venue = hand.venue
    assert isinstance(venue, SimulatedVenue)
    before = venue.fronts()
    hand.market(delta(31, bids=((1000, 90),), update_id=9), delta(40, bids=((1000, 20),), update_id=13))
    assert venue.fronts() == before == {1: 20.0}


def test_snapshots_in_a_row_are_ordinary_depth_reports() -> None:
    """A venue that sends whole books only still tells what was cancelled."""
    hand = _hand(queue_model="power")
    hand.send(10, place(1, BUY, 1000, 10))
    hand.market(snapshot(30, 1000, 1001, lots=150, update_id=2), snapshot(40, 1000, 1001, lots=120, update_id=3))
    venue = hand.venue
    assert isinstance(venue, SimulatedVenue)
    assert venue.fronts() == {1: pytest.approx(80.0)}


def test_bad_orders_are_refused_with_their_reason() -> None:
    """Filters, a used id, a reducing order without a position, an expired action."""
    hand = _hand()
    hand.send(
        10,
        place(1, BUY, 1000, 0),
        place(2, BUY, 0, 5),
        place(3, SELL, 1002, 5, reduce_only=True),
        place(4, BUY, 1000, 5, expires_ns=12 * MS),
        place(5, BUY, 1000, 5),
        place(5, BUY, 999, 5),
    )
    hand.until(100)
    assert [(event.client_id, event.kind) for event in hand.of(OrderRejected)] == [
        (1, RejectKind.INVALID),
        (2, RejectKind.INVALID),
        (3, RejectKind.REDUCE_ONLY),
        (4, RejectKind.OTHER),
        (5, RejectKind.INVALID),
    ]


def test_crossing_our_own_order_cancels_the_resting_one() -> None:
    """We never trade with ourselves."""
    hand = _hand()
    hand.send(10, place(1, SELL, 1001, 10), place(2, BUY, 1001, 100, post_only=False))
    hand.until(100)
    assert hand.fills() == [(2, 1001, 100)]
    assert [event.client_id for event in hand.of(OrderCanceled)] == [1]


def test_changed_contract_cancels_our_orders() -> None:
    """A new grid starts the book again; orders on the old one are gone."""
    hand = _hand()
    hand.send(10, place(1, BUY, 1000, 10))
    hand.market(InstrumentUpdated(SYMBOL, 30 * MS, 30 * MS, instrument(tick="0.5")))
    hand.until(100)
    assert [event.client_id for event in hand.of(OrderCanceled)] == [1]
    hand.send(110, place(2, BUY, 1000, 10))
    hand.until(200)
    assert [event.kind for event in hand.of(OrderRejected)] == [RejectKind.HALTED]


def test_question_is_answered_behind_the_commands_before_it() -> None:
    """Open, ended, refused and unknown orders each have an answer of their own."""
    hand = _hand()
    venue = hand.venue
    assert isinstance(venue, SimulatedVenue)
    hand.send(10, place(1, BUY, 1000, 10), place(2, BUY, 1000, 10), cancel(2), place(3, BUY, 1001, 10))
    for client_id in (1, 2, 3, 4):
        venue.query(ClientOrderId(client_id), 10 * MS)
    answers = hand.until(100)[4:]
    assert [(type(event), getattr(event, "client_id", None)) for event in answers] == [
        (OrderStatus, 1),
        (OrderCanceled, 2),
        (OrderRejected, 3),
        (OrderNotFound, 4),
    ]
    status = hand.of(OrderStatus)[0]
    assert (status.ticks, status.lots, status.filled_lots) == (1000, 10, 0)


def test_snapshot_agrees_with_the_fills() -> None:
    """Position and recent fills are the venue's own."""
    hand = _hand()
    hand.send(10, place(1, BUY, 1000, 10))
    hand.market(trade(30, SELL, 999, 4))
    hand.until(100)
    venue = hand.venue
    assert isinstance(venue, SimulatedVenue)
    seen = venue.snapshot(100 * MS)
    assert seen.positions == ((SYMBOL, 4),)
    assert seen.fills == tuple(hand.of(OrderFilled))
    assert venue.snapshot(100 * MS, 31 * MS).fills == ()
    assert [order.remaining_lots for order in seen.orders] == [6]


def test_emissions_never_go_back_in_time() -> None:
    """With drawn latencies, commands stay in order and what we learn stays in order."""
    hand = _hand(entry_samples_ms=[1.0, 40.0], response_samples_ms=[1.0, 60.0], seed=3)
    for n in range(1, 30):
        hand.send(10 * n, place(n, BUY, 1000 - n, 10))
        hand.market(trade(10 * n + 5, SELL, 980, 1, trade_id=n))
    hand.until(2000)
    times = [event.ts_local_ns for event in hand.said]
    assert times == sorted(times)
    assert [event.client_id for event in hand.of(OrderAccepted)] == list(range(1, 30))


def test_events_of_other_instruments_are_ignored() -> None:
    """A symbol we do not trade has no book here."""
    hand = _hand()
    hand.market(BookSnapshot(InstrumentId("test:OTHER"), 5 * MS, 5 * MS, ((1, 1),), ((2, 1),), 1))
    assert hand.until(100) == []


def test_capabilities_tell_the_policy() -> None:
    """Planner and ledger read how amends work, and that orders never leave the process."""
    policy = VenuePolicy(decrease_keeps_place=True, entry_latency_ms=2000.0)
    can = paper_capabilities(policy, Capabilities(batch_max=7))
    assert can.batch_max == 7
    assert (can.simulated, can.amend, can.amend_quantity, can.amend_new_venue_id) == (
        True,
        True,
        AmendQuantity.TOTAL,
        False,
    )
    assert can.decrease_keeps_place
    assert can.ack_timeout_ms > 2 * 2005


def test_close_ends_everything() -> None:
    """Orders die with the venue and nothing is said any more."""
    hand = _hand()
    hand.send(10, place(1, BUY, 1000, 10))
    hand.until(100)
    venue = hand.venue
    assert isinstance(venue, SimulatedVenue)
    venue.close()
    assert (venue.snapshot(100 * MS).orders, venue.next_deadline_ns()) == ((), None)
