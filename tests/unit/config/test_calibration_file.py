"""A calibration file as what a market begins with: read with the configuration, refused at its line."""

import os
from pathlib import Path

import pytest

from mm_daemon.config.calibration_file import measured_line
from mm_daemon.config.schema import Market
from tests.unit.config.sample import problems, read

SAVED = """\
# Suggested by `mm-daemon calibrate` from the market data of c.yaml: sections of a configuration.
# Measured v:ETH-USDT until 2026-11-25T10:00:00Z, confidence 0.50
# Measured v:BTC-USDT until 2026-11-26T10:00:00Z, confidence 0.72
defaults:
  model: glft

markets:
  - venue: v
    symbol: ETH-USDT
    k: 9
    intensity: 9
    volatility: 9
  - venue: v
    symbol: BTC-USDT
    order_size: 0.0100
    k: 1.72                       # 1/bps, standard error 0.17
    intensity: 3.18
    volatility: 0.324
"""
MEASURED_S = 1_795_687_200
"""When BTC-USDT was."""


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "cal.yaml"
    path.write_text(SAVED)
    os.utime(path, (MEASURED_S + 60, MEASURED_S + 60))
    return path


def config(path: Path, keys: str = "", symbol: str = "BTC-USDT") -> str:
    return f"""\
version: 1
venues:
  v: {{connector: fake}}
markets:
  - venue: v
    symbol: {symbol}
    order_size: 0.01
    max_position: 0.05
    calibration_file: {path}{keys}
"""


def only(text: str) -> Market:
    (market,) = read(text).markets
    return market


def test_its_volatility_intensity_and_k_are_begun_with(saved: Path) -> None:
    """Those of this market, whatever the configuration says of them; the rest stays; the age is known."""
    market = only(config(saved, "\n    k: 5\n    gamma: 0.3"))
    assert (market.quoting.k, market.quoting.intensity, market.quoting.volatility) == (1.72, 3.18, 0.324)
    assert market.quoting.gamma == 0.3
    assert market.warm is not None
    assert market.warm.file == str(saved)
    assert market.warm.at_ns == MEASURED_S * 10**9
    assert market.warm.confidence == 0.72
    assert only(config(saved).replace(f"    calibration_file: {saved}\n", "")).warm is None


def test_defaults_may_name_it_for_all_markets(saved: Path) -> None:
    """Each market takes its own."""
    text = (
        config(saved)
        .replace(f"    calibration_file: {saved}\n", "")
        .replace("markets:", f"defaults: {{calibration_file: {saved}}}\nmarkets:")
    )
    eth = "  - {venue: v, symbol: ETH-USDT, order_size: 0.01, max_position: 0.05}\n"
    assert [market.quoting.k for market in read(text + eth).markets] == [1.72, 9.0]


def test_without_a_line_that_says_when_it_is_as_old_as_the_file(saved: Path) -> None:
    """As older versions saved it; nothing is known of how sure it is."""
    saved.write_text("".join(line for line in SAVED.splitlines(keepends=True) if "Measured" not in line))
    os.utime(saved, (1000, 1000))
    warm = only(config(saved)).warm
    assert warm is not None
    assert (warm.at_ns, warm.confidence) == (1000 * 10**9, 0.0)


def test_a_file_from_the_future_is_as_old_as_its_writing(saved: Path) -> None:
    """A slip of the pen, or an embedded market played ahead of time, must not outrank what is learned later."""
    saved.write_text(SAVED.replace("2026-11-26T", "2126-11-26T"))
    os.utime(saved, (MEASURED_S, MEASURED_S))
    warm = only(config(saved)).warm
    assert warm is not None
    assert (warm.at_ns, warm.confidence) == (MEASURED_S * 10**9, 0.72)


def test_another_markets_calibration_is_refused(saved: Path) -> None:
    """At the key that names it, with the markets that it is of."""
    (problem,) = problems(config(saved, symbol="SOL-USDT"))
    assert problem.startswith("c.yaml:9:5: markets[0].calibration_file: ")
    assert "calibration of v:ETH-USDT, v:BTC-USDT, not of v:SOL-USDT" in problem
    assert "calibrate --save" in problem


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("    k: 1.72 ", "    k: x ", "cal.yaml:16:8: markets[1].k: is x, must be a number above 0"),
        ("    k: 1.72 ", "    k: -1 ", "cal.yaml:16:8: markets[1].k: is -1, must be"),
        ("    k: 1.72 ", "    k: .nan ", "cal.yaml:16:8: markets[1].k: is .nan, must be"),
        ("    volatility: 0.324\n", "", "cal.yaml:13:5: markets[1].volatility: is missing: a number"),
        ("    symbol: BTC-USDT\n", "", "cal.yaml:13:5: markets[1].symbol: is missing"),
        ("markets:\n", "market:\n", "markets: is missing, so this is no calibration"),
        ("  model: glft", "  model: [", "not readable as YAML"),
        ("11-26T10", "11-26 at 10", "cal.yaml:3:1: does not say when it was measured"),
        ("2026-11-26", "2026-13-26", "cal.yaml:3:1: does not say when it was measured"),
        ("0.72", "7.2", "cal.yaml:3:1: does not say when it was measured"),
    ],
)
def test_a_damaged_file_is_refused_at_its_line(saved: Path, old: str, new: str, said: str) -> None:
    """File, line and key, and nothing is begun with."""
    assert SAVED.count(old) == 1
    saved.write_text(SAVED.replace(old, new))
    (problem,) = problems(config(saved))
    assert said in problem
    assert str(saved) in problem


def test_a_file_that_is_not_there_or_no_text_is_refused(tmp_path: Path, saved: Path) -> None:
    """At the key that names it."""
    (problem,) = problems(config(tmp_path / "none.yaml"))
    assert "c.yaml:9:5: markets[0].calibration_file" in problem and "cannot be read" in problem
    (problem,) = problems(config(tmp_path))
    assert "cannot be read" in problem
    saved.write_bytes(b"\xff\xfe")
    (problem,) = problems(config(saved))
    assert "not UTF-8" in problem
    saved.write_text("")
    (problem,) = problems(config(saved))
    assert "no market" in problem


def test_the_line_that_is_written_is_the_line_that_is_read(saved: Path) -> None:
    """To the second, and to two places."""
    line = measured_line("v:BTC-USDT", 1_700_000_000 * 10**9 + 5, 0.456)
    saved.write_text(line + SAVED.replace("# Measured v:BTC", "# measured v:BTC"))
    warm = only(config(saved)).warm
    assert warm is not None
    assert (warm.at_ns, warm.confidence) == (1_700_000_000 * 10**9, 0.46)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ("toxic_vpin: 0.5", "toxic_vpin 0.5 pulls for toxic_cool_down_ms, which is 0"),
        ("toxic_vpin_widen: 0.5\n    toxic_vpin: 0.5\n    toxic_cool_down_ms: 100", "must be below toxic_vpin"),
        ("toxic_vpin_widen: 1", "toxic_vpin_widen: is 1, must be"),
        (
            "volatility_estimator: two_scale\n    volatility_step_ms: 0",
            "volatility_estimator two_scale needs a clock: volatility_step_ms must be above 0",
        ),
        ("low_confidence_widening: 0.5", "low_confidence_widening: is 0.5, must be"),
    ],
)
def test_signals_that_contradict_each_other_are_refused(saved: Path, keys: str, said: str) -> None:
    """At the key a person would change."""
    (problem,) = problems(config(saved, f"\n    {keys}"))
    assert said in problem
