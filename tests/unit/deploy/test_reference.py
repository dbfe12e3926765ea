"""The pages that are made from code are what the code says, and no advice names what there is not."""

import re
from collections.abc import Mapping
from typing import Any

import pytest
from msgspec import Struct

from mm_daemon import registry
from mm_daemon.cli import model_pages
from mm_daemon.cli.main import app
from mm_daemon.cli.reference import PAGES
from mm_daemon.config.annotations import keys_of
from mm_daemon.config.schema import JournalSettings, MarketKeys, RiskSettings, RuntimeSettings
from mm_daemon.core.parameters import OrderRules, ReconcileRules
from mm_daemon.domain.decisions import Doubt, DropCode, Reason, RefusalCode
from mm_daemon.engine.intent import solved_intent
from mm_daemon.engine.models.catalogue import MODELS
from mm_daemon.engine.parameters import QuoteParameters
from mm_daemon.engine.pricing_model import ModelInputs, ModelSettings
from mm_daemon.engine.units import annual_vol_to_bps
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


def test_every_venue_has_a_page() -> None:
    """One that names its connector, and to which the page of all venues leads."""
    docs = ROOT / "deploy/docs"
    overview = (docs / "embedded.md").read_text("utf-8")
    pages = {
        "neutral": "your-own-connector.md",
        "paper": "embedded.md",
        "recorded": "recording.md",
        "sim": "embedded.md",
    }
    connectors = [plugin.name for plugin in registry.plugins() if plugin.kind == "connector"]
    assert len(connectors) >= 8
    for name in connectors:
        page = pages.get(name, f"{name}.md")
        assert f"`{name}`" in overview or f"mode: {name}" in overview, name
        assert page == "embedded.md" or f"]({page})" in overview, name
        assert re.search(rf"\b{name}\b", (docs / page).read_text("utf-8")), name


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


@pytest.mark.parametrize("name", MODELS)
def test_a_model_has_its_page_and_its_picture(name: str) -> None:
    """With what follows from code as the code has it; `make reference` writes it. The table of models leads there."""
    docs = ROOT / "deploy/docs"
    text = (docs / "models" / f"{name}.md").read_text("utf-8")
    assert text == model_pages.page(name, docs), "run make reference"
    assert re.findall("^## (.*)$", text, re.M) == [
        "What it assumes",
        "The formula, and where it is from",
        "Its keys",
        "When to use it, and when not",
        "What it quotes",
        "What it costs, and what was measured",
    ]
    (picture,) = re.findall(r"!\[[^]]+\]\(([^)]+)\)", text)
    assert (docs / "models" / picture).is_file()
    assert f"[`{name}`](models/{name}.md)" in (docs / "models.md").read_text("utf-8")


@pytest.mark.parametrize("name", MODELS)
def test_a_models_page_names_the_keys_that_its_quotes_depend_on(name: str) -> None:
    """All of them, and no other: each is changed from places where it may matter, and either moves a quote or not."""
    moving = {
        key
        for key in KEYS_OF_MODELS
        if any(depths(name, base) != depths(name, {**base, **KEYS_OF_MODELS[key]}) for base in BASES)
    }
    assert moving == set(model_pages.KEYS[name])


KEYS_OF_MODELS: Mapping[str, Mapping[str, Any]] = {
    "profile": {"profile": "conservative"},
    "half_spread_bps": {"half_spread_bps": 1.7},
    "skew_bps_at_max": {"skew_bps_at_max": 1.3},
    "gamma": {"gamma": 0.07},
    "k": {"k": 0.6},
    "intensity": {"intensity": 1.5},
    "volatility": {"volatility": 0.8},
    "tau": {"tau": 20.0},
    "session_s": {"session_s": 40.0},
    "terminal_penalty": {"terminal_penalty": 3.0},
    "max_position": {"max_position": 7},
}
BASES: tuple[Mapping[str, Any], ...] = (
    {},
    {"tau": 30.0},
    {"tau": "session", "session_s": 30.0},
    {"profile": "balanced"},
)


def depths(name: str, said: Mapping[str, Any]) -> list[float | None]:
    """Of a model that is told this, at some positions, in a market of the configured volatility."""
    orders = said.get("max_position", 4)
    keys = {key: value for key, value in said.items() if key != "max_position"}
    if name == "avellaneda_stoikov_symmetric":
        keys.pop("skew_bps_at_max", None)  # it is refused there
    quoting = QuoteParameters(model=name, **keys)
    sigma_bps = annual_vol_to_bps(quoting.volatility)
    gamma, k = solved_intent(quoting, max_orders=orders, sigma_bps=sigma_bps)
    left_s = 0.5 * quoting.session_s if quoting.tau == "session" else None
    inputs = ModelInputs(sigma_bps, quoting.intensity, quoting.intensity, k, gamma, 0.0, left_s)
    curve = MODELS[name](ModelSettings(quoting, orders)).curve(inputs)
    at = [curve.at(held) for held in (-3.0, 0.0, 1.0)]
    found = [depth for each in at for depth in (each.delta_bid, each.delta_ask)]
    return [None if depth is None else round(depth, 7) for depth in found]  # solving leaves the last digits open
