"""Two estimators of volatility for a price sampled on a fixed clock that resist what is not volatility (MODELS 6.2).

`TwoScaleVolatility` removes noise of the price itself (bid-ask bounce, flicker), `BipowerVolatility` removes jumps.
Both take one price per step of the clock; a price that is no positive number is dropped and counted.
`RobustVolatility` is either of them behind the clock of `EwmaVolatility`, as a market of the core keeps it.
"""

import math
from collections.abc import Sequence
from typing import Literal

import msgspec

from mm_daemon.domain.errors import DomainError
from mm_daemon.domain.signal_states import VolatilityState
from mm_daemon.engine.domain_checks import require_positive
from mm_daemon.engine.signals.volatility import (
    MIN_OBSERVED_HALF_LIVES,
    MIN_SAMPLES,
    EwmaVolatility,
)

RobustEstimator = Literal["two_scale", "bipower"]

_PER_BP = 1e4
_LAGS = 5
"""Steps of the slow scale: noise of the mid is forgotten after one or two seconds, and few steps follow a market."""
_SAME_STEP = 0.01
_LEAST_SHARE = 0.1
"""The share of the slow variance that is believed to be real when the noise correction would leave less."""


class TwoScaleVolatility:
    """Two-scale variance (after Zhang, Mykland and Ait-Sahalia 2005) in decayed form.

    Variances are in bps^2 per second, `noise_var` in bps^2. Under price = efficient + iid noise the fast scale carries
    all of the noise and the slow scale 1/K of it, so their difference tells the two apart.
    """

    __slots__ = (
        "_decay",
        "_fast",
        "_fast_weight",
        "_lags",
        "_min_observed_s",
        "_ring",
        "_slow",
        "_slow_weight",
        "_step_s",
        "_taken",
        "dropped",
    )

    def __init__(self, step_s: float, lags: int, half_life_s: float) -> None:
        """`lags`: the slow scale in steps (K), at least 2."""
        require_positive(step_s=step_s, half_life_s=half_life_s)
        if lags < 2:
            raise DomainError(f"K = {lags}: two scales need at least 2 lags")
        self._step_s = step_s
        self._lags = lags
        self._decay = math.exp2(-step_s / half_life_s)
        self._min_observed_s = MIN_OBSERVED_HALF_LIVES * half_life_s
        self._ring = [0.0] * lags
        self._taken = 0
        self._fast = self._fast_weight = 0.0
        self._slow = self._slow_weight = 0.0
        self.dropped = 0

    def sample(self, price: float) -> None:
        """The price at the next step of the clock."""
        if not 0.0 < price < math.inf:
            self.dropped += 1
            return
        self._sample(_PER_BP * math.log(price))

    def _sample(self, x: float) -> None:
        ring, taken, lags, decay = self._ring, self._taken, self._lags, self._decay
        if taken:
            move = x - ring[(taken - 1) % lags]
            self._fast = decay * self._fast + move * move
            self._fast_weight = decay * self._fast_weight + self._step_s
        if taken >= lags:
            move = x - ring[taken % lags]
            self._slow = decay * self._slow + move * move
            self._slow_weight = decay * self._slow_weight + lags * self._step_s
        ring[taken % lags] = x
        self._taken = taken + 1

    def stand_still(self, steps: int) -> None:
        """So many samples of the price last seen, at once."""
        if not self._taken:
            return
        last = self._ring[(self._taken - 1) % self._lags]
        if steps >= self._lags:
            # Until the ring holds nothing but this price one after the other, then all moves are none.
            steps -= self._lags
            for _ in range(self._lags):
                self._sample(last)
            decay = self._decay**steps
            stood_s = self._step_s * (1.0 - decay) / (1.0 - self._decay)
            self._fast *= decay
            self._slow *= decay
            self._fast_weight = decay * self._fast_weight + stood_s
            self._slow_weight = decay * self._slow_weight + self._lags * stood_s
            self._taken += steps
            return
        for _ in range(steps):
            self._sample(last)

    def state(self) -> tuple[float, ...]:
        return self._taken, self._fast, self._fast_weight, self._slow, self._slow_weight, *self._ring

    def restore(self, state: Sequence[float]) -> bool:
        """Go on from `state`; whether it is one of this estimator's."""
        if len(state) != 5 + self._lags:
            return False
        taken, self._fast, self._fast_weight, self._slow, self._slow_weight, *self._ring = state
        self._taken = int(taken)
        return True

    @property
    def v_fast(self) -> float | None:
        """Variance per second of single steps; None before there is one."""
        return self._fast / self._fast_weight if self._fast_weight else None

    @property
    def v_slow(self) -> float | None:
        """Variance per second of K steps; None before there are that many."""
        return self._slow / self._slow_weight if self._slow_weight else None

    @property
    def sigma2(self) -> float | None:
        """The variance without the noise, at least a tenth of `v_slow`."""
        fast, slow = self.v_fast, self.v_slow
        if fast is None or slow is None:
            return None
        return max((self._lags * slow - fast) / (self._lags - 1), _LEAST_SHARE * slow)

    @property
    def noise_var(self) -> float | None:
        """Variance of the noise of one price; negative where the sample shows momentum rather than noise."""
        fast, slow = self.v_fast, self.v_slow
        if fast is None or slow is None:
            return None
        return (fast - slow) * self._lags * self._step_s / (2.0 * (self._lags - 1))

    @property
    def sigma_bps(self) -> float | None:
        """What a pricer may use: None until enough was seen, never zero."""
        variance = self.sigma2
        if variance is None or self._taken < self._lags + MIN_SAMPLES or self._fast_weight < self._min_observed_s:
            return None
        return math.sqrt(variance) or None


class BipowerVolatility:
    """Bipower variation (Barndorff-Nielsen and Shephard 2004) in decayed form: one jump hardly moves it."""

    __slots__ = (
        "_decay",
        "_last_move",
        "_min_observed_s",
        "_price",
        "_products",
        "_samples",
        "_step_s",
        "_time_s",
        "dropped",
    )

    def __init__(self, step_s: float, half_life_s: float) -> None:
        require_positive(step_s=step_s, half_life_s=half_life_s)
        self._step_s = step_s
        self._decay = math.exp2(-step_s / half_life_s)
        self._min_observed_s = MIN_OBSERVED_HALF_LIVES * half_life_s
        self._price = 0.0
        self._last_move: float | None = None
        self._products = self._time_s = 0.0
        self._samples = 0
        self.dropped = 0

    def sample(self, price: float) -> None:
        """The price at the next step of the clock."""
        if not 0.0 < price < math.inf:
            self.dropped += 1
            return
        if self._price:
            move = abs(_PER_BP * math.log(price / self._price))
            if self._last_move is not None:
                self._products = self._decay * self._products + 0.5 * math.pi * move * self._last_move
                self._time_s = self._decay * self._time_s + self._step_s
                self._samples += 1
            self._last_move = move
        self._price = price

    def stand_still(self, steps: int) -> None:
        """So many samples of the price last seen, at once."""
        if not self._price or steps < 1:
            return
        self.sample(self._price)
        decay = self._decay ** (steps - 1)
        self._products *= decay
        self._time_s = decay * self._time_s + self._step_s * (1.0 - decay) / (1.0 - self._decay)
        self._samples += steps - 1

    def state(self) -> tuple[float, ...]:
        last = -1.0 if self._last_move is None else self._last_move
        return self._samples, self._products, self._time_s, last, self._price

    def restore(self, state: Sequence[float]) -> bool:
        """Go on from `state`; whether it is one of this estimator's."""
        if len(state) != 5:
            return False
        samples, self._products, self._time_s, last, self._price = state
        self._samples, self._last_move = int(samples), None if last < 0.0 else last
        return True

    @property
    def estimate(self) -> float | None:
        """bps per square root of a second, whatever its size; None before the second return."""
        return math.sqrt(self._products / self._time_s) if self._time_s else None

    @property
    def sigma_bps(self) -> float | None:
        """What a pricer may use: None until enough was seen, never zero."""
        if self._samples < MIN_SAMPLES or self._time_s < self._min_observed_s:
            return None
        return self.estimate or None


class RobustVolatility(EwmaVolatility):
    """What EwmaVolatility has, with `sigma_bps` by one of the robust estimators once that knows enough; until then, as
    after a silence, by the plain one.
    """

    __slots__ = ("_kind", "_robust")

    _robust: TwoScaleVolatility | BipowerVolatility

    def __init__(self, half_life_s: float, step_ms: int, kind: RobustEstimator) -> None:
        """`step_ms`: above 0. Raises DomainError."""
        require_positive(step_ms=step_ms)
        super().__init__(half_life_s, step_ms)
        self._kind = kind
        self._begin()

    def _begin(self) -> None:
        step_s, half_life_s = self._step_s, self.half_life_s
        two = self._kind == "two_scale"
        self._robust = TwoScaleVolatility(step_s, _LAGS, half_life_s) if two else BipowerVolatility(step_s, half_life_s)

    def observe(self, dt_s: float, price: float) -> bool:
        """As EwmaVolatility does. What does not come a step after the one before is where a robust sample begins."""
        if dt_s >= 0.0 and 0.0 < price < math.inf:
            if self._sampled == 0.0 or abs(dt_s - self._step_s) > _SAME_STEP * self._step_s:
                self._begin()
            self._robust.sample(price)
        return super().observe(dt_s, price)

    def lose_clock(self) -> None:
        super().lose_clock()
        self._begin()

    def state(self) -> VolatilityState:
        return msgspec.structs.replace(super().state(), robust=self._robust.state(), robust_kind=self._kind)

    def restore(self, state: VolatilityState) -> None:
        """Of another estimator only the plain sums are taken."""
        if state.robust_kind != self._kind or not self._robust.restore(state.robust):
            self._begin()
        super().restore(state)

    def _stand_still(self, steps: int) -> None:
        self._robust.stand_still(steps)
        super()._stand_still(steps)

    def _settle(self) -> None:
        super()._settle()
        if self.sigma_bps is not None:
            self.sigma_bps = self._robust.sigma_bps or self.sigma_bps
