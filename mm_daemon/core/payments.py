"""Funding payments that have been booked: each once, by the venue's key.

Owned by `TradingCore`. The newest are remembered; what is forgotten becomes history that the venue may tell again
without its being news.
"""

from collections.abc import Iterable, Mapping

from mm_daemon.domain.checkpoint import SeenKey
from mm_daemon.domain.events import FundingPaid
from mm_daemon.domain.instrument import InstrumentId, Venue, venue_of

_KEPT = 1024


class Payments:
    def __init__(self, history_ns: dict[Venue, int]) -> None:
        """`history_ns`: up to what time of its own a venue's fills and payments are history; the ledger's, shared."""
        self._history_ns = history_ns
        self._seen: dict[tuple[InstrumentId, str], SeenKey] = {}

    def seen(self, event: FundingPaid) -> bool:
        return (event.instrument, event.payment_key) in self._seen

    def note(self, event: FundingPaid) -> None:
        """It is being booked."""
        self._seen[event.instrument, event.payment_key] = SeenKey(
            event.instrument, event.payment_key, event.ts_venue_ns, event.ts_local_ns
        )
        if len(self._seen) > _KEPT:
            oldest = self._seen.pop(next(iter(self._seen)))
            venue = venue_of(oldest.instrument)
            self._history_ns[venue] = max(self._history_ns.get(venue, 0), oldest.ts_venue_ns)

    def state(self, since_ns: Mapping[Venue, int]) -> tuple[SeenKey, ...]:
        """Those that a venue may tell again: from a time of its own on, or all."""
        return tuple(key for key in self._seen.values() if key.ts_venue_ns >= since_ns.get(venue_of(key.instrument), 0))

    def restore(self, keys: Iterable[SeenKey]) -> None:
        self._seen = {(key.instrument, key.key): key for key in keys}
