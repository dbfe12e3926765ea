"""Funding of one embedded perpetual: a predicted rate that wanders, and payments at full periods of the clock.

The venue publishes mark and predicted rate every few seconds; when a period ends, the rate published last is settled
on the position at the mark published with it. Amounts are whole atto.
"""

import math

import msgspec

from mm_daemon.domain.rng import Rng

RATE_ONE = 10**12
"""Rates are in units of 1e-12."""
_UPDATE_NS = 3_000_000_000
_NS_PER_S = 1_000_000_000
_MEMORY_S = 3600.0
"""Time in which the predicted rate's distance from its mean falls to 1/e."""
_RATE_PER_BP = RATE_ONE // 10**4


class FundingTerms(msgspec.Struct, frozen=True, kw_only=True):
    """How a perpetual pays funding."""

    period_s: int = 3600
    """Time between payments, seconds."""
    mean_bps: float = 0.125
    """Average rate of a period, bps; positive when longs pay."""
    deviation_bps: float = 0.25
    """How far the predicted rate wanders from its average: stationary standard deviation, bps."""


class Funding:
    """The predicted rate and its schedule. `next_ns` is when something is published or paid; `step` says which."""

    __slots__ = ("_last_ns", "_mean", "_noise_scale", "_period_ns", "_rng", "due_ns", "next_ns", "rate_e12")

    def __init__(self, terms: FundingTerms, rng: Rng) -> None:
        self._rng = rng
        self._period_ns = terms.period_s * _NS_PER_S
        self._mean = terms.mean_bps * _RATE_PER_BP
        self._noise_scale = terms.deviation_bps * _RATE_PER_BP
        self.rate_e12 = round(self._mean + self._noise_scale * rng.normal())
        self._last_ns = self.due_ns = self.next_ns = 0

    @property
    def period_ns(self) -> int:
        return self._period_ns

    def open(self, now_ns: int) -> None:
        """Publish at once; the first payment is at the next full period."""
        self._last_ns = self.next_ns = now_ns
        self.due_ns = (now_ns // self._period_ns + 1) * self._period_ns

    def step(self, now_ns: int) -> bool:
        """Whether a payment at `rate_e12` is due now; otherwise the rate has moved and is to be published.

        A payment is followed by a publication at the same instant, with the next period's date.
        """
        if now_ns >= self.due_ns:
            self.due_ns += self._period_ns
            return True
        elapsed_s = (now_ns - self._last_ns) / _NS_PER_S
        keep = math.exp(-elapsed_s / _MEMORY_S)
        noise = self._noise_scale * math.sqrt(1.0 - keep * keep) * self._rng.normal()
        self.rate_e12 = round(self._mean + keep * (self.rate_e12 - self._mean) + noise)
        self._last_ns = now_ns
        self.next_ns = min(now_ns + _UPDATE_NS, self.due_ns)
        return False


def funding_atto(lots: int, mark_half_ticks: int, tick_atto: int, rate_e12: int) -> int:
    """What a position of signed lots receives (negative: pays): longs pay a positive rate; a rest below one atto is
    rounded against us. `tick_atto` is the worth of one tick on one lot.
    """
    return -lots * mark_half_ticks * tick_atto * rate_e12 // (2 * RATE_ONE)
