"""Kyle's lambda: how far the price goes with signed volume (MODELS 6.7).

A decayed regression, with intercept, of the mid's change on signed volume over equal bins of the clock. Source of the
idea: Kyle, "Continuous auctions and insider trading", Econometrica 53 (1985).
"""

import math

from mm_daemon.domain.errors import DomainError
from mm_daemon.domain.signal_states import KyleState, RegressionState
from mm_daemon.engine.domain_checks import require_positive
from mm_daemon.engine.signals.volatility import GAP_HALF_LIVES, MIN_SAMPLES

_NS = 1_000_000_000
_PER_BP = 1e4
_MILLION = 1e6
_BEYOND = 1e15
_SINGULAR = 1e-12
_MIN_T = 2.0
"""A slope within two standard errors of zero is none."""


class DecayedRegression:
    """y on x with intercept, from sums decayed by a constant factor an observation."""

    __slots__ = ("_decay", "_s", "_ss", "_sx", "_sxx", "_sxy", "_sy", "_syy")

    def __init__(self, decay: float) -> None:
        """`decay`: the factor, above 0 and at most 1."""
        if not 0.0 < decay <= 1.0:
            raise DomainError(f"d = {decay} must be above 0 and at most 1")
        self._decay = decay
        self._s = self._ss = self._sx = self._sy = self._sxx = self._sxy = self._syy = 0.0

    def add(self, x: float, y: float) -> None:
        """One observation of finite numbers."""
        d = self._decay
        self._s = d * self._s + 1.0
        self._ss = d * d * self._ss + 1.0
        self._sx = d * self._sx + x
        self._sy = d * self._sy + y
        self._sxx = d * self._sxx + x * x
        self._sxy = d * self._sxy + x * y
        self._syy = d * self._syy + y * y

    def add_zeros(self, count: int) -> None:
        """So many observations of (0, 0) at once."""
        d = self._decay
        power = d**count
        if d < 1.0:
            self._s = power * self._s + (1.0 - power) / (1.0 - d)
            self._ss = power * power * self._ss + (1.0 - power * power) / (1.0 - d * d)
        else:
            self._s += count
            self._ss += count
        self._sx *= power
        self._sy *= power
        self._sxx *= power
        self._sxy *= power
        self._syy *= power

    @property
    def slope(self) -> float | None:
        """None while x has not varied."""
        spread = self._s * self._sxx - self._sx * self._sx
        if not spread > _SINGULAR * self._s * self._sxx:
            return None
        return (self._s * self._sxy - self._sx * self._sy) / spread

    @property
    def intercept(self) -> float | None:
        slope = self.slope
        return None if slope is None else (self._sy - slope * self._sx) / self._s

    @property
    def t_statistic(self) -> float | None:
        """The slope in standard errors, with the effective number of observations; None where it has none.

        Infinity where every point lies on the line.
        """
        slope = self.slope
        if slope is None:
            return None
        degrees = self._s * self._s / self._ss - 2.0
        if degrees <= 0.0:
            return None
        variance_x = self._sxx / self._s - (self._sx / self._s) ** 2
        variance_y = self._syy / self._s - (self._sy / self._s) ** 2
        unexplained = variance_y - slope * slope * variance_x
        if unexplained <= _SINGULAR * variance_y:
            return math.copysign(math.inf, slope) if slope else 0.0
        return slope * math.sqrt(variance_x / unexplained * degrees)

    def state(self) -> RegressionState:
        return RegressionState(self._s, self._ss, self._sx, self._sy, self._sxx, self._sxy, self._syy)

    def restore(self, state: RegressionState) -> None:
        self._s, self._ss, self._sx, self._sy = state.s, state.ss, state.sx, state.sy
        self._sxx, self._sxy, self._syy = state.sxx, state.sxy, state.syy


class KyleLambda:
    """`value`: bps that the mid goes with a million of quote currency bought, never negative; None unless the slope is
    known, significant, and enough bins were seen. `dropped`: bad or old input.

    Volume counts in the bin it arrived in; a bin's change of the mid is that of the last mid before each of its ends.
    """

    __slots__ = (
        "_bin_ns",
        "_bins",
        "_due_ns",
        "_gap_ns",
        "_half",
        "_last_ns",
        "_opened",
        "_regression",
        "_unit",
        "_volume",
        "dropped",
        "value",
    )

    _bins: int
    _due_ns: int
    _half: int
    _last_ns: int
    _opened: int
    _volume: float
    value: float | None

    def __init__(self, bin_ms: int, half_life_s: float, quote_per_tick_lot: float) -> None:
        """`quote_per_tick_lot`: quote currency that one lot costs at a price of one tick."""
        require_positive(bin_ms=bin_ms, half_life_s=half_life_s, quote_per_tick_lot=quote_per_tick_lot)
        self._bin_ns = bin_ms * 1_000_000
        self._gap_ns = GAP_HALF_LIVES * half_life_s * _NS
        self._unit = quote_per_tick_lot / _MILLION
        self._regression = DecayedRegression(math.exp2(-bin_ms / (1000.0 * half_life_s)))
        self._begin()
        self.dropped = 0

    def on_order(self, ts_ns: int, buy: bool, ticks: float, lots: float) -> None:
        """A taker order, or one print of it."""
        if not (ts_ns >= self._last_ns and 0.0 < ticks < _BEYOND and 0.0 < lots < _BEYOND):
            self.dropped += 1
            return
        if ts_ns >= self._due_ns:
            self._close(ts_ns)
        self._last_ns = ts_ns
        quote = ticks * lots * self._unit
        self._volume += quote if buy else -quote

    def on_mid(self, ts_ns: int, half_ticks: int) -> None:
        """The mid of a trusted book, as bid + ask."""
        if not (ts_ns >= self._last_ns and 0 < half_ticks < _BEYOND):
            self.dropped += 1
            return
        if ts_ns >= self._due_ns:
            self._close(ts_ns)
        self._last_ns = ts_ns
        self._half = half_ticks

    @property
    def half_ticks(self) -> int:
        """The mid last seen, as bid + ask; 0 before the first."""
        return self._half

    def impact_bps(self, quote: float) -> float | None:
        """How far an order of so much quote currency moves the mid; None while that is not known."""
        return None if self.value is None else self.value * quote / _MILLION

    def lose_clock(self) -> None:
        """Time begins anew: what was learned stays, the bin at hand is lost."""
        self._last_ns = self._due_ns = -1
        self._half = self._opened = 0
        self._volume = 0.0

    def state(self) -> KyleState:
        return KyleState(
            self._regression.state(),
            self._bins,
            self._volume,
            self._half,
            self._opened,
            self._last_ns,
            self._due_ns,
            self.value,
        )

    def restore(self, state: KyleState) -> None:
        """Go on from `state`, of an estimator with the same bins, half-life and unit."""
        self._regression.restore(state.sums)
        self._bins, self._volume = state.bins, state.volume
        self._half, self._opened = state.half_ticks, state.opened_half_ticks
        self._last_ns, self._due_ns = state.last_ns, state.due_ns
        self.value = state.value

    def _begin(self) -> None:
        self._regression.restore(RegressionState(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0))
        self._bins = 0
        self.value = None
        self.lose_clock()

    def _close(self, ts_ns: int) -> None:
        """Close the bin at hand, and those that passed without anything behind it."""
        if self._last_ns >= 0 and ts_ns - self._last_ns > self._gap_ns:
            self._begin()
        if self._due_ns >= 0 and self._opened and self._half:
            self._regression.add(self._volume, _PER_BP * math.log(self._half / self._opened))
            silent = (ts_ns - self._due_ns) // self._bin_ns
            if silent:
                self._regression.add_zeros(silent)
            self._bins += 1 + silent
            self._judge()
        self._opened = self._half
        self._volume = 0.0
        self._due_ns = (ts_ns // self._bin_ns + 1) * self._bin_ns

    def _judge(self) -> None:
        slope, t = self._regression.slope, self._regression.t_statistic
        if slope is None or t is None or self._bins < MIN_SAMPLES or abs(t) <= _MIN_T or not slope < _BEYOND:
            self.value = None
        else:
            self.value = max(slope, 0.0)
