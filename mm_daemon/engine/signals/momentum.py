"""Momentum: a fast moving average of the price against a slow one (MODELS 6.7).

The averages are of a step process: over an interval the value that stood at its beginning holds, so a price that does
not change costs nothing until it does.
"""

import math

from mm_daemon.domain.errors import DomainError
from mm_daemon.domain.signal_states import MomentumState
from mm_daemon.engine.domain_checks import require_positive
from mm_daemon.engine.signals.volatility import GAP_HALF_LIVES, MIN_OBSERVED_HALF_LIVES, MIN_SAMPLES

_NS = 1_000_000_000
_PER_BP = 1e4
_LN2 = math.log(2.0)
_BEYOND = 1e15


class Momentum:
    """`trend_bps`: the fast average over the slow one as of the last change of the price; None until ready, 0 without
    a trend. `ema_fast`, `ema_slow`: the averages. `dropped`: observations that were no price or went back in time.
    """

    __slots__ = (
        "_changes",
        "_due_s",
        "_fast_rate",
        "_gap_s",
        "_last_ns",
        "_moved_ns",
        "_observed_s",
        "_price",
        "_slow_rate",
        "_slow_s",
        "dropped",
        "ema_fast",
        "ema_slow",
        "trend_bps",
    )

    _changes: int
    _last_ns: int
    _moved_ns: int
    _observed_s: float
    _price: float
    ema_fast: float
    ema_slow: float
    trend_bps: float | None

    def __init__(self, fast_s: float, slow_s: float) -> None:
        """Half-lives in seconds, the fast one shorter."""
        require_positive(fast_s=fast_s, slow_s=slow_s)
        if not fast_s < slow_s:
            raise DomainError(f"the fast half-life of {fast_s} s is not shorter than the slow one of {slow_s} s")
        self._fast_rate, self._slow_rate = 1.0 / fast_s, 1.0 / slow_s
        self._slow_s = math.sqrt(slow_s / _LN2)
        self._due_s = MIN_OBSERVED_HALF_LIVES * slow_s
        self._gap_s = GAP_HALF_LIVES * slow_s
        self._begin()
        self.dropped = 0

    def on_price(self, ts_ns: int, price: float) -> None:
        """The price (mid or microprice, any unit) as of `ts_ns`."""
        if not (ts_ns >= self._last_ns and 0.0 < price < _BEYOND):
            self.dropped += 1
            return
        if price == self._price and (ts_ns - self._last_ns) < self._gap_s * _NS:
            self._last_ns = ts_ns
            return
        if ts_ns - self._last_ns > self._gap_s * _NS:
            self._begin()
        self.observe((ts_ns - self._moved_ns) / _NS, price)
        self._moved_ns = self._last_ns = ts_ns

    def observe(self, dt_s: float, price: float) -> bool:
        """Take one observation made `dt_s` seconds after the one before; the first one's interval means nothing.

        Returns False, and counts it, for an observation that is dropped.
        """
        if not (dt_s >= 0.0 and 0.0 < price < _BEYOND):
            self.dropped += 1
            return False
        if not self._price:
            self._price = self.ema_fast = self.ema_slow = price
            return True
        held = self._price
        decay = math.exp2(-dt_s * self._fast_rate)
        self.ema_fast = decay * self.ema_fast + (1.0 - decay) * held
        decay = math.exp2(-dt_s * self._slow_rate)
        self.ema_slow = decay * self.ema_slow + (1.0 - decay) * held
        self._price = price
        self._observed_s += dt_s
        self._changes += 1
        if self._changes >= MIN_SAMPLES and self._observed_s >= self._due_s:
            self.trend_bps = _PER_BP * math.log(self.ema_fast / self.ema_slow)
        return True

    def score(self, sigma_bps: float) -> float | None:
        """The trend in standard deviations of a random walk over the slow horizon; None before the first price.

        Raises DomainError unless the volatility (bps per square root of a second) is positive.
        """
        require_positive(sigma_bps=sigma_bps)
        if not self._price:
            return None
        return _PER_BP * math.log(self.ema_fast / self.ema_slow) / (sigma_bps * self._slow_s)

    def lose_clock(self) -> None:
        """Time begins anew."""
        self._begin()

    def state(self) -> MomentumState:
        return MomentumState(
            self.ema_fast,
            self.ema_slow,
            float(self._price),
            self._moved_ns,
            self._last_ns,
            self._observed_s,
            self._changes,
            self.trend_bps,
        )

    def restore(self, state: MomentumState) -> None:
        """Go on from `state`, of an estimator with the same half-lives."""
        self.ema_fast, self.ema_slow, self._price = state.ema_fast, state.ema_slow, state.price
        self._moved_ns, self._last_ns = state.moved_ns, state.last_ns
        self._observed_s, self._changes = state.observed_s, state.changes
        self.trend_bps = state.trend_bps

    def _begin(self) -> None:
        self._price = self.ema_fast = self.ema_slow = 0.0
        self._last_ns = self._moved_ns = -1
        self._observed_s = 0.0
        self._changes = 0
        self.trend_bps = None
