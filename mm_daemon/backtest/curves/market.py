"""One market while its run is lived again: its curves, its fills, and where its quotes stood."""

from collections.abc import Sequence

import numpy as np

from mm_daemon.backtest.calibration.intensity import IntensityFit, fit_intensity
from mm_daemon.backtest.calibration.sample import MarketSample
from mm_daemon.backtest.curves.arrays import DistanceCurves, FillCurves, Left, MarketCurves
from mm_daemon.backtest.curves.order_lives import OrderLives
from mm_daemon.backtest.curves.quoting_time import QuotingTime
from mm_daemon.backtest.curves.samples import NAN, Buckets, Thinned
from mm_daemon.core.market import MarketState
from mm_daemon.domain.checkpoint import PositionState
from mm_daemon.domain.events import OrderFilled, PublicTrade
from mm_daemon.domain.money import ATTO, from_pair
from mm_daemon.domain.orders import Side
from mm_daemon.engine.markouts import Markouts
from mm_daemon.observability.quoted_time import QuotedTime

_NS = 1_000_000_000
_PER_BP = 1e4
MARKOUT_HORIZONS_NS = tuple(round(seconds * _NS) for seconds in (0.1, 0.3, 1, 3, 10, 30, 60, 120, 300))
"""Of the markout curve; 1, 10 and 60 s are those of every other report."""
_REACH_NS = 10 * _NS
"""A print at or through our price is taken to be the trade of a fill that is told within this time."""
DISTANCE_BPS = 0.25
_DISTANCES = 400
_BUY, _SELL = Side.BUY, Side.SELL
_LAST = ("mid", "bid", "ask", "position", "equity", "spread", "inventory", "fees", "funding", "volume")
_RANGED = ("mid", "bid", "ask", "position", "equity")
_SUMMED = ("bid_quoted", "ask_quoted", "both_quoted")


class WatchedMarket:
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
