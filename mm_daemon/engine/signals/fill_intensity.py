"""A and k of the fill intensity, live from the market's taker orders (MODELS 6.4, methods 1 and 2).

Owned by one market. The decayed maximum likelihood gives A and k, the regression over the same orders tells how well
they are exponential at all. A fit that is refused leaves the last good one standing, whose age the caller can ask.
Sums grow with `2^(t/half-life)` instead of being decayed at every event, so that an order costs one power.

An order that does not reach the touch does not trade, so nothing is known of those: the sample is truncated at the
entry c(t), which moves with the book: half the touch spread, the usual half if that is more, as a few small orders that
stand before the book stop many takers, or where we begin to quote. Beyond it an exponential law is exponential again,
and N orders of both sides give `k = 1/mean(depth - c)` and `A = N / 2 integral e^(-k c) dt`. Taken from the fair price
instead, k would come out by a half-touch too flat. (`backtest/calibration` has it of a whole sample, with errors.)
"""

import math

from mm_daemon.domain.signal_states import IntensityState
from mm_daemon.engine.domain_checks import require_not_negative, require_positive
from mm_daemon.engine.signals.intensity import decay_of_excess, log_rate_fit
from mm_daemon.engine.signals.volatility import GAP_HALF_LIVES, MIN_OBSERVED_HALF_LIVES

_NS = 1_000_000_000
_PER_BP = 1e4
_LN2 = math.log(2.0)
_REBASE = 32.0
"""Half-lives after which the growing sums are scaled back, long before their squares could overflow."""
_BEYOND = 1e15
"""No price in ticks and no size in lots is as large as this."""
_BINS, _PER_OCTAVE, _LEAST_BPS = 64, 4, 0.01
"""Entries by size, for the time they stood: within a bin their mean stands for them."""
_MOVED = 0.01
"""An entry that differs by less is counted with the one before it."""
_REACHED = 1e-9
"""Of a distance in bps: float noise around the touch itself."""
_GRID_SLACK = 1e-6
_CERTAIN = 1.96
"""Standard errors of k that must fit into k before there is any confidence in it (95 %)."""


class FillIntensity:
    """Intensity of taker orders by distance from the fair price: `lambda(delta) = A e^{-k delta}` for each side.

    `A` (per second and side) and `k` (1/bps) are what a pricer may use: None until a first good fit. `A_buy` and
    `A_sell` split A by the aggressor's side: buyers lift our ask. `n_eff`, `r2` and `confidence` (0 to 1) describe the
    latest attempt, `good_ns` is when one last succeeded, `refused` counts those that did not, `dropped` bad input.
    """

    __slots__ = (
        "A",
        "A_buy",
        "A_sell",
        "_buys",
        "_counted",
        "_counted_bps",
        "_d0",
        "_due_ns",
        "_edge_step",
        "_edges",
        "_entry_bps",
        "_excess",
        "_fair",
        "_half_life_s",
        "_histogram",
        "_k_max",
        "_k_min",
        "_last_edge",
        "_lost",
        "_max_change",
        "_min_lots",
        "_min_n",
        "_min_r2",
        "_origin_ns",
        "_rate",
        "_refit_ns",
        "_seen_ns",
        "_sells",
        "_silence_ns",
        "_squares",
        "_start",
        "_stood",
        "_stood_bps",
        "_touch_sum",
        "_touch_ticks",
        "_usual_ticks",
        "confidence",
        "dropped",
        "good_ns",
        "k",
        "n_eff",
        "r2",
        "refused",
    )

    _origin_ns: int
    _seen_ns: int
    _due_ns: int
    _start: float
    _lost: float
    _buys: float
    _sells: float
    _squares: float
    _excess: float
    _histogram: list[float]
    _counted: float
    _touch_sum: float
    _usual_ticks: float
    _stood: list[float]
    _stood_bps: list[float]

    def __init__(
        self,
        half_life_s: float,
        *,
        reach_bps: float = 10.0,
        edges: int = 10,
        d0_bps: float = 0.0,
        min_lots: float = 0.0,
        refit_s: float = 5.0,
        silence_s: float = 10.0,
        k_min: float = 1e-3,
        k_max: float = 100.0,
        max_change: float = 0.2,
        min_r2: float = 0.5,
        min_n: float = 20.0,
    ) -> None:
        """Orders are counted from the touch on, or from `d0_bps`, where we begin to quote, if that is further; their
        exponential shape is judged up to `reach_bps` beyond it. `min_lots`: smaller orders could not fill us, so they
        do not count. Time without any event for `silence_s` was not observed. One fit changes A and k by at most
        `max_change`.
        """
        require_positive(half_life_s=half_life_s, reach_bps=reach_bps, refit_s=refit_s, silence_s=silence_s)
        require_positive(k_min=k_min, k_max=k_max, max_change=max_change, edges=edges - 1)
        require_not_negative(d0_bps=d0_bps, min_lots=min_lots, min_r2=min_r2, min_n=min_n, span=k_max - k_min)
        require_not_negative(refits_per_half_life=half_life_s - refit_s)
        self._half_life_s = half_life_s
        self._rate = 1.0 / (half_life_s * _NS)
        self._edge_step = reach_bps / edges
        self._edges = [index * self._edge_step for index in range(edges)]
        self._last_edge = edges - 1
        self._d0 = self._entry_bps = self._counted_bps = d0_bps
        self._touch_ticks = 0.0
        self._min_lots = min_lots
        self._refit_ns, self._silence_ns = int(refit_s * _NS), int(silence_s * _NS)
        self._k_min, self._k_max = k_min, k_max
        self._max_change, self._min_r2, self._min_n = max_change, min_r2, min_n
        self._begin(-1)
        self._fair = 0.0
        self.A: float | None = None
        self.A_buy: float | None = None
        self.A_sell: float | None = None
        self.k: float | None = None
        self.n_eff = self.r2 = self.confidence = 0.0
        self.good_ns: int | None = None
        self.refused = 0
        self.dropped = 0

    def on_touch(self, ts_ns: int, bid_ticks: int, ask_ticks: int) -> None:
        """The best prices are these from here on, as far as `on_clock` has heard of the time."""
        mid, entry = 0.5 * (bid_ticks + ask_ticks), 0.5 * (ask_ticks - bid_ticks)
        touch, least = entry, self._d0 * mid / _PER_BP
        if self._usual_ticks > entry:  # the price of the grid that is nearest to it
            entry = max(entry, math.floor(mid + self._usual_ticks + 0.5) - mid)
        if least > entry:
            entry = math.ceil(mid + least - _GRID_SLACK) - mid
        self._entry_bps = entry = entry / mid * _PER_BP
        counted = self._counted_bps
        if abs(entry - counted) > _MOVED * counted or touch != self._touch_ticks:
            if ts_ns == self._seen_ns:
                self._count(math.exp2((ts_ns - self._origin_ns) * self._rate))
            self._counted_bps, self._touch_ticks = entry, touch

    def on_order(self, ts_ns: int, buy: bool, ticks: float, lots: float, fair_ticks: float) -> None:
        """A whole taker order: its aggressor's side, the furthest price it reached, its size, and the fair price just
        before it, from which the touch of then was as `on_touch` last said.
        """
        if not (ts_ns >= self._seen_ns and 0.0 < fair_ticks < _BEYOND and 0.0 < ticks < _BEYOND and lots > 0.0):
            self.dropped += 1
            return
        self.on_clock(ts_ns)
        self._fair = fair_ticks
        if lots < self._min_lots:
            return
        depth = (ticks - fair_ticks if buy else fair_ticks - ticks) / fair_ticks * _PER_BP
        beyond = (depth if depth > 0.0 else 0.0) - self._entry_bps
        if beyond < 0.0:
            if beyond < -_REACHED:
                return
            beyond = 0.0
        weight = math.exp2((ts_ns - self._origin_ns) * self._rate)
        if buy:
            self._buys += weight
        else:
            self._sells += weight
        self._squares += weight * weight
        self._excess += weight * beyond
        edge = beyond / self._edge_step
        last = self._last_edge
        self._histogram[last if edge >= last else int(edge)] += weight

    def on_clock(self, ts_ns: int) -> None:
        """Time has come this far: called at every event of the market, so that a silent feed is not taken for a quiet
        market. Fits when that is due.
        """
        silent_ns = ts_ns - self._seen_ns
        if silent_ns < self._silence_ns and self._due_ns > ts_ns and silent_ns >= 0:
            self._seen_ns = ts_ns
            return
        if silent_ns < 0:
            self.dropped += 1
            return
        self._pass_time(ts_ns, silent_ns)

    def age_s(self, now_ns: int) -> float | None:
        """Seconds since the last good fit; None before the first, and when a lost clock has made that unknown."""
        return None if self.good_ns is None else (now_ns - self.good_ns) / _NS

    def lose_clock(self) -> None:
        """Time begins anew: A and k stay as the last good fit, the sample starts over."""
        self._begin(-1)
        self.good_ns = None

    def state(self) -> IntensityState:
        return IntensityState(
            self._origin_ns,
            self._start,
            self._seen_ns,
            self._due_ns,
            self._lost,
            self._buys,
            self._sells,
            self._squares,
            self._excess,
            tuple(self._histogram),
            self._fair,
            self.A,
            self.A_buy,
            self.A_sell,
            self.k,
            self.n_eff,
            self.r2,
            self.confidence,
            self.good_ns,
            self._half_life_s,
            self._d0,
            self._counted,
            self._counted_bps,
            tuple(self._stood),
            tuple(self._stood_bps),
            self._touch_ticks,
            self._touch_sum,
            self._usual_ticks,
        )

    def restore(self, state: IntensityState) -> None:
        """Go on from `state`. Of an estimator with another half-life or other edges only the fit is taken, and the
        sample starts over: its weights and distances would mean something else here.
        """
        self.A, self.A_buy, self.A_sell, self.k = state.A, state.A_buy, state.A_sell, state.k
        self.n_eff, self.r2, self.confidence = state.n_eff, state.r2, state.confidence
        self.good_ns = state.good_ns
        measured_by = (state.half_life_s or self._half_life_s, self._d0 if state.d0_bps is None else state.d0_bps)
        if len(state.histogram) != len(self._edges) or measured_by != (self._half_life_s, self._d0):
            return
        if len(state.stood) != _BINS or len(state.stood_bps) != _BINS:
            return
        self._origin_ns, self._start = state.origin_ns, state.start
        self._seen_ns, self._due_ns = state.seen_ns, state.due_ns
        self._lost, self._fair = state.lost, state.fair
        self._buys, self._sells = state.buys, state.sells
        self._squares, self._excess = state.squares, state.excess
        self._histogram = list(state.histogram)
        self._counted, self._counted_bps = state.counted, state.counted_bps
        self._stood, self._stood_bps = list(state.stood), list(state.stood_bps)
        self._touch_ticks, self._touch_sum, self._usual_ticks = state.touch_ticks, state.touch_sum, state.usual_ticks

    def _begin(self, ts_ns: int) -> None:
        self._origin_ns = self._seen_ns = ts_ns
        self._start = 1.0
        self._due_ns = ts_ns + self._refit_ns if ts_ns >= 0 else -1
        self._lost = 0.0
        self._buys = self._sells = self._squares = self._excess = 0.0
        self._histogram = [0.0] * len(self._edges)
        self._counted = 1.0
        self._touch_sum = self._usual_ticks = 0.0
        self._stood, self._stood_bps = [0.0] * _BINS, [0.0] * _BINS

    def _count(self, weight: float) -> None:
        """Entry and touch have stood until the time of this weight."""
        stood, entry = weight - self._counted, self._counted_bps
        self._counted = weight
        self._touch_sum += stood * self._touch_ticks
        seen = weight - self._start - self._lost
        if seen > 0.0:
            self._usual_ticks = self._touch_sum / seen
        index = int(_PER_OCTAVE * math.log2(entry / _LEAST_BPS)) if entry > _LEAST_BPS else 0
        index = min(index, _BINS - 1)
        self._stood[index] += stood
        self._stood_bps[index] += stood * entry

    def _pass_time(self, ts_ns: int, silent_ns: int) -> None:
        if self._seen_ns < 0 or silent_ns * self._rate > GAP_HALF_LIVES:
            self._begin(ts_ns)
            return
        rate, origin_ns = self._rate, self._origin_ns
        weight = math.exp2((ts_ns - origin_ns) * rate)
        if silent_ns >= self._silence_ns:
            self._count(heard := math.exp2((self._seen_ns - origin_ns) * rate))
            self._lost += weight - heard
            self._counted = weight
        self._seen_ns = ts_ns
        if ts_ns >= self._due_ns:
            self._due_ns = ts_ns + self._refit_ns
            self._fit(ts_ns, weight)
        if (ts_ns - origin_ns) * rate > _REBASE:
            self._rebase(ts_ns, 1.0 / weight)

    def _rebase(self, ts_ns: int, scale: float) -> None:
        self._origin_ns = ts_ns
        self._start *= scale
        self._lost *= scale
        self._counted *= scale
        self._touch_sum *= scale
        self._stood = [stood * scale for stood in self._stood]
        self._stood_bps = [stood * scale for stood in self._stood_bps]
        self._buys *= scale
        self._sells *= scale
        self._squares *= scale * scale
        self._excess *= scale
        self._histogram = [count * scale for count in self._histogram]

    def _fit(self, ts_ns: int, weight: float) -> None:
        """Take a new A and k if the sample is good enough (the guards of MODELS 6.4)."""
        self._count(weight)
        orders = self._buys + self._sells
        exposure_s = (weight - self._start - self._lost) / weight * self._half_life_s / _LN2
        # No more than its weight: a sample without new orders must fade, and not only age.
        self.n_eff = min(orders * orders / self._squares, orders / weight) if self._squares else 0.0
        self.r2 = self._explained(weight)
        self.confidence = max(0.0, 1.0 - _CERTAIN / math.sqrt(self.n_eff)) * self.r2 if self.n_eff else 0.0
        k = decay_of_excess(self._excess / orders, _PER_BP / self._fair) if orders else None
        enough = exposure_s >= MIN_OBSERVED_HALF_LIVES * self._half_life_s
        if k is None or not enough or self.r2 < self._min_r2 or self.n_eff < self._min_n:
            self.refused += 1
            return
        k = self._near(min(max(k, self._k_min), self._k_max), self.k)
        log_rate = math.log(orders * _LN2 / self._half_life_s) - self._log_seen(k)
        if not log_rate < 700.0:
            self.refused += 1
            return
        # Orders of both sides were counted together; each side sees its share of them.
        A = self._near(0.5 * math.exp(log_rate), self.A)
        self.k, self.A = k, A
        self.A_buy, self.A_sell = 2.0 * A * self._buys / orders, 2.0 * A * self._sells / orders
        self.good_ns = ts_ns

    def _log_seen(self, k: float) -> float:
        """The logarithm of the integral of `e^(-k c)` over the weights of the time in which c was the entry."""
        bins = [(bps / stood, stood) for stood, bps in zip(self._stood, self._stood_bps, strict=True) if stood > 0.0]
        nearest = bins[0][0]
        return math.log(sum(stood * math.exp(k * (nearest - bps)) for bps, stood in bins)) - k * nearest

    def _explained(self, weight: float) -> float:
        """R squared of the regression over the survival counts, 0 where there is none or rates do not fall."""
        reached, counts = 0.0, []
        for count in reversed(self._histogram):
            reached += count
            counts.append(reached / weight)
        counts.reverse()
        fit = log_rate_fit(self._edges, counts, [1.0] * len(counts), 1.0)
        return fit.r2 if fit.r2 is not None and fit.k is not None and fit.k > 0.0 else 0.0

    def _near(self, value: float, last: float | None) -> float:
        if last is None:
            return value
        return min(max(value, last * (1.0 - self._max_change)), last * (1.0 + self._max_change))
