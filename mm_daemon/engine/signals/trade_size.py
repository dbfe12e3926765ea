"""Trades that are too large: by their own size, and by what has piled up on one side (MODELS 6.8).

Both tell whom to pull: after an aggressive buyer the ask is hit next, after a seller the bid.
"""

import math

from mm_daemon.domain.errors import DomainError
from mm_daemon.domain.signal_states import SignedVolumeState, SizeOutlierState
from mm_daemon.engine.domain_checks import require_not_negative, require_positive
from mm_daemon.engine.signals.volatility import GAP_HALF_LIVES

_NS = 1_000_000_000
_BEYOND = 1e15


class SizeOutlier:
    """How unusual a taker order's size is: z of its logarithm against decayed mean and variance before it.

    Weighted moments after West, "Updating mean and variance estimates", Comm. ACM 22 (1979). `z`: of the last order, 0
    while too few were seen, and where all before had one size and `least_sd` is 0. `flagged`: whether it is an outlier.
    An outlier counts in the moments like any other order. `dropped`: what was no size or went back in time.
    """

    __slots__ = (
        "_gap_s",
        "_last_ns",
        "_least_variance",
        "_mean",
        "_min_n",
        "_rate",
        "_scatter",
        "_weight",
        "_z0",
        "dropped",
        "flagged",
        "seen",
        "z",
    )

    _weight: float
    _mean: float
    _scatter: float
    _last_ns: int
    seen: int
    z: float
    flagged: bool

    def __init__(self, half_life_s: float, z0: float, min_n: int, least_sd: float = 0.0) -> None:
        """Flags z above `z0` once `min_n` orders were seen; `least_sd`: the log-size varies at least this much."""
        require_positive(half_life_s=half_life_s)
        require_not_negative(z0=z0, least_sd=least_sd)
        if min_n < 1:
            raise DomainError(f"min_n = {min_n}: a size can only be compared with others")
        self._rate = 1.0 / half_life_s
        self._gap_s = GAP_HALF_LIVES * half_life_s
        self._z0, self._min_n = z0, min_n
        self._least_variance = least_sd * least_sd
        self._begin()
        self.dropped = 0

    def on_order(self, ts_ns: int, lots: float) -> None:
        """A taker order at `ts_ns`."""
        last_ns = self._last_ns
        if self.observe((ts_ns - last_ns) / _NS if last_ns >= 0 else 0.0, lots):
            self._last_ns = ts_ns

    def observe(self, dt_s: float, size: float) -> bool:
        """A size `dt_s` seconds after the one before. Returns False, and counts it, when it is dropped."""
        if not (dt_s >= 0.0 and 0.0 < size < _BEYOND):
            self.dropped += 1
            self.flagged = False
            return False
        if dt_s > self._gap_s:
            self._begin()
        x = math.log(size)
        weight, scatter = self._weight, self._scatter
        off = x - self._mean
        z = 0.0
        if self.seen >= self._min_n:
            variance = scatter / weight
            if variance < self._least_variance:
                variance = self._least_variance
            if variance > 0.0:
                z = off / math.sqrt(variance)
        self.z = z
        self.flagged = z > self._z0
        decay = math.exp2(-dt_s * self._rate)
        before = decay * weight
        self._weight = after = before + 1.0
        self._mean += off / after
        self._scatter = decay * scatter + before * off * off / after
        self.seen += 1
        return True

    def lose_clock(self) -> None:
        """Time begins anew; the moments stay."""
        self._last_ns = -1

    def state(self) -> SizeOutlierState:
        return SizeOutlierState(self._weight, self._mean, self._scatter, self.seen, self._last_ns, self.z, self.flagged)

    def restore(self, state: SizeOutlierState) -> None:
        """Go on from `state`, of an estimator with the same half-life."""
        self._weight, self._mean, self._scatter = state.weight, state.mean, state.scatter
        self.seen, self._last_ns = state.seen, state.last_ns
        self.z, self.flagged = state.z, state.flagged

    def _begin(self) -> None:
        self._weight = self._mean = self._scatter = 0.0
        self.seen = 0
        self._last_ns = -1
        self.z = 0.0
        self.flagged = False


class SignedVolume:
    """`value`: decayed lots bought less sold by takers, as of the last. `dropped`: what was no size or too old."""

    __slots__ = ("_last_ns", "_rate", "dropped", "value")

    def __init__(self, half_life_s: float) -> None:
        require_positive(half_life_s=half_life_s)
        self._rate = 1.0 / (half_life_s * _NS)
        self._last_ns = -1
        self.value = 0.0
        self.dropped = 0

    def on_order(self, ts_ns: int, buy: bool, lots: float) -> None:
        """A taker order at `ts_ns`."""
        passed_ns = ts_ns - self._last_ns
        if not (passed_ns >= 0 and 0.0 < lots < _BEYOND):
            self.dropped += 1
            return
        self._last_ns = ts_ns
        decayed = math.exp2(-passed_ns * self._rate) * self.value
        self.value = decayed + lots if buy else decayed - lots

    def at(self, now_ns: int) -> float:
        """The value decayed to `now_ns`."""
        return self.value * math.exp2(-max(now_ns - self._last_ns, 0) * self._rate)

    def outweighs(self, now_ns: int, multiple: float, bid_lots: float, ask_lots: float) -> int:
        """1 when takers have bought more than `multiple` times what stands at the ask, -1 when they sold so much
        against the bid, else 0.
        """
        pressure = self.at(now_ns)
        if pressure > multiple * ask_lots:
            return 1
        return -1 if -pressure > multiple * bid_lots else 0

    def lose_clock(self) -> None:
        """Time begins anew."""
        self._last_ns = -1
        self.value = 0.0

    def state(self) -> SignedVolumeState:
        return SignedVolumeState(self.value, self._last_ns)

    def restore(self, state: SignedVolumeState) -> None:
        """Go on from `state`, of one with the same half-life."""
        self.value, self._last_ns = state.value, state.last_ns
