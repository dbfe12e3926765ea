"""What a market looked like: a venue with a notebook, and the few statistics that tell a market from noise."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import fmean, stdev, variance
from typing import NamedTuple

from mm_daemon.domain.book import OrderBook
from mm_daemon.domain.decisions import ApprovedCommand
from mm_daemon.domain.events import BookDelta, BookSnapshot, Event, OrderFilled, PublicTrade, VenueSnapshot
from mm_daemon.domain.instrument import InstrumentId
from mm_daemon.domain.orders import ClientOrderId
from mm_daemon.ports.connector import VirtualVenue

_NS_PER_S = 1_000_000_000


class Sample(NamedTuple):
    """Mean of independent observations, and the standard error of that mean."""

    mean: float
    standard_error: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Sample":
        return cls(fmean(values), stdev(values) / math.sqrt(len(values)))

    @property
    def errors_from_zero(self) -> float:
        """Signed distance from zero in standard errors."""
        return self.mean / self.standard_error


def autocorrelation(values: Sequence[float], lag: int) -> float:
    mean = fmean(values)
    off = [value - mean for value in values]
    return sum(a * b for a, b in zip(off, off[lag:], strict=False)) / sum(a * a for a in off)


def kurtosis(values: Sequence[float]) -> float:
    """3 for a normal law, more for heavy tails."""
    return fmean([value**4 for value in values]) / fmean([value * value for value in values]) ** 2


def dispersion(counts: Sequence[int]) -> float:
    """Variance over mean: 1 for a Poisson process, more where arrivals come in bursts."""
    return variance(counts) / fmean(counts)


class Notes:
    """One instrument: its mid at every second, when takers came, the spread at every update, and our fills."""

    def __init__(self) -> None:
        self.book = OrderBook()
        self.mids: list[float] = []
        """Mid in ticks at the end of each second since the opening."""
        self.takers_ns: list[int] = []
        """When somebody took, counted once however many orders were hit."""
        self.spreads_bps: list[float] = []
        self.fills: list[OrderFilled] = []
        self.fill_mids: list[float] = []
        """What the mid was known to be when each of them was made."""
        self.opened_ns = 0

    def hear(self, event: Event) -> None:
        if isinstance(event, BookSnapshot | BookDelta):
            if self.book.trusted:
                self._seconds(event.ts_local_ns)
            else:
                self.opened_ns = event.ts_local_ns
            self.book.apply(event)
            assert self.book.trusted, "a side is empty"
            self.spreads_bps.append((self.book.ask_ticks - self.book.bid_ticks) / self.book.half_ticks * 2e4)
        elif isinstance(event, PublicTrade):
            if not self.takers_ns or self.takers_ns[-1] != event.ts_venue_ns:
                self.takers_ns.append(event.ts_venue_ns)
        elif isinstance(event, OrderFilled):
            self.fills.append(event)
            self.fill_mids.append(self.book.half_ticks / 2)

    def _seconds(self, now_ns: int) -> None:
        while self.opened_ns + (len(self.mids) + 1) * _NS_PER_S < now_ns:
            self.mids.append(self.book.half_ticks / 2)

    def mid_at(self, at_ns: int) -> float:
        """The mid at the end of the second that `at_ns` is in; the last one known for the time after the end."""
        return self.mids[min(max((at_ns - self.opened_ns) // _NS_PER_S, 0), len(self.mids) - 1)]

    def returns(self, step_s: int) -> list[float]:
        sampled = self.mids[::step_s]
        return [math.log(b / a) for a, b in pairwise(sampled)]

    def taker_counts(self, window_s: int) -> list[int]:
        """Takers in each whole window since the opening."""
        counts = [0] * (len(self.mids) // window_s)
        for at_ns in self.takers_ns:
            window = (at_ns - self.opened_ns) // (window_s * _NS_PER_S)
            if window < len(counts):
                counts[window] += 1
        return counts

    def adverse(self, horizon_s: int) -> list[float]:
        """How far the mid has gone against each fill after `horizon_s`, as a fraction of the price (MODELS 7.6)."""
        return [
            fill.side * (mid - self.mid_at(fill.ts_venue_ns + horizon_s * _NS_PER_S)) / fill.ticks
            for fill, mid in zip(self.fills, self.fill_mids, strict=True)
        ]


class WatchedVenue:
    """A `VirtualVenue` that writes down what it says."""

    def __init__(self, venue: VirtualVenue, instruments: Sequence[InstrumentId]) -> None:
        self._venue = venue
        self.notes: Mapping[InstrumentId, Notes] = {instrument: Notes() for instrument in instruments}

    def submit(self, commands: Sequence[ApprovedCommand], now_ns: int) -> None:
        self._venue.submit(commands, now_ns)

    def query(self, client_id: ClientOrderId, now_ns: int) -> None:
        self._venue.query(client_id, now_ns)

    def advance(self, now_ns: int) -> Sequence[Event]:
        events = self._venue.advance(now_ns)
        for event in events:
            instrument = getattr(event, "instrument", None)
            if instrument is not None:
                self.notes[instrument].hear(event)
        return events

    def next_deadline_ns(self) -> int | None:
        return self._venue.next_deadline_ns()

    def snapshot(self, now_ns: int, since_ns: int = 0) -> VenueSnapshot:
        return self._venue.snapshot(now_ns, since_ns)

    def live(self, seconds: int) -> None:
        """Time passes, and nobody of ours is there."""
        for tenth in range(seconds * 10 + 1):
            self.advance(tenth * _NS_PER_S // 10)
