"""Several backtests as one: days, files and single markets, each from flat, the same on any number of processes."""

import gzip
import json
from collections.abc import Iterator
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from mm_daemon.backtest.days import day_tasks, days_between, file_tasks, journals, market_tasks
from mm_daemon.backtest.parts import play_parts
from mm_daemon.backtest.replay import verify
from mm_daemon.backtest.report import BacktestReport
from mm_daemon.backtest.tasks import BacktestTask, run_task
from mm_daemon.cli.main import execute
from mm_daemon.domain.errors import ConfigError, UsageError
from mm_daemon.domain.events import MarketEvent
from mm_daemon.journal.log import JournalReader
from tests.shared import shared_file

_DAY_NS = 86_400_000_000_000

USDM = """
version: 1
state_dir: "{folder}/var"
venues:
  usdm:
    connector: recorded
    path: "{folder}/usdm-{{day}}.gz"
    translator: binance-usdm
    instruments:
      BTCUSDT: {{base: BTC, quote: USDT, tick: 0.1, lot: 0.001, min_notional: 100, maker_fee_bps: 2, taker_fee_bps: 5}}
"""
SPOT = """\
  spot:
    connector: recorded
    path: "{folder}/spot-{{day}}.gz"
    translator: binance-spot
    instruments:
      BTCUSDT: {{base: BTC, quote: USDT, tick: 0.01, lot: 0.00001, min_notional: 5, maker_fee_bps: 1, taker_fee_bps: 1}}
"""
MARKETS = """
markets:
  - {venue: usdm, symbol: BTCUSDT, order_size: 0.01, max_position: 0.05, k: 3, fees_in_model: false}
"""


def lines(name: str, count: int) -> list[bytes]:
    with gzip.open(shared_file(f"data/{name}")) as file:
        return [line for _, line in zip(range(count), file, strict=False)]


def later(recorded: list[bytes], days: int) -> Iterator[bytes]:
    """The same, received so many days later."""
    for line in recorded:
        stamp, _, frame = line.partition(b" ")
        yield b"%d %s" % (int(stamp) + days * _DAY_NS, frame)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three days of the USD-M recording's beginning, two of them of unequal length, and one of the spot recording's."""
    path = tmp_path_factory.mktemp("days")
    usdm = lines("binance-usdm-btcusdt-20240808.gz", 6_000)
    for days, count in ((0, 6_000), (1, 4_000), (3, 5_000)):
        (path / f"usdm-2024-08-{8 + days:02}.gz").write_bytes(gzip.compress(b"".join(later(usdm[:count], days)), 1))
    spot = lines("binance-spot-btcusdt-20240808.gz", 3_000)
    (path / "spot-2024-08-08.gz").write_bytes(gzip.compress(b"".join(spot), 1))
    return path


def task(folder: Path, text: str = USDM + MARKETS) -> BacktestTask:
    head, markets, rest = text.partition("\nmarkets:")
    config = head.format(folder=folder) + markets + rest
    return BacktestTask(name="", config=config, file="config.yaml")


def reports(folder: Path, days: str) -> list[BacktestReport]:
    """Of days that each have a recording."""
    return [run_task(one) for one in day_tasks(task(folder), days_between(days))]


def test_days_are_the_same_for_any_number_of_processes(folder: Path) -> None:
    """Byte for byte, a missing day and its reason among them; each day is what it is when it is played alone."""
    tasks = day_tasks(task(folder), days_between("2024-08-08..2024-08-11"))
    played = [play_parts(tasks, workers=workers) for workers in (1, 3)]
    assert len({combined.to_json() for combined in played}) == 1
    (first, *_) = played
    assert [part.name for part in first.parts] == [f"2024-08-{day:02}" for day in (8, 9, 10, 11)]
    alone = [run_task(tasks[index]) for index in (0, 1, 3)]
    assert [part.report for part in first.parts] == [alone[0], alone[1], None, alone[2]]
    assert first.parts[2].failure is not None
    assert "usdm-2024-08-10.gz" in first.parts[2].failure
    assert first.exit_code == ConfigError.exit_code
    assert "FAILED    2024-08-10: recording" in first.to_text()
    assert all(report.fills for report in alone)


def test_totals_are_the_exact_sums_of_the_days(folder: Path) -> None:
    """Read as decimals from the JSON, to the last digit."""
    tasks = day_tasks(task(folder), days_between("2024-08-08..2024-08-09"))
    said = json.loads(play_parts(tasks, workers=1).to_json(), parse_float=Decimal, parse_int=Decimal)
    days = [part["report"] for part in said["parts"]]
    (total,) = said["totals"]
    for name in ("total", "spread", "inventory", "fees", "funding"):
        assert total["pnl"][name] == sum(day["pnl"][name] for day in days)
    for name in ("fills", "orders_placed", "decisions", "volume"):
        assert total[name] == sum(day[name] for day in days)
    assert total["best"] == max(day["pnl"]["total"] for day in days)
    assert total["parts"] == 2
    assert said["markets"][0]["market"] == "usdm:BTCUSDT"
    assert {**said["markets"][0], "market": None} == total


def test_a_day_is_cut_out_of_a_recording_of_several(folder: Path) -> None:
    """A recording over midnight is two days: the second opens with the book of its midnight and starts flat, and both
    together saw what one run over the midnight sees.
    """
    recorded = lines("binance-usdm-btcusdt-20240808.gz", 6_000)
    midnight_ns = 1_723_161_600_000_000_000
    ahead_ns = midnight_ns - int(recorded[4_000].partition(b" ")[0])
    moved = (line.partition(b" ") for line in recorded)
    text = b"".join(b"%d %s" % (int(stamp) + ahead_ns, frame) for stamp, _, frame in moved)
    (folder / "midnight.gz").write_bytes(gzip.compress(text, 1))
    one = task(folder, (USDM + MARKETS).replace("usdm-{{day}}.gz", "midnight.gz"))
    first, second = (run_task(part) for part in day_tasks(one, days_between("2024-08-08..2024-08-09")))
    whole = run_task(one)
    assert second.start_ns == midnight_ns, "the book is known from the day before"
    assert first.markets[0].final_mid == second.markets[0].start_mid
    assert second.markets[0].final_mid == whole.markets[0].final_mid
    assert first.rows < whole.rows < first.rows + second.rows, "the second day's opening snapshot is told twice"
    assert first.fills
    assert second.orders_placed


def test_files_stand_for_the_recording_of_the_configuration(folder: Path) -> None:
    """Each is a part named like the file; what it needs of a path with a day is a day."""
    paths = [folder / "usdm-2024-08-08.gz", folder / "usdm-2024-08-09.gz"]
    tasks = file_tasks(task(folder), paths)
    assert [one.name for one in tasks] == ["usdm-2024-08-08", "usdm-2024-08-09"]
    combined = play_parts(tasks, workers=2)
    assert [part.report for part in combined.parts] == reports(folder, "2024-08-08..2024-08-09")
    with pytest.raises(ConfigError, match="no such recording"):
        file_tasks(task(folder), [folder / "nowhere.gz"])
    with pytest.raises(ConfigError, match=r"config.yaml:5:3: venues.usdm.path has \{day\}: say which days with --days"):
        run_task(task(folder))


def test_spot_and_perpetual_are_merged_by_local_time(folder: Path, tmp_path: Path) -> None:
    """Two venues with a translator each in one backtest: journaled in order of local time, the first venue first where
    both speak at once, and every event of both is there.
    """
    text = USDM + SPOT + MARKETS + "  - {venue: spot, symbol: BTCUSDT, order_size: 0.001, max_position: 0.01}\n"
    (both,) = day_tasks(task(folder, text), days_between("2024-08-08"))
    (both,) = journals([both], tmp_path)
    report = run_task(both)
    assert [market.market for market in report.markets] == ["usdm:BTCUSDT", "spot:BTCUSDT"]
    assert all(market.orders_placed for market in report.markets)
    assert both.journal is not None
    assert verify(both.journal).ok
    with JournalReader(both.journal) as reader:
        told = [record for frame in reader for record in frame.records if isinstance(record, get_args(MarketEvent))]
    order = [(record.ts_local_ns, record.instrument != "usdm:BTCUSDT") for record in told]
    assert order == sorted(order)
    assert len({at_ns for at_ns, _ in order}) < len(order), "some come at once"
    switches = sum(one != other for (_, one), (_, other) in pairwise(order))
    assert switches > 500, "they are mixed, not one after the other"
    apart = [run_task(one) for one in market_tasks([msgspec.structs.replace(both, journal=None)])]
    assert report.messages == sum(one.messages for one in apart)
    assert report.rows == sum(one.rows for one in apart)


def test_what_days_can_be_asked_for() -> None:
    """One, or the first and the last; what makes no sense is said."""
    assert [day.isoformat() for day in days_between("2024-02-28..2024-03-01")] == [
        "2024-02-28",
        "2024-02-29",
        "2024-03-01",
    ]
    assert len(days_between("2024-08-08")) == 1
    for text in ("yesterday", "2024-08-09..2024-08-08", "2024-08-08..", "0001-01-01..9999-12-31"):
        with pytest.raises(UsageError, match="--days"):
            days_between(text)


def test_the_command_line_plays_days_and_writes_a_journal_of_each(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A row for each day, the totals, the journals; keys can be set; the exit code is that of the first failure."""
    path = tmp_path / "config.yaml"
    path.write_text(task(folder).config)
    asked = ["backtest", "-c", str(path), "--days", "2024-08-08..2024-08-09", "--workers", "2"]
    assert execute([*asked, "--journal", str(tmp_path / "journals")]) == 0
    told = capsys.readouterr()
    assert told.err == "", "no bar where stderr is no terminal"
    assert "2024-08-09" in told.out
    assert "all in USDT" in told.out
    written = sorted((tmp_path / "journals").iterdir())
    assert [one.name for one in written] == ["2024-08-08.journal", "2024-08-09.journal"]
    assert all(verify(one).ok for one in written)
    assert execute([*asked, "--json", "--no-journal", "--set", "markets.*.enabled=false"]) == 0
    assert json.loads(capsys.readouterr().out)["totals"][0]["orders_placed"] == 0
    assert execute([*asked, "--set", "gamma"]) == UsageError.exit_code
    assert execute([*asked, "--each-market", "--days", "2024-08-08", "--no-journal"]) != 0
    files = [str(folder / "usdm-2024-08-08.gz"), str(folder / "usdm-2024-08-09.gz")]
    assert execute(["backtest", *files, "-c", str(path), "--no-journal", "--each-market"]) == 0
    assert "usdm-2024-08-09 usdm:BTCUSDT" in capsys.readouterr().out
