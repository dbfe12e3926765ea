"""EWMA volatility of irregular observations, sampled on a fixed clock (MODELS 6.1, 6.2).

Owned by one market of the core, which feeds it the mid (or microprice) of every trusted book, never trade prices. The
ratio of decayed squared returns to decayed time is unbiased from the first observation on; no mean is subtracted.
"""

import math

from mm_daemon.domain.signal_states import VolatilityState
from mm_daemon.engine.domain_checks import require_not_negative, require_positive

_NS = 1_000_000_000
_PER_BP = 1e4
GAP_HALF_LIVES = 10.0
"""After a silence this long what was known is too old: not ready until new observations have come in."""
MIN_SAMPLES = 10
"""Observations needed before an estimate is handed to a pricer."""
MIN_OBSERVED_HALF_LIVES = 0.5
"""Decayed observation time needed before an estimate is handed to a pricer, in half-lives."""


class EwmaVolatility:
    """Volatility of a price in bps per square root of a second.

    `sigma_bps` is what a pricer may use: None until ready, never zero, never below `floor_bps`. `confidence` is 0 until
    then and rises to 1, which it is once a whole half-life of decayed time has been observed. `estimate` is the bare
    ratio. `dropped` counts observations that went back in time or were no positive number. `step_ms` 0 takes every
    update as an observation; otherwise the last value before each multiple of the step is the observation.
    """

    __slots__ = (
        "_decay",
        "_due_ns",
        "_events",
        "_floor",
        "_last_ns",
        "_min_observed_s",
        "_observed_s",
        "_price",
        "_rate",
        "_sampled",
        "_sampled_ns",
        "_squares",
        "_step_ns",
        "_step_s",
        "_time_s",
        "_told_bps",
        "confidence",
        "dropped",
        "half_life_s",
        "sigma_bps",
    )

    def __init__(
        self,
        half_life_s: float,
        step_ms: int,
        *,
        floor_bps: float = 0.0,
    ) -> None:
        require_positive(half_life_s=half_life_s)
        require_not_negative(step_ms=step_ms, floor_bps=floor_bps)
        self.half_life_s = half_life_s
        self._rate = 1.0 / half_life_s
        self._floor = floor_bps
        self._min_observed_s = MIN_OBSERVED_HALF_LIVES * half_life_s
        self._step_ns = step_ms * 1_000_000
        self._step_s = step_ms / 1000.0
        self._decay = math.exp2(-self._step_s * self._rate)
        self._squares = 0.0
        self._time_s = 0.0
        self._observed_s = 0.0
        self._events = 0
        self._sampled = 0.0
        self._sampled_ns = 0
        self._price = 0.0
        self._last_ns = -1
        self._due_ns = 0
        self._told_bps: float | None = None
        self.dropped = 0
        self.sigma_bps: float | None = None
        self.confidence = 0.0

    @property
    def estimate(self) -> float | None:
        """`sqrt(N/D)` whatever its age and size; None before any time was observed."""
        return math.sqrt(self._squares / self._time_s) if self._time_s > 0.0 else None

    def update(self, ts_ns: int, price: float) -> None:
        """The price as of `ts_ns` (integer nanoseconds). Returns at once while no sample is due."""
        last_ns = self._last_ns
        if ts_ns < last_ns or not 0.0 < price < math.inf:
            self.dropped += 1
            return
        self._last_ns = ts_ns
        if ts_ns < self._due_ns:
            self._price = price
            return
        self._sample(ts_ns, last_ns, price)

    def observe(self, dt_s: float, price: float) -> bool:
        """Take one observation made `dt_s` seconds after the one before; the first one's interval means nothing.

        Returns False, and counts it, for an observation that is dropped.
        """
        if dt_s < 0.0 or not 0.0 < price < math.inf:
            self.dropped += 1
            return False
        if self._sampled == 0.0:
            self._sampled = price
            return True
        move = _PER_BP * math.log(price / self._sampled)
        self._sampled = price
        self._add(move * move, dt_s, math.exp2(-dt_s * self._rate))
        if dt_s > GAP_HALF_LIVES * self.half_life_s:
            self._observed_s = 0.0
            self._events = 0
            self._settle()
        return True

    def tell(self, sigma_bps: float) -> None:
        """Somebody else's figure stands in the place of ours from now on; zero gives ours back. Ours goes on."""
        require_not_negative(sigma_bps=sigma_bps)
        self._told_bps = sigma_bps or None
        self._settle()

    def state(self) -> VolatilityState:
        return VolatilityState(
            self._squares,
            self._time_s,
            self._observed_s,
            self._events,
            float(self._sampled),
            self._sampled_ns,
            float(self._price),
            self._last_ns,
            self._due_ns,
        )

    def restore(self, state: VolatilityState) -> None:
        """Go on from `state`, of an estimator with the same half-life and step."""
        self._squares, self._time_s = state.squares, state.time_s
        self._observed_s, self._events = state.observed_s, state.events
        self._sampled, self._sampled_ns = state.sampled, state.sampled_ns
        self._price, self._last_ns, self._due_ns = state.price, state.last_ns, state.due_ns
        self._settle()

    def lose_clock(self) -> None:
        """Time begins anew: what was learned stays, the price last seen means nothing any more."""
        self._sampled = self._price = 0.0
        self._sampled_ns = self._due_ns = 0
        self._last_ns = -1

    def _sample(self, ts_ns: int, last_ns: int, price: float) -> None:
        """Bring the clock up to `ts_ns`: the carried price at the first boundary passed, no move at the others."""
        step_ns = self._step_ns
        if last_ns < 0 or ts_ns - last_ns > GAP_HALF_LIVES * self.half_life_s * _NS or not step_ns:
            # The first price, a price after a long silence, or no clock: an observation of its own.
            self.observe((ts_ns - self._sampled_ns) / _NS, price)
            self._sampled_ns = ts_ns
        else:
            boundaries = (ts_ns - self._due_ns) // step_ns + 1
            # From the sample to the boundary is a whole step, but for the first one after a start or a silence.
            self.observe((self._due_ns - self._sampled_ns) / _NS, self._price)
            if boundaries > 1:
                self._stand_still(boundaries - 1)
            self._sampled_ns = self._due_ns + (boundaries - 1) * step_ns
        self._price = price
        if step_ns:
            self._due_ns = (ts_ns // step_ns + 1) * step_ns

    def _add(self, square: float, dt_s: float, decay: float) -> None:
        self._squares = decay * self._squares + square
        self._time_s = decay * self._time_s + dt_s
        self._observed_s = decay * self._observed_s + dt_s
        self._events += 1
        self._settle()

    def _stand_still(self, steps: int) -> None:
        """`steps` samples without a move, at once: the geometric sum of their decayed time."""
        decay = self._decay**steps
        self._squares *= decay
        stood_s = self._step_s * (1.0 - decay) / (1.0 - self._decay)
        self._time_s = decay * self._time_s + stood_s
        self._observed_s = decay * self._observed_s + stood_s
        self._events += steps
        self._settle()

    def _settle(self) -> None:
        if self._told_bps is not None:
            self.sigma_bps, self.confidence = self._told_bps, 1.0
            return
        if self._events < MIN_SAMPLES or self._observed_s < self._min_observed_s or not self._time_s:
            self.sigma_bps = None
            self.confidence = 0.0
            return
        sigma = math.sqrt(self._squares / self._time_s)
        self.sigma_bps = max(sigma, self._floor) or None
        observed = self._observed_s * self._rate
        self.confidence = observed if observed < 1.0 else 1.0
