"""When takers come: each one brings others, most of them on its own side (Hawkes 1971, exponential decay).

The intensity of a side is `base + excitation`; an arrival raises the excitation, which then decays, so that the whole
past is two numbers and an event costs the same however long the history is. Exact simulation is by thinning (Ogata
1981): the intensity as of now bounds that of later, and its owner asks again when the time has come.
"""

import math

from mm_daemon.domain.orders import Side

_SAME_SIDE = 0.75
"""Share of an arrival's followers that are on its own side."""
_NS_PER_S = 1_000_000_000


class Arrivals:
    """The intensities of buying and selling takers, per second."""

    __slots__ = ("_base", "_excitation", "_jump", "_memory_s", "_ns")

    def __init__(self, *, rate: float, followers: float, memory_s: float) -> None:
        """`rate`: takers per second on average, both sides; `followers`: how many others each of them brings on
        average, below 1; `memory_s`: time in which excitation falls to 1/e.
        """
        self._base = 0.5 * rate * (1.0 - followers)
        self._jump = followers / memory_s
        self._memory_s = memory_s
        self._excitation = dict.fromkeys((Side.BUY, Side.SELL), 0.5 * rate * followers)
        self._ns = 0

    def open(self, now_ns: int) -> None:
        self._ns = now_ns

    def advance(self, now_ns: int) -> None:
        decay = math.exp((self._ns - now_ns) / (_NS_PER_S * self._memory_s))
        self._ns = now_ns
        excitation = self._excitation
        excitation[Side.BUY] *= decay
        excitation[Side.SELL] *= decay

    def intensity(self, side: Side, activity: float) -> float:
        """As of the last `advance`; `activity` scales the base."""
        return self._base * activity + self._excitation[side]

    def arrived(self, side: Side) -> None:
        self._excitation[side] += _SAME_SIDE * self._jump
        self._excitation[Side(-side)] += (1.0 - _SAME_SIDE) * self._jump
