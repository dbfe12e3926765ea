"""Connectors and translators are found by entry point; a name that is not there is answered with the names that are."""

from pathlib import Path

import msgspec
import pytest

from mm_daemon import registry
from mm_daemon.engine.models.catalogue import MODELS
from mm_daemon.ports.connector import EmbeddedVenue, RecordedFeed


def test_our_own_plugins_are_found_like_anybodys() -> None:
    """The names of README are registered, each with the package that brings it."""
    found = {(plugin.kind, plugin.name) for plugin in registry.plugins()}
    assert {("connector", "sim"), ("connector", "recorded"), ("connector", "paper")} <= found
    assert {("connector", "neutral"), ("simulator", "neutral")} <= found
    assert {("translator", "binance-usdm"), ("translator", "binance-spot")} <= found


def test_everything_registered_can_be_loaded() -> None:
    """No entry point leads nowhere, and every connector says which keys it takes."""
    for plugin in registry.plugins():
        if plugin.kind == "connector":
            assert issubclass(registry.settings_of(plugin.name), msgspec.Struct)
        elif plugin.kind == "translator":
            assert registry.translator(plugin.name)
        elif plugin.kind == "simulator":
            assert issubclass(registry.simulator(plugin.name).Settings, msgspec.Struct)
        else:
            assert callable(registry.PricingModels()[plugin.name])


def test_our_venues_without_network_can_be_backtested() -> None:
    """`sim` is a market in this process, `recorded` a feed that needs no loop."""
    assert issubclass(registry.connector("sim"), EmbeddedVenue)
    assert issubclass(registry.connector("recorded"), RecordedFeed)


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    """With the nearest one first; the exit code is that of a bad configuration."""
    with pytest.raises(
        registry.UnknownPlugin, match=r"no connector 'simm' \(did you mean 'sim'\?\); there are"
    ) as caught:
        registry.settings_of("simm")
    assert caught.value.exit_code == 78
    with pytest.raises(registry.UnknownPlugin, match="no translator 'x'"):
        registry.translator("x")
    models = registry.PricingModels()
    assert "glft" in models
    assert "gltf" not in models
    with pytest.raises(registry.UnknownPlugin, match=r"no model 'gltf' \(did you mean 'glft'\?\); there are") as caught:
        models["gltf"]
    assert caught.value.exit_code == 78


@pytest.fixture
def plugins_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the path that brings plugins of its own."""
    info = tmp_path / "theirs-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    registry._entries.cache_clear()
    return info / "entry_points.txt"


def test_a_plugin_that_cannot_be_loaded_is_an_error_for_people(plugins_elsewhere: Path) -> None:
    """A missing module or a class without Settings says which plugin it was, not where in the import it broke."""
    plugins_elsewhere.write_text("[mm_daemon.connectors]\nbroken = absent_module:X\nbare = pathlib:Path\n")
    with pytest.raises(registry.UnknownPlugin, match=r"connector 'broken' \(absent_module:X\) cannot be loaded"):
        registry.connector("broken")
    with pytest.raises(registry.UnknownPlugin, match="connector 'bare' has no Settings struct"):
        registry.settings_of("bare")
    registry._entries.cache_clear()


def test_two_plugins_of_one_name_are_refused(plugins_elsewhere: Path) -> None:
    """Which of them would be used must not depend on the order of the path."""
    plugins_elsewhere.write_text("[mm_daemon.connectors]\nsim = pathlib:Path\n")
    with pytest.raises(registry.UnknownPlugin, match="two packages register 'sim'"):
        registry.plugins()
    registry._entries.cache_clear()


def test_a_model_of_this_process_is_found_like_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a package around it; those of packages stay."""
    monkeypatch.setattr(registry, "_models_here", {})
    registry.use_model("mine", MODELS["glft"])
    known = registry.PricingModels()
    assert known["mine"] is MODELS["glft"]
    assert {"mine", "glft", "ho_stoll"} <= set(known)
    assert len(known) == len(set(known))
    assert "mine" in known
    assert "yours" not in known
