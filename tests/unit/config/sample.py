"""A small connector vocabulary and configurations for the tests of reading them."""

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from mm_daemon.config.load import loads
from mm_daemon.config.problems import ConfigProblems
from mm_daemon.config.schema import Config
from mm_daemon.domain.errors import ConfigError


class FakeSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Every kind of key a connector may ask for."""

    path: Path | None = None
    speed: Annotated[float, Meta(gt=0, le=1000, description="times real time")] = 1.0
    tick: Decimal = Decimal("0.1")
    symbols: tuple[str, ...] = ()
    maker_fee_bps: Annotated[float, Meta(ge=-10, le=100)] = 2.0
    depth: int = 10
    even: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.even and self.depth % 2:
            raise ValueError(f"depth is {self.depth}, must be even because even is true")


def settings_of(name: str) -> type[msgspec.Struct]:
    if name != "fake":
        raise ConfigError(f"there is no connector {name!r}; there are fake")
    return FakeSettings


def read(text: str, environ: Mapping[str, str] | None = None, seed: int | None = None) -> Config:
    return loads(text, "c.yaml", settings_of=settings_of, environ=environ or {}, seed=seed)


def problems(text: str, environ: Mapping[str, str] | None = None) -> list[str]:
    """What reading complains about, one line each; empty when it does not."""
    try:
        read(text, environ)
    except ConfigProblems as error:
        assert str(error) == "\n".join(str(problem) for problem in error.problems)
        return [str(problem) for problem in error.problems]
    return []


GOOD = """\
version: 1
venues:
  v: {connector: fake}
markets:
  - {venue: v, symbol: BTC-USDT, order_size: 0.01, max_position: 0.05}
"""
