"""What makes the core stop by itself: storms, contradictions, runaway positions, skewed clocks, its own exceptions."""

import msgspec
import pytest

from mm_daemon.core.reliving import relive
from mm_daemon.core.trading_core import TradingCore
from mm_daemon.domain.capabilities import Capabilities
from mm_daemon.domain.decisions import CancelAll, PlaceOrder, Reason, Turn
from mm_daemon.domain.events import (
    CoreFailed,
    OperatorAction,
    OperatorRequest,
    OrderFilled,
    OrderRejected,
    RunStarted,
    VenueTime,
)
from mm_daemon.domain.money import ATTO
from mm_daemon.domain.orders import ClientOrderId, RejectKind, Side
from mm_daemon.engine.parameters import QuoteParameters
from mm_daemon.risk.limits import AccountLimits
from mm_daemon.testkit import builders
from tests.unit.core.desk import MS, SYMBOL, Desk, commands

QUICK = QuoteParameters(fair_price="mid", order_lockout_ms=0, fill_lockout_ms=0, reject_lockout_ms=0)


def _desk(account: AccountLimits | None = None, quoting: QuoteParameters = QUICK) -> Desk:
    return Desk(builders.core_parameters(builders.market(quoting=quoting), account=account))


def _reject_all(desk: Desk, times: int, kind: RejectKind, every_ms: int = 1000) -> None:
    """Each quote that is placed is refused, one a step, until so many were."""
    turn = desk.open_market()
    at_ms = 0
    while times > 0:
        at_ms += every_ms
        assert at_ms < 100 * every_ms, desk.says()
        rejects = [OrderRejected(c.instrument, 0, at_ms * MS, c.client_id, kind) for c in _places(turn)[:times]]
        times -= len(rejects)
        turn = desk.feed(builders.snapshot(at_ms, 600_000, 600_001, lots=900 + at_ms, update_id=at_ms), *rejects)


def _places(turn: Turn) -> list[PlaceOrder]:
    return [command for command in commands(turn) if isinstance(command, PlaceOrder)]


def test_more_rejects_than_a_storm_set_the_latch_and_an_operator_clears_it() -> None:
    """Five in a minute are borne, the sixth stops everything; cleared, counting begins anew."""
    desk = _desk(AccountLimits(reject_storm=5))
    _reject_all(desk, 5, RejectKind.OTHER)
    assert desk.core.gate.latched is None
    desk = _desk(AccountLimits(reject_storm=5))
    _reject_all(desk, 6, RejectKind.OTHER)
    assert desk.core.gate.latched == "reject storm: 6 venue rejects in a minute, the last other"
    assert CancelAll in [type(command) for turn in desk.turns for command in commands(turn)]
    assert desk.says() == "bid withdraw (kill_latched) | ask withdraw (kill_latched)"
    desk.feed(OperatorRequest((desk.now_ms + 1) * MS, OperatorAction.CLEAR_KILL, "anna"))
    assert desk.core.gate.latched is None
    assert "kill_latched" not in desk.says()


@pytest.mark.parametrize("kind", [RejectKind.POST_ONLY_CROSS, RejectKind.RATE_LIMITED])
def test_rejects_that_have_their_own_answer_are_no_storm(kind: RejectKind) -> None:
    """A market in motion refuses post-only orders; a rate limit closes its bucket."""
    desk = _desk(AccountLimits(reject_storm=5))
    _reject_all(desk, 20, kind)
    assert desk.core.gate.latched is None


def test_rejects_far_apart_are_no_storm() -> None:
    """Only those of one minute count."""
    desk = _desk(AccountLimits(reject_storm=5), msgspec.structs.replace(QUICK, max_book_age_ms=60_000))
    _reject_all(desk, 20, RejectKind.OTHER, every_ms=31_000)
    assert desk.core.gate.latched is None


def test_reports_that_contradict_our_picture_too_often_set_the_latch() -> None:
    """A fill on the side that the order is not on cannot be; three an hour are looked into, the fourth stops all."""
    desk = _desk(AccountLimits(max_contradictions=3))
    desk.acknowledge(desk.open_market(), 10)
    bid = desk.quote(Side.BUY)
    for number in range(1, 5):
        assert desk.core.gate.latched is None
        at = number * 1000 * MS
        desk.feed(OrderFilled(SYMBOL, at, at, bid.client_id, "v1", f"f{number}", Side.SELL, bid.ticks, 1, True))
    assert desk.core.gate.latched == "4 contradictions in an hour"


def test_a_position_further_beyond_its_limit_than_an_order_sets_the_latch() -> None:
    """One order too much can be a race; more than that is nobody's plan. Fills that bring it back are fine."""
    desk = _desk()  # max_position 50, max_order 40
    desk.acknowledge(desk.open_market(), 10)
    for key, side, lots, latched in (("a", Side.BUY, 90, False), ("b", Side.BUY, 1, True)):
        at = 1000 * MS
        desk.feed(OrderFilled(SYMBOL, at, at, ClientOrderId(999), "x", key, side, 600_000, lots, True))
        assert (desk.core.gate.latched is not None) is latched
    assert desk.core.gate.latched == ("position 91 lots of test:BTC-USDT is beyond its limit 50 by more than an order")
    desk.feed(OperatorRequest(2000 * MS, OperatorAction.CLEAR_KILL, "anna"))
    at = 3000 * MS
    desk.feed(OrderFilled(SYMBOL, at, at, ClientOrderId(999), "x", "c", Side.SELL, 600_000, 1, True))
    assert desk.core.gate.latched is None


def test_an_exception_in_the_core_outlives_it() -> None:
    """What the loop writes down last makes the next life stay out until an operator has looked (R15)."""
    parameters = builders.core_parameters()
    dead = TradingCore(parameters)
    relive(dead, CoreFailed(5 * MS, "KeyError: 'x'"))
    desk = Desk(parameters)
    desk.core = TradingCore(parameters, dead.checkpoint())
    desk.feed(RunStarted(10 * MS, "test", parameters.to_json(), dead.checkpoint()))
    desk.open_market(20)
    assert desk.core.gate.latched == "exception in the core: KeyError: 'x'"
    assert desk.says() == "bid withdraw (kill_latched) | ask withdraw (kill_latched)"


def test_a_loss_beyond_its_limit_outlives_the_process_until_it_is_cleared() -> None:
    """By checkpoint and by what was journaled behind it; cleared, losses count from here (R15)."""
    parameters = builders.core_parameters(account=AccountLimits(max_loss_atto=5 * ATTO))
    desk = Desk(parameters)
    desk.acknowledge(desk.open_market(), 10)
    before = desk.core.checkpoint()
    desk.fill(Side.BUY, 10, 2000)
    turn = desk.feed(builders.snapshot(2200, 590_000, 590_001, update_id=2))
    assert desk.core.gate.latched == "loss_limit"
    behind = TradingCore(parameters, before)
    for approved in turn.released:
        relive(behind, approved)
    for left in (desk.core.checkpoint(), behind.checkpoint()):
        again = Desk(parameters)
        again.core = TradingCore(parameters, left)
        again.feed(RunStarted(3000 * MS, "test", parameters.to_json(), left))
        again.feed(builders.connected(3000), builders.snapshot(3000, 590_000, 590_001))
        assert again.core.gate.latched is not None
        assert again.says().startswith("bid withdraw (kill_latched")
        again.feed(OperatorRequest(4000 * MS, OperatorAction.CLEAR_KILL, "anna"))
        assert again.core.gate.latched is None


def test_accounts_in_one_book_know_each_other_by_their_exchange() -> None:
    """Two entries whose connectors name one exchange, and one symbol on both: twins. An embedded market has none."""
    contracts = [builders.instrument(symbol, venue=venue) for venue in ("a", "b") for symbol in ("X-USDT", "Y-USDT")]
    for exchange, twins in (("hyperliquid", ("b:X-USDT",)), ("", ())):
        parameters = builders.core_parameters(
            *(builders.market(contract) for contract in contracts), capabilities=Capabilities(exchange=exchange)
        )
        core = TradingCore(parameters)
        assert core.markets[contracts[0].id].facts.twins == twins


def _clock_desk(**changes: object) -> Desk:
    parameters = builders.core_parameters(capabilities=Capabilities(amend=True, **changes))  # type: ignore[arg-type]
    return Desk(msgspec.structs.replace(parameters, max_clock_skew_ms=500, clock_skew_samples=3))


def _tell_time(desk: Desk, at_ms: int, skew_ms: int) -> None:
    desk.feed(VenueTime(builders.VENUE, (at_ms - skew_ms) * MS, at_ms * MS))


@pytest.mark.parametrize("skew_ms", [501, -501])
def test_a_venue_whose_clock_differs_three_times_running_is_pulled_until_it_agrees_as_often(skew_ms: int) -> None:
    """Ahead or behind; a single late message is no skew (R14)."""
    desk = _clock_desk()
    desk.acknowledge(desk.open_market(1000), 1010)
    for step, skew in enumerate((skew_ms, skew_ms, 500, skew_ms, skew_ms)):
        _tell_time(desk, 2000 + step, skew)
        assert "clock_skew" not in desk.says()
    _tell_time(desk, 2010, skew_ms)
    assert desk.says() == "bid withdraw (clock_skew) | ask withdraw (clock_skew)"
    assert desk.core.safeguards.skewed() == {builders.VENUE: skew_ms * MS}
    for step in range(2):
        _tell_time(desk, 2020 + step, 0)
        assert "clock_skew" in desk.says()
    _tell_time(desk, 2030, 0)
    assert "clock_skew" not in desk.says()
    assert desk.core.safeguards.skewed() == {}


def test_a_recording_and_a_height_without_a_time_say_nothing_of_our_clock() -> None:
    """Only a venue's own clock is compared."""
    for desk, ts_venue_ns in ((_clock_desk(recorded=True), 1), (_clock_desk(), 0)):
        desk.acknowledge(desk.open_market(10_000), 10_010)
        for step in range(5):
            desk.feed(VenueTime(builders.VENUE, ts_venue_ns, (11_000 + step) * MS, 7))
        assert "clock_skew" not in desk.says()
        assert desk.core.safeguards.skews_ns() == {}


def test_a_side_that_fills_too_often_is_pulled_for_a_while() -> None:
    """Three fills within a second are one too many; the other side stays, and the deadline ends it."""
    quoting = msgspec.structs.replace(QUICK, fill_burst=3, fill_burst_window_ms=1000, fill_burst_pause_ms=4000)
    desk = _desk(quoting=quoting)
    desk.acknowledge(desk.open_market(), 10)
    for at_ms in (1000, 1600, 2000, 2650):  # never three within a second
        desk.fill(Side.BUY, 1, at_ms)
        assert "fill_burst" not in desk.says()
    turn = desk.fill(Side.BUY, 1, 2660)
    assert desk.says().startswith("bid withdraw (fill_burst) | ask ")
    assert "withdraw" not in desk.says().partition("|")[2]
    desk.acknowledge(turn, 2670)
    desk.feed(builders.snapshot(6500, 600_000, 600_001, update_id=2))
    assert desk.says().startswith("bid withdraw (fill_burst)")
    desk.wait(6660)
    assert "fill_burst" not in desk.says()


def test_a_burst_outlives_the_process() -> None:
    """The pause is in the checkpoint, as the other lockouts are."""
    quoting = msgspec.structs.replace(QUICK, fill_burst=1, fill_burst_pause_ms=60_000)
    desk = _desk(quoting=quoting)
    desk.acknowledge(desk.open_market(), 10)
    desk.fill(Side.BUY, 1, 1000)
    again = TradingCore(desk.core.parameters, desk.core.checkpoint())
    assert again.markets[SYMBOL].lockouts.until_ns(Side.BUY, Reason.FILL_BURST) == 61_000 * MS
