"""The statistics of a report, on tapes with known numbers, and what a run without fills says of them."""

import json
import math
from typing import Any

import pytest

from mm_daemon.backtest.report import BacktestReport
from mm_daemon.backtest.runner import BacktestRunner
from mm_daemon.backtest.sources import RecordedMarket, Source
from mm_daemon.domain.decisions import AmendOrder, PlaceOrder
from mm_daemon.domain.events import MarketEvent, OrderFilled
from mm_daemon.domain.instrument import Venue
from mm_daemon.domain.orders import Side
from mm_daemon.journal.log import JournalReader
from mm_daemon.testkit.builders import VENUE, core_parameters, delta, instrument, market, snapshot, trade
from tests.unit.backtest.doubles import ListFeed, ObedientVenue, tape

BID = 600_000


def played(events: list[MarketEvent], path: Any = None) -> BacktestReport:
    sources: dict[Venue, Source] = {VENUE: RecordedMarket(ListFeed(events), ObedientVenue())}
    return BacktestRunner(core_parameters(market(instrument())), sources, journal=path).run()


def quiet_then(moved: int) -> list[MarketEvent]:
    """A market that stands still, sells through our bid, and half a second later stands `moved` ticks away."""
    later = BID + moved
    return [
        snapshot(1000, BID, BID + 1, depth=30),
        trade(2000, Side.SELL, BID - 300, 50),
        snapshot(2500, later, later + 1, depth=30, update_id=2),
        *(delta(at_ms, bids=((later, 900),), update_id=at_ms) for at_ms in range(3000, 15_001, 1000)),
    ]


@pytest.mark.parametrize("moved", [-50, 0, 50])
def test_one_fill_is_worth_what_the_tape_says(moved: int, tmp_path: Any) -> None:
    """Our bid is filled once; a second and ten seconds later the mid has moved by what the tape says."""
    report = played(quiet_then(moved), tmp_path / "j")
    (only,) = report.markets
    with JournalReader(tmp_path / "j") as reader:
        records = [record for frame in reader for record in frame.records]
    fill = next(record for record in records if isinstance(record, OrderFilled))
    assert fill.side is Side.BUY
    assert only.fills == 1
    by_horizon = {one.horizon_s: one for one in only.trades.markouts if one.side == "bid"}
    mid_then, per_tick = BID + 0.5, 1e4 / fill.ticks
    for horizon_s in (1, 10):
        one = by_horizon[horizon_s]
        assert one.fills == 1
        assert one.markout_bps == pytest.approx((mid_then + moved - fill.ticks) * per_tick)
        assert one.adverse_bps == pytest.approx(-moved * per_tick)
        assert one.half_spread_bps == pytest.approx((mid_then - fill.ticks) * per_tick)
    assert (by_horizon[60].fills, by_horizon[60].markout_bps) == (0, None)
    assert only.trades.spread_captured_bps == by_horizon[1].half_spread_bps
    assert only.trades.win_rate == float(mid_then + moved > fill.ticks)
    assert only.trades.trades_per_hour == pytest.approx(3600 / 14)
    held_s = (15_000 - fill.ts_local_ns / 1e6) / 1000
    assert only.inventory is not None
    assert only.inventory.mean_abs == pytest.approx(0.01 * held_s / 14)
    assert only.inventory.mean_holding_s is None
    sent = [record.command for record in records if hasattr(record, "command")]
    offers = [command for command in sent if isinstance(command, PlaceOrder | AmendOrder)]
    places = [command for command in offers if isinstance(command, PlaceOrder)]
    assert only.rates.fills_per_order == pytest.approx(1 / len(offers))
    assert only.rates.filled_size_share == pytest.approx(fill.lots / sum(place.lots for place in places))


def test_equity_is_sampled_each_second_of_the_market() -> None:
    """15 samples of 14 s; all that is lost is lost at once, after the fill; the account is its one market."""
    report = played(quiet_then(-500))
    (only,) = report.markets
    assert (only.equity.interval_s, only.equity.samples) == (1.0, 15)
    assert only.equity.max_drawdown == -only.pnl.inventory > 0
    assert report.equity == only.equity
    assert only.equity.sharpe is not None and only.equity.sharpe_annual is not None
    assert only.equity.sharpe_annual == pytest.approx(only.equity.sharpe * math.sqrt(365 * 86_400))


def test_without_fills_figures_are_null_and_dashes() -> None:
    """Nobody trades: no mean, no share, no Sharpe; and the table has a dash for each."""
    report = played([snapshot(1000, BID, BID + 1, depth=30), delta(9000, bids=((BID, 900),))])
    (only,) = json.loads(report.to_json())["markets"]
    assert only["trades"]["spread_captured_bps"] is None
    assert only["trades"]["win_rate"] is None
    assert only["rates"]["filled_size_share"] == 0.0
    assert only["inventory"] == {"mean_abs": 0.0, "rms": 0.0, "time_at_limit": 0.0, "mean_holding_s": None}
    assert only["equity"]["sharpe"] is None and only["equity"]["sharpe_annual_se"] is None
    assert only["equity"]["max_drawdown"] == 0
    rows = {line[:27].strip(): line[27:].strip() for line in report.to_text().splitlines()}
    assert rows["spread captured, bps a fill"] == rows["fills that won after 10 s"] == rows["sharpe of 1 s"] == "-"
    assert rows["markout 10 s bid / ask"] == "- / -"


def test_an_empty_recording_has_no_figures_at_all() -> None:
    """No time passes: nothing is divided by it."""
    (only,) = played([]).markets
    assert (only.inventory, only.trades.trades_per_hour, only.rates.fills_per_order) == (None, None, None)


def test_more_turns_change_no_figure() -> None:
    """Prints far from every quote make turns of their own; fills, orders and statistics stay what they were."""
    plain = list(tape(60))
    far = [trade(event.ts_local_ns // 1_000_000, Side.BUY, BID, 1, trade_id=10**6 + n) for n, event in enumerate(plain)]
    busy = [event for pair in zip(plain, far, strict=True) for event in pair]
    one, other = played(plain), played(busy)
    assert other.fills == one.fills > 0
    assert [getattr(other.markets[0], name) for name in ("trades", "rates", "inventory", "equity")] == [
        getattr(one.markets[0], name) for name in ("trades", "rates", "inventory", "equity")
    ]
