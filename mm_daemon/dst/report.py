"""What a simulation says at its end: which invariants broke and how to see it again, and what was tried how often."""

from collections.abc import Iterator

import msgspec

from mm_daemon.dst.coverage import (
    CRASHES,
    DIFFERENCES,
    DROPS,
    FAULTS,
    OPERATOR,
    ORDER_TABLE,
    REASONS,
    REFUSALS,
    REJECTS,
    UNREACHABLE,
    Coverage,
    known_names,
)
from mm_daemon.dst.world import Outcome

ENOUGH = 100
"""A case that was hit less often than this is listed as rare."""
PROOF_SEEDS = 10_000
"""So many seeds are the proof: each case that can happen must be hit `ENOUGH` times in them."""
REQUIRED = (ORDER_TABLE, REASONS, REFUSALS, DROPS, DIFFERENCES, FAULTS, CRASHES, OPERATOR, REJECTS)
"""Groups whose known names must all be hit."""
_SHOWN = 40
_NAME_WIDTH = 46


class Violation(msgspec.Struct, frozen=True, kw_only=True):
    """One seed in which an invariant broke."""

    seed: int
    step: int
    what: str
    again: str
    """The command line that shows it again."""
    trace: tuple[str, ...]
    log: str

    @classmethod
    def of(cls, outcome: Outcome, steps: int) -> "Violation":
        return cls(
            seed=outcome.seed,
            step=outcome.steps,
            what=outcome.breach or "",
            again=f"mm-daemon dst --seed {outcome.seed} --seeds 1 --steps {steps}",
            trace=outcome.trace,
            log=outcome.log,
        )

    def to_text(self) -> str:
        lines = [f"seed {self.seed}, step {self.step}: {self.what}", *self.trace[-_SHOWN:]]
        if self.log:
            lines.append(self.log.rstrip())
        return "\n".join([*lines, f"again: {self.again}"])


class SimulationReport(msgspec.Struct, kw_only=True):
    """Sums over all seeds."""

    first_seed: int
    seeds: int
    steps_each: int
    steps: int = 0
    turns: int = 0
    lives: int = 0
    seconds: float = 0.0
    violations: list[Violation] = msgspec.field(default_factory=list)
    coverage: dict[str, dict[str, int]] = msgspec.field(default_factory=dict)
    """How often by group and name, what was never hit included."""

    def add(self, outcome: Outcome) -> None:
        self.steps += outcome.steps
        self.turns += outcome.turns
        self.lives += outcome.lives
        if outcome.breach is not None:
            self.violations.append(Violation.of(outcome, self.steps_each))
        sums = Coverage()
        sums.add(self.coverage)
        sums.add(outcome.coverage)
        self.coverage = sums.table()

    @property
    def never_hit(self) -> dict[str, list[str]]:
        """Known cases that did not happen and could have, by group."""
        never = {
            group: [name for name, times in counts.items() if not times and name not in UNREACHABLE.get(group, {})]
            for group, counts in self.coverage.items()
        }
        return {group: names for group, names in never.items() if names}

    @property
    def impossible(self) -> dict[str, list[str]]:
        """Cases that happened although they were argued to be impossible, by group."""
        wrong = {
            group: [name for name in names if self.coverage.get(group, {}).get(name)]
            for group, names in UNREACHABLE.items()
        }
        return {group: names for group, names in wrong.items() if names}

    @property
    def rare(self) -> dict[str, dict[str, int]]:
        """Required cases that were hit less often than a run of this length should have, by group."""
        least = ENOUGH * min(self.seeds / PROOF_SEEDS, 1.0)
        found = {
            group: {
                name: times
                for name, times in self.coverage.get(group, {}).items()
                if 0 < times < least and name in known_names(group)
            }
            for group in REQUIRED
        }
        return {group: names for group, names in found.items() if names}

    @property
    def holds(self) -> bool:
        """No invariant broke, and nothing happened that was argued to be impossible."""
        return not self.violations and not self.impossible

    def to_json(self) -> bytes:
        return msgspec.json.encode(
            {
                **msgspec.structs.asdict(self),
                "never_hit": self.never_hit,
                "seldom": self.rare,
                "impossible": self.impossible,
                "unreachable": UNREACHABLE,
            }
        )

    def to_text(self) -> str:
        return "\n".join(self._lines())

    def _expected(self, times: int) -> str:
        return f"about {round(times * PROOF_SEEDS / self.seeds)} in {PROOF_SEEDS} seeds"

    def _lines(self) -> Iterator[str]:
        for violation in self.violations:
            yield violation.to_text()
            yield ""
        for group, counts in self.coverage.items():
            tried = [
                f"  {name:{_NAME_WIDTH}} {times:9}   {self._expected(times)}" for name, times in counts.items() if times
            ]
            if tried:
                yield group
                yield from tried
        never = self.never_hit
        if never:
            yield "not covered: known and never hit"
            for group, names in never.items():
                yield f"  {group}: {', '.join(names)}"
        yield "cannot happen, for the reason given, and did not:"
        impossible = self.impossible
        for group, arguments in UNREACHABLE.items():
            for name, why in arguments.items():
                if name not in impossible.get(group, ()):
                    yield f"  {group}: {name}: {why}"
        for group, names in impossible.items():
            yield f"HAPPENED ALTHOUGH IT CANNOT: {group}: {', '.join(names)}"
        for group, counts in self.rare.items():
            told = (f"{name} {times} ({self._expected(times)})" for name, times in counts.items())
            yield f"seldom: {group}: {', '.join(told)}"
        if not never and not self.rare:
            yield f"every case that can happen was hit as often as {ENOUGH} times in {PROOF_SEEDS} seeds asks for"
        speed = f", {self.steps / self.seconds:.0f} steps a second" if self.seconds else ""
        broken = f"{len(self.violations)} seeds with a violation" if self.violations else "no violation"
        yield (
            f"{self.seeds} seeds from {self.first_seed} on, {self.steps} steps, {self.turns} turns of the core, "
            f"{self.lives} lives: {broken}{speed}"
        )
