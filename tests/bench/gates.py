"""What must be reached, as data: `performance.md`'s gates and goals, and what its peers took on the machine it was
measured on.
"""

from typing import NamedTuple


class Peer(NamedTuple):
    """A figure of this run, and what `performance.md` has for the same ("One live frame to a decision")."""

    figure: str
    reference: float | None


class Row(NamedTuple):
    """A line of the table. `gate` and `goal` are those of the reference machine, in the figure's own unit.

    `floor`: the figure must be at least the gate, instead of at most. `fixed`: it does not depend on the machine's
    speed, so neither does its gate.
    """

    figure: str
    title: str
    gate: float | None = None
    goal: float | None = None
    ccxt: Peer | None = None
    msgspec: Peer | None = None
    floor: bool = False
    fixed: bool = False


CCXT_DEPTH = Peer("ccxt.depth.p50", 50.0)
CCXT_DEPTH_P99 = Peer("ccxt.depth.p99", 762.0)
CCXT_TRADE = Peer("ccxt.trade.p50", 22.0)
CCXT_TRADE_P99 = Peer("ccxt.trade.p99", 35.0)
CCXT_TICKER = Peer("ccxt.bookTicker.p50", None)
CCXT_TICKER_P99 = Peer("ccxt.bookTicker.p99", None)
CCXT_L2BOOK = Peer("ccxt.hyperliquid.book.p50", 58.0)
MSGSPEC_DEPTH = Peer("msgspec.depth.mean", 5.0)
"""The mean: `performance.md` does not say, but its other peers put our machines 10 to 25 % apart, and so does 5 us with
the mean of these frames, while their median is half of it. Trades and l2Book frames are alike, median and mean."""
MSGSPEC_DEPTH_P50 = Peer("msgspec.depth.p50", None)
MSGSPEC_TRADE = Peer("msgspec.trade.p50", 0.35)
MSGSPEC_TICKER = Peer("msgspec.bookTicker.p50", None)
MSGSPEC_L2BOOK = Peer("msgspec.hyperliquid.book.p50", 4.3)

SPEED = (CCXT_DEPTH, CCXT_TRADE, CCXT_L2BOOK, MSGSPEC_DEPTH, MSGSPEC_TRADE, MSGSPEC_L2BOOK)
"""The peers by which this machine's speed is told. No p99: that is a matter of the neighbours too."""

ROWS = (
    Row("depth.decision.p50", "depth frame to decision, p50", 17, 10, CCXT_DEPTH, MSGSPEC_DEPTH),
    Row("depth.decision.p99", "depth frame to decision, p99", 250, 150, CCXT_DEPTH_P99),
    Row("compiled.depth.decision.p50", "  the same, compiled", 17, 10, CCXT_DEPTH, MSGSPEC_DEPTH),
    Row("depth.decision.decode.p50", "  of it: decode, p50", ccxt=CCXT_DEPTH, msgspec=MSGSPEC_DEPTH_P50),
    Row("depth.decision.decode.p99", "  of it: decode, p99"),
    Row("depth.decision.apply.p50", "  of it: apply, p50"),
    Row("depth.decision.apply.p99", "  of it: apply, p99"),
    Row("depth.decision.decide.p50", "  of it: decide, p50"),
    Row("depth.decision.decide.p99", "  of it: decide, p99"),
    Row("hyperliquid.book.decision.p50", "Hyperliquid l2Book to decision, p50", 12, 6, CCXT_L2BOOK, MSGSPEC_L2BOOK),
    Row("compiled.hyperliquid.book.decision.p50", "  the same, compiled", 12, 6, CCXT_L2BOOK, MSGSPEC_L2BOOK),
    Row("hyperliquid.book.decode.p50", "  of it: decode, p50", ccxt=CCXT_L2BOOK, msgspec=MSGSPEC_L2BOOK),
    Row("hyperliquid.book.apply.p50", "  of it: apply, p50"),
    Row("hyperliquid.book.decide.p50", "  of it: decide, p50"),
    Row("hyperliquid.frame.signed.p50", "Hyperliquid l2Book to signed bytes, p50", 150, 70),
    Row("compiled.hyperliquid.frame.signed.p50", "  the same, compiled", 150, 70),
    Row("hyperliquid.frame.signed.p99", "  the same, p99"),
    Row("hyperliquid.sign.one.p50", "Hyperliquid order encode + sign, p50", 80, 45),
    Row("hyperliquid.sign.twenty.p50", "  twenty orders under one signature, p50"),
    Row("sdk.hyperliquid.sign.one.p50", "  one order by the official SDK, p50"),
    Row("sdk.hyperliquid.sign.twenty.p50", "  twenty by the official SDK, p50"),
    Row("ccxt.hyperliquid.sign.one.p50", "  one order by ccxt, p50"),
    Row("ccxt.hyperliquid.sign.twenty.p50", "  twenty by ccxt, p50"),
    Row("dydx.sign.one.p50", "dYdX order encode + sign, p50", 80, 45),
    Row("client.dydx.sign.one.p50", "  the same by the official client, p50"),
    Row("ccxt.dydx.sign.one.p50", "  the same by ccxt, p50"),
    Row("lighter.sign.one.p50", "Lighter order signed on the worker thread, p50"),
    Row("lighter.sign.one.loop_held.p50", "  of it: the loop held, p50"),
    Row("lighter.sign.fifteen.p50", "  fifteen orders, p50"),
    Row("lighter.sign.fifteen.loop_held.p50", "  of it: the loop held, p50"),
    Row("sdk.lighter.sign.one.p50", "  one order by the official SDK, on its caller's thread, p50"),
    Row("sdk.lighter.sign.fifteen.p50", "  fifteen by the official SDK, p50"),
    Row("trade.engine.p50", "trade frame to engine, p50", 4, 1.5, CCXT_TRADE, MSGSPEC_TRADE),
    Row("trade.engine.p99", "trade frame to engine, p99", ccxt=CCXT_TRADE_P99),
    Row("bookTicker.engine.p50", "bookTicker frame to engine, p50", ccxt=CCXT_TICKER, msgspec=MSGSPEC_TICKER),
    Row("bookTicker.engine.p99", "bookTicker frame to engine, p99", ccxt=CCXT_TICKER_P99),
    Row("depth.decode.p50", "depth frame decoded alone, p50", ccxt=CCXT_DEPTH, msgspec=MSGSPEC_DEPTH_P50),
    Row("trade.decode.p50", "trade frame decoded alone, p50", ccxt=CCXT_TRADE, msgspec=MSGSPEC_TRADE),
    Row("bookTicker.decode.p50", "bookTicker frame decoded alone, p50", ccxt=CCXT_TICKER, msgspec=MSGSPEC_TICKER),
    Row("signals.depth.p50", "all signals, per depth frame", 3, 1.5),
    Row("signals.trade.p50", "all signals, per trade", 1.2, 0.6),
    Row("backtest.rows", "backtest, depth and trades, no journal", 1.7, 4, floor=True),
    Row("backtest.rows.journal", "  the same with the journal"),
    Row("backtest.rows.with_bookTicker", "  with bookTicker too, no journal"),
    Row("backtest.rows.with_bookTicker.journal", "  with bookTicker too and the journal"),
    Row("compiled.backtest.rows", "  compiled: depth and trades, no journal", 5, 11, floor=True),
    Row("compiled.backtest.rows.with_bookTicker", "  compiled: with bookTicker too"),
    Row("journal.turn.quiet", "journal, a quiet turn"),
    Row("journal.turn.busy", "journal, a turn with decisions and a command"),
    Row("journal.event.with_bookTicker", "journal on against off, per event of a backtest"),
    Row("cold.wall", "raw recording to report, new process", 0.8, 0.35),
    Row("compiled.cold.wall", "  the same, compiled"),
    Row("cold.peak", "  its peak memory", 100, 40, fixed=True),
    Row("cold.journal.wall", "  the same with the journal"),
    Row("hour.peak", "peak memory over an hour of looped recording", 100, 40, fixed=True),
    Row("hour.growth", "  of it: growth after the first ten minutes"),
    Row("help.wall", "mm-daemon --help", 0.3, 0.15),
    Row("first_quote.wall", "start to first quote, embedded market", 2, 0.7),
)  # fmt: skip
"""In the order of the table; rows without a gate are there for the figure. What else was measured is listed below."""
