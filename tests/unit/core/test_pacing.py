"""How limits and the venue's word reach the decisions: what is held, pulled, dropped and taken up again."""

import msgspec

from mm_daemon.core.trading_core import TradingCore
from mm_daemon.domain.capabilities import Bucket, BucketKind, Capabilities, CommandClass
from mm_daemon.domain.decisions import AmendOrder, DropCode, PlaceOrder, Reason
from mm_daemon.domain.events import RateLimited, RateLimitUsed, RunStarted, VenueTime
from mm_daemon.domain.orders import Side
from mm_daemon.engine.parameters import QuoteParameters
from mm_daemon.testkit import builders
from tests.unit.core.desk import MS, SYMBOL, Desk, commands, kinds

PLACES = {CommandClass.PLACE: 1, CommandClass.AMEND: 1}
QUICK = QuoteParameters(fair_price="mid", order_lockout_ms=0, fill_lockout_ms=0)


def _desk(*buckets: Bucket, quoting: QuoteParameters = QUICK, queue_ttl_ms: int = 250) -> Desk:
    parameters = builders.core_parameters(
        builders.market(quoting=quoting), capabilities=Capabilities(amend=True, buckets=buckets)
    )
    return Desk(msgspec.structs.replace(parameters, queue_ttl_ms=queue_ttl_ms))


def _window(capacity: int, period_ms: int = 10_000) -> Bucket:
    return Bucket(
        name="orders", kind=BucketKind.WINDOW, capacity=capacity, period_ms=period_ms, costs=PLACES, reserve=0,
        use_percent=100, slack_ms=0,
    )  # fmt: skip


def test_a_queued_quote_whose_price_has_gone_is_dropped_and_decided_anew() -> None:
    """A place that waits is not sent at a price that nobody wants any more (EXECUTION 6, superseded)."""
    desk = _desk(_window(2, 1000), queue_ttl_ms=5000)
    desk.acknowledge(desk.open_market(), 10)
    turn = desk.feed(builders.snapshot(500, 590_000, 590_001, update_id=2))
    assert kinds(turn) == []
    (bid,) = desk.core.outboxes[builders.VENUE].commands()  # the ask would meet it where it is
    turn = desk.feed(builders.snapshot(700, 580_000, 580_001, update_id=3))
    assert [(drop.command, drop.code) for drop in turn.dropped] == [(bid, DropCode.QUEUE_EXPIRED)]
    desk.wait(700)
    (better,) = desk.core.outboxes[builders.VENUE].commands()
    assert isinstance(better, AmendOrder)
    assert 579_000 < better.ticks < 580_000
    assert commands(desk.wait(1000)) == [better]


def test_what_still_fits_waits_on() -> None:
    """A queued move within tolerance of what would be decided now stays where it is."""
    desk = _desk(_window(2, 1000), queue_ttl_ms=5000)
    desk.acknowledge(desk.open_market(), 10)
    desk.feed(builders.snapshot(500, 590_000, 590_001, update_id=2))
    waiting = desk.core.outboxes[builders.VENUE].commands()
    assert not desk.feed(builders.snapshot(700, 590_000, 590_001, lots=900, update_id=3)).dropped
    assert desk.core.outboxes[builders.VENUE].commands() == waiting


def test_a_limit_at_its_reserve_holds_quotes_pulls_what_is_too_close_and_goes_on_by_itself() -> None:
    """Cancels leave at once; when the window opens, the deadline alone brings the quotes back."""
    desk = _desk(_window(2))
    desk.acknowledge(desk.open_market(lots=10), 10)
    turn = desk.feed(builders.snapshot(2000, 599_000, 599_001, lots=10, update_id=2))
    assert desk.says() == "bid withdraw (budget_pull) | ask hold (budget_hold)"
    assert kinds(turn) == ["CancelOrder"]
    desk.acknowledge(turn, 2010)
    desk.feed(builders.snapshot(9000, 599_000, 599_001, lots=11, update_id=3))
    assert desk.says() == "bid hold (budget_hold) | ask hold (budget_hold)"
    assert kinds(desk.wait(10_000)) == ["AmendOrder", "PlaceOrder bid"]


def test_the_end_of_a_retry_after_is_a_deadline() -> None:
    """No event of the market is needed to quote again."""
    desk = _desk()
    desk.feed(RateLimited(builders.VENUE, 0, 0, retry_after_ms=1500))
    assert kinds(desk.open_market()) == []
    assert desk.says() == "bid hold (venue_backoff) | ask hold (venue_backoff)"
    assert kinds(desk.wait(1499)) == []
    assert kinds(desk.wait(1500)) == ["PlaceOrder bid", "PlaceOrder ask"]


def test_a_scarce_quota_makes_quotes_twice_as_patient() -> None:
    """Below a fifth of what the venue grants, a quote may lag twice as far behind before it moves."""

    def moves(used: int) -> bool:
        quota = Bucket(name="requests", kind=BucketKind.QUOTA, capacity=1000, use_percent=100, costs=PLACES)
        desk = _desk(quota, quoting=msgspec.structs.replace(QUICK, tolerance_frac=1e-4))  # 60 ticks
        desk.acknowledge(desk.open_market(), 10)
        desk.feed(RateLimitUsed(builders.VENUE, 0, 500 * MS, "requests", used, 1000))
        turn = desk.feed(builders.snapshot(1000, 600_090, 600_091, update_id=2))
        return "AmendOrder" in kinds(turn) and desk.says().startswith("bid quote (too_passive)")

    assert moves(700)
    assert not moves(810)


def test_a_ban_pulls_everything_hears_nothing_and_reconciles_before_it_quotes() -> None:
    """No message before its end, cancels included; then two clean rounds of the account."""
    desk = _desk()
    desk.acknowledge(desk.open_market(), 10)
    desk.feed(RateLimited(builders.VENUE, 0, 1000 * MS, "weight", 5000, banned=True))
    assert desk.says() == "bid withdraw (venue_banned) | ask withdraw (venue_banned)"
    assert not desk.feed(builders.account(3000)).released
    assert kinds(desk.wait(5999)) == []
    desk.feed(builders.snapshot(5900, 600_000, 600_001, update_id=2))
    turn = desk.wait(6000)
    assert kinds(turn) == ["CancelOrder", "CancelOrder"]
    assert desk.says() == "bid withdraw (reconciling) | ask withdraw (reconciling)"
    desk.acknowledge(turn, 6010)
    desk.feed(builders.account(6100))
    desk.feed(builders.snapshot(7000, 600_000, 600_001, update_id=2))
    assert desk.says() == "bid withdraw (reconciling) | ask withdraw (reconciling)"
    assert kinds(desk.feed(builders.account(7200))) == ["PlaceOrder bid", "PlaceOrder ask"]


def test_a_ban_outlives_the_process() -> None:
    """A restart in the middle of it says nothing to the venue either."""
    desk = _desk()
    desk.acknowledge(desk.open_market(), 10)
    desk.feed(RateLimited(builders.VENUE, 0, 1000 * MS, retry_after_ms=60_000, banned=True))
    left = desk.core.checkpoint()
    next_life = Desk(desk.core.parameters)
    next_life.core = TradingCore(desk.core.parameters, left)
    next_life.feed(RunStarted(2000 * MS, "test", desk.core.parameters.to_json(), left))
    next_life.open_market(3000)
    assert next_life.says().startswith("bid withdraw (venue_banned")
    assert next_life.core.checkpoint().bans == ((builders.VENUE, 61_000 * MS),)
    assert kinds(next_life.wait(60_999)) == []


def test_a_new_block_brings_back_what_the_chain_allows() -> None:
    """The height is news enough."""
    chain = Bucket(name="chain", kind=BucketKind.PER_BLOCK, capacity=2, use_percent=100, costs=PLACES, reserve=0)
    desk = _desk(chain)
    desk.feed(VenueTime(builders.VENUE, 0, 0, 100))
    desk.acknowledge(desk.open_market(lots=10), 10)
    turn = desk.feed(builders.snapshot(1000, 601_000, 601_001, lots=10, update_id=2))
    assert desk.says() == "bid hold (budget_hold) | ask withdraw (budget_pull)"
    desk.acknowledge(turn, 1010)
    assert kinds(desk.feed(VenueTime(builders.VENUE, 0, 1100 * MS, 101))) == ["AmendOrder", "PlaceOrder ask"]


def test_what_never_left_is_no_action() -> None:
    """The minute's budget is spent by what the venue saw, not by what expired in the queue."""
    market = builders.market(quoting=QUICK)
    limits = msgspec.structs.replace(market.limits, actions_per_minute=40)
    parameters = builders.core_parameters(
        msgspec.structs.replace(market, limits=limits),
        capabilities=Capabilities(amend=True, buckets=(_window(2, 400),)),
    )
    desk = Desk(msgspec.structs.replace(parameters, queue_ttl_ms=500))
    desk.acknowledge(desk.open_market(), 10)
    for step in range(1, 4):
        desk.feed(builders.snapshot(50 + 100 * step, 600_000 + 500 * step, 600_001 + 500 * step, update_id=1 + step))
        desk.wait(50 + 100 * step)
    dropped = [drop for turn in desk.turns for drop in turn.dropped]
    released = [command for turn in desk.turns for command in commands(turn)]
    assert len(dropped) >= 2
    assert desk.core.gate.budget.actions(SYMBOL, desk.now_ms * MS) == len(released) + len(
        desk.core.outboxes[builders.VENUE].commands()
    )


def test_too_many_messages_for_a_fill_hold_the_quotes_and_a_fill_frees_them() -> None:
    """Four messages to a fill: two places and two moves, then nothing, until something has traded."""
    market = builders.market(quoting=QUICK)
    limits = msgspec.structs.replace(market.limits, max_order_to_trade=4.0)
    desk = Desk(builders.core_parameters(msgspec.structs.replace(market, limits=limits)))
    desk.acknowledge(desk.open_market(), 10)
    turn = desk.acknowledge(desk.feed(builders.snapshot(1000, 600_500, 600_501, update_id=2)), 1010)
    desk.acknowledge(turn, 1020)
    turn = desk.feed(builders.snapshot(2000, 601_000, 601_001, update_id=3))
    assert not turn.refusals
    assert desk.says() == "bid hold (order_to_trade) | ask withdraw (budget_pull)"
    desk.acknowledge(turn, 2010)
    desk.fill(Side.BUY, 1, 3000)
    assert desk.says() == "bid hold (order_to_trade) | ask hold (order_to_trade)"  # five messages, one fill
    turn = desk.fill(Side.BUY, 1, 3100)
    assert {type(command) for command in commands(turn)} >= {PlaceOrder}
    assert desk.core.markets[SYMBOL].lockouts.mask(Side.BUY, 0) & Reason.ORDER_TO_TRADE.bit == 0
