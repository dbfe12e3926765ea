"""How far a backtest has come, by bytes of its recordings or by market time; a bar on a terminal, and nowhere else."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from mm_daemon.backtest.progress import Bar, Meter
from mm_daemon.backtest.runner import run_backtest
from mm_daemon.backtest.sources import RecordedMarket
from mm_daemon.simulation.venue import SimulatedVenue
from mm_daemon.testkit.builders import VENUE, core_parameters, instrument
from tests.shared import ROOT, SHARED, shared_file
from tests.unit.backtest.doubles import EmbeddedMarket, ListFeed, tape


class Sized:
    """A feed of so many bytes."""

    def __init__(self, read: int, total: int) -> None:
        self.bytes_read, self.bytes_total = read, total


def shares(*feeds: object, now_ns: int = 0, end_ns: int | None = None) -> list[float]:
    told: list[float] = []
    Meter(feeds, told.append, end_ns=end_ns).look(now_ns)
    return told


def test_the_share_is_of_all_files_or_of_the_time_asked_for() -> None:
    """Bytes of all feeds together; market time where it says more; never more than all; looks in a row are one."""
    assert shares(Sized(10, 40), Sized(20, 20)) == [0.5]
    assert shares(Sized(10, 40), now_ns=75, end_ns=100) == [0.75]
    assert shares(now_ns=50, end_ns=100) == [0.5]
    assert shares(Sized(90, 80)) == [1.0]
    assert shares(object()) == [0.0]
    told: list[float] = []
    meter = Meter([Sized(1, 2)], told.append)
    meter.look(0)
    meter.look(0)
    assert told == [0.5]


def test_a_run_tells_how_far_it_is() -> None:
    """A recording without a length and an embedded market with an end."""
    told: list[float] = []
    source = RecordedMarket(ListFeed(list(tape(5))), SimulatedVenue(VENUE, [instrument()]))
    run_backtest(core_parameters(), {VENUE: source}, told=told.append)
    assert told[0] == 0.0
    told.clear()
    run_backtest(core_parameters(), {VENUE: EmbeddedMarket()}, duration_s=20, told=told.append)
    assert told
    assert all(0 < share <= 1 for share in told)


def test_no_bar_where_nobody_watches(capsys: pytest.CaptureFixture[str]) -> None:
    """Not a byte, neither without a terminal nor unasked."""
    for wanted in (True, False):
        with Bar(2, wanted=wanted) as bar:
            bar.heard(0, 0.5)
            bar.heard(1, "something else")
            bar.end(0)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("arguments", [[], ["--days", "2024-08-08", "--workers", "2"]])
def test_a_terminal_shows_the_share_and_the_time_left(tmp_path: Path, arguments: list[str]) -> None:
    """On stderr, so that the report stays clean."""
    shared_file("data/binance-usdm-btcusdt-20240808.gz")
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "mm_daemon.cli", "backtest", "--no-journal", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MM_SHARED": str(SHARED), "TERM": "xterm", "COLUMNS": "80"}
    config = ROOT / "deploy/examples/recorded-binance-usdm.yaml"
    with subprocess.Popen(
        [*command, "-c", str(config)], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=theirs, text=True
    ) as process:
        os.close(theirs)
        drawn = b""
        while True:
            try:
                part = os.read(ours, 4096)
            except OSError:  # a terminal whose other end is closed
                break
            if not part:
                break
            drawn += part
        assert process.stdout is not None
        said = process.stdout.read()
        assert process.wait() == 0
    os.close(ours)
    assert b"%" in drawn
    assert b"0:0" in drawn
    assert "%\x1b" not in said
    assert "binance-usdm:BTCUSDT" in said
