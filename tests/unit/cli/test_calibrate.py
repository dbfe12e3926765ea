"""`mm-daemon calibrate`: words, JSON, pictures, files, exit codes."""

import builtins
import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from mm_daemon import registry
from mm_daemon.cli.main import execute
from mm_daemon.config.load import loads
from tests.shared import ROOT, shared_file

EMBEDDED = """
version: 1
venues:
  sim: {connector: sim}
markets:
  - {venue: sim, symbol: BTC-USDT, order_size: 0.01, max_position: 0.1}
  - {venue: sim, symbol: ETH-USDT, order_size: 0.1, max_position: 1}
"""


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "config.yaml"
    path.write_text(EMBEDDED)
    return str(path)


def test_a_market_is_calibrated_in_words(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each figure with its unit, and a block that can be copied."""
    assert execute(["calibrate", "--config", config, "--duration", "2m"]) == 0
    told = capsys.readouterr().out
    for words in ("sim:BTC-USDT", "sim:ETH-USDT", "bps/sqrt(s)", "a year", "touch spread", "taker orders a minute"):
        assert words in told
    for words in ("fill intensity", "buyers", "sellers", "n_eff", "R2", "confidence", "fees break even", "GLFT quotes"):
        assert words in told
    for words in ("plain estimator", "maximum likelihood"):
        assert words in told, "which estimator it was"
    block = yaml.safe_load(told.split("suggested:")[1])
    assert set(block) == {"defaults", "markets"}
    assert [market["symbol"] for market in block["markets"]] == ["BTC-USDT", "ETH-USDT"]


def test_the_market_of_a_known_law_is_calibrated(capsys: pytest.CaptureFixture[str]) -> None:
    """The ready example: what is told, with its standard errors and estimators, is what the example's keys say."""
    example = ROOT / "deploy/examples/embedded-known-law.yaml"
    keys = yaml.safe_load(example.read_text("utf-8"))["venues"]["sim"]["symbols"]["BTC-USDT"]
    verb = ["calibrate", "--config", str(example), "--duration", "10m"]
    assert execute([*verb, "--json"]) == 0
    (market,) = json.loads(capsys.readouterr().out)["markets"]
    fit, volatility = market["fit"], market["volatility"]
    assert abs(fit["A"] - keys["taker_intensity"]) < 3 * fit["A_error"]
    assert abs(fit["k"] - keys["taker_k"]) < 3 * fit["k_error"]
    annual_error = market["annual_volatility"] * volatility["standard_error_bps"] / volatility["sigma_bps"]
    assert abs(market["annual_volatility"] - keys["volatility"]) < 3 * annual_error
    assert (volatility["fast_s"], volatility["slow_s"]) == (4.0, 12.0)
    assert execute(verb) == 0
    told = capsys.readouterr().out
    for words in ("two-scale estimator, moves of 12 s less moves of 4 s", "maximum likelihood", "±"):
        assert words in told


def test_json_has_all_of_it(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One object; the same seed gives the same bytes, another seed others."""
    verb = ["calibrate", "--config", config, "--duration", "60s", "--json", "--symbol", "sim:BTC-USDT"]
    assert execute(verb) == 0
    first = capsys.readouterr().out
    assert execute([*verb, "--seed", "1"]) == 0
    assert capsys.readouterr().out == first
    assert execute([*verb, "--seed", "2"]) == 0
    assert capsys.readouterr().out != first
    report = json.loads(first, parse_constant=pytest.fail)
    assert set(report) == {"markets", "problems", "notes", "yaml"}
    (market,) = report["markets"]
    assert market["market"] == "sim:BTC-USDT"
    assert {"volatility", "annual_volatility", "short_volatility", "touch_spread", "trades", "fit"} <= set(market)
    assert {"buys", "sells", "live", "break_even", "glft", "suggestion", "dropped", "warnings"} <= set(market)
    for side in ("fit", "buys", "sells"):
        assert {"A", "A_error", "k", "k_error", "n_eff", "r2", "confidence", "refused", "points"} <= set(market[side])
    assert set(market["glft"]) >= {"gamma", "half_spread_bps", "skew_bps", "shift_at_limit_bps"}
    assert yaml.safe_load(report["yaml"])["markets"][0]["gamma"] == market["suggestion"]["gamma"]


def test_the_suggestion_is_saved_and_never_over_another_file(
    config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is saved can stand in a configuration; a file that exists stays as it is."""
    path = tmp_path / "suggested.yaml"
    verb = ["calibrate", "--config", config, "--duration", "60s", "--save", str(path)]
    assert execute(verb) == 0
    saved = path.read_text()
    assert saved.startswith("# Suggested by `mm-daemon calibrate`")
    loaded = loads(
        "version: 1\nvenues: {sim: {connector: sim}}\n" + saved, "s.yaml", settings_of=registry.settings_of, environ={}
    )
    assert [market.symbol for market in loaded.markets] == ["BTC-USDT", "ETH-USDT"]
    begun = loads(
        EMBEDDED + f"defaults: {{calibration_file: {path}}}\n", "b.yaml", settings_of=registry.settings_of, environ={}
    )
    for market, suggested in zip(begun.markets, loaded.markets, strict=True):
        assert market.quoting.k == suggested.quoting.k
        assert market.warm is not None
        assert 0 <= time.time_ns() - market.warm.at_ns < 600 * 10**9
    capsys.readouterr()
    assert execute(verb) == 64
    said = capsys.readouterr()
    assert "not overwritten" in said.err and not said.out
    assert path.read_text() == saved
    assert execute([*verb[:-1], str(tmp_path / "none" / "s.yaml")]) == 64
    assert "cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_the_fit_is_drawn(config: str, tmp_path: Path, suffix: str) -> None:
    """A row for each market; the same run draws the same bytes."""
    pytest.importorskip("matplotlib")
    pictures = [tmp_path / f"{name}.{suffix}" for name in "ab"]
    for picture in pictures:
        assert execute(["calibrate", "--config", config, "--duration", "60s", "--plot", str(picture)]) == 0
    first, second = (picture.read_bytes() for picture in pictures)
    assert first == second
    assert first.startswith(b"\x89PNG" if suffix == "png" else b"<?xml")


def test_a_market_of_which_nothing_is_known_is_drawn_too(config: str, tmp_path: Path) -> None:
    """Words stand where a picture would be."""
    pytest.importorskip("matplotlib")
    picture = tmp_path / "a.svg"
    assert execute(["calibrate", "--config", config, "--duration", "1ms", "--plot", str(picture)]) == 0
    assert picture.stat().st_size > 1000


def test_without_matplotlib_it_says_how_to_get_it(
    config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the work, not after it."""
    real = builtins.__import__

    def absent(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.partition(".")[0] == "matplotlib":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.delitem(sys.modules, "matplotlib", raising=False)
    monkeypatch.setattr(builtins, "__import__", absent)
    assert execute(["calibrate", "--config", config, "--duration", "60s", "--plot", str(tmp_path / "a.png")]) == 64
    said = capsys.readouterr()
    assert "pip install 'mm-daemon[research]'" in said.err and not said.out


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ([], "never ends"),
        (["--duration", "60s", "--symbol", "BTC-USD"], "did you mean 'BTC-USDT'"),
        (["--duration", "60s", "--plot", "a.pdf"], ".png or .svg"),
        (["--duration", "60s", "--seed", "-1"], "--seed"),
        (["--duration", "soon"], "not a duration"),
    ],
)
def test_what_makes_no_sense_is_refused(
    config: str, wrong: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 64, in words."""
    assert execute(["calibrate", "--config", config, *wrong]) == 64
    assert words in capsys.readouterr().err


def test_a_feed_that_cannot_be_read_keeps_its_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """78, as for `backtest`."""
    path = tmp_path / "config.yaml"
    text = (ROOT / "deploy/examples/recorded-binance-usdm.yaml").read_text("utf-8")
    content = yaml.safe_load(text)
    content["venues"]["binance-usdm"]["path"] = str(tmp_path / "absent.gz")
    path.write_text(yaml.safe_dump(content))
    assert execute(["calibrate", "--config", str(path)]) == 78
    assert "absent.gz" in capsys.readouterr().err


def test_a_recording_is_calibrated(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """To its end without --duration; a failed fit is a warning and exit code 0."""
    recording = shared_file("data/binance-usdm-btcusdt-20240808.gz")
    monkeypatch.setenv("MM_SHARED", str(recording.parent.parent))
    example = str(ROOT / "deploy/examples/recorded-binance-usdm.yaml")
    assert execute(["calibrate", "--config", example, "--json"]) == 0
    (market,) = json.loads(capsys.readouterr().out)["markets"]
    assert market["observed_s"] > 300
    assert 0.5 < market["volatility"]["sigma_bps"] < 3
    assert market["trades"]["orders"] > 1000
    assert market["touch_spread"]["ticks"] >= 1.0
    assert execute(["calibrate", "--config", example, "--duration", "20s"]) == 0
    told = capsys.readouterr().out
    assert "20 s of market data" in told and "WARNING" in told


def test_another_recording_is_fed(
    config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In place of the one that the configuration names, which need not be there; only where a venue plays one."""
    recording = shared_file("data/binance-usdm-btcusdt-20240808.gz")
    monkeypatch.setenv("MM_SHARED", str(tmp_path))
    example = str(ROOT / "deploy/examples/recorded-binance-usdm.yaml")
    assert execute(["calibrate", "--config", example, "--feed", str(recording), "--duration", "20s", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["markets"][0]["trades"]["orders"] > 0
    assert execute(["calibrate", "--config", config, "--feed", str(recording)]) == 64
    assert "plays in place of a recorded venue's data, and the configuration has none" in capsys.readouterr().err
