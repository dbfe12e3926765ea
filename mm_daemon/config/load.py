"""From a YAML file to a `Config`, or to the list of everything that is wrong with it.

One pass reads every section against its struct, a second (`rules.py`) checks what keys say about each other. Nothing is
started, opened or written. Connectors are a sibling layer: what keys they take is asked through `settings_of`.
"""

from collections.abc import Callable, Collection, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import msgspec
import yaml

from mm_daemon.config.annotations import FAILED, Key, keys_of, wanted
from mm_daemon.config.calibration_file import read_calibration
from mm_daemon.config.latency_file import read_latencies
from mm_daemon.config.nodes import Entry, Reader, compose, is_null, join
from mm_daemon.config.overrides import set_keys
from mm_daemon.config.problems import ConfigProblems, Place, Problem
from mm_daemon.config.rules import MarketEntries, check_journal, check_live, check_markets, money_of
from mm_daemon.config.schema import (
    Config,
    HttpSettings,
    JournalSettings,
    LogSettings,
    Market,
    MarketKeys,
    Money,
    RiskSettings,
    RuntimeSettings,
    TopLevel,
    VenueConfig,
)
from mm_daemon.config.secrets import Secrets, looks_secret
from mm_daemon.core.parameters import OrderRules, ReconcileRules
from mm_daemon.domain.errors import ConfigError
from mm_daemon.domain.instrument import Venue, instrument_id
from mm_daemon.engine.models.catalogue import MODELS
from mm_daemon.engine.parameters import QuoteParameters, WarmStart
from mm_daemon.simulation.models import MeasuredRow
from mm_daemon.simulation.policy import NOT_KEYS, VenuePolicy

SettingsOf = Callable[[str], type[msgspec.Struct]]
"""The `Settings` struct of a connector by name. Raises ConfigError, whose text says what names there are."""

MAX_BYTES = 1 << 20

_SECTIONS: dict[str, type[msgspec.Struct]] = {
    "log": LogSettings,
    "paper": VenuePolicy,
    "risk": RiskSettings,
    "orders": OrderRules,
    "reconcile": ReconcileRules,
    "runtime": RuntimeSettings,
    "journal": JournalSettings,
    "http": HttpSettings,
}
_WRAPPER = "paper"
"""The connector that is put around others in paper mode."""
_VENUE_KEYS = ("connector", "secrets")
_MARKET_KEYS = keys_of(MarketKeys)
_QUOTE_KEYS = keys_of(QuoteParameters)
_NONE: dict[str, tuple[yaml.Node, yaml.Node]] = {}


def load(
    path: Path,
    *,
    settings_of: SettingsOf,
    environ: Mapping[str, str],
    seed: int | None = None,
    models: Collection[str] = tuple(MODELS),
    overrides: Mapping[str, object] | None = None,
) -> Config:
    """Read a file; `seed` stands for the one written there, `models` are the names of pricing models that there are,
    `overrides` what stands for single keys (`overrides.py`).

    Raises ConfigProblems with everything that is wrong, ConfigError when the file cannot be read at all.
    """
    return loads(
        config_text(path),
        str(path),
        settings_of=settings_of,
        environ=environ,
        seed=seed,
        models=models,
        overrides=overrides,
    )


def state_dir_of(path: Path, *, environ: Mapping[str, str]) -> Path:
    """The `state_dir` that a file names, whatever else stands there: enough to find the daemon that runs with it.

    Raises ConfigProblems when that key is wrong, ConfigError when the file cannot be read at all.
    """
    problems: list[Problem] = []
    root = compose(config_text(path), str(path), problems)
    reader = Reader(str(path), environ, problems)
    found = reader.mapping(root, "") if root is not None else None
    key = keys_of(TopLevel)["state_dir"]
    value = key.default
    if found is not None and "state_dir" in found:
        value = reader.value(found["state_dir"][1], key.annotation, "state_dir")
    if problems:
        raise ConfigProblems(problems)
    state_dir: Path = value
    return state_dir


def load_settings(path: Path, struct: type[msgspec.Struct], *, environ: Mapping[str, str]) -> msgspec.Struct:
    """A file with the keys of one struct, such as a simulator's. Raises ConfigProblems and ConfigError as `load`."""
    if not path.exists():
        raise ConfigError(f"{path}: there is no such file")
    problems: list[Problem] = []
    root = compose(config_text(path), str(path), problems)
    if root is None and not problems:
        root = yaml.MappingNode("tag:yaml.org,2002:map", [], yaml.Mark(str(path), 0, 0, 0, "", 0))
    settings = None if root is None else Reader(str(path), environ, problems).struct(root, struct, "")
    if problems or settings is None:
        raise ConfigProblems(problems)
    return cast("msgspec.Struct", settings)


def composed(text: str, file: str, overrides: Mapping[str, object]) -> yaml.Node:
    """A configuration's text as a tree in which `overrides` stand. Raises ConfigProblems."""
    problems: list[Problem] = []
    root = compose(text, file, problems)
    if root is not None:
        set_keys(root, overrides, problems)
    if problems or root is None:
        raise ConfigProblems(problems)
    return root


def config_text(path: Path) -> str:
    """What a file says, unread. Raises ConfigError."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            raise ConfigError(f"{path}: larger than {MAX_BYTES} bytes, which no configuration is")
        return raw.decode("utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file; `mm-daemon init {path}` writes one to start from") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text (byte {error.start})") from error


def loads(
    text: str,
    file: str,
    *,
    settings_of: SettingsOf,
    environ: Mapping[str, str],
    seed: int | None = None,
    models: Collection[str] = tuple(MODELS),
    overrides: Mapping[str, object] | None = None,
) -> Config:
    """Read a configuration from text; `file` is what problems are reported under. Raises ConfigProblems."""
    problems: list[Problem] = []
    root = compose(text, file, problems)
    config = None
    if root is not None and overrides:
        set_keys(root, overrides, problems)
    if root is not None:
        config = _Loader(Reader(file, environ, problems), settings_of, seed, models).config(root)
    elif not problems:
        problems.append(Problem(Place(file, 1, 1), "", "is empty; `mm-daemon init` writes one to start from"))
    if problems or config is None:
        raise ConfigProblems(problems)
    return config


class _Loader:
    def __init__(self, reader: Reader, settings_of: SettingsOf, seed: int | None, models: Collection[str]) -> None:
        self._reader = reader
        self._settings_of = settings_of
        self._seed = seed
        self._models = models

    def config(self, root: yaml.Node) -> Config | None:
        reader = self._reader
        found = reader.mapping(root, "")
        if found is None:
            return None
        plain = keys_of(TopLevel)
        known = [*plain, *_SECTIONS, "venues", "defaults", "markets"]
        for key, (key_node, _) in found.items():
            if key not in known:
                reader.unknown(key_node, key, dict.fromkeys(known))
        entries = {
            key: Entry(reader.value(value, plain[key].annotation, key), reader.place(key_node))
            for key, (key_node, value) in found.items()
            if key in plain
        }
        top = reader.build(TopLevel, plain, entries, root, "")
        if self._seed is None:
            self._seed = 0 if top is FAILED else top.seed
        sections = {name: self._section(name, found) for name in _SECTIONS}
        venues = self._venues(root, found)
        markets = self._markets(root, found)
        capital = None if sections["risk"] is FAILED else sections["risk"].capital
        check_markets(markets, list(venues), self._models, capital, reader)
        warm = [self._warm_start(market) for market in markets]
        if top is not FAILED and sections["risk"] is not FAILED and "mode" in entries:
            check_live(top.mode, entries["mode"].place, sections["risk"], reader)
        if "journal" in found and sections["journal"] is not FAILED:
            check_journal(reader.place(found["journal"][0]), sections["journal"], reader)
        latencies = self._latencies(found, sections["paper"])
        if reader.problems:
            return None
        sections["paper"] = msgspec.structs.replace(sections["paper"], seed=self._seed, latency_rows=latencies)
        return Config(
            file=reader.file,
            mode=top.mode,
            state_dir=top.state_dir,
            control=top.control,
            seed=self._seed,
            venues={venue.name: venue for venue in venues.values() if venue is not None},
            markets=tuple(
                _market(market, money_of(market, capital), begins) for market, begins in zip(markets, warm, strict=True)
            ),
            **sections,
        )

    def _section(self, name: str, found: Mapping[str, tuple[yaml.Node, yaml.Node]]) -> Any:
        struct = _SECTIONS[name]
        if name not in found:
            return struct()
        node = found[name][1]
        keys = {key: value for key, value in keys_of(struct).items() if name != "paper" or key not in NOT_KEYS}
        return self._reader.build(struct, keys, self._reader.entries(node, keys, name), node, name)

    def _latencies(self, found: Mapping[str, tuple[yaml.Node, yaml.Node]], paper: Any) -> tuple[MeasuredRow, ...]:
        if paper is FAILED or paper.latency_file is None:
            return ()
        key = (self._reader.mapping(found["paper"][1], "paper") or _NONE)["latency_file"][0]
        return read_latencies(paper.latency_file, "paper.latency_file", self._reader.place(key), self._reader)

    def _venues(
        self, root: yaml.Node, found: Mapping[str, tuple[yaml.Node, yaml.Node]]
    ) -> dict[str, VenueConfig | None]:
        """Venues by name; None for one that has problems, so that its markets are not blamed for naming it."""
        reader = self._reader
        if "venues" not in found:
            reader.report(root, "venues", "is missing: a section with one entry for each venue")
            return {}
        venues: dict[str, VenueConfig | None] = {}
        for name, (key_node, node) in (reader.mapping(found["venues"][1], "venues") or _NONE).items():
            path = join("venues", name)
            if not name or ":" in name or not name.isprintable() or any(c.isspace() for c in name):
                reader.report(key_node, path, "a venue's name is one word without a colon")
            venues[name] = self._venue(name, reader.place(key_node), node, path)
        if not venues:
            reader.report(found["venues"][0], "venues", "has no entries: at least one venue is needed")
        return venues

    def _venue(self, name: str, place: Place, node: yaml.Node, path: str) -> VenueConfig | None:
        reader = self._reader
        found = reader.mapping(node, path)
        if found is None:
            return None
        secrets = self._secrets(found["secrets"][1], join(path, "secrets")) if "secrets" in found else Secrets()
        if "connector" not in found:
            reader.report(place, join(path, "connector"), "is missing: the name of a connector")
            return None
        connector = reader.value(found["connector"][1], str, join(path, "connector"))
        if connector is FAILED:
            return None
        if connector == _WRAPPER:
            reader.report(
                found["connector"][1],
                join(path, "connector"),
                "paper has no market data of its own: name the connector that has, and write mode: paper at the top",
            )
            return None
        try:
            struct = self._settings_of(connector)
        except ConfigError as error:
            reader.report(found["connector"][1], join(path, "connector"), str(error))
            return None
        keys = keys_of(struct)
        entries: dict[str, Entry] = {}
        for key, (key_node, value_node) in found.items():
            if key in _VENUE_KEYS:
                continue
            if key in keys:
                value = reader.value(value_node, keys[key].annotation, join(path, key))
                entries[key] = Entry(value, reader.place(key_node))
            elif looks_secret(key):
                reader.report(key_node, join(path, key), _belongs_in_secrets(key))
            else:
                reader.unknown(key_node, join(path, key), dict.fromkeys([*_VENUE_KEYS, *keys]))
        if "seed" in keys:  # a connector's chance starts where all chance does, unless its own seed is written
            entries.setdefault("seed", Entry(self._seed, place))
        settings = reader.build(struct, keys, entries, place, path)
        if settings is FAILED or secrets is None:
            return None
        return VenueConfig(name=Venue(name), connector=connector, settings=settings, secrets=secrets, place=place)

    def _secrets(self, node: yaml.Node, path: str) -> Secrets | None:
        reader = self._reader
        if not isinstance(node, yaml.MappingNode) and not is_null(node):
            reader.report(node, path, "must be a section: {name: {env: NAME}} or {name: {file: PATH}}")
            return None
        found = reader.mapping(node, path) or _NONE
        values = {name: reader.secret(value, join(path, name)) for name, (_, value) in found.items()}
        return None if None in values.values() else Secrets({name: value or "" for name, value in values.items()})

    def _markets(self, root: yaml.Node, found: Mapping[str, tuple[yaml.Node, yaml.Node]]) -> list[MarketEntries]:
        reader = self._reader
        keys: dict[str, Key] = {**_MARKET_KEYS, **_QUOTE_KEYS}
        defaults: dict[str, Entry] = {}
        if "defaults" in found:
            inheritable = {key: value for key, value in keys.items() if key != "symbol"}
            defaults = reader.entries(found["defaults"][1], inheritable, "defaults")
        if "markets" not in found:
            reader.report(root, "markets", "is missing: a list with one entry for each market")
            return []
        key_node, node = found["markets"]
        if not isinstance(node, yaml.SequenceNode) or not node.value:
            reader.report(
                key_node, "markets", "must be a list with one entry for each market: - {venue: …, symbol: …, …}"
            )
            return []
        markets = []
        for index, item in enumerate(node.value):
            path = f"markets[{index}]"
            if not isinstance(item, yaml.MappingNode):
                reader.report(item, path, "must be a section of keys: {venue: …, symbol: …, …}")
                continue
            own = reader.entries(item, keys, path)
            for key, (annotation, default) in keys.items():
                if default is FAILED and key not in own and key not in defaults:
                    reader.report(item, join(path, key), f"is missing: {wanted(annotation)}")
            markets.append(MarketEntries(path, reader.place(item), keys, own, defaults))
        return markets

    def _warm_start(self, market: MarketEntries) -> WarmStart | None:
        path, venue, symbol = (market.value(key) for key in ("calibration_file", "venue", "symbol"))
        if path is None or venue is None or symbol is None:
            return None
        key, place = market.where("calibration_file")
        return read_calibration(path, instrument_id(Venue(venue), symbol), key, place, _QUOTE_KEYS, self._reader)


def _market(market: MarketEntries, money: Money | None, warm: WarmStart | None) -> Market:
    """A market without problems, as a struct."""
    own = {key: market.value(key) for key in _MARKET_KEYS if key in Market.__struct_fields__}
    if money is not None:
        own.update(dict.fromkeys(("order_size", "max_position", "min_position", "max_order_size")))
    elif own["min_position"] is None:
        own["min_position"] = -own["max_position"]
    quoting = QuoteParameters(**{key: market.value(key) for key in _QUOTE_KEYS})
    if warm is not None:
        quoting = msgspec.structs.replace(quoting, volatility=warm.volatility, intensity=warm.intensity, k=warm.k)
    if money is None and own["max_order_size"] is None:
        largest = max(1.0, quoting.level_size_ratio ** (quoting.levels - 1))
        own["max_order_size"] = own["order_size"] * 2 * Decimal(repr(largest))
    return Market(
        **own,
        money=money,
        quoting=quoting,
        warm=warm,
        path=market.path,
        place=market.place,
        places={key: entry.place for key, entry in market.entries.items() if entry.value is not None},
    )


def _belongs_in_secrets(key: str) -> str:
    return f"a secret may not stand in this file; write secrets: {{{key}: {{env: NAME}}}} or {{file: PATH}}"
