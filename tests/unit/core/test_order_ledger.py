"""The order ledger: one test per promise of EXECUTION 1 that the vectors do not tell by themselves."""

import msgspec
import pytest

from mm_daemon.core.ledger_order import LedgerOrder
from mm_daemon.core.order_ledger import OrderLedger
from mm_daemon.core.parameters import OrderRules
from mm_daemon.domain.capabilities import Capabilities
from mm_daemon.domain.decisions import Command, DropCode, Reason
from mm_daemon.domain.errors import CoreError
from mm_daemon.domain.events import OrderFilled
from mm_daemon.domain.orders import InFlight, Operation, Phase, RejectKind, Side
from tests.orders import (
    FRESH,
    MS,
    SECOND,
    TOTAL,
    VENUE,
    XYZ,
    accepted,
    amend,
    amend_rejected,
    amended,
    cancel,
    cancel_all,
    cancel_rejected,
    canceled,
    cid,
    drop,
    expired,
    filled,
    ledger_with,
    place,
    rejected,
    send_amend,
    send_cancel,
    sent,
    unknown,
)


def _order(ledger: OrderLedger, number: int = 1) -> LedgerOrder:
    order = ledger.get(cid(number))
    assert order is not None
    return order


def test_queued_order_counts_before_it_leaves() -> None:
    """An approved order is exposure from the moment it is queued."""
    ledger = OrderLedger({VENUE: TOTAL})
    ledger.queue(place(1, Side.SELL, lots=7), 0)
    assert ledger.exposure(XYZ, Side.SELL) == 7
    assert ledger.exposure(XYZ, Side.BUY) == 0
    assert _order(ledger).pending_bits == Reason.PLACE_PENDING.bit


def test_dropped_place_is_absent_and_counts_no_more() -> None:
    """A place the outbox let go never existed for the venue."""
    ledger = OrderLedger({VENUE: TOTAL})
    command = place(1)
    ledger.queue(command, 0)
    drop(ledger, command, DropCode.QUEUE_EXPIRED)
    assert _order(ledger).phase is Phase.ABSENT
    assert ledger.exposure(XYZ, Side.BUY) == ledger.open_orders() == 0


def test_client_id_is_used_once_and_for_ever() -> None:
    """A second order under the same id is a bug, even after the first was forgotten."""
    ledger = OrderLedger({VENUE: TOTAL}, OrderRules(keep_final_s=1))
    command = place(5)
    ledger.queue(command, 0)
    drop(ledger, command, DropCode.QUEUE_EXPIRED)
    ledger.expire(2 * SECOND)
    assert ledger.get(cid(5)) is None
    assert ledger.used(cid(5))
    assert not ledger.used(cid(6))
    with pytest.raises(CoreError):
        ledger.queue(place(5), 0)


def test_final_orders_and_fill_keys_are_forgotten_after_their_time() -> None:
    """Memory does not grow with the number of orders ever made."""
    ledger = OrderLedger({VENUE: TOTAL}, OrderRules(keep_final_s=10))
    for number in range(1, 200):
        now_ns = number * SECOND
        ledger.queue(place(number), now_ns)
        ledger.released(place(number), now_ns)
        ledger.apply(filled(number, f"t{number}", 10, now_ns=now_ns))
        ledger.expire(now_ns)
    assert ledger.get(cid(199)) is not None
    assert ledger.get(cid(150)) is None
    assert sum(ledger.get(cid(number)) is not None for number in range(1, 200)) == 10
    assert ledger.apply(filled(199, "t199", 10)).duplicate
    assert not ledger.apply(filled(150, "t150", 10)).duplicate, "its key is forgotten, and no time says that it is old"


def test_a_fill_is_booked_once_even_when_its_key_is_forgotten() -> None:
    """After a reconnect venues tell their fills again from the last one on, however long ago that was: what is not
    newer than a fill whose key was forgotten is no news, and what is newer is."""

    def told(key: str, venue_ns: int, now_ns: int) -> OrderFilled:
        return msgspec.structs.replace(filled(7, key, 3, now_ns=now_ns), ts_venue_ns=venue_ns)

    ledger = OrderLedger({VENUE: TOTAL}, OrderRules(keep_final_s=10))
    assert ledger.apply(told("t1", 5 * SECOND, 6 * SECOND)).fill_lots == 3
    ledger.expire(100 * SECOND)
    again = ledger.apply(told("t1", 5 * SECOND, 100 * SECOND))
    assert again.duplicate and again.fill_lots == 0
    assert ledger.apply(told("t2", 5 * SECOND + 1, 100 * SECOND)).fill_lots == 3


def test_place_without_answer_becomes_unknown_and_keeps_its_exposure() -> None:
    """An overdue acknowledgement is a deadline; it changes what we know, not what may fill."""
    ledger = OrderLedger({VENUE: TOTAL})
    ledger.queue(place(1), 0)
    ledger.released(place(1), 0)
    ledger.apply(sent(1, now_ns=SECOND))
    assert ledger.next_deadline_ns() == 4 * SECOND
    assert ledger.expire(4 * SECOND - 1) == []
    assert ledger.expire(4 * SECOND) == [_order(ledger)]
    assert _order(ledger).phase is Phase.UNKNOWN
    assert _order(ledger).pending_bits == Reason.ORDER_UNKNOWN.bit
    assert ledger.exposure(XYZ, Side.BUY) == 10
    assert ledger.next_deadline_ns() is None
    ledger.apply(accepted(1))
    assert _order(ledger).phase is Phase.LIVE


def test_amend_and_cancel_without_answer_set_their_flags_only() -> None:
    """An unknown amend keeps counting; an unknown cancel frees nothing; the phase stays."""
    ledger = ledger_with(place(1))
    send_amend(ledger, 1, 98, 14)
    send_cancel(ledger, 1)
    assert len(ledger.expire(3 * SECOND)) == 1
    order = _order(ledger)
    assert (order.phase, order.amend, order.cancel) == (Phase.LIVE, InFlight.UNKNOWN, InFlight.UNKNOWN)
    assert order.exposure == 14
    assert order.alive_ticks() == (99, 98)


def test_answers_take_their_deadlines_away() -> None:
    """Nothing is overdue once the venue has spoken."""
    ledger = ledger_with(place(1))
    assert ledger.next_deadline_ns() is None
    send_amend(ledger, 1, 98, 14)
    ledger.apply(amended(1, "v1", 98, 14))
    send_cancel(ledger, 1)
    ledger.apply(cancel_rejected(1, RejectKind.OTHER))
    assert ledger.next_deadline_ns() == 250 * MS
    assert ledger.expire(250 * MS) == [_order(ledger)]
    assert ledger.next_deadline_ns() is None
    assert _order(ledger).pending_bits == 0
    send_cancel(ledger, 1)
    ledger.queue(cancel(1), 0)
    assert ledger.next_deadline_ns() is None


def test_fill_with_a_known_key_changes_nothing_in_any_phase() -> None:
    """Each fill applies once, whatever became of the order since."""
    ledger = ledger_with(place(1))
    assert ledger.apply(filled(1, "t1", 4)).fill_lots == 4
    ledger.apply(canceled(1, 4))
    again = ledger.apply(filled(1, "t1", 4))
    assert again.duplicate
    assert again.fill_lots == 0
    assert ledger.duplicates == 1


def test_fill_that_names_no_order_of_ours_moves_the_position() -> None:
    """Liquidations and manual trades are facts: reported, flagged, reconciled."""
    ledger = ledger_with(place(1))
    change = ledger.apply(filled(777, "t9", 3, side=Side.SELL))
    assert (change.order, change.fill_lots, change.reconcile) == (None, -3, True)
    assert change.flags == ("foreign_fill",)


def test_fill_of_a_forgotten_order_is_an_orphan() -> None:
    """An id of ours without a record is told apart from a stranger's."""
    ledger = OrderLedger({VENUE: TOTAL}, OrderRules(keep_final_s=1))
    command = place(5)
    ledger.queue(command, 0)
    drop(ledger, command, DropCode.QUEUE_EXPIRED)
    ledger.expire(2 * SECOND)
    assert ledger.apply(filled(5, "t1", 1)).flags == ("orphan",)


def test_more_filled_than_ordered_is_followed_and_flagged() -> None:
    """The position follows the fill, the flag calls for reconciliation."""
    ledger = ledger_with(place(1))
    change = ledger.apply(filled(1, "t1", 12))
    assert change.fill_lots == 12
    assert change.flags == ("overfill",)
    assert change.reconcile
    assert _order(ledger).phase is Phase.FILLED


def test_reject_after_a_fill_contradicts_itself() -> None:
    """What was filled cannot have been refused: the order is kept, watched and queried."""
    ledger = ledger_with(place(1), live=False)
    ledger.apply(filled(1, "t1", 4))
    change = ledger.apply(rejected(1, RejectKind.POST_ONLY_CROSS))
    assert (change.flags, change.query, change.rejected) == (("contradiction",), True, RejectKind.POST_ONLY_CROSS)
    assert (_order(ledger).phase, ledger.exposure(XYZ, Side.BUY)) == (Phase.CLOSING, 6)


def test_reject_ends_an_order_that_nothing_has_proved() -> None:
    """The ordinary reject frees its exposure at once."""
    ledger = ledger_with(place(1), live=False)
    assert ledger.apply(rejected(1)).rejected is RejectKind.OTHER
    assert (_order(ledger).phase, ledger.exposure(XYZ, Side.BUY)) == (Phase.REJECTED, 0)


@pytest.mark.parametrize("kind", [RejectKind.GONE, RejectKind.FILLED])
def test_cancel_refused_as_gone_may_mean_filled(kind: RejectKind) -> None:
    """`gone` is no proof of death: the exposure stays until the fills are known."""
    ledger = ledger_with(place(1))
    send_cancel(ledger, 1)
    change = ledger.apply(cancel_rejected(1, kind))
    assert change.query
    assert (_order(ledger).phase, _order(ledger).exposure) == (Phase.CLOSING, 10)


def test_amend_refused_leaves_the_order_as_it_was() -> None:
    """Price, size and phase stay; only the amend stops counting."""
    ledger = ledger_with(place(1))
    send_amend(ledger, 1, 98, 15)
    assert ledger.exposure(XYZ, Side.BUY) == 15
    assert ledger.apply(amend_rejected(1)).rejected is RejectKind.OTHER
    order = _order(ledger)
    assert (order.phase, order.ticks, order.exposure, order.amend) == (Phase.LIVE, 99, 10, InFlight.NONE)


def test_amend_refused_as_gone_closes_the_order() -> None:
    """Not filled as far as we saw, not there any more: fills may be on their way."""
    ledger = ledger_with(place(1))
    send_amend(ledger, 1, 98, 15)
    assert ledger.apply(amend_rejected(1, RejectKind.GONE)).query
    assert (_order(ledger).phase, _order(ledger).exposure) == (Phase.CLOSING, 10)


def test_amend_refused_as_gone_after_the_last_fill_is_a_filled_order() -> None:
    """A fresh amend that lost the race against the last fill ends the order."""
    ledger = ledger_with(place(1), capabilities=FRESH)
    send_amend(ledger, 1, 98, 15)
    ledger.apply(filled(1, "t1", 10))
    assert _order(ledger).phase is Phase.LIVE
    ledger.apply(amend_rejected(1, RejectKind.GONE))
    assert (_order(ledger).phase, _order(ledger).exposure) == (Phase.FILLED, 0)


def test_failed_place_leg_leaves_only_the_old_versions_fills() -> None:
    """Nothing rests any more; what the old version filled before is bounded by its cancel report."""
    ledger = ledger_with(place(1), capabilities=FRESH)
    send_amend(ledger, 1, 98, 15)
    ledger.apply(amend_rejected(1, RejectKind.PLACE_LEG_FAILED))
    assert (_order(ledger).phase, _order(ledger).exposure) == (Phase.CLOSING, 10)
    ledger.apply(canceled(1, 4))
    assert (_order(ledger).phase, _order(ledger).exposure) == (Phase.CLOSING, 4)
    ledger.apply(filled(1, "t1", 4))
    assert (_order(ledger).phase, _order(ledger).exposure) == (Phase.CANCELED, 0)


def test_replacement_under_the_same_id_is_no_death() -> None:
    """A venue that reports REPLACED for the old version has not cancelled the order."""
    ledger = ledger_with(place(1))
    send_amend(ledger, 1, 98, 12)
    assert ledger.apply(canceled(1, 0, replaced=True)).ignored
    ledger.apply(amended(1, "v1", 98, 12))
    assert ledger.apply(canceled(1, 0, replaced=True)).ignored
    assert (_order(ledger).phase, _order(ledger).exposure) == (Phase.LIVE, 12)


def test_cancel_of_a_new_version_heard_before_its_acknowledgement() -> None:
    """The amend's own version came and went: only the old version's fills are open."""
    ledger = ledger_with(place(1), capabilities=FRESH)
    send_amend(ledger, 1, 98, 8)
    ledger.apply(canceled(1, 0, "v2"))
    assert (_order(ledger).phase, _order(ledger).exposure) == (Phase.CLOSING, 10)
    ledger.apply(canceled(1, 3, "v1"))
    ledger.apply(filled(1, "t1", 3, "v1"))
    assert (_order(ledger).phase, _order(ledger).exposure) == (Phase.CANCELED, 0)


def test_fill_of_a_settled_version_is_late_and_not_the_current_ones() -> None:
    """A report that named too little is contradicted by a later fill: position moves, the working order does not."""
    ledger = ledger_with(place(1), capabilities=FRESH)
    send_amend(ledger, 1, 98, 8)
    ledger.apply(amended(1, "v2", 98, 8))
    ledger.apply(canceled(1, 0, "v1"))
    change = ledger.apply(filled(1, "t1", 2, "v1"))
    assert (change.flags, change.fill_lots) == (("late_fill",), 2)
    assert (_order(ledger).phase, _order(ledger).exposure) == (Phase.LIVE, 8)


def test_repeated_amend_report_does_not_clear_a_newer_amend() -> None:
    """The same acknowledgement heard twice must not stop the amend sent in between from counting."""
    ledger = ledger_with(place(1))
    send_amend(ledger, 1, 98, 5)
    ledger.apply(amended(1, "v1", 98, 5))
    send_amend(ledger, 1, 97, 20)
    ledger.apply(amended(1, "v1", 98, 5))
    assert _order(ledger).exposure == 20
    ledger.apply(amended(1, "v1", 97, 20))
    assert (_order(ledger).exposure, _order(ledger).amend) == (20, InFlight.NONE)


def test_late_death_report_naming_more_fills_reconciles() -> None:
    """A final order whose next report names fills we never saw."""
    ledger = ledger_with(place(1))
    ledger.apply(canceled(1, 0))
    assert ledger.apply(canceled(1, 3)).reconcile
    assert not ledger.apply(canceled(1, 0)).reconcile


def test_events_of_final_orders_are_counted_and_ignored() -> None:
    """Late acknowledgements never bring an order back."""
    ledger = ledger_with(place(1))
    ledger.apply(expired(1))
    for event in (accepted(1), rejected(1), amended(1, "v2", 98, 5), cancel_rejected(1, RejectKind.OTHER)):
        assert ledger.apply(event).ignored
    assert ledger.ignored == 4
    assert _order(ledger).phase is Phase.EXPIRED


def test_final_report_with_more_filled_than_seen_waits_for_the_fill() -> None:
    """Exposure is what the report named and we have not seen; proof of death ends the waiting."""
    ledger = ledger_with(place(1))
    change = ledger.apply(expired(1, 3))
    assert change.query
    assert (_order(ledger).phase, _order(ledger).exposure) == (Phase.CLOSING, 3)
    assert _order(ledger).pending_bits == Reason.CANCEL_PENDING.bit
    ledger.prove_dead(cid(1), 0)
    assert (_order(ledger).phase, _order(ledger).exposure) == (Phase.EXPIRED, 0)


def test_unknown_place_with_a_late_ack_is_buried_as_canceled() -> None:
    """ABSENT is for orders that nothing ever proved."""
    ledger = ledger_with(place(1), live=False)
    ledger.apply(unknown(1))
    ledger.apply(accepted(1))
    ledger.prove_dead(cid(1), 0)
    assert _order(ledger).phase is Phase.CANCELED


def test_cancel_all_marks_every_order_of_the_venue() -> None:
    """One command, every order's cancel in flight, and its deadline."""
    ledger = ledger_with(place(1), place(2, Side.SELL, 101))
    command = cancel_all()
    ledger.queue(command, 0)
    ledger.released(command, 0)
    assert [order.cancel for order in ledger.alive(XYZ)] == [InFlight.SENT, InFlight.SENT]
    assert ledger.next_deadline_ns() == 3 * SECOND
    assert ledger.open_orders(VENUE) == 2


def test_newer_amend_survives_the_dropping_of_the_older() -> None:
    """The outbox keeps the newer of two; the ledger keeps counting it."""
    ledger = ledger_with(place(1))
    older, newer = amend(1, 98, 12), amend(1, 98, 12)
    ledger.queue(older, 0)
    ledger.queue(newer, 0)
    drop(ledger, older, DropCode.CONFLATED)
    assert _order(ledger).amend is InFlight.QUEUED
    drop(ledger, newer, DropCode.QUEUE_EXPIRED)
    assert (_order(ledger).amend, _order(ledger).exposure) == (InFlight.NONE, 10)


def test_amend_folded_into_a_waiting_place_becomes_the_order() -> None:
    """Until it leaves, the order is what the merged place says."""
    ledger = OrderLedger({VENUE: TOTAL})
    ledger.queue(place(1), 0)
    folded = amend(1, 97, 4)
    ledger.queue(folded, 0)
    assert _order(ledger).exposure == 10
    drop(ledger, folded, DropCode.CONFLATED)
    assert (_order(ledger).ticks, _order(ledger).exposure, _order(ledger).phase) == (97, 4, Phase.QUEUED)


def test_command_for_an_order_that_is_not_alive_is_a_bug() -> None:
    """The gate refuses those; the ledger does not guess."""
    ledger = ledger_with(place(1))
    ledger.apply(canceled(1, 0))
    with pytest.raises(CoreError):
        ledger.queue(cancel(1), 0)


def test_sent_report_of_each_operation_moves_its_flag() -> None:
    """The gateway's word and the core's release agree; an unknown id changes nothing."""
    ledger = ledger_with(place(1))
    ledger.queue(cancel(1), 0)
    ledger.apply(sent(1, Operation.CANCEL))
    assert _order(ledger).cancel is InFlight.SENT
    change = ledger.apply(sent(9))
    assert change.ignored
    assert not change.reconcile


@pytest.mark.parametrize("capabilities", [TOTAL, FRESH])
@pytest.mark.parametrize("command", [amend(1, 98, 8), cancel(1)])
def test_what_is_sent_counts_as_it_did_in_the_queue(capabilities: Capabilities, command: Command) -> None:
    """Leaving changes nothing that is counted of an order; its acknowledgement is awaited from then on."""
    ledger = ledger_with(place(1, lots=10), capabilities=capabilities)
    ledger.queue(command, 0)
    order = _order(ledger)
    queued = order.exposure, order.remaining_lots, order.alive_ticks(), order.pending_bits, order.uncertain
    ledger.released(command, SECOND)
    assert order.refresh() == 0
    assert (order.exposure, order.remaining_lots, order.alive_ticks(), order.pending_bits, order.uncertain) == queued
    assert ledger.exposure(XYZ, Side.BUY) == order.exposure
    assert ledger.next_deadline_ns() == SECOND + capabilities.ack_timeout_ms * MS


@pytest.mark.parametrize("in_flight", [False, True])
def test_late_report_of_an_amend_does_not_undo_the_one_after_it(in_flight: bool) -> None:
    """The answer to a request and the stream both tell an amend, and one of them may come when the next amend is done
    or on its way: the venue's time says which is the older, and the larger size goes on counting.
    """
    ledger = ledger_with(place(1, lots=10))
    send_amend(ledger, 1, 98, 8)
    first = msgspec.structs.replace(amended(1, "v1", 98, 8), ts_venue_ns=1 * SECOND)
    ledger.apply(first)
    send_amend(ledger, 1, 97, 13)
    ledger.apply(msgspec.structs.replace(amended(1, "v1", 97, 13), ts_venue_ns=2 * SECOND))
    if in_flight:
        send_amend(ledger, 1, 96, 20)
    ignored = ledger.ignored
    change = ledger.apply(first)
    order = _order(ledger)
    assert change.ignored
    assert ledger.ignored == ignored + 1
    assert (order.ticks, order.lots) == (97, 13)
    assert order.exposure == ledger.exposure(XYZ, Side.BUY) == (20 if in_flight else 13)
