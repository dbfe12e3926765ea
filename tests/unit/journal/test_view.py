"""Looking into journals: what is listed, chosen, written for people and for programs."""

import csv
import io
from pathlib import Path

import msgspec
import pytest

from mm_daemon.domain.decisions import ApprovedCommand, PlaceOrder, Reason
from mm_daemon.domain.errors import UsageError
from mm_daemon.domain.events import VenueTime
from mm_daemon.domain.instrument import InstrumentId
from mm_daemon.domain.orders import ClientOrderId, Side
from mm_daemon.journal.format import Family
from mm_daemon.journal.log import JournalWriter
from mm_daemon.journal.segments import compress, segments_of
from mm_daemon.journal.view import Selection, choice, line, runs, write_csv, write_jsonl
from tests.approval import approved
from tests.unit.journal.runs import TRADE, Unit, flat, turns, write

PLACE = PlaceOrder(InstrumentId("sim:X"), ClientOrderId(7), Side.BUY, 0, 100, 5, (Reason.NEW_QUOTE,))


def test_runs_are_listed_with_their_ends(tmp_path: Path) -> None:
    """Finished, killed, packed, of one file, without a beginning, damaged: told apart at a glance."""
    units = turns(40)
    write(tmp_path / "a-ended", units, segment_bytes=500).close()
    compress(segments_of(tmp_path / "a-ended")[0].path)
    write(tmp_path / "b-killed", units[:30])
    single = JournalWriter(tmp_path / "c.journal")
    single.append(flat(units))
    single.close()
    write(tmp_path / "d-old", units, segment_bytes=500).close()
    segments_of(tmp_path / "d-old", Family.MARKET)[0].path.unlink()
    write(tmp_path / "e-damaged", units).close()
    path = segments_of(tmp_path / "e-damaged")[0].path
    path.write_bytes(path.read_bytes()[:100] + b"xyz" + path.read_bytes()[103:])
    (tmp_path / "f.opening").mkdir()
    ended, killed, file, old, damaged = runs(tmp_path)
    assert (ended.name, ended.records, ended.ended, ended.whole) == ("a-ended", len(flat(units)), "over", True)
    assert (ended.compressed, ended.problem) == (1, None)
    assert (killed.records, killed.ended) == (len(flat(units[:30])), None)
    assert (file.records, file.ended, file.market_segments) == (len(flat(units)), "over", 0)
    assert not old.whole
    assert damaged.problem is not None
    assert "damaged" in damaged.problem
    assert runs(tmp_path / "absent") == []


def test_records_are_chosen_by_number_time_kind_and_symbol(tmp_path: Path) -> None:
    """Bounds include the first and not the last; a symbol may be named with or without its venue."""
    units = turns(40)
    write(tmp_path / "run", units).close()
    everything = flat(units)

    def chosen(**options: str) -> list[int]:
        return [entry.seq for entry in Selection(tmp_path / "run", choice(**options))]

    assert chosen() == list(range(len(everything)))
    assert chosen(first="5", last="9") == [5, 6, 7, 8]
    of_kind = [seq for seq, record in enumerate(everything) if isinstance(record, VenueTime)]
    assert chosen(kind="venue_time") == of_kind
    prints = [seq for seq, record in enumerate(everything) if record == TRADE]
    assert chosen(symbol="X") == chosen(symbol="sim:X") == chosen(kind="trade") == prints
    late = chosen(first="1970-01-01T00:00:00.020Z", last="1970-01-01T00:00:00.022")
    assert late == chosen(first=str(late[0]), last=str(late[-1] + 1))
    assert len(late) > 3


def test_mistakes_in_options_are_said() -> None:
    """A kind that does not exist, a bound that is neither number nor time."""
    with pytest.raises(UsageError, match="did you mean 'filled'"):
        choice(kind="fill")
    with pytest.raises(UsageError, match="--from yesterday"):
        choice(first="yesterday")


def test_records_in_words_json_and_csv_agree(tmp_path: Path) -> None:
    """Every record has a line, a JSON object and a row with the same number; commands say what they ask for."""
    units: list[Unit] = [*turns(10), [approved(PLACE)]]
    writer = write(tmp_path / "run", units)
    writer.close()
    entries = list(Selection(tmp_path / "run", choice()))
    lines = [line(entry) for entry in entries]
    assert "place sim:X bid 5 at 100 as 7 (new_quote)" in lines[-1]
    jsonl, table = io.StringIO(), io.StringIO()
    assert write_jsonl(entries, jsonl) == write_csv(entries, table) == len(flat(units))
    objects = [msgspec.json.decode(text) for text in jsonl.getvalue().splitlines()]
    rows = list(csv.DictReader(io.StringIO(table.getvalue())))
    assert [o["seq"] for o in objects] == [int(row["seq"]) for row in rows] == [entry.seq for entry in entries]
    assert [o["record"] for o in objects] == [row["record"] for row in rows]
    assert rows[-1]["client_id"] == "7"
    assert isinstance(entries[-1].record, ApprovedCommand)


def test_a_torn_or_damaged_end_is_told_behind_the_records(tmp_path: Path) -> None:
    """What is good is shown, and why it ends."""
    write(tmp_path / "run", turns(20)).close()
    path = segments_of(tmp_path / "run", Family.TRADE)[0].path
    path.write_bytes(path.read_bytes()[:-3])
    selection = Selection(tmp_path / "run", choice())
    assert len(list(selection)) > 30
    assert selection.fault is not None
    assert "torn" in str(selection.fault)
