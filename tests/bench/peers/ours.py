"""Our own engine on the recording, in the project's environment: `python -m tests.bench.peers.ours CONFIG`.

What stands in the configuration (and in `--set`), played from decoded events in memory, without bookTicker because no
peer is fed it. The CPU time of a run is `run_backtest`: the core, gate, planner, outbox, the simulated venue, P&L, the
report.
"""

import argparse
import tempfile
from pathlib import Path

from mm_daemon.backtest.report import BacktestReport
from mm_daemon.backtest.runner import run_backtest
from mm_daemon.backtest.sources import RecordedMarket, Source
from mm_daemon.backtest.venues import compose
from mm_daemon.cli.options import read_config
from mm_daemon.config.overrides import pairs
from mm_daemon.config.schema import Config
from mm_daemon.domain.events import MarketEvent, OrderFilled, TopOfBook
from mm_daemon.domain.instrument import Venue
from mm_daemon.journal.run_reader import open_journal
from tests.bench.cpu_time import cpu_of
from tests.bench.feeds import InMemory
from tests.bench.peers.outcome import Outcome, Traded

Decoded = dict[Venue, list[MarketEvent]]


def decoded(config: Config) -> Decoded:
    """Depth and trades of every recording, in the order of receipt."""
    return {
        venue: [event for event in source.feed.events() if not isinstance(event, TopOfBook)]
        for venue, source in compose(config)[1].items()
        if isinstance(source, RecordedMarket)
    }


def backtest(config: Config, events: Decoded, journal: Path | None) -> tuple[float, BacktestReport]:
    """(seconds of CPU time, report) of one run on venues that remember nothing."""
    parameters, composed = compose(config)
    sources: dict[Venue, Source] = {
        venue: RecordedMarket(InMemory(events[venue]), source.venue)
        for venue, source in composed.items()
        if isinstance(source, RecordedMarket)
    }
    return cpu_of(lambda: run_backtest(parameters, sources, journal=journal))


def what_was_traded(config: Config, events: Decoded, journal: Path) -> Traded:
    """From the journal of one more run."""
    _, report = backtest(config, events, journal)
    (market,) = report.markets
    lot, tick = (config_of(config, name) for name in ("lot", "tick"))
    with open_journal(journal) as reader:
        records = [record for frame in reader for record in frame.records]
    fills = [
        (fill.ts_local_ns, round(int(fill.side) * fill.lots * lot, 8), round(fill.ticks * tick, 8))
        for fill in records
        if isinstance(fill, OrderFilled)
    ]
    return Traded(float(market.volume), -float(market.pnl.fees), float(market.pnl.total), fills, report.full_decisions)


def config_of(config: Config, name: str) -> float:
    """Lot or tick of the only contract."""
    (contract,) = compose(config)[0].markets
    return float(getattr(contract.instrument, name))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path)
    parser.add_argument("--journal", action="store_true", help="write the journal too, as the verb does by default")
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--traded", action="store_true", help="say what was traded, fill by fill")
    chosen = parser.parse_args()
    config = read_config(chosen.config, overrides=pairs(tuple(chosen.set)))
    decode_s, events = cpu_of(lambda: decoded(config))
    with tempfile.TemporaryDirectory() as folder:
        runs = [
            backtest(config, events, Path(folder, f"{run}.journal") if chosen.journal else None)
            for run in range(chosen.runs)
        ]
        report = runs[0][1]
        traded = what_was_traded(config, events, Path(folder, "traded.journal")) if chosen.traded else Traded()
    Outcome(
        rows=report.rows,
        placed=report.orders_placed,
        moved=report.orders_amended,
        fills=report.fills,
        position=float(report.position or 0),
        cpu_s=[took for took, _ in runs],
        parts_s={"decode": decode_s},
        traded=traded,
    ).print()


if __name__ == "__main__":
    main()
