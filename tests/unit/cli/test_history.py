"""`history` and `export` on what a daemon really left: every fill once, and days that add up to its books."""

import csv
import json
import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from mm_daemon.cli.main import execute
from mm_daemon.domain.checkpoint import PositionBooked
from mm_daemon.domain.decisions import ApprovedCommand, DecisionsChanged, PlaceOrder
from mm_daemon.domain.errors import UsageError
from mm_daemon.domain.events import OrderAccepted, OrderFilled
from mm_daemon.domain.instrument import Venue, instrument_id
from mm_daemon.domain.money import from_pair, to_decimal
from mm_daemon.journal.run_reader import RunReader
from mm_daemon.journal.segments import runs_in
from tests.unit.runtime.test_app import TEXT
from tests.unit.runtime.test_restart import live

QUICK = TEXT.replace("max_position: 0.05}", "max_position: 0.05, k: 3, fill_lockout_ms: 200}")


@pytest.fixture
def traded(tmp_path: Path) -> Path:
    """The state_dir of two lives a day apart, the second of which continues the first."""
    for start_s in (0, 86_400):
        assert live(tmp_path / "state", start_s, 60, text=QUICK)[0] == 0
    assert len(runs_in(tmp_path / "state/journal")) == 2
    return tmp_path / "state"


def records(state_dir: Path) -> list[Any]:
    runs = runs_in(state_dir / "journal")
    return [record for run in runs for frame in RunReader(run) for record in frame.records]


def test_days_add_up_to_the_books(traded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """P&L, fees and position of all days are those of the last booking; fills and sizes those of the venue's keys."""
    assert execute(["history", "--state-dir", str(traded), "--json"]) == 0
    days = json.loads(capsys.readouterr().out)
    kept = records(traded)
    books = {record.instrument: record.state for record in kept if isinstance(record, PositionBooked)}
    fills = {(record.instrument, record.fill_key): record for record in kept if isinstance(record, OrderFilled)}
    assert len(fills) > 5
    assert {day["market"] for day in days} == set(books)
    assert {day["day"] for day in days} == {"2023-11-14", "2023-11-15"}
    for market, state in books.items():
        mine = [day for day in days if day["market"] == market]
        parts = (state.spread, state.inventory, state.fees, state.funding)
        assert sum(Decimal(day["pnl"]) for day in mine) == to_decimal(sum(map(from_pair, parts)))
        assert sum(Decimal(day["of_it_fees"]) for day in mine) == to_decimal(from_pair(state.fees))
        assert sum(day["fills"] for day in mine) == sum(instrument == market for instrument, _ in fills)
        net = sum(Decimal(day["bought"]) - Decimal(day["sold"]) for day in mine)
        assert net == Decimal(mine[-1]["position"])
    assert execute(["history", "--state-dir", str(traded)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + len(days) and "P&L" in lines[0]


def test_counting_begins_where_the_oldest_kept_run_began(traded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without the first run its P&L is not the second's."""
    first, second = runs_in(traded / "journal")
    ended = [r for frame in RunReader(first) for r in frame.records if isinstance(r, PositionBooked)]
    left = {record.instrument: record.state for record in ended}
    for segment in first.iterdir():
        segment.unlink()
    os.rmdir(first)
    assert runs_in(traded / "journal") == [second]
    assert execute(["history", "--state-dir", str(traded), "--json"]) == 0
    days = json.loads(capsys.readouterr().out)
    final = {r.instrument: r.state for r in records(traded) if isinstance(r, PositionBooked)}
    assert days
    for market, state in final.items():
        (mine,) = [day for day in days if day["market"] == market]
        of_it = from_pair(state.fees) - (from_pair(left[market].fees) if market in left else 0)
        assert Decimal(mine["of_it_fees"]) == to_decimal(of_it)


def test_export_has_each_fill_once_with_exact_numbers(traded: Path, tmp_path: Path) -> None:
    """Price times size is the value; nothing is overwritten; one market can be chosen."""
    out = tmp_path / "fills.csv"
    assert execute(["export", str(out), "--state-dir", str(traded)]) == 0
    rows = list(csv.DictReader(out.read_text("utf-8").splitlines()))
    fills = {(r.instrument, r.fill_key): r for r in records(traded) if isinstance(r, OrderFilled)}
    assert {(f"{row['venue']}:{row['symbol']}", row["trade_id"]) for row in rows} == set(fills)
    assert len(rows) == len(fills)
    for row in rows:
        fill = fills[instrument_id(Venue(row["venue"]), row["symbol"]), row["trade_id"]]
        assert Decimal(row["value"]) == Decimal(row["price"]) * Decimal(row["size"])
        assert row["side"] == ("buy" if fill.side > 0 else "sell")
        assert fill.fee is None or Decimal(row["fee"]) == to_decimal(from_pair(fill.fee))
        assert (row["currency"], row["liquidity"]) == ("USDT", "maker" if fill.maker else "taker")
    assert execute(["export", str(out), "--state-dir", str(traded)]) == 64
    one = tmp_path / "one.csv"
    assert execute(["export", str(one), "--state-dir", str(traded), "--symbol", "BTC-USDT"]) == 0
    chosen = list(csv.DictReader(one.read_text("utf-8").splitlines()))
    assert chosen == [row for row in rows if row["symbol"] == "BTC-USDT"]


def test_nothing_kept_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["history", "--state-dir", str(tmp_path)]) == 0
    assert "nothing was traded" in capsys.readouterr().out


@pytest.mark.parametrize("what", ["orders", "decisions", "pnl", "days"])
def test_other_tables_say_what_the_journal_says(what: str, traded: Path, tmp_path: Path) -> None:
    """As many lines as there are records of the kind, in the order of time."""
    out = tmp_path / f"{what}.csv"
    assert execute(["export", str(out), "--what", what, "--state-dir", str(traded)]) == 0
    rows = list(csv.DictReader(out.read_text("utf-8").splitlines()))
    kept = records(traded)
    if what == "orders":
        events = [row["event"] for row in rows]
        placed = [r.command for r in kept if isinstance(r, ApprovedCommand) and isinstance(r.command, PlaceOrder)]
        assert events.count("place") == len(placed)
        assert events.count("accepted") == sum(isinstance(r, OrderAccepted) for r in kept)
        first = next(row for row in rows if row["event"] == "accepted")
        asked = next(row for row in rows if row["client_id"] == first["client_id"])
        assert (asked["event"], asked["side"], asked["price"]) == ("place", first["side"], first["price"])
        assert asked["why"] == "new_quote"
    elif what == "decisions":
        assert len(rows) == sum(len(r.decisions) for r in kept if isinstance(r, DecisionsChanged))
        quoted = next(row for row in rows if row["action"] == "QUOTE")
        assert float(quoted["price"]) < float(quoted["mid"]) or quoted["side"] == "ask"
    elif what == "pnl":
        booked = [r.state for r in kept if isinstance(r, PositionBooked)]
        assert len(rows) == len(booked)
        for row, state in zip(rows, booked, strict=True):
            parts = [Decimal(row[name]) for name in ("spread", "inventory", "fees", "funding")]
            assert sum(parts) == Decimal(row["total"])
            assert Decimal(row["cash"]) == to_decimal(from_pair(state.cash))
    else:
        assert {row["day"] for row in rows} == {"2023-11-14", "2023-11-15"}
    times = [row.get("time") or row["day"] for row in rows]
    assert times == sorted(times)


def test_every_form_of_a_table_holds_the_same(traded: Path, tmp_path: Path) -> None:
    """CSV and JSON lines exactly, Parquet as floats with times that are times."""
    polars = pytest.importorskip("polars")
    for suffix in ("csv", "jsonl", "parquet"):
        assert execute(["export", str(tmp_path / f"fills.{suffix}"), "--state-dir", str(traded)]) == 0
    rows = list(csv.DictReader((tmp_path / "fills.csv").read_text("utf-8").splitlines()))
    lines = [json.loads(line) for line in (tmp_path / "fills.jsonl").read_text("utf-8").splitlines()]
    assert [line["price"] for line in lines] == [row["price"] for row in rows]
    frame = polars.read_parquet(tmp_path / "fills.parquet")
    assert frame["size"].to_list() == [float(row["size"]) for row in rows]
    assert frame["time"].dtype == polars.Datetime("us", "UTC")
    assert execute(["export", str(tmp_path / "fills.xls"), "--state-dir", str(traded)]) == 64


def test_a_span_of_time_is_chosen(traded: Path, tmp_path: Path) -> None:
    """By UTC times, the first included, the last not."""
    out = tmp_path / "late.csv"
    span = ["--since", "2023-11-15", "--until", "2023-11-16T00:00:00+00:00"]
    assert execute(["export", str(out), "--state-dir", str(traded), *span]) == 0
    days = {row["time"][:10] for row in csv.DictReader(out.read_text("utf-8").splitlines())}
    assert days == {"2023-11-15"}
    assert execute(["export", str(tmp_path / "x.csv"), "--state-dir", str(traded), "--since", "then"]) == 64


def test_logs_tell_what_happened_in_words(traded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Fills and runs by themselves, orders and decisions where they are asked for."""
    assert execute(["logs", "--state-dir", str(traded), "--last", "0"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum("starts: " in line for line in lines) == 2
    assert sum("ended (" in line for line in lines) == 2
    fills = [r for r in records(traded) if isinstance(r, OrderFilled)]
    assert sum("bought" in line or "sold" in line for line in lines) == len(fills)
    assert not any("new" in line for line in lines)
    assert execute(["logs", "--state-dir", str(traded), "--only", "orders", "--symbol", "ETH-USDT", "--json"]) == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(told) <= 200
    assert {each["subject"] for each in told} == {"sim:ETH-USDT"}
    assert {each["kind"] for each in told} == {"orders"}
    assert execute(["logs", "--state-dir", str(traded), "--only", "decisions", "--last", "3"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3
    assert execute(["logs", "--state-dir", str(traded), "--since", "1h"]) == 0
    assert "nothing of that" in capsys.readouterr().out


def test_a_run_leaves_its_figures_for_those_without_prometheus(traded: Path) -> None:
    """The names of /metrics, each sample with its labels."""
    left = json.loads((traded / "metrics.json").read_text())
    assert left["time"].startswith("2023-11-15T")
    symbols = {sample["symbol"] for sample in left["metrics"]["mm_position_base"]}
    assert symbols == {"BTC-USDT", "ETH-USDT"}
    assert all(name.startswith(("mm_", "process_", "python_")) for name in left["metrics"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["logs", "--since", "99999999h"], "longer ago than there are dates"),
        (["logs", "--since", "1m", "--until", "2m"], "no time between them"),
        (["logs", "--last=-5"], "--last -5: must be at least 0"),
        (["history", "--days", "0"], "--days 0: must be at least 1"),
        (["history", "--days=-1"], "--days -1: must be at least 1"),
        (["export", "{}/x.csv", "--since", "2h", "--until", "3h"], "no time between them"),
    ],
)
def test_choices_that_can_choose_nothing_are_mistakes(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And no answer that nothing was traded."""
    asked = [argument.format(tmp_path) for argument in arguments]
    assert execute([*asked, "--state-dir", str(tmp_path)]) == UsageError.exit_code
    assert said in capsys.readouterr().err
    assert not (tmp_path / "x.csv").exists()


@pytest.mark.parametrize("verb", [["logs"], ["history"], ["export", "{}/x.csv"]])
def test_a_folder_that_is_not_there_is_no_empty_history(
    verb: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where --state-dir names it."""
    asked = [argument.format(tmp_path) for argument in verb]
    assert execute([*asked, "--state-dir", str(tmp_path / "none")]) == UsageError.exit_code
    assert "there is no such folder" in capsys.readouterr().err
