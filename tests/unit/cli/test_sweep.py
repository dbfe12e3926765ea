"""`sweep` and `estimate` as a person calls them: files written, answers read, mistakes said."""

import json
from pathlib import Path

import pytest

from mm_daemon.cli.main import execute
from mm_daemon.domain.errors import ConfigError, UsageError

CONFIG = """
version: 1
venues:
  sim: {connector: sim}
markets:
  - {venue: sim, symbol: BTC-USDT, order_size: 0.01, max_position: 0.1, half_spread_bps: 2}
"""
SWEEP = """
config: config.yaml
method: grid
duration_s: 5
keys:
  markets.*.half_spread_bps: {low: 1, high: 4, points: 3}
  markets.*.skew_bps_at_max: [1, 3]
best: 2
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config.yaml").write_text(CONFIG)
    (tmp_path / "sweep.yaml").write_text(SWEEP)
    return tmp_path


def test_a_sweep_leaves_table_configurations_and_picture(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In a folder named like its file; called again, it says the same without trying anything."""
    assert execute(["sweep", str(folder / "sweep.yaml"), "--workers", "1"]) == 0
    said = capsys.readouterr().out
    assert sorted(path.name for path in (folder / "sweep").iterdir() if path.name[:8] != "study.db") == [
        "best-1.yaml",
        "best-2.yaml",
        "heatmap.png",
        "points.csv",
    ]
    assert "6 points on 1 piece of market" in said
    assert (folder / "sweep" / "heatmap.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert execute(["backtest", "-c", str(folder / "sweep" / "best-1.yaml"), "--duration", "5s", "--no-journal"]) == 0
    capsys.readouterr()
    assert execute(["sweep", str(folder / "sweep.yaml"), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["tried"], answer["failed"], len(answer["best"])) == (6, 0, 2)
    figures = [best["figures"]["pnl"]["mean"] for best in answer["best"]]
    assert figures == sorted(figures, reverse=True)


def test_an_estimate_is_read_by_people_and_programs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One piece for each seed."""
    config = str(folder / "config.yaml")
    assert execute(["estimate", "-c", config, "--seeds", "2", "--duration", "30s", "--workers", "1", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["pieces"] == 2
    assert answer["daily"]["net"]["low"] < answer["daily"]["net"]["mean"] < answer["daily"]["net"]["high"]


@pytest.mark.parametrize(
    ("arguments", "said", "code"),
    [
        (["sweep", "{}/none.yaml"], "there is no such file", ConfigError.exit_code),
        (["sweep", "{}/sweep.yaml", "--workers", "0"], "at least one process", UsageError.exit_code),
        (["estimate", "-c", "{}/config.yaml"], "how much market time", UsageError.exit_code),
        (["estimate", "-c", "{}/config.yaml", "--infrastructure=-1"], "not below nothing", UsageError.exit_code),
        (["estimate", "-c", "{}/config.yaml", "--infrastructure", "nan"], "must be a number", UsageError.exit_code),
        (["estimate", "-c", "{}/config.yaml", "--infrastructure", "inf"], "must be a number", UsageError.exit_code),
    ],
)
def test_mistakes_are_said(
    arguments: list[str], said: str, code: int, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the exit code that belongs to them."""
    assert execute([argument.format(folder) for argument in arguments]) == code
    assert said in capsys.readouterr().err
