"""Replay: what was journaled is what the core does, and any other journal is found out."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from mm_daemon.backtest.replay import verify
from mm_daemon.backtest.runner import run_backtest
from mm_daemon.backtest.sources import RecordedMarket
from mm_daemon.core.parameters import CoreParameters
from mm_daemon.core.trading_core import TradingCore
from mm_daemon.domain.checkpoint import Checkpoint
from mm_daemon.domain.codec import Decided, Record
from mm_daemon.domain.decisions import AmendOrder, ApprovedCommand, DecisionsChanged, PlaceOrder
from mm_daemon.domain.errors import JournalError
from mm_daemon.domain.events import BookDelta, DeadlineReached, Event, RunStarted
from mm_daemon.engine.parameters import QuoteParameters
from mm_daemon.journal.format import Family, FaultKind
from mm_daemon.journal.log import JournalReader, JournalWriter
from mm_daemon.journal.run_writer import RunWriter
from mm_daemon.journal.segments import compress, segments_of
from mm_daemon.testkit.builders import VENUE, core_parameters, market
from tests.unit.backtest.doubles import ListFeed, ObedientVenue, tape


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    path = tmp_path / "run.journal"
    run_backtest(
        core_parameters(),
        {VENUE: RecordedMarket(ListFeed(list(tape(30))), ObedientVenue())},
        journal=path,
    )
    return path


def rewritten(journal: Path, change: Callable[[Record], Iterable[Record]]) -> Path:
    """The same journal, with intact frames, after `change` has replaced each record by none, one or several."""
    path = journal.with_name("rewritten")
    writer = JournalWriter(path)
    with JournalReader(journal) as reader:
        for frame in reader:
            writer.append([new for record in frame.records for new in change(record)])
    writer.close()
    return path


def test_a_whole_journal_is_equal(journal: Path) -> None:
    """Every decision and command of a good journal is met again."""
    report = verify(journal)
    assert report.ok, report.to_text()
    assert report.compared.decisions > 10
    assert report.compared.commands > 10
    assert report.ended == "the data ends here"
    assert report.good_bytes == report.size_bytes
    assert "ok" in report.to_text()


def test_a_torn_tail_is_named_and_the_rest_verified(journal: Path) -> None:
    """A journal cut by a sudden death is good as far as it goes, and says where that is."""
    data = journal.read_bytes()
    journal.write_bytes(data[: len(data) * 2 // 3])
    report = verify(journal)
    assert report.ok, report.to_text()
    assert report.ended is None
    assert report.compared.commands > 5
    assert report.fault is None or report.fault.kind is FaultKind.TORN
    journal.write_bytes(data[: len(data) * 2 // 3 - 1])
    assert verify(journal).fault is not None or report.fault is not None


def test_a_flipped_byte_is_not_ok_and_named(journal: Path) -> None:
    """Damage spoils the verdict; the part before it is still compared and the place is in the text."""
    data = bytearray(journal.read_bytes())
    for position in range(0, len(data), len(data) // 40):
        changed = data.copy()
        changed[position] ^= 0x40
        journal.write_bytes(changed)
        report = verify(journal)
        assert not report.ok
        assert report.fault is not None
        assert report.fault.kind is FaultKind.DAMAGED
        assert report.fault.offset <= position
        assert f"damaged at byte {report.fault.offset}" in report.to_text()


def test_another_command_is_the_first_difference(journal: Path) -> None:
    """A price changed in the record is found, with both sides, its number and the events before it."""
    seen: list[Record] = []

    def dearer(record: Record) -> list[Record]:
        if isinstance(record, ApprovedCommand) and isinstance(record.command, PlaceOrder | AmendOrder):
            seen.append(record)
            if len(seen) == 3:
                moved = msgspec.structs.replace(record.command, ticks=record.command.ticks + 1)
                return [msgspec.structs.replace(record, command=moved)]
        return [record]

    report = verify(rewritten(journal, dearer))
    assert not report.ok
    assert report.difference is not None
    journaled, replayed = report.difference.journaled, report.difference.replayed
    assert isinstance(journaled, dict)
    assert isinstance(replayed, dict)
    assert journaled["command"]["ticks"] == replayed["command"]["ticks"] + 1
    assert report.difference.events
    assert report.compared.commands >= 2
    assert f"record {report.difference.seq}, frame at byte {report.difference.offset}" in report.to_text()
    assert msgspec.json.decode(report.to_json())["difference"]["seq"] == report.difference.seq


def test_a_lost_answer_is_found(journal: Path) -> None:
    """A decision missing from the record is a difference, whatever follows it."""
    dropped: list[Record] = []

    def lossy(record: Record) -> list[Record]:
        if isinstance(record, DecisionsChanged) and len(dropped) < 2:
            dropped.append(record)
            return [] if len(dropped) == 2 else [record]
        return [record]

    report = verify(rewritten(journal, lossy))
    assert not report.ok
    assert report.difference is not None


def test_an_invented_answer_is_found(journal: Path) -> None:
    """A command that the core never gave is a difference too."""
    done: list[Record] = []

    def twice(record: Record) -> list[Record]:
        if isinstance(record, ApprovedCommand) and not done:
            done.append(record)
            return [record, record]
        return [record]

    report = verify(rewritten(journal, twice))
    assert report.difference is not None
    assert report.difference.replayed is None or report.difference.journaled != report.difference.replayed


def test_another_market_gives_another_history(journal: Path) -> None:
    """Inputs are what decisions rest on: a book moved in the record leads to a difference with its inputs."""
    count = 0

    def moved(record: Record) -> list[Record]:
        nonlocal count
        if isinstance(record, BookDelta):
            count += 1
            if count > 50:
                shifted = [(ticks + 100, lots) for ticks, lots in record.asks]
                gone = [(ticks, 0) for ticks, _ in record.asks]
                return [msgspec.structs.replace(record, asks=tuple(gone + shifted))]
        return [record]

    report = verify(rewritten(journal, moved))
    assert report.difference is not None
    assert report.difference.inputs is not None


def test_a_journal_of_no_run_is_not_ok(tmp_path: Path) -> None:
    """Nothing to verify is not a pass; events before the start of a run are a difference."""
    empty = JournalWriter(tmp_path / "empty")
    empty.close()
    nothing = verify(tmp_path / "empty")
    assert not nothing.ok
    assert "ends before its first record" in nothing.to_text()
    headless = JournalWriter(tmp_path / "headless")
    headless.append([DeadlineReached(1), Decided(1)])
    headless.close()
    report = verify(tmp_path / "headless")
    assert not report.ok
    assert report.difference is not None
    assert "RunStarted" in report.difference.what


def test_parameters_of_another_version_are_named(tmp_path: Path) -> None:
    """A start that this version cannot build a core from is a difference, not a crash."""
    writer = JournalWriter(tmp_path / "j")
    writer.append([RunStarted(0, "9", '{"unknown": 1}'), Decided(0)])
    writer.close()
    report = verify(tmp_path / "j")
    assert not report.ok
    assert report.difference is not None
    assert "parameters" in report.difference.what


def test_no_file_is_a_journal_error(tmp_path: Path) -> None:
    """A path that leads nowhere is said plainly."""
    with pytest.raises(JournalError, match="cannot be read"):
        verify(tmp_path / "absent")


def as_run(journal: Path, *, segment_bytes: int = 1 << 30) -> Path:
    """The same records as a run's folder: two families, in segments."""
    folder = journal.with_name("run")
    writer = RunWriter(folder, segment_bytes=segment_bytes)
    with JournalReader(journal) as reader:
        for frame in reader:
            writer.append(frame.records)
            writer.flush()
    writer.close()
    return folder


def test_a_runs_folder_is_compared_like_one_file(journal: Path) -> None:
    """Over rotated and compressed segments of both families the same answers are met again."""
    folder = as_run(journal, segment_bytes=2000)
    segments = segments_of(folder)
    assert len(segments) > 6
    for segment in segments[::2]:
        compress(segment.path)
    report, single = verify(folder), verify(journal)
    assert report.ok, report.to_text()
    assert report.compared == single.compared
    assert (report.records, report.ended) == (single.records, single.ended)
    assert report.good_bytes == report.size_bytes


def test_a_half_written_turn_is_a_torn_tail(journal: Path) -> None:
    """Wherever the trade family was cut by a sudden death, the turns before are compared and the verdict is ok."""
    folder = as_run(journal)
    trade = segments_of(folder, Family.TRADE)[0].path
    whole = trade.read_bytes()
    for size in range(len(whole) // 2, len(whole), len(whole) // 23):
        trade.write_bytes(whole[:size])
        report = verify(folder)
        assert report.ok, report.to_text()
        assert report.fault is not None
        assert trade.name in report.to_text()
        assert report.compared.commands > 3


def test_a_flipped_byte_names_the_segment(journal: Path) -> None:
    """In either family, packed or plain."""
    folder = as_run(journal, segment_bytes=2000)
    compress(segments_of(folder)[1].path)
    for segment in segments_of(folder):
        data = bytearray(segment.path.read_bytes())
        data[len(data) // 2] ^= 0x04
        whole = segment.path.read_bytes()
        segment.path.write_bytes(data)
        report = verify(folder)
        assert not report.ok
        assert report.fault is not None
        assert (report.fault.kind, report.fault.file) == (FaultKind.DAMAGED, segment.path.name)
        assert f"{segment.path.name}: damaged at byte" in report.to_text()
        segment.path.write_bytes(whole)


def test_a_difference_names_the_segment(journal: Path) -> None:
    """Where journal and replay part, the file is told with the number."""
    folder = as_run(rewritten(journal, lambda record: [] if isinstance(record, DecisionsChanged) else [record]))
    report = verify(folder)
    assert report.difference is not None
    assert report.difference.file == "trade-000001.mmj"
    assert "of trade-000001.mmj" in report.to_text()


def test_what_cannot_be_compared_is_said(journal: Path) -> None:
    """Where market data were deleted, or one segment is named, bytes are checked and the rest is not claimed."""
    folder = as_run(journal, segment_bytes=2000)
    one = segments_of(folder, Family.TRADE)[0].path
    assert "name the run's folder" in verify(one).to_text()
    market = segments_of(folder, Family.MARKET)
    market[0].path.unlink()
    report = verify(folder)
    assert report.ok
    assert report.compared.decisions == 0
    assert "NOT COMPARED: segments before record" in report.to_text()
    data = bytearray(market[-1].path.read_bytes())
    data[-1] ^= 1
    market[-1].path.write_bytes(data)
    assert not verify(folder).ok
    for segment in market[1:]:
        segment.path.unlink()
    report = verify(folder)
    assert report.ok
    assert "market segments were deleted" in report.to_text()


@pytest.mark.parametrize(
    "quoting",
    [
        QuoteParameters(),
        QuoteParameters(calibration="market"),
        QuoteParameters(size_impact_bps=1.0, volatility_estimator="two_scale"),
    ],
)
def test_checkpoints_are_compared(tmp_path: Path, quoting: QuoteParameters) -> None:
    """What a core would remember is what was written down, to the last field; what estimators have learned too."""
    journal = tmp_path / "learned"
    source = RecordedMarket(ListFeed(list(tape(30))), ObedientVenue())
    run_backtest(core_parameters(market(quoting=quoting)), {VENUE: source}, journal=journal)
    with JournalReader(journal) as reader:
        records = [record for frame in reader for record in frame.records]
    started = records[0]
    assert isinstance(started, RunStarted)
    core = TradingCore(CoreParameters.from_json(started.parameters))
    for record in records:
        if isinstance(record, Decided):
            core.decide(record.now_ns)
        elif isinstance(record, get_args(Event)):
            core.apply(record)
    checkpoint = core.checkpoint()

    def with_end(last: Checkpoint) -> Callable[[Record], Iterable[Record]]:
        return lambda record: [record, last] if record is not started and record == records[-1] else [record]

    report = verify(rewritten(journal, with_end(checkpoint)))
    assert report.ok, report.to_text()
    assert report.compared.checkpoints >= 1
    other = msgspec.structs.replace(checkpoint, next_client_id=checkpoint.next_client_id + 1)
    journal.with_name("rewritten").unlink()
    report = verify(rewritten(journal, with_end(other)))
    assert report.difference is not None
    assert "Checkpoint differs" in report.difference.what
