"""What a sweep is to try: the sweep file, the points of its grid or draw, and the pieces of market they are tried on.

    config: config.yaml          # what is searched around; relative to this file
    method: random               # grid, random, or optuna: the next point chosen by what the last ones gave
    trials: 200                  # random and optuna
    objectives: [pnl, drawdown]  # the first ranks; with several, the best are those that no other beats in all
    keys:                        # any keys, named as in `--set`
      markets.*.half_spread_bps: {low: 0.5, high: 8, log: true}
      markets.*.levels: {low: 1, high: 3, whole: true}
      markets.*.model: [glft, avellaneda_stoikov]

Every point is tried on all pieces of market: each of `feeds` (overrides that name recordings, oldest first), each cut
into `parts` of equal time, each with all `seeds`. With `walk_forward: N` the search sees N pieces, its best is tried on
the next one, which it has not seen, and the window moves on by one.
"""

import hashlib
from collections.abc import Mapping, Sequence
from enum import StrEnum
from itertools import pairwise, product
from math import exp, log
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from mm_daemon.backtest.several.tasks import BacktestTask
from mm_daemon.backtest.sweep.objectives import FIGURES, Objective
from mm_daemon.domain.errors import UsageError
from mm_daemon.domain.rng import Rng

Value = str | float | int | None
Point = Mapping[str, Value]
"""One value for each key that is searched."""
GRID_MAX = 100_000


class Method(StrEnum):
    GRID = "grid"
    RANDOM = "random"
    OPTUNA = "optuna"


class Range(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Numbers between two bounds, both included."""

    low: float
    high: float
    log: Annotated[bool, Meta(description="even steps of the logarithm")] = False
    whole: Annotated[bool, Meta(description="whole numbers")] = False
    points: Annotated[int, Meta(ge=2, le=10_000, description="how many of them a grid takes")] = 5

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ValueError(f"low {self.low:g} is not below high {self.high:g}")
        if self.log and self.low <= 0:
            raise ValueError(f"low {self.low:g}: a logarithm needs numbers above 0")
        if self.whole and (self.low != int(self.low) or self.high != int(self.high)):
            raise ValueError(f"low {self.low:g} and high {self.high:g} are to be whole numbers")

    def at(self, share: float) -> float | int:
        """The value that leaves `share` (0 to 1) of the range below it."""
        if self.log:
            value = exp(log(self.low) + share * (log(self.high) - log(self.low)))
        else:
            value = self.low + share * (self.high - self.low)
        value = min(max(value, self.low), self.high)
        return round(value) if self.whole else float(f"{value:.12g}")

    def drawn(self, rng: Rng) -> float | int:
        """Uniform; whole numbers all alike, unless they are spread by their logarithm."""
        if self.whole and not self.log:
            return int(self.low) + rng.below(int(self.high) - int(self.low) + 1)
        return self.at(rng.uniform())

    def grid(self) -> list[float | int]:
        return list(dict.fromkeys(self.at(step / (self.points - 1)) for step in range(self.points)))


Choices = tuple[str | None, ...]
"""Texts as the configuration would have them; null where a key takes it."""


class SweepSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The keys of a sweep file."""

    keys: Annotated[Mapping[str, Range | Choices], Meta(min_length=1)]
    config: Annotated[Path, Meta(description="the configuration around which is searched")] = Path("config.yaml")
    method: Annotated[Method, Meta(description="how points are chosen")] = Method.RANDOM
    trials: Annotated[int, Meta(ge=1, le=GRID_MAX, description="points to try; a grid has its own number")] = 100
    objectives: Annotated[tuple[Objective, ...], Meta(min_length=1, description="what is best; the first ranks")] = (
        Objective.PNL,
    )
    seed: Annotated[int, Meta(ge=0, description="start of the chance by which points are drawn")] = 1
    seeds: Annotated[
        tuple[Annotated[int, Meta(ge=0)], ...], Meta(description="tried with each of these as the configuration's seed")
    ] = ()
    feeds: Annotated[
        tuple[Mapping[str, str], ...], Meta(description="recordings, oldest first: keys of the configuration")
    ] = ()
    parts: Annotated[int, Meta(ge=1, le=1000, description="pieces of equal time that each recording is cut into")] = 1
    duration_s: (
        Annotated[float, Meta(gt=0, description="market time to play, seconds; an embedded market never ends")] | None
    ) = None
    walk_forward: (
        Annotated[int, Meta(ge=1, description="pieces that a search sees before its best meets the next one")] | None
    ) = None
    best: Annotated[int, Meta(ge=1, le=100, description="how many of the best are written as configurations")] = 3

    def __post_init__(self) -> None:
        for key, values in self.keys.items():
            if not isinstance(values, Range) and len(set(values)) < len(values):
                raise ValueError(f"keys.{key}: a value stands there twice")
            if not isinstance(values, Range) and not values:
                raise ValueError(f"keys.{key}: there is nothing to try")
        if len(set(self.objectives)) < len(self.objectives):
            raise ValueError("objectives: one stands there twice")
        if self.method is Method.GRID and self.grid_size > GRID_MAX:
            raise ValueError(f"keys: a grid of {self.grid_size:,} points; {GRID_MAX:,} are enough for anybody")
        windows = max(len(self.feeds), 1) * self.parts
        if self.walk_forward is not None and windows <= self.walk_forward:
            raise ValueError(
                f"walk_forward: {self.walk_forward} pieces to learn from and one to be tried on are more than the "
                f"{windows} that feeds and parts make"
            )

    @property
    def searches(self) -> int:
        """How many searches there are: one, or with walk-forward one for each window and one over the newest."""
        return 1 if self.walk_forward is None else max(len(self.feeds), 1) * self.parts - self.walk_forward + 1

    @property
    def grid_size(self) -> int:
        size = 1
        for values in self.keys.values():
            size *= len(values.grid() if isinstance(values, Range) else values)
        return size

    @property
    def count(self) -> int:
        """How many points one search tries."""
        return self.grid_size if self.method is Method.GRID else self.trials


Window = tuple[BacktestTask, ...]
"""One piece of time, with each seed."""
Span = tuple[int, int]
"""First and last instant of a recording, nanoseconds."""


def points(settings: SweepSettings) -> list[Point]:
    """All points of a grid or a draw, known before anything has run; none for optuna, which chooses as it goes."""
    if settings.method is Method.OPTUNA:
        return []
    names = list(settings.keys)
    if settings.method is Method.GRID:
        axes = [values.grid() if isinstance(values, Range) else values for values in settings.keys.values()]
        return [dict(zip(names, chosen, strict=True)) for chosen in product(*axes)]
    streams = {name: Rng(settings.seed).split(name) for name in names}
    return [{name: _drawn(settings.keys[name], streams[name]) for name in names} for _ in range(settings.trials)]


def _drawn(values: Range | Choices, rng: Rng) -> Value:
    return values.drawn(rng) if isinstance(values, Range) else values[rng.below(len(values))]


def windows(settings: SweepSettings, base: BacktestTask, spans: Sequence[Span | None]) -> list[Window]:
    """The pieces of market in the order of time. `spans`: those of the feeds; None: it never ends.

    Raises UsageError when an endless market is to be cut, or played without a duration.
    """
    found: list[Window] = []
    for feed, span in zip(settings.feeds or ({},), spans, strict=True):
        name = "+".join(Path(path).name.partition(".")[0] for path in feed.values()) or "market"
        task = replace(base, name=name, overrides={**base.overrides, **feed})
        for piece in cut(task, span, parts=settings.parts, duration_s=settings.duration_s):
            seeded = [replace(piece, name=f"{piece.name} seed {seed}", seed=seed) for seed in settings.seeds]
            found.append(tuple(seeded) or (piece,))
    return found


def cut(task: BacktestTask, span: Span | None, *, parts: int, duration_s: float | None) -> list[BacktestTask]:
    """A recording in pieces of equal time, of which at most `duration_s` is played; an embedded market whole.

    Raises UsageError when an endless market is to be cut, or played without a duration.
    """
    if span is None and parts > 1:
        raise UsageError("parts: an embedded market never ends and cannot be cut; give it several seeds")
    if span is None and duration_s is None:
        raise UsageError("an embedded market never ends: say how much market time to play, with duration")
    if span is None or parts == 1:
        return [replace(task, duration_s=duration_s)]
    begin_ns, end_ns = span
    edges_ns = [begin_ns + (end_ns + 1 - begin_ns) * part // parts for part in range(parts + 1)]
    return [
        replace(task, name=f"{task.name} {part}", since_ns=since_ns, until_ns=until_ns, duration_s=duration_s)
        for part, (since_ns, until_ns) in enumerate(pairwise(edges_ns), 1)
    ]


def fingerprint(settings: SweepSettings, config_text: str) -> str:
    """What a study was begun for: points tried with another file or configuration say nothing about this one."""
    kept = replace(settings, best=1, trials=1 if settings.method is Method.OPTUNA else settings.trials)
    return hashlib.sha256(msgspec.json.encode([kept, config_text], enc_hook=str)).hexdigest()[:16]


def ranked_by(settings: SweepSettings) -> tuple[str, bool]:
    """The first objective and whether more of it is better."""
    first = settings.objectives[0]
    return first.value, FIGURES[first].more
