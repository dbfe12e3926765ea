"""`mm-daemon explain`: words, JSON, a picture, exit codes."""

import json
import sys
from pathlib import Path

import msgspec
import pytest

from mm_daemon.backtest.explain.explanation import Explanation
from mm_daemon.cli.main import execute
from tests.shared import shared_file

ROOT = Path(__file__).parents[3]
CONFIG = str(ROOT / "config.yaml")
BTC = ["explain", "--config", CONFIG, "--symbol", "BTC-USDT"]


def test_an_embedded_market_is_watched_before_it_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    """Both markets, with a volatility of their own; the same twice, to the byte."""
    assert execute(["explain", "--config", CONFIG]) == 0
    said = capsys.readouterr().out
    assert said.count("60 s of the embedded market, watched without quotes of ours") == 2
    assert said.count("estimated with a half-life of 60 s") == 2
    for row in ("for risk (volatility)", "rounded to the grid", "after a fill of this bid", "a fill earns"):
        assert said.count(row) == 2
    assert execute(["explain", "--config", CONFIG, "--at", "60"]) == 0
    assert capsys.readouterr().out == said


def test_json_is_the_whole_explanation(capsys: pytest.CaptureFixture[str]) -> None:
    """It decodes into the struct it was made from, and says what the text says."""
    asked = [*BTC, "--mid", "60000.05", "--position", "-0.03", "--sigma", "2", "--json"]
    assert execute(asked) == 0
    text = capsys.readouterr().out
    explanation = msgspec.json.decode(text, type=Explanation)
    (market,) = explanation.markets
    assert (market.situation.bid, market.situation.ask, market.situation.position) == ("60000.0", "60000.1", "-0.0300")
    assert market.quotes is not None
    assert market.quotes.volatility.sigma_bps == 2.0
    assert market.quotes.bid.parts[0].name == "reference"
    assert set(json.loads(text)["markets"][0]["quotes"]) == {
        "reference",
        "volatility",
        "intensity",
        "risk_aversion",
        "half_spread",
        "skew",
        "break_even",
        "bid",
        "ask",
        "warm_start",
    }


def test_parts_add_up_with_all_that_a_market_says(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Momentum, flow, funding, regime and measured flow of both sides at once, with a position."""
    text = (ROOT / "config.yaml").read_text()
    for key, before, after in (
        ("model", "glft", "cartea_jaimungal"),
        ("calibration", "fixed", "market"),
        ("calibration_half_life_s", "600", "120"),
        ("momentum_beta", "0", "0.2"),
        ("flow_beta_bps", "0", "0.1"),
        ("regime_power", "0", "0.5"),
    ):
        assert f"  {key}: {before} " in text
        text = text.replace(f"  {key}: {before} ", f"  {key}: {after} ")
    config = tmp_path / "c.yaml"
    config.write_text(text)
    asked = ["explain", "--config", str(config), "--symbol", "ETH-USDT", "--position", "0.6", "--at", "900", "--json"]
    assert execute(asked) == 0
    (market,) = msgspec.json.decode(capsys.readouterr().out, type=Explanation).markets
    assert market.quotes is not None
    for side in (market.quotes.bid, market.quotes.ask):
        of = {part.name: part.bps for part in side.parts}
        assert all(of[name] for name in ("momentum", "flow", "max_shift", "unequal_flow", "inventory", "risk"))
        assert side.mid_ticks + sum(part.ticks for part in side.parts) == pytest.approx(side.unrounded_ticks, abs=1e-6)
        assert side.unrounded_ticks + side.rounding_ticks + side.post_only_ticks == side.ticks


def test_what_was_measured_is_told_with_how_well(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """`calibration: market` over some minutes of the embedded market: A and k are its, with sample, R2 and age."""
    config = tmp_path / "c.yaml"
    text = (ROOT / "config.yaml").read_text().replace("calibration: fixed ", "calibration: market ")
    config.write_text(text.replace("calibration_half_life_s: 600 ", "calibration_half_life_s: 120 "))
    assert execute(["explain", "--config", str(config), "--symbol", "ETH-USDT", "--at", "400", "--json"]) == 0
    (market,) = msgspec.json.decode(capsys.readouterr().out, type=Explanation).markets
    assert market.quotes is not None
    intensity = market.quotes.intensity
    assert intensity.measurement is not None
    assert intensity.measurement.n_eff > 20
    assert 0.0 <= intensity.measurement.r2 <= 1.0
    assert (intensity.A_origin == "measured") is (intensity.measurement.age_s is not None)
    assert execute(["explain", "--config", str(config), "--symbol", "ETH-USDT", "--at", "400"]) == 0
    assert "on the market's takers" in capsys.readouterr().out


@pytest.mark.parametrize("prices", [["--bid", "60000"], ["--ask", "60000"], ["--bid", "60001", "--ask", "60000"]])
def test_no_market_is_a_reason_and_no_mistake(prices: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """One-sided and crossed books: said in words, exit 0."""
    assert execute([*BTC, *prices]) == 0
    assert "no quotes" in capsys.readouterr().out


@pytest.mark.parametrize(
    "wrong",
    [
        ["--symbol", "DOGE-USDT"],
        ["--mid", "3"],
        ["--symbol", "BTC-USDT", "--mid", "60000.03"],
        ["--at", "0"],
        ["--at", "nan"],
        ["--sigma", "0"],
        ["--symbol", "BTC-USDT", "--mid", "60000", "--live"],
        ["--plot", "quotes.docx"],
    ],
)
def test_what_makes_no_sense_is_refused(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["explain", "--config", CONFIG, *wrong]) == 64
    assert capsys.readouterr().err


def test_a_given_volatility_below_the_least_one_is_said_so(capsys: pytest.CaptureFixture[str]) -> None:
    """Half a tick in a half-life is what is priced by then."""
    assert execute([*BTC, "--mid", "60000.05", "--sigma", "0.0001"]) == 0
    assert "half a tick in 60 s: what was given is less" in capsys.readouterr().out


def test_without_a_daemon_there_is_nothing_live(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert execute(["explain", "--config", CONFIG, "--live"]) == 64
    assert "no daemon answers" in capsys.readouterr().err


def test_a_recording_is_explained_at_its_end(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five real minutes: volatility is estimated, and a fee of 2 bps is what a fill has to earn."""
    monkeypatch.setenv("MM_SHARED", str(shared_file("data/DATA.md").parents[1]))
    config = str(ROOT / "deploy" / "examples" / "recorded-binance-usdm.yaml")
    assert execute(["explain", "--config", config, "--json"]) == 0
    (market,) = msgspec.json.decode(capsys.readouterr().out, type=Explanation).markets
    assert market.quotes is not None
    assert market.situation.source.startswith("the recording to its end")
    assert market.quotes.volatility.origin == "estimate"
    assert market.quotes.break_even.half_spread_bps == pytest.approx(2.0)


def test_a_picture_is_drawn(tmp_path: Path) -> None:
    """PNG and SVG, with quotes and without."""
    pytest.importorskip("matplotlib")
    picture = tmp_path / "quotes.png"
    assert execute(["explain", "--config", CONFIG, "--at", "5", "--plot", str(picture)]) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    empty = tmp_path / "none.svg"
    assert execute([*BTC, "--bid", "60000", "--plot", str(empty)]) == 0
    assert "<svg" in empty.read_text()
    assert execute([*BTC, "--bid", "60000", "--plot", str(tmp_path / "no" / "folder.png")]) == 64


def test_without_matplotlib_a_picture_is_refused_in_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert execute([*BTC, "--mid", "60000", "--plot", str(tmp_path / "quotes.png")]) == 64
    assert "needs matplotlib" in capsys.readouterr().err


def test_labels_of_the_ladder_stand_apart() -> None:
    """However close the prices: no two labels meet, none leaves the picture, and those with room stay in place."""
    from mm_daemon.cli.plots import explain as plot

    gap = plot._GAP
    placed = plot._apart([0.0, 0.5, 0.5, 0.5, 1.0])
    assert placed == pytest.approx([0.0, 0.5 - gap, 0.5, 0.5 + gap, 1.0])
    crowded = plot._apart([0.99, 1.0, 1.0])
    assert crowded == pytest.approx([1.0 - 2 * gap, 1.0 - gap, 1.0])
