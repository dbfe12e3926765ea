"""The risk gate: every refusal of EXECUTION 5, and what must never be refused."""

from decimal import Decimal

import pytest

from mm_daemon.core.order_ledger import OrderLedger
from mm_daemon.domain.decisions import ApprovedCommand, Intent, PlaceOrder, Reason, Refusal, RefusalCode
from mm_daemon.domain.events import InvalidCause
from mm_daemon.domain.instrument import SignificantFigures
from mm_daemon.domain.orders import Purpose, Side
from mm_daemon.risk.facts import MarketFacts
from mm_daemon.risk.gate import RiskGate
from mm_daemon.risk.limits import AccountLimits
from tests.orders import (
    FRESH,
    SECOND,
    TOTAL,
    VENUE,
    amend,
    amended,
    cancel,
    cancel_all,
    canceled,
    facts,
    instrument,
    ledger_with,
    place,
    send_amend,
    unknown,
)


def _review(
    intent: Intent,
    market: MarketFacts | None = None,
    ledger: OrderLedger | None = None,
    gate: RiskGate | None = None,
    now_ns: int = 0,
) -> RefusalCode | None:
    verdict = (gate or RiskGate(AccountLimits())).review(
        intent, market or facts(), ledger or OrderLedger({VENUE: TOTAL}), now_ns
    )
    if isinstance(verdict, Refusal):
        assert verdict.intent is intent
        return verdict.code
    assert isinstance(verdict, ApprovedCommand)
    assert verdict.command is intent
    return None


def test_ordinary_quotes_pass() -> None:
    """A post-only quote at the touch, inside all limits."""
    assert _review(place(1)) is None
    assert _review(place(2, Side.SELL, 101)) is None


def test_shutdown_and_latch_refuse_all_but_cancels() -> None:
    """G1: cancels pass whatever the mode."""
    ledger = ledger_with(place(1))
    stopping, latched = RiskGate(AccountLimits()), RiskGate(AccountLimits())
    stopping.cancels_only = True
    latched.latch("operator")
    latched.latch("another")
    assert latched.latched == "operator"
    for gate, code in ((stopping, RefusalCode.CANCELS_ONLY), (latched, RefusalCode.KILL_LATCHED)):
        assert _review(place(2, ticks=98, level=1), ledger=ledger, gate=gate) is code
        assert _review(amend(1, 98, 5), ledger=ledger, gate=gate) is code
        assert _review(cancel(1), ledger=ledger, gate=gate) is None
        assert _review(cancel_all(), ledger=ledger, gate=gate) is None
    latched.clear()
    assert _review(place(2, ticks=98, level=1), ledger=ledger, gate=latched) is None


def test_reconciling_lets_only_reducing_orders_through() -> None:
    """G1: a difference we cannot explain stops quoting, not getting out."""
    market = facts(position_lots=-20)
    market.reconciling = True
    out = place(1, ticks=101, reduce_only=True, post_only=False, purpose=Purpose.FLATTEN)
    assert _review(place(1), market) is RefusalCode.RECONCILING
    assert _review(out, market) is None


def test_market_must_be_known_and_open() -> None:
    """G2."""
    halted = facts()
    halted.tradable = False
    assert _review(place(1), halted) is RefusalCode.MARKET_HALTED
    verdict = RiskGate(AccountLimits()).review(place(1), None, OrderLedger({VENUE: TOTAL}), 0)
    assert isinstance(verdict, Refusal)
    assert verdict.code is RefusalCode.UNKNOWN_INSTRUMENT


def test_amend_and_cancel_need_a_target_that_may_be_alive() -> None:
    """G2: never for orders that are final or were never ours."""
    ledger = ledger_with(place(1))
    ledger.apply(canceled(1, 0))
    for number in (1, 9):
        assert _review(amend(number, 98, 5), ledger=ledger) is RefusalCode.UNKNOWN_TARGET
        assert _review(cancel(number), ledger=ledger) is RefusalCode.UNKNOWN_TARGET


def test_one_amend_at_a_time_and_none_while_the_order_is_in_doubt() -> None:
    """G2: an amend that is out, an unanswered place and an unknown order make the target busy."""
    ledger = ledger_with(place(1))
    send_amend(ledger, 1, 98, 5)
    assert _review(amend(1, 97, 5), ledger=ledger) is RefusalCode.TARGET_BUSY
    waiting = ledger_with(place(1), live=False)
    assert _review(amend(1, 97, 5), ledger=waiting) is RefusalCode.TARGET_BUSY
    waiting.apply(unknown(1))
    assert _review(amend(1, 97, 5), ledger=waiting) is RefusalCode.TARGET_BUSY
    assert _review(cancel(1), ledger=waiting) is None


@pytest.mark.parametrize(
    ("ticks", "lots", "code"),
    [
        (0, 10, RefusalCode.BAD_NUMBER),
        (-5, 10, RefusalCode.BAD_NUMBER),
        (99, -1, RefusalCode.BAD_NUMBER),
        (float("nan"), 10, RefusalCode.BAD_NUMBER),
        (99, float("inf"), RefusalCode.BAD_NUMBER),
        (99, 0, RefusalCode.SIZE_MIN),
        (99, 2, RefusalCode.SIZE_MIN),
        (99, 51, RefusalCode.SIZE_MAX),
        (99, 5, RefusalCode.NOTIONAL_MIN),
        (99, 40, RefusalCode.NOTIONAL_MAX),
        (99, 10, None),
    ],
)
def test_numbers_sizes_and_notional_are_bounded(ticks: int, lots: int, code: RefusalCode | None) -> None:
    """G3: 99 ticks of 0.1 times lots of 0.01 make 0.099 a lot; least 0.5, most 3.5."""
    market = facts(
        definition=instrument(min_lots=3, min_notional=Decimal("0.5")), max_notional_atto=3_500_000_000_000_000_000
    )
    assert _review(place(1, ticks=ticks, lots=lots), market) is code


def test_price_must_lie_on_the_grid_at_that_price() -> None:
    """G3: with two significant figures 101 is no price, 100 is."""
    market = facts(definition=instrument(grid=SignificantFigures(figures=2, decimals=1)))
    assert _review(place(1, Side.SELL, 105), market) is RefusalCode.OFF_GRID_PRICE
    assert _review(place(1, Side.SELL, 110), market) is None


def test_quotes_need_a_trusted_and_fresh_book() -> None:
    """G4: stale, invalid or crossed, no quote passes; a hedge passes on a mark."""
    stale, invalid = facts(position_lots=20), facts(position_lots=20)
    stale.book_fresh = False
    invalid.book.invalidate(InvalidCause.GAP)
    out = place(1, Side.SELL, 99, reduce_only=True, post_only=False, purpose=Purpose.FLATTEN)
    for market in (stale, invalid):
        assert _review(place(1), market) is RefusalCode.BOOK_NOT_TRUSTED
        assert _review(out, market) is RefusalCode.BOOK_NOT_TRUSTED
        market.mark_half_ticks = 200
        assert _review(place(1), market) is RefusalCode.BOOK_NOT_TRUSTED
        assert _review(out, market) is None


def test_price_stays_in_the_collar_of_mid_and_mark() -> None:
    """G5: exactly at the collar passes, a tick beyond does not; the mark binds as well."""
    market = facts(collar_bps=1000.0)
    assert _review(place(1, ticks=90), market) is None
    assert _review(place(1, ticks=89), market) is RefusalCode.PRICE_COLLAR
    market.mark_half_ticks = 220
    assert _review(place(1, ticks=99), market) is None
    assert _review(place(1, ticks=98), market) is RefusalCode.PRICE_COLLAR


def test_quotes_are_post_only_and_do_not_cross() -> None:
    """G6: neither at the other side's touch nor without the post-only flag."""
    assert _review(place(1, ticks=100)) is None
    assert _review(place(1, ticks=101)) is RefusalCode.WOULD_CROSS
    assert _review(place(1, Side.SELL, 99)) is RefusalCode.WOULD_CROSS
    assert _review(place(1, post_only=False)) is RefusalCode.WOULD_CROSS


@pytest.mark.parametrize(
    ("position", "lots", "passes"), [(10, 10, True), (10, 11, False), (-10, 1, False), (0, 1, False)]
)
def test_reduce_orders_only_reduce(position: int, lots: int, passes: bool) -> None:
    """G6: a selling reduce order fits into a long position."""
    out = place(1, Side.SELL, 99, lots, reduce_only=True, post_only=False, purpose=Purpose.HEDGE)
    assert _review(out, facts(position)) is (None if passes else RefusalCode.NOT_REDUCING)


def test_reduce_orders_share_the_position() -> None:
    """G6: what another sell may already take is not there twice."""
    ledger = ledger_with(place(1, Side.SELL, 101, 6))
    out = place(2, Side.SELL, 99, 5, reduce_only=True, post_only=False, purpose=Purpose.FLATTEN)
    assert _review(out, facts(10), ledger) is RefusalCode.NOT_REDUCING


def test_own_orders_never_meet() -> None:
    """G7: over every version that may be alive, the amend in flight included."""
    ledger = ledger_with(place(1, Side.SELL, 105))
    wide = facts()
    wide.book.ask_ticks = 200
    assert _review(place(2, ticks=104), wide, ledger) is None
    assert _review(place(2, ticks=105), wide, ledger) is RefusalCode.SELF_CROSS
    send_amend(ledger, 1, 103, 10)
    assert _review(place(2, ticks=104), wide, ledger) is RefusalCode.SELF_CROSS


def test_slot_price_id_and_count_are_exclusive() -> None:
    """G8, in its order."""
    ledger = ledger_with(place(1), place(2, ticks=98, level=1))
    assert _review(place(1, ticks=97, level=2), ledger=ledger) is RefusalCode.DUPLICATE_ID
    assert _review(place(3, ticks=97, level=0), ledger=ledger) is RefusalCode.SLOT_BUSY
    assert _review(place(3, ticks=98, level=2), ledger=ledger) is RefusalCode.PRICE_BUSY
    assert _review(place(3, ticks=97, level=2), facts(max_orders_per_side=2), ledger) is RefusalCode.MAX_ORDERS
    assert _review(place(3, ticks=97, level=2), ledger=ledger) is None
    assert _review(amend(1, 98, 10), ledger=ledger) is RefusalCode.PRICE_BUSY
    assert _review(amend(1, 99, 12), facts(max_orders_per_side=2), ledger) is None


def test_price_of_a_tail_is_busy() -> None:
    """G8: the old version may still rest where it was."""
    ledger = ledger_with(place(1, ticks=97), capabilities=FRESH)
    send_amend(ledger, 1, 99, 10)
    ledger.apply(amended(1, "v2", 99, 10))
    assert _review(amend(1, 97, 10), ledger=ledger) is RefusalCode.PRICE_BUSY
    ledger.apply(canceled(1, 0, "v1"))
    assert _review(amend(1, 97, 10), ledger=ledger) is None


def test_worst_case_position_binds_its_own_side_only() -> None:
    """G9: at the limit passes, one lot more does not; the other side can always shrink the position."""
    ledger = ledger_with(place(1, lots=30))
    assert _review(place(2, ticks=98, lots=50, level=1), facts(20), ledger) is None
    assert _review(place(2, ticks=98, lots=50, level=1), facts(21), ledger) is RefusalCode.WORST_POSITION
    assert _review(place(2, Side.SELL, 101, 50), facts(140), ledger) is None


def test_min_position_is_the_lower_bound() -> None:
    """G9: where shorting is not wanted, only what is held may be offered."""
    long_only = facts(10, min_position_lots=0)
    assert _review(place(1, Side.SELL, 101, 10), long_only) is None
    assert _review(place(1, Side.SELL, 101, 11), long_only) is RefusalCode.WORST_POSITION


def test_amend_counts_as_its_venue_counts_it() -> None:
    """G9: a total replaces, a fresh one adds, until the old version is known to be dead."""
    total, fresh = ledger_with(place(1, lots=30)), ledger_with(place(1, lots=30), capabilities=FRESH)
    assert _review(amend(1, 98, 40), facts(60), total) is None
    assert _review(amend(1, 98, 40), facts(61), total) is RefusalCode.WORST_POSITION
    assert _review(amend(1, 98, 40), facts(30), fresh) is None
    assert _review(amend(1, 98, 40), facts(31), fresh) is RefusalCode.WORST_POSITION


def test_amend_to_no_more_than_what_is_filled_is_refused() -> None:
    """G3: a total that leaves nothing to rest would cancel the order by surprise."""
    ledger = ledger_with(place(1))
    order = ledger.get(place(1).client_id)
    assert order is not None
    order.filled_lots = 6
    assert _review(amend(1, 98, 6), ledger=ledger) is RefusalCode.SIZE_MIN
    assert _review(amend(1, 98, 7), ledger=ledger) is None


def test_loss_latches_until_an_operator_takes_it() -> None:
    """G11: drawdown from the peak; the latch says why; clearing starts anew from here."""
    gate = RiskGate(AccountLimits(max_drawdown_atto=100))
    assert gate.limits_equity
    assert not gate.set_equity(0)
    assert not gate.set_equity(500)
    assert not gate.set_equity(400)
    assert gate.set_equity(399)
    assert not gate.set_equity(390)
    assert gate.latched == "loss_limit"
    assert _review(place(1), gate=gate) is RefusalCode.KILL_LATCHED
    gate.clear()
    assert not gate.set_equity(380)
    assert _review(place(1), gate=gate) is None


def test_day_loss_counts_from_the_days_first_equity() -> None:
    """G11: yesterday's loss is yesterday's."""
    day_ns = 86_400 * SECOND
    gate = RiskGate(AccountLimits(max_loss_atto=100))
    gate.set_equity(1000, 0)
    assert not gate.set_equity(900, 1)
    assert not gate.set_equity(850, day_ns)
    assert gate.set_equity(799, day_ns + 1)


def test_action_budget_slides_over_a_minute() -> None:
    """G12: places and amends are charged when they pass, cancels never."""
    gate, market = RiskGate(AccountLimits()), facts(actions_per_minute=2)
    ledger = ledger_with(place(9, ticks=95, level=2))
    assert _review(place(1, ticks=101), market, ledger, gate) is RefusalCode.WOULD_CROSS
    assert _review(place(1), market, ledger, gate) is None
    assert _review(amend(9, 94, 10), market, ledger, gate, 30 * SECOND) is None
    assert _review(place(3), market, ledger, gate, 59 * SECOND) is RefusalCode.ACTION_BUDGET
    assert _review(cancel(9), market, ledger, gate, 59 * SECOND) is None
    assert _review(place(3), market, ledger, gate, 60 * SECOND) is None
    assert _review(place(4), market, ledger, gate, 60 * SECOND) is RefusalCode.ACTION_BUDGET


def test_budget_is_low_while_less_than_a_twentieth_of_it_is_left() -> None:
    """The core stops moving quotes before the gate has to refuse them, and knows when it may go on."""
    gate, market = RiskGate(AccountLimits()), facts(actions_per_minute=2)
    ledger = ledger_with(place(9, ticks=95, level=2))

    def pace(now_s: int) -> tuple[int, bool, int | None]:
        return gate.budget.pace(market.instrument.id, market.limits, now_s * SECOND)

    assert pace(0) == (0, False, None)
    assert _review(place(1), market, ledger, gate) is None
    assert pace(0) == (0, False, None)
    assert _review(amend(9, 94, 10), market, ledger, gate, 30 * SECOND) is None
    assert pace(59) == (Reason.BUDGET_HOLD.bit, True, 60 * SECOND)
    assert pace(60) == (0, False, None)
    gate.budget.give_back(market.instrument.id, charged=True, now_ns=60 * SECOND)
    assert _review(place(3), market, ledger, gate, 60 * SECOND) is None
    assert _review(place(4), market, ledger, gate, 60 * SECOND) is None


def test_merged_place_is_reviewed_without_counting_itself_twice() -> None:
    """The waiting place and its amend give way to one place; limits still hold."""
    gate, ledger, market = RiskGate(AccountLimits()), OrderLedger({VENUE: TOTAL}), facts(60)
    ledger.queue(place(1, lots=30), 0)
    ledger.queue(amend(1, 98, 40), 0)
    merged = gate.merge(place(1, lots=30), amend(1, 98, 40), market, ledger, 0)
    assert isinstance(merged, ApprovedCommand)
    assert isinstance(merged.command, PlaceOrder)
    assert (merged.command.ticks, merged.command.lots) == (98, 40)
    market.position_lots = 61
    refused = gate.merge(place(1, lots=30), amend(1, 98, 40), market, ledger, 0)
    assert isinstance(refused, Refusal)
    assert refused.code is RefusalCode.WORST_POSITION
