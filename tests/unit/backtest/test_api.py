"""Backtests from Python, and the page about them: everything on it is run."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mm_daemon import registry
from mm_daemon.backtest import Result, run, run_days
from mm_daemon.backtest.venues import backtest
from mm_daemon.cli.main import execute
from mm_daemon.config.load import load, loads
from mm_daemon.domain.errors import UsageError
from mm_daemon.domain.events import BookDelta, BookSnapshot, MarketEvent
from mm_daemon.domain.instrument import Instrument
from mm_daemon.testkit.builders import instrument
from tests.shared import ROOT, SHARED, shared_file
from tests.unit.backtest.doubles import tape

PAGE = ROOT / "deploy/docs/backtesting.md"
EXAMPLE = ROOT / "deploy/examples/recorded-binance-usdm.yaml"
EMBEDDED = """
version: 1
venues:
  sim: {connector: sim}
markets:
  - {venue: sim, symbol: BTC-USDT, order_size: 0.01, max_position: 0.1}
  - {venue: sim, symbol: ETH-USDT, order_size: 0.1, max_position: 1}
"""
LIVE = """
version: 1
venues:
  test: {connector: sim}
markets:
  - {venue: test, symbol: BTC-USDT, order_size: 0.01, max_position: 0.05}
"""


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> str:
    shared_file("data/binance-usdm-btcusdt-20240808.gz")
    monkeypatch.setenv("MM_SHARED", str(SHARED))
    return str(EXAMPLE)


@pytest.fixture(scope="module")
def result() -> Iterator[Result]:
    """Half a minute of the USD-M recording."""
    shared_file("data/binance-usdm-btcusdt-20240808.gz")
    before = os.environ.get("MM_SHARED")
    os.environ["MM_SHARED"] = str(SHARED)
    try:
        yield run(EXAMPLE, {"markets.*.k": 3, "markets.*.fees_in_model": False}, duration_s=30)
    finally:
        if before is None:
            del os.environ["MM_SHARED"]
        else:
            os.environ["MM_SHARED"] = before


def test_curves_are_those_of_the_report(result: Result) -> None:
    """Equal lengths, rising times, parts that add up, and an end that is the report's."""
    report, market = result.report, result.market
    (only,) = report.markets
    assert report.pnl is not None
    assert {len(column) for column in market.table.values()} == {len(market.time)}
    assert (np.diff(market.time) > np.timedelta64(0)).all()
    parts = market.spread + market.inventory + market.fees + market.funding
    assert np.allclose(parts, market.equity, atol=1e-9)
    assert market.equity[-1] == pytest.approx(float(report.pnl.total), abs=1e-9)
    assert market.position[-1] == float(only.position)
    assert market.volume[-1] == pytest.approx(float(only.volume))
    fills = market.fills
    assert {len(column) for column in fills.values()} == {report.fills}
    assert report.fills > 0
    assert float((fills["side"] * fills["size"]).sum()) == pytest.approx(float(only.position))
    assert result.journal is None
    assert str(report.fills) in repr(result)
    assert "pnl total" in str(result)


def test_it_says_what_the_command_line_says(result: Result, recorded: str) -> None:
    """The same report as a backtest of the same configuration, the journal and the wall time aside."""
    loaded = load(
        EXAMPLE,
        settings_of=registry.settings_of,
        environ=os.environ,
        overrides={"markets.*.k": 3, "markets.*.fees_in_model": False},
    )
    assert backtest(loaded, duration_s=30).markets == result.report.markets


def test_a_journal_is_kept_where_it_is_asked_for(tmp_path: Path) -> None:
    """An embedded market from a text, two markets, a file that others can read."""
    found = run(EMBEDDED, duration_s=5, journal=tmp_path / "kept.journal", seed=3)
    assert found.journal is not None
    assert found.journal.exists()
    assert list(found.markets) == ["sim:BTC-USDT", "sim:ETH-USDT"]
    with pytest.raises(UsageError, match="several markets"):
        _ = found.market
    again = loads(EMBEDDED, "c", settings_of=registry.settings_of, environ={}, seed=3)
    assert run(again, duration_s=5).report.markets == found.report.markets
    with pytest.raises(UsageError, match="read already"):
        run(again, {"markets.*.k": 1}, duration_s=5)


class Tape:
    """A feed of somebody's own."""

    def instruments(self) -> list[Instrument]:
        return [instrument()]

    def events(self) -> Iterator[MarketEvent]:
        return tape(20)


def _rows(event: MarketEvent) -> int:
    return len(event.bids) + len(event.asks) if isinstance(event, BookDelta | BookSnapshot) else 1


def test_a_feed_of_ones_own_is_played(recorded: str) -> None:
    """An object in place of the configured connector, or a path in place of the configured one."""
    found = run(LIVE, feed=Tape())
    assert found.report.orders_placed
    assert found.report.rows == sum(_rows(event) for event in tape(20))
    path = shared_file("data/binance-usdm-btcusdt-20240808.gz")
    one, other = (run(recorded, feed=feed, duration_s=5) for feed in (path, {"binance-usdm": str(path)}))
    assert one.report.markets == other.report.markets
    with pytest.raises(UsageError, match="no market on venue elsewhere"):
        run(LIVE, feed={"elsewhere": Tape()})
    with pytest.raises(UsageError, match="plays no file"):
        run(LIVE, feed="some.gz")


def test_days_are_reports_side_by_side(recorded: str) -> None:
    """As `--days` says them."""
    days = run_days(recorded, "2024-08-08", {"markets.*.k": 3}, workers=1, duration_s=10)
    assert [part.name for part in days.parts] == ["2024-08-08"]
    with pytest.raises(UsageError, match="--days"):
        run_days(recorded, "someday")


@pytest.mark.slow
def test_the_pages_python_runs(recorded: str, tmp_path: Path) -> None:
    """All of its blocks, one after the other, as one script in a process of its own."""
    script = tmp_path / "page.py"
    script.write_text("\n".join(blocks("python")))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MM_SHARED": str(SHARED)}
    done = subprocess.run(
        [sys.executable, "-W", "error", script], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "pnl total" in done.stdout
    assert re.search(r"^k 1 \d+$", done.stdout, re.MULTILINE)


@pytest.mark.slow
def test_the_pages_commands_run(
    recorded: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a folder where the examples are found by the same path."""
    (tmp_path / "deploy").symlink_to(ROOT / "deploy")
    monkeypatch.chdir(tmp_path)
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    assert len(lines) > 5
    for line in lines:
        verb, *arguments = shlex.split(line)
        assert verb == "mm-daemon"
        assert execute(arguments) == 0, (line, capsys.readouterr().err)
    assert (tmp_path / "latency.csv").read_text().startswith("time_ns,entry_ms,response_ms\n")


def test_the_pages_keys_are_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its configuration of the venue is read."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "latency.csv").write_text("time_ns,entry_ms,response_ms\n1,2,3\n")
    (text,) = blocks("yaml")
    paper = loads(EMBEDDED + text, "c", settings_of=registry.settings_of, environ={}).paper
    assert paper.rejects is not None
    assert paper.rejects.place_chance == 0.01
    assert [tier.maker_bps for tier in paper.fee_tiers] == [2, 1.6]
    assert paper.rate_limits[0].capacity == 300
    assert len(paper.latency_rows) == 1
