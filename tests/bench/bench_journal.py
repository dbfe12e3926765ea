"""What a turn costs in the journal, quiet and with decisions and a command: in one file and in two families."""

from pathlib import Path
from time import perf_counter
from typing import Any

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


def us_per_turn(writer: JournalWriter | RunWriter, records: list[Record]) -> float:
    began = perf_counter()
    for _ in range(TURNS):
        writer.append(records)
        writer.flush()
    took = perf_counter() - began
    writer.close()
    return took / TURNS * 1e6


@pytest.mark.parametrize("records", [QUIET, BUSY], ids=["quiet", "busy"])
def test_turn(records: list[Record], tmp_path: Path, benchmark: Any) -> None:
    """Encoding and write(2), as the core loop pays them before anything leaves."""
    one = min(us_per_turn(JournalWriter(tmp_path / f"file-{run}"), records) for run in range(3))
    two = min(us_per_turn(RunWriter(tmp_path / f"run-{run}"), records) for run in range(3))
    began = perf_counter()
    count = sum(len(frame.records) for frame in RunReader(tmp_path / "run-0"))
    rate = count / (perf_counter() - began)
    print(f"\none file {one:.2f} us a turn, two families {two:.2f} us a turn; read back {rate / 1e6:.2f} M records/s")
    benchmark.pedantic(us_per_turn, args=(RunWriter(tmp_path / "again"), records), rounds=1)
