"""What fills were worth and how long inventory was held: known numbers from a core that was told so."""

import math
from collections.abc import Sequence
from decimal import Decimal
from statistics import mean, stdev

import msgspec
import pytest

from mm_daemon.core.trading_core import TradingCore
from mm_daemon.domain.deadlines import NEVER_NS
from mm_daemon.domain.events import (
    BookInvalidated,
    BookSnapshot,
    Event,
    InvalidCause,
    OrderFilled,
)
from mm_daemon.domain.money import ATTO, to_pair
from mm_daemon.domain.orders import ClientOrderId, Side
from mm_daemon.observability.equity_figures import equity_figures
from mm_daemon.observability.live_statistics import LiveStatistics
from mm_daemon.observability.trade_statistics import MarkoutFigure, TradeStatistics
from mm_daemon.testkit import builders as b

BTC = b.SYMBOL
MID = 600_000
"""Ticks; a hundredth of a percent of it is 60 ticks."""
BP = MID / 10_000


class Lived:
    """A core and its statistics, as a run feeds them."""

    def __init__(self, *, max_position_lots: int = 50) -> None:
        self.core = TradingCore(b.core_parameters(b.market(max_position_lots=max_position_lots)))
        self.live = LiveStatistics(self.core.markets, 0)
        self.of: TradeStatistics = self.live.markets[BTC]
        self._fills = 0

    def turn(self, at_ms: int, *events: Event) -> None:
        for event in events:
            self.core.apply(event)
        turn = self.core.decide(at_ms * b.MS)
        self.live.observe(turn, [event for event in events if not isinstance(event, BookSnapshot | BookInvalidated)])

    def mid(self, at_ms: int, ticks: int) -> None:
        self.turn(at_ms, book(at_ms, ticks))

    def fill(self, at_ms: int, side: Side, ticks: int, lots: int = 1) -> OrderFilled:
        self._fills += 1
        return filled(at_ms, side, ticks, lots, key=f"t{self._fills}")

    def markout(self, side: Side, horizon_s: int) -> MarkoutFigure:
        figures = self.of.fill_figures(1).markouts
        (found,) = [one for one in figures if (one.side, one.horizon_s) == (side.word, horizon_s)]
        return found


def book(at_ms: int, mid: int) -> BookSnapshot:
    return b.snapshot(at_ms, mid - 5, mid + 5, update_id=1 + at_ms)


def filled(at_ms: int, side: Side, ticks: int, lots: int = 1, *, key: str) -> OrderFilled:
    """Of an order nobody remembers: it moves the position all the same."""
    return OrderFilled(BTC, at_ms * b.MS, at_ms * b.MS, ClientOrderId(77), "v77", key, side, ticks, lots, True, (0, 0))


def test_markouts_of_a_fill_at_known_later_mids() -> None:
    """Bought 60 ticks under the mid: a half-spread of one basis point, less what the mid then lost."""
    lived = Lived()
    lived.mid(0, MID)
    price = MID - 60
    lived.turn(1000, lived.fill(1000, Side.BUY, price))
    lived.mid(1999, MID - 30)
    lived.mid(2001, MID + 600)  # after the first horizon
    lived.mid(11_000, MID - 120)  # exactly at the second
    lived.mid(61_500, MID)
    per_tick = 1e4 / price
    for horizon_s, mid in ((1, MID - 30), (10, MID - 120), (60, MID - 120)):
        figure = lived.markout(Side.BUY, horizon_s)
        assert figure.fills == 1
        assert figure.markout_bps == pytest.approx((mid - price) * per_tick)
        assert figure.half_spread_bps == pytest.approx(60 * per_tick)
        assert figure.adverse_bps == pytest.approx((MID - mid) * per_tick)
        assert (figure.markout_se_bps, figure.adverse_se_bps) == (None, None)
        assert lived.markout(Side.SELL, horizon_s).markout_bps is None


def test_means_have_errors_and_wins_are_counted_over_both_sides() -> None:
    """Three sales at the mid: 10 s later it is 2 bps lower, the same, 1 bp higher. One of three has won."""
    lived = Lived()
    for start_s, moved in ((0, -2), (100, 0), (200, 1)):
        lived.mid(start_s * 1000, MID)
        lived.turn(start_s * 1000 + 1, lived.fill(start_s * 1000 + 1, Side.SELL, MID))
        lived.mid(start_s * 1000 + 5000, MID + round(moved * BP))
        lived.mid(start_s * 1000 + 70_000, MID)
    ten = lived.markout(Side.SELL, 10)
    assert (ten.fills, ten.markout_bps) == (3, pytest.approx(1 / 3))
    assert ten.markout_se_bps == pytest.approx(math.sqrt(((2 - 1 / 3) ** 2 + (1 / 3) ** 2 + (4 / 3) ** 2) / 2 / 3))
    figures = lived.of.fill_figures(3600 * 1000 * b.MS)
    assert figures.win_rate == pytest.approx(1 / 3)
    assert figures.trades_per_hour == pytest.approx(3.0)
    assert figures.spread_captured_bps == pytest.approx(0.0)
    gained, lost = lived.of.outcomes[Side.SELL, 10_000 * b.MS].gain, lived.of.outcomes[Side.SELL, 10_000 * b.MS].loss
    notional = 0.001 * MID * 0.1
    assert (gained, lost) == (pytest.approx(2e-4 * notional), pytest.approx(1e-4 * notional))


def test_the_equity_is_sampled_each_second() -> None:
    """One lot bought at the mid, which then moves each second or, for three seconds, not at all: the increments, their
    Sharpe ratio, and the largest fall from the peak.
    """
    lived = Lived()
    lived.mid(0, MID)
    lived.turn(500, lived.fill(500, Side.BUY, MID))
    for at_s, mid in ((1, MID + 100), (2, MID + 300), (3, MID + 180), (7, MID + 240)):
        lived.mid(at_s * 1000, mid)
        lived.mid(at_s * 1000 + 400, mid + 7)
        lived.mid(at_s * 1000 + 900, mid)
    moves = [100.0, 200.0, -120.0, 0.0, 0.0, 0.0, 60.0]
    figures = equity_figures(lived.of.equity)
    assert (figures.samples, figures.interval_s) == (8, 1.0)
    assert figures.sharpe == pytest.approx(mean(moves) / stdev(moves))
    assert figures.max_drawdown == 120 * Decimal("0.1") * Decimal("0.001")


def test_orders_sent_are_counted() -> None:
    """Places and amends, not cancels."""
    lived = Lived()
    lived.turn(0, b.connected(), b.account(0), book(0, MID))
    assert lived.of.orders == 2


def test_mid_of_a_fill_is_that_before_the_market_moved_in_the_same_turn() -> None:
    """Orders come first in a turn: what the core booked counts, not the book as it is when we look."""
    lived = Lived()
    lived.mid(0, MID)
    told = (lived.fill(10, Side.BUY, MID - 60), lived.fill(10, Side.SELL, MID + 120, 3))
    lived.turn(10, *told, book(10, MID - 600))
    captured = lived.of.fill_figures(20 * b.MS).spread_captured_bps
    assert captured == pytest.approx((60e4 / (MID - 60) + 120e4 / (MID + 120)) / 2)


def test_holding_time_is_littles_law() -> None:
    """Two lots for 10 s, then one for 20 s, then none: 40 lot-seconds over two lots closed."""
    lived = Lived(max_position_lots=2)
    lived.mid(0, MID)
    for at_s, side, lots in ((10, Side.BUY, 2), (20, Side.SELL, 1), (40, Side.SELL, 1)):
        lived.turn(at_s * 1000, lived.fill(at_s * 1000, side, MID, lots))
    figures = lived.of.inventory_figures(100_000 * b.MS)
    assert figures is not None
    assert figures.mean_abs == pytest.approx(0.001 * 40 / 100)
    assert figures.rms == pytest.approx(0.001 * math.sqrt((4 * 10 + 20) / 100))
    assert figures.time_at_limit == pytest.approx(0.1)
    assert figures.mean_holding_s == pytest.approx(20.0)


def test_a_fill_told_twice_is_one_and_one_that_nobody_told_is_none() -> None:
    """What the venue shows in a snapshot moves the position; when it was and at what mid, nobody knows."""
    lived = Lived()
    lived.turn(1, b.connected(1), b.account(1), book(1, MID))
    once = lived.fill(10, Side.BUY, MID - 60)
    lived.turn(10, once, once)
    lived.turn(11, once)
    unseen = lived.fill(4990, Side.BUY, MID - 6, 2)
    lived.turn(9000, b.account(9000, lots=3, fills=(once, unseen)))
    assert lived.core.markets[BTC].position.lots == 3
    assert lived.of.untold == 1
    lived.mid(12_000, MID)
    assert lived.markout(Side.BUY, 1).fills == 1
    inventory = lived.of.inventory_figures(19_000 * b.MS)
    assert inventory is not None
    assert inventory.mean_abs == pytest.approx(0.001 * (8.99 + 3 * 10) / 19)


def test_fees_taken_out_of_what_was_bought_hide_no_fill() -> None:
    """Two lots of ten and a half go to the venue: the fill counts as it was, the position is what is left."""
    lived = Lived()
    lived.mid(0, MID)
    lot = int(lived.core.markets[BTC].instrument.lot * ATTO)
    fill = lived.fill(1000, Side.BUY, MID - 60, 10)
    lived.turn(1000, msgspec.structs.replace(fill, base_fee=to_pair(3 * lot // 2)))
    assert lived.core.markets[BTC].position.lots == 8
    lived.mid(2001, MID)
    figure = lived.markout(Side.BUY, 1)
    assert (figure.fills, lived.of.untold) == (1, 0)
    assert figure.half_spread_bps == pytest.approx(60 * 1e4 / (MID - 60))
    held = lived.of.inventory_figures(2001 * b.MS)
    assert held is not None and held.mean_abs == pytest.approx(8 * float(lot / ATTO) * 1001 / 2001)


def test_a_lost_book_observes_nothing() -> None:
    """A horizon that falls where the book cannot be trusted has no mid."""
    lived = Lived()
    lived.mid(0, MID)
    lived.turn(10, lived.fill(10, Side.BUY, MID))
    lived.turn(500, BookInvalidated(BTC, 0, 500 * b.MS, InvalidCause.GAP))
    lived.mid(5000, MID + 60)
    lived.mid(70_000, MID)
    assert [lived.markout(Side.BUY, horizon_s).fills for horizon_s in (1, 10, 60)] == [0, 1, 1]
    assert lived.of.due_ns == NEVER_NS


def test_nothing_traded_is_null_and_nothing_is_infinite() -> None:
    """Without fills, without time, without a book: figures are null, and JSON has them all."""
    lived = Lived()
    assert lived.of.inventory_figures(0) is None
    for now_ns in (0, 1, 10**15):
        figures = lived.of.fill_figures(now_ns)
        assert (figures.spread_captured_bps, figures.win_rate) == (None, None)
        assert all(one.fills == 0 and one.adverse_bps is None for one in figures.markouts)
        numbers(msgspec.to_builtins((figures, lived.of.inventory_figures(now_ns))))


def numbers(tree: object) -> None:
    """Every number in it is finite."""
    if isinstance(tree, dict):
        numbers(tuple(tree.values()))
    elif isinstance(tree, Sequence) and not isinstance(tree, str):
        for leaf in tree:
            numbers(leaf)
    elif isinstance(tree, float):
        assert math.isfinite(tree)
