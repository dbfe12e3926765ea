"""What a turn costs in the journal, quiet and with decisions and a command: in one file and in two families.

Encoding and write(2), as the core loop pays them before anything leaves; CPU time, the best of three runs. What the
journal costs a whole backtest is measured with the backtests.
"""

from collections.abc import Callable
from pathlib import Path
from time import process_time

import pytest

from mm_daemon.domain.codec import Decided, Record
from mm_daemon.domain.decisions import (
    Action,
    AmendOrder,
    Decision,
    DecisionInputs,
    DecisionsChanged,
    QuoteTarget,
    Reason,
)
from mm_daemon.domain.events import BookDelta
from mm_daemon.domain.instrument import InstrumentId
from mm_daemon.domain.orders import ClientOrderId, Side
from mm_daemon.journal.log import JournalWriter
from mm_daemon.journal.run_reader import RunReader
from mm_daemon.journal.run_writer import RunWriter
from tests.approval import approved
from tests.bench.figures import Figures

pytestmark = pytest.mark.bench

SYMBOL = InstrumentId("sim:BTC-USDT")
LEVELS = tuple((600_000 + level, 100 + level) for level in range(8))
DELTA = BookDelta(SYMBOL, 1_723_161_000_000_000_000, 1_723_161_000_000_000_001, LEVELS, LEVELS, 77)
INPUTS = DecisionInputs(600_000.0, 600_001.5, 0.8, 3, 0.3, 600_000.7, 1.7, 0.3, 8.0, 4)
DECISIONS = tuple(
    Decision(side, 0, Action.QUOTE, QuoteTarget(600_000, 100, 600_000.4), (Reason.TOO_PASSIVE,))
    for side in (Side.BUY, Side.SELL)
)
QUIET: list[Record] = [DELTA, Decided(1_723_161_000_000_000_001)]
BUSY: list[Record] = [
    *QUIET,
    DecisionsChanged(SYMBOL, 1_723_161_000_000_000_001, DECISIONS, INPUTS),
    approved(AmendOrder(SYMBOL, ClientOrderId(1_723_161_000_001), 600_000, 100, (Reason.TOO_PASSIVE,))),
]
TURNS = 20_000
RUNS = 3


def us_per_turn(make: Callable[[Path], JournalWriter | RunWriter], records: list[Record], path: Path) -> float:
    writer = make(path)
    began = process_time()
    for _ in range(TURNS):
        writer.append(records)
        writer.flush()
    took = process_time() - began
    writer.close()
    return took / TURNS * 1e6


@pytest.mark.parametrize(("name", "records"), [("quiet", QUIET), ("busy", BUSY)], ids=["quiet", "busy"])
def test_turn(name: str, records: list[Record], tmp_path: Path, figures: Figures) -> None:
    """A backtest's one file, and the two families of a run."""
    one = [us_per_turn(JournalWriter, records, tmp_path / f"file-{run}") for run in range(RUNS)]
    two = [us_per_turn(RunWriter, records, tmp_path / f"run-{run}") for run in range(RUNS)]
    figures.add(f"journal.turn.{name}.one_file", min(one), "us")
    figures.add(f"journal.turn.{name}", min(two), "us")
    began = process_time()
    count = sum(len(frame.records) for frame in RunReader(tmp_path / "run-0"))
    figures.add(f"journal.read.{name}", count / (process_time() - began) / 1e6, "M records/s")
    assert count == TURNS * len(records)
