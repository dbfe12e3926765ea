"""Overlays through the whole core: a side is pulled at once, and quoted again by the core's own deadline."""

from typing import Any

import msgspec
import pytest

from mm_daemon.core.trading_core import TradingCore
from mm_daemon.domain.checkpoint import Checkpoint, MarketCheckpoint
from mm_daemon.domain.decisions import Action, DecisionsChanged, PlaceOrder
from mm_daemon.domain.events import RunStarted
from mm_daemon.domain.orders import Side
from mm_daemon.domain.signal_states import OverlaysState
from mm_daemon.engine.models.catalogue import MODELS
from mm_daemon.engine.parameters import QuoteParameters, WarmStart
from mm_daemon.journal.recovery import left_by
from mm_daemon.testkit import builders
from mm_daemon.testkit.builders import MS
from tests.unit.core.desk import SYMBOL, Desk, commands, kinds

BID = 600_000


def desk(**keys: Any) -> Desk:
    """A market whose lockouts are short, so that only overlays keep it from quoting."""
    quoting = QuoteParameters(
        fill_lockout_ms=0, order_lockout_ms=0, max_book_age_ms=3_600_000, decide_interval_ms=60_000, **keys
    )
    return Desk(builders.core_parameters(builders.market(quoting=quoting)))


def trades(d: Desk, count: int, *, from_ms: int) -> int:
    """Ordinary taker orders of both sides, ten a second, each with its book; the time after them in ms."""
    for step in range(count):
        at_ms = from_ms + 100 * step
        side = Side.BUY if step % 2 else Side.SELL
        d.core.apply(builders.trade(at_ms, side, BID + (step % 2), 8 + step % 5, trade_id=step))
        turn = d.feed(builders.delta(at_ms + 1, bids=((BID - 3, 900 + step),), update_id=10 + step))
        d.acknowledge(turn, at_ms + 2) if commands(turn) else None
    return from_ms + 100 * count


def test_a_toxic_trade_pulls_the_side_at_once_and_the_deadline_brings_it_back() -> None:
    """With the next book, however little the price has moved; the other side stays; no event is needed to return."""
    d = desk(toxic_cool_down_ms=3000)
    d.acknowledge(d.open_market(), 1)
    at_ms = trades(d, 80, from_ms=10)
    d.core.apply(builders.trade(at_ms, Side.SELL, BID, 5000, trade_id=9999))
    turn = d.feed(builders.delta(at_ms + 1, bids=((BID - 4, 7),), update_id=900))
    assert kinds(turn) == ["CancelOrder"]
    bid, ask = d.core.markets[SYMBOL].decisions
    assert (bid.action, ask.action) == (Action.WITHDRAW, Action.HOLD)
    assert "toxic_flow" in bid.compact()
    d.acknowledge(turn, at_ms + 2)
    assert d.core.next_deadline_ns() == (at_ms + 1 + 3000) * MS
    d.wait(at_ms + 3000)
    assert d.core.markets[SYMBOL].working(Side.BUY) is None
    back = d.wait(at_ms + 3001)
    assert kinds(back) == ["PlaceOrder bid"]


def test_a_closed_session_opens_by_its_deadline() -> None:
    """Nothing is quoted before the hour, with the reason; at the hour both sides are placed; at its end cancelled."""
    d = desk(sessions=("00:01-00:02",))
    assert kinds(d.open_market()) == []
    assert d.says().count("session_closed") == 2
    assert d.core.next_deadline_ns() == 60_000 * MS
    opened = d.wait(60_000)
    assert kinds(opened) == ["PlaceOrder bid", "PlaceOrder ask"]
    d.acknowledge(opened, 60_001)
    closing = d.wait(120_000)
    assert kinds(closing) == ["CancelOrder", "CancelOrder"]
    d.acknowledge(closing, 120_001)
    assert d.says().count("session_closed") == 2


def test_a_wild_market_is_left_and_a_calm_one_taken_up() -> None:
    """volatility_halt in both decisions while it lasts, quotes when it is over."""
    d = desk(volatility_stop=1.0, volatility_half_life_s=5.0)
    d.acknowledge(d.open_market(), 1)
    at_ms, seen, update = 1000, [], 2
    for size, steps in ((300, 40), (1, 120)):
        for step in range(steps):
            bid = BID + size * (step % 2)
            update += 1
            turn = d.feed(builders.snapshot(at_ms, bid, bid + 1, update_id=update))
            if commands(turn):
                d.acknowledge(turn, at_ms + 1)
            seen.append(d.says().count("volatility_halt"))
            at_ms += 1000
    assert 2 in seen
    halted = seen.index(2)
    assert seen[halted] == 2
    assert seen[-1] == 0
    assert d.core.markets[SYMBOL].working(Side.BUY) is not None
    assert d.core.markets[SYMBOL].working(Side.SELL) is not None


@pytest.mark.parametrize("model", sorted(MODELS))
def test_a_book_without_one_side_is_left_and_taken_up_when_it_is_whole(model: str) -> None:
    """no_reference on both sides while it lasts; estimators that lived through it and a price of half quote again."""
    d = desk(
        model=model,
        calibration="market",
        momentum_beta=1.0,
        regime_power=0.5,
        toxic_cool_down_ms=10,
        max_spread_bps=10_000.0,
        max_skew_bps=1000.0,
    )
    d.acknowledge(d.open_market(), 1)
    at_ms = trades(d, 40, from_ms=10)
    gone = d.feed(builders.delta(at_ms, asks=tuple((BID + 1 + level, 0) for level in range(5)), update_id=900))
    assert kinds(gone) == ["CancelOrder", "CancelOrder"]
    assert d.says().count("no_reference") == 2
    d.acknowledge(gone, at_ms + 1)
    d.core.apply(builders.trade(at_ms + 2, Side.BUY, BID + 50, 20, trade_id=901))
    back = d.feed(builders.snapshot(at_ms + 3, BID // 2, BID // 2 + 1, update_id=902))
    assert kinds(back) == ["PlaceOrder bid", "PlaceOrder ask"]
    assert all(
        abs(command.ticks - BID // 2) < BID // 20 for command in commands(back) if isinstance(command, PlaceOrder)
    )


def resumed(d: Desk, left: Checkpoint, at_ms: int) -> Desk:
    """A next life that goes on from `left`."""
    again = Desk(d.core.parameters)
    again.core = TradingCore(d.core.parameters, left)
    again.open_market(at_ms, BID, BID + 1)
    return again


@pytest.mark.parametrize("dies", [False, True])
def test_a_pulled_side_stays_pulled_over_a_restart(dies: bool) -> None:
    """By the checkpoint, or by the decisions behind an older one; it ends when it would have ended."""
    d = desk(toxic_cool_down_ms=3000)
    d.acknowledge(d.open_market(), 1)
    at_ms = trades(d, 80, from_ms=10)
    before = d.core.checkpoint()
    d.core.apply(builders.trade(at_ms, Side.SELL, BID, 5000, trade_id=9999))
    turn = d.feed(builders.delta(at_ms + 1, bids=((BID - 4, 7),), update_id=900))
    left = d.core.checkpoint()
    if dies:
        started = RunStarted(0, "", d.core.parameters.to_json(), before)
        found = left_by([started, *turn.decisions])
        assert found is not None
        left, _, _ = found
    assert left.markets[0].overlays == d.core.checkpoint().markets[0].overlays
    again = resumed(d, left, at_ms + 1000)
    assert "toxic_flow" in again.says()
    again.wait(at_ms + 3000)
    assert "toxic_flow" in again.says()
    again.wait(at_ms + 3001)
    assert "toxic_flow" not in again.says()


@pytest.mark.parametrize("dies", [False, True])
def test_a_stopped_market_stays_stopped_over_a_restart(dies: bool) -> None:
    """Until the next life has seen the market for a half-life, although the prior is calm."""
    d = desk(volatility_stop=1.0, volatility_half_life_s=5.0)
    d.acknowledge(d.open_market(), 1)
    before, at_ms = d.core.checkpoint(), 1000
    said: list[DecisionsChanged] = []
    while not d.says().count("volatility_halt"):
        bid = BID + 300 * (at_ms // 1000 % 2)
        said += d.feed(builders.snapshot(at_ms, bid, bid + 1, update_id=at_ms)).decisions
        at_ms += 1000
    left = d.core.checkpoint()
    if dies:
        found = left_by([RunStarted(0, "", d.core.parameters.to_json(), before), *said])
        assert found is not None
        left, _, _ = found
    assert left.markets[0].overlays == OverlaysState(None, volatility_stopped=True)
    again = resumed(d, left, at_ms)
    for step in range(130):
        again.wait(at_ms + 1000 * step)
        if "volatility_halt" not in again.says():
            break
        again.feed(builders.snapshot(at_ms + 1000 * step, BID + step % 2, BID + 1 + step % 2, update_id=at_ms + step))
    assert step >= 5
    assert "volatility_halt" not in again.says()


def test_a_checkpoint_of_before_overlays_were_kept_is_taken_up() -> None:
    """Without what has been added to it since, as older versions wrote it: nothing is pulled."""
    d = desk(toxic_cool_down_ms=3000, volatility_stop=1.0)
    d.acknowledge(d.open_market(), 1)
    written = msgspec.to_builtins(d.core.checkpoint().markets[0])
    older = msgspec.convert(written[: MarketCheckpoint.__struct_fields__.index("overlays")], MarketCheckpoint)
    assert older.overlays is None
    left = msgspec.structs.replace(d.core.checkpoint(), markets=(older,))
    assert "toxic_flow" not in resumed(d, left, 10).says()


@pytest.mark.parametrize(("file_ms", "wins"), [(1, False), (10**9, True)])
def test_the_newer_of_checkpoint_and_calibration_file_wins(file_ms: int, wins: bool) -> None:
    """Of a market that was measured, what the checkpoint has learned; what was calibrated after it, not."""
    keys: dict[str, Any] = {"calibration": "market", "calibration_half_life_s": 5.0, "volatility_half_life_s": 5.0}
    d = desk(**keys)
    d.acknowledge(d.open_market(), 1)
    trades(d, 80, from_ms=10)
    left = d.core.checkpoint()
    (state,) = left.markets
    assert state.signals is not None
    fit = msgspec.structs.replace(state.signals.intensity, A=2.0, A_buy=2.0, A_sell=2.0, k=0.7, good_ns=1)
    state = msgspec.structs.replace(state, signals=msgspec.structs.replace(state.signals, intensity=fit))
    left = msgspec.structs.replace(left, markets=(state,))
    (market,) = d.core.parameters.markets
    warm = WarmStart(file="cal.yaml", at_ns=file_ms * MS, volatility=0.5, intensity=4.0, k=0.9, confidence=0.8)
    begun = TradingCore(builders.core_parameters(msgspec.structs.replace(market, warm=warm)), left)
    engine = begun.markets[SYMBOL].engine
    assert engine.conditions.intensity().k == (0.9 if wins else 0.7)
    assert (engine.volatility.state() == state.volatility) is not wins
