"""A paper run of a recording and its backtest: identical at the run's turns, and the differences without them counted.

On virtual time; every look at the clock takes some time of its own, so that turns are late and take several events, as
on a machine that has something to do.
"""

import gzip
import io
import json
import os
from pathlib import Path

import pytest

from mm_daemon import registry
from mm_daemon.backtest.as_journal.play import AsJournal, play_as_journal
from mm_daemon.backtest.replay import verify
from mm_daemon.cli.main import execute
from mm_daemon.config.load import loads
from mm_daemon.config.schema import Config
from mm_daemon.domain.errors import UsageError
from mm_daemon.domain.rng import Rng
from mm_daemon.runtime.app import Daemon
from mm_daemon.runtime.clock import Clock
from mm_daemon.testkit.virtual_loop import VirtualLoop, run_virtual
from tests.shared import shared_file

TEXT = """
version: 1
state_dir: "{folder}/state"
http: {{port: null}}
control: false
runtime: {{summary_interval_s: 5, stop_timeout_s: 4, loop_stall_ms: 1000}}
paper: {{entry_latency_ms: 5, response_latency_ms: 5}}
venues:
  usdm:
    connector: recorded
    path: "{folder}/usdm.gz"
    translator: binance-usdm
    instruments:
      BTCUSDT: {{base: BTC, quote: USDT, tick: 0.1, lot: 0.001, min_notional: 100, maker_fee_bps: 2, taker_fee_bps: 5}}
  spot:
    connector: recorded
    path: "{folder}/spot.gz"
    translator: binance-spot
    instruments:
      BTCUSDT: {{base: BTC, quote: USDT, tick: 0.01, lot: 0.00001, min_notional: 5, maker_fee_bps: 1, taker_fee_bps: 1}}
defaults: {{k: 3, fees_in_model: false, fill_lockout_ms: 0, order_lockout_ms: {lockout}}}
markets:
  - {{venue: usdm, symbol: BTCUSDT, order_size: 0.01, max_position: 0.05}}
  - {{venue: spot, symbol: BTCUSDT, order_size: 0.001, max_position: 0.01}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The beginnings of both recordings."""
    path = tmp_path_factory.mktemp("recordings")
    for name, count in (("usdm", 5_000), ("spot", 2_000)):
        with gzip.open(shared_file(f"data/binance-{name}-btcusdt-20240808.gz")) as file:
            text = b"".join(line for _, line in zip(range(count), file, strict=False))
        (path / f"{name}.gz").write_bytes(gzip.compress(text, 1))
    return path


def config(folder: Path, tmp_path: Path, lockout: int = 0) -> Config:
    text = TEXT.format(folder=folder, lockout=lockout).replace(f"{folder}/state", f"{tmp_path}/state")
    (tmp_path / "config.yaml").write_text(text)
    return loads(text, "config.yaml", settings_of=registry.settings_of, environ=os.environ)


def paper_run(settings: Config, work_ns: int) -> Path:
    """Live the recordings in paper mode; each look at the clock costs up to `work_ns`. The run's journal."""
    rng = Rng(7)

    async def main(loop: VirtualLoop) -> int:
        def monotonic_ns() -> int:
            if work_ns:
                loop.elapsed_ns += rng.below(work_ns)
            return loop.now_ns()

        clock = Clock(wall_ns=loop.now_ns, monotonic_ns=monotonic_ns)
        return await Daemon(settings, paper=True, duration_s=None, clock=clock, log_to=io.StringIO()).run()

    assert run_virtual(main) == 0
    (path,) = (settings.state_dir / "journal").iterdir()
    return path


@pytest.mark.parametrize("work_ns", [0, 150_000, 1_500_000])
def test_a_paper_run_is_its_backtest_at_its_turns(folder: Path, tmp_path: Path, work_ns: int) -> None:
    """Every market event, answer, decision and command; the figures are the run's own; the journal itself replays."""
    settings = config(folder, tmp_path)
    path = paper_run(settings, work_ns)
    assert verify(path).ok
    followed = play_as_journal(settings, path)
    assert followed.ok, followed.to_text()
    assert followed.market_events > 6_000
    assert followed.decisions > 50
    assert followed.commands > 50
    assert followed.run.fills > 5
    assert followed.run.clean
    gone = followed.departures
    assert gone.batched
    assert gone.late_ms_max > work_ns / 1e6
    said = followed.to_text()
    assert "identical at the run's turns" in said
    assert f"took market events together in {gone.batched:,}" in said


def test_what_differs_without_the_marks_is_counted(folder: Path, tmp_path: Path) -> None:
    """A backtest of its own decides at every instant and hands over at once: it has a turn for each event that the run
    took together with others, and its figures stand beside the run's.
    """
    settings = config(folder, tmp_path)
    followed = play_as_journal(settings, paper_run(settings, 0))
    run, without, gone = followed.run, followed.without, followed.departures
    assert without.turns - run.turns == pytest.approx(gone.events_batched, rel=0.1)
    assert 0 < gone.late_ms_mean <= gone.late_ms_max <= 1.001, "a loop without work sleeps a millisecond at a time"
    assert (run.start_ns, run.end_ns) != (0, 0)
    assert abs(run.fills - without.fills) < 0.2 * without.fills
    (line,) = (line for line in followed.to_text().splitlines() if line.startswith("fills"))
    assert line.split() == ["fills", str(run.fills), str(without.fills), f"{without.fills - run.fills:+}"]


def test_another_configuration_parts_from_the_run(folder: Path, tmp_path: Path) -> None:
    """The core is the run's, the venue is the configuration's: another latency is found at its first answer."""
    settings = config(folder, tmp_path)
    path = paper_run(settings, 20_000)
    other = (tmp_path / "config.yaml").read_text().replace("response_latency_ms: 5", "response_latency_ms: 40")
    changed = loads(other, "config.yaml", settings_of=registry.settings_of, environ=os.environ)
    followed = play_as_journal(changed, path)
    assert not followed.ok
    assert followed.parted is not None
    assert "first difference, turn" in followed.to_text()


def test_the_command_line_tells_and_judges(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Words or JSON; a run that cannot be followed is refused in words."""
    settings = config(folder, tmp_path)
    path = paper_run(settings, 0)
    asked = ["backtest", "-c", str(tmp_path / "config.yaml"), "--as-journal", str(path)]
    assert execute(asked) == 0
    assert "identical at the run's turns" in capsys.readouterr().out
    assert execute([*asked, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["ok"] is True
    assert told["run"]["fills"]
    assert told["without"]["fills"]
    assert execute([*asked, "--days", "2024-08-08"]) == UsageError.exit_code
    own = tmp_path / "backtest.journal"
    assert execute(["backtest", "-c", str(tmp_path / "config.yaml"), "--journal", str(own), "--duration", "2s"]) == 0
    capsys.readouterr()
    assert isinstance(play_as_journal(settings, own), AsJournal)


@pytest.mark.parametrize("more", [["--html", "run.html"], ["--journal", "run.journal"]])
def test_what_it_would_not_write_is_refused(more: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything is read."""
    assert execute(["backtest", "--as-journal", "run", *more]) == 64
    assert "leave --journal and --html out" in capsys.readouterr().err
