"""What can be plugged in, found by entry point: connectors, simulators, wire translators, pricing models; ours like
anybody's.

Only the composition roots and the command line ask here. Nothing is imported until it is asked for by name.
"""

from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import msgspec

from mm_daemon.domain.errors import ConfigError
from mm_daemon.domain.spelling import did_you_mean
from mm_daemon.engine.pricing_model import ModelFactory
from mm_daemon.ports.connector import Connector, WireTranslator
from mm_daemon.ports.simulator import VenueSimulator

CONNECTORS = "mm_daemon.connectors"
SIMULATORS = "mm_daemon.simulators"
TRANSLATORS = "mm_daemon.translators"
MODELS = "mm_daemon.models"


class UnknownPlugin(ConfigError):
    """Nothing is registered under a name, or what is registered cannot be used. Say what there is; exit 78."""


class Plugin(msgspec.Struct, frozen=True, order=True):
    """One entry of a group: its name, the package that brings it, and where it points."""

    kind: str
    name: str
    package: str
    target: str


def connector(name: str) -> type[Connector]:
    """The connector class registered under `name`. Raises UnknownPlugin."""
    found: type[Connector] = _load(CONNECTORS, "connector", name)
    return found


def simulator(name: str) -> type[VenueSimulator]:
    """The venue simulator registered under `name`. Raises UnknownPlugin."""
    found: type[VenueSimulator] = _load(SIMULATORS, "simulator", name)
    return found


def translator(name: str) -> type[WireTranslator]:
    """The wire translator registered under `name`. Raises UnknownPlugin."""
    found: type[WireTranslator] = _load(TRANSLATORS, "translator", name)
    return found


def settings_of(name: str) -> type[msgspec.Struct]:
    """The keys a connector takes: its `Settings` struct. Raises UnknownPlugin."""
    settings = getattr(connector(name), "Settings", None)
    if not (isinstance(settings, type) and issubclass(settings, msgspec.Struct)):
        raise UnknownPlugin(f"connector {name!r} has no Settings struct, so no configuration can be read for it")
    return settings


_models_here: dict[str, ModelFactory] = {}


def use_model(name: str, factory: ModelFactory) -> None:
    """Let this process know a pricing model without a package around it: to try it in backtests of one process."""
    _models_here[name] = factory


class PricingModels(Mapping[str, ModelFactory]):
    """The pricing models by name, each imported when it is asked for. What a journal names may no longer be here."""

    def __getitem__(self, name: str) -> ModelFactory:
        """Raises UnknownPlugin for a name that nobody registers, or that cannot be loaded."""
        if name in _models_here:
            return _models_here[name]
        found: ModelFactory = _load(MODELS, "model", name)
        return found

    def __contains__(self, name: object) -> bool:
        """Whether somebody registers it; nothing is imported."""
        return name in _models_here or name in _entries(MODELS)

    def __iter__(self) -> Iterator[str]:
        return iter({**_models_here, **_entries(MODELS)})

    def __len__(self) -> int:
        return len({**_models_here, **_entries(MODELS)})


def plugins() -> list[Plugin]:
    """Everything that is registered, by kind and name."""
    kinds = ("connector", CONNECTORS), ("simulator", SIMULATORS), ("translator", TRANSLATORS), ("model", MODELS)
    return [plugin for kind, group in kinds for plugin in sorted(_listed(kind, group))]


def _listed(kind: str, group: str) -> Iterator[Plugin]:
    for name, entry in _entries(group).items():
        yield Plugin(kind, name, entry.dist.name if entry.dist else "unknown", entry.value)


@cache
def _entries(group: str) -> dict[str, EntryPoint]:
    entries: dict[str, EntryPoint] = {}
    for entry in sorted(entry_points(group=group), key=lambda entry: (entry.name, entry.value)):
        other = entries.setdefault(entry.name, entry)
        if other.value != entry.value:
            raise UnknownPlugin(
                f"two packages register {entry.name!r} in {group}: {other.value} and {entry.value}; "
                "uninstall one of them"
            )
    return entries


def _load(group: str, kind: str, name: str) -> Any:
    entries = _entries(group)
    if name not in entries:
        known = ", ".join(entries) or "none: is mm-daemon installed?"
        raise UnknownPlugin(f"there is no {kind} {name!r}{did_you_mean(name, entries)}; there are {known}")
    try:
        return entries[name].load()
    except (ImportError, AttributeError) as error:
        raise UnknownPlugin(f"{kind} {name!r} ({entries[name].value}) cannot be loaded: {error}") from error
