"""A process that plays the USD-M recording, looped, through a whole backtest and tells how much memory it has.

`python -m tests.bench.hour RECORDING HOURS`, alone and without pytest, so that the memory is the engine's own. Prints
`{"events", "samples": [[minutes of market, MiB resident], ...], "amended"}`. Linux only: reads /proc/self/statm.
"""

import json
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

from mm_daemon.backtest.runner import run_backtest
from mm_daemon.backtest.sources import RecordedMarket
from mm_daemon.domain.events import MarketEvent
from mm_daemon.simulation.venue import SimulatedVenue
from mm_daemon.testkit import builders
from tests.bench.feeds import looped
from tests.unit.connectors.binance.frames import BTC

SAMPLE_NS = 60_000_000_000
_STATM = Path("/proc/self/statm")


class WatchedFeed:
    """The looped recording, which looks at the process's memory each minute of market."""

    def __init__(self, recording: Path, hours: float) -> None:
        self._recording, self._hours = recording, hours
        self.samples: list[tuple[int, float]] = []
        self.count = 0

    def events(self) -> Iterator[MarketEvent]:
        due_ns = 0
        for event in looped(self._recording, self._hours):
            if event.ts_local_ns >= due_ns:
                self.samples.append((len(self.samples), resident_mib()))
                due_ns = (due_ns or event.ts_local_ns) + SAMPLE_NS
            self.count += 1
            yield event
        self.samples.append((len(self.samples), resident_mib()))


def resident_mib() -> float:
    return int(_STATM.read_text("ascii").split()[1]) * resource.getpagesize() / (1 << 20)


def main(recording: str, hours: str) -> None:
    feed = WatchedFeed(Path(recording), float(hours))
    parameters = builders.core_parameters(builders.market(BTC, order_lots=10, max_position_lots=50))
    report = run_backtest(parameters, {BTC.venue: RecordedMarket(feed, SimulatedVenue(BTC.venue, [BTC]))})
    told = {"events": feed.count, "samples": feed.samples, "amended": report.orders_amended}
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
