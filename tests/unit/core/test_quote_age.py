"""How old a quote is: too young to be moved without need, or so old that it is placed anew."""

import msgspec

from mm_daemon.core.trading_core import TradingCore
from mm_daemon.domain.decisions import Action, AmendOrder, CancelOrder, PlaceOrder, Reason
from mm_daemon.domain.events import RunStarted
from mm_daemon.domain.orders import Side
from mm_daemon.engine.parameters import QuoteParameters
from mm_daemon.testkit import builders
from tests.unit.core.desk import MS, SYMBOL, Desk, commands, kinds

PLAIN = QuoteParameters(
    model="fixed_spread",
    half_spread_bps=1.0,
    skew_bps_at_max=1e-6,
    inventory_widening=1.0,
    fair_price="mid",
    order_lockout_ms=0,
    fill_lockout_ms=0,
    max_book_age_ms=3600_000,
)


def _desk(max_position_lots: int = 50, **keys: object) -> Desk:
    quoting = msgspec.structs.replace(PLAIN, **keys)
    desk = Desk(builders.core_parameters(builders.market(quoting=quoting, max_position_lots=max_position_lots)))
    desk.acknowledge(desk.open_market(), 10)
    return desk


def _reasons(desk: Desk) -> list[Reason]:
    return [decision.reasons[0] for decision in desk.core.markets[SYMBOL].decisions]


def test_a_young_quote_that_is_too_passive_waits_and_the_other_side_moves_at_once() -> None:
    """A rise leaves the bid behind and makes the ask too aggressive: only the ask moves before the bid's time."""
    desk = _desk(quote_min_life_ms=2000)
    turn = desk.feed(builders.snapshot(500, 600_200, 600_201, update_id=2))
    assert kinds(turn) == ["AmendOrder"]
    assert _reasons(desk) == [Reason.MIN_LIFE, Reason.TOO_AGGRESSIVE]
    assert desk.core.markets[SYMBOL].decisions[0].action is Action.HOLD
    desk.acknowledge(turn, 510)
    turn = desk.wait(2100)
    assert turn.now_ns == 2000 * MS, "by a deadline, not by the next event"
    (amend,) = commands(turn)
    assert isinstance(amend, AmendOrder)
    assert amend.client_id == desk.quote(Side.BUY).client_id
    assert amend.reasons == (Reason.TOO_PASSIVE,)


def test_a_young_quote_that_was_left_behind_still_moves_when_it_becomes_too_aggressive() -> None:
    """The fair price comes back and goes on: what was held for its youth is pulled back at once."""
    desk = _desk(quote_min_life_ms=60_000)
    desk.acknowledge(desk.feed(builders.snapshot(500, 600_200, 600_201, update_id=2)), 510)
    turn = desk.feed(builders.snapshot(520, 599_900, 599_901, update_id=3))
    amends = {command.client_id: command for command in commands(turn) if isinstance(command, AmendOrder)}
    assert amends[desk.quote(Side.BUY).client_id].reasons == (Reason.TOO_AGGRESSIVE,)


def test_a_young_quote_of_another_size_waits_unless_a_limit_forces_it() -> None:
    """After a partial fill the rest waits; where the limit leaves less room than works, it shrinks at once."""
    desk = _desk(quote_min_life_ms=2000)
    desk.fill(Side.BUY, 5, 500)
    assert _reasons(desk)[0] is Reason.MIN_LIFE
    (amend,) = commands(desk.wait(2100))
    assert isinstance(amend, AmendOrder)
    assert amend.reasons == (Reason.SIZE_CHANGED,)
    tight = _desk(max_position_lots=15, quote_min_life_ms=2000, inventory_skip_at=1.0)
    ask = tight.quote(Side.SELL)
    turn = tight.fill(Side.BUY, 10, 500)
    assert ask.remaining_lots == 10
    assert kinds(turn) == ["PlaceOrder bid"]
    tight.acknowledge(turn, 510)
    turn = tight.fill(Side.SELL, 10, 520)  # flat again: the bid of 5 may grow to 10, but not yet
    assert tight.quote(Side.BUY).lots == 5
    assert _reasons(tight)[0] is Reason.MIN_LIFE


def test_an_old_quote_is_placed_anew() -> None:
    """At its age, by a deadline, although it lies where it should: cancelled, then placed; the other one likewise."""
    desk = _desk(quote_max_age_s=30.0)
    before = {side: desk.quote(side).client_id for side in (Side.BUY, Side.SELL)}
    assert not desk.wait(29_999).released
    turn = desk.wait(30_000)
    assert turn.now_ns == 30_000 * MS
    cancels = commands(turn)
    assert [type(command) for command in cancels] == [CancelOrder, CancelOrder]
    assert all(command.reasons == (Reason.EXPIRY_NEAR,) for command in cancels if isinstance(command, CancelOrder))
    turn = desk.acknowledge(turn, 30_005)
    assert [type(command) for command in commands(turn)] == [PlaceOrder, PlaceOrder]
    desk.acknowledge(turn, 30_010)
    assert all(desk.quote(side).client_id != before[side] for side in before)
    assert not desk.wait(60_000).released


def test_a_quote_that_was_moved_is_young_again() -> None:
    """What counts is when it was last sent or moved."""
    desk = _desk(quote_max_age_s=30.0)
    turn = desk.feed(builders.snapshot(20_000, 600_100, 600_101, update_id=2))
    assert kinds(turn) == ["AmendOrder", "AmendOrder"]
    desk.acknowledge(turn, 20_010)
    assert not desk.wait(49_999).released
    assert desk.wait(50_000).released


def test_a_quote_that_lies_a_little_off_is_refreshed_by_a_move() -> None:
    """The bid lags within its tolerance: one amend brings it to its target and makes it young."""
    desk = _desk(quote_max_age_s=30.0, half_spread_bps=20.0)
    desk.acknowledge(desk.feed(builders.snapshot(20_000, 600_010, 600_011, update_id=2)), 20_010)
    (amend,) = commands(desk.wait(30_000))
    assert isinstance(amend, AmendOrder)
    assert amend.client_id == desk.quote(Side.BUY).client_id
    assert amend.reasons == (Reason.EXPIRY_NEAR,)


def test_age_outlives_the_process_and_a_clock_that_begins_anew() -> None:
    """A quote that another life placed is as old as it was."""
    desk = _desk(quote_max_age_s=30.0)
    desk.feed(builders.snapshot(20_000, 600_000, 600_001, update_id=2))
    left = desk.core.checkpoint()
    resumed = TradingCore(desk.core.parameters, left)
    resumed.apply(RunStarted(5_000 * MS, "test", "", left))
    ages = [5_000 * MS - order.since_ns for order in resumed.ledger.alive(SYMBOL)]
    assert ages == [20_000 * MS] * 2


def test_without_these_keys_age_is_no_deadline() -> None:
    """Off, nothing is counted."""
    desk = _desk()
    market = desk.core.markets[SYMBOL]
    assert not market.ages
    assert market.deadline_ns == market.book.ts_local_ns + market.max_book_age_ns + 1
