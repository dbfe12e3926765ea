"""hftbacktest on the recording. Runs in its own environment: `python -m tests.bench.peers.hftbacktest_run FILE`.

Fed by its own converter: depth, trades and the snapshot, venue and local times corrected by it. Queue position is risk
averse as ours is (cancels are behind us), partial fills, 5 ms each way, post-only orders that are modified.

Not comparable: no risk gate, no order states beyond its own, no journal, no report; floats for money; the strategy is
compiled by numba; the whole recording stands in memory as an array. Orders placed include those that the venue refused
because the market had crossed them on their way.

The CPU time of a run includes making the backtest from the array. The first run also compiles: that is `jit` here.
"""

import argparse
import contextlib
import sys
from itertools import pairwise

import numpy as np
from hftbacktest import (
    BUY,
    GTX,
    LIMIT,
    LOCAL_EVENT,
    SELL,
    BacktestAsset,
    HashMapMarketDepthBacktest,
    ROIVectorMarketDepthBacktest,
)
from hftbacktest.data.utils.binancefutures import convert
from numba import njit

from tests.bench.cpu_time import cpu_of
from tests.bench.peers import strategy
from tests.bench.peers.outcome import Outcome, Traded
from tests.bench.peers.strategy import LATENCY_NS, LOT, ORDER_SIZE, STEP_NS, TICK

DEPTHS = {"roi": ROIVectorMarketDepthBacktest, "hashmap": HashMapMarketDepthBacktest}
ROI = (55_000.0, 70_000.0)
"""Prices that the vector depth keeps: 10 % around the recording's mid. Levels outside of it are dropped."""
KIND, DEPTH_CLEAR = 0xFF, 3
ROWS_AT_MOST = 2_000_000
STEPS_AT_MOST = 100_000

targets = njit(strategy.targets)
must_move = njit(strategy.must_move)
may_quote = njit(strategy.may_quote)


@njit
def working(hbt, side):
    """Our order of a side that is working or on its way, or None."""
    orders = hbt.orders(0).values()
    while orders.has_next():
        order = orders.get()
        if order.side == side:
            return order
    return None


@njit
def quote_side(hbt, side, target, next_id):
    """(orders placed, orders moved) of one side: at most one of them."""
    order = working(hbt, side)
    if order is None:
        if not may_quote(side, hbt.position(0)):
            return 0, 0
        price = target * TICK
        if side == BUY:
            hbt.submit_buy_order(0, next_id, price, ORDER_SIZE, GTX, LIMIT, False)
        else:
            hbt.submit_sell_order(0, next_id, price, ORDER_SIZE, GTX, LIMIT, False)
        return 1, 0
    if not order.cancellable:
        return 0, 0
    if not may_quote(side, hbt.position(0)):
        hbt.cancel(0, order.order_id, False)
    elif must_move(side, order.price_tick, target):
        hbt.modify(0, order.order_id, target * TICK, ORDER_SIZE, False)
        return 0, 1
    return 0, 0


@njit
def quote(hbt, path):
    """(placed, moved, steps) until the data end; `path` gets time, position, balance and fees of each step."""
    placed, moved, next_id, seen = 0, 0, 1, 0
    while hbt.elapse(STEP_NS) == 0:
        state = hbt.state_values(0)
        path[seen, 0], path[seen, 1] = hbt.current_timestamp, state.position
        path[seen, 2], path[seen, 3] = state.balance, state.fee
        seen += 1
        hbt.clear_inactive_orders(0)
        depth = hbt.depth(0)
        if not (depth.best_bid_tick > 0 and depth.best_bid_tick < depth.best_ask_tick < 1 << 40):
            continue
        bid, ask = targets(depth.best_bid_tick, depth.best_ask_tick, hbt.position(0))
        for side, target in ((BUY, bid), (SELL, ask)):
            new, changed = quote_side(hbt, side, target, next_id)
            placed += new
            moved += changed
            next_id += new
    return placed, moved, seen


def backtest(depth, data):
    """(placed, moved, fills, position, what was traded) of one run."""
    asset = (
        BacktestAsset()
        .data([data])
        .linear_asset(1.0)
        .constant_order_latency(LATENCY_NS, LATENCY_NS)
        .risk_adverse_queue_model()
        .partial_fill_exchange()
        .trading_value_fee_model(strategy.MAKER_FEE_BPS / 10_000, strategy.TAKER_FEE_BPS / 10_000)
        .tick_size(TICK)
        .lot_size(LOT)
        .roi_lb(ROI[0])
        .roi_ub(ROI[1])
    )
    hbt = DEPTHS[depth]([asset])
    path = np.empty((STEPS_AT_MOST, 4))
    placed, moved, steps = quote(hbt, path)
    state, depth_ = hbt.state_values(0), hbt.depth(0)
    mid = (depth_.best_bid + depth_.best_ask) / 2
    traded = Traded(
        volume=state.trading_value,
        fees=state.fee,
        pnl=state.balance + state.position * mid - state.fee,
        fills=fills_of(path[:steps]),
        steps=steps,
    )
    result = placed, moved, state.num_trades, state.position, traded
    hbt.close()
    return result


def fills_of(path):
    """Changes of the position between two steps, at the mean price that the balance tells."""
    fills = []
    for before, after in pairwise(path):
        size = after[1] - before[1]
        if abs(size) > LOT / 2:
            fills.append((int(after[0]), round(size, 8), round((before[2] - after[2]) / size, 2)))
    return fills


def rows_of(data):
    """Level changes and trades, each once: rows whose two times are out of order stand twice in the data."""
    received = (data["ev"] & LOCAL_EVENT) != 0
    return int(np.count_nonzero(received & ((data["ev"] & KIND) != DEPTH_CLEAR)))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recording")
    parser.add_argument("--depth", choices=DEPTHS, default="roi")
    parser.add_argument("--runs", type=int, default=0, help="measured runs after the first")
    chosen = parser.parse_args()
    with contextlib.redirect_stdout(sys.stderr):
        convert_s, data = cpu_of(lambda: convert(chosen.recording, buffer_size=ROWS_AT_MOST))
    first_s, (placed, moved, fills, position, traded) = cpu_of(lambda: backtest(chosen.depth, data))
    cpu_s = [cpu_of(lambda: backtest(chosen.depth, data))[0] for _ in range(chosen.runs)]
    jit_s = first_s - min(cpu_s, default=0.0)
    parts_s = {"convert": convert_s, "jit": jit_s}
    Outcome(rows_of(data), placed, moved, fills, round(position, 8), cpu_s, parts_s, traded).print()


if __name__ == "__main__":
    main()
