"""From a configuration to a backtest: recordings and embedded markets whole, connectors without either refused."""

import gzip
import json
from decimal import Decimal
from pathlib import Path

import pytest

from mm_daemon import registry
from mm_daemon.backtest.replay import verify
from mm_daemon.backtest.venues import backtest, compose
from mm_daemon.config.load import load
from mm_daemon.config.problems import ConfigProblems
from mm_daemon.config.schema import Config
from mm_daemon.domain.errors import ConfigError, UsageError
from tests.shared import shared_file

EMBEDDED = """
version: 1
venues:
  sim: {connector: sim}
markets:
  - {venue: sim, symbol: BTC-USDT, order_size: 0.01, max_position: 0.1}
  - {venue: sim, symbol: ETH-USDT, order_size: 0.1, max_position: 1}
"""

RECORDED = """
version: 1
venues:
  binance-usdm:
    connector: recorded
    path: "{path}"
    translator: binance-usdm
    instruments:
      BTCUSDT: {{base: BTC, quote: USDT, tick: 0.1, lot: 0.001, min_notional: 100, maker_fee_bps: 2, taker_fee_bps: 5}}
markets:
  - {{venue: binance-usdm, symbol: BTCUSDT, order_size: 0.01, max_position: 0.05}}
"""


def config(tmp_path: Path, text: str) -> Config:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    return load(path, settings_of=registry.settings_of, environ={})


def test_an_embedded_market_is_backtested_from_its_configuration(tmp_path: Path) -> None:
    """Two symbols are quoted for the time asked for, without a loop; equal runs are equal bytes and replay."""
    embedded = config(tmp_path, EMBEDDED)
    report = backtest(embedded, journal=tmp_path / "a", duration_s=20)
    assert len(report.markets) == 2
    assert all(market.orders_placed for market in report.markets)
    assert report.clean
    assert report.position is None, "two bases have no sum"
    assert report.pnl is not None
    backtest(embedded, journal=tmp_path / "b", duration_s=20)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    verified = verify(tmp_path / "a")
    assert verified.ok, verified.to_text()
    assert verified.turns <= verified.events, "what the market does unseen is no turn of ours"


def test_an_embedded_market_needs_a_duration(tmp_path: Path) -> None:
    """What never ends is not started."""
    with pytest.raises(UsageError, match="never ends"):
        backtest(config(tmp_path, EMBEDDED), journal=None, duration_s=None)


def test_a_live_venue_is_refused_at_its_line(tmp_path: Path) -> None:
    """What can only live in a loop cannot be backtested; nothing is started."""

    class Live:
        capabilities = None

        def __init__(self, *_: object) -> None:
            pass

    with pytest.raises(ConfigProblems, match=r"config.yaml:4:3: venues.sim.connector: sim is live"):
        compose(config(tmp_path, EMBEDDED), find=lambda name: Live)  # type: ignore[arg-type, return-value]


def test_the_whole_recording_is_quoted_exactly_and_replays(tmp_path: Path) -> None:
    """All frames of the USD-M recording: hundreds of requotes, two-sided, inside the limit, exact to the last digit."""
    path = shared_file("data/binance-usdm-btcusdt-20240808.gz")
    report = backtest(config(tmp_path, RECORDED.format(path=path)), journal=tmp_path / "j", duration_s=None)
    assert report.messages == 93_954
    assert report.orders_placed + report.orders_amended > 200
    assert report.fills > 0
    assert report.quote_uptime > 0.5
    assert report.max_abs_position is not None
    assert report.max_abs_position <= Decimal("0.05")
    assert report.clean
    parsed = json.loads(report.to_json(), parse_float=Decimal, parse_int=Decimal)
    pnl = parsed["pnl"]
    assert pnl["total"] == pnl["spread"] + pnl["inventory"] + pnl["fees"] + pnl["funding"]
    assert pnl["total"] == parsed["cash"] + parsed["position_value"] - parsed["start_value"]
    (only,) = parsed["markets"]
    assert parsed["position_value"] == parsed["position"] * only["final_mid"]
    verified = verify(tmp_path / "j")
    assert verified.ok, verified.to_text()
    assert verified.compared.commands > 200


def test_a_damaged_recording_is_used_as_far_as_it_goes(tmp_path: Path) -> None:
    """Where that is asked for, frames before the damage are traded, and the report names the place; else it says so."""
    with gzip.open(shared_file("data/binance-usdm-btcusdt-20240808.gz")) as file:
        whole = file.read(3_000_000)
    path = tmp_path / "cut.gz"
    data = gzip.compress(whole[: whole.rindex(b"\n") + 1])
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(ConfigError, match=r"cut\.gz: line \d+: gzip is damaged at byte .*`damaged: skip`"):
        backtest(config(tmp_path, RECORDED.format(path=path)))
    asked = RECORDED.format(path=path).replace("translator:", "damaged: skip\n    translator:")
    report = backtest(config(tmp_path, asked))
    assert report.messages > 100
    assert report.clean
    assert report.notes
    assert report.notes[0] in report.to_text()


_NEAR_THE_LIMIT = """
defaults: {levels: 4, level_step_bps: 0.5, k: 1, level_size_ratio: 1.2, size_skew: 0.5, inventory_skip_at: 1,
  fill_lockout_ms: 200, order_lockout_ms: 100}
"""


def test_ladders_near_their_limit_ask_for_nothing_that_is_refused(tmp_path: Path) -> None:
    """Four levels where the limit holds three: on the embedded market a thirtieth of the commands used to be refused
    for the worst position, and every one of them is one that should not have been asked for.
    """
    embedded = EMBEDDED.replace("max_position: 0.1}", "max_position: 0.035}").replace("position: 1}", "position: 0.35}")
    report = backtest(config(tmp_path, embedded + _NEAR_THE_LIMIT), duration_s=90)
    assert report.fills > 100
    assert dict(report.refusals) == {}
    assert report.clean


def test_ladders_near_their_limit_on_a_recording(tmp_path: Path) -> None:
    """The same where the market is a real one."""
    path = shared_file("data/binance-usdm-btcusdt-20240808.gz")
    text = RECORDED.format(path=path).replace("max_position: 0.05}", "max_position: 0.035, half_spread_bps: 0.1}")
    report = backtest(config(tmp_path, text.replace("maker_fee_bps: 2", "maker_fee_bps: 0") + _NEAR_THE_LIMIT))
    assert report.fills > 0
    assert report.orders_placed > 20
    assert dict(report.refusals) == {}
