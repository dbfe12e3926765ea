"""The page on dYdX names tests that exist, and the configurations that are shipped for it can be read."""

import re

import pytest

from mm_daemon import registry
from mm_daemon.config.load import load
from tests.shared import ROOT


def test_every_test_that_the_page_names_is_there() -> None:
    """A pitfall whose test was renamed or removed has none."""
    page = (ROOT / "deploy/docs/dydx.md").read_text("utf-8")
    named = set(re.findall(r"`(test_\w+)`", page))
    files = [*(ROOT / "tests").rglob("*.py"), ROOT / "mm_daemon/testkit/conformance.py"]
    written = {name for path in files for name in re.findall(r"def (test_\w+)", path.read_text("utf-8"))}
    assert len(named) > 30
    assert named - written == set()
    numbers = [int(number) for number in re.findall(r"(?m)^(\d+)\. \*\*", page)]
    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize("name", ["paper", "testnet", "live"])
def test_ready_configurations_are_valid(name: str) -> None:
    """Each loads, with the connector's own keys, and names the network that its title says."""
    file = ROOT / f"deploy/examples/dydx-{name}.yaml"
    config = load(file, settings_of=registry.settings_of, environ={"DYDX_PRIVATE_KEY": "11" * 32})
    (venue,) = config.venues.values()
    assert venue.connector == "dydx"
    assert config.mode == ("paper" if name == "paper" else "live")
    assert f"network: {'testnet' if name == 'testnet' else 'mainnet'}" in file.read_text("utf-8")
