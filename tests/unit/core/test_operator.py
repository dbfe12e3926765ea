"""What an operator may ask of the core beside pausing: disable, flatten, cancel all, other parameters."""

from collections.abc import Callable

import msgspec
import pytest

from mm_daemon.core.parameters import CoreParameters
from mm_daemon.core.trading_core import TradingCore
from mm_daemon.domain.decisions import AmendOrder, CancelAll, PlaceOrder, Reason, RefusalCode, Turn
from mm_daemon.domain.errors import CoreError
from mm_daemon.domain.events import (
    DeadlineReached,
    Event,
    FundingUpdate,
    OperatorAction,
    OperatorRequest,
    OrderCanceled,
    OrderFilled,
    ParametersChanged,
    RunStarted,
)
from mm_daemon.domain.orders import Purpose, Side, TimeInForce
from mm_daemon.engine.parameters import QuoteParameters
from mm_daemon.journal.recovery import left_by
from mm_daemon.risk.limits import AccountLimits
from mm_daemon.testkit import builders
from tests.unit.core.desk import MS, SYMBOL, Desk, commands, kinds


def ask(desk: Desk, at_ms: int, action: OperatorAction) -> Turn:
    return desk.feed(OperatorRequest(at_ms * MS, action, "anna", SYMBOL if action in _OF_ONE else None))


_OF_ONE = (OperatorAction.ENABLE, OperatorAction.DISABLE)


def quoting_desk(parameters: CoreParameters | None = None) -> Desk:
    desk = Desk(parameters)
    desk.acknowledge(desk.open_market(), 10)
    desk.wait(1000)
    return desk


def long_desk(lots: int = 10, **limits: object) -> Desk:
    """Long `lots`, quoting."""
    market = builders.market(order_lots=lots, max_position_lots=5 * lots)
    market = msgspec.structs.replace(market, limits=msgspec.structs.replace(market.limits, **limits))
    desk = quoting_desk(builders.core_parameters(market))
    desk.fill(Side.BUY, lots, 1100)
    desk.feed(builders.snapshot(2100, 600_000, 600_001))
    desk.wait(3000)
    return desk


def flatten_orders(turn: Turn) -> list[PlaceOrder]:
    return [c for c in commands(turn) if isinstance(c, PlaceOrder) and c.purpose is Purpose.FLATTEN]


def take(desk: Desk, order: PlaceOrder, lots: int, at_ms: int) -> Turn:
    """The venue trades `lots` of an immediate order at its limit and lets go of the rest."""
    at, identity = at_ms * MS, f"v{order.client_id}"
    key = f"t{order.client_id}"
    events: list[Event] = [
        OrderFilled(SYMBOL, at, at, order.client_id, identity, key, order.side, order.ticks, lots, False),
        OrderCanceled(SYMBOL, at, at, order.client_id, identity, True, lots),
    ]
    return desk.feed(*events[: 1 if lots == order.lots else 2])


def test_a_disabled_market_stays_out_whatever_resume_says():
    """Only `enable` brings it back: a word about one market outlives one about all."""
    desk = quoting_desk()
    turn = ask(desk, 1100, OperatorAction.DISABLE)
    assert desk.says() == "bid withdraw (market_disabled) | ask withdraw (market_disabled)"
    desk.acknowledge(turn, 1110)
    assert not ask(desk, 2000, OperatorAction.RESUME).released
    turn = ask(desk, 3000, OperatorAction.ENABLE)
    assert kinds(turn) == ["PlaceOrder bid", "PlaceOrder ask"]


def test_what_an_operator_said_outlives_the_process():
    """Disabled, paused and flattening stand in the checkpoint."""
    desk = long_desk()
    ask(desk, 3100, OperatorAction.DISABLE)
    ask(desk, 3200, OperatorAction.FLATTEN)
    again = TradingCore(builders.core_parameters(), desk.core.checkpoint()).markets[SYMBOL]
    assert (again.enabled, again.paused, again.flattening) == (False, True, True)
    assert again.halts & Reason.MARKET_DISABLED.bit
    assert again.halts & Reason.OPERATOR_PAUSED.bit


def test_enabled_false_in_the_file_is_disabled_until_somebody_says_otherwise():
    """The configuration's word counts where no operator gave one."""
    market = builders.market(quoting=QuoteParameters(enabled=False))
    desk = Desk(builders.core_parameters(market))
    desk.open_market()
    assert desk.says() == "bid withdraw (market_disabled) | ask withdraw (market_disabled)"
    assert kinds(ask(desk, 100, OperatorAction.ENABLE)) == ["PlaceOrder bid", "PlaceOrder ask"]


def test_flatten_pulls_the_quotes_first_and_then_takes_the_position_off():
    """No order to that end leaves while a quote may still trade: position and orders never pass zero together."""
    desk = long_desk()
    turn = ask(desk, 3100, OperatorAction.FLATTEN)
    assert set(kinds(turn)) == {"CancelOrder"}
    (order,) = flatten_orders(desk.acknowledge(turn, 3110))
    assert (order.side, order.lots, order.reduce_only, order.post_only) == (Side.SELL, 10, True, False)
    assert order.time_in_force is TimeInForce.IOC
    assert order.reasons == (Reason.FLATTEN,)
    assert 600_000 * (1 - 20e-4) <= order.ticks < 600_000
    turn = take(desk, order, 10, 3120)
    assert desk.core.markets[SYMBOL].position.lots == 0
    assert not desk.core.markets[SYMBOL].flattening
    assert not turn.released
    assert desk.says() == "bid withdraw (operator_paused) | ask withdraw (operator_paused)"
    assert kinds(ask(desk, 5000, OperatorAction.RESUME)) == ["PlaceOrder bid", "PlaceOrder ask"]


def test_what_the_market_did_not_take_is_offered_again_a_second_later():
    """Partly filled: the rest follows, not at once and not never."""
    desk = long_desk()
    (order,) = flatten_orders(desk.acknowledge(ask(desk, 3100, OperatorAction.FLATTEN), 3110))
    assert not take(desk, order, 4, 3120).released
    desk.feed(builders.snapshot(4000, 600_000, 600_001))
    turn = desk.wait(4200)
    (rest,) = flatten_orders(turn)
    assert rest.lots == 6
    assert turn.now_ns >= (3110 + 1000) * MS


def test_a_flatten_order_is_no_larger_than_one_order_may_be_and_leaves_no_dust():
    """Ten lots with seven at most and at least five an order: five and five, not seven and three too small to sell."""
    market = builders.market(order_lots=10, max_position_lots=50)
    contract = msgspec.structs.replace(market.instrument, min_lots=5)
    limits = msgspec.structs.replace(market.limits, max_order_lots=10)
    desk = quoting_desk(builders.core_parameters(msgspec.structs.replace(market, instrument=contract, limits=limits)))
    desk.fill(Side.BUY, 10, 1100)
    changed = msgspec.structs.replace(limits, max_order_lots=7)
    parameters = desk.core.parameters
    smaller = msgspec.structs.replace(parameters.markets[0], limits=changed)
    desk.feed(
        ParametersChanged(1200 * MS, msgspec.structs.replace(parameters, markets=(smaller,)).to_json(), "anna"),
        builders.snapshot(1200, 600_000, 600_001),
    )
    turn = ask(desk, 1300, OperatorAction.FLATTEN)
    (order,) = flatten_orders(desk.acknowledge(turn, 1310))
    assert order.lots == 5


def boxed_desk(lots: int, boxed: int) -> Desk:
    """Paused, holding so much net, and so much both long and short beside it, by the venue's word."""
    desk = quoting_desk(builders.core_parameters(builders.market(order_lots=20, max_position_lots=100)))
    if lots:
        desk.fill(Side.BUY if lots > 0 else Side.SELL, abs(lots), 1100)
    desk.acknowledge(ask(desk, 2000, OperatorAction.PAUSE), 2010)
    show_boxed(desk, 3000, lots, boxed)
    desk.feed(builders.snapshot(3000, 600_000, 600_001))
    return desk


def show_boxed(desk: Desk, at_ms: int, lots: int, boxed: int) -> Turn:
    told = builders.account(at_ms, lots=lots)
    snapshot = msgspec.structs.replace(told.snapshot, boxed=((SYMBOL, boxed),) if boxed else ())
    return desk.feed(msgspec.structs.replace(told, snapshot=snapshot))


@pytest.mark.parametrize(
    ("lots", "boxed", "expected"),
    [
        (10, 3, [(Side.SELL, 13), (Side.BUY, 3)]),
        (-10, 3, [(Side.BUY, 13), (Side.SELL, 3)]),
        (0, 3, [(Side.SELL, 3), (Side.BUY, 3)]),
        (10, 0, [(Side.SELL, 10)]),
    ],
)
def test_flatten_closes_both_legs(lots: int, boxed: int, expected: list[tuple[Side, int]]) -> None:
    """What nets to nothing is closed too, the larger leg whole, then the other; it ends by the venue's word."""
    desk = boxed_desk(lots, boxed)
    turn, market = ask(desk, 3100, OperatorAction.FLATTEN), desk.core.markets[SYMBOL]
    for number, (side, size) in enumerate(expected):
        (order,) = flatten_orders(turn)
        assert (order.side, order.lots, order.reduce_only) == (side, size, True)
        at_ms = 3120 + 2000 * number
        take(desk, order, size, at_ms)
        turn = desk.feed(builders.snapshot(at_ms + 1900, 600_000, 600_001))
    assert (market.position.lots, market.facts.boxed_lots, market.flattening) == (0, 0, True)
    show_boxed(desk, at_ms + 1950, 0, 0)
    assert not market.flattening


def test_what_became_boxed_before_a_flatten_is_closed_when_a_comparison_shows_it() -> None:
    """Quotes that were filled just before have left two on either leg; the position itself is nothing."""
    desk = boxed_desk(10, 0)
    (order,) = flatten_orders(ask(desk, 3100, OperatorAction.FLATTEN))
    take(desk, order, 10, 3120)
    desk.feed(builders.snapshot(4500, 600_000, 600_001))
    (order,) = flatten_orders(show_boxed(desk, 4600, 0, 2))
    assert (order.side, order.lots) == (Side.SELL, 2)


@pytest.mark.parametrize("side", list(Side))
def test_a_quote_that_may_have_closed_a_leg_is_not_flattened_twice(side: Side) -> None:
    """Ten on either leg, then a quote of ten is filled: as likely as not it took from the opposite leg, and a flatten
    order larger than what is left on the other would be refused until the next comparison.
    """
    desk = quoting_desk(builders.core_parameters(builders.market(order_lots=20, max_position_lots=100)))
    show_boxed(desk, 3000, 0, 10)
    desk.feed(builders.snapshot(3000, 600_000, 600_001))
    desk.fill(side, 10, 3050)
    (order,) = flatten_orders(desk.acknowledge(ask(desk, 3100, OperatorAction.FLATTEN), 3110))
    assert (order.side, order.lots) == (-side, 10)
    take(desk, order, 10, 3120)
    desk.feed(builders.snapshot(4500, 600_000, 600_001))
    assert desk.core.markets[SYMBOL].flattening, "it may have opened: the next comparison says"
    (order,) = flatten_orders(show_boxed(desk, 4600, 0, 10))
    assert order.lots == 10


def test_what_is_boxed_outlives_the_process_and_bounds_a_reduce_only_order():
    desk = boxed_desk(0, 3)
    ask(desk, 3100, OperatorAction.FLATTEN)
    again = TradingCore(builders.core_parameters(), desk.core.checkpoint()).markets[SYMBOL]
    assert (again.facts.boxed_lots, again.flattening) == (3, True)


def test_a_flatten_of_an_earlier_life_is_not_over_before_the_venue_has_been_heard() -> None:
    """What it knew was flat, with legs that only a comparison would have shown: the first one of this life does."""
    desk = boxed_desk(10, 0)
    (order,) = flatten_orders(ask(desk, 3100, OperatorAction.FLATTEN))
    take(desk, order, 10, 3120)
    assert desk.core.markets[SYMBOL].flattening
    again = Desk()
    again.core = TradingCore(desk.core.parameters, desk.core.checkpoint())
    again.feed(builders.connected(5000), builders.snapshot(5000, 600_000, 600_001))
    again.wait(5001)
    (order,) = flatten_orders(show_boxed(again, 5100, 0, 2))
    assert (order.side, order.lots) == (Side.SELL, 2)


def test_resume_ends_a_flattening():
    """The operator has changed his mind: quotes come back, and nothing more is taken."""
    desk = long_desk()
    turn = ask(desk, 3100, OperatorAction.FLATTEN)
    ask(desk, 3105, OperatorAction.RESUME)
    turn = desk.acknowledge(turn, 3110)
    assert not flatten_orders(turn)
    assert not desk.core.markets[SYMBOL].flattening


def test_flatten_waits_while_the_kill_switch_is_on():
    """Killed means cancels only; once it is cleared the position is worked off and the market stays paused."""
    desk = long_desk()
    turn = ask(desk, 3100, OperatorAction.KILL)
    events = [
        OrderCanceled(SYMBOL, 3110 * MS, 3110 * MS, order.client_id, f"v{order.client_id}", True, 0)
        for order in desk.core.ledger.alive(SYMBOL)
    ]
    desk.feed(*events)
    turn = ask(desk, 3200, OperatorAction.FLATTEN)
    assert not turn.released
    assert not turn.refusals
    (order,) = flatten_orders(ask(desk, 3300, OperatorAction.CLEAR_KILL))
    take(desk, order, 10, 3310)
    assert desk.says() == "bid withdraw (operator_paused) | ask withdraw (operator_paused)"


def test_flatten_on_kill_takes_positions_off_and_lets_nothing_else_pass():
    """A loss limit latches: quotes go, the position follows, across a restart if need be; nothing is quoted."""
    account = AccountLimits(max_drawdown_atto=5 * 10**18, flatten_on_kill=True)
    desk = quoting_desk(builders.core_parameters(account=account))
    desk.fill(Side.BUY, 10, 1100)
    desk.feed(builders.snapshot(2100, 590_000, 590_001))
    assert desk.core.gate.latched is not None
    resumed = TradingCore(desk.core.parameters, desk.core.checkpoint())
    assert resumed.markets[SYMBOL].flattening
    gone = [
        OrderCanceled(SYMBOL, 2110 * MS, 2110 * MS, order.client_id, f"v{order.client_id}", True, order.filled_lots)
        for order in desk.core.ledger.alive(SYMBOL)
    ]
    (order,) = flatten_orders(desk.feed(*gone))
    assert (order.side, order.lots) == (Side.SELL, 10)
    turn = take(desk, order, 10, 2120)
    assert not turn.released
    assert not desk.core.markets[SYMBOL].flattening
    assert desk.says() == "bid withdraw (kill_latched) | ask withdraw (kill_latched)"


def test_clear_kill_ends_what_the_kill_began():
    """Once the operator wants quotes again, nothing is taken from the market any more: neither now nor when the quotes
    have been filled.
    """
    desk = quoting_desk(builders.core_parameters(account=AccountLimits(flatten_on_kill=True)))
    desk.fill(Side.BUY, 10, 1100)
    ask(desk, 1200, OperatorAction.KILL)
    market = desk.core.markets[SYMBOL]
    assert market.flattening
    ask(desk, 1205, OperatorAction.CLEAR_KILL)
    gone = [
        OrderCanceled(SYMBOL, 1210 * MS, 1210 * MS, order.client_id, f"v{order.client_id}", True, order.filled_lots)
        for order in desk.core.ledger.alive(SYMBOL)
    ]
    desk.feed(*gone)
    assert not market.flattening
    assert not [turn for turn in desk.turns if flatten_orders(turn)]


def test_a_latch_that_the_gate_sets_pulls_everything_too():
    """A limit that was lowered below what is lost already is met by the first order that is asked for: the refusal
    latches, and what works is cancelled, by whatever way it was asked for.
    """
    desk = quoting_desk(builders.core_parameters(account=AccountLimits(max_loss_atto=100 * 10**18)))
    desk.fill(Side.BUY, 10, 1100)
    desk.acknowledge(desk.feed(builders.snapshot(1300, 599_000, 599_001)), 1350)
    core = desk.core
    assert core.gate.latched is None
    account = msgspec.structs.replace(core.parameters.account, max_loss_atto=1)
    core.gate.limit(account)
    market = core.markets[SYMBOL]
    ask_order = desk.quote(Side.SELL)
    ticks, lots = ask_order.ticks + 5, ask_order.lots
    core.dispatch.submit(
        AmendOrder(SYMBOL, ask_order.client_id, ticks, lots, (Reason.TOO_AGGRESSIVE,)), market, core.now_ns
    )
    turn = core.decide(core.now_ns)
    assert [refusal.code for refusal in turn.refusals] == [RefusalCode.LOSS_LIMIT]
    assert core.gate.latched is not None
    assert any(isinstance(approved.command, CancelAll) for approved in turn.released)
    assert market.halts & Reason.KILL_LATCHED.bit


def gone(desk, at_ms):
    """The venue says that everything of ours is cancelled."""
    return [
        OrderCanceled(SYMBOL, at_ms * MS, at_ms * MS, order.client_id, f"v{order.client_id}", True, order.filled_lots)
        for order in desk.core.ledger.alive(SYMBOL)
    ]


@pytest.mark.parametrize("word", [OperatorAction.PAUSE, OperatorAction.CANCEL_ALL, OperatorAction.RESUME])
def test_what_a_kill_flattens_is_flattened_whatever_is_paused_meanwhile(word):
    """A kill with `flatten_on_kill` wants the position gone until it is cleared, as it does after a restart; a pause
    beside it is about quotes.
    """
    desk = quoting_desk(builders.core_parameters(account=AccountLimits(flatten_on_kill=True)))
    desk.fill(Side.BUY, 10, 1100)
    ask(desk, 1200, OperatorAction.KILL)
    ask(desk, 1205, word)
    assert desk.core.markets[SYMBOL].flattening
    (order,) = flatten_orders(desk.feed(*gone(desk, 1210)))
    assert (order.side, order.lots) == (Side.SELL, 10)


def test_a_pause_during_a_kill_leaves_nothing_to_flatten_when_it_is_cleared():
    """Only what `flatten` asked for goes on behind a kill, not what the kill began; neither after a restart."""
    desk = quoting_desk(builders.core_parameters(account=AccountLimits(flatten_on_kill=True)))
    desk.fill(Side.BUY, 10, 1100)
    ask(desk, 1200, OperatorAction.KILL)
    ask(desk, 1205, OperatorAction.PAUSE)
    resumed = TradingCore(desk.core.parameters, desk.core.checkpoint())
    assert resumed.markets[SYMBOL].flattening
    for core in (desk.core, resumed):
        core.apply(OperatorRequest(1210 * MS, OperatorAction.CLEAR_KILL, "anna", None))
        assert not core.markets[SYMBOL].flattening


def test_flatten_on_kill_given_while_killed_holds_at_once():
    """As it would after a restart with the same file."""
    desk = long_desk()
    desk.feed(
        *(
            OrderCanceled(SYMBOL, 3110 * MS, 3110 * MS, command.client_id, f"v{command.client_id}", True, 0)
            for command in desk.core.ledger.alive(SYMBOL)
        ),
        OperatorRequest(3110 * MS, OperatorAction.KILL, "anna", None),
    )
    assert not desk.core.markets[SYMBOL].flattening
    account = msgspec.structs.replace(desk.core.parameters.account, flatten_on_kill=True)
    parameters = msgspec.structs.replace(desk.core.parameters, account=account)
    (order,) = flatten_orders(desk.feed(ParametersChanged(3200 * MS, parameters.to_json(), "anna")))
    assert (order.side, order.lots) == (Side.SELL, 10)


def test_flatten_keeps_to_the_largest_value_of_an_order():
    """Ten lots of 60 with 400 an order: six, not ten that the gate refuses for ever."""
    desk = long_desk(max_notional_atto=600 * 10**18)
    market = desk.core.parameters.markets[0]
    smaller = msgspec.structs.replace(
        market, limits=msgspec.structs.replace(market.limits, max_notional_atto=400 * 10**18)
    )
    parameters = msgspec.structs.replace(desk.core.parameters, markets=(smaller,))
    turn = desk.feed(ParametersChanged(3050 * MS, parameters.to_json(), "anna"))
    turn = desk.acknowledge(turn, 3060)
    turn = ask(desk, 3100, OperatorAction.FLATTEN)
    (order,) = flatten_orders(desk.acknowledge(turn, 3110))
    assert order.lots == 6


def test_what_is_too_little_at_the_worst_price_is_nothing_to_flatten():
    """Worth the venue's minimum at the best bid, and less where the order may trade: it would be refused for ever."""
    contract = builders.instrument(min_notional="600")
    desk = quoting_desk(builders.core_parameters(builders.market(contract, order_lots=20, max_position_lots=50)))
    desk.fill(Side.BUY, 10, 1100)
    turn = desk.feed(builders.snapshot(1200, 600_001, 600_002, update_id=2))
    turn = ask(desk, 3100, OperatorAction.FLATTEN)
    turn = desk.acknowledge(turn, 3110)
    assert not turn.refusals
    assert not desk.core.markets[SYMBOL].flattening


def test_one_leg_of_a_hedge_can_be_flattened():
    """Long here and short there come to nothing together: the limit on their value does not keep a leg from going."""
    other = builders.instrument("BTC-USDC")
    account = AccountLimits(max_notional_atto=700 * 10**18)
    desk = quoting_desk(builders.core_parameters(builders.market(), builders.market(other), account=account))
    held = builders.snapshot(1000, 600_000, 600_001, symbol=other.id)
    desk.feed(held)
    for market, side in zip(desk.core.markets.values(), (1, -1), strict=True):
        market.position.fill(side * 20, 600_000, 1_200_001, fee_atto=0)
        market.facts.position_lots = market.position.lots
    turn = desk.feed(OperatorRequest(3100 * MS, OperatorAction.FLATTEN, "anna", SYMBOL))
    gone = [
        OrderCanceled(SYMBOL, 3110 * MS, 3110 * MS, order.client_id, f"v{order.client_id}", True, order.filled_lots)
        for order in desk.core.ledger.alive(SYMBOL)
    ]
    turn = desk.feed(*gone, builders.snapshot(3110, 600_000, 600_001, update_id=2))
    assert not turn.refusals
    assert [order.lots for order in flatten_orders(turn)] == [20]


def test_no_quote_is_placed_beside_an_order_that_works_a_position_off():
    """Resume while it is on its way: the quotes wait for its end instead of being refused."""
    desk = long_desk()
    turn = desk.acknowledge(ask(desk, 3100, OperatorAction.FLATTEN), 3110)
    (order,) = flatten_orders(turn)
    turn = ask(desk, 3115, OperatorAction.RESUME)
    assert not turn.refusals
    assert desk.says() == "bid hold (place_pending) | ask hold (place_pending)"
    assert kinds(take(desk, order, 10, 3120)) == ["PlaceOrder bid", "PlaceOrder ask"]


def test_cancel_all_cancels_at_the_venue_and_pauses():
    """One command for the whole venue, so that orders we do not know of go too; nothing is quoted again."""
    desk = quoting_desk()
    turn = ask(desk, 1100, OperatorAction.CANCEL_ALL)
    assert [type(command) for command in commands(turn)] == [CancelAll]
    assert desk.says() == "bid withdraw (operator_paused) | ask withdraw (operator_paused)"


# Other parameters


def changed(desk: Desk, change: Callable[[QuoteParameters], QuoteParameters], at_ms: int) -> Turn:
    market = desk.core.parameters.markets[0]
    quoting = change(market.quoting)
    limits = msgspec.structs.replace(market.limits, max_orders_per_side=quoting.levels)
    parameters = msgspec.structs.replace(
        desk.core.parameters, markets=(msgspec.structs.replace(market, quoting=quoting, limits=limits),)
    )
    return desk.feed(ParametersChanged(at_ms * MS, parameters.to_json(), "anna"))


def test_another_model_prices_from_the_next_decision_on():
    """The quotes move to where the new model wants them, and what was learned about volatility stays."""
    desk = quoting_desk()
    for step in range(1, 400):
        turn = desk.feed(builders.snapshot(1000 + 100 * step, 600_000 + step % 3, 600_001 + step % 3))
        if turn.released:
            desk.acknowledge(turn, 1000 + 100 * step + 1)
    desk.wait(42_000)
    engine = desk.core.markets[SYMBOL].engine
    sigma = engine.volatility.sigma_bps
    assert sigma is not None
    before = desk.quote(Side.BUY).ticks
    turn = changed(desk, lambda old: msgspec.structs.replace(old, model="fixed_spread", half_spread_bps=20.0), 42_000)
    market = desk.core.markets[SYMBOL]
    assert market.engine is not engine
    assert market.engine.volatility.sigma_bps == sigma
    assert kinds(turn) == ["AmendOrder", "AmendOrder"]
    desk.acknowledge(turn, 42_001)
    after = desk.quote(Side.BUY).ticks
    assert after < before
    assert abs((market.book.half_ticks / 2 - after) / 60 - 20.0) < 0.2


def test_more_levels_are_placed_and_fewer_are_cancelled():
    """A ladder grows and shrinks while it works."""
    desk = quoting_desk()
    turn = changed(desk, lambda old: msgspec.structs.replace(old, levels=3, order_lockout_ms=0), 1100)
    assert kinds(turn) == ["PlaceOrder bid"] * 2 + ["PlaceOrder ask"] * 2
    desk.acknowledge(turn, 1110)
    turn = changed(desk, lambda old: msgspec.structs.replace(old, levels=1), 2000)
    assert kinds(turn) == ["CancelOrder"] * 4


def test_parameters_that_stay_leave_the_market_alone():
    """The same words again change nothing, not even an estimator's object."""
    desk = quoting_desk()
    engine = desk.core.markets[SYMBOL].engine
    assert not changed(desk, lambda old: old, 1100).released
    assert desk.core.markets[SYMBOL].engine is engine


def test_a_running_lockout_and_the_funding_rate_survive_other_parameters():
    """What is known of the moment is kept: the filled side stays locked, the funding shift goes on."""
    desk = quoting_desk()
    desk.feed(FundingUpdate(SYMBOL, 1000 * MS, 1000 * MS, 10**9, 3600 * 10**9, 3600 * 10**9))
    desk.fill(Side.BUY, 10, 1100)
    changed(desk, lambda old: msgspec.structs.replace(old, gamma=0.06), 1200)
    market = desk.core.markets[SYMBOL]
    assert Reason.FILL_LOCKOUT in market.decisions[0].reasons
    assert market.engine.conditions.funding is not None


def test_a_limit_on_losses_holds_from_the_moment_it_is_given():
    """Given while running, it counts from the present: the loss that follows latches."""
    desk = long_desk()
    account = AccountLimits(max_drawdown_atto=5 * 10**18)
    parameters = msgspec.structs.replace(desk.core.parameters, account=account)
    desk.feed(ParametersChanged(3100 * MS, parameters.to_json(), "anna"))
    desk.feed(builders.snapshot(3200, 600_000, 600_001))
    turn = desk.feed(builders.snapshot(3300, 590_000, 590_001))
    assert CancelAll in [type(command) for command in commands(turn)]
    assert desk.core.gate.latched is not None


def test_enabled_in_the_file_overrules_an_older_word():
    """Who writes `enabled: false` and reloads means it, although somebody once said enable."""
    desk = quoting_desk()
    ask(desk, 1100, OperatorAction.ENABLE)
    changed(desk, lambda old: msgspec.structs.replace(old, enabled=False), 1200)
    assert desk.says() == "bid withdraw (market_disabled) | ask withdraw (market_disabled)"


def test_other_markets_are_a_bug_of_whoever_sent_them():
    """The core does not trade what it was not built with."""
    desk = quoting_desk()
    other = builders.core_parameters(builders.market(builders.instrument("ETH-USDT")))
    with pytest.raises(CoreError, match="other markets"):
        desk.feed(ParametersChanged(1100 * MS, other.to_json(), "anna"))


def test_a_core_recovered_behind_a_change_goes_by_the_changed_parameters():
    """A checkpoint says what the run's parameters had become: a lockout of the tail is as long as it was."""
    desk = quoting_desk()
    changed(desk, lambda old: msgspec.structs.replace(old, fill_lockout_ms=7777), 1100)
    checkpoint = desk.core.checkpoint()
    started = RunStarted(0, "1", builders.core_parameters().to_json())
    order = desk.quote(Side.BUY)
    at = 2000 * MS
    fill = OrderFilled(SYMBOL, at, at, order.client_id, f"v{order.client_id}", "k", Side.BUY, order.ticks, 1, True)
    left = left_by([started, checkpoint, fill])
    assert left is not None
    assert left[0].markets[0].lockouts.buy.fill_ns == at + 7777 * MS
    assert left[0].parameters is None


def test_a_budget_that_is_taken_away_leaves_nothing_behind():
    """Neither a deadline that lies in the past, which would be lived again and again, nor twice the patience."""
    market = builders.market()
    limits = msgspec.structs.replace(market.limits, actions_per_minute=2)
    desk = quoting_desk(builders.core_parameters(msgspec.structs.replace(market, limits=limits)))
    desk.feed(builders.snapshot(1100, 600_000, 600_001, update_id=2))
    state = desk.core.markets[SYMBOL]
    assert state.patience == 2
    assert state.paced_until_ns is not None
    changed(desk, lambda old: msgspec.structs.replace(old, gamma=0.06), 1200)
    free = msgspec.structs.replace(desk.core.parameters, markets=(market,))
    desk.feed(ParametersChanged(1300 * MS, free.to_json(), "anna"))
    desk.feed(builders.snapshot(120_000, 600_000, 600_001, update_id=3), DeadlineReached(120_000 * MS))
    deadline_ns = desk.core.next_deadline_ns()
    assert deadline_ns is None or deadline_ns > 120_000 * MS
    assert state.patience == 1


def test_a_guard_that_is_taken_away_works_nothing_off_any_more():
    """What it said of the position is void with it."""
    desk = quoting_desk(builders.core_parameters(builders.market(quoting=QuoteParameters(inventory_exit_at=0.1))))
    desk.fill(Side.BUY, 10, 1100)
    desk.feed(builders.snapshot(2500, 600_000, 600_001, update_id=2))
    assert desk.core.markets[SYMBOL].working_off
    changed(desk, lambda old: msgspec.structs.replace(old, inventory_exit_at=None), 2600)
    assert not desk.core.markets[SYMBOL].working_off
