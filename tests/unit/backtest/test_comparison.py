"""The comparison of the models: contenders start alike, figures add up, tables find their places in the page."""

import math
from pathlib import Path

import msgspec
import pytest

from mm_daemon.backtest.comparison.contenders import CONTENDERS, OTHERS, Contender
from mm_daemon.backtest.comparison.cost import cost
from mm_daemon.backtest.comparison.page import costs, filled, many_runs, mean_error, single_runs
from mm_daemon.backtest.comparison.play import Figures, play
from mm_daemon.backtest.comparison.scenes import EMBEDDED, Scene, staged
from mm_daemon.core.trading_core import TradingCore
from tests.shared import ROOT

SHORT = msgspec.structs.replace(EMBEDDED, seconds=40.0)
every_contender = pytest.mark.parametrize("contender", CONTENDERS, ids=lambda contender: contender.title)


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where `make compare-models` runs."""
    monkeypatch.chdir(ROOT)


@every_contender
def test_all_start_from_the_same_quotes(contender: Contender) -> None:
    """The half-spread and the skew of the scene, on top of the fee."""
    (market,) = TradingCore(staged(EMBEDDED, contender, 1)[0]).markets.values()
    engine = market.engine
    curve = engine.curve(engine.inputs(engine.sigma_bps(600_000.0), 0))
    assert curve.half_bps == pytest.approx(EMBEDDED.half_bps + 0.2, rel=1e-6)
    assert curve.skew_bps * 5 == pytest.approx(EMBEDDED.lean_bps, rel=1e-6)


@every_contender
def test_figures_add_up_and_repeat(contender: Contender) -> None:
    """Parts make the total; what was held lies within the limit; one seed is one run."""
    run = play(SHORT, contender, 7)
    assert run.seconds == pytest.approx(40.0, abs=0.5)
    assert run.fills > 0
    assert run.total == pytest.approx(run.spread + run.inventory + run.fees + run.funding, abs=1e-9)
    assert run.fees == pytest.approx(-0.2e-4 * run.turnover, rel=1e-9)
    assert 0.0 < run.held_orders <= 5.0
    assert run.markout_bps is not None
    assert math.isfinite(run.markout_bps)
    assert play(SHORT, contender, 7) == run
    assert play(SHORT, contender, 8) != run


def figures(contender: str, seed: int, total: float) -> Figures:
    return Figures("s", contender, seed, 600.0, 10, 1e5, 3.0, -1.0, -1.0, 0.0, total, 1.5, None, 0.9)


def test_tables_show_means_errors_and_pairs() -> None:
    """The error is that of the mean; differences are taken seed by seed; what was not seen is none."""
    assert mean_error([1.0, 3.0]) == (2.0, 1.0)
    assert math.isnan(mean_error([1.0])[1])
    runs = [
        figures(contender.title, seed, seed + place) for place, contender in enumerate(CONTENDERS) for seed in (3, 1, 2)
    ]
    lines = many_runs(runs).splitlines()
    assert lines[0].startswith("| model | fills | spread")
    assert len(lines) == 2 + len(CONTENDERS)
    assert "| 2.00 ± 0.58 |  | 1.50 ± 0.00 | none | 90% |" in lines[2]
    assert "| 3.00 ± 0.58 | 1.00 ± 0.00 |" in lines[3]
    assert "| s, 600 s | GLFT | 10 | +3.00 | -1.00 | -1.00 | +1.00 | 1.50 | none | 90% |" in single_runs([runs[1]])


def test_costs_are_numbers() -> None:
    """Of every contender, a quote and a curve."""
    measured = [cost(EMBEDDED, contender) for contender in (*CONTENDERS[:1], *OTHERS)]
    assert all(one.price_us > 0.0 and one.curve_us > 0.0 for one in measured)
    assert costs(measured).count("\n") == 2 + len(OTHERS)


def test_a_table_fills_its_place_and_nothing_else() -> None:
    """Twice as well as once; a table without a place is a mistake."""
    page = "words\n<!-- a -->\nold\n<!-- end a -->\nmore\n<!-- b -->\n<!-- end b -->\nend\n"
    once = filled(page, {"a": "| new \\1 |", "b": "| b |"})
    assert once == "words\n<!-- a -->\n| new \\1 |\n<!-- end a -->\nmore\n<!-- b -->\n| b |\n<!-- end b -->\nend\n"
    assert filled(once, {"a": "| new \\1 |", "b": "| b |"}) == once
    with pytest.raises(KeyError):
        filled(page, {"c": ""})


def test_the_page_has_a_place_for_every_table() -> None:
    """And shows the picture that is drawn."""
    page = (ROOT / "deploy/docs/models.md").read_text()
    assert filled(page, {"embedded": "x", "recorded": "x", "cost": "x"}).count("\nx\n") == 3
    assert "../pictures/models.svg" in page
    assert Path(ROOT / "deploy/pictures/models.svg").exists()
    assert isinstance(EMBEDDED, Scene)
