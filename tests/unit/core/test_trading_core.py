"""What the core decides: one story of events per behaviour."""

import msgspec
import pytest

from mm_daemon.domain.capabilities import AmendQuantity, Capabilities
from mm_daemon.domain.decisions import Action, AmendOrder, CancelAll, CancelOrder, PlaceOrder, Reason
from mm_daemon.domain.errors import CoreError
from mm_daemon.domain.events import (
    BookInvalidated,
    InvalidCause,
    OperatorAction,
    OperatorRequest,
    OrderCanceled,
    OrderFilled,
    OrderRejected,
    RateLimited,
    ShutdownRequested,
    TopOfBook,
    VenueDisconnected,
    VolatilityUpdate,
)
from mm_daemon.domain.instrument import InstrumentId, SignificantFigures, Venue
from mm_daemon.domain.money import ATTO
from mm_daemon.domain.orders import RejectKind, Side
from mm_daemon.engine.parameters import QuoteParameters
from mm_daemon.engine.units import annual_vol_to_bps
from mm_daemon.risk.limits import AccountLimits
from mm_daemon.testkit import builders
from tests.unit.core.desk import MS, SYMBOL, Desk, commands, kinds


def test_nothing_is_quoted_before_the_venue_is_connected():
    """A book alone is not enough: until the venue is up every side is withdrawn, and says so."""
    desk = Desk()
    turn = desk.feed(builders.snapshot(0, 600_000, 600_001))
    assert not turn.released
    assert desk.says() == "bid withdraw (starting, venue_down) | ask withdraw (starting, venue_down)"


def test_a_trusted_book_is_quoted_on_both_sides():
    """The first decision places one post-only order a side, around the book, with its reasons."""
    desk = Desk()
    turn = desk.open_market()
    assert kinds(turn) == ["PlaceOrder bid", "PlaceOrder ask"]
    assert desk.says() == "bid quote (new_quote) | ask quote (new_quote)"
    bid, ask = commands(turn)
    assert isinstance(bid, PlaceOrder)
    assert isinstance(ask, PlaceOrder)
    assert bid.post_only
    assert bid.ticks < 600_001 <= ask.ticks
    assert bid.reasons == (Reason.NEW_QUOTE,)


def test_a_placed_quote_is_held_while_its_answer_is_out_and_through_the_order_lockout():
    """Pending first, then the order lockout, then nothing to do: each with its own reason."""
    desk = Desk()
    turn = desk.open_market()
    desk.feed(builders.delta(200, bids=((599_990, 5),)))
    assert desk.says() == "bid hold (place_pending, order_lockout) | ask hold (place_pending, order_lockout)"
    desk.acknowledge(turn, 250)
    assert desk.says() == "bid hold (order_lockout) | ask hold (order_lockout)"
    desk.wait(600)
    assert desk.says() == "bid hold (within_tolerance) | ask hold (within_tolerance)"


def test_a_fill_moves_the_position_and_locks_its_side():
    """The filled side holds for fill_lockout_ms and then quotes again; the other side may move at once."""
    desk = Desk()
    desk.acknowledge(desk.open_market(), 10)
    desk.wait(1000)
    desk.fill(Side.BUY, 10, 2000)
    market = desk.core.markets[SYMBOL]
    assert market.position.lots == 10
    assert market.decisions[0].reasons == (Reason.FILL_LOCKOUT,)
    assert market.decisions[0].action is Action.HOLD
    turn = desk.wait(3000)
    assert kinds(turn) == ["PlaceOrder bid"]


def test_inventory_shifts_both_quotes_against_itself():
    """Long: the next bid is lower and the ask is lower than when flat."""
    desk = Desk(builders.core_parameters(builders.market(quoting=QuoteParameters(gamma=0.5, tolerance_frac=1e-9))))
    desk.acknowledge(desk.open_market(lots=10), 10)
    flat_bid, flat_ask = desk.quote(Side.BUY).ticks, desk.quote(Side.SELL).ticks
    desk.wait(1000)
    turn = desk.fill(Side.BUY, 10, 2000)
    moved = [command for command in commands(turn) if isinstance(command, AmendOrder)]
    assert [command.client_id for command in moved] == [desk.quote(Side.SELL).client_id]
    assert moved[0].ticks < flat_ask
    desk.acknowledge(turn, 2010)
    desk.wait(3100)
    assert desk.quote(Side.BUY).ticks < flat_bid


def test_a_gap_in_the_book_withdraws_the_quotes():
    """No quote and no hold survives a book that lost its sequence; the snapshot brings the quotes back."""
    desk = Desk()
    desk.acknowledge(desk.open_market(), 10)
    turn = desk.feed(BookInvalidated(SYMBOL, 20 * MS, 20 * MS, InvalidCause.GAP))
    assert kinds(turn) == ["CancelOrder", "CancelOrder"]
    assert desk.says() == "bid withdraw (book_invalid) | ask withdraw (book_invalid)"
    desk.acknowledge(turn, 30)
    desk.wait(1000)
    turn = desk.feed(builders.snapshot(1001, 600_000, 600_001))
    assert kinds(turn) == ["PlaceOrder bid", "PlaceOrder ask"]


def test_a_silent_book_turns_stale_by_deadline():
    """Without a single further event the quotes are pulled once the book is too old."""
    desk = Desk()
    desk.acknowledge(desk.open_market(), 10)
    turn = desk.wait(6000)
    assert kinds(turn) == ["CancelOrder", "CancelOrder"]
    assert desk.says() == "bid withdraw (book_stale) | ask withdraw (book_stale)"
    assert 5000 < turn.now_ns / MS < 5010


def test_a_crossed_book_is_not_quoted_on():
    """A crossed book counts as invalid, not as an opportunity."""
    desk = Desk()
    desk.open_market()
    desk.feed(builders.delta(1000, bids=((600_005, 3),)))
    assert desk.says().startswith("bid withdraw (book_invalid)")


def test_a_one_sided_book_has_no_reference():
    """With nobody on one side there is no price to lean on."""
    desk = Desk()
    desk.feed(builders.connected(), builders.account(), builders.snapshot(0, 600_000, 600_001, depth=1))
    desk.feed(builders.delta(1000, asks=((600_001, 0),)))
    assert desk.says() == "bid withdraw (no_reference) | ask withdraw (no_reference)"


def test_at_the_limit_only_the_reducing_side_quotes():
    """Max position: the bid says so, the ask goes on."""
    desk = Desk(builders.core_parameters(builders.market(order_lots=10, max_position_lots=10)))
    desk.acknowledge(desk.open_market(), 10)
    desk.wait(1000)
    turn = desk.fill(Side.BUY, 10, 2000)
    assert desk.core.markets[SYMBOL].decisions[0].reasons[0] is Reason.MAX_POSITION
    assert desk.says().startswith("bid withdraw (max_position)")
    assert all(not isinstance(command, PlaceOrder) for command in commands(turn))
    assert desk.quote(Side.SELL).remaining_lots == 10


def test_the_last_quote_before_the_limit_is_trimmed_to_the_room_left():
    """With room for six lots the bid is six lots, not ten and not none."""
    desk = Desk(builders.core_parameters(builders.market(order_lots=10, max_position_lots=16)))
    desk.acknowledge(desk.open_market(), 10)
    desk.wait(1000)
    desk.fill(Side.BUY, 10, 2000)
    turn = desk.wait(3000)
    (bid,) = [command for command in commands(turn) if isinstance(command, PlaceOrder)]
    assert bid.lots == 6


def test_the_standing_decision_stands_while_the_fair_price_stays_inside_its_interval():
    """Small moves within the decide interval cost no decision; a move beyond the tolerance is answered at once."""
    quoting = QuoteParameters(decide_interval_ms=60_000, fair_price="mid", order_lockout_ms=0)
    desk = Desk(builders.core_parameters(builders.market(quoting=quoting)))
    desk.acknowledge(desk.open_market(), 10)
    before = desk.core.full_decisions
    for step in range(50):
        desk.feed(builders.delta(20 + step, bids=((599_995 - step % 2, 7),), update_id=3 + step))
    assert desk.core.full_decisions == before
    turn = desk.feed(builders.snapshot(100, 600_100, 600_101))
    assert kinds(turn) == ["AmendOrder", "AmendOrder"]
    assert desk.says() == "bid quote (too_passive) | ask quote (too_aggressive)"


def test_a_full_decision_comes_at_least_every_decide_interval_while_data_flows():
    """Even a market that stands still is looked at anew."""
    desk = Desk(builders.core_parameters(builders.market(quoting=QuoteParameters(decide_interval_ms=100))))
    desk.acknowledge(desk.open_market(), 10)
    before = desk.core.full_decisions
    for step in range(100):
        desk.feed(builders.delta(20 + 10 * step, bids=((599_990, 7),), update_id=3 + step))
    assert 9 <= desk.core.full_decisions - before <= 14


def test_a_quote_whose_fresh_copy_has_no_room_is_moved_by_cancel_and_place():
    """Where an amend makes a fresh order, both count until the answer. With room for one order only, a quote that has
    become too aggressive is cancelled and placed anew, not left where it is.
    """
    desk = Desk(
        builders.core_parameters(
            builders.market(max_position_lots=10),
            capabilities=Capabilities(amend=True, amend_quantity=AmendQuantity.FRESH, simulated=True),
        )
    )
    desk.acknowledge(desk.open_market(), 10)
    before = desk.quote(Side.BUY)
    turn = desk.feed(builders.snapshot(1000, 599_000, 599_001, update_id=2))
    assert before.client_id in [command.client_id for command in commands(turn) if isinstance(command, CancelOrder)]
    desk.acknowledge(turn, 1010)
    desk.wait(2000)
    assert desk.quote(Side.BUY).ticks < before.ticks - 900


def test_a_venue_without_amend_is_moved_by_cancel_and_place():
    """The old order goes first; only when it is final does the new one leave."""
    desk = Desk(builders.core_parameters(capabilities=Capabilities(amend=False)))
    desk.acknowledge(desk.open_market(), 10)
    desk.wait(1000)
    turn = desk.feed(builders.snapshot(1010, 600_400, 600_401))
    assert kinds(turn) == ["CancelOrder", "CancelOrder"]
    again = desk.acknowledge(turn, 1020)
    assert kinds(again) == ["PlaceOrder bid", "PlaceOrder ask"]


def test_moves_that_would_meet_our_own_order_wait_for_it_to_get_out_of_the_way():
    """A jump of the market past our ask: the ask leaves first, the bid follows after its acknowledgement."""
    quoting = QuoteParameters(fair_price="mid", order_lockout_ms=0)
    desk = Desk(builders.core_parameters(builders.market(quoting=quoting)))
    desk.acknowledge(desk.open_market(), 10)
    old_ask = desk.quote(Side.SELL).ticks
    turn = desk.feed(builders.snapshot(1010, 606_000, 606_001))
    moved = [command for command in commands(turn) if isinstance(command, AmendOrder)]
    assert [command.client_id for command in moved] == [desk.quote(Side.SELL).client_id]
    again = desk.acknowledge(turn, 1020)
    moved = [command for command in commands(again) if isinstance(command, AmendOrder)]
    assert [command.client_id for command in moved] == [desk.quote(Side.BUY).client_id]
    assert moved[0].ticks > old_ask
    assert not turn.refusals
    assert not again.refusals


def test_a_reject_locks_its_side_and_doubles():
    """Two rejects in a row: two seconds, then four."""
    desk = Desk()
    turn = desk.open_market()
    bid = commands(turn)[0]
    assert isinstance(bid, PlaceOrder)
    desk.feed(OrderRejected(SYMBOL, 10 * MS, 10 * MS, bid.client_id, RejectKind.INSUFFICIENT_MARGIN))
    assert desk.says().startswith("bid hold (order_lockout, reject_lockout)")
    turn = desk.wait(2100)
    (bid,) = [command for command in commands(turn) if isinstance(command, PlaceOrder)]
    assert turn.now_ns == 2010 * MS
    desk.feed(OrderRejected(SYMBOL, 2100 * MS, 2100 * MS, bid.client_id, RejectKind.INSUFFICIENT_MARGIN))
    desk.feed(builders.delta(4000, bids=((599_990, 5),)))
    turn = desk.wait(7000)
    assert turn.now_ns == 6100 * MS


def test_a_stop_cancels_everything_and_quotes_nothing_more():
    """One cancel-all a venue, then only silence; stopped when the venue has confirmed."""
    desk = Desk()
    desk.acknowledge(desk.open_market(), 10)
    bid, ask = desk.quote(Side.BUY), desk.quote(Side.SELL)
    turn = desk.feed(ShutdownRequested(20 * MS, "operator"))
    assert [type(command) for command in commands(turn)] == [CancelAll]
    assert desk.says() == "bid withdraw (shutdown) | ask withdraw (shutdown)"
    assert not desk.core.stopped
    at = 30 * MS
    for order in (bid, ask):
        desk.feed(OrderCanceled(SYMBOL, at, at, order.client_id, f"v{order.client_id}", True, 0))
    assert desk.core.stopped
    assert not desk.feed(builders.snapshot(1000, 600_000, 600_001)).released


def test_a_lost_venue_withdraws_its_quotes_until_it_is_back_with_a_new_book():
    """What was known of the book before the link broke is void, and so is what was known of the account: two clean
    rounds, asked for after the link was back, let the market go.
    """
    desk = Desk()
    desk.acknowledge(desk.open_market(), 10)
    venue = Venue("test")
    turn = desk.feed(VenueDisconnected(venue, 20 * MS, 20 * MS))
    assert desk.says() == "bid withdraw (venue_down, book_invalid) | ask withdraw (venue_down, book_invalid)"
    desk.acknowledge(turn, 30)
    desk.wait(1000)
    desk.feed(builders.connected(1000))
    assert desk.says() == "bid withdraw (reconciling, book_invalid) | ask withdraw (reconciling, book_invalid)"
    desk.feed(builders.snapshot(1100, 600_000, 600_001))
    desk.feed(builders.account(1200, requested_ms=900))
    desk.feed(builders.account(1300))
    assert desk.says() == "bid withdraw (reconciling) | ask withdraw (reconciling)"
    assert kinds(desk.feed(builders.account(2300))) == ["PlaceOrder bid", "PlaceOrder ask"]


def test_an_operator_pauses_and_resumes_one_market():
    """Paused: withdrawn with that reason. Resumed: quoted again."""
    desk = Desk()
    desk.acknowledge(desk.open_market(), 10)
    desk.wait(1000)
    turn = desk.feed(OperatorRequest(1000 * MS, OperatorAction.PAUSE, "anna", SYMBOL))
    assert desk.says() == "bid withdraw (operator_paused) | ask withdraw (operator_paused)"
    desk.acknowledge(turn, 1010)
    turn = desk.feed(OperatorRequest(2000 * MS, OperatorAction.RESUME, "anna", SYMBOL))
    assert kinds(turn) == ["PlaceOrder bid", "PlaceOrder ask"]


def test_a_loss_beyond_the_limit_latches_the_kill_switch_until_an_operator_clears_it():
    """A price crash on a long position: cancel everything, stay out although the market calms down."""
    account = AccountLimits(max_drawdown_atto=5 * ATTO)
    desk = Desk(builders.core_parameters(account=account))
    desk.acknowledge(desk.open_market(), 10)
    desk.wait(1000)
    desk.fill(Side.BUY, 10, 2000)
    turn = desk.feed(builders.snapshot(2200, 590_000, 590_001))
    assert CancelAll in [type(command) for command in commands(turn)]
    desk.wait(2200)
    assert desk.core.markets[SYMBOL].decisions[0].reasons[0] is Reason.KILL_LATCHED
    turn = desk.feed(builders.snapshot(60_000, 600_000, 600_001))
    assert not [command for command in commands(turn) if isinstance(command, PlaceOrder)]


def test_an_event_about_an_unknown_instrument_is_a_bug_that_says_its_name():
    """The core never guesses."""
    with pytest.raises(CoreError, match="test:NOPE"):
        Desk().feed(builders.snapshot(0, 1, 2, symbol=InstrumentId("test:NOPE")))


def test_the_same_events_give_the_same_turns():
    """Two cores fed alike answer alike, to the last reason and id."""

    def story() -> Desk:
        desk = Desk()
        desk.acknowledge(desk.open_market(), 10)
        desk.wait(1000)
        desk.fill(Side.BUY, 4, 2000)
        desk.feed(builders.snapshot(2500, 600_300, 600_301))
        desk.wait(9000)
        return desk

    first, second = story(), story()
    assert first.turns == second.turns
    assert any(turn.released for turn in first.turns)


def test_a_quote_that_is_filled_and_refilled_many_times_is_never_too_large():
    """With amends that name the total, what has traded already does not count against the size of one order."""
    quoting = QuoteParameters(fair_price="mid", order_lockout_ms=0, fill_lockout_ms=0)
    desk = Desk(builders.core_parameters(builders.market(quoting=quoting, max_position_lots=1000)))
    desk.acknowledge(desk.open_market(), 10)
    for step in range(20):
        at_ms = 1000 * (step + 1)
        desk.feed(builders.snapshot(at_ms, 600_000, 600_001))
        turn = desk.fill(Side.BUY, 6, at_ms + 100)
        assert not turn.refusals
        desk.acknowledge(turn, at_ms + 200)
    bid = desk.quote(Side.BUY)
    assert bid.filled_lots == 120
    assert bid.remaining_lots == 10


def test_a_quote_that_the_action_budget_cannot_move_is_pulled():
    """With the minute's actions spent, what became too aggressive is cancelled, the rest held, and nothing refused."""
    market = builders.market()
    limits = msgspec.structs.replace(market.limits, actions_per_minute=2)
    desk = Desk(builders.core_parameters(msgspec.structs.replace(market, limits=limits)))
    desk.acknowledge(desk.open_market(lots=10), 10)
    desk.wait(1000)
    turn = desk.feed(builders.snapshot(2000, 599_000, 599_001, lots=10))
    assert desk.says() == "bid withdraw (budget_pull) | ask hold (budget_hold)"
    assert kinds(turn) == ["CancelOrder"]
    assert not turn.refusals


def test_a_cancel_that_must_wait_for_the_venue_leaves_by_deadline():
    """Pulled by news of the book while the venue takes nothing: gone the moment it does, without another event."""
    desk = Desk()
    desk.acknowledge(desk.open_market(), 10)
    desk.wait(1000)
    desk.feed(RateLimited(builders.VENUE, 1100 * MS, 1100 * MS, retry_after_ms=300))
    turn = desk.feed(builders.delta(1200, bids=((600_005, 3),)))
    assert desk.says() == "bid withdraw (book_invalid) | ask withdraw (book_invalid)"
    assert not turn.released
    assert kinds(desk.wait(1400)) == ["CancelOrder", "CancelOrder"]


def test_what_one_market_wins_covers_what_another_loses_in_the_same_moment():
    """Long here and as much short there: when both fall, nothing was lost and no limit is broken."""
    symbols = (SYMBOL, InstrumentId("test:ETH-USDT"))
    markets = [builders.market(builders.instrument(symbol.partition(":")[2])) for symbol in symbols]
    desk = Desk(builders.core_parameters(*markets, account=AccountLimits(max_drawdown_atto=5 * ATTO)))
    for symbol in symbols:
        desk.feed(builders.snapshot(0, 600_000, 600_001, symbol=symbol))
    desk.acknowledge(desk.feed(builders.connected(), builders.account()), 10)
    desk.wait(1000)
    for symbol, side in zip(symbols, (Side.BUY, Side.SELL), strict=True):
        order = desk.core.markets[symbol].working(side)
        assert order is not None
        at, name = 2000 * MS, f"v{order.client_id}"
        desk.feed(OrderFilled(symbol, at, at, order.client_id, name, name, side, order.ticks, 10, True))
    desk.feed(*(builders.snapshot(2200, 590_000, 590_001, symbol=symbol) for symbol in symbols))
    assert desk.core.gate.latched is None


def test_a_quote_held_off_the_touch_knows_which_best_price_holds_it():
    """On a coarse grid 103.7 and 103.5 both hold the bid at 103.0: the standing decision goes by the present one."""
    contract = msgspec.structs.replace(builders.instrument(), grid=SignificantFigures(figures=3, decimals=1))
    quoting = QuoteParameters(
        fair_price="mid", gamma=1.0, k=5.0, max_give_bps=900.0, target_position=0.2, volatility=50
    )
    desk = Desk(builders.core_parameters(builders.market(contract, quoting=quoting)))
    desk.acknowledge(desk.open_market(0, 1031, 1037), 10)
    desk.wait(1000)
    for number, (bid, ask) in enumerate(((1031, 1037), (1033, 1035), (1032, 1036)), start=2):
        at = 1000 * number * MS
        desk.feed(TopOfBook(SYMBOL, at, at, bid, 1000, ask, 1000, number))
        assert desk.quote(Side.BUY).ticks == 1030
        assert desk.core.markets[SYMBOL].bid_clamped_at == ask


def test_a_quote_that_must_not_improve_joins_the_best_price():
    """In a market wider than our spread the quotes would lie inside it; told not to, they join."""
    inside, joins = (
        Desk(
            builders.core_parameters(builders.market(quoting=QuoteParameters(fair_price="mid", improve_touch=improve)))
        )
        for improve in (True, False)
    )
    for desk in (inside, joins):
        desk.acknowledge(desk.open_market(0, 599_000, 601_000), 10)
    assert 599_000 < inside.quote(Side.BUY).ticks < inside.quote(Side.SELL).ticks < 601_000
    assert (joins.quote(Side.BUY).ticks, joins.quote(Side.SELL).ticks) == (599_000, 601_000)


def test_a_quote_that_joined_the_best_price_goes_back_with_it_at_once():
    """Though the mid stays where it was, and long before the next decision by the clock."""
    quoting = QuoteParameters(
        fair_price="mid", improve_touch=False, decide_interval_ms=60_000, order_lockout_ms=0, tolerance_frac=1e-9
    )
    desk = Desk(builders.core_parameters(builders.market(quoting=quoting)))
    desk.acknowledge(desk.open_market(0, 599_000, 601_000), 10)
    desk.acknowledge(desk.feed(builders.snapshot(1000, 598_900, 601_100, update_id=2)), 1010)
    assert (desk.quote(Side.BUY).ticks, desk.quote(Side.SELL).ticks) == (598_900, 601_100)


def test_a_volatility_that_is_told_is_what_is_quoted_by():
    """From the next decision on, whatever the market did; a calmer figure brings the quotes closer again."""
    desk = Desk()
    desk.open_market()
    engine = desk.core.markets[SYMBOL].engine
    for annual_e6 in (900_000, 100_000):
        desk.feed(VolatilityUpdate(SYMBOL, 2000 * MS, 2000 * MS, annual_e6))
        assert engine.sigma_bps(600_000.0) == pytest.approx(annual_vol_to_bps(annual_e6 / 1e6))
