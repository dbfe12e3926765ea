"""The simulator port: a venue's wire protocol on this machine's loopback, for tests, demonstrations and authors.

A simulator is built as `SimulatorClass(context, settings)` with `settings` an instance of its own `Settings` struct,
and is found by entry point under `mm_daemon.simulators`, like a connector. The verb `simulate` runs it.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

import msgspec


class SimulatorContext(msgspec.Struct, frozen=True, kw_only=True):
    """What a simulator is given: where to listen, what to trade, its seed, a folder, the keys it takes."""

    host: str
    port: int
    """0: any that is free."""
    seed: int
    symbols: tuple[str, ...]
    now_ns: Callable[[], int]
    state_dir: Path | None = None
    """Where its account outlives it; None: nowhere."""
    secrets: Mapping[str, str] = msgspec.field(default_factory=dict)


class VenueSimulator(Protocol):
    """One venue, simulated behind real sockets."""

    Settings: ClassVar[type[msgspec.Struct]]

    async def run(self, listening: Callable[[str], None]) -> None:
        """Serve until cancelled; `listening` is called with `host:port` once connections are taken. Raises OSError when
        the port cannot be had, ConfigError or JournalError when the market or the account cannot be."""
        ...


@runtime_checkable
class DescribesItself(Protocol):
    """A simulator with more to tell than its address: accounts that it has made up, for example."""

    def described(self, address: str) -> Mapping[str, Any]:
        """What the verb prints as one line of JSON, given where it listens."""
        ...
