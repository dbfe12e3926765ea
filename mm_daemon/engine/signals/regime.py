"""Volatility now against volatility as usual, and what that does to risk aversion (MODELS 6.3).

The price of risk already scales with volatility: Avellaneda-Stoikov's skew with its square, GLFT's with itself.
Adaptive gamma multiplies on top, so 0.5 is the exponent for GLFT and 0 the one for Avellaneda-Stoikov.
"""

import math

import msgspec

from mm_daemon.domain.errors import DomainError
from mm_daemon.domain.signal_states import RegimeState
from mm_daemon.engine.domain_checks import require_not_negative, require_positive
from mm_daemon.engine.signals.volatility import EwmaVolatility


class RegimeGamma(msgspec.Struct, frozen=True, gc=False):
    """`ratio` is that of the volatilities, unclipped; `gamma` in the unit of `gamma0`."""

    ratio: float
    gamma: float


def regime_gamma(gamma0: float, sig_fast: float, sig_slow: float, p: float, lo: float, hi: float) -> RegimeGamma:
    """`gamma0 * clip((sig_fast/sig_slow)^p, lo, hi)`; volatilities in one unit.

    Raises DomainError for negative numbers, a slow volatility of zero, or bounds the wrong way round.
    """
    require_not_negative(gamma0=gamma0, sig_fast=sig_fast, lo=lo, hi=hi)
    require_positive(sig_slow=sig_slow)
    if lo > hi or not math.isfinite(p):
        raise DomainError(f"no multiplier between {lo} and {hi} with exponent {p}")
    ratio = sig_fast / sig_slow
    if not ratio < math.inf:
        raise DomainError(f"sig_fast = {sig_fast} over sig_slow = {sig_slow} is no number")
    try:
        multiplier = ratio**p
    except (OverflowError, ZeroDivisionError):
        multiplier = hi
    return RegimeGamma(ratio, gamma0 * min(max(multiplier, lo), hi))


class VolatilityRegime:
    """Two volatilities of one price: `fast` is for quotes, `slow` for the ratio alone."""

    __slots__ = ("_update_fast", "_update_slow", "fast", "slow")

    def __init__(self, fast_s: float = 30.0, slow_s: float = 3600.0, step_ms: int = 1000) -> None:
        """Half-lives in seconds, the clock's step as `EwmaVolatility` has it."""
        self.fast = EwmaVolatility(fast_s, step_ms)
        self.slow = EwmaVolatility(slow_s, step_ms)
        self._update_fast, self._update_slow = self.fast.update, self.slow.update

    def update(self, ts_ns: int, price: float) -> None:
        """The price (mid or microprice, any unit) as of `ts_ns`."""
        self._update_fast(ts_ns, price)
        self._update_slow(ts_ns, price)

    @property
    def ratio(self) -> float | None:
        """Fast over slow; None until both are ready."""
        fast, slow = self.fast.sigma_bps, self.slow.sigma_bps
        return None if fast is None or slow is None else fast / slow

    def gamma(self, gamma0: float, p: float, lo: float, hi: float) -> float:
        """`regime_gamma` of the present volatilities; `gamma0` itself until both are ready."""
        fast, slow = self.fast.sigma_bps, self.slow.sigma_bps
        if fast is None or slow is None:
            return gamma0
        return regime_gamma(gamma0, fast, slow, p, lo, hi).gamma

    def lose_clock(self) -> None:
        """Time begins anew; what was learned stays."""
        self.fast.lose_clock()
        self.slow.lose_clock()

    def state(self) -> RegimeState:
        return RegimeState(self.fast.state(), self.slow.state())

    def restore(self, state: RegimeState) -> None:
        """Go on from `state`, of volatilities with the same half-lives and step."""
        self.fast.restore(state.fast)
        self.slow.restore(state.slow)
