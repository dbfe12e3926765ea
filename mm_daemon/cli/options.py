"""What several verbs share: the configuration option, durations, reading a configuration."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from mm_daemon.domain.errors import UsageError

if TYPE_CHECKING:
    from mm_daemon.config.schema import Config

ConfigPath = Annotated[Path, Parameter(name=["--config", "-c"])]
Json = Annotated[bool, Parameter(negative=())]

DEFAULT_CONFIG = Path("config.yaml")

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "": 1.0}
_PART = r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)"


def seconds(text: str | None, option: str = "--duration") -> float | None:
    """`90`, `60s`, `1.5m`, `1h30m` as seconds; None stays None. Raises UsageError."""
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


def read_config(path: Path, *, seed: int | None = None) -> "Config":
    """The configuration, or the ConfigError that says everything that is wrong with it."""
    import os

    from mm_daemon import registry
    from mm_daemon.config.load import load

    models = registry.PricingModels()
    return load(path, settings_of=registry.settings_of, environ=os.environ, seed=seed, models=models)
