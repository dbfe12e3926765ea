"""Results under other queue models, beside those of the run; every model can be chosen."""

import json
from decimal import Decimal
from pathlib import Path

import pytest

from mm_daemon.backtest.parts import play_parts
from mm_daemon.backtest.sensitivity import queues
from mm_daemon.backtest.tasks import BacktestTask, run_task
from mm_daemon.cli.main import execute
from mm_daemon.simulation.models import QueueModel
from tests.shared import shared_file

TEXT = """
version: 1
state_dir: "{folder}"
paper: {{queue_model: {model}}}
venues:
  usdm:
    connector: recorded
    path: "{path}"
    translator: binance-usdm
    instruments:
      BTCUSDT: {{base: BTC, quote: USDT, tick: 0.1, lot: 0.001, min_notional: 100, maker_fee_bps: 2, taker_fee_bps: 5}}
markets:
  - {{venue: usdm, symbol: BTCUSDT, order_size: 0.01, max_position: 0.05, k: 3, fees_in_model: false}}
"""


def task(folder: Path, model: str = "risk_averse") -> BacktestTask:
    text = TEXT.format(folder=folder, model=model, path=shared_file("data/binance-usdm-btcusdt-20240808.gz"))
    return BacktestTask(name="", config=text, file="config.yaml", duration_s=30)


def test_results_of_other_queue_models_stand_beside(tmp_path: Path) -> None:
    """The run's own first, then risk_averse, power 1 and power 3, each what a run of it alone would give."""
    report = play_parts([task(tmp_path, "log")], workers=2, sensitivity=True)
    assert [one.name for one in report.queue_sensitivity] == ["log", "risk_averse", "power 1", "power 3"]
    own = report.parts[0].report
    assert own is not None
    assert report.queue_sensitivity[0].pnl == own.pnl
    alone = run_task(task(tmp_path))
    assert (report.queue_sensitivity[1].fills, report.queue_sensitivity[1].pnl) == (alone.fills, alone.pnl)
    assert len(queues(task(tmp_path))) == 3
    assert "power 3" in report.to_text()


@pytest.mark.parametrize("model", list(QueueModel))
def test_every_queue_model_can_be_chosen(tmp_path: Path, model: QueueModel) -> None:
    """In the configuration, by its name, and quotes."""
    assert queues(task(tmp_path, model))[0] == (model, 1.0)
    assert run_task(task(tmp_path, model)).orders_placed


def test_the_command_line_offers_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A table for people, and an entry of the JSON, with or without days."""
    path = tmp_path / "config.yaml"
    path.write_text(task(tmp_path).config)
    asked = ["backtest", "-c", str(path), "--duration", "20s", "--no-journal", "--queue-sensitivity", "--workers", "2"]
    assert execute(asked) == 0
    assert "queue model" in capsys.readouterr().out
    assert execute([*asked, "--json", "--days", "2024-08-08"]) == 0
    told = json.loads(capsys.readouterr().out, parse_float=Decimal)
    assert [one["model"] for one in told["queue_sensitivity"]] == ["risk_averse", "power", "power"]
    assert told["queue_sensitivity"][0]["pnl"] == told["totals"][0]["pnl"]
