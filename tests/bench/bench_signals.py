"""What the signals cost over the recording: `QuoteEngine.observe`, which every trusted book goes through, and
`Conditions.on_trade`.

With every signal asked for, and (`usual`) with none but the volatility, as configured at first. The best of five
passes, less what reading the clock twice costs.
"""

from collections.abc import Iterator
from itertools import pairwise
from time import perf_counter_ns

import pytest

from mm_daemon.core.market import MarketState
from mm_daemon.domain.book import OrderBook
from mm_daemon.domain.events import BookDelta, PublicTrade
from mm_daemon.engine.parameters import QuoteParameters
from mm_daemon.testkit import builders
from tests.bench.figures import Figures
from tests.bench.recordings import decoded
from tests.bench.timing import PASSES, best, settled, spread
from tests.unit.connectors.binance.frames import BTC

pytestmark = pytest.mark.bench


EVERYTHING = QuoteParameters(
    calibration="market",
    regime_power=0.5,
    momentum_beta=0.1,
    flow_beta_bps=0.1,
    toxic_cool_down_ms=1000,
    toxic_flow_times=20.0,
    toxic_vpin=0.9,
    toxic_vpin_widen=0.5,
    impact_times=1.0,
    fair_price="adjusted_microprice",
    low_confidence_widening=2.0,
)


def one_pass(quoting: QuoteParameters) -> tuple[list[int], list[int]]:
    """Nanoseconds of `observe` after each depth frame and of `on_trade`; best prices are observed too, as they come."""
    book, engine = OrderBook(), MarketState(builders.market(BTC, quoting=quoting)).engine
    frames, trades = [], []
    for event in decoded():
        if isinstance(event, PublicTrade):
            began = perf_counter_ns()
            engine.conditions.on_trade(event)
            trades.append(perf_counter_ns() - began)
            continue
        book.apply(event)
        if not book.trusted:
            continue
        began = perf_counter_ns()
        engine.observe(book, event.ts_local_ns)
        took = perf_counter_ns() - began
        if isinstance(event, BookDelta):
            frames.append(took)
    assert engine.volatility.sigma_bps is not None
    return frames, trades


def clock_ns() -> int:
    readings = [perf_counter_ns() for _ in range(10_001)]
    return sorted(later - sooner for sooner, later in pairwise(readings))[5_000]


def test_signals(figures: Figures) -> None:
    with settled():
        usual = best([one_pass(QuoteParameters())[0] for _ in range(PASSES)])
        passes = [one_pass(EVERYTHING) for _ in range(PASSES)]
    clock = clock_ns()

    def less_clock(taken: list[int]) -> Iterator[int]:
        return (max(0, took - clock) for took in taken)

    figures.add_spread("signals.depth.usual", spread(less_clock(usual)))
    figures.add_spread("signals.depth", spread(less_clock(best([frames for frames, _ in passes]))))
    figures.add_spread("signals.trade", spread(less_clock(best([trades for _, trades in passes]))))
