"""What a new run finds of the one before: the last good word, or a reason to stop."""

from pathlib import Path

import pytest

from mm_daemon.core.trading_core import TradingCore
from mm_daemon.domain.codec import Record
from mm_daemon.domain.errors import JournalError, ReconciliationFailed
from mm_daemon.domain.events import Event, OperatorAction, OperatorRequest, RunEnded, RunStarted
from mm_daemon.domain.orders import Side
from mm_daemon.journal.log import JournalWriter
from mm_daemon.journal.recovery import recover
from mm_daemon.testkit import builders
from tests.unit.core.desk import MS, SYMBOL, Desk


class Run:
    """A core whose turns are journaled, as a run does it."""

    def __init__(self, path: Path, boot: str = "") -> None:
        self.path = path
        self.desk = Desk()
        self.journal = JournalWriter(path)
        self.tell(RunStarted(0, "test", self.desk.core.parameters.to_json(), boot=boot))

    def tell(self, *events: Event) -> None:
        for event in events:
            self.journal.event(event)
        turn = self.desk.feed(*events)
        self.journal.turn(turn)
        self.journal.flush()

    def note(self, record: Record) -> None:
        self.journal.append([record])
        self.journal.flush()

    def open(self) -> None:
        self.tell(builders.connected(), builders.account(), builders.snapshot(0, 600_000, 600_001))


def test_nothing_is_continued_where_nothing_was(tmp_path: Path) -> None:
    """A first run has no past, and neither does one that never got to its first record."""
    assert recover(tmp_path / "none") is None
    (tmp_path / "2026.opening").mkdir()
    assert recover(tmp_path) is None


@pytest.mark.parametrize(
    ("began_in", "boot", "forgotten"),
    [("monday", "monday", False), ("monday", "tuesday", True), ("monday", "", True), ("", "tuesday", True)],
)
def test_a_machine_that_went_down_may_have_forgotten(tmp_path: Path, began_in: str, boot: str, forgotten: bool) -> None:
    """A process that dies loses nothing it has written; a machine may lose its last second. A run that ended has
    waited for the disk."""
    run = Run(tmp_path / "a.journal", boot=began_in)
    run.open()
    left = recover(tmp_path)
    assert left is not None
    assert left.may_have_forgotten(boot) is forgotten
    run.tell(RunEnded(10 * MS, "test", True))
    left = recover(tmp_path)
    assert left is not None
    assert not left.may_have_forgotten(boot)


def test_released_commands_without_an_answer_are_unknown(tmp_path: Path) -> None:
    """Both quotes had left when the run died: they may be alive, and count in full."""
    run = Run(tmp_path / "a.journal")
    run.open()
    left = recover(tmp_path)
    assert left is not None
    assert not left.ended
    core = TradingCore(run.desk.core.parameters, left.checkpoint)
    assert core.ledger.open_orders() == 2
    for side in Side:
        order = core.markets[SYMBOL].working(side)
        assert order is not None
        assert order.phase == "UNKNOWN"
        assert core.ledger.exposure(SYMBOL, side) == 10


def test_last_run_and_its_last_checkpoint_count(tmp_path: Path) -> None:
    """What stands behind the checkpoint is lived again, what stands before it is not needed."""
    Run(tmp_path / "a.journal").open()
    run = Run(tmp_path / "b.journal")
    run.open()
    run.note(run.desk.core.checkpoint())
    run.tell(OperatorRequest(5 * MS, OperatorAction.KILL, "anna"))
    run.tell(RunEnded(6 * MS, "asked", True))
    left = recover(tmp_path)
    assert left is not None
    assert left.run.name == "b.journal"
    assert left.ended
    assert left.checkpoint.gate.latched == "operator anna"
    assert 0 < left.relived < 12


def test_torn_tail_is_cut_and_told(tmp_path: Path) -> None:
    """A half written frame never had an effect."""
    run = Run(tmp_path / "a.journal")
    run.open()
    whole = run.path.read_bytes()
    run.path.write_bytes(whole[:-7])
    left = recover(tmp_path)
    assert left is not None
    assert len(left.cut) == 1
    assert left.checkpoint.ledger.orders == ()
    again = recover(tmp_path)
    assert again is not None
    assert again.cut == ()


def test_damaged_journal_is_not_continued(tmp_path: Path) -> None:
    """Nobody knows what was traded behind the damage: a person has to look."""
    run = Run(tmp_path / "a.journal")
    run.open()
    data = bytearray(run.path.read_bytes())
    data[-3] ^= 0x10
    run.path.write_bytes(data)
    with pytest.raises(JournalError, match=r"a\.journal is damaged"):
        recover(tmp_path)


def test_position_on_another_grid_is_not_taken_over(tmp_path: Path) -> None:
    """Lots of another size are another position; a flat market starts anew."""
    run = Run(tmp_path / "a.journal")
    run.open()
    other = builders.core_parameters(builders.market(builders.instrument(lot="0.01")))
    left = recover(tmp_path)
    assert left is not None
    assert TradingCore(other, left.checkpoint).markets[SYMBOL].position.lots == 0
    run.desk.acknowledge(run.desk.turns[-1], 10)
    run.desk.fill(Side.BUY, 4, 2000)
    with pytest.raises(ReconciliationFailed, match=r"4 lots counted in tick/lot/multiplier 0\.1/0\.001/1"):
        TradingCore(other, run.desk.core.checkpoint())
