"""The first configuration: it is right, it is complete, and the repository's own is it."""

import os
import re

import yaml

from mm_daemon import registry
from mm_daemon.config.annotations import keys_of
from mm_daemon.config.load import loads
from mm_daemon.config.template import template
from mm_daemon.engine.parameters import QuoteParameters
from tests.shared import ROOT

TEXT = template(registry.settings_of)


def test_the_template_reads_back_without_a_mistake() -> None:
    """What `init` writes can be run: paper, the embedded market, two symbols, no secret."""
    config = loads(TEXT, "config.yaml", settings_of=registry.settings_of, environ={})
    assert config.mode == "paper"
    assert [market.id for market in config.markets] == ["sim:BTC-USDT", "sim:ETH-USDT"]
    assert all(not venue.secrets for venue in config.venues.values())


def test_every_key_has_a_comment() -> None:
    """No line of the template leaves its key unexplained, and no quoting key is missing."""
    lines = [line for line in TEXT.splitlines() if line and not line.lstrip().startswith("#")]
    assert [line for line in lines if ":" in line.partition("#")[0] and "# " not in line] == ["runtime:", "  sim:"]
    assert set(keys_of(QuoteParameters)) <= set(yaml.safe_load(TEXT)["defaults"])


def test_the_repositorys_configuration_is_the_template() -> None:
    """`config.yaml` at the root is what `mm-daemon init` writes; make it again when a key changes."""
    assert (ROOT / "config.yaml").read_text("utf-8") == TEXT


def test_the_examples_are_right() -> None:
    """Every ready configuration under deploy/examples reads without a mistake, wherever the shared files are."""
    examples = sorted((ROOT / "deploy" / "examples").glob("*.yaml"))
    assert examples
    for path in examples:
        text = path.read_text("utf-8")
        environ = {**os.environ, **dict.fromkeys(re.findall(r"\{env: (\w+)\}", text), "somebody's")}
        assert loads(text, path.name, settings_of=registry.settings_of, environ=environ).markets
