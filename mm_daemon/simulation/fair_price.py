"""The fair price of an embedded market: it walks at random with a volatility that drifts and clusters.

The logarithm of volatility is an Ornstein-Uhlenbeck process (Scott 1987), so that calm and wild minutes follow their
like and returns have heavier tails than a normal law. What the public believes comes behind: it closes a share of its
distance to fair all the time, and every trade pushes it. Those who know fair itself live from the difference.

The walk takes equal steps of time and draws from a stream of its own: what anybody does, we included, changes beliefs,
never the news.
"""

import math

from mm_daemon.domain.rng import Rng

STEP_NS = 50_000_000
"""One step of the walk."""
_NS_PER_S = 1_000_000_000
_SECONDS_PER_YEAR = 31_536_000.0
_STEPS_PER_VOLATILITY = 20
"""Volatility moves once a second: it remembers minutes."""
_LEAST_ACTIVITY, _MOST_ACTIVITY = 0.5, 3.0


class FairPrice:
    """Fair and believed price in ticks, as of the last `advance`."""

    __slots__ = (
        "_deviation",
        "_lag_share",
        "_log_deviation",
        "_log_volatility",
        "_memory",
        "_noise",
        "_rms",
        "_rng",
        "_stepped_ns",
        "_steps",
        "activity",
        "fair_ticks",
        "public_ticks",
    )

    def __init__(
        self, rng: Rng, *, ticks: float, volatility: float, log_deviation: float, memory_s: float, lag_s: float
    ) -> None:
        """`volatility`: annual root mean square; `log_deviation`: stationary standard deviation of its logarithm;
        `memory_s`, `lag_s`: times in which a deviation of volatility, and the public's error, fall to 1/e.
        """
        step_s = STEP_NS / _NS_PER_S
        self._rng = rng
        self._rms = volatility * math.sqrt(step_s / _SECONDS_PER_YEAR)
        self._log_deviation = log_deviation
        self._memory = math.exp(-_STEPS_PER_VOLATILITY * step_s / memory_s)
        self._noise = log_deviation * math.sqrt(1.0 - self._memory * self._memory)
        self._lag_share = 1.0 - math.exp(-step_s / lag_s)
        self._log_volatility = log_deviation * log_deviation  # the opening is neither dead nor wild
        self._steps = 0
        self._stepped_ns = 0
        self.fair_ticks = self.public_ticks = ticks
        self._deviation = 0.0
        self.activity = 1.0
        """How lively the market is: the square root of its volatility relative to the root mean square, bounded."""
        self._set_volatility()

    def open(self, now_ns: int) -> None:
        self._stepped_ns = now_ns

    def advance(self, now_ns: int) -> None:
        """All steps up to `now_ns`."""
        while self._stepped_ns + STEP_NS <= now_ns:
            self._stepped_ns += STEP_NS
            self._step()

    def push(self, ticks: float) -> None:
        """A trade moves what the public believes; what is fair it does not move."""
        self.public_ticks += ticks

    def _step(self) -> None:
        self._steps += 1
        if self._steps == _STEPS_PER_VOLATILITY:
            self._steps = 0
            self._log_volatility = self._memory * self._log_volatility + self._noise * self._rng.normal()
            self._set_volatility()
        deviation = self._deviation
        self.fair_ticks *= math.exp(deviation * self._rng.normal() - 0.5 * deviation * deviation)
        self.public_ticks += self._lag_share * (self.fair_ticks - self.public_ticks)

    def _set_volatility(self) -> None:
        """Scaled so that the mean of its square is the square of `volatility`."""
        ratio = math.exp(self._log_volatility - self._log_deviation * self._log_deviation)
        self._deviation = self._rms * ratio
        self.activity = min(max(math.sqrt(ratio), _LEAST_ACTIVITY), _MOST_ACTIVITY)
