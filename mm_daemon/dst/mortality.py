"""When a life ends, and when its disk fails: drawn before it begins, carried out at a named point."""

from mm_daemon.domain.rng import Rng
from mm_daemon.dst.chance import chance, pick
from mm_daemon.dst.disk import FULL, IDS_FULL, SYNC_ERROR, WRITE_ERROR
from mm_daemon.dst.faults import CRASH_POINTS, EARLY_POINTS, SELDOM_POINTS, Death
from mm_daemon.dst.scenario import Scenario

ANY_MOMENT = "any moment"
_SENDING = ("send: after the batch", "send: after the batch", "send: inside the batch", ANY_MOMENT)
_FAILURES = (FULL, WRITE_ERROR, SYNC_ERROR, IDS_FULL)


class Mortality:
    """`point`: where this life ends, None where it does not; `cut`: the power goes with it."""

    def __init__(self, scenario: Scenario, rng: Rng) -> None:
        self._scenario = scenario
        self._rng = rng
        self.point: str | None = None
        self.cut = False
        self._passes = 0
        """How often the point is passed before."""
        self._failure: str | None = None
        self._failures_passed = 0

    def plan(self) -> float | None:
        """Draw the end of a life that is about to begin; in how many seconds it comes, where any moment may be it."""
        rng = self._rng
        self.spare()
        after_s: float | None = None
        if chance(rng, self._scenario.deaths):
            self.point = pick(rng, _SENDING if self._scenario.cuts else CRASH_POINTS)
            if self.point in EARLY_POINTS:
                self._passes = 0
            elif self._scenario.cuts:
                self._passes = rng.below(4)
            else:
                self._passes = 0 if self.point in SELDOM_POINTS else rng.below(pick(rng, (2, 10, 60, 600)))
            self.cut = self._scenario.cuts or chance(rng, 25)
            if self.point == ANY_MOMENT:
                after_s = rng.uniform() * pick(rng, (0.2, 2.0, 20.0, 60.0))
        if chance(rng, self._scenario.bad_disks):
            self._failure = pick(rng, _FAILURES)
            self._failures_passed = 0 if self._failure == IDS_FULL else rng.below(pick(rng, (3, 40, 400)))
        return after_s

    def spare(self) -> None:
        """Nothing ends this life."""
        self.point = self._failure = None
        self.cut = False

    def dies_at(self, point: str) -> bool:
        if point != self.point:
            return False
        self._passes -= 1
        return self._passes < 0

    def pass_point(self, point: str) -> None:
        """Raises Death where the process dies here."""
        if point == self.point and self.dies_at(point):
            raise Death(point)

    def disk_fails(self, kind: str) -> bool:
        """Whether this call is the one that fails."""
        if kind != self._failure:
            return False
        self._failures_passed -= 1
        if self._failures_passed >= 0:
            return False
        self._failure = None
        return True
