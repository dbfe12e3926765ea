"""Law: every figure of a report is what its formula makes of the exported journal."""

import json
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mm_daemon.backtest.figure_list import FIGURES
from mm_daemon.backtest.report import BacktestReport
from mm_daemon.backtest.run_report import RunMarket, names_of, quantiles, report_run, report_runs, to_json
from mm_daemon.backtest.run_text import to_text
from mm_daemon.backtest.venues import backtest
from mm_daemon.cli.main import execute
from tests.recomputed import BY_OTHER_PROOF, Recomputed
from tests.shared import ROOT, shared_file
from tests.unit.backtest.test_curves import STEP, Steps, walked


def exported(journal: Path) -> Recomputed:
    out = journal.with_suffix(".jsonl")
    assert execute(["journal", "export", str(journal), "--out", str(out)]) == 0
    return Recomputed(out)


def agrees(market: RunMarket, again: Recomputed) -> None:
    assert set(again.values) | BY_OTHER_PROOF == {figure.key for figure in FIGURES}
    for figure in FIGURES:
        if figure.key in BY_OTHER_PROOF:
            continue
        got, want = figure.of(market)[0], again.values[figure.key]
        if isinstance(got, Decimal | int) or want is None:
            assert got == want, figure.key
        else:
            assert got == pytest.approx(want, rel=1e-9, abs=2e-6 if "uptime" in figure.key else 1e-9), figure.key


@settings(deadline=None, max_examples=20)
@given(st.lists(STEP, min_size=1, max_size=40))
def test_figures_of_a_walk(tmp_path_factory: pytest.TempPathFactory, steps: Steps) -> None:
    _, path = walked(tmp_path_factory.mktemp("run"), steps)
    (market,) = report_run(path).report.markets
    agrees(market, exported(path))


@pytest.mark.slow
def test_figures_of_a_real_recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report, path = recorded(tmp_path, monkeypatch)
    (market,) = report_run(path).report.markets
    agrees(market, exported(path))
    assert market.figures == report.markets[0]


def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[BacktestReport, Path]:
    """The USD-M recording, played."""
    import os

    from mm_daemon import registry
    from mm_daemon.config.load import load

    data = shared_file("data/binance-usdm-btcusdt-20240808.gz")
    monkeypatch.setenv("MM_SHARED", str(data.parent.parent))
    example = ROOT / "deploy/examples/recorded-binance-usdm.yaml"
    config = load(
        example, settings_of=registry.settings_of, environ=os.environ, seed=None, models=registry.PricingModels()
    )
    path = tmp_path / "usdm.journal"
    return backtest(config, journal=path), path


@pytest.fixture
def two(tmp_path: Path) -> list[Path]:
    """Two runs that differ."""
    folders = tmp_path / "a", tmp_path / "b"
    for folder, move in zip(folders, (0, 35), strict=True):
        folder.mkdir()
        walked(folder, [(700, move, None), (2500, -20, None), (700, move, None)])
    return [folder / "journal" for folder in folders]


def test_runs_are_told_apart_by_their_names() -> None:
    assert names_of([Path("x/a/run"), Path("x/b/run")]) == ["a/run", "b/run"]
    assert names_of([Path("x/usdm.journal")]) == ["usdm"]
    assert names_of([Path("a"), Path("a")]) == ["a (1)", "a (2)"]


def test_the_table_has_every_figure_and_the_difference(two: list[Path]) -> None:
    reports = [one.report for one in report_runs(two)]
    text = to_text(reports)
    for figure in FIGURES:
        assert figure.label in text
    assert "b/journal - first" in text
    first, other = (report.markets[0] for report in reports)
    spread = next(figure for figure in FIGURES if figure.key == "orders_amended")
    told = int(spread.difference_text(first, other).replace(",", ""))
    assert told == other.figures.orders_amended - first.figures.orders_amended


def test_json_carries_definitions_and_exact_money(two: list[Path]) -> None:
    reports = [one.report for one in report_runs(two)]
    told = json.loads(to_json(reports), parse_float=Decimal)
    assert [figure["key"] for figure in told["figures"]] == [figure.key for figure in FIGURES]
    assert all(figure["formula"] and figure["definition"] and figure["records"] for figure in told["figures"])
    for run, report in zip(told["runs"], reports, strict=True):
        values = run["markets"][0]["values"]
        parts = [values[f"pnl_{name}"]["value"] for name in ("spread", "inventory", "fees", "funding")]
        assert sum(parts) == values["pnl_total"]["value"] == report.markets[0].figures.pnl.total


def test_records_named_by_figures_exist() -> None:
    """Each can be asked for with `journal show --kind`."""
    from mm_daemon.journal.view import choice

    for figure in FIGURES:
        choice(kind=",".join(figure.records))


@given(st.lists(st.floats(-1e6, 1e6), max_size=200))
def test_quantiles_are_samples(values: list[float]) -> None:
    import numpy as np

    found = quantiles(np.array(values))
    assert found.count == len(values)
    if values:
        assert {found.p50, found.p90, found.p99} <= set(values)
        assert found.p50 is not None
        assert sum(value <= found.p50 for value in values) * 2 >= len(values)
