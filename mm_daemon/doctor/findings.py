"""What `mm-daemon doctor` found: for machines as one JSON object, for people a line each."""

import textwrap
from collections.abc import Iterable, Sequence

import msgspec

from mm_daemon.backtest.explanation import MarketExplanation
from mm_daemon.config.schema import Mode
from mm_daemon.ports.examination import Check, Verdict

EXIT_FAILED = 83
"""A check has failed; no exit code of `run`."""
ORDER = (
    *("configuration", "connection", "latency", "clock", "lag", "nodes", "credentials", "agent", "tier", "permissions"),
    *("balance", "margin", "position_mode", "contract", "size", "fees", "limits", "dead_man", "orders", "position"),
    *("book", "quotes"),
)
"""Names of checks in the order of the report; others come last."""
_WORDS = {
    Verdict.OK: "ok",
    Verdict.WARNING: "warning",
    Verdict.FAILED: "FAILED",
    Verdict.NOT_APPLICABLE: "-",
}
_VERDICT, _NAME, _WIDTH = 9, 14, 128


class VenueFindings(msgspec.Struct, frozen=True):
    venue: str
    connector: str
    checks: tuple[Check, ...]
    markets: tuple[MarketExplanation, ...] = ()
    """What would be quoted now, taken apart as `explain` does."""


class Report(msgspec.Struct, frozen=True):
    """`ok`: nothing failed."""

    ok: bool
    file: str
    mode: Mode
    venues: tuple[VenueFindings, ...]

    def to_json(self) -> str:
        return msgspec.json.encode(self).decode()

    def to_text(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterable[str]:
        if self.mode == "live":
            yield f"{self.file}: mode: live: `mm-daemon run` would send REAL orders; nothing was sent now"
        else:
            yield f"{self.file}: mode: paper: `mm-daemon run` lets no order leave its process; nothing was sent now"
        for found in self.venues:
            yield ""
            yield f"{found.venue} ({found.connector})"
            for check in found.checks:
                yield from _check(check)
        yield ""
        counts = dict.fromkeys(Verdict, 0)
        for found in self.venues:
            for check in found.checks:
                counts[check.verdict] += 1
        failed, warned = counts[Verdict.FAILED], counts[Verdict.WARNING]
        yield f"{counts[Verdict.OK]} ok, {warned} warning{'' if warned == 1 else 's'}, {failed} failed"


def report(file: str, mode: Mode, venues: Sequence[VenueFindings]) -> Report:
    failed = any(check.verdict is Verdict.FAILED for found in venues for check in found.checks)
    return Report(not failed, file, mode, tuple(venues))


def in_order(checks: Iterable[Check]) -> tuple[Check, ...]:
    """By name; what has the same name stays in its order."""
    places = {name: place for place, name in enumerate(ORDER)}
    return tuple(sorted(checks, key=lambda check: places.get(check.name, len(places))))


def _check(check: Check) -> Iterable[str]:
    """The finding, and what to do below it."""
    head = f"  {_WORDS[check.verdict]:<{_VERDICT}}{check.name:<{_NAME}}"
    text = f"{check.symbol}: {check.text}" if check.symbol else check.text
    yield from textwrap.wrap(text, _WIDTH, initial_indent=head, subsequent_indent=" " * len(head)) or [head]
    if check.advice:
        indent = " " * len(head)
        yield from textwrap.wrap(check.advice, _WIDTH, initial_indent=f"{indent}-> ", subsequent_indent=f"{indent}   ")
