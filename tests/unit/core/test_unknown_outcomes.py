"""EXECUTION 2 in the core: what is done about an order of unknown outcome, when, and what ends it."""

import msgspec
import pytest

from mm_daemon.core.parameters import OrderRules
from mm_daemon.core.trading_core import TradingCore
from mm_daemon.domain.capabilities import AmendQuantity, Capabilities, Validity
from mm_daemon.domain.decisions import AmendOrder, CancelAll, CancelOrder, OrderQuery, PlaceOrder, Reason, Turn
from mm_daemon.domain.events import (
    CommandOutcomeUnknown,
    CommandSent,
    DeadlineReached,
    FenceAnswered,
    OpenOrder,
    OrderAccepted,
    OrderAmended,
    OrderCanceled,
    OrderCancelRejected,
    OrderFilled,
    OrderNotFound,
    OrderRejected,
    OrderResolved,
    OrderStatus,
    Resolution,
    RunStarted,
    VenueTime,
)
from mm_daemon.domain.orders import ClientOrderId, InFlight, Operation, Phase, RejectKind, Side
from mm_daemon.domain.reconciliation import DiffKind
from mm_daemon.journal.recovery import left_by
from mm_daemon.testkit import builders
from tests.unit.core.desk import MS, SYMBOL, Desk, commands

VENUE = builders.VENUE
DELAY = Capabilities(amend=True, d_max_ms=15_000)
IN_PROCESS = Capabilities(amend=True, simulated=True)
EXPIRING = Capabilities(amend=True, validity=Validity.EXPIRES_AT, ack_timeout_ms=3000)
HEIGHT = Capabilities(validity=Validity.HEIGHT, max_order_blocks=20, cancel_final=False)
NONCE = Capabilities(validity=Validity.NONCE, fence=True, action_ttl_floor_ms=300_000)


def started(capabilities: Capabilities = DELAY, rules: OrderRules | None = None) -> tuple[Desk, Turn]:
    """A core that has just released a bid and an ask, at 100 ms."""
    parameters = builders.core_parameters(capabilities=capabilities)
    if rules is not None:
        parameters = msgspec.structs.replace(parameters, orders=rules)
    desk = Desk(parameters)
    desk.feed(VenueTime(VENUE, 100 * MS, 100 * MS, 1000))
    return desk, desk.open_market(100)


def lost_bid(capabilities: Capabilities = DELAY, rules: OrderRules | None = None) -> tuple[Desk, Turn]:
    """The ask is working; of the bid, order 1, nobody has heard. The turn is the one that learned so, at 200 ms."""
    desk, _ = started(capabilities, rules)
    desk.feed(OrderAccepted(SYMBOL, 0, 150 * MS, ClientOrderId(2), "v2"))
    turn = desk.feed(CommandOutcomeUnknown(SYMBOL, 0, 200 * MS, ClientOrderId(1), Operation.PLACE, "timeout"))
    assert order(desk).phase is Phase.UNKNOWN
    return desk, turn


def order(desk: Desk, number: int = 1):
    found = desk.core.ledger.get(ClientOrderId(number))
    assert found is not None
    return found


def ask_shown(desk: Desk) -> OpenOrder:
    """The ask as a snapshot shows it."""
    ask = order(desk, 2)
    return OpenOrder(SYMBOL, ask.client_id, "v2", ask.side, ask.ticks, ask.remaining_lots)


def live(desk: Desk, until_ms: int) -> list[tuple[int, Turn]]:
    """Every turn at the core's own deadlines up to an instant."""
    turns = []
    while (deadline_ns := desk.core.next_deadline_ns()) is not None and deadline_ns <= until_ms * MS:
        turns.append((deadline_ns // MS, desk.feed(DeadlineReached(deadline_ns))))
    return turns


def not_found(at_ms: int, number: int = 1, next_nonce: int | None = None) -> OrderNotFound:
    return OrderNotFound(VENUE, at_ms * MS, at_ms * MS, ClientOrderId(number), next_nonce)


def test_queries_follow_their_schedule() -> None:
    """At 0, 0.5, 1, 2, 4 and 8 seconds, then every ten; each one is a wish of the turn."""
    desk, turn = lost_bid()
    assert turn.queries == (OrderQuery(SYMBOL, ClientOrderId(1)),)
    asked = [
        at_ms - 200 for at_ms, each in live(desk, 40_000) if ClientOrderId(1) in {q.client_id for q in each.queries}
    ]
    assert asked == [500, 1000, 2000, 4000, 8000, 18_000, 28_000, 38_000]


def test_an_overdue_acknowledgement_is_an_unknown_outcome() -> None:
    """Nobody says anything for the venue's ack timeout: asked at once."""
    desk, _ = started()
    desk.feed(OrderAccepted(SYMBOL, 0, 150 * MS, ClientOrderId(2), "v2"))
    turns = live(desk, 3100)
    assert [at_ms for at_ms, turn in turns if turn.queries] == [3100]
    assert order(desk).phase is Phase.UNKNOWN


def test_help_is_one_ordinary_cancel_where_there_is_no_fence() -> None:
    """With the reason that says so, and the place is never sent again (R6)."""
    desk, turn = lost_bid()
    assert commands(turn) == [CancelOrder(SYMBOL, ClientOrderId(1), (Reason.UNKNOWN_FENCE,))]
    later = [command for _, each in live(desk, 4900) for command in commands(each)]
    assert not [command for command in later if isinstance(command, PlaceOrder)]


def test_slot_is_held_and_exposure_kept() -> None:
    """R7: it counts as if it were there."""
    desk, _ = lost_bid()
    assert desk.core.ledger.exposure(SYMBOL, Side.BUY) == 10
    assert desk.says().startswith("bid hold (cancel_pending, order_unknown")


def test_market_is_pulled_after_a_while_and_the_venue_after_longer() -> None:
    """After unknown_withdraw_ms the market withdraws; after unknown_stop_ms everything is cancelled, once."""
    desk, _ = lost_bid(rules=OrderRules(unknown_withdraw_ms=5000, unknown_stop_ms=60_000))
    live(desk, 5199)
    assert "unresolved_order" not in desk.says()
    live(desk, 5200)
    assert desk.core.markets[SYMBOL].halts & Reason.UNRESOLVED_ORDER.bit
    sent = [(at_ms, c) for at_ms, turn in live(desk, 200_000) for c in commands(turn) if isinstance(c, CancelAll)]
    assert sent == [(60_200, CancelAll(VENUE, (Reason.UNRESOLVED_ORDER,)))]
    assert desk.core.resolver.holds_out(SYMBOL)
    assert order(desk).may_be_alive, "waiting alone proves nothing"


@pytest.mark.parametrize(
    ("answer", "phase"),
    [
        (OrderAccepted(SYMBOL, 0, 6000 * MS, ClientOrderId(1), "v1"), Phase.LIVE),
        (OrderStatus(SYMBOL, 0, 6000 * MS, ClientOrderId(1), "v1", 599_990, 10, 0), Phase.LIVE),
        (OrderCanceled(SYMBOL, 0, 6000 * MS, ClientOrderId(1), "v1", True, 0), Phase.CANCELED),
        (OrderRejected(SYMBOL, 0, 6000 * MS, ClientOrderId(1), RejectKind.POST_ONLY_CROSS), Phase.REJECTED),
        (OrderFilled(SYMBOL, 0, 6000 * MS, ClientOrderId(1), "v1", "f1", Side.BUY, 599_990, 4, True), Phase.LIVE),
    ],
)
def test_any_answer_ends_it(answer, phase: Phase) -> None:
    """Asked, acknowledged or filled: what the venue says is known again, and the market comes back."""
    desk, _ = lost_bid()
    live(desk, 5900)
    desk.feed(answer)
    assert order(desk).phase is phase
    desk.feed(DeadlineReached(6001 * MS))
    assert not desk.core.markets[SYMBOL].halts & Reason.UNRESOLVED_ORDER.bit


def test_not_found_is_no_proof_before_the_validity_is_over() -> None:
    """However often (R7)."""
    desk, _ = lost_bid()
    for at_ms in range(1000, 15_000, 1000):
        desk.feed(not_found(at_ms))
        desk.feed(builders.account(at_ms + 10, ask_shown(desk)))
    assert order(desk).phase is Phase.UNKNOWN


def test_four_sources_after_the_validity_bury_it() -> None:
    """Two answers a second apart, a snapshot, and fills complete: dead, told in a record of its own."""
    desk, _ = lost_bid()
    desk.feed(not_found(16_000))
    desk.feed(not_found(17_100))
    desk.feed(builders.account(20_000, ask_shown(desk)))
    assert order(desk).may_be_alive, "fills are complete up to ten seconds before a snapshot"
    turn = desk.feed(builders.account(25_200, ask_shown(desk)))
    assert order(desk).phase is Phase.ABSENT
    told = [(diff.kind, diff.subject) for each in turn.reconciled for diff in each.diffs]
    assert (DiffKind.ORDER_DEAD, 1) in told
    assert desk.core.ledger.exposure(SYMBOL, Side.BUY) == 0


def test_venue_time_is_the_venues_own() -> None:
    """A venue ten seconds behind us closes a validity ten seconds later by our clock."""
    parameters = builders.core_parameters(capabilities=DELAY)
    desk = Desk(parameters)
    behind_ns = 10_000 * MS
    desk.feed(VenueTime(VENUE, 20_000 * MS - behind_ns, 20_000 * MS))
    desk.open_market(20_000)
    desk.core.ledger.venue_lead_ns[VENUE] = -behind_ns
    sent_ns = order(desk).sent_ns
    assert sent_ns is not None
    # The builder's snapshot told a venue time equal to ours, so the venue is known to be no further behind.
    assert sent_ns == 20_000 * MS


def test_commands_carry_an_expiry_of_the_venues_clock() -> None:
    """Where the venue bounds a command by time: its clock's now, plus action_ttl_ms."""
    desk = Desk(builders.core_parameters(capabilities=EXPIRING))
    desk.feed(VenueTime(VENUE, 7_100 * MS, 100 * MS))  # seven seconds ahead of us
    turn = desk.open_market(100)
    places = [command for command in commands(turn) if isinstance(command, PlaceOrder)]
    assert [place.expires_ns for place in places] == [12_100 * MS] * 2
    assert [place.expires_height for place in places] == [None, None]


def test_an_expired_action_is_buried_soon() -> None:
    """Its validity is over two seconds after the expiry, by the venue's clock."""
    desk, _ = lost_bid(EXPIRING)
    assert order(desk).expires_ns == 5100 * MS
    for at_ms in (7_200, 8_300):
        desk.feed(not_found(at_ms))
    desk.feed(builders.account(17_000, ask_shown(desk)))
    assert order(desk).phase is Phase.UNKNOWN
    desk.feed(builders.account(17_200, ask_shown(desk)))
    assert order(desk).phase is Phase.ABSENT


def test_orders_name_their_last_block() -> None:
    """The last known block plus order_blocks, never beyond the venue's window."""
    _, turn = started(HEIGHT)
    assert [c.expires_height for c in commands(turn) if isinstance(c, PlaceOrder)] == [1016, 1016]
    _, turn = started(HEIGHT, OrderRules(order_blocks=50))
    assert [c.expires_height for c in commands(turn) if isinstance(c, PlaceOrder)] == [1020, 1020]


def test_a_block_bounded_order_is_buried_by_blocks_alone() -> None:
    """A 404 means nothing there; node, open orders and fills must all be past its last block."""
    desk, _ = lost_bid(HEIGHT)

    def account(at_ms: int, height: int, fills_height: int) -> None:
        event = builders.account(at_ms, ask_shown(desk))
        shown = msgspec.structs.replace(event.snapshot, height=height, fills_height=fills_height)
        desk.feed(msgspec.structs.replace(event, snapshot=shown))

    account(20_000, 1016, 1016)
    account(21_000, 1017, 1016)
    assert order(desk).may_be_alive
    account(22_000, 1018, 1017)
    assert order(desk).phase is Phase.ABSENT


def test_a_fence_that_is_accepted_closes_the_validity_at_once() -> None:
    """Signed with the nonce of the place: one of the two can land."""
    desk, _ = started(NONCE)
    desk.feed(OrderAccepted(SYMBOL, 0, 150 * MS, ClientOrderId(2), "v2"))
    turn = desk.feed(CommandOutcomeUnknown(SYMBOL, 0, 200 * MS, ClientOrderId(1), Operation.PLACE))
    assert commands(turn) == [CancelOrder(SYMBOL, ClientOrderId(1), (Reason.UNKNOWN_FENCE,), fence=True)]
    desk.feed(FenceAnswered(SYMBOL, 300 * MS, 300 * MS, ClientOrderId(1), True))
    for at_ms in (400, 1500):
        desk.feed(not_found(at_ms))
    desk.feed(builders.account(10_400, ask_shown(desk)))
    assert order(desk).phase is Phase.ABSENT


def test_a_fence_that_is_refused_asks_at_once() -> None:
    """The original landed: where is it?"""
    desk, _ = lost_bid(NONCE)
    turn = desk.feed(FenceAnswered(SYMBOL, 400 * MS, 400 * MS, ClientOrderId(1), False))
    assert turn.queries == (OrderQuery(SYMBOL, ClientOrderId(1)),)
    assert order(desk).cancel is InFlight.NONE


def test_no_fence_while_something_later_is_in_flight() -> None:
    """The key's later nonces would be void: an ordinary cancel instead."""
    desk, _ = started(NONCE)
    turn = desk.feed(CommandOutcomeUnknown(SYMBOL, 0, 200 * MS, ClientOrderId(1), Operation.PLACE))
    assert commands(turn) == [CancelOrder(SYMBOL, ClientOrderId(1), (Reason.UNKNOWN_FENCE,), fence=False)]


def test_a_nonce_spent_by_another_transaction_closes_the_validity() -> None:
    """The venue expects a later nonce than the one on the wire, and does not know the order."""
    desk, _ = started(NONCE)
    desk.feed(
        OrderAccepted(SYMBOL, 0, 150 * MS, ClientOrderId(2), "v2"),
        CommandSent(SYMBOL, 0, 150 * MS, ClientOrderId(1), Operation.PLACE, "41:0xab"),
        CommandOutcomeUnknown(SYMBOL, 0, 200 * MS, ClientOrderId(1), Operation.PLACE),
    )
    desk.feed(not_found(400, next_nonce=41))
    desk.feed(not_found(500, next_nonce=42), not_found(700), not_found(1800))
    desk.feed(builders.account(10_600, ask_shown(desk)))
    assert order(desk).phase is Phase.ABSENT


def test_a_person_may_resolve_it() -> None:
    """Dead: gone at once. The account is compared before the market is quoted again."""
    desk, _ = lost_bid()
    desk.feed(OrderResolved(1000 * MS, ClientOrderId(1), Resolution.DEAD, "anna", "looked at the venue"))
    assert order(desk).phase is Phase.ABSENT
    assert "reconciling" in desk.says()
    desk.feed(builders.account(2000, ask_shown(desk)))
    desk.feed(builders.account(3000, ask_shown(desk)))
    assert "reconciling" not in desk.says()


def test_filled_says_the_person_and_the_account_has_the_last_word() -> None:
    """The order is over; its fill is booked when the venue tells of it, and not before."""
    desk, _ = lost_bid()
    desk.feed(OrderResolved(1000 * MS, ClientOrderId(1), Resolution.FILLED, "anna"))
    assert order(desk).phase is Phase.FILLED
    assert desk.core.markets[SYMBOL].position.lots == 0
    fill = OrderFilled(SYMBOL, 900 * MS, 900 * MS, ClientOrderId(1), "v1", "f1", Side.BUY, 599_990, 10, True)
    desk.feed(builders.account(3000, ask_shown(desk), lots=10, fills=(fill,)))
    assert desk.core.markets[SYMBOL].position.lots == 10


def test_an_order_that_works_cannot_be_declared_dead() -> None:
    """Only what is in doubt: a slip of the finger must not free exposure."""
    desk, _ = lost_bid()
    desk.feed(OrderResolved(1000 * MS, ClientOrderId(2), Resolution.DEAD, "anna"))
    assert order(desk, 2).phase is Phase.LIVE


def test_doubt_outlives_the_process() -> None:
    """When it was sent and how long it is valid are in the checkpoint: the next life waits for the same proof."""
    desk, _ = lost_bid(EXPIRING)
    left = desk.core.checkpoint()
    again = Desk(desk.core.parameters)
    again.core = TradingCore(desk.core.parameters, left)
    turn = again.feed(RunStarted(1000 * MS, "test", "", left))
    assert OrderQuery(SYMBOL, ClientOrderId(1)) in turn.queries
    kept = again.core.ledger.get(ClientOrderId(1))
    assert kept is not None
    assert (kept.phase, kept.expires_ns, kept.sent_ns) == (Phase.UNKNOWN, 5100 * MS, order(desk).sent_ns)


@pytest.mark.parametrize(("capabilities", "dead"), [(IN_PROCESS, True), (DELAY, False)])
def test_order_of_a_venue_in_the_process_is_dead_as_soon_as_the_next_life_looks(
    capabilities: Capabilities, dead: bool
) -> None:
    """Its venue died with it, and nothing is on its way from one to the other: there is nothing to wait for."""
    desk, _ = lost_bid(capabilities)
    left = desk.core.checkpoint()
    again = Desk(desk.core.parameters)
    again.core = TradingCore(desk.core.parameters, left)
    again.feed(RunStarted(1000 * MS, "test", "", left))
    again.feed(builders.account(1100))
    kept = again.core.ledger.get(ClientOrderId(1))
    assert kept is not None
    assert kept.final is dead


@pytest.mark.parametrize(("outcome", "phase"), [(Resolution.DEAD, Phase.ABSENT), (Resolution.FILLED, Phase.FILLED)])
def test_a_persons_word_outlives_the_process(outcome: Resolution, phase: Phase) -> None:
    """The order was in doubt because its acknowledgement was overdue, which no journal tells: the word counts all the
    same when the journal is taken in again.
    """
    desk, opening = started()
    first = RunStarted(0, "test", desk.core.parameters.to_json())
    word = OrderResolved(4000 * MS, ClientOrderId(1), outcome, "anna", "looked at the venue")
    desk.feed(DeadlineReached(3200 * MS))
    assert order(desk).phase is Phase.UNKNOWN
    desk.feed(word)
    left = left_by([first, builders.connected(100), builders.account(100), *opening.released, word])
    assert left is not None
    again = TradingCore(desk.core.parameters, left[0]).ledger.get(ClientOrderId(1))
    assert again is not None
    assert again.phase is order(desk).phase is phase


def test_order_that_seemed_gone_when_its_process_died_is_fenced_by_the_next() -> None:
    """A cancel of it was refused, which proves nothing, and no nonce of it is known: a fence ends the doubt."""
    desk, _ = lost_bid(NONCE)
    desk.feed(FenceAnswered(SYMBOL, 300 * MS, 300 * MS, ClientOrderId(1), True))
    desk.feed(OrderCancelRejected(SYMBOL, 0, 400 * MS, ClientOrderId(1), RejectKind.GONE))
    left = desk.core.checkpoint()
    again = Desk(desk.core.parameters)
    again.core = TradingCore(desk.core.parameters, left)
    turn = again.feed(RunStarted(1000 * MS, "test", "", left))
    kept = again.core.ledger.get(ClientOrderId(1))
    assert kept is not None and (kept.phase, kept.wire_ref) == (Phase.CLOSING, "")
    assert CancelOrder(SYMBOL, ClientOrderId(1), (Reason.UNKNOWN_FENCE,), fence=True) in commands(turn)
    again.feed(FenceAnswered(SYMBOL, 1100 * MS, 1100 * MS, ClientOrderId(1), True))
    for at_ms in (1200, 2300):
        again.feed(not_found(at_ms))
    again.feed(builders.account(11_400, ask_shown(desk)))
    assert kept.final


def test_an_amend_in_doubt_is_over_when_the_old_version_is_still_there_later() -> None:
    """Its larger size counts until then."""
    desk, turn = started()
    desk.acknowledge(turn, 150)
    desk.wait(1000)
    desk.feed(builders.snapshot(1100, 599_900, 599_901))
    bid = desk.quote(Side.BUY)
    assert bid.amend is InFlight.SENT
    desk.feed(CommandOutcomeUnknown(SYMBOL, 0, 1200 * MS, bid.client_id, Operation.AMEND))
    assert bid.amend is InFlight.UNKNOWN
    shown = [
        OpenOrder(SYMBOL, each.client_id, f"v{each.client_id}", each.side, each.ticks, each.remaining_lots)
        for each in (bid, order(desk, 2))
    ]
    desk.feed(OrderCancelRejected(SYMBOL, 0, 1300 * MS, bid.client_id, RejectKind.OTHER))
    desk.feed(builders.account(20_000, *shown))
    assert bid.amend is InFlight.UNKNOWN
    turn = desk.feed(builders.account(27_000, *shown))
    assert bid.amend is InFlight.NONE
    assert DiffKind.AMEND_DEAD in {diff.kind for each in turn.reconciled for diff in each.diffs}


def moved_in_two_versions() -> tuple[Desk, ClientOrderId]:
    """At a venue whose amends are orders of their own the bid, known there as `v1`, is being moved at 1100 ms."""
    fresh = Capabilities(amend=True, amend_quantity=AmendQuantity.FRESH, amend_new_venue_id=True, d_max_ms=15_000)
    desk, turn = started(fresh)
    desk.acknowledge(turn, 150)
    desk.wait(1000)
    desk.feed(builders.snapshot(1100, 599_900, 599_901))
    bid = desk.quote(Side.BUY)
    assert bid.amend is InFlight.SENT
    return desk, bid.client_id


def test_an_amend_in_doubt_is_over_when_its_order_has_ended_and_nothing_is_in_its_place() -> None:
    """The version that we knew was filled, the venue answers every query with that end and never with "not found":
    once the amend can no longer happen and nothing is there, the order is over.
    """
    desk, bid_id = moved_in_two_versions()
    bid = order(desk, bid_id)
    desk.feed(CommandOutcomeUnknown(SYMBOL, 0, 1200 * MS, bid_id, Operation.AMEND))
    desk.fill(Side.BUY, bid.lots, 1300)
    desk.feed(OrderCancelRejected(SYMBOL, 0, 1400 * MS, bid_id, RejectKind.FILLED))
    ended = OrderCanceled(SYMBOL, 0, 1500 * MS, bid_id, f"v{bid_id}", True, bid.lots)
    desk.feed(ended)
    assert (bid.phase, bid.exposure) == (Phase.CLOSING, bid.pend_lots)
    held = bid.lots
    for at_ms in (12_000, 20_000):
        desk.feed(msgspec.structs.replace(ended, ts_local_ns=at_ms * MS))
        desk.feed(builders.account(at_ms + 500, ask_shown(desk), lots=held))
        assert bid.exposure, "it may still happen, or may have filled"
    desk.feed(builders.account(30_000, ask_shown(desk), lots=held))
    assert (bid.phase, bid.exposure) == (Phase.FILLED, 0)


FORGOTTEN_VERSION = OrderCanceled(SYMBOL, 0, 0, ClientOrderId(1), "v99", True, 0)
"""The amend that made this version was forgotten with a power cut."""
SECOND_THOUGHTS = OrderRejected(SYMBOL, 0, 0, ClientOrderId(1), RejectKind.OTHER)
"""The venue had accepted the order."""


@pytest.mark.parametrize("word", [FORGOTTEN_VERSION, SECOND_THOUGHTS])
def test_an_end_that_is_none_of_what_we_know_is_as_good_as_not_found(word: OrderCanceled | OrderRejected) -> None:
    """The venue has nothing under this id any more, whatever became of it. That is no more than "not found": the other
    proofs have to be there too.
    """
    fresh = Capabilities(amend=True, amend_quantity=AmendQuantity.FRESH, amend_new_venue_id=True, d_max_ms=15_000)
    desk, turn = started(fresh)
    desk.acknowledge(turn, 150)
    bid = order(desk, 1)
    for at_ms in (2000, 3500):
        desk.feed(builders.account(at_ms, ask_shown(desk)))
    assert (bid.phase, bid.exposure) == (Phase.CLOSING, bid.lots)

    def answer(at_ms: int) -> None:
        live(desk, at_ms)
        desk.feed(msgspec.structs.replace(word, ts_local_ns=at_ms * MS))

    for at_ms in (5000, 12_000):
        answer(at_ms)
        desk.feed(builders.account(at_ms + 500, ask_shown(desk)))
        assert bid.exposure, "what was sent may still land"
    for at_ms in (24_000, 36_000):
        desk.feed(builders.account(at_ms - 500, ask_shown(desk)))
        answer(at_ms)
    desk.feed(builders.account(48_000, ask_shown(desk)))
    assert (bid.phase, bid.exposure) == (Phase.CANCELED, 0)


def test_queries_do_not_keep_an_older_version_from_being_settled() -> None:
    """A version was replaced and nobody told its end. The order is asked about every ten seconds; answers that say
    nothing new do not make it look as if it had been replaced just now.
    """
    desk, bid_id = moved_in_two_versions()
    bid = order(desk, bid_id)
    desk.feed(OrderAmended(SYMBOL, 0, 1200 * MS, bid_id, "v1b", bid.pend_ticks, bid.pend_lots))
    assert [tail.venue_order_id for tail in bid.tails] == [f"v{bid_id}"]
    shown = OpenOrder(SYMBOL, bid_id, "v1b", bid.side, bid.ticks, bid.remaining_lots)
    for at_ms in range(5_000, 30_000, 5_000):
        desk.feed(OrderStatus(SYMBOL, 0, at_ms * MS, bid_id, "v1b", bid.ticks, bid.lots, 0))
        desk.feed(builders.account(at_ms + 500, shown, ask_shown(desk)))
    assert bid.tails == []
    assert bid.exposure == bid.lots


def test_an_amend_in_doubt_is_settled_by_a_status_that_shows_it() -> None:
    """The query's answer names the price and size that were asked for."""
    desk, turn = started()
    desk.acknowledge(turn, 150)
    desk.wait(1000)
    desk.feed(builders.snapshot(1100, 599_900, 599_901))
    bid = desk.quote(Side.BUY)
    ticks, lots = bid.pend_ticks, bid.pend_lots
    desk.feed(CommandOutcomeUnknown(SYMBOL, 0, 1200 * MS, bid.client_id, Operation.AMEND))
    desk.feed(OrderStatus(SYMBOL, 0, 1300 * MS, bid.client_id, f"v{bid.client_id}", ticks, lots, 0))
    assert (bid.amend, bid.ticks, bid.lots) == (InFlight.NONE, ticks, lots)


def test_a_status_never_makes_an_order_smaller() -> None:
    """It may be older than the last amend."""
    desk, turn = started()
    desk.acknowledge(turn, 150)
    bid = desk.quote(Side.BUY)
    at = 300 * MS
    desk.feed(OrderStatus(SYMBOL, 0, at, bid.client_id, f"v{bid.client_id}", bid.ticks, 4, 0))
    assert bid.lots == 10
    desk.feed(OrderStatus(SYMBOL, 0, at, bid.client_id, f"v{bid.client_id}", bid.ticks, 14, 0))
    assert bid.exposure == 14


def test_a_refused_cancel_waits_longer_each_time() -> None:
    """A quarter of a second, then half: not at every decision."""
    desk, turn = started()
    desk.acknowledge(turn, 150)
    bid = desk.quote(Side.BUY)
    ask = desk.quote(Side.SELL)
    desk.feed(builders.account(200, lots=3))  # a position nobody can explain: the quotes are pulled
    desk.feed(OrderCanceled(SYMBOL, 0, 250 * MS, ask.client_id, "v2", True, 0))
    pauses = []
    at_ms = 300
    for _ in range(4):
        turn = desk.feed(OrderCancelRejected(SYMBOL, 0, at_ms * MS, bid.client_id, RejectKind.OTHER))
        assert not commands(turn)
        sent_ms = at_ms
        while not commands(turn):
            deadline_ns = desk.core.next_deadline_ns()
            assert deadline_ns is not None
            sent_ms = deadline_ns // MS
            turn = desk.feed(DeadlineReached(deadline_ns))
        assert [type(command) for command in commands(turn)] == [CancelOrder]
        pauses.append(sent_ms - at_ms)
        at_ms = sent_ms
    assert pauses == [250, 500, 1000, 2000]


def test_a_named_fill_that_does_not_come_is_asked_for_and_then_compared() -> None:
    """A cancel report names more than we saw: asked after a second, accounts compared after five."""
    desk, turn = started()
    desk.acknowledge(turn, 150)
    bid = desk.quote(Side.BUY)
    desk.feed(OrderCanceled(SYMBOL, 0, 1000 * MS, bid.client_id, f"v{bid.client_id}", True, 3))
    turns = live(desk, 5999)
    asked = [at for at, turn in turns for query in turn.queries if query.client_id == bid.client_id]
    assert asked[0] == 2000
    assert "reconciling" not in desk.says()
    live(desk, 6000)
    assert "reconciling" in desk.says()
    assert bid.exposure == 3


def test_a_tail_whose_end_nobody_told_is_settled_by_a_snapshot() -> None:
    """Where an amend makes a new order, the old one counts until it is known to be gone."""
    fresh = Capabilities(amend=True, amend_quantity=AmendQuantity.FRESH, amend_new_venue_id=True, d_max_ms=15_000)
    desk, turn = started(fresh)
    desk.acknowledge(turn, 150)
    desk.wait(1000)
    turn = desk.feed(builders.snapshot(1100, 599_900, 599_901))
    (amend,) = [c for c in commands(turn) if isinstance(c, AmendOrder) and order(desk, c.client_id).side is Side.BUY]
    bid = order(desk, amend.client_id)
    desk.feed(OrderAmended(SYMBOL, 0, 1200 * MS, bid.client_id, "v1b", amend.ticks, amend.lots))
    assert bid.exposure == 20
    ask = order(desk, 2)
    shown = [
        OpenOrder(SYMBOL, bid.client_id, "v1b", bid.side, bid.ticks, 10),
        OpenOrder(SYMBOL, ask.client_id, "v2", ask.side, ask.ticks, ask.remaining_lots),
    ]
    desk.feed(builders.account(5000, *shown))
    assert bid.exposure == 20, "a fill of it may still be told"
    desk.feed(builders.account(12_000, *shown))
    assert bid.exposure == 10


def test_an_answer_about_an_order_that_is_over_is_asked_after() -> None:
    """An amend is acknowledged although the order has ended: does the venue hold it?"""
    desk, turn = started()
    desk.acknowledge(turn, 150)
    bid = desk.quote(Side.BUY)
    desk.feed(OrderCanceled(SYMBOL, 0, 300 * MS, bid.client_id, f"v{bid.client_id}", True, 0))
    turn = desk.feed(OrderAmended(SYMBOL, 0, 400 * MS, bid.client_id, f"v{bid.client_id}", bid.ticks, 12))
    assert turn.queries == (OrderQuery(SYMBOL, bid.client_id),)
    assert bid.phase is Phase.CANCELED


def test_an_order_of_a_run_that_ended_orders_by_time_is_proven_dead_in_one_that_ends_them_by_height() -> None:
    """As on dYdX after `orders: stateful` was taken back: no block was named for it, so the longest delay has to pass
    by the venue's time, and all sources have to say so after that.
    """
    desk, _ = lost_bid(EXPIRING)
    again = Desk()
    again.core = TradingCore(builders.core_parameters(capabilities=HEIGHT), desk.core.checkpoint())
    again.feed(builders.connected(1000), builders.snapshot(1000, 600_000, 600_001))

    def proven_at(at_ms: int) -> bool:
        """After two answers and a snapshot, all of them of just before."""
        height = 1000 + at_ms // 1000
        for told_ms in (at_ms - 1500, at_ms - 100):
            again.feed(VenueTime(VENUE, told_ms * MS, told_ms * MS, height), not_found(told_ms))
        shown = builders.account(at_ms, ask_shown(again))
        snapshot = msgspec.structs.replace(shown.snapshot, height=height, fills_height=height)
        again.feed(msgspec.structs.replace(shown, snapshot=snapshot))
        live(again, at_ms + 1)
        final: bool = order(again).final
        return final

    assert not proven_at(30_000)
    assert not proven_at(59_000)
    assert proven_at(75_000)
