"""Market data as if they had taken another time to reach us: a constant, a draw, or what was measured.

A recording knows when each event was received; where its own way was another than ours will be, its events are told
again at their venue time plus a latency of the policy. An event without a venue time keeps the time it has; time never
steps back.
"""

from collections.abc import Iterator

from msgspec.structs import replace

from mm_daemon.backtest.feeds.retold import RetoldFeed
from mm_daemon.domain.events import MarketEvent
from mm_daemon.domain.instrument import Venue
from mm_daemon.domain.rng import Rng
from mm_daemon.ports.connector import RecordedFeed
from mm_daemon.simulation.models import FeedClock, LatencyModel, latency_model
from mm_daemon.simulation.policy import VenuePolicy


def feed_latency(policy: VenuePolicy, venue: Venue) -> LatencyModel | None:
    """The latency that is assumed; None: as recorded."""
    rows = [(row.time_ns, row.feed_ns) for row in policy.latency_rows if row.feed_ns is not None]
    if not rows and not policy.feed_samples_ms and policy.feed_latency_ms is None:
        return None
    rng = Rng(policy.seed).split(venue).split("feed")
    return latency_model(policy.feed_latency_ms or 0.0, policy.feed_samples_ms, rng, rows)


class DelayedFeed(RetoldFeed):
    """A feed whose events are received when the latency model says. `floor_ns`: what was least in the recording."""

    def __init__(self, feed: RecordedFeed, latency: LatencyModel, floor_ns: int) -> None:
        super().__init__(feed)
        self._latency = latency
        self._floor_ns = floor_ns

    def events(self) -> Iterator[MarketEvent]:
        """All of them, in the order of the recording."""
        clock, draw, last_ns = FeedClock(self._floor_ns), self._latency.draw, 0
        for event in self._feed.events():
            happened_ns = clock.observe(event.ts_venue_ns, event.ts_local_ns)
            at_ns = happened_ns + draw(happened_ns) if happened_ns else event.ts_local_ns
            last_ns = max(last_ns, at_ns)
            yield replace(event, ts_local_ns=last_ns)
