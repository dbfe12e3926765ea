"""Whether a gate is held, on whatever machine this is.

`performance.md` gives gates in microseconds of one machine, beside what two peers took there, and asks that they be
held as ratios to those two, measured in one run. So:

- A figure with peers on the very same frames: a gate of G where the peer took P is the ratio G/P, and it is held by
  that peer when ours/peer in this run is at most G/P. It counts as held when it is held by every peer the row has;
  where they differ the table says by which one. Depth to decision: 17/50 = 0.34 of ccxt.pro and 17/5 = 3.4 of msgspec.
- A figure without such a peer (rows/s, process starts, signals): its gate is scaled by how fast this machine is, the
  geometric mean of (peer here / peer there) over the medians of both peers in this run (`gates.SPEED`). Above 1 this
  machine is the slower one.
- Memory is not scaled.

Nothing asserts any of this: a missed gate is a line of the table. The two peers rarely agree on how fast a machine is
(one is the interpreter's speed, the other that of compiled code), which is why a row must please both.
"""

import math
from typing import NamedTuple

from tests.bench.figures import Figures
from tests.bench.gates import SPEED, Peer, Row


class Ratio(NamedTuple):
    """Ours to a peer's in this run, and what gate and goal allow."""

    ours: float
    gate: float | None
    goal: float | None


class Verdict(NamedTuple):
    """One row, judged. `gate` and `goal` are this machine's: what the strictest of the row's peers allows."""

    gate: float | None
    goal: float | None
    ccxt: Ratio | None
    msgspec: Ratio | None
    held: str


def speed_factor(figures: Figures) -> float | None:
    """How many times as long this machine takes as the reference machine; None when no peer was measured."""
    factors = list(speeds(figures).values())
    return math.prod(factors) ** (1 / len(factors)) if factors else None


def speeds(figures: Figures) -> dict[str, float]:
    """By peer's figure: how many times as long it takes here as on the reference machine."""
    return {
        peer.figure: here / peer.reference
        for peer in SPEED
        if peer.reference is not None and (here := figures.value(peer.figure)) is not None
    }


def judge(row: Row, figures: Figures) -> Verdict | None:
    """None for a row that was not measured."""
    ours = figures.value(row.figure)
    if ours is None:
        return None
    ccxt, msgspec = _ratio(row, ours, row.ccxt, figures), _ratio(row, ours, row.msgspec, figures)
    peers = {name: ratio for name, ratio in (("ccxt.pro", ccxt), ("msgspec", msgspec)) if ratio and ratio.gate}
    if peers:
        gate = min((ours * ratio.gate / ratio.ours for ratio in peers.values() if ratio.gate), default=None)
        goal = min((ours * ratio.goal / ratio.ours for ratio in peers.values() if ratio.goal), default=None)
    else:
        gate, goal = _scaled(row, row.gate, figures), _scaled(row, row.goal, figures)
    pleased = [name for name, ratio in peers.items() if ratio.gate and ratio.ours <= ratio.gate]
    if gate is None:
        held = ""
    elif _reached(row, ours, goal):
        held = "goal"
    elif _reached(row, ours, gate):
        held = "gate"
    else:
        held = f"by {pleased[0]} only" if pleased else "no"
    return Verdict(gate, goal, ccxt, msgspec, held)


def _ratio(row: Row, ours: float, peer: Peer | None, figures: Figures) -> Ratio | None:
    here = None if peer is None else figures.value(peer.figure)
    if peer is None or not here:
        return None
    if peer.reference is None:
        return Ratio(ours / here, None, None)
    gate, goal = (None if limit is None else limit / peer.reference for limit in (row.gate, row.goal))
    return Ratio(ours / here, gate, goal)


def _scaled(row: Row, limit: float | None, figures: Figures) -> float | None:
    factor = 1.0 if row.fixed else speed_factor(figures)
    if limit is None or factor is None:
        return None
    return limit / factor if row.floor else limit * factor


def _reached(row: Row, ours: float, limit: float | None) -> bool:
    if limit is None:
        return False
    return ours >= limit if row.floor else ours <= limit
