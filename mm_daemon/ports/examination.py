"""What a connector may offer before the first order: questions about its venue and account that only read.

`mm-daemon doctor` asks them. A connector that offers `Examined` promises to keep `ConnectorContext.read_only` as well;
one that does not is built without its secrets there, so that nothing it does at its start can touch an account.
"""

from collections.abc import Awaitable, Callable, Sequence
from enum import StrEnum
from typing import Protocol, runtime_checkable

import msgspec


class Verdict(StrEnum):
    OK = "ok"
    WARNING = "warning"
    """It would run, and a person should know this first."""
    FAILED = "failed"
    """It would not run, or not as the configuration says."""
    NOT_APPLICABLE = "not_applicable"
    """There is nothing of the kind here, or it cannot be known."""


class Check(msgspec.Struct, frozen=True):
    """One finding. `name` is one of a few fixed words (`clock`, `credentials`, ...) that machines may go by."""

    name: str
    verdict: Verdict
    text: str
    """What was found, with its figure."""
    advice: str = ""
    """What to do; empty where nothing is."""
    symbol: str = ""
    """The market that it is about; empty: the venue."""


def ok(name: str, text: str, *, symbol: str = "") -> Check:
    return Check(name, Verdict.OK, text, symbol=symbol)


def warning(name: str, text: str, advice: str, *, symbol: str = "") -> Check:
    return Check(name, Verdict.WARNING, text, advice, symbol)


def failed(name: str, text: str, advice: str, *, symbol: str = "") -> Check:
    return Check(name, Verdict.FAILED, text, advice, symbol)


def not_applicable(name: str, text: str, *, symbol: str = "") -> Check:
    return Check(name, Verdict.NOT_APPLICABLE, text, symbol=symbol)


def elsewhere(name: str, what: str) -> Check:
    """An account that is not this daemon's alone: `what` it has in markets that are not ours."""
    advice = "give the daemon an account of its own: margin is shared, and a last-resort cancel takes every order"
    return warning(name, f"{what}, in markets that are not ours", advice)


class Probe(msgspec.Struct, frozen=True):
    """One question, asked after `load_instruments`, under a time limit of its own."""

    name: str
    """The check that is reported as failed when there is no answer."""
    ask: Callable[[], Awaitable[Sequence[Check]]]
    """Its findings, of this name or of others. It only reads. Raises VenueUnreachable or CredentialsRefused."""


@runtime_checkable
class Examined(Protocol):
    """A connector that answers questions about its venue and account without changing anything there."""

    def probes(self) -> Sequence[Probe]:
        """In the order of the report. What they find of `limits` and `dead_man` stands instead of what `doctor` says
        of these by the connector's `capabilities`."""
        ...
