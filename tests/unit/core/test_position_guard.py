"""A position that is to be worked off: what trips it, how it is quoted then, and how that ends."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from mm_daemon.core.trading_core import TradingCore
from mm_daemon.domain.decisions import Reason, Turn
from mm_daemon.domain.instrument import Instrument
from mm_daemon.domain.orders import Side
from mm_daemon.engine.parameters import QuoteParameters
from mm_daemon.testkit import builders
from tests.unit.core.desk import MS, SYMBOL, Desk

DAY_MS = 86_400_000


def _desk(contract: Instrument | None = None, **quoting: object) -> Desk:
    settings = {"fair_price": "mid", "fill_lockout_ms": 0, "order_lockout_ms": 0, "decide_interval_ms": 0, **quoting}
    desk = Desk(builders.core_parameters(builders.market(contract, quoting=msgspec.convert(settings, QuoteParameters))))
    desk.acknowledge(desk.open_market(0, 600_000, 600_010), 10)
    return desk


def _settle(desk: Desk, turn: Turn, at_ms: int) -> None:
    """The venue answers at once, until we ask for nothing more."""
    while turn.released:
        turn = desk.acknowledge(turn, at_ms)


def _book(desk: Desk, at_ms: int, bid: int, ask: int) -> None:
    _settle(desk, desk.feed(builders.snapshot(at_ms, bid, ask, update_id=at_ms)), at_ms)


def _reasons(desk: Desk, side: Side) -> tuple[Reason, ...]:
    return desk.core.markets[SYMBOL].decisions[0 if side is Side.BUY else 1].reasons


def _buy(desk: Desk, lots: int, at_ms: int) -> None:
    _settle(desk, desk.fill(Side.BUY, lots, at_ms), at_ms + 1)


def test_a_stop_loss_sells_next_to_the_best_bid_until_flat():
    """Beyond the loss no bid, and an ask one tick over the best bid, no larger than the position; flat: both again."""
    desk = _desk(stop_loss_bps=10.0)
    _buy(desk, 4, 1000)
    _book(desk, 1100, 599_800, 599_810)
    assert Reason.STOP_LOSS not in _reasons(desk, Side.BUY)
    _book(desk, 1200, 599_000, 599_010)
    assert Reason.STOP_LOSS in _reasons(desk, Side.BUY)
    assert desk.core.markets[SYMBOL].working(Side.BUY) is None
    ask = desk.quote(Side.SELL)
    assert (ask.ticks, ask.lots) == (599_001, 4)
    _book(desk, 1300, 599_004, 599_010)
    assert desk.quote(Side.SELL).ticks == 599_005
    _settle(desk, desk.fill(Side.SELL, 4, 1400), 1401)
    _book(desk, 1500, 599_000, 599_010)
    assert desk.quote(Side.BUY).lots == 10
    assert desk.quote(Side.SELL).ticks > 599_010


def test_a_short_position_is_bought_back_below_the_best_ask():
    """The mirror image."""
    desk = _desk(stop_loss_bps=10.0)
    _settle(desk, desk.fill(Side.SELL, 3, 1000), 1001)
    _book(desk, 1200, 601_000, 601_010)
    assert desk.core.markets[SYMBOL].working(Side.SELL) is None
    bid = desk.quote(Side.BUY)
    assert (bid.ticks, bid.lots) == (601_009, 3)


@pytest.mark.parametrize("least", [{"min_lots": 5}, {"min_notional": Decimal(200)}])
def test_a_rest_too_small_for_an_order_is_quoted_around(least: dict[str, Any]):
    """Of 8 lots 6 are sold; the venue takes no order for the other 2, so both sides are quoted again. What the
    next fill makes large enough is judged anew.
    """
    contract = msgspec.structs.replace(builders.instrument(), **least)
    desk = _desk(contract, stop_loss_bps=10.0, max_position_age_s=60.0)
    _buy(desk, 8, 1000)
    _book(desk, 1200, 599_000, 599_010)
    assert Reason.STOP_LOSS in _reasons(desk, Side.BUY)
    _settle(desk, desk.fill(Side.SELL, 6, 1300), 1301)
    _book(desk, 1400, 599_000, 599_010)
    assert [desk.quote(side).remaining_lots for side in Side] == [10, 10]
    _buy(desk, 10, 62_000)
    _book(desk, 62_100, 599_000, 599_010)
    assert not {Reason.STOP_LOSS, Reason.POSITION_AGE} & set(_reasons(desk, Side.BUY))
    _book(desk, 62_200, 597_000, 597_010)
    assert Reason.STOP_LOSS in _reasons(desk, Side.BUY)


def test_a_best_price_beyond_the_collar_is_not_followed():
    """When half of the book is gone the position is not sold at a price that the gate would refuse: the quote is
    withdrawn and says why, and it is back with the book.
    """
    desk = _desk(stop_loss_bps=10.0)
    _buy(desk, 8, 1000)
    _book(desk, 2000, 300_000, 600_010)
    assert _reasons(desk, Side.SELL) == (Reason.PRICE_COLLAR,)
    assert not any(turn.refusals for turn in desk.turns)
    _book(desk, 3000, 599_000, 599_010)
    assert desk.quote(Side.SELL).ticks == 599_001


def test_an_old_position_is_worked_off_when_its_time_comes_though_nothing_happens():
    """By deadline; a position that changes sign begins anew."""
    desk = _desk(max_position_age_s=2.0)
    _buy(desk, 2, 1000)
    turn = desk.wait(3100)
    assert Reason.POSITION_AGE in _reasons(desk, Side.BUY)
    _settle(desk, turn, 3200)
    assert desk.quote(Side.SELL).ticks == 600_001


def test_above_its_share_of_the_limit_a_position_is_worked_off():
    """45 of 50 lots with an exit at 80 %."""
    desk = _desk(inventory_exit_at=0.8, inventory_skip_at=1.0)
    for number in range(4):
        _buy(desk, 10, 1000 + 100 * number)
        _book(desk, 1050 + 100 * number, 600_000, 600_010)
    assert desk.quote(Side.SELL).ticks > 600_010
    _buy(desk, 5, 2000)
    _book(desk, 2100, 600_000, 600_010)
    assert desk.quote(Side.SELL).ticks == 600_001
    assert Reason.MAX_POSITION in _reasons(desk, Side.BUY)


def test_a_days_loss_widens_then_stops_until_the_next_day_and_a_profit_does_neither():
    """The loss is counted from where the day began; at midnight (UTC) it begins anew."""
    desk = _desk(day_loss_widen=2.0, day_loss_stop=20.0, day_loss_widening=3.0)
    _buy(desk, 10, 1000)
    market = desk.core.markets[SYMBOL]

    def spread(at_ms: int, bid: int) -> float:
        _book(desk, at_ms, bid, bid + 10)
        assert market.pricing is not None
        return market.pricing.half_bps

    usual = spread(1100, 600_000)
    assert spread(1200, 620_000) == pytest.approx(usual, rel=0.05)
    assert spread(1300, 590_000) > 1.5 * usual
    assert Reason.LOSS_LIMIT not in _reasons(desk, Side.BUY)
    spread(1400, 570_000)
    assert Reason.LOSS_LIMIT in _reasons(desk, Side.BUY)
    assert desk.quote(Side.SELL).ticks == 570_001
    spread(1500, 620_000)
    assert Reason.LOSS_LIMIT in _reasons(desk, Side.BUY)
    spread(DAY_MS + 1, 620_000)
    assert Reason.LOSS_LIMIT not in _reasons(desk, Side.BUY)


def test_a_next_life_goes_on_with_the_guard_of_the_last():
    """The day's loss limit, the stop and the position's age are in the checkpoint."""
    parameters = builders.core_parameters(
        builders.market(
            quoting=QuoteParameters(stop_loss_bps=10.0, max_position_age_s=60.0, day_loss_stop=0.1, fair_price="mid")
        )
    )
    desk = Desk(parameters)
    desk.acknowledge(desk.open_market(0, 600_000, 600_010), 10)
    _settle(desk, desk.fill(Side.BUY, 5, 1000), 1001)
    _book(desk, 1200, 580_000, 580_010)
    guard = desk.core.markets[SYMBOL].guard
    assert guard is not None
    resumed = TradingCore(parameters, resumed=desk.core.checkpoint())
    again = resumed.markets[SYMBOL].guard
    assert again is not None
    assert again.state() == guard.state()
    assert guard.state().stop_tripped
    assert guard.state().loss_stopped
    assert guard.state().since_ns == 1000 * MS
