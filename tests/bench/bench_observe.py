"""What the operator's view costs the core loop, turn by turn, and what an answer to `status` or `/metrics` costs.

Medians of the rounds of pytest-benchmark.
"""

import itertools
from pathlib import Path

import pytest

from mm_daemon.core.trading_core import TradingCore
from mm_daemon.domain.decisions import Turn
from mm_daemon.domain.events import Event
from mm_daemon.observability.live_statistics import LiveStatistics
from mm_daemon.observability.metrics import Metrics
from mm_daemon.observability.status import Surroundings
from mm_daemon.observability.status_of import status_of
from mm_daemon.observability.summary import Tally
from mm_daemon.runtime.core_loop import TurnTimes
from mm_daemon.runtime.inbox import Inbox
from mm_daemon.testkit import builders as b
from tests.bench.figures import Figures

pytestmark = pytest.mark.bench

MARKETS = 10


def lived(turns: int = 400) -> tuple[TradingCore, list[Turn]]:
    """Ten markets whose books move, and the turns that came of it."""
    names = [f"S{number:02d}-USDT" for number in range(MARKETS)]
    core = TradingCore(b.core_parameters(*(b.market(b.instrument(name)) for name in names)))
    instruments = list(core.markets)
    opening: list[Event] = [b.connected(1), b.account(1)]
    opening += [b.snapshot(2, 600_000, 600_010, symbol=instrument) for instrument in instruments]
    for event in opening:
        core.apply(event)
    answers = [core.decide(2 * b.MS)]
    for step, instrument in zip(range(turns), itertools.cycle(instruments), strict=False):
        shift = 40 * (step // MARKETS % 7)
        core.apply(b.snapshot(3 + step, 600_000 + shift, 600_010 + shift, update_id=2 + step, symbol=instrument))
        answers.append(core.decide((3 + step) * b.MS))
    return core, answers


def metrics_of(core: TradingCore) -> Metrics:
    return Metrics(
        core,
        LiveStatistics(core.markets, 0).markets,
        now_ns=lambda: 500 * b.MS,
        wall_ns=lambda: 500 * b.MS,
        build=("", ""),
        queues=Inbox(),
        folder=Path("/"),
        bad_messages=dict,
        links=dict,
    )


def test_turns_with_news(benchmark, figures: Figures) -> None:
    """The mean over turns that changed a decision or released a command, ten markets."""
    core, turns = lived()
    busy = [turn for turn in turns if turn.decisions or turn.released]
    metrics, times = metrics_of(core), TurnTimes()

    def observe() -> None:
        for turn in busy:
            metrics.observe(turn, (), times)

    benchmark.pedantic(observe, rounds=20, warmup_rounds=2)
    figures.add("observe.turn.busy", benchmark.stats["median"] / len(busy) * 1e6, "us")
    assert busy


def test_quiet_turns(benchmark, figures: Figures) -> None:
    """A turn that changed nothing costs one observation of the journal's time."""
    core, _ = lived(1)
    metrics, times, quiet = metrics_of(core), TurnTimes(), Turn(5 * b.MS)

    def observe() -> None:
        for _ in range(1000):
            metrics.observe(quiet, (), times)

    benchmark.pedantic(observe, rounds=20, warmup_rounds=2)
    figures.add("observe.turn.quiet", benchmark.stats["median"] * 1e3, "us")


def test_answers(benchmark, figures: Figures) -> None:
    """`status` and `/metrics` for ten markets, built on the event loop."""
    core, _ = lived()
    metrics = metrics_of(core)
    around = Surroundings(version="", mode="", pid=1, config="", journal="", started_ns=0)
    tallies = {instrument: Tally() for instrument in core.markets}
    statistics = LiveStatistics(core.markets, 0).markets

    def both() -> None:
        status_of(core, tallies, statistics, around, 500 * b.MS)
        metrics.text_at_once()

    benchmark.pedantic(both, rounds=20, warmup_rounds=2)
    figures.add("observe.status_and_metrics", benchmark.stats["median"] * 1e3, "ms")
