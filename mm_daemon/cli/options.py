"""What several verbs share: the configuration option, durations, reading a configuration, saying the answer."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol

from cyclopts import Parameter

from mm_daemon.domain.errors import UsageError

if TYPE_CHECKING:
    from mm_daemon.config.schema import Config

ConfigPath = Annotated[Path, Parameter(name=["--config", "-c"])]
Set = Annotated[tuple[str, ...], Parameter(name="--set", consume_multiple=False, negative=())]
Json = Annotated[bool, Parameter(negative=())]

DEFAULT_CONFIG = Path("config.yaml")

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "": 1.0}
_PART = r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)"


def seconds(text: str | None, option: str = "--duration") -> float | None:
    """`90`, `60s`, `1.5m`, `1h30m` as seconds; None stays None. Raises UsageError, which names the option."""
    if text is None:
        return None
    if re.fullmatch(r"[0-9]+(?:\.[0-9]+)?", text):
        total = float(text)
    elif re.fullmatch(f"(?:{_PART})+", text):
        total = sum(float(number) * _SECONDS[unit] for number, unit in re.findall(_PART, text))
    else:
        raise UsageError(f"{option} {text}: not a duration; write for example 60s, 2m or 1h30m")
    if total <= 0:
        raise UsageError(f"{option} {text}: must be longer than nothing")
    return total


def moment(text: str | None) -> int | None:
    """`2026-11-26T03:00:00` (UTC unless it says otherwise) or `30m` ago, in nanoseconds. Raises UsageError."""
    if text is None:
        return None
    from datetime import UTC, datetime, timedelta

    if re.fullmatch(f"(?:{_PART})+", text):
        ago_s = sum(float(number) * _SECONDS[unit] for number, unit in re.findall(_PART, text))
        try:
            at = datetime.now(UTC) - timedelta(seconds=ago_s)
        except OverflowError:
            raise UsageError(f"{text}: longer ago than there are dates") from None
    else:
        try:
            at = datetime.fromisoformat(text)
        except ValueError:
            raise UsageError(f"{text}: neither a time like 2026-11-26T03:00:00 nor how long ago, like 30m") from None
        at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    since = at - datetime.fromtimestamp(0, UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000_000 + since.microseconds * 1000


def overrides(texts: tuple[str, ...]) -> dict[str, object]:
    """What `--set KEY=VALUE` says, in its order. Raises UsageError."""
    from mm_daemon.config.overrides import pairs

    try:
        return pairs(texts)
    except ValueError as error:
        raise UsageError(f"--set {error}") from error


def read_config(path: Path, *, seed: int | None = None, overrides: Mapping[str, object] | None = None) -> "Config":
    """The configuration with what stands over its keys, or the ConfigError that says everything that is wrong."""
    import os

    from mm_daemon import registry
    from mm_daemon.config.load import load

    models = registry.PricingModels()
    return load(
        path, settings_of=registry.settings_of, environ=os.environ, seed=seed, models=models, overrides=overrides
    )


class Sayable(Protocol):
    """An answer for people and for programs."""

    def to_text(self) -> str: ...

    def to_json(self) -> bytes: ...


def say(answer: Sayable, *, json: bool) -> None:
    print(answer.to_json().decode() if json else answer.to_text())
