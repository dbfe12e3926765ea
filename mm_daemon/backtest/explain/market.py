"""What `mm-daemon explain` looks at: a market of numbers that a person gives, or one that was played without quotes."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from math import inf, isfinite

import msgspec

from mm_daemon import registry
from mm_daemon.backtest.explain.guards import Held
from mm_daemon.backtest.explain.scene import Scene
from mm_daemon.backtest.runner import BacktestRunner
from mm_daemon.backtest.sources import RecordedMarket, Source
from mm_daemon.core.market import MarketState
from mm_daemon.core.parameters import CoreParameters, MarketParameters
from mm_daemon.domain.book import OrderBook
from mm_daemon.domain.errors import GridError, UsageError
from mm_daemon.domain.events import BookSnapshot, Levels
from mm_daemon.domain.instrument import InstrumentId, Venue, to_units
from mm_daemon.domain.spelling import did_you_mean

EMBEDDED_S = 60.0
"""How long an embedded market is played where nobody says for how long."""
_LONGEST_S = 1e9


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers of a person, in the market's own units; `sigma_bps` per square root of a second. None: not said.

    entry, age_s: average price and age of the position; day_loss: of this day and market, negative for a profit.
    """

    mid: Decimal | None = None
    bid: Decimal | None = None
    ask: Decimal | None = None
    bid_size: Decimal | None = None
    ask_size: Decimal | None = None
    position: Decimal | None = None
    sigma_bps: float | None = None
    entry: Decimal | None = None
    age_s: float | None = None
    day_loss: float | None = None

    @property
    def prices(self) -> bool:
        """Whether they make a book, so that none has to be played."""
        return not (self.mid is None and self.bid is None and self.ask is None)

    @property
    def sized(self) -> bool:
        """Whether they say a size at a best price."""
        return not (self.bid_size is None and self.ask_size is None)

    @property
    def of_one_market(self) -> bool:
        """Whether they mean nothing for more than one market."""
        of_position = (self.position, self.entry, self.age_s, self.day_loss)
        return self.prices or self.sized or any(number is not None for number in of_position)


def scenes(
    parameters: CoreParameters,
    sources: Mapping[Venue, Source],
    given: Given,
    *,
    symbol: str | None = None,
    at_s: float | None = None,
    now_ns: int = 0,
) -> list[Scene]:
    """The markets to explain, in the order of the configuration. `now_ns` is the time of a book that is given; one that
    is played has its own. Raises UsageError for what makes no sense, CoreError as a backtest does.
    """
    chosen = chosen_markets(parameters.markets, symbol)
    if given.of_one_market and len(chosen) > 1:
        raise UsageError("prices, sizes, a position and what it cost are those of one market: say which with --symbol")
    _check(given, at_s)
    if given.prices:
        return [told(chosen[0], given, now_ns, "numbers that were given")]
    _lots_of(chosen[0], given)  # a mistake is told before anything is played
    markets, source, end_ns = _played(parameters, sources, at_s)
    return [_seen(markets[market.instrument.id], market, given, source, end_ns) for market in chosen]


def book_of(market: MarketParameters, given: Given, now_ns: int) -> tuple[OrderBook, tuple[str, ...]]:
    """The book that was given, and what it had to assume. Raises UsageError for prices and sizes off the grid."""
    contract, order_lots = market.instrument, market.order_lots
    notes = []
    if given.mid is not None:
        half_ticks = _units("--mid", given.mid, contract.tick / 2)
        bid: int | None = (half_ticks - 1) // 2
        ask: int | None = half_ticks // 2 + 1
        notes.append("the best prices are those next to the mid that was given")
    else:
        bid = None if given.bid is None else _units("--bid", given.bid, contract.tick)
        ask = None if given.ask is None else _units("--ask", given.ask, contract.tick)
    bid_lots = order_lots if given.bid_size is None else _units("--bid-size", given.bid_size, contract.lot)
    ask_lots = order_lots if given.ask_size is None else _units("--ask-size", given.ask_size, contract.lot)
    if bid is not None and ask is not None and not given.sized:
        notes.append("sizes at the best prices were not given and are taken to be equal")
    bids: Levels = () if bid is None else ((bid, bid_lots),)
    asks: Levels = () if ask is None else ((ask, ask_lots),)
    book = OrderBook()
    book.apply_snapshot(BookSnapshot(contract.id, now_ns, now_ns, bids, asks, 1))
    return book, tuple(notes)


def told(market: MarketParameters, given: Given, now_ns: int, source: str, *, age_ms: int = 0) -> Scene:
    """A market of which nothing is known but these numbers; its book is `age_ms` old. Raises UsageError."""
    state = MarketState(market, registry.PricingModels())
    engine = state.engine
    book, notes = book_of(market, given, now_ns - age_ms * 1_000_000)
    if market.money is not None and book.trusted:
        state.size_at(book.half_ticks)
        market = state.parameters
    if engine.depth_cap is not None:
        notes = (*notes, "only the best prices of the book are known: sizes are those without size_depth_share")
    if engine.conditions.signals is not None:
        notes = (*notes, "nothing was measured for this: what the market would say is left as configured")
    if given.sigma_bps is not None:
        engine.volatility.sigma_bps, engine.volatility.confidence = given.sigma_bps, 1.0
    return Scene(
        parameters=market,
        engine=engine,
        book=book,
        position_lots=_lots_of(market, given),
        now_ns=now_ns,
        source=source,
        sigma_given=given.sigma_bps is not None,
        notes=notes,
        held=held_of(market, given),
    )


def held_of(market: MarketParameters, given: Given) -> Held:
    """What a person said of the position."""
    tick = float(market.instrument.tick)
    return Held(
        entry_ticks=None if given.entry is None else float(given.entry) / tick,
        age_s=given.age_s,
        day_loss=given.day_loss,
    )


def _seen(state: MarketState, market: MarketParameters, given: Given, source: str, now_ns: int) -> Scene:
    if given.sigma_bps is not None:
        state.engine.volatility.sigma_bps, state.engine.volatility.confidence = given.sigma_bps, 1.0
    return Scene(
        parameters=msgspec.structs.replace(state.parameters, quoting=market.quoting),
        engine=state.engine,
        book=state.book,
        position_lots=_lots_of(market, given),
        now_ns=now_ns,
        source=source,
        sigma_given=given.sigma_bps is not None,
        held=held_of(market, given),
    )


def _played(
    parameters: CoreParameters, sources: Mapping[Venue, Source], at_s: float | None
) -> tuple[Mapping[InstrumentId, MarketState], str, int]:
    """The markets after they were watched and nothing was quoted, what was watched, and when that ended."""
    recorded = any(isinstance(source, RecordedMarket) for source in sources.values())
    if at_s is None and not recorded:
        at_s = EMBEDDED_S
    quiet = tuple(
        msgspec.structs.replace(market, quoting=msgspec.structs.replace(market.quoting, enabled=False))
        for market in parameters.markets
    )
    runner = BacktestRunner(msgspec.structs.replace(parameters, markets=quiet), sources, duration_s=at_s)
    runner.run()
    what = "recording" if recorded else "embedded market"
    length = f"the {what} to its end" if at_s is None else f"{at_s:g} s of the {what}"
    return runner.core.markets, f"{length}, watched without quotes of ours", runner.core.now_ns


def chosen_markets(markets: Sequence[MarketParameters], symbol: str | None) -> list[MarketParameters]:
    """All, or those that a person calls so: `BTC-USDT` or `sim:BTC-USDT`. Raises UsageError when there is none."""
    if symbol is None:
        return list(markets)
    found = [market for market in markets if symbol in (market.instrument.symbol, market.instrument.id)]
    if not found:
        known = [market.instrument.symbol for market in markets] + [market.instrument.id for market in markets]
        raise UsageError(f"--symbol {symbol}: no such market in the configuration{did_you_mean(symbol, known)}")
    return found


def _check(given: Given, at_s: float | None) -> None:
    if given.mid is not None and not (given.bid is None and given.ask is None):
        raise UsageError("--mid and --bid or --ask contradict each other")
    if given.prices and at_s is not None:
        raise UsageError("--at plays a market, for which prices are not given: leave one of them out")
    if given.sized and not given.prices:
        raise UsageError("--bid-size and --ask-size belong to --mid, or to --bid and --ask")
    if given.sigma_bps is not None and not 0.0 < given.sigma_bps < inf:
        raise UsageError(f"--sigma {given.sigma_bps}: must be a number above 0, in bps per square root of a second")
    if given.entry is not None and not (given.entry.is_finite() and given.entry > 0):
        raise UsageError(f"--entry {given.entry}: must be a price above 0")
    if given.age_s is not None and not 0.0 <= given.age_s < _LONGEST_S:
        raise UsageError(f"--age {given.age_s}: must be a number of seconds, 0 or more")
    if given.day_loss is not None and not isfinite(given.day_loss):
        raise UsageError(f"--day-loss {given.day_loss}: must be an amount of the settlement currency")
    if (given.entry is not None or given.age_s is not None) and not given.position:
        raise UsageError("--entry and --age are those of a position: say it with --position")


def _lots_of(market: MarketParameters, given: Given) -> int:
    if given.position is None:
        return 0
    return _units("--position", given.position, market.instrument.lot, positive=False)


def _units(option: str, value: Decimal, step: Decimal, *, positive: bool = True) -> int:
    try:
        units = to_units(f"{value:f}", step, option)
    except GridError as error:
        raise UsageError(str(error)) from error
    if positive and units <= 0:
        raise UsageError(f"{option} {value}: must be above 0")
    return units
