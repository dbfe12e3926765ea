"""Latencies of a run read back from its journal, and used by the next one."""

from pathlib import Path

import pytest

from mm_daemon import registry
from mm_daemon.backtest.feeds.latency import DelayedFeed
from mm_daemon.backtest.latencies import latencies, written
from mm_daemon.backtest.runner import run_backtest
from mm_daemon.backtest.sources import RecordedMarket
from mm_daemon.cli.main import execute
from mm_daemon.config.load import loads
from mm_daemon.config.problems import ConfigProblems
from mm_daemon.config.schema import Config
from mm_daemon.simulation.models import ConstantLatency, MeasuredRow
from mm_daemon.simulation.policy import VenuePolicy
from mm_daemon.simulation.venue import SimulatedVenue
from mm_daemon.testkit.builders import MS, VENUE, core_parameters, instrument
from tests.unit.backtest.doubles import ListFeed, tape

TEXT = """
version: 1
paper: {{latency_file: "{path}"}}
venues:
  sim: {{connector: sim}}
markets:
  - {{venue: sim, symbol: BTC-USDT, order_size: 0.01, max_position: 0.1}}
"""


def config(path: Path) -> Config:
    return loads(TEXT.format(path=path), "config.yaml", settings_of=registry.settings_of, environ={})


def journal(path: Path, policy: VenuePolicy) -> Path:
    source = RecordedMarket(ListFeed(list(tape(30))), SimulatedVenue(VENUE, [instrument()], policy))
    assert run_backtest(core_parameters(), {VENUE: source}, journal=path).orders_placed
    return path


def test_what_was_assumed_is_what_is_measured(tmp_path: Path) -> None:
    """A run with 7 ms there and 3 ms back: every row says so, but where a busy link made a message wait."""
    policy = VenuePolicy(entry_latency_ms=7.0, response_latency_ms=3.0)
    rows = latencies(journal(tmp_path / "j", policy))
    assert len(rows) > 2
    assert [row.time_ns for row in rows] == sorted(row.time_ns for row in rows)
    assert all((row.entry_ns, row.response_ns) == (7 * MS, 3 * MS) for row in rows)
    assert not latencies(tmp_path / "j", venue="elsewhere")


def test_a_file_of_them_is_read_back(tmp_path: Path) -> None:
    """Written, read with the configuration, and the same again; the command line writes the same file."""
    path = journal(tmp_path / "j", VenuePolicy(entry_latency_ms=7.25, response_latency_ms=3.0))
    rows = latencies(path)
    expected: tuple[MeasuredRow, ...] = ()
    for feed in (True, False):
        file = tmp_path / f"latencies-{feed}.csv"
        file.write_text("\n".join(written(rows, feed=feed)))
        expected = tuple(row if feed else row._replace(feed_ns=None) for row in rows)
        assert config(file).paper.latency_rows == expected
    assert execute(["journal", "latencies", str(path), "--out", str(tmp_path / "out.csv")]) == 0
    assert config(tmp_path / "out.csv").paper.latency_rows == expected
    assert execute(["journal", "latencies", str(path), "--venue", "elsewhere"]) == 64


def test_instants_of_other_backtesters_are_read(tmp_path: Path) -> None:
    """Request, venue, response in nanoseconds."""
    file = tmp_path / "latency.csv"
    file.write_text("req_ts,exch_ts,resp_ts\n100,150,400\n500,501,502\n")
    assert config(file).paper.latency_rows == (MeasuredRow(100, 50, 250), MeasuredRow(500, 1, 1))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "config.yaml:3:9: paper.latency_file: .*nowhere.csv cannot be read: No such file"),
        (
            "a,b\n1,2\n",
            "latency.csv:1:1: paper.latency_file: has no columns time_ns, entry_ms, response_ms, nor req_ts",
        ),
        ("time_ns,entry_ms,response_ms\n5,1,1\n4,1,1\n", "latency.csv:3:1: .*the time steps back"),
        ("time_ns,entry_ms,response_ms\n5,-1,1\n", "latency.csv:2:1: .*entry_ms is -1, must be"),
        ("time_ns,entry_ms,response_ms\n5,1\n", "latency.csv:2:1: .*is no row of latencies"),
        ("req_ts,exch_ts,resp_ts\n5,4,6\n", "latency.csv:2:1: .*not in the order"),
        ("time_ns,entry_ms,response_ms\n", "latency.csv has no rows"),
        ("time_ns,entry_ms,response_ms\n\xff", "latency.csv:2:1"),
    ],
)
def test_a_file_that_is_wrong_is_told_at_its_line(tmp_path: Path, text: str | None, said: str) -> None:
    """With what is wrong, and how to make a right one."""
    file = tmp_path / ("nowhere.csv" if text is None else "latency.csv")
    if text is not None:
        file.write_text(text)
    with pytest.raises(ConfigProblems, match=said):
        config(file)


def test_market_data_are_received_when_the_feed_latency_says() -> None:
    """Each event at its venue time and the latency; never earlier than the one before."""
    events = list(tape(5))
    delayed = list(DelayedFeed(ListFeed(events), ConstantLatency(30 * MS), 30 * MS).events())
    assert delayed == events, "the fastest of this recording took what it is taken to take"
    slower = list(DelayedFeed(ListFeed(events), ConstantLatency(50 * MS), 30 * MS).events())
    assert {two.ts_local_ns - one.ts_local_ns for one, two in zip(events, slower, strict=True)} == {20 * MS}
