"""What a simulation says at its end: which invariants broke and how to see it again, and what was tried how often."""

from collections.abc import Iterator

import msgspec

from mm_daemon.dst.coverage import Coverage
from mm_daemon.dst.world import Outcome

ENOUGH = 100
"""A case that was hit less often than this is listed as rare."""
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
        """Known cases that did not happen, by group."""
        never = {
            group: [name for name, times in counts.items() if not times] for group, counts in self.coverage.items()
        }
        return {group: names for group, names in never.items() if names}

    def to_json(self) -> bytes:
        return msgspec.json.encode({**msgspec.structs.asdict(self), "never_hit": self.never_hit})

    def to_text(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        for violation in self.violations:
            yield violation.to_text()
            yield ""
        for group, counts in self.coverage.items():
            tried = [f"  {name:{_NAME_WIDTH}} {times:9}" for name, times in counts.items() if times]
            if tried:
                yield group
                yield from tried
        never = self.never_hit
        if never:
            yield "not covered: known and never hit"
            for group, names in never.items():
                yield f"  {group}: {', '.join(names)}"
        rare = [
            f"{name} {times}"
            for counts in self.coverage.values()
            for name, times in counts.items()
            if 0 < times < ENOUGH
        ]
        if rare:
            yield f"hit less than {ENOUGH} times: {', '.join(rare)}"
        speed = f", {self.steps / self.seconds:.0f} steps a second" if self.seconds else ""
        broken = f"{len(self.violations)} seeds with a violation" if self.violations else "no violation"
        yield (
            f"{self.seeds} seeds from {self.first_seed} on, {self.steps} steps, {self.turns} turns of the core, "
            f"{self.lives} lives: {broken}{speed}"
        )
