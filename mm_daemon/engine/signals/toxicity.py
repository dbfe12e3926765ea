"""VPIN: how one-sided the flow was, in volume time (MODELS 6.8).

Source: Easley, Lopez de Prado and O'Hara, "Flow toxicity and liquidity in a high-frequency world", Rev. Financial
Studies 25 (2012). The evidence for it is disputed; a side is known here and not guessed as in the paper.
"""

from mm_daemon.domain.errors import DomainError
from mm_daemon.domain.signal_states import VpinState
from mm_daemon.engine.domain_checks import require_positive

_BEYOND = 1e15
_SLACK = 1e-12
"""Share of a bucket by which sums of floats may miss its edge."""


class Vpin:
    """Mean |bought - sold| / volume over the last buckets of equal volume, 0 (balanced) to 1 (all one way).

    `value`: None until as many buckets as asked for are full. `full`: buckets filled so far. `dropped`: sizes that were
    none.
    """

    __slots__ = ("_bucket", "_filled", "_imbalance", "_ring", "_sum", "dropped", "full", "value")

    def __init__(self, bucket: float, buckets: int) -> None:
        """`bucket`: volume of one, in the unit of the sizes; `buckets`: how many are averaged."""
        require_positive(bucket=bucket)
        if buckets < 1:
            raise DomainError(f"{buckets} buckets cannot be averaged")
        self._bucket = bucket
        self._ring = [0.0] * buckets
        self._filled = self._imbalance = self._sum = 0.0
        self.full = 0
        self.value: float | None = None
        self.dropped = 0

    def on_order(self, signed: float) -> None:
        """A trade, positive when the aggressor bought; it is split over as many buckets as it fills."""
        size = signed if signed > 0.0 else -signed
        if not 0.0 < size < _BEYOND:
            self.dropped += 1
            return
        bucket = self._bucket
        room = bucket - self._filled
        if size < room - _SLACK * bucket:
            self._filled += size
            self._imbalance += signed
            return
        first = self._imbalance + (room if signed > 0.0 else -room)
        self._close(abs(first) / bucket)
        rest = size - room
        whole = int(min(rest / bucket, _BEYOND) + _SLACK) if rest > 0.0 else 0
        # More one-sided buckets than are averaged look the same as that many.
        for _ in range(min(whole, len(self._ring))):
            self._close(1.0)
        self.full += max(whole - len(self._ring), 0)
        self._filled = min(max(rest - whole * bucket, 0.0), bucket)
        self._imbalance = self._filled if signed > 0.0 else -self._filled
        self._settle()

    @property
    def mean(self) -> float | None:
        """Over the full buckets there are, however few; None before the first."""
        known = min(self.full, len(self._ring))
        return min(self._sum / known, 1.0) if known else None

    def state(self) -> VpinState:
        return VpinState(self._filled, self._imbalance, tuple(self._ring), self.full)

    def restore(self, state: VpinState) -> None:
        """Go on from `state`; one of another number of buckets is of no use and leaves all as it is."""
        if len(state.ring) != len(self._ring):
            return
        # What fills a bucket of another size may be more than a whole one of ours.
        fits = state.filled <= self._bucket
        self._filled, self._imbalance = (state.filled, state.imbalance) if fits else (0.0, 0.0)
        self._ring, self.full = list(state.ring), state.full
        self._settle()

    def _close(self, share: float) -> None:
        self._ring[self.full % len(self._ring)] = share
        self.full += 1

    def _settle(self) -> None:
        # Summed anew at each bucket: a running sum would drift, and buckets are few.
        self._sum = sum(self._ring)
        self.value = self.mean if self.full >= len(self._ring) else None
