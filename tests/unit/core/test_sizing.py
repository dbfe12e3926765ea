"""Sizes that are money or a share of the depth, in a market that is traded: when they become lots, and what follows."""

from pathlib import Path

import msgspec
import pytest

from mm_daemon.backtest.replay import verify
from mm_daemon.backtest.runner import BacktestRunner
from mm_daemon.core.parameters import CoreParameters, MarketParameters
from mm_daemon.core.trading_core import TradingCore
from mm_daemon.domain.decisions import Reason
from mm_daemon.domain.events import MarkPriceUpdate, OrderFilled, ParametersChanged, RunStarted
from mm_daemon.domain.instrument import Venue
from mm_daemon.domain.money import ATTO
from mm_daemon.domain.orders import Side
from mm_daemon.engine.parameters import QuoteParameters
from mm_daemon.engine.sizing import MoneySizes
from mm_daemon.journal.recovery import left_by
from mm_daemon.risk.limits import AccountLimits, MarketLimits
from mm_daemon.simulation.embedded import EmbeddedMarket, EmbeddedSettings
from mm_daemon.simulation.symbols import SymbolSettings, build_symbol
from mm_daemon.testkit import builders
from tests.unit.core.desk import MS, SYMBOL, Desk, kinds

QUOTING = QuoteParameters(half_spread_bps=1.0, fair_price="mid", order_lockout_ms=0, fill_lockout_ms=0)


def _in_money(order: int = 600, most: int = 3000, quoting: QuoteParameters = QUOTING) -> MarketParameters:
    """As a configuration in money comes to, on a lot of 60 USDT."""
    money = MoneySizes(order_atto=order * ATTO, max_position_atto=most * ATTO, min_position_atto=-most * ATTO)
    limits = MarketLimits(
        max_position_lots=0, min_position_lots=0, max_order_lots=0, max_orders_per_side=quoting.levels, collar_bps=500.0
    )
    return MarketParameters(instrument=builders.instrument(), order_lots=1, quoting=quoting, limits=limits, money=money)


def _desk(order: int = 600, most: int = 3000) -> Desk:
    return Desk(builders.core_parameters(_in_money(order, most)))


def test_money_becomes_lots_with_the_first_price() -> None:
    """600 USDT at 60,000 with a lot of 0.001: nine or ten lots, as the mid is; the gate's limits with them."""
    desk = _desk()
    market = desk.core.markets[SYMBOL]
    assert market.facts.limits.max_position_lots == 0
    turn = desk.open_market(bid=599_999, ask=600_001)
    assert kinds(turn) == ["PlaceOrder bid", "PlaceOrder ask"]
    assert [desk.quote(side).lots for side in (Side.BUY, Side.SELL)] == [10, 10]
    limits = market.facts.limits
    assert (limits.max_position_lots, limits.min_position_lots, limits.max_order_lots) == (50, -50, 20)
    inputs = desk.turns[-1].decisions[0].inputs
    assert (inputs.order_lots, inputs.max_position_lots, inputs.min_position_lots) == (10, 50, -50)


def test_lots_follow_the_price_and_quotes_do_not_flutter() -> None:
    """A tenth dearer: fewer lots at once in limits and targets, while quotes that lie near enough in size move only
    because the price did; a price that stays changes nothing.
    """
    desk = _desk()
    desk.acknowledge(desk.open_market(bid=599_999, ask=600_001), 10)
    market = desk.core.markets[SYMBOL]
    desk.feed(builders.snapshot(1000, 602_999, 603_001, update_id=2))
    assert market.sized_half_ticks == 1_200_000, "half a hundredth is no reason"
    desk.feed(builders.snapshot(2000, 659_999, 660_001, update_id=3))
    assert market.sized_half_ticks == 1_320_000
    assert (market.parameters.order_lots, market.facts.limits.max_position_lots) == (9, 45)
    assert market.position.value(1_320_000) * 45 <= 3000 * ATTO
    assert market.pricing is not None
    assert (market.pricing.bid.lots, market.pricing.ask.lots) == (9, 9)


def test_a_lot_that_is_worth_more_than_the_money_is_not_quoted() -> None:
    """No lot fits: withdrawn for its size, and the limits stay at zero."""
    desk = _desk(order=50, most=500)
    assert not desk.open_market().released
    market = desk.core.markets[SYMBOL]
    assert [decision.reasons for decision in market.decisions] == [(Reason.SIZE_BELOW_MIN,)] * 2
    assert market.facts.limits.max_position_lots == 0


def test_a_position_beyond_limits_that_shrank_can_only_be_reduced() -> None:
    """The price doubles while the limit is held: bids go, the ask stays, nothing is refused."""
    desk = Desk(builders.core_parameters(_in_money(quoting=msgspec.structs.replace(QUOTING, inventory_skip_at=1.0))))
    desk.acknowledge(desk.open_market(bid=599_999, ask=600_001), 10)
    for step in range(4):
        desk.acknowledge(desk.fill(Side.BUY, desk.quote(Side.BUY).remaining_lots, 100 + 20 * step), 110 + 20 * step)
    turn = desk.feed(builders.snapshot(2000, 1_199_999, 1_200_001, update_id=2))
    market = desk.core.markets[SYMBOL]
    assert market.position.lots == 40 > market.facts.limits.max_position_lots == 25
    assert market.decisions[0].reasons[0] is Reason.MAX_POSITION
    assert not turn.refusals


def test_sizes_outlive_the_process() -> None:
    """A life that is continued has the lots of the one before, until the price has moved on from there."""
    quoting = msgspec.structs.replace(QUOTING, size_depth_share=0.01, calibration="market")
    desk = Desk(builders.core_parameters(_in_money(quoting=quoting)))
    desk.open_market(bid=599_999, ask=600_001)
    left = desk.core.checkpoint()
    resumed = TradingCore(CoreParameters.from_json(desk.core.parameters.to_json()), left)
    before, after = desk.core.markets[SYMBOL], resumed.markets[SYMBOL]
    assert after.parameters == before.parameters
    assert after.facts.limits == before.facts.limits
    assert after.engine.depth_cap is not None and before.engine.depth_cap is not None
    assert after.engine.depth_cap.lots == before.engine.depth_cap.lots == (50, 50)
    assert resumed.checkpoint() == left


@pytest.mark.parametrize("share", [None, 0.05])
def test_a_market_in_money_is_played_replayed_and_never_refused(share: float | None, tmp_path: Path) -> None:
    """A ladder in money near its limit, with and without a share of the depth: no refusal, limits kept, and the
    journal gives the same decisions again.
    """
    sim = Venue("sim")
    symbol = build_symbol(sim, "BTC-USDT", SymbolSettings())
    embedded = EmbeddedMarket(sim, [symbol], EmbeddedSettings(seed=3))
    quoting = QuoteParameters(
        levels=3,
        level_step_bps=0.5,
        inventory_skip_at=1.0,
        fill_lockout_ms=100,
        order_lockout_ms=50,
        size_depth_share=share,
        size_depth_bps=2.0,
    )
    market = msgspec.structs.replace(_in_money(order=600, most=2000, quoting=quoting), instrument=symbol.instrument)
    parameters = builders.core_parameters(market, capabilities=embedded.capabilities())
    runner = BacktestRunner(parameters, {sim: embedded}, journal=tmp_path / "j", duration_s=60)
    report = runner.run()
    state = runner.core.markets[symbol.instrument.id]
    assert report.fills > 20
    assert dict(report.refusals) == {}
    assert state.parameters.order_lots * state.position.value(state.sized_half_ticks or 0) <= 600 * ATTO
    assert (report.max_abs_position or 0) <= state.instrument.size(state.facts.limits.max_position_lots) * 2
    verified = verify(tmp_path / "j")
    assert verified.ok, verified.to_text()


def test_other_parameters_keep_the_lots_that_money_has_become() -> None:
    """Twice the money for an order while running: twice the lots at once, at the mid where lots were last made."""
    desk = _desk()
    desk.acknowledge(desk.open_market(bid=599_999, ask=600_001), 10)
    parameters = msgspec.structs.replace(desk.core.parameters, markets=(_in_money(1200, 3000),))
    turn = desk.feed(ParametersChanged(2000 * builders.MS, parameters.to_json(), "anna"))
    assert kinds(turn) == ["AmendOrder", "AmendOrder"]
    market = desk.core.markets[SYMBOL]
    assert (market.parameters.order_lots, market.facts.limits.max_position_lots) == (20, 50)


def test_a_journal_taken_in_before_there_is_a_price_breaks_no_limit() -> None:
    """Limits in money are zero lots until a book is seen: fills of an earlier life do not set the kill latch."""
    desk = _desk()
    started = RunStarted(0, "1", desk.core.parameters.to_json())
    opening = desk.open_market(bid=599_999, ask=600_001)
    desk.acknowledge(opening, 10)
    order = desk.quote(Side.BUY)
    at = 2000 * MS
    fill = OrderFilled(SYMBOL, at, at, order.client_id, f"v{order.client_id}", "k", Side.BUY, order.ticks, 10, True)
    left = left_by([started, builders.connected(), builders.account(), *opening.released, fill])
    assert left is not None
    assert left[0].markets[0].position.lots == 10
    assert left[0].gate.latched is None


def test_an_account_limit_is_held_against_the_size_that_is_asked_for() -> None:
    """600 USDT an order beside a limit of 100 for the underlying: withdrawn at the first book, not refused."""
    account = AccountLimits(max_notional_atto=100 * ATTO)
    desk = Desk(builders.core_parameters(_in_money(), account=account))
    turn = desk.open_market()
    assert not turn.refusals
    assert [decision.reasons for decision in desk.core.markets[SYMBOL].decisions] == [(Reason.MAX_NOTIONAL,)] * 2


def test_a_quote_is_worth_no_more_than_an_order_may_be() -> None:
    """Dearer, the quotes get smaller and move on: they are not left behind where the gate would have kept them."""
    market = builders.market(quoting=QUOTING)
    limits = msgspec.structs.replace(market.limits, max_notional_atto=600 * ATTO)
    desk = Desk(builders.core_parameters(msgspec.structs.replace(market, limits=limits)))
    turn = desk.open_market(bid=599_000, ask=599_001)
    assert [desk.quote(side).lots for side in (Side.BUY, Side.SELL)] == [10, 10]
    desk.acknowledge(turn, 10)
    turn = desk.feed(builders.snapshot(1000, 660_000, 660_001, update_id=2))
    assert not turn.refusals
    turn = desk.acknowledge(turn, 1010)
    desk.acknowledge(turn, 1020)
    assert [desk.quote(side).lots for side in (Side.BUY, Side.SELL)] == [9, 9]
    assert desk.quote(Side.SELL).ticks > 660_000


def test_a_quote_out_of_the_marks_collar_is_withdrawn() -> None:
    """Mid and mark have parted: what the gate would neither place nor move is pulled, as soon as the mark says so."""
    desk = Desk(builders.core_parameters(builders.market(quoting=QUOTING, collar_bps=50.0)))
    desk.acknowledge(desk.open_market(), 10)
    turn = desk.feed(MarkPriceUpdate(SYMBOL, 1000 * MS, 1000 * MS, 2 * 603_005))
    assert kinds(turn) == ["CancelOrder"]
    assert desk.says().startswith("bid withdraw (price_collar) | ask hold")
    desk.acknowledge(turn, 1010)
    turn = desk.feed(builders.snapshot(2000, 590_000, 590_001, update_id=2))
    assert not turn.refusals
    assert kinds(turn) == ["CancelOrder"]


def test_another_share_of_the_depth_holds_at_once() -> None:
    """From half to two fifths is less than a quote's size may be off, and still what a person wants from now on."""
    quoting = msgspec.structs.replace(QUOTING, size_depth_share=0.5)
    desk = Desk(builders.core_parameters(builders.market(quoting=quoting, order_lots=40, max_position_lots=200)))
    desk.open_market(lots=4)
    market = desk.core.markets[SYMBOL]
    assert market.engine.depth_cap is not None
    assert market.engine.depth_cap.lots == (10, 10)
    less = msgspec.structs.replace(
        desk.core.parameters.markets[0], quoting=msgspec.structs.replace(quoting, size_depth_share=0.4)
    )
    parameters = msgspec.structs.replace(desk.core.parameters, markets=(less,))
    desk.feed(
        ParametersChanged(100 * MS, parameters.to_json(), "anna"),
        *(builders.snapshot(100 + 1000 * step, 600_000, 600_001, lots=4, update_id=2 + step) for step in range(3)),
    )
    assert market.engine.depth_cap is not None
    assert market.engine.depth_cap.lots == (8, 8)
