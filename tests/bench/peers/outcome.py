"""What an engine's script tells `run.py`: one JSON object on its last line of output."""

import json
from dataclasses import asdict, dataclass, field


@dataclass
class Traded:
    """What a run did, for comparison with another engine's. Money in quote currency; `fees` are what was paid."""

    volume: float = 0.0
    fees: float = 0.0
    pnl: float = 0.0
    """At the last mid, after fees."""
    fills: list[tuple[int, float, float]] = field(default_factory=list)
    """Time in ns (of the step in which it was seen, where the engine tells no more), signed size, price."""
    steps: int = 0
    """Decisions of the strategy."""


@dataclass
class Outcome:
    """One run on the recording, and the CPU time of the runs after it."""

    rows: int
    """Level changes and trades that the engine was fed."""
    placed: int
    moved: int
    fills: int
    position: float
    """At the end, base units."""
    cpu_s: list[float] = field(default_factory=list)
    """Of each repeated run over data in memory, everything compiled."""
    parts_s: dict[str, float] = field(default_factory=dict)
    """CPU time of what comes before the first result."""
    traded: Traded = field(default_factory=Traded)

    def print(self) -> None:
        print(json.dumps(asdict(self)), flush=True)
