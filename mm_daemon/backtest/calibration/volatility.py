"""Realised volatility of a whole sample, with its standard error, and how it went over time.

The price is sampled on a fixed clock, last value carried, as the daemon's own estimator does (MODELS 6.2); all
observations count alike. What is told is the two-scale estimator for dependent noise (Ait-Sahalia, Mykland and Zhang,
"Ultra high frequency volatility estimation with dependent microstructure noise", Journal of Econometrics 160, 2011):
with V(h) the mean squared move over h seconds,

    sigma^2 = (V(slow) - V(fast)) / (slow - fast)

A mid that flickers around the efficient price, or comes behind it, adds the same to V of every distance that is longer
than its memory, so the difference does not see it. In terms of autocovariances it is the flat-top window of Politis and
Romano (1995), from which the standard error follows. Data too short for two scales have the one of a single step.

The price is the mid: A and k are measured from it, and the microprice flickers more (three times the noise variance on
the embedded market, the same on recordings), as the sizes at the touch do.
"""

import math
from collections import deque
from collections.abc import Sequence

import msgspec

from mm_daemon.backtest.calibration.batches import BatchedRatio

_NS = 1_000_000_000
_PER_BP = 1e4
SILENCE_NS = 60 * _NS
"""Without any event of a market for this long, its feed was silent: that time was not observed."""
LEAST_OBSERVATIONS = 10
FAST_S, SLOW_S = 4.0, 12.0
"""Noise of a second or two is forgotten after the first; the second leaves some use in minutes of data."""
_LEAST_SPANS = 10
"""Data shorter than so many slow distances are too few for two scales."""
_LEAST_SHARE = 0.1
"""The part of the slow variance that is believed to be real when the difference would leave less (MODELS 6.2)."""
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
    fast_s: float
    """0 where there was one scale only."""
    slow_s: float
    noise_bps: float | None
    """Standard deviation of the mid around the efficient price; 0 where moves go on rather than come back; None with
    one scale, which cannot tell."""


class _Scales:
    """The variance between two distances of time, in steps of the clock: 0 and 1 make plain realised variance."""

    __slots__ = ("_jump_left", "_jump_squares", "_jump_steps", "fast", "fast_squares", "largest", "slow", "sum")

    def __init__(self, fast: int, slow: int) -> None:
        self.fast, self.slow = fast, slow
        self.sum = BatchedRatio()
        """Differences of squared moves in bps^2 over seconds."""
        self.fast_squares = 0.0
        self.largest = 0.0
        """The largest move of one step, bps."""
        self._jump_squares = 0.0
        """What the moves across the largest one have of the sum, `_jump_steps` of them so far."""
        self._jump_steps = self._jump_left = 0

    def observe(self, ts_ns: int, logs: Sequence[float], step_s: float) -> None:
        """The logarithms of the last prices in bps, the newest at the end."""
        if len(logs) <= self.slow:
            return
        newest = logs[-1]
        fast, slow, step = newest - logs[-1 - self.fast], newest - logs[-1 - self.slow], newest - logs[-2]
        gained = (slow * slow - fast * fast) / (self.slow - self.fast)
        self.sum.add(ts_ns, gained, step_s)
        self.fast_squares += fast * fast
        if abs(step) > abs(self.largest):
            self.largest = step
            self._jump_squares, self._jump_steps, self._jump_left = 0.0, 0, self.slow
        if self._jump_left:
            self._jump_left -= 1
            self._jump_steps += 1
            self._jump_squares += gained

    def fit(self, step_s: float, count: int, squares: float, fourths: float) -> VolatilityFit | None:
        """`count` moves of one step with these sums of powers, bps."""
        variance = self.sum.value
        if variance is None or count < LEAST_OBSERVATIONS:
            return None
        steps = round(self.sum.x / step_s)
        fast_variance = self.fast_squares / steps
        slow_variance = variance * (self.slow - self.fast) * step_s + fast_variance
        least = _LEAST_SHARE * slow_variance / (self.slow * step_s)
        sigma = math.sqrt(max(variance, least))
        others_s = self.sum.x - self._jump_steps * step_s
        others = max((self.sum.y - self._jump_squares) / others_s, 0.0) if others_s > 0.0 else 0.0
        share = min(max(1.0 - others / variance, 0.0), 1.0) if variance > 0.0 else 0.0
        jumped = count >= _JUMP_OBSERVATIONS and share >= _JUMP_SHARE and self.largest**2 >= _JUMP_SHARE * squares
        independent = self._independent_error(steps, count, squares, fourths, sigma)
        error = max(independent, self.sum.standard_error or 0.0)
        noise = max(0.5 * (fast_variance - sigma * sigma * self.fast * step_s), 0.0)
        return VolatilityFit(
            sigma_bps=sigma,
            standard_error_bps=0.5 * error / sigma if sigma else 0.0,
            usual_bps=math.sqrt(others) if jumped else sigma,
            jump_bps=self.largest if jumped else None,
            jump_share=share,
            observations=count,
            step_s=step_s,
            fast_s=self.fast * step_s,
            slow_s=self.slow * step_s,
            noise_bps=math.sqrt(noise) if self.fast else None,
        )

    def _independent_error(self, steps: int, count: int, squares: float, fourths: float, sigma: float) -> float:
        """Standard error of the variance per second if moves did not depend on each other: their squares scatter as the
        tails of moves say, their products, which the window weights, by sigma^4.
        """
        if not squares:
            return 0.0
        fast, slow = self.fast, self.slow
        window = sum(min((slow - lag) / (slow - fast), 1.0) ** 2 for lag in range(1, slow))
        kurtosis = count * fourths / squares**2
        return sigma * sigma * math.sqrt((max(kurtosis - 1.0, 0.0) + 4.0 * window) / steps)


class RealisedVolatility:
    """Prices in any unit, times in integer nanoseconds."""

    __slots__ = (
        "_due_ns",
        "_fourths",
        "_logs",
        "_price",
        "_seen_ns",
        "_squares",
        "_step_ns",
        "observations",
        "plain",
        "two",
    )

    def __init__(self, step_ms: int) -> None:
        self._step_ns = step_ms * 1_000_000
        fast = max(round(FAST_S * 1000.0 / step_ms), 1)
        slow = max(round(SLOW_S * 1000.0 / step_ms), 3 * fast)
        self.plain, self.two = _Scales(0, 1), _Scales(fast, slow)
        self._logs: deque[float] = deque(maxlen=slow + 1)
        self._squares = self._fourths = 0.0
        self.observations = 0
        self.lose()

    def lose(self) -> None:
        """The price can no longer be trusted: the next one begins anew."""
        self._price = 0.0
        self._logs.clear()
        self._due_ns = self._seen_ns = 0

    def update(self, ts_ns: int, price: float) -> None:
        """The price as of an instant."""
        if ts_ns >= self._due_ns:
            if self._price and ts_ns - self._seen_ns <= SILENCE_NS:
                self._sample((ts_ns - self._due_ns) // self._step_ns + 1)
            else:
                self._logs.clear()
            self._due_ns = (ts_ns // self._step_ns + 1) * self._step_ns
        self._price = price
        self._seen_ns = ts_ns

    def fit(self) -> VolatilityFit | None:
        """By two scales where the data are long enough for them, else as `plain_fit`."""
        two = self.two
        if two.sum.x < _LEAST_SPANS * two.slow * self._step_ns / _NS:
            return self.plain_fit()
        return two.fit(self._step_ns / _NS, self.observations, self._squares, self._fourths)

    def plain_fit(self) -> VolatilityFit | None:
        """Of single steps, noise of the price included. None with too few observations to say anything."""
        return self.plain.fit(self._step_ns / _NS, self.observations, self._squares, self._fourths)

    def _sample(self, steps: int) -> None:
        """The carried price at the boundary passed; it did not move at the others."""
        log, logs, step_s = _PER_BP * math.log(self._price), self._logs, self._step_ns / _NS
        for number in range(steps):
            logs.append(log)
            if len(logs) < 2:
                continue
            self.observations += 1
            square = (log - logs[-2]) ** 2
            self._squares += square
            self._fourths += square * square
            at_ns = self._due_ns + number * self._step_ns
            self.plain.observe(at_ns, logs, step_s)
            self.two.observe(at_ns, logs, step_s)


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
