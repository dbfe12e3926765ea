"""Keys set from outside a file: as if they stood there, read and checked the same, and named where they are wrong."""

from decimal import Decimal
from pathlib import Path

import pytest

from mm_daemon import registry
from mm_daemon.config.load import loads
from mm_daemon.config.overrides import pairs
from mm_daemon.config.problems import ConfigProblems
from mm_daemon.config.schema import Config
from mm_daemon.simulation.models import QueueModel

TEXT = """
version: 1
venues:
  sim: {connector: sim}
defaults: {venue: sim, gamma: 0.5}
markets:
  - {symbol: BTC-USDT, order_size: 0.01, max_position: 0.1}
  - {symbol: ETH-USDT, order_size: 0.1, max_position: 1, gamma: 0.25}
"""


def config(**overrides: object) -> Config:
    return read({key.replace("__", "."): value for key, value in overrides.items()})


def read(overrides: dict[str, object]) -> Config:
    return loads(TEXT, "config.yaml", settings_of=registry.settings_of, environ={}, overrides=overrides)


def gammas(found: Config) -> list[float]:
    return [market.quoting.gamma for market in found.markets]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("defaults.gamma", [0.75, 0.25]),
        ("markets.*.gamma", [0.75, 0.75]),
        ("markets[1].gamma", [0.5, 0.75]),
        ("markets.BTC-USDT.gamma", [0.75, 0.25]),
        ("markets.sim:ETH-USDT.gamma", [0.5, 0.75]),
    ],
)
def test_a_key_is_named_by_its_way_from_the_top(path: str, expected: list[float]) -> None:
    """Of the defaults, of every market, of one by number or name."""
    for value in (0.75, "0.75", Decimal("0.75")):
        assert gammas(read({path: value})) == expected


def test_sections_that_the_file_lacks_are_made() -> None:
    """And values are read as the key wants them: words, lists, null, paths, sections."""
    found = read(
        {
            "paper.queue_model": QueueModel.POWER,
            "paper.entry_samples_ms": [1, 2.5],
            "paper.faults": {"lose_reply": 0.5},
            "risk.reject_storm": None,
            "state_dir": Path("elsewhere"),
            "venues.sim.symbols": "{}",
        }
    )
    assert found.paper.queue_model is QueueModel.POWER
    assert found.paper.entry_samples_ms == (1.0, 2.5)
    assert found.paper.faults is not None
    assert found.paper.faults.lose_reply == 0.5
    assert found.risk.reject_storm is None
    assert found.state_dir == Path("elsewhere")


def test_what_is_wrong_is_told_where_it_was_set() -> None:
    """All at once, beside what is wrong in the file."""
    with pytest.raises(ConfigProblems) as caught:
        read(
            {
                "markets.*.gamma": -1,
                "paper.queue_modl": 1,
                "markets.XRP.gamma": 1,
                "markets[7].gamma": 1,
                "markets": 1,
                "version.x": "[",
            }
        )
    told = str(caught.value)
    assert "override markets.*.gamma:1:1: markets[0].gamma: is -1, must be a number above 0" in told
    assert "override paper.queue_modl:1:1: paper.queue_modl: unknown key (did you mean 'queue_model'?)" in told
    assert "there is no market XRP; the file has BTC-USDT, ETH-USDT" in told
    assert "there is no market 7: the file has 2" in told
    assert "names no key; markets are named as" in told
    assert "cannot be read as YAML" in told


def test_pairs_of_a_command_line() -> None:
    """KEY=VALUE, where the value may have an equals sign of its own."""
    assert pairs(("a.b=1", "c=x=y")) == {"a.b": "1", "c": "x=y"}
    with pytest.raises(ValueError, match="write KEY=VALUE"):
        pairs(("gamma",))
