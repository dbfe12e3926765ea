"""NautilusTrader on the recording. Runs in its own environment: `python -m tests.bench.peers.nautilus_run FILE`.

Each level change becomes an `OrderBookDelta`, the last one of a message flagged so, each trade a `TradeTick`; the
snapshot clears the book, diffs from before it are skipped. `--deltas` says how they are fed: `batched`, a message as
one `OrderBookDeltas`, which is how our engine takes it; or `single`, which the venue matches one by one and the data
engine gathers by the flag again (`buffer_deltas`; slower without). The book is market-by-price, quotes are post-only
limit orders that a timer places and modifies, the risk engine stands at its defaults.

Not comparable: this version knows no place in a queue, trades at our price fill by chance (`FILL_CHANCE`; none is
nearest to standing behind everybody); orders take 5 ms to the venue, but answers are known at once; logging and the
closing analysis are off; no journal; all data stand in memory as objects.

The CPU time of a run is `BacktestEngine.run` alone, the engine made and the data handed over before.
"""

import argparse
import gzip
from datetime import timedelta
from decimal import Decimal

import msgspec
from nautilus_trader.backtest.config import BacktestEngineConfig
from nautilus_trader.backtest.engine import BacktestEngine
from nautilus_trader.backtest.models import FillModel, LatencyModel
from nautilus_trader.config import LoggingConfig
from nautilus_trader.data.config import DataEngineConfig
from nautilus_trader.model.currencies import BTC, USDT
from nautilus_trader.model.data import OrderBookDelta, OrderBookDeltas, TradeTick
from nautilus_trader.model.enums import (
    AccountType,
    AggressorSide,
    BookAction,
    BookType,
    OmsType,
    OrderSide,
    RecordFlag,
)
from nautilus_trader.model.identifiers import InstrumentId, Symbol, TradeId, Venue
from nautilus_trader.model.instruments import CryptoPerpetual
from nautilus_trader.model.objects import FIXED_PRECISION, Money, Price, Quantity
from nautilus_trader.trading.strategy import Strategy

from tests.bench.cpu_time import cpu_of
from tests.bench.peers import strategy
from tests.bench.peers.outcome import Outcome, Traded
from tests.bench.peers.strategy import LATENCY_NS, ORDER_SIZE, STEP_NS, TICK

FILL_CHANCE = 0.0
PRICE_DIGITS, SIZE_DIGITS = 1, 3
NS_PER_MS = 1_000_000
ID = InstrumentId(Symbol("BTCUSDT"), Venue("BINANCE"))
BUY, SELL, LAST = OrderSide.BUY, OrderSide.SELL, RecordFlag.F_LAST
UPDATE, DELETE = BookAction.UPDATE, BookAction.DELETE

INSTRUMENT = CryptoPerpetual(
    instrument_id=ID,
    raw_symbol=Symbol("BTCUSDT"),
    base_currency=BTC,
    quote_currency=USDT,
    settlement_currency=USDT,
    is_inverse=False,
    price_precision=PRICE_DIGITS,
    size_precision=SIZE_DIGITS,
    price_increment=Price(TICK, PRICE_DIGITS),
    size_increment=Quantity(strategy.LOT, SIZE_DIGITS),
    ts_event=0,
    ts_init=0,
    margin_init=Decimal("0.05"),
    margin_maint=Decimal("0.025"),
    maker_fee=Decimal(str(strategy.MAKER_FEE_BPS)) / 10_000,
    taker_fee=Decimal(str(strategy.TAKER_FEE_BPS)) / 10_000,
)

Levels = list[tuple[str, str]]


class Depth(msgspec.Struct, gc=False):
    """The venue's depth diff."""

    T: int
    u: int
    b: Levels
    a: Levels


class Trade(msgspec.Struct, gc=False):
    """The venue's trade; `m` says that the buyer was the maker."""

    T: int
    t: int
    p: str
    q: str
    m: bool


class Snapshot(msgspec.Struct, gc=False):
    """The answer of the depth endpoint."""

    lastUpdateId: int
    T: int
    bids: Levels
    asks: Levels


class DepthFrame(msgspec.Struct, gc=False):
    data: Depth


class TradeFrame(msgspec.Struct, gc=False):
    data: Trade


def decoded(path, single):
    """The recording as Nautilus's data: (depth, trades), each in the order of receipt."""
    books, trades = [], []
    keep = books.extend if single else lambda deltas: books.append(OrderBookDeltas(ID, deltas))
    depth, trade, snapshot = (msgspec.json.Decoder(kind).decode for kind in (DepthFrame, TradeFrame, Snapshot))
    known_id = None
    with gzip.open(path, "rb") as lines:
        for line in lines:
            received_ns, _, frame = line.partition(b" ")
            head = frame[:40]
            if b"@bookTicker" in head:
                continue
            if b"@depth" in head:
                diff = depth(frame).data
                if known_id is not None and diff.u > known_id:
                    keep(deltas_of(diff.b, diff.a, diff.u, diff.T * NS_PER_MS, int(received_ns)))
            elif b"@trade" in head:
                trades.append(tick_of(trade(frame).data, int(received_ns)))
            else:
                whole = snapshot(frame)
                known_id = whole.lastUpdateId
                at_ns = whole.T * NS_PER_MS
                clear = OrderBookDelta.clear(ID, known_id, at_ns, int(received_ns))
                keep(deltas_of(whole.bids, whole.asks, known_id, at_ns, int(received_ns), clear))
    return books, trades


def deltas_of(bids, asks, update_id, at_ns, received_ns, *before):
    """One message: a size of zero deletes its level."""
    deltas = list(before)
    left = len(bids) + len(asks)
    for side, levels in ((BUY, bids), (SELL, asks)):
        for price, size in levels:
            left -= 1
            raw_size = raw(size, SIZE_DIGITS)
            deltas.append(
                OrderBookDelta.from_raw(
                    ID,
                    UPDATE if raw_size else DELETE,
                    side,
                    raw(price, PRICE_DIGITS),
                    PRICE_DIGITS,
                    raw_size,
                    SIZE_DIGITS,
                    0,
                    0 if left else LAST,
                    update_id,
                    at_ns,
                    received_ns,
                )
            )
    return deltas


def tick_of(trade, received_ns):
    return TradeTick.from_raw(
        ID,
        raw(trade.p, PRICE_DIGITS),
        PRICE_DIGITS,
        raw(trade.q, SIZE_DIGITS),
        SIZE_DIGITS,
        AggressorSide.SELLER if trade.m else AggressorSide.BUYER,
        TradeId(str(trade.t)),
        trade.T * NS_PER_MS,
        received_ns,
    )


def raw(text, digits):
    """A decimal in Nautilus's fixed point."""
    return round(float(text) * 10**digits) * 10 ** (FIXED_PRECISION - digits)


class Quoting(Strategy):
    """Two post-only orders that a timer keeps at their targets."""

    def __init__(self):
        super().__init__()
        self.placed = self.moved = self.fills = 0
        self.position = self.cash = 0.0
        self.mid = None
        self.traded = Traded()
        self.working = {BUY: None, SELL: None}
        self.size = Quantity(ORDER_SIZE, SIZE_DIGITS)

    def on_start(self):
        self.subscribe_order_book_deltas(ID, BookType.L2_MBP)
        self.clock.set_timer("decide", timedelta(milliseconds=STEP_NS // NS_PER_MS), callback=self.decide)

    def on_order_filled(self, event):
        self.fills += 1
        size, price = (1 if event.order_side == BUY else -1) * event.last_qty.as_double(), event.last_px.as_double()
        self.position += size
        self.cash -= size * price
        self.traded.volume += abs(size) * price
        self.traded.fees += event.commission.as_double()
        self.traded.fills.append((event.ts_event, size, price))

    def decide(self, _event):
        book = self.cache.order_book(ID)
        best_bid, best_ask = book.best_bid_price(), book.best_ask_price()
        if best_bid is None or best_ask is None:
            return
        self.mid = (best_bid.as_double() + best_ask.as_double()) / 2
        self.traded.steps += 1
        bid, ask = strategy.targets(round(best_bid / TICK), round(best_ask / TICK), self.position)
        self.quote(BUY, 1, bid)
        self.quote(SELL, -1, ask)

    def quote(self, order_side, side, target):
        order = self.working[order_side]
        may_quote = strategy.may_quote(side, self.position)
        if order is None or order.is_closed:
            if may_quote:
                price = Price(target * TICK, PRICE_DIGITS)
                order = self.order_factory.limit(ID, order_side, self.size, price, post_only=True)
                self.working[order_side] = order
                self.submit_order(order)
                self.placed += 1
        elif order.is_inflight or order.is_pending_cancel:
            return
        elif not may_quote:
            self.cancel_order(order)
        elif strategy.must_move(side, round(order.price / TICK), target):
            self.modify_order(order, price=Price(target * TICK, PRICE_DIGITS))
            self.moved += 1


def engine_with(data):
    """(engine, strategy), the data handed over."""
    single = isinstance(data[0][0], OrderBookDelta)
    config = BacktestEngineConfig(
        logging=LoggingConfig(bypass_logging=True),
        data_engine=DataEngineConfig(buffer_deltas=single),
        run_analysis=False,
    )
    engine = BacktestEngine(config)
    engine.add_venue(
        ID.venue,
        OmsType.NETTING,
        AccountType.MARGIN,
        [Money(1_000_000, USDT)],
        base_currency=USDT,
        default_leverage=Decimal(10),
        fill_model=FillModel(prob_fill_on_limit=FILL_CHANCE, random_seed=1),
        latency_model=LatencyModel(base_latency_nanos=LATENCY_NS),
        book_type=BookType.L2_MBP,
        trade_execution=True,
    )
    engine.add_instrument(INSTRUMENT)
    for kind in data:
        engine.add_data(kind)
    quoting = Quoting()
    engine.add_strategy(quoting)
    return engine, quoting


def backtest(data):
    """(seconds of CPU time, strategy) of one run."""
    engine, quoting = engine_with(data)
    took, _ = cpu_of(engine.run)
    engine.dispose()
    return took, quoting


def rows_of(data):
    """Level changes and trades; clearing the book is none."""
    books, trades = data
    deltas = (delta for item in books for delta in (item.deltas if isinstance(item, OrderBookDeltas) else [item]))
    return sum(not delta.is_clear for delta in deltas) + len(trades)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recording")
    parser.add_argument("--deltas", choices=["batched", "single"], default="batched")
    parser.add_argument("--runs", type=int, default=0, help="measured runs after the first")
    chosen = parser.parse_args()
    decode_s, data = cpu_of(lambda: decoded(chosen.recording, single=chosen.deltas == "single"))
    _, quoting = backtest(data)
    cpu_s = [backtest(data)[0] for _ in range(chosen.runs)]
    rows, position = rows_of(data), round(quoting.position, 8)
    counts = quoting.placed, quoting.moved, quoting.fills
    traded = quoting.traded
    traded.pnl = quoting.cash + quoting.position * (quoting.mid or 0.0) - traded.fees
    Outcome(rows, *counts, position, cpu_s, {"decode": decode_s}, traded).print()


if __name__ == "__main__":
    main()
