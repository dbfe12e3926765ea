"""The `journal` verbs as a person meets them."""

import csv
import json
from pathlib import Path

import pytest

from mm_daemon.cli.main import execute


@pytest.fixture
def journal(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Path:
    """The journal of a short backtest, beside its configuration in the working directory."""
    monkeypatch.chdir(tmp_path)
    assert execute(["init"]) == 0
    assert execute(["backtest", "--duration", "3s", "--journal", "a.journal"]) == 0
    capsys.readouterr()
    return tmp_path / "a.journal"


def test_ls_lists_journals(journal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a folder, or of the configuration's state_dir; in words and as JSON; an empty one is said."""
    assert execute(["journal", "ls", str(journal.parent)]) == 0
    assert "a.journal" in capsys.readouterr().out
    assert execute(["journal", "ls", str(journal.parent), "--json"]) == 0
    (run,) = json.loads(capsys.readouterr().out)
    assert (run["name"], run["problem"]) == ("a.journal", None)
    assert run["records"] > 50
    assert execute(["journal", "ls"]) == 0
    assert "no journals in var" in capsys.readouterr().out


def test_show_prints_the_chosen_records(journal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By kind and symbol, in words and as JSON lines; an unknown kind is a mistake of usage."""
    assert execute(["journal", "show", str(journal), "--kind", "approved", "--symbol", "BTC-USDT"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines
    assert all("sim:BTC-USDT" in line for line in lines)
    assert execute(["journal", "show", str(journal), "--from", "0", "--to", "3", "--json"]) == 0
    shown = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [record["seq"] for record in shown] == [0, 1, 2]
    assert shown[0]["record"] == "run_started"
    assert execute(["journal", "show", str(journal), "--kind", "aproved"]) == 64
    assert "did you mean 'approved'" in capsys.readouterr().err


def test_export_writes_a_new_file_of_the_named_form(journal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """JSON lines or CSV by the name's end; nothing is overwritten, other forms are refused."""
    assert execute(["journal", "export", str(journal), "--out", "x.jsonl"]) == 0
    assert execute(["journal", "export", str(journal), "--out", "x.csv"]) == 0
    with Path("x.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    objects = [json.loads(line) for line in Path("x.jsonl").read_text().splitlines()]
    assert [row["record"] for row in rows] == [shown["record"] for shown in objects]
    assert f"{len(rows)} records" in capsys.readouterr().out
    assert execute(["journal", "export", str(journal), "--out", "x.csv"]) == 64
    assert execute(["journal", "export", str(journal), "--out", "x.parquet"]) == 64
    assert "must end in .jsonl or .csv" in capsys.readouterr().err


def test_verify_is_replay_verify_and_damage_is_74(journal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A whole journal is ok; a flipped byte is damage to `verify` and to `show` alike."""
    assert execute(["journal", "verify", str(journal)]) == 0
    assert "ok" in capsys.readouterr().out
    data = bytearray(journal.read_bytes())
    data[len(data) // 2] ^= 0x20
    journal.write_bytes(data)
    assert execute(["journal", "verify", str(journal), "--json"]) == 74
    assert json.loads(capsys.readouterr().out)["fault"]["kind"] == "damaged"
    assert execute(["journal", "show", str(journal)]) == 74
    assert "damaged at byte" in capsys.readouterr().err
    assert execute(["journal", "verify", "absent"]) == 74
