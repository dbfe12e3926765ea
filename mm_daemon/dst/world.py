"""One seed, lived: the daemon's lives one after the other on one virtual loop, in a world that acts on its own.

A *step* is one turn of the daemon's core, or one thing that the world does: the market moves or trades, a command
arrives at the venue, an operator or a fault strikes. After each the invariants are asked. When the steps are used up
the world becomes calm: no more faults, everything is reachable, what an operator switched off is switched on again;
the daemon gets time to find back, its account is compared with the venue's to the last unit, and it is stopped.
"""

import asyncio
import gc
import io
import traceback
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec

from mm_daemon import registry
from mm_daemon.backtest.replay import verify
from mm_daemon.config.load import load
from mm_daemon.core.trading_core import TradingCore
from mm_daemon.domain.decisions import ApprovedCommand, PlaceOrder, Turn
from mm_daemon.domain.errors import ConfigError, MmError
from mm_daemon.domain.events import CommandOutcomeUnknown, Event, OperatorAction, OperatorRequest
from mm_daemon.domain.orders import ClientOrderId
from mm_daemon.domain.rng import Rng
from mm_daemon.dst import capricious, coverage
from mm_daemon.dst.chance import chance, pick, weighted
from mm_daemon.dst.checks import Breach, Checks
from mm_daemon.dst.configuration import VENUE, Document
from mm_daemon.dst.coverage import Coverage, differences_watched, order_table_watched
from mm_daemon.dst.disk import FaultyDisk
from mm_daemon.dst.faults import FAULT_NAMES, SNAPSHOT_ASKED, Death
from mm_daemon.dst.happenings import WIDEST, Happenings
from mm_daemon.dst.link import Link, ReferenceConnector
from mm_daemon.dst.meddler import Meddler
from mm_daemon.dst.mortality import ANY_MOMENT, Mortality
from mm_daemon.dst.people import People
from mm_daemon.dst.rogue import Rogue
from mm_daemon.dst.scenario import START_NS, START_TICKS, Scenario, scenario
from mm_daemon.dst.small_outbox import outboxes_of
from mm_daemon.dst.trace import Trace
from mm_daemon.dst.venue import ReferenceVenue
from mm_daemon.dst.watched import WatchedDaemon
from mm_daemon.journal.segments import runs_in
from mm_daemon.ports.connector import Connector, ConnectorContext
from mm_daemon.runtime.clock import Clock
from mm_daemon.testkit.virtual_loop import VirtualLoop

CALM_S = 75.0
"""What the daemon gets to find back to agreement with the venue when faults have ended."""
_STILL_S = 5.0
"""Behind that, nothing trades any more: every report arrives."""
_LOG_BYTES = 4000
_MOST_LIVES = 400
_LOOKS_EVERY = 100
"""Turns between two looks at everything that the daemon shows."""
_LIVELOCK, _LIVELOCK_FLOOR = 3, 20_000
"""Steps, as a multiple of those asked for and at least, after which a seed is given up."""
_EXPECTED_CODES = frozenset({0, 69, 74, 80, 81, 82})
_FAULTS = frozenset(FAULT_NAMES) - {"stop asked"}


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one seed."""

    seed: int
    steps: int
    turns: int
    lives: int
    digest: str
    """Of every byte that the daemon wrote to its journals, life by life."""
    coverage: dict[str, dict[str, int]]
    breach: str | None = None
    trace: tuple[str, ...] = ()
    log: str = ""


class World:
    """Everything outside the daemon. `run` lives the seed."""

    def __init__(self, seed: int, steps: int, folder: Path, *, replay: bool = False) -> None:
        """`replay`: in the end every journal is lived again and must come to the same answers."""
        rng = Rng(seed)
        self.scenario: Scenario = scenario(seed)
        self._folder = folder
        self._replay = replay and not self.scenario.rogue
        self._budget = steps
        self._rng = rng.split("world")
        self._life_rng = rng.split("lives")
        self._disk_rng = rng.split("disk")
        self._link_rng = rng.split("link")
        self._rogue_rng = rng.split("rogue")
        self.loop = VirtualLoop(START_NS)
        self.loop.set_exception_handler(self._uncaught)
        self.cover = Coverage()
        self.venue = ReferenceVenue(
            VENUE,
            self.scenario.instruments,
            self.scenario.capabilities,
            start_ticks=START_TICKS,
            now_ns=self.loop.now_ns,
            tell=self._told,
            names_cum=self.scenario.names_cum,
            tells_fees=self.scenario.tells_fees,
        )
        self.link = Link(self, self.scenario, rng.split("ways"))
        self.link.venue = self.venue
        self.checks = Checks(self.scenario, self.venue, self.link, self.loop.now_ns)
        self.steps = self.turns = self.lives = 0
        self.calm = False
        self.breach: Breach | None = None
        self.wall_offset_ns = 0
        self.daemon: WatchedDaemon | None = None
        self._trace = Trace()
        self._digests: list[str] = []
        self._log = ""
        self._mortality = Mortality(self.scenario, self._life_rng)
        self._buried = False
        self._boots = 1
        self._happenings = Happenings(self, self._rng, rng.split("market"))
        self._people = People(self, self._rng)
        self._meddler = Meddler(self.scenario, self.venue, self.link, self.checks, rng.split("meddler"), self._note)
        self._handlers = {**self._happenings.actions(), **self._people.actions(), **self._meddler.actions()}
        self._actions_total = sum(self.scenario.actions.values())

    # One seed

    def run(self) -> Outcome:
        registry.use_model(capricious.NAME, capricious.Capricious)
        self.write_config(self.scenario.document)
        for instrument in self.venue.quotes:
            self._happenings.show(instrument, START_TICKS)
        self.loop.call_soon(self._act)
        with ExitStack() as watching:
            watching.enter_context(order_table_watched(self.cover.hit))
            watching.enter_context(differences_watched(self.cover.hit))
            if self.scenario.outbox_capacity is not None:
                watching.enter_context(outboxes_of(self.scenario.outbox_capacity))
            try:
                self._live_on()
                if self._replay and self.breach is None:
                    self._live_again()
            except Breach as breach:
                self.breach = breach
            finally:
                self._bury()
                self.loop.close()
        return Outcome(
            seed=self.scenario.seed,
            steps=self.steps,
            turns=self.turns,
            lives=self.lives,
            digest="-".join(self._digests),
            coverage={group: dict(counts) for group, counts in self.cover.groups.items()},
            breach=None if self.breach is None else str(self.breach),
            trace=() if self.breach is None else self._trace.lines(),
            log="" if self.breach is None else self._log,
        )

    def _live_on(self) -> None:
        while True:
            calm_before = self.calm
            code = self._live()
            if self.breach is not None:
                return
            self.cover.hit(coverage.ENDINGS, "died" if code is None else str(code))
            if code == ConfigError.exit_code:
                if not self._people.mend_config():
                    raise Breach("exit code", f"the daemon does not take the configuration: {self._log[-600:]}")
            elif code is not None and code not in _EXPECTED_CODES:
                raise Breach("exit code", f"the daemon ended with {code}: {self._log[-600:]}")
            if code is not None and code != ConfigError.exit_code and calm_before:
                if code not in (0, 80):
                    raise Breach("end", f"in calm the daemon stopped with {code}: {self._log[-600:]}")
                return
            if self.lives >= _MOST_LIVES:
                raise Breach("end", f"{self.lives} lives were not enough")
            pause_s = 0.01 + self._life_rng.uniform() * pick(self._life_rng, (0.1, 3.0))
            self._wait(pause_s)

    def _live_again(self) -> None:
        """What was written down is what the core does."""
        for run in runs_in(self._folder / "state" / "journal"):
            report = verify(run)
            self.cover.hit("replay", "equal" if report.difference is None else "other")
            if report.difference is not None:
                raise Breach("replay", report.to_text())

    def _wait(self, seconds: float) -> None:
        """The world goes on without a daemon."""
        try:
            self.loop.run_until_complete(asyncio.sleep(seconds))
        except Death:
            return

    def _live(self) -> int | None:
        """One life; its exit code, None if it died."""
        self.lives += 1
        self._plan_life()
        log = io.StringIO()
        disk = FaultyDisk(self, self._disk_rng)
        self.checks.process_begins(disk)
        code: int | None = None
        try:
            code = self.loop.run_until_complete(self._one_life(disk, log))
        except Death as death:
            self._mortality.cut = self._mortality.cut and self.checks.known_for_long
            self.cover.hit(coverage.CRASHES, death.where)
            self.fault("power cut" if self._mortality.cut else "death")
            self._boots += self._mortality.cut
            if self._mortality.cut and self.scenario.capabilities.simulated:
                self.link.forget()
        except MmError as error:
            code = error.exit_code
            log.write(str(error))
        self.checks.life_ends(self.loop.now_ns(), cut=self._mortality.cut and code is None)
        self.daemon = None
        if self.link.connector is not None:
            self.link.connector.vanish()
            self.link.connector = None
        disk.power_off(cut=self._mortality.cut and code is None)
        self._bury()
        gc.unfreeze()
        self._digests.append(disk.digest)
        self._log = log.getvalue()[-_LOG_BYTES:]
        return code

    async def _one_life(self, disk: FaultyDisk, log: io.StringIO) -> int:
        config = load(
            self._folder / "config.yaml",
            settings_of=registry.settings_of,
            environ={},
            models=registry.PricingModels(),
        )
        if self.scenario.segment_kib is not None:  # less than a person may ask for, so that a short run has many
            parts = msgspec.structs.replace(config.journal, segment_mb=self.scenario.segment_kib / 1024)
            config = msgspec.structs.replace(config, journal=parts)
        daemon = WatchedDaemon(
            config,
            paper=False,
            duration_s=None,
            clock=Clock(wall_ns=self._wall_ns, monotonic_ns=self.loop.now_ns),
            connector_named=lambda name: self._connect,
            log_to=log,
            disk=disk,
            settle_memory=_leave_memory,
            boot=f"boot {self._boots}",
        )
        daemon.watch(self)
        return await daemon.run()

    def _connect(self, context: ConnectorContext, _settings: msgspec.Struct) -> Connector:
        connector = ReferenceConnector(context, self, self.link, self.scenario, self._link_rng)
        self.link.connector = connector
        return connector

    def _bury(self) -> None:
        """End the tasks of a life that is over; nothing that they still do reaches anything."""
        self._buried = True
        for _ in range(100):
            left = asyncio.all_tasks(self.loop)
            if not left:
                self._buried = False
                return
            for task in left:
                task.cancel()
            try:
                self.loop.run_until_complete(asyncio.wait(left))
            except Death:
                continue

    def _uncaught(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """What nobody caught is a bug, of the daemon or of the world; but for what a death tears apart."""
        error = context.get("exception")
        if error is None or isinstance(error, Death) or self._buried:
            return
        said = "".join(traceback.format_exception(error))
        self._guard(lambda: _raise(Breach("uncaught", f"{context.get('message')}: {said}")))

    def _wall_ns(self) -> int:
        return self.loop.now_ns() + self.wall_offset_ns

    def _plan_life(self) -> None:
        if self.calm:
            self._mortality.spare()
            return
        after_s = self._mortality.plan()
        if after_s is not None:
            self.loop.call_later(after_s, self._any_moment, self.lives)

    # What the daemon and its surroundings report

    def life_begins(self, daemon: WatchedDaemon) -> None:
        self.daemon = daemon
        self._guard(lambda: self.checks.life_begins(daemon.core, daemon.inbox))
        if self.calm:
            self._plan_end()

    def after_turn(self, turn: Turn, events: Sequence[Event]) -> None:
        self.turns += 1
        hit = self.cover.hit
        for changed in turn.decisions:
            for decision in changed.decisions:
                for reason in decision.reasons:
                    hit(coverage.REASONS, reason)
        for approved in turn.released:
            for reason in approved.command.reasons:
                hit(coverage.REASONS, reason)
        for refusal in turn.refusals:
            hit(coverage.REFUSALS, refusal.code)
        for dropped in turn.dropped:
            hit(coverage.DROPS, dropped.code)
        for reconciled in turn.reconciled:
            for diff in reconciled.diffs:
                hit(coverage.DIFFERENCES, diff.kind)
        for event in events:
            if isinstance(event, OperatorRequest):
                hit(coverage.OPERATOR, event.action)
            elif isinstance(event, CommandOutcomeUnknown) and self.scenario.attentive and not self.calm:
                self._handlers["resolve"]()
        if self.scenario.meddled and not self.calm:
            self._meddler.after_turn(turn)
        if self.turns % _LOOKS_EVERY == 0 and self.daemon is not None:
            self.daemon.look()
        self.step("turn", (turn, events))
        self._guard(lambda: self.checks.after_turn(turn, events))
        self.pass_point("turn: lived")

    def leaving(self, batch: Sequence[ApprovedCommand]) -> None:
        self._guard(lambda: self.checks.leaving(batch))

    def hangs(self, batch: Sequence[ApprovedCommand]) -> None:
        """Somebody cancels by hand what does not seem to have arrived."""
        if not self.scenario.meddled:
            return
        after_s = self.scenario.latency_ms / 1000 + 0.001
        for approved in batch:
            if isinstance(approved.command, PlaceOrder) and chance(self._rng, 80):
                self.loop.call_later(after_s, self._cancel_by_hand, approved.command.client_id)

    def _cancel_by_hand(self, client_id: ClientOrderId) -> None:
        if not self.calm:
            self._meddler.end(client_id)
            self.venue_changed()

    def venue_changed(self) -> None:
        self._guard(self.checks.venue_changed)
        if self.scenario.meddled and not self.calm:
            self._meddler.after_arrival()

    def step(self, what: str, detail: object = None) -> None:
        self.steps += 1
        self._trace.note(self.steps, self.loop.now_ns(), what, detail)
        if self.steps > _LIVELOCK * self._budget + _LIVELOCK_FLOOR:
            self._guard(lambda: _raise(Breach("livelock", "the daemon keeps turning and time does not go on")))

    def fault(self, name: str) -> None:
        self.cover.hit(coverage.FAULTS, name)
        self._trace.note(self.steps, self.loop.now_ns(), "fault", name)

    def _told(self, event: Event) -> None:
        self._note(event)
        self.link.report(event)

    def _note(self, event: Event) -> None:
        kind = getattr(event, "kind", None)
        if kind is not None:
            self.cover.hit(coverage.REJECTS, kind)
        self._trace.note(self.steps, self.loop.now_ns(), "the venue says", event)

    def _guard(self, check: Callable[[], None]) -> None:
        """A breach ends the seed at once, whoever would have caught it."""
        try:
            check()
        except Breach as breach:
            self.breach = breach
            raise Death("breach") from None

    def asked(self, action: OperatorAction) -> None:
        self.checks.asked(action)

    def rogue(self, core: TradingCore) -> Rogue | None:
        if not self.scenario.rogue or self.calm:
            return None
        return Rogue(core, self._rogue_rng.split(f"life {self.lives}"))

    @property
    def shifts(self) -> int:
        return self._happenings.shifts

    def write_config(self, document: Document) -> None:
        text = msgspec.json.encode({**document, "state_dir": str(self._folder / "state")})
        (self._folder / "config.yaml").write_bytes(text)

    def ask_to_stop(self) -> None:
        if self.daemon is not None and not self.calm:
            self.cover.hit(coverage.FAULTS, "stop asked")
            self.daemon.ask_to_stop("SIGTERM")

    # Death and the disk

    def dies_at(self, point: str) -> bool:
        return self._mortality.dies_at(point)

    def die(self, point: str) -> None:
        raise Death(point)

    def pass_point(self, point: str) -> None:
        if point == SNAPSHOT_ASKED and self.scenario.meddled and not self.calm:
            self._meddler.before_snapshot()
        if not self.scenario.cuts or self.checks.known_for_long:
            self._mortality.pass_point(point)

    def disk_fails(self, kind: str) -> bool:
        fails = self._mortality.disk_fails(kind)
        if fails:
            self.fault(kind)
        return fails

    def _any_moment(self, life: int) -> None:
        if life == self.lives and self.daemon is not None and self._mortality.point == ANY_MOMENT:
            raise Death(ANY_MOMENT)

    # What the world does

    def _act(self) -> None:
        if self.calm:
            self._act_calmly()
            return
        if self.steps >= self._budget:
            self._calm_down()
            return
        pause_s = -1.0
        while pause_s < 0:
            pause_s = self._rng.exponential(1000.0 / self.scenario.pause_ms)
        self.loop.call_later(pause_s, self._act)
        name = weighted(self._rng, self.scenario.actions, self._actions_total)
        self.step(name)
        if name in _FAULTS:
            self.cover.hit(coverage.FAULTS, name)
        self._handlers[name]()
        self.venue_changed()

    def _act_calmly(self) -> None:
        self.loop.call_later(0.4, self._act)
        self.step("calm")
        still = self.loop.now_ns() > self._calm_ns + int((CALM_S - _STILL_S) * 1e9)
        for instrument in self.venue.quotes:
            if still:  # books stay fresh, and nobody can fill us: what is compared at the end has been told
                self._happenings.show(instrument, self.venue.quotes[instrument].mid, WIDEST)
            else:
                self._happenings.show(instrument, self._happenings.next_mid(instrument, 1))
                self._happenings.trade()
        self.venue_changed()

    def _calm_down(self) -> None:
        """No more faults, and everything that was taken away is given back."""
        self.calm = True
        self._calm_ns = self.loop.now_ns()
        self._mortality.spare()
        self.link.banned_until_ns = 0
        self.wall_offset_ns = 0
        for quotes in self.venue.quotes.values():
            quotes.empty, quotes.tradable = None, True
        for order in tuple(self.venue.foreign.values()):
            self.venue.kill_order(order, expired=False)
        self.loop.call_soon(self._act)
        if self.daemon is not None:
            self.daemon.ask_to_stop("calm")

    def _plan_end(self) -> None:
        """A life that begins in calm is the last one."""
        self._calm_ns = self.loop.now_ns()
        life = self.lives
        self.loop.call_later(3.0, self._switch_on, life)
        for after_s in (15.0, 30.0):
            self.loop.call_later(after_s, self._adopt_everywhere, life)
        self.loop.call_later(CALM_S, self._end, life)

    def _switch_on(self, life: int) -> None:
        if life == self.lives and self.daemon is not None:
            for action in (OperatorAction.CLEAR_KILL, OperatorAction.RESUME):
                self.daemon.operate(action)
            for instrument in self.venue.quotes:
                self.daemon.operate(OperatorAction.ENABLE, instrument)

    def _adopt_everywhere(self, life: int) -> None:
        """Whoever once declared a position has to do so again when the venue takes its change back."""
        if life == self.lives and self.daemon is not None and self.shifts:
            for instrument in self.venue.quotes:
                self.daemon.adopt(instrument)

    def _end(self, life: int) -> None:
        if life != self.lives or self.daemon is None:
            return
        core = self.checks.core
        assert core is not None
        if core.reconciled:
            differences = self.checks.settled()
            if differences:
                self._guard(lambda: _raise(Breach("R8", "when all is quiet: " + "; ".join(differences))))
            self.cover.hit("calm", "agreed to the last unit")
        else:
            self._guard(lambda: _raise(Breach("R12", "when all is quiet the account is still not agreed on")))
        if core.ledger.open_orders() and any(market.decisions for market in core.markets.values()):
            self.cover.hit("calm", "quoting again")
        self.daemon.ask_to_stop("the end")


def _leave_memory() -> None:
    """Thousands of lives share this process: nothing of one of them may be kept for ever."""


def _raise(error: Exception) -> None:
    raise error
