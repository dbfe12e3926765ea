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

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import get_args

import msgspec
import numpy as np
from numpy.typing import NDArray

from mm_daemon.backtest.calibration.intensity import IntensityFit, fit_intensity
from mm_daemon.backtest.calibration.sample import MarketSample
from mm_daemon.backtest.order_lives import OrderLives, OrderSamples
from mm_daemon.backtest.quoting_time import QuotingTime, Standing
from mm_daemon.backtest.relived import Relived, relive_run
from mm_daemon.backtest.samples import NAN, Buckets, Floats, Thinned
from mm_daemon.backtest.tally import Tally
from mm_daemon.core.market import MarketState
from mm_daemon.core.trading_core import TradingCore
from mm_daemon.domain.checkpoint import PositionState
from mm_daemon.domain.codec import Answer
from mm_daemon.domain.decisions import ApprovedCommand, DecisionsChanged, DroppedCommand, Refusal, Turn
from mm_daemon.domain.events import (
    BookDelta,
    BookSnapshot,
    Event,
    MarketEvent,
    OrderEvent,
    OrderFilled,
    PublicTrade,
    RunStarted,
    VenueSnapshotReceived,
)
from mm_daemon.domain.instrument import Instrument, InstrumentId
from mm_daemon.domain.money import ATTO, from_pair
from mm_daemon.domain.orders import Side
from mm_daemon.engine.markouts import MarkoutFigures, Markouts
from mm_daemon.observability.quoted_time import QuotedTime

POINTS = 1000
SAMPLES = 20_000
_NS = 1_000_000_000
_PER_BP = 1e4
MARKOUT_HORIZONS_NS = tuple(round(seconds * _NS) for seconds in (0.1, 0.3, 1, 3, 10, 30, 60, 120, 300))
"""Of the markout curve; 1, 10 and 60 s are those of every other report."""
_REACH_NS = 10 * _NS
"""A print at or through our price is taken to be the trade of a fill that is told within this time."""
DISTANCE_BPS = 0.25
_DISTANCES = 400
_ORDER_EVENTS = frozenset(get_args(OrderEvent))
_MARKET_EVENTS = frozenset(get_args(MarketEvent))
_BUY, _SELL = Side.BUY, Side.SELL


class FillCurves(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Our fills, oldest first; of more than the limit every `stride`-th. One entry each."""

    seen: int
    """All fills, those that only a venue's snapshot told of included: they have no markouts."""
    stride: int
    times_ns: NDArray[np.int64]
    """When we learned of it."""
    side: Floats
    """+1: we bought, -1: we sold."""
    price: Floats
    size: Floats
    """Base units (contracts where a contract is not one unit)."""
    fee: Floats
    """Settlement currency; negative: a rebate."""
    mid: Floats
    """The mid that the core booked it at."""
    maker: Floats
    """1 or 0."""
    distance_bps: Floats
    """Distance of our price from the mid just before the trade, at least 0."""
    horizons_s: tuple[float, ...]
    markouts_bps: Floats
    """Fills by horizons: what the fill was worth so much later, bps of its price; NaN: not known."""


class DistanceCurves(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Our own quotes by distance from the mid, both sides: the experiment of MODELS 6.4-3."""

    width_bps: float
    seconds: Floats
    """Time with a quote resting in that bin."""
    fills: Floats


class Left(msgspec.Struct, frozen=True, kw_only=True):
    """Books in atto, as the core took them up."""

    spread_atto: int
    inventory_atto: int
    fees_atto: int
    funding_atto: int
    cash_atto: int
    worth_atto: int
    """Of the position, at its mark."""

    @property
    def parts(self) -> tuple[int, int, int, int]:
        return self.spread_atto, self.inventory_atto, self.fees_atto, self.funding_atto


class MarketCurves(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One market. All arrays of curves are of one length, an entry for each bucket of time."""

    instrument: Instrument
    currency: str
    """Of money: the settlement currency."""
    max_position: float
    min_position: float
    """The limits, as the run began."""
    start_ns: int
    """Where the first bucket begins: the run's start."""
    times_ns: NDArray[np.int64]
    """Where the bucket ends; values without `low` or `high` are as they stood then."""
    mid: Floats
    """NaN: the book could not be trusted."""
    mid_low: Floats
    mid_high: Floats
    bid: Floats
    """Our best bid that rests at the venue; NaN: none."""
    bid_low: Floats
    bid_high: Floats
    ask: Floats
    ask_low: Floats
    ask_high: Floats
    position: Floats
    position_low: Floats
    position_high: Floats
    equity: Floats
    """P&L of this run so far: `spread + inventory + fees + funding`."""
    equity_low: Floats
    equity_high: Floats
    spread: Floats
    inventory: Floats
    fees: Floats
    funding: Floats
    volume: Floats
    """Notional traded so far."""
    bid_quoted: Floats
    """Share of the bucket with a bid of ours at the venue."""
    ask_quoted: Floats
    both_quoted: Floats
    fills: FillCurves
    markouts: Mapping[str, tuple[MarkoutFigures, ...]]
    """By side, `bid` and `ask`: mean and standard error at each horizon, over all fills."""
    distances: DistanceCurves
    standing: Standing
    """What was decided, by time: action and decisive reason."""
    orders: OrderSamples
    intensity: IntensityFit
    """Taker orders of the market by the distance they reached, and the exponential through them."""
    left: "Left | None"
    """The books that the run before left, from which this one's P&L is counted; None: it began with empty ones."""


class RunCurves(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One run. `tally` has the exact books and the statistics; `markets` by instrument, as configured."""

    run: Relived
    tally: Tally
    rows: int
    """Level changes and trades."""
    decisions: int
    markets: Mapping[InstrumentId, MarketCurves]


def read_curves(path: Path, *, points: int = POINTS, samples: int = SAMPLES) -> RunCurves:
    """Curves of the run in a journal: a backtest's file, or the folder of a live or paper run.

    Between `points` and twice as many buckets, as soon as there are so many milliseconds. Raises JournalError when it
    cannot be read.
    """
    collector = CurveCollector(points=points, samples=samples)
    run = relive_run(path, collector)
    return collector.curves(run)


class CurveCollector:
    """The watcher that `read_curves` sends along."""

    def __init__(self, *, points: int = POINTS, samples: int = SAMPLES) -> None:
        self._points, self._samples = points, samples
        self._core: TradingCore | None = None
        self._unseen: list[OrderFilled] = []
        """Fills of a snapshot that nobody told before."""
        self._ordered = False
        self._rows = 0
        self._stopped_ns: int | None = None

    def start(self, core: TradingCore, started: RunStarted) -> None:
        start_ns = started.ts_local_ns
        self._core = core
        self._now_ns = start_ns
        self.tally = Tally(core.markets, start_ns)
        self._buckets = Buckets(start_ns, self._points)
        resumed = {} if started.resumed is None else {m.instrument: m.position for m in started.resumed.markets}
        self._markets = {
            name: _Market(market, self._buckets, start_ns, self._samples, resumed.get(name))
            for name, market in core.markets.items()
        }
        self._all = tuple(self._markets.values())

    def reach(self, now_ns: int) -> None:
        if self._stopped_ns is None:
            tally = self.tally
            if now_ns > tally.due_ns:
                tally.reach(now_ns)
            for market in self._all:
                if market.markouts.next_ns < now_ns:
                    market.stood(now_ns - 1)
            buckets = self._buckets
            while buckets.end_ns < now_ns:
                end_ns = buckets.end_ns
                for market in self._all:
                    market.close(end_ns)
                buckets.closed()
        self._now_ns = now_ns

    def before(self, event: Event) -> None:
        assert self._core is not None
        if isinstance(event, OrderFilled):
            self._markets[event.instrument].remember()
        elif isinstance(event, VenueSnapshotReceived):
            for market in self._all:
                market.remember()
            ledger = self._core.ledger
            self._unseen = [fill for fill in event.snapshot.fills if not ledger.seen(fill.instrument, fill.fill_key)]
        elif isinstance(event, PublicTrade) and event.instrument in self._markets:
            self._markets[event.instrument].printed(event)

    def after(self, event: Event) -> None:
        kind = type(event)
        if kind in _MARKET_EVENTS:
            market = self._markets[event.instrument]  # type: ignore[union-attr, index]
            if self._stopped_ns is None:
                market.sample.on_event(event)  # type: ignore[arg-type]
                if kind is BookDelta or kind is BookSnapshot:
                    self._rows += len(event.bids) + len(event.asks)  # type: ignore[union-attr]
                elif kind is PublicTrade:
                    self._rows += 1
            market.moved(self._now_ns)
        elif kind in _ORDER_EVENTS:
            self._on_order(event)  # type: ignore[arg-type]
        elif isinstance(event, VenueSnapshotReceived):
            self._ordered = True
            for market in self._all:
                found = self._taken(market.state.id)
                if market.held_lots != market.state.position.lots or found:
                    tally = self.tally.markets[market.state.id]
                    for fill in found:
                        tally.filled(fill)
                    market.recovered(found, self._now_ns)
                    tally.statistics.booked((), self._now_ns)
                market.moved(self._now_ns)
        else:
            self._ordered = True  # links, operators and deadlines may change what is known of orders
            for market in self._all:
                market.moved(self._now_ns)

    def _taken(self, instrument: InstrumentId) -> list[OrderFilled]:
        """What of a snapshot's fills the core has just booked: not all that it names are taken from it at once."""
        assert self._core is not None
        ledger = self._core.ledger
        unseen = {fill.fill_key: fill for fill in self._unseen if fill.instrument == instrument}
        return [fill for fill in unseen.values() if ledger.seen(instrument, fill.fill_key)]

    def decide(self, now_ns: int) -> None:
        if self._ordered:
            self._ordered = False
            if self._stopped_ns is None:
                self.tally.observe_quotes(now_ns)
            for market in self._all:
                market.requoted(now_ns)
        if self.tally.unpriced:
            self.tally.note_prices()

    def answered(self, answer: Answer, now_ns: int) -> None:
        if isinstance(answer, DecisionsChanged):
            market = self._markets.get(answer.instrument)
            if market is not None:
                if market.state.resizes and market.state.book.trusted:
                    market.state.resize(market.state.book, now_ns)
                if self._stopped_ns is None:
                    market.standing.decided(answer.decisions, now_ns)
            self.tally.turn(Turn(now_ns, decisions=(answer,)))
        elif isinstance(answer, ApprovedCommand):
            self.tally.turn(Turn(now_ns, released=(answer,)))
            for market in self._all:
                market.lives.released(answer.command, now_ns)
        elif isinstance(answer, Refusal):
            self.tally.turn(Turn(now_ns, refusals=(answer,)))
        elif isinstance(answer, DroppedCommand):
            self.tally.turn(Turn(now_ns, dropped=(answer,)))

    def stop(self, now_ns: int) -> None:
        self._stopped_ns = now_ns
        self.tally.stop(now_ns)
        for market in self._all:
            market.stop(now_ns)

    def curves(self, run: Relived) -> RunCurves:
        """Once, at the end."""
        assert self._stopped_ns is not None
        return RunCurves(
            run=run,
            tally=self.tally,
            rows=self._rows,
            decisions=sum(market.decisions for market in self.tally.markets.values()),
            markets={name: market.curves(self._stopped_ns) for name, market in self._markets.items()},
        )

    def _on_order(self, event: OrderEvent) -> None:
        self._ordered = True
        market = self._markets[event.instrument]
        if isinstance(event, OrderFilled) and market.state.position.lots != market.held_lots:
            market.booked(event, self._now_ns)
        self.tally.order_event(event, market.held_lots)
        assert self._core is not None
        market.lives.heard(event, self._core.ledger.get(event.client_id), market.state.book, self._now_ns)


class _Market:
    """One market while it is lived again."""

    def __init__(
        self, state: MarketState, buckets: Buckets, start_ns: int, samples: int, resumed: PositionState | None
    ) -> None:
        self.state = state
        self._start_ns = start_ns
        self._buckets = buckets
        self._contract = contract = state.instrument
        self._tick, self._lot = float(contract.tick), float(contract.lot)
        limits = state.parameters.limits
        self._limits = limits.max_position_lots, limits.min_position_lots
        self.left = None if resumed is None else _left(state)
        self._start_parts = (0, 0, 0, 0) if self.left is None else self.left.parts
        self._start_atto = sum(self._start_parts)
        self.sample = MarketSample(state.parameters)
        self.standing = QuotingTime(start_ns, buckets)
        self.lives = OrderLives(state.id, samples, self._lot)
        self._quoted = QuotedTime()
        self._quoted.advance(start_ns)
        self._quoted_before = (0, 0, 0)
        self._stopped = False
        self.markouts = Markouts(MARKOUT_HORIZONS_NS, self._observed)
        self._fills = Thinned(8 + len(MARKOUT_HORIZONS_NS), samples)
        self._volume_atto = 0
        self._fees_before = state.position.fees_atto
        self.held_lots = state.position.lots
        # As it stands, and its extremes since the bucket began: mid, our bid, our ask in ticks; position in lots.
        self._half = 0
        self._bid = self._ask = NAN
        self._mid_low = self._mid_high = NAN
        self._bid_low = self._bid_high = self._ask_low = self._ask_high = NAN
        self._lots = self._lots_low = self._lots_high = state.position.lots
        self._equity = self._equity_low = self._equity_high = 0.0
        self._last = {name: buckets.column("last") for name in _LAST}
        self._low = {name: buckets.column("low") for name in _RANGED}
        self._high = {name: buckets.column("high") for name in _RANGED}
        self._sums = {name: buckets.column("sum") for name in _SUMMED}
        # How far our quotes are, for how long.
        self._distance_ns = [0] * _DISTANCES
        self._distance_fills = [0] * _DISTANCES
        self._since_ns = start_ns
        self._reached: dict[Side, tuple[int, float]] = {}

    # What happens.

    def remember(self) -> None:
        """Something that may be a fill comes next."""
        position = self.state.position
        self.held_lots, self._fees_before = position.lots, position.fees_atto

    def moved(self, now_ns: int) -> None:
        """The book or the position may be another now."""
        state = self.state
        book, position = state.book, state.position
        half = book.half_ticks if book.trusted else 0
        if half == self._half and position.lots == self._lots:
            return
        self._pass_time(now_ns)
        if half != self._half:
            self._half = half
            if half:
                mid = 0.5 * half
                self._mid_low, self._mid_high = _wider(self._mid_low, self._mid_high, mid)
        if position.lots != self._lots:
            self._lots = position.lots
            self._lots_low, self._lots_high = min(self._lots_low, self._lots), max(self._lots_high, self._lots)
        equity = (position.total_atto - self._start_atto) / ATTO
        self._equity = equity
        if equity < self._equity_low:
            self._equity_low = equity
        if equity > self._equity_high:
            self._equity_high = equity

    def printed(self, event: PublicTrade) -> None:
        """A print, before anything else is made of it: did it reach a quote of ours, and how far was that?"""
        side = Side(-event.aggressor)
        quote = self._bid if side is _BUY else self._ask
        if self._half and quote == quote and side * (quote - event.ticks) >= 0:
            mid = 0.5 * self._half
            self._reached[side] = event.ts_local_ns, max(side * (mid - quote) / mid * _PER_BP, 0.0)

    def booked(self, fill: OrderFilled, now_ns: int) -> None:
        """This has just been booked, at the mark."""
        position = self.state.position
        mid = 0.5 * (position.half_ticks or 0)
        at_ns = max(fill.ts_local_ns, 0)
        number = self._keep(fill, at_ns, (self._fees_before - position.fees_atto) / ATTO)
        if self.state.book.trusted:
            self.markouts.on_mid(at_ns - 1, mid)
        self.markouts.on_fill(at_ns, fill.side, fill.ticks, number)
        self.moved(now_ns)

    def recovered(self, fills: Sequence[OrderFilled], now_ns: int) -> None:
        """These are booked too, but only a snapshot told of them, some time after they happened: no markout is known.

        What the venue named no fee of is taken to have its share of the rest by value.
        """
        named = [None if fill.fee is None else from_pair(fill.fee) / ATTO for fill in fills]
        rest = (self._fees_before - self.state.position.fees_atto) / ATTO - sum(fee for fee in named if fee is not None)
        values = [fill.lots * fill.ticks for fill, fee in zip(fills, named, strict=True) if fee is None]
        for fill, fee in zip(fills, named, strict=True):
            self._keep(fill, now_ns, rest * fill.lots * fill.ticks / sum(values) if fee is None else fee)
        self.moved(now_ns)

    def _keep(self, fill: OrderFilled, at_ns: int, fee: float) -> int | None:
        position = self.state.position
        mid = 0.5 * (position.half_ticks or 0)
        self._volume_atto += fill.lots * abs(position.value(2 * fill.ticks))
        distance = self._distance_of(fill, mid, at_ns)
        self._distance_fills[_bin(distance)] += 1
        row = (at_ns - self._start_ns, fill.side, fill.ticks, fill.lots, fee, mid, fill.maker, distance)
        return self._fills.add((*row, *(NAN for _ in MARKOUT_HORIZONS_NS)))

    def stood(self, until_ns: int) -> None:
        """Nothing has changed up to and with `until_ns`."""
        markouts, book = self.markouts, self.state.book
        if book.trusted:
            markouts.on_mid(markouts.next_ns, 0.5 * book.half_ticks)
            markouts.on_mid(until_ns, 0.5 * book.half_ticks)
        else:
            markouts.lose_book(markouts.next_ns)
            markouts.lose_book(until_ns + 1)

    def requoted(self, now_ns: int) -> None:
        """Our orders may be others now."""
        self._pass_time(now_ns)
        if not self._stopped:
            self._quoted.see(self.state, now_ns)
        quotes = self.state.quotes
        self._bid = max((order.ticks for order in quotes[_BUY] if order.resting), default=NAN)
        self._ask = min((order.ticks for order in quotes[_SELL] if order.resting), default=NAN)
        self._bid_low, self._bid_high = _wider(self._bid_low, self._bid_high, self._bid)
        self._ask_low, self._ask_high = _wider(self._ask_low, self._ask_high, self._ask)

    def close(self, end_ns: int) -> None:
        """The bucket ends; the next begins as things stand."""
        self._quoted.advance(end_ns)
        self.standing.close(end_ns)
        position, tick, lot = self.state.position, self._tick, self._lot
        mid = 0.5 * self._half if self._half else NAN
        started = self._start_parts
        parts = position.spread_atto, position.inventory_atto, position.fees_atto, position.funding_atto
        spread, inventory, fees, funding = ((part - left) / ATTO for part, left in zip(parts, started, strict=True))
        # Funding and what was adopted move the equity without a mid or a fill.
        equity = (sum(parts) - self._start_atto) / ATTO
        last, low, high = self._last, self._low, self._high
        for name, value in (
            ("mid", mid * tick),
            ("bid", self._bid * tick),
            ("ask", self._ask * tick),
            ("position", self._lots * lot),
            ("equity", equity),
            ("spread", spread),
            ("inventory", inventory),
            ("fees", fees),
            ("funding", funding),
            ("volume", self._volume_atto / ATTO),
        ):
            last[name].add(value)
        for name, least, most in (
            ("mid", self._mid_low * tick, self._mid_high * tick),
            ("bid", self._bid_low * tick, self._bid_high * tick),
            ("ask", self._ask_low * tick, self._ask_high * tick),
            ("position", self._lots_low * lot, self._lots_high * lot),
            ("equity", min(self._equity_low, equity), max(self._equity_high, equity)),
        ):
            low[name].add(least)
            high[name].add(most)
        now = self._quoted.bid_ns, self._quoted.ask_ns, self._quoted.both_ns
        for name, total_ns, before_ns in zip(_SUMMED, now, self._quoted_before, strict=True):
            self._sums[name].add((total_ns - before_ns) / _NS)
        self._quoted_before = now
        self._mid_low = self._mid_high = mid
        self._bid_low = self._bid_high = self._bid
        self._ask_low = self._ask_high = self._ask
        self._lots_low = self._lots_high = self._lots
        self._equity = self._equity_low = self._equity_high = equity

    def stop(self, now_ns: int) -> None:
        self._pass_time(now_ns)
        if self.markouts.next_ns <= now_ns:
            self.stood(now_ns)
        self._stopped = True
        self._quoted.stop(now_ns)
        self.standing.stop(now_ns)
        self.sample.finish()

    # What came of it.

    def curves(self, stop_ns: int) -> MarketCurves:
        self.close(stop_ns)
        columns = {name: column.numpy() for name, column in self._last.items()}
        columns |= {f"{name}_low": column.numpy() for name, column in self._low.items()}
        columns |= {f"{name}_high": column.numpy() for name, column in self._high.items()}
        count = len(columns["mid"])
        starts = self._start_ns + self._buckets.width_ns * np.arange(count, dtype=np.int64)
        times_ns = np.minimum(starts + self._buckets.width_ns, max(stop_ns, self._start_ns + 1))
        seconds = np.maximum(times_ns - starts, 1) / _NS
        columns |= {name: np.minimum(column.numpy() / seconds, 1.0) for name, column in self._sums.items()}
        contract = self._contract
        return MarketCurves(
            instrument=contract,
            currency=contract.base if contract.inverse else contract.quote,
            max_position=self._limits[0] * self._lot,
            min_position=self._limits[1] * self._lot,
            start_ns=self._start_ns,
            times_ns=times_ns,
            **columns,
            fills=self._fill_curves(),
            markouts={side.word: self.markouts.figures(side) for side in Side},
            distances=DistanceCurves(
                width_bps=DISTANCE_BPS,
                seconds=np.array(self._distance_ns, dtype=np.float64) / _NS,
                fills=np.array(self._distance_fills, dtype=np.float64),
            ),
            standing=self.standing.standing(times_ns),
            orders=self.lives.samples(),
            intensity=self._intensity(),
            left=self.left,
        )

    def _fill_curves(self) -> FillCurves:
        at, side, ticks, lots, fee, mid, maker, distance, *markouts = self._fills.numpy()
        return FillCurves(
            seen=self._fills.seen,
            stride=self._fills.stride,
            times_ns=self._start_ns + at.astype(np.int64),
            side=side,
            price=ticks * self._tick,
            size=lots * self._lot,
            fee=fee,
            mid=mid * self._tick,
            maker=maker,
            distance_bps=distance,
            horizons_s=tuple(horizon_ns / _NS for horizon_ns in MARKOUT_HORIZONS_NS),
            markouts_bps=np.stack(markouts, axis=1),
        )

    def _intensity(self) -> IntensityFit:
        sample = self.sample
        mid = sample.mid_tick_s / sample.observed_s if sample.observed_s else sample.mid_ticks
        return fit_intensity(sample.both, sample.exposure, tick_bps=_PER_BP / mid if mid else 0.0, sides=2)

    def _observed(self, horizon: int, number: int | None, markout_bps: float) -> None:
        if number is not None:
            self._fills.put(number, 8 + horizon, markout_bps)

    def _distance_of(self, fill: OrderFilled, mid: float, at_ns: int) -> float:
        printed = self._reached.get(fill.side)
        if printed is not None and at_ns - printed[0] <= _REACH_NS:
            return printed[1]
        return max(fill.side * (mid - fill.ticks) / mid * _PER_BP, 0.0) if mid else 0.0

    def _pass_time(self, now_ns: int) -> None:
        """Quotes and mid stood until now."""
        passed_ns = now_ns - self._since_ns
        self._since_ns = now_ns
        if passed_ns > 0 and self._half:
            mid = 0.5 * self._half
            bid, ask = self._bid, self._ask
            if bid == bid:
                self._distance_ns[_bin((mid - bid) / mid * _PER_BP)] += passed_ns
            if ask == ask:
                self._distance_ns[_bin((ask - mid) / mid * _PER_BP)] += passed_ns


_LAST = ("mid", "bid", "ask", "position", "equity", "spread", "inventory", "fees", "funding", "volume")
_RANGED = ("mid", "bid", "ask", "position", "equity")
_SUMMED = ("bid_quoted", "ask_quoted", "both_quoted")


def _bin(distance_bps: float) -> int:
    return min(max(int(distance_bps / DISTANCE_BPS), 0), _DISTANCES - 1)


def _wider(low: float, high: float, value: float) -> tuple[float, float]:
    """NaN is no value."""
    if value != value:
        return low, high
    return (value if not low <= value else low), (value if not high >= value else high)


def _left(state: MarketState) -> Left:
    position = state.position
    half_ticks = position.half_ticks
    return Left(
        spread_atto=position.spread_atto,
        inventory_atto=position.inventory_atto,
        fees_atto=position.fees_atto,
        funding_atto=position.funding_atto,
        cash_atto=position.cash_atto,
        worth_atto=0 if half_ticks is None else position.lots * position.value(half_ticks),
    )
