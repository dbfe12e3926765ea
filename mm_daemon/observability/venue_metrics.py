"""What is counted of the venues rather than of their markets: accounts compared, limits met, links, the switch.

Times are kept on the run's clock and shown on the wall's, which Prometheus compares with its own.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from mm_daemon.domain.decisions import Turn
from mm_daemon.domain.events import Event, RateLimited, VenueSnapshotReceived
from mm_daemon.domain.instrument import Venue
from mm_daemon.domain.reconciliation import DiffKind
from mm_daemon.observability.histogram import SLOW_S, Histogram
from mm_daemon.observability.metric_page import Sink
from mm_daemon.ports.connector import Link

_NS_PER_S = 1e9
_ACCOUNT = "account"
"""The one kind of comparison there is: orders, position and fills of one instant."""
_NO_MISMATCH = {"position_not_compared", "order_dead", "amend_dead"}
"""Nothing could be compared, or what was in doubt is proven."""
_MISMATCHES = tuple(kind for kind in DiffKind if kind.value not in _NO_MISMATCH)


class VenueMetrics:
    def __init__(
        self,
        venues: Iterable[Venue],
        *,
        wall_ns: Callable[[], int],
        bad_messages: Callable[[], Mapping[Venue, Mapping[str, int]]],
        links: Callable[[], Mapping[Venue, Mapping[str, Link]]],
    ) -> None:
        """`bad_messages`: by venue and kind, for the feeds that count them; `links`: by venue and name, for the
        connectors that have some.
        """
        self._wall_ns = wall_ns
        self._bad_messages = bad_messages
        self._links = links
        self._compared = {venue: Histogram(SLOW_S) for venue in venues}
        self._compared_ns: dict[Venue, int] = {}
        self._mismatches = {venue: dict.fromkeys(_MISMATCHES, 0) for venue in self._compared}
        self._throttled: Counter[tuple[Venue, str]] = Counter()
        self.dead_man_ns: Mapping[Venue, int] = {}
        """When each venue cancels all, as its owner keeps it; venues without a switch are not in it."""
        self.dead_man_refresh_s: Mapping[Venue, float] = {}
        """How often it is armed again."""

    def observe(self, turn: Turn, events: Sequence[Event]) -> None:
        """One turn and its order, account, link and control events."""
        for event in events:
            if isinstance(event, VenueSnapshotReceived):
                took_ns = max(0, event.ts_local_ns - event.snapshot.requested_ns)
                self._compared[event.venue].observe(took_ns / _NS_PER_S)
                self._compared_ns[event.venue] = event.ts_local_ns
            elif isinstance(event, RateLimited):
                self._throttled[event.venue, event.bucket or "all"] += 1
        for result in turn.reconciled:
            found = self._mismatches[result.venue]
            for diff in result.diffs:
                if diff.kind in found:
                    found[diff.kind] += 1

    def show(self, page: Sink, now_ns: int) -> None:
        to_wall_ns = self._wall_ns() - now_ns
        for venue, histogram in self._compared.items():
            page.add_histogram("mm_reconcile_seconds", histogram, venue, _ACCOUNT)
        for venue, compared_ns in self._compared_ns.items():
            at_s = (compared_ns + to_wall_ns) / _NS_PER_S
            page.add("mm_reconcile_last_success_timestamp_seconds", at_s, venue, _ACCOUNT)
        for venue, kinds in self._mismatches.items():
            for kind, found in kinds.items():
                page.add("mm_reconcile_mismatches_total", found, venue, kind)
        for (venue, bucket), times in self._throttled.items():
            page.add("mm_throttled_total", times, venue, bucket)
        for venue, deadline_ns in self.dead_man_ns.items():
            page.add("mm_dead_man_deadline_timestamp_seconds", (deadline_ns + to_wall_ns) / _NS_PER_S, venue)
            page.add("mm_dead_man_refresh_seconds", self.dead_man_refresh_s[venue], venue)
        for venue, problems in self._bad_messages().items():
            for problem, count in problems.items():
                page.add("mm_ws_bad_messages_total", count, venue, "market", problem)
        for venue, links in self._links().items():
            for stream, link in links.items():
                page.add("mm_ws_connected", link.connected, venue, stream)
                page.add("mm_ws_messages_total", link.messages, venue, stream)
                for reason, times in link.ends.items():
                    page.add("mm_ws_reconnects_total", times, venue, stream, reason)
