"""Two estimators of volatility for a price sampled on a fixed clock that resist what is not volatility (MODELS 6.2).

`TwoScaleVolatility` removes noise of the price itself (bid-ask bounce, flicker), `BipowerVolatility` removes jumps.
Both take one price per step of the clock; a price that is no positive number is dropped and counted.
"""

import math

from mm_daemon.domain.errors import DomainError
from mm_daemon.engine.domain_checks import require_positive
from mm_daemon.engine.signals.volatility import MIN_OBSERVED_HALF_LIVES, MIN_SAMPLES

_PER_BP = 1e4
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
        x = _PER_BP * math.log(price)
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
