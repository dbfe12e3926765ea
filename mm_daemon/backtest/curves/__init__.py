"""A run as arrays: prices, quotes, inventory, equity with its split, fills with markouts, quoting time, order lives.

    from mm_daemon.backtest.curves import read_curves

    run = read_curves(Path("var/journal/run-..."))
    btc = run.markets["binance-usdm:BTCUSDT"]
    plt.plot(btc.times_ns, btc.equity)

Read from the journal of a backtest, a paper run or a live run alike: the events are lived again (`relived.py`), so the
figures are those of the engine's own books, not of a second formula. Memory is bounded by `points`, whatever the length
of the run: curves are buckets of time, which grow wider, with their lows and highs, so that no spike is lost; fills and
order lives beyond `samples` are thinned out, and counted. Money in these arrays is floating-point, for looking at; the
exact sums are those of the report.
"""

from mm_daemon.backtest.curves.arrays import DistanceCurves, FillCurves, Left, MarketCurves, RunCurves
from mm_daemon.backtest.curves.collector import POINTS, SAMPLES, CurveCollector, read_curves

__all__ = [
    "POINTS",
    "SAMPLES",
    "CurveCollector",
    "DistanceCurves",
    "FillCurves",
    "Left",
    "MarketCurves",
    "RunCurves",
    "read_curves",
]
