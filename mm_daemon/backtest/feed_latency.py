"""Market data as if they had taken another time to reach us: a constant, a draw, or what was measured.

A recording knows when each event was received; where its own way was another than ours will be, its events are told
again at their venue time plus a latency of the policy. An event without a venue time keeps the time it has; time never
steps back.
"""

from collections.abc import Iterator, Mapping, Sequence

from msgspec.structs import replace

from mm_daemon.domain.events import MarketEvent
from mm_daemon.domain.instrument import Instrument, Venue
from mm_daemon.domain.rng import Rng
from mm_daemon.ports.connector import CountsProblems, KnowsItsLength, NotesDamage, RecordedFeed
from mm_daemon.simulation.models import FeedClock, LatencyModel, latency_model
from mm_daemon.simulation.policy import VenuePolicy


def feed_latency(policy: VenuePolicy, venue: Venue) -> LatencyModel | None:
    """The latency that is assumed; None: as recorded."""
    rows = [(row.time_ns, row.feed_ns) for row in policy.latency_rows if row.feed_ns is not None]
    if not rows and not policy.feed_samples_ms and policy.feed_latency_ms is None:
        return None
    rng = Rng(policy.seed).split(venue).split("feed")
    return latency_model(policy.feed_latency_ms or 0.0, policy.feed_samples_ms, rng, rows)


class DelayedFeed:
    """A feed whose events are received when the latency model says. `floor_ns`: what was least in the recording."""

    def __init__(self, feed: RecordedFeed, latency: LatencyModel, floor_ns: int) -> None:
        self._feed = feed
        self._latency = latency
        self._floor_ns = floor_ns

    def instruments(self) -> Sequence[Instrument]:
        return self._feed.instruments()

    @property
    def frames(self) -> int | None:
        return getattr(self._feed, "frames", None)

    @property
    def problems(self) -> Mapping[str, int]:
        return self._feed.problems if isinstance(self._feed, CountsProblems) else {}

    @property
    def notes(self) -> Sequence[str]:
        return self._feed.notes if isinstance(self._feed, NotesDamage) else ()

    @property
    def bytes_read(self) -> int:
        return self._feed.bytes_read if isinstance(self._feed, KnowsItsLength) else 0

    @property
    def bytes_total(self) -> int:
        return self._feed.bytes_total if isinstance(self._feed, KnowsItsLength) else 0

    def events(self) -> Iterator[MarketEvent]:
        """All of them, in the order of the recording."""
        clock, draw, last_ns = FeedClock(self._floor_ns), self._latency.draw, 0
        for event in self._feed.events():
            happened_ns = clock.observe(event.ts_venue_ns, event.ts_local_ns)
            at_ns = happened_ns + draw(happened_ns) if happened_ns else event.ts_local_ns
            last_ns = max(last_ns, at_ns)
            yield replace(event, ts_local_ns=last_ns)
