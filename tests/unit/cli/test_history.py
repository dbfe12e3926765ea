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
from mm_daemon.domain.events import OrderFilled
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
    assert execute(["history", "--state-dir", str(traded), "--days", "0"]) == 0
    assert "nothing was traded" in capsys.readouterr().out


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
