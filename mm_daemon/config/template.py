"""A first configuration as text: paper trading on the embedded market, every key with its meaning, bounds and default.

The comments are made from the structs that reading enforces, so that they cannot come to say something else.
`mm-daemon init` writes it, and the repository's `config.yaml` is it.
"""

from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any

from mm_daemon.config.annotations import FAILED, Key, describe, keys_of, plain
from mm_daemon.config.load import SettingsOf
from mm_daemon.config.schema import (
    HttpSettings,
    JournalSettings,
    LogSettings,
    MarketKeys,
    RiskSettings,
    RuntimeSettings,
    TopLevel,
)
from mm_daemon.core.parameters import OrderRules, ReconcileRules
from mm_daemon.engine.parameters import QuoteParameters
from mm_daemon.simulation.policy import NOT_KEYS, VenuePolicy

_VALUE_WIDTH = 30

_TOP: Mapping[str, Any] = {"version": 1}
_RISK: Mapping[str, Any] = {"max_drawdown": 500, "max_loss": 500}
_CHOSEN: Mapping[str, Any] = {
    "collar_bps": 100,
    "k": 1,
    "max_spread_bps": 50,
    "max_skew_bps": 10,
    "low_confidence_widening": 1.5,
    "fill_lockout_ms": 200,
    "order_lockout_ms": 100,
}
"""What suits the embedded market, and whoever starts anew, better than the defaults do."""
_MARKETS = (
    {"venue": "sim", "symbol": "BTC-USDT", "order_size": 0.01, "max_position": 0.05, "min_position": -0.05},
    {"venue": "sim", "symbol": "ETH-USDT", "order_size": 0.2, "max_position": 1, "min_position": -1},
)


def template(settings_of: SettingsOf) -> str:
    """The text. `settings_of` knows the keys of the embedded market's connector."""
    return "\n".join(_lines(settings_of)) + "\n"


def _lines(settings_of: SettingsOf) -> Iterator[str]:
    yield "# mm-daemon quotes on paper, on a market of its own: no keys, no network. Beside each key: what it means,"
    yield "# what is allowed, its default. `mm-daemon check` names every mistake; README.md explains the rest."
    yield ""
    yield from _keys(keys_of(TopLevel), _TOP)
    for name, struct, chosen, about in (
        ("log", LogSettings, {}, "one line per change of state, on stderr"),
        (
            "paper",
            VenuePolicy,
            {},
            "what is assumed about a venue whose orders are executed here; the embedded market has its own",
        ),
        (
            "risk",
            RiskSettings,
            _RISK,
            "limits over all markets: beyond one of them everything is cancelled and stays off",
        ),
        ("orders", OrderRules, {}, "commands whose outcome is not known, and what is remembered"),
        ("reconcile", ReconcileRules, {}, "differences between a venue's account and what we believe"),
        ("runtime", RuntimeSettings, {}, ""),
        ("journal", JournalSettings, {}, "what a run sees and answers, under state_dir"),
        ("http", HttpSettings, {}, "status page, /metrics for Prometheus, /healthz, /readyz"),
    ):
        yield from _section(name, about)
        keys = {key: value for key, value in keys_of(struct).items() if name != "paper" or key not in NOT_KEYS}
        yield from _keys(keys, chosen, "  ")
    yield from _section("venues", "a name of your choice, its connector, the connector's own keys")
    yield "  # Secrets stand elsewhere, and here only where: secrets: {api_key: {env: NAME}} or {api_key: {file: PATH}}"
    yield "  sim:"
    yield _line("connector", "sim", "the embedded market; `mm-daemon connectors` lists the others", "    ")
    own = {key: value for key, value in keys_of(settings_of("sim")).items() if key != "seed"}
    yield from _keys(own, {}, "    ")
    yield from _section("defaults", "any key of a market, for all markets that do not say otherwise")
    common = {key: value for key, value in keys_of(MarketKeys).items() if key not in _MARKETS[0]}
    yield from _keys({**common, **keys_of(QuoteParameters)}, _CHOSEN, "  ")
    yield from _section("markets", "what is quoted; sizes in base units")
    meanings = keys_of(MarketKeys)
    for index, market in enumerate(_MARKETS):
        for position, (key, value) in enumerate(market.items()):
            comment = _comment(meanings[key]) if index == 0 else describe(meanings[key].annotation)
            yield _line(key, _text(value), comment, "    " if position else "  - ")


def _section(name: str, about: str) -> tuple[str, str]:
    return "", _line(name, "", about, "").rstrip()


def _keys(keys: Mapping[str, Key], chosen: Mapping[str, Any], indent: str = "") -> Iterator[str]:
    for key, spec in keys.items():
        yield _line(key, _text(chosen.get(key, spec.default)), _comment(spec), indent)


def _line(key: str, text: str, comment: str, indent: str) -> str:
    said = f"{indent}{key}: {text}" if text else f"{indent}{key}:"
    return f"{said:<{_VALUE_WIDTH}} # {comment}" if comment else said


def default_text(key: Key) -> str:
    """The default as YAML, for a table."""
    return "required" if key.default is FAILED else f"`{_text(key.default)}`"


def _comment(key: Key) -> str:
    said = describe(key.annotation)
    return f"{said}; required" if key.default is FAILED else f"{said}; default {_text(key.default)}"


def _text(value: Any) -> str:
    """A value as YAML."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return plain(value)
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, tuple | list):
        return f"[{', '.join(_text(item) for item in value)}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_text(item)}" for key, item in value.items()) + "}"
    return str(value)
