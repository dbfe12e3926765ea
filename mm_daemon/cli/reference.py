"""The pages of deploy/docs that are made from code: every key of a configuration, every code of a decision; and what
follows from code on the pages of the pricing models.

`make reference` writes them; a test compares.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mm_daemon import registry
from mm_daemon.cli import model_pages
from mm_daemon.config.annotations import Key, describe, keys_of, meaning, sections_in
from mm_daemon.config.schema import (
    HttpSettings,
    JournalSettings,
    LogSettings,
    MarketKeys,
    RiskSettings,
    RuntimeSettings,
    TopLevel,
)
from mm_daemon.config.template import default_text
from mm_daemon.core.parameters import OrderRules, ReconcileRules
from mm_daemon.domain.decisions import HOLD_MASK, WITHDRAW_MASK, Reason, reasons_in
from mm_daemon.domain.reconciliation import DiffKind
from mm_daemon.engine.parameters import QuoteParameters
from mm_daemon.observability.advice import DOUBTS, DROPS, REASONS, REFUSALS
from mm_daemon.observability.words import DIFFERENCES, WORDS
from mm_daemon.simulation.policy import NOT_KEYS, VenuePolicy

_SECTIONS: Mapping[str, tuple[Any, str]] = {
    "log": (LogSettings, "One line for each change of state, on stderr."),
    "risk": (RiskSettings, "Limits over all markets: beyond one of them everything is cancelled and stays off."),
    "orders": (OrderRules, "Commands whose outcome is not known, and what is remembered."),
    "reconcile": (ReconcileRules, "Differences between a venue's account and what we believe."),
    "runtime": (RuntimeSettings, "The process."),
    "journal": (JournalSettings, "What a run sees and answers, under `state_dir`."),
    "http": (HttpSettings, "The loopback server: /metrics, /healthz, /readyz and what else is served there."),
    "paper": (
        VenuePolicy,
        "What is assumed about a venue whose orders are executed here: paper mode and backtests.",
    ),
}


def configuration() -> str:
    """deploy/docs/configuration.md."""
    return "\n".join(_configuration())


def codes() -> str:
    """deploy/docs/reasons.md."""
    return "\n".join(_codes())


def _configuration() -> Iterator[str]:
    yield "# Every key of a configuration"
    yield ""
    yield "Made from the structs that reading enforces (`make reference`). `mm-daemon init` writes a first file with"
    yield "the same remarks, `mm-daemon check` names every mistake with file, line and key. Text may hold `${NAME}` or"
    yield "`${NAME:-default}` from the environment. Secrets never stand in the file: `secrets: {name: {env: NAME}}` or"
    yield "`{name: {file: PATH}}`."
    yield ""
    yield "## At the top"
    yield ""
    yield from _table(keys_of(TopLevel))
    for name, (struct, about) in _SECTIONS.items():
        yield ""
        yield f"## `{name}`"
        yield ""
        yield about
        yield ""
        keys = {
            key: value for key, value in keys_of(struct).items() if struct is not VenuePolicy or key not in NOT_KEYS
        }
        yield from _table(keys)
        yield from _below(name, keys)
    yield ""
    yield "## `markets`, and `defaults` for all of them"
    yield ""
    yield "A list with one entry for each market. Keys of the market itself:"
    yield ""
    yield from _table(keys_of(MarketKeys))
    yield ""
    yield "How it is priced and quoted:"
    yield ""
    yield from _table(keys_of(QuoteParameters))
    yield ""
    yield "## `venues`"
    yield ""
    yield "A name of your choice, with `connector`, `secrets` where it trades, and the connector's own keys."
    for plugin in registry.plugins():
        if plugin.kind == "connector" and plugin.name != "paper" and plugin.package == "mm-daemon":
            yield ""
            yield f"### `connector: {plugin.name}`"
            yield ""
            keys = keys_of(registry.settings_of(plugin.name))
            yield from _table(keys)
            yield from _below(f"connector {plugin.name}", keys)
    yield ""


def _table(keys: Mapping[str, Key]) -> Iterator[str]:
    if not keys:
        yield "No keys of its own."
        return
    yield "| key | meaning and what is allowed | default |"
    yield "|---|---|---|"
    for name, key in keys.items():
        yield f"| `{name}` | {_cell(describe(key.annotation))} | {default_text(key)} |"


def _below(where: str, keys: Mapping[str, Key]) -> Iterator[str]:
    """The sections of keys that stand under a key."""
    for name, key in keys.items():
        if meaning(key.annotation):  # one without is not meant for people
            for struct in sections_in(key.annotation):
                yield ""
                yield f"#### {where}: `{name}`"
                yield ""
                yield from _table(keys_of(struct))


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _codes() -> Iterator[str]:
    yield "# Every reason"
    yield ""
    yield "Made from code (`make reference`). The codes are the same in log, journal, metrics and `status`; the words"
    yield "are those of `watch` and the status page. A decision carries all that hold, the most important first."
    pulled, held = reasons_in(WITHDRAW_MASK), [*reasons_in(HOLD_MASK), *_STAYS]
    others = [reason for reason in Reason if reason not in {*pulled, *held, *_QUOTES}]
    yield from _reasons("Why there is no quote", pulled)
    yield from _reasons("Why a quote stays as it is", held)
    yield from _reasons("Why a quote is placed or moved", _QUOTES)
    yield from _reasons("Why an order was sent or cancelled that no quote asked for", others)
    for title, about, codes_ in (
        ("What the gate refuses", "Nothing reaches a venue but through it. In the order in which it asks:", REFUSALS),
        ("What never left", "Approved, and dropped before it was sent.", DROPS),
        ("What is not known well enough", "Quotes are wider by `low_confidence_widening`.", DOUBTS),
    ):
        yield ""
        yield f"## {title}"
        yield ""
        yield about
        yield ""
        yield "| code | meaning |"
        yield "|---|---|"
        for code, text in codes_.items():
            yield f"| `{code.value}` | {_cell(text)} |"
    yield ""
    yield "## How a venue's account may differ"
    yield ""
    yield "| code | words |"
    yield "|---|---|"
    for kind in DiffKind:
        yield f"| `{kind.value}` | {DIFFERENCES[kind]} |"
    yield ""


_STAYS = (Reason.MIN_LIFE, Reason.WITHIN_TOLERANCE)
_QUOTES = (Reason.NEW_QUOTE, Reason.TOO_AGGRESSIVE, Reason.TOO_PASSIVE, Reason.SIZE_CHANGED, Reason.EXPIRY_NEAR)


def _reasons(title: str, reasons: Sequence[Reason]) -> Iterator[str]:
    yield ""
    yield f"## {title}"
    yield ""
    yield "| code | words | meaning, and what to do |"
    yield "|---|---|---|"
    for reason in reasons:
        yield f"| `{reason.value}` | {WORDS[reason]} | {_cell(REASONS[reason])} |"


PAGES = {"configuration.md": configuration, "reasons.md": codes}


def main(folder: Path) -> None:
    for name, page in PAGES.items():
        (folder / name).write_text(page(), "utf-8")
    model_pages.write(folder, folder.parent / "pictures" / "models")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
