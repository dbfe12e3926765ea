"""The fill intensity of our own quotes: how long they stood at each distance, and how often they were filled there.

Method 3 of MODELS 6.4. It contains our queue position and latency, which no public trade does, so it is the truth, once
there are fills enough; until then `blended` with what the market's orders say.
"""

import math

import msgspec

from mm_daemon.domain.errors import DomainError
from mm_daemon.domain.signal_states import OwnFillState
from mm_daemon.engine.domain_checks import require_positive
from mm_daemon.engine.signals.intensity import log_rate_fit

_NS = 1_000_000_000
_BEYOND = 1e15


class OwnFit(msgspec.Struct, frozen=True, gc=False):
    """A per second and side, k in 1/bps, and the decayed number of fills behind them."""

    A: float
    k: float
    r2: float
    n_eff: float


class OwnFillIntensity:
    """Buckets of distance from the fair price, both sides together. `dropped`: distances and times that are none."""

    __slots__ = ("_exposures", "_fills", "_last_ns", "_rate", "_step", "dropped")

    def __init__(self, half_life_s: float, *, reach_bps: float = 10.0, buckets: int = 10) -> None:
        """Quotes further than `reach_bps` from the fair price are not counted. Raises DomainError for fewer than two
        buckets, through which no line goes.
        """
        require_positive(half_life_s=half_life_s, reach_bps=reach_bps)
        if buckets < 2:
            raise DomainError(f"{buckets} buckets of distance do not make a line")
        self._rate = 1.0 / (half_life_s * _NS)
        self._step = reach_bps / buckets
        self._exposures, self._fills = [0.0] * buckets, [0.0] * buckets
        self._last_ns = -1
        self.dropped = 0

    def on_quoted(self, ts_ns: int, distance_bps: float, stood_s: float) -> None:
        """One quote of ours stood this far from the fair price for so long, until `ts_ns`."""
        bucket = self._bucket(ts_ns, distance_bps)
        if bucket is None or not 0.0 <= stood_s < _BEYOND:
            self.dropped += 1
        elif bucket >= 0:
            self._exposures[bucket] += stood_s

    def on_fill(self, ts_ns: int, distance_bps: float) -> None:
        """A quote of ours that stood this far from the fair price was filled; parts of one order are one fill."""
        bucket = self._bucket(ts_ns, distance_bps)
        if bucket is None:
            self.dropped += 1
        elif bucket >= 0:
            self._fills[bucket] += 1.0

    def fit(self, min_fills: float = 1.0) -> OwnFit | None:
        """A and k by regression over the buckets with at least `min_fills`; None while that gives no falling line."""
        middles = [(index + 0.5) * self._step for index in range(len(self._fills))]
        line = log_rate_fit(middles, self._fills, self._exposures, min_fills)
        if line.A is None or line.k is None or line.r2 is None or not line.k > 0.0:
            return None
        return OwnFit(line.A, line.k, line.r2, sum(self._fills))

    def lose_clock(self) -> None:
        """Time begins anew; what was learned stays."""
        self._last_ns = -1

    def state(self) -> OwnFillState:
        return OwnFillState(tuple(self._exposures), tuple(self._fills), self._last_ns)

    def restore(self, state: OwnFillState) -> None:
        """Go on from `state`; one with other buckets is of no use and leaves all as it is."""
        if len(state.exposures) == len(self._exposures):
            self._exposures, self._fills = list(state.exposures), list(state.fills)
            self._last_ns = state.last_ns

    def _bucket(self, ts_ns: int, distance_bps: float) -> int | None:
        """Decay to `ts_ns` and find the bucket: -1 beyond all, None for what is no distance or went back in time."""
        if ts_ns < self._last_ns or not -_BEYOND < distance_bps < _BEYOND:
            return None
        if self._last_ns >= 0:
            decay = math.exp2((self._last_ns - ts_ns) * self._rate)
            self._exposures = [value * decay for value in self._exposures]
            self._fills = [value * decay for value in self._fills]
        self._last_ns = ts_ns
        bucket = int(max(distance_bps, 0.0) / self._step)
        return bucket if bucket < len(self._fills) else -1


def blended(A: float, k: float, n_eff: float, own: OwnFit | None) -> tuple[float, float]:
    """(A, k) of the market's orders and of our own fills, their logarithms weighted with the sample sizes."""
    require_positive(A=A, k=k, n_eff=n_eff)
    if own is None:
        return A, k
    share = own.n_eff / (own.n_eff + n_eff)
    return A ** (1.0 - share) * own.A**share, k ** (1.0 - share) * own.k**share
