"""From a configuration to a backtest: embedded markets whole, connectors without one refused."""

from pathlib import Path

import msgspec
import pytest

from connectors.sim.connector import SimConnector
from mm_daemon import registry
from mm_daemon.backtest.replay import verify
from mm_daemon.backtest.venues import backtest, compose
from mm_daemon.config.load import load
from mm_daemon.config.schema import Config
from mm_daemon.domain.errors import ConfigError

YAML = """
version: 1
venues:
  sim: {connector: sim}
markets:
  - {venue: sim, symbol: BTC-USDT, order_size: 0.01, max_position: 0.1}
  - {venue: sim, symbol: ETH-USDT, order_size: 0.1, max_position: 1}
"""


@pytest.fixture
def config(tmp_path: Path) -> Config:
    path = tmp_path / "config.yaml"
    path.write_text(YAML)
    return load(path, settings_of=registry.settings_of, environ={})


def test_an_embedded_market_is_backtested_from_its_configuration(config: Config, tmp_path: Path) -> None:
    """Two symbols are quoted for the time asked for, without a loop; equal runs are equal bytes and replay."""
    report = backtest(config, journal=tmp_path / "a", duration_s=20)
    assert len(report.markets) == 2
    assert all(market.orders_placed for market in report.markets)
    assert report.clean
    assert report.position is None, "two bases have no sum"
    assert report.pnl is not None
    backtest(config, journal=tmp_path / "b", duration_s=20)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert verify(tmp_path / "a").ok, verify(tmp_path / "a").to_text()


def test_a_connector_without_a_market_of_its_own_is_refused(config: Config) -> None:
    """What can only live in a loop cannot be backtested, and the message says what can."""

    class Live:
        Settings = SimConnector.Settings
        capabilities = None

        def __init__(self, *_: object) -> None:
            pass

    with pytest.raises(ConfigError, match="cannot be backtested"):
        compose(config, find=lambda name: Live)  # type: ignore[arg-type, return-value]


def test_markets_of_unused_venues_are_left_alone(config: Config) -> None:
    """A venue without markets is not opened."""
    (venue,) = config.venues.values()
    more = msgspec.structs.replace(config, venues={**config.venues, "idle": venue})
    _, sources = compose(more)
    assert list(sources) == ["sim"]
