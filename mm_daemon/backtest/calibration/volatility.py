"""Realised volatility of a whole sample, with its standard error, and how it went over time.

The price is sampled on a fixed clock, last value carried, as the daemon's own estimator does (MODELS 6.2); all
observations count alike.
"""

import math

import msgspec

from mm_daemon.backtest.calibration.batches import BatchedRatio

_NS = 1_000_000_000
_PER_BP = 1e4
SILENCE_NS = 60 * _NS
"""Without any event of a market for this long, its feed was silent: that time was not observed."""
LEAST_OBSERVATIONS = 10
_JUMP_SHARE = 0.25
_JUMP_OBSERVATIONS = 60
"""Among this many normal returns the largest has a quarter of the variance once in many thousand samples."""
_MOST_POINTS = 512


class VolatilityFit(msgspec.Struct, frozen=True, kw_only=True):
    """`sigma_bps` in bps per square root of a second. `jump_bps`: a single move, signed, that holds a quarter of the
    variance or more; `usual_bps` is the volatility without it, the same as `sigma_bps` where there is none.
    """

    sigma_bps: float
    standard_error_bps: float
    usual_bps: float
    jump_bps: float | None
    jump_share: float
    """Part of the variance that the largest move has."""
    observations: int
    step_s: float


class RealisedVolatility:
    """Prices in any unit, times in integer nanoseconds."""

    __slots__ = ("_due_ns", "_fourths", "_largest", "_price", "_sampled", "_seen_ns", "_step_ns", "observations", "sum")

    def __init__(self, step_ms: int) -> None:
        self._step_ns = step_ms * 1_000_000
        self.sum = BatchedRatio()
        """Squared returns in bps^2 over seconds."""
        self._fourths = 0.0
        self._largest = 0.0
        self.observations = 0
        self.lose()

    def lose(self) -> None:
        """The price can no longer be trusted: the next one begins anew."""
        self._price = self._sampled = 0.0
        self._due_ns = self._seen_ns = 0

    def update(self, ts_ns: int, price: float) -> None:
        """The price as of an instant."""
        if ts_ns >= self._due_ns:
            if self._price and ts_ns - self._seen_ns <= SILENCE_NS:
                self._observe((ts_ns - self._due_ns) // self._step_ns + 1)
            else:
                self._sampled = 0.0
            self._due_ns = (ts_ns // self._step_ns + 1) * self._step_ns
        self._price = price
        self._seen_ns = ts_ns

    def _observe(self, steps: int) -> None:
        """The carried price at the boundary passed; it did not move at the others."""
        if self._sampled:
            move = _PER_BP * math.log(self._price / self._sampled)
            square = move * move
            self.sum.add(self._due_ns, square, steps * self._step_ns / _NS)
            self._fourths += square * square
            self.observations += steps
            if square > self._largest * self._largest:
                self._largest = move
        self._sampled = self._price

    def fit(self) -> VolatilityFit | None:
        """None with too few observations to say anything."""
        variance, count = self.sum.value, self.observations
        if variance is None or count < LEAST_OBSERVATIONS:
            return None
        step_s = self._step_ns / _NS
        mean = self.sum.y / count
        independent = math.sqrt(max(self._fourths / count - mean * mean, 0.0) / count) / step_s
        error = max(independent, self.sum.standard_error or 0.0)
        sigma = math.sqrt(variance)
        share = self._largest**2 / self.sum.y if self.sum.y else 0.0
        jumped = count >= _JUMP_OBSERVATIONS and share >= _JUMP_SHARE
        without = math.sqrt(max(self.sum.y - self._largest**2, 0.0) / (self.sum.x - step_s)) if jumped else sigma
        return VolatilityFit(
            sigma_bps=sigma,
            standard_error_bps=0.5 * error / sigma if sigma else 0.0,
            usual_bps=without,
            jump_bps=self._largest if jumped else None,
            jump_share=share,
            observations=count,
            step_s=step_s,
        )


class Course:
    """How a figure went over time, in at most a few hundred points: when there are too many, every other one goes."""

    __slots__ = ("_due_ns", "_every_ns", "points")

    def __init__(self) -> None:
        self._every_ns = _NS
        self._due_ns = 0
        self.points: list[tuple[int, float]] = []

    def add(self, ts_ns: int, value: float) -> None:
        if ts_ns < self._due_ns:
            return
        if len(self.points) >= _MOST_POINTS:
            del self.points[1::2]
            self._every_ns *= 2
        self.points.append((ts_ns, value))
        self._due_ns = (ts_ns // self._every_ns + 1) * self._every_ns
