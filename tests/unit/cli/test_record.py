"""`record` on the command line: options in words, figures at the end, a folder that is a backtest at once."""

import json
from pathlib import Path

import pytest

from mm_daemon.cli.main import execute

CONFIG = """
version: 1
venues:
  sim: {connector: sim}
markets:
  - {venue: sim, symbol: BTC-USDT, order_size: 0.01, max_position: 0.1}
  - {venue: sim, symbol: ETH-USDT, order_size: 0.1, max_position: 1}
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG)
    return path


def test_a_recording_is_made_and_backtested(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The embedded market has no frames: its events are recorded, and know their contracts."""
    assert execute(["record", "--out", "rec", "--for", "1500ms", "--market", "sim:ETH-USDT", "--json"]) == 0
    done = json.loads(capsys.readouterr().out)
    assert list(done["folders"]) == ["sim.events"]
    assert done["frames"] > 10
    assert done["lost"] == 0
    played = "venues:\n  sim: {connector: recorded, path: rec}\n"
    config.write_text(
        f"version: 1\n{played}markets:\n  - {{venue: sim, symbol: ETH-USDT, order_size: 0.1, max_position: 1}}\n"
    )
    assert execute(["backtest", "--json", "--no-journal"]) == 0
    assert json.loads(capsys.readouterr().out)["messages"] == done["frames"]
    assert execute(["record", "--out", "again", "--for", "1s"]) == 78
    assert "venue sim is a recording already" in capsys.readouterr().err


def test_wrong_options_are_said_before_anything_is_written(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 64, and no folder."""
    for options, said in (
        (["--max-gib", "0"], "--max-gib 0.0: must be above 0"),
        (["--for", "soon"], "--for soon: not a duration"),
        (["--market", "sim:SOL-USDT"], "the configuration has no such market; it has sim:BTC-USDT, sim:ETH-USDT"),
    ):
        assert execute(["record", "--out", "rec", *options]) == 64
        assert said in capsys.readouterr().err
    assert not (config.parent / "rec").exists()


def test_a_damaged_recording_ends_a_paper_run_in_words(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is not played again from its beginning; the exit code is that of a configuration to be corrected."""
    rows = "".join(f"{1_700_000_000 + n},100,101\n" for n in range(20))
    (config.parent / "quotes.csv").write_text(f"timestamp,bid,ask\n{rows}rubbish,1,2\n")
    contract = "{base: A, quote: B, tick: 1, lot: 1, maker_fee_bps: 0, taker_fee_bps: 0}"
    venue = f"{{connector: recorded, path: quotes.csv, speed: 1000, instruments: {{X: {contract}}}}}"
    market = "{venue: v, symbol: X, order_size: 1, max_position: 5}"
    config.write_text(f"version: 1\nhttp: {{port: null}}\nvenues:\n  v: {venue}\nmarkets:\n  - {market}\n")
    assert execute(["run", "--no-watch"]) == 78
    said = capsys.readouterr().err
    assert "quotes.csv: line 22: 'rubbish' is no time" in said
    assert "starts again" not in said
