"""What the signals cost: `QuoteEngine.observe`, which every trusted book goes through, over the recording's books.

Today the EWMA volatility is all of it, and no signal looks at trades, so trades have no figure. Per depth frame the
best of five passes, less what reading the clock twice costs.
"""

from itertools import pairwise
from time import perf_counter_ns

import pytest

from mm_daemon.core.market import MarketState
from mm_daemon.domain.book import OrderBook
from mm_daemon.domain.events import BookDelta
from mm_daemon.testkit import builders
from tests.bench.figures import Figures
from tests.bench.recordings import decoded
from tests.bench.timing import PASSES, best, settled, spread
from tests.unit.connectors.binance.frames import BTC

pytestmark = pytest.mark.bench


def one_pass() -> list[int]:
    """Nanoseconds of `observe` after each depth frame; best prices are observed too, as they come."""
    book, engine = OrderBook(), MarketState(builders.market(BTC)).engine
    taken = []
    for event in decoded():
        book.apply(event)
        if not book.trusted:
            continue
        began = perf_counter_ns()
        engine.observe(book, event.ts_local_ns)
        took = perf_counter_ns() - began
        if isinstance(event, BookDelta):
            taken.append(took)
    assert engine.volatility.sigma_bps is not None
    return taken


def clock_ns() -> int:
    readings = [perf_counter_ns() for _ in range(10_001)]
    return sorted(later - sooner for sooner, later in pairwise(readings))[5_000]


def test_signals(figures: Figures) -> None:
    with settled():
        taken = best([one_pass() for _ in range(PASSES)])
    clock = clock_ns()
    figures.remark("signals: no signal looks at trades yet, so the row for trades is empty")
    figures.add_spread("signals.depth", spread(max(0, took - clock) for took in taken))
