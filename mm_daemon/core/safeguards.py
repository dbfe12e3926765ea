"""What makes the core distrust itself or a venue: storms of rejects, contradictions, runaway positions, skewed clocks.

`Safeguards` only counts and judges; the core sets the kill latch or the halt (EXECUTION 5, R14). Times are the core's
nanoseconds.
"""

from collections import deque
from collections.abc import Mapping

from mm_daemon.core.market import MarketState
from mm_daemon.core.parameters import CoreParameters
from mm_daemon.domain.events import VenueTime
from mm_daemon.domain.instrument import Venue
from mm_daemon.domain.orders import RejectKind

_MINUTE_NS = 60_000_000_000
_HOUR_NS = 60 * _MINUTE_NS
_NS_PER_MS = 1_000_000
_ORDINARY = frozenset({RejectKind.POST_ONLY_CROSS, RejectKind.GONE, RejectKind.FILLED, RejectKind.RATE_LIMITED})
"""Rejects that a market in motion, or a rate limit, explains: each has its own answer."""


class _Recent:
    """When something happened, as long as it counts; more than `limit` of them are too many."""

    __slots__ = ("_span_ns", "_times", "limit")

    def __init__(self, span_ns: int) -> None:
        self.limit: int | None = None
        self._span_ns = span_ns
        self._times: deque[int] = deque()

    def too_many(self, now_ns: int) -> int:
        """One more happened: how many there are, if that is more than allowed, else 0."""
        if self.limit is None:
            return 0
        times = self._times
        times.append(now_ns)
        while times[0] <= now_ns - self._span_ns:
            times.popleft()
        return len(times) if len(times) > self.limit else 0

    def forget(self) -> None:
        self._times.clear()


class _ClockSkew:
    """How far a venue's clock is from ours, and whether that has been too far several times running."""

    __slots__ = ("_other", "skew_ns", "skewed")

    def __init__(self) -> None:
        self.skew_ns: int | None = None
        self.skewed = False
        self._other = 0
        """Tellings running that speak for the other state."""

    def see(self, skew_ns: int, limit_ns: int, samples: int) -> bool:
        """Whether `skewed` has changed."""
        self.skew_ns = skew_ns
        if (abs(skew_ns) > limit_ns) is self.skewed:
            self._other = 0
            return False
        self._other += 1
        if self._other < samples:
            return False
        self._other = 0
        self.skewed = not self.skewed
        return True


class Safeguards:
    """Answers are the cause for a latch in words, or None."""

    __slots__ = ("_clocks", "_contradictions", "_rejects", "_samples", "_skew_limit_ns", "_skewed")

    def __init__(self, parameters: CoreParameters) -> None:
        self._rejects = _Recent(_MINUTE_NS)
        self._contradictions = _Recent(_HOUR_NS)
        self.limit(parameters)
        self._skewed: Mapping[Venue, int] = {}
        self._clocks = {
            venue: _ClockSkew() for venue, capabilities in parameters.venues.items() if not capabilities.recorded
        }

    def limit(self, parameters: CoreParameters) -> None:
        """Go by these limits from here on."""
        self._rejects.limit = parameters.account.reject_storm
        self._contradictions.limit = parameters.account.max_contradictions
        limit_ms = parameters.max_clock_skew_ms
        self._skew_limit_ns = None if limit_ms is None else limit_ms * _NS_PER_MS
        self._samples = parameters.clock_skew_samples

    def rejected(self, kind: RejectKind, now_ns: int) -> str | None:
        if kind in _ORDINARY:
            return None
        count = self._rejects.too_many(now_ns)
        return f"reject storm: {count} venue rejects in a minute, the last {kind}" if count else None

    def contradicted(self, now_ns: int) -> str | None:
        count = self._contradictions.too_many(now_ns)
        return f"{count} contradictions in an hour" if count else None

    def overrun(self, market: MarketState, fill_lots: int) -> str | None:
        """A fill took the position further beyond its limit than any one order can explain.

        Limits that are money have no say before there was a price, as when the journal of an earlier life is taken in.
        """
        if market.parameters.money is not None and market.sized_half_ticks is None:
            return None
        limits, lots = market.parameters.limits, market.position.lots
        highest, lowest = limits.max_position_lots, limits.min_position_lots
        beyond = lots - highest if fill_lots > 0 else lowest - lots
        if beyond <= limits.max_order_lots:
            return None
        limit = highest if fill_lots > 0 else lowest
        return f"position {lots} lots of {market.id} is beyond its limit {limit} by more than an order"

    def clear(self) -> None:
        """An operator takes what happened as it is: counting begins anew."""
        self._rejects.forget()
        self._contradictions.forget()

    def venue_time(self, event: VenueTime) -> bool | None:
        """Whether the venue's quotes are to be pulled for its clock (or may go on); None: as before.

        What a telling was on its way is part of its skew. Recordings, and times that are not told, say nothing.
        """
        clock = self._clocks.get(event.venue)
        if clock is None or not event.ts_venue_ns:
            return None
        limit_ns = self._skew_limit_ns
        skew_ns = event.ts_local_ns - event.ts_venue_ns
        if limit_ns is None:
            clock.skew_ns = skew_ns
            return None
        if not clock.see(skew_ns, limit_ns, self._samples):
            return None
        kept = {venue: skew for venue, skew in self._skewed.items() if venue != event.venue}
        self._skewed = {**kept, event.venue: skew_ns} if clock.skewed else kept
        return clock.skewed

    def skewed(self) -> Mapping[Venue, int]:
        """Venues whose quotes are pulled for their clock, with the skew that did it, ns."""
        return self._skewed

    def skews_ns(self) -> Mapping[Venue, int]:
        """Our clock less each venue's, of those that have told it."""
        return {venue: clock.skew_ns for venue, clock in self._clocks.items() if clock.skew_ns is not None}
