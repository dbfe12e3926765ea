"""What a quote costs by model: `QuoteEngine.price` on books whose best prices change each time, and a fresh curve."""

from time import perf_counter_ns

import msgspec

from mm_daemon.backtest.comparison.contenders import Contender
from mm_daemon.backtest.comparison.scenes import Scene, staged
from mm_daemon.domain.book import OrderBook
from mm_daemon.domain.events import BookSnapshot
from mm_daemon.domain.instrument import InstrumentId
from mm_daemon.engine.quote_engine import QuoteEngine

_BOOKS = 64
_ROUNDS = 40
_MS = 1_000_000
_SWELL = 1.05
"""More than the two percent within which solved models keep their curve."""


class Cost(msgspec.Struct, frozen=True):
    """Microseconds, the best of many rounds."""

    contender: str
    price_us: float
    """A quote at another price, a millisecond later, and the same volatility: nearly all of them."""
    curve_us: float
    """A new curve, made when volatility or intensity has changed, which is about once a second."""


def cost(scene: Scene, contender: Contender) -> Cost:
    """At the sizes and limits of a scene."""
    market = staged(scene, contender, 1)[0].markets[0]
    limits = market.limits
    engine = QuoteEngine(
        market.instrument,
        market.quoting,
        order_lots=market.order_lots,
        min_position_lots=limits.min_position_lots,
        max_position_lots=limits.max_position_lots,
        collar_bps=limits.collar_bps,
    )
    books = [_book(market.instrument.id, 600_000 + 3 * step) for step in range(_BOOKS)]
    held, price = market.order_lots, engine.price
    rounds = []
    for _ in range(_ROUNDS):
        started = perf_counter_ns()
        for now_ns, book in enumerate(books):
            price(book, held, now_ns * _MS)
        rounds.append(perf_counter_ns() - started)
    sigma = engine.sigma_bps(600_000.0)
    choices = [engine.inputs(sigma * factor, 0) for factor in (1.0, _SWELL)]
    curves = []
    for _ in range(2 * _ROUNDS):  # short ones: others who use the machine make a long one longer
        started = perf_counter_ns()
        for inputs in choices:
            engine.curve(inputs)
        curves.append(perf_counter_ns() - started)
    return Cost(contender.title, min(rounds) / _BOOKS / 1e3, min(curves) / len(choices) / 1e3)


def _book(name: InstrumentId, bid: int) -> OrderBook:
    book = OrderBook()
    book.apply_snapshot(BookSnapshot(name, 1, 1, ((bid, 1000),), ((bid + 1, 1000),), 1))
    return book
