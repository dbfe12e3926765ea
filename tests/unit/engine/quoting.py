"""One market's quote engine and books for it, for tests of pricing: prices near 60,000, a tick of 0.1, orders of ten
lots, a limit of five orders.
"""

from typing import Any

from mm_daemon.domain.book import OrderBook
from mm_daemon.domain.instrument import Instrument
from mm_daemon.engine.parameters import QuoteParameters, WarmStart
from mm_daemon.engine.pricing import Pricing
from mm_daemon.engine.quote_engine import QuoteEngine
from mm_daemon.testkit.builders import MS, instrument, snapshot

ORDER_LOTS = 10
MAX_LOTS = 50
BID = 600_000
S = 1_000_000_000


def engine(
    contract: Instrument | None = None,
    *,
    order_lots: int = ORDER_LOTS,
    max_lots: int = MAX_LOTS,
    min_lots: int | None = None,
    warm: WarmStart | None = None,
    **keys: Any,
) -> QuoteEngine:
    """`keys`: of `QuoteParameters`; `min_lots`: None for as short as long."""
    return QuoteEngine(
        contract or instrument(),
        QuoteParameters(**keys),
        order_lots=order_lots,
        min_position_lots=-max_lots if min_lots is None else min_lots,
        max_position_lots=max_lots,
        collar_bps=10_000.0,
        warm=warm,
    )


def book(bid: int = BID, ask: int | None = None, *, lots: int = 1000, at_ms: int = 0) -> OrderBook:
    made = OrderBook()
    made.apply_snapshot(snapshot(at_ms, bid, bid + 1 if ask is None else ask, lots=lots, depth=1))
    return made


def priced(quotes: QuoteEngine, market: OrderBook | None = None, lots: int = 0, now_ns: int = 0) -> Pricing:
    """A pricing that must exist."""
    answer = quotes.price(book() if market is None else market, lots, now_ns)
    assert isinstance(answer, Pricing), f"no quotes: reasons {answer:b}"
    return answer


def depths_bps(pricing: Pricing) -> tuple[float, float]:
    """How far bid and ask stand off the fair price, before rounding."""
    bp = 1e-4 * pricing.mid_ticks
    return (pricing.fair_ticks - pricing.bid.raw_ticks) / bp, (pricing.ask.raw_ticks - pricing.fair_ticks) / bp


def watch_market(quotes: QuoteEngine, mids: list[int], *, step_ms: int = 1000, start_ms: int = 1000) -> int:
    """Show the estimators a book for each bid, a step apart; the last instant in nanoseconds."""
    at_ms = start_ms
    for bid in mids:
        quotes.observe(book(bid, at_ms=at_ms), at_ms * MS)
        at_ms += step_ms
    return (at_ms - step_ms) * MS
