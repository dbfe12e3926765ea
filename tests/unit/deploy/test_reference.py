"""The pages that are made from code are what the code says, and no advice names what there is not."""

import re

import pytest
from msgspec import Struct

from mm_daemon import registry
from mm_daemon.cli.main import app
from mm_daemon.cli.reference import PAGES
from mm_daemon.config.annotations import keys_of
from mm_daemon.config.schema import JournalSettings, MarketKeys, RiskSettings, RuntimeSettings
from mm_daemon.core.parameters import OrderRules, ReconcileRules
from mm_daemon.domain.decisions import Doubt, DropCode, Reason, RefusalCode
from mm_daemon.engine.parameters import QuoteParameters
from mm_daemon.observability.advice import DOUBTS, DROPS, REASONS, REFUSALS
from tests.shared import ROOT


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_what_the_code_says(name: str) -> None:
    """`make reference` writes them."""
    assert (ROOT / "deploy/docs" / name).read_text("utf-8") == PAGES[name](), "run make reference"


def test_every_code_has_its_sentence() -> None:
    """None is left out, none is there that is no code."""
    for codes, sentences in ((Reason, REASONS), (RefusalCode, REFUSALS), (DropCode, DROPS), (Doubt, DOUBTS)):
        assert set(codes) == set(sentences)
        assert all(sentence[0] in "`" or sentence[0].isupper() for sentence in sentences.values())
        assert all(sentence.endswith(".") for sentence in sentences.values())


def test_what_advice_names_is_there() -> None:
    """Keys with the section they stand in, and verbs."""
    sections: dict[str, type[Struct]] = {
        "risk": RiskSettings,
        "orders": OrderRules,
        "reconcile": ReconcileRules,
        "runtime": RuntimeSettings,
        "journal": JournalSettings,
    }
    known = {f"{name}.{key}" for name, struct in sections.items() for key in keys_of(struct)}
    known |= {*keys_of(MarketKeys), *keys_of(QuoteParameters), *(name for name in app if not name.startswith("-"))}
    sentences = [*REASONS.values(), *REFUSALS.values(), *DROPS.values(), *DOUBTS.values()]
    named = {name for sentence in sentences for name in re.findall("`([^`]+)`", sentence)}
    assert len(named) > 20
    assert named - known <= {"enabled: false"}


def test_every_connector_of_ours_has_its_keys_on_the_page() -> None:
    """As its settings have them."""
    page = PAGES["configuration.md"]()
    for plugin in registry.plugins():
        if plugin.kind == "connector" and plugin.package == "mm-daemon" and plugin.name != "paper":
            part = page.partition(f"### `connector: {plugin.name}`\n")[2].partition("\n#")[0]
            assert re.findall(r"^\| `([^`]+)` \|", part, re.M) == list(keys_of(registry.settings_of(plugin.name)))


def test_guides_name_what_there_is() -> None:
    """Keys, verbs and options in backticks on the pages that people tune by."""
    text = (ROOT / "deploy/docs/tuning.md").read_text("utf-8")
    verbs = {match for match in re.findall(r"`(?:mm-daemon )?([a-z-]+)(?: [^`]*)?`", text) if match in set(app)}
    keys = {*keys_of(MarketKeys), *keys_of(QuoteParameters)}
    named = {match for match in re.findall(r"`([a-z_]+)(?::[^`]*)?`", text) if "_" in match}
    assert len(verbs) >= 8
    assert named - keys - {reason.value for reason in Reason} - {"response_latency_ms", "queue_model"} <= {
        "mm_ack_latency_seconds"
    }
